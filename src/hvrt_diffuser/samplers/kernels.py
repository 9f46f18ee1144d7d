"""The kernels: how a draw departs from the row that it starts from.

Each is hvrt 2.11's strategy of the same name, as tables with one entry per leaf. Fitting looks at
the leaves; drawing is a few gathers on the device of the tables.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from hvrt_diffuser.common.stored import Stored
from hvrt_diffuser.samplers.leaves import PADDED_ELEMENTS, Leaves
from hvrt_diffuser.samplers.randomness import epanechnikov, normal

__all__ = [
    "CopulaKernel",
    "CovarianceKernel",
    "Kernel",
    "ProductKernel",
    "Strategy",
    "fit_kernel",
]

Strategy = Literal["epanechnikov", "bootstrap_noise", "multivariate_kde", "univariate_kde_copula"]
MIN_DEVIATION = 0.01  # of a leaf, in units of the whole set's deviation; hvrt's own floor
MIN_EIGENVALUE = 1e-8  # of a leaf's covariance, in the same units; hvrt's own floor
BOOTSTRAP_NOISE = 0.1  # of a leaf's deviation; hvrt's own factor
MIN_ROWS_FOR_CORRELATION = 4  # hvrt's own
EDGE = 5.5  # the quantile tables reach from -EDGE to EDGE deviations of the copula's normal
N_QUANTILES = 65
N_GRID = 129  # places at which the distribution function of a leaf is computed


class Kernel(Stored, ABC):
    """Tables with an entry per leaf, and what turns a row and random numbers into a draw."""

    @property
    @abstractmethod
    def n_leaves(self) -> int:
        """Number of leaves, k."""

    @abstractmethod
    def draw(self, rows: Tensor, leaf: Tensor, v: Tensor) -> Tensor:
        """Latents (m, d), in place of ``rows`` where the kernel starts from a row.

        Args:
            rows: (m, d), the training row of each draw; overwritten.
            leaf: int64 (m,), the leaf of each draw.
            v: float32 (m, d), uniform on (-1, 1); overwritten.
        """

    @abstractmethod
    def deviation(self) -> Tensor:
        """Standard deviation (k, d) of the noise in each leaf; of the copula, of the leaf."""


@dataclass(frozen=True)
class ProductKernel(Kernel):
    """Independent noise in each dimension.

    Attributes:
        scale: (k, d), the factor on the noise in each leaf and dimension.
        shape: of the noise: ``epanechnikov`` on (-1, 1), or ``normal`` of variance 1.
    """

    scale: Tensor
    shape: Literal["epanechnikov", "normal"]

    form: ClassVar[str] = "product kernel"

    @property
    def n_leaves(self) -> int:
        """Number of leaves, k."""
        return len(self.scale)

    def draw(self, rows: Tensor, leaf: Tensor, v: Tensor) -> Tensor:
        """See :meth:`Kernel.draw`."""
        noise = epanechnikov(v) if self.shape == "epanechnikov" else normal(v)
        return rows.addcmul_(self.scale.index_select(0, leaf), noise)

    def deviation(self) -> Tensor:
        """See :meth:`Kernel.deviation`."""
        return self.scale * (0.2**0.5 if self.shape == "epanechnikov" else 1.0)


@dataclass(frozen=True)
class CovarianceKernel(Kernel):
    """Normal noise with the covariance F'F of each leaf.

    A leaf of m rows needs no more than min(m, d) rows of F: those of a small leaf are its own
    residuals, which are far fewer numbers than a Cholesky factor.

    Attributes:
        factors: (r, d), the rows of F of all leaves, one after the other.
        first: int64 (k,), where a leaf's begin.
        rank: int64 (k,), how many it has.
        width: the greatest rank.
    """

    factors: Tensor
    first: Tensor
    rank: Tensor
    width: int

    form: ClassVar[str] = "covariance kernel"

    @property
    def n_leaves(self) -> int:
        """Number of leaves, k."""
        return len(self.rank)

    def noise(self, leaf: Tensor, v: Tensor) -> Tensor:
        """Draws (m, d) of the normal distribution of each leaf; ``v`` as in :meth:`draw`."""
        step = torch.arange(self.width, device=leaf.device)
        # Weights beyond a leaf's rank are 0, so it does not matter which rows they fall on.
        place = (self.first[leaf][:, None] + step).clamp_(max=len(self.factors) - 1)
        weights = normal(v[:, : self.width]).to(self.factors.dtype)
        weights = weights.masked_fill_(step >= self.rank[leaf][:, None], 0)
        return F.embedding_bag(place, self.factors, per_sample_weights=weights, mode="sum")

    def draw(self, rows: Tensor, leaf: Tensor, v: Tensor) -> Tensor:
        """See :meth:`Kernel.draw`."""
        return rows.add_(self.noise(leaf, v))

    def deviation(self) -> Tensor:
        """See :meth:`Kernel.deviation`."""
        owner = torch.arange(self.n_leaves, device=self.rank.device).repeat_interleave(self.rank)
        step = torch.arange(len(owner), device=owner.device)
        within = step - (self.rank.cumsum(0) - self.rank)[owner]
        variance = self.factors.new_zeros(self.n_leaves, self.factors.shape[1])
        variance.index_add_(0, owner, self.factors[self.first[owner] + within].square())
        return variance.sqrt_()


@dataclass(frozen=True)
class CopulaKernel(Kernel):
    """The marginal distributions of a leaf, joined by a Gaussian copula; no row is started from.

    Attributes:
        copula: correlated standard normals in each leaf.
        quantiles: (k, d, q), the inverse distribution function of each leaf and dimension at
            normal scores that are evenly spaced from -EDGE to EDGE.
    """

    copula: CovarianceKernel
    quantiles: Tensor

    form: ClassVar[str] = "copula kernel"

    @property
    def n_leaves(self) -> int:
        """Number of leaves, k."""
        return len(self.quantiles)

    def draw(self, rows: Tensor, leaf: Tensor, v: Tensor) -> Tensor:
        """See :meth:`Kernel.draw`."""
        score = self.copula.noise(leaf, v)  # (m, d)
        _, d, q = self.quantiles.shape
        place = score.add_(EDGE).mul_((q - 1) / (2 * EDGE)).clamp_(0, q - 1)
        node = place.long().clamp_(max=q - 2)
        table = self.quantiles.flatten()
        flat = (leaf[:, None] * d + torch.arange(d, device=leaf.device)) * q + node
        low = table.take(flat)
        return torch.lerp(low, table.take(flat.add_(1)), place.sub_(node), out=rows)

    def deviation(self) -> Tensor:
        """See :meth:`Kernel.deviation`."""
        score = torch.linspace(-EDGE, EDGE, self.quantiles.shape[2], dtype=torch.float64)
        weight = torch.exp(-0.5 * score.square())
        weight = (weight / weight.sum()).to(self.quantiles)
        mean = self.quantiles @ weight  # (k, d)
        return ((self.quantiles - mean[..., None]).square_() @ weight).sqrt_()


def fit_kernel(
    strategy: Strategy, latents: Tensor, leaves: Leaves, unit: Tensor, noise_scale: float
) -> Kernel:
    """Compute the tables of a kernel.

    Args:
        strategy: the kernel's name in hvrt.
        latents: (n, d).
        leaves: of the latents.
        unit: float64 (k, d), the deviation of the set that each leaf is part of, in which hvrt
            measures; it matters for the smallest deviation alone.
        noise_scale: factor on hvrt's bandwidth.

    Returns:
        Tables of the latents' type, on their device.
    """
    if strategy == "univariate_kde_copula":
        return _fit_copula(latents, leaves, unit, noise_scale).to(latents.dtype)
    scott = noise_scale * _scott(leaves.sizes, latents.shape[1])
    if strategy == "multivariate_kde":
        jitter = noise_scale * MIN_EIGENVALUE**0.5 * unit
        return _fit_covariance(latents, leaves, scott, jitter).to(latents.dtype)
    deviation = torch.maximum(leaves.deviation(latents), MIN_DEVIATION * unit)
    if strategy == "epanechnikov":
        return ProductKernel(scott * deviation, "epanechnikov").to(latents.dtype)
    return ProductKernel(noise_scale * BOOTSTRAP_NOISE * deviation, "normal").to(latents.dtype)


def _fit_covariance(z: Tensor, leaves: Leaves, scott: Tensor, jitter: Tensor) -> CovarianceKernel:
    """The covariance of each leaf, times the square of its bandwidth.

    A row alone has none: it gets ``jitter`` (k, d), which hvrt gives to every direction in which a
    leaf has no variance, lest a draw be the row itself.
    """
    gathered = _Factors(z.shape[1], leaves)
    mean = leaves.mean(z)
    alone = (leaves.sizes == 1).nonzero()[:, 0]
    rows = torch.diag_embed(jitter[alone])  # (b, d, d)
    gathered.add(alone, rows, torch.ones_like(rows[..., 0], dtype=torch.bool))
    d = z.shape[1]
    for chosen in (
        (leaves.sizes > 1) & (leaves.sizes <= d),
        (leaves.sizes > 1) & (leaves.sizes > d),
    ):
        for own, place in leaves.blocks(chosen.nonzero()[:, 0], d):
            values = z[leaves.rows[place.clamp(min=0)]].double()
            residuals = values.sub_(mean[own][:, None])  # (b, m, d)
            scale = scott[own] / leaves.sizes[own].double().sqrt()[:, None]  # (b, 1)
            gathered.add(own, residuals.mul_(scale[:, None]), place >= 0)
    return gathered.kernel()


def _scott(sizes: Tensor, d: int) -> Tensor:
    """Scott's bandwidth (k, 1) of leaves of so many rows, in d dimensions (Scott 1992).

    Each size is raised to its power once: torch rounds the last bit of a power by its place.
    """
    found, place = sizes.clamp(min=1).unique(return_inverse=True)
    powers = [m ** (-1 / (d + 4)) for m in found.tolist()]
    return torch.tensor(powers, dtype=torch.float64, device=sizes.device)[place][:, None]


def _fit_copula(z: Tensor, leaves: Leaves, unit: Tensor, noise_scale: float) -> CopulaKernel:
    """The correlation of each leaf's normal scores, and the quantiles of its marginals.

    hvrt inverts the distribution function on a grid of 2,000 values at each draw. The same
    function, inverted once at even steps of the normal score, needs 65 numbers and no search.
    """
    d = z.shape[1]
    copula = _Factors(d, leaves)
    quantiles = z.new_zeros(leaves.n_leaves, d, N_QUANTILES, dtype=torch.float64)
    scores = torch.linspace(-EDGE, EDGE, N_QUANTILES, dtype=torch.float64, device=z.device)
    few = leaves.sizes < MIN_ROWS_FOR_CORRELATION
    small = leaves.sizes <= d
    copula.add_independent((few & (leaves.sizes > 0)).nonzero()[:, 0])
    for chosen in (few & (leaves.sizes > 1), ~few & small, ~few & ~small):
        for own, place in leaves.blocks(chosen.nonzero()[:, 0], d * N_GRID):
            inside = place >= 0  # (b, m)
            values = z[leaves.rows[place.clamp(min=0)]].double()  # (b, m, d)
            quantiles[own] = _marginal_quantiles(values, inside, unit[own], scores, noise_scale)
            if leaves.sizes[own[0]] >= MIN_ROWS_FOR_CORRELATION:
                rank = values.masked_fill(~inside[..., None], torch.inf).argsort(1).argsort(1)
                m = leaves.sizes[own][:, None, None]
                score = torch.special.ndtri((rank + 1).double() / (m + 1))
                score.masked_fill_(~inside[..., None], 0)
                copula.add(own, score / score.square().sum(1, keepdim=True).sqrt(), inside)
    alone = (leaves.sizes == 1).nonzero()[:, 0]
    value = z[leaves.rows[leaves.first[alone]]].double()[..., None]  # (b, d, 1)
    # hvrt's own rule: a row alone is spread evenly over a tenth of the set's deviation.
    spread = 0.1 * noise_scale * unit[alone][..., None]
    quantiles[alone] = value + spread * (2 * torch.special.ndtr(scores) - 1)
    return CopulaKernel(copula.kernel(), quantiles)


def _marginal_quantiles(
    values: Tensor, inside: Tensor, unit: Tensor, scores: Tensor, noise_scale: float
) -> Tensor:
    """Quantiles (b, d, q) of the Gaussian kernel density of each leaf and dimension.

    Args:
        values: float64 (b, m, d).
        inside: bool (b, m), which of them exist.
        unit: float64 (b, d), the deviation of the set that each leaf is part of.
        scores: float64 (q,), the standard normal scores of the quantiles.
        noise_scale: factor on Scott's bandwidth.
    """
    b, _, d = values.shape
    mask = inside[..., None]
    m = inside.sum(1).double()[:, None]  # (b, 1)
    mean = values.masked_fill(~mask, 0).sum(1) / m
    square = (values - mean[:, None]).square_().masked_fill_(~mask, 0).sum(1)  # (b, d)
    bandwidth = noise_scale * m**-0.2 * (square / (m - 1)).sqrt()
    bandwidth = torch.maximum(bandwidth, 1e-6 * unit)  # of a dimension that is constant in a leaf
    margin = 3 * max(1.0, noise_scale) * torch.maximum((square / m).sqrt(), MIN_DEVIATION * unit)
    low = values.masked_fill(~mask, torch.inf).amin(1) - margin
    high = values.masked_fill(~mask, -torch.inf).amax(1) + margin
    steps = torch.linspace(0, 1, N_GRID, dtype=values.dtype, device=values.device)
    grid = low[..., None] + (high - low)[..., None] * steps  # (b, d, g)
    below = torch.zeros_like(grid)
    at_once = max(1, PADDED_ELEMENTS // grid.numel())
    for some, exist in zip(values.split(at_once, 1), mask.split(at_once, 1), strict=True):
        distance = (grid[:, None] - some[..., None]) / (2**0.5 * bandwidth)[:, None, :, None]
        below += torch.erf(distance).add_(1).mul_(0.5 * exist[..., None]).sum(1)  # (b, d, g)
    # Between normal scores the function is nearly straight, into its tails.
    grid_scores = torch.special.ndtri((below / m[..., None]).clamp_(1e-300, 1 - 1e-16))
    wanted = scores.expand(b, d, len(scores)).contiguous()
    right = torch.searchsorted(grid_scores, wanted).clamp_(1, N_GRID - 1)
    left_score, right_score = grid_scores.gather(2, right - 1), grid_scores.gather(2, right)
    share = ((wanted - left_score) / (right_score - left_score)).nan_to_num_(0).clamp_(0, 1)
    return torch.lerp(grid.gather(2, right - 1), grid.gather(2, right), share)


class _Factors:
    """Gathers the factors of the leaves' covariances, block after block."""

    def __init__(self, d: int, leaves: Leaves) -> None:
        device = leaves.leaf.device
        self.d = d
        self.first = torch.zeros(leaves.n_leaves, dtype=torch.long, device=device)
        self.rank = torch.zeros(leaves.n_leaves, dtype=torch.long, device=device)
        # Something to point at for a leaf without rows.
        self.blocks = [torch.zeros(1, d, dtype=torch.float64, device=device)]
        self.n = 1

    def add(self, own: Tensor, rows: Tensor, inside: Tensor) -> None:
        """Leaves ``own`` (b,) get the covariance R'R of their rows (b, m, d)."""
        if rows.shape[1] <= self.d:
            rank = inside.sum(1)
            factors = rows[inside]
        else:
            rows = rows.masked_fill(~inside[..., None], 0)
            values, vectors = torch.linalg.eigh(rows.mT @ rows)
            factors = (values.clamp_(min=0).sqrt_()[..., None] * vectors.mT).flatten(0, 1)
            rank = torch.full_like(own, self.d)
        self.first[own] = self.n + rank.cumsum(0) - rank
        self.rank[own] = rank
        self.blocks.append(factors)
        self.n += len(factors)

    def add_independent(self, own: Tensor) -> None:
        """Leaves ``own`` get the identity, one for all."""
        self.first[own] = self.n
        self.rank[own] = self.d
        self.blocks.append(torch.eye(self.d, dtype=torch.float64, device=own.device))
        self.n += self.d

    def kernel(self) -> CovarianceKernel:
        """All that was gathered."""
        return CovarianceKernel(torch.cat(self.blocks), self.first, self.rank, int(self.rank.max()))
