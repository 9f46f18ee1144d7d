"""How long one image takes, of those who are most often asked: all in turn, in one process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from hvrt_diffuser.autoencoders import decode_latents
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.frontier import Yardstick
from hvrt_diffuser.image_models import PixelDiffusion
from hvrt_diffuser.samplers import LatentSampler, StandardNormal

__all__ = ["compare_speed"]

BATCH = 1024  # images of those that take one pass
ROUNDS = 25  # of those, in turn
DDPM_BATCH, DDPM_STEPS = 32, 1000


def compare_speed(
    yardstick: Yardstick, sampler: LatentSampler, diffusion: PixelDiffusion | None
) -> dict[str, Any]:
    """Milliseconds per image, and ratios.

    Args:
        yardstick: of the autoencoder that decodes.
        sampler: HVRT's, fitted on that autoencoder's latents.
        diffusion: any, since what it has learned takes no time; None leaves it out.

    Returns:
        ``hvrt`` and ``vae_reparameterisation`` (N(0, I) decoded), medians of calls that take
        turns; ``hvrt_over_vae``, the median of the ratios of neighbouring calls; with a diffusion
        ``ddpm``, of one call with all 1,000 steps, and ``ddpm_over_hvrt``.
    """
    device = yardstick.device
    prior = StandardNormal.fit(yardstick.latents, yardstick.train.labels).to(device)
    drawn_from = {"hvrt": sampler.to(device), "vae_reparameterisation": prior}
    source = generator(0, "rivals", "speed", device=device)

    def one_pass(sampler: LatentSampler) -> Callable[[], None]:
        def draw() -> None:
            latents, _ = sampler.sample(BATCH, generator=source)
            decode_latents(yardstick.autoencoder, latents, device)

        return draw

    calls = {name: one_pass(each) for name, each in drawn_from.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for name in [*calls] * (ROUNDS + 1):
        times[name].append(_seconds(calls[name], device) / BATCH)
    kept = {name: values[1:] for name, values in times.items()}  # the first warm up
    ratios = [a / b for a, b in zip(*kept.values(), strict=True)]
    found: dict[str, Any] = {
        **{name: 1000 * statistics.median(values) for name, values in kept.items()},
        "hvrt_over_vae": statistics.median(ratios),
        "batch": BATCH,
    }
    if diffusion is not None:
        chain = diffusion.solved_by("ddpm", DDPM_STEPS)

        def draw() -> None:
            chain.sample(DDPM_BATCH, generator=source)

        found["ddpm"] = 1000 * _seconds(draw, device) / DDPM_BATCH
        found["ddpm_batch"], found["ddpm_steps"] = DDPM_BATCH, DDPM_STEPS
        found["ddpm_over_hvrt"] = found["ddpm"] / found["hvrt"]
    return found


def _seconds(call: Callable[[], None], device: torch.device) -> float:
    start = time.perf_counter()
    call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - start
