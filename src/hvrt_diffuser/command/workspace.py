"""The folder that ``make`` fills: whose it is, what it was made from, and what is handed on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import Turn, whole_file
from hvrt_diffuser.common.shared_folder import SharedFolder
from hvrt_diffuser.data.card import export_place

__all__ = ["Workspace"]

MARKER = "make.json"
MAKER = "hvrt-diffuser make"
MODEL = ("autoencoder.safetensors", "latent_sampler.safetensors")
GRID = "grid.png"
REPORT = ("report.html", "report.json")


class Workspace:
    """A folder of ``make``: results on top, the files of the run below ``run``.

    Args:
        folder: made where it is not there.
        run_name: of the run.
    """

    def __init__(self, folder: Path, run_name: str) -> None:
        self.folder = folder.expanduser().resolve()
        self._run_name = run_name
        self._results = SharedFolder(self.folder, MAKER, (GRID, *REPORT), among=True)
        self._images = export_place(self.folder / "images")

    @property
    def project(self) -> Path:
        """Where Kedro runs."""
        return self.folder / "run"

    def file(self, layer: str, name: str) -> Path:
        """A file of the run."""
        return self.project / "data" / layer / self._run_name / name

    @contextmanager
    def taken(self, photos: Mapping[str, Any]) -> Iterator[None]:
        """A block in which the folder is this process's alone, to be made from these images.

        Args:
            photos: the source and its ``root``, if it has one.

        Raises:
            InputError: the folder holds something of somebody else's, was made from other
                images, results in it were changed, or another process is at work in it.
        """
        root = photos.get("root")
        asked = {
            "made_by": MAKER,
            "source": photos["source"],
            "root": root and str(root),
        }
        self._check(asked)
        self.project.mkdir(parents=True, exist_ok=True)
        turn = Turn(self.project)
        if not turn.take_if_free():
            raise InputError(
                f"another hvrt-diffuser make is at work in {self.folder}, expected none: wait "
                "for it, or choose another --out"
            )
        try:
            with whole_file(self.folder / MARKER) as temporary:
                temporary.write_text(json.dumps(asked, indent=1) + "\n", encoding="utf-8")
            yield
        finally:
            turn.give()

    def show_first(self) -> None:
        """Put the first pictures and the model on top; a report of earlier ones goes."""
        self._show(self._first())

    def show_all(self) -> None:
        """Put everything on top: pictures, model, report, and the images with their card."""
        self._show(self._first() | {name: self.file("08_reporting", name) for name in REPORT})
        dataset = export_place(self.file("07_model_output", "dataset"))
        with self._images.filled() as folder:
            _copy(dataset.written, folder)

    def _first(self) -> dict[str, Path]:
        models = {f"model/{name}": self.file("06_models", name) for name in MODEL}
        return {GRID: self.file("08_reporting", "sample_grid.png"), **models}

    def _show(self, files: Mapping[str, Path]) -> None:
        with self._results.filled() as folder:
            _copy(files, folder)

    def _marker(self) -> dict[str, Any] | None:
        try:
            found = json.loads((self.folder / MARKER).read_text(encoding="utf-8"))
        except (OSError, ValueError, RecursionError):
            return None
        return found if isinstance(found, dict) and found.get("made_by") == MAKER else None

    def _check(self, asked: Mapping[str, Any]) -> None:
        root = asked["root"]
        if root and self.folder.is_relative_to(root):
            raise InputError(
                f"{self.folder} lies in {root}, whose images are read, expected a folder beside "
                "it: choose another --out"
            )
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(f"{self.folder} is a file, expected a folder: choose another --out")
        found = self._marker()
        if found is None and self.folder.exists() and any(self.folder.iterdir()):
            raise InputError(
                f"{self.folder} holds something that hvrt-diffuser make did not write, expected "
                "an empty folder, one that is not there, or one of its own: choose another --out"
            )
        if found and any(found.get(key) != asked[key] for key in ("source", "root")):
            before = found.get("root") or found.get("source")
            raise InputError(
                f"{self.folder} was made from {before}, expected the same images where "
                f"{asked['root'] or asked['source']} was given: choose another --out"
            )
        self._results.check([f"model/{name}" for name in MODEL])
        self._images.check()


def _copy(files: Mapping[str, Path], folder: Path) -> None:
    """Copy the files that are there: of a link, whoever edits one in place would edit both."""
    for name, source in files.items():
        if source.is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, folder / name)
