"""The priors on the latents of one autoencoder, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from hvrt_diffuser.samplers import (
    FlowEstimator,
    FlowMapEstimator,
    HVRTEstimator,
    SamplerEstimator,
    StandardNormal,
)
from hvrt_diffuser.samplers.rivals import (
    DiffusionEstimator,
    InterpolationEstimator,
    KernelDensityEstimator,
    MixtureEstimator,
    NormalisingFlowEstimator,
)

__all__ = ["PRIORS", "Prior", "PriorName", "Shared"]

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
]
DDPM_STEPS = 50


@dataclass(frozen=True)
class Shared:
    """Options that rivals are built from.

    Attributes:
        hvrt: the partition.
        flow: this project's flow and its map. Every network of a rival is trained for as many
            steps as the flow, and diffusions have its network.
        components: of a mixture; 10 in Ghosh et al. 2020, arXiv 1903.12436, Section 5.
    """

    hvrt: HVRTEstimator
    flow: FlowMapEstimator
    components: int


@dataclass(frozen=True)
class Prior:
    """A sampler that is compared.

    Attributes:
        what: it is, in a few words.
        build: gives what it is fitted by.
    """

    what: str
    build: Callable[[Shared], SamplerEstimator]


class _StandardNormalEstimator:
    """What the prior of a VAE is fitted by."""

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
    "latent_flow": Prior("flow matching, Heun's method", _flow),
    "flow_map": Prior(
        "the same flow, distilled to one evaluation",
        lambda shared: shared.flow.model_copy(update={"strength": 1.0}),
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
        lambda shared: MixtureEstimator(components=shared.components),
    ),
    "mixture_per_class": Prior(
        "the same for each class",
        lambda shared: MixtureEstimator(components=shared.components, per="class"),
    ),
    "kernel_density": Prior(
        "a normal kernel of the likeliest width, scikit-learn",
        lambda shared: KernelDensityEstimator(),
    ),
    "interpolation": Prior(
        "between a latent and a neighbour, SMOTE", lambda shared: InterpolationEstimator()
    ),
    "masked_autoregressive_flow": Prior("zuko", _normalising_flow("masked_autoregressive")),
    "neural_spline_flow": Prior("zuko, autoregressive", _normalising_flow("neural_spline")),
    "latent_ddpm": Prior("noise prediction, ancestral steps", _diffusion("ddpm", DDPM_STEPS)),
    "latent_edm": Prior("EDM, Heun's method", _diffusion("edm", None)),
}
