"""Training: it learns, it repeats itself to the byte, and it can be cut off anywhere."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from pydantic import ValidationError
from sklearn.decomposition import PCA
from torch import Tensor
from torch.nn import functional as F

from hvrt_diffuser.autoencoders import (
    Autoencoder,
    TrainingOptions,
    decode_latents,
    encode_images,
    train_autoencoder,
)
from hvrt_diffuser.autoencoders.principal import PrincipalPath
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.training import Checkpoint, Row

CPU = torch.device("cpu")
Make = Callable[..., TrainingOptions]

VARIANTS: dict[str, dict[str, Any]] = {
    "one_cycle": {},
    "cosine": {"schedule": "cosine"},
    "average": {"ema_decay": 0.9},
    "patience": {"patience": 2},
    "vae": {"beta": 1.0},
    "coupled vae": {"beta": 1.0, "coupling": 2.0, "ema_decay": 0.8},
    "no validation": {"validation_fraction": 0.0, "patience": 3},
    "gaussian": {"likelihood": "gaussian"},
    "small decoder weights": {"regulariser": {"kind": "decoder_weights", "weight": 1e-3}},
    "smooth decoder": {
        "regulariser": {"kind": "decoder_gradient", "weight": 0.1, "latent_weight": 0.01}
    },
    "bounded spectrum": {
        "regulariser": {"kind": "decoder_spectrum", "latent_weight": 0.01},
        "patience": 2,
    },
    "principal path": {"principal_path": True, "ema_decay": 0.8},
    "discrepancy": {"regulariser": {"kind": "mmd", "weight": 10.0}},
    "all": {"schedule": "cosine", "ema_decay": 0.8, "patience": 2, "beta": 0.5},
}


class CutOffError(Exception):
    """The training was cut off."""


class Recorder(Checkpoint):
    """Remembers what was written, and cuts the training off after some epochs."""

    def __init__(self, path: Path, cut_off_after: int | None = None) -> None:
        super().__init__(path)
        self.cut_off_after = cut_off_after
        self.written: list[tuple[dict[str, Tensor], Any]] = []

    def write(self, tensors: Any, progress: Any, setting: Any) -> None:
        super().write(tensors, progress, setting)
        kept = {name: tensor.clone() for name, tensor in tensors.items()}
        self.written.append((kept, progress))
        if len(self.written) == self.cut_off_after:
            raise CutOffError


def assert_same_weights(a: Autoencoder, b: Autoencoder) -> None:
    assert a.state_dict().keys() == b.state_dict().keys()
    for (name, one), other in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        assert torch.equal(one, other), name


def table(history: list[Row]) -> bytes:
    """The history as the file that a run keeps."""
    file = io.BytesIO()
    pd.DataFrame(history).to_parquet(file)
    return file.getvalue()


@pytest.fixture(scope="module")
def images(digits: LabelledImages) -> Tensor:
    return digits.images[:300]


# ---- learning


def test_a_few_epochs_beat_the_mean_image(
    trained: tuple[Autoencoder, list[dict[str, float]]], digits: LabelledImages
) -> None:
    history = trained[1]
    assert [row["epoch"] for row in history] == [1, 2, 3]
    losses = [row["train_loss"] for row in history]
    assert losses == sorted(losses, reverse=True)
    x = digits.images.float() / 255
    mean_image = x.mean(0).expand_as(x)
    baseline = F.binary_cross_entropy(mean_image, x, reduction="sum").item() / len(x)
    assert history[-1]["validation_loss"] < 0.85 * baseline


def test_the_history_adds_up(images: Tensor, make_options: Make) -> None:
    _, history = train_autoencoder(images, make_options(beta=0.5), seed=0, device=CPU)
    for row in history:
        total = row["train_nll"] + 0.5 * row["train_kl"]
        assert row["train_loss"] == pytest.approx(total, rel=1e-5)
        assert row["train_kl"] > 0


def test_a_penalty_is_part_of_the_loss(images: Tensor, make_options: Make) -> None:
    options = make_options(**VARIANTS["smooth decoder"])
    _, history = train_autoencoder(images, options, seed=0, device=CPU)
    for row in history:
        total = row["train_nll"] + row["train_penalty"]
        assert row["train_loss"] == pytest.approx(total, rel=1e-5)
        assert row["train_penalty"] > 0


def test_a_coupled_vae_also_learns_to_decode_means(images: Tensor, make_options: Make) -> None:
    coupled, alone = (
        train_autoencoder(
            images, make_options(beta=4.0, coupling=coupling, epochs=8), seed=0, device=CPU
        )
        for coupling in (4.0, 0.0)
    )
    for row in coupled[1]:
        total = row["train_nll"] + 4.0 * row["train_kl"] + row["train_penalty"]
        assert row["train_loss"] == pytest.approx(total, rel=1e-5)
        # A mean is decoded better than a draw, and weighs four times as much.
        assert 0 < row["train_penalty"] < 4 * row["train_nll"]
    assert "train_penalty" not in alone[1][-1]
    errors = []
    for model, _ in (coupled, alone):
        means, _ = encode_images(model, images, CPU)
        decoded = decode_latents(model, means, CPU).float()
        errors.append((decoded - images.float()).square().mean())
    assert errors[0] < 0.95 * errors[1]


def test_only_a_vae_can_be_coupled(make_options: Make) -> None:
    with pytest.raises(ValidationError, match=r"coupling is 1 and beta is 0, expected a VAE"):
        make_options(coupling=1.0)


def test_posteriors_and_a_regulariser_exclude_each_other(make_options: Make) -> None:
    with pytest.raises(ValidationError, match=r"beta is 1 and a regulariser \(mmd\) is given"):
        make_options(beta=1.0, regulariser={"kind": "mmd", "weight": 1.0})


def test_a_bounded_spectrum_and_principal_components_exclude_each_other(make_options: Make) -> None:
    with pytest.raises(ValidationError, match="principal_path is true beside a regulariser"):
        make_options(principal_path=True, regulariser={"kind": "decoder_spectrum"})


def test_a_bounded_spectrum_and_averaged_weights_exclude_each_other(make_options: Make) -> None:
    with pytest.raises(ValidationError, match=r"ema_decay is 0\.99 beside a regulariser"):
        make_options(ema_decay=0.99, regulariser={"kind": "decoder_spectrum"})


def squared_error(model: Autoencoder, images: Tensor) -> float:
    with torch.inference_mode():
        x = images.float() / 255
        made = torch.sigmoid(model.decode(model.encode(x)[0]))
        return float((made - x).square().mean())


def linear_squared_error(images: Tensor, latent_dim: int) -> float:
    """Of the best reconstruction that is linear in as many dimensions, cut off like a pixel."""
    x = images.flatten(1).double().numpy() / 255
    mean = x.mean(0)
    directions = np.linalg.svd(x - mean, full_matrices=False)[2][:latent_dim]
    made = mean + (x - mean) @ directions.T @ directions
    return float(((made.clip(0.01, 0.99) - x) ** 2).mean())


@pytest.mark.parametrize("variational", [False, True])
def test_with_a_principal_path_training_begins_at_the_best_linear_reconstruction(
    images: Tensor, make_options: Make, variational: bool
) -> None:
    options = make_options(
        principal_path=True,
        latent_dim=20,
        epochs=1,
        learning_rate=1e-12,
        validation_fraction=0.0,
        beta=float(variational),
    )
    model, _ = train_autoencoder(images, options, seed=0, device=CPU)
    assert squared_error(model, images) == pytest.approx(linear_squared_error(images, 20), rel=1e-3)


def test_the_convolutions_learn_what_principal_components_lack(
    images: Tensor, make_options: Make
) -> None:
    options = make_options(
        principal_path=True,
        latent_dim=20,
        width=16,
        epochs=8,
        likelihood="gaussian",
        validation_fraction=0.0,
    )
    model, _ = train_autoencoder(images, options, seed=0, device=CPU)
    assert squared_error(model, images) < 0.9 * linear_squared_error(images, 20)


@pytest.mark.parametrize(
    ("shape", "n", "options", "expected"),
    [
        ((3, 16, 16), 64, {}, True),
        ((1, 16, 16), 64, {}, False),  # digits have their edges where convolutions see them
        ((3, 16, 16), 63, {}, False),
        ((3, 16, 16), 64, {"validation_fraction": 0.05}, False),
        ((3, 16, 16), 64, {"beta": 0.1}, False),
        ((3, 16, 16), 64, {"regulariser": {"kind": "decoder_spectrum"}}, False),
        ((3, 16, 16), 64, {"principal_path": False}, False),
        ((1, 16, 16), 4, {"principal_path": True}, True),
    ],
)
def test_colour_images_have_a_principal_path_unless_they_are_few(
    shape: tuple[int, int, int], n: int, options: dict[str, Any], expected: bool
) -> None:
    given = {"latent_dim": 32, "validation_fraction": 0.0} | options
    found = TrainingOptions(**given).architecture(shape, n)
    assert found.principal_path is expected


def test_of_many_images_some_at_random_give_the_components(
    images: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hvrt_diffuser.autoencoders.principal.MOST_NUMBERS", 150 * 784)
    path, rows = PrincipalPath((1, 28, 28), 5), torch.arange(len(images))
    path.fit(images, rows, 0)
    x = images.flatten(1).float() / 255
    error = (path.decode_rows(path.encode_rows(x)) - x).square().mean().item()
    all_of_them = PCA(5).fit(x.numpy())
    least = np.square(all_of_them.inverse_transform(all_of_them.transform(x.numpy())) - x.numpy())
    assert 1.001 * least.mean() < error < 1.1 * least.mean()


def test_fewer_images_than_principal_components_are_refused(
    images: Tensor, make_options: Make
) -> None:
    options = make_options(
        principal_path=True, latent_dim=50, batch_size=20, validation_fraction=0.0
    )
    with pytest.raises(InputError, match="40 training images have no 50 principal components"):
        train_autoencoder(images[:40], options, seed=0, device=CPU)


def test_the_learning_rate_falls_to_nothing(images: Tensor, make_options: Make) -> None:
    for schedule in ("cosine", "one_cycle"):
        options = make_options(schedule=schedule)
        _, history = train_autoencoder(images, options, seed=0, device=CPU)
        rates = [row["learning_rate"] for row in history]
        assert 0.5 * options.learning_rate < max(rates) <= options.learning_rate
        assert rates[-1] < 0.01 * options.learning_rate, schedule


def test_the_network_is_handed_over_for_evaluation(
    trained: tuple[Autoencoder, list[dict[str, float]]],
) -> None:
    model = trained[0]
    assert not any(module.training for module in model.modules())
    assert {p.device for p in model.parameters()} == {CPU}
    assert model.architecture.shape == (1, 28, 28)
    assert not model.architecture.variational


def test_beta_above_zero_gives_posteriors_with_deviations(
    images: Tensor, make_options: Make
) -> None:
    model, _ = train_autoencoder(images, make_options(beta=1.0), seed=0, device=CPU)
    assert model.architecture.variational
    means, deviations = encode_images(model, images, CPU)
    assert deviations is not None
    assert deviations.shape == means.shape
    assert (deviations > 0).all()


def test_a_greater_beta_brings_the_posteriors_nearer_to_the_prior(
    images: Tensor, make_options: Make
) -> None:
    ends = [
        train_autoencoder(images, make_options(beta=beta, epochs=6), seed=0, device=CPU)[1][-1]
        for beta in (0.01, 100.0)
    ]
    assert ends[1]["train_kl"] < 0.5 * ends[0]["train_kl"]
    assert ends[1]["train_nll"] > ends[0]["train_nll"]


def test_bfloat16_trains_and_hands_over_float32(images: Tensor, make_options: Make) -> None:
    options = make_options(precision="bfloat16", beta=0.1, ema_decay=0.5, epochs=2)
    model, history = train_autoencoder(images, options, seed=0, device=CPU)
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_colour_images_train(images: Tensor, make_options: Make) -> None:
    colour = images[:297].reshape(99, 3, 28, 28)
    options = {"batch_size": 20, "epochs": 2, "principal_path": False}
    model, history = train_autoencoder(colour, make_options(**options), seed=0, device=CPU)
    assert history[1]["train_loss"] < history[0]["train_loss"]
    gaussian = make_options(**options, likelihood="gaussian")
    assert_same_weights(model, train_autoencoder(colour, gaussian, seed=0, device=CPU)[0])


# ---- the same again


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_same_seed_gives_the_same_bytes(
    images: Tensor, make_options: Make, tmp_path: Path, variant: str
) -> None:
    options = make_options(**VARIANTS[variant])
    histories = []
    for name in ("one", "two"):
        torch.rand(3)  # what the global generator does is of no account
        model, history = train_autoencoder(images, options, seed=5, device=CPU)
        model.save(tmp_path / name)
        histories.append(history)
    assert histories[0] == histories[1]
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_another_seed_gives_other_weights(images: Tensor, make_options: Make) -> None:
    options = make_options(epochs=1)
    models = [train_autoencoder(images, options, seed=seed, device=CPU)[0] for seed in (0, 1)]
    for one, other in zip(*(model.parameters() for model in models), strict=True):
        assert not torch.equal(one, other)


def test_training_touches_no_global_generator(
    images: Tensor, make_options: Make, global_generators_untouched: Any
) -> None:
    with global_generators_untouched():
        train_autoencoder(images, make_options(**VARIANTS["all"]), seed=0, device=CPU)


def test_training_leaves_its_images_alone(images: Tensor, make_options: Make) -> None:
    before = images.clone()
    train_autoencoder(images, make_options(epochs=1), seed=0, device=CPU)
    assert torch.equal(images, before)


# ---- cut off


@pytest.mark.parametrize("after", [pytest.param(1, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_training_cut_off_and_resumed_is_the_same_training(
    images: Tensor, make_options: Make, tmp_path: Path, variant: str, after: int
) -> None:
    options = make_options(**VARIANTS[variant])
    straight = Recorder(tmp_path / "straight")
    model, history = train_autoencoder(images, options, seed=0, device=CPU, checkpoint=straight)
    path = tmp_path / "checkpoint"
    with pytest.raises(CutOffError):
        train_autoencoder(
            images, options, seed=0, device=CPU, checkpoint=Recorder(path, cut_off_after=after)
        )
    rest = Recorder(path)
    resumed, resumed_history = train_autoencoder(
        images, options, seed=0, device=CPU, checkpoint=rest
    )
    assert len(rest.written) == len(history) - after, "epochs were trained again"
    assert resumed_history == history
    assert table(resumed_history) == table(history)
    assert_same_weights(resumed, model)
    assert path.read_bytes() == straight.path.read_bytes()


def test_a_training_cut_off_after_every_epoch_is_the_same_training(
    images: Tensor, make_options: Make, tmp_path: Path
) -> None:
    options = make_options(**VARIANTS["all"])
    model, history = train_autoencoder(images, options, seed=0, device=CPU)
    path = tmp_path / "checkpoint"
    for _ in history:
        with pytest.raises(CutOffError):
            train_autoencoder(
                images, options, seed=0, device=CPU, checkpoint=Recorder(path, cut_off_after=1)
            )
    resumed, resumed_history = train_autoencoder(
        images, options, seed=0, device=CPU, checkpoint=Checkpoint(path)
    )
    assert resumed_history == history
    assert_same_weights(resumed, model)


def test_a_checkpoint_changes_nothing(images: Tensor, make_options: Make, tmp_path: Path) -> None:
    options = make_options(**VARIANTS["all"])
    plain, _ = train_autoencoder(images, options, seed=0, device=CPU)
    watched, _ = train_autoencoder(
        images, options, seed=0, device=CPU, checkpoint=Checkpoint(tmp_path / "checkpoint")
    )
    assert_same_weights(plain, watched)


@pytest.mark.slow
def test_a_killed_training_goes_on_to_the_same_weights(
    images: Tensor, make_options: Make, tmp_path: Path
) -> None:
    options = make_options(schedule="cosine", ema_decay=0.8, beta=0.5, epochs=6)
    straight, history = train_autoencoder(images, options, seed=0, device=CPU)
    torch.save(images, tmp_path / "images.pt")
    (tmp_path / "options.json").write_text(options.model_dump_json())
    code = """
import sys, time, torch
from pathlib import Path
from hvrt_diffuser.autoencoders import TrainingOptions, train_autoencoder
from hvrt_diffuser.training import Checkpoint, Row

folder = Path(sys.argv[1])

class Slow(Checkpoint):
    epoch = 0
    def write(self, *state):
        self.epoch += 1
        if self.epoch == 5:
            time.sleep(600)
        super().write(*state)
        print(self.epoch, flush=True)

options = TrainingOptions.model_validate_json((folder / "options.json").read_text())
train_autoencoder(torch.load(folder / "images.pt"), options, seed=0, device=torch.device("cpu"),
                  checkpoint=Slow(folder / "checkpoint"))
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())},
    ) as child:
        assert child.stdout is not None
        assert [child.stdout.readline().strip() for _ in range(2)] == ["1", "2"]
        child.send_signal(signal.SIGKILL)  # some time in epoch 3, 4 or 5
        assert child.wait(timeout=60) == -signal.SIGKILL
    rest = Recorder(tmp_path / "checkpoint")
    resumed, resumed_history = train_autoencoder(
        images, options, seed=0, device=CPU, checkpoint=rest
    )
    assert 2 <= len(rest.written) <= 4
    assert resumed_history == history
    assert_same_weights(resumed, straight)


def test_a_finished_training_is_not_trained_again(
    images: Tensor, make_options: Make, tmp_path: Path
) -> None:
    options = make_options(ema_decay=0.9, patience=2)
    path = tmp_path / "checkpoint"
    model, history = train_autoencoder(
        images, options, seed=0, device=CPU, checkpoint=Checkpoint(path)
    )
    again = Recorder(path)
    same, same_history = train_autoencoder(images, options, seed=0, device=CPU, checkpoint=again)
    assert again.written == []
    assert table(same_history) == table(history)
    assert_same_weights(same, model)


# ---- what is refused


@pytest.fixture(scope="module")
def begun(images: Tensor, make_options: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("begun") / "checkpoint"
    with pytest.raises(CutOffError):
        train_autoencoder(
            images, make_options(), seed=0, device=CPU, checkpoint=Recorder(path, cut_off_after=1)
        )
    return path


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("latent_dim", 5),
        ("width", 8),
        ("depth", 1),
        ("beta", 0.1),
        ("likelihood", "gaussian"),
        ("epochs", 5),
        ("batch_size", 40),
        ("learning_rate", 4e-3),
        ("weight_decay", 0.0),
        ("schedule", "cosine"),
        ("ema_decay", 0.9),
        ("validation_fraction", 0.1),
        ("patience", 2),
        ("precision", "bfloat16"),
    ],
)
def test_a_checkpoint_of_other_options_is_refused_by_name(
    images: Tensor, make_options: Make, begun: Path, field: str, value: Any
) -> None:
    before = begun.read_bytes()
    with pytest.raises(InputError, match=f"with {field} .* this one has {field} {value}"):
        train_autoencoder(
            images, make_options(**{field: value}), seed=0, device=CPU, checkpoint=Checkpoint(begun)
        )
    assert begun.read_bytes() == before


def test_a_checkpoint_of_another_seed_or_other_images_is_refused(
    images: Tensor, make_options: Make, begun: Path
) -> None:
    before = begun.read_bytes()
    with pytest.raises(InputError, match=r"with seed 0, .* seed 1"):
        train_autoencoder(images, make_options(), seed=1, device=CPU, checkpoint=Checkpoint(begun))
    other = images.clone()
    other[7, 0, 14, 14] ^= 1
    for changed in (other, images.flip(0)):
        with pytest.raises(InputError, match="with images "):
            train_autoencoder(
                changed, make_options(), seed=0, device=CPU, checkpoint=Checkpoint(begun)
            )
    assert begun.read_bytes() == before


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.999])
def test_a_broken_checkpoint_is_refused_and_left_alone(
    images: Tensor, make_options: Make, begun: Path, tmp_path: Path, share: float
) -> None:
    whole = begun.read_bytes()
    broken = tmp_path / "checkpoint"
    broken.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match="cut short"):
        train_autoencoder(images, make_options(), seed=0, device=CPU, checkpoint=Checkpoint(broken))
    assert broken.stat().st_size == int(share * len(whole))


def test_fewer_images_than_a_batch_are_refused(images: Tensor, make_options: Make) -> None:
    options = make_options(batch_size=50, validation_fraction=0.2)
    with pytest.raises(InputError, match=r"48 training images .* at least batch_size = 50"):
        train_autoencoder(images[:60], options, seed=0, device=CPU)


def test_one_batch_is_enough(images: Tensor, make_options: Make) -> None:
    options = make_options(batch_size=48, validation_fraction=0.2, epochs=1)
    _, history = train_autoencoder(images[:60], options, seed=0, device=CPU)
    assert len(history) == 1


def test_images_too_small_for_the_depth_are_refused(images: Tensor, make_options: Make) -> None:
    with pytest.raises(InputError, match="28x28 pixels cannot be halved 5 times"):
        train_autoencoder(images, make_options(depth=5), seed=0, device=CPU)


def test_a_loss_that_runs_away_is_an_error_that_names_the_learning_rate(
    images: Tensor, make_options: Make, tmp_path: Path
) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoint")
    options = make_options(beta=1.0).model_copy(update={"learning_rate": 1e12})  # bounds allow 1
    with pytest.raises(
        FloatingPointError, match=r"of training the VAE .*: lower its learning_rate"
    ):
        train_autoencoder(images, options, seed=0, device=CPU, checkpoint=checkpoint)


@pytest.mark.parametrize(
    "change",
    [
        {"latent_dim": 0},
        {"depth": 0},
        {"beta": -1},
        {"beta": 1.0, "coupling": -1},
        {"epochs": 0},
        {"batch_size": 1},
        {"learning_rate": 0},
        {"ema_decay": 1.0},
        {"validation_fraction": 1.0},
        {"patience": 0},
        {"schedule": "linear"},
        {"unknown": 1},
    ],
)
def test_options_without_a_meaning_are_refused(make_options: Make, change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        make_options(**change)


@pytest.mark.parametrize(
    ("n", "batch_size", "steps"),
    [
        (5, 5, 1000),
        (20, 8, 1000),
        (100, 8, 1000),
        (240, 16, 1000),
        (600, 64, 1000),
        (4000, 128, 1000),
        (60_000, 128, 12 * 445),
    ],
)
def test_small_sets_get_small_batches_and_many_steps(n: int, batch_size: int, steps: int) -> None:
    plan = TrainingOptions().plan(n)
    assert (plan.batch_size, plan.steps) == (batch_size, steps)


def test_steps_that_are_asked_for_are_taken(images: Tensor, make_options: Make) -> None:
    """Also where they end within a pass: 240 images are 5 steps of 48."""
    options = make_options(batch_size=48, validation_fraction=0.2, epochs=None, steps=123)
    _, history = train_autoencoder(images, options, seed=0, device=CPU)
    assert [row["step"] for row in history] == [50, 100, 123]
    assert [row["epoch"] for row in history] == [10, 20, 25]
    assert history[-1]["learning_rate"] < 1e-3 * options.learning_rate, "the cycle did not end"


def test_steps_and_passes_are_two_ways_to_say_one_thing(images: Tensor, make_options: Make) -> None:
    own: dict[str, Any] = {"batch_size": 60, "validation_fraction": 0.2}
    passes, _ = train_autoencoder(images, make_options(**own, epochs=3), seed=0, device=CPU)
    options = make_options(**own, epochs=None, steps=12)
    steps, _ = train_autoencoder(images, options, seed=0, device=CPU)
    assert passes.fingerprint() == steps.fingerprint()
    with pytest.raises(ValidationError, match="expected one of them"):
        make_options(epochs=3, steps=12)


# ---- early stopping and averages


@pytest.mark.parametrize("ema_decay", [None, 0.5])
def test_early_stopping_stops_and_keeps_the_best_weights(
    images: Tensor, make_options: Make, tmp_path: Path, ema_decay: float | None
) -> None:
    options = make_options(
        width=8,
        latent_dim=16,
        epochs=200,
        batch_size=15,
        learning_rate=0.02,
        validation_fraction=0.5,
        patience=3,
        schedule="cosine",
        ema_decay=ema_decay,
    )
    record = Recorder(tmp_path / "checkpoint")
    model, history = train_autoencoder(images[:60], options, seed=0, device=CPU, checkpoint=record)
    losses = [row["validation_loss"] for row in history]
    best = losses.index(min(losses))
    assert len(history) < 200, "the loss never rose"
    assert len(history) == best + 1 + 3
    prefix = "model." if ema_decay is None else "average.module."
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, record.written[best][0][prefix + name]), name
    last = record.written[-1][0]
    assert any(not torch.equal(t, last[prefix + n]) for n, t in model.state_dict().items())


def test_without_patience_the_last_weights_are_kept(
    images: Tensor, make_options: Make, tmp_path: Path
) -> None:
    record = Recorder(tmp_path / "checkpoint")
    options = make_options(learning_rate=0.05, schedule="cosine", epochs=6)
    model, _ = train_autoencoder(images, options, seed=0, device=CPU, checkpoint=record)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, record.written[-1][0]["model." + name]), name


def test_an_average_of_no_memory_is_the_last_weights(images: Tensor, make_options: Make) -> None:
    plain, _ = train_autoencoder(images, make_options(), seed=0, device=CPU)
    averaged, _ = train_autoencoder(images, make_options(ema_decay=0.0), seed=0, device=CPU)
    long, _ = train_autoencoder(images, make_options(ema_decay=0.9), seed=0, device=CPU)
    for a, b, c in zip(plain.parameters(), averaged.parameters(), long.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)
        assert not torch.allclose(a, c)


# ---- fine-tuning


def test_fine_tuning_goes_on_from_the_weights_it_is_given(
    digits: LabelledImages, make_options: Make
) -> None:
    images = digits.images[:300]
    start, history = train_autoencoder(images, make_options(), seed=0, device=CPU)
    before = start.fingerprint()
    gentle = make_options(epochs=1, learning_rate=1e-4)
    tuned, tuned_history = train_autoencoder(images, gentle, seed=1, device=CPU, start=start)
    _, cold_history = train_autoencoder(images, gentle, seed=1, device=CPU)
    assert tuned_history[0]["validation_loss"] < cold_history[0]["validation_loss"]
    assert tuned_history[0]["train_loss"] < history[0]["train_loss"]
    assert start.fingerprint() == before != tuned.fingerprint()


def test_fine_tuning_repeats_itself_and_can_be_cut_off(
    digits: LabelledImages, make_options: Make, tmp_path: Path
) -> None:
    images = digits.images[:300]
    start, _ = train_autoencoder(images, make_options(), seed=0, device=CPU)
    expected, _ = train_autoencoder(images, make_options(), seed=1, device=CPU, start=start)
    path = tmp_path / "checkpoint.safetensors"
    with pytest.raises(CutOffError):
        train_autoencoder(
            images,
            make_options(),
            seed=1,
            device=CPU,
            checkpoint=Recorder(path, cut_off_after=2),
            start=start,
        )
    found, _ = train_autoencoder(
        images, make_options(), seed=1, device=CPU, checkpoint=Checkpoint(path), start=start
    )
    assert found.fingerprint() == expected.fingerprint()


def test_a_network_of_another_shape_is_no_start(digits: LabelledImages, make_options: Make) -> None:
    images = digits.images[:300]
    start, _ = train_autoencoder(images, make_options(epochs=1), seed=0, device=CPU)
    with pytest.raises(InputError, match=r"latent_dim=4.* expected .*latent_dim=5"):
        train_autoencoder(images, make_options(latent_dim=5), seed=0, device=CPU, start=start)
