"""Parameters of experiments: each has a block of its own name, all of one schema."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.experiments import BaseOptions, ExperimentOptions, LikelihoodOptions
from hvrt_diffuser.experiments.jobs import expand, groups_of, space_of
from hvrt_diffuser.experiments.likelihoods import likelihood_jobs

__all__ = [
    "LIKELIHOODS",
    "SWEEPS",
    "BaseOptions",
    "ExperimentOptions",
    "LikelihoodOptions",
    "check_experiments",
    "check_sweeps",
]

SWEEPS = ("strategy", "beta", "dimension", "ensemble", "tree")  # the groups of hpo
LIKELIHOODS = "dvp_vae"  # the experiment that bounds likelihoods, and its block of parameters


def check_experiments(
    parameters: Mapping[str, Any], inputs: Collection[str], names: Collection[str]
) -> None:
    """Make every job of the experiments of a run, before anything is trained for them.

    Args:
        parameters: completed ones.
        inputs: of the nodes that run.
        names: of all experiments.

    Raises:
        InputError: a job that cannot be made, or there is none.
    """
    asked = [name for name in names if f"params:{name}" in inputs]
    bounded = f"params:{LIKELIHOODS}" in inputs
    if not asked and not bounded:
        return
    base = BaseOptions.model_validate(parameters["base"])
    if bounded:
        likelihoods = LikelihoodOptions.model_validate(parameters[LIKELIHOODS])
        likelihood_jobs(LIKELIHOODS, likelihoods, base)
    for name in asked:
        options = ExperimentOptions.model_validate(parameters[name])
        groups = groups_of(name, options)
        if name == "hpo":
            check_sweeps(name, options)
        if options.search is not None:
            space_of(name, options, base)
            continue
        expand(name, options, base)
        for key, group in groups.items():
            for candidate in group.candidates[1:]:
                expand(name, options, base, {key: candidate})


def check_sweeps(name: str, options: ExperimentOptions) -> None:
    """Refuse groups that are none of :data:`SWEEPS`.

    Raises:
        InputError: there is one.
    """
    other = sorted(options.jobs.keys() - {*SWEEPS})
    if other:
        raise InputError(
            f"{name}.jobs has a group {other[0]}, which no pipeline measures, expected "
            f"{', '.join(SWEEPS)}: name it after one of them, or put it into another experiment"
        )
