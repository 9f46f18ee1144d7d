"""The body of an answer, written a batch at a time: memory does not grow with its images."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from hvrt_diffuser.data.encoding import ParquetImages, encode_png

__all__ = ["MEDIA_TYPES", "WRITERS", "Batches", "Format", "Labelling"]

Batches = Iterable[tuple[Tensor, Tensor]]  # uint8 (m, c, h, w), int64 (m,)
Format = Literal["tar", "zip", "parquet", "npz"]
MEDIA_TYPES: dict[Format, str] = {
    "tar": "application/x-tar",
    "zip": "application/zip",
    "parquet": "application/vnd.apache.parquet",
    "npz": "application/octet-stream",
}
MANIFEST = "manifest.json"
# WebDataset and the library `datasets` pass over a name like this one.
TAR_MANIFEST = "__manifest__"
EPOCH = (1980, 1, 1, 0, 0, 0)  # the first that a zip can tell: bytes tell no time


@dataclass(frozen=True)
class Labelling:
    """What a body says of itself besides images and labels.

    Attributes:
        class_names: the name of class i at place i.
        seed: of the draws.
        notice: what whoever takes the images should know.
    """

    class_names: tuple[str, ...]
    seed: int
    notice: str


class _Sink(io.RawIOBase):
    """A file that is written, and whose bytes are taken away from time to time."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._parts.append(bytes(data))
        self._position += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        return self._position

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


class _Encoded:
    """PNGs of batches, and at the end their number and a digest of them.

    A body that is cut short, by an error or by a limit of time, has no such end.
    """

    def __init__(self, batches: Batches, labelling: Labelling) -> None:
        self._batches, self._labelling = batches, labelling
        self.n, self._digest = 0, hashlib.sha256()

    def __iter__(self) -> Iterator[tuple[list[bytes], Tensor]]:
        for images, labels in self._batches:
            pngs = [encode_png(image) for image in images]
            for png in pngs:
                self._digest.update(png)
            self.n += len(pngs)
            yield pngs, labels

    def manifest(self) -> bytes:
        found = {
            "images": self.n,
            "sha256": self._digest.hexdigest(),
            "seed": self._labelling.seed,
            "class_names": list(self._labelling.class_names),
            "notice": self._labelling.notice,
        }
        return json.dumps(found).encode("ascii")


def _tar(batches: Batches, labelling: Labelling) -> Iterator[bytes]:
    """A shard of WebDataset: ``<number>.png`` and ``<number>.cls``, and ``__manifest__`` last."""
    sink, encoded, n = _Sink(), _Encoded(batches, labelling), 0
    with tarfile.open(fileobj=sink, mode="w|", format=tarfile.USTAR_FORMAT) as tar:

        def add(name: str, data: bytes) -> None:
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))

        for pngs, labels in encoded:
            for png, label in zip(pngs, labels.tolist(), strict=True):
                add(f"{n:08d}.png", png)
                add(f"{n:08d}.cls", str(label).encode("ascii"))
                n += 1
            yield sink.take()
        add(TAR_MANIFEST, encoded.manifest())
    yield sink.take()


def _zip(batches: Batches, labelling: Labelling) -> Iterator[bytes]:
    """``<class number>/<number>.png``, and ``manifest.json`` last: a name is no path."""
    sink, encoded, n = _Sink(), _Encoded(batches, labelling), 0
    digits = len(str(len(labelling.class_names) - 1))
    with zipfile.ZipFile(sink, "w") as file:
        for pngs, labels in encoded:
            for png, label in zip(pngs, labels.tolist(), strict=True):
                file.writestr(zipfile.ZipInfo(f"{label:0{digits}d}/{n:08d}.png", EPOCH), png)
                n += 1
            yield sink.take()
        file.writestr(zipfile.ZipInfo(MANIFEST, EPOCH), encoded.manifest())
    yield sink.take()


def _parquet(batches: Batches, labelling: Labelling) -> Iterator[bytes]:
    """The layout of Hugging Face image datasets; the manifest stands in the metadata."""
    sink, encoded = _Sink(), _Encoded(batches, labelling)
    with ParquetImages(sink, labelling.class_names) as file:
        for pngs, labels in encoded:
            file.write(pngs, labels)
            yield sink.take()
        file.add_metadata({"manifest": encoded.manifest().decode("ascii")})
    yield sink.take()


def _npz(batches: Batches, labelling: Labelling) -> Iterator[bytes]:
    """``images`` uint8 (n, c, h, w), ``labels`` int64 (n,) and ``class_names``; at once."""
    images, labels = zip(*batches, strict=True)
    arrays = {
        "images": torch.cat(images).numpy(),
        "labels": torch.cat(labels).numpy(),
        "class_names": np.array(labelling.class_names),
        "seed": np.array(labelling.seed),
        "notice": np.array(labelling.notice),
    }
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w", zipfile.ZIP_DEFLATED) as file:
        for name, array in arrays.items():
            one = io.BytesIO()
            np.save(one, array, allow_pickle=False)
            file.writestr(zipfile.ZipInfo(f"{name}.npy", EPOCH), one.getvalue())
    yield whole.getvalue()


WRITERS: dict[Format, Callable[[Batches, Labelling], Iterator[bytes]]] = {
    "tar": _tar,
    "zip": _zip,
    "parquet": _parquet,
    "npz": _npz,
}
