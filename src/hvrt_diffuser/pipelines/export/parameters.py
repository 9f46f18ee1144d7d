"""Parameters of ``export``."""

from __future__ import annotations

from pydantic import Field

from hvrt_diffuser.common.options import Options
from hvrt_diffuser.data.card import Form

__all__ = ["ExportOptions"]


class ExportOptions(Options):
    """In which form the synthetic images are handed on."""

    form: Form = Field("parquet", description="of the files beside the card")
    with_training: bool = Field(
        False,
        description="the training images before the added ones, so that generation.balance makes "
        "all classes equal",
    )
