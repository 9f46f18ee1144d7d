"""Samplers on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import read_tensors
from hvrt_diffuser.samplers.baselines import StandardNormal
from hvrt_diffuser.samplers.bootstrap import KIND, SmoothedBootstrap
from hvrt_diffuser.samplers.diffusion import LatentDiffusion
from hvrt_diffuser.samplers.flow import LatentFlow
from hvrt_diffuser.samplers.interpolation import LatentInterpolation
from hvrt_diffuser.samplers.latent_vae import LatentVAE
from hvrt_diffuser.samplers.mixture import LatentMixture
from hvrt_diffuser.samplers.normalising_flow import LatentNormalisingFlow
from hvrt_diffuser.samplers.protocol import LatentSampler

__all__ = ["load_sampler"]

FORMS: dict[str, Any] = {
    form.form: form
    for form in (
        SmoothedBootstrap,
        StandardNormal,
        LatentFlow,
        LatentMixture,
        LatentInterpolation,
        LatentNormalisingFlow,
        LatentDiffusion,
        LatentVAE,
    )
}


def load_sampler(path: str | Path) -> LatentSampler:
    """Read what the ``save`` of a sampler wrote, onto the CPU.

    Raises:
        InputError: the file is missing, cut short, or of another kind or version.
    """
    tensors, header = read_tensors(path, KIND)
    try:
        sampler: LatentSampler = FORMS[header["form"]].build(tensors, header)
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{path} lacks {error}, expected a latent sampler of this version: "
            "fit it again with this version"
        ) from error
    return sampler
