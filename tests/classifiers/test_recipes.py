"""Weights move as their recipe says, by references that know nothing of it."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hvrt_diffuser.classifiers import Classifier, ClassifierOptions, JudgeOptions
from hvrt_diffuser.classifiers.recipes import RECIPES, Recipe

STEPS = 100


def network(name: Any) -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = Classifier((3, 8, 8), 4, 8, name)
        made.prepare(torch.randint(256, (50, 3, 8, 8), dtype=torch.uint8))
    return made


def recipe(made: Classifier, **changes: Any) -> Recipe:
    options = ClassifierOptions.model_validate({"network": made.network, "steps": STEPS, **changes})
    return RECIPES[made.network](made, options)


def rates(found: Recipe) -> list[list[float]]:
    """Of each group, by step."""
    met: list[list[float]] = []
    for _ in range(STEPS):
        met.append([group["lr"] for group in found.optimiser.param_groups])
        found.optimiser.step()
        found.scheduler.step()
    return [list(each) for each in zip(*met, strict=True)]


def batches(n: int) -> list[tuple[Tensor, Tensor]]:
    source = torch.Generator().manual_seed(1)
    return [
        (torch.rand(16, 3, 8, 8, generator=source), torch.randint(4, (16,), generator=source))
        for _ in range(n)
    ]


def test_logits_move_as_if_they_were_divided_by_nine() -> None:
    """By torch's own method on a network whose logits are divided in the loss."""
    made = network("whitened")
    reference = deepcopy(made)
    found = recipe(made, learning_rate=0.05, weight_decay=0.01)
    rate, decay = 0.05, 0.01
    shifts = [each.bias for each in reference.modules() if isinstance(each, nn.BatchNorm2d)]
    names = {id(each) for each in shifts}
    others = [w for w in reference.parameters() if w.requires_grad and id(w) not in names]
    by_hand = torch.optim.SGD(
        [
            {"params": others, "lr": rate, "weight_decay": decay},
            {"params": shifts, "lr": 64 * rate, "weight_decay": decay / 64},
        ],
        momentum=0.85,
        nesterov=True,
    )
    start = [group["lr"] for group in by_hand.param_groups]
    for step, (x, labels) in enumerate(batches(5)):
        for group, first in zip(by_hand.param_groups, start, strict=True):
            group["lr"] = first * (0.2 + 0.8 * step / 23)
        for model, optimiser, scale in (
            (made, found.optimiser, 1.0),
            (reference, by_hand, 1 / 9),
        ):
            optimiser.zero_grad()
            F.cross_entropy(model(x) * scale, labels).backward()
            optimiser.step()
        found.scheduler.step()
    x = batches(1)[0][0]
    torch.testing.assert_close(made.features(x), reference.features(x), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(made(x), reference(x) / 9, rtol=1e-4, atol=1e-5)


def test_the_rate_of_whitened_is_a_triangle_and_that_of_shifts_another() -> None:
    weights, shifts, head = rates(recipe(network("whitened")))
    peak = 0.75
    assert weights[0] == pytest.approx(0.2 * peak)
    assert max(weights) == weights[23] == pytest.approx(peak)
    assert weights[-1] == pytest.approx(peak * (0.07 + 0.93 / 77))
    for slope in (weights[:24], weights[23:]):
        steps = torch.tensor(slope).diff()
        torch.testing.assert_close(steps, steps[:1].expand_as(steps), rtol=1e-3, atol=1e-6)
    assert shifts == pytest.approx([64 * rate for rate in weights])
    assert head == pytest.approx([rate / 81 for rate in weights])


def test_the_rate_of_strided_is_one_cycle() -> None:
    (found,) = rates(recipe(network("strided")))
    assert max(found) == pytest.approx(2e-3, rel=1e-3)
    assert found[0] < 1e-4
    assert found[-1] < 1e-7


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (ClassifierOptions(), 0.01),
        (JudgeOptions(), 0.05),
        (JudgeOptions(weight_decay=0), 0),
        (ClassifierOptions(weight_decay=0.3), 0.3),
    ],
)
def test_a_decay_that_is_given_counts(options: ClassifierOptions, expected: float) -> None:
    found = RECIPES["strided"](network("strided"), options).optimiser
    assert [group["weight_decay"] for group in found.param_groups] == [expected]


def test_whitened_begins_as_the_identity_where_channels_allow() -> None:
    for stage in network("whitened").trunk.stages:
        for layer in (stage[0], stage[4]):
            n = min(layer.in_channels, layer.out_channels)
            x = torch.rand(2, layer.in_channels, 4, 4)
            torch.testing.assert_close(layer(x)[:, :n], x[:, :n])


def test_scales_of_whitened_stay_and_its_shifts_move() -> None:
    made = network("whitened")
    layers = [each for each in made.modules() if isinstance(each, nn.BatchNorm2d)]
    optimiser = recipe(made).optimiser
    F.cross_entropy(made(batches(1)[0][0]), batches(1)[0][1]).backward()
    optimiser.step()
    assert all(torch.equal(each.weight, torch.ones_like(each.weight)) for each in layers)
    assert all(each.bias.abs().sum() > 0 for each in layers)


def test_whitened_keeps_an_average_of_weights_and_running_statistics() -> None:
    made = network("whitened")
    found = recipe(made)
    assert found.average is not None
    assert recipe(network("strided")).average is None
    met = []
    for x, labels in batches(6):
        found.optimiser.zero_grad()
        F.cross_entropy(made(x), labels).backward()
        found.optimiser.step()
        found.average.update_parameters(made)
        met.append({k: v.clone() for k, v in made.state_dict().items()})
    kept = found.average.module.state_dict()
    for name in ("head.weight", "trunk.stages.0.2.running_var"):
        every = torch.stack([state[name] for state in met])
        assert not torch.equal(kept[name], every[-1])
        assert (kept[name] <= every.amax(0) + 1e-6).all()
        assert (kept[name] >= every.amin(0) - 1e-6).all()
