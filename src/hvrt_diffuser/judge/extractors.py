"""From images to features; a figure is named after the extractor that it was measured in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hvrt_diffuser.autoencoders import Autoencoder, encode_images
from hvrt_diffuser.classifiers import Classifier, classify
from hvrt_diffuser.common.errors import InputError

__all__ = [
    "Extractor",
    "ExtractorName",
    "classifier_features",
    "encoder_features",
    "inception_features",
    "pixels",
]

Array = NDArray[np.float32]
Extractor = Callable[[Tensor], Array]
"""From uint8 images (n, c, h, w) to float32 features (n, f)."""

ExtractorName = Literal["classifier", "encoder", "pixels", "inception"]
"""``classifier`` is the default; ``inception`` gives the only figure that may be called FID."""

INCEPTION_BATCH = 50


def classifier_features(judge: Classifier, device: torch.device) -> Extractor:
    """The 64 features before the last layer of a classifier of the same images."""
    return lambda images: classify(judge, images, device)[0].numpy()


def encoder_features(autoencoder: Autoencoder, device: torch.device) -> Extractor:
    """The latents of an autoencoder: features in which its own samples may look better."""
    return lambda images: encode_images(autoencoder, images, device)[0].numpy()


def pixels(images: Tensor) -> Array:
    """Pixels in [0, 1]."""
    flat: Array = images.flatten(1).numpy().astype(np.float32)
    return flat / np.float32(255)


def inception_features(
    weights: Path | None, device: torch.device, *, download: bool = False
) -> Extractor:
    """The 2,048 features of Inception-v3 with the weights of FID, by torch-fidelity.

    Args:
        weights: the file ``pt_inception-2015-12-05-6726825d.pth``; None needs ``download``.
        device: where to compute.
        download: let torch-fidelity fetch the weights.

    Raises:
        InputError: torch-fidelity is not installed, there are no weights, or they do not fit.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise InputError(
            "torch-fidelity is not installed, which the extractor inception needs: "
            "pip install torch-fidelity, or leave inception out"
        ) from error
    if weights is None and not download:
        raise InputError(
            "the extractor inception was given no weights: give their file as weights, or "
            "download=True to fetch them"
        )
    if weights is not None and not weights.is_file():
        raise InputError(
            f"{weights} does not exist, where the weights of Inception-v3 were expected: correct "
            "weights"
        )
    try:
        if weights is not None:
            # torch-fidelity would unpickle anything: what is more than tensors stops here.
            torch.load(weights, map_location="cpu", weights_only=True)
        model = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], None if weights is None else str(weights)
        )
    except Exception as error:  # a file of something else fails in many ways
        raise InputError(
            f"the weights of Inception-v3 ({weights or 'fetched'}) could not be read "
            f"({type(error).__name__}), expected those of torch-fidelity or torchmetrics: "
            "correct weights"
        ) from error
    model = model.to(device).eval()

    @torch.inference_mode()
    def extract(images: Tensor) -> Array:
        rgb = images.expand(-1, 3, -1, -1)  # a grey image three times
        batches = rgb.split(INCEPTION_BATCH)
        return torch.cat([model(batch.to(device))[0].cpu() for batch in batches]).numpy()

    return extract
