"""Exports: other tools open them, and they appear whole, in the place of nothing but exports."""

from __future__ import annotations

import errno
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from kedro.io import DatasetError
from PIL import Image
from torch import Tensor

from hvrt_diffuser.catalog import Export, ExportDataset
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.card import CardFacts, Form, dataset_card
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources import read_images

FORMS = get_args(Form)
NASTY = (
    "C# | or: 'it\"",
    "50% [x]*?",
    "a  b",
    "Ünï 漢🎲",
    "{c}: &d",
    "~`$!",
    "7",
    "10",
    "-",
    "é\n#x",
)

every_form = pytest.mark.parametrize("form", FORMS)


@pytest.fixture(scope="session")
def few(digits: LabelledImages) -> LabelledImages:
    return digits[:60]


@pytest.fixture(scope="session")
def coloured(few: LabelledImages) -> LabelledImages:
    """Digits in three colours that differ."""
    images = torch.cat([few.images, 255 - few.images, few.images // 2], dim=1)
    return LabelledImages(images, few.labels, few.class_names, "coloured digits")


def named(images: LabelledImages, names: tuple[str, ...]) -> LabelledImages:
    return LabelledImages(images.images, images.labels, names, images.source)


def export(images: LabelledImages, form: Form) -> Export:
    counts = torch.bincount(images.labels, minlength=len(images.class_names)).tolist()
    facts = CardFacts(
        title="digits",
        form=form,
        classes=list(zip(images.class_names, counts, strict=True)),
        shape=images.shape,
        source=images.source,
        n_training=4000,
        autoencoder="convolutional",
        sampler="FastHVRT",
        seed=0,
        versions={"hvrt": "2.11.0"},
        command="kedro run",
        verdict=[],
        evidence=[],
    )
    return Export(images, form, dataset_card(facts))


def save(folder: Path, images: LabelledImages, form: Form) -> None:
    ExportDataset(folder.as_posix()).save(export(images, form))


def files(folder: Path) -> dict[str, bytes]:
    """All that a folder holds, hidden files and empty folders included."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in folder.rglob("*")
    }


def refusal(folder: Path, images: LabelledImages, form: Form) -> str:
    """The sentence with which an export is refused."""
    with pytest.raises(DatasetError) as caught:
        save(folder, images, form)
    assert isinstance(caught.value.__cause__, InputError)
    said = str(caught.value.__cause__)
    assert "expected" in said
    assert "\n" not in said
    return said


def pixels(image: Image.Image) -> Tensor:
    """Decode to uint8 (c, h, w)."""
    array = np.asarray(image)
    return torch.from_numpy(array.copy()).reshape(*array.shape[:2], -1).permute(2, 0, 1)


def in_parquet(folder: Path, names: tuple[str, ...]) -> list[tuple[bytes, str]]:
    (path,) = folder.glob("data/train-*-of-*.parquet")
    rows = pq.read_table(path).to_pylist()
    return [(row["image"]["bytes"], names[row["label"]]) for row in rows]


def in_image_folder(folder: Path, names: tuple[str, ...]) -> list[tuple[bytes, str]]:
    found = sorted(folder.glob("train/*/*.png"), key=lambda path: path.name)
    return [(path.read_bytes(), path.parent.name) for path in found]


def in_webdataset(folder: Path, names: tuple[str, ...]) -> list[tuple[bytes, str]]:
    members: list[tuple[str, bytes]] = []
    for path in sorted(folder.glob("train-*.tar")):
        with tarfile.open(path) as tar:
            members += [(member.name, tar.extractfile(member).read()) for member in tar]  # type: ignore[union-attr]
    samples = []
    for (png_name, png), (cls_name, label) in zip(members[::2], members[1::2], strict=True):
        assert png_name.removesuffix(".png") == cls_name.removesuffix(".cls")
        samples.append((png, names[int(label.decode("ascii"))]))
    return samples


READERS: dict[Form, Callable[[Path, tuple[str, ...]], list[tuple[bytes, str]]]] = {
    "parquet": in_parquet,
    "image_folder": in_image_folder,
    "webdataset": in_webdataset,
}


class TestLayout:
    @every_form
    @pytest.mark.parametrize("kind", ["few", "coloured"])
    def test_pixels_and_labels_come_back(
        self, tmp_path: Path, form: Form, kind: str, request: pytest.FixtureRequest
    ) -> None:
        images = request.getfixturevalue(kind)
        save(tmp_path / "out", images, form)
        found = READERS[form](tmp_path / "out", images.class_names)
        assert [name for _, name in found] == [images.class_names[i] for i in images.labels]
        decoded = torch.stack([pixels(Image.open(io.BytesIO(png))) for png, _ in found])
        assert torch.equal(decoded, images.images)

    @every_form
    def test_card_stands_beside_the_images(
        self, tmp_path: Path, few: LabelledImages, form: Form
    ) -> None:
        save(tmp_path / "out", few, form)
        assert (tmp_path / "out" / "README.md").read_text("utf-8") == export(few, form).card

    @every_form
    def test_same_export_gives_the_same_bytes(
        self, tmp_path: Path, few: LabelledImages, form: Form, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        save(tmp_path / "one", few, form)
        monkeypatch.setattr("time.time", lambda: 2e9)
        save(tmp_path / "two", few, form)
        assert files(tmp_path / "one") == files(tmp_path / "two")

    def test_tar_tells_nothing_of_the_machine(self, tmp_path: Path, few: LabelledImages) -> None:
        save(tmp_path / "out", few, "webdataset")
        with tarfile.open(tmp_path / "out" / "train-00000.tar") as tar:
            facts = {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.mode) for m in tar}
        assert facts == {(0, 0, 0, "", "", 0o644)}

    def test_shards_hold_ten_thousand_images(self, tmp_path: Path) -> None:
        n = 10_001
        blank = LabelledImages(
            torch.zeros(n, 1, 1, 1, dtype=torch.uint8), torch.arange(n) % 2, ("a", "b"), "blank"
        )
        save(tmp_path / "out", blank, "webdataset")
        shards = sorted(path.name for path in (tmp_path / "out").glob("*.tar"))
        assert shards == ["train-00000.tar", "train-00001.tar"]
        with tarfile.open(tmp_path / "out" / shards[1]) as tar:
            assert tar.getnames() == ["00010000.png", "00010000.cls"]
        found = in_webdataset(tmp_path / "out", blank.class_names)
        assert [name for _, name in found] == [blank.class_names[i] for i in blank.labels]

    def test_the_project_reads_its_own_exports(self, tmp_path: Path, few: LabelledImages) -> None:
        save(tmp_path / "parquet", few, "parquet")
        found = read_images("parquet", root=tmp_path / "parquet").train
        assert torch.equal(found.images, few.images)
        assert torch.equal(found.labels, few.labels)
        assert found.class_names == few.class_names
        save(tmp_path / "image_folder", few, "image_folder")
        found = read_images("image_folder", root=tmp_path / "image_folder" / "train").train
        order = torch.argsort(few.labels, stable=True)
        assert torch.equal(found.images, few.images[order])
        assert torch.equal(found.labels, few.labels[order])


class TestOpenedElsewhere:
    """By the library ``datasets``, offline."""

    @pytest.fixture
    def load(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Any]:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
        monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
        datasets = pytest.importorskip("datasets")
        return lambda folder: datasets.load_dataset(
            str(folder), split="train", cache_dir=str(tmp_path / "cache")
        )

    @every_form
    @pytest.mark.parametrize("names", [tuple("9876543210"), NASTY])
    @pytest.mark.parametrize("kind", ["few", "coloured"])
    def test_labels_names_and_pixels(
        self,
        tmp_path: Path,
        load: Callable[[Path], Any],
        form: Form,
        names: tuple[str, ...],
        kind: str,
        request: pytest.FixtureRequest,
    ) -> None:
        images = named(request.getfixturevalue(kind), names)
        save(tmp_path / "out", images, form)
        found = load(tmp_path / "out")
        image, label = ("png", "cls") if form == "webdataset" else ("image", "label")
        assert found.features[label].names == list(names)
        # A folder per class is read class after class, its folders in order of their names.
        order = sorted(range(len(images)), key=lambda i: names[images.labels[i]])
        order = order if form == "image_folder" else list(range(len(images)))
        assert found[label] == images.labels[order].tolist()
        decoded = torch.stack([pixels(picture) for picture in found[image]])
        assert torch.equal(decoded, images.images[order])

    @every_form
    def test_a_single_class_keeps_its_number(
        self, tmp_path: Path, load: Callable[[Path], Any], digits: LabelledImages, form: Form
    ) -> None:
        save(tmp_path / "out", digits[digits.labels == 3][:5], form)
        found = load(tmp_path / "out")
        label = "cls" if form == "webdataset" else "label"
        assert found[label] == [3] * 5
        assert found.features[label].names == list(digits.class_names)


class TestWhole:
    @every_form
    def test_exists_once_saved(self, tmp_path: Path, few: LabelledImages, form: Form) -> None:
        dataset = ExportDataset((tmp_path / "deep" / "out").as_posix())
        assert not dataset.exists()
        dataset.save(export(few, form))
        assert dataset.exists()
        assert list((tmp_path / "deep").iterdir()) == [tmp_path / "deep" / "out"]

    @pytest.mark.parametrize("old", FORMS)
    @pytest.mark.parametrize("new", FORMS)
    def test_takes_the_place_of_an_earlier_export(
        self, tmp_path: Path, few: LabelledImages, old: Form, new: Form
    ) -> None:
        save(tmp_path / "out", few, old)
        save(tmp_path / "out", few[:30], new)
        save(tmp_path / "fresh", few[:30], new)
        assert files(tmp_path / "out") == files(tmp_path / "fresh")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh", "out"]

    @every_form
    @pytest.mark.parametrize(
        "error", [OSError(errno.ENOSPC, "No space left"), RuntimeError("broken"), KeyboardInterrupt]
    )
    @pytest.mark.parametrize("first", [True, False])
    def test_failed_write_leaves_what_was_there(
        self,
        tmp_path: Path,
        few: LabelledImages,
        form: Form,
        error: BaseException,
        first: bool,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        if not first:
            save(tmp_path / "out", few, "parquet")
        before = files(tmp_path)
        encode, encoded = Image.Image.save, 0

        def fail(*args: Any, **kwargs: Any) -> None:
            nonlocal encoded
            encoded += 1
            if encoded == 40:
                raise error
            encode(*args, **kwargs)

        monkeypatch.setattr(Image.Image, "save", fail)
        with pytest.raises((DatasetError, KeyboardInterrupt)):
            save(tmp_path / "out", few, form)
        assert encoded == 40
        assert files(tmp_path) == before

    def test_full_disk_is_one_sentence(
        self, tmp_path: Path, few: LabelledImages, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*args: Any, **kwargs: Any) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", fail)
        with pytest.raises(DatasetError, match=r"out \(No space left on device\); nothing was rep"):
            save(tmp_path / "out", few, "parquet")

    @pytest.mark.parametrize("error", [OSError(errno.EACCES, "denied"), KeyboardInterrupt])
    def test_a_replacement_that_fails_half_way_is_finished_by_the_next_run(
        self,
        tmp_path: Path,
        few: LabelledImages,
        error: BaseException,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        save(tmp_path / "out", few[:30], "image_folder")
        save(tmp_path / "fresh", few, "image_folder")
        (tmp_path / "out" / "LICENSE").write_text("mine")
        replace, replaced = Path.replace, 0

        def fail(self: Path, target: Path) -> Path:
            nonlocal replaced
            replaced += 1
            if replaced == 20:
                raise error
            return replace(self, target)

        with monkeypatch.context() as patched:
            patched.setattr(Path, "replace", fail)
            with pytest.raises((DatasetError, KeyboardInterrupt)) as caught:
                save(tmp_path / "out", few, "image_folder")
        if isinstance(error, OSError):
            assert "the rest follows with the next run" in str(caught.value)
        dataset = ExportDataset(str(tmp_path / "out"))
        assert not dataset.exists()
        dataset.place.check()
        assert dataset.exists()
        assert files(tmp_path / "out") == {**files(tmp_path / "fresh"), "LICENSE": b"mine"}

    def test_a_link_to_a_folder_stays_one(self, tmp_path: Path, few: LabelledImages) -> None:
        (tmp_path / "far").mkdir()
        (tmp_path / "out").symlink_to(tmp_path / "far")
        for _ in range(2):
            save(tmp_path / "out", few, "image_folder")
        assert (tmp_path / "out").is_symlink()
        assert (tmp_path / "far" / "README.md").is_file()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["far", "out"]


class TestTheUsersOwn:
    @pytest.mark.parametrize("old", FORMS)
    @every_form
    def test_files_beside_an_export_stay(
        self, tmp_path: Path, few: LabelledImages, form: Form, old: Form
    ) -> None:
        save(tmp_path / "out", few, old)
        own = {"LICENSE": b"mine", "thesis.txt": b"mine", "notes/data/README.md": b"mine"}
        own |= {"data/mine.parquet": b"mine", "train/0/mine.png": b"mine", ".gitignore": b"mine"}
        for name, content in own.items():
            (tmp_path / "out" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "out" / name).write_bytes(content)
        save(tmp_path / "out", few[:30], form)
        save(tmp_path / "fresh", few[:30], form)
        found, fresh = files(tmp_path / "out"), files(tmp_path / "fresh")
        assert {name: found[name] for name in own} == own
        assert {name for name, content in found.items() if content} == {
            *own,
            *(name for name, content in fresh.items() if content),
        }
        assert all(found[name] == content for name, content in fresh.items())

    def test_an_edited_card_stays_and_the_new_one_lies_beside_it(
        self, tmp_path: Path, few: LabelledImages, caplog: pytest.LogCaptureFixture
    ) -> None:
        save(tmp_path / "out", few, "parquet")
        card = tmp_path / "out" / "README.md"
        edited = card.read_text("utf-8").replace("license: unknown", "license: mit")
        card.write_text(edited, "utf-8")
        save(tmp_path / "out", few[:30], "parquet")
        assert card.read_text("utf-8") == edited
        new = tmp_path / "out" / "README.new.md"
        assert new.read_text("utf-8") == export(few[:30], "parquet").card
        (said,) = [text for text in caplog.messages if "README.new.md" in text]
        assert str(card) in said
        assert len(read_images("parquet", root=tmp_path / "out").train) == 30

    @every_form
    def test_an_edited_image_or_file_of_images_is_not_replaced(
        self, tmp_path: Path, few: LabelledImages, form: Form
    ) -> None:
        save(tmp_path / "out", few, form)
        kind = {"parquet": "*.parquet", "image_folder": "*.png", "webdataset": "*.tar"}[form]
        edited = next((tmp_path / "out").rglob(kind))
        edited.write_bytes(b"mine")
        before = files(tmp_path)
        assert str(edited) in refusal(tmp_path / "out", few[:30], "parquet")
        assert files(tmp_path) == before

    def test_images_that_the_user_removed_come_back(
        self, tmp_path: Path, few: LabelledImages
    ) -> None:
        for _ in range(2):
            save(tmp_path / "out", few, "image_folder")
            found = sorted((tmp_path / "out").rglob("*.png"))
            assert len(found) == len(few)
            found[0].unlink()


class TestRefusals:
    @every_form
    @pytest.mark.parametrize(
        "files_there",
        [
            {"holiday.jpg": "not to be lost"},
            {"README.md": "# My project, by hvrt-diffuser\n"},
            {"README.md": "---\ntags:\n- synthetic\n---\n", "data/x.parquet": "x"},
            {"README.md": "\udcff"},
            {".hidden": ""},
        ],
    )
    def test_a_foreign_folder_stays(
        self, tmp_path: Path, few: LabelledImages, form: Form, files_there: dict[str, str]
    ) -> None:
        for name, text in files_there.items():
            path = tmp_path / "out" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode("utf-8", "surrogateescape"))
        before = files(tmp_path)
        said = refusal(tmp_path / "out", few, form)
        assert f"{tmp_path / 'out'} holds something and no .hvrt_diffuser.json" in said
        assert files(tmp_path) == before

    def test_a_file_in_its_place_stays(self, tmp_path: Path, few: LabelledImages) -> None:
        (tmp_path / "out").write_text("not to be lost")
        assert "would be lost" in refusal(tmp_path / "out", few, "parquet")
        assert files(tmp_path) == {"out": b"not to be lost"}

    def test_an_empty_folder_is_nothing_to_lose(self, tmp_path: Path, few: LabelledImages) -> None:
        (tmp_path / "out").mkdir()
        save(tmp_path / "out", few, "parquet")
        assert (tmp_path / "out" / "README.md").is_file()

    @pytest.mark.parametrize(
        "name",
        ["", ".", "..", "../x", "a/b", "/", "a\\b", "a\0b", ".hidden", "__pycache__", "a::b"],
    )
    def test_a_class_name_that_is_no_folder(
        self, tmp_path: Path, few: LabelledImages, name: str
    ) -> None:
        images = named(few, (*few.class_names[:-1], name))
        assert f"a class is called {name!r}" in refusal(tmp_path / "out", images, "image_folder")
        assert files(tmp_path) == {}

    @pytest.mark.parametrize(
        ("one", "two"), [("Cat", "cAT"), ("cat", "cat"), ("Straße", "STRASSE"), ("é", "e\u0301")]
    )
    def test_class_names_that_collide(
        self, tmp_path: Path, few: LabelledImages, one: str, two: str
    ) -> None:
        images = named(few, (one, *few.class_names[1:-1], two))
        said = refusal(tmp_path / "out", images, "image_folder")
        assert f"{one!r} and {two!r}" in said
        assert files(tmp_path) == {}

    @pytest.mark.parametrize("form", ["parquet", "webdataset"])
    def test_other_forms_take_any_name(
        self, tmp_path: Path, few: LabelledImages, form: Form
    ) -> None:
        images = named(few, ("a/b", "..", "Cat", "cat", *few.class_names[4:]))
        save(tmp_path / "out", images, form)
        found = READERS[form](tmp_path / "out", images.class_names)
        assert [name for _, name in found] == [images.class_names[i] for i in images.labels]

    def test_loading_says_how_to_open_it(self, tmp_path: Path, few: LabelledImages) -> None:
        save(tmp_path / "out", few, "parquet")
        with pytest.raises(DatasetError) as caught:
            ExportDataset(str(tmp_path / "out")).load()
        assert f'datasets.load_dataset("{tmp_path / "out"}")' in str(caught.value.__cause__)
