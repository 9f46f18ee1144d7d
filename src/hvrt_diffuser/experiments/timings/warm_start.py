"""Warm against cold: new images arrive for an autoencoder and a sampler that are there."""

from __future__ import annotations

from typing import Any

from hvrt_diffuser.autoencoders import (
    Autoencoder,
    TrainingOptions,
    encode_images,
    train_autoencoder,
)
from hvrt_diffuser.diffuser import HVRTDiffuser
from hvrt_diffuser.experiments.timings.finished import CPU, HVRT
from hvrt_diffuser.experiments.timings.timing import Entry, timed
from hvrt_diffuser.judge.bench import Bench
from hvrt_diffuser.samplers import SmoothedBootstrap

__all__ = ["warm_start"]

COLD = TrainingOptions(
    latent_dim=64, epochs=8, batch_size=256, validation_fraction=0.02, precision="auto"
)
WARM = COLD.model_copy(update={"epochs": 2, "learning_rate": 1e-3})


def warm_start(bench: Bench, progress: Any) -> list[Entry]:
    """Half of the training images are known, and the other half arrives.

    Cold: train on all of them and fit. Warm: fine-tune the autoencoder of the first half for a
    quarter of the epochs, and send the new latents through the trees of the first half.
    """
    images, labels = bench.train.images, bench.train.labels
    half = len(images) // 2
    estimator = HVRT
    known, _ = train_autoencoder(images[:half], COLD, seed=0, device=CPU)
    first = estimator.fit(encode_images(known, images[:half], CPU)[0], labels[:half])

    def cold() -> tuple[Autoencoder, SmoothedBootstrap]:
        model, _ = train_autoencoder(images, COLD, seed=1, device=CPU)
        return model, estimator.fit(encode_images(model, images, CPU)[0], labels)

    def warm() -> tuple[Autoencoder, SmoothedBootstrap]:
        model, _ = train_autoencoder(images, WARM, seed=1, device=CPU, start=known)
        return model, estimator.refit(first, encode_images(model, images, CPU)[0], labels)

    warm_seconds, warm_pair = timed(warm)
    cold_seconds, cold_pair = timed(cold)
    entries = [
        Entry(
            "warm start, fine-tuning and refitting: times faster than cold",
            warm_seconds,
            cold_seconds,
            "s",
            cold_seconds / warm_seconds,
        )
    ]
    progress(entries[-1])

    latents, _ = encode_images(known, images, CPU)
    refit, _ = timed(lambda: estimator.refit(first, latents, labels))
    fit, _ = timed(lambda: estimator.fit(latents, labels))
    name = "warm start of the sampler alone, joint and per class: times faster than cold"
    entries.append(Entry(name, refit, fit, "s", fit / refit))
    progress(entries[-1])

    distance = {}
    for name, (model, sampler) in {"warm": warm_pair, "cold": cold_pair}.items():
        distance[name] = bench.frechet(bench.draw(HVRTDiffuser(model, sampler), 0).drawn.images)
    ratio = distance["warm"] / distance["cold"]
    name = "Fréchet distance after a warm start and after a cold one: ratio"
    entries.append(Entry(name, distance["warm"], distance["cold"], "fd_classifier", ratio))
    progress(entries[-1])
    return entries
