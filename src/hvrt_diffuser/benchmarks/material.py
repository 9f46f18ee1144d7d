"""What the measurements are made on: a finished run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from hvrt_diffuser.autoencoders import Autoencoder, decode_latents
from hvrt_diffuser.catalog.latents import table_to_latents
from hvrt_diffuser.classifiers import Classifier, classify
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.metrics import frechet_distance
from hvrt_diffuser.samplers import HVRTEstimator

__all__ = ["CPU", "Material"]

CPU = torch.device("cpu")
ROWS = 60_000


@dataclass(frozen=True)
class Material:
    """The files of a run, read when they are needed.

    Attributes:
        data: the project's ``data/``.
        run_name: of a run that has finished.
    """

    data: Path
    run_name: str

    def _file(self, layer: str, name: str) -> Path:
        return self.data / layer / self.run_name / name

    @cached_property
    def autoencoder(self) -> Autoencoder:
        """The run's autoencoder."""
        return Autoencoder.load(self._file("06_models", "autoencoder.safetensors"))

    @cached_property
    def judge(self) -> Classifier:
        """The run's judge."""
        return Classifier.load(self._file("06_models", "classifier.safetensors"))

    @cached_property
    def train(self) -> LabelledImages:
        """Training images."""
        return LabelledImages.load(self._file("03_primary", "images_train.safetensors"))

    @cached_property
    def test(self) -> LabelledImages:
        """Test images."""
        return LabelledImages.load(self._file("03_primary", "images_test.safetensors"))

    @cached_property
    def latents(self) -> tuple[Tensor, Tensor]:
        """Training latents float32 (n, d) and labels int64 (n,)."""
        return self._latents("latents_train.parquet")

    @cached_property
    def test_latents(self) -> tuple[Tensor, Tensor]:
        """Test latents float32 (m, d) and labels int64 (m,)."""
        return self._latents("latents_test.parquet")

    def _latents(self, name: str) -> tuple[Tensor, Tensor]:
        return table_to_latents(pd.read_parquet(self._file("04_feature", name)))

    def rows(self, n: int, d: int) -> Tensor:
        """Latents float32 (n, d): real ones where there are as many, else draws from them.

        Fewer dimensions than the run's are its first ones, more are rotations of it side by side.
        """
        real, _ = self.latents
        if n <= len(real):
            order = torch.randperm(len(real), generator=generator(0, "benchmarks", "rows"))
            rows = real[order[:n]]
        else:
            sampler = HVRTEstimator(min_samples_leaf=5).fit(real)
            rows, _ = sampler.sample(n, generator=generator(0, "benchmarks", "rows"))
        copies = [rows]
        while sum(copy.shape[1] for copy in copies) < d:
            source = generator(0, "benchmarks", "rotation", len(copies))
            q, _ = torch.linalg.qr(torch.randn(2 * (rows.shape[1],), generator=source))
            copies.append(rows @ q)
        return torch.cat(copies, dim=1)[:, :d].contiguous()

    @cached_property
    def _test_features(self) -> Tensor:
        return classify(self.judge, self.test.images, CPU)[0]

    def frechet(self, images: Tensor) -> float:
        """Fréchet distance of images to the test images, in the judge's features."""
        features, _ = classify(self.judge, images, CPU)
        return frechet_distance(features.numpy(), self._test_features.numpy())

    def decode(self, latents: Tensor) -> Tensor:
        """Images of latents."""
        return decode_latents(self.autoencoder, latents, CPU)
