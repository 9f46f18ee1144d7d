"""Nodes of the phases: which images are known at first, and what a warm start keeps."""

from __future__ import annotations

import pytest
import torch

from hvrt_diffuser.catalog.latents import latents_to_table
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.pipelines.hvrt_fitting.parameters import HVRTFittingOptions
from hvrt_diffuser.pipelines.phase3.nodes import refit, take_known
from hvrt_diffuser.pipelines.phase3.parameters import WarmStartOptions
from hvrt_diffuser.samplers import SmoothedBootstrap, StandardNormal

OPTIONS = WarmStartOptions(
    n=10, compared=5, seeds=1, known=0.3, epochs=1, learning_rate=1e-3, device=None
)
HVRT = HVRTFittingOptions(min_samples_leaf=5)


def test_the_known_images_are_a_share_of_each_class(digits: LabelledImages) -> None:
    train = digits[torch.arange(1000)]
    known = take_known(train, OPTIONS, seed=0)
    of_all, of_known = (torch.bincount(images.labels) for images in (train, known))
    assert ((of_known - 0.3 * of_all).abs() <= 0.5).all()
    held = {image.numpy().tobytes() for image in train.images}
    assert all(image.numpy().tobytes() in held for image in known.images)
    assert torch.equal(known.images, take_known(train, OPTIONS, seed=0).images)
    assert not torch.equal(known.images, take_known(train, OPTIONS, seed=1).images)


def test_a_warm_start_keeps_the_trees_and_takes_all_latents() -> None:
    source = torch.Generator().manual_seed(0)
    latents = torch.randn(600, 4, generator=source)
    labels = torch.arange(600) % 3
    known = HVRT.fit(latents[:300], labels[:300])
    table = latents_to_table(latents, labels)
    table.attrs["autoencoder"] = "tuned"
    warm = refit(table, known, HVRT, seed=0)
    assert isinstance(warm, SmoothedBootstrap)
    assert len(warm.latents) == 600
    assert warm.origin["autoencoder"] == "tuned"
    assert warm.overall.forest is not None and known.overall.forest is not None
    for name, tensor in known.overall.forest.tensors().items():
        assert torch.equal(tensor, warm.overall.forest.tensors()[name])


def test_a_sampler_without_trees_cannot_be_refitted() -> None:
    sampler = StandardNormal(4, torch.tensor([5, 5]), {"sampler": "flow map"})
    table = latents_to_table(torch.randn(10, 4), torch.arange(10) % 2)
    with pytest.raises(InputError, match="flow map, which has no trees"):
        refit(table, sampler, HVRT, seed=0)
