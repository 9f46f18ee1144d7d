"""Autoencoders that are trained once, whoever asks for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from hvrt_diffuser.autoencoders import Autoencoder, AutoencoderEstimator
from hvrt_diffuser.common.files import Turn, is_whole
from hvrt_diffuser.data.images import LabelledImages, fingerprint
from hvrt_diffuser.experiments.ledger import hashed
from hvrt_diffuser.training.checkpoint import Checkpoint

__all__ = ["AutoencoderStore"]


class AutoencoderStore:
    """A folder of autoencoders of the same images, named after what they were trained by.

    Processes may share it: one trains, the others wait for it. A training that is killed goes on
    from its last epoch when it is asked for again.

    Args:
        folder: need not exist yet.
        images: training images.
        device: where to train.
    """

    def __init__(self, folder: Path, images: LabelledImages, device: torch.device) -> None:
        self.folder, self.images, self.device = folder, images, device
        self._fingerprint = fingerprint(images)

    def get(
        self,
        options: AutoencoderEstimator,
        seed: int,
        start: Callable[[], Autoencoder] | None = None,
    ) -> Autoencoder:
        """The autoencoder of these options and this seed, trained if it is not there.

        Args:
            options: of the training.
            seed: of everything random in it.
            start: gives the network that is fine-tuned; None trains from random weights.
        """
        first = start() if start else None
        setting = [self._fingerprint, options.name, options.model_dump(exclude={"device"}), seed]
        if first is not None:
            setting.append(first.fingerprint())
        path = self.folder / f"{hashed(setting)}.safetensors"
        with Turn(path.with_suffix(".lock")):
            if not is_whole(path):
                checkpoint = Checkpoint(path.with_suffix(".checkpoint.safetensors"))
                model, _ = options.fit(
                    self.images.images,
                    seed=seed,
                    device=self.device,
                    checkpoint=checkpoint,
                    start=first,
                )
                model.save(path)
                checkpoint.path.unlink(missing_ok=True)
        return Autoencoder.load(path)
