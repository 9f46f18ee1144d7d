"""How long one image takes, of those who are most often asked: all in turn, in one process."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from hvrt_diffuser.common.machine import describe_machine
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.diffuser import HVRTDiffuser
from hvrt_diffuser.experiments.timings.finished import HVRT
from hvrt_diffuser.experiments.timings.timing import timed
from hvrt_diffuser.image_models import PixelDiffusionEstimator
from hvrt_diffuser.judge.bench import Bench
from hvrt_diffuser.samplers import StandardNormalEstimator

__all__ = ["one_pass"]

BATCH = 1024  # images of those that take one pass
ROUNDS = 25  # of those, in turn
# What a diffusion of pixels has learned takes no time.
DIFFUSION = PixelDiffusionEstimator(training_steps=1)
DDPM_BATCH, DDPM_STEPS = 32, 1000


def one_pass(bench: Bench, show: Callable[[str], None]) -> dict[str, Any]:
    """Milliseconds per image, and ratios.

    Returns:
        ``hvrt`` and ``vae_reparameterisation`` (N(0, I) decoded), medians of calls that take
        turns; ``hvrt_over_vae``, the median of the ratios of neighbouring calls; ``ddpm``, of one
        call of a diffusion of pixels with all 1,000 steps, and ``ddpm_over_hvrt``.
    """
    data, device = (bench.latents, bench.train.labels), bench.device
    source = generator(0, "rivals", "speed", device=device)
    models = {
        name: HVRTDiffuser(bench.autoencoder, estimator.fit(*data), device)
        for name, estimator in (
            ("hvrt", HVRT),
            ("vae_reparameterisation", StandardNormalEstimator()),
        )
    }
    times: dict[str, list[float]] = {name: [] for name in models}
    for name in [*models] * (ROUNDS + 1):
        times[name].append(timed(partial(models[name].draw, BATCH, generator=source))[0] / BATCH)
    kept = {name: values[1:] for name, values in times.items()}  # the first warm up
    ratios = [a / b for a, b in zip(*kept.values(), strict=True)]
    found: dict[str, Any] = {
        **{name: 1000 * statistics.median(values) for name, values in kept.items()},
        "hvrt_over_vae": statistics.median(ratios),
        "batch": BATCH,
    }
    show(f"HVRT {found['hvrt']:.3f} ms an image, {found['hvrt_over_vae']:.2f} times a VAE's")
    images = bench.train[torch.arange(DIFFUSION.batch_size)]
    labels = torch.arange(len(images)) % len(images.class_names)
    diffusion = DIFFUSION.fit(images.images, labels, seed=0, device=device)
    chain = diffusion.solved_by("ddpm", DDPM_STEPS)
    seconds, _ = timed(partial(chain.sample, DDPM_BATCH, generator=source))
    found |= {"ddpm": 1000 * seconds / DDPM_BATCH, "ddpm_batch": DDPM_BATCH}
    found |= {"ddpm_steps": DDPM_STEPS, "ddpm_over_hvrt": found["ddpm"] / found["hvrt"]}
    show(f"DDPM {found['ddpm']:.0f} ms an image, {found['ddpm_over_hvrt']:,.0f} times HVRT's")
    return {**found, "machine": describe_machine()}
