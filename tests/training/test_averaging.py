"""The average of the weights of a training."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from hvrt_diffuser.training.averaging import running_average


def averaged(values: list[float], longest: float) -> float:
    layer = nn.Linear(1, 1, bias=False)
    average = AveragedModel(layer, multi_avg_fn=running_average(longest))
    for value in values:
        with torch.no_grad():
            layer.weight.fill_(value)
        average.update_parameters(layer)
    return average.module.weight.item()


def test_what_does_not_change_is_its_own_average() -> None:
    assert averaged([3.0] * 50, 0.999) == pytest.approx(3)


def test_the_initial_weights_are_forgotten_in_a_short_training() -> None:
    assert averaged([1000.0] + [0.0] * 500, 0.999) < 1e-3


def test_after_many_steps_the_decay_is_the_longest() -> None:
    long = averaged([0.0] * 400 + [1.0] * 10, 0.9)
    assert long == pytest.approx(1 - 0.9**10)


def test_a_count_is_taken_as_it_is() -> None:
    norm = nn.BatchNorm1d(2)
    average = AveragedModel(norm, multi_avg_fn=running_average(0.9), use_buffers=True)
    for _ in range(5):
        norm(torch.randn(4, 2))
        average.update_parameters(norm)
    assert average.module.num_batches_tracked.item() == 5
    assert (average.module.running_var > 0).all()
