"""Generators of few images: the same, whether they were just fitted or are read again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from hvrt_diffuser.autoencoders import TrainingOptions
from hvrt_diffuser.data.augmentation import Augmentation
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.judge.kept_fits import KeptFits
from hvrt_diffuser.samplers import HVRTEstimator


@pytest.mark.parametrize("gone", [(), ("sampler_hvrt.safetensors",), ("autoencoder.safetensors",)])
def test_one_that_is_read_again_is_the_one_that_was_fitted(
    digits: LabelledImages, tmp_path: Path, gone: tuple[str, ...]
) -> None:
    few = digits[torch.arange(0, len(digits), 25)]
    kept = KeptFits(
        tmp_path,
        {"hvrt": HVRTEstimator()},
        TrainingOptions(latent_dim=4, width=4, epochs=2, batch_size=48),
        Augmentation(),
        len(few),
        torch.device("cpu"),
    )
    first = kept.fit("hvrt", few.images, few.labels, seed=3)
    files = {path.name: path.read_bytes() for path in tmp_path.glob("*/*")}
    for name in gone:  # as a kill between the two leaves them
        (*tmp_path.glob("*/" + name),)[0].unlink()
    again = kept.fit("hvrt", few.images, few.labels, seed=3)
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*/*")} == files
    assert json.dumps(again.origin) == json.dumps(first.origin)  # it goes into tables as it is
    assert torch.equal(first.generate(30, seed=1)[0], again.generate(30, seed=1)[0])
