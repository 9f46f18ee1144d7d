"""Gaussians and mixtures of them: what most use as the prior of a deterministic autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from pydantic import Field
from sklearn.mixture import GaussianMixture
from torch import Tensor

from hvrt_diffuser.common.bounds import Components, Steps, Variance
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.common.requests import check_generator, check_requested_labels
from hvrt_diffuser.common.seeding import derive_seed
from hvrt_diffuser.samplers.kernels import CovarianceKernel
from hvrt_diffuser.samplers.protocol import (
    Draws,
    LatentSampler,
    SamplerEstimator,
    by_class,
)
from hvrt_diffuser.samplers.randomness import choose_below, random_words, symmetric_uniform
from hvrt_diffuser.samplers.rows import Scale

__all__ = ["LatentMixture", "MixtureEstimator"]

AT_ONCE = {"cpu": 2**14}  # draws; each looks at d numbers of d factors
AT_ONCE_ELSEWHERE = 2**18


@dataclass(frozen=True)
class LatentMixture(LatentSampler):
    """Gaussian components, each with its share of every class.

    A component that was fitted to all classes has no class of its own. Of the latents of a class,
    the share that it is responsible for is its probability given that class, so that labelled draws
    exist, and draws of all classes are those of the mixture.

    Attributes:
        means: float32 or float64 (k, d).
        kernel: the covariance of each component.
        ends: float64 (c, k), the probabilities of the components given the class, summed from the
            first one on; the last is 1.
        counts: int64 (c,), the latents of each class.
        origin: what it was fitted by and on, kept in the file's header.
    """

    means: Tensor
    kernel: CovarianceKernel
    ends: Tensor
    counts: Tensor
    origin: dict[str, Any]

    form: ClassVar[str] = "mixture"

    @property
    def latent_dim(self) -> int:
        """Dimensions of a latent."""
        return self.means.shape[1]

    def draw(self, n: int, labels: Tensor | None = None, *, generator: torch.Generator) -> Draws:
        """See :meth:`hvrt_diffuser.samplers.LatentSampler.draw`; no draw starts from a latent."""
        check_requested_labels(n, labels, self.n_classes)
        check_generator(generator, self.device)
        at_once = AT_ONCE.get(self.device.type, AT_ONCE_ELSEWHERE)
        latents, found = [], []
        for start in range(0, n, at_once):
            own = None if labels is None else labels[start : start + at_once].to(self.device)
            drawn, classes = self._draw(min(at_once, n - start), own, generator)
            latents.append(drawn)
            found.append(classes)
        return Draws(torch.cat(latents), torch.cat(found), None)

    def _draw(
        self, n: int, labels: Tensor | None, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        words = random_words(n, 1 + (self.latent_dim + 1) // 2, generator, self.device)
        if labels is None:
            last = self.counts.cumsum(0)
            labels = torch.bucketize(choose_below(words[:, 0], last[-1]), last, right=True)
        # The component comes from the other half of the word that the class came from.
        place = choose_below(words[:, 0] >> 32, 2**31).double() / 2**31
        component = (place[:, None] >= self.ends[labels]).sum(dim=1)
        latents = self.means.index_select(0, component)
        noise = symmetric_uniform(words[:, 1:], self.latent_dim)
        return self.kernel.draw(latents, component, noise), labels


@SAMPLERS.register("mixture")
class MixtureEstimator(SamplerEstimator):
    """How a Gaussian mixture is fitted: scikit-learn's EM, in units of the latents' deviation."""

    what: ClassVar[str] = "a Gaussian mixture over all latents, by scikit-learn"

    components: Components = Field(10, description="Gaussians of full covariance")
    per: Literal["all", "class"] = Field(
        "all", description="what has so many: all latents together, or those of each class"
    )
    iterations: Steps = Field(200, description="of EM, at most")
    floor: Variance = Field(
        1e-6, description="added to variances, in units of the squared deviation"
    )

    def fit(self, latents: Tensor, labels: Tensor | None = None, *, seed: int = 0) -> LatentMixture:
        """See :meth:`hvrt_diffuser.samplers.SamplerEstimator.fit`.

        Raises:
            InputError: also fewer latents, or fewer of a class, than components.
        """
        z, labels, counts = by_class(latents, labels)
        self.check(counts)
        groups = self._groups(counts)
        scale = Scale.of(z)
        x = scale.enter(z).double().cpu()
        fits = []
        for i, part in enumerate(x.split(groups.tolist())):
            fits.append(self._fit(part, derive_seed(seed, "mixture", i) % 2**32))
        unit = scale.deviation.double().cpu()
        means = torch.cat([torch.from_numpy(fit.means_) for fit in fits]).to(z.device)
        covariance = torch.cat([torch.from_numpy(fit.covariances_) for fit in fits])
        values, vectors = torch.linalg.eigh(covariance)
        factors = values.clamp(min=0).sqrt()[..., None] * vectors.mT * unit  # (k, d, d)
        k, d = means.shape
        kernel = CovarianceKernel(
            factors.flatten(0, 1).to(z),
            torch.arange(0, k * d, d, device=z.device),
            torch.full((k,), d, device=z.device),
            d,
        )
        weights = torch.block_diag(
            *(
                self._weights(fit, own, part)
                for fit, own, part in zip(
                    fits, self._classes(counts), x.split(groups.tolist()), strict=True
                )
            )
        )
        ends = weights.cumsum(dim=1)
        ends = ends / ends[:, -1:]
        return LatentMixture(
            scale.leave(means), kernel, ends.to(z.device), counts, self.origin(seed)
        )

    def check(self, counts: Tensor, class_names: Sequence[str] | None = None) -> None:
        """See :meth:`hvrt_diffuser.samplers.SamplerEstimator.check`: one for each component."""
        groups = self._groups(counts)
        least, small = int(groups.min()), int(groups.argmin())
        if least < self.components:
            found = "there are"
            if self.per == "class":
                found = f"class {class_names[small] if class_names else small} has"
            raise InputError(
                f"{found} {least} latents, expected at least one for each of {self.components} "
                "components: lower components, or add images"
            )

    def _groups(self, counts: Tensor) -> Tensor:
        """How many latents each fit gets."""
        return counts if self.per == "class" else counts.sum()[None]

    def _fit(self, x: Tensor, seed: int) -> GaussianMixture:
        model = GaussianMixture(
            self.components,
            max_iter=self.iterations,
            reg_covar=self.floor,
            random_state=seed,
        )
        return model.fit(x.numpy())

    def _classes(self, counts: Tensor) -> list[Tensor]:
        """The rows of the classes in each group, one tensor of counts for each fit."""
        return list(counts.split(1)) if self.per == "class" else [counts]

    def _weights(self, model: GaussianMixture, counts: Tensor, x: Tensor) -> Tensor:
        """Mean responsibilities (c, k) of the components for the latents of each class."""
        found = torch.from_numpy(model.predict_proba(x.numpy()))
        return torch.stack([own.mean(dim=0) for own in found.split(counts.tolist())])


SAMPLERS.add_variant("gaussian", MixtureEstimator, "one Gaussian over all latents", components=1)
SAMPLERS.add_variant(
    "gaussian_per_class", MixtureEstimator, "one Gaussian for each class", components=1, per="class"
)
SAMPLERS.add_variant(
    "mixture_per_class",
    MixtureEstimator,
    "a Gaussian mixture for each class, by scikit-learn",
    per="class",
)
