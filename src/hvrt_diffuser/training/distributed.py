"""One training by several processes, by torch's distributed data parallelism (DDP).

torchrun starts them. The first does all of a run; the others wait in :func:`follow` until it
shares a training by :func:`together`, and then do the same steps, each on its part of every batch.
They are sent all that they need, have no files, and write none.
"""

from __future__ import annotations

import atexit
import gc
import logging
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch import distributed as dist

from hvrt_diffuser.common import launch
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.scratch import blocks, scratch
from hvrt_diffuser.training.checkpoint import Checkpoint

__all__ = ["ALONE", "Ranks", "follow", "join", "joined", "together"]

logger = logging.getLogger(__name__)

FEWEST_OF_A_RANK = 2  # images of a step
ENDLESS = timedelta(days=365)  # a stage that one process does may take as long as it likes

Result = TypeVar("Result")
Thing = TypeVar("Thing")
Loss = Callable[..., tuple[Tensor, ...]]


@dataclass(frozen=True)
class Ranks:
    """The processes that share a training; by itself, this one alone.

    Attributes:
        rank: of this process.
        size: how many they are.
        waiting: a group of all of them, which sends what lies on the CPU.
    """

    rank: int = 0
    size: int = 1
    waiting: Any = None

    @property
    def first(self) -> bool:
        """Whether this is the process that has files."""
        return self.rank == 0

    def check(self, batch_size: int, option: str) -> None:
        """Refuse steps of which a process would have too few images for batch normalisation.

        Raises:
            InputError: they are; it names the option.
        """
        if self.size > 1 and batch_size < FEWEST_OF_A_RANK * self.size:
            raise InputError(
                f"{option} is {batch_size} for {self.size} processes, expected at least "
                f"{FEWEST_OF_A_RANK} images for each: raise it, or start fewer processes"
            )

    def shared(self, thing: Thing) -> Thing:
        """What the first process has in this place, for all of them."""
        if self.size == 1:
            return thing
        things = [thing]
        dist.broadcast_object_list(things, src=0, group=self.waiting)
        return things[0]

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the processes of a tensor that each has."""
        if self.size == 1:
            return values
        values = values.clone()
        dist.all_reduce(values)
        return values / self.size

    def synchronised(self, network: nn.Module, loss: Loss) -> Loss:
        """The loss of a batch, such that its gradient is the whole batch's on each process.

        Weights and buffers (the running statistics of batch normalisation) become those of the
        first process, now and buffers again before each batch.

        Args:
            network: whose weights the gradient is of.
            loss: of one or more tensors with as many rows, by that network: means over the rows.

        Returns:
            A function of a whole batch, the same for all; each process computes its part.
        """
        if self.size == 1:
            return loss
        return nn.parallel.DistributedDataParallel(_Step(network, loss, self))


class _Step(nn.Module):
    """The loss of a process's part of a batch as a module.

    DDP adds up gradients of what passes through ``forward``. A loss that called other methods of
    the network beside it, such as ``encode`` and ``decode``, would leave each process with its own.
    """

    def __init__(self, network: nn.Module, loss: Loss, ranks: Ranks) -> None:
        super().__init__()
        self.network, self._loss, self._ranks = network, loss, ranks

    def forward(self, *batch: Tensor) -> tuple[Tensor, ...]:
        parts = [each[self._ranks.rank :: self._ranks.size] for each in batch]
        # Parts may differ by an image, and DDP takes the mean of all processes.
        weight = len(parts[0]) * self._ranks.size / len(batch[0])
        return tuple(weight * each for each in self._loss(*parts))


ALONE = Ranks()
_joined = ALONE
_together = False  # a training is under way: the others do not wait for what comes next


def join() -> Ranks:
    """Meet the other processes of torchrun, once; alone where it started one, or was not used.

    Raises:
        InputError: they did not find each other.
    """
    global _joined  # noqa: PLW0603  # as torch's own group: one for the process
    size = launch.world_size()
    if size == 1 or _joined.size > 1:
        return _joined
    try:
        dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        waiting = dist.new_group(backend="gloo", timeout=ENDLESS)
    except (RuntimeError, ValueError) as error:
        said = " ".join(str(error).split())[:300]
        raise InputError(
            f"the {size} processes that torchrun started did not find each other ({said}), "
            "expected a network between them: set GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME to "
            "the interface that they share"
        ) from error
    _joined = Ranks(launch.rank(), size, waiting)
    if _joined.first:
        atexit.register(_part)
    return _joined


def joined() -> Ranks:
    """The processes that :func:`join` met."""
    return _joined


def _part() -> None:
    """Let the others end. Amid a training they end by themselves: nobody answers them."""
    if not _together:
        with suppress(RuntimeError):  # they have ended before
            _joined.shared(None)
        _leave()


def _leave() -> None:
    """End the threads of the groups before the interpreter ends: that cannot join them."""
    global _joined  # noqa: PLW0603
    _joined = ALONE
    gc.collect()  # networks that held a group
    with suppress(RuntimeError):
        dist.destroy_process_group()


def together(
    train: Callable[..., Result],
    images: Tensor,
    setting: Mapping[str, Any],
    *,
    device: torch.device,
    checkpoint: Checkpoint | None,
) -> Result:
    """Train by all processes that :func:`join` met; called by the first one.

    Args:
        train: a function of a module, called as ``train(images, **setting, device=, checkpoint=,
            ranks=)`` by each process on a device of its own; the first alone has the checkpoint.
        images: uint8 (n, ...); the others are sent a copy.
        setting: more arguments, plain values and options.
        device: of the first process; its kind is the others'.
        checkpoint: where to keep the state of a training that may be cut off.

    Returns:
        What ``train`` gave here.

    Raises:
        InputError: a process has no device of that kind, or none for itself.
        ConnectionError: another process has ended.
    """
    global _together  # noqa: PLW0603
    ranks = _joined
    if ranks.size == 1:
        return train(images, **setting, device=device, checkpoint=checkpoint, ranks=ranks)
    own = _own_device(device.type)
    if device != own:
        raise InputError(
            f"device is {device} for {ranks.size} processes, expected one that each has for "
            "itself: set device to cpu, or to cuda, of which each takes another"
        )
    logger.info("%d processes share the training", ranks.size)
    _together = True
    try:
        ranks.shared((train, setting, tuple(images.shape), device.type))
        _send(images, ranks)
        made = train(images, **setting, device=own, checkpoint=checkpoint, ranks=ranks)
    except RuntimeError as error:
        if not _is_lost(error):
            raise
        raise ConnectionError(
            f"one of the {ranks.size} processes of this training has ended, expected all of them "
            "to its end: look at what that one said, and run again, which goes on from the last "
            "state that was written"
        ) from error
    _together = False
    return made


def follow() -> None:
    """Take part in what the first process shares, until that one ends.

    Raises:
        InputError: they did not find each other, or this process has no device for itself.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # it waits where Python hears nothing
    ranks = join()
    try:
        while (call := ranks.shared(None)) is not None:
            train, setting, shape, kind = call
            images = _send(scratch(shape), ranks)
            train(images, **setting, device=_own_device(kind), checkpoint=None, ranks=ranks)
        _leave()
    except FloatingPointError:
        return  # of all of them, and the first one tells it
    except RuntimeError as error:
        if not _is_lost(error):
            raise


def _send(images: Tensor, ranks: Ranks) -> Tensor:
    """Let all processes have the images of the first one; elsewhere they are overwritten."""
    for part in blocks(len(images)):
        dist.broadcast(images[part].contiguous(), src=0, group=ranks.waiting)
    return images


def _own_device(kind: str) -> torch.device:
    """The device of this process, of those of a kind."""
    if kind == "cpu":
        return torch.device("cpu")
    there = torch.cuda.device_count() if kind == "cuda" else 0
    if there < launch.local_size():
        raise InputError(
            f"torchrun started {launch.local_size()} processes on a machine with {there} GPUs of "
            f"CUDA, expected one for each where device is {kind}: lower --nproc-per-node, or set "
            "device to cpu"
        )
    device = torch.device("cuda", launch.local_rank())
    torch.cuda.set_device(device)  # where NCCL sends from
    return device


def _is_lost(error: RuntimeError) -> bool:
    """Whether it says that another process is no longer there."""
    return isinstance(error, dist.DistError) or "gloo" in str(error)
