"""What is timed: a finished run."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from hvrt_diffuser.classifiers import Classifier
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.diffuser import HVRTDiffuser
from hvrt_diffuser.judge.bench import Bench
from hvrt_diffuser.samplers import HVRTEstimator, LatentSampler

__all__ = ["CPU", "HVRT", "N", "fidelity", "latent_rows", "load_bench"]

CPU = torch.device("cpu")
HVRT = HVRTEstimator(min_samples_leaf=5)
N = 10_000  # draws whose Fréchet distance is measured
COMPARED = 1_000


def load_bench(data: Path, run_name: str) -> Bench:
    """The bench of a run's images, judge and autoencoder.

    Args:
        data: the project's ``data/``.
        run_name: of a run that has finished.

    Raises:
        InputError: a file is missing, or the run has no autoencoder.
    """
    images, models = data / "03_primary" / run_name, data / "06_models" / run_name
    autoencoder = HVRTDiffuser.load(models).autoencoder
    if autoencoder is None:
        raise InputError(
            f"{run_name} has a whole model, expected an autoencoder and a sampler: give another run"
        )
    return Bench(
        LabelledImages.load(images / "images_train.safetensors"),
        LabelledImages.load(images / "images_test.safetensors"),
        Classifier.load(models / "classifier.safetensors"),
        n=N,
        compared=COMPARED,
        device=CPU,
        autoencoder=autoencoder,
    )


def latent_rows(bench: Bench, n: int, d: int) -> Tensor:
    """Latents float32 (n, d): real ones where there are as many, else draws from them.

    Fewer dimensions than the run's are its first ones, more are rotations of it side by side.
    """
    real = bench.latents
    if n <= len(real):
        rows = real[torch.randperm(len(real), generator=generator(0, "benchmarks", "rows"))[:n]]
    else:
        rows, _ = HVRT.fit(real).sample(n, generator=generator(0, "benchmarks", "rows"))
    copies = [rows]
    while sum(copy.shape[1] for copy in copies) < d:
        source = generator(0, "benchmarks", "rotation", len(copies))
        q, _ = torch.linalg.qr(torch.randn(2 * (rows.shape[1],), generator=source))
        copies.append(rows @ q)
    return torch.cat(copies, dim=1)[:, :d].contiguous()


def fidelity(bench: Bench, sampler: LatentSampler, seed: int) -> dict[str, float]:
    """``fd_classifier``, ``ks`` and ``attribution`` of the draws of a sampler that has rows."""
    drawing = bench.draw(HVRTDiffuser(bench.autoencoder, sampler), seed)
    found = bench.measure(drawing, seed, ("fd_classifier", "ks", "attribution"))
    return {name: value for name, value in found.items() if value is not None}
