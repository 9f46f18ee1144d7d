"""The datasets that torchvision knows by name."""

from __future__ import annotations

from pathlib import Path

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.sources.arguments import require_known
from hvrt_diffuser.data.sources.cifar10 import read_cifar10
from hvrt_diffuser.data.sources.mnist_family import MNIST_FAMILY, read_mnist_family
from hvrt_diffuser.data.sources.splits import ImageSplits

__all__ = ["TORCHVISION_NAMES", "read_torchvision"]

TORCHVISION_NAMES = (*MNIST_FAMILY, "CIFAR10")


def read_torchvision(name: str, root: Path, download: bool, resize: int | None) -> ImageSplits:
    """Read both splits of one of :data:`TORCHVISION_NAMES`.

    Args:
        name: the dataset.
        root: the folder that holds its files, or that receives them.
        download: whether torchvision may fetch files that are missing.
        resize: the side in pixels to resize each image to, or None.

    Raises:
        InputError: an unknown name, or files that are missing or broken.
    """
    require_known("dataset.name", name, TORCHVISION_NAMES)
    if root.exists() and not root.is_dir():
        raise InputError(f"{root} is a file, expected the folder of {name}: set dataset.root to it")
    if name == "CIFAR10":
        return read_cifar10(root, download, resize)
    return read_mnist_family(name, root, download, resize)
