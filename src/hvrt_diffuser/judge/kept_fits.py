"""Generators that saw few images alone, kept in files: what was fitted is not fitted again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from hvrt_diffuser.autoencoders import Autoencoder, AutoencoderEstimator
from hvrt_diffuser.common.files import is_whole
from hvrt_diffuser.data.augmentation import Augmentation
from hvrt_diffuser.diffuser import HVRTDiffuser, load_model
from hvrt_diffuser.judge.rows import fit_on_few, fit_on_few_by_engine

__all__ = ["KeptFits", "setting_folder"]


def setting_folder(folder: Path, setting: Mapping[str, str]) -> Path:
    """Where fits of one setting alone are kept: another setting never finds them."""
    text = json.dumps(setting, sort_keys=True)
    return folder / hashlib.sha256(text.encode()).hexdigest()[:16]


class _Trained(NamedTuple):
    """In place of a training: the autoencoder of the same images that is there."""

    autoencoder: Autoencoder

    def fit(self, images: Tensor, **_: Any) -> tuple[Autoencoder, list[Any]]:
        return self.autoencoder, []


class KeptFits:
    """Fits by :func:`hvrt_diffuser.judge.rows.fit_on_few`, in the files of a folder.

    Samplers that are fitted on the same images share one autoencoder.

    Args:
        folder: of one setting alone.
        estimators: of samplers or whole models, by name.
        training: of the autoencoders.
        augmentation: of the images that a sampler may start from.
        n_all: how many images the training is meant for.
        device: where to train.
    """

    def __init__(
        self,
        folder: Path,
        estimators: Mapping[str, Any],
        training: AutoencoderEstimator,
        augmentation: Augmentation,
        n_all: int,
        device: torch.device,
    ) -> None:
        self.folder, self.estimators, self.training = folder, estimators, training
        self.augmentation, self.n_all, self.device = augmentation, n_all, device

    def fit(self, name: str, images: Tensor, labels: Tensor, *, seed: int) -> HVRTDiffuser:
        """Fit a sampler, or read what an earlier call has fitted.

        Args:
            name: of the sampler.
            images: uint8 (n, c, h, w), the same for the same n and seed.
            labels: int64 (n,).
            seed: of the fit.

        Raises:
            InputError: too few images to train or to fit on.
        """
        folder = self.folder / f"{len(images)}_{seed}"
        own, shared = folder / f"sampler_{name}.safetensors", folder / "autoencoder.safetensors"
        whole = self.estimators[name].kind == "images"
        if not is_whole(own) or not (whole or is_whole(shared)):
            self._fit(name, images, labels, own, shared, seed)
        # From the files at the first time, too: a run that was cut off has nothing else.
        return HVRTDiffuser(None if whole else Autoencoder.load(shared), load_model(own))

    def _fit(
        self, name: str, images: Tensor, labels: Tensor, own: Path, shared: Path, seed: int
    ) -> None:
        training, fit = self.training, fit_on_few_by_engine
        autoencoder = Autoencoder.load(shared) if is_whole(shared) else None
        if autoencoder is not None:  # what is left to do is less than to send it
            training, fit = cast(AutoencoderEstimator, _Trained(autoencoder)), fit_on_few
        made = fit(
            images,
            labels,
            self.n_all,
            training,
            self.estimators[name],
            self.augmentation,
            seed=seed,
            device=self.device,
        )
        if made.autoencoder is not None and autoencoder is None:
            made.autoencoder.save(shared)
        made.save(own)
