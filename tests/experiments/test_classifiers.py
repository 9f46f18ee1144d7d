"""Classifiers are timed, and asked about images that they have not seen."""

from __future__ import annotations

import json

import pytest
import torch

from hvrt_diffuser.classifiers import JudgeOptions
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.experiments.classifiers import flops, measure_judge, measure_rates


def convolution(n_in: int, n_out: int, side: int, kernel: int = 3) -> int:
    return 2 * n_in * n_out * (kernel * side) ** 2


def test_operations_are_those_of_the_layers() -> None:
    """Forwards once, and backwards twice but for what lies before the first trained layer."""
    first, later = convolution(12, 16, 16), [convolution(16, 32, 8), convolution(32, 32, 8)]
    dense = 2 * (32 * 64 * 64 + 64 * 10)
    assert flops("strided", 16) == 2 * first + 3 * (sum(later) + dense)
    first = convolution(24, 16, 32)
    later = [
        *(convolution(16, 16, 16), convolution(16, 64, 16), convolution(64, 64, 8)),
        *(convolution(64, 64, 8), convolution(64, 64, 4)),
    ]
    dense = 2 * (64 * 64 + 64 * 10)
    frozen = convolution(3, 24, 32, kernel=2)
    assert flops("whitened", 16) == frozen + 2 * first + 3 * (sum(later) + dense)


def test_every_network_has_a_rate_in_every_precision() -> None:
    found = measure_rates(widths=[4], batches=[8], steps=2)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert {(row["network"], row["precision"]) for row in found} == {
        (network, precision)
        for network in ("strided", "whitened")
        for precision in ("float32", "bfloat16")
    }
    assert all(row["images_per_second"] > 0 for row in found)


@pytest.mark.parametrize("network", ["strided", "whitened"])
def test_a_judge_is_asked_about_images_that_it_has_not_seen(
    digits: LabelledImages, network: str
) -> None:
    some = digits[torch.randperm(len(digits), generator=torch.Generator().manual_seed(0))]
    options = JudgeOptions.model_validate({"network": network, "width": 8, "steps": 40})
    found = measure_judge(some[:600], some[600:900], options)
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert 50 < found["accuracy"] < 100
    assert found["accuracy"] < found["accuracy_train"] + 3
    assert len(found["load"]) == 2
