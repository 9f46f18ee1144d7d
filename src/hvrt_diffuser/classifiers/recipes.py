"""How each kind of network is trained: optimiser, learning rate by step, average of weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR
from torch.optim.swa_utils import AveragedModel

from hvrt_diffuser.classifiers.network import Classifier, NetworkName
from hvrt_diffuser.classifiers.options import ClassifierOptions
from hvrt_diffuser.training.averaging import running_average

__all__ = ["RECIPES", "Recipe"]

ADAMW_RATE = 2e-3
NESTEROV_RATE = 0.75
NESTEROV_DECAY = 1.33e-3
MOMENTUM = 0.85
OF_SHIFTS = 64  # times the rate, of the shifts of batch normalisation
OF_LOGITS = 1 / 9  # times as large, and so their gradients
FIRST, PEAK_AT, LAST = 0.2, 0.23, 0.07  # shares of the peak rate, and of the steps
LONGEST_AVERAGE = 0.998  # decay per step of the averaged weights, once there are enough steps


@dataclass(frozen=True)
class Recipe:
    """What changes weights, step by step.

    Attributes:
        optimiser: of the network's weights.
        scheduler: of its learning rates.
        average: of weights and running statistics, kept in place of the last ones; or None.
    """

    optimiser: Optimizer
    scheduler: LRScheduler
    average: AveragedModel | None = None


def _one_cycle(network: Classifier, options: ClassifierOptions) -> Recipe:
    """AdamW, with one cycle of the learning rate."""
    rate = options.learning_rate or ADAMW_RATE
    decay = options.usual_decay if options.weight_decay is None else options.weight_decay
    optimiser = AdamW(network.parameters(), lr=rate, weight_decay=decay)
    return Recipe(optimiser, OneCycleLR(optimiser, rate, options.steps))


def _triangle(network: Classifier, options: ClassifierOptions) -> Recipe:
    """Nesterov's method, with a rate that rises and falls in straight lines.

    In the manner of Jordan 2024 (arXiv 2404.00498), Section 3: shifts of batch normalisation that
    move faster than the rest, logits that are small at first, and averaged weights, by a running
    average where there it is Lookahead. The rate is that for steps of 512 images there; it stays
    where they are fewer, since in proportion to them little is learnt in few steps.
    """
    rate = options.learning_rate or NESTEROV_RATE
    decay = NESTEROV_DECAY if options.weight_decay is None else options.weight_decay
    shifts = [own.bias for own in network.modules() if isinstance(own, nn.BatchNorm2d)]
    head = list(network.head.parameters())
    for weight in head:
        weight.data *= OF_LOGITS
    apart = {id(weight) for weight in (*shifts, *head)}
    others = [w for w in network.parameters() if w.requires_grad and id(w) not in apart]
    # A head that is multiplied by s moves by s squared. In a step all shrink alike.
    groups: list[dict[str, Any]] = [
        {"params": weights, "lr": rate * factor, "weight_decay": decay / factor}
        for weights, factor in ((others, 1.0), (shifts, OF_SHIFTS), (head, OF_LOGITS**2))
    ]
    optimiser = SGD(groups, lr=rate, momentum=MOMENTUM, nesterov=True)

    def share(step: int) -> float:
        done = step / options.steps
        if done < PEAK_AT:
            return FIRST + (1 - FIRST) * done / PEAK_AT
        return LAST + (1 - LAST) * (1 - done) / (1 - PEAK_AT)

    average = AveragedModel(
        network, multi_avg_fn=running_average(LONGEST_AVERAGE), use_buffers=True
    )
    return Recipe(optimiser, LambdaLR(optimiser, share), average)


RECIPES: dict[NetworkName, Callable[[Classifier, ClassifierOptions], Recipe]] = {
    "strided": _one_cycle,
    "whitened": _triangle,
}
