"""A served model, and how to ask it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from hvrt_diffuser import HVRTDiffuser
from hvrt_diffuser.autoencoders import Autoencoder
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.samplers import HVRTEstimator

pytest.importorskip("fastapi")
from fastapi.testclient import TestClient

from hvrt_diffuser.serve.app import make_app
from hvrt_diffuser.serve.options import ServeOptions


@pytest.fixture(scope="session")
def model_folder(
    autoencoder: Autoencoder,
    latents: Tensor,
    digits: LabelledImages,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("served")
    autoencoder.save(folder / "autoencoder.safetensors")
    sampler = HVRTEstimator(min_samples_leaf=5).fit(latents, digits.labels)
    sampler.save(folder / "latent_sampler.safetensors")
    return folder


@pytest.fixture(scope="session")
def diffuser(model_folder: Path) -> HVRTDiffuser:
    return HVRTDiffuser.load(model_folder)


@pytest.fixture
def service(diffuser: HVRTDiffuser) -> Callable[..., TestClient]:
    """A client of the service, with options; ``of=`` another model."""

    def make(of: HVRTDiffuser = diffuser, **options: Any) -> TestClient:
        return TestClient(make_app(of, ServeOptions(**options)), base_url="http://127.0.0.1")

    return make
