"""HVRT beside what others use: priors, autoencoders and whole models, on the same real images."""

from hvrt_diffuser.rivals.benchmark import (
    Rival,
    autoencoder_rivals,
    generator_rivals,
    measure_rivals,
    prior_rivals,
    summarise,
)
from hvrt_diffuser.rivals.generators import (
    GENERATORS,
    GeneratorName,
    ImageEstimator,
    check_generators,
    tuned_generators,
)
from hvrt_diffuser.rivals.ledger import Ledger
from hvrt_diffuser.rivals.measures import MEASURES
from hvrt_diffuser.rivals.picture import plot_rivals
from hvrt_diffuser.rivals.registry import PRIORS, Prior, PriorName, Shared
from hvrt_diffuser.rivals.speed import compare_speed
from hvrt_diffuser.rivals.tuning import (
    autoencoder_trials,
    check_candidates,
    chosen,
    generator_trials,
    prior_trials,
    run_trials,
    validation_split,
)

__all__ = [
    "GENERATORS",
    "MEASURES",
    "PRIORS",
    "GeneratorName",
    "ImageEstimator",
    "Ledger",
    "Prior",
    "PriorName",
    "Rival",
    "Shared",
    "autoencoder_rivals",
    "autoencoder_trials",
    "check_candidates",
    "check_generators",
    "chosen",
    "compare_speed",
    "generator_rivals",
    "generator_trials",
    "measure_rivals",
    "plot_rivals",
    "prior_rivals",
    "prior_trials",
    "run_trials",
    "summarise",
    "tuned_generators",
    "validation_split",
]
