"""Experiments: jobs of any autoencoder, sampler and seed, measured by one bench and kept."""

from hvrt_diffuser.experiments.experiment import run_experiment
from hvrt_diffuser.experiments.jobs import Job, expand
from hvrt_diffuser.experiments.ledger import Ledger, Work
from hvrt_diffuser.experiments.likelihood_pictures import plot_likelihoods, show_likelihoods
from hvrt_diffuser.experiments.likelihoods import LikelihoodRunner
from hvrt_diffuser.experiments.options import (
    BaseOptions,
    ExperimentOptions,
    JobGroup,
    LikelihoodOptions,
)
from hvrt_diffuser.experiments.pictures import plot_frontier, plot_rivals, plot_sweep
from hvrt_diffuser.experiments.runner import Runner
from hvrt_diffuser.experiments.store import AutoencoderStore
from hvrt_diffuser.experiments.tables import floors, summarise
from hvrt_diffuser.experiments.workers import run_jobs, tabulate_likelihoods

__all__ = [
    "AutoencoderStore",
    "BaseOptions",
    "ExperimentOptions",
    "Job",
    "JobGroup",
    "Ledger",
    "LikelihoodOptions",
    "LikelihoodRunner",
    "Runner",
    "Work",
    "expand",
    "floors",
    "plot_frontier",
    "plot_likelihoods",
    "plot_rivals",
    "plot_sweep",
    "run_experiment",
    "run_jobs",
    "show_likelihoods",
    "summarise",
    "tabulate_likelihoods",
]
