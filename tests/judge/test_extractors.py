"""Extractors give the features of their network, and say what they lack."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hvrt_diffuser.autoencoders import Autoencoder, encode_images
from hvrt_diffuser.classifiers import Classifier, NetworkName
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.machine import STATUS, anonymous_peak
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources import read_images
from hvrt_diffuser.judge import (
    Extractor,
    classifier_features,
    dinov2_features,
    encoder_features,
    inception_features,
    middle_features,
    pixels,
    random_features,
    statistics,
)
from hvrt_diffuser.metrics import excess_frechet

CPU = torch.device("cpu")


def test_pixels_are_shares_of_white(digits: LabelledImages) -> None:
    found = pixels(digits.images[:20])
    assert found.shape == (20, 784)
    assert found.dtype == np.float32
    expected = digits.images[:20].double().flatten(1).numpy() / 255
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["random", "statistics"])
def test_features_do_not_depend_on_how_many_images_are_looked_at_together(
    name: str, digits: LabelledImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, others = digits.images[::50], digits.images[1::50]

    def features() -> Tensor:
        extract = random_features(real, CPU) if name == "random" else statistics(real)
        return torch.from_numpy(extract(others))

    whole = features()
    monkeypatch.setattr("hvrt_diffuser.judge.extractors.PIXELS_AT_ONCE", 7 * 28 * 28)
    torch.testing.assert_close(features(), whole, rtol=1e-3, atol=1e-4)


def test_large_images_take_no_more_memory_than_small_ones() -> None:
    """Patches of 5 x 5 of all pixels at once were 75 numbers for each of them."""
    if not STATUS.exists():
        pytest.skip("the system does not tell")
    source = torch.Generator().manual_seed(0)
    large = torch.randint(0, 256, (10, 3, 512, 512), generator=source, dtype=torch.uint8)
    with anonymous_peak() as found:
        random_features(large, CPU)(large[:2])
    assert found[0] < 1500  # 1,400 MB in float32, and as much again in float64, were not enough


def test_encoder_gives_its_latents(autoencoder: Autoencoder, digits: LabelledImages) -> None:
    found = encoder_features(autoencoder, CPU)(digits.images[:50])
    assert np.array_equal(found, encode_images(autoencoder, digits.images[:50], CPU)[0].numpy())


def test_classifier_gives_what_its_last_layer_sees(digits: LabelledImages) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        judge = Classifier((1, 28, 28), 10, width=4).eval()
    found = classifier_features(judge, CPU)(digits.images[:50])
    assert found.shape == (50, 64)
    with torch.inference_mode():
        logits = judge(digits.images[:50].float() / 255)
        again = judge.logits(torch.from_numpy(found))
    torch.testing.assert_close(again, logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("network", get_args(NetworkName))
def test_middle_of_a_classifier_sees_what_its_last_layer_does_not(
    digits: LabelledImages, network: NetworkName
) -> None:
    """Once the last convolutions are blind, in the middle a negative is none of the digits."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        judge = Classifier((1, 28, 28), 10, 8, network).eval()
    judge.prepare(digits.images[:100])
    images = digits.images[:50]
    found = middle_features(judge, CPU)(images)
    assert found.shape[0] == 50
    assert found.dtype == np.float32
    for values in list(judge.trunk.parameters())[-2:]:  # of its last layer
        values.data.zero_()
    assert np.ptp(classifier_features(judge, CPU)(images), axis=0).max() == 0
    assert np.array_equal(middle_features(judge, CPU)(images), found)
    assert not np.allclose(middle_features(judge, CPU)(255 - images), found, atol=1e-2)


def coloured(images: Tensor) -> Tensor:
    """With weak noise between neighbouring pixels."""
    z = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    z = (z - z.roll(1, 2) + z.roll(1, 3) - z.roll((1, 1), (2, 3))) / 2
    return (images + 4 * z).round().clamp(0, 255).byte()


def checkered(images: Tensor) -> Tensor:
    """With the checkerboard that transposed convolutions leave."""
    h, w = images.shape[2:]
    signs = 1 - 2 * ((torch.arange(h)[:, None] + torch.arange(w)) % 2)
    return (images + 3 * signs).clamp(0, 255).byte()


def make(name: str, real: Tensor) -> Extractor:
    return random_features(real, CPU) if name == "random" else statistics(real)


untrained = pytest.mark.parametrize("name", ["random", "statistics"])


class TestUntrained:
    @untrained
    def test_sees_noise_that_people_hardly_see(self, name: str, digits: LabelledImages) -> None:
        extract = make(name, digits.images[:500])
        fresh = digits.images[3500:4000]
        test = extract(digits.images[1000:2200])
        usual = excess_frechet(extract(fresh), test, seed=0)
        assert usual.low < 0.005
        for spoil in (coloured, checkered):
            found = excess_frechet(extract(spoil(fresh)), test, seed=0)
            assert found.low > 2 * abs(usual.e)
            assert found.e > 0.02

    @pytest.mark.slow
    def test_both_see_noise_of_colour_in_photographs(self, real_data: Path) -> None:
        images = read_images("parquet", root=real_data / "cifar10").train.images
        fresh = images[2500:3300]
        for name in ("random", "statistics"):
            extract = make(name, images[:500])
            test = extract(images[500:2500])
            usual, noisy = (
                excess_frechet(extract(x), test, seed=0) for x in (fresh, coloured(fresh))
            )
            assert noisy.low > usual.high

    @untrained
    @pytest.mark.parametrize("shape", [(1, 8, 8), (3, 8, 11), (3, 32, 32), (1, 28, 28)])
    def test_any_size_gives_finite_features_of_the_same_scale(
        self, name: str, shape: tuple[int, int, int]
    ) -> None:
        source = torch.Generator().manual_seed(0)
        real = torch.randint(0, 256, (200, *shape), generator=source, dtype=torch.uint8)
        found = make(name, real)(real)
        d = 64 if name == "random" else 13 if shape[0] == 1 else 22
        assert found.shape == (200, d)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found.mean(axis=0), 0, atol=1e-3)
        assert (found.std(axis=0) < 1.01).all()
        assert (found.std(axis=0) > 0.3).mean() > 0.8

    @untrained
    def test_is_the_same_whenever_it_is_made_and_however_images_are_batched(
        self, name: str, digits: LabelledImages
    ) -> None:
        first, again = (make(name, digits.images[:300]) for _ in range(2))
        found = first(digits.images[:700])
        assert np.array_equal(found, again(digits.images[:700]))
        np.testing.assert_allclose(first(digits.images[600:603]), found[600:603], atol=1e-3)

    @untrained
    def test_flat_images_are_finite(self, name: str, digits: LabelledImages) -> None:
        flat = torch.stack([torch.zeros(1, 28, 28), torch.full((1, 28, 28), 255)]).byte()
        assert np.isfinite(make(name, digits.images[:300])(flat)).all()

    @untrained
    def test_refuses_what_it_was_not_made_for(self, name: str, digits: LabelledImages) -> None:
        extract = make(name, digits.images[:100])
        with pytest.raises(InputError, match=r"was given \(3, 28, 28\)"):
            extract(digits.images[:2].expand(-1, 3, -1, -1))
        with pytest.raises(InputError, match=r"28 x 7 pixels .* at least 8"):
            make(name, digits.images[:100, ..., :7])
        with pytest.raises(InputError, match="all alike"):
            make(name, digits.images[:1].expand(50, -1, -1, -1))

    def test_statistics_are_those_of_brightness_and_frequency(self) -> None:
        """Two kinds of images that differ in one respect differ in the features, and only then."""
        source = torch.Generator().manual_seed(0)
        real = torch.randint(100, 156, (400, 3, 16, 16), generator=source, dtype=torch.uint8)
        extract = statistics(real)
        usual = extract(real).mean(axis=0)
        assert np.abs(usual - extract(real.flip(3)).mean(axis=0)).max() < 1e-3
        assert np.abs(usual - extract(real + 20).mean(axis=0)).max() > 3
        assert np.abs(usual - extract(real[:, [1, 0, 2]]).mean(axis=0)).max() > 0.05


class TestDINOv2:
    D, SIDE, DEPTH = 64, 5, 2

    @pytest.fixture(scope="class")
    def tensors(self) -> dict[str, Tensor]:
        """Random weights of a small network, by the names of DINOv2."""
        source, d = torch.Generator().manual_seed(0), self.D
        block = {
            "norm1.weight": (d,), "norm1.bias": (d,), "attn.qkv.weight": (3 * d, d),
            "attn.qkv.bias": (3 * d,), "attn.proj.weight": (d, d), "attn.proj.bias": (d,),
            "ls1.gamma": (d,), "norm2.weight": (d,), "norm2.bias": (d,),
            "mlp.fc1.weight": (4 * d, d), "mlp.fc1.bias": (4 * d,), "mlp.fc2.weight": (d, 4 * d),
            "mlp.fc2.bias": (d,), "ls2.gamma": (d,),
        }  # fmt: skip
        shapes = {
            "cls_token": (1, 1, d), "pos_embed": (1, 1 + self.SIDE**2, d), "mask_token": (1, d),
            "patch_embed.proj.weight": (d, 3, 14, 14), "patch_embed.proj.bias": (d,),
            "norm.weight": (d,), "norm.bias": (d,),
            **{f"blocks.{i}.{k}": v for i in range(self.DEPTH) for k, v in block.items()},
        }  # fmt: skip
        return {k: torch.randn(v, generator=source) / math.sqrt(v[-1]) for k, v in shapes.items()}

    def by_definition(self, w: dict[str, Tensor], images: Tensor) -> Tensor:
        """A vision transformer with scaled layers, written out."""
        mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
        x = F.interpolate(images.float() / 255, 224, mode="bilinear", antialias=True)
        x = (x - torch.tensor(mean)[:, None, None]) / torch.tensor(deviation)[:, None, None]
        x = F.conv2d(x, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=14)
        x = x.flatten(2).transpose(1, 2)
        grid = w["pos_embed"][:, 1:].transpose(1, 2).reshape(1, self.D, self.SIDE, self.SIDE)
        grid = F.interpolate(grid, scale_factor=16.1 / self.SIDE, mode="bicubic")
        x = torch.cat([w["cls_token"].expand(len(x), 1, -1), x], dim=1)
        x = x + torch.cat([w["pos_embed"][:, :1], grid.flatten(2).transpose(1, 2)], dim=1)

        def norm(x: Tensor, name: str) -> Tensor:
            return F.layer_norm(x, (self.D,), w[f"{name}.weight"], w[f"{name}.bias"], 1e-6)

        def linear(x: Tensor, name: str) -> Tensor:
            return F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])

        for b in (f"blocks.{i}" for i in range(self.DEPTH)):
            q, k, v = linear(norm(x, f"{b}.norm1"), f"{b}.attn.qkv").chunk(3, dim=-1)
            seen = torch.softmax(q @ k.transpose(1, 2) / math.sqrt(self.D), dim=-1) @ v
            x = x + w[f"{b}.ls1.gamma"] * linear(seen, f"{b}.attn.proj")
            inner = F.gelu(linear(norm(x, f"{b}.norm2"), f"{b}.mlp.fc1"))
            x = x + w[f"{b}.ls2.gamma"] * linear(inner, f"{b}.mlp.fc2")
        return norm(x, "norm")[:, 0]

    @pytest.mark.parametrize("suffix", ["pth", "safetensors"])
    def test_computes_what_its_paper_says(
        self, tensors: dict[str, Tensor], tmp_path: Path, suffix: str, digits: LabelledImages
    ) -> None:
        save = torch.save if suffix == "pth" else safetensors.torch.save_file
        save(tensors, tmp_path / f"weights.{suffix}")
        extract = dinov2_features(tmp_path / f"weights.{suffix}", CPU)
        images = digits.images[:3]
        expected = self.by_definition(tensors, images.expand(-1, 3, -1, -1)).numpy()
        np.testing.assert_allclose(extract(images), expected, rtol=1e-3, atol=1e-4)
        assert not np.allclose(expected[0], expected[1], rtol=0.01)

    def test_says_what_is_missing(self, tmp_path: Path, tensors: dict[str, Tensor]) -> None:
        for path in (None, tmp_path / "nothing.pth"):
            with pytest.raises(InputError, match="given as the weights of DINOv2"):
                dinov2_features(path, CPU)
        (tmp_path / "text.pth").write_bytes(b"no weights")
        torch.save({"cls_token": tensors["cls_token"]}, tmp_path / "part.pth")
        torch.save(tensors | {"norm.bias": torch.zeros(3)}, tmp_path / "other.pth")
        torch.save(Path("a"), tmp_path / "pickle.pth")
        (tmp_path / "text.safetensors").write_bytes(b"no weights")
        for name in ("text.pth", "part.pth", "other.pth", "pickle.pth", "text.safetensors"):
            with pytest.raises(InputError, match=f"{name} could not be read as weights of DINOv2"):
                dinov2_features(tmp_path / name, CPU)


class TestInception:
    @pytest.fixture(scope="class")
    def weights(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A file of random weights in the form of those of FID."""
        module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
        folder = tmp_path_factory.mktemp("inception")
        torch.save({}, folder / "none.pth")
        with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            patch.setattr(nn.Module, "load_state_dict", lambda *_, **__: None)
            model = module.FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], str(folder / "none.pth")
            )
        torch.save(model.state_dict(), folder / "weights.pth")
        return folder / "weights.pth"

    def test_grey_images_are_seen_as_grey_in_three_channels(
        self, weights: Path, digits: LabelledImages
    ) -> None:
        extract = inception_features(weights, CPU)
        grey, colour = digits.images[:3], digits.images[:3].expand(-1, 3, -1, -1)
        found = extract(grey)
        assert found.shape == (3, 2048)
        assert np.array_equal(found, extract(colour))
        assert not np.array_equal(found[0], found[1])

    def test_says_how_to_get_weights(self) -> None:
        pytest.importorskip("torch_fidelity")
        with pytest.raises(InputError, match="give their file as weights"):
            inception_features(None, CPU)

    def test_names_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        pytest.importorskip("torch_fidelity")
        with pytest.raises(InputError, match=r"nothing\.pth does not exist"):
            inception_features(tmp_path / "nothing.pth", CPU)

    @pytest.mark.parametrize("content", [b"", b"no weights"])
    def test_names_a_file_that_holds_something_else(self, tmp_path: Path, content: bytes) -> None:
        pytest.importorskip("torch_fidelity")
        (tmp_path / "broken.pth").write_bytes(content)
        with pytest.raises(InputError, match=r"broken\.pth"):
            inception_features(tmp_path / "broken.pth", CPU)

    def test_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        name = "torch_fidelity.feature_extractor_inceptionv3"
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(InputError, match="pip install torch-fidelity"):
            inception_features(None, CPU)
