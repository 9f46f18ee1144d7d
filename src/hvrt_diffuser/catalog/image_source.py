"""Image sources as a dataset of the Kedro catalog."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from hvrt_diffuser.data.sources import ImageSplits, read_images

__all__ = ["ImageSourceDataset"]


class ImageSourceDataset(AbstractDataset[None, ImageSplits]):
    """Labelled images of one source, read when the catalog loads them and never written.

    Example catalog entry::

        images:
          type: hvrt_diffuser.catalog.image_source.ImageSourceDataset
          source: torchvision
          name: MNIST
          root: data/01_raw
          download: true

    Args:
        source, options: as for :func:`hvrt_diffuser.data.sources.read_images`, which checks them
            on loading.
        metadata: anything that Kedro or its plugins keep with the entry.
    """

    def __init__(
        self, source: str, *, metadata: dict[str, Any] | None = None, **options: Any
    ) -> None:
        self._source, self._options = source, options
        self.metadata = metadata

    def load(self) -> ImageSplits:
        """Read the images.

        Raises:
            DatasetError: caused by the InputError of what cannot be read, whose sentence ends its
                message.
        """
        return read_images(self._source, **self._options)

    def save(self, data: None) -> None:
        """Refuse to write.

        Raises:
            DatasetError: always.
        """
        raise DatasetError(
            f"the image source {self._source} was asked to save, expected to be read alone: save "
            "images to a dataset of another type"
        )

    def fingerprint(self) -> str:
        """SHA-256 of what is read, and from where: of files, names, sizes and times of change."""
        found = hashlib.sha256(repr((self._source, sorted(self._options.items()))).encode())
        root = self._options.get("root")
        if root is not None:
            root = Path(root).expanduser()
            files = [root] if root.is_file() else sorted(p for p in root.rglob("*") if p.is_file())
            for path in files:
                stat = path.stat()
                said = f"{path.relative_to(root)} {stat.st_size} {stat.st_mtime_ns}\n"
                found.update(said.encode(errors="surrogateescape"))
        return found.hexdigest()

    def _init_config(self) -> dict[str, Any]:
        # Kedro would write the options as an argument of that name, and could not read it again.
        config: dict[str, Any] = super()._init_config()
        config.update(config.pop("options"))
        return config

    def _describe(self) -> dict[str, Any]:
        return {"source": self._source, **self._options}

    def _exists(self) -> bool:
        root = self._options.get("root")
        return root is None or Path(root).expanduser().exists()
