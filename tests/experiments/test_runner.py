"""Jobs on real digits: measured once, fits and autoencoders shared, draws kept."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from hvrt_diffuser.autoencoders import TrainingOptions
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.experiments import (
    AutoencoderStore,
    BaseOptions,
    ExperimentOptions,
    Runner,
    expand,
    runner,
    summarise,
)
from hvrt_diffuser.image_models import CoarseToFineEstimator, PixelDiffusionEstimator
from hvrt_diffuser.judge import bench as measured_by
from hvrt_diffuser.judge.bench import Bench
from hvrt_diffuser.samplers import FlowEstimator, HVRTEstimator, LatentSampler
from hvrt_diffuser.training.checkpoint import Checkpoint

CPU = torch.device("cpu")
MakeRunner = Callable[..., Runner]
MakeExperiment = Callable[..., ExperimentOptions]
FLEETING = ("train_seconds", "ms_per_image", "peak_mb")
JOBS: dict[str, Any] = {
    "hvrt": {"grid": {"sampler.noise_scale": [0.0, 1.0, 3.0], "conditional": [False]}},
    "latent_flow": {"options": {"strength": 0.5}, "seeds": 1},
    "flow_map": {"options": {"strength": 0.5}, "seeds": 1},
    "flow_map_augmented": {
        "samplers": ["flow_map"],
        "options": {"strength": 0.5},
        "copies": 1,
        "seeds": 1,
    },
    "one_jump": {"samplers": ["latent_flow"], "options": {"solver_steps": 1}, "seeds": 1},
}


def lasting(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in entry.items() if k not in FLEETING} for entry in entries]


class Counted:
    """How often fits of some classes were called."""

    def __init__(self, patch: pytest.MonkeyPatch, *kinds: Any) -> None:
        self.calls: list[str] = []
        for kind in kinds:
            self._count(patch, kind)

    def _count(self, patch: pytest.MonkeyPatch, kind: Any) -> None:
        original = kind.fit

        def fit(estimator: Any, *arguments: Any, **options: Any) -> LatentSampler:
            self.calls.append(kind.__name__)
            sampler: LatentSampler = original(estimator, *arguments, **options)
            return sampler

        patch.setattr(kind, "fit", fit)


@pytest.fixture(scope="module")
def options(make_experiment: MakeExperiment) -> ExperimentOptions:
    return make_experiment(JOBS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("experiments")


@pytest.fixture(scope="module")
def measured(
    make_runner: MakeRunner, options: ExperimentOptions, base: BaseOptions, folder: Path
) -> tuple[list[dict[str, Any]], list[str]]:
    """The entries of all jobs, and the fits that they took."""
    with pytest.MonkeyPatch.context() as patch:
        counted = Counted(patch, HVRTEstimator, FlowEstimator)
        entries = make_runner(options, folder).run(expand("x", options, base), "measuring")
    return entries, counted.calls


@pytest.fixture(scope="module")
def entries(measured: tuple[list[dict[str, Any]], list[str]]) -> list[dict[str, Any]]:
    return measured[0]


@pytest.fixture(scope="module")
def rows(entries: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["row"]: row for row in summarise(entries)}


def test_every_job_has_a_row_with_the_same_fields(rows: dict[str, dict[str, Any]]) -> None:
    assert [row["group"] for row in rows.values()] == ["hvrt"] * 3 + [*JOBS][1:]
    fields = {frozenset(row) for row in rows.values()}
    assert len(fields) == 1
    assert all(row["fd_classifier"] > 0 and row["parameters"] > 100 for row in rows.values())


def test_what_is_alike_but_in_drawing_is_fitted_once(
    measured: tuple[list[dict[str, Any]], list[str]],
) -> None:
    """Three strengths of HVRT by two seeds, and four jobs of one flow."""
    assert sorted(measured[1]) == ["FlowEstimator"] + ["HVRTEstimator"] * 2


def test_the_strength_is_the_job_s_own(rows: dict[str, dict[str, Any]]) -> None:
    hvrt = [row for row in rows.values() if row["group"] == "hvrt"]
    assert [row["of"]["options"]["noise_scale"] for row in hvrt] == [0.0, 1.0, 3.0]
    assert hvrt[0]["dcr_image"] == 0
    assert hvrt[0]["dcr_image"] < hvrt[1]["dcr_image"] < hvrt[2]["dcr_image"]
    plain, moved = rows["flow_map"], rows["flow_map_augmented"]
    assert moved["dcr_image"] != plain["dcr_image"], "starts of augmented images are elsewhere"
    assert [
        rows[name]["evaluations"]
        for name in (
            "hvrt, noise_scale 1.0, conditional False",
            "latent_flow",
            "flow_map",
            "one_jump",
        )
    ] == [0, 7, 1, 1]
    assert hvrt[0]["leaves"] > 1


def test_a_row_has_the_floors_of_its_autoencoder(
    entries: list[dict[str, Any]], bench: Bench
) -> None:
    first = entries[0]
    assert 0 < first["real_floor"] < min(first["copy_floor"], first["reconstruction_floor"])
    assert 0 < first["real_tstr"] <= 100 and 0 < first["copy_tstr"] <= 100
    assert first["active_units"] == 8
    assert first["nelbo"] is None, "the run's autoencoder is no VAE"
    by_seed = {entry["repetition"]: entry["copy_floor"] for entry in entries}
    assert all(entry["copy_floor"] == by_seed[entry["repetition"]] for entry in entries)


def test_repetitions_differ(entries: list[dict[str, Any]]) -> None:
    assert len({entry["fd_classifier"] for entry in entries}) == len(entries)


def test_what_is_there_is_not_measured_again_and_what_is_added_alone(
    make_runner: MakeRunner,
    make_experiment: MakeExperiment,
    base: BaseOptions,
    folder: Path,
    entries: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted = Counted(monkeypatch, HVRTEstimator, FlowEstimator)
    more = make_experiment({**JOBS, "gaussian": {"seeds": 1}})
    found = make_runner(more, folder).run(expand("x", more, base), "measuring")
    assert found[:-1] == entries, "times and all"
    assert counted.calls == []
    assert len(list((folder / "entries").glob("*.json"))) == len(entries) + 1 + 2


def test_a_table_that_was_cut_off_goes_on_and_gives_the_same(
    make_runner: MakeRunner,
    make_experiment: MakeExperiment,
    base: BaseOptions,
    tmp_path: Path,
    entries: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    options = make_experiment({"hvrt": JOBS["hvrt"]}, seeds=1)
    jobs = expand("x", options, base)
    with monkeypatch.context() as patch:
        kept = []

        def cut(*arguments: Any, **changes: Any) -> Any:
            if len(kept) == 2:
                raise KeyboardInterrupt
            kept.append(1)
            return cost(*arguments, **changes)

        cost = runner.cost
        patch.setattr(runner, "cost", cut)
        with pytest.raises(KeyboardInterrupt):
            make_runner(options, tmp_path).run(jobs, "measuring")
    assert len(list((tmp_path / "entries").glob("*.json"))) == 2
    again = make_runner(options, tmp_path).run(jobs, "measuring")
    own = [e for e in entries if e["group"] == "hvrt" and e["repetition"] == 0]
    assert lasting(again) == lasting(own)


def test_a_new_measure_is_made_of_kept_draws_without_a_fit(
    make_runner: MakeRunner,
    options: ExperimentOptions,
    base: BaseOptions,
    folder: Path,
    entries: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted = Counted(monkeypatch, HVRTEstimator, FlowEstimator)
    new = {**measured_by.MEASURES, "brightness": lambda seen: float(seen.pixels.mean())}
    for module in (measured_by, runner):
        monkeypatch.setattr(module, "MEASURES", new)
    jobs = [job for job in expand("x", options, base) if job.group == "hvrt"]
    found = make_runner(options, folder).run(jobs, "measuring")
    assert counted.calls == []
    assert all(0.05 < entry["brightness"] < 0.3 for entry in found)
    alike = [{k: v for k, v in entry.items() if k != "brightness"} for entry in found]
    assert alike == [entry for entry in entries if entry["group"] == "hvrt"]


def test_a_metric_by_name_is_made_of_kept_draws_too(
    make_runner: MakeRunner,
    options: ExperimentOptions,
    base: BaseOptions,
    folder: Path,
    entries: list[dict[str, Any]],
) -> None:
    more = options.model_copy(update={"metrics": ("manifold", "vendi")})
    jobs = [job for job in expand("x", options, base) if job.group == "hvrt"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HVRTEstimator, "fit", lambda *a, **k: pytest.fail("it was fitted again"))
        found = make_runner(more, folder).run(jobs, "measuring")
    row = summarise(found)[0]
    assert row["vendi"] > 1
    assert row["manifold"]["recall"] == row["recall"]


def test_what_a_verdict_rests_on_is_made_of_kept_draws_where_it_is_asked_for(
    make_runner: MakeRunner,
    options: ExperimentOptions,
    base: BaseOptions,
    folder: Path,
    entries: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert not any(measured_by.GRADED.keys() & entry.keys() for entry in entries)
    counted = Counted(monkeypatch, HVRTEstimator, FlowEstimator)
    jobs = [job for job in expand("x", options, base) if job.group == "hvrt"][:1]
    graded = options.model_copy(update={"graded": True})
    (found,) = make_runner(graded, folder).run(jobs, "measuring")
    assert counted.calls == []
    assert measured_by.GRADED.keys() <= found.keys()
    assert found["membership_auc_low"] <= found["membership_auc"] <= found["membership_auc_high"]
    (row,) = summarise([found])
    assert row["membership_auc"] == found["membership_auc"]


@pytest.mark.parametrize("change", ["seed", "classifier", "n", "samplers"])
def test_what_depends_on_something_else_is_another_entry(
    make_runner: MakeRunner,
    options: ExperimentOptions,
    base: BaseOptions,
    tmp_path: Path,
    change: str,
) -> None:
    changes: dict[str, Any] = {
        "seed": base.seed + 1,
        "classifier": base.classifier.model_copy(update={"steps": 31}),
        "samplers": {"hvrt": {"min_samples_leaf": 9}},
    }
    one, other = base, base
    sizes = [options, options]
    if change == "n":
        sizes[1] = options.model_copy(update={"n": 301})
    else:
        other = base.model_copy(update={change: changes[change]})
    paths = []
    for of, size in zip((one, other), sizes, strict=True):
        made = make_runner(size, tmp_path, base=of)
        paths.append(made.ledger.path(made.work(expand("x", size, of)[0]).identity))
    assert paths[0] != paths[1]


def test_other_autoencoders_are_trained_once_and_have_floors_of_their_own(
    make_runner: MakeRunner, make_experiment: MakeExperiment, base: BaseOptions, tmp_path: Path
) -> None:
    samplers = ["hvrt", "posterior"]
    options = make_experiment(
        {
            "vae": {"autoencoder": {"beta": 1.0}, "samplers": samplers},
            "wae": {
                "autoencoder": {"regulariser": {"kind": "mmd", "weight": 50.0}},
                "samplers": ["hvrt"],
            },
        },
        seeds=1,
    )
    found = make_runner(options, tmp_path).run(expand("x", options, base), "measuring")
    rows = {row["row"]: row for row in summarise(found)}
    assert set(rows) == {"vae + hvrt", "vae + posterior", "wae + hvrt"}
    for name, row in rows.items():
        assert (row["nelbo"] is not None) == name.startswith("vae")
        assert "real_tstr" not in row, "classifiers of floors are of the run's own autoencoder"
    assert rows["vae + hvrt"]["copy_floor"] == rows["vae + posterior"]["copy_floor"]
    assert rows["vae + hvrt"]["copy_floor"] != rows["wae + hvrt"]["copy_floor"]
    assert len(list((tmp_path / "autoencoders").glob("*.safetensors"))) == 2


def test_a_posterior_needs_a_vae(
    make_runner: MakeRunner, make_experiment: MakeExperiment, base: BaseOptions, tmp_path: Path
) -> None:
    options = make_experiment({"hvrt": {}, "posterior": {}})
    with pytest.raises(InputError, match="posterior needs a VAE, and the run's autoencoder is"):
        make_runner(options, tmp_path).run(expand("x", options, base), "measuring")
    assert not list(tmp_path.iterdir())


# ---- whole models


WHOLE: dict[str, Any] = {
    "pixel_diffusion": {
        "options": {"channels": [8, 8], "training_steps": 3, "batch_size": 8, "steps": 2}
    },
    "vq_vae": {
        "options": {
            "codes": 16,
            "width": 8,
            "prior_width": 8,
            "prior_layers": 1,
            "training_steps": 3,
        }
    },
    "dvp_vae": {"options": {"epochs": 1}},
    "no_classes": {"samplers": ["dvp_vae"], "options": {"epochs": 1, "conditional": False}},
}


@pytest.fixture(scope="module")
def few(bench: Bench) -> tuple[LabelledImages, LabelledImages]:
    train, test = (each[torch.arange(0, 2500, 10)] for each in (bench.train, bench.test))
    return train, test


def whole_models(
    few: tuple[LabelledImages, LabelledImages],
    bench: Bench,
    base: BaseOptions,
    options: ExperimentOptions,
    folder: Path,
) -> list[dict[str, Any]]:
    assert bench.autoencoder is not None
    made = Runner(*few, bench.judge, bench.autoencoder, base, options, folder)
    return made.run(expand("x", options, base), "measuring")


@pytest.mark.slow
def test_whole_models_have_rows_like_the_others(
    few: tuple[LabelledImages, LabelledImages],
    bench: Bench,
    base: BaseOptions,
    make_experiment: MakeExperiment,
    tmp_path: Path,
    rows: dict[str, dict[str, Any]],
) -> None:
    pytest.importorskip("diffusers")
    options = make_experiment(WHOLE, n=100, compared=50, seeds=1)
    found = whole_models(few, bench, base, options, tmp_path)
    models = {row["row"]: row for row in summarise(found)}
    of_an_autoencoder = {
        "active_units",
        "copy_floor",
        "reconstruction_floor",
        "real_tstr",
        "copy_tstr",
    }
    for row in models.values():
        assert row.keys() == next(iter(rows.values())).keys() - of_an_autoencoder
        assert row["fd_classifier"] > 0
        assert row["parameters"] > 1000
        assert row["dcr_latent"] is row["attribution"] is row["ks"] is None
        assert row["real_floor"] > 0
    assert models["no_classes"]["tstr"] is None, "what knows no classes trains no classifier"
    assert models["dvp_vae"]["tstr"] is not None
    assert models["dvp_vae"]["nelbo"] > 0
    assert models["vq_vae"]["tstr"] is not None
    assert models["vq_vae"]["nelbo"] is None
    assert not (tmp_path / "autoencoders").exists()


def test_strengths_of_a_whole_model_share_its_training(
    few: tuple[LabelledImages, LabelledImages],
    bench: Bench,
    base: BaseOptions,
    make_experiment: MakeExperiment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    quick = {
        "latent_dim": 8,
        "width": 32,
        "training_steps": 3,
        "perception_steps": 3,
        "batch_size": 8,
    }
    jobs = {"coarse_to_fine": {"options": quick, "grid": {"sampler.strength": [0.0, 2.0]}}}
    counted = Counted(monkeypatch, CoarseToFineEstimator)
    options = make_experiment(jobs, n=100, compared=20, seeds=2)
    weak, _, strong, _ = whole_models(few, bench, base, options, tmp_path)
    assert len(counted.calls) == 2, "one for each seed"
    assert [entry["of"]["options"]["strength"] for entry in (weak, strong)] == [0.0, 2.0]
    assert weak["fd_classifier"] != strong["fd_classifier"]


def test_images_that_a_whole_model_cannot_be_trained_on_are_refused_first(
    bench: Bench, base: BaseOptions, make_experiment: MakeExperiment, tmp_path: Path
) -> None:
    wide = LabelledImages(
        bench.train.images.repeat(1, 1, 1, 2), bench.train.labels, bench.train.class_names, "wide"
    )
    options = make_experiment({"hvrt": {}, "dvp_vae": {}})
    with pytest.raises(InputError, match=r"dvp_vae cannot be trained: images of shape .*28, 56"):
        whole_models((wide, wide), bench, base, options, tmp_path)


def test_a_model_whose_training_was_cut_off_does_not_say_how_long_it_took(
    few: tuple[LabelledImages, LabelledImages],
    bench: Bench,
    base: BaseOptions,
    make_experiment: MakeExperiment,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("diffusers")
    one = {"pixel_diffusion": WHOLE["pixel_diffusion"]}
    options = make_experiment(one, n=100, compared=20, seeds=1)
    write = Checkpoint.write

    def die(self: Checkpoint, *arguments: Any, **others: Any) -> None:
        write(self, *arguments, **others)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoint, "write", die)
        with pytest.raises(KeyboardInterrupt):
            whole_models(few, bench, base, options, tmp_path)
    (entry,) = whole_models(few, bench, base, options, tmp_path)
    assert entry["train_seconds"] is None
    assert not list((tmp_path / "trainings").iterdir()), "its state is needed no more"
    assert PixelDiffusionEstimator().shortened(0.1).training_steps == 600


# ---- autoencoders that are trained once


class TestStore:
    WORKER = """
import sys, torch
from pathlib import Path
from hvrt_diffuser.autoencoders import TrainingOptions
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.experiments import AutoencoderStore
trained = []
original = TrainingOptions.fit
TrainingOptions.fit = lambda *a, **k: trained.append(1) or original(*a, **k)
images = LabelledImages.load(sys.argv[1])
kept = AutoencoderStore(Path(sys.argv[2]), images, torch.device("cpu"))
model = kept.get(TrainingOptions.model_validate_json(sys.argv[3]), 0)
print(len(trained), model.fingerprint())
"""

    @pytest.mark.slow
    def test_processes_that_want_the_same_wait_for_the_one_that_trains_it(
        self, digits: LabelledImages, make_options: Callable[..., TrainingOptions], tmp_path: Path
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

        def cut(self: Checkpoint, *state: Any, **others: Any) -> None:
            write(self, *state, **others)
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


def test_an_entry_says_what_it_is_of(folder: Path, entries: list[dict[str, Any]]) -> None:
    found = [json.loads(path.read_text()) for path in (folder / "entries").glob("*.json")]
    hvrt = next(e["identity"] for e in found if e["identity"].get("sampler") == "hvrt")
    assert {"images", "test", "judge", "n", "compared", "classifier", "seed"} < hvrt.keys()
    assert hvrt["options"]["partitioner"] == "FastHVRT"
