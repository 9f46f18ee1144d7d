"""Parameters of ``ae_training``: the blocks ``ae_training``, ``standard_vae``, ``low_beta_vae``."""

from __future__ import annotations

from pydantic import Field

from hvrt_diffuser.autoencoders import TrainingOptions
from hvrt_diffuser.pipelines.options import DeviceOptions, Options

__all__ = ["AETrainingOptions", "BaselineOptions"]


class AETrainingOptions(TrainingOptions, DeviceOptions):
    """How the autoencoders are built and trained."""


class BaselineOptions(Options):
    """A VAE to compare with: the same network and training, and a KL term."""

    beta: float = Field(gt=0, description="weight of the KL term")

    @property
    def name(self) -> str:
        """The name of its rows, such as ``vae_beta_0_05``."""
        return f"vae_beta_{self.beta:g}".replace(".", "_")
