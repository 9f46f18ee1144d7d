"""Files of images as people have them, and what is expected of a refusal."""

from __future__ import annotations

import gzip
import io
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources import ImageSplits, read_images

Pixels = npt.NDArray[np.uint8]
LABELS = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]


def png_bytes(pixels: Pixels | Image.Image, format: str = "PNG", **options: Any) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_parquet(
    path: Path, images: Sequence[bytes | None], labels: Any, names: list[str] | None = None
) -> Path:
    """The layout of Hugging Face image datasets."""
    rows = [{"bytes": data, "path": None} for data in images]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    label = labels if isinstance(labels, pa.Array) else pa.array(labels, pa.int64())
    table = pa.table({"image": pa.array(rows, kind), "label": label})
    if names is not None:
        info = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def write_folder(root: Path, images: Pixels, labels: Sequence[int]) -> Path:
    """A folder per class, named after its label; files named in the order of the images."""
    for i, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        write(root / str(label) / f"{i:03}.png", png_bytes(pixels))
    return root


def planes(images: Pixels) -> Tensor:
    """(n, h, w) or (n, h, w, c) as the (n, c, h, w) that is expected back."""
    return torch.tensor(images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2))


def held_out(splits: ImageSplits) -> LabelledImages:
    assert splits.test is not None
    return splits.test


def notes(splits: ImageSplits) -> list[str]:
    """What a source says it did."""
    return [str(note) for note in splits.notes]


def refusal(**arguments: Any) -> str:
    """The message with which the arguments are refused; it must be one sentence."""
    with pytest.raises(InputError) as caught:
        read_images(**arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert not re.search(r"[.!?]\s|[.!;]$", message), message
    assert re.search(r": \w", message), message  # what to do
    return message


def encode(images: Pixels) -> list[bytes]:
    return [png_bytes(pixels) for pixels in images]


def write_grouped(path: Path, images: Pixels, keys: pa.Array, paths: list[str | None]) -> None:
    write_parquet(path, encode(images), LABELS)
    table = pq.read_table(path)
    rows = [{"bytes": b, "path": p} for b, p in zip(encode(images), paths, strict=True)]
    image = pa.array(rows, table.schema.field("image").type)
    pq.write_table(table.set_column(0, "image", image).append_column("patient", keys), path)


def write_named(root: Path, images: Pixels, names: Sequence[str]) -> Path:
    for pixels, name in zip(images, names, strict=True):
        write(root / name, png_bytes(pixels))
    return root
