"""Many images in files that are drawn one by one: by whomever, whenever, the same bytes."""

from __future__ import annotations

import io
import os
import tarfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import Tensor

from hvrt_diffuser import sharding
from hvrt_diffuser.autoencoders import Autoencoder
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.processes import processes
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources import read_images
from hvrt_diffuser.diffuser import BLOCK, HVRTDiffuser
from hvrt_diffuser.samplers import HVRTEstimator
from hvrt_diffuser.sharding import SHARD, ShardedDraw, draw_shard, draw_shards

Files = dict[str, bytes]


@pytest.fixture(scope="module")
def model(
    autoencoder: Autoencoder,
    latents: Tensor,
    digits: LabelledImages,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("model")
    HVRTEstimator().fit(latents[:500], digits.labels[:500], seed=0).save(
        folder / "latent_sampler.safetensors"
    )
    autoencoder.save(folder / "autoencoder.safetensors")
    return folder


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two blocks a file, in this process alone."""
    monkeypatch.setattr(sharding, "SHARD", 2 * BLOCK)


class Backwards(Executor):
    """Does the last task first."""

    def __init__(self) -> None:
        self._tasks: list[Callable[[], None]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._tasks.append(lambda: future.set_result(fn(*args, **kwargs)))
        if len(self._tasks) == 3:
            for task in reversed(self._tasks):
                task()
        return future


class FailingAfter(Executor):
    """Does some tasks, and fails at the next, as where the disk is full."""

    def __init__(self, n: int) -> None:
        self._left = n

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self._left -= 1
        if self._left < 0:
            future.set_exception(OSError(28, "No space left on device"))
        else:
            future.set_result(fn(*args, **kwargs))
        return future


def drawn(folder: Path, draw: ShardedDraw, executor: Executor | None = None) -> Files:
    """The files of a draw, by their names."""
    folder.mkdir(exist_ok=True)
    with executor or ThreadPoolExecutor(1) as pool:
        draw_shards(draw, folder / "new", folder / "notes", pool)
    return {
        path.relative_to(folder / "new").as_posix(): path.read_bytes()
        for path in sorted((folder / "new").rglob("*"))
        if path.is_file()
    }


def images(files: Files) -> Iterator[tuple[str, bytes, int]]:
    """Name, PNG and label of each image, in order."""
    for name, data in files.items():
        if name.endswith(".parquet"):
            for row in pq.read_table(io.BytesIO(data)).to_pylist():
                yield row["image"]["path"], row["image"]["bytes"], row["label"]
        else:
            with tarfile.open(fileobj=io.BytesIO(data)) as tar:
                held = {each.name: tar.extractfile(each).read() for each in tar}  # type: ignore[union-attr]
            for png in sorted(each for each in held if each.endswith(".png")):
                yield png, held[png], int(held[png.replace(".png", ".cls")])


@pytest.mark.usefixtures("small_files")
class TestAnyOrder:
    N = 2 * 2 * BLOCK + 5

    @pytest.fixture(scope="class")
    def once(self, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Files:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sharding, "SHARD", 2 * BLOCK)
            return drawn(tmp_path_factory.mktemp("once"), ShardedDraw(str(model), self.N))

    def test_the_files_are_those_of_a_dataset(self, once: Files, tmp_path: Path) -> None:
        assert list(once) == [f"data/train-0000{i}-of-00003.parquet" for i in range(3)]
        for name, data in once.items():
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_bytes(data)
        found = read_images("parquet", root=tmp_path).train
        assert len(found) == self.N
        assert found.names is not None
        assert found.names[:: self.N - 1] == ("00000000.png", f"{self.N - 1:08d}.png")

    @pytest.mark.parametrize("executor", [Backwards(), ThreadPoolExecutor(3)])
    def test_whoever_draws_what_first(
        self, once: Files, model: Path, tmp_path: Path, executor: Executor
    ) -> None:
        assert drawn(tmp_path, ShardedDraw(str(model), self.N), executor) == once

    @pytest.mark.parametrize("n", [1, 40, BLOCK, 2 * BLOCK + 33])
    def test_few_images_are_the_first_of_many(
        self, once: Files, model: Path, tmp_path: Path, n: int
    ) -> None:
        few = list(images(drawn(tmp_path, ShardedDraw(str(model), n))))
        assert len(few) == n
        assert few == list(images(once))[:n]

    def test_a_tar_file_has_the_same_images(self, once: Files, model: Path, tmp_path: Path) -> None:
        files = drawn(tmp_path, ShardedDraw(str(model), self.N, form="webdataset"))
        assert list(files) == [f"train-0000{i}.tar" for i in range(3)]
        assert list(images(files)) == list(images(once))

    def test_no_two_images_and_no_two_seeds_are_alike(
        self, once: Files, model: Path, tmp_path: Path
    ) -> None:
        pngs = {png for _, png, _ in images(once)}
        assert len(pngs) == self.N
        other = {png for _, png, _ in images(drawn(tmp_path, ShardedDraw(str(model), 500, 1)))}
        assert not other & pngs

    def test_they_are_what_the_model_draws_of_each_block(self, once: Files, model: Path) -> None:
        diffuser = HVRTDiffuser.load(model)
        block = diffuser.block(2, seed=0)
        found = list(images(once))[2 * BLOCK : 3 * BLOCK]
        assert [label for _, _, label in found] == block.labels.tolist()
        pixels = np.stack([np.asarray(Image.open(io.BytesIO(png))) for _, png, _ in found])
        assert torch.equal(torch.from_numpy(pixels)[:, None], block.images)

    def test_it_tells_how_many_of_each_class(self, model: Path, tmp_path: Path) -> None:
        draw = ShardedDraw(str(model), self.N)
        with ThreadPoolExecutor(1) as pool:
            found = draw_shards(draw, tmp_path / "new", tmp_path / "notes", pool)
        files = {p.name: p.read_bytes() for p in sorted((tmp_path / "new" / "data").iterdir())}
        labels = [label for _, _, label in images(files)]
        assert found.counts == tuple(np.bincount(labels, minlength=10))
        assert found.shape == (1, 28, 28)


def test_all_of_a_class(model: Path, tmp_path: Path) -> None:
    found = images(drawn(tmp_path, ShardedDraw(str(model), 50, class_id=3)))
    assert [label for _, _, label in found] == [3] * 50


@pytest.mark.usefixtures("small_files")
class TestGoingOn:
    N = 2 * 2 * BLOCK + 5

    def test_whole_files_are_not_drawn_again(self, model: Path, tmp_path: Path) -> None:
        draw = ShardedDraw(str(model), self.N)
        with pytest.raises(OSError, match="No space left"):
            drawn(tmp_path / "cut", draw, FailingAfter(2))
        first = tmp_path / "cut" / "new" / draw.file(0)
        before = first.stat()
        found = drawn(tmp_path / "cut", draw)
        assert (first.stat().st_ino, first.stat().st_mtime_ns) == (
            before.st_ino,
            before.st_mtime_ns,
        )
        assert found == drawn(tmp_path / "whole", draw)

    def test_a_file_without_its_note_is_drawn_again(self, model: Path, tmp_path: Path) -> None:
        draw = ShardedDraw(str(model), self.N)
        whole = drawn(tmp_path, draw)
        (tmp_path / "notes" / "00001.json").unlink()
        (tmp_path / "new" / draw.file(1)).write_bytes(b"half of it")
        assert drawn(tmp_path, draw) == whole

    def test_a_file_that_was_cut_is_told(self, model: Path, tmp_path: Path) -> None:
        draw = ShardedDraw(str(model), self.N)
        whole = drawn(tmp_path, draw)
        path = tmp_path / "new" / draw.file(1)
        os.truncate(path, 1000)
        with pytest.raises(InputError, match=r"train-00001-of-00003.*1000 bytes.*cut short.*rem"):
            drawn(tmp_path, draw)
        path.unlink()
        assert drawn(tmp_path, draw) == whole


@pytest.mark.parametrize(("n", "seed"), [(0, 0), (10**9, 0), (1, -1)])
def test_what_cannot_be_drawn_is_refused(n: int, seed: int) -> None:
    with pytest.raises(InputError):
        ShardedDraw("model", n, seed)


@pytest.mark.slow
class TestProcesses:
    def test_one_or_two_draw_the_same_bytes_as_threads(self, model: Path, tmp_path: Path) -> None:
        draw = ShardedDraw(str(model), SHARD + 100)
        by_threads = drawn(tmp_path / "threads", draw)
        for n in (1, 2):
            with processes(n) as executor:
                assert drawn(tmp_path / str(n), draw, executor) == by_threads

    def test_a_sentence_of_another_process_arrives(self, tmp_path: Path) -> None:
        draw = ShardedDraw(str(tmp_path / "nowhere"), 5)
        with processes(1) as executor, pytest.raises(InputError, match="does not exist"):
            draw_shards(draw, tmp_path / "new", tmp_path / "notes", executor)

    def test_what_fails_here_ends_the_work_there(self, model: Path, tmp_path: Path) -> None:
        draw, new = ShardedDraw(str(model), SHARD), tmp_path / "new"

        def failing() -> None:
            with processes(1) as executor:
                task = executor.submit(draw_shard, draw, 0, str(new), str(tmp_path / "notes"))
                while not list(new.rglob(".train*")):
                    assert not task.done(), task.exception()
                    time.sleep(0.01)
                raise OSError("here")

        with pytest.raises(OSError, match="here"):
            failing()
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]
