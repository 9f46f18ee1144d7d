"""Parameters of ``generation``."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator
from typing_extensions import Self

from hvrt_diffuser.common.bounds import ClassNumber, Count, Seed
from hvrt_diffuser.common.precision import Precision
from hvrt_diffuser.pipelines.options import DeviceOptions

__all__ = ["ClassName", "GenerationOptions"]


def _text(value: Any) -> Any:
    """A name that YAML has taken for something else, as far as it can be told."""
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, bool | float):
        raise ValueError(
            f"expected the name of a class, or its number: YAML has made {value} of what was "
            "given, write it in quotes"
        )
    return value


ClassName = Annotated[ClassNumber | str, BeforeValidator(_text)]


class GenerationOptions(DeviceOptions):
    """What is generated."""

    sampler: str = Field(
        "hvrt",
        description="what draws: a registered name, or the path of a class; its options are those "
        "of samplers.<name>",
    )
    n: Count = Field(2000, description="images")
    class_id: ClassName | None = Field(
        None,
        description="class of every image, by name or number; null draws all classes in their real "
        "proportions",
    )
    counts: Count | dict[ClassName, Count] | None = Field(
        None,
        description="images to add, an output of its own: of each class, or of some by name",
    )
    balance: bool = Field(
        False,
        description="add as many as each class lacks to be as large as the largest one among the "
        "training images; an output of its own",
    )
    precision: Precision = Field(
        "float32",
        description="of the decoder; bfloat16 is faster where the hardware has it, which auto asks",
    )
    seed: Seed | None = Field(None, description="of the images; null is the run's seed")

    @model_validator(mode="after")
    def _one_request(self) -> Self:
        if self.balance and self.counts is not None:
            raise ValueError(
                "balance is true and counts are given, expected one of them: leave the other out"
            )
        return self

    @property
    def adds(self) -> bool:
        """Whether images are asked for beside those that are judged."""
        return self.balance or self.counts is not None
