"""Samplers whose network is trained on batches of latents: the options and the training."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from hvrt_diffuser.common.bounds import BatchSize, LearningRate, Steps, Width
from hvrt_diffuser.common.precision import Precision
from hvrt_diffuser.common.seeding import borrowed_seed, generator
from hvrt_diffuser.samplers.protocol import SamplerEstimator
from hvrt_diffuser.training.steps import optimise

__all__ = ["TrainedEstimator"]

Network = TypeVar("Network", bound=nn.Module)


class TrainedEstimator(SamplerEstimator):
    """How a network is trained that draws latents.

    The defaults are for thousands of latents of few dimensions on a CPU; more of either bear a
    wider network and more steps.
    """

    network: ClassVar[bool] = True

    width: Width = Field(128, description="of the hidden layers")
    training_steps: Steps = Field(1500, description="optimiser steps")
    batch_size: BatchSize = Field(256, description="latents per step")
    learning_rate: LearningRate = Field(2e-3, description="peak rate of AdamW, one cycle")
    precision: Precision = Field(
        "float32", description="of the matrix products in training; draws are float32"
    )

    def _train(
        self,
        what: str,
        build: Callable[[], Network],
        loss: Callable[[Network, Tensor, torch.Generator], Tensor],
        x: Tensor,
        seed: int,
    ) -> Network:
        """Train what ``build`` makes on batches of the rows of latents.

        Args:
            what: is trained, for the progress bar and the seeds: ``energy``.
            build: makes the network, with weights of torch's global generator.
            loss: of the network and the places int64 (m,) of some rows, random by the generator.
            x: rows (n, d), on the device to train on.
            seed: of weights, batches and noise.

        Returns:
            The network in evaluation mode, with averaged weights.

        Raises:
            FloatingPointError: the loss became infinite or NaN.
        """
        with borrowed_seed(seed, what, "weights"):
            network = build().to(x.device)

        def losses(model: Network, source: torch.Generator) -> Tensor:
            rows = torch.randint(len(x), (self.batch_size,), generator=source, device=x.device)
            return loss(model, rows, source)

        return optimise(
            network,
            losses,
            generator(seed, what, "batches", device=x.device),
            name=f"training the {what}",
            steps=self.training_steps,
            learning_rate=self.learning_rate,
            precision=self.precision,
        )
