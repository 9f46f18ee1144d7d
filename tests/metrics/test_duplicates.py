"""Copies: the search gives what comparing every pair at every shift gives."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.metrics import duplicates
from hvrt_diffuser.metrics.duplicates import equal_images, near_images, usual_distance


def registered(a: Tensor, b: Tensor) -> float:
    """The middle of a against every window of b."""
    h, w = a.shape[1:]
    x = a[:, 2 : h - 2, 2 : w - 2].double() / 255
    return min(
        float((x - b[:, i : i + h - 4, j : j + w - 4].double() / 255).square().sum().sqrt())
        for i, j in itertools.product(range(5), repeat=2)
    )


@pytest.fixture(scope="module")
def images(digits: LabelledImages) -> Tensor:
    """60 digits; the last 20 are copies of the first, with a little noise, rolled."""
    first = digits.images[:40]
    source = torch.Generator().manual_seed(0)
    noise = torch.randint(0, 12, first[:20].shape, generator=source)
    rolled = torch.stack(
        [
            image.roll((i % 5 - 2, i // 4 - 2), (1, 2))
            for i, image in enumerate((first[:20] + noise).clamp(0, 255).to(torch.uint8))
        ]
    )
    return torch.cat([first, rolled])


def test_near_pairs_are_those_of_every_pair_at_every_shift(images: Tensor) -> None:
    usual = usual_distance(images[:40], seed=0)
    radius = usual.registered / 4
    found = near_images(images, radius=radius, usual=usual)
    every = {
        (i, j): distance
        for i, j in itertools.combinations(range(len(images)), 2)
        if (distance := registered(images[i], images[j])) < radius
    }
    assert every.keys() >= {(i, 40 + i) for i in range(20)}
    assert set(zip(found.first.tolist(), found.second.tolist(), strict=True)) == every.keys()
    assert (np.diff(found.distance) >= 0).all()
    for i, j, distance in zip(*found, strict=True):
        assert distance == pytest.approx(every[int(i), int(j)], rel=1e-4)


def test_pairs_across_two_sets(images: Tensor) -> None:
    usual = usual_distance(images[:40], seed=0)
    found = near_images(images[40:], images[:40], radius=usual.registered / 4, usual=usual)
    assert {(i, i) for i in range(20)} <= set(zip(*map(np.ndarray.tolist, found[:2]), strict=True))
    assert len(found.first) < 25


def test_how_far_images_usually_are(images: Tensor) -> None:
    queries, others = images[:10], images[20:40]
    expected = [min(registered(a, b) for b in others) for a in queries]
    found = usual_distance(queries, others, seed=0)
    assert found.registered == pytest.approx(np.median(expected), rel=0.05)  # among candidates
    assert found.registered >= np.median(expected) * (1 - 1e-6)


def test_chunks_change_nothing(images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    usual = usual_distance(images[:40], seed=0)
    whole = near_images(images, radius=2.0, usual=usual)
    monkeypatch.setattr(duplicates, "ROWS", 7)
    monkeypatch.setattr(duplicates, "AT_ONCE", 11)
    monkeypatch.setattr(duplicates, "PIXELS", 5000)
    parts = near_images(images, radius=2.0, usual=usual)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)


def test_some_images_find_the_pairs_that_they_are_in(images: Tensor) -> None:
    usual = usual_distance(images[:40], seed=0)
    twins = torch.cat([images, images.roll(1, 3)])
    whole = near_images(twins, radius=2.0, usual=usual)
    asked = torch.arange(3, len(twins), 4)
    found = near_images(twins, radius=2.0, usual=usual, asked=asked)
    pairs, all_pairs = (
        list(zip(each.first.tolist(), each.second.tolist(), strict=True)) for each in (found, whole)
    )
    with_one = {pair for pair in all_pairs if set(pair) & set(asked.tolist())}
    assert {(i, i + len(images)) for i in range(len(images)) if i % 4 == 3} <= set(pairs)
    assert len(set(pairs)) == len(pairs)
    assert with_one <= set(pairs)


def test_descriptors_are_no_farther_apart_than_images_at_any_cyclic_shift(images: Tensor) -> None:
    described = duplicates._describe(images)
    a, b = images[:20, 0].double() / 255, images[20:40, 0].double() / 255
    bound = (described[:20] - described[20:40]).norm(dim=1)
    for shifts in ((0, 0), (1, 0), (-3, 7), (14, 14)):
        distance = (a - b.roll(shifts, (1, 2))).flatten(1).norm(dim=1)
        assert (bound <= distance + 1e-4).all()
    rolled = duplicates._describe(images.roll((3, -2), (2, 3)))
    torch.testing.assert_close(rolled, described, atol=1e-4, rtol=1e-4)


def test_equal_images_are_named_with_the_first_of_them(digits: LabelledImages) -> None:
    few = digits.images[:5]
    found = equal_images(few[[0, 1, 0, 2, 1, 0]])
    assert found.first.tolist() == [2, 4, 5]
    assert found.second.tolist() == [0, 1, 0]
    assert found.distance.tolist() == [0, 0, 0]
    across = equal_images(few[[3, 1, 4]], few[[0, 1, 1, 3]])
    assert (across.first.tolist(), across.second.tolist()) == ([0, 1], [3, 1])
    assert len(equal_images(few).first) == 0
