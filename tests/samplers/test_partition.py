"""Leaves are hvrt's own, new rows are routed as its trees route them, and members differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import hvrt
import numpy as np
import pytest
import torch
from pydantic import ValidationError
from scipy.stats import binomtest, chisquare, ks_2samp
from sklearn.metrics import adjusted_rand_score
from torch import Tensor

from hvrt_diffuser.common.seeding import derive_seed
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.samplers import HVRTEstimator, Neighbourhoods, ProductKernel, SmoothedBootstrap
from hvrt_diffuser.samplers.trees import Forest

N = 600  # trees by absolute errors take a time that grows with its square
PARTITIONERS = ["FastHVRT", "HVRT", "FastHART", "HART", "PyramidHART"]
Array = np.ndarray[Any, np.dtype[Any]]


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def estimator(**settings: Any) -> HVRTEstimator:
    return HVRTEstimator(**{"min_samples_leaf": 5} | settings)


def hvrt_model(rows: Tensor, labels: Tensor | None, random_state: int = 0, **settings: Any) -> Any:
    """The one of hvrt itself, with the same settings under the same names."""
    settings = {"min_samples_leaf": 5} | settings
    model = getattr(hvrt, settings.pop("partitioner", "FastHVRT"))(
        **settings, random_state=random_state
    )
    y = labels.double().numpy() if settings.get("y_weight") and labels is not None else None
    return model.fit(rows.double().numpy(), y)


def same_grouping(one: Any, two: Any) -> bool:
    """That both tell the same rows apart, whatever they call the groups."""
    pairs = np.unique(np.stack([np.asarray(one), np.asarray(two)]), axis=1).shape[1]
    return pairs == len(np.unique(one)) == len(np.unique(two))


def numbers(latents: Tensor, model: Any) -> Array:
    """The node of hvrt's tree that each row comes to."""
    return np.asarray(model.tree_.apply(model.scaler_.transform(latents.double().numpy())))


def forest(neighbourhoods: Neighbourhoods) -> Forest:
    assert neighbourhoods.forest is not None
    return neighbourhoods.forest


def per_tree(sampler: SmoothedBootstrap) -> list[tuple[str, int, Tensor, Tensor, Tensor]]:
    """Name and number of each tree, the rows and labels it was fitted on, and their leaves."""
    trees = [("all", 0, sampler.latents, sampler.labels, sampler.overall.leaf[0])]
    for label in range(sampler.n_classes):
        inside = sampler.labels == label
        own = sampler.per_class.leaf[0][inside]
        trees.append(("class", label, sampler.latents[inside], sampler.labels[inside], own))
    return trees


# ---- the leaves are hvrt's


def leaves_are_those_of_hvrt(sampler: SmoothedBootstrap, **settings: Any) -> bool:
    return all(
        same_grouping(
            leaf,
            hvrt_model(
                rows, labels, derive_seed(7, "hvrt", name, 0, which) % 2**31, **settings
            ).partition_ids_,
        )
        for name, which, rows, labels, leaf in per_tree(sampler)
    )


@pytest.mark.parametrize("partitioner", PARTITIONERS)
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"min_samples_leaf": None},
        {"min_samples_leaf": 17},
        {"n_partitions": 13},
        {"max_depth": 3},
        {"tree_splitter": "random"},
        {"y_weight": 0.5},
        {"y_weight": 1.0, "n_partitions": 9},
    ],
    ids=["plain", "automatic", "large", "few", "shallow", "random", "labels", "labels alone"],
)
def test_leaves_are_those_of_hvrt_with_the_same_settings(
    latents: Tensor, digits: LabelledImages, partitioner: str, settings: dict[str, Any]
) -> None:
    # Three classes, so that each has rows enough to be divided.
    chosen = (digits.labels < 3).nonzero()[:N, 0]
    z, labels = latents[chosen], digits.labels[chosen]
    settings = {"partitioner": partitioner} | settings
    sampler = estimator(**settings).fit(z, labels, seed=7)
    assert sampler.overall.n_leaves > 4
    assert leaves_are_those_of_hvrt(sampler, **settings)


def test_the_comparison_notices_another_setting(latents: Tensor, digits: LabelledImages) -> None:
    z, labels = latents[:N], digits.labels[:N]
    sampler = estimator(tree_splitter="random").fit(z, labels, seed=7)
    assert leaves_are_those_of_hvrt(sampler, tree_splitter="random")
    others: list[dict[str, Any]] = [
        {},
        {"tree_splitter": "random", "min_samples_leaf": 6},
        {"tree_splitter": "random", "partitioner": "HVRT"},
        {"tree_splitter": "random", "y_weight": 0.5},
    ]
    for settings in others:
        assert not leaves_are_those_of_hvrt(sampler, **settings)


@pytest.mark.parametrize("partitioner", PARTITIONERS)
def test_partitioners_divide_the_rows_differently(latents: Tensor, partitioner: str) -> None:
    ours = estimator(partitioner=partitioner).fit(latents[:N]).overall.leaf[0]
    for other in set(PARTITIONERS) - {partitioner}:
        model = hvrt_model(latents[:N], None, partitioner=other)
        assert not same_grouping(ours, model.partition_ids_)


def test_settings_bound_the_leaves(latents: Tensor, digits: LabelledImages) -> None:
    z, labels = latents[:3000], digits.labels[:3000]
    for settings, most, least in (
        ({"n_partitions": 40}, 40, 5),
        ({"max_depth": 4}, 16, 5),
        ({"min_samples_leaf": 50}, 60, 50),
        ({"n_partitions": 2}, 2, 5),
    ):
        sampler = estimator(**settings).fit(z, labels)
        assert 2 <= sampler.overall.n_leaves <= most
        assert sampler.per_class.n_leaves <= most * 10
        assert sampler.overall.sizes.min() >= least
        assert sampler.per_class.sizes.min() >= least


def test_labels_as_numbers_change_the_joint_tree_alone(
    latents: Tensor, digits: LabelledImages
) -> None:
    z, labels = latents[:N], digits.labels[:N]
    plain = estimator().fit(z, labels)
    weighted = estimator(y_weight=0.5).fit(z, labels)
    assert not same_grouping(plain.overall.leaf[0], weighted.overall.leaf[0])
    # Within a class the number is the same for all, and says nothing.
    assert same_grouping(plain.per_class.leaf[0], weighted.per_class.leaf[0])


def test_a_random_tree_depends_on_the_seed_and_the_best_does_not(latents: Tensor) -> None:
    for splitter, depends in (("random", True), ("best", False)):
        leaves = [
            estimator(tree_splitter=splitter).fit(latents[:N], seed=seed).overall.leaf[0]
            for seed in (0, 1)
        ]
        assert same_grouping(*leaves) != depends


# ---- new rows


def near_thresholds(model: Any, rows: Tensor) -> Tensor:
    """Rows at each threshold of a tree: on it, and one float64 and one float32 to either side."""
    tree, scaler = model.tree_.tree_, model.scaler_
    center = scaler.mean_ if hasattr(scaler, "mean_") else scaler.center_
    passed = model.tree_.decision_path(scaler.transform(rows.double().numpy())).toarray()
    made = []
    for node in np.flatnonzero(tree.children_left >= 0):
        j, threshold = tree.feature[node], tree.threshold[node]
        single = np.float32(threshold)
        for value in (
            threshold,
            np.nextafter(threshold, np.inf),
            np.nextafter(threshold, -np.inf),
            np.float64(np.nextafter(single, np.float32(np.inf))),
            np.float64(np.nextafter(single, np.float32(-np.inf))),
        ):
            row = rows[passed[:, node].argmax()].double().clone()  # it comes by this node
            row[j] = value * scaler.scale_[j] + center[j]
            made.append(row)
    return torch.stack(made)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("partitioner", PARTITIONERS)
def test_new_rows_take_the_way_through_the_tree_that_scikit_learn_takes(
    latents: Tensor, partitioner: str, dtype: torch.dtype
) -> None:
    old, new = latents[:N].to(dtype), latents[N:].to(dtype)
    sampler = estimator(partitioner=partitioner).fit(old)
    # With its seed, too: of two dimensions that divide the rows alike, it chooses one.
    seed = derive_seed(0, "hvrt", "all", 0, 0) % 2**31
    model = hvrt_model(old, None, seed, partitioner=partitioner)
    assert same_grouping(sampler.overall.leaf[0], model.partition_ids_)
    # From hvrt's node to the number of the leaf here, as the rows of the fit have it.
    number = dict(zip(model.partition_ids_.tolist(), sampler.overall.leaf[0].tolist(), strict=True))
    trees = forest(sampler.overall)
    edges = near_thresholds(model, old).to(dtype)
    for rows in (new, 100 * new, -new, edges):
        found = trees.route(rows, torch.zeros(len(rows), dtype=torch.long))
        assert found.shape == (1, len(rows))
        assert found[0].tolist() == [number[node] for node in numbers(rows, model).tolist()]


def test_rows_beside_a_threshold_go_to_both_of_its_sides(latents: Tensor) -> None:
    # Else the test above would not see how rows on a threshold are compared.
    model = hvrt_model(latents[:N], None)
    edges = near_thresholds(model, latents[:N])
    sides = numbers(edges, model).reshape(-1, 5)
    assert (np.ptp(sides, axis=1) > 0).all()


def test_new_rows_go_through_the_trees_of_their_own_class(
    latents: Tensor, digits: LabelledImages
) -> None:
    z, labels = latents[:2000], digits.labels[:2000]
    sampler = estimator().fit(z, labels)
    new, group = latents[2000:], digits.labels[2000:]
    trees = forest(sampler.per_class)
    found = trees.route(new, group)[0]
    for label in range(10):
        seed = derive_seed(0, "hvrt", "class", 0, label) % 2**31
        model = hvrt_model(z[labels == label], None, seed)
        leaf = sampler.per_class.leaf[0][sampler.labels == label]
        number = dict(zip(model.partition_ids_.tolist(), leaf.tolist(), strict=True))
        expected = [number[node] for node in numbers(new[group == label], model).tolist()]
        assert found[group == label].tolist() == expected
    assert (trees.group_of_leaf()[found] == group).all()


def test_a_leaf_belongs_to_the_group_whose_rows_it_holds(
    latents: Tensor, digits: LabelledImages
) -> None:
    sampler = estimator(members=3, tree_splitter="random").fit(latents[:N], digits.labels[:N])
    groups = forest(sampler.per_class).group_of_leaf()
    for leaf in sampler.per_class.leaf:
        assert torch.equal(groups[leaf], sampler.labels)


@pytest.mark.parametrize("diversity", ["splitter", "rows", "rotations"])
def test_rows_of_the_fit_come_back_to_their_leaves(
    latents: Tensor, digits: LabelledImages, diversity: str
) -> None:
    settings = {"members": 3, "diversity": diversity, "tree_splitter": "random"}
    sampler = estimator(**settings).fit(latents[:N], digits.labels[:N])
    zeros = torch.zeros_like(sampler.labels)
    for own, group in ((sampler.overall, zeros), (sampler.per_class, sampler.labels)):
        assert torch.equal(forest(own).route(sampler.latents, group), own.leaf)
        # One row at a time, so that no row's way depends on those beside it.
        for i in range(0, N, 97):
            alone = forest(own).route(sampler.latents[i : i + 1], group[i : i + 1])
            assert torch.equal(alone, own.leaf[:, i : i + 1])


def test_routing_does_not_depend_on_how_many_rows_come_together(latents: Tensor) -> None:
    sampler = estimator().fit(latents[:N])
    rows = latents.repeat(14, 1)  # more than go through the trees at once
    assert len(rows) > 65_536
    found = forest(sampler.overall).route(rows, torch.zeros(len(rows), dtype=torch.long))
    assert torch.equal(found, found[:, : len(latents)].repeat(1, 14))


# ---- threads


@contextmanager
def threads(n: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("diversity", ["splitter", "rows", "rotations"])
def test_the_number_of_threads_does_not_change_the_fit(
    latents: Tensor, digits: LabelledImages, diversity: str
) -> None:
    options = estimator(members=2, diversity=diversity, tree_splitter="random")
    fits = []
    for n in (1, 2):
        with threads(n):
            fits.append(options.fit(latents[:1500], digits.labels[:1500]))
    for part in ("overall", "per_class"):
        one, two = (getattr(sampler, part).packed()[0] for sampler in fits)
        assert one.keys() == two.keys()
        assert [name for name in one if not torch.equal(one[name], two[name])] == []


# ---- members


MEMBERS = [
    pytest.param({"diversity": "splitter", "tree_splitter": "random"}, id="splitter"),
    pytest.param({"diversity": "rows"}, id="rows"),
    pytest.param({"diversity": "rotations"}, id="rotations"),
    pytest.param({"diversity": "rows", "tree_splitter": "random"}, id="random rows"),
]


@pytest.mark.parametrize("settings", MEMBERS)
def test_members_divide_the_rows_differently(
    latents: Tensor, digits: LabelledImages, settings: dict[str, Any]
) -> None:
    sampler = estimator(members=3, **settings).fit(latents[:2000], digits.labels[:2000])
    for own in (sampler.overall, sampler.per_class):
        assert own.leaf.shape == (3, 2000)
        assert own.n_leaves == len(own.leaf.unique())
        # A number belongs to one member.
        assert sum(len(leaf.unique()) for leaf in own.leaf) == own.n_leaves
    for i, j in ((0, 1), (0, 2), (1, 2)):
        alike = adjusted_rand_score(sampler.overall.leaf[i], sampler.overall.leaf[j])
        assert alike < 0.9
        for label in range(10):
            inside = sampler.labels == label
            leaves = sampler.per_class.leaf[:, inside]
            assert adjusted_rand_score(leaves[i], leaves[j]) < 0.9


def test_members_of_one_tree_are_refused() -> None:
    with pytest.raises(ValidationError, match="would all be one tree: set tree_splitter"):
        estimator(members=2, diversity="splitter", tree_splitter="best")
    estimator(members=1, diversity="splitter", tree_splitter="best")


@pytest.mark.parametrize(
    "change",
    [
        {"members": 0},
        {"diversity": "noise"},
        {"partitioner": "KMeans"},
        {"y_weight": 1.1},
        {"max_depth": 0},
        {"tree_splitter": "worst"},
    ],
)
def test_settings_without_a_meaning_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        estimator(**change)


@pytest.mark.parametrize("settings", MEMBERS)
def test_the_table_of_every_member_is_that_of_its_own_leaves(
    latents: Tensor, settings: dict[str, Any]
) -> None:
    # Rows drawn with replacement and rotations shape the tree; the kernel sees all rows, as is.
    z = latents[:N].double()
    sampler = estimator(members=3, **settings).fit(z)
    kernel = sampler.overall.kernel
    assert isinstance(kernel, ProductKernel)
    for leaf in sampler.overall.leaf:
        for number in leaf.unique():
            rows = z[leaf == number].numpy()
            deviation = np.maximum(rows.std(0), 0.01 * z.numpy().std(0))
            expected = len(rows) ** (-1 / 12) * deviation
            np.testing.assert_allclose(kernel.scale[number], expected, rtol=1e-9)


def spread_by_member(sampler: SmoothedBootstrap) -> SmoothedBootstrap:
    """Noise of member i as wide as 10^i in all leaves, so that a draw says whose it is."""

    def change(own: Neighbourhoods) -> Neighbourhoods:
        kernel = own.kernel
        assert isinstance(kernel, ProductKernel)
        scale = torch.empty_like(kernel.scale)
        for member, leaf in enumerate(own.leaf):
            scale[leaf.unique()] = 10.0**member
        return replace(own, kernel=replace(kernel, scale=scale))

    return replace(sampler, overall=change(sampler.overall), per_class=change(sampler.per_class))


def member_of(moved: Tensor) -> Tensor:
    """The widest of eight Epanechnikov draws is below a tenth once in 10^6."""
    return moved.abs().amax(1).log10().ceil().long().clamp(min=0)


@pytest.mark.parametrize("members", [2, 3])
@pytest.mark.parametrize("allocation", ["uniform", "systematic"])
def test_every_member_is_drawn_as_often_whatever_the_row(
    latents: Tensor, digits: LabelledImages, members: int, allocation: Any
) -> None:
    options = estimator(members=members, tree_splitter="random")
    sampler = spread_by_member(options.fit(latents[:N].double(), digits.labels[:N]))
    for asked in (None, torch.arange(30_000) % 10):
        drawn = sampler.draw(30_000, asked, generator=source(), allocation=allocation)
        member = member_of(drawn.latents - sampler.latents[drawn.rows])
        count = torch.bincount(member, minlength=members)
        assert len(count) == members
        assert chisquare(count).pvalue > 0.01
        # Independent of the row: neither its class nor its parity says anything of the member.
        for half in (drawn.rows % 2 == 0, drawn.labels < 5, drawn.rows < N // 4):
            inside = torch.bincount(member[half], minlength=members)
            assert chisquare(inside).pvalue > 0.001
        # Nor does the draw before.
        again = int((member[1:] == member[:-1]).sum())
        assert binomtest(again, len(member) - 1, 1 / members).pvalue > 0.001


@pytest.mark.parametrize("settings", MEMBERS)
def test_draws_of_two_members_are_half_of_each(latents: Tensor, settings: dict[str, Any]) -> None:
    z = latents[:N].double()
    sampler = estimator(members=2, **settings).fit(z)

    def draws(own: Neighbourhoods, seed: int, n: int) -> Tensor:
        alone = replace(sampler, overall=own)
        drawn = alone.draw(n, generator=source(seed))
        return drawn.latents - sampler.latents[drawn.rows]

    def moved(values: Tensor) -> Array:
        return (values / z.std(0)).abs().numpy()

    def smallest_p(one: Array, two: Array) -> float:
        return len(one.T) * min(ks_2samp(a, b).pvalue for a, b in zip(one.T, two.T, strict=True))

    single = [replace(sampler.overall, leaf=leaf[None]) for leaf in sampler.overall.leaf]
    # One member's leaves wider than the other's, or both would look alike.
    kernel = sampler.overall.kernel
    assert isinstance(kernel, ProductKernel)
    scale = kernel.scale.clone()
    scale[sampler.overall.leaf[1].unique()] *= 1.5
    wide = replace(kernel, scale=scale)
    both = moved(draws(replace(sampler.overall, kernel=wide), 0, 40_000))
    first, second = (
        moved(draws(replace(own, kernel=wide), seed, 20_000))
        for seed, own in enumerate(single, start=1)
    )
    assert smallest_p(both, np.vstack([first, second])) > 0.01
    assert smallest_p(both, first) < 1e-4
    assert smallest_p(both, second) < 1e-4


@pytest.mark.parametrize("members", [1, 4])
def test_a_member_does_not_depend_on_how_many_there_are(latents: Tensor, members: int) -> None:
    options = {"tree_splitter": "random", "diversity": "splitter"}
    two = estimator(members=2, **options).fit(latents[:N]).overall.leaf
    others = estimator(members=members, **options).fit(latents[:N]).overall.leaf
    assert torch.equal(others[0], two[0])


# ---- trees fitted on some of the rows


def test_a_limit_beyond_the_rows_changes_nothing(latents: Tensor, digits: LabelledImages) -> None:
    z, labels = latents[:900], digits.labels[:900]
    leaves = [
        HVRTEstimator(min_samples_leaf=5, tree_rows=limit).fit(z, labels).overall.leaf
        for limit in (None, 900, 100_000)
    ]
    assert torch.equal(leaves[0], leaves[1])
    assert torch.equal(leaves[0], leaves[2])


def test_all_rows_go_through_a_tree_that_was_fitted_on_some(
    latents: Tensor, digits: LabelledImages
) -> None:
    options = HVRTEstimator(min_samples_leaf=5, tree_rows=500)
    one, again, other = (options.fit(latents, digits.labels, seed=seed) for seed in (0, 0, 1))
    for sampler in (one, other):
        forest = sampler.overall.forest
        assert forest is not None
        # As many leaves as 500 rows make, each with five of them and ten times as many in all.
        assert 20 < sampler.overall.n_leaves <= 100
        assert sampler.overall.sizes.min() >= 5
        assert sampler.overall.sizes.sum() == len(latents)
        group = torch.zeros(len(latents), dtype=torch.long)
        assert torch.equal(forest.route(sampler.latents, group), sampler.overall.leaf)
    assert torch.equal(one.overall.leaf, again.overall.leaf)
    assert not torch.equal(one.overall.leaf, other.overall.leaf)


def test_bandwidths_are_those_of_all_rows_in_a_leaf(latents: Tensor) -> None:
    sampler = HVRTEstimator(min_samples_leaf=5, tree_rows=500).fit(latents)
    kernel = sampler.overall.kernel
    assert isinstance(kernel, ProductKernel)
    for leaf in range(0, sampler.overall.n_leaves, 7):
        rows = sampler.latents[sampler.overall.leaf[0] == leaf].double()
        floor = 0.01 * latents.double().std(0, unbiased=False)
        deviation = torch.maximum(rows.std(0, unbiased=False), floor)
        expected = len(rows) ** (-1 / 12) * deviation
        torch.testing.assert_close(kernel.scale[leaf].double(), expected, rtol=1e-5, atol=0)
