"""Pretrained autoencoders of diffusers: what they encode, decode, keep, and refuse."""

from __future__ import annotations

import json
import pickle
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hvrt_diffuser.autoencoders import (
    AUTOENCODERS,
    Autoencoder,
    PretrainedAutoencoder,
    PretrainedOptions,
    decode_latents,
    encode_images,
)
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.training import Checkpoint

diffusers = pytest.importorskip("diffusers")

CPU = torch.device("cpu")
WEIGHTS = "diffusion_pytorch_model.safetensors"
SIZES = {"block_out_channels": [8, 8], "norm_num_groups": 4}
BLOCKS = {
    "down_block_types": ["DownEncoderBlock2D"] * 2,
    "up_block_types": ["UpDecoderBlock2D"] * 2,
}
TINY = {
    "encoder_block_out_channels": [32, 32],
    "decoder_block_out_channels": [32, 32],
    "num_encoder_blocks": [1, 1],
    "num_decoder_blocks": [1, 1],
}
SMALL: dict[str, dict[str, Any]] = {
    "AutoencoderKL": {**SIZES, **BLOCKS, "scaling_factor": 0.5, "shift_factor": 0.25},
    "AutoencoderTiny": TINY,
    "AutoencoderDC": {
        "latent_channels": 4,
        "attention_head_dim": 4,
        "encoder_block_out_channels": [8, 8],
        "decoder_block_out_channels": [8, 8],
        "encoder_layers_per_block": [1, 1],
        "decoder_layers_per_block": [1, 1],
        "encoder_qkv_multiscales": [[], []],
        "decoder_qkv_multiscales": [[], []],
        "scaling_factor": 0.5,
    },
    "VQModel": {**SIZES, **BLOCKS, "num_vq_embeddings": 16},
}
# Of what the network itself gives for images in [-1, 1], how diffusion models take it.
GRIDS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "AutoencoderKL": lambda net, x: (net.encode(x).latent_dist.mode() - 0.25) * 0.5,
    "AutoencoderTiny": lambda net, x: net.encode(x).latents,
    "AutoencoderDC": lambda net, x: net.encode(x).latent * 0.5,
    "VQModel": lambda net, x: net.encode(x).latents * 0.18215,
}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("no connection in tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def saved(folder: Path, family: str = "AutoencoderTiny", **changes: Any) -> Path:
    """A folder of a random network."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        getattr(diffusers, family)(**{**SMALL[family], **changes}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("tiny"))


def options(folder: Path, **more: Any) -> PretrainedOptions:
    made: PretrainedOptions = AUTOENCODERS.make("pretrained", {"pretrained": str(folder), **more})
    return made


@pytest.fixture(scope="module")
def few(digits: LabelledImages) -> Tensor:
    return digits.images[:40]


@pytest.mark.parametrize("family", SMALL)
@pytest.mark.parametrize("shape", [(3, 12, 12), (1, 9, 7)], ids=str)
def test_with_all_components_it_is_the_network_itself(
    family: str, shape: tuple[int, int, int], tmp_path: Path, few: Tensor
) -> None:
    c, h, w = shape
    images = few[:, :, 8 : 8 + h, 8 : 8 + w]
    if c == 3:
        images = torch.cat([images, images.flip(2), images.flip(3)], dim=1)
    folder = saved(tmp_path, family)
    network = getattr(diffusers, family).from_pretrained(folder).eval()
    model, history = options(folder, latent_dim=39).fit(images, seed=0, device=CPU)
    assert isinstance(model, PretrainedAutoencoder)
    assert [*history[0]] == ["epoch", "train_loss"]

    x = F.pad(images.float() / 255, (0, -w % 2, 0, -h % 2), mode="replicate")
    with torch.no_grad():
        grid = GRIDS[family](network, 2 * x.expand(-1, 3, -1, -1) - 1)
        ours = model.principal.decode_rows(model.encode(images.float() / 255)[0])
        # 40 rows have 39 components, which leave nothing out.
        torch.testing.assert_close(ours, grid.flatten(1), rtol=0, atol=1e-4)
        scaled = SMALL[family].get("scaling_factor", 0.18215 if family == "VQModel" else 1)
        own = grid / scaled + SMALL[family].get("shift_factor", 0)
        made = (network.decode(own).sample[:, :, :h, :w] + 1) / 2
    expected = made if c == 3 else made.mean(1, keepdim=True)
    latents, deviations = encode_images(model, images, CPU)
    assert deviations is None
    found = decode_latents(model, latents, CPU).float() / 255
    # A codebook may give a neighbouring entry for a grid that is a rounding away.
    near = (found - expected.clamp(0, 1)).abs() < 0.01
    assert near.float().mean() > (0.95 if family == "VQModel" else 0.9999)


def test_black_and_white_stay_black_and_white(tiny: Path, few: Tensor) -> None:
    model, _ = options(tiny, latent_dim=2).fit(few, seed=0, device=CPU)
    last = model.network.decoder.layers[-1]
    last.weight.data.zero_()
    for level, pixel in ((-2.0, 0), (2.0, 255), (0.5, 128)):
        last.bias.data.fill_(level)
        assert (decode_latents(model, torch.zeros(3, 2), CPU) - pixel).abs().max() <= 1


def test_an_image_does_not_depend_on_how_many_are_made(tiny: Path, few: Tensor) -> None:
    model, _ = options(tiny, latent_dim=4).fit(few, seed=0, device=CPU)
    latents, _ = encode_images(model, few, CPU)
    assert torch.equal(encode_images(model, few[:3], CPU)[0], latents[:3])
    all_of_them = decode_latents(model, latents, CPU)
    assert torch.equal(decode_latents(model, latents[:3], CPU), all_of_them[:3])


@pytest.mark.parametrize("family", SMALL)
def test_a_file_needs_no_folder_and_has_the_same_bytes(
    family: str, tmp_path: Path, few: Tensor
) -> None:
    folder = saved(tmp_path / "net", family)
    model, _ = options(folder, latent_dim=3).fit(few, seed=0, device=CPU)
    model.save(tmp_path / "first")
    again, _ = options(folder, latent_dim=3).fit(few, seed=0, device=CPU)
    again.save(tmp_path / "second")
    for path in folder.iterdir():
        path.unlink()
    read = Autoencoder.load(tmp_path / "first")
    read.save(tmp_path / "third")
    first = (tmp_path / "first").read_bytes()
    assert first == (tmp_path / "second").read_bytes() == (tmp_path / "third").read_bytes()
    assert str(tmp_path).encode() not in first
    assert torch.equal(encode_images(read, few, CPU)[0], encode_images(model, few, CPU)[0])


def test_another_process_reads_it(tiny: Path, tmp_path: Path, few: Tensor) -> None:
    model, _ = options(tiny, latent_dim=3).fit(few, seed=0, device=CPU)
    model.save(tmp_path / "file")
    code = "import sys; from hvrt_diffuser.autoencoders import Autoencoder as A\n"
    code += "print(A.load(sys.argv[1]).fingerprint())"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "file")],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.split()[-1] == model.fingerprint()


@pytest.mark.parametrize("error", ["squared", "absolute"])
def test_fine_tuning_brings_the_decoder_nearer_and_leaves_the_encoder(
    error: str, tiny: Path, few: Tensor
) -> None:
    plain, _ = options(tiny, latent_dim=8).fit(few, seed=0, device=CPU)
    tuning = {"error": error, "steps": 60, "learning_rate": 3e-3}
    tuned, history = options(tiny, latent_dim=8, fine_tune=tuning).fit(few, seed=0, device=CPU)
    assert history[-1]["step"] == 60
    latents, _ = encode_images(plain, few, CPU)
    assert torch.equal(encode_images(tuned, few, CPU)[0], latents)
    measure = F.mse_loss if error == "squared" else F.l1_loss
    before, after = (
        measure(decode_latents(model, latents, CPU).float(), few.float())
        for model in (plain, tuned)
    )
    assert after < (0.7 if error == "squared" else 0.97) * before


def test_a_fine_tuning_that_is_cut_off_goes_on_to_the_same_bytes(
    tiny: Path, few: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = options(tiny, latent_dim=4, fine_tune={"steps": 20})
    whole, history = own.fit(few, seed=0, device=CPU)
    written = Checkpoint.write
    count = 0

    def killed(self: Checkpoint, *state: Any) -> None:
        nonlocal count
        written(self, *state)
        count += 1
        if count == 7:
            raise KeyboardInterrupt

    place = Checkpoint(tmp_path / "state")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Checkpoint, "write", killed)
        own.fit(few, seed=0, device=CPU, checkpoint=place)
    resumed, resumed_history = own.fit(few, seed=0, device=CPU, checkpoint=place)
    assert resumed.fingerprint() == whole.fingerprint()
    assert resumed_history == history
    with pytest.raises(InputError, match=r"from a training with fine_tune\.error squared"):
        other = options(tiny, latent_dim=4, fine_tune={"steps": 20, "error": "absolute"})
        other.fit(few, seed=0, device=CPU, checkpoint=place)


def test_it_goes_on_from_a_trained_one(tiny: Path, few: Tensor, tmp_path: Path) -> None:
    own = options(tiny, latent_dim=4)
    first, _ = own.fit(few[:20], seed=0, device=CPU)
    before = first.fingerprint()
    second, _ = own.fit(few[20:], seed=0, device=CPU, start=first)
    assert second.fingerprint() == first.fingerprint() == before
    other = options(saved(tmp_path, latent_channels=2), latent_dim=4)
    with pytest.raises(InputError, match="was given to start from"):
        other.fit(few, seed=0, device=CPU, start=first)


def test_global_generators_stay_as_they_are(
    tiny: Path, few: Tensor, global_generators_untouched: Callable[[], Any]
) -> None:
    with global_generators_untouched():
        options(tiny, latent_dim=4, fine_tune={"steps": 2}).fit(few, seed=0, device=CPU)


def test_changed_weights_have_another_digest(tmp_path: Path) -> None:
    first = options(saved(tmp_path)).weights
    assert options(tmp_path, weights=first).weights == first
    saved(tmp_path, latent_channels=3)
    assert options(tmp_path).weights != first
    with pytest.raises(InputError, match=f"expected {first}: put those back"):
        options(tmp_path, weights=first)


def without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def broken_config(folder: Path) -> None:
    (folder / "config.json").write_text("{")


def of_no_family(folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps({"_class_name": "UNet2DModel"}))


def a_pickle_beside(folder: Path) -> None:
    (folder / WEIGHTS).unlink()
    (folder / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps({}))


def a_pickle_renamed(folder: Path) -> None:
    torch.save({"x": torch.zeros(3)}, folder / WEIGHTS)


def cut_short(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-9])


def in_parts(folder: Path) -> None:
    (folder / f"{WEIGHTS}.index.json").write_text("{}")


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_config, r"holds no config\.json, expected one: give the folder"),
        (broken_config, "cannot be read as JSON"),
        (of_no_family, "of the class UNet2DModel, expected one of AutoencoderKL"),
        (a_pickle_beside, r"holds the pickle diffusion_pytorch_model\.bin, expected diffusion_"),
        (a_pickle_renamed, "is no whole safetensors file"),
        (cut_short, "is no whole safetensors file"),
        (in_parts, "holds weights in several files, expected one"),
    ],
)
def test_a_folder_is_refused_as_options_are_read(
    spoil: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    spoil(saved(tmp_path))
    with pytest.raises(InputError, match=message) as error:
        options(tmp_path)
    assert "\n" not in str(error.value)


def test_the_folder_above_is_refused_with_the_right_one(tmp_path: Path) -> None:
    saved(tmp_path / "vae")
    with pytest.raises(InputError, match=f"give {tmp_path / 'vae'}"):
        options(tmp_path)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"pretrained": "nowhere/here"}, "is no folder.*or set download to true"),
        ({"pretrained": "a/b", "download": True}, "an id of the hub without a commit"),
        ({"pretrained": "a/b", "download": True, "revision": "main"}, "40 hexadecimal digits"),
        ({"revision": "a" * 40}, "expected it beside download alone"),
        ({"download": True, "revision": "a" * 40}, "a folder, expected an id of the hub"),
        ({"width": 8}, "width"),
        ({"epochs": 8}, "epochs"),
        ({"fine_tune": {"error": "l3"}}, "squared"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    more: dict[str, Any], message: str, tiny: Path
) -> None:
    with pytest.raises(InputError, match=message):
        AUTOENCODERS.make("pretrained", {"pretrained": str(tiny), **more})


HUB = {"pretrained": "owner/name", "download": True, "revision": "a" * 40}


def test_what_cannot_be_fetched_is_said_in_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise OSError("no\nconnection")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(InputError, match=r"owner/name at a{40} could not be fetched \(no conn"):
        AUTOENCODERS.make("pretrained", HUB).check(100, (1, 28, 28))
    with pytest.raises(InputError, match="owner is no id of the Hugging Face hub"):
        AUTOENCODERS.make("pretrained", {**HUB, "pretrained": "owner"}).check(100, (1, 28, 28))


def test_what_is_fetched_is_the_pinned_commit_without_a_pickle(
    tiny: Path, few: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def fetched(repository: str, *, revision: str, allow_patterns: list[str]) -> str:
        asked.append((repository, revision, {*allow_patterns}))
        return str(tiny)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetched)
    own = AUTOENCODERS.make("pretrained", {**HUB, "latent_dim": 4})
    assert asked == []  # not before there are images
    model, _ = own.fit(few, seed=0, device=CPU)
    assert asked == [("owner/name", "a" * 40, {"config.json", WEIGHTS})]
    same, _ = options(tiny, latent_dim=4).fit(few, seed=0, device=CPU)
    assert model.fingerprint() == same.fingerprint()
    assert model.architecture.weights == options(tiny).weights
    other = AUTOENCODERS.make("pretrained", {**HUB, "weights": "0" * 16})
    with pytest.raises(InputError, match="expected " + "0" * 16):
        other.check(100, (1, 28, 28))


def exchange(folder: Path, family: str) -> None:
    """Put the configuration of another class in place of a folder's own."""
    other = saved(folder / "other", family) / "config.json"
    (folder / "config.json").write_bytes(other.read_bytes())


@pytest.mark.parametrize("family", ["AutoencoderKL", "AutoencoderDC", "VQModel"])
def test_weights_of_another_class_are_refused(family: str, tmp_path: Path, few: Tensor) -> None:
    exchange(saved(tmp_path), family)
    own = options(tmp_path, latent_dim=4)
    message = f"holds other weights than the {family} of its"
    with pytest.raises(InputError, match=message):
        own.fit(few, seed=0, device=CPU)
    with pytest.raises(InputError, match=message) as error:
        own.check(100, (1, 28, 28))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("changes", "n", "shape", "message"),
    [
        ({}, 10, (1, 28, 28), "10 training images have no 64 principal components"),
        ({"fine_tune": {"batch_size": 101}}, 100, (1, 28, 28), "fewer than fine_tune"),
        ({}, 100, (1, 1, 28), "images of 1x28 pixels are smaller than the 2x2"),
        ({}, 100, (1, 2, 2), "latent_dim is 64, expected at most 4"),
        ({}, 100, (2, 28, 28), "has images of 3 channels, expected 2: take"),
    ],
)
def test_images_that_do_not_fit_are_refused(
    changes: dict[str, Any], n: int, shape: tuple[int, int, int], message: str, tiny: Path
) -> None:
    with pytest.raises(InputError, match=message):
        options(tiny, **changes).check(n, shape)


def test_weights_that_give_no_numbers_are_refused(tmp_path: Path, few: Tensor) -> None:
    network = diffusers.AutoencoderTiny(**TINY)
    network.encoder.layers[0].weight.data.fill_(torch.nan)
    network.save_pretrained(tmp_path)
    with pytest.raises(InputError, match="gives infinite values or NaN"):
        options(tmp_path, latent_dim=4).fit(few, seed=0, device=CPU)
