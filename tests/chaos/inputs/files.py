"""What a run has left and reads again: tampered with, broken, or of another run."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from chaos.inputs.case import Case, stage
from chaos.kills import References, command
from chaos.processes import run
from chaos.project import RUN, SETTINGS, TIMES, Project, set_parameters
from hvrt_diffuser.pipeline_registry import register_pipelines

ALONE = ("balance", "shots", "hpo", "benchmark")
JSON_TAMPERED: Mapping[str, bytes] = {
    "[]": b"[]",
    "null": b"null",
    "7": b"7",
    "{}": b"{}",
    "a text": b'"ab"',
    "nothing": b"",
    "not JSON": b"{'a': 1}",
    "random bytes": bytes(random.Random(0).randbytes(200)),
    "NaN": b'{"a": NaN}',
}
DEPTH = 100_000  # of brackets, more than a parser's stack holds


@cache
def stored() -> dict[str, tuple[str, tuple[str, ...]]]:
    """Datasets with files: where each lies, and the stages that read it without making it."""
    root = Path(__file__).parents[3]
    catalog = yaml.safe_load((root / "conf" / "base" / "catalog.yml").read_text())
    pipelines = register_pipelines()
    found = {}
    for name, entry in catalog.items():
        path = entry.get("filepath", "") if isinstance(entry, dict) else ""
        readers = tuple(
            stage
            for stage, pipeline in pipelines.items()
            if stage != "__default__" and name in pipeline.inputs()
        )
        if path and readers and "checkpoint" not in path and Path(path).suffix:
            found[name] = (path.replace("${_run}", RUN), readers)
    return found


def _draw(rng: random.Random, *endings: str, without: tuple[str, ...] = ()) -> tuple[str, str, str]:
    """A dataset, its file, and a stage that reads it."""
    files = {name: Path(path) for name, (path, _) in stored().items()}
    chosen = [n for n, p in files.items() if p.suffix in endings and p.name not in without]
    name = rng.choice(chosen)
    path, readers = stored()[name]
    usual = [reader for reader in readers if reader not in ALONE and not _is_experiment(reader)]
    return name, path, rng.choice(usual or list(readers))


def _is_experiment(name: str) -> bool:
    return name in ("variants", "phase1", "phase2", "phase3", "optimise", "sampler_frontier")


def tampered_json(rng: random.Random) -> Case:
    """A JSON file that holds something else, and a stage that reads it."""
    if rng.random() < 0.2:
        return _tampered_record(rng)
    name, path, reader = _draw(rng, ".json")
    what, change = _json_change(rng)
    return Case(f"{path} holds {what}, read by {reader}", stage(reader), _changed(path, change),
                names=(name, Path(path).name))  # fmt: skip


def _tampered_record(rng: random.Random) -> Case:
    """Of records that a run can do without it has to go on, or refuse."""
    path = rng.choice(("stages.json", "nodes.json", "report.json"))
    what, change = _json_change(rng)
    typed = stage("generation")
    if path == "report.json":
        typed = ("hvrt-diffuser", "runs", *rng.choice((("list",), ("show", RUN))))
    full = f"data/08_reporting/{RUN}/{path}"
    return Case(f"{path} holds {what}", typed, _changed(full, change), expected="either")


def _json_change(rng: random.Random) -> tuple[str, Callable[[bytes], bytes]]:
    what = rng.choice((*JSON_TAMPERED, "half of it", "brackets without end", "other types"))
    if what == "half of it":
        return what, lambda before: before[: len(before) // 2]
    if what == "brackets without end":
        return what, lambda before: b"[" * DEPTH
    if what == "other types":
        return what, lambda before: json.dumps(dict.fromkeys(json.loads(before), 7)).encode()
    return what, lambda before: JSON_TAMPERED[what]


def broken_binary(rng: random.Random) -> Case:
    """A model, images, latents or predictions that are cut short, flipped, or something else."""
    _, path, reader = _draw(rng, ".safetensors", ".parquet")
    at = rng.random()
    changes: dict[str, Callable[[bytes], bytes]] = {
        "is empty": lambda before: b"",
        f"is cut at {at:.0%}": lambda before: before[: int(at * len(before))],
        f"has a bit flipped at {at:.0%}": lambda before: _flipped(before, at),
        "is random bytes": lambda before: random.Random(at).randbytes(len(before)),
        "is a foreign file": lambda before: _foreign(path),
        "has a tail": lambda before: before + b"\0" * 64,
    }
    what = rng.choice([*changes])
    return Case(f"{path} {what}, read by {reader}", stage(reader), _changed(path, changes[what]))


def _flipped(before: bytes, at: float) -> bytes:
    place = int(at * len(before))
    return before[:place] + bytes([before[place] ^ 4]) + before[place + 1 :]


def _foreign(path: str) -> bytes:
    """A whole file of the kind, written by somebody else."""
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq
    import safetensors.torch
    import torch

    if path.endswith(".safetensors"):
        return bytes(safetensors.torch.save({"weight": torch.zeros(3)}))
    buffer = io.BytesIO()
    pq.write_table(pa.table({"a": [1, 2, 3]}), buffer)
    return buffer.getvalue()


def gone(rng: random.Random) -> Case:
    """A folder where a file should lie, or nothing at all."""
    name, path, reader = _draw(rng, ".safetensors", ".parquet", ".json")
    folder = rng.random() < 0.6

    def prepare(project: Project, references: References) -> None:
        target = project.path / path
        target.unlink(missing_ok=True)
        if folder:
            target.mkdir()

    what = "is a folder" if folder else "is not there"
    optional = name in ("added_images", "tstr_metrics", "data_look", "stages", "nodes")
    expected = "either" if optional and not folder else "refused"
    return Case(f"{path} {what}, read by {reader}", stage(reader), prepare, expected=expected)


# ---- of another run

OTHERS: Mapping[str, Mapping[str, Any]] = {
    "another seed": {"seed": 1},
    "other images": {"dataset.root": "data/01_raw/others"},
    "another split": {"dataset.test_fraction": 0.3},
    "another training": {"ae_training.learning_rate": 0.002},
}


def mixed(rng: random.Random) -> Case:
    """A file of another run of the same shape in this run's folder."""
    name, path, reader = _draw(rng, ".safetensors", ".parquet", ".json", without=TIMES)
    origin = rng.choice([*OTHERS])
    while origin == "another training" and "images_" in name:  # which are the same
        origin = rng.choice([*OTHERS])
    others = [p for p, readers in stored().values() if reader in readers and p != path]
    more = [p for p in others if Path(p).name not in TIMES]
    paths = [path, *(rng.sample(more, 1) if more and rng.random() < 0.3 else ())]

    def prepare(project: Project, references: References) -> None:
        other = other_run(references, origin)
        changed = False
        for each in paths:
            source, target = other.path / each, project.path / each
            if source.exists() and target.exists():
                changed |= source.read_bytes() != target.read_bytes()
                shutil.copy(source, target)
        if not changed:
            raise NotDifferentError

    what = " and ".join(paths)
    return Case(f"{what} of {origin}, read by {reader}", stage(reader), prepare)


class NotDifferentError(Exception):
    """The other run has the same file, or none: this is no broken input, and another is drawn."""


def other_run(references: References, origin: str) -> Project:
    """A finished run of the same name in another project."""

    def make() -> Project:
        project = references.fresh.copy(references.folder / origin.replace(" ", "_"))
        root = project.path / SETTINGS["dataset"]["root"]
        others = root.with_name("others")
        for path in sorted(root.glob("*/*.png")):
            target = others / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(_turned(path))
        set_parameters(project, OTHERS[origin])
        done = run(command("run"), project.path, project.environment, references.limit)
        if done.code != 0:
            raise RuntimeError(f"a run of {origin} failed: {done.stderr[-2000:]}")
        return project

    found: Project = references.get(f"other run: {origin}", make)
    return found


def _turned(path: Path) -> bytes:
    """The same picture upside down."""
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.open(path).transpose(Image.Transpose.ROTATE_180).save(buffer, "PNG")
    return buffer.getvalue()


def _changed(path: str, change: Callable[[bytes], bytes]) -> Callable[[Project, References], None]:
    def prepare(project: Project, references: References) -> None:
        target = project.path / path
        if not target.exists():
            raise NotDifferentError
        before, times = target.read_bytes(), target.stat()
        after = change(before)
        if after == before:
            raise NotDifferentError
        target.write_bytes(after)
        os.utime(target, ns=(times.st_atime_ns, times.st_mtime_ns + 1))

    return prepare
