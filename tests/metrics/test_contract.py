"""What holds of every measure: what is refused, what is finite, and what changes nothing."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import ortho_group

from hvrt_diffuser import metrics
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.seeding import derive_seed
from hvrt_diffuser.metrics import samples

Array = np.ndarray[Any, np.dtype[Any]]
Measure = Callable[[Array, Array, int], Any]

MEASURES: dict[str, Measure] = {
    "attribution": lambda a, b, _: metrics.attribution(a, np.zeros(len(a), np.int64), b),
    "authenticity": lambda a, b, _: metrics.authenticity(a, b),
    "closest": lambda a, b, _: np.array(metrics.closest(a, b, 3)),
    "classifier_test": lambda a, b, seed: metrics.classifier_test(a, b, seed=seed),
    "dcr_ratio": lambda a, b, _: metrics.dcr_ratio(a, b, b + 1),
    "dcr_ratio of held-out rows": lambda a, b, _: metrics.dcr_ratio(b + 1, b, a),
    "excess_frechet": lambda a, b, seed: metrics.excess_frechet(a, b, seed=seed),
    "frechet_distance": lambda a, b, _: metrics.frechet_distance(a, b),
    "frechet_distance_at_infinity": lambda a, b, seed: metrics.frechet_distance_at_infinity(
        a, b, seed=seed
    ),
    "kernel_distance": lambda a, b, seed: metrics.kernel_distance(a, b, subset_size=5, seed=seed),
    "kernel_test": lambda a, b, seed: np.array(metrics.kernel_test(a, b, seed=seed)),
    "kolmogorov_smirnov": lambda a, b, _: metrics.kolmogorov_smirnov(a, b),
    "likelihood_gap": lambda a, b, seed: metrics.likelihood_gap(a, b, b, seed=seed),
    "manifold": lambda a, b, _: metrics.manifold(a, b, k=2),
    "mmd": lambda a, b, seed: metrics.mmd(a, b, seed=seed),
    "nearest": lambda a, b, _: np.array(metrics.nearest(a, b)),
    "nearest_neighbour_test": lambda a, b, seed: metrics.nearest_neighbour_test(a, b, seed=seed),
    "novelty": lambda a, b, _: metrics.novelty(a, b, b + 1),
    "novelty of held-out rows": lambda a, b, _: metrics.novelty(b + 1, b, a),
    "sliced_wasserstein": lambda a, b, seed: metrics.sliced_wasserstein(a, b, seed=seed),
    "vendi_score": lambda a, b, _: (metrics.vendi_score(a), metrics.vendi_score(b)),
    "wasserstein": lambda a, b, _: metrics.wasserstein(a, b),
}
# Those of two samples, and those that draw at random.
PAIRED = sorted(MEASURES.keys() - {"vendi_score"})
SEEDED = [
    "classifier_test",
    "excess_frechet",
    "frechet_distance_at_infinity",
    "kernel_distance",
    "mmd",
    "nearest_neighbour_test",
    "sliced_wasserstein",
]
# Of probabilities, of images or of distances and scores, with tests of their own.
OTHERS = {
    *("inception_score", "doubted_labels"),
    *("blurred", "closest_images", "equal_images", "near_images"),
    *("registered_nearest", "usual_distance"),
    *("copies", "mann_whitney_z", "membership", "membership_scores"),
    *("share_above", "share_below_quantile"),
}
every = pytest.mark.parametrize("name", sorted(MEASURES))


def measure(name: str, a: Array, b: Array, seed: int = 0) -> Array:
    return np.atleast_1d(np.asarray(MEASURES[name](a, b, seed), np.float64))


def pair(n: int = 40, m: int = 50, d: int = 3) -> tuple[Array, Array]:
    source = np.random.default_rng(0)
    return source.standard_normal((n, d)), 1.2 * source.standard_normal((m, d)) + 0.3


def spoilt(value: float) -> Callable[[Array], Array]:
    def spoil(x: Array) -> Array:
        x = x.copy()
        x[-1, -1] = value
        return x

    return spoil


def test_every_public_measure_is_among_them() -> None:
    functions = {n for n in metrics.__all__ if inspect.isfunction(getattr(metrics, n))}
    functions.remove("named_metrics")
    assert functions - OTHERS == {name.split(" ")[0] for name in MEASURES}


@every
@pytest.mark.parametrize("side", [0, 1])
@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda x: x[:0], id="empty"),
        pytest.param(lambda x: x[:, :0], id="no dimensions"),
        pytest.param(lambda x: x[:, 0], id="one-dimensional"),
        pytest.param(lambda x: x[:, None, None], id="images"),
        pytest.param(spoilt(np.nan), id="nan"),
        pytest.param(spoilt(np.inf), id="inf"),
        pytest.param(spoilt(-np.inf), id="-inf"),
        pytest.param(spoilt(-1e21), id="too large"),
        pytest.param(lambda x: spoilt(np.nan)(x.astype(np.float32)), id="float32 nan"),
    ],
)
def test_what_is_no_sample_is_refused_with_a_sentence(
    name: str, side: int, spoil: Callable[[Array], Array]
) -> None:
    both = list(pair())
    both[side] = spoil(both[side])
    with pytest.raises(InputError, match=r"^.+, expected .+: .+$"):
        measure(name, both[0], both[1])


@pytest.mark.parametrize("name", PAIRED)
def test_samples_of_different_dimensions_are_refused_with_their_shapes(name: str) -> None:
    a, b = pair()
    for x, y in ((a[:, :2], b), (a, b[:, :2]), (a[:, :1], b)):
        with pytest.raises(InputError, match=r"\(\d+, \d\) and \(\d+, \d\).+expected .+: .+"):
            measure(name, x, y)


# Equal rows, constant dimensions, single rows, and numbers at the ends of what there is.
ROWS = st.integers(1, 9).flatmap(
    lambda n: arrays(
        np.float64,
        (n, 2),
        elements=st.sampled_from([0.0, 0.1, -1.0, 3.0, 1e-30, 1e-170, 1e20, -1e20]),
    )
)


@every
@settings(deadline=None, max_examples=40)
@given(a=ROWS, b=ROWS)
def test_it_is_finite_or_refused_with_a_sentence(name: str, a: Array, b: Array) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            found = measure(name, a, b)
        except InputError as error:
            assert ", expected " in str(error)
        else:
            assert np.isfinite(found).all()


@every
def test_constant_dimensions_beside_others_give_what_is_finite_or_refused(name: str) -> None:
    a, b = (np.hstack([x, np.full((len(x), 2), 0.1)]) for x in pair())
    if name == "wasserstein":
        with pytest.raises(InputError, match="dimension 3 of the reference is constant"):
            measure(name, a, b)
    else:
        assert np.isfinite(measure(name, a, b)).all()


@every
def test_float32_far_from_the_origin_is_judged_in_float64(name: str) -> None:
    a, b = ((x + 1000).astype(np.float32) for x in pair())
    expected = measure(name, a.astype(np.float64), b.astype(np.float64))
    np.testing.assert_array_equal(measure(name, a, b), expected)


@every
def test_the_order_in_memory_changes_nothing_and_neither_do_bytes(name: str) -> None:
    a, b = (np.round(20 * x + 100).clip(0, 255) for x in pair())
    expected = measure(name, a, b)
    for change in (np.asfortranarray, lambda x: np.repeat(x, 2, axis=0)[::2]):
        np.testing.assert_allclose(measure(name, change(a), change(b)), expected, rtol=1e-9)
    if not name.startswith(("dcr_ratio", "novelty")):
        found = measure(name, a.astype(np.uint8), b.astype(np.uint8))
        np.testing.assert_allclose(found, expected, rtol=1e-9)


@every
def test_samples_are_left_as_they_were(name: str) -> None:
    a, b = pair()
    before = a.copy(), b.copy()
    for x in (a, b):
        x.setflags(write=False)
    measure(name, a, b)
    np.testing.assert_array_equal(a, before[0])
    np.testing.assert_array_equal(b, before[1])


@every
def test_global_generators_are_left_alone(
    name: str, global_generators_untouched: Callable[[], AbstractContextManager[None]]
) -> None:
    with global_generators_untouched():
        measure(name, *pair())


@every
def test_the_same_seed_gives_the_same_and_another_one_where_something_is_drawn(name: str) -> None:
    # More rows than set a bandwidth, and more of one than of the other.
    a, b = pair(700, 900)
    seeds = [0, 1, derive_seed(0, "a seed of 63 bits"), derive_seed(1, "a seed of 63 bits")]
    assert max(seeds) > 2**32
    found = [measure(name, a, b, seed).tobytes() for seed in seeds]
    assert [measure(name, a, b, seed).tobytes() for seed in seeds] == found
    assert len(set(found)) == (4 if name in SEEDED else 1)


def test_seeds_of_the_same_low_bits_are_different_where_a_library_takes_more() -> None:
    a, b = pair(700, 900)
    for name in ("kernel_distance", "mmd", "frechet_distance_at_infinity"):
        assert measure(name, a, b, 1).tolist() != measure(name, a, b, 1 + 2**32).tolist()


@pytest.mark.parametrize(
    "name",
    [
        "frechet_distance",
        "kernel_distance",
        "kolmogorov_smirnov",
        "mmd",
        "nearest_neighbour_test",
        "sliced_wasserstein",
    ],
)
def test_neither_sample_is_the_first(name: str) -> None:
    a, b = pair(5, 5)
    np.testing.assert_allclose(measure(name, a, b), measure(name, b, a), rtol=1e-9, atol=1e-14)


ROTATED = ["attribution", "authenticity", "dcr_ratio", "frechet_distance", "kernel_distance"]
ROTATED += ["manifold", "mmd", "nearest_neighbour_test", "novelty", "vendi_score"]


@pytest.mark.parametrize("name", ROTATED)
def test_rotating_both_samples_changes_nothing(name: str) -> None:
    a, b = pair()
    rotation = ortho_group.rvs(3, random_state=0)
    if name in ("dcr_ratio", "novelty"):

        def of_rotated(x: Array, y: Array) -> Array:
            found = getattr(metrics, name)(x, y, x[::2] + y[: len(x[::2])])
            return np.atleast_1d(found)

        np.testing.assert_allclose(of_rotated(a @ rotation, b @ rotation), of_rotated(a, b))
    else:
        found = measure(name, a @ rotation, b @ rotation)
        np.testing.assert_allclose(found, measure(name, a, b), rtol=1e-7)


@pytest.mark.parametrize(
    "name", sorted(MEASURES.keys() - {"kernel_distance", "kernel_test", "vendi_score"})
)
def test_moving_both_samples_changes_nothing(name: str) -> None:
    a, b = pair()
    found = measure(name, a + 1e4, b + 1e4)
    np.testing.assert_allclose(found, measure(name, a, b), rtol=1e-5)


@pytest.mark.parametrize(
    "name",
    sorted(
        MEASURES.keys()
        - {"attribution", "closest", "nearest"}  # of rows one by one
        - {"classifier_test", "frechet_distance_at_infinity", "kernel_distance"}  # of a part
        - {"excess_frechet", "kernel_test", "likelihood_gap"}  # of halves and permutations
    ),
)
def test_the_order_of_rows_changes_nothing(name: str) -> None:
    a, b = pair(40, 40)
    shuffle = np.random.default_rng(1).permutation
    np.testing.assert_allclose(measure(name, shuffle(a), shuffle(b)), measure(name, a, b))


@every
def test_the_bound_on_memory_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # Distances of 7 MB in 4, and the last part a smaller one.
    a, b = pair(900, 1010)
    expected = measure(name, a, b)
    monkeypatch.setattr(samples, "MEGABYTES", 2)
    np.testing.assert_allclose(measure(name, a, b), expected, rtol=1e-10, atol=1e-14)
