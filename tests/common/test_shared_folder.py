"""A folder is filled again and again, and nothing of its user's is lost."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import Turn
from hvrt_diffuser.common.shared_folder import MANIFEST, SharedFolder

CARD = "README.md"
OLD = {CARD: "old card", "data/0.bin": "old", "data/1.bin": "same", "data/deep/2.bin": "gone"}
NEW = {CARD: "new card", "data/0.bin": "new", "data/1.bin": "same", "more/3.bin": "added"}
OWN = {"LICENSE": "mine", "thesis/one.txt": "mine", "data/mine.bin": "mine", ".git/HEAD": "mine"}


def place(folder: Path, kind: str = "export", *, among: bool = False) -> SharedFolder:
    return SharedFolder(folder / "out", kind, (CARD,), among=among)


def put(folder: Path, contents: Mapping[str, str]) -> None:
    for name, text in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def fill(folder: Path, contents: Mapping[str, str], **options: Any) -> None:
    with place(folder, **options).filled() as inner:
        put(inner, contents)


def found(folder: Path) -> dict[str, str]:
    """Files below a folder, that of hashes left out."""
    return {
        path.relative_to(folder / "out").as_posix(): path.read_text()
        for path in (folder / "out").rglob("*")
        if path.is_file() and path.name != MANIFEST
    }


def refusal(folder: Path, contents: Mapping[str, str], **options: Any) -> str:
    """The sentence with which a folder is not filled, and stays as it was."""
    before = {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}
    with pytest.raises(InputError) as caught:
        fill(folder, contents, **options)
    assert {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")} == before
    said = str(caught.value)
    assert "expected" in said
    assert "choose another place" in said
    assert "\n" not in said
    return said


def test_new_files_take_the_place_of_earlier_ones(tmp_path: Path) -> None:
    fill(tmp_path, OLD)
    assert found(tmp_path) == OLD
    fill(tmp_path, NEW)
    assert found(tmp_path) == NEW
    assert not (tmp_path / "out" / "data" / "deep").exists()
    assert place(tmp_path).is_whole


def test_files_of_the_user_s_stay_where_they_are(tmp_path: Path) -> None:
    fill(tmp_path, OLD)
    put(tmp_path / "out", OWN)
    (tmp_path / "out" / "data" / "empty").mkdir()

    def stats() -> dict[str, tuple[int, int]]:
        found = {name: (tmp_path / "out" / name).stat() for name in OWN}
        return {name: (each.st_ino, each.st_mtime_ns) for name, each in found.items()}

    before = stats()
    for contents in (NEW, OLD, NEW):
        fill(tmp_path, contents)
        assert found(tmp_path) == {**contents, **OWN}
    assert stats() == before
    assert (tmp_path / "out" / "data" / "empty").is_dir()


def test_the_manifest_says_what_the_files_were_made_of(tmp_path: Path) -> None:
    origin = {"parameters": {"seed": 0}, "files": {"images": "0123"}}
    with place(tmp_path).filled(origin) as inner:
        put(inner, OLD)
    assert place(tmp_path).made_by == origin
    assert place(tmp_path).is_whole
    fill(tmp_path, NEW)
    assert place(tmp_path).made_by is None


def test_the_same_files_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        fill(tmp_path / name, NEW)
    fill(tmp_path / "two", OLD)
    fill(tmp_path / "two", NEW)
    one, two = ((tmp_path / name / "out" / MANIFEST).read_bytes() for name in ("one", "two"))
    assert one == two
    assert json.loads(one)["files"].keys() == NEW.keys()


class TestDocuments:
    def test_an_edited_one_stays_and_the_new_one_lies_beside_it(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        fill(tmp_path, OLD)
        put(tmp_path / "out", {CARD: "old card, and mine"})
        place(tmp_path).check()
        for contents in (NEW, OLD, NEW):
            caplog.clear()
            fill(tmp_path, contents)
            others = {name: text for name, text in contents.items() if name != CARD}
            beside = {CARD: "old card, and mine", "README.new.md": contents[CARD]}
            assert found(tmp_path) == others | beside
            (said,) = caplog.messages
            assert str(tmp_path / "out" / CARD) in said
            assert "README.new.md" in said

    def test_the_new_one_in_its_place_is_the_project_s_again(self, tmp_path: Path) -> None:
        fill(tmp_path, OLD)
        put(tmp_path / "out", {CARD: "mine"})
        fill(tmp_path, NEW)
        (tmp_path / "out" / "README.new.md").rename(tmp_path / "out" / CARD)
        fill(tmp_path, OLD)
        assert found(tmp_path) == OLD

    def test_one_that_was_removed_is_written_anew(self, tmp_path: Path) -> None:
        fill(tmp_path, OLD)
        put(tmp_path / "out", {CARD: "mine"})
        fill(tmp_path, NEW)
        (tmp_path / "out" / CARD).unlink()
        fill(tmp_path, OLD)
        assert found(tmp_path) == OLD

    def test_the_user_s_own_stays(self, tmp_path: Path) -> None:
        put(tmp_path / "out", {CARD: "mine"})
        fill(tmp_path, NEW, among=True)
        assert found(tmp_path) == {**NEW, CARD: "mine", "README.new.md": "new card"}

    def test_edited_on_both_sides_nothing_is_written(self, tmp_path: Path) -> None:
        fill(tmp_path, OLD)
        put(tmp_path / "out", {CARD: "mine", "README.new.md": "mine too"})
        assert "README.new.md" in refusal(tmp_path, NEW)

    def test_what_was_written_is_known_by_its_name(self, tmp_path: Path) -> None:
        fill(tmp_path, OLD)
        put(tmp_path / "out", {CARD: "mine"})
        fill(tmp_path, NEW)
        written = place(tmp_path).written
        assert {name: path.read_text() for name, path in written.items()} == NEW


class TestRefusals:
    def test_a_file_that_was_edited(self, tmp_path: Path) -> None:
        fill(tmp_path, OLD)
        put(tmp_path / "out", {"data/deep/2.bin": "mine", "data/1.bin": "mine"})
        said = refusal(tmp_path, NEW)
        assert "data/1.bin and 1 more was changed" in said
        with pytest.raises(InputError, match=r"data/1\.bin and 1 more was changed"):
            place(tmp_path).check()

    def test_a_file_of_the_user_s_where_a_new_one_belongs(self, tmp_path: Path) -> None:
        fill(tmp_path, OLD)
        put(tmp_path / "out", {"more/3.bin": "mine"})
        assert "more/3.bin is not known" in refusal(tmp_path, NEW)
        place(tmp_path).check()
        with pytest.raises(InputError, match=r"more/3\.bin is not known"):
            place(tmp_path).check(NEW)

    @pytest.mark.parametrize("what", ["file", "folder", "link", "link to a folder", "dead link"])
    def test_something_else_in_the_way(self, tmp_path: Path, what: str) -> None:
        fill(tmp_path, OLD)
        put(tmp_path, {"elsewhere/3.bin": "mine"})
        target, out = tmp_path / "elsewhere", tmp_path / "out"
        if what == "file":
            put(out, {"more": "mine"})
        elif what == "folder":
            put(out, {"more/3.bin/file": "mine"})
        elif what == "link":
            (out / "more").mkdir()
            (out / "more" / "3.bin").symlink_to(target / "3.bin")
        elif what == "link to a folder":
            (out / "more").symlink_to(target)
        else:
            (out / "more").mkdir()
            (out / "more" / "3.bin").symlink_to(tmp_path / "nowhere")
        assert "more/3.bin" in refusal(tmp_path, NEW)

    def test_files_that_were_moved_elsewhere_behind_a_link(self, tmp_path: Path) -> None:
        fill(tmp_path, OLD)
        (tmp_path / "out" / "data").rename(tmp_path / "moved")
        (tmp_path / "out" / "data").symlink_to(tmp_path / "moved")
        assert "was changed" in refusal(tmp_path, NEW)
        assert (tmp_path / "moved" / "0.bin").read_text() == "old"

    @pytest.mark.parametrize(
        "manifest",
        [
            None,
            "",
            "[]",
            "null",
            '{"kind": "export"}',
            '{"kind": "export", "files": 3}',
            '{"kind": "export", "files": {"../mine": "x"}}',
            '{"kind": "export", "files": {"/mine": "x"}}',
            '{"kind": "export", "files": {"": "x"}}',
            '{"kind": "verdict", "files": {}}',
        ],
    )
    @pytest.mark.parametrize("among", [False, True])
    def test_nobody_knows_whose_the_files_are(
        self, tmp_path: Path, manifest: str | None, among: bool
    ) -> None:
        """As of an earlier version, which kept no hashes, or of a file that was tampered with."""
        put(tmp_path / "out", OLD)
        if manifest is None:
            among = False  # else only files in the way are refused
        else:
            put(tmp_path / "out", {MANIFEST: manifest})
        assert "an earlier export would be known" in refusal(tmp_path, NEW, among=among)

    def test_a_file_is_no_folder(self, tmp_path: Path) -> None:
        put(tmp_path, {"out": "mine"})
        assert "is a file" in refusal(tmp_path, NEW)

    def test_two_processes_do_not_fill_one(self, tmp_path: Path) -> None:
        fill(tmp_path, OLD)
        with Turn(tmp_path / "out"):
            assert "another process" in refusal(tmp_path, NEW)


def test_among_files_of_the_user_s_others_are_written(tmp_path: Path) -> None:
    put(tmp_path / "out", OWN)
    fill(tmp_path, NEW, among=True)
    fill(tmp_path, OLD, among=True)
    assert found(tmp_path) == {**OLD, **OWN}


def test_what_an_earlier_process_left_goes(tmp_path: Path) -> None:
    put(tmp_path / "out" / ".hvrt_diffuser.partial", {"new/x": "half", "plan.json": "{}"})
    fill(tmp_path, NEW)
    assert found(tmp_path) == NEW


@pytest.mark.parametrize("error", [OSError(28, "No space left"), RuntimeError("x"), SystemExit()])
@pytest.mark.parametrize("first", [True, False])
def test_a_block_that_fails_leaves_the_folder_as_it_was(
    tmp_path: Path, error: BaseException, first: bool
) -> None:
    if not first:
        fill(tmp_path, OLD)
    with pytest.raises(type(error)) as caught, place(tmp_path).filled() as inner:
        put(inner, NEW)
        raise error
    assert found(tmp_path) == ({} if first else OLD)
    assert (tmp_path / "out").exists() != first
    if isinstance(error, OSError):
        assert "(No space left); nothing was replaced" in str(caught.value)


MUTATING = ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir")


def fill_until_killed(folder: Path, contents: Mapping[str, str], steps: int) -> bool:
    """Fill in a process that is killed before a step that touches the disk; whether it was."""
    return until_killed(lambda: fill(folder, contents), steps)


def until_killed(work: Callable[[], object], steps: int) -> bool:
    """Work in a process that is killed before a step that touches the disk; whether it was."""
    child = os.fork()
    if child == 0:
        left = steps

        def count(event: str, arguments: Any) -> None:
            nonlocal left
            if event in MUTATING:
                left -= 1
                if left < 0:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        try:
            work()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL


@pytest.mark.parametrize("former", [{}, OLD])
def test_a_kill_at_any_instant_leaves_the_old_files_or_the_new_ones(
    tmp_path: Path, former: dict[str, str]
) -> None:
    outcomes = set()
    steps = 0
    killed = True
    while killed:
        folder = tmp_path / str(steps)
        if former:
            fill(folder, former)
            put(folder / "out", OWN)
        own = OWN if former else {}
        killed = fill_until_killed(folder, NEW, steps)
        left = found(folder) if (folder / "out").exists() else {}
        assert own.items() <= left.items(), steps
        whole = place(folder).is_whole
        if whole:
            assert {k: v for k, v in left.items() if not k.startswith(".hvrt")} in (
                {**former, **own},
                {**NEW, **own},
            ), steps
        place(folder).check()  # the next run
        mended = found(folder) if (folder / "out").exists() else {}
        assert mended in ({**former, **own}, {**NEW, **own}), steps
        outcomes.add("new" if NEW.items() <= mended.items() else "old")
        fill(folder, OLD)
        assert found(folder) == {**OLD, **own}
        steps += 1
    assert outcomes == {"old", "new"}
    assert steps > 10


def test_what_a_user_changed_after_a_kill_stays(tmp_path: Path) -> None:
    for steps in range(1000):
        folder = tmp_path / str(steps)
        fill(folder, OLD)
        if not fill_until_killed(folder, NEW, steps):
            return
        put(folder / "out", {"data/0.bin": "mine"})
        with pytest.raises(InputError, match=r"data/0\.bin"):
            fill(folder, NEW)
        assert found(folder)["data/0.bin"] == "mine"
    raise AssertionError("it was killed every time")


MADE = {"seed": 0, "n": 5, "of": {"deep": [1, 2]}}


class Stopped(BaseException):
    """As Ctrl-C."""


def gather(folder: Path, contents: Mapping[str, str], made_by: Mapping[str, Any] = MADE) -> int:
    """Gather files, each with a note once it is written; how many were there."""
    with place(folder).gathered(made_by) as (inner, notes):
        there = len(list(notes.iterdir()))
        for i, (name, text) in enumerate(contents.items()):
            if text == "stop":
                raise Stopped
            if not (notes / str(i)).exists():
                put(inner, {name: text})
                (notes / str(i)).touch()
    return there


class TestGathered:
    HALF: ClassVar = {**NEW, "more/3.bin": "stop"}  # after three of four

    def begun(self, folder: Path, made_by: Mapping[str, Any] = MADE) -> None:
        with pytest.raises(Stopped):
            gather(folder, self.HALF, made_by)

    def test_what_was_there_is_gone_on_with(self, tmp_path: Path) -> None:
        self.begun(tmp_path)
        assert not place(tmp_path).is_whole
        assert gather(tmp_path, NEW) == 3
        assert found(tmp_path) == NEW
        assert place(tmp_path).made_by == MADE
        assert place(tmp_path).is_whole

    def test_the_files_are_seen_when_all_are_there(self, tmp_path: Path) -> None:
        self.begun(tmp_path)
        assert [path.name for path in (tmp_path / "out").iterdir()] == [".hvrt_diffuser.partial"]

    def test_what_fails_before_a_file_is_whole_leaves_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(Stopped):
            gather(tmp_path, {CARD: "stop"})
        assert not (tmp_path / "out").exists()

    @pytest.mark.parametrize("made_by", [{**MADE, "seed": 1}, None])
    def test_another_one_is_refused_and_nothing_is_lost(
        self, tmp_path: Path, made_by: dict[str, Any] | None
    ) -> None:
        self.begun(tmp_path)
        with pytest.raises(InputError) as caught:
            if made_by:
                gather(tmp_path, OLD, made_by)
            else:
                place(tmp_path).check()
        said = str(caught.value)
        assert "an unfinished export, with seed 0" in said
        assert "expected seed 1:" in said if made_by else "expected none:" in said
        assert gather(tmp_path, NEW) == 3

    def test_a_folder_that_was_filled_with_another_is_refused(self, tmp_path: Path) -> None:
        gather(tmp_path, OLD)
        with pytest.raises(InputError, match=r"another export, with seed 0, expected seed 1, or"):
            gather(tmp_path, NEW, {**MADE, "seed": 1})
        fill(tmp_path, NEW)
        with pytest.raises(InputError, match=r"another export, expected seed 0, n 5"):
            gather(tmp_path, NEW)
        assert found(tmp_path) == NEW

    def test_a_folder_of_the_user_s_is_refused(self, tmp_path: Path) -> None:
        put(tmp_path / "out", OWN)
        with pytest.raises(InputError, match="holds something and no"):
            gather(tmp_path, NEW)
        assert found(tmp_path) == OWN

    def test_it_is_known_whether_all_is_there(self, tmp_path: Path) -> None:
        assert not place(tmp_path).holds(MADE)
        gather(tmp_path, NEW)
        put(tmp_path / "out", {CARD: "mine"})
        assert place(tmp_path).holds(MADE)
        assert not place(tmp_path).holds({**MADE, "n": 6})
        (tmp_path / "out" / "more" / "3.bin").unlink()
        assert not place(tmp_path).holds(MADE)
        put(tmp_path / "out", {"data/0.bin": "cut"})
        with pytest.raises(InputError, match=r"data/0\.bin was changed"):
            place(tmp_path).holds(MADE)

    def test_a_kill_at_any_instant_is_gone_on_with(self, tmp_path: Path) -> None:
        kept = set()
        steps, killed = 0, True
        while killed:
            folder = tmp_path / str(steps)
            killed = until_killed(lambda folder=folder: gather(folder, NEW), steps)
            kept.add("whole" if place(folder).holds(MADE) else gather(folder, NEW))
            assert found(folder) == NEW
            assert place(folder).holds(MADE)
            steps += 1
        assert kept == {0, 1, 2, 3, 4, "whole"}
