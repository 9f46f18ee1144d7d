"""Jobs of an experiment on the workers of the run's engine, which fill its ledger."""

from __future__ import annotations

import importlib
import json
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch

from hvrt_diffuser.autoencoders import Autoencoder
from hvrt_diffuser.classifiers import Classifier
from hvrt_diffuser.common.engine import TaskKind, Tensors, current
from hvrt_diffuser.common.files import whole_file
from hvrt_diffuser.common.interruption import ending_together
from hvrt_diffuser.common.progress import progress
from hvrt_diffuser.data.images import LabelledImages, fingerprint
from hvrt_diffuser.experiments.jobs import Job
from hvrt_diffuser.experiments.ledger import Entry, Ledger, Work, hashed
from hvrt_diffuser.experiments.likelihoods import LikelihoodRunner
from hvrt_diffuser.experiments.options import BaseOptions, ExperimentOptions, LikelihoodOptions
from hvrt_diffuser.experiments.runner import Item, Runner
from hvrt_diffuser.experiments.warm_start import WarmStartRunner

__all__ = ["ITEMS", "Share", "Shared", "run_jobs", "tabulate_likelihoods"]

RUNNERS: dict[str, type[Runner]] = {"jobs": Runner, "warm_start": WarmStartRunner}


class Share(NamedTuple):
    """What a worker is told of an experiment.

    Attributes:
        runner: the file that tells how to make its runner.
        run: tells this run's tasks from finished ones of a run that was killed: what is measured
            is the ledger's to say, whose entries may have been deleted since.
    """

    runner: str
    run: str


class Measuring(Protocol):
    """Whoever measures works into a ledger."""

    ledger: Ledger
    device: torch.device


def run_jobs(runner: Runner, jobs: Sequence[Job], description: str) -> list[Entry]:
    """:meth:`Runner.run`, with what is missing measured by the workers of the run's engine.

    Raises:
        InputError: a job that cannot be made with these images or this autoencoder; before
            anything is measured.
    """
    runner.check(jobs)
    if current().folder is not None:
        items = runner.items(jobs)
        works = [(runner.work_of(item), item.dumped()) for item in items]
        Shared(runner).measure(works, description)
    return runner.run(jobs, description)


def tabulate_likelihoods(runner: LikelihoodRunner) -> Entry:
    """:meth:`LikelihoodRunner.table`, with what is missing measured by the engine's workers."""
    if current().folder is not None:
        works = [(work, {"place": place}) for place, work in enumerate(runner.works())]
        Shared(runner).measure(works, f"measuring {runner.name}")
    return runner.table()


class Shared:
    """A runner whose works are measured by the workers of the run's engine.

    Args:
        runner: here, which gives turns and says what is known.
    """

    def __init__(self, runner: Runner | LikelihoodRunner) -> None:
        self.engine, self.ledger, self.device = current(), runner.ledger, runner.device
        assert self.engine.folder is not None, "others do the tasks"
        self.share = Share(_described(runner, self.engine.folder), uuid.uuid4().hex)

    def measure(self, works: Sequence[tuple[Work, Entry]], description: str) -> None:
        """Have workers measure what the ledger lacks.

        What goes together is a task. What another run is at on this machine is left to it.

        Args:
            works: each with JSON by which a worker finds it.
            description: of the progress.
        """
        groups: dict[str, list[tuple[Work, Entry]]] = {}
        for work, sent in works:
            if self.ledger.known(work) is None:
                groups.setdefault(hashed(work.together), []).append((work, sent))
        if not groups:
            return

        def one(group: Sequence[tuple[Work, Entry]]) -> list[str]:
            with self.ledger.turn(group[0][0].together) as free:
                return self.measure_now(group) if free else []

        with (
            progress(description, sum(map(len, groups.values())), "entries") as advance,
            self.engine.callers(self.device) as pool,
        ):
            futures = [pool.submit(one, group) for group in groups.values()]
            with ending_together(lambda: pool.shutdown(cancel_futures=True)):
                for future in as_completed(futures):
                    for note in future.result():
                        advance(note)

    def measure_now(self, works: Sequence[tuple[Work, Entry]]) -> list[str]:
        """Have one worker measure works whose turn this process has; their notes."""
        text = json.dumps([sent for _, sent in works]).encode()
        return self.engine.run(
            ITEMS,
            f"{works[0][0].note}{' and what goes with it' if len(works) > 1 else ''}",
            self.share,
            {"items": torch.frombuffer(bytearray(text), dtype=torch.uint8)},
            gpu=self.device.type == "cuda",
        )


# ---- on a worker


def _measure(share: Share, given: Tensors) -> list[str]:
    """Measure what is missing of a share.

    Args:
        share: of an experiment.
        given: ``items``, uint8, the bytes of JSON.

    Returns:
        The notes of what is there now.
    """
    measuring, work_of = _runner(share.runner)
    works = [work_of(sent) for sent in json.loads(given["items"].numpy().tobytes())]
    for work in works:
        measuring.ledger.measured(work)
    return [work.note for work in works]


@lru_cache(maxsize=1)  # with the autoencoder and the fits that it keeps for what comes next
def _runner(path: str) -> tuple[Measuring, Callable[[Entry], Work]]:
    """The runner that a file tells of, and what finds a work in it."""
    told = json.loads(Path(path).read_text())
    train, test = LabelledImages.load(told["train"]), LabelledImages.load(told["test"])
    base, folder = BaseOptions.model_validate(told["base"]), Path(told["folder"])
    if told["kind"] == "likelihoods":
        likelihoods = LikelihoodOptions.model_validate(told["options"])
        own = LikelihoodRunner(
            told["name"], train, test, base, likelihoods, folder, told["command"]
        )
        return own, lambda sent: own.works()[sent["place"]]
    importlib.import_module(told["module"])  # registers the class of the autoencoder
    runner = RUNNERS[told["kind"]](
        train,
        test,
        Classifier.load(told["judge"]),
        Autoencoder.load(told["autoencoder"]),
        base,
        ExperimentOptions.model_validate(told["options"]),
        folder,
        only=None if told["only"] is None else frozenset(told["only"]),
    )
    return runner, lambda sent: runner.work_of(Item.loaded(sent))


def _save(notes: list[str], path: Path) -> None:
    with whole_file(path) as temporary:
        temporary.write_text(json.dumps(notes))


def _load(path: Path) -> list[str]:
    notes: list[str] = json.loads(path.read_text())
    return notes


ITEMS = TaskKind(_measure, _save, _load, file="notes.json")


# ---- on its way there


def _described(runner: Runner | LikelihoodRunner, folder: Path) -> str:
    """The file that tells how to make a runner; what it is made of lies beside it."""
    told: dict[str, Any] = {
        "train": _kept(folder, "images", runner.train),
        "base": runner.base.model_dump(mode="json"),
        "options": runner.options.model_dump(mode="json"),
        "folder": str(runner.folder.resolve()),
    }
    if isinstance(runner, LikelihoodRunner):
        told |= {"kind": "likelihoods", "name": runner.name, "command": runner.command}
        told |= {"test": _kept(folder, "images", runner.all_test)}
    else:
        told |= {
            "kind": next(kind for kind, own in RUNNERS.items() if type(runner) is own),
            "test": _kept(folder, "images", runner.test),
            "judge": _kept(folder, "judge", runner.judge),
            "autoencoder": _kept(folder, "autoencoder", runner.autoencoder),
            "module": type(runner.autoencoder).__module__,
            "only": None if runner.only is None else sorted(runner.only),
        }
    path = folder / f"runner-{hashed(told)}.json"
    if not path.exists():
        with whole_file(path) as temporary:
            temporary.write_text(json.dumps(told))
    return str(path)


def _kept(folder: Path, what: str, value: LabelledImages | Classifier | Autoencoder) -> str:
    """The file of something that all workers need."""
    own = fingerprint(value) if isinstance(value, LabelledImages) else value.fingerprint()
    path = folder / f"{what}-{own}.safetensors"
    if not path.exists():
        value.save(path)
    return str(path)
