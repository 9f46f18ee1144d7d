"""``hvrt-diffuser judge``: folders and files in, a verdict out, and an exit code for builds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image
from torch import Tensor

from hvrt_diffuser.command import main as run_command
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.card import export_place
from hvrt_diffuser.data.images import LabelledImages

QUESTIONS = {"likeness", "utility", "novelty", "membership"}


def write(folder: Path, images: LabelledImages, change: Callable[[Tensor], Tensor] = Tensor.clone):
    for i, (image, label) in enumerate(zip(change(images.images), images.labels, strict=True)):
        place = folder / images.class_names[int(label)]
        place.mkdir(parents=True, exist_ok=True)
        planes = image.permute(1, 2, 0).numpy()
        Image.fromarray(planes[:, :, 0] if len(image) == 1 else planes).save(place / f"{i}.png")
    return folder


@pytest.fixture(scope="module")
def folders(digits: LabelledImages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real digits in folders: 600 to train, 300 to test, 300 fresh, and copies of the first."""
    root = tmp_path_factory.mktemp("judged")
    for name, rows in {"train": (0, 600), "test": (600, 900), "fresh": (900, 1200)}.items():
        write(root / name, digits[torch.arange(*rows)])
    write(root / "copies", digits[torch.arange(300)])
    write(root / "small", digits[torch.arange(30)], lambda x: x[:, :, :20])
    write(root / "colour", digits[torch.arange(30)], lambda x: x.expand(-1, 3, -1, -1))
    write(root / "few", digits[torch.arange(1200, 1205)])
    fresh = digits[torch.arange(900, 1200)]
    write(root / "without_3", fresh[fresh.labels != 3])
    write(root / "one_class" / "train", fresh[fresh.labels == 3])
    named = LabelledImages(fresh.images, fresh.labels, tuple("abcdefghij"), "others")
    write(root / "others", named)
    (write(root / "broken", digits[torch.arange(20)]) / "0" / "x.png").write_bytes(b"no image")
    return root


@pytest.fixture
def judge(folders: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[..., int]]:
    def run(synthetic: str, *more: str, train: str = "train", test: str | None = "test") -> int:
        given = ["--train", str(folders / train), "--synthetic", str(folders / synthetic)]
        given += ["--test", str(folders / test)] if test else []
        return run_command(["judge", *given, "--no-training", *more])

    yield run


def test_copies_are_told_and_everything_is_written(
    judge: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert judge("copies", "--out", str(tmp_path / "out")) == 0
    printed = capsys.readouterr().out
    assert "Are they copies? Yes" in printed
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert set(report["verdict"]) == QUESTIONS
    assert report["verdict"]["novelty"]["grade"] == "poor"
    assert report["verdict"]["utility"]["grade"] == "unknown"
    assert report["copies"]["exact"] == 300
    page = (tmp_path / "out" / "report.html").read_text()
    for own in report["verdict"].values():
        assert own["question"] in page
    assert page.count("<img") >= 3
    assert (tmp_path / "out" / "README.md").read_text().startswith("---\n")
    names = {"README.md", "report.html", "report.json"}
    assert {p.name for p in (tmp_path / "out").iterdir()} == {*names, ".hvrt_diffuser.json"}
    assert all(name in printed for name in names)


def test_a_verdict_is_written_around_files_that_lie_there(
    judge: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = {"README.md": "my project", "thesis.txt": "mine", "report.json": "mine"}
    for name, text in own.items():
        (tmp_path / name).write_text(text)
    for _ in range(2):
        assert judge("copies", "--out", str(tmp_path)) == 0
        for name, text in own.items():
            assert (tmp_path / name).read_text() == text
        assert (tmp_path / "README.new.md").read_text().startswith("---\n")
        assert "novelty" in json.loads((tmp_path / "report.new.json").read_text())["verdict"]
        assert (tmp_path / "report.html").is_file()
        assert "report.html, report.new.json" in capsys.readouterr().out


def test_a_verdict_does_not_take_the_place_of_an_export(
    judge: Callable[..., int], tmp_path: Path
) -> None:
    """It is told before minutes of judging."""
    with export_place(tmp_path).filled() as folder:
        (folder / "README.md").write_text("a card")
    with pytest.raises(InputError, match="of something else"):
        judge("nowhere", "--out", str(tmp_path))
    assert (tmp_path / "README.md").read_text() == "a card"


def test_a_grade_that_is_required_and_not_reached_exits_3(
    judge: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert judge("copies", "--require", "novelty=good,likeness=poor") == 3
    assert "novelty is poor, not good" in capsys.readouterr().err


def test_what_cannot_be_told_does_not_reach_a_grade(judge: Callable[..., int]) -> None:
    assert judge("few", "--require", "novelty=poor") == 3


def test_without_test_images_it_says_what_it_cannot_answer(
    judge: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert judge("fresh", test=None) == 0
    assert capsys.readouterr().out.count("There are no test images") >= 3


def test_exact_copies_need_no_test_images(
    judge: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert judge("copies", "--require", "novelty=fair", test=None) == 3
    assert "300 of them (100.0%) are training images" in capsys.readouterr().out


def test_images_that_were_made_of_others_are_judged_against_a_part(
    judge: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert judge("fresh", "--independent", test=None) == 0
    assert "There are no test images" not in capsys.readouterr().out


def test_a_class_that_is_missing_is_poor(
    judge: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert judge("without_3", "--require", "likeness=fair") == 3
    assert "No image of class 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("synthetic", "message"),
    [
        ("small", r"\(1, 20, 28\).*\(1, 28, 28\)"),
        ("colour", r"\(3, 28, 28\).*\(1, 28, 28\)"),
        ("others", "class a, b, c.*does not have"),
        ("broken", "x.png.*is no image"),
        ("nowhere", "does not exist"),
    ],
)
def test_what_does_not_compare_is_one_sentence(
    judge: Callable[..., int], synthetic: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        judge(synthetic)


ODD = (
    "_x",
    "$\\frac{$",
    "[red]",
    "{x}",
    "a\nb",
    "\u202eabc",
    "<b>",
    os.fsdecode(b"caf\xe9"),
    "#|`",
)


def test_classes_of_any_name_are_shown_as_they_are(
    digits: LabelledImages, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = (*ODD, "y" * 200)
    for part, rows in {
        "train": (0, 400),
        "test": (400, 600),
        os.fsdecode(b"\xff"): (600, 800),
    }.items():
        own = digits[torch.arange(*rows)]
        write(tmp_path / part, LabelledImages(own.images, own.labels, digits.class_names, ""))
        for place, name in enumerate(names):
            (tmp_path / part / str(place)).rename(tmp_path / part / name)
    without = tmp_path / os.fsdecode(b"\xff") / ODD[5]
    for path in without.iterdir():
        path.unlink()
    given = ["--train", tmp_path / "train", "--test", tmp_path / "test", "--out", tmp_path / "out"]
    given += ["--synthetic", tmp_path / os.fsdecode(b"\xff"), "--no-training"]
    assert run_command(["judge", *map(str, given)]) == 0
    printed = capsys.readouterr().out
    printed.encode("utf-8")
    assert r"No image of class \u202eabc" in printed
    assert "\u202e" not in printed
    report = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    shown = [name for name in names if "caf" not in name] + ["caf%E9"]
    assert set(report["dataset"]["classes"]) == set(shown)
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    for name in ("$\\frac{$", "[red]", "{x}", r"a\nb", r"\u202eabc", "&lt;b&gt;", "caf%E9"):
        assert name in page
    assert "<b>" not in page
    card = (tmp_path / "out" / "README.md").read_text("utf-8")
    features = yaml.safe_load(card.split("---\n")[1])["configs"][0]["features"]
    told = features[1]["dtype"]["class_label"]["names"]
    assert set(told.values()) == set(shown) - {ODD[5]}
    assert r"\[red\]" in card
    assert "%FF" in card


@pytest.mark.parametrize("require", ["novelty", "novelty=great", "beauty=good"])
def test_a_requirement_that_is_none_is_refused_before_anything_is_read(require: str) -> None:
    with pytest.raises(InputError, match="QUESTION=GRADE"):
        run_command(["judge", "--train", "nowhere", "--synthetic", "nowhere", "--require", require])


def test_identical_sets_are_copies_and_like_themselves(
    judge: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert judge("train", "--require", "novelty=fair") == 3


@pytest.mark.slow
def test_the_command_is_installed_and_an_error_is_one_line(folders: Path) -> None:
    command = Path(sys.executable).with_name("hvrt-diffuser")
    given = ["judge", "--train", str(folders / "nowhere"), "--synthetic", str(folders / "train")]
    done = subprocess.run([str(command), *given], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
def test_with_training_every_question_has_its_figures(folders: Path, tmp_path: Path) -> None:
    given = ["--train", folders / "train", "--synthetic", folders / "fresh"]
    given += ["--test", folders / "test", "--seeds", "2", "--out", tmp_path / "out"]
    assert run_command(["judge", *map(str, given)]) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    gain = report["gain_over_augmentation"]
    assert gain["low"] <= gain["mean"] <= gain["high"]
    assert {row["row"] for row in report["tstr"]} >= {"synthetic", "real_augmented"}
    assert set(report["likeness"]["by_extractor"]) == {"classifier", "random", "statistics"}
    assert len(report["per_class"]) == 10
    assert report["data"]["doubtful"] is not None
