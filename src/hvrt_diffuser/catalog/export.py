"""Images and their card as a folder for other people's tools."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.card import CARD, Form, export_place
from hvrt_diffuser.data.encoding import TarImages, encode_png, write_parquet
from hvrt_diffuser.data.images import LabelledImages

__all__ = ["Export", "ExportDataset", "check_folder_names"]

ROWS = 1_000  # images a row group, encoded at a time
SHARD = 10_000  # images a tar file, at most
# No folder, a hidden one, or one whose images the library `datasets` would pass over in silence.
UNSAFE = re.compile(r"^$|^\.|^__|::|[/\\\0]")


@dataclass(frozen=True)
class Export:
    """Labelled images, how to lay them out, and what to say of them.

    Attributes:
        images: all of them.
        form: ``parquet``: ``data/train-00000-of-00001.parquet`` in the layout of Hugging Face
            image datasets. ``image_folder``: ``train/<class name>/<number>.png``. ``webdataset``:
            ``train-<number>.tar``, which hold ``<number>.png`` and ``<number>.cls`` of each image.
        card: the README.md, by :func:`hvrt_diffuser.data.card.dataset_card`, of the same form.
        n_real: images that are real ones, and come first; a file of a folder says which it is.
    """

    images: LabelledImages
    form: Form
    card: str
    n_real: int = 0


class ExportDataset(AbstractDataset[Export, None]):
    """A folder that others open; the same export gives the same bytes.

    Args:
        filepath: the folder.
        metadata: for other tools.

    Attributes:
        place: the folder, which says whether an export may go there.
    """

    made_by: dict[str, Any] | None = None  # with what and of what, written into the manifest

    def __init__(self, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.place = export_place(filepath)
        self.metadata = metadata

    def save(self, data: Export) -> None:
        """Write the folder in the place of an earlier export, around files that the user put there.

        A card that the user edited stays, and the new one is written beside it.

        Raises:
            InputError: the folder holds something that would be lost, which stays; or a class
                name cannot be that of a folder.
        """
        if data.form == "image_folder":
            check_folder_names(data.images.class_names)
        with self.place.filled(self.made_by) as folder:
            if data.form == "parquet":
                _write_parquet(folder, data.images)
            elif data.form == "image_folder":
                _write_image_folder(folder, data.images, data.n_real)
            else:
                _write_webdataset(folder, data.images)
            (folder / CARD).write_bytes(data.card.encode())

    def read_made_by(self) -> dict[str, Any] | None:
        """What the manifest says that it was made with and of."""
        return self.place.made_by

    def load(self) -> None:
        """Not for Kedro to load.

        Raises:
            InputError: always.
        """
        raise InputError(
            f"{self._filepath} is an export, written for other tools and not to be loaded, where "
            "a dataset of the catalog was expected: open it with "
            f'datasets.load_dataset("{self._filepath}")'
        )

    def _exists(self) -> bool:
        return self.place.is_whole

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}


def check_folder_names(names: tuple[str, ...]) -> None:
    """Raise InputError for class names that file systems or readers of folders would not keep."""
    for name in names:
        if UNSAFE.search(name):
            raise InputError(
                f"a class is called {name!r}, expected a name that a folder can bear, without /, "
                "\\ and :: and with neither a dot nor two underscores in front: export as parquet "
                "or webdataset, or rename the class"
            )
    seen: dict[str, str] = {}
    for name in names:
        # Some file systems tell neither case nor ways to compose an accent apart.
        key = unicodedata.normalize("NFC", name).casefold()
        if key in seen:
            raise InputError(
                f"two classes are called {seen[key]!r} and {name!r}, expected names that differ by "
                "more than case, since each is a folder: export as parquet or webdataset, or "
                "rename one of the classes"
            )
        seen[key] = name


def _write_parquet(folder: Path, images: LabelledImages) -> None:
    path = folder / "data" / "train-00000-of-00001.parquet"
    path.parent.mkdir()
    batches = zip(images.images.split(ROWS), images.labels.split(ROWS), strict=True)
    write_parquet(path, batches, images.class_names)


def _write_image_folder(folder: Path, images: LabelledImages, n_real: int) -> None:
    names = [images.class_names[label] for label in images.labels.tolist()]
    for name in set(names):
        (folder / "train" / name).mkdir(parents=True)
    for i, (name, image) in enumerate(zip(names, images.images, strict=True)):
        kind = "" if not n_real else "real-" if i < n_real else "synthetic-"
        (folder / "train" / name / f"{kind}{i:08d}.png").write_bytes(encode_png(image))


def _write_webdataset(folder: Path, images: LabelledImages) -> None:
    for shard, start in enumerate(range(0, len(images), SHARD)):
        part = images[start : start + SHARD]
        with TarImages(folder / f"train-{shard:05d}.tar", start) as file:
            for image, label in zip(part.images, part.labels, strict=True):
                file.write([encode_png(image)], label[None])
