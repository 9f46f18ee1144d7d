"""The training of small networks: it learns, and may be cut off."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.training.checkpoint import Checkpoint
from hvrt_diffuser.training.steps import LOOKS, optimise

SLOPE = torch.tensor([[1.0, -2.0, 0.5]])


def losses(network: nn.Linear, source: torch.Generator) -> Tensor:
    x = torch.randn(32, 3, generator=source)
    return (network(x) - x @ SLOPE.T).square().mean()


def trained(steps: int = 200, **changes: Any) -> nn.Linear:
    torch.manual_seed(0)
    arguments: dict[str, Any] = {
        "name": "a line",
        "steps": steps,
        "learning_rate": 0.1,
        "precision": "float32",
        **changes,
    }
    return optimise(nn.Linear(3, 1), losses, torch.Generator().manual_seed(0), **arguments)


class CutOffError(Exception):
    """The training was cut off."""


class Cutting(Checkpoint):
    """Cuts the training off once it has been written some times."""

    def __init__(self, path: Path, after: int | None) -> None:
        super().__init__(path)
        self.after, self.written = after, 0

    def write(self, *state: Any) -> None:
        super().write(*state)
        self.written += 1
        if self.written == self.after:
            raise CutOffError


def test_it_finds_the_line() -> None:
    network = trained()
    assert torch.allclose(network.weight, SLOPE, atol=0.01)
    assert not network.training
    assert not network.weight.requires_grad


@pytest.mark.parametrize("after", [1, 7, LOOKS])
@pytest.mark.parametrize("steps", [200, 205])
def test_cut_off_and_resumed_it_is_the_same_training(
    tmp_path: Path, after: int, steps: int
) -> None:
    straight = trained(steps)
    path = tmp_path / "checkpoint"
    watched = Cutting(path, after)
    if after <= steps // -(-steps // LOOKS):
        with pytest.raises(CutOffError):
            trained(steps, checkpoint=watched)
    rest = Cutting(path, None)
    resumed = trained(steps, checkpoint=rest)
    assert rest.written + watched.written == -(-steps // -(-steps // LOOKS))
    assert torch.equal(resumed.weight, straight.weight)
    assert torch.equal(resumed.bias, straight.bias)


def test_a_training_of_another_setting_does_not_go_on(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    trained(checkpoint=checkpoint, setting={"images": "a"})
    with pytest.raises(InputError, match="images a, while this one has images b"):
        trained(checkpoint=checkpoint, setting={"images": "b"})
    with pytest.raises(InputError, match=r"learning_rate 0\.1, while this one has learning_rate 1"):
        trained(checkpoint=checkpoint, setting={"images": "a"}, learning_rate=1.0)


def test_a_loss_that_explodes_says_when() -> None:
    with pytest.raises(
        FloatingPointError, match=r"the loss became (nan|inf) by step \d+ of a line"
    ):
        trained(learning_rate=1e30)
