"""The datasets of the catalog: files come back as they were, and appear whole or not at all."""

from __future__ import annotations

import gc
import io
import json
import os
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
from kedro.io import DatasetError
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from hvrt_diffuser.catalog import (
    CheckpointDataset,
    FigureDataset,
    MetricsDataset,
    SavedDataset,
    SyntheticImagesDataset,
    TableDataset,
)
from hvrt_diffuser.catalog.synthetic import ImageStream
from hvrt_diffuser.common import scratch
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import write_tensors
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.samplers import StandardNormal
from hvrt_diffuser.training.checkpoint import Checkpoint

NAMES = ("cat", "dog", "owl")
LABELLED = "hvrt_diffuser.data.images.LabelledImages"


def random_images(n: int, channels: int = 1, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Noise, uint8 (n, channels, 6, 5), and labels (n,)."""
    source = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (n, channels, 6, 5), generator=source, dtype=torch.uint8)
    return images, torch.arange(n) % len(NAMES)


def labelled(n: int = 9, seed: int = 0) -> LabelledImages:
    return LabelledImages(*random_images(n, seed=seed), NAMES, "noise")


def stream(n: int = 9, size: int = 4, channels: int = 1) -> ImageStream:
    images, labels = random_images(n, channels)
    return ImageStream(list(zip(images.split(size), labels.split(size), strict=True)), NAMES)


def table() -> pd.DataFrame:
    return pd.DataFrame({"z_000": np.float32([0.5, -1.25]), "label": [0, 1]})


def figure(height: float = 1.0) -> Figure:
    drawn = Figure(figsize=(2, 1))
    drawn.subplots().plot([0.0, height])
    return drawn


def sentence_of(error: BaseException) -> str:
    """What the terminal would say: the sentence of the InputError behind an error."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, InputError):
        cause = cause.__cause__ or cause.__context__
    assert cause is not None, f"no InputError behind {error!r}"
    return str(cause)


class Unsaveable:
    """Tensors that end in one that cannot be written."""

    def save(self, path: str | Path) -> None:
        write_tensors(path, {"a": torch.zeros(3)}, {"kind": "x", "bad": float("nan")})


class Unpicklable:
    """Nothing that parquet or JSON could hold."""


def breaking_stream() -> ImageStream:
    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        yield random_images(4)
        raise RuntimeError("the second batch cannot be made")

    return ImageStream(batches(), NAMES)


def breaking_figure() -> Figure:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("cannot be drawn")

    broken = figure()
    broken.savefig = fail  # type: ignore[method-assign]
    return broken


MAKERS: dict[str, tuple[Callable[[str], Any], str, Callable[[], Any]]] = {
    "saved": (lambda path: SavedDataset(path, LABELLED), "a.safetensors", labelled),
    "table": (lambda path: TableDataset(filepath=path), "a.parquet", table),
    "metrics": (lambda path: MetricsDataset(filepath=path), "a.json", lambda: {"fd": 1.5}),
    "figure": (lambda path: FigureDataset(filepath=path), "a.png", figure),
    "synthetic": (SyntheticImagesDataset, "a.parquet", stream),
}
BREAKING: dict[str, Callable[[], Any]] = {
    "saved": Unsaveable,
    "table": lambda: pd.DataFrame({"a": [Unpicklable(), 1]}),
    "metrics": lambda: {"fd": 1.5, "bad": Unpicklable()},
    "figure": breaking_figure,
    "synthetic": breaking_stream,
}
every_kind = pytest.mark.parametrize("kind", MAKERS)
every_loaded_kind = pytest.mark.parametrize("kind", [kind for kind in MAKERS if kind != "figure"])


def make(kind: str, folder: Path) -> tuple[Any, Path, Any]:
    """A dataset in a folder of its own, its file, and something to save."""
    maker, name, data = MAKERS[kind]
    path = folder / "deep" / name
    return maker(path.as_posix()), path, data()


class TestWhole:
    @every_kind
    def test_exists_once_saved(self, tmp_path: Path, kind: str) -> None:
        dataset, path, data = make(kind, tmp_path)
        assert not dataset.exists()
        dataset.save(data)
        assert dataset.exists()
        assert list(path.parent.iterdir()) == [path]

    @every_kind
    def test_same_data_gives_the_same_bytes(self, tmp_path: Path, kind: str) -> None:
        found = []
        for name in ("one", "two"):
            dataset, path, data = make(kind, tmp_path / name)
            dataset.save(data)
            found.append(path.read_bytes())
        assert found[0] == found[1]

    @every_kind
    def test_failed_save_leaves_the_old_file(self, tmp_path: Path, kind: str) -> None:
        dataset, path, data = make(kind, tmp_path)
        dataset.save(data)
        before = path.read_bytes()
        with pytest.raises(DatasetError):
            dataset.save(BREAKING[kind]())
        assert path.read_bytes() == before
        assert list(path.parent.iterdir()) == [path]

    @every_kind
    def test_failed_first_save_leaves_nothing(self, tmp_path: Path, kind: str) -> None:
        dataset, _, _ = make(kind, tmp_path)
        with pytest.raises(DatasetError):
            dataset.save(BREAKING[kind]())
        assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
        assert not dataset.exists()

    @every_kind
    def test_empty_file_does_not_exist(self, tmp_path: Path, kind: str) -> None:
        dataset, path, _ = make(kind, tmp_path)
        path.parent.mkdir()
        path.touch()
        assert not dataset.exists()

    @every_kind
    @pytest.mark.parametrize("lost", [1, 0.5])
    def test_truncated_file_does_not_exist(self, tmp_path: Path, kind: str, lost: float) -> None:
        dataset, path, data = make(kind, tmp_path)
        dataset.save(data)
        size = path.stat().st_size
        os.truncate(path, size - 1 if lost == 1 else size // 2)
        assert not dataset.exists()

    @every_loaded_kind
    @pytest.mark.parametrize("left", [0.0, 0.5, 0.99, None])
    def test_broken_file_is_one_sentence(
        self, tmp_path: Path, kind: str, left: float | None
    ) -> None:
        dataset, path, data = make(kind, tmp_path)
        dataset.save(data)
        if left is None:
            path.unlink()
        else:
            os.truncate(path, int(path.stat().st_size * left))
        with pytest.raises(DatasetError) as caught:
            dataset.load()
        said = sentence_of(caught.value)
        assert path.name in said
        assert "run" in said, f"does not say what to do: {said}"
        assert "\n" not in said


class TestSaved:
    def test_round_trip(self, tmp_path: Path) -> None:
        dataset, _, data = make("saved", tmp_path)
        dataset.save(data)
        found = dataset.load()
        assert torch.equal(found.images, data.images)
        assert torch.equal(found.labels, data.labels)
        assert (found.class_names, found.source) == (data.class_names, data.source)

    def test_removes_what_it_supersedes(self, tmp_path: Path) -> None:
        old = tmp_path / "a.checkpoint.safetensors"
        part = Checkpoint(old).of_part("prior").path
        others = [tmp_path / f"{name}.checkpoint.safetensors" for name in ("ba", "b_c", "prior")]
        for path in (old, part, *others):
            path.touch()
        target = tmp_path / "a.safetensors"
        dataset = SavedDataset(str(target), LABELLED, supersedes=old.name)
        dataset.save(labelled())
        assert not old.exists()
        assert not part.exists()
        assert all(path.exists() for path in others)
        dataset.save(labelled())  # nothing to remove is fine

    def test_failed_save_keeps_what_it_would_supersede(self, tmp_path: Path) -> None:
        old = tmp_path / "checkpoint.safetensors"
        old.touch()
        dataset = SavedDataset(str(tmp_path / "a.safetensors"), LABELLED, supersedes=old.name)
        with pytest.raises(DatasetError):
            dataset.save(Unsaveable())
        assert old.exists()

    def test_refuses_a_file_of_another_kind(self, tmp_path: Path) -> None:
        dataset, path, data = make("saved", tmp_path)
        dataset.save(data)
        other = SavedDataset(str(path), "hvrt_diffuser.autoencoders.Autoencoder")
        with pytest.raises(DatasetError) as caught:
            other.load()
        assert "'images' where 'autoencoder' was expected" in sentence_of(caught.value)

    def test_reads_with_a_function_of_a_path(self, tmp_path: Path) -> None:
        """One entry of the catalog for what several classes write."""
        counts = torch.tensor([3, 5])
        dataset = SavedDataset(
            str(tmp_path / "a.safetensors"), "hvrt_diffuser.samplers.load_sampler"
        )
        assert not dataset.exists()
        dataset.save(StandardNormal(2, counts))
        assert dataset.exists()
        found = dataset.load()
        assert isinstance(found, StandardNormal)
        assert torch.equal(found.counts, counts)
        os.truncate(tmp_path / "a.safetensors", 20)
        with pytest.raises(DatasetError) as caught:
            dataset.load()
        assert "a.safetensors (20 bytes) is cut short" in sentence_of(caught.value)


class TestCheckpointPlace:
    def test_gives_the_place_and_reads_nothing(self, tmp_path: Path) -> None:
        path = tmp_path / "checkpoint.safetensors"
        place = CheckpointDataset(str(path)).load()
        assert isinstance(place, Checkpoint)
        assert place.path == path
        assert place.read({"seed": 0}) is None

    def test_training_writes_and_reads_it(self, tmp_path: Path) -> None:
        place = CheckpointDataset(str(tmp_path / "checkpoint.safetensors")).load()
        place.write({"w": torch.arange(3.0)}, {"epoch": 2}, {"seed": 0})
        tensors, progress = place.read({"seed": 0})
        assert torch.equal(tensors["w"], torch.arange(3.0))
        assert progress == {"epoch": 2}

    def test_refuses_another_setting(self, tmp_path: Path) -> None:
        place = CheckpointDataset(str(tmp_path / "checkpoint.safetensors")).load()
        place.write({"w": torch.arange(3.0)}, {"epoch": 2}, {"seed": 0})
        with pytest.raises(InputError, match=r"seed 0, while this one has seed 1"):
            place.read({"seed": 1})

    def test_kedro_does_not_save_it(self, tmp_path: Path) -> None:
        with pytest.raises(DatasetError):
            CheckpointDataset(str(tmp_path / "checkpoint.safetensors")).save(None)


class TestTable:
    def test_round_trip(self, tmp_path: Path) -> None:
        dataset, _, data = make("table", tmp_path)
        dataset.save(data)
        pd.testing.assert_frame_equal(dataset.load(), data)

    def test_preview(self, tmp_path: Path) -> None:
        dataset, _, data = make("table", tmp_path)
        dataset.save(data)
        assert dataset.preview(nrows=1)["columns"] == ["z_000", "label"]
        assert len(dataset.preview(nrows=1)["data"]) == 1


class TestFigure:
    def test_is_a_png_of_the_figures_size(self, tmp_path: Path) -> None:
        dataset, path, data = make("figure", tmp_path)
        dataset.save(data)
        with Image.open(path) as image:
            assert image.format == "PNG"
            assert image.size == (300, 150)

    def test_preview(self, tmp_path: Path) -> None:
        dataset, _, data = make("figure", tmp_path)
        dataset.save(data)
        assert len(dataset.preview()) > 100


class TestMetrics:
    def test_round_trip(self, tmp_path: Path) -> None:
        dataset, path, _ = make("metrics", tmp_path)
        data = {"fd": {"hvrt": 0.1}, "n": 3, "classes": ["a"], "values": [1.0, 2.0]}
        dataset.save(data)
        assert dataset.load() == data
        assert json.loads(path.read_text()) == data

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
    def test_refuses_what_is_not_finite(self, tmp_path: Path, value: float) -> None:
        dataset, path, data = make("metrics", tmp_path)
        dataset.save(data)
        before, written = path.read_bytes(), path.stat().st_mtime_ns
        with pytest.raises(DatasetError) as caught:
            dataset.save({"a": {"b": [1.0, value]}})
        assert "expected finite numbers" in sentence_of(caught.value)
        assert path.read_bytes() == before
        assert path.stat().st_mtime_ns == written
        assert list(path.parent.iterdir()) == [path]

    def test_preview(self, tmp_path: Path) -> None:
        dataset, _, data = make("metrics", tmp_path)
        dataset.save(data)
        assert json.loads(dataset.preview()) == data


class TestSyntheticImages:
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("small", [0, scratch.SMALL])  # bytes that stay in memory
    def test_round_trip_is_lossless(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, channels: int, small: int
    ) -> None:
        monkeypatch.setattr(scratch, "SMALL", small)
        dataset, _, _ = make("synthetic", tmp_path)
        dataset.save(stream(channels=channels))
        found = dataset.load()
        images, labels = random_images(9, channels)
        assert torch.equal(found.images, images)
        assert torch.equal(found.labels, labels)
        assert found.class_names == NAMES

    def test_layout_is_that_of_hugging_face(self, tmp_path: Path) -> None:
        dataset, path, data = make("synthetic", tmp_path)
        dataset.save(data)
        found = pq.read_table(path)
        assert str(found.schema.field("image").type) == "struct<bytes: binary, path: string>"
        assert str(found.schema.field("label").type) == "int64"
        assert found.column_names == ["image", "label"]
        features = json.loads(found.schema.metadata[b"huggingface"])["info"]["features"]
        assert features["image"] == {"_type": "Image"}
        assert features["label"] == {"names": list(NAMES), "_type": "ClassLabel"}

    def test_every_row_is_a_png_with_a_name_of_its_own(self, tmp_path: Path) -> None:
        dataset, path, data = make("synthetic", tmp_path)
        dataset.save(data)
        rows = pq.read_table(path).column("image").to_pylist()
        assert len({row["path"] for row in rows}) == 9
        for row, expected in zip(rows, random_images(9)[0], strict=True):
            image = Image.open(io.BytesIO(row["bytes"]))
            assert (image.format, image.mode) == ("PNG", "L")
            np.testing.assert_array_equal(np.asarray(image), expected[0].numpy())

    def test_size_of_the_batches_does_not_change_the_images(self, tmp_path: Path) -> None:
        found = []
        for size in (1, 4, 9):
            dataset = SyntheticImagesDataset(str(tmp_path / f"{size}.parquet"))
            dataset.save(stream(size=size))
            found.append(pq.read_table(tmp_path / f"{size}.parquet"))
        assert found[0].equals(found[1])
        assert found[0].equals(found[2])

    def test_writes_a_batch_before_it_asks_for_the_next(self, tmp_path: Path) -> None:
        dataset, path, _ = make("synthetic", tmp_path)
        sizes = []

        def batches() -> Iterator[tuple[Tensor, Tensor]]:
            for seed in range(4):
                yield random_images(500, seed=seed)
                partial = list(path.parent.glob(".*"))
                assert len(partial) == 1
                sizes.append(partial[0].stat().st_size)

        dataset.save(ImageStream(batches(), NAMES))
        assert sizes == sorted(set(sizes))
        assert sizes[0] > 0
        assert pq.read_metadata(path).num_row_groups == 4

    def test_memory_is_that_of_a_batch(self, tmp_path: Path) -> None:
        """No batch is held once the next one is asked for."""
        dataset, _, _ = make("synthetic", tmp_path)
        held: list[weakref.ref[Tensor]] = []
        most = 0

        def batches() -> Iterator[tuple[Tensor, Tensor]]:
            nonlocal most
            for seed in range(6):
                images, labels = random_images(50, seed=seed)
                held.append(weakref.ref(images))
                yield images, labels
                del images, labels
                gc.collect()
                most = max(most, sum(ref() is not None for ref in held))

        dataset.save(ImageStream(batches(), NAMES))
        assert most <= 1

    def test_refuses_a_parquet_file_of_another_layout(self, tmp_path: Path) -> None:
        path = tmp_path / "a.parquet"
        table().to_parquet(path)
        with pytest.raises(DatasetError) as caught:
            SyntheticImagesDataset(str(path)).load()
        assert "a.parquet" in sentence_of(caught.value)
