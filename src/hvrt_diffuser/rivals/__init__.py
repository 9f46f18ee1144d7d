"""HVRT beside what others use: priors, autoencoders and whole models, on the same real images."""

from hvrt_diffuser.rivals.benchmark import (
    Rival,
    autoencoder_rivals,
    check_generators,
    generator_rivals,
    measure_rivals,
    prior_rivals,
    summarise,
)
from hvrt_diffuser.rivals.generators import GENERATORS, ImageEstimator
from hvrt_diffuser.rivals.ledger import Ledger
from hvrt_diffuser.rivals.picture import plot_rivals
from hvrt_diffuser.rivals.registry import PRIORS, Prior, PriorName, Shared
from hvrt_diffuser.rivals.speed import compare_speed
from hvrt_diffuser.rivals.tuning import (
    autoencoder_trials,
    chosen,
    prior_trials,
    run_trials,
    validation_split,
)

__all__ = [
    "GENERATORS",
    "PRIORS",
    "ImageEstimator",
    "Ledger",
    "Prior",
    "PriorName",
    "Rival",
    "Shared",
    "autoencoder_rivals",
    "autoencoder_trials",
    "check_generators",
    "chosen",
    "compare_speed",
    "generator_rivals",
    "measure_rivals",
    "plot_rivals",
    "prior_rivals",
    "prior_trials",
    "run_trials",
    "summarise",
    "validation_split",
]
