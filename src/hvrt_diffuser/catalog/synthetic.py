"""Synthetic images in the parquet layout of Hugging Face image datasets."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from kedro.io import AbstractDataset
from PIL import Image
from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import MADE_BY_KEY, whole_file
from hvrt_diffuser.common.scratch import scratch
from hvrt_diffuser.common.sealed import SEAL, SEAL_KEY, check_seal, seal
from hvrt_diffuser.data.encoding import column_batches, open_parquet, write_parquet
from hvrt_diffuser.data.images import LabelledImages

__all__ = ["ImageStream", "SyntheticImagesDataset"]


@dataclass(frozen=True)
class ImageStream:
    """Labelled images that are made as they are read, once.

    Attributes:
        batches: pairs of uint8 (m, c, h, w) and int64 (m,).
        class_names: the name of class i at place i.
    """

    batches: Iterable[tuple[Tensor, Tensor]]
    class_names: tuple[str, ...]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self.batches)


class SyntheticImagesDataset(AbstractDataset[ImageStream, LabelledImages | None]):
    """``image: struct<bytes, path>`` (PNG) and ``label: int64``; written a batch at a time.

    Args:
        filepath: the parquet file.
        optional: images that may not be there: saving an empty stream leaves no file, and loading
            none gives None.
        metadata: for other tools.
    """

    made_by: dict[str, Any] | None = None  # the parameters, written into the file

    def __init__(
        self, filepath: str, optional: bool = False, metadata: dict[str, Any] | None = None
    ) -> None:
        self._filepath, self._optional = Path(filepath), optional
        self.metadata = metadata

    def save(self, data: ImageStream) -> None:
        """Write the images, whole or not at all; in memory is one batch."""
        if self._optional and data.batches == ():
            self._filepath.unlink(missing_ok=True)
            return
        metadata = {SEAL_KEY: SEAL}
        if self.made_by is not None:
            metadata[MADE_BY_KEY] = json.dumps(self.made_by, sort_keys=True)
        with whole_file(self._filepath) as temporary:
            write_parquet(temporary, data, data.class_names, metadata)
            seal(temporary)

    def read_made_by(self) -> dict[str, Any] | None:
        """The parameters that the file says it was made with."""
        try:
            metadata = pq.read_schema(self._filepath).metadata or {}
            found: dict[str, Any] | None = json.loads(metadata[MADE_BY_KEY.encode()])
        except (OSError, pa.ArrowException, KeyError, ValueError):
            return None
        return found

    def load(self) -> LabelledImages | None:
        """Read all images, many into a mapped file; None where there are none and may be none.

        Raises:
            InputError: the file is missing, cut short, changed, or of somebody else.
        """
        if self._optional and not self._filepath.exists():
            return None
        try:
            check_seal(self._filepath)
        except OSError as error:
            found, advice = "is missing", "run generation"
            if self._filepath.is_dir():
                found, advice = "is a folder", "move it away and run generation again"
            raise InputError(
                f"{self._filepath} {found}, expected a file of synthetic images: {advice}"
            ) from error
        with open_parquet(self._filepath) as file:
            info = json.loads(file.schema_arrow.metadata[b"huggingface"])["info"]["features"]
            names = tuple(info["label"]["names"])
            labels = torch.from_numpy(file.read(["label"]).column("label").to_numpy().copy())
            images = torch.empty((0, 1, 1, 1), dtype=torch.uint8)  # of no image
            for row, pixels in enumerate(_decoded(file)):
                if not row:
                    images = scratch((len(labels), *pixels.shape))
                images[row] = pixels
        return LabelledImages(images, labels, names, "synthetic images")

    def _exists(self) -> bool:
        try:
            pq.read_metadata(self._filepath)
        except (OSError, pa.ArrowException):
            return False
        return True

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


def _decoded(file: Any) -> Iterator[Tensor]:
    """Each image, uint8 (c, h, w)."""
    for held in column_batches(file, "image.bytes"):
        for png in held.field("bytes"):
            yield _pixels(png.as_py())


def _pixels(png: bytes) -> Tensor:
    """Decode to uint8 (c, h, w)."""
    array = np.asarray(Image.open(io.BytesIO(png)))
    return torch.from_numpy(array.copy()).reshape(*array.shape[:2], -1).permute(2, 0, 1)
