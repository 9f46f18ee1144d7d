"""The image files below a folder, and what lies beside them."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from hvrt_diffuser.data.sources.decoding import is_image
from hvrt_diffuser.data.sources.notes import Note

__all__ = ["Tree", "scan"]

EXTENSIONS = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".gif"),
    *(".pgm", ".ppm", ".pbm", ".pnm", ".avif", ".jp2", ".ico"),
    *(".heic", ".heif", ".dcm"),  # which are not read, and should be missed
)
LITTER = ("thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", ".ds_store")
SYSTEM, FOREIGN, HIDDEN = "files of the system", "files that are no images", "hidden files"
HIDDEN_FOLDER = "hidden folders; rename those that are classes"
EMPTY = "folders without an image"


@dataclass(frozen=True)
class Tree:
    """A folder.

    Attributes:
        path: of the folder.
        files: images that lie in it, in order, by their paths from the folder that was scanned;
            texts, since of a million objects of paths each takes as much as a small image.
        folders: those in it that hold images somewhere, by name and in order.
    """

    path: Path
    files: list[str] = field(default_factory=list)
    folders: dict[str, Tree] = field(default_factory=dict)

    def every(self) -> Iterator[str]:
        """The images in it and below."""
        yield from self.files
        for tree in self.folders.values():
            yield from tree.every()


def scan(root: Path) -> tuple[Tree, list[Note]]:
    """Find the images below a folder, links followed.

    A file is an image where its name ends like one's or where its bytes begin like one's: the first
    has to be readable. What is hidden, or left by the system, is passed over.

    Returns:
        The folder; and what was passed over, by kind.
    """
    passed: dict[str, list[str]] = defaultdict(list)
    tree = _scan(root, root, passed, ())
    return tree, [Note.of(f"passed over: {kind}", sorted(passed[kind])) for kind in sorted(passed)]


def _scan(folder: Path, root: Path, passed: dict[str, list[str]], above: tuple[str, ...]) -> Tree:
    tree = Tree(folder)
    start = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
    above = (*above, os.path.realpath(folder))
    below = []
    with os.scandir(folder) as entries:
        for entry in entries:  # what is kept of each is its name
            kind = _passed_over(entry)
            if kind is None and entry.is_dir():
                below.append(entry.name)
            elif kind is None and _is_image(entry):
                tree.files.append(start + entry.name)
            else:
                passed[kind or FOREIGN].append(start + entry.name)
    tree.files.sort()
    for name in sorted(below):
        if os.path.realpath(folder / name) in above:  # a link to a folder that it lies in
            continue
        inner = _scan(folder / name, root, passed, above)
        if inner.files or inner.folders:
            tree.folders[name] = inner
        else:
            passed[EMPTY].append(start + name)
    return tree


def _is_image(entry: os.DirEntry[str]) -> bool:
    return entry.name.lower().endswith(EXTENSIONS) or is_image(entry.path)


def _passed_over(entry: os.DirEntry[str]) -> str | None:
    if entry.name.lower() in LITTER or entry.name.startswith("._"):
        return SYSTEM
    if entry.name.startswith("."):
        return HIDDEN_FOLDER if entry.is_dir() else HIDDEN
    return None
