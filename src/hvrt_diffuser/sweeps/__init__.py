"""Sweeps over parameters: grids that several processes share, and that outlive them."""

from hvrt_diffuser.sweeps.grid import SEED, Grid, Point, Value
from hvrt_diffuser.sweeps.measure import Bench, Blocks
from hvrt_diffuser.sweeps.search import OBJECTIVES, Search
from hvrt_diffuser.sweeps.store import AutoencoderStore
from hvrt_diffuser.sweeps.study import Measured, Sweep
from hvrt_diffuser.sweeps.table import importances, plot_sweep, spread, summarise_points
from hvrt_diffuser.sweeps.yardsticks import Prepared, Yardsticks

__all__ = [
    "OBJECTIVES",
    "SEED",
    "AutoencoderStore",
    "Bench",
    "Blocks",
    "Grid",
    "Measured",
    "Point",
    "Prepared",
    "Search",
    "Sweep",
    "Value",
    "Yardsticks",
    "importances",
    "plot_sweep",
    "spread",
    "summarise_points",
]
