"""How the networks of samplers and generators are trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel

from hvrt_diffuser.common.files import tensors_below
from hvrt_diffuser.common.precision import Precision, autocast
from hvrt_diffuser.common.progress import progress
from hvrt_diffuser.training.averaging import running_average
from hvrt_diffuser.training.checkpoint import Checkpoint, optimiser_tensors, restore_optimiser

__all__ = ["Losses", "optimise"]

WARM_UP = 0.03  # share of the steps in which the learning rate rises
LONGEST_AVERAGE = 0.999  # decay per step of the averaged weights, once there are enough steps
LOOKS = 20  # of the progress bar, and states of a checkpoint

Network = TypeVar("Network", bound=nn.Module)
Losses = Callable[[Network, torch.Generator], Tensor]


def optimise(
    network: Network,
    losses: Losses[Network],
    source: torch.Generator,
    *,
    name: str,
    steps: int,
    learning_rate: float,
    precision: Precision,
    checkpoint: Checkpoint | None = None,
    setting: Mapping[str, Any] | None = None,
) -> Network:
    """Train by AdamW with one cycle of the learning rate.

    Args:
        network: is trained itself; what is returned is another.
        losses: gives the loss of a batch that it draws from the generator.
        source: of that generator's device is the network.
        name: of what is done, for the progress bar and in an error.
        steps: of the optimiser.
        learning_rate: its peak.
        precision: of the matrix products.
        checkpoint: where to keep the state of a training that goes on where it was cut off.
        setting: what such a training must share with this one; flat JSON.

    Returns:
        The average of the weights over the last of the steps, in evaluation mode.

    Raises:
        InputError: a checkpoint of another setting.
        FloatingPointError: the loss became infinite or NaN.
    """
    training = _Training(network, source, steps, learning_rate)
    agreed = {**(setting or {}), "steps": steps, "learning_rate": learning_rate}
    state = checkpoint.read(agreed) if checkpoint else None
    if state:
        training.load_state(*state)
    between = math.ceil(steps / LOOKS)
    with progress(name, math.ceil(steps / between), "looks") as look:
        for _ in range(math.ceil(training.step / between)):
            look("taken from the checkpoint")
        while training.step < steps:
            part = min(between, steps - training.step)
            mean = training.run(losses, part, precision)
            if not math.isfinite(mean):
                raise FloatingPointError(
                    f"the loss of {name} became {mean} by step {training.step}: lower its "
                    f"learning_rate (now {learning_rate})"
                )
            if checkpoint:
                checkpoint.write(*training.state(), agreed)
            look(f"loss {mean:.4f}, step {training.step}")
    kept = cast(Network, training.average.module)
    return kept.requires_grad_(False).eval()


class _Training(Generic[Network]):
    """Everything that changes during a training."""

    def __init__(
        self, network: Network, source: torch.Generator, steps: int, learning_rate: float
    ) -> None:
        self.network, self.source, self.step = network.train(), source, 0
        self.average = AveragedModel(network, multi_avg_fn=running_average(LONGEST_AVERAGE))
        self.optimiser = torch.optim.AdamW(
            network.parameters(), lr=learning_rate, betas=(0.9, 0.99), weight_decay=0, fused=True
        )
        self.scheduler = OneCycleLR(
            self.optimiser,
            learning_rate,
            total_steps=max(2, steps),
            pct_start=WARM_UP,
            cycle_momentum=False,
        )

    def run(self, losses: Losses[Network], steps: int, precision: Precision) -> float:
        """Some steps; the mean of their losses."""
        device = self.source.device
        total = torch.zeros((), device=device)
        for _ in range(steps):
            with autocast(device, precision):
                loss = losses(self.network, self.source)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()
            self.scheduler.step()
            self.average.update_parameters(self.network)
            total += loss.detach()
        self.step += steps
        return total.item() / steps

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors, and the rest as JSON, from which :meth:`load_state` goes on."""
        tensors = {f"model.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        tensors |= optimiser_tensors(self.optimiser)
        tensors["source"] = self.source.get_state()
        return tensors, {
            "step": self.step,
            "scheduler": self.scheduler.state_dict(),
            "groups": self.optimiser.state_dict()["param_groups"],
        }

    def load_state(self, tensors: dict[str, Tensor], progress: dict[str, Any]) -> None:
        """Go back to a state that :meth:`state` gave."""
        self.network.load_state_dict(tensors_below(tensors, "model."))
        self.average.load_state_dict(tensors_below(tensors, "average."))
        restore_optimiser(self.optimiser, tensors, progress["groups"])
        self.scheduler.load_state_dict(progress["scheduler"])
        self.source.set_state(tensors["source"])
        self.step = progress["step"]
