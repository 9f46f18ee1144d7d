"""``hvrt-diffuser draw``: images of a model, by the names of its classes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from torch import Tensor

from hvrt_diffuser import sharding
from hvrt_diffuser.autoencoders import Autoencoder
from hvrt_diffuser.command import drawing, main
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.shared_folder import MANIFEST
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources import read_images
from hvrt_diffuser.samplers import HVRTEstimator, load_sampler

NAMES = [*(f"digit {i}" for i in range(9)), "rocket"]


@pytest.fixture(scope="module")
def model(
    autoencoder: Autoencoder,
    latents: Tensor,
    digits: LabelledImages,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """As ``make`` leaves it in its folder."""
    folder = tmp_path_factory.mktemp("made") / "model"
    sampler = HVRTEstimator().fit(latents[:500], digits.labels[:500], seed=0)
    real = {"trained_on": {"source": "image_folder digits", "classes": NAMES}}
    folder.mkdir()
    replace(sampler, origin=sampler.origin | real).save(folder / "latent_sampler.safetensors")
    autoencoder.save(folder / "autoencoder.safetensors")
    return folder


def classes(folder: Path) -> Counter[str]:
    return Counter(path.parent.name for path in (folder / "train").rglob("*.png"))


@pytest.mark.parametrize("of", ["model", "the folder of make"])
def test_all_classes_in_a_folder_each(
    model: Path, tmp_path: Path, of: str, capsys: pytest.CaptureFixture[str]
) -> None:
    place = model if of == "model" else model.parent
    assert main(["draw", str(place), "-n", "200", "--out", str(tmp_path / "out")]) == 0
    found = classes(tmp_path / "out")
    assert found.total() == 200
    assert set(found) == set(NAMES)
    card = (tmp_path / "out" / "README.md").read_text()
    assert "image_folder digits" in " ".join(card.replace("\\", "").split())
    assert "not judged" in card
    assert f"{tmp_path / 'out'}" in capsys.readouterr().out


def test_one_class_by_its_name_and_the_same_again(model: Path, tmp_path: Path) -> None:
    arguments = ["draw", str(model), "-n", "7", "--class", "rocket", "--seed", "3"]
    for name in ("a", "b"):
        main([*arguments, "--out", str(tmp_path / name)])
        assert classes(tmp_path / name) == {"rocket": 7}
    first, second = (
        [path.read_bytes() for path in sorted((tmp_path / name / "train").rglob("*.png"))]
        for name in ("a", "b")
    )
    assert first == second


def test_as_parquet_it_is_read_again(model: Path, tmp_path: Path) -> None:
    main(["draw", str(model), "-n", "50", "--form", "parquet", "--out", str(tmp_path / "out")])
    found = read_images("parquet", root=tmp_path / "out").train
    assert len(found) == 50
    assert list(found.class_names) == NAMES


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--class", "rockt"], r"no class 'rockt': did you mean rocket\?"),
        (["--class", "9"], "no class '9': did you mean|no class '9': expected one of"),
        (["-n", "0"], "-n is 0"),
        (["--shards", "--class", "rockt"], r"no class 'rockt': did you mean rocket\?"),
        (["--shards", "--form", "image_folder"], "image_folder was given with --shards, expected"),
        (["--workers", "2"], "--workers was given without --shards, expected both"),
        (["--shards", "--workers", "0"], "--workers is 0"),
    ],
)
def test_what_cannot_be_drawn_is_told(
    model: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        main(["draw", str(model), *arguments, "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_a_folder_of_somebody_else_is_left_alone(model: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="holds something"):
        main(["draw", str(model), "-n", "5", "--out", str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_without_a_model_it_says_where_one_would_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no latent_sampler.*FOLDER/model"):
        main(["draw", str(tmp_path), "-n", "5"])


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads in the place of processes, which take seconds to start; two blocks a file."""
    monkeypatch.setattr(drawing, "processes", ThreadPoolExecutor)
    monkeypatch.setattr(sharding, "SHARD", 2048)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("threads")
class TestShards:
    @pytest.mark.parametrize("form", ["parquet", "webdataset"])
    def test_files_with_a_card(
        self, model: Path, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out = tmp_path / "out"
        main(["draw", str(model), "-n", "2500", "--shards", "--form", form, "--out", str(out)])
        assert "2,500 images" in capsys.readouterr().out
        names = {
            "parquet": ["train-00000-of-00002.parquet", "train-00001-of-00002.parquet"],
            "webdataset": ["train-00000.tar", "train-00001.tar"],
        }[form]
        assert sorted(contents(out)) == [MANIFEST, "README.md", *names]
        files = json.loads((out / MANIFEST).read_text())["files"]
        for path, digest in files.items():
            assert hashlib.sha256((out / path).read_bytes()).hexdigest() == digest
        card = (out / "README.md").read_text()
        assert "2,500 synthetic images" in card
        assert "rocket" in card

    def test_the_same_command_draws_nothing_twice(
        self, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        arguments = ["draw", str(model), "-n", "2500", "--shards", "--out", str(tmp_path / "out")]
        main(arguments)
        before = contents(tmp_path / "out")
        monkeypatch.setattr(drawing, "draw_shards", None)  # would be an error
        main(arguments)
        assert contents(tmp_path / "out") == before

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            (["--seed", "1"], "seed 0, expected seed 1,"),
            (["-n", "2501"], "n 2500, expected n 2501,"),
            (["--class", "rocket"], "class any, expected class rocket,"),
            (["--form", "webdataset"], "form parquet, expected form webdataset,"),
        ],
    )
    def test_another_draw_is_refused(
        self, model: Path, tmp_path: Path, change: list[str], said: str
    ) -> None:
        arguments = ["draw", str(model), "-n", "2500", "--shards", "--out", str(tmp_path / "out")]
        main(arguments)
        before = contents(tmp_path / "out")
        with pytest.raises(InputError, match=f"holds another export, with {said}"):
            main([*arguments, *change])
        assert contents(tmp_path / "out") == before

    def test_another_model_is_refused(self, model: Path, tmp_path: Path) -> None:
        other = tmp_path / "other"
        shutil.copytree(model, other)
        sampler = load_sampler(other / "latent_sampler.safetensors")
        changed = replace(sampler, origin=sampler.origin | {"note": "another"})  # type: ignore[type-var]
        changed.save(other / "latent_sampler.safetensors")
        main(["draw", str(model), "-n", "10", "--shards", "--out", str(tmp_path / "out")])
        with pytest.raises(InputError, match=r"holds another export, with model \w+, expected mod"):
            main(["draw", str(other), "-n", "10", "--shards", "--out", str(tmp_path / "out")])

    def test_a_file_that_was_cut_is_told(self, model: Path, tmp_path: Path) -> None:
        arguments = ["draw", str(model), "-n", "2500", "--shards", "--out", str(tmp_path / "out")]
        main(arguments)
        os.truncate(next((tmp_path / "out" / "data").glob("*00000*")), 500)
        with pytest.raises(InputError, match=r"train-00000-of-00002.parquet was changed since"):
            main(arguments)


def in_two_processes(model: Path, out: Path) -> list[str]:
    """Six files: time enough to be ended between the first and the last."""
    options = ["-n", "41000", "--shards", "--workers", "2", "--out", str(out)]
    return [sys.executable, "-m", "hvrt_diffuser", "draw", str(model), *options]


@pytest.fixture(scope="module")
def whole(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "out"
    subprocess.run(in_two_processes(model, out), check=True, timeout=600)
    return out


@pytest.mark.slow
@pytest.mark.parametrize("by", [signal.SIGKILL, signal.SIGINT])
def test_what_was_ended_goes_on_and_nothing_is_left_running(
    model: Path, whole: Path, tmp_path: Path, by: signal.Signals
) -> None:
    out = tmp_path / "out"
    notes = out / ".hvrt_diffuser.partial" / "notes"
    command = in_two_processes(model, out)
    ended = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    while not list(notes.glob("0*.json")):
        assert ended.poll() is None
        time.sleep(0.01)
    if by == signal.SIGINT:  # as a terminal's, to all of them
        os.killpg(ended.pid, by)
    else:
        ended.send_signal(by)
    said = ended.communicate(timeout=60)[1]  # once all that have the pipe are gone
    if by == signal.SIGINT:
        assert ended.returncode == 130
        assert said == "Error: interrupted: the same command goes on where this one stopped\n"
    assert 0 < len(list(notes.iterdir())) < 6
    subprocess.run(command, check=True, timeout=600)
    own, other = contents(out), contents(whole)
    assert own.keys() == other.keys()
    assert {name for name in own if own[name] != other[name]} <= {"README.md", MANIFEST}
