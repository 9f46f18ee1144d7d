"""A small convolutional classifier, whose penultimate layer gives the features of the judge."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import hash_tensors, read_tensors, write_tensors

__all__ = ["Classifier"]

KIND = "classifier"
N_FEATURES = 64
MAX_BOTTOM = 8  # halve until both sides are at most this


class Classifier(nn.Module):
    """Strided convolutions with batch normalisation, 64 features, and one linear layer.

    Args:
        shape: channels, height and width of an image.
        n_classes: number of classes.
        width: channels at half the image's size.
    """

    def __init__(self, shape: tuple[int, int, int], n_classes: int, width: int = 32) -> None:
        super().__init__()
        c, h, w = shape
        self.shape, self.n_classes, self.width = shape, n_classes, width
        # Sides are padded to even here, and rounded up by each strided convolution.
        self._padding = (w % 2, h % 2)
        h, w = math.ceil(h / 2), math.ceil(w / 2)
        layers: list[nn.Module] = [nn.PixelUnshuffle(2), *_block(4 * c, width, 3, 1)]
        while max(h, w) > MAX_BOTTOM:
            layers += _block(width, 2 * width, 3, 2)
            h, w, width = math.ceil(h / 2), math.ceil(w / 2), 2 * width
        self.trunk = nn.Sequential(
            *layers,
            *_block(width, width, 3, 1),
            nn.Flatten(),
            nn.Linear(width * h * w, N_FEATURES),
            nn.ReLU(),
        )
        self.head = nn.Linear(N_FEATURES, n_classes)
        self.to(memory_format=torch.channels_last)

    def features(self, x: Tensor) -> Tensor:
        """Map images in [0, 1], (n, c, h, w), to features (n, 64)."""
        pad_w, pad_h = self._padding
        x = nn.functional.pad(x, (0, pad_w, 0, pad_h))
        features: Tensor = self.trunk(x.contiguous(memory_format=torch.channels_last))
        return features

    def logits(self, features: Tensor) -> Tensor:
        """Map features (n, 64) to logits (n, k)."""
        logits: Tensor = self.head(features)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Map images in [0, 1], (n, c, h, w), to logits (n, k)."""
        return self.logits(self.features(x))

    def fingerprint(self) -> str:
        """A short hash of the weights: features belong to the network that gave them."""
        return hash_tensors(self.state_dict())

    def save(self, path: str | Path) -> None:
        """Write the weights, and in the header what rebuilds the network."""
        header = {
            "kind": KIND,
            "shape": list(self.shape),
            "n_classes": self.n_classes,
            "width": self.width,
        }
        write_tensors(path, self.state_dict(), header)

    @classmethod
    def load(cls, path: str | Path) -> Classifier:
        """Read what :meth:`save` wrote; the network is in evaluation mode, on the CPU.

        Raises:
            InputError: the file is missing, cut short, or holds other weights than it says.
        """
        tensors, header = read_tensors(path, KIND)
        try:
            c, h, w = header["shape"]
            model = cls((c, h, w), header["n_classes"], header["width"])
            model.load_state_dict(tensors)
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(
                f"{path} holds weights of another network than its header describes: "
                "delete it and run evaluation again"
            ) from error
        return model.eval()


def _block(n_in: int, n_out: int, kernel: int, stride: int) -> list[nn.Module]:
    return [
        nn.Conv2d(n_in, n_out, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(),
    ]
