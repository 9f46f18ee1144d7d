"""Smoothed bootstraps on given leaves."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.samplers import HVRTEstimator, SmoothedBootstrapEstimator
from hvrt_diffuser.samplers.leaves import Leaves
from hvrt_diffuser.samplers.smoothing import k_means_leaves


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def rows(latents: Tensor, digits: LabelledImages) -> tuple[Tensor, Tensor]:
    order = torch.randperm(1500, generator=source())
    return latents[:1500][order], digits.labels[:1500][order]


def test_on_the_leaves_of_a_tree_it_is_hvrt(rows: tuple[Tensor, Tensor]) -> None:
    latents, labels = rows
    hvrt = HVRTEstimator().fit(latents, labels)
    ours = SmoothedBootstrapEstimator(leaves="tree").fit(latents, labels)
    one, other = (s.draw(500, generator=source()) for s in (hvrt, ours))
    for mine, theirs in zip(one, other, strict=True):
        assert mine is not None and theirs is not None
        assert torch.allclose(mine.double(), theirs.double(), atol=1e-5)


def test_a_row_and_its_label_stay_together(rows: tuple[Tensor, Tensor]) -> None:
    latents, labels = rows
    sampler = SmoothedBootstrapEstimator(leaves="class", noise_scale=0).fit(latents, labels)
    drawn, found = sampler.sample(300, generator=source())
    for z, label in zip(drawn, found, strict=True):
        assert label in labels[(latents == z).all(1)]


def test_a_kernel_adds_variance_and_shrunk_rows_give_it_back(
    rows: tuple[Tensor, Tensor],
) -> None:
    latents, labels = rows
    sampler, kept = (
        SmoothedBootstrapEstimator(
            leaves="class", noise_scale=1.2, preserve_variance=preserved
        ).fit(latents, labels)
        for preserved in (False, True)
    )
    real = Leaves(labels[None], 10).deviation(latents.double())
    ratios = []
    for each in (sampler, kept):
        drawn, found = each.sample(100_000, generator=source())
        ratios.append(Leaves(found[None], 10).deviation(drawn.double()) / real)
    assert ratios[0].min() > 1.02
    assert (ratios[1] - 1).abs().max() < 0.03


def test_k_means_makes_leaves_of_rows_that_are_close(rows: tuple[Tensor, Tensor]) -> None:
    latents, _ = rows
    leaf = k_means_leaves(latents, 40, seed=0)
    found = leaf.unique()
    assert torch.equal(found, torch.arange(len(found)))
    assert 20 < len(found) <= 40
    shuffled = leaf[torch.randperm(len(leaf), generator=source())]
    spread = [
        Leaves(each[None], len(found)).deviation(latents.double())[each].square().mean()
        for each in (leaf, shuffled)
    ]
    assert spread[0] < 0.6 * spread[1]
    assert torch.equal(leaf, k_means_leaves(latents, 40, seed=0))


def test_the_controls_have_as_many_leaves_as_they_say(rows: tuple[Tensor, Tensor]) -> None:
    found = {
        leaves: SmoothedBootstrapEstimator(leaves=leaves).fit(*rows).overall.sizes
        for leaves in ("one", "class", "tree", "shuffled", "k_means")
    }
    assert found["one"].tolist() == [1500]
    assert torch.equal(found["class"], torch.bincount(rows[1]))
    assert torch.equal(found["shuffled"], found["tree"])
    assert len(found["tree"]) * 0.9 < len(found["k_means"]) <= len(found["tree"])


def test_the_leaves_are_those_of_one_tree() -> None:
    with pytest.raises(ValidationError, match="leave members at 1"):
        SmoothedBootstrapEstimator(members=2, diversity="rows")
