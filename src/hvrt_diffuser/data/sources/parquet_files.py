"""Which parquet files below a folder are which split of a dataset."""

from __future__ import annotations

import re
from collections import defaultdict
from pathlib import Path

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.sources.layout import split_of
from hvrt_diffuser.data.sources.notes import Note, listed

__all__ = ["find_files"]

SHARD = re.compile(r"-(\d+)-of-(\d+)(-[0-9a-f]+)?$")  # with a hash, as earlier versions wrote it
NUMBER = re.compile(r"[-_]?\d+$")
DEPTH = 2  # folders below the root: a configuration, and a split


def find_files(root: Path) -> tuple[dict[str, list[Path]], list[Note]]:
    """The files of each split, in order.

    A split is ``train.parquet``, its shards ``train-00000-of-00002.parquet`` and so on, or a folder
    ``train``; it may lie in the folder ``data``, or in that of a configuration. A single file is
    the training split.

    Returns:
        Files by ``train``, ``validation`` and ``test``, as far as they are there; and a note on
        those that are of no split.

    Raises:
        InputError: no file or no training split, several datasets, or shards that are missing.
    """
    if root.is_file():
        return {"train": [root]}, []
    if not root.is_dir():
        raise InputError(
            f"{root} does not exist, expected a parquet file or a folder with train*.parquet: "
            "give that as root"
        )
    files = [
        path for depth in range(DEPTH + 1) for path in sorted(root.glob("*/" * depth + "*.parquet"))
    ]
    datasets: dict[Path, dict[str, list[Path]]] = defaultdict(lambda: defaultdict(list))
    others = []
    for path in files:
        if split := split_of(_stem(path)):
            datasets[path.parent][split].append(path)
        elif path.parent != root and (split := split_of(path.parent.name)):
            datasets[path.parent.parent][split].append(path)
        else:
            others.append(path)
    if not datasets and len(others) == 1:
        return {"train": others}, []
    held = listed([path.relative_to(root).as_posix() for path in files]) or "no parquet file"
    training = [folder for folder, splits in datasets.items() if "train" in splits]
    if not training:
        raise InputError(
            f"{root} holds {held} and no train*.parquet, expected the training split of a "
            "dataset in it, in data/ or in a folder train: rename the file, or give it as root"
        )
    if len(datasets) > 1:
        names = [folder.relative_to(root).as_posix() for folder in datasets]
        raise InputError(
            f"{root} holds several datasets, in {listed(names)}, expected one: give the folder "
            "of one as root"
        )
    splits = datasets[training[0]]
    for split, paths in splits.items():
        _check_shards(split, paths)
    left = [path.relative_to(root).as_posix() for path in others]
    notes = [Note.of("left out: files that are no split of the dataset", left)] if left else []
    return dict(splits), notes


def _stem(path: Path) -> str:
    return NUMBER.sub("", SHARD.sub("", path.stem))


def _check_shards(split: str, files: list[Path]) -> None:
    """Names that count themselves must be complete, and no split is there in two forms."""
    counted = [(int(m[1]), int(m[2])) for file in files if (m := SHARD.search(file.stem))]
    total = counted[0][1] if counted else len(files)
    expected = [(i, total) for i in range(total)] if counted else []
    plain = [file for file in files if split_of(file.stem)]
    if counted != expected or (counted and len(files) != len(counted)):
        raise InputError(
            f"{files[0].parent} holds {listed([file.name for file in files])}, expected each of "
            f"the {total} {split} shards once: fetch the missing ones, or remove what belongs to "
            "another dataset"
        )
    if plain and len(files) > 1:
        raise InputError(
            f"{files[0].parent} holds {listed([file.name for file in files])}, expected the "
            f"{split} split once: give one of the files as root, or remove the others"
        )
