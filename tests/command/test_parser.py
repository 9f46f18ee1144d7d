"""What the command line says where it is wrong, and how values are read."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hvrt_diffuser.command import COMMANDS, main
from hvrt_diffuser.command.settings import put, settings
from hvrt_diffuser.common.errors import InputError


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one sentence on a wrong use."""
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mkae", "photos"], ["mkae", "did you mean make?"]),
        (["xyz"], ["xyz", "make, draw"]),
        (["make", "photos", "--out", "x", "--smapler", "hvrt"], ["--smapler", "--sampler?"]),
        (["make", "photos", "--out", "x", "--form=parqet"], ["parqet", "did you mean parquet?"]),
        (["make", "photos"], ["--out", "hvrt-diffuser make --help"]),
        (["runs", "delte", "x"], ["delte", "did you mean delete?"]),
        (["runs", "list", "--dta", "x"], ["--dta", "did you mean --data?"]),
        (["draw", "model", "-n", "many"], ["-n", "many"]),
        (["--hlep"], ["--hlep", "did you mean --help?"]),
    ],
)
def test_a_wrong_use_is_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: list[str], words: list[str]
) -> None:
    sentence = said(capsys, *arguments)
    assert all(word in sentence for word in words), sentence


def test_without_a_command_there_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    printed = capsys.readouterr().out
    assert all(f"    {name} " in printed for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_shows_an_example(capsys: pytest.CaptureFixture[str], name: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    assert f"  hvrt-diffuser {name}" in capsys.readouterr().out.partition("example:")[2]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("run_name=2024", "2024"),
        ("run_name=no", "no"),
        ("run_name=1e3", "1e3"),
        ("run_name=2024-01-02", "2024-01-02"),
        ("dataset.group=^(a#b)=", "^(a#b)="),
        ("dataset.root=photos #1", "photos #1"),
        ("samplers.hvrt.strategy=null", "null"),
        ("ae_training.device=null", None),
        ("ae_training.epochs=40", 40),
        ("ae_training.principal_path=no", False),
        ("tstr.n=[1000,2000]", [1000, 2000]),
        ("tstr.n=40", 40),
        ("evaluation.extractors=[classifier, no]", ["classifier", "no"]),
        ("evaluation.extractors=classifier", ["classifier"]),
        ("ae_training.regulariser={kind: mmd, weight: 2.0}", {"kind": "mmd", "weight": 2.0}),
    ],
)
def test_a_value_is_read_as_its_parameter_has_it(text: str, value: Any) -> None:
    assert settings([text]) == {text.partition("=")[0]: value}


@pytest.mark.parametrize("text", ["seed", "seed=", "=3", "tstr.n=[1,", "balance.counts={a: b: c}"])
def test_what_sets_nothing_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--set"):
        settings([text])


def test_names_become_blocks() -> None:
    found: dict[str, Any] = {"tstr": {"seeds": 2}}
    put(found, "tstr.classifier.steps", 3)
    put(found, "seed", 1)
    assert found == {"tstr": {"seeds": 2, "classifier": {"steps": 3}}, "seed": 1}
    with pytest.raises(InputError, match=r"seed\.x"):
        put(found, "seed.x", 1)


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "hvrt_diffuser", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_misspelt_parameter_is_told_in_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    place, out = str(tmp_path / "photos"), str(tmp_path / "out")
    done = run("make", place, "--out", out, "--set", "ae_training.epoch=3")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert "did you mean epochs?" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_what_should_not_happen_keeps_its_traceback_in_a_file(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from hvrt_diffuser import __main__ as program

    def fail(arguments: list[str]) -> int:
        raise KeyError("a fault")

    monkeypatch.setattr(program, "run_command", fail)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["hvrt-diffuser", "make"])
    with pytest.raises(SystemExit) as stop:
        program.main()
    assert stop.value.code == 1
    error = capsys.readouterr().err
    assert "Traceback" not in error
    (kept,) = tmp_path.iterdir()
    assert str(kept) in error
    assert "KeyError: 'a fault'" in kept.read_text()


@pytest.mark.parametrize(
    "arguments", [["samplers"], ["--help"], ["make", "--help"], ["runs", "-h"]]
)
def test_what_only_lists_imports_nothing_heavy(arguments: list[str]) -> None:
    code = f"""
import sys
from hvrt_diffuser.command import main
try:
    main({arguments})
except SystemExit:
    pass
print(sorted({{"torch", "torchvision", "sklearn", "hvrt", "kedro", "pandas"}} & {{*sys.modules}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
