"""What everything that draws is fitted by."""

from __future__ import annotations

from typing import Any, ClassVar

from hvrt_diffuser.common.bounds import MOST_SEED, whole_number
from hvrt_diffuser.common.options import Options

__all__ = ["Estimator"]


class Estimator(Options):
    """Options of a fit, as a class that is known by a name.

    Attributes:
        name: that it is registered under; of any other class, its path ``package.module:Class``.
        what: it is, in a few words.
        kind: of what it draws, ``latents`` or ``images``.
        network: whether its fit trains a network, which takes minutes.
        uses: inputs that its fit takes beside the usual ones.
        drawing: options that matter for drawing alone.
    """

    name: ClassVar[str]
    what: ClassVar[str] = ""
    kind: ClassVar[str]
    network: ClassVar[bool] = False
    uses: ClassVar[frozenset[str]] = frozenset()
    drawing: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        """Give a class that says nothing else its path as its name."""
        super().__pydantic_init_subclass__(**kwargs)
        if "name" not in cls.__dict__:
            cls.name = f"{cls.__module__}:{cls.__qualname__}"

    def origin(self, seed: int) -> dict[str, Any]:
        """What is to be kept with what was fitted: ``sampler``, every option and ``seed``; JSON.

        Raises:
            InputError: the seed is no whole number of 63 bits.
        """
        seed = whole_number("seed", seed, 0, MOST_SEED)
        return {"sampler": self.name, **self.model_dump(mode="json"), "seed": seed}
