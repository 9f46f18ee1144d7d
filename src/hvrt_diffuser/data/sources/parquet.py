"""Parquet files in the layout that Hugging Face image datasets use."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import Field

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.encoding import column_batches, open_parquet
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources.assembling import Encoded
from hvrt_diffuser.data.sources.base import SOURCES, FileSource, Root, folder_name
from hvrt_diffuser.data.sources.decoding import UnreadableError
from hvrt_diffuser.data.sources.groups import grouped
from hvrt_diffuser.data.sources.labels import Numbered, number_labels
from hvrt_diffuser.data.sources.notes import Note, listed
from hvrt_diffuser.data.sources.parquet_files import find_files
from hvrt_diffuser.data.sources.resizing import resized_name
from hvrt_diffuser.data.sources.splits import ImageSplits, identified

__all__ = ["Parquet"]

LAYOUT = "image: struct<bytes: binary, path: string> and label: int64"
IMAGES = ("image", "img", "images", "picture", "photo", "jpg", "jpeg", "png", "webp")
LABELS = ("label", "labels", "fine_label", "class", "target", "category", "digit", "character")
File = tuple[Path, Any]


@SOURCES.register("parquet")
class Parquet(FileSource):
    """Parquet files in the layout that Hugging Face image datasets use."""

    root: Root = Field(
        description="a folder that holds train*.parquet, or a folder train of such files, and "
        "perhaps test or validation, or whose folder data or only configuration does, or a single "
        "parquet file, which brings no test split"
    )
    image: str | None = Field(
        None, description="column of the images; null: one that is called image, img or the like"
    )
    label: str | None = Field(
        None,
        description="column of the labels; null: one that is called label, labels, fine_label or "
        "the like",
    )
    group: str | None = Field(
        None,
        description="a column whose value is the key of images that belong together (patient, "
        "product, burst) and are never split; without one each image stands alone",
    )

    def read(self) -> ImageSplits:
        """The splits, with the class names of the files' metadata or else the labels as names.

        Raises:
            InputError: missing files, shards or columns, labels that are no classes, images that
                cannot be read or are of several sizes, or a row without the value of ``group``.
        """
        found, notes = find_files(self.root)
        splits = {name: [(path, _open(path)) for path in paths] for name, paths in found.items()}
        image, label, more = self._columns(splits)
        notes += more
        names = _class_names([file for files in splits.values() for file in files], label)
        test, numbered, more = _choose(splits, label, names, self.root)
        notes += more + list(numbered.notes)
        parts = [splits["train"]] if test is None else [splits["train"], splits[test]]
        labels = [numbered.train] if numbered.test is None else [numbered.train, numbered.test]
        source = f"parquet {folder_name(self.root)}"
        counts = [len(own) for own in labels]
        images, done = self.stacked(source, _encoded(parts, image), sum(counts))
        source = resized_name(source, self.resize)
        read = [
            LabelledImages(pixels, own, numbered.class_names, source, _paths(files, image))
            for pixels, own, files in zip(images.split(counts), labels, parts, strict=True)
        ]
        splits_read = ImageSplits(read[0], read[1] if test else None, (*notes, *done))
        if self.group is not None:
            keys = [_keys(files, self.group) for files in parts]
            splits_read = grouped(splits_read, keys[0], keys[1] if test else [], self.group)
        return identified(splits_read)

    def _columns(self, splits: dict[str, list[File]]) -> tuple[str, str, list[Note]]:
        """The columns of the images and of the labels, which all files have."""
        files = [file for files in splits.values() for file in files]
        path, first = files[0]
        names = first.schema_arrow.names
        found, notes = [], []
        for what, given, known in (("image", self.image, IMAGES), ("label", self.label, LABELS)):
            candidates = [given] if given is not None else list(known)
            there = [name for name in candidates if name in names]
            if not there:
                wanted = given or f"{', '.join(known[:-1])} or {known[-1]}"
                raise InputError(
                    f"{path} has the columns {', '.join(names)} and no {what}s called {wanted}, "
                    f"expected {LAYOUT}: give the column of the {what}s as {what}"
                )
            others = [n for n in names if n not in there and given is None and n.endswith("_label")]
            if (others := there[1:] + others * (what == "label")) or there[0] != what:
                beside = f"; {', '.join(others)} is there as well" if others else ""
                notes.append(Note(f"{what}s are those of the column {there[0]}{beside}"))
            found.append(there[0])
        for path, file in files:
            lacking = [name for name in found if name not in file.schema_arrow.names]
            if lacking:
                raise InputError(
                    f"{path} has the columns {', '.join(file.schema_arrow.names)} and lacks "
                    f"{' and '.join(lacking)}, expected the same columns in all files of a "
                    "dataset: remove what belongs to another one"
                )
            _check_image_column(path, file, found[0])
        return found[0], found[1], notes


def _open(path: Path) -> Any:
    try:
        return open_parquet(path)
    except (pa.ArrowException, OSError) as error:
        raise _broken(path) from error


def _check_image_column(path: Path, file: Any, image: str) -> None:
    kind = file.schema_arrow.field(image).type
    if not _is_bytes(kind) and not (pa.types.is_struct(kind) and _is_bytes(_bytes_of(kind))):
        raise InputError(
            f"{path} has a column {image} of type {kind}, expected {LAYOUT}: store each image's "
            "file within the column, as bytes"
        )


def _bytes_of(kind: Any) -> Any:
    return next((field.type for field in kind if field.name == "bytes"), None)


def _is_bytes(kind: Any) -> bool:
    return kind in (pa.binary(), pa.large_binary())


def _broken(path: Path) -> InputError:
    return InputError(
        f"{path} ({path.stat().st_size} bytes) is damaged or no parquet file, expected one with "
        f"the columns {LAYOUT}: fetch it again"
    )


def _choose(
    splits: dict[str, list[File]], label: str, names: tuple[str, ...] | None, root: Path
) -> tuple[str | None, Numbered, list[Note]]:
    """The split to test on, the labels of it and of the training images, and notes."""
    train = _labels(splits["train"], label)
    notes, where = [], f"column {label} of {root}"
    if not train:
        raise InputError(
            f"{_listed_files(splits['train'])} holds 0 rows, expected at least one image: fetch it "
            "again"
        )
    numbered = None
    for split in ("test", "validation"):
        if split not in splits:
            continue
        rows = sum(file.metadata.num_rows for _, file in splits[split])
        if numbered is not None:
            notes.append(Note(f"left out: the {split} split, since test images are there", rows))
            continue
        if not rows:
            notes.append(Note(f"the {split} split has no rows"))
            continue
        tried = number_labels(train, _labels(splits[split], label), names, where)
        if tried.test is None:
            notes.append(Note(f"left out: the {split} split, whose labels are withheld", rows))
            continue
        numbered, test = tried, split
        if split == "validation":
            notes.append(Note("the validation split taken as the test images", rows))
    if numbered is None:
        return None, number_labels(train, None, names, where), notes
    present = set(numbered.test.tolist()) if numbered.test is not None else set()
    lacking = [name for c, name in enumerate(numbered.class_names) if c not in present]
    if lacking:
        notes.append(Note.of("classes without a test image", lacking))
    return test, numbered, notes


def _listed_files(files: list[File]) -> str:
    return listed([str(path) for path, _ in files])


def _labels(files: list[File], label: str) -> list[Any]:
    return [value for path, file in files for value in _column(path, file, label).to_pylist()]


def _class_names(files: Sequence[File], label: str) -> tuple[str, ...] | None:
    """The class names in the metadata that the library ``datasets`` writes, None without them."""
    stated = {path: _names_of(path, file, label) for path, file in files}
    found = {path: names for path, names in stated.items() if names is not None}
    if len(set(found.values())) > 1:
        raise InputError(
            f"{', '.join(map(str, found))} state different class names, expected the same in each "
            "file of a dataset: remove what belongs to another one"
        )
    return next(iter(found.values()), None)


def _names_of(path: Path, file: Any, label: str) -> tuple[str, ...] | None:
    metadata = file.schema_arrow.metadata or {}
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features")
        names = (features or {}).get(label, {}).get("names")
        if names is None:
            return None
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return tuple(names)
    except (ValueError, AttributeError, TypeError):
        pass  # other JSON than the library writes
    raise InputError(
        f"{path} has metadata 'huggingface' that cannot be read, expected JSON with the class "
        f"names as a list of strings in info.features.{label}.names: write the file again, or "
        "without that metadata"
    )


def _paths(files: list[File], image: str) -> tuple[str, ...] | None:
    """The paths that images had before they came into the files; None unless each has one."""
    found: list[Any] = []
    for path, file in files:
        kind = file.schema_arrow.field(image).type
        if not pa.types.is_struct(kind) or "path" not in {field.name for field in kind}:
            return None
        found += _column(path, file, f"{image}.path").combine_chunks().flatten()[0].to_pylist()
    whole = all(isinstance(name, str) and name for name in found)
    return tuple(found) if whole else None


def _keys(files: list[File], column: str) -> list[Any]:
    """The value of a column in each row."""
    found: list[Any] = []
    for path, file in files:
        names = file.schema_arrow.names
        if column not in names or pa.types.is_nested(file.schema_arrow.field(column).type):
            raise InputError(
                f"{path} has the columns {', '.join(names)}, expected one of plain values named "
                f"{column}, by dataset.group: give the column that images belong together by"
            )
        keys = _column(path, file, column).to_pylist()
        if None in keys:
            raise InputError(
                f"row {keys.index(None)} of {path} has no {column}, expected dataset.group in each "
                "row: fill it in, or leave the row out"
            )
        found += keys
    return found


def _column(path: Path, file: Any, name: str) -> Any:
    try:
        return file.read([name])[name.partition(".")[0]]
    except (pa.ArrowException, OSError) as error:
        raise _broken(path) from error


def _encoded(splits: list[list[File]], image: str) -> Iterator[Encoded]:
    """Each row's image bytes, a batch of rows at a time."""
    for path, file in (file for files in splits for file in files):
        struct = pa.types.is_struct(file.schema_arrow.field(image).type)
        column, row = f"{image}.bytes" if struct else image, 0
        try:
            for held in column_batches(file, column):
                for data in (held.flatten()[0] if struct else held).to_pylist():
                    empty = UnreadableError("has no bytes: store the images within the file")
                    yield f"row {row} of {path.name}", empty if data is None else data
                    row += 1
        except (pa.ArrowException, OSError) as error:
            raise _broken(path) from error
