"""What happens around a run: parameters are checked first, and the end says what came out."""

from __future__ import annotations

import logging
import os
import shlex
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from hvrt_diffuser.common import launch, terminal
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import Turn, remove_left
from hvrt_diffuser.common.interruption import on_interrupt
from hvrt_diffuser.common.machine import memory, reset_peak
from hvrt_diffuser.common.names import readable
from hvrt_diffuser.pipelines.known import check_names, without_replaced

__all__ = [
    "CheckedParameters",
    "OneAtATime",
    "RawImages",
    "RunSummary",
    "SharedTraining",
    "TaskEngine",
]

logger = logging.getLogger(__name__)
terminal.install()

INGEST = "data_ingest"
GO_ON = "--only-missing-outputs"
METRICS = ("evaluation_metrics", "tstr_metrics")
STAGES, RECORDS = "stages", "nodes"
EXPORT = "exported_dataset"
TASKS = "tasks"  # the folder of their files, until all of a run are done
OF_THE_SPLIT = ("test_fraction", "min_class_size")  # of the block dataset; the rest is the source's


class FreshnessCatalog(DataCatalog):
    """``exists`` answers whether a dataset is there *and* up to date, once that has been found out.

    ``kedro run --only-missing-outputs`` asks that of each output. By itself Kedro asks for a file
    alone, whatever parameters and images it was made with.

    Attributes:
        up_to_date: by dataset; one that is not named exists where its file does.
    """

    up_to_date: dict[str, bool] = {}  # noqa: RUF012  # none is known in the beginning

    def exists(self, ds_name: str) -> bool:
        """Whether a dataset is there, and up to date as far as that is known."""
        known = self.up_to_date.get(ds_name)
        return bool(super().exists(ds_name)) if known is None else known


class SharedTraining:
    """Of several processes that torchrun started, the first one runs; the others help it train."""

    @hook_impl(tryfirst=True)
    def after_context_created(self) -> None:
        """Meet the others; they come no further than this.

        Raises:
            InputError: they did not find each other.
            SystemExit: this is one of the others, and the first one has ended.
        """
        if launch.world_size() == 1:
            return
        from hvrt_diffuser.training import distributed  # imports torch

        if not launch.is_first():
            distributed.follow()
            sys.exit()
        if Path(sys.argv[0]).name == "python -m kedro":
            sys.argv[0] = launch.program(sys.argv[0], "kedro")
        distributed.join()


class CheckedParameters:
    """All parameters are checked before anything runs, and completed with their defaults.

    Before nodes run, so are the devices that they name, what lies on disk (it may have been made
    with other parameters), whether something on the command line is read by no node, and whether
    the export would replace files of the user's. What
    depends on the images is looked at once they are read, before anything is trained.
    """

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Raise InputError for a parameter that is unknown, missing or out of range."""
        from omegaconf.errors import OmegaConfBaseException

        try:
            raw = context.config_loader["parameters"]
        except OmegaConfBaseException as error:
            reason = str(error).partition("\n")[0]
            raise InputError(
                f"a parameter cannot be resolved ({reason}), expected values, or ${{...}} of what "
                "conf/ has: correct it in conf/ or in --params"
            ) from error
        raw, gone = without_replaced(raw, context.config_loader.runtime_params or {})
        if gone:
            logger.info(
                "the command line chooses the autoencoder: ae_training.%s of conf/ are not used",
                ", ".join(gone),
            )
        check_names(raw)  # in milliseconds; what comes next imports torch
        from hvrt_diffuser.pipelines.parameters import check_parameters, complete

        self._parameters = check_parameters(raw)
        self._completed = complete(self._parameters)
        context.config_loader["parameters"] = self._completed

    @hook_impl
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: Any
    ) -> None:
        """Raise InputError for what does not fit the run, be it a device, a file or a parameter."""
        from kedro.framework.project import pipelines

        from hvrt_diffuser.pipelines.experiments.parameters import check_experiments
        from hvrt_diffuser.pipelines.experiments.pipeline import EXPERIMENTS
        from hvrt_diffuser.pipelines.freshness import Freshness
        from hvrt_diffuser.pipelines.lineage import Lineage
        from hvrt_diffuser.pipelines.parameters import check_devices, check_read
        from hvrt_diffuser.pipelines.places import check_places

        check_devices(self._parameters)
        check_experiments(self._completed, pipeline.inputs(), EXPERIMENTS)
        check_places(catalog, {*pipeline.datasets(), RECORDS, STAGES} - {"raw_images"})
        given = run_params.get("runtime_params") or {}
        sampler = self._parameters.generation.sampler
        makers = {
            output: name
            for name, stages in reversed(pipelines.items())
            if name != "__default__"
            for output in stages.all_outputs()
        }
        inputs = sorted(pipeline.inputs())
        self._lineage = Lineage(self._completed, catalog, makers)
        self._lineage.check(inputs)
        self._lineage.check_together([*inputs, *_read_with(inputs, makers, pipeline, catalog)])
        check_read(given, inputs, self._lineage.of_node(inputs).parameters, pipelines, sampler)
        self._outputs = pipeline.all_outputs()
        self._images: dict[str, Any] = {}
        self._freshness = Freshness(catalog, self._lineage)
        self._unsaved: dict[str, set[str]] = {}
        stale = {node.name for node in self._freshness.stale(pipeline)}
        catalog.up_to_date = {
            output: node.name not in stale for node in pipeline.nodes for output in node.outputs
        }
        skipping = run_params.get("only_missing_outputs", False)
        if EXPORT in self._outputs and not (skipping and catalog.up_to_date[EXPORT]):
            catalog[EXPORT].place.check()
        if skipping:
            _drop_states(catalog, [node for node in pipeline.nodes if node.name not in stale])
        _say_what_is_fresh(pipeline, stale, skipping)
        _pictures_first(pipeline)

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Let what the node makes say what it was made with and of."""
        self._lineage.check_together(node.inputs)  # some may have been made in this run
        self._unsaved[node.name] = {*node.outputs}
        self._lineage.keep(node.outputs, self._lineage.of_node(node.inputs))

    @hook_impl
    def before_dataset_saved(self, data: Any, node: Node) -> None:
        """Let what was read say from which images: splits of two sources are not one."""
        from hvrt_diffuser.data.images import LabelledImages

        if "raw_images" in node.inputs and isinstance(data, LabelledImages):
            self._lineage.keep_source(node.outputs, data.source)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any, node: Node) -> None:
        """Once images are read, say what is chosen for them, or all that stands in the way."""
        self._unsaved[node.name].discard(dataset_name)
        if not self._unsaved[node.name]:
            self._freshness.keep(node)
        if dataset_name not in ("images_train", "images_test"):
            return
        self._images[dataset_name] = data
        if len(self._images) < 2:
            return
        from hvrt_diffuser.pipelines.preflight import adapted, problems, refuse

        both = self._images["images_train"], self._images["images_test"]
        if found := problems(*both, self._parameters, self._outputs):
            raise refuse(found, [*_program(), *sys.argv[1:]])
        for sentence in adapted(*both, self._parameters, self._outputs):
            logger.info(sentence)


def _read_with(
    inputs: Iterable[str], makers: Mapping[str, str], pipeline: Pipeline, catalog: Any
) -> list[str]:
    """What lies there and was read together with real images that are read now.

    A stage that needs training images alone would else take some of another origin.
    """
    if INGEST not in {makers.get(name) for name in inputs}:
        return []
    beside = {name for name, maker in makers.items() if maker == INGEST}
    beside -= {*inputs, *pipeline.datasets()}
    return sorted(name for name in beside if catalog.exists(name))


def _drop_states(catalog: Any, skipped: Iterable[Node]) -> None:
    """Remove what a training was to go on from that was begun again, and is not needed."""
    from hvrt_diffuser.catalog import CheckpointDataset

    for dataset in (catalog[name] for node in skipped for name in node.inputs):
        if isinstance(dataset, CheckpointDataset):
            dataset.load().path.unlink(missing_ok=True)


def _say_what_is_fresh(pipeline: Pipeline, stale: set[str], skipping: bool) -> None:
    fresh = [node.name for node in pipeline.nodes if node.name not in stale]
    if fresh and skipping:
        logger.info("up to date, and skipped: %s", ", ".join(fresh))
    elif fresh:
        logger.info(
            "%d of %d nodes are up to date: --only-missing-outputs runs the others alone",
            len(fresh),
            len(pipeline.nodes),
        )


def _pictures_first(pipeline: Pipeline) -> None:
    """Let what leads to the first synthetic images run before baselines and judges.

    Kedro goes by levels of dependency alone, and knows no order within one.
    """
    wanted = {"sample_grid", "synthetic_images"} & pipeline.all_outputs()
    if wanted:
        ahead = pipeline.to_outputs(*sorted(wanted)).nodes
        others = [node for node in pipeline.nodes if node not in ahead]
        pipeline.nodes = [*ahead, *others]


class OneAtATime:
    """A run is one process's alone, but for experiments, which divide their work among several."""

    def __init__(self) -> None:
        self._turn: Turn | None = None

    @hook_impl(trylast=True)
    def before_pipeline_run(self, pipeline: Pipeline, catalog: Any) -> None:
        """Raise InputError where another process is at work on the run."""
        self._give()  # in one process with a run that was refused, or that Ctrl-C has ended
        folder = Path(str(catalog["autoencoder"]._filepath)).parent
        folder.mkdir(parents=True, exist_ok=True)
        turn = Turn(folder)
        shared = "experiments" in pipeline.inputs()
        if not turn.take_if_free(shared=shared):
            raise InputError(
                f"another process is at work on the run {folder.name}, expected none, or each "
                "would write over what the other reads: wait for it, or choose another run_name"
            )
        self._turn = turn
        datasets = [catalog.get(name) for name in pipeline.datasets()]
        files = [Path(str(each._filepath)) for each in datasets if hasattr(each, "_filepath")]
        for place in {path.parent for path in files}:
            remove_left(place)
        if shared:
            remove_left(Path(str(catalog["experiments"]._filepath)), below=True)

    @hook_impl
    def after_pipeline_run(self) -> None:
        """Let others have it."""
        self._give()

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Let others have it."""
        self._give()

    def _give(self) -> None:
        if self._turn is not None:
            self._turn.give()
            self._turn = None


class TaskEngine:
    """The engine of the parameters, for as long as the nodes run."""

    def __init__(self) -> None:
        self._open = ExitStack()

    @hook_impl(trylast=True)
    def before_pipeline_run(self, catalog: Any) -> None:
        """Raise InputError where its scheduler or a worker cannot be used."""
        self._give_up(KeyboardInterrupt())  # in one process with a run that Ctrl-C has ended
        from hvrt_diffuser.common.engine import EngineOptions
        from hvrt_diffuser.common.engines import opened
        from hvrt_diffuser.pipelines.parameters import uses_gpu

        parameters = catalog.load("parameters")
        options = EngineOptions.model_validate(parameters["engine"])
        folder = Path(str(catalog["autoencoder"]._filepath)).parent / TASKS
        self._open.enter_context(opened(options, folder, gpu=uses_gpu(parameters)))

    @hook_impl(tryfirst=True)
    def after_pipeline_run(self) -> None:
        """Let go of the workers, and of what finished tasks have left."""
        self._open.close()

    @hook_impl(tryfirst=True)
    def on_pipeline_error(self, error: Exception) -> None:
        """Let go of the workers; what finished tasks have left is for the next run."""
        self._give_up(error)

    def _give_up(self, error: BaseException) -> None:
        self._open.__exit__(type(error), error, error.__traceback__)


class RawImages:
    """The parameter block ``dataset`` as the catalog entry ``raw_images``."""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep the folder that relative paths start from."""
        self._project = Path(context.project_path)

    @hook_impl
    def after_catalog_created(self, catalog: Any, parameters: dict[str, Any]) -> None:
        """Add the entry."""
        from hvrt_diffuser.catalog import ImageSourceDataset

        options = parameters["params:dataset"]
        fields = options if isinstance(options, dict) else options.model_dump()
        arguments = {k: v for k, v in fields.items() if k not in OF_THE_SPLIT}
        if arguments.get("root") is not None:
            arguments["root"] = str(self._project / Path(arguments["root"]).expanduser())
        catalog["raw_images"] = ImageSourceDataset(
            **arguments, metadata={"kedro-viz": {"layer": "raw"}}
        )


class RunSummary:
    """Time and memory of each node, kept for the report; and at the end a verdict."""

    def __init__(self) -> None:
        self._start = 0.0
        self._started: dict[str, float] = {}
        self._seconds: dict[str, float] = {}
        self._see_more: str | None = None
        self._command = ""

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Keep what ``kedro viz`` needs to show the same run."""
        if not (Path(context.project_path) / "pyproject.toml").is_file():
            return  # kedro viz needs a project
        name = context.config_loader.runtime_params.get("run_name")
        kedro = "kedro" if shutil.which("kedro") else os.path.relpath(sys.executable) + " -m kedro"
        self._see_more = f"{kedro} viz run"
        self._see_more += f" --env {context.env}" if context.env else ""
        self._see_more += f" --params run_name={name}" if name else ""

    @hook_impl
    def before_pipeline_run(self, catalog: Any) -> None:
        """Start the clock."""
        self._start = time.perf_counter()
        on_interrupt(self._say_how_to_go_on)
        self._command = readable(" ".join([Path(sys.argv[0]).name, *sys.argv[1:]]))
        self._seconds.clear()
        self._catalog = catalog
        catalog.load(STAGES)  # a foreign file is refused now, and not after the first node

    def _say_how_to_go_on(self) -> None:
        if self._see_more is None:
            return  # no command of Kedro's
        words = [word for word in sys.argv[1:] if word != GO_ON]
        command = shlex.join([*_program(), *words, GO_ON])
        print(  # noqa: T201
            "\nInterrupted. What is written is whole. This command goes on from there: " + command,
            file=sys.stderr,
        )

    @hook_impl
    def before_node_run(self, node: Node) -> None:
        """Start the node's clock."""
        reset_peak()
        self._started[node.name] = time.perf_counter()

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Count what making and saving took: synthetic images are made as they are saved."""
        seconds = time.perf_counter() - self._started[node.name]
        found = memory()
        self._seconds[node.name] = seconds
        stage = {
            "seconds": round(seconds, 2),
            "peak_mb": round(found[1]) if found else None,
            "command": self._command,
        }
        folder = Path(str(self._catalog[STAGES]._filepath)).parent
        folder.mkdir(parents=True, exist_ok=True)
        with Turn(folder):  # another process may be at another stage
            stages = self._catalog.load(STAGES) or {}
            self._catalog.save(STAGES, {**stages, node.name: stage})
        logger.info("%s: %s written, %.1f s", node.name, dataset_name, seconds)

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: Any) -> None:
        """Say what came out of this run; of an earlier one, nothing: its images may be others."""
        from hvrt_diffuser.report.verdict import describe_run

        made = pipeline.all_outputs()
        if not made & {"synthetic_images", *METRICS}:
            return
        evaluation, tstr = (catalog.load(name) if name in made else None for name in METRICS)
        places = {
            "Synthetic images": "synthetic_images",
            "A look at them": "sample_grid",
            "Report": "report_page",
        }
        print(  # noqa: T201
            describe_run(
                evaluation,
                tstr,
                places={
                    title: _place(catalog, name)
                    for title, name in places.items()
                    if name in made or name == "synthetic_images"
                },
                seconds=time.perf_counter() - self._start,
                node_seconds=self._seconds,
                see_more=self._see_more,
            )
        )


def _program() -> list[str]:
    """What was typed before the arguments: ``kedro``, ``python -m kedro``, or torchrun's words."""
    return Path(sys.argv[0]).name.split()


def _place(catalog: Any, name: str) -> str:
    """Where a dataset lies, from the working directory."""
    return os.path.relpath(str(catalog[name]._filepath))
