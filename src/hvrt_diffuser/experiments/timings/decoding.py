"""Decoding: its share of generation, and what a lower precision brings."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from hvrt_diffuser.autoencoders import decode_latents, to_uint8
from hvrt_diffuser.common.precision import Precision
from hvrt_diffuser.diffuser import HVRTDiffuser
from hvrt_diffuser.experiments.timings.finished import CPU, HVRT, N
from hvrt_diffuser.experiments.timings.timing import Entry, side_by_side
from hvrt_diffuser.judge.bench import Bench

__all__ = ["decoding"]

PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")
BATCH = 256


def decoding(bench: Bench, progress: Any) -> list[Entry]:
    """Sampling plus decoding against decoding, and bfloat16 against eager float32."""
    sampler = HVRT.fit(bench.latents, bench.train.labels)
    model = bench.autoencoder
    assert model is not None
    diffuser = HVRTDiffuser(model, sampler)
    latents, _ = sampler.sample(N, generator=torch.Generator().manual_seed(0))

    def decode_alone() -> None:
        for chunk in latents.split(1024):  # as many as the diffuser makes at once
            decode_latents(model, chunk, CPU)

    def eager() -> None:
        with torch.no_grad():
            for batch in latents.split(BATCH):
                to_uint8(torch.sigmoid(model.decode(batch)))

    entries = [
        _inverted(
            side_by_side(
                f"sampling and decoding {N:,} images: times the time of decoding alone",
                lambda: diffuser.generate(N, seed=0),
                decode_alone,
                rounds=7,
            )
        )
    ]
    progress(entries[-1])
    for precision in PRECISIONS:
        name = f"decoding {N:,} images in {precision}: times faster than eager float32"
        ours = partial(decode_latents, model, latents, CPU, precision)
        entries.append(side_by_side(name, ours, eager, rounds=7))
        progress(entries[-1])
    bfloat16, float32 = (
        bench.frechet(bench.draw(HVRTDiffuser(model, sampler, CPU, p), 0).drawn.images)
        for p in PRECISIONS[::-1]
    )
    name = f"Fréchet distance of {N:,} images decoded in bfloat16 and in float32: ratio"
    entries.append(Entry(name, bfloat16, float32, "fd_classifier", bfloat16 / float32))
    progress(entries[-1])
    return entries


def _inverted(entry: Entry) -> Entry:
    assert entry.ratio is not None
    return Entry(entry.name, entry.ours, entry.theirs, entry.unit, 1 / entry.ratio)
