"""Files of images that are none, or no dataset."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from chaos.inputs.case import Case, stage
from chaos.kills import References
from chaos.project import SETTINGS, SIDE, Project, set_parameters

Change = Callable[[Path], object]
DIGITS = SETTINGS["dataset"]["root"]


def _png(mode: str = "L", size: tuple[int, int] = (SIDE, SIDE)) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, "TIFF" if mode == "CMYK" else "PNG")
    return buffer.getvalue()


def _header_of(side: int) -> bytes:
    """The beginning of a PNG that says it is huge."""
    body = b"IHDR" + struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    crc = struct.pack(">I", zlib.crc32(body))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + body + crc


def _put(name: str, data: bytes) -> Change:
    return lambda root: (root / name).write_bytes(data)


def _empty(root: Path) -> None:
    for path in root.glob("one/*"):
        path.unlink()


def _only(n: int) -> Change:
    def change(root: Path) -> None:
        for path in sorted(root.glob("one/*"))[n:]:
            path.unlink()

    return change


def _one_class(root: Path) -> None:
    for name in ("nought", "seven"):
        for path in root.glob(f"{name}/*"):
            path.unlink()
        (root / name).rmdir()


def _link(target: str) -> Change:
    return lambda root: (root / "one" / "900.png").symlink_to(target)


def _nothing(root: Path) -> None:
    for path in root.glob("*/*"):
        path.unlink()
    for path in root.iterdir():
        path.rmdir()


def _file_in_its_place(root: Path) -> None:
    _nothing(root)
    root.rmdir()
    root.write_text("photographs\n")


def _animated(root: Path) -> None:
    frames = [Image.new("L", (SIDE, SIDE), 9 * i) for i in range(3)]
    frames[0].save(root / "one" / "900.gif", save_all=True, append_images=frames[1:])


BROKEN: dict[str, Change] = {
    "a text called .png": _put("one/900.png", b"meow"),
    "an empty .png": _put("one/900.png", b""),
    "half a PNG": _put("one/900.png", _png()[:40]),
    "random bytes called .png": _put("one/900.png", random.Random(1).randbytes(300)),
    "a PNG that says it has 50,000 pixels a side": _put("one/900.png", _header_of(50_000)),
    "an image of another size": _put("one/900.png", _png(size=(SIDE + 4, SIDE))),
    "an image of one pixel": _put("one/900.png", _png(size=(1, 1))),
    "a folder called .png": lambda root: (root / "one" / "900.png").mkdir(),
    "a link to nothing": _link("nowhere.png"),
    "a link to itself": _link("900.png"),
    "a class with one image": _only(1),
    "a class with two images": _only(2),
    "an empty class": _empty,
    "one class alone": _one_class,
    "no images": _nothing,
    "a text where the folder should be": _file_in_its_place,
}
# Told or taken, as the documentation has it; no crash.
UNUSUAL: dict[str, Change] = {
    "hidden files": _put("one/.DS_Store", b"\0\0\0\1Bud1"),
    "a Thumbs.db": _put("one/Thumbs.db", b"\xd0\xcf\x11\xe0"),
    "an RGB image among grey ones": _put("one/900.png", _png("RGB")),
    "an RGBA image among grey ones": _put("one/900.png", _png("RGBA")),
    "a CMYK image among grey ones": _put("one/900.tif", _png("CMYK")),
    "a 16-bit image among others": _put("one/900.png", _png("I;16")),
    "a palette image among others": _put("one/900.png", _png("P")),
    "a GIF of three pictures": _animated,
    "a text beside the images": _put("one/notes.txt", b"mine"),
    "a file name of bytes that are no text": lambda root: Path(
        os.fsdecode(os.fsencode(root) + b"/one/\xff\xfe.png")
    ).write_bytes(_png()),
    "a link to another image": _link("000.png"),
}


def folder(rng: random.Random) -> Case:
    """A folder of images in which something is wrong."""
    what = rng.choice([*BROKEN, *UNUSUAL])
    change = BROKEN.get(what) or UNUSUAL[what]
    start = ("hvrt-diffuser", "make", DIGITS, "--out", "made")
    # A link to nothing, a folder and an empty class hold no image, and so may be passed over.
    unclear = ("a folder called .png", "a link to nothing", "a link to itself", "an empty class")
    # By its own settings, it trains for minutes on what it takes.
    quick = what in BROKEN and what not in unclear and rng.random() < 0.2
    typed = start if quick else stage("data_ingest")
    if "class with" in what or what == "one class alone":
        typed = stage()  # what a whole run asks for; to read them alone is fine

    def prepare(project: Project, references: References) -> None:
        change(project.path / DIGITS)

    either = what in UNUSUAL or what in unclear or "class" in what
    return Case(what, typed, prepare, "fresh", "either" if either else "refused")


def table(rng: random.Random) -> Case:
    """A parquet or npz file in which something is wrong."""
    form = rng.choice(("parquet", "npz"))
    what = rng.choice(TABLES)
    at = rng.random()

    def prepare(project: Project, references: References) -> None:
        path = project.path / "data" / "01_raw" / f"digits.{form}"
        data = _parquet(what) if form == "parquet" else _npz(what)
        if what == "cut short":
            data = data[: int(at * len(data))]
        path.write_bytes(data)
        set_parameters(project, {"dataset.root": f"data/01_raw/{path.name}"})

    return Case(f"{form} {what}", stage("data_ingest"), prepare, "fresh")


TABLES = (
    "cut short",
    "empty",
    "random bytes",
    "labels of -1 alone",
    "labels that are no number",
    "labels of 10^12",
    "without labels",
    "without rows",
    "more labels than images",
    "images that are none",
    "an object inside",
)
ROWS = 30


def _labels(what: str) -> list[object]:
    labels: list[object] = [i % 3 for i in range(ROWS)]
    if what == "labels of -1 alone":
        return [-1] * ROWS
    if what == "labels that are no number":
        return [float("nan")] * ROWS
    if what == "labels of 10^12":
        return [10**12 * (i % 3) for i in range(ROWS)]
    return [] if what == "without rows" else labels


def _parquet(what: str) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if what in ("empty", "random bytes"):
        return random.Random(0).randbytes(400) if what == "random bytes" else b""
    labels = _labels(what)
    pixels = b"no image" if what in ("images that are none", "an object inside") else _png()
    columns: dict[str, object] = {
        "image": pa.array([{"bytes": pixels, "path": None}] * len(labels)),
        "label": pa.array(labels),
    }
    if what == "more labels than images":  # a table has as many: an image is missing
        columns["image"] = pa.array([{"bytes": _png(), "path": None}] * (ROWS - 1) + [None])
    if what == "without labels":
        del columns["label"]
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def _npz(what: str) -> bytes:
    if what in ("empty", "random bytes"):
        return random.Random(0).randbytes(400) if what == "random bytes" else b""
    labels = np.array(_labels(what))
    n = len(labels) - (what == "more labels than images")
    images = np.zeros((n, SIDE, SIDE), np.uint8)
    arrays = {"images": images, "labels": labels}
    if what == "images that are none":
        arrays["images"] = np.zeros(n, np.uint8)
    if what == "without labels":
        del arrays["labels"]
    if what == "an object inside":
        arrays["images"] = np.array([object()] * n, dtype=object)
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
