"""Nodes of ``optimise``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from hvrt_diffuser.classifiers import Classifier
from hvrt_diffuser.common.devices import resolve_device
from hvrt_diffuser.common.machine import describe_machine
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.pipelines.ae_training.parameters import AETrainingOptions
from hvrt_diffuser.pipelines.hpo.nodes import make_bench
from hvrt_diffuser.pipelines.hpo.parameters import HPOOptions
from hvrt_diffuser.pipelines.hvrt_fitting.parameters import HVRTFittingOptions
from hvrt_diffuser.pipelines.optimise.parameters import OptimiseOptions
from hvrt_diffuser.pipelines.tstr.parameters import TSTROptions
from hvrt_diffuser.sweeps import (
    Blocks,
    Grid,
    Search,
    Sweep,
    importances,
    plot_sweep,
    spread,
    summarise_points,
)

__all__ = ["plot_best", "search_jointly"]


def search_jointly(
    images_train: LabelledImages,
    images_test: LabelledImages,
    classifier: Classifier,
    training: AETrainingOptions,
    hvrt: HVRTFittingOptions,
    tstr: TSTROptions,
    options: HPOOptions,
    search_options: OptimiseOptions,
    seed: int,
    device: str,
    autoencoders: Path,
    database: Path,
) -> dict[str, Any]:
    """Search, and measure the best points again with seeds that the search has not seen.

    Any number of processes may run it at once: they share the points.
    """
    blocks = Blocks(training, hvrt).at(options.base)
    space = {name: list(values) for name, values in search_options.space.items()}
    blocks.check("optimise.space", Grid(space, 1))
    bench = make_bench(
        (images_train, images_test),
        classifier,
        blocks,
        tstr,
        options,
        seed,
        resolve_device(options.device or device),
        autoencoders,
    )
    storage = options.storage or f"sqlite:///{database}"
    turn = database.with_suffix(".lock")
    search = Search.open(storage, "search", space, bench.setting, turn, seed)
    best = search.run(bench.measure, search_options.trials)
    chosen = spread(best, search_options.confirmed)
    again = Sweep.open(
        storage,
        "confirmation",
        Grid.of(chosen, options.seeds),
        bench.setting,
        turn,
    )

    def with_other_seeds(point: dict[str, Any]) -> Any:
        return bench.measure({**point, "seed": f"confirmation {point['seed']}"})

    return {
        "setting": bench.setting,
        "machine": describe_machine(),
        "space": space,
        "front": [{"values": point, **measures} for point, measures in best],
        "importance": importances(search.study, seed),
        "rows": summarise_points(again.run(with_other_seeds)),
    }


def plot_best(optimised: dict[str, Any]) -> Figure:
    """The points that were measured again, and what each parameter matters."""
    return plot_sweep(optimised["rows"], optimised["importance"])
