"""Parameters of ``ae_training``: the blocks ``ae_training``, ``standard_vae``, ``low_beta_vae``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, model_validator

from hvrt_diffuser.autoencoders import AUTOENCODERS, TrainingOptions
from hvrt_diffuser.common.bounds import KLWeight
from hvrt_diffuser.common.options import Options
from hvrt_diffuser.common.registry import Registry
from hvrt_diffuser.pipelines.known import chosen_name
from hvrt_diffuser.pipelines.options import ChosenOptions, DeviceOptions

__all__ = ["AETrainingOptions", "BaselineOptions"]


class AETrainingOptions(DeviceOptions, ChosenOptions):
    """How the autoencoders are built and trained: beside these, the options of the chosen one."""

    block: ClassVar[str] = "ae_training"
    chooser: ClassVar[str] = "autoencoder"
    registry: ClassVar[Registry[Any]] = AUTOENCODERS

    autoencoder: str = Field(
        "convolutional",
        description="a name, or the path of a class; pretrained where that is given",
    )

    @model_validator(mode="before")
    @classmethod
    def _chosen_by_its_files(cls, values: Any) -> Any:
        if not isinstance(values, Mapping):
            return values
        return {**values, cls.chooser: chosen_name(cls.block, values)}

    def vae(self, beta: float) -> TrainingOptions:
        """The same network and training with a KL term in place of a regulariser or a coupling.

        Beside an autoencoder that is not convolutional, the default one.
        """
        options = self.chosen if isinstance(self.chosen, TrainingOptions) else TrainingOptions()
        return options.model_copy(update={"beta": beta, "regulariser": None, "coupling": 0.0})


class BaselineOptions(Options):
    """A VAE to compare with: the same network and training, and a KL term."""

    beta: KLWeight = Field(gt=0, description="weight of the KL term")

    @property
    def name(self) -> str:
        """The name of its rows, such as ``vae_beta_0_05``."""
        return f"vae_beta_{self.beta:g}".replace(".", "_")
