"""How the networks of samplers and of whole models are trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel

from hvrt_diffuser.common.precision import Precision, autocast
from hvrt_diffuser.training.averaging import running_average
from hvrt_diffuser.training.checkpoint import Checkpoint
from hvrt_diffuser.training.loop import Row, Training

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
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=learning_rate, betas=(0.9, 0.99), weight_decay=0, fused=True
    )
    training = Training(
        name,
        network,
        optimiser,
        OneCycleLR(
            optimiser,
            learning_rate,
            total_steps=max(2, steps),
            pct_start=WARM_UP,
            cycle_momentum=False,
        ),
        generators={"source": source},
        average=AveragedModel(network, multi_avg_fn=running_average(LONGEST_AVERAGE)),
    )
    between = math.ceil(steps / LOOKS)

    def loss(_: int) -> tuple[Tensor]:
        with autocast(source.device, precision):
            return (losses(network, source),)

    def look() -> Row:
        (mean,) = training.run(loss, range(min(between, steps - training.step)))
        return {"step": training.step, "loss": mean}

    kept = training.fit(
        look,
        math.ceil(steps / between),
        note=lambda row: f"loss {row['loss']:.4f}, step {row['step']}",
        checkpoint=checkpoint,
        setting={**(setting or {}), "steps": steps, "learning_rate": learning_rate},
    )
    return kept.requires_grad_(False)
