"""What a sampler or a generator is asked for."""

from __future__ import annotations

import torch
from torch import Tensor

from hvrt_diffuser.common.bounds import MOST_IMAGES, whole_number
from hvrt_diffuser.common.errors import InputError

__all__ = ["check_generator", "check_requested_labels"]


def check_requested_labels(n: int, labels: Tensor | None, n_classes: int) -> None:
    """Check what a sampler or a generator is asked for.

    Raises:
        InputError: n is no whole number from 1 to 100 million, labels of another length, or an
            unknown class.
    """
    whole_number("n", n, 1, MOST_IMAGES)
    if labels is None:
        return
    if not isinstance(labels, Tensor):
        raise InputError(
            f"labels of type {type(labels).__name__} were given, expected a tensor of int64: give "
            "torch.tensor(labels)"
        )
    if labels.shape != (n,):
        raise InputError(
            f"{tuple(labels.shape)} labels were given for {n} draws, expected ({n},): "
            "give one label per draw"
        )
    if labels.dtype != torch.long:
        raise InputError(f"labels of type {labels.dtype} were given, expected int64: convert them")
    unknown = (labels < 0) | (labels >= n_classes)
    if unknown.any():
        known = f"one of 0 to {n_classes - 1}" if n_classes > 1 else "0, the only class there is"
        raise InputError(
            f"class {int(labels[unknown].min())} was asked for, expected {known}: choose a class "
            "that the sampler was fitted on"
        )


def check_generator(generator: torch.Generator, device: torch.device) -> None:
    """Check that a generator can fill tensors of a device.

    Raises:
        InputError: it belongs to a device of another type.
    """
    if device.type not in (generator.device.type, "meta"):  # meta tensors take any
        raise InputError(
            f"a generator on {generator.device} was given to a sampler on {device}, expected both "
            f"on one device: make it with torch.Generator('{device}'), or move the sampler with "
            ".to()"
        )
