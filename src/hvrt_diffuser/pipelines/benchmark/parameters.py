"""Parameters of ``benchmark``."""

from __future__ import annotations

from typing import Any

from pydantic import Field, field_validator

from hvrt_diffuser.image_models import PixelDiffusionEstimator, VQVAEEstimator
from hvrt_diffuser.image_models.dvp_vae import DVPVAEEstimator
from hvrt_diffuser.pipelines.options import DeviceOptions, Options
from hvrt_diffuser.rivals import GENERATORS, PRIORS, GeneratorName, ImageEstimator, PriorName

__all__ = ["BenchmarkOptions", "GeneratorOptions"]

Changes = dict[str, Any]
Candidates = dict[str, tuple[Changes, ...]]


class GeneratorOptions(Options):
    """Whole models that are compared; null leaves one out."""

    pixel_diffusion: PixelDiffusionEstimator | None = Field(
        description="a UNet of diffusers on pixels"
    )
    vq_vae: VQVAEEstimator | None = Field(description="codes, and a transformer that draws them")
    dvp_vae: DVPVAEEstimator | None = Field(
        description="a hierarchical VAE with a diffusion-based VampPrior"
    )

    def chosen(self) -> dict[str, ImageEstimator]:
        """Those that are not left out, by name."""
        found = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: estimator for name, estimator in found.items() if estimator is not None}


class BenchmarkOptions(DeviceOptions):
    """Which rivals are compared, and on how many draws."""

    n: int = Field(ge=6, description="draws of a rival, and training images of its classifier")
    compared: int = Field(ge=1, description="of these, draws whose nearest images are looked for")
    seeds: int = Field(ge=2, description="repetitions of priors, with fits of their own")
    network_seeds: int = Field(ge=1, description="the same of priors that are networks")
    rivals: dict[PriorName, tuple[Changes, ...] | None] = Field(
        description="priors that are compared, and candidates of changes of their options; of "
        "several the best on held-out training images; null leaves one out"
    )
    autoencoders: dict[str, tuple[Changes, ...] | None] = Field(
        description="the same of autoencoders, by any name: changes of ae_training"
    )
    autoencoder_priors: tuple[PriorName, ...] = Field(description="of each of these autoencoders")
    vae_priors: tuple[PriorName, ...] = Field(description="also, of those with a KL term")
    autoencoder_seeds: int = Field(ge=1, description="repetitions of each, trained anew")
    tuning_steps: int = Field(ge=1, description="of the optimiser, where networks are tuned")
    tuning_epochs: int = Field(ge=1, description="of autoencoders that are tuned")
    generators: GeneratorOptions = Field(description="whole models")
    generator_candidates: dict[GeneratorName, tuple[Changes, ...]] = Field(
        description="candidates of changes of their options; of several the best on held-out "
        "training images"
    )
    tuning_share: float = Field(
        gt=0, le=1, description="of its training, with which a candidate of a whole model is tried"
    )
    tuning_draws: int = Field(
        ge=6, description="of such a candidate: those of a diffusion of pixels take minutes"
    )
    generator_seeds: int = Field(ge=1, description="repetitions of each, trained anew")

    @field_validator("autoencoders")
    @classmethod
    def _no_name_of_another(cls, autoencoders: dict[str, Any]) -> dict[str, Any]:
        for kind, names in (("prior", PRIORS), ("whole model", GENERATORS)):
            for name in autoencoders.keys() & names.keys():
                raise ValueError(
                    f"an autoencoder is called {name}, which is a {kind}'s name: rename it"
                )
        return autoencoders

    def candidates(self) -> tuple[Candidates, Candidates, Candidates]:
        """Of priors, autoencoders and whole models that are not left out and have any."""
        priors: Candidates = {k: v for k, v in self.rivals.items() if v}
        autoencoders = {k: v for k, v in self.autoencoders.items() if v}
        there = self.generators.chosen()
        whole: Candidates = {k: v for k, v in self.generator_candidates.items() if v and k in there}
        return priors, autoencoders, whole
