"""One seed, split by name: known values, independent streams, no global state."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import combinations
from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kstest, pearsonr

from hvrt_diffuser.common.seeding import borrowed_seed, derive_seed, generator

SEEDS = st.integers(0, 2**63 - 1)
NAMES = st.text(st.characters(codec="ascii", exclude_characters="/"), min_size=1)


def test_seeds_are_the_same_in_every_version_and_on_every_machine() -> None:
    assert derive_seed(0, "generation") == 8367598349714360544
    assert derive_seed(7, "autoencoder", "weights") == 9159780661986894726


def test_a_stream_is_the_same_in_every_version() -> None:
    drawn = torch.randint(1000, (5,), generator=generator(0, "generation"))
    seeded = torch.Generator().manual_seed(8367598349714360544)
    assert torch.equal(drawn, torch.randint(1000, (5,), generator=seeded))


@given(seed=SEEDS, name=NAMES)
def test_a_seed_fits_every_library(seed: int, name: str) -> None:
    assert 0 <= derive_seed(seed, name) < 2**63


@given(seed=SEEDS, names=st.lists(NAMES, min_size=2, max_size=6, unique=True))
def test_other_names_give_other_seeds(seed: int, names: list[str]) -> None:
    assert len({derive_seed(seed, name) for name in names}) == len(names)


@given(seeds=st.lists(SEEDS, min_size=2, max_size=6, unique=True), name=NAMES)
def test_other_seeds_give_other_seeds_for_a_name(seeds: list[int], name: str) -> None:
    assert len({derive_seed(seed, name) for seed in seeds}) == len(seeds)


def test_streams_of_two_names_or_two_seeds_are_uncorrelated() -> None:
    sources = [generator(0, "a"), generator(0, "b"), generator(0, "a", 1), generator(1, "a")]
    drawn = [torch.rand(20_000, generator=source).numpy() for source in sources]
    pairs = list(combinations(drawn, 2))
    assert min(pearsonr(a, b).pvalue for a, b in pairs) > 0.001 / len(pairs)


def test_seeds_of_one_name_are_spread_evenly() -> None:
    seeds = np.array([derive_seed(i, "a") for i in range(5000)]) / 2**63
    assert kstest(seeds, "uniform").pvalue > 0.001


def test_a_stream_does_not_depend_on_what_else_was_drawn() -> None:
    alone = torch.rand(4, generator=generator(3, "a"))
    other = generator(3, "b")
    torch.rand(100, generator=other)
    assert torch.equal(alone, torch.rand(4, generator=generator(3, "a")))


def test_the_global_generators_are_not_touched(global_generators_untouched: Any) -> None:
    with global_generators_untouched():
        torch.rand(10, generator=generator(0, "a"))


def test_initial_weights_come_from_a_borrowed_seed(global_generators_untouched: Any) -> None:
    with global_generators_untouched():
        with borrowed_seed(3, "a"):
            first = torch.nn.Linear(4, 4).weight
        with borrowed_seed(3, "b"):
            other = torch.nn.Linear(4, 4).weight
        torch.rand(5, generator=generator(0, "a"))
        with borrowed_seed(3, "a"):
            again = torch.nn.Linear(4, 4).weight
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_threads_borrow_one_after_the_other() -> None:
    def weights(seed: int) -> float:
        with borrowed_seed(seed, "a"):
            return sum(torch.nn.Linear(30, 30).weight.sum().item() for _ in range(50))

    expected = [weights(seed % 4) for seed in range(32)]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(weights, (seed % 4 for seed in range(32)))) == expected
