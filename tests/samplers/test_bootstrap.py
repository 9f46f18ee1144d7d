"""The smoothed bootstrap: rows of the class asked for, moved by the kernel of their leaf."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency, chisquare, kstest
from torch import Tensor

from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.samplers import HVRTEstimator, Neighbourhoods, ProductKernel, SmoothedBootstrap

COUNTS = (50, 100, 150)


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def rows(latents: Tensor, digits: LabelledImages) -> tuple[Tensor, Tensor]:
    """Latents of real digits of three classes, in unequal numbers and mixed order."""
    picked = torch.cat(
        [(digits.labels == c).nonzero()[:m, 0] for c, m in enumerate(COUNTS)]
    ).sort()[0]
    return latents[picked, :5].contiguous(), digits.labels[picked]


@pytest.fixture(scope="module", params=["epanechnikov", "bootstrap_noise"])
def sampler(request: pytest.FixtureRequest, rows: tuple[Tensor, Tensor]) -> SmoothedBootstrap:
    return HVRTEstimator(strategy=request.param, min_samples_leaf=5).fit(*rows)


def with_scale(
    sampler: SmoothedBootstrap, factor: float, shape: Literal["epanechnikov", "normal"]
) -> SmoothedBootstrap:
    """The same sampler with noise of the scale that a product kernel has, times a factor."""
    parts = [
        replace(part, kernel=ProductKernel(part.kernel.scale * factor, shape))
        for part in (sampler.overall, sampler.per_class)
    ]
    return replace(sampler, overall=parts[0], per_class=parts[1])


def without_noise(sampler: SmoothedBootstrap) -> SmoothedBootstrap:
    """Draws of this sampler are training rows themselves."""
    return with_scale(sampler, 0, "normal")


def times_drawn(sampler: SmoothedBootstrap, draws: Tensor) -> np.ndarray[Any, Any]:
    """How often each training row was drawn, where there is no noise."""
    same = (draws[:, None] == sampler.latents).all(2)
    assert (same.sum(1) == 1).all(), "a draw is no training row, or the rows are not distinct"
    return same.sum(0).numpy()


def one_leaf(latents: Tensor, kernel: ProductKernel) -> SmoothedBootstrap:
    """Rows of one class, all in one leaf; a kernel of more leaves makes an ensemble of them."""
    leaf = torch.arange(kernel.n_leaves)[:, None].expand(-1, len(latents))
    own = Neighbourhoods(leaf, kernel)
    return SmoothedBootstrap(latents, torch.tensor([len(latents)]), own, own, {})


# ---- rows


@pytest.mark.parametrize("labelled", [False, True])
def test_a_draw_starts_from_the_row_that_it_names(
    sampler: SmoothedBootstrap, labelled: bool
) -> None:
    labels = torch.arange(9000) % 3 if labelled else None
    silent = without_noise(sampler).draw(9000, labels, generator=source())
    loud = sampler.draw(9000, labels, generator=source())
    assert torch.equal(silent.latents, sampler.latents[silent.rows])
    assert torch.equal(loud.rows, silent.rows)
    assert torch.equal(loud.labels, sampler.labels[loud.rows])


def test_rows_are_ordered_by_class_and_else_as_they_came(
    sampler: SmoothedBootstrap, rows: tuple[Tensor, Tensor]
) -> None:
    latents, labels = rows
    assert torch.equal(sampler.latents, torch.cat([latents[labels == c] for c in range(3)]))
    assert sampler.labels.tolist() == sorted(labels.tolist())


def test_rows_beyond_the_precision_of_float32_are_within_reach() -> None:
    n = 2**25  # more rows than a float32 between 0 and 1 has values
    rows = torch.arange(n, dtype=torch.float64)[:, None]
    sampler = one_leaf(rows, ProductKernel(torch.zeros(1, 1).double(), "normal"))
    for labels in (None, torch.zeros(2000, dtype=torch.long)):
        drawn = sampler.sample(2000, labels, generator=source())[0][:, 0]
        assert 850 < (drawn % 2).sum() < 1150, "odd rows are out of reach"
        assert kstest(drawn.numpy() / n, "uniform").pvalue > 0.001


# ---- given labels


@pytest.mark.parametrize("label", [0, 1, 2])
def test_draws_of_a_class_lie_around_rows_of_that_class(
    sampler: SmoothedBootstrap, label: int
) -> None:
    silent = without_noise(sampler)
    draws, _ = silent.sample(2000, torch.full((2000,), label), generator=source())
    times = times_drawn(silent, draws)
    own = (silent.labels == label).numpy()
    assert times[~own].sum() == 0
    assert (times[own] > 0).all()


@pytest.mark.parametrize("label", [None, 0, 1, 2])
def test_draws_of_a_bounded_kernel_stay_within_the_scale_of_a_row(
    rows: tuple[Tensor, Tensor], label: int | None
) -> None:
    sampler = HVRTEstimator(strategy="epanechnikov", min_samples_leaf=5).fit(*rows)
    asked = None if label is None else torch.full((1000,), label)
    part = sampler.overall if label is None else sampler.per_class
    draws, labels = sampler.sample(1000, asked, generator=source())
    reach = part.kernel.scale[part.leaf[0]] * (1 + 1e-5) + 1e-5
    within = ((draws[:, None] - sampler.latents).abs() <= reach).all(2)  # (1000, n)
    within &= labels[:, None] == sampler.labels
    assert within.any(1).all()
    too_wide = draws + 2 * (draws - sampler.latents[within.int().argmax(1)])
    assert not ((too_wide[:, None] - sampler.latents).abs() <= reach).all(2).any(1).all()


# ---- noise


@pytest.mark.parametrize("labelled", [False, True])
@pytest.mark.parametrize("shape", ["epanechnikov", "normal"])
def test_noise_has_the_scale_of_its_leaf_and_the_shape_of_its_kernel(
    sampler: SmoothedBootstrap, shape: Literal["epanechnikov", "normal"], labelled: bool
) -> None:
    labels = torch.arange(9000) % 3 if labelled else None
    given = with_scale(sampler, 1, shape)
    part = given.per_class if labelled else given.overall
    drawn = given.draw(9000, labels, generator=source())
    scale = part.kernel.scale[part.leaf[0][drawn.rows]]
    noise = ((drawn.latents - given.latents[drawn.rows]) / scale).double().numpy()
    law = "norm" if shape == "normal" else (lambda t: (2 + 3 * t - t**3) / 4)
    p = [kstest(column, law).pvalue for column in noise.T]
    assert min(p) > 0.001 / len(p)
    assert abs(np.corrcoef(noise.T) - np.eye(5)).max() < 4 / np.sqrt(9000)


def test_noise_says_nothing_about_the_row() -> None:
    rows = torch.arange(2000.0)[:, None].expand(-1, 3)
    sampler = one_leaf(rows.contiguous(), ProductKernel(torch.ones(1, 3), "epanechnikov"))
    drawn = sampler.draw(20_000, generator=source())
    noise = drawn.latents - rows[drawn.rows]
    found = torch.corrcoef(torch.cat([noise, drawn.rows[:, None]], dim=1).T)[3, :3]
    assert found.abs().max() < 4 / np.sqrt(20_000)


def test_members_are_drawn_evenly_whatever_the_row() -> None:
    """Each member has a scale of its own, which tells it from the others."""
    rows = 1000 * torch.arange(10.0)[:, None].expand(-1, 4)
    scale = torch.tensor([0.01, 1.0, 100.0])[:, None].expand(-1, 4)
    sampler = one_leaf(rows.contiguous(), ProductKernel(scale, "epanechnikov"))
    for labels in (None, torch.zeros(20_000, dtype=torch.long)):
        drawn = sampler.draw(20_000, labels, generator=source())
        away = (drawn.latents - rows[drawn.rows]).abs().amax(1)
        member = (away > 0.011).long() + (away > 1.01)
        assert chisquare(torch.bincount(member, minlength=3).numpy()).pvalue > 0.001
        table = torch.bincount(3 * drawn.rows + member, minlength=30).view(10, 3)
        assert chi2_contingency(table).pvalue > 0.001
