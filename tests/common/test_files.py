"""Files appear whole or not at all, and what cannot be read is refused in one sentence."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import safetensors.torch
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import (
    Turn,
    is_whole,
    made_by,
    read_made_by,
    read_tensors,
    remove_left,
    whole_file,
    write_tensors,
)

TENSORS = {"b": torch.arange(6).reshape(2, 3), "a": torch.tensor([0.5, -1.0])}
HEADER = {"kind": "example", "numbers": [1, 2.5, None], "name": "é"}


def python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def partial_files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(".partial")]


def refusal(path: Path, kind: str = "example") -> str:
    """The sentence with which a file is refused."""
    with pytest.raises(InputError) as caught:
        read_tensors(path, kind)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert "expected" in sentence
    assert "\n" not in sentence
    assert ". " not in sentence
    return sentence


@pytest.fixture
def written(tmp_path: Path) -> Path:
    path = tmp_path / "file.safetensors"
    write_tensors(path, TENSORS, HEADER)
    return path


# ---- whole_file


def test_the_file_appears_when_the_block_succeeds_and_not_before(tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "file"
    with whole_file(target) as temporary:
        temporary.write_bytes(b"content")
        assert temporary.parent == target.parent
        assert not target.exists()
    assert target.read_bytes() == b"content"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("error", [RuntimeError("x"), KeyboardInterrupt(), OSError(28, "full")])
def test_a_block_that_raises_leaves_the_old_file_alone(
    tmp_path: Path, error: BaseException
) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    with pytest.raises(type(error)), whole_file(target) as temporary:
        temporary.write_bytes(b"half of the new")
        raise error
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_block_that_raises_leaves_no_file_where_there_was_none(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "file") as temporary:
        temporary.write_bytes(b"half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []


def test_two_writers_at_once_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with whole_file(target) as first, whole_file(target) as second:
        first.write_bytes(b"first")
        second.write_bytes(b"second")
    assert target.read_bytes() == b"first"
    assert partial_files(tmp_path) == []


def test_a_killed_process_leaves_the_old_file(written: Path) -> None:
    before = written.read_bytes()
    code = """
import os, signal, sys
from hvrt_diffuser.common.files import whole_file
with whole_file(sys.argv[1]) as temporary:
    temporary.write_bytes(b"half of the new")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert python(code, written).returncode == -signal.SIGKILL
    assert written.read_bytes() == before
    assert partial_files(written.parent) != [], "the process was killed before it wrote"
    write_tensors(written, {"a": torch.zeros(1)}, HEADER)
    assert read_tensors(written, "example")[0]["a"].tolist() == [0]


def test_a_full_disk_leaves_the_old_file_and_says_so(written: Path) -> None:
    before = written.read_bytes()
    code = """
import resource, sys, torch
from hvrt_diffuser.common.files import write_tensors
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    write_tensors(sys.argv[1], {"a": torch.zeros(100_000)}, {"kind": "example"})
except OSError as error:
    print(error.errno, error.strerror)
"""
    done = python(code, written)
    assert done.returncode == 0, done.stderr
    assert str(written) in done.stdout
    assert "nothing was replaced" in done.stdout
    assert "File too large" in done.stdout
    assert done.stdout.count("\n") == 1
    assert written.read_bytes() == before
    assert partial_files(written.parent) == []


def test_a_process_that_the_system_kills_in_the_midst_of_writing_leaves_the_old_file(
    written: Path,
) -> None:
    before = written.read_bytes()
    code = """
import resource, signal, sys, torch
from hvrt_diffuser.common.files import write_tensors
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
write_tensors(sys.argv[1], {"a": torch.zeros(100_000)}, {"kind": "example"})
"""
    assert python(code, written).returncode == -signal.SIGXFSZ
    assert written.read_bytes() == before
    assert [path.stat().st_size for path in partial_files(written.parent)] == [10_000]


# ---- write_tensors and read_tensors


def test_what_is_written_is_read_back(written: Path) -> None:
    tensors, header = read_tensors(written, "example")
    assert header == HEADER
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_the_same_content_gives_the_same_bytes(written: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    transposed = TENSORS["b"].T.contiguous().T  # the same values, laid out otherwise
    assert not transposed.is_contiguous()
    again = {"a": TENSORS["a"].clone().requires_grad_(), "b": transposed}
    write_tensors(other, again, dict(reversed(HEADER.items())))
    assert other.read_bytes() == written.read_bytes()


def test_other_content_gives_other_bytes(written: Path, tmp_path: Path) -> None:
    write_tensors(tmp_path / "other", TENSORS, HEADER | {"name": "e"})
    assert (tmp_path / "other").read_bytes() != written.read_bytes()


def test_a_header_with_nan_is_refused_and_nothing_written(written: Path) -> None:
    before = written.read_bytes()
    with pytest.raises(ValueError, match="JSON compliant"):
        write_tensors(written, TENSORS, {"kind": "example", "loss": float("nan")})
    assert written.read_bytes() == before
    assert list(written.parent.iterdir()) == [written]


def test_a_file_that_is_missing_is_refused(tmp_path: Path) -> None:
    assert "does not exist" in refusal(tmp_path / "missing")


def test_a_file_cut_short_anywhere_is_refused(written: Path) -> None:
    whole = written.read_bytes()
    for length in range(len(whole)):
        written.write_bytes(whole[:length])
        assert f"({length} bytes)" in refusal(written)
        assert not is_whole(written), length
    written.write_bytes(whole)
    assert is_whole(written)


def test_a_file_with_something_appended_is_refused(written: Path) -> None:
    written.write_bytes(written.read_bytes() + b"\0")
    refusal(written)
    assert not is_whole(written)


def foreign_pickle() -> bytes:
    file = io.BytesIO()
    torch.save(TENSORS, file)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"just text, longer than a length field",
        b"\xff" * 64,
        b"\x89PNG\r\n\x1a\n" + bytes(64),
        foreign_pickle(),
        safetensors.torch.save(TENSORS),
        safetensors.torch.save(TENSORS, {"format": "pt"}),
        safetensors.torch.save(TENSORS, {"hvrt_diffuser": "not JSON"}),
        safetensors.torch.save(TENSORS, {"hvrt_diffuser": "[1, 2]"}),
    ],
    ids=["text", "bytes", "png", "pickle", "no header", "other header", "no JSON", "no object"],
)
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "foreign"
    path.write_bytes(content)
    refusal(path)
    assert path.read_bytes() == content


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=st.binary(max_size=200))
def test_random_bytes_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "random"
    path.write_bytes(content)
    refusal(path)
    assert not is_whole(path)


def test_a_file_of_another_kind_is_refused_and_both_kinds_are_named(written: Path) -> None:
    sentence = refusal(written, "autoencoder")
    assert "'example'" in sentence
    assert "'autoencoder'" in sentence


def test_a_file_without_a_kind_is_refused(tmp_path: Path) -> None:
    metadata = {"hvrt_diffuser": json.dumps({"name": "x"})}
    (tmp_path / "file").write_bytes(safetensors.torch.save(TENSORS, metadata))
    refusal(tmp_path / "file")


# ---- is_whole


def test_neither_a_missing_file_nor_a_folder_is_whole(tmp_path: Path) -> None:
    assert not is_whole(tmp_path / "missing")
    assert not is_whole(tmp_path)


WAITING = """
import sys, time
from pathlib import Path
from hvrt_diffuser.common.files import Turn
with Turn(Path(sys.argv[1])):
    print("mine", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def test_a_turn_is_one_process_s_until_it_ends_or_is_killed(tmp_path: Path) -> None:
    def start(seconds: float) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", WAITING, str(tmp_path / "below" / "turn"), str(seconds)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    first = start(1000)
    assert first.stdout is not None
    assert first.stdout.readline() == "mine\n"
    second = start(0)
    with pytest.raises(subprocess.TimeoutExpired):
        second.communicate(timeout=3)
    first.kill()
    first.communicate()
    assert second.communicate(timeout=60)[0] == "mine\n"


def test_a_turn_that_was_not_taken_can_be_given(tmp_path: Path) -> None:
    turn = Turn(tmp_path / "turn")
    turn.give()
    with turn:
        turn.give()
    with turn:
        pass


def test_what_tensors_were_made_with_stands_in_the_header_in_one_order(tmp_path: Path) -> None:
    """Several entries of metadata would be written in an order that changes from call to call."""
    contents = set()
    for i in range(20):
        with made_by({"a": 0, "b": None}):
            write_tensors(tmp_path / f"{i}", {"x": torch.zeros(2)}, {"kind": "test", "seed": 0})
        contents.add((tmp_path / f"{i}").read_bytes())
    assert len(contents) == 1
    assert read_made_by(tmp_path / "0") == {"a": 0, "b": None}
    assert read_tensors(tmp_path / "0", "test")[1] == {"kind": "test", "seed": 0}
    write_tensors(tmp_path / "none", {"x": torch.zeros(2)}, {"kind": "test"})
    assert read_made_by(tmp_path / "none") is None


def test_what_a_killed_process_left_goes_and_what_is_being_written_stays(tmp_path: Path) -> None:
    """A lock tells them apart: the system takes it from a process that is killed."""
    code = (
        "import os, signal, sys\n"
        "from hvrt_diffuser.common.files import whole_file\n"
        "with whole_file(sys.argv[1]) as path:\n"
        "    path.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    target = tmp_path / "deep" / "a.json"
    subprocess.run([sys.executable, "-c", code, str(target)], check=False)
    (left,) = target.parent.iterdir()
    old = time.time() - 60
    os.utime(left, (old, old))
    own = tmp_path / ".notes.partial"  # of the user's
    own.write_text("mine")
    with whole_file(target) as temporary:
        temporary.write_text("whole")
        os.utime(temporary, (old, old))
        remove_left(tmp_path)  # the folder alone
        assert left.exists()
        remove_left(tmp_path, below=True)
        assert not left.exists()
        assert temporary.exists()
        assert own.exists()
    assert target.read_text() == "whole"
    remove_left(tmp_path / "none")


def test_any_flipped_bit_is_found(tmp_path: Path) -> None:
    """Of numbers safetensors itself looks at none."""
    path = tmp_path / "a.safetensors"
    tensors = {**TENSORS, "none": torch.zeros(0, 2), "one": torch.tensor(True)}
    with made_by({"parameters": {"a": 0.1}}):
        write_tensors(path, tensors, HEADER)
    whole = path.read_bytes()
    kept, header = read_tensors(path, "example")
    assert header == HEADER
    assert all(torch.equal(kept[name], tensors[name]) for name in tensors)
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(InputError, match=r"damaged|cut short"):
            read_tensors(path, "example")
