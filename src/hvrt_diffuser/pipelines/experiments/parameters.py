"""Parameters of experiments: each has a block of its own name, all of one schema."""

from hvrt_diffuser.experiments import BaseOptions, ExperimentOptions

__all__ = ["BaseOptions", "ExperimentOptions"]
