"""Classifiers build themselves for any image, and a file gives back the network that wrote it."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from hvrt_diffuser.classifiers import Classifier, NetworkName
from hvrt_diffuser.classifiers.whitened import whitening
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import read_tensors, write_tensors
from hvrt_diffuser.data.images import LabelledImages

SHAPES = [(1, 28, 28), (3, 32, 32), (1, 17, 23), (3, 64, 48), (1, 5, 3)]
networks = pytest.mark.parametrize("network", get_args(NetworkName))
shapes = pytest.mark.parametrize("shape", SHAPES)


def noise(n: int, shape: tuple[int, ...], seed: int = 0) -> Tensor:
    source = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (n, *shape), generator=source, dtype=torch.uint8)


def build(
    shape: tuple[int, int, int],
    n_classes: int = 10,
    width: int = 4,
    network: NetworkName = "strided",
    *,
    mirrored: bool = False,
) -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = Classifier(shape, n_classes, width, network, mirrored=mirrored)
    model.prepare(noise(20, shape))
    return model.eval()


@networks
@shapes
def test_images_of_any_size_give_64_features_and_a_logit_per_class(
    shape: tuple[int, int, int], network: NetworkName
) -> None:
    model = build(shape, n_classes=7, network=network)
    x = torch.rand(3, *shape)
    features = model.features(x)
    assert features.shape == (3, 64)
    assert model.logits(features).shape == (3, 7)
    assert torch.equal(model(x), model.logits(features))


@networks
@shapes
def test_what_is_seen_half_way_is_a_mean_over_the_image(
    shape: tuple[int, int, int], network: NetworkName
) -> None:
    model = build(shape, network=network)
    x = torch.rand(3, *shape)
    found = model.middle(x)
    assert found.shape[0] == 3
    assert found.shape[1] >= 4
    assert found.ndim == 2
    torch.testing.assert_close(model.middle(x[1:2]), found[1:2], rtol=1e-4, atol=1e-5)


@shapes
def test_every_pixel_is_seen(shape: tuple[int, int, int]) -> None:
    x = torch.rand(1, *shape, requires_grad=True)
    (seen,) = torch.autograd.grad(build(shape, width=8).features(x).square().sum(), x)
    assert (seen != 0).all()


@shapes
def test_every_pixel_is_seen_half_way_behind_whitened_patches(shape: tuple[int, int, int]) -> None:
    """In the end the largest value counts alone."""
    x = torch.rand(1, *shape, requires_grad=True)
    trunk = build(shape, width=8, network="whitened").trunk
    (seen,) = torch.autograd.grad(trunk.whitened(x).square().sum(), x)
    assert (seen != 0).all()


@networks
@shapes
def test_mirrored_an_image_and_its_mirror_image_are_seen_alike(
    shape: tuple[int, int, int], network: NetworkName, tmp_path: Path
) -> None:
    """As the mean of what a network that is not mirrored sees in both."""
    model, plain = build(shape, network=network, mirrored=True), build(shape, network=network)
    x = torch.rand(3, *shape)
    for seen in ("features", "middle"):
        alike, one, other = (
            getattr(m, seen)(each) for m, each in ((model, x), (plain, x), (plain, x.flip(3)))
        )
        assert not torch.allclose(one, other)
        torch.testing.assert_close(alike, (one + other) / 2)
        torch.testing.assert_close(getattr(model, seen)(x.flip(3)), alike)
    model.save(tmp_path / "model")
    assert torch.equal(Classifier.load(tmp_path / "model")(x), model(x))
    for each in (model, plain):
        each.train()
    assert torch.equal(model(x), plain(x))  # which sees them by turns then


@networks
@shapes
def test_a_loaded_network_gives_the_same_output(
    shape: tuple[int, int, int], network: NetworkName, tmp_path: Path
) -> None:
    model = build(shape, network=network)
    model.train()
    model(torch.rand(8, *shape))  # moves the running statistics
    model.eval().save(tmp_path / "one")
    loaded = Classifier.load(tmp_path / "one")
    assert not loaded.training
    assert (loaded.shape, loaded.n_classes, loaded.width) == (shape, 10, 4)
    assert loaded.network == network
    assert loaded.fingerprint() == model.fingerprint()
    x = torch.rand(4, *shape)
    assert torch.equal(model(x), loaded(x))
    loaded.save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@networks
@pytest.mark.parametrize("change", [{"width": 8}, {"n_classes": 11}, {"shape": [3, 28, 28]}])
def test_weights_of_another_network_are_refused(
    tmp_path: Path, network: NetworkName, change: dict[str, object]
) -> None:
    path = tmp_path / "classifier"
    build((1, 28, 28), network=network).save(path)
    tensors, header = read_tensors(path, "classifier", "whitened classifier")
    write_tensors(path, tensors, header | change)
    with pytest.raises(InputError, match="weights of another network"):
        Classifier.load(path)


def test_weights_of_the_other_kind_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "classifier"
    build((1, 28, 28), network="whitened").save(path)
    tensors, header = read_tensors(path, "whitened classifier")
    write_tensors(path, tensors, header | {"kind": "classifier"})
    with pytest.raises(InputError, match="weights of another network"):
        Classifier.load(path)
    write_tensors(path, tensors, header | {"kind": "autoencoder"})
    with pytest.raises(InputError, match="holds 'autoencoder' where 'classifier' or 'whitened"):
        Classifier.load(path)


@networks
@pytest.mark.parametrize("share", [0, 0.1, 0.999])
def test_a_file_cut_short_is_refused(tmp_path: Path, network: NetworkName, share: float) -> None:
    path = tmp_path / "classifier"
    build((1, 28, 28), network=network).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match="cut short"):
        Classifier.load(path)


# ---- whitening


def patches(images: Tensor) -> Tensor:
    """What the first layer of a prepared network gives, (f, p), without the opposite signs."""
    c, h, w = images.shape[1:]
    trunk = build((c, h, w), network="whitened").trunk
    trunk.prepare(images)
    found: Tensor = trunk.whitened(images.float() / 255).transpose(0, 1).flatten(1)
    n = len(found) // 2
    torch.testing.assert_close(found[n:], -found[:n])
    return found[:n].double()


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 16, 12), (3, 2, 2)])
def test_whitened_patches_have_identity_covariance(shape: tuple[int, int, int]) -> None:
    """Of noise in mixed channels about unequal means."""
    x = noise(400, shape).double()
    mixed = 40 + x / 2 + x.roll(1, 1) / 8 + x.roll(1, 3) / 8
    found = patches(mixed.round().byte())
    assert found.shape[0] == 4 * shape[0]
    torch.testing.assert_close(found.mean(1), torch.zeros(len(found)).double(), rtol=0, atol=1e-3)
    expected = torch.eye(len(found)).double()
    torch.testing.assert_close(torch.cov(found), expected, rtol=0, atol=0.02)


def test_whitened_digits_are_uncorrelated_and_no_rounding_is_blown_up(
    digits: LabelledImages,
) -> None:
    found = torch.cov(patches(digits.images[:500]))
    variances = found.diagonal()
    assert (found - variances.diag()).abs().max() < 1e-3
    assert (variances <= 1.001).all()
    assert (variances > 0.9).all()  # each direction of digits is far above the noise


def test_images_that_are_all_alike_have_a_whitening() -> None:
    kernels, shifts = whitening(torch.full((5, 3, 8, 8), 200, dtype=torch.uint8))
    assert kernels.isfinite().all()
    found = F.conv2d(torch.full((1, 3, 8, 8), 200 / 255), kernels, shifts)
    assert found.abs().max() < 1e-3
