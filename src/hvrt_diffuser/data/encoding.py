"""Images as PNG, in parquet in the layout of Hugging Face image datasets, and in tar files."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from torch import Tensor

__all__ = [
    "ParquetImages",
    "TarImages",
    "column_batches",
    "encode_png",
    "open_parquet",
    "write_parquet",
]

ROWS = 256  # of a batch, so that the encoded images never all stand in memory


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
    with ParquetImages(path, class_names, metadata) as file:
        for images, labels in batches:
            file.write([encode_png(image) for image in images], labels)


def open_parquet(path: Path) -> Any:
    """A parquet file, which is mapped: a row group may be all of it, and is not read at once."""
    return pq.ParquetFile(path, memory_map=True)


def column_batches(file: Any, column: str) -> Iterator[Any]:
    """A column of a parquet file, 256 rows at a time."""
    for group in range(file.metadata.num_row_groups):  # over several, arrow keeps what it has read
        for batch in file.iter_batches(ROWS, row_groups=[group], columns=[column]):
            yield batch.column(0)


class ParquetImages:
    """The same file, written a row group at a time to a path or to an open binary file.

    Args:
        file: where to.
        class_names: the name of class i at place i.
        metadata: more of it, by key.
        first: number of the first image, by which it is called.
    """

    def __init__(
        self,
        file: Path | IO[bytes] | io.RawIOBase,
        class_names: Sequence[str],
        metadata: Mapping[str, str] | None = None,
        first: int = 0,
    ) -> None:
        self._schema = _schema(class_names, metadata or {})
        self._writer = pq.ParquetWriter(file, self._schema, write_page_checksum=True)
        self._n = first

    def write(self, pngs: Sequence[bytes], labels: Tensor) -> None:
        """Add a row group: m images as PNG, and labels int64 (m,)."""
        rows = [{"bytes": png, "path": f"{self._n + i:08d}.png"} for i, png in enumerate(pngs)]
        self._n += len(rows)
        table = pa.table({"image": rows, "label": labels.numpy()}, schema=self._schema)
        self._writer.write_table(table)

    def add_metadata(self, metadata: Mapping[str, str]) -> None:
        """What is known at the end alone."""
        self._writer.add_key_value_metadata(dict(metadata))

    def close(self) -> None:
        """Write the footer, without which the file cannot be read."""
        self._writer.close()

    def __enter__(self) -> ParquetImages:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


class TarImages:
    """A tar file as WebDataset has them: ``<number>.png`` and ``<number>.cls`` of each image.

    Args:
        path: the file.
        first: number of the first image.
    """

    def __init__(self, path: Path, first: int = 0) -> None:
        self._tar = tarfile.open(path, "w")  # noqa: SIM115  # closed by close
        self._n = first

    def write(self, pngs: Sequence[bytes], labels: Tensor) -> None:
        """Add m images as PNG, and labels int64 (m,)."""
        for png, label in zip(pngs, labels.tolist(), strict=True):
            self._add(f"{self._n:08d}.png", png)
            self._add(f"{self._n:08d}.cls", str(label).encode("ascii"))
            self._n += 1

    def _add(self, name: str, data: bytes) -> None:
        # Time, owner and group of a TarInfo are 0 and its mode is 0644: the bytes tell no machine.
        member = tarfile.TarInfo(name)
        member.size = len(data)
        self._tar.addfile(member, io.BytesIO(data))

    def close(self) -> None:
        """Write the end of the file."""
        self._tar.close()

    def __enter__(self) -> TarImages:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


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
