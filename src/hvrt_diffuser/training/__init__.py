"""How networks are trained: one loop for all, averages of weights, and checkpoints."""

from hvrt_diffuser.training.averaging import running_average
from hvrt_diffuser.training.checkpoint import Checkpoint
from hvrt_diffuser.training.loop import Row, Training, shuffled
from hvrt_diffuser.training.steps import Losses, optimise

__all__ = [
    "Checkpoint",
    "Losses",
    "Row",
    "Training",
    "optimise",
    "running_average",
    "shuffled",
]
