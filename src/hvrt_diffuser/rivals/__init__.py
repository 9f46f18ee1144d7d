"""HVRT beside what others use, on the same latents, against the same real images."""

from hvrt_diffuser.rivals.benchmark import measure_rivals, summarise
from hvrt_diffuser.rivals.picture import plot_rivals
from hvrt_diffuser.rivals.registry import PRIORS, Prior, PriorName, Shared

__all__ = [
    "PRIORS",
    "Prior",
    "PriorName",
    "Shared",
    "measure_rivals",
    "plot_rivals",
    "summarise",
]
