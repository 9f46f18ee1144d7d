"""Parameters of ``balance`` and ``shots``."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from hvrt_diffuser.classifiers import ClassifierOptions
from hvrt_diffuser.common.bounds import Count, Distinct, Seed
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.data.augmentation import Augmentation, AugmentName
from hvrt_diffuser.judge.imbalance import ImbalanceOptions
from hvrt_diffuser.judge.sweeps import ShotsOptions
from hvrt_diffuser.pipelines.ae_training.parameters import AETrainingOptions
from hvrt_diffuser.pipelines.hvrt_fitting.parameters import ChosenSampler
from hvrt_diffuser.pipelines.options import DeviceOptions

__all__ = ["BalanceOptions", "BalanceTask", "ShotsBlock", "ShotsTask"]


class BalanceOptions(DeviceOptions, ImbalanceOptions):
    """How remedies for classes of unequal size are compared."""

    counts: dict[str, Count] | None = Field(
        None,
        description="training images that classes keep, by name, to try an imbalance on purpose; "
        "null is all, as they are",
    )


class BalanceTask(BalanceOptions):
    """What the classifiers are trained by; put together from ``balance`` and other blocks."""

    sampler: ChosenSampler = Field(description="of a generator that saw fewer images")
    ae_training: AETrainingOptions = Field(description="of its autoencoder")
    augmentation: Augmentation = Field(description="of what it may start from, and of batches")
    augment: AugmentName = Field(description="of each batch, as in tstr")
    classifier: ClassifierOptions = Field(description="of every row, as in tstr")
    seed: Seed = Field(description="of the run")


class ShotsBlock(DeviceOptions, ShotsOptions):
    """How many real images there are, and how many synthetic ones are added to them."""

    samplers: Annotated[tuple[str, ...], Distinct] = Field(
        ("hvrt", "mixture_per_class"),
        min_length=1,
        description="names of samplers and whole models, each with its options in samplers",
    )


class ShotsTask(ShotsBlock):
    """What generators are fitted by; put together from ``shots`` and other blocks."""

    options: dict[str, dict[str, Any]] = Field(description="of samplers, by name")
    ae_training: AETrainingOptions = Field(description="of the autoencoders")
    augmentation: Augmentation = Field(description="of what they may start from, and of batches")
    augment: AugmentName = Field(description="of each batch, as in tstr")
    classifier: ClassifierOptions = Field(description="of every row, as in tstr")
    seed: Seed = Field(description="of the run")

    def estimators(self) -> dict[str, Any]:
        """What each sampler is fitted by.

        Raises:
            InputError: an unknown name or option.
        """
        return {
            name: SAMPLERS.make(name, self.options.get(name), f"samplers.{name}")
            for name in self.samplers
        }
