"""Parquet files in the layout that Hugging Face image datasets use."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pydantic import Field

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources.base import SOURCES, ImageSource, Root, folder_name
from hvrt_diffuser.data.sources.decoding import Example, decode_images
from hvrt_diffuser.data.sources.groups import grouped
from hvrt_diffuser.data.sources.resizing import resized_name
from hvrt_diffuser.data.sources.splits import ImageSplits

__all__ = ["Parquet"]

LAYOUT = "image: struct<bytes: binary, path: string> and label: int64"
SHARD = re.compile(r"-(\d+)-of-(\d+)")
ROWS = 256  # rows decoded at a time, so that the encoded images never all stand in memory
LISTED = 20  # as many labels as a sentence bears


@SOURCES.register("parquet")
class Parquet(ImageSource):
    """Parquet files in the layout that Hugging Face image datasets use."""

    root: Root = Field(
        description="a folder that holds train*.parquet and perhaps test*.parquet, or whose folder "
        "data does, or a single parquet file, which brings no test split"
    )
    group: str | None = Field(
        None,
        description="a column whose value is the key of images that belong together (patient, "
        "product, burst) and are never split; without one each image stands alone",
    )

    def read(self) -> ImageSplits:
        """The splits, with the class names of the files' metadata or else ``0`` ... ``k - 1``.

        Raises:
            InputError: missing files, shards or columns, labels other than 0 ... k - 1 without
                gaps, bytes that are no image, images that are not alike, or a row without the
                value of ``group``.
        """
        train_files, test_files = (
            [(path, _open(path)) for path in paths] for paths in _find(self.root)
        )
        names = _class_names(train_files + test_files)
        source = resized_name(f"parquet {folder_name(self.root)}", self.resize)
        train, example = _read_split(train_files, names, source, self.resize)
        test = None
        if test_files:
            test, _ = _read_split(test_files, train.class_names, source, self.resize, example)
        splits = ImageSplits(train, test)
        if self.group is None:
            return splits
        train_keys, test_keys = (_keys(files, self.group) for files in (train_files, test_files))
        return grouped(splits, train_keys, test_keys, self.group)


def _find(root: Path) -> tuple[list[Path], list[Path]]:
    """The files of the training and of the test split."""
    if root.is_file():
        return [root], []
    if not root.is_dir():
        raise InputError(
            f"{root} does not exist, expected a parquet file or a folder with train*.parquet: "
            "give that as root"
        )
    folders = [root, root / "data"]
    holding = [folder for folder in folders if any(folder.glob("train*.parquet"))]
    if len(holding) != 1:
        found = "train*.parquet in both" if holding else "no train*.parquet in either"
        raise InputError(
            f"{root} and {root / 'data'} hold {found}, expected the files of one dataset in one of "
            "them: give the folder or the parquet file to read as root"
        )
    return _shards(holding[0], "train"), _shards(holding[0], "test")


def _shards(folder: Path, split: str) -> list[Path]:
    """The files of a split in order; names that count themselves must be complete."""
    files = sorted(folder.glob(f"{split}*.parquet"))
    counted = [tuple(map(int, match.groups())) for f in files if (match := SHARD.search(f.name))]
    expected = [(i, counted[0][1]) for i in range(counted[0][1])] if counted else []
    if counted != expected or (counted and len(files) != len(counted)):
        raise InputError(
            f"{folder} holds {', '.join(file.name for file in files)}, expected each of the "
            f"{counted[0][1]} {split} shards once: fetch the missing ones, or remove what belongs "
            "to another dataset"
        )
    return files


def _open(path: Path) -> Any:
    """A parquet file whose columns are those of the layout."""
    try:
        file = pq.ParquetFile(path)
    except (pa.ArrowException, OSError) as error:
        raise _broken(path) from error
    schema = file.schema_arrow
    missing = [name for name in ("image", "label") if name not in schema.names]
    if missing:
        raise InputError(
            f"{path} has the columns {', '.join(schema.names)} and lacks {' and '.join(missing)}, "
            f"expected {LAYOUT}: rename its columns"
        )
    kind = schema.field("image").type
    fields = {field.name: field.type for field in kind} if pa.types.is_struct(kind) else {}
    if fields.get("bytes") not in (pa.binary(), pa.large_binary()):
        raise InputError(
            f"{path} has a column image of type {kind}, expected {LAYOUT}: store each image as PNG "
            "or JPEG bytes"
        )
    if not pa.types.is_integer(schema.field("label").type):
        raise InputError(
            f"{path} has a column label of type {schema.field('label').type}, expected int64: "
            "number the classes from 0"
        )
    return file


def _broken(path: Path) -> InputError:
    return InputError(
        f"{path} ({path.stat().st_size} bytes) is damaged or no parquet file, expected one with "
        f"the columns {LAYOUT}: fetch it again"
    )


def _class_names(files: list[tuple[Path, Any]]) -> tuple[str, ...] | None:
    """The class names in the metadata that the library ``datasets`` writes, None without them."""
    found = {path: _names_of(path, file.schema_arrow.metadata or {}) for path, file in files}
    if len(set(found.values())) > 1:
        raise InputError(
            f"{', '.join(map(str, found))} state different class names, expected the same in each "
            "file of a dataset: remove what belongs to another one"
        )
    return next(iter(found.values()))


def _names_of(path: Path, metadata: dict[bytes, bytes]) -> tuple[str, ...] | None:
    try:
        features = json.loads(metadata.get(b"huggingface", b"{}")).get("info", {}).get("features")
        names = (features or {}).get("label", {}).get("names")
        if names is None:
            return None
        if isinstance(names, list) and all(isinstance(name, str) for name in names):
            return tuple(names)
    except (ValueError, AttributeError, TypeError):
        pass  # other JSON than the library writes
    raise InputError(
        f"{path} has metadata 'huggingface' that cannot be read, expected JSON with the class "
        "names as a list of strings in info.features.label.names: write the file again, or "
        "without that metadata"
    )


def _read_split(
    files: list[tuple[Path, Any]],
    names: tuple[str, ...] | None,
    source: str,
    resize: int | None,
    example: Example | None = None,
) -> tuple[LabelledImages, Example]:
    columns = [_column(path, file, "label") for path, file in files]
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    where = f"{files[0][0]}{more}"
    names = _check_labels(
        {label for c in columns for label in c.unique().to_pylist()}, names, where
    )
    labels = torch.cat([torch.tensor(column.to_pylist(), dtype=torch.int64) for column in columns])
    images, example = decode_images(_encoded(files), len(labels), resize, example)
    return LabelledImages(images, labels, names, source, _paths(files)), example


def _paths(files: list[tuple[Path, Any]]) -> tuple[str, ...] | None:
    """The paths that images had before they came into the files; None unless each has one."""
    found: list[Any] = []
    for path, file in files:
        kind = file.schema_arrow.field("image").type
        if "path" not in {field.name for field in kind}:
            return None
        found += _column(path, file, "image.path").combine_chunks().flatten()[0].to_pylist()
    whole = all(isinstance(name, str) and name for name in found)
    return tuple(found) if whole else None


def _keys(files: list[tuple[Path, Any]], column: str) -> list[Any]:
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


def _check_labels(
    found: set[int | None], names: tuple[str, ...] | None, where: str
) -> tuple[str, ...]:
    """The class names, once the labels found are 0 ... k - 1 without gaps."""
    if not found:
        raise InputError(f"{where} holds 0 rows, expected at least one image: fetch it again")
    present = sorted(label for label in found if label is not None)
    k = len(present) if names is None else len(names)
    if None in found or present != list(range(k)):
        listed = [str(label) for label in present[:LISTED]] + ["..."] * (len(present) > LISTED)
        nulls = ["null"] * (None in found)
        raise InputError(
            f"{where} gave the labels {', '.join(listed + nulls)}, expected each of 0 to "
            f"{max(k - 1, 0)} and no other: number the classes from 0 without gaps and remove "
            "the rows without a label"
        )
    return tuple(str(label) for label in present) if names is None else names


def _encoded(files: list[tuple[Path, Any]]) -> Iterator[tuple[str, bytes]]:
    """Each row's image bytes, a batch of rows at a time."""
    for path, file in files:
        row = 0
        try:
            for batch in file.iter_batches(batch_size=ROWS, columns=["image.bytes"]):
                for data in batch.column(0).flatten()[0].to_pylist():
                    if data is None:
                        raise InputError(
                            f"row {row} of {path} has no image bytes, expected PNG or JPEG bytes "
                            "in each row: store the images within the file"
                        )
                    yield f"row {row} of {path}", data
                    row += 1
        except (pa.ArrowException, OSError) as error:
            raise _broken(path) from error
