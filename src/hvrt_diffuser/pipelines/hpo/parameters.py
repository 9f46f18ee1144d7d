"""Parameters of ``hpo``."""

from __future__ import annotations

from pydantic import Field

from hvrt_diffuser.pipelines.options import DeviceOptions, Options
from hvrt_diffuser.sweeps import Grid, Value

__all__ = ["SWEEPS", "Axes", "HPOOptions", "Sweeps"]

Axes = dict[str, tuple[Value, ...]]


class Sweeps(Options):
    """The values of parameters; of several parameters, all combinations."""

    strategy: Axes = Field(min_length=1, description="the kernel")
    beta: Axes = Field(min_length=1, description="the KL term of the autoencoder")
    dimension: Axes = Field(min_length=1, description="of latents")
    ensemble: Axes = Field(min_length=1, description="members, and what makes them differ")
    tree: Axes = Field(min_length=1, description="how fine the leaves are")


SWEEPS = tuple(Sweeps.model_fields)


class HPOOptions(DeviceOptions):
    """Sweeps over parameters of ``ae_training`` and ``hvrt_fitting``."""

    storage: str | None = Field(
        description="Optuna URL of the studies; null is an SQLite file of the run"
    )
    n: int = Field(ge=2, description="draws of a point, and training images of its classifiers")
    compared: int = Field(ge=1, description="of these, draws whose nearest images are looked for")
    seeds: int = Field(ge=1, description="repetitions of each point, with fits of their own")
    classifiers: int = Field(ge=1, description="trained on the draws of a point")
    base: dict[str, Value] = Field(
        description="values of parameters that all points have, where they are not those of the run"
    )
    sweeps: Sweeps = Field(description="by name, the values of parameters")

    def grids(self) -> dict[str, Grid]:
        """The points of every sweep."""
        return {name: Grid(getattr(self.sweeps, name), self.seeds) for name in SWEEPS}
