"""Parameters of ``export``."""

from __future__ import annotations

from pydantic import Field

from hvrt_diffuser.data.card import Form
from hvrt_diffuser.pipelines.options import Options

__all__ = ["ExportOptions"]


class ExportOptions(Options):
    """In which form the synthetic images are handed on."""

    form: Form = Field(description="of the files beside the card")
