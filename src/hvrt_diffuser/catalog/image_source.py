"""Image sources as a dataset of the Kedro catalog."""

from __future__ import annotations

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
        source, name, root, download, resize: as for
            :func:`hvrt_diffuser.data.sources.read_images`, which checks them on loading.
        metadata: anything that Kedro or its plugins keep with the entry.
    """

    def __init__(
        self,
        source: str,
        *,
        name: str | None = None,
        root: str | None = None,
        download: bool = False,
        resize: int | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._source = source
        self._name = name
        self._root = root
        self._download = download
        self._resize = resize
        self.metadata = metadata

    def load(self) -> ImageSplits:
        """Read the images.

        Raises:
            DatasetError: caused by the InputError of what cannot be read, whose sentence ends its
                message.
        """
        return read_images(
            self._source,
            name=self._name,
            root=self._root,
            download=self._download,
            resize=self._resize,
        )

    def save(self, data: None) -> None:
        """Refuse to write.

        Raises:
            DatasetError: always.
        """
        raise DatasetError(
            f"the image source {self._source} was asked to save, expected to be read alone: save "
            "images to a dataset of another type"
        )

    def _describe(self) -> dict[str, Any]:
        return {
            "source": self._source,
            "name": self._name,
            "root": self._root,
            "download": self._download,
            "resize": self._resize,
        }

    def _exists(self) -> bool:
        return self._root is None or Path(self._root).expanduser().exists()
