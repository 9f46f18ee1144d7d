"""Warm start: new latents go through the trees that are there, and the tables follow them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hvrt import FastHVRT
from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.seeding import derive_seed
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.samplers import (
    CopulaKernel,
    CovarianceKernel,
    HVRTEstimator,
    Neighbourhoods,
    PosteriorEstimator,
    ProductKernel,
    SmoothedBootstrap,
    load_sampler,
)
from hvrt_diffuser.samplers.allocation import Allocation
from hvrt_diffuser.samplers.trees import Forest

N = 1200
STRATEGIES = ["epanechnikov", "bootstrap_noise", "multivariate_kde", "univariate_kde_copula"]
PARTITIONS: list[dict[str, Any]] = [
    {},
    {"tree_splitter": "random", "members": 2},
    {"diversity": "rows", "members": 2},
    {"diversity": "rotations", "members": 2},
]


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def estimator(**settings: Any) -> HVRTEstimator:
    return HVRTEstimator(**{"min_samples_leaf": 5} | settings)


def forest(neighbourhoods: Neighbourhoods) -> Forest:
    assert neighbourhoods.forest is not None
    return neighbourhoods.forest


def draws(sampler: SmoothedBootstrap, n: int = 2000) -> list[Tensor]:
    """With labels drawn, and with labels given; the copula's start from no row."""
    labels = torch.arange(n) % sampler.n_classes
    return [
        tensor
        for asked in (None, labels)
        for tensor in sampler.draw(n, asked, generator=source())
        if tensor is not None
    ]


def same(one: list[Tensor], two: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def tables(neighbourhoods: Neighbourhoods) -> list[Tensor]:
    """One entry a leaf, whatever the kernel."""
    kernel = neighbourhoods.kernel
    if isinstance(kernel, ProductKernel):
        return [kernel.scale]
    if isinstance(kernel, CovarianceKernel):
        return [covariances(kernel)]
    assert isinstance(kernel, CopulaKernel)
    return [covariances(kernel.copula), kernel.quantiles]


def covariances(kernel: CovarianceKernel) -> Tensor:
    pairs = zip(kernel.first.tolist(), kernel.rank.tolist(), strict=True)
    rows = [kernel.factors[first : first + rank] for first, rank in pairs]
    return torch.stack([some.T @ some for some in rows])


def finite(sampler: SmoothedBootstrap) -> bool:
    tensors = (*sampler.overall.packed()[0].values(), *sampler.per_class.packed()[0].values())
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)


@pytest.fixture(scope="module")
def old(latents: Tensor, digits: LabelledImages) -> tuple[Tensor, Tensor]:
    return latents[:N].double(), digits.labels[:N]


@pytest.fixture(scope="module")
def new(latents: Tensor, digits: LabelledImages) -> tuple[Tensor, Tensor]:
    """Other digits, a little shifted, as after some more epochs of the autoencoder."""
    return 1.1 * latents[N : 2 * N].double() + 0.2, digits.labels[N : 2 * N]


@pytest.fixture
def fitted_sets(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[int]]:
    """The sizes of the sets that trees were fitted on since."""
    fitted: list[int] = []
    plain = FastHVRT.fit

    def fit(self: Any, rows: Any, *rest: Any) -> Any:
        fitted.append(len(rows))
        return plain(self, rows, *rest)

    monkeypatch.setattr(FastHVRT, "fit", fit)
    return lambda: fitted


# ---- the same latents


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("partition", PARTITIONS)
def test_the_same_latents_give_the_same_draws_bit_for_bit(
    old: tuple[Tensor, Tensor], strategy: str, partition: dict[str, Any]
) -> None:
    for dtype in (torch.float32, torch.float64):
        z, labels = old[0].to(dtype), old[1]
        options = estimator(strategy=strategy, **partition)
        sampler = options.fit(z, labels, seed=3)
        # The seed is of trees for new classes, of which there are none.
        warm = options.refit(sampler, z, labels, seed=4)
        assert same(draws(warm), draws(sampler))
        again = options.refit(warm, z, labels)
        assert same(draws(again), draws(sampler))


def test_a_refit_fits_no_tree(
    old: tuple[Tensor, Tensor],
    new: tuple[Tensor, Tensor],
    fitted_sets: Callable[[], list[int]],
) -> None:
    sampler = estimator().fit(*old)
    assert sorted(fitted_sets()) == sorted([N, *sampler.counts.tolist()])
    fitted_sets().clear()
    estimator().refit(sampler, *new)
    assert fitted_sets() == []


def test_a_refit_leaves_the_sampler_alone(
    old: tuple[Tensor, Tensor], new: tuple[Tensor, Tensor]
) -> None:
    sampler = estimator().fit(*old)
    before = [tensor.clone() for tensor in draws(sampler)]
    origin = dict(sampler.origin)
    estimator(strategy="multivariate_kde").refit(sampler, *new)
    assert same(draws(sampler), before)
    assert sampler.origin == origin


def test_a_sampler_that_was_saved_can_be_refitted(
    old: tuple[Tensor, Tensor], new: tuple[Tensor, Tensor], tmp_path: Any
) -> None:
    options = estimator(members=2, diversity="rotations")
    sampler = options.fit(*old)
    sampler.save(tmp_path / "sampler.safetensors")
    loaded = load_sampler(tmp_path / "sampler.safetensors")
    assert isinstance(loaded, SmoothedBootstrap)
    assert same(draws(options.refit(loaded, *new)), draws(options.refit(sampler, *new)))


# ---- new latents


def by_hand(rows: Tensor, fitted_on: Tensor, *names: str | int) -> tuple[Any, Any, Any]:
    """The node of hvrt's own tree that each row reaches, and the unit of what it was fitted on."""
    random_state = derive_seed(0, "hvrt", *names) % 2**31
    model = FastHVRT(min_samples_leaf=5, random_state=random_state).fit(fitted_on.numpy())
    node = model.tree_.apply(model.scaler_.transform(rows.numpy()))
    return node, model.scaler_.scale_, model.n_partitions_


def check_scales(own: Neighbourhoods, leaf: Tensor, rows: Tensor, node: Any, unit: Any) -> None:
    kernel = own.kernel
    assert isinstance(kernel, ProductKernel)
    pairs = set(zip(leaf.tolist(), node.tolist(), strict=True))
    assert len(pairs) == len(np.unique(node)) == len(leaf.unique())
    for number, there in pairs:
        inside = rows.numpy()[node == there]
        deviation = np.maximum(inside.std(0), 0.01 * unit)
        expected = len(inside) ** (-1 / (rows.shape[1] + 4)) * deviation
        np.testing.assert_allclose(kernel.scale[number].numpy(), expected, rtol=1e-9)


def test_tables_are_those_of_the_new_rows_in_the_old_leaves(
    old: tuple[Tensor, Tensor], new: tuple[Tensor, Tensor]
) -> None:
    sampler = estimator().fit(*old)
    warm = estimator().refit(sampler, *new)
    order = torch.argsort(new[1], stable=True)
    assert torch.equal(warm.latents, new[0][order])
    assert torch.equal(warm.counts, torch.bincount(new[1]))
    node, unit, n_leaves = by_hand(warm.latents, sampler.latents, "all", 0, 0)
    assert warm.overall.n_leaves == sampler.overall.n_leaves == n_leaves
    check_scales(warm.overall, warm.overall.leaf[0], warm.latents, node, unit)
    for label in range(10):
        rows = warm.latents[warm.labels == label]
        before = sampler.latents[sampler.labels == label]
        node, unit, _ = by_hand(rows, before, "class", 0, label)
        leaf = warm.per_class.leaf[0][warm.labels == label]
        check_scales(warm.per_class, leaf, rows, node, unit)
    # It is no fit of its own, which would have other leaves.
    cold = estimator().fit(*new)
    assert (
        len(torch.stack([cold.overall.leaf[0], warm.overall.leaf[0]]).unique(dim=1)[0]) > n_leaves
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("partition", PARTITIONS)
def test_leaves_without_rows_are_never_drawn_and_nothing_is_nan(
    old: tuple[Tensor, Tensor], strategy: str, partition: dict[str, Any]
) -> None:
    options = estimator(strategy=strategy, **partition)
    sampler = options.fit(*old)
    # Rows of a corner alone: most leaves stay empty, and some keep one row, two or three.
    few = torch.cat([(old[1] == label).nonzero()[:6, 0] for label in range(10)])
    z, labels = old[0][few] * 0.5 - 1, old[1][few]
    warm = options.refit(sampler, z, labels)
    for own in (warm.overall, warm.per_class):
        assert own.n_leaves == len(own.sizes)
        assert (own.sizes == 0).sum() > 20
        assert own.sizes.sum() == z.shape[0] * len(own.leaf)
        assert set((own.sizes[own.sizes > 0]).tolist()) >= {1, 2}
    assert finite(warm)
    assert torch.isfinite(warm.overall.kernel.deviation()).all()
    # Where a draw of an empty leaf would be NaN, none is.
    poisoned = replace(
        warm, overall=without_numbers(warm.overall), per_class=without_numbers(warm.per_class)
    )
    assert not finite(poisoned)
    labels = torch.arange(4000) % 10
    for asked in (None, labels):
        assert torch.isfinite(poisoned.sample(4000, asked, generator=source())[0]).all()
        allocations: list[Allocation] = ["systematic", "hvrt"]
        for allocation in allocations:
            latents, drawn_labels, rows = poisoned.draw(
                4000,
                asked,
                generator=source(),
                allocation=allocation,
            )
            assert torch.isfinite(latents).all()
            assert (rows is None) == (strategy == "univariate_kde_copula")
            if rows is not None:
                assert torch.equal(poisoned.labels[rows], drawn_labels)


def without_numbers(own: Neighbourhoods) -> Neighbourhoods:
    """With NaN in the tables of all leaves that hold no row."""
    empty, kernel = own.sizes == 0, own.kernel
    nan = float("nan")
    if isinstance(kernel, ProductKernel):
        scale = kernel.scale.masked_fill(empty[:, None], nan)
        return replace(own, kernel=replace(kernel, scale=scale))
    if isinstance(kernel, CopulaKernel):
        quantiles = kernel.quantiles.masked_fill(empty[:, None, None], nan)
        return replace(own, kernel=replace(kernel, quantiles=quantiles))
    assert isinstance(kernel, CovarianceKernel)
    factors = torch.cat([torch.full_like(kernel.factors[:1], nan), kernel.factors])
    first = (kernel.first + 1).masked_fill(empty, 0)
    rank = kernel.rank.masked_fill(empty, 1)
    return replace(own, kernel=replace(kernel, factors=factors, first=first, rank=rank))


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_draws_after_a_refit_lie_around_the_new_rows(
    old: tuple[Tensor, Tensor], new: tuple[Tensor, Tensor], strategy: str
) -> None:
    far = (new[0] + 50, new[1])  # all beyond the last thresholds
    sampler = estimator().fit(*old)
    warm = estimator(strategy=strategy).refit(sampler, *far)
    found, labels, _ = warm.draw(4000, torch.arange(4000) % 10, generator=source())
    for label in range(10):
        own, drawn = far[0][far[1] == label], found[labels == label]
        off = (drawn.mean(0) - own.mean(0)) / own.std(0)
        # Four standard errors of the mean of 400 draws, which a kernel makes at most sqrt(2)
        # times as wide as the rows.
        assert off.abs().max() < 4 * 2**0.5 / 400**0.5


# ---- a class that the sampler does not know


@pytest.fixture(scope="module")
def nine(old: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Without the last class."""
    known = old[1] < 9
    return old[0][known], old[1][known]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("partition", PARTITIONS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_new_class_leaves_the_tables_of_the_others_bit_for_bit(
    old: tuple[Tensor, Tensor],
    nine: tuple[Tensor, Tensor],
    strategy: str,
    partition: dict[str, Any],
    dtype: torch.dtype,
) -> None:
    options = estimator(strategy=strategy, **partition)
    sampler = options.fit(nine[0].to(dtype), nine[1])
    warm = options.refit(sampler, old[0].to(dtype), old[1])
    assert warm.counts.tolist() == torch.bincount(old[1]).tolist()
    known = warm.labels < 9
    assert torch.equal(warm.latents[known], sampler.latents)
    assert torch.equal(warm.per_class.leaf[:, known], sampler.per_class.leaf)
    k = sampler.per_class.n_leaves
    for theirs, ours in zip(tables(sampler.per_class), tables(warm.per_class), strict=True):
        assert len(ours) > len(theirs) == k
        assert torch.equal(ours[:k], theirs)
    # Leaves of the new class are behind all of these, and draws of the others are as before.
    assert warm.per_class.leaf[:, ~known].min() >= k
    labels = torch.arange(2000) % 9
    one, two = (s.sample(2000, labels, generator=source())[0] for s in (sampler, warm))
    assert torch.equal(one, two)


def test_no_tree_of_a_known_class_is_fitted_again(
    old: tuple[Tensor, Tensor],
    nine: tuple[Tensor, Tensor],
    fitted_sets: Callable[[], list[int]],
) -> None:
    sampler = estimator().fit(*nine)
    fitted_sets().clear()
    estimator().refit(sampler, *old)
    assert fitted_sets() == [int((old[1] == 9).sum())]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_new_class_is_fitted_as_it_is_alone(
    old: tuple[Tensor, Tensor], nine: tuple[Tensor, Tensor], strategy: str
) -> None:
    sampler = estimator(strategy=strategy).fit(*nine)
    warm = estimator(strategy=strategy).refit(sampler, *old)
    alone = estimator(strategy=strategy).fit(old[0][old[1] == 9])
    leaf = warm.per_class.leaf[0][warm.labels == 9]
    pairs = torch.stack([leaf, alone.overall.leaf[0]]).unique(dim=1)
    assert pairs.shape[1] == alone.overall.n_leaves == len(leaf.unique())
    assert pairs.shape[1] == warm.per_class.n_leaves - sampler.per_class.n_leaves
    for ours, theirs in zip(tables(warm.per_class), tables(alone.overall), strict=True):
        torch.testing.assert_close(ours[pairs[0]], theirs[pairs[1]], rtol=1e-9, atol=1e-9)


def test_a_new_class_is_fitted_as_a_fit_of_all_would_have_fitted_it(
    old: tuple[Tensor, Tensor], nine: tuple[Tensor, Tensor]
) -> None:
    for partition in PARTITIONS[:3]:  # rotations are in units of the rows of the first fit
        options = estimator(**partition)
        warm = options.refit(options.fit(*nine, seed=5), *old, seed=5)
        cold = options.fit(*old, seed=5)
        labels = torch.full((2000,), 9)
        one, two = (s.sample(2000, labels, generator=source())[0] for s in (warm, cold))
        assert torch.equal(one, two)


def test_draws_of_a_new_class_lie_around_its_rows(
    old: tuple[Tensor, Tensor], nine: tuple[Tensor, Tensor]
) -> None:
    own, others = old[0][old[1] == 9] + 40, nine[0]
    z = torch.cat([others, own])
    labels = torch.cat([nine[1], torch.full((len(own),), 9)])
    for partition in PARTITIONS:
        options = estimator(**partition)
        warm = options.refit(options.fit(*nine), z, labels)
        found, _, rows = warm.draw(2000, torch.full((2000,), 9), generator=source())
        assert (warm.labels[rows] == 9).all()
        room = 0.5 * (own.amax(0) - own.amin(0))
        assert ((found > own.amin(0) - room) & (found < own.amax(0) + room)).all()
        assert len(rows.unique()) > 0.9 * len(own)


def test_several_new_classes_are_added_at_once_or_one_after_the_other(
    old: tuple[Tensor, Tensor],
) -> None:
    def classes(n: int) -> tuple[Tensor, Tensor]:
        return old[0][old[1] < n], old[1][old[1] < n]

    options = estimator(tree_splitter="random", members=2)
    start = options.fit(*classes(7))
    once = options.refit(start, *classes(10))
    steps = options.refit(options.refit(start, *classes(8)), *classes(10))
    for one, two in ((once.per_class, steps.per_class), (once.overall, steps.overall)):
        first, second = (
            draws(replace(once, overall=one, per_class=one)),
            draws(replace(steps, overall=two, per_class=two)),
        )
        assert same(first, second)


def test_a_sampler_of_one_class_takes_a_second(old: tuple[Tensor, Tensor]) -> None:
    options = estimator()
    first = old[1] == 0
    z, labels = old[0][old[1] < 2], old[1][old[1] < 2]
    sampler = options.fit(old[0][first])
    warm = options.refit(sampler, z, labels)
    assert warm.n_classes == 2
    for label in (0, 1):
        alone = options.fit(old[0][old[1] == label])
        leaf = warm.per_class.leaf[0][warm.labels == label]
        pairs = torch.stack([leaf, alone.overall.leaf[0]]).unique(dim=1)
        assert pairs.shape[1] == alone.overall.n_leaves
        torch.testing.assert_close(
            tables(warm.per_class)[0][pairs[0]], tables(alone.overall)[0][pairs[1]]
        )


def test_a_class_that_is_left_out_is_refused(
    old: tuple[Tensor, Tensor], nine: tuple[Tensor, Tensor]
) -> None:
    message = "latents of 9 classes were given to a sampler of 10, expected at least as many"
    refused(message, estimator(), estimator().fit(*old), *nine)


# ---- another strategy


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("partition", PARTITIONS)
def test_another_strategy_on_the_same_trees_is_as_if_fitted_with_it(
    old: tuple[Tensor, Tensor], strategy: str, partition: dict[str, Any]
) -> None:
    other = STRATEGIES[STRATEGIES.index(strategy) - 1]
    z, labels = old[0].float(), old[1]
    sampler = estimator(strategy=other, **partition).fit(z, labels)
    options = estimator(strategy=strategy, noise_scale=0.7, **partition)
    if other == "univariate_kde_copula":
        refused("no trees over all its classes", options, sampler, z, labels)
        # Without labels there is one fit, and any strategy can go on from it.
        z, labels = z[labels == 3], None
        sampler = estimator(strategy=other, **partition).fit(z)
    warm, cold = options.refit(sampler, z, labels), options.fit(z, labels)
    assert same(draws(warm), draws(cold))
    assert not torch.equal(draws(warm)[0], draws(sampler)[0])
    assert warm.origin["strategy"] == strategy
    assert warm.origin["noise_scale"] == 0.7


# ---- what is refused


def refused(message: str, options: HVRTEstimator, *arguments: Any) -> None:
    with pytest.raises(InputError, match=message) as caught:
        options.refit(*arguments)
    said = str(caught.value)
    assert "\n" not in said
    assert ". " not in said  # one sentence


@pytest.mark.parametrize(
    "change",
    [
        {"partitioner": "HVRT"},
        {"min_samples_leaf": 6},
        {"n_partitions": 30},
        {"max_depth": 9},
        {"tree_splitter": "random"},
        {"y_weight": 0.5},
        {"members": 2, "diversity": "rows"},
        {"diversity": "rotations"},
    ],
)
def test_trees_of_another_partition_are_refused(
    old: tuple[Tensor, Tensor], change: dict[str, Any]
) -> None:
    sampler = estimator().fit(old[0][:300], torch.zeros(300, dtype=torch.long))
    name = next(iter(change))
    refused(
        f"{name} .* the estimator says {change[name]}, expected the same partition",
        estimator(**change),
        sampler,
        *old,
    )


@pytest.mark.parametrize("d", [1, 7, 9])
def test_latents_of_other_dimensions_are_refused(old: tuple[Tensor, Tensor], d: int) -> None:
    sampler = estimator().fit(*old)
    z = torch.cat([old[0], old[0]], dim=1)[:, :d]
    refused(f"latents of {d} dimensions .* trees over 8", estimator(), sampler, z, old[1])


def test_a_sampler_without_trees_is_refused(old: tuple[Tensor, Tensor]) -> None:
    sampler = PosteriorEstimator().fit(*old, deviations=torch.ones_like(old[0]))
    refused("sampler", estimator(), sampler, *old)
    # Whatever the settings are: those that are None are no settings of it either.
    for change in ({"min_samples_leaf": None}, {"min_samples_leaf": None, "members": 1}):
        refused("sampler", estimator(**change), sampler, *old)


def test_latents_that_no_fit_takes_are_refused(old: tuple[Tensor, Tensor]) -> None:
    sampler = estimator().fit(*old)
    bad = old[0].clone()
    bad[17, 2] = float("nan")
    refused("first in row 17", estimator(), sampler, bad, old[1])
    refused("labels take the values", estimator(), sampler, old[0], old[1] + 1)
    labels = old[1].clone()
    labels[:1] = 10
    refused("class 10 has 1 latents, expected at least 2", estimator(), sampler, old[0], labels)
