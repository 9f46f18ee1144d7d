"""The smoothed bootstrap: its kernel, its allocation, its one stream, its file."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare, kstest
from torch import Tensor

from hvrt_diffuser.errors import InputError
from hvrt_diffuser.files import read_tensors, write_tensors
from hvrt_diffuser.images import LabelledImages
from hvrt_diffuser.samplers import (
    HVRTOptions,
    Neighbourhoods,
    SmoothedBootstrap,
    StandardNormal,
    fit_hvrt,
)
from hvrt_diffuser.samplers.bootstrap import uniform_to_epanechnikov, uniform_to_normal

COUNTS = (50, 100, 150)
LAST = 1 - 2**-24  # the greatest float32 that torch.rand gives


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
    options = HVRTOptions(strategy=request.param, min_samples_leaf=5, n_partitions=None)
    return fit_hvrt(*rows, options)


def without_noise(sampler: SmoothedBootstrap) -> SmoothedBootstrap:
    """Draws of this sampler are training rows themselves."""
    silent = [Neighbourhoods(p.leaf, p.scale * 0) for p in (sampler.overall, sampler.per_class)]
    return replace(sampler, overall=silent[0], per_class=silent[1])


def times_drawn(sampler: SmoothedBootstrap, draws: Tensor) -> np.ndarray[Any, Any]:
    """How often each training row was drawn, where there is no noise."""
    same = (draws[:, None] == sampler.latents).all(2)
    assert (same.sum(1) == 1).all(), "a draw is no training row, or the rows are not distinct"
    return same.sum(0).numpy()


# ---- kernels


@settings(deadline=None)
@given(st.floats(0, 1))
def test_epanechnikov_inverts_its_distribution_function(u: float) -> None:
    x = float(uniform_to_epanechnikov(torch.tensor(u, dtype=torch.float64)))
    assert -1 <= x <= 1
    assert (2 + 3 * x - x**3) / 4 == pytest.approx(u, abs=1e-12)


@settings(deadline=None)
@given(u=st.floats(0, LAST, width=32), v=st.floats(0, LAST, width=32))
def test_kernels_are_finite_and_rise_for_every_float32(u: float, v: float) -> None:
    pair = torch.tensor(sorted([u, v]))
    for kernel in (uniform_to_epanechnikov, uniform_to_normal):
        low, high = kernel(pair)
        assert torch.isfinite(low)
        assert torch.isfinite(high)
        assert low <= high + 1e-6
    assert uniform_to_epanechnikov(pair).abs().max() <= 1 + 1e-6


def test_epanechnikov_has_its_moments_and_its_shape() -> None:
    n = 200_000
    x = uniform_to_epanechnikov(torch.rand(n, generator=source())).double().numpy()
    # Moments of 3/4 (1 - x^2): 0, 1/5, 0 and 3/35.
    assert abs(x.mean()) < 4 * np.sqrt(0.2 / n)
    assert abs((x**2).mean() - 1 / 5) < 4 * np.sqrt((3 / 35 - 1 / 25) / n)
    assert abs((x**3).mean()) < 4 * np.sqrt(1 / 21 / n)
    assert kstest(x, lambda t: (2 + 3 * t - t**3) / 4).pvalue > 0.001


def test_normal_is_normal() -> None:
    x = uniform_to_normal(torch.rand(200_000, generator=source())).double().numpy()
    assert kstest(x, "norm").pvalue > 0.001


def test_normal_is_symmetric_at_its_ends() -> None:
    low, high = uniform_to_normal(torch.tensor([0.0, LAST]))
    assert low == -high
    assert 5 < high < 6


# ---- allocation


@pytest.mark.parametrize("conditional", [False, True])
def test_every_row_is_drawn_as_often_as_every_other(
    sampler: SmoothedBootstrap, conditional: bool
) -> None:
    n = 30_000
    silent = without_noise(sampler)
    labels = silent.labels.repeat(n // len(silent.latents)) if conditional else None
    draws, found = silent.sample(n, labels, generator=source())
    times = times_drawn(silent, draws)
    assert chisquare(times).pvalue > 0.001
    assert torch.equal(
        found, silent.labels[(draws[:, None] == silent.latents).all(2).int().argmax(1)]
    )


def test_the_same_check_notices_an_allocation_by_leaves(sampler: SmoothedBootstrap) -> None:
    silent = without_noise(sampler)
    leaves = silent.overall.leaf.unique()
    pick = torch.randint(len(leaves), (30_000,), generator=source())
    draws = torch.stack(
        [silent.latents[(silent.overall.leaf == leaf).nonzero()[0, 0]] for leaf in leaves]
    )[pick]
    assert chisquare(times_drawn(silent, draws)).pvalue < 1e-6


def test_labels_come_in_their_real_proportions(sampler: SmoothedBootstrap) -> None:
    n = 20_000
    _, labels = sampler.sample(n, generator=source())
    expected = np.array(COUNTS) / sum(COUNTS) * n
    assert chisquare(torch.bincount(labels).numpy(), expected).pvalue > 0.001
    assert chisquare(torch.bincount(labels).numpy()).pvalue < 1e-6  # they are not even


def test_rows_beyond_the_precision_of_float32_are_within_reach() -> None:
    n = 2**25  # more rows than a float32 between 0 and 1 has values
    rows = torch.arange(n, dtype=torch.float64)[:, None]
    own = Neighbourhoods(torch.zeros(1, dtype=torch.long).expand(n), torch.zeros(1, 1).double())
    sampler = SmoothedBootstrap(rows, torch.tensor([n]), own, own, "normal", {})
    drawn = sampler.sample(2000, torch.zeros(2000, dtype=torch.long), generator=source())[0][:, 0]
    assert 850 < (drawn % 2).sum() < 1150, "odd rows are out of reach"
    assert kstest(drawn.numpy() / n, "uniform").pvalue > 0.001


# ---- given labels


def test_labels_that_are_asked_for_are_those_that_come(sampler: SmoothedBootstrap) -> None:
    asked = torch.tensor([2, 0, 1, 1, 2, 0])
    draws, labels = sampler.sample(6, asked, generator=source())
    assert torch.equal(labels, asked)
    assert draws.shape == (6, 5)
    assert draws.dtype == torch.float32


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
    options = HVRTOptions(strategy="epanechnikov", min_samples_leaf=5, n_partitions=None)
    sampler = fit_hvrt(*rows, options)
    asked = None if label is None else torch.full((1000,), label)
    leaf, scale = sampler.overall if label is None else sampler.per_class
    draws, labels = sampler.sample(1000, asked, generator=source())
    reach = scale[leaf] * (1 + 1e-5) + 1e-5
    within = ((draws[:, None] - sampler.latents).abs() <= reach).all(2)  # (1000, n)
    within &= labels[:, None] == sampler.labels
    assert within.any(1).all()
    too_wide = draws + 2 * (draws - sampler.latents[within.int().argmax(1)])
    assert not ((too_wide[:, None] - sampler.latents).abs() <= reach).all(2).any(1).all()


# ---- one stream


@settings(max_examples=40, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 70), min_size=1, max_size=6),
    conditional=st.booleans(),
    seed=st.integers(0, 1000),
)
@pytest.mark.parametrize("kind", ["epanechnikov", "bootstrap_noise", "standard_normal"])
def test_pieces_of_a_stream_are_the_whole(
    rows: tuple[Tensor, Tensor], kind: str, sizes: list[int], conditional: bool, seed: int
) -> None:
    sampler = FITTED.get(kind)
    if sampler is None:
        sampler = FITTED[kind] = (
            StandardNormal(5, torch.tensor(COUNTS))
            if kind == "standard_normal"
            else fit_hvrt(*rows, HVRTOptions(strategy=kind, min_samples_leaf=5, n_partitions=None))
        )
    n = sum(sizes)
    asked = torch.arange(n) % 3 if conditional else None
    whole, labels = sampler.sample(n, asked, generator=source(seed))
    stream = source(seed)
    pieces = [
        sampler.sample(len(place), None if asked is None else asked[place], generator=stream)
        for place in torch.arange(n).split(sizes)
    ]
    assert torch.equal(torch.cat([piece for piece, _ in pieces]), whole)
    assert torch.equal(torch.cat([found for _, found in pieces]), labels)


FITTED: dict[str, Any] = {}


@pytest.mark.parametrize("size", [999, 1024, 8192])
def test_pieces_of_a_long_stream_are_the_whole(sampler: SmoothedBootstrap, size: int) -> None:
    n = 40_000  # enough for torch to share the work among threads
    for each in (sampler, StandardNormal(5, torch.tensor(COUNTS))):
        whole, _ = each.sample(n, generator=source())
        stream = source()
        pieces = [
            each.sample(min(size, n - start), generator=stream)[0] for start in range(0, n, size)
        ]
        assert torch.equal(torch.cat(pieces), whole)


def test_other_seeds_give_other_draws(sampler: SmoothedBootstrap) -> None:
    one, _ = sampler.sample(50, generator=source(0))
    other, _ = sampler.sample(50, generator=source(1))
    assert not (one == other).any(1).any()


def test_a_second_call_goes_on_with_new_draws(sampler: SmoothedBootstrap) -> None:
    stream = source()
    one, _ = sampler.sample(50, generator=stream)
    other, _ = sampler.sample(50, generator=stream)
    assert not (one == other).any(1).any()


def test_the_global_generators_are_not_touched(
    sampler: SmoothedBootstrap, global_generators_untouched: Any
) -> None:
    with global_generators_untouched():
        sampler.sample(100, generator=source())
        sampler.sample(3, torch.tensor([0, 1, 2]), generator=source())


# ---- files


def test_a_loaded_sampler_draws_the_same(sampler: SmoothedBootstrap, tmp_path: Path) -> None:
    sampler.save(tmp_path / "one")
    loaded = SmoothedBootstrap.load(tmp_path / "one")
    for asked in (None, torch.arange(200) % 3):
        for a, b in zip(
            sampler.sample(200, asked, generator=source()),
            loaded.sample(200, asked, generator=source()),
            strict=True,
        ):
            assert torch.equal(a, b)
    assert loaded.origin == sampler.origin
    loaded.save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_the_file_says_that_it_contains_training_latents(
    sampler: SmoothedBootstrap, tmp_path: Path
) -> None:
    sampler.save(tmp_path / "sampler")
    with safetensors.safe_open(tmp_path / "sampler", framework="pt") as file:
        (header,) = (json.loads(value) for value in file.metadata().values())
    assert "latents of the training images" in header["notice"]


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.9999])
def test_a_file_cut_short_is_refused(
    sampler: SmoothedBootstrap, tmp_path: Path, share: float
) -> None:
    path = tmp_path / "sampler"
    sampler.save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match="cut short"):
        SmoothedBootstrap.load(path)


@pytest.mark.parametrize(
    "missing", ["latents", "counts", "overall.leaf", "overall.scale", "per_class.scale"]
)
def test_a_file_that_lacks_a_table_is_refused_by_name(
    sampler: SmoothedBootstrap, tmp_path: Path, missing: str
) -> None:
    sampler.save(tmp_path / "sampler")
    tensors, header = read_tensors(tmp_path / "sampler", "latent sampler")
    del tensors[missing]
    write_tensors(tmp_path / "sampler", tensors, header)
    with pytest.raises(InputError, match=f"lacks '{missing}'"):
        SmoothedBootstrap.load(tmp_path / "sampler")


# ---- what is refused


@pytest.mark.parametrize(
    ("n", "labels", "found"),
    [
        (0, None, "0 draws were asked for"),
        (-3, None, "-3 draws were asked for"),
        (0, [], "0 draws were asked for"),
        (3, [0, 1], r"\(2,\) labels were given for 3 draws"),
        (1, [0, 1], r"\(2,\) labels were given for 1 draws"),
        (2, [[0], [1]], r"\(2, 1\) labels were given"),
        (3, [0, 1, 3], "class 3 was asked for, expected one of 0 to 2"),
        (2, [-1, 0], "class -1 was asked for"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    sampler: SmoothedBootstrap, n: int, labels: list[int] | None, found: str
) -> None:
    asked = None if labels is None else torch.tensor(labels, dtype=torch.long)
    for each in (sampler, StandardNormal(5, torch.tensor(COUNTS))):
        with pytest.raises(InputError, match=found):
            each.sample(n, asked, generator=source())
