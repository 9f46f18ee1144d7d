"""The datasets that torchvision knows by name."""

from __future__ import annotations

from difflib import get_close_matches

from pydantic import Field, field_validator

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.sources.base import SOURCES, ImageSource, Root
from hvrt_diffuser.data.sources.cifar10 import read_cifar10
from hvrt_diffuser.data.sources.mnist_family import MNIST_FAMILY, read_mnist_family
from hvrt_diffuser.data.sources.resizing import resize_labelled
from hvrt_diffuser.data.sources.splits import ImageSplits

__all__ = ["Torchvision"]

NAMES = (*MNIST_FAMILY, "CIFAR10")


@SOURCES.register("torchvision")
class Torchvision(ImageSource):
    """A dataset that torchvision knows by name, with its test split."""

    name: str = Field(description=f"one of {', '.join(NAMES)}")
    root: Root = Field(description="the folder of its files, or the one that receives them")
    download: bool = Field(False, description="fetch files that are missing")

    @field_validator("name")
    @classmethod
    def _known(cls, name: str) -> str:
        if name not in NAMES:
            by_lower = {known.lower(): known for known in NAMES}
            close = [by_lower[match] for match in get_close_matches(name.lower(), by_lower)]
            advice = f"did you mean {' or '.join(close)}?" if close else "choose one of these"
            raise ValueError(f"expected one of {', '.join(NAMES)}: {advice}")
        return name

    def read(self) -> ImageSplits:
        """Both splits."""
        if self.root.exists() and not self.root.is_dir():
            raise InputError(
                f"{self.root} is a file, expected the folder of {self.name}: give that as root"
            )
        if self.name == "CIFAR10":
            splits = read_cifar10(self.root, self.download)
        else:
            splits = read_mnist_family(self.name, self.root, self.download)
        train, test = (resize_labelled(images, self.resize) for images in splits)
        return ImageSplits(train, test)
