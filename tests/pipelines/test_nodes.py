"""The nodes of the pipelines, called as plain functions."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.cbook import is_math_text
from matplotlib.figure import Figure
from torch import Tensor

from hvrt_diffuser.autoencoders import (
    Autoencoder,
    ConvolutionalAutoencoder,
    decode_latents,
    encode_images,
)
from hvrt_diffuser.autoencoders.network import Architecture
from hvrt_diffuser.catalog import check_latents_table
from hvrt_diffuser.catalog.latents import latents_to_table, table_to_latents
from hvrt_diffuser.classifiers import Classifier, ClassifierOptions, JudgeOptions
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.augmentation import Augmentation
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources import ImageSplits, Note
from hvrt_diffuser.diffuser import HVRTDiffuser
from hvrt_diffuser.judge import Predictions
from hvrt_diffuser.judge.kept_fits import KeptFits
from hvrt_diffuser.judge.rows import (
    all_images,
    both,
    copied,
    drawn,
    equal_n,
    even_labels,
    fit_on_few_by_engine,
)
from hvrt_diffuser.pipelines.ae_training.nodes import plot_training_curves
from hvrt_diffuser.pipelines.ae_training.parameters import AETrainingOptions
from hvrt_diffuser.pipelines.data_ingest.nodes import split_images
from hvrt_diffuser.pipelines.data_ingest.parameters import DatasetOptions
from hvrt_diffuser.pipelines.evaluation.nodes import evaluate
from hvrt_diffuser.pipelines.evaluation.parameters import EvaluateOptions
from hvrt_diffuser.pipelines.generation.nodes import generate, plot_grid
from hvrt_diffuser.pipelines.generation.parameters import GenerationOptions
from hvrt_diffuser.pipelines.hvrt_fitting.nodes import describe_partition, fit, plot_partition
from hvrt_diffuser.pipelines.hvrt_fitting.parameters import ChosenSampler
from hvrt_diffuser.pipelines.latent_encoding.nodes import encode, encode_changed
from hvrt_diffuser.pipelines.latent_encoding.parameters import LatentEncodingOptions
from hvrt_diffuser.pipelines.tstr.nodes import (
    plot_tstr,
    tabulate_tstr,
    train_synthetic_test_real,
)
from hvrt_diffuser.pipelines.tstr.parameters import TSTRTask
from hvrt_diffuser.pipelines.tstr.tasks import list_tasks, plan_rows
from hvrt_diffuser.samplers import (
    HVRTEstimator,
    LatentFlow,
    SmoothedBootstrap,
    StandardNormal,
)
from hvrt_diffuser.training.checkpoint import Checkpoint

CPU = torch.device("cpu")
NAMES = ("cat", "dog", "owl")
COUNTS = (60, 40, 20)
LATENT_DIM = 4
ENCODING = LatentEncodingOptions(augmentation=Augmentation(), device=None)
TWO_VERSIONS = LatentEncodingOptions(augmentation=Augmentation(copies=2), device=None)
FLOW = {
    "width": 8,
    "blocks": 1,
    "training_steps": 3,
    "batch_size": 16,
    "precision": "float32",
}
MAP = {**FLOW, "trajectories": 20, "distillation_steps": 3}
CLASSIFIER = {
    "width": 4,
    "steps": 3,
    "batch_size": 8,
    "learning_rate": 0.01,
    "weight_decay": 0.0,
    "precision": "float32",
}


def make_images(counts: tuple[int, ...] = COUNTS, seed: int = 0) -> LabelledImages:
    """Noise that is brighter with each class, shuffled."""
    source = torch.Generator().manual_seed(seed)
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=source)]
    noise = torch.rand(len(labels), 1, 8, 8, generator=source)
    images = (80 * labels[:, None, None, None] + 80 * noise).to(torch.uint8)
    return LabelledImages(images, labels, NAMES, "noise")


@pytest.fixture(scope="module")
def train() -> LabelledImages:
    return make_images()


@pytest.fixture(scope="module")
def test() -> LabelledImages:
    return make_images((15, 10, 5), seed=1)


def make_autoencoder(train: LabelledImages, *, variational: bool) -> Autoencoder:
    """Random weights, with the normalisation that makes different images of different latents."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        architecture = Architecture((1, 8, 8), LATENT_DIM, 4, 2, variational=variational)
        model = ConvolutionalAutoencoder(architecture)
    with torch.no_grad():
        for _ in range(50):
            mean, _ = model.encode(train.images.float() / 255)
            model.decode(mean)
    return model.eval()


@pytest.fixture(scope="module")
def autoencoder(train: LabelledImages) -> Autoencoder:
    return make_autoencoder(train, variational=False)


@pytest.fixture(scope="module")
def vae(train: LabelledImages) -> Autoencoder:
    return make_autoencoder(train, variational=True)


@pytest.fixture(scope="module")
def latents(autoencoder: Autoencoder, train: LabelledImages) -> pd.DataFrame:
    return encode(autoencoder, train, ENCODING)


Fit = Callable[..., HVRTDiffuser]


@pytest.fixture(scope="module")
def fit_by_name(
    autoencoder: Autoencoder,
    train: LabelledImages,
    latents: pd.DataFrame,
    tmp_path_factory: pytest.TempPathFactory,
) -> Fit:
    """Fit the sampler of a name, by some of its options."""
    checkpoint = Checkpoint(tmp_path_factory.mktemp("fit") / "checkpoint.safetensors")

    def run(
        name: str = "hvrt", changed: pd.DataFrame | None = None, seed: int = 0, **options: Any
    ) -> HVRTDiffuser:
        chosen = ChosenSampler(name=name, options=options, device="cpu")
        changed = latents[:0] if changed is None else changed
        return fit(autoencoder, train, latents, changed, chosen, seed, checkpoint)

    return run


@pytest.fixture(scope="module")
def sampler(fit_by_name: Fit) -> HVRTDiffuser:
    return fit_by_name()


def count(labels: Tensor) -> list[int]:
    return torch.bincount(labels, minlength=len(NAMES)).tolist()


class TestSplitImages:
    OPTIONS = DatasetOptions(test_fraction=0.25)

    def test_is_stratified_and_complete(self, train: LabelledImages) -> None:
        kept, held_out, _ = split_images(ImageSplits(train, None), self.OPTIONS, 0)
        assert count(kept.labels) == [45, 30, 15]
        assert count(held_out.labels) == [15, 10, 5]
        rows = [*kept.images.flatten(1).tolist(), *held_out.images.flatten(1).tolist()]
        assert sorted(rows) == sorted(train.images.flatten(1).tolist())

    def test_images_keep_their_labels_and_order(self, train: LabelledImages) -> None:
        where = {tuple(image.flatten().tolist()): i for i, image in enumerate(train.images)}
        for part in split_images(ImageSplits(train, None), self.OPTIONS, 0)[:2]:
            rows = [where[tuple(image.flatten().tolist())] for image in part.images]
            assert rows == sorted(rows)
            assert torch.equal(part.labels, train.labels[rows])
            assert (part.class_names, part.source) == (train.class_names, train.source)

    def test_depends_on_the_seed_alone(self, train: LabelledImages) -> None:
        state = torch.get_rng_state(), np.random.get_state()[1].tolist()
        first, again, other = (
            split_images(ImageSplits(train, None), self.OPTIONS, seed)[1].images
            for seed in (0, 0, 1)
        )
        assert torch.equal(first, again)
        assert not torch.equal(first, other)
        assert torch.equal(torch.get_rng_state(), state[0])
        assert np.random.get_state()[1].tolist() == state[1]

    def test_takes_the_test_split_of_the_source(
        self, train: LabelledImages, test: LabelledImages
    ) -> None:
        kept, held_out, _ = split_images(ImageSplits(train, test), self.OPTIONS, 0)
        assert kept is train
        assert held_out is test

    def test_refuses_a_class_without_images(self) -> None:
        images = make_images((5, 0, 5))
        with pytest.raises(InputError, match=r"no training image of class 1 \(dog\)"):
            split_images(ImageSplits(images, None), self.OPTIONS, 0)

    def test_refuses_a_class_that_cannot_be_split(self) -> None:
        images = make_images((5, 1, 5))
        found = r"fewer than two images of 1 of 3 classes, .*: dog \(1\)"
        with pytest.raises(InputError, match=found):
            split_images(ImageSplits(images, None), self.OPTIONS, 0)

    def test_leaves_small_classes_out_by_name(self, caplog: pytest.LogCaptureFixture) -> None:
        options = self.OPTIONS.model_copy(update={"min_class_size": 3})
        train, test, _ = split_images(ImageSplits(make_images((15, 2, 15)), None), options, 0)
        assert train.class_names == test.class_names == ("cat", "owl")
        assert torch.bincount(train.labels).tolist() == [11, 11]
        assert (train.images[train.labels == 1] >= 160).all(), "the pictures of owls"
        assert "dog (2)" in caplog.text
        with pytest.raises(InputError, match="largest class of noise has 15 images"):
            options = self.OPTIONS.model_copy(update={"min_class_size": 16})
            split_images(ImageSplits(make_images((15, 2, 15)), None), options, 0)

    def test_leaves_leaks_out_of_the_test_images_with_a_warning(
        self, train: LabelledImages, test: LabelledImages, caplog: pytest.LogCaptureFixture
    ) -> None:
        images, labels = test.images.clone(), test.labels.clone()
        images[[3, 8]], labels[[3, 8]] = train.images[[5, 7]], train.labels[[5, 7]]
        leaked = replace(test, images=images, labels=labels)
        kept, held_out, look = split_images(ImageSplits(train, leaked), self.OPTIONS, 0)
        assert kept is train
        left = [row for row in range(30) if row not in (3, 8)]
        assert torch.equal(held_out.images, images[left])
        assert look["leaks"]["rows"] == [3, 8]
        assert look["ingest"]["notes"][0]["n"] == 2
        (warning,) = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
        assert "2 of 30 test images of noise" in warning
        assert "data_look.json" in warning

    def test_says_and_keeps_what_was_done_with_which_images(
        self, train: LabelledImages, test: LabelledImages, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level("INFO")
        done = Note.of("turned upright", ["a.jpg", "b.jpg"])
        _, held_out, look = split_images(ImageSplits(train, None, (done,)), self.OPTIONS, 0)
        ingest = look["ingest"]
        assert ingest["classes"]["cat"] == {"train": 45, "test": 15}
        assert ingest["notes"][0] == {"what": "turned upright", "n": 2, "names": ["a.jpg", "b.jpg"]}
        assert ingest["notes"][1]["n"] == len(held_out)
        assert "- turned upright: 2 (a.jpg, b.jpg)" in caplog.text
        assert json.loads(json.dumps(ingest)) == ingest
        again = split_images(ImageSplits(train, test), self.OPTIONS, 0)[2]["ingest"]
        assert again["notes"] == []

    def test_refuses_a_test_set_that_is_the_training_set(self, train: LabelledImages) -> None:
        with pytest.raises(InputError, match="120 of 120 test images"):
            split_images(ImageSplits(train, train), self.OPTIONS, 0)

    def test_holds_out_whole_groups(self, train: LabelledImages) -> None:
        groups = torch.arange(len(train)) // 2
        grouped = replace(train, groups=groups)
        kept, held_out, look = split_images(ImageSplits(grouped, None), self.OPTIONS, 0)
        assert kept.groups is not None
        assert held_out.groups is not None
        assert not set(kept.groups.tolist()) & set(held_out.groups.tolist())
        assert look["groups"]["train"] + look["groups"]["test"] == 60


class TestEncode:
    def test_form_of_the_table(self, latents: pd.DataFrame, train: LabelledImages) -> None:
        assert list(latents.columns) == ["z_000", "z_001", "z_002", "z_003", "label"]
        assert latents.dtypes.tolist() == [np.float32] * LATENT_DIM + [np.int64]
        assert latents["label"].tolist() == train.labels.tolist()
        assert check_latents_table(latents) is not None

    def test_is_the_encoder_in_evaluation_mode(
        self, autoencoder: Autoencoder, latents: pd.DataFrame, train: LabelledImages
    ) -> None:
        with torch.inference_mode():
            expected, _ = autoencoder.encode(train.images.float() / 255)
        found, labels = table_to_latents(latents)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        assert torch.equal(labels, train.labels)

    def test_augmented_images_come_one_version_after_the_other(
        self, autoencoder: Autoencoder, train: LabelledImages
    ) -> None:
        table = encode_changed(autoencoder, train, TWO_VERSIONS, 7)
        assert table.attrs["autoencoder"] == autoencoder.fingerprint()
        versions = torch.cat(list(TWO_VERSIONS.augmentation.versions(train.images, seed=7)))
        expected, _ = encode_images(autoencoder, versions, CPU)
        latents, labels = table_to_latents(table)
        assert torch.equal(latents, expected)
        assert torch.equal(labels, train.labels.repeat(2))

    def test_no_augmentation_is_a_table_without_rows(
        self, autoencoder: Autoencoder, latents: pd.DataFrame, train: LabelledImages
    ) -> None:
        table = encode_changed(autoencoder, train, ENCODING, 0)
        assert table.empty
        assert table.dtypes.equals(latents.dtypes)
        check_latents_table(table)

    def test_on_the_device_of_the_options(
        self, autoencoder: Autoencoder, test: LabelledImages
    ) -> None:
        with pytest.raises(InputError, match=r"'cuda:99' was asked for"):
            encode(autoencoder, test, ENCODING.model_copy(update={"device": "cuda:99"}))


class TestCheckLatentsTable:
    @pytest.fixture
    def good(self) -> pd.DataFrame:
        return latents_to_table(torch.randn(6, 3), torch.arange(6) % 2)

    def test_good_one_passes_as_it_is(self, good: pd.DataFrame) -> None:
        pd.testing.assert_frame_equal(check_latents_table(good.copy()), good)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_names_column_and_row_of_what_is_not_finite(
        self, good: pd.DataFrame, value: float
    ) -> None:
        good.loc[4, "z_001"] = np.float32(value)
        with pytest.raises(InputError, match=r"z_001.* in row 4|row 4.*z_001") as caught:
            check_latents_table(good)
        assert "\n" not in str(caught.value)

    def test_names_column_and_row_of_a_negative_label(self, good: pd.DataFrame) -> None:
        good.loc[2, "label"] = -1
        with pytest.raises(InputError, match=r"label in row 2"):
            check_latents_table(good)

    @pytest.mark.parametrize(
        ("column", "dtype"), [("z_002", np.float64), ("z_002", object), ("label", np.int32)]
    )
    def test_names_the_column_of_another_type(
        self, good: pd.DataFrame, column: str, dtype: Any
    ) -> None:
        with pytest.raises(InputError, match=column):
            check_latents_table(good.astype({column: dtype}))

    def test_refuses_a_missing_label(self, good: pd.DataFrame) -> None:
        with pytest.raises(InputError, match=r"label"):
            check_latents_table(good.drop(columns="label"))

    def test_refuses_a_table_without_latents(self, good: pd.DataFrame) -> None:
        with pytest.raises(InputError, match=r"z_"):
            check_latents_table(good[["label"]])

    def test_refuses_and_names_another_column(self, good: pd.DataFrame) -> None:
        with pytest.raises(InputError, match=r"weight"):
            check_latents_table(good.assign(weight=1.0))


class TestHVRTFitting:
    def test_partition_sums_to_all_rows_in_each_fit(self, sampler: HVRTDiffuser) -> None:
        partition = describe_partition(sampler)
        rows = partition.groupby("fit")["rows"].sum()
        assert rows["all"] == sum(COUNTS)
        assert [rows[str(label)] for label in range(len(NAMES))] == list(COUNTS)
        assert set(rows.index) == {"all", "0", "1", "2"}

    def test_has_a_row_per_leaf(self, sampler: HVRTDiffuser) -> None:
        partition = describe_partition(sampler)
        hvrt = sampler.sampler
        assert isinstance(hvrt, SmoothedBootstrap)
        assert list(partition.columns) == ["fit", "leaf", "rows", "noise_deviation"]
        assert (partition["fit"] == "all").sum() == hvrt.overall.n_leaves
        assert (partition["fit"] != "all").sum() == hvrt.per_class.n_leaves
        assert partition["rows"].min() >= 5
        assert (partition["noise_deviation"] > 0).all()

    @pytest.mark.parametrize(
        ("strategy", "factor"), [("epanechnikov", 0.2**0.5), ("bootstrap_noise", 1.0)]
    )
    def test_noise_deviation_is_the_mean_over_dimensions(
        self, fit_by_name: Fit, strategy: Any, factor: float
    ) -> None:
        """The kernel 3/4 (1 - x^2) has the variance 1/5, and the normal one 1."""
        generator = fit_by_name(strategy=strategy)
        hvrt = generator.sampler
        assert isinstance(hvrt, SmoothedBootstrap)
        partition = describe_partition(generator)
        found = partition.loc[partition["fit"] == "all", "noise_deviation"].to_numpy()
        scale = hvrt.overall.kernel.scale.numpy()
        np.testing.assert_allclose(found, factor * scale.mean(axis=1), rtol=1e-5)

    @pytest.mark.parametrize("strategy", ["multivariate_kde", "univariate_kde_copula"])
    def test_any_kernel_and_every_member_are_described(
        self, fit_by_name: Fit, strategy: Any
    ) -> None:
        generator = fit_by_name(strategy=strategy, members=3, tree_splitter="random")
        partition = describe_partition(generator)
        rows = partition.groupby("fit")["rows"].sum()
        assert rows["all"] == 3 * sum(COUNTS)
        assert [rows[str(label)] for label in range(len(NAMES))] == [3 * n for n in COUNTS]
        assert (partition["noise_deviation"] > 0).all()
        assert isinstance(plot_partition(partition), Figure)

    def test_depends_on_the_seed_where_something_is_random(self, fit_by_name: Fit) -> None:
        one, same, other = (
            describe_partition(fit_by_name(seed=seed, tree_splitter="random")) for seed in (0, 0, 1)
        )
        pd.testing.assert_frame_equal(one, same)
        assert not one.equals(other)

    @pytest.mark.parametrize(("name", "options"), [("latent_flow", FLOW), ("flow_map", MAP)])
    def test_another_sampler_is_fitted_by_its_name(
        self, autoencoder: Autoencoder, fit_by_name: Fit, name: str, options: dict[str, Any]
    ) -> None:
        flow = fit_by_name(name, **options)
        assert isinstance(flow.sampler, LatentFlow)
        assert flow.origin["sampler"] == name
        assert flow.origin["width"] == 8
        assert flow.origin["autoencoder"] == autoencoder.fingerprint()
        partition = describe_partition(flow)
        assert partition.empty
        assert list(partition.columns) == ["fit", "leaf", "rows", "noise_deviation"]
        assert isinstance(plot_partition(partition), Figure)

    def test_a_flow_starts_from_augmented_images(
        self, autoencoder: Autoencoder, fit_by_name: Fit, train: LabelledImages
    ) -> None:
        changed = encode_changed(autoencoder, train, TWO_VERSIONS, 0)
        flow = fit_by_name("flow_map", changed, strength=0.5, **MAP)
        assert isinstance(flow.sampler, LatentFlow)
        assert flow.sampler.versions == flow.origin["versions"] == 3

    def test_augmented_images_of_others_are_refused(
        self, autoencoder: Autoencoder, fit_by_name: Fit, train: LabelledImages
    ) -> None:
        other = train[torch.arange(len(train)).flip(0)]
        changed = encode_changed(autoencoder, other, TWO_VERSIONS, 0)
        with pytest.raises(InputError, match="run latent_encoding again"):
            fit_by_name("flow_map", changed, **MAP)

    def test_the_posterior_is_that_of_a_vae(self, fit_by_name: Fit) -> None:
        with pytest.raises(InputError, match="no deviations were given"):
            fit_by_name("posterior")

    def test_is_drawn(self, sampler: HVRTDiffuser) -> None:
        assert isinstance(plot_partition(describe_partition(sampler)), Figure)


class TestGenerate:
    OPTIONS = GenerationOptions(n=30, device="cpu")

    def images(
        self, generator: HVRTDiffuser, test: LabelledImages, **options: Any
    ) -> tuple[Tensor, Tensor]:
        chosen = self.OPTIONS.model_copy(update=options)
        stream = generate(generator, test, chosen, 0)
        assert stream.class_names == NAMES
        images, labels = zip(*stream, strict=True)
        return torch.cat(images), torch.cat(labels)

    def test_as_many_as_asked_for(self, sampler: HVRTDiffuser, test: LabelledImages) -> None:
        images, labels = self.images(sampler, test)
        assert images.shape == (30, 1, 8, 8)
        assert images.dtype == torch.uint8
        assert set(labels.tolist()) <= {0, 1, 2}

    def test_of_one_class(self, sampler: HVRTDiffuser, test: LabelledImages) -> None:
        _, labels = self.images(sampler, test, class_id=2)
        assert labels.tolist() == [2] * 30

    def test_own_seed_comes_first(self, sampler: HVRTDiffuser, test: LabelledImages) -> None:
        run, same, other = (self.images(sampler, test, seed=seed)[0] for seed in (None, 0, 5))
        assert torch.equal(run, same)
        assert not torch.equal(run, other)

    def test_unknown_class_is_refused_before_anything_is_made(
        self, sampler: HVRTDiffuser, test: LabelledImages
    ) -> None:
        options = self.OPTIONS.model_copy(update={"class_id": 3})
        with pytest.raises(InputError, match=r"no class 3, expected one of cat, dog, owl"):
            generate(sampler, test, options, 0)

    def test_grid_has_a_row_per_class(self, sampler: HVRTDiffuser, test: LabelledImages) -> None:
        drawn = plot_grid(sampler, test, self.OPTIONS, 0)
        assert len(drawn.axes) == 10 * len(NAMES)
        assert [axes.get_ylabel() for axes in drawn.axes[::10]] == list(NAMES)

    def test_names_in_the_grid_are_no_formulas(
        self, sampler: HVRTDiffuser, test: LabelledImages
    ) -> None:
        names = ("$1_front_$1_back", "<b>", r"$\frac$")  # the first and the last would not parse
        drawn = plot_grid(sampler, replace(test, class_names=names), self.OPTIONS, 0)
        drawn.draw_without_rendering()
        assert not any(is_math_text(axes.get_ylabel()) for axes in drawn.axes)


class TestEvaluate:
    """With as many images of each class as a distance in 64 features needs."""

    @pytest.fixture(scope="class")
    def train(self) -> LabelledImages:
        return make_images((400, 300, 200))

    @pytest.fixture(scope="class")
    def test(self) -> LabelledImages:
        return make_images((160, 150, 140), seed=1)

    @pytest.fixture(scope="class")
    def autoencoder(self, train: LabelledImages) -> Autoencoder:
        return make_autoencoder(train, variational=False)

    @pytest.fixture(scope="class")
    def vae(self, train: LabelledImages) -> Autoencoder:
        return make_autoencoder(train, variational=True)

    @pytest.fixture(scope="class")
    def sampler(self, autoencoder: Autoencoder, train: LabelledImages) -> HVRTDiffuser:
        latents, _ = encode_images(autoencoder, train.images, CPU)
        return HVRTDiffuser(autoencoder, HVRTEstimator().fit(latents, train.labels))

    @pytest.fixture(scope="class")
    def judge(self) -> Classifier:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(2)
            return Classifier((1, 8, 8), len(NAMES), width=4).eval()

    @pytest.fixture(scope="class")
    def measure(
        self,
        train: LabelledImages,
        test: LabelledImages,
        sampler: HVRTDiffuser,
        vae: Autoencoder,
        judge: Classifier,
    ) -> Any:
        def run(synthetic: LabelledImages, class_id: int | None = None) -> dict[str, Any]:
            options = EvaluateOptions(device="cpu", class_id=class_id, vae="vae_beta_1", seed=0)
            return evaluate(synthetic, train, test, sampler, vae, judge, options)

        return run

    def test_of_all_classes(self, measure: Any, train: LabelledImages) -> None:
        found = measure(train[torch.arange(500)])
        assert found["n"] == {
            "train": 900,
            "test": 450,
            "synthetic": 500,
            "vae_beta_1": 500,
            "real_floor": 500,
            "reconstruction_floor": 450,
            "copy_floor": 500,
        }
        assert found["classes"] == list(NAMES)
        assert found["missing_classes"] == []
        for name in (
            "synthetic",
            "vae_beta_1",
            "real_floor",
            "reconstruction_floor",
            "copy_floor",
        ):
            assert found["fd_classifier"][name] >= 0

    def test_of_one_class_compares_with_that_class_alone(
        self, measure: Any, train: LabelledImages
    ) -> None:
        ones = train[(train.labels == 1).nonzero()[:, 0]]
        found = measure(ones, 1)
        assert found["classes"] == ["dog"]
        assert found["missing_classes"] == []
        assert (
            found["n"]["synthetic"] == found["n"]["real_floor"] == found["n"]["copy_floor"] == 300
        )
        assert found["n"]["test"] == found["n"]["reconstruction_floor"] == 150

    def test_real_images_of_a_class_are_nearer_than_those_of_another(
        self, measure: Any, train: LabelledImages
    ) -> None:
        """Its training images, called synthetic, are the training floor itself."""
        found = measure(train[(train.labels == 1).nonzero()[:, 0]], 1)["fd_classifier"]
        assert found["synthetic"] == pytest.approx(found["real_floor"], rel=1e-6, abs=1e-6)
        foreign = train[(train.labels == 2).nonzero()[:, 0]]
        disguised = replace(foreign, labels=torch.ones(len(foreign), dtype=torch.int64))
        assert measure(disguised, 1)["fd_classifier"]["synthetic"] > found["synthetic"]

    def test_a_class_that_is_missing_is_named(self, measure: Any, train: LabelledImages) -> None:
        found = measure(train[(train.labels != 1).nonzero()[:, 0]])
        assert found["missing_classes"] == ["dog"]
        assert found["n"]["test"] == 450
        assert found["per_class"]["dog"]["synthetic"] == {"n": 0, "agreement": None}

    def test_a_class_that_was_not_asked_for_is_refused(
        self, measure: Any, train: LabelledImages
    ) -> None:
        with pytest.raises(InputError, match=r"other classes than were asked for, such as"):
            measure(train, 1)

    def test_too_few_images_are_told_with_their_reason(
        self, measure: Any, train: LabelledImages
    ) -> None:
        found = measure(train[torch.arange(60)])
        assert found["fd_classifier"]["synthetic"] is None
        assert "expected at least 65" in found["skipped"]["fd_classifier"]

    def test_same_twice(self, measure: Any, train: LabelledImages) -> None:
        assert measure(train[torch.arange(500)]) == measure(train[torch.arange(500)])


class TestRows:
    @pytest.mark.parametrize("n", [1, 3, 10, 31])
    def test_even_labels(self, n: int) -> None:
        found = count(even_labels(n, len(NAMES)))
        assert sum(found) == n
        assert max(found) - min(found) <= 1

    def test_all_images_are_the_training_images(self, train: LabelledImages) -> None:
        images, labels = all_images(train)(0)
        assert torch.equal(images, train.images)
        assert torch.equal(labels, train.labels)

    def test_equal_n_is_even_without_repetition(self, train: LabelledImages) -> None:
        images, labels = equal_n(train, 31)(0)
        assert count(labels) == [11, 10, 10]
        assert len(images.flatten(1).unique(dim=0)) == 31
        known = {
            (tuple(i.flatten().tolist()), int(c))
            for i, c in zip(train.images, train.labels, strict=True)
        }
        assert {
            (tuple(i.flatten().tolist()), int(c)) for i, c in zip(images, labels, strict=True)
        } <= known

    def test_equal_n_draws_anew_for_each_seed(self, train: LabelledImages) -> None:
        row = equal_n(train, 30)
        assert torch.equal(row(0)[0], row(0)[0])
        assert not torch.equal(row(0)[0], row(1)[0])

    def test_equal_n_says_how_many_there_can_be(self, train: LabelledImages) -> None:
        equal_n(train, 60)
        with pytest.raises(InputError, match=r"owl has 20 .*expected 21 .*at most 60"):
            equal_n(train, 63)

    @pytest.mark.parametrize("of", ["sampler", "prior"])
    def test_drawn_is_even(self, autoencoder: Autoencoder, sampler: HVRTDiffuser, of: str) -> None:
        prior = HVRTDiffuser(autoencoder, StandardNormal(LATENT_DIM, sampler.counts))
        row = drawn(sampler if of == "sampler" else prior, 31, CPU)
        images, labels = row(0)
        assert images.shape == (31, 1, 8, 8)
        assert count(labels) == [11, 10, 10]
        assert torch.equal(row(0)[0], images)
        assert not torch.equal(row(1)[0], images)

    def test_copied_are_training_images_through_the_autoencoder(
        self, autoencoder: Autoencoder, train: LabelledImages
    ) -> None:
        images, labels = copied(autoencoder, train, 31, CPU)(0)
        assert count(labels) == [11, 10, 10]
        latents, _ = encode_images(autoencoder, train.images, CPU)
        known = {
            (tuple(image.flatten().tolist()), int(c))
            for image, c in zip(
                decode_latents(autoencoder, latents, CPU), train.labels, strict=True
            )
        }
        assert {
            (tuple(image.flatten().tolist()), int(c))
            for image, c in zip(images, labels, strict=True)
        } <= known

    def test_both_are_one_after_the_other(self, train: LabelledImages) -> None:
        images, labels = both(equal_n(train, 30), all_images(train))(0)
        assert torch.equal(images[:30], equal_n(train, 30)(0)[0])
        assert torch.equal(images[30:], train.images)
        assert torch.equal(labels[30:], train.labels)


TRAINING = AETrainingOptions(  # type: ignore[call-arg]
    latent_dim=LATENT_DIM, width=4, epochs=1, batch_size=8, validation_fraction=0.0
)


class TestTSTR:
    OPTIONS = TSTRTask(
        n=(30, 120),
        seeds=2,
        few_shot=10,
        classifier=ClassifierOptions.model_validate(CLASSIFIER),
        until_validation=JudgeOptions.model_validate({**CLASSIFIER, "evaluate_every": 2}),
        device="cpu",
        sampler=ChosenSampler(name="hvrt", options={}, device="cpu"),
        ae_training=TRAINING,
        augmentation=Augmentation(),
        vae="vae_beta_0_05",
        seed=0,
    )

    @pytest.fixture(scope="class")
    def held_out(self) -> LabelledImages:
        return make_images((100, 70, 50), seed=1)

    @pytest.fixture(scope="class")
    def run(
        self,
        train: LabelledImages,
        held_out: LabelledImages,
        sampler: HVRTDiffuser,
        vae: Autoencoder,
    ) -> Any:
        def train_all(
            checkpoint: Checkpoint,
            options: TSTRTask = self.OPTIONS,
            test: LabelledImages = held_out,
        ) -> Predictions:
            return train_synthetic_test_real(
                train,
                test,
                sampler,
                vae,
                options,
                checkpoint,
                checkpoint.path.parent / "generators",
            )

        return train_all

    @pytest.fixture(scope="class")
    def predictions(self, run: Any, tmp_path_factory: pytest.TempPathFactory) -> Predictions:
        return run(Checkpoint(tmp_path_factory.mktemp("tstr") / "checkpoint.safetensors"))

    @pytest.fixture(scope="class")
    def metrics(
        self, predictions: Predictions, train: LabelledImages, held_out: LabelledImages
    ) -> dict[str, Any]:
        return tabulate_tstr(predictions, train, held_out, self.OPTIONS)[0]

    def test_has_every_row_with_every_repetition(self, metrics: dict[str, Any]) -> None:
        found = [(row["row"], row["n"]) for row in metrics["rows"]]
        assert found == [
            ("real_all", 120),
            ("real_all_until_validation", 120),
            ("real_equal_n", 30),
            ("synthetic", 30),
            ("synthetic_equal_information", 30),
            ("vae_beta_0_05", 30),
            ("random_decoded", 30),
            ("copied", 30),
            ("real_and_synthetic", 60),
            ("synthetic", 120),
            ("vae_beta_0_05", 120),
            ("random_decoded", 120),
            ("copied", 120),
            ("real_and_synthetic", 240),
            ("real_augmented", 120),
            ("real_augmented_and_synthetic", 240),
            ("few_shot_real", 30),
            ("few_shot_real_and_synthetic", 150),
            ("few_shot_real_augmented", 30),
            ("few_shot_real_augmented_and_synthetic", 150),
        ]
        assert metrics["left_out"] == []
        for row in metrics["rows"]:
            assert len(row["accuracies"]) == row["seeds"] == 2
            assert all(0 <= accuracy <= 100 for accuracy in row["accuracies"])
            assert row["mean"] == pytest.approx(np.mean(row["accuracies"]))
            assert row["std"] == pytest.approx(np.std(row["accuracies"], ddof=1))
            assert row["low"] <= row["mean"] <= row["high"]
            assert set(row["per_class"]) == set(NAMES)
            assert row["asked"] == row["n"]

    def test_rows_are_compared_with_as_many_real_images(self, metrics: dict[str, Any]) -> None:
        against = {(row["row"], row["n"]): row["against"] for row in metrics["rows"]}
        assert against["synthetic", 30] == ["real_equal_n", 30]
        assert against["synthetic", 120] == ["real_all", 120]
        assert against["real_and_synthetic", 60] == ["real_equal_n", 30]
        assert against["few_shot_real_and_synthetic", 150] == ["few_shot_real", 30]
        assert against["real_augmented_and_synthetic", 240] == ["real_augmented", 120]
        for row in metrics["rows"]:
            for key in ("gain", "p", "p_holm", "gain_per_class"):
                assert (row[key] is None) == (row["against"] is None), key
            if row["against"]:
                assert 0 < row["p"] <= row["p_holm"] <= 1
                assert row["gain"]["low"] <= row["gain"]["mean"] <= row["gain"]["high"]

    def test_says_what_few_images_gain_beyond_augmentation(self, metrics: dict[str, Any]) -> None:
        gain = metrics["gain_over_augmentation"]
        assert gain["of"] == ["few_shot_real_augmented_and_synthetic", 150]
        assert gain["over"] == metrics["gain_of_augmentation"]["of"]
        assert metrics["gain_of_augmentation"]["over"] == ["few_shot_real", 30]

    def test_synthetic_images_of_all_have_the_counts_of_all(
        self,
        train: LabelledImages,
        held_out: LabelledImages,
        sampler: Any,
        vae: Autoencoder,
        tmp_path: Path,
    ) -> None:
        plan = plan_rows(train, held_out, self.OPTIONS)
        tasks = list_tasks(train, plan, sampler, vae, self.OPTIONS, CPU, tmp_path)
        wanted = ("real_all", "real_equal_n", "synthetic", "random_decoded", "copied")
        counts = {(t.row, t.n): count(t.prepare()(0)[1]) for t in tasks if t.row in wanted}
        assert counts["synthetic", 120] == counts["real_all", 120] == list(COUNTS)
        assert counts["copied", 120] == counts["random_decoded", 120] == list(COUNTS)
        assert counts["synthetic", 30] == counts["real_equal_n", 30] == [10, 10, 10]

    def test_a_generator_sees_the_images_of_its_row_and_repetition(
        self,
        train: LabelledImages,
        held_out: LabelledImages,
        sampler: Any,
        vae: Autoencoder,
        monkeypatch: Any,
        tmp_path: Path,
    ) -> None:
        seen: list[Tensor] = []

        def fit(_: KeptFits, name: str, images: Tensor, *__: Any, **___: Any) -> HVRTDiffuser:
            seen.append(images)
            return sampler

        monkeypatch.setattr(KeptFits, "fit", fit)
        options = self.OPTIONS.model_copy(update={"n": (60,), "few_shot": 10})
        plan = plan_rows(train, held_out, options)
        rows = {
            task.row: task.prepare()
            for task in list_tasks(train, plan, sampler, vae, options, CPU, tmp_path)
        }
        for real, made in (
            ("real_equal_n", "synthetic_equal_information"),
            ("few_shot_real", "few_shot_real_augmented_and_synthetic"),
        ):
            seen.clear()
            of = [rows[real](seed)[0] for seed in (1, 2)]
            for seed in (1, 2, 1, 2):
                rows[made](seed)
            assert len(seen) == 2, "a fit for each repetition, and not one more"
            assert all(map(torch.equal, seen, of))
            assert not torch.equal(*of)
        rows["few_shot_real_and_synthetic"](1)
        rows["real_augmented_and_synthetic"](1)
        assert len(seen) == 2, "rows of one repetition share a fit"
        both = rows["few_shot_real_augmented_and_synthetic"](1)[0]
        assert torch.equal(both[:30], rows["few_shot_real_augmented"](1)[0])

    def test_has_the_reverse_for_each_number_of_images(self, metrics: dict[str, Any]) -> None:
        assert [(row["n"], row["seeds"]) for row in metrics["trts"]] == [(30, 2), (120, 2)]

    def test_confusion_counts_every_test_image_in_every_repetition(
        self, metrics: dict[str, Any], held_out: LabelledImages
    ) -> None:
        for table in metrics["confusion"]:
            counts = np.array(table["counts"])
            assert counts.sum(1).tolist() == [2 * m for m in count(held_out.labels)]

    @pytest.mark.parametrize("crossed", [False, pytest.param(True, marks=pytest.mark.slow)])
    def test_goes_on_where_it_was_cut_off(
        self,
        run: Any,
        predictions: Predictions,
        crossed: bool,
        test: LabelledImages,
        tmp_path: Any,
        monkeypatch: Any,
    ) -> None:
        last = 10
        if crossed:
            few = self.OPTIONS.model_copy(update={"n": (30,), "few_shot": None})
            last, run = 40, partial(run, options=few, test=test)  # in the third fold
            predictions = run(Checkpoint(tmp_path / "whole.safetensors"))
        checkpoint = Checkpoint(tmp_path / "cut" / "checkpoint.safetensors")
        generators = checkpoint.path.parent / "generators"
        write, written = Checkpoint.write, 0
        fitted: list[int] = []

        def fit(images: Tensor, *arguments: Any, seed: int, **how: Any) -> HVRTDiffuser:
            fitted.append(seed)
            return fit_on_few_by_engine(images, *arguments, seed=seed, **how)

        monkeypatch.setattr("hvrt_diffuser.judge.kept_fits.fit_on_few_by_engine", fit)

        def die_after_some(*arguments: Any) -> None:
            nonlocal written
            write(*arguments)
            written += 1
            if written == last:
                raise KeyboardInterrupt

        monkeypatch.setattr(Checkpoint, "write", die_after_some)
        with pytest.raises(KeyboardInterrupt):
            run(checkpoint)
        assert checkpoint.path.exists()
        assert fitted
        assert any(generators.rglob("*.safetensors"))
        monkeypatch.setattr(Checkpoint, "write", write)
        resumed = run(checkpoint)
        if not crossed:  # generators of a fold are of one seed
            assert len(set(fitted)) == len(fitted), "no generator is fitted twice"
        assert not generators.exists()
        assert resumed.reverse == predictions.reverse
        assert resumed.probabilities.keys() == predictions.probabilities.keys()
        for key, found in resumed.probabilities.items():
            assert torch.equal(found, predictions.probabilities[key]), key

    def test_refuses_to_go_on_with_other_options(self, run: Any, tmp_path: Any) -> None:
        checkpoint = Checkpoint(tmp_path / "checkpoint.safetensors")
        few = self.OPTIONS.model_copy(update={"n": (30,), "few_shot": None})
        run(checkpoint, few)
        with pytest.raises(InputError, match="is from a training with task"):
            run(checkpoint, few.model_copy(update={"seeds": 3}))

    def test_rows_have_the_images_that_there_are(
        self, train: LabelledImages, held_out: LabelledImages
    ) -> None:
        """Of a class there are 20; 119 of 120 cannot be even by class, and 2,000 are 120."""
        options = self.OPTIONS.model_copy(update={"n": (30, 119, 2000), "few_shot": 50})
        plan = plan_rows(train, held_out, options)
        assert list(plan.sizes) == [30, 60, 120]
        assert plan.few == 60
        assert plan.asked["synthetic", 60] == 119
        assert plan.asked["synthetic", 120] == 2000
        assert plan.asked["few_shot_real", 60] == 150
        for (row, n), real in plan.against.items():
            assert real is None or real[1] == n or "and_synthetic" in row

    def test_a_class_without_images_is_refused(self, held_out: LabelledImages) -> None:
        with pytest.raises(InputError, match="class owl has too few images"):
            plan_rows(make_images((30, 30, 0)), held_out, self.OPTIONS)

    def test_one_class_trains_no_classifier(self, run: Any, tmp_path: Any) -> None:
        train, test = (replace(make_images((n, 0, 0)), class_names=("cat",)) for n in (30, 9))
        plan = plan_rows(train, test, self.OPTIONS)
        assert not plan.against
        predictions = Predictions({}, {}, test.labels, {})
        metrics, figure = tabulate_tstr(predictions, train, test, self.OPTIONS)
        assert not metrics["rows"]
        assert "one class" in metrics["left_out"][0]["reason"]
        assert metrics["gain_over_augmentation"] is None
        assert figure.texts

    def test_what_cannot_be_held_out_of_is_left_out(self, held_out: LabelledImages) -> None:
        plan = plan_rows(make_images((30, 30, 1)), held_out, self.OPTIONS)
        assert ("real_all_until_validation", 61) not in plan.against
        assert "too few" in plan.left_out["real_all_until_validation", 61]

    def test_few_test_images_are_cross_fitted(
        self, run: Any, train: LabelledImages, test: LabelledImages, tmp_path: Any
    ) -> None:
        options = self.OPTIONS.model_copy(update={"n": (2000,), "few_shot": 5})
        predictions = run(Checkpoint(tmp_path / "checkpoint.safetensors"), options, test)
        metrics, _ = tabulate_tstr(predictions, train, test, options)
        assert metrics["cross_fitted"]
        assert metrics["n_test"] == len(train) + len(test)
        assert predictions.labels.tolist() == [*train.labels.tolist(), *test.labels.tolist()]
        rows = {row["row"]: row for row in metrics["rows"]}
        assert rows["synthetic_equal_information"]["against"] == ["real_all", 120]
        assert rows["synthetic_equal_information"]["asked"] == 2000
        left_out = {line["row"]: line["reason"] for line in metrics["left_out"]}
        assert left_out.keys() == {
            "real_all_until_validation",
            "synthetic",
            "vae_beta_0_05",
            "random_decoded",
            "copied",
            "few_shot_real",
            "few_shot_real_augmented",
            "few_shot_real_and_synthetic",
            "few_shot_real_augmented_and_synthetic",
        }
        assert not left_out.keys() & rows.keys()
        for found in predictions.probabilities.values():
            torch.testing.assert_close(found.float().sum(1), torch.ones(150), atol=2e-3, rtol=0)
        assert metrics["gain_over_augmentation"]["of"] == ["real_augmented_and_synthetic", 240]

    def test_rows_may_have_fewer_images_than_there_are_classes(self, train: LabelledImages) -> None:
        images, labels = equal_n(train, 2)(0)
        assert len(images) == 2
        assert labels.tolist() == [0, 1]

    def test_is_drawn(self, metrics: dict[str, Any]) -> None:
        drawn = plot_tstr(metrics)
        assert len(drawn.axes[0].get_yticklabels()) == len(metrics["rows"])


@pytest.mark.parametrize("kl", [0.0, 2.5])
@pytest.mark.parametrize("validation", [True, False])
def test_training_curves_show_what_there_is(kl: float, validation: bool) -> None:
    history = pd.DataFrame(
        {"epoch": [1, 2], "train_loss": [9.0, 8.0], "train_nll": [9.0, 8.0], "train_kl": [kl, kl]}
    )
    if validation:
        history["validation_loss"] = [9.5, 8.5]
    axes = plot_training_curves(history).axes[0]
    shown = [line.get_label() for line in axes.lines]
    assert ("KL term, unweighted" in shown) == bool(kl)
    assert ("validation loss" in shown) == validation
    assert "training loss" in shown
