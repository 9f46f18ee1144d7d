"""The commands of README and docs, run as they stand, in their order; or why one is not.

Short settings are put where a user's own would be, and the commands are not touched. A command may
build on what an earlier one left, as it does for who reads along.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from torchvision.io import write_png

from hvrt_diffuser.data.images import LabelledImages

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGES = ("README.md", *sorted(p.relative_to(ROOT).as_posix() for p in ROOT.glob("docs/*.md")))
PHOTOS = {"plane": 60, "rocket": 16, "ship": 60}  # of each class; what the pages call photos
TIMEOUT = 900
SHORT = """
device: cpu
ae_training: {latent_dim: 8, width: 8, steps: 60}
generation: {n: 120}
evaluation:
  judge: {width: 8, steps: 60, evaluate_every: 20}
tstr:
  seeds: 2
  classifier: {width: 8, steps: 20}
  until_validation: {width: 8, steps: 40, evaluate_every: 20}
samplers:
  flow_map: {width: 32, blocks: 2, training_steps: 60, trajectories: 2000, distillation_steps: 30}
  coarse_to_fine: {latent_dim: 16, width: 32, training_steps: 3, perception_steps: 3}
"""

NOT_RUN = {
    r"^make ": "it installs, and CI calls it",
    r"^pip install": "it installs",
    r"--env (mnist|cifar10|fashion_mnist)|hvrt_diffuser\.experiments|entries": "of complete "
    "datasets, for hours; docs/results has what it gave",
    r"^(mkdir|cp) ": "it copies results of complete MNIST",
    r"device=cuda": "it needs a GPU",
    r"torchrun": "it is of many GPUs: tests/runs/test_several_processes.py",
    r"^dask |10\.0\.0\.1": "of machines that the reader has: tests/common/test_engine.py",
    r"scheduler\.json|^(for|CUDA_VISIBLE_DEVICES=|done)": "they are for such machines as well",
    r"training_steps=300": "it takes ten minutes, and is the one before it with other steps",
    r"-n 1000000": "of hours: tests/command/test_draw.py has few of them",
    r"viz run": "a server: test_viz.py",
    r" serve ": "a server: tests/serve/test_process.py",
    r"^curl": "it asks a server: tests/serve/test_process.py",
    r"ae_training\.pretrained": "of weights that the reader has: tests/pipelines has random ones",
}
MAY_FALL_SHORT = "--require"  # which exits with 3 where a grade falls short


def commands() -> Iterator[Any]:
    """Each command of a page as it stands, once."""
    seen = set()
    for page in PAGES:
        for language, block in FENCE.findall((ROOT / page).read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines() if language == "sh" else ():
                words = shlex.split(line, comments=True)
                text = shlex.join(words)
                if not words or text in seen:
                    continue
                seen.add(text)
                reasons = [why for pattern, why in NOT_RUN.items() if re.search(pattern, text)]
                marks = [pytest.mark.skip(reason=reasons[0])] if reasons else []
                yield pytest.param(text, id=f"{page}: {text[:120]}", marks=marks)


def modules() -> Iterator[tuple[str, str]]:
    """Modules that a page asks its reader to write, by file name."""
    for page in PAGES:
        for language, block in FENCE.findall((ROOT / page).read_text(encoding="utf-8")):
            named = re.match(r"# (my_\w+\.py)\n", block)
            if language == "python" and named:
                yield named[1], block
            elif language == "python" and "class Stripes(" in block:
                yield "my_images.py", block


@pytest.fixture(scope="module")
def place(
    make_project: Callable[[Path], Any],
    digits: LabelledImages,
    tmp_path_factory: pytest.TempPathFactory,
) -> Any:
    """A project with short settings, and beside it what a reader has: photographs and modules."""
    project = make_project(tmp_path_factory.mktemp("documented") / "project")
    for base in ("conf/base", "src/hvrt_diffuser/conf/base"):
        path = project.path / base / "parameters.yml"
        path.write_text(path.read_text() + SHORT)
    own = project.path / "conf/photographs/parameters.yml"  # an environment goes before the base
    own.write_text(yaml.safe_dump(merged(yaml.safe_load(own.read_text()), yaml.safe_load(SHORT))))
    for folder in ("photos", "real", "held_out"):
        for c, (name, count) in enumerate(PHOTOS.items()):
            (project.path / folder / name).mkdir(parents=True)
            of_class = (digits.labels == c).nonzero()[:, 0]
            start = count if folder == "held_out" else 0
            for i, row in enumerate(of_class[start : start + count].tolist()):
                image = digits.images[row].repeat_interleave(2, 1).repeat_interleave(2, 2)
                write_png(image, str(project.path / folder / name / f"{i}.png"))
    for name, text in modules():
        (project.path / "src" / name).write_text(text)
    run(project, "kedro run")  # which is what `make run` calls
    return project


def merged(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """Nested values of both, the other's where both have some."""
    both = {k: merged(one[k], v) for k, v in other.items() if isinstance(one.get(k), dict)}
    return {**one, **other, **both}


def run(project: Any, command: str) -> None:
    """Run a command in the project's folder, with the programs of this environment."""
    words = shlex.split(command)
    programs = {"kedro": ["-m", "kedro"], "hvrt-diffuser": ["-m", "hvrt_diffuser"]}
    done = subprocess.run(
        [sys.executable, *programs[words[0]], *words[1:]],
        cwd=project.path,
        env=project.environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )
    allowed = {0, 3} if MAY_FALL_SHORT in words else {0}
    assert done.returncode in allowed, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.parametrize("command", commands())
def test_it_runs(command: str, place: Any) -> None:
    run(place, command)


def test_every_reason_is_needed() -> None:
    texts = [str(param.id) for param in commands() if param.marks]
    assert len(texts) >= len(NOT_RUN) - 1
    assert all(
        any(re.search(pattern, p.values[0]) for p in commands())  # type: ignore[arg-type]
        for pattern in NOT_RUN
    )
