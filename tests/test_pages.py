"""The commands of README and docs are commands, and the example of the README runs."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]
PAGES = (
    "README.md",
    *(path.relative_to(ROOT).as_posix() for path in sorted((ROOT / "docs").glob("**/*.md"))),
)
FENCE = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
OWN_CLASS = "my_"  # modules that a page asks its reader to write
CUT_SHORT = {"TrainingOptions()": "TrainingOptions(steps=30)", ".train\n": ".train[::8]\n"}


def commands(program: str) -> Iterator[Any]:
    """Each command of a page by its words, without what stands after it as a comment."""
    for page in PAGES:
        for block in FENCE.findall((ROOT / page).read_text(encoding="utf-8")):
            for line in block.replace("\\\n", " ").splitlines():
                words = shlex.split(line, comments=True)
                if words[:1] == [program] or words[:3] == ["python", "-m", program]:
                    own = words[words.index(program) + 1 :]
                    yield pytest.param(own, id=f"{page}: {' '.join(own)[:90]}")


@pytest.fixture(scope="module")
def pipelines() -> Any:
    from hvrt_diffuser.pipeline_registry import register_pipelines

    return register_pipelines()


@pytest.mark.parametrize("words", commands("kedro"))
def test_kedro_takes_it(words: list[str], pipelines: Any) -> None:
    """Options are Kedro's, and what they name is there; the parameters are those of a run."""
    from kedro.config import OmegaConfigLoader
    from kedro.framework.cli.project import run

    from hvrt_diffuser.pipelines.parameters import check_parameters
    from hvrt_diffuser.settings import CONFIG_LOADER_ARGS

    if words[0] != "run":
        assert words[:2] in (["viz", "run"], ["registry", "list"]), words
        return
    given = run.make_context("run", [word for word in words[1:] if word != "..."]).params
    assert given["env"] is None or (ROOT / "conf" / given["env"]).is_dir()
    names = {node.name for node in pipelines["__default__"].nodes}
    assert set(given["pipelines"] or []) <= pipelines.keys()
    assert set(given["node_names"] or []) <= names
    assert set(given["to_outputs"] or []) <= pipelines["__default__"].all_outputs()
    text = words[words.index("--params") + 1] if "--params" in words else ""
    if OWN_CLASS in text:
        pytest.skip("the reader writes the class that it names")
    if "file" in text.lower() and "dataset.root" not in text:
        pytest.skip("it names a file of the reader's")
    if "ae_training.pretrained" in text:
        pytest.skip("it names weights that the reader has or fetches")
    loader = OmegaConfigLoader(
        str(ROOT / "conf"),
        env=given["env"] or "local",
        runtime_params=given["params"] or {},
        **CONFIG_LOADER_ARGS,
    )
    check_parameters({**loader["parameters"], "run_name": "x"})


@pytest.mark.parametrize("words", commands("hvrt-diffuser"))
def test_the_command_line_takes_it(words: list[str]) -> None:
    from hvrt_diffuser import command

    words = [word for word in words if word != "..."]
    if words[-1:] == ["--help"]:
        words = words[:-1]
    if words and words[0] in command.COMMANDS:
        parse(words)


def parse(words: list[str]) -> None:
    """As ``main`` does it, without running anything."""
    from importlib import import_module

    from hvrt_diffuser import command
    from hvrt_diffuser.command.parser import Parser

    parser = Parser(prog="hvrt-diffuser")
    import_module(command.COMMANDS[words[0]][0]).add_parser(parser.add_subparsers(dest="command"))
    parser.parse_args(words)


@pytest.mark.parametrize("words", commands("make"))
def test_make_has_the_target(words: list[str]) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert {word for word in words if "=" not in word} <= set(targets)


def test_the_example_of_the_readme_runs(tmp_path: Path) -> None:
    [code] = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL
    )
    assert len(code.splitlines()) <= 14
    for long, short in CUT_SHORT.items():
        assert long in code
        code = code.replace(long, short)
    code = code.replace("train=digits)", "train=digits, n=100, training=TrainingOptions(steps=30))")
    before, names = Path.cwd(), {}
    os.chdir(tmp_path)
    try:
        exec(code, names)
    finally:
        os.chdir(before)
    assert names["threes"].shape == (16, 1, 28, 28)
    assert set(names["table"]["sampler"]) == {"hvrt", "gaussian_per_class", "real images", "copies"}
    assert (tmp_path / "comparison.png").stat().st_size > 10_000


def test_links_lead_somewhere() -> None:
    """Files that pages link to are there, and so are the headings."""
    broken = []
    for page in PAGES:
        text = (ROOT / page).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#\s]*)(#[^)\s]*)?\)", text):
            path, heading = target
            if path.startswith("http"):
                continue
            file = (ROOT / page).parent / path if path else ROOT / page
            if not file.exists():
                broken.append((page, path))
            elif heading and file.suffix == ".md" and heading[1:] not in anchors(file):
                broken.append((page, path + heading))
    assert not broken


def anchors(page: Path) -> set[str]:
    """Of the headings of a page, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", title).lower()).replace(" ", "-")
        for title in titles
    }
