"""``hvrt-diffuser runs``: what lies below ``data/``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hvrt_diffuser.command import main
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.card import export_place

QUESTIONS = ("likeness", "utility", "novelty", "membership")


def report(e: float, grade: str) -> dict[str, Any]:
    interval = {"low": e - 0.1, "high": e + 0.1}
    return {
        "dataset": {"source": f"image_folder {grade}"},
        "parameters": {"generation.sampler": "hvrt"},
        "verdict": {
            name: {"question": f"{name}?", "grade": grade, "sentence": "So it is."}
            for name in QUESTIONS
        },
        "likeness": {"e": e, **interval},
        "evaluation": {"fd_classifier": {"synthetic": 10 * e}},
        "tstr": [{"row": "real_all", "mean": 99.0}, {"row": "synthetic", "mean": 90 + e}],
        "gain_over_augmentation": {"mean": -e, "low": -e - 0.1, "high": -e + 0.1},
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two finished runs, one without a report, and raw images."""
    data = tmp_path / "project" / "data"
    for name in ("first", "second", "begun"):
        for layer in ("03_primary", "06_models", "08_reporting"):
            (data / layer / name).mkdir(parents=True)
            (data / layer / name / "file").write_text("x")
    (data / "01_raw" / "photos").mkdir(parents=True)
    (data / "04_feature").mkdir()
    (data / "08_reporting" / ".hidden").mkdir()
    for name, e, grade in (("first", 0.5, "good"), ("second", 2.0, "poor")):
        path = data / "08_reporting" / name / "report.json"
        path.write_text(json.dumps(report(e, grade)))
    return data


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_runs_are_listed_with_their_verdicts(
    data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs", "list", "--data", str(data)]) == 0
    head, *lines = capsys.readouterr().out.splitlines()
    assert head.split() == ["images", "sampler", "when", *QUESTIONS]
    by_name = {line.split()[0]: line for line in lines}
    assert set(by_name) == {"first", "second", "begun"}
    assert "image_folder good" in by_name["first"]
    assert by_name["first"].split()[-4:] == ["good"] * 4
    assert by_name["begun"].split()[-4:] == ["-"] * 4


@pytest.mark.parametrize("inner", ["", "data"])
def test_the_folder_of_a_project_will_do(
    data: Path, inner: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(data.parent)
    assert main(["runs", "list", *(["--data", str(data.parent / inner)] if inner else [])]) == 0
    assert "second" in capsys.readouterr().out


def test_one_is_shown_with_its_answers(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "show", "second", "--data", str(data)]) == 0
    printed = capsys.readouterr().out
    assert "2.000 [1.900, 2.100]" in printed
    assert printed.count("So it is.") == 4
    assert str(data / "06_models" / "second") in printed


def test_several_are_compared_in_one_table(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs", "compare", "first", "second", "begun", "--data", str(data)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["first", "second", "begun"]
    rows = {line.split()[0]: line for line in lines}
    assert rows["likeness"].split() == ["likeness", "good", "poor", "-"]
    assert rows["FD"].split() == ["FD", "5.00", "20.00", "-"]
    assert "90.50" in rows["TSTR"]
    assert "-2.00 [-2.10, -1.90]" in rows["gain"]


def test_one_alone_is_not_compared(data: Path) -> None:
    with pytest.raises(InputError, match="two runs"):
        main(["runs", "compare", "first", "first", "--data", str(data)])


def test_all_files_of_a_run_are_deleted_and_no_others(data: Path) -> None:
    others = {name for name in files(data) if "/first/" not in name}
    assert main(["runs", "delete", "first", "--yes", "--data", str(data)]) == 0
    assert files(data) == others
    assert not (data / "06_models" / "first").exists()


@pytest.mark.parametrize("own", ["LICENSE", "README.md"])
def test_a_run_with_a_file_of_the_user_s_in_its_export_stays(data: Path, own: str) -> None:
    folder = data / "07_model_output" / "first" / "dataset"
    with export_place(folder).filled() as inner:
        (inner / "README.md").write_text("a card")
    before = files(data)
    (folder / own).write_text("mine")
    with pytest.raises(InputError, match=rf"{own} is not as hvrt_diffuser wrote it"):
        main(["runs", "delete", "first", "--yes", "--data", str(data)])
    assert files(data) == before | {f"07_model_output/first/dataset/{own}"}
    (folder / "README.md").write_text("a card")
    (folder / "LICENSE").unlink(missing_ok=True)
    assert main(["runs", "delete", "first", "--yes", "--data", str(data)]) == 0


def test_folders_that_are_no_layers_are_no_runs(data: Path) -> None:
    (data / "02_holidays" / "alice").mkdir(parents=True)
    with pytest.raises(InputError, match="no run called"):
        main(["runs", "delete", "alice", "--yes", "--data", str(data)])


@pytest.mark.parametrize(
    "name", ["..", ".", "../..", "first/../second", "photos", "", "/", ".hidden", "first/", "FIRST"]
)
def test_only_the_name_of_a_run_is_deleted(data: Path, name: str) -> None:
    before = files(data.parent)
    with pytest.raises(InputError, match="no run called"):
        main(["runs", "delete", name, "--yes", "--data", str(data)])
    assert files(data.parent) == before


def test_a_linked_folder_stays_where_it_is(data: Path, tmp_path: Path) -> None:
    away = tmp_path / "elsewhere"
    (data / "06_models" / "first").rename(away)
    (data / "06_models" / "first").symlink_to(away)
    assert main(["runs", "delete", "first", "--yes", "--data", str(data)]) == 0
    assert (away / "file").exists()
    assert not (data / "06_models" / "first").is_symlink()


@pytest.mark.parametrize(("answer", "left"), [("no", True), ("", True), ("yes", False)])
def test_it_asks_first(
    data: Path, monkeypatch: pytest.MonkeyPatch, answer: str, left: bool
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    assert main(["runs", "delete", "first", "--data", str(data)]) == 0
    assert (data / "06_models" / "first").exists() == left


def test_where_nobody_can_be_asked_nothing_is_deleted(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    with pytest.raises(InputError, match="--yes"):
        main(["runs", "delete", "first", "--data", str(data)])
    assert (data / "06_models" / "first").exists()


def test_a_folder_without_runs_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run"):
        main(["runs", "list", "--data", str(tmp_path)])
