"""Which images below a folder are of which class, and which are to train and to test on."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.sources.label_table import find_table, labelled_files
from hvrt_diffuser.data.sources.labels import class_order, same_letters
from hvrt_diffuser.data.sources.notes import Note, listed
from hvrt_diffuser.data.sources.tree import Tree, scan

__all__ = ["Classes", "Layout", "find_layout", "split_of"]

Classes = dict[str, list[str]]  # paths from the root
SPLITS = {"train": "train|training", "validation": "val|valid|validation|dev", "test": "test(ing)?"}
SUFFIX = "([ _-]?(set|split|data|images|samples))?"
EXPECTED = (
    "expected a folder per class, or such folders in train and test, or a CSV file with a column "
    "of files and one of labels"
)


@dataclass(frozen=True)
class Layout:
    """What is where.

    Attributes:
        train: files by class, in the classes' order.
        test: likewise, of the same classes or some of them; None without a test split.
        notes: on what was left out, and how the folders were taken.
    """

    train: Classes
    test: Classes | None
    notes: list[Note] = field(default_factory=list)


def split_of(name: str) -> str | None:
    """The split that a folder's or file's name stands for: train, validation or test."""
    for split, words in SPLITS.items():
        if re.fullmatch(f"({words}){SUFFIX}", name, re.IGNORECASE):
            return split
    return None


def find_layout(root: Path, label: str | None = None) -> Layout:
    """Look through a folder.

    Args:
        root: the folder.
        label: the column of the labels in a CSV file; None: one that is called like labels.

    Raises:
        InputError: no image, no classes, or folders that can be read in two ways.
    """
    tree, notes = scan(root)
    if not tree.files and not tree.folders:
        held = listed([name for note in notes for name in note.names]) or "nothing"
        raise InputError(f"{root} holds no image ({held}), {EXPECTED}: give the right folder")
    tree = _opened(tree, notes, root)
    splits: dict[str, list[Tree]] = {}
    for name, inner in tree.folders.items():
        if split := split_of(name):
            splits.setdefault(split, []).append(inner)
    if any(inner.folders for inner in splits.get("train", [])):
        return _by_splits(tree, splits, notes, root)
    of_splits = len(tree.folders) == sum(map(len, splits.values()))  # or it has no folder
    if tree.files or of_splits or len(tree.folders) == 1:
        table = find_table([root, tree.path], label)
        if table is not None:
            found, more = labelled_files(table, tree, root)
            return Layout(found, None, [*notes, *more])
    if of_splits:
        _refuse_unlabelled(tree, root)
    _refuse_sets(tree, root)
    return Layout(_classes(tree, notes, root), None, notes)


def _opened(tree: Tree, notes: list[Note], root: Path, *, below_split: bool = False) -> Tree:
    """The folder itself, or the one in it that holds everything, as archives often do."""
    while not tree.files and len(tree.folders) == 1:
        (name, inner), *_ = tree.folders.items()
        several = len(inner.folders) > 1 and not inner.files
        holds_train = any(split_of(k) == "train" and v.folders for k, v in inner.folders.items())
        if not (several or holds_train) or (split_of(name) and not below_split):
            break
        tree = inner
        notes.append(Note(f"classes looked for in {_name(inner, root)}/"))
    return tree


def _name(tree: Tree, root: Path) -> str:
    return tree.path.relative_to(root).as_posix()


def _classes(tree: Tree, notes: list[Note], root: Path) -> Classes:
    """The files of each folder and below it; folders of the same letters are one class."""
    found: Classes = {}
    for name, inner in tree.folders.items():
        found.setdefault(same_letters(name), []).extend(inner.every())
    if tree.files:
        notes.append(Note.of("left out: images beside the class folders", tree.files))
    deep = [_name(inner, root) for inner in tree.folders.values() if inner.folders]
    if deep:
        notes.append(Note.of("classes whose subfolders were joined", deep))
    return {name: found[name] for name in class_order(found)}


def _by_splits(tree: Tree, splits: dict[str, list[Tree]], notes: list[Note], root: Path) -> Layout:
    several = [inner.path.name for found in splits.values() if len(found) > 1 for inner in found]
    if several:
        raise InputError(
            f"{tree.path} holds {listed(several)}, expected one folder of each split: rename or "
            "remove the others"
        )
    others = [inner for name, inner in tree.folders.items() if not split_of(name)]
    for inner in others:
        n = sum(1 for _ in inner.every())
        notes.append(Note(f"left out: {_name(inner, root)}/, which is no split", n))
    if tree.files:
        notes.append(Note.of("left out: images beside the splits", tree.files))
    train = _classes(_opened(splits["train"][0], notes, root, below_split=True), notes, root)
    test: Classes | None = None
    for split in ("test", "validation"):
        if split not in splits:
            continue
        inner = splits[split][0]
        name, n = _name(inner, root), sum(1 for _ in inner.every())
        if test is not None:
            notes.append(Note(f"left out: {name}/, since test images are there", n))
            continue
        opened = _opened(inner, notes, root, below_split=True)
        if not opened.folders or (
            len(opened.folders) == 1 and not opened.folders.keys() & train.keys()
        ):
            notes.append(Note(f"left out: {name}/, which has no class folders", n))
            continue
        test = _classes(opened, notes, root)
        _check_classes(train, test, splits["train"][0], inner)
        if split == "validation":
            notes.append(Note(f"{name}/ taken as the test images", n))
    if test is not None:
        test = {name: test.get(name, []) for name in train}
        if lacking := [name for name, files in test.items() if not files]:
            notes.append(Note.of("classes without a test image", lacking))
    return Layout(train, test, notes)


def _check_classes(train: Classes, test: Classes, trained: Tree, tested: Tree) -> None:
    alone = [name for name in test if name not in train]
    if alone:
        raise InputError(
            f"{tested.path} holds the class {listed(alone)}, which {trained.path} does not have "
            f"({listed(list(train))}), expected the same classes: add training images, or leave "
            "the class out"
        )


def _refuse_unlabelled(tree: Tree, root: Path) -> None:
    if tree.folders and any(inner.folders for inner in tree.folders.values()):
        raise InputError(
            f"{root} holds {listed([f'{name}/' for name in tree.folders])} and no train/ with "
            f"class folders, {EXPECTED}: add train/, or give one of these folders"
        )
    where = listed([f"{name}/" for name in tree.folders]) if tree.folders else "it"
    n = sum(1 for _ in tree.every())
    raise InputError(
        f"{root} holds {n} images without a class ({where} has no folders within), {EXPECTED}: "
        "sort the images into folders, or add the CSV file"
    )


def _refuse_sets(tree: Tree, root: Path) -> None:
    """Folders that look like whole datasets side by side."""
    inner = [list(folder.folders) for folder in tree.folders.values()]
    holding = [
        f"{name}/{below}"
        for name, folder in tree.folders.items()
        for below in folder.folders
        if split_of(below) == "train"
    ]
    alike = len(inner) > 1 and len(inner[0]) > 1 and all(names == inner[0] for names in inner)
    if holding or (alike and not any(folder.files for folder in tree.folders.values())):
        held = holding or [f"{name}/{below}" for name in tree.folders for below in inner[0]]
        raise InputError(
            f"{root} holds {listed(held)}, as several datasets do, {EXPECTED}: give one of "
            f"{listed(list(tree.folders))}"
        )
