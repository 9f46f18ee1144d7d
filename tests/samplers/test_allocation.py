"""How draws are divided among rows and leaves: evenly, in proportion, or as hvrt does."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest
import torch
from hvrt._budgets import allocate_budgets
from scipy.stats import chisquare, pearsonr
from torch import Tensor

from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.samplers import HVRTEstimator, Neighbourhoods, ProductKernel, SmoothedBootstrap

COUNTS = (50, 100, 150)
Method = Literal["systematic", "hvrt"]
both_methods = pytest.mark.parametrize("method", ["systematic", "hvrt"])
given_or_not = pytest.mark.parametrize("conditional", [False, True], ids=["any", "labelled"])


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def rows(latents: Tensor, digits: LabelledImages) -> tuple[Tensor, Tensor]:
    """Latents of real digits of three classes, in unequal numbers and mixed order."""
    picked = torch.cat(
        [(digits.labels == c).nonzero()[:m, 0] for c, m in enumerate(COUNTS)]
    ).sort()[0]
    return latents[picked].contiguous(), digits.labels[picked]


@pytest.fixture(scope="module")
def sampler(rows: tuple[Tensor, Tensor]) -> SmoothedBootstrap:
    return HVRTEstimator(min_samples_leaf=2, tree_splitter="random").fit(*rows, seed=0)


@pytest.fixture(scope="module")
def ensemble(rows: tuple[Tensor, Tensor]) -> SmoothedBootstrap:
    estimator = HVRTEstimator(min_samples_leaf=2, tree_splitter="random", members=3)
    return estimator.fit(*rows, seed=0)


def asked(n: int, seed: int = 0) -> Tensor:
    """Classes in a random order, in proportions that are not the real ones."""
    return torch.tensor([0.5, 0.2, 0.3]).multinomial(n, replacement=True, generator=source(seed))


def expected_of(sampler: SmoothedBootstrap, n: int, labels: Tensor | None) -> Tensor:
    """The number of draws of each leaf that is in proportion to its rows, by a loop."""
    part = sampler.overall if labels is None else sampler.per_class
    expected = torch.zeros(part.n_leaves, dtype=torch.float64)
    for leaf, label in zip(part.leaf[0].tolist(), sampler.labels.tolist(), strict=True):
        if labels is None:
            expected[leaf] += n / len(sampler.latents)
        else:
            expected[leaf] += int((labels == label).sum()) / int(sampler.counts[label])
    return expected


def budgets_of(
    sampler: SmoothedBootstrap, n: int, labels: Tensor | None, method: Method, seed: int = 0
) -> Tensor:
    """The number of draws that each leaf got."""
    part = sampler.overall if labels is None else sampler.per_class
    drawn = sampler.draw(n, labels, generator=source(seed), allocation=method)
    return torch.bincount(part.leaf[0][drawn.rows], minlength=part.n_leaves)


# ---- uniform


@given_or_not
@pytest.mark.parametrize("which", ["sampler", "ensemble"])
def test_every_row_is_drawn_as_often_as_every_other(
    request: pytest.FixtureRequest, which: str, conditional: bool
) -> None:
    n = 30_000
    each: SmoothedBootstrap = request.getfixturevalue(which)
    labels = each.labels.repeat(n // len(each.latents)) if conditional else None
    drawn = each.draw(n, labels, generator=source())
    assert chisquare(torch.bincount(drawn.rows, minlength=sum(COUNTS)).numpy()).pvalue > 0.001
    assert torch.equal(each.labels[drawn.rows], drawn.labels)


def test_the_same_check_notices_draws_that_are_even_over_leaves(sampler: SmoothedBootstrap) -> None:
    leaf, n_leaves = sampler.overall.leaf[0], sampler.overall.n_leaves
    picked = torch.randint(n_leaves, (30_000,), generator=source())
    weights = torch.bincount(picked, minlength=n_leaves) / sampler.overall.sizes
    drawn = weights[leaf].double().multinomial(30_000, replacement=True, generator=source())
    assert chisquare(torch.bincount(drawn, minlength=sum(COUNTS)).numpy()).pvalue < 1e-6


# ---- both that divide


@both_methods
@given_or_not
def test_a_draw_starts_from_the_row_it_names(
    sampler: SmoothedBootstrap, method: Method, conditional: bool
) -> None:
    silent = replace(
        sampler,
        **{
            name: replace(part, kernel=ProductKernel(part.kernel.deviation() * 0, "normal"))
            for name, part in (("overall", sampler.overall), ("per_class", sampler.per_class))
        },
    )
    labels = asked(777) if conditional else None
    drawn = silent.draw(777, labels, generator=source(), allocation=method)
    assert torch.equal(drawn.latents, silent.latents[drawn.rows])
    assert torch.equal(drawn.labels, silent.labels[drawn.rows])


@both_methods
@pytest.mark.parametrize("n", [1, 10, 1000, 10_000])
def test_labels_that_are_asked_for_come_in_their_order(
    sampler: SmoothedBootstrap, method: Method, n: int
) -> None:
    labels = asked(n)
    drawn = sampler.draw(n, labels, generator=source(), allocation=method)
    assert torch.equal(drawn.labels, labels)
    assert torch.equal(sampler.labels[drawn.rows], labels)


@both_methods
@given_or_not
def test_draws_come_in_random_order(
    sampler: SmoothedBootstrap, method: Method, conditional: bool
) -> None:
    n = 5000
    labels = torch.full((n,), 2) if conditional else None
    part = sampler.per_class if conditional else sampler.overall
    drawn = sampler.draw(n, labels, generator=source(), allocation=method)
    leaf = part.leaf[0][drawn.rows].double()
    assert abs(pearsonr(np.arange(n), leaf).statistic) < 4 / np.sqrt(n)
    assert abs(pearsonr(leaf[1:], leaf[:-1]).statistic) < 4 / np.sqrt(n)


@both_methods
@given_or_not
def test_rows_of_a_leaf_are_drawn_evenly(
    sampler: SmoothedBootstrap, method: Method, conditional: bool
) -> None:
    n = 30_000
    labels = asked(n) if conditional else None
    part = sampler.per_class if conditional else sampler.overall
    drawn = sampler.draw(n, labels, generator=source(), allocation=method)
    times = torch.bincount(drawn.rows, minlength=sum(COUNTS)).numpy()
    p = [
        chisquare(times[(part.leaf[0] == leaf).numpy()]).pvalue
        for leaf in range(part.n_leaves)
        if part.sizes[leaf] > 1
    ]
    assert len(p) > 10
    assert min(p) > 0.001 / len(p)


@both_methods
def test_the_same_seed_gives_the_same_draws_and_another_seed_others(
    sampler: SmoothedBootstrap, method: Method
) -> None:
    one, same, other = (
        sampler.draw(500, generator=source(seed), allocation=method) for seed in (0, 0, 1)
    )
    assert all(torch.equal(a, b) for a, b in zip(one, same, strict=True))
    assert not torch.equal(one.rows, other.rows)


@both_methods
@given_or_not
def test_all_members_of_an_ensemble_are_drawn_from(
    ensemble: SmoothedBootstrap, method: Method, conditional: bool
) -> None:
    """Each member's leaves have a scale of their own, which tells the member of a draw."""
    n = 3000
    part = ensemble.per_class if conditional else ensemble.overall
    scale = torch.zeros(part.n_leaves, 8)
    for member, leaf in enumerate(part.leaf):
        scale[leaf] = 100.0**member
    loud = replace(part, kernel=ProductKernel(scale, "epanechnikov"))
    told = replace(ensemble, **{"per_class" if conditional else "overall": loud})
    labels = asked(n) if conditional else None
    drawn = told.draw(n, labels, generator=source(), allocation=method)
    reach = (drawn.latents - ensemble.latents[drawn.rows]).abs().amax(1)
    member = (reach > 1.01).long() + (reach > 101)
    assert chisquare(torch.bincount(member, minlength=3).numpy()).pvalue > 0.001


@both_methods
@pytest.mark.parametrize("labels", [None, [0, 0, 0, 0, 1], [1, 0]])
def test_leaves_without_rows_get_no_draws(method: Method, labels: list[int] | None) -> None:
    """As a warm start may leave them; the rows after them are those of another class."""
    leaf = torch.tensor([[0, 0, 1, 4, 4, 5]])  # 2 and 3 are empty
    without = torch.tensor([[0, 0, 1, 2, 2, 3]])
    budgets = []
    for each in (leaf, without):
        kernel = ProductKernel(torch.zeros(int(each.max()) + 1, 1), "normal")
        part = Neighbourhoods(each, kernel)
        latents = torch.arange(6.0)[:, None]
        sampler = SmoothedBootstrap(latents, torch.tensor([3, 3]), part, part, {})
        given = None if labels is None else torch.tensor(labels)
        drawn = sampler.draw(
            7 if given is None else len(given), given, generator=source(), allocation=method
        )
        assert torch.equal(sampler.labels[drawn.rows], drawn.labels)
        budgets.append(torch.bincount(without[0][drawn.rows], minlength=4).tolist())
    assert budgets[0] == budgets[1]


# ---- systematic


@given_or_not
@pytest.mark.parametrize("n", [1, 2, 7, 100, 999, 20_000])
def test_systematic_gives_each_leaf_the_floor_or_the_ceiling_of_its_expected_number(
    sampler: SmoothedBootstrap, n: int, conditional: bool
) -> None:
    labels = asked(n) if conditional else None
    expected = expected_of(sampler, n, labels)
    for seed in range(5):
        found = budgets_of(sampler, n, labels, "systematic", seed)
        assert found.sum() == n
        assert ((found - expected).abs() < 1).all()


def test_independent_draws_would_fail_that_check(sampler: SmoothedBootstrap) -> None:
    drawn = sampler.draw(20_000, generator=source())
    found = torch.bincount(sampler.overall.leaf[0][drawn.rows], minlength=sampler.overall.n_leaves)
    assert ((found - expected_of(sampler, 20_000, None)).abs() >= 1).any()


@given_or_not
def test_systematic_is_unbiased(sampler: SmoothedBootstrap, conditional: bool) -> None:
    n, seeds = 40, 4000
    labels = asked(n) if conditional else None
    expected = expected_of(sampler, n, labels)
    found = sum(
        (budgets_of(sampler, n, labels, "systematic", seed) for seed in range(seeds)),
        torch.zeros_like(expected),
    )
    share = expected - expected.floor()
    deviation = (share * (1 - share) / seeds).sqrt()
    # A leaf whose expected number is whole gets it each time, up to rounding of the sum.
    assert ((found / seeds - expected).abs() <= 4.5 * deviation + 1e-9).all()
    assert ((share > 0.05) & (share < 0.95)).sum() > 10


# ---- hvrt


@pytest.mark.parametrize("n", [1, 5, 50, 99, 300, 1234, 20_000])
def test_hvrt_budgets_are_those_of_hvrt(sampler: SmoothedBootstrap, n: int) -> None:
    sizes = sampler.overall.sizes.numpy()
    expected = allocate_budgets(sizes / sizes.sum(), n)
    assert budgets_of(sampler, n, None, "hvrt").tolist() == expected.tolist()


@pytest.mark.parametrize("n", [5, 50, 300, 1234])
def test_hvrt_budgets_of_a_class_are_those_of_hvrt(sampler: SmoothedBootstrap, n: int) -> None:
    labels = asked(n)
    found = budgets_of(sampler, n, labels, "hvrt")
    part = sampler.per_class
    for c in range(len(COUNTS)):
        own = part.leaf[0][sampler.labels == c].unique()
        sizes = part.sizes[own].numpy()
        expected = allocate_budgets(sizes / sizes.sum(), int((labels == c).sum()))
        assert found[own].tolist() == expected.tolist()


def test_hvrt_is_biased_where_systematic_is_not(sampler: SmoothedBootstrap) -> None:
    n, seeds = 60, 300
    share = sampler.overall.sizes / sum(COUNTS)
    away = {}
    for method in ("systematic", "hvrt"):
        drawn = torch.stack([budgets_of(sampler, n, None, method, seed) for seed in range(seeds)])
        away[method] = float((drawn.double().mean(0) / n - share).abs().sum() / 2)
        assert (drawn == drawn[0]).all() == (method == "hvrt"), "hvrt rounds alike for every seed"
    assert away["systematic"] < 0.03
    assert away["hvrt"] > 0.2
