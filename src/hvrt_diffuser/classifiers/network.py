"""A small convolutional classifier, whose penultimate layer gives the features of the judge."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hvrt_diffuser.classifiers.strided import StridedTrunk
from hvrt_diffuser.classifiers.whitened import WhitenedTrunk
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import hash_tensors, read_tensors, write_tensors

__all__ = ["Classifier", "NetworkName"]

NetworkName = Literal["strided", "whitened"]
N_FEATURES = 64
TRUNKS: dict[NetworkName, Any] = {"strided": StridedTrunk, "whitened": WhitenedTrunk}
KINDS: dict[NetworkName, str] = {"strided": "classifier", "whitened": "whitened classifier"}


class Classifier(nn.Module):
    """A trunk of convolutions that gives 64 features, and one linear layer.

    Args:
        shape: channels, height and width of an image.
        n_classes: number of classes.
        width: channels at half the image's size.
        network: the kind of trunk.
        mirrored: once trained, see an image as the mean of what is seen in it and in its mirror
            image, so that both are seen alike.
    """

    def __init__(
        self,
        shape: tuple[int, int, int],
        n_classes: int,
        width: int = 32,
        network: NetworkName = "strided",
        *,
        mirrored: bool = False,
    ) -> None:
        super().__init__()
        c, h, w = shape
        self.mirrored = mirrored
        self.shape, self.n_classes, self.width, self.network = shape, n_classes, width, network
        self._padding = (0, w % 2, 0, h % 2)  # sides are made even
        self.trunk = TRUNKS[network]((c, h + h % 2, w + w % 2), width, N_FEATURES)
        self.head = nn.Linear(N_FEATURES, n_classes)
        self.to(memory_format=torch.channels_last)

    @property
    def smoothing(self) -> float:
        """How much the labels that it is trained by are smoothed."""
        return float(self.trunk.smoothing)

    @property
    def pixels_at_once(self) -> int:
        """How many pixels it looks at together, at most, once it is trained."""
        return int(self.trunk.pixels_at_once)

    def prepare(self, images: Tensor) -> None:
        """Set what is computed of the training images, uint8 (m, c, h, w), and not trained."""
        self.trunk.prepare(images)

    def features(self, x: Tensor) -> Tensor:
        """Map images in [0, 1], (n, c, h, w), to features (n, 64)."""
        return self._seen(self.trunk, x)

    def middle(self, x: Tensor) -> Tensor:
        """Map images in [0, 1], (n, c, h, w), to means (n, f) of what the trunk sees half-way."""
        return self._seen(lambda x: self.trunk.middle(x).mean(dim=(2, 3)), x)

    def logits(self, features: Tensor) -> Tensor:
        """Map features (n, 64) to logits (n, k)."""
        logits: Tensor = self.head(features)
        return logits

    def forward(self, x: Tensor) -> Tensor:
        """Map images in [0, 1], (n, c, h, w), to logits (n, k)."""
        return self.logits(self.features(x))

    def _seen(self, look: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        seen = look(self._even(x))
        if self.training or not self.mirrored:
            return seen
        return (seen + look(self._even(x.flip(3)))) / 2

    def _even(self, x: Tensor) -> Tensor:
        return F.pad(x, self._padding).contiguous(memory_format=torch.channels_last)

    def fingerprint(self) -> str:
        """A short hash of the weights: features belong to the network that gave them."""
        return hash_tensors(self.state_dict())

    def save(self, path: str | Path) -> None:
        """Write the weights, and in the header what rebuilds the network."""
        header = {
            "kind": KINDS[self.network],
            "shape": list(self.shape),
            "n_classes": self.n_classes,
            "width": self.width,
            "mirrored": self.mirrored,
        }
        write_tensors(path, self.state_dict(), header)

    @classmethod
    def load(cls, path: str | Path) -> Classifier:
        """Read what :meth:`save` wrote; the network is in evaluation mode, on the CPU.

        Raises:
            InputError: the file is missing, cut short, or holds other weights than it says.
        """
        tensors, header = read_tensors(path, *KINDS.values())
        network = next(name for name, kind in KINDS.items() if kind == header["kind"])
        try:
            c, h, w = header["shape"]
            n_classes, width, mirrored = (header[k] for k in ("n_classes", "width", "mirrored"))
            model = cls((c, h, w), n_classes, width, network, mirrored=mirrored)
            model.load_state_dict(tensors)
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(
                f"{path} holds weights of another network than its header describes: "
                "delete it and run evaluation again"
            ) from error
        return model.eval()
