"""How the networks of samplers are trained."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR
from torch.optim.swa_utils import AveragedModel

from hvrt_diffuser.averaging import running_average
from hvrt_diffuser.progress import progress

__all__ = ["Losses", "Precision", "optimise"]

WARM_UP = 0.03  # share of the steps in which the learning rate rises
LONGEST_AVERAGE = 0.999  # decay per step of the averaged weights, once there are enough steps
LOOKS = 20  # of the progress bar

Network = TypeVar("Network", bound=nn.Module)
Losses = Callable[[Network, torch.Generator], Tensor]
Precision = Literal["float32", "bfloat16"]


def optimise(
    network: Network,
    losses: Losses[Network],
    source: torch.Generator,
    *,
    name: str,
    steps: int,
    learning_rate: float,
    precision: Precision,
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

    Returns:
        The average of the weights over the last of the steps, in evaluation mode.

    Raises:
        FloatingPointError: the loss became infinite or NaN.
    """
    device = source.device
    network.train()
    average = AveragedModel(network, multi_avg_fn=running_average(LONGEST_AVERAGE))
    optimiser = torch.optim.AdamW(
        network.parameters(), lr=learning_rate, betas=(0.9, 0.99), weight_decay=0, fused=True
    )
    scheduler = OneCycleLR(
        optimiser,
        learning_rate,
        total_steps=max(2, steps),
        pct_start=WARM_UP,
        cycle_momentum=False,
    )
    between = math.ceil(steps / LOOKS)
    recent = torch.zeros((), device=device)
    with progress(name, math.ceil(steps / between), "looks") as look:
        for step in range(1, steps + 1):
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16"):
                loss = losses(network, source)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            scheduler.step()
            average.update_parameters(network)
            recent += loss.detach()
            if step % between == 0 or step == steps:
                mean = recent.item() / ((step - 1) % between + 1)
                recent.zero_()
                if not math.isfinite(mean):
                    raise FloatingPointError(
                        f"the loss of {name} became {mean} by step {step}: lower its "
                        f"learning_rate (now {learning_rate})"
                    )
                look(f"loss {mean:.4f}, step {step}")
    kept = cast(Network, average.module)
    return kept.requires_grad_(False).eval()
