"""A folder that the project fills and its user owns: nothing of theirs is replaced or deleted."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import MADE_BY_KEY, Turn, remove_left

__all__ = ["MANIFEST", "SharedFolder"]

MANIFEST = ".hvrt_diffuser.json"
STAGE = ".hvrt_diffuser.partial"  # holds the new files until all are written
NO_FILE = "no file"  # in the place of a hash: a folder, a link, or below one of them

logger = logging.getLogger(__name__)

Hashes = dict[str, str]
"""SHA-256 in hexadecimal digits by path below the folder, with ``/`` between its parts."""


class SharedFolder:
    """What the project wrote there stands in a manifest, and nothing else is its own.

    Files of an earlier time that are as they were written make room for new ones. Whoever kills
    the process finds the old files, or some of the new ones among them; the next one to fill or
    check the folder then finishes what was begun.

    Args:
        folder: made when it is filled. A link stays one, and its target is filled.
        kind: what it holds, such as ``export``; a folder of another kind is refused.
        documents: paths for people: what a user made of one stays, and the new one is written
            beside it, as ``NAME.new.EXTENSION``. Any other file that was edited is refused.
        among: whether it may be filled where there are files of the user's alone.
    """

    def __init__(
        self, folder: Path, kind: str, documents: Collection[str] = (), *, among: bool = False
    ) -> None:
        self.folder = folder.expanduser().resolve()
        self.kind, self.documents, self.among = kind, documents, among

    @property
    def is_whole(self) -> bool:
        """Whether it has been filled, to the end."""
        return self._manifest() is not None and self._plan() is None

    @property
    def written(self) -> dict[str, Path]:
        """Files that the project wrote, by their names; of a document beside another, that one's.

        A file that was edited or removed since is among them.
        """
        names = {_beside(name): name for name in self.documents}
        return {names.get(path, path): self.folder / path for path in self._manifest() or {}}

    @property
    def others(self) -> list[Path]:
        """Files that the project did not write, or that were edited since."""
        known = {**(self._manifest() or {}), MANIFEST: None}
        found = {
            path.relative_to(self.folder).as_posix(): path
            for path in sorted(self.folder.rglob("*"))
            if not path.is_dir()
        }
        return [
            path
            for name, path in found.items()
            if name not in known or (known[name] and self._state(name) != known[name])
        ]

    def check(self, paths: Collection[str] = ()) -> None:
        """Find out before anything is made whether the folder can be filled.

        Args:
            paths: of the new files, as far as they are known.

        Raises:
            InputError: it is no folder, another process fills it, or it holds something that
                would be lost.
        """
        self._check_folder()
        if self.folder.exists():
            with self._taken():
                former = self._former()
                states = {path: self._state(path) for path in {*former, *paths}}
                self._check_changed(former, states)
                self._check_free(set(paths) - set(self.documents), former, states)

    @contextmanager
    def filled(self, made_by: Mapping[str, Any] | None = None) -> Iterator[Path]:
        """Yield an empty folder, whose files take the place of earlier ones after the block.

        Args:
            made_by: with what and of what, for the manifest.

        Raises:
            InputError: as :meth:`check`; or a file of the user's lies where one of the new files
                belongs.
            OSError: a file could not be written.
        """
        with self._filled(made_by, gathers=False):
            yield self._new

    @contextmanager
    def gathered(self, made_by: Mapping[str, Any]) -> Iterator[tuple[Path, Path]]:
        """As :meth:`filled`, of files whose making takes long: a block that ends early leaves them.

        The next one finds them where it has the same ``made_by``; until then all others are
        refused, and so is this one in a folder that was filled with another.

        Args:
            made_by: with what and of what; plain JSON.

        Yields:
            The folder of the files, and one for notes on them, which goes with the block that
            succeeds.

        Raises:
            InputError: as :meth:`filled`.
            OSError: a file could not be written.
        """
        with self._filled(made_by, gathers=True):
            yield self._new, self._notes

    @contextmanager
    def _filled(self, made_by: Mapping[str, Any] | None, *, gathers: bool) -> Iterator[None]:
        self._check_folder()
        made = not self.folder.exists()
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._taken(made_by if gathers else None):
                former = self._former()
                if gathers:
                    self._check_former(former, made_by)
                for each in (self._new, self._notes):
                    each.mkdir(parents=True, exist_ok=True)
                if gathers:
                    self._put(self._begun_file, {MADE_BY_KEY: made_by})
                    remove_left(self._stage, below=True)
                try:
                    yield
                    self._decide(former, made_by)
                    self._finish()
                finally:
                    some = gathers and any(self._notes.glob("*"))
                    if not self._plan_file.exists() and not (some and self._begun_file.exists()):
                        shutil.rmtree(self._stage, ignore_errors=True)
        except OSError as error:
            raise self._unwritten(error) from error
        finally:
            if made:
                with suppress(OSError):  # it holds something
                    self.folder.rmdir()

    def holds(self, made_by: Mapping[str, Any]) -> bool:
        """Whether it has been filled with this, to the end, and all of it is still there.

        Raises:
            InputError: as :meth:`gathered`.
        """
        self._check_folder()
        if not self.folder.exists():
            return False
        with self._taken(made_by):
            former = self._former()
            states = {path: self._state(path) for path in former}
            self._check_changed(former, states)
            there = (state for path, state in states.items() if path not in self.documents)
            return self.made_by == made_by and None not in there

    @property
    def made_by(self) -> dict[str, Any] | None:
        """What the manifest says that its files were made with and of."""
        found = _read_json(self.folder / MANIFEST).get(MADE_BY_KEY)
        return found if isinstance(found, dict) else None

    # ---- what is there

    def _check_folder(self) -> None:
        if self.folder.exists() and not self.folder.is_dir():
            raise InputError(
                f"{self.folder} is a file, which would be lost, expected a folder: choose another "
                "place, or move it away"
            )

    @property
    def _stage(self) -> Path:
        return self.folder / STAGE

    @property
    def _new(self) -> Path:
        return self._stage / "new"

    @property
    def _notes(self) -> Path:
        return self._stage / "notes"

    @property
    def _begun_file(self) -> Path:
        """With what the files are made that are gathered; where it lies, they are kept."""
        return self._stage / "begun.json"

    @property
    def _plan_file(self) -> Path:
        """What to do with the new files: where it lies, that is decided."""
        return self._stage / "plan.json"

    @contextmanager
    def _taken(self, made_by: Mapping[str, Any] | None = None) -> Iterator[None]:
        """A block in which no other process fills the folder, and nothing is left half done.

        But for files that are gathered with ``made_by``, which stay.
        """
        turn = Turn(self.folder)
        if not turn.take_if_free():
            raise InputError(
                f"another process writes to {self.folder}, expected none: wait for it, or choose "
                "another place"
            )
        try:
            self._finish()
            begun = _read_json(self._begun_file).get(MADE_BY_KEY)
            if begun is None:
                shutil.rmtree(self._stage, ignore_errors=True)
            elif begun != made_by:
                raise InputError(
                    f"{self.folder} holds the first files of an unfinished {self.kind}, with "
                    f"{_said(begun, made_by)}, expected {_said(made_by, begun) or 'none'}: finish "
                    f"it by its own command, choose another place, or remove {self._stage}"
                )
            yield
        finally:
            turn.give()

    def _manifest(self) -> Hashes | None:
        found = _read_json(self.folder / MANIFEST)
        return _hashes(found, "files") if found.get("kind") == self.kind else None

    def _plan(self) -> tuple[dict[str, Any], Hashes, Hashes] | None:
        """Head of the manifest, new and former files, where it is decided what becomes of them."""
        found = _read_json(self._plan_file)
        new, former = _hashes(found, "new"), _hashes(found, "former")
        if new is None or former is None:
            return None
        return {key: found[key] for key in ("kind", MADE_BY_KEY) if found.get(key)}, new, former

    def _former(self) -> Hashes:
        """The files of the manifest.

        Raises:
            InputError: there is none of this kind, and something would be lost or mixed.
        """
        found = self._manifest()
        if found is not None:
            return found
        other = (self.folder / MANIFEST).exists()
        held = any(path.name != STAGE for path in self.folder.iterdir())
        if other or (held and not self.among):
            what = f"a {MANIFEST} of something else" if other else f"no {MANIFEST}"
            raise InputError(
                f"{self.folder} holds something and {what}, by which an earlier {self.kind} would "
                "be known, expected one, or an empty folder: choose another place, or move it away"
            )
        return {}

    def _check_former(self, former: Hashes, made_by: Mapping[str, Any] | None) -> None:
        """Refuse a folder that was filled with something else."""
        if former and self.made_by != made_by:
            own = _said(self.made_by, made_by)
            raise InputError(
                f"{self.folder} holds another {self.kind}{own and f', with {own}'}, expected "
                f"{_said(made_by, self.made_by)}, or an empty folder: choose another place, or "
                "move it away"
            )

    def _state(self, path: str) -> str | None:
        """The hash of what lies there; None where nothing does."""
        place = self.folder
        for part in PurePosixPath(path).parts[:-1]:
            place /= part
            if place.is_symlink() or (place.exists() and not place.is_dir()):
                return NO_FILE
        place = self.folder / path
        if place.is_symlink() or (place.exists() and not place.is_file()):
            return NO_FILE
        return _hash(place) if place.exists() else None

    def _check_changed(self, former: Hashes, states: Mapping[str, str | None]) -> None:
        """Refuse files that are not as they were written, unless they are documents."""
        changed = [path for path, own in former.items() if states[path] not in (own, None)]
        if others := [path for path in changed if path not in self.documents]:
            more = f" and {len(others) - 1} more" if others[1:] else ""
            raise InputError(
                f"{self.folder / others[0]}{more} was changed since it was written and would be "
                "lost, expected files as they were written: move it away, or choose another place"
            )

    def _check_free(
        self, new: Iterable[str], former: Hashes, states: Mapping[str, str | None]
    ) -> None:
        """Refuse to replace files that are not known to be by this project."""
        for path in sorted(new):
            if states[path] not in (None, former.get(path)):
                raise InputError(
                    f"{self.folder / path} is not known by {MANIFEST} to be of hvrt_diffuser and "
                    "would be lost, expected no file there: move it away, or choose another place"
                )

    # ---- what is done

    def _decide(self, former: Hashes, made_by: Mapping[str, Any] | None) -> None:
        """Write down what becomes of old and new files, unless one of the user's would be lost."""
        stage = self._new
        new = {
            path.relative_to(stage).as_posix(): _hash(path)
            for path in sorted(stage.rglob("*"))
            if path.is_file()
        }
        beside = {name: _beside(name) for name in self.documents if name in new}
        states = {path: self._state(path) for path in {*former, *new, *beside.values()}}
        self._check_changed(former, states)
        for name, other in sorted(beside.items()):
            state = states[name]
            if state in (None, former.get(name)):
                pass
            elif state == former.get(other):  # the user moved it there, as it was written
                former = {**former, name: state}
            else:
                (stage / name).rename(stage / other)
                new[other] = new.pop(name)
                logger.warning(
                    "%s is not as it was written and stays, the new one lies beside it as %s",
                    self.folder / name,
                    other,
                )
        self._check_free(new, former, states)
        plan = {"kind": self.kind, "new": new, "former": former, MADE_BY_KEY: made_by}
        self._put(self._plan_file, plan)

    def _finish(self) -> None:
        """Do what was decided, or the rest of it; what a user changed meanwhile stays."""
        plan = self._plan()
        if plan is None:
            return
        head, new, former = plan
        kept = dict(new)
        # What people read comes last: it speaks of the rest.
        for path in sorted(new, key=lambda path: path in self.documents):
            source, state = self._new / path, self._state(path)
            if state not in (None, new[path], former.get(path)):
                del kept[path]
            elif state != new[path] and source.exists():
                (self.folder / path).parent.mkdir(parents=True, exist_ok=True)
                source.replace(self.folder / path)
        for path in former.keys() - new.keys():
            if self._state(path) == former[path]:
                (self.folder / path).unlink()
                for parent in PurePosixPath(path).parents[:-1]:
                    with suppress(OSError):  # it holds something
                        (self.folder / parent).rmdir()
        self._put(self.folder / MANIFEST, {**head, "files": dict(sorted(kept.items()))})
        self._begun_file.unlink(missing_ok=True)
        self._plan_file.unlink()

    def _put(self, target: Path, content: Mapping[str, Any]) -> None:
        """Write JSON, whole or not at all; what is left by a kill lies among the new files."""
        temporary = self._stage / "next.json"
        temporary.write_text(json.dumps(content, indent=1) + "\n", encoding="ascii")
        temporary.replace(target)

    def _unwritten(self, error: OSError) -> OSError:
        begun = self._plan_file.exists()
        said = "the rest follows with the next run" if begun else "nothing was replaced"
        return OSError(
            error.errno,
            f"could not write {self.folder} ({error.strerror or error}); {said}: free some space "
            "or choose another place, and run again",
        )


def _said(made_by: Mapping[str, Any] | None, other: Mapping[str, Any] | None) -> str:
    """In words, in what the first differs from the second."""
    own, others = made_by or {}, other or {}
    return ", ".join(f"{key} {own[key]}" for key in own if own[key] != others.get(key))


def _beside(name: str) -> str:
    path = PurePosixPath(name)
    return path.with_name(f"{path.stem}.new{path.suffix}").as_posix()


def _hashes(found: Mapping[str, Any], name: str) -> Hashes | None:
    """The hashes of a file that anybody may have written: their paths stay in the folder."""
    files = found.get(name)
    if not isinstance(files, dict):
        return None
    paths = [PurePosixPath(path) for path in files]
    if any(not path.name or path.is_absolute() or ".." in path.parts for path in paths):
        return None
    return files


def _hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _read_json(path: Path) -> Mapping[str, Any]:
    """The object of a JSON file; an empty one where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
