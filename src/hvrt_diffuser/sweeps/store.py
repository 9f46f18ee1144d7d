"""Autoencoders that are trained once, whoever asks for them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import torch

from hvrt_diffuser.autoencoders import Autoencoder, TrainingOptions, train_autoencoder
from hvrt_diffuser.common.files import Turn, is_whole
from hvrt_diffuser.data.images import LabelledImages, fingerprint
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

    def get(self, options: TrainingOptions, seed: int) -> Autoencoder:
        """The autoencoder of these options and this seed, trained if it is not there."""
        setting = [self._fingerprint, options.model_dump(exclude={"device"}), seed]
        key = hashlib.sha256(json.dumps(setting, sort_keys=True).encode()).hexdigest()[:16]
        path = self.folder / f"{key}.safetensors"
        with Turn(path.with_suffix(".lock")):
            if not is_whole(path):
                checkpoint = Checkpoint(path.with_suffix(".checkpoint.safetensors"))
                model, _ = train_autoencoder(
                    self.images.images,
                    options,
                    seed=seed,
                    device=self.device,
                    checkpoint=checkpoint,
                )
                model.save(path)
                checkpoint.path.unlink(missing_ok=True)
        return Autoencoder.load(path)
