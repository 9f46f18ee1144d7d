"""Pixels: what a viewer shows of a file is what comes out of it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from field_inputs import Pixels, notes, planes, png_bytes, refusal, write, write_parquet
from PIL import Image, ImageOps
from torch import Tensor

from hvrt_diffuser.common import scratch
from hvrt_diffuser.data.sources import ImageSplits, decoding, read_images


def read(root: Path, *files: bytes, **options: Any) -> ImageSplits:
    """The files as images of one class, whose names say nothing of their format."""
    for i, data in enumerate(files):
        write(root / "a" / f"{i}.png", data)
    return read_images("image_folder", root=root, **options)


def pixels_of(root: Path, *files: bytes, **options: Any) -> Tensor:
    return read(root, *files, **options).train.images


# ---- formats


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("BMP", {}),
        ("PPM", {}),
        ("PNG", {}),
        ("GIF", {}),
        ("JPEG2000", {"irreversible": False}),
    ],
)
@pytest.mark.parametrize("name", ["0.png", "0.JPG", "0", "0.jfif"])
def test_bytes_and_not_the_name_say_what_a_file_is(
    tmp_path: Path, grey: Pixels, format: str, options: dict[str, Any], name: str
) -> None:
    write(tmp_path / "a" / name, png_bytes(grey[0], format, **options))
    assert torch.equal(read_images("image_folder", root=tmp_path).train.images, planes(grey[:1]))


@pytest.mark.parametrize("format", ["GIF", "PNG", "TIFF", "WEBP", "MPO"])
def test_of_several_pictures_the_first_is_taken(tmp_path: Path, grey: Pixels, format: str) -> None:
    frames = [Image.fromarray(pixels) for pixels in grey[:3]]
    extra = {"lossless": True} if format == "WEBP" else {}
    data = png_bytes(frames[0], format, save_all=True, append_images=frames[1:], **extra)
    alone = png_bytes(frames[0], "JPEG") if format == "MPO" else png_bytes(frames[0])
    expected = pixels_of(tmp_path / "alone", alone)
    assert torch.equal(pixels_of(tmp_path / "several", data)[:, :1], expected)


# ---- orientation


@pytest.mark.parametrize("format", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("tag", range(1, 9))
def test_pictures_stand_upright(tmp_path: Path, colour: Pixels, format: str, tag: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = tag
    stored = Image.fromarray(np.ascontiguousarray(colour[0][:20]))
    options = (
        {"quality": 95} if format == "JPEG" else {"lossless": True} if format == "WEBP" else {}
    )
    plain = Image.open(write(tmp_path / "plain", png_bytes(stored, format, **options)))
    turn = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    upright = plain.convert("RGB") if tag == 1 else plain.convert("RGB").transpose(turn[tag])
    splits = read(tmp_path / "read", png_bytes(stored, format, exif=exif, **options))
    assert torch.equal(splits.train.images, planes(np.asarray(upright)[None]))
    said = ["turned upright by their EXIF orientation: 1 (a/0.png)"] if tag > 1 else []
    assert notes(splits) == said


def test_pictures_in_parquet_stand_upright_before_they_are_resized(
    tmp_path: Path, colour: Pixels
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    wide = Image.fromarray(np.ascontiguousarray(colour[0][:20]))
    path = write_parquet(tmp_path / "a.parquet", [png_bytes(wide, exif=exif)] * 2, [0, 0])
    upright = ImageOps.fit(wide.transpose(Image.Transpose.ROTATE_270), (20, 20))
    read = read_images("parquet", root=path, resize=20).train.images
    assert torch.equal(read[:1], planes(np.asarray(upright)[None]))


def test_a_damaged_tag_is_no_reason_to_refuse_a_picture(tmp_path: Path, colour: Pixels) -> None:
    data = png_bytes(colour[0], "JPEG", exif=b"Exif\0\0garbage")
    expected = pixels_of(tmp_path / "plain", png_bytes(colour[0], "JPEG"))
    assert torch.equal(pixels_of(tmp_path / "damaged", data), expected)


# ---- grey and colour


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


def as_palette(grey: Pixels) -> bytes:
    image = Image.frombytes("P", grey.shape[::-1], grey.tobytes())
    image.putpalette([v for i in range(256) for v in (i, i, i)])
    return png_bytes(image)


def as_rgb(grey: Pixels) -> bytes:
    return png_bytes(np.stack([grey] * 3, axis=-1))


@pytest.mark.parametrize("resize", [None, 16])
@pytest.mark.parametrize("first", [True, False])
def test_of_grey_and_colour_all_become_rgb(
    tmp_path: Path, grey: Pixels, colour: Pixels, first: bool, resize: int | None
) -> None:
    files = [png_bytes(colour[0][:28, :28]), png_bytes(grey[0]), png_bytes(grey[1])]
    order = files if first else files[::-1]
    splits = read(tmp_path, *order, resize=resize)
    images = splits.train.images if first else splits.train.images.flip(0)
    assert images.shape[1] == 3
    expected = [pixels_of(tmp_path / str(i), f, resize=resize) for i, f in enumerate(files)]
    assert torch.equal(images, torch.cat([e.expand(-1, 3, -1, -1) for e in expected]))
    assert any(note.startswith("grey repeated as red, green and blue: 2") for note in notes(splits))


@pytest.mark.parametrize("form", [as_palette, as_rgb])
@pytest.mark.parametrize("first", [True, False])
def test_grey_in_another_form_is_grey_among_grey(
    tmp_path: Path, grey: Pixels, form: Callable[[Pixels], bytes], first: bool
) -> None:
    files = [form(grey[0]), png_bytes(grey[1])]
    images = pixels_of(tmp_path, *(files if first else files[::-1]))
    assert torch.equal(images, planes(grey[[0, 1] if first else [1, 0]]))


def test_files_that_are_all_stored_as_rgb_stay_rgb(tmp_path: Path, grey: Pixels) -> None:
    splits = read(tmp_path, as_rgb(grey[0]), as_rgb(grey[1]))
    assert torch.equal(splits.train.images, planes(grey[:2]).expand(-1, 3, -1, -1))
    assert any("channels=grey" in note for note in notes(splits))


@pytest.mark.parametrize(("channels", "c"), [("grey", 1), ("rgb", 3)])
def test_channels_can_be_chosen(
    tmp_path: Path, grey: Pixels, colour: Pixels, channels: str, c: int
) -> None:
    pixels = colour[0][:28, :28]
    for i, files in enumerate([[png_bytes(grey[0])], [png_bytes(grey[0]), png_bytes(pixels)]]):
        images = pixels_of(tmp_path / str(i), *files, channels=channels)
        assert images.shape[1] == c
        assert torch.equal(images[:1], planes(grey[:1]).expand(-1, c, -1, -1))
        if c == 1 and i:
            luma = np.asarray(Image.fromarray(pixels).convert("L"))
            assert torch.equal(images[1:], planes(luma[None]))


def test_train_and_test_have_the_same_channels(
    tmp_path: Path, grey: Pixels, colour: Pixels
) -> None:
    write(tmp_path / "train" / "a" / "0.png", png_bytes(grey[0]))
    write(tmp_path / "test" / "a" / "0.png", png_bytes(colour[0][:28, :28]))
    splits = read_images("image_folder", root=tmp_path)
    assert splits.test is not None
    assert splits.train.shape == splits.test.shape == (3, 28, 28)


# ---- transparency, CMYK, 16 bits


def test_transparent_pixels_lie_on_white(tmp_path: Path, colour: Pixels) -> None:
    pixels = colour[0]
    alpha = np.zeros(pixels.shape[:2], np.uint8)
    alpha[:10], alpha[10:20] = 255, 128
    splits = read(tmp_path, png_bytes(np.dstack([pixels, alpha])), png_bytes(pixels))
    share = alpha[..., None] / 255
    expected = pixels * share + 255 * (1 - share)
    found = splits.train.images[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found, expected, atol=1)
    np.testing.assert_array_equal(found[:10], pixels[:10])
    assert notes(splits) == ["transparent pixels put on white: 1 (a/0.png)"]


@pytest.mark.parametrize("mode", ["LA", "P", "L"])
def test_every_kind_of_transparency_lies_on_white(tmp_path: Path, grey: Pixels, mode: str) -> None:
    ink = grey[0] > 127
    if mode == "LA":
        alpha = Image.fromarray(np.where(ink, 255, 0).astype(np.uint8))
        data = png_bytes(Image.merge("LA", [Image.new("L", (28, 28)), alpha]))
        expected = np.where(ink, 0, 255)
    else:
        image = Image.frombytes(mode, (28, 28), ink.astype(np.uint8).tobytes())
        if mode == "P":
            image.putpalette([0, 0, 0, 1, 1, 1])
        data = png_bytes(image, transparency=0)
        expected = np.where(ink, 1, 255)
    assert torch.equal(pixels_of(tmp_path, data), planes(expected[None].astype(np.uint8)))


def test_an_opaque_alpha_channel_changes_nothing(tmp_path: Path, colour: Pixels) -> None:
    rgba = np.dstack([colour[0], np.full(colour[0].shape[:2], 255, np.uint8)])
    splits = read(tmp_path, png_bytes(rgba))
    assert torch.equal(splits.train.images, planes(colour[:1]))
    assert notes(splits) == []


def test_cmyk_is_converted_and_said(tmp_path: Path, colour: Pixels) -> None:
    data = png_bytes(Image.fromarray(colour[0]).convert("CMYK"), "TIFF")
    splits = read(tmp_path, data)
    assert torch.equal(splits.train.images, planes(colour[:1]))
    assert notes(splits) == ["converted from CMYK: 1 (a/0.png)"]


@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_deep_grey_is_scaled_alike_by_the_bits_of_the_brightest(
    tmp_path: Path, grey: Pixels, bits: int
) -> None:
    largest = 2**bits - 1
    bright = np.rint(grey[0].astype(float) * largest / 255)
    bright[0, 0] = largest
    dark = bright / 8  # whose own range must not be stretched
    files = [png_bytes(Image.fromarray(z.astype(np.uint16))) for z in (dark, bright)]
    splits = read(tmp_path, *files)
    expected = np.stack([dark.astype(np.uint16), bright])[:, None] * 255 / largest
    np.testing.assert_allclose(splits.train.images.numpy(), expected, atol=0.5)
    (note,) = notes(splits)
    assert f"as {bits} bits" in note


def test_deep_grey_is_resized_before_it_is_scaled(tmp_path: Path) -> None:
    stripes = np.tile(np.array([0, 4095], np.uint16), (8, 4))
    images = pixels_of(tmp_path, png_bytes(Image.fromarray(stripes)), resize=2)
    whole = Image.fromarray(stripes.astype(np.float32)).resize((2, 2), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(images[0, 0].numpy(), np.asarray(whole) * 255 / 4095, atol=0.6)


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


def test_colours_of_16_bits_keep_the_upper_8(tmp_path: Path) -> None:
    splits = read(tmp_path, png_of_16_bit_rgb())
    assert splits.train.shape == (3, 2, 2)
    assert "upper 8" in notes(splits)[0]


@pytest.mark.parametrize(
    ("values", "fact"),
    [
        (np.zeros((4, 4), np.float32), "floating-point"),
        (np.full((4, 4), -1, np.int32), "from -1 to -1"),
    ],
)
def test_numbers_without_a_known_range_are_refused(tmp_path: Path, values: Any, fact: str) -> None:
    write(tmp_path / "a" / "0.tif", png_bytes(Image.fromarray(values), "TIFF"))
    assert fact in refusal(source="image_folder", root=tmp_path)


# ---- size and memory


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_what_is_no_square_is_fitted(tmp_path: Path, fit: str) -> None:
    wide = np.full((10, 30), 200, np.uint8)
    wide[:, :10] = 0  # the left third
    image = pixels_of(tmp_path, png_bytes(wide), resize=30, fit=fit)[0, 0]
    if fit == "crop":
        assert (image[:, 2:] == 200).all()
    elif fit == "pad":
        assert (image[:10] == 0).all()
        assert (image[20:] == 0).all()
        assert torch.equal(image[10:20], torch.from_numpy(wide))
    else:
        assert image[0, 4] == 0
        assert (image[:, 12:] == 200).all()


@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_squares_are_resized_the_same_way_by_all(tmp_path: Path, colour: Pixels, fit: str) -> None:
    expected = np.asarray(Image.fromarray(colour[0]).resize((20, 20), Image.Resampling.BILINEAR))
    images = pixels_of(tmp_path, png_bytes(colour[0]), resize=20, fit=fit)
    assert torch.equal(images, planes(expected[None]))


def test_what_the_memory_does_not_hold_is_said_before_it_is_decoded(
    tmp_path: Path, grey: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "LARGE", 100)
    monkeypatch.setattr(decoding, "free_memory", lambda: 7 * 28 * 28 / 1e6)
    write(tmp_path / "a" / "0.png", png_bytes(grey[0]))
    write(tmp_path / "a" / "1.png", png_bytes(grey[0]))
    message = refusal(source="image_folder", root=tmp_path)
    assert "2 of 2 images" in message
    assert "28x28 pixels, which take" in message
    monkeypatch.undo()


def test_more_images_than_there_is_room_for_are_told(
    tmp_path: Path, grey: Pixels, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(scratch, "SMALL", 1000)
    monkeypatch.setattr(scratch.os, "posix_fallocate", full)
    for name in ("0", "1"):
        write(tmp_path / "a" / f"{name}.png", png_bytes(grey[0]))
    message = refusal(source="image_folder", root=tmp_path)
    assert "has 2 images of 28x28 pixels: 0.0 GB of images did not fit into" in message
    assert "or give resize" in message
    assert len(read_images("image_folder", root=tmp_path, resize=8).train) == 2


@pytest.mark.parametrize("channels", ["grey", "rgb", "auto"])
@pytest.mark.parametrize("deep_at", [0, 4])
def test_many_images_in_a_mapped_file_are_as_few_in_memory(
    tmp_path: Path,
    grey: Pixels,
    colour: Pixels,
    monkeypatch: pytest.MonkeyPatch,
    channels: str,
    deep_at: int,
) -> None:
    """Grey of 8 and of 16 bits, and, last, a colour."""
    padded = np.pad(grey[:5], ((0, 0), (2, 2), (2, 2)))
    files = [png_bytes(pixels) for pixels in padded]
    files[deep_at] = png_bytes(Image.fromarray(padded[deep_at].astype(np.uint16) * 257))
    files.append(png_bytes(colour[0]))
    few = pixels_of(tmp_path, *files, channels=channels)
    monkeypatch.setattr(scratch, "SMALL", 0)
    monkeypatch.setattr(scratch, "AT_ONCE", 2)
    many = pixels_of(tmp_path, *files, channels=channels)
    assert torch.equal(many, few)
    assert len(many) == 6
    assert torch.equal(many[:5, :1], planes(padded))
