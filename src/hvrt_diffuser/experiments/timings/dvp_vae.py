"""DVP-VAE's reduced setting on the training images of a run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from hvrt_diffuser.common.machine import describe_machine
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.data.binary import binary_images
from hvrt_diffuser.experiments.timings.finished import CPU
from hvrt_diffuser.image_models.dvp_vae import SETTINGS, bounds, train
from hvrt_diffuser.judge.bench import Bench

__all__ = ["train_dvp_vae"]

SETTING = "reduced_mnist"
IWAE_SAMPLES = 100


def train_dvp_vae(bench: Bench, show: Callable[[str], None]) -> dict[str, Any]:
    """-ELBO of the test images after every epoch, and all bounds after the last."""
    setting = SETTINGS[SETTING]
    test = binary_images(bench.test.images)
    started = time.perf_counter()
    model, history = train(
        bench.train.images,
        setting.architecture,
        setting.training,
        seed=0,
        device=CPU,
        validation=test,
    )
    seconds = time.perf_counter() - started
    for row in history:
        show(f"-ELBO after epoch {row['epoch']}: {row['validation']:.2f} nats per image")
    source = generator(0, "benchmarks", "DVP-VAE")
    found = bounds(model, test, source=source, iwae_samples=IWAE_SAMPLES)
    show(f"importance-weighted with {IWAE_SAMPLES} samples: {found.iwae:.2f} nats per image")
    return {
        "setting": SETTING,
        "seconds": seconds,
        "machine": describe_machine(),
        "history": history,
        "bounds": asdict(found),
    }
