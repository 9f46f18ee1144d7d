"""Images as PNG, and as parquet in the layout of Hugging Face image datasets."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from torch import Tensor

__all__ = ["encode_png", "write_parquet"]


def encode_png(image: Tensor) -> bytes:
    """Encode uint8 (c, h, w), c = 1 or 3."""
    array = image.permute(1, 2, 0).numpy()  # (h, w, c)
    file = io.BytesIO()
    Image.fromarray(array[:, :, 0] if array.shape[2] == 1 else array).save(file, format="PNG")
    return file.getvalue()


def write_parquet(
    path: Path,
    batches: Iterable[tuple[Tensor, Tensor]],
    class_names: Sequence[str],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write ``image: struct<bytes, path>`` (PNG) and ``label: int64``, a row group per batch.

    Args:
        path: the file.
        batches: pairs of uint8 (m, c, h, w) and int64 (m,); in memory is one of them.
        class_names: the name of class i at place i.
        metadata: more of it, by key.
    """
    schema = _schema(class_names, metadata or {})
    n = 0
    with pq.ParquetWriter(path, schema) as file:
        for images, labels in batches:
            rows = [
                {"bytes": encode_png(image), "path": f"{n + i:08d}.png"}
                for i, image in enumerate(images)
            ]
            n += len(rows)
            file.write_table(pa.table({"image": rows, "label": labels.numpy()}, schema=schema))


def _schema(class_names: Sequence[str], metadata: Mapping[str, str]) -> pa.Schema:
    features = {
        "image": {"_type": "Image"},
        "label": {"names": list(class_names), "_type": "ClassLabel"},
    }
    return pa.schema(
        [
            ("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
            ("label", pa.int64()),
        ],
        metadata={"huggingface": json.dumps({"info": {"features": features}}), **metadata},
    )
