"""The loop that all networks share: what it averages, clips, keeps and stops at."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ConstantLR
from torch.optim.swa_utils import AveragedModel

from hvrt_diffuser.common.seeding import borrowed_seed
from hvrt_diffuser.training import Checkpoint, Row, Training, shuffled

CPU = torch.device("cpu")


def begun(rate: float = 0.1, **changes: Any) -> Training[nn.Linear]:
    """A line through the origin before its first step."""
    with borrowed_seed(0, "line"):
        network = nn.Linear(1, 1, bias=False)
    optimiser = torch.optim.SGD(network.parameters(), lr=rate)
    schedule = ConstantLR(optimiser, factor=1.0)
    arguments: dict[str, Any] = {"generators": {}} | changes
    return Training("training a line", network, optimiser, schedule, **arguments)


def distance(training: Training[nn.Linear]) -> Callable[[float], tuple[Tensor, ...]]:
    """From a slope, squared, and the slope itself in two ways."""

    def loss(slope: float) -> tuple[Tensor, ...]:
        weight = training.network.weight
        return (weight - slope).square().sum(), weight.sum(), torch.tensor([slope, -slope])

    return loss


def test_all_parts_of_the_loss_are_averaged_over_the_batches() -> None:
    training = begun(rate=1e-9)
    weight = training.network.weight.item()
    loss, slope, *given = training.run(distance(training), [1.0, 3.0])
    assert loss == pytest.approx(((weight - 1) ** 2 + (weight - 3) ** 2) / 2)
    assert slope == pytest.approx(weight)
    assert given == [2.0, -2.0]
    assert (training.step, training.rate) == (2, 1e-9)


def test_the_gradient_is_of_the_first_part_and_no_longer_than_the_clip() -> None:
    training = begun(rate=1.0, clip=0.25)
    before = training.network.weight.item()
    training.run(distance(training), [1000.0])
    assert training.network.weight.item() - before == pytest.approx(0.25)


def test_a_loss_that_is_not_finite_says_which_training_and_when() -> None:
    training = begun(rate=0.5)
    expected = r"became inf by step 2 of training a line, .* lower its learning_rate \(now 0\.5\)"
    with pytest.raises(FloatingPointError, match=expected):
        training.run(distance(training), [1.0, float("inf")])


@pytest.mark.parametrize("kept", ["last", "averaged"])
def test_weights_that_the_last_step_spoiled_are_not_kept(tmp_path: Path, kept: str) -> None:
    """The loss of that step, of the weights before it, is finite."""
    average = {} if kept == "last" else {"average": averaged_into_nothing}
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    training = begun(rate=1e38 if kept == "last" else 0.1)
    for name, make in average.items():
        setattr(training, name, make(training.network))

    def look() -> Row:
        return {"loss": training.run(distance(training), [10.0])[0]}

    expected = r"weights became infinite or NaN by step 1 of training a line, .* learning_rate"
    with pytest.raises(FloatingPointError, match=expected):
        training.fit(look, 3, note=str, checkpoint=checkpoint)
    with pytest.raises(FloatingPointError, match=expected):
        training.finished()
    assert not checkpoint.path.exists()


def averaged_into_nothing(network: nn.Linear) -> AveragedModel:
    def update(averaged: Any, current: Any, n: Any) -> None:
        for each in averaged:
            each.fill_(float("nan"))

    found = AveragedModel(network, multi_avg_fn=update)
    found.update_parameters(network)  # the first step is copied
    return found


@pytest.mark.parametrize("found", [float("nan"), float("inf"), [0.5, float("nan")]])
def test_what_else_a_look_finds_has_to_be_finite(tmp_path: Path, found: Any) -> None:
    training, checkpoint = begun(), Checkpoint(tmp_path / "checkpoint")

    def look() -> Row:
        (loss, *_) = training.run(distance(training), [1.0])
        return {"step": training.step, "loss": loss, "validation_loss": found}

    with pytest.raises(FloatingPointError, match=r"validation_loss became .* by step 1 of"):
        training.fit(look, 3, note=str, checkpoint=checkpoint, patience=2, watched=lambda r: 0.0)
    assert not checkpoint.path.exists()


def test_the_average_is_what_is_kept() -> None:
    def middle(averaged: Any, current: Any, n: Any) -> None:
        torch._foreach_lerp_(averaged, current, 0.5)

    training = begun()
    training.average = AveragedModel(training.network, multi_avg_fn=middle)
    before = training.network.weight.item()
    training.run(distance(training), [5.0])  # the first step is copied
    after = training.network.weight.item()
    training.run(distance(training), [5.0])
    kept = training.fit(lambda: {}, 0, note=str)
    assert kept is training.kept
    assert kept.weight.item() == pytest.approx((after + training.network.weight.item()) / 2)
    assert before < after < kept.weight.item() < training.network.weight.item()
    assert not kept.training


def slopes(training: Training[nn.Linear], *values: float) -> Callable[[], Row]:
    """A look that sets the slope to the next value and reports it; letters are not in order."""

    def look() -> Row:
        value = values[len(training.history)]
        with torch.no_grad():
            training.network.weight.fill_(value)
        return {"slope": value, "look": len(training.history) + 1, "all": [value]}

    return look


def slope(row: Row) -> float:
    return float(row["slope"])


@pytest.mark.parametrize(
    ("patience", "looks", "kept"), [(None, 6, 0.0), (1, 3, 1.0), (2, 4, 1.0), (3, 6, 0.0)]
)
def test_patience_stops_and_keeps_the_smallest(
    patience: int | None, looks: int, kept: float
) -> None:
    training = begun()
    look = slopes(training, 3.0, 1.0, 2.0, 1.0, 0.5, 0.0)
    found = training.fit(look, 6, note=str, watched=slope, patience=patience)
    assert found.weight.item() == kept
    assert len(training.history) == looks


@pytest.mark.parametrize("patience", [None, 2])
def test_cut_off_after_any_look_the_history_is_the_same_to_the_byte(
    tmp_path: Path, patience: int | None
) -> None:
    values = (3.0, 1.0, 1 / 3, 0.1 + 0.2, 2.0, 4.0, 0.0)

    class CutOffError(Exception):
        pass

    class Cutting(Checkpoint):
        def write(self, *state: Any) -> None:
            super().write(*state)
            raise CutOffError

    def train(checkpoint: Checkpoint | None) -> tuple[float, str]:
        source = torch.Generator().manual_seed(0)
        training = begun(generators={"source": source})
        set_slope = slopes(training, *values)

        def look() -> Row:
            return set_slope() | {"drawn": torch.rand((), generator=source).item()}

        kept = training.fit(
            look, len(values), note=str, watched=slope, patience=patience, checkpoint=checkpoint
        )
        return kept.weight.item(), json.dumps(training.history)

    straight = train(None)
    path = tmp_path / "state"
    for _ in json.loads(straight[1]):
        with pytest.raises(CutOffError):
            train(Cutting(path))
    assert train(Checkpoint(path)) == straight
    assert len(json.loads(straight[1])) == (len(values) if patience is None else 6)


def test_an_epoch_has_whole_batches_in_a_new_order() -> None:
    source = torch.Generator().manual_seed(0)
    first, second = (shuffled(11, 4, source, CPU) for _ in range(2))
    assert [len(batch) for batch in first] == [4, 4]
    assert len(torch.cat(first).unique()) == 8
    assert not torch.equal(torch.cat(first), torch.cat(second))
