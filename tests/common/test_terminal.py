"""What fails is told in one sentence: ours, or Kedro's with what to do."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.config import OmegaConfigLoader
from kedro.pipeline import Pipeline, node
from kedro.utils import load_obj

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.terminal import describe

PIPELINE = Pipeline([node(lambda a: a, "a", "b", name="first")])


def configuration(text: str) -> Callable[[Path], Any]:
    def load(folder: Path) -> Any:
        for name in ("base", "local"):
            (folder / name).mkdir()
        (folder / "base" / "parameters.yml").write_text(text)
        loader = OmegaConfigLoader(str(folder), base_env="base", default_run_env="local")
        return loader["parameters"]

    return load


def twice(folder: Path) -> Any:
    """A key in two files of an environment."""
    (folder / "base").mkdir()
    for name in ("a", "b"):
        (folder / "base" / f"parameters_{name}.yml").write_text("seed: 1")
    return OmegaConfigLoader(str(folder), base_env="base", default_run_env="base")["parameters"]


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "a node": (lambda _: PIPELINE.only_nodes("second"), "named ['second']: kedro registry"),
    "a dataset": (lambda _: PIPELINE.to_outputs("c"), "named ['c']: kedro registry"),
    "a tag": (lambda _: PIPELINE.filter(tags=["none"]), "filters: kedro registry"),
    "a runner": (lambda _: load_obj("Nobody", "kedro.runner"), "'Nobody': kedro registry"),
    "an environment": (
        lambda folder: OmegaConfigLoader(str(folder), base_env="none")["parameters"],
        "the folders below conf/ are the environments",
    ),
    "a value of nothing": (
        configuration("seed: ${none}"),
        "seed: Interpolation key 'none' not found: correct it",
    ),
    "a value half written": (configuration("seed: ${"), "correct it below conf/"),
    "a key of nothing": (configuration("seed: {? }"), "seed: Incompatible key type"),
    "a key in two files": (twice, ".yml: seed: keep each key in one file"),
    "YAML that breaks off": (configuration("seed: ["), "parameters.yml"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_one_sentence_with_what_to_do(tmp_path: Path, case: str) -> None:
    refuse, said = REFUSED[case]
    with pytest.raises(Exception) as error:
        refuse(tmp_path)
    sentence = describe(error.value)
    assert sentence is not None
    assert said in sentence
    assert "\n" not in sentence


def test_an_error_of_the_code_keeps_its_traceback() -> None:
    with pytest.raises(ValueError, match="odd") as error:
        raise ValueError("odd")
    assert describe(error.value) is None


def test_a_cause_that_says_what_to_do_comes_first() -> None:
    try:
        try:
            raise InputError("found a, expected b: do c")
        except InputError as cause:
            raise ValueError("pipeline failed") from cause
    except ValueError as error:
        assert describe(error) == "found a, expected b: do c"


def test_what_a_user_can_mend_is_a_sentence() -> None:
    assert (
        describe(InputError("x is 3, expected 2: correct it")) == "x is 3, expected 2: correct it"
    )
    assert describe(KeyError("x")) is None


@pytest.mark.parametrize("name", ["\x1b[2J", "a\nb", "\udcff", "\u202e"])
def test_names_in_it_are_shown_as_they_are(name: str) -> None:
    said = describe(InputError(f"there is no class {name}"))
    assert said is not None
    assert said.isprintable()


@pytest.mark.parametrize("value", ["[", "...", "{a", "a: b: c", "\udcff"])
def test_a_value_that_is_no_yaml(value: str) -> None:
    """``kedro run --params x=[`` stops there, before the project hears of it."""
    with pytest.raises(yaml.YAMLError) as caught:
        yaml.safe_load(value)
    said = describe(caught.value)
    assert said is not None
    assert "no YAML (" in said
    assert value == "\udcff" or repr(value) in said  # of those bytes, YAML keeps nothing
    assert said.isprintable()


def test_the_system_s_own_words_become_a_sentence(tmp_path: Path) -> None:
    loop = tmp_path / "loop.png"
    loop.symlink_to(loop)
    with pytest.raises(OSError) as caught:
        loop.read_bytes()
    said = describe(caught.value)
    assert said is not None
    assert said.startswith(f"{loop} could not be read or written (Too many levels")
    assert "Errno" not in said


def test_an_interruption_is_no_traceback() -> None:
    code = (
        "import hvrt_diffuser.hooks, signal;"
        # Who is started in the background does not hear it by itself.
        "signal.signal(signal.SIGINT, signal.default_int_handler);"
        "signal.raise_signal(signal.SIGINT); input()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == "Interrupted.\n"
    assert done.returncode in (-signal.SIGINT, 130)
