"""The priors on the latents of one autoencoder, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError
from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.samplers import (
    DiffusionEstimator,
    FlowEstimator,
    FlowMapEstimator,
    HVRTEstimator,
    InterpolationEstimator,
    KernelDensityEstimator,
    LatentVAEEstimator,
    MixtureEstimator,
    NormalisingFlowEstimator,
    SamplerEstimator,
    StandardNormal,
)

__all__ = ["PRIORS", "Prior", "PriorName", "Shared", "changed", "estimator_of"]

PriorName = Literal[
    "hvrt",
    "latent_flow",
    "flow_map",
    "standard_normal",
    "gaussian",
    "gaussian_per_class",
    "mixture",
    "mixture_per_class",
    "kernel_density",
    "interpolation",
    "masked_autoregressive_flow",
    "neural_spline_flow",
    "latent_ddpm",
    "latent_edm",
    "second_stage_vae",
    "vamp_prior",
]
DDPM_STEPS = 50


@dataclass(frozen=True)
class Shared:
    """Options that rivals are built from.

    Attributes:
        hvrt: the partition.
        flow: this project's flow and its map. Every network of a rival is trained for as many
            steps as the flow, and diffusions have its network.
    """

    hvrt: HVRTEstimator
    flow: FlowMapEstimator


@dataclass(frozen=True)
class Prior:
    """A sampler that is compared.

    Attributes:
        what: it is, in a few words.
        build: gives what it is fitted by.
        network: whether it is one, and its fit takes as long as a training.
    """

    what: str
    build: Callable[[Shared], SamplerEstimator]
    network: bool = False


class _StandardNormalEstimator(BaseModel):
    """What the prior of a VAE is fitted by."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def fit(
        self, latents: Tensor, labels: Tensor | None = None, *, seed: int = 0
    ) -> StandardNormal:
        """See :meth:`hvrt_diffuser.samplers.SamplerEstimator.fit`."""
        return StandardNormal.fit(latents, labels, seed=seed)


def _flow(shared: Shared) -> FlowEstimator:
    options = shared.flow.model_dump(include=set(FlowEstimator.model_fields))
    return FlowEstimator(**options | {"strength": 1.0})


def _normalising_flow(
    architecture: Literal["masked_autoregressive", "neural_spline"],
) -> Callable[[Shared], SamplerEstimator]:
    return lambda shared: NormalisingFlowEstimator(
        architecture=architecture, training_steps=shared.flow.training_steps
    )


def _latent_vae(prior: Literal["standard_normal", "vamp"]) -> Callable[[Shared], SamplerEstimator]:
    return lambda shared: LatentVAEEstimator(
        prior=prior, width=shared.flow.width, training_steps=shared.flow.training_steps
    )


def _diffusion(
    recipe: Literal["edm", "ddpm"], steps: int | None
) -> Callable[[Shared], SamplerEstimator]:
    def build(shared: Shared) -> SamplerEstimator:
        common = {"width", "blocks", "training_steps", "batch_size", "learning_rate", "precision"}
        options = shared.flow.model_dump(include=common)
        if steps is not None:
            options["solver_steps"] = steps
        return DiffusionEstimator(recipe=recipe, **options)

    return build


PRIORS: dict[str, Prior] = {
    "hvrt": Prior("a tree's leaves, with a kernel in each", lambda shared: shared.hvrt),
    "latent_flow": Prior("flow matching, Heun's method", _flow, network=True),
    "flow_map": Prior(
        "the same flow, distilled to one evaluation",
        lambda shared: shared.flow.model_copy(update={"strength": 1.0}),
        network=True,
    ),
    "standard_normal": Prior(
        "N(0, I), which a plain autoencoder was not trained for",
        lambda shared: _StandardNormalEstimator(),
    ),
    "gaussian": Prior("one Gaussian", lambda shared: MixtureEstimator(components=1)),
    "gaussian_per_class": Prior(
        "one Gaussian a class", lambda shared: MixtureEstimator(components=1, per="class")
    ),
    "mixture": Prior(
        "Gaussian mixture of full covariance, scikit-learn",
        lambda shared: MixtureEstimator(),
    ),
    "mixture_per_class": Prior(
        "the same for each class",
        lambda shared: MixtureEstimator(per="class"),
    ),
    "kernel_density": Prior(
        "a normal kernel of the likeliest width, scikit-learn",
        lambda shared: KernelDensityEstimator(),
    ),
    "interpolation": Prior(
        "between a latent and a neighbour, SMOTE", lambda shared: InterpolationEstimator()
    ),
    "masked_autoregressive_flow": Prior(
        "zuko", _normalising_flow("masked_autoregressive"), network=True
    ),
    "neural_spline_flow": Prior(
        "zuko, autoregressive", _normalising_flow("neural_spline"), network=True
    ),
    "latent_ddpm": Prior(
        "noise prediction, ancestral steps", _diffusion("ddpm", DDPM_STEPS), network=True
    ),
    "latent_edm": Prior("EDM, Heun's method", _diffusion("edm", None), network=True),
    "second_stage_vae": Prior("a VAE of the latents", _latent_vae("standard_normal"), network=True),
    "vamp_prior": Prior("the same, with pseudoinputs", _latent_vae("vamp"), network=True),
}


def estimator_of(name: str, shared: Shared, changes: Mapping[str, Any]) -> SamplerEstimator:
    """What a prior is fitted by, with some of its options changed.

    Raises:
        InputError: options that are none of its own.
    """
    estimator: SamplerEstimator = changed(f"rivals.{name}", PRIORS[name].build(shared), changes)
    return estimator


def changed(name: str, options: Any, changes: Mapping[str, Any]) -> Any:
    """The options with some changed, and checked.

    Args:
        name: below ``benchmark``, for an error.
        options: a Pydantic model.
        changes: of its fields.

    Raises:
        InputError: the changes are refused.
    """
    try:
        return type(options).model_validate({**options.model_dump(), **changes})
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"benchmark.{name} has {dict(changes)}, which is refused at "
            f"{'.'.join(map(str, first['loc'])) or 'options'}: {first['msg']}; correct it in conf/"
        ) from error
