"""An energy for each class by a classifier of its latents and surrogates, and Langevin steps."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from hvrt_diffuser.common.bounds import Factor, SolverSteps, Steps, Variance, Width
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.samplers.carried_rows import CarriedRows
from hvrt_diffuser.samplers.perceptron import Perceptron
from hvrt_diffuser.samplers.protocol import by_class
from hvrt_diffuser.samplers.rows import Scale
from hvrt_diffuser.samplers.trained import TrainedEstimator

__all__ = ["ClassEnergy", "ClassEnergyEstimator"]

FLOOR = 1e-3  # variance of a class in any direction, at least, of that of all latents


@dataclass(frozen=True)
class ClassEnergy(CarriedRows):
    """Starts from a training latent, and goes down the energy of its class with noise.

    In units in which the latents of the class have mean 0 and covariance I, the energy is
    |v|^2 / (2 s^2) - f(v), where f is the classifier's logit and s the surrogates' deviation.

    Attributes:
        network: f.
        means: (k, d), of each class, in units of the scale.
        factors: (k, d, d), Cholesky factors of the classes' covariances.
        spread: s.
        steps: of Langevin dynamics.
        step_size: of each.
    """

    network: Perceptron
    means: Tensor
    factors: Tensor
    spread: float
    steps: int
    step_size: float

    form: ClassVar[str] = "class energy"

    @property
    def noise_dim(self) -> int:
        """See :attr:`CarriedRows.noise_dim`: each step adds some."""
        return self.steps * self.latent_dim

    def energy(self, v: Tensor, labels: Tensor) -> Tensor:
        """Up to a constant for each class (n,), of rows in its units (n, d)."""
        return v.square().sum(dim=1) / (2 * self.spread**2) - self.network(v, labels)[:, 0]

    def carry(self, start: Tensor, noise: Tensor, labels: Tensor) -> Tensor:
        """See :meth:`CarriedRows.carry`; Welling & Teh 2011, at temperature 1 and unadjusted."""
        v = start
        for kick in noise.chunk(self.steps, dim=1):
            with torch.enable_grad():
                here = v.detach().requires_grad_(True)
                (slope,) = torch.autograd.grad(self.energy(here, labels).sum(), here)
            v = v - self.step_size * slope + (2 * self.step_size) ** 0.5 * kick
        x = torch.zeros_like(v)
        for label, (mean, factor) in enumerate(zip(self.means, self.factors, strict=True)):
            x = torch.where((labels == label)[:, None], v @ factor.T + mean, x)
        return x


@SAMPLERS.register("class_energy")
class ClassEnergyEstimator(TrainedEstimator):
    """How the energies are trained.

    In the manner of TabEBM (Margeloiu et al. 2024, arXiv 2409.16118): the energy of a class comes
    from the logit of a classifier of its latents against surrogate negatives, never from other
    classes, and draws start from a latent of the class. Three things differ. The classifier is a
    perceptron that is trained, in place of TabPFN, and the classes share its weights. Far from
    its data a perceptron's logit says nothing, so the surrogates are not corners of a cube but
    draws of the Gaussian of the class, widened, whose density is known: then the logit is the
    logarithm of a ratio of densities, and the energy that of the class (Gutmann & Hyvarinen
    2010). And the dynamics are Langevin's at temperature 1, where TabEBM's are nearly a descent.
    """

    what: ClassVar[str] = (
        "an energy for each class by a classifier's logit (TabEBM), Langevin steps"
    )

    width: Width = Field(64, description="of the classifier's hidden layers")
    training_steps: Steps = Field(
        500, description="optimiser steps; a classifier that knows each latent is no ratio"
    )
    spread: Factor = Field(
        1.1, gt=0, description="deviation of the surrogate negatives, in the class's own"
    )
    steps: SolverSteps = Field(60, description="of Langevin dynamics, from a training latent")
    step_size: Variance = Field(
        0.05, description="of each: a step adds noise of twice it, in the class's variance"
    )

    def fit(self, latents: Tensor, labels: Tensor | None = None, *, seed: int = 0) -> ClassEnergy:
        """See :meth:`hvrt_diffuser.samplers.SamplerEstimator.fit`.

        Raises:
            FloatingPointError: the loss became infinite or NaN.
        """
        z, labels, counts = by_class(latents, labels)
        scale = Scale.of(z)
        means, factors, v = _in_units_of_class(scale.enter(z), counts)
        d = v.shape[1]

        def build() -> Perceptron:
            return Perceptron(d, len(counts), self.width, 1)

        def loss(model: Perceptron, rows: Tensor, source: torch.Generator) -> Tensor:
            noise = torch.randn(len(rows), d, generator=source, device=v.device)
            own = labels[rows]
            logits = model(torch.cat([v[rows], self.spread * noise]), own.repeat(2))[:, 0].float()
            real, surrogate = logits.chunk(2)
            return (F.softplus(-real) + F.softplus(surrogate)).mean()

        network = self._train("energy", build, loss, v, seed)
        return ClassEnergy(
            v,
            counts,
            network,
            scale,
            self.origin(seed),
            means,
            factors,
            self.spread,
            self.steps,
            self.step_size,
        )


def _in_units_of_class(x: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Means (k, d) and Cholesky factors (k, d, d) of the classes, and rows (n, d) in their units.

    Args:
        x: (n, d), ordered by class, in units of the deviation of all.
        counts: int64 (k,), of each class.
    """
    means, factors, rows = [], [], []
    floor = FLOOR * torch.eye(x.shape[1], dtype=torch.float64, device=x.device)
    for own in x.double().split(counts.tolist()):
        away = own - own.mean(dim=0)
        factor = torch.linalg.cholesky(away.T @ away / len(own) + floor)
        means.append(own.mean(dim=0))
        factors.append(factor)
        rows.append(torch.linalg.solve_triangular(factor, away.T, upper=False).T)
    return torch.stack(means).float(), torch.stack(factors).float(), torch.cat(rows).float()
