"""A CSV file with the labels of images that lie in no class folders."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.sources.labels import class_order, same_letters
from hvrt_diffuser.data.sources.notes import Note, listed
from hvrt_diffuser.data.sources.tree import Tree

__all__ = ["Table", "find_table", "labelled_files"]

FILES = (
    "file", "file_name", "filename", "image", "image_path", "image_name", "image_id", "path", "id",
    "name", "img",
)  # fmt: skip
LABELS = ("label", "labels", "class", "target", "category", "species", "breed", "diagnosis")


@dataclass(frozen=True)
class Table:
    """Rows of a CSV file: the file that each names, and its label."""

    path: Path
    columns: tuple[str, str]
    rows: list[tuple[str, str]]


def find_table(folders: Iterable[Path], label: str | None) -> Table | None:
    """The CSV file in one of these folders that has a column of files and one of labels.

    Raises:
        InputError: several are, or none has the column ``label``.
    """
    paths = sorted({path for folder in folders for path in folder.glob("*.[cC][sS][vV]")})
    found = [table for path in paths if (table := _read(path, label)) is not None]
    if len(found) > 1:
        raise InputError(
            f"{listed([str(table.path) for table in found])} all have a column of files and one of "
            "labels, expected one such file: move the others elsewhere"
        )
    if label is not None and paths and not found:
        raise InputError(
            f"{listed([str(path) for path in paths])} lack a column {label} beside a column of "
            f"files ({', '.join(FILES)}), expected one: correct dataset.label"
        )
    return found[0] if found else None


def _read(path: Path, label: str | None) -> Table | None:
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        head = file.readline()
        file.seek(0)
        delimiter = max(",;\t", key=head.count)
        reader = csv.DictReader(file, delimiter=delimiter)
        by_lower = {name.strip().lower(): name for name in reader.fieldnames or ()}
        image = next((by_lower[name] for name in FILES if name in by_lower), None)
        names = LABELS if label is None else (label.lower(),)
        labels = next((by_lower[name] for name in names if name in by_lower), None)
        if image is None or labels is None:
            return None
        rows = [(row[image] or "", row[labels] or "") for row in reader]
    return Table(path, (image, labels), [(name.strip(), value.strip()) for name, value in rows])


def labelled_files(table: Table, tree: Tree, root: Path) -> tuple[dict[str, list[str]], list[Note]]:
    """The files of each class, in order; and a note on each kind of what was left out.

    A row names a file by its path from the folder, or by its name, with or without the extension.

    Args:
        table: the rows.
        tree: the folder.
        root: what was scanned, from which the files' paths go out.

    Raises:
        InputError: no row names a file, a file has two labels, or a name is that of two files.
    """
    files = list(tree.every())
    above = tree.path.relative_to(root).as_posix()
    index: dict[str, list[str]] = defaultdict(list)
    for file in files:
        path = PurePosixPath(file)
        for key in {path.relative_to(above).as_posix(), path.name, path.stem}:
            index[key].append(file)
    labels: dict[str, str] = {}
    absent, unlabelled = [], []
    for name, value in table.rows:
        key = name.replace("\\", "/").removeprefix("./")
        found = index.get(key) or index.get(key.rpartition("/")[2]) or []
        if len(found) > 1:
            raise InputError(
                f"{table.path} names {name}, which "
                f"{listed([str(root / file) for file in found])} are, expected one file: write its "
                f"path from {tree.path}"
            )
        if not found:
            absent.append(name)
        elif not value:
            unlabelled.append(name)
        elif labels.setdefault(found[0], value) != value:
            raise InputError(
                f"{table.path} gives {name} the labels {labels[found[0]]} and {value}, expected "
                "one label per image: remove one of the rows"
            )
    if not labels:
        raise InputError(
            f"none of the {len(table.rows)} rows of {table.path} gives a label to one of the "
            f"{len(files)} images in {tree.path}, expected names such as "
            f"{PurePosixPath(files[0]).name} in its column {table.columns[0]}: correct the column"
        )
    classes: dict[str, list[str]] = defaultdict(list)
    for file in files:
        if file in labels:
            classes[same_letters(labels[file])].append(file)
    unnamed = [PurePosixPath(file).name for file in files if file not in labels]
    notes = [
        Note(f"labels from the column {table.columns[1]} of {table.path.name}", len(labels)),
        *(Note.of("rows that name no file", absent),) * bool(absent),
        *(Note.of("rows without a label", unlabelled),) * bool(unlabelled),
        *(Note.of("left out: images without a row", unnamed),) * bool(unnamed),
    ]
    return {name: classes[name] for name in class_order(classes)}, notes
