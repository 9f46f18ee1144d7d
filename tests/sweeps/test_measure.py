"""A point of a sweep on real digits, the autoencoders that points share, and their table."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hvrt_diffuser.autoencoders import TrainingOptions
from hvrt_diffuser.classifiers import ClassifierOptions, JudgeOptions, train_judge
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.samplers import HVRTEstimator
from hvrt_diffuser.sweeps import (
    AutoencoderStore,
    Bench,
    Blocks,
    Grid,
    plot_sweep,
    summarise_points,
)
from hvrt_diffuser.training.checkpoint import Checkpoint

CPU = torch.device("cpu")
QUICK = {"width": 8, "steps": 30, "batch_size": 64, "learning_rate": 0.01, "weight_decay": 0.01}
CLASSIFIER = ClassifierOptions(**QUICK, precision="float32")
JUDGE = JudgeOptions(
    **QUICK,
    precision="float32",
    shift=2,
    validation_fraction=0.1,
    evaluate_every=30,
    patience=2,
)


@pytest.fixture(scope="module")
def blocks(make_options: Callable[..., TrainingOptions]) -> Blocks:
    return Blocks(make_options(epochs=2), HVRTEstimator(min_samples_leaf=5))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("store") / "autoencoders"


@pytest.fixture(scope="module")
def bench(digits: LabelledImages, blocks: Blocks, folder: Path) -> Bench:
    train, test = digits[torch.arange(1000)], digits[torch.arange(1000, 2000)]
    return Bench(
        train,
        test,
        train_judge(train.images, train.labels, 10, JUDGE, seed=0, device=CPU),
        AutoencoderStore(folder, train, CPU),
        blocks,
        CLASSIFIER,
        n=300,
        compared=100,
        classifiers=2,
        seed=0,
        device=CPU,
    )


def without_times(measures: dict[str, float | None]) -> dict[str, float | None]:
    return {name: value for name, value in measures.items() if "seconds" not in name}


class TestPoints:
    def test_measures_are_what_they_are_called(self, bench: Bench) -> None:
        copies = bench.measure({"hvrt_fitting.noise_scale": 0.0, "seed": 0})
        noisy = bench.measure({"hvrt_fitting.noise_scale": 3.0, "seed": 0})
        assert copies["dcr_image"] == 0
        assert copies["attribution"] == 1
        for floor in ("copy_floor", "reconstruction_floor", "real_floor"):
            assert copies[floor] == noisy[floor]
        assert copies["fd"] == pytest.approx(copies["copy_floor"], rel=0.3)
        assert (noisy["dcr_image"] or 0) > 0
        for measures in (copies, noisy):
            assert 0 < (measures["ks"] or 0) < 1
            assert 1 <= (measures["inception_score"] or 0) <= 10
            assert 0 <= (measures["tstr"] or 0) <= 100

    def test_the_same_point_gives_the_same_measures(self, bench: Bench) -> None:
        one, other = (bench.measure({"hvrt_fitting.members": 1, "seed": 1}) for _ in range(2))
        assert without_times(one) == without_times(other)

    def test_another_seed_gives_others(self, bench: Bench) -> None:
        one, other = (bench.measure({"seed": seed}) for seed in (0, 1))
        assert one["fd"] != other["fd"]
        assert one["copy_floor"] != other["copy_floor"], "the autoencoder is another, too"

    def test_points_that_share_an_autoencoder_train_it_once(
        self, bench: Bench, folder: Path
    ) -> None:
        def held() -> set[str]:
            return {path.name for path in folder.glob("*.safetensors")}

        bench.measure({"seed": 0})
        before = held()
        bench.measure({"hvrt_fitting.strategy": "bootstrap_noise", "seed": 0})
        assert held() == before
        bench.measure({"ae_training.beta": 1.0, "seed": 0})
        bench.measure({"ae_training.latent_dim": 3, "seed": 0})
        assert len(held()) == len(before) + 2

    def test_values_of_the_point_take_the_place_of_the_run_s(self, blocks: Blocks) -> None:
        changed = blocks.at({"ae_training.beta": 0.5, "hvrt_fitting.max_depth": 3})
        assert changed.ae_training == blocks.ae_training.model_copy(update={"beta": 0.5})
        assert changed.hvrt_fitting == blocks.hvrt_fitting.model_copy(update={"max_depth": 3})

    @pytest.mark.parametrize(
        ("values", "error", "said"),
        [
            ({"tstr.n": 3}, InputError, "changes tstr"),
            ({"ae_training.beta": -1}, InputError, "ae_training.beta is -1"),
            ({"hvrt_fitting.strategie": "x"}, InputError, "hvrt_fitting.strategie"),
        ],
    )
    def test_values_that_make_no_sense_are_refused(
        self, blocks: Blocks, values: dict[str, Any], error: type[Exception], said: str
    ) -> None:
        with pytest.raises(error, match=said):
            blocks.at(values)

    def test_a_point_that_cannot_be_built_is_told_before_the_first_is_measured(
        self, blocks: Blocks
    ) -> None:
        blocks.check("beta", Grid({"ae_training.beta": [0.0, 1.0]}, 2))
        wrong = Grid({"ae_training.beta": [0.0, -1.0]}, 2)
        with pytest.raises(InputError, match="the sweep beta has a point") as raised:
            blocks.check("beta", wrong)
        assert "{'ae_training.beta': -1.0}" in str(raised.value)


class TestStore:
    WORKER = """
import sys, torch
from pathlib import Path
from hvrt_diffuser.autoencoders import TrainingOptions
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.sweeps import store
trained = []
original = store.train_autoencoder
store.train_autoencoder = lambda *a, **k: trained.append(1) or original(*a, **k)
images = LabelledImages.load(sys.argv[1])
kept = store.AutoencoderStore(Path(sys.argv[2]), images, torch.device("cpu"))
model = kept.get(TrainingOptions.model_validate_json(sys.argv[3]), 0)
print(len(trained), model.fingerprint())
"""

    def test_processes_that_want_the_same_wait_for_the_one_that_trains_it(
        self,
        digits: LabelledImages,
        make_options: Callable[..., TrainingOptions],
        tmp_path: Path,
    ) -> None:
        digits[torch.arange(300)].save(tmp_path / "images")
        options = make_options(epochs=3).model_dump_json()
        command = [sys.executable, "-c", self.WORKER, tmp_path / "images", tmp_path / "s", options]
        processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
        answers = [process.communicate(timeout=120)[0].split() for process in processes]
        assert sorted(answer[0] for answer in answers) == ["0", "1"]
        assert answers[0][1] == answers[1][1]

    def test_a_training_that_was_cut_off_goes_on(
        self,
        digits: LabelledImages,
        make_options: Callable[..., TrainingOptions],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        train = digits[torch.arange(300)]
        options = make_options(epochs=3)
        whole = AutoencoderStore(tmp_path / "whole", train, CPU).get(options, 0)
        written: list[int] = []
        write = Checkpoint.write

        def cut(self: Checkpoint, *state: Any) -> None:
            write(self, *state)
            written.append(1)
            if len(written) == 2:
                raise KeyboardInterrupt

        monkeypatch.setattr(Checkpoint, "write", cut)
        store = AutoencoderStore(tmp_path / "cut", train, CPU)
        with pytest.raises(KeyboardInterrupt):
            store.get(options, 0)
        again = store.get(options, 0)
        assert len(written) == 3, "two of three epochs were kept"
        assert again.fingerprint() == whole.fingerprint()
        assert not list((tmp_path / "cut").glob("*checkpoint*"))


MEASURED = (
    ({"hvrt_fitting.members": 1, "seed": 0}, {"fd": 1.0, "tstr": 90.0, "dcr_image": 0.5}),
    ({"hvrt_fitting.members": 1, "seed": 1}, {"fd": 3.0, "tstr": 92.0, "dcr_image": 0.5}),
    ({"hvrt_fitting.members": 2, "seed": 0}, {"fd": 5.0, "tstr": 80.0, "dcr_image": 0.7}),
)


class TestTable:
    def rows(self) -> list[dict[str, Any]]:
        beside = {"copy_floor": 1.0, "attribution": None}
        return summarise_points([(point, {**found, **beside}) for point, found in MEASURED])

    def test_means_and_deviations_are_over_seeds(self) -> None:
        one, two = self.rows()
        assert one["values"] == {"hvrt_fitting.members": 1}
        assert (one["seeds"], two["seeds"]) == (2, 1)
        assert (one["fd"], one["tstr"], one["dcr_image"]) == (2, 91, 0.5)
        assert one["fd_std"] == pytest.approx(2**0.5)
        assert one["attribution"] is None
        assert two["fd_std"] is None

    def test_the_picture_names_every_value_and_parameter(self) -> None:
        shares = {"fd": {"hvrt_fitting.members": 0.8, "seed": 0.2}, "tstr": {"seed": 1.0}}
        figure = plot_sweep(self.rows(), shares)
        said = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
        assert said == ["members 1", "members 2"]
        assert "members" in [tick.get_text() for tick in figure.axes[-1].get_yticklabels()]

    def test_the_picture_of_a_sweep_in_which_nothing_varies(self) -> None:
        assert len(plot_sweep(self.rows()[1:], {}).axes) == 3
