"""The network builds itself for any image, and a file gives back the network that wrote it."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from hvrt_diffuser.autoencoders import Architecture, Autoencoder, ConvolutionalAutoencoder
from hvrt_diffuser.autoencoders.objective import kl_to_standard_normal
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import write_tensors
from hvrt_diffuser.common.seeding import borrowed_seed
from hvrt_diffuser.data.images import LabelledImages

SHAPES = [(1, 28, 28), (3, 32, 32), (1, 17, 23), (3, 64, 48)]
SMALL = Architecture(shape=(1, 17, 23), latent_dim=5, width=4, depth=2)


def build(architecture: Architecture) -> ConvolutionalAutoencoder:
    with borrowed_seed(0):
        return ConvolutionalAutoencoder(architecture).eval()


@pytest.mark.parametrize("variational", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_an_image_comes_back_in_its_own_shape(
    shape: tuple[int, int, int], depth: int, variational: bool
) -> None:
    model = build(Architecture(shape, latent_dim=5, width=4, depth=depth, variational=variational))
    mean, log_variance = model.encode(torch.rand(2, *shape))
    assert mean.shape == (2, 5)
    if variational:
        assert log_variance is not None
        assert log_variance.shape == (2, 5)
    else:
        assert log_variance is None
    assert model.decode(mean).shape == (2, *shape)


@pytest.mark.parametrize("shape", SHAPES)
def test_residual_blocks_keep_every_shape(shape: tuple[int, int, int]) -> None:
    model = build(Architecture(shape, latent_dim=5, width=4, depth=2, residual_blocks=2))
    assert model.decode(model.encode(torch.rand(2, *shape))[0]).shape == (2, *shape)


@pytest.mark.parametrize("variational", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_principal_components_keep_every_shape(
    shape: tuple[int, int, int], variational: bool
) -> None:
    options = {"latent_dim": 5, "width": 4, "depth": 2, "variational": variational}
    model = build(Architecture(shape, **options, principal_path=True))
    mean, log_variance = model.encode(torch.rand(2, *shape))
    assert mean.shape == (2, 5)
    assert (log_variance is not None) == variational
    assert model.decode(mean).shape == (2, *shape)


def test_more_principal_components_than_pixels_are_refused() -> None:
    Architecture((1, 4, 4), latent_dim=16, width=4, depth=2, principal_path=True)
    with pytest.raises(InputError, match="latent_dim is 17, expected at most 16, the numbers"):
        Architecture((1, 4, 4), latent_dim=17, width=4, depth=2, principal_path=True)


def test_a_residual_block_changes_what_passes_by_what_it_adds_alone() -> None:
    """With its last convolution at zero the network is the one without it."""
    plain, residual = build(SMALL), build(replace(SMALL, residual_blocks=1))
    added = [m for m in residual.modules() if type(m).__name__ == "_ResidualBlock"]
    assert len(added) == 2 * SMALL.depth
    for block in added:
        torch.nn.init.zeros_(block.net[-1].weight)  # type: ignore[union-attr, index, arg-type]
    own = {id(p) for block in added for p in block.parameters()}
    with torch.no_grad():
        shared = [p for p in residual.parameters() if id(p) not in own]
        for mine, theirs in zip(shared, plain.parameters(), strict=True):
            mine.copy_(theirs)
    x = torch.rand(2, *SMALL.shape)
    assert torch.equal(plain.encode(x)[0], residual.encode(x)[0])


@pytest.mark.parametrize("shape", SHAPES)
def test_every_pixel_is_seen_and_every_pixel_is_made(shape: tuple[int, int, int]) -> None:
    model = build(Architecture(shape, latent_dim=16, width=8, depth=2))
    x = torch.rand(1, *shape, requires_grad=True)
    (seen,) = torch.autograd.grad(model.encode(x)[0].square().sum(), x)
    assert (seen != 0).all()
    a, b = model.decode(torch.randn(2, 16))
    assert (a != b).all()


@pytest.mark.parametrize(
    ("shape", "depth"), [((1, 7, 28), 3), ((1, 28, 3), 2), ((3, 1, 1), 1), ((1, 28, 28), 5)]
)
def test_an_image_too_small_to_halve_is_refused(shape: tuple[int, int, int], depth: int) -> None:
    _, h, w = shape
    with pytest.raises(InputError, match=f"{h}x{w} .* {depth} times, expected .* {2**depth}: "):
        Architecture(shape, latent_dim=5, width=4, depth=depth)


def test_the_smallest_image_that_can_be_halved_is_taken() -> None:
    model = build(Architecture((1, 8, 8), latent_dim=2, width=4, depth=3))
    assert model.decode(model.encode(torch.rand(3, 1, 8, 8))[0]).shape == (3, 1, 8, 8)


@pytest.mark.parametrize("variational", [False, True])
def test_a_loaded_network_gives_the_same_output(tmp_path: Path, variational: bool) -> None:
    model = build(replace(SMALL, variational=variational))
    model.train()
    model.decode(model.encode(torch.rand(8, 1, 17, 23))[0])  # moves the running statistics
    model.eval().save(tmp_path / "autoencoder")
    loaded = Autoencoder.load(tmp_path / "autoencoder")
    assert loaded.architecture == model.architecture
    assert not loaded.training
    x = torch.rand(4, 1, 17, 23)
    for a, b in zip(model.encode(x), loaded.encode(x), strict=True):
        assert (a is None and b is None) or torch.equal(a, b)
    z = torch.randn(4, 5)
    assert torch.equal(model.decode(z), loaded.decode(z))


def test_a_trained_network_comes_back_as_it_was(
    autoencoder: Autoencoder, digits: LabelledImages, tmp_path: Path
) -> None:
    autoencoder.save(tmp_path / "one")
    loaded = Autoencoder.load(tmp_path / "one")
    loaded.save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    x = digits.images[:40].float() / 255
    with torch.inference_mode():
        assert torch.equal(autoencoder.encode(x)[0], loaded.encode(x)[0])


@pytest.mark.parametrize(
    "change",
    [
        {"width": 8},
        {"depth": 1},
        {"latent_dim": 6},
        {"variational": True},
        {"shape": (3, 17, 23)},
        {"residual_blocks": 1},
        {"principal_path": True},
    ],
)
def test_weights_of_another_network_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    header = {"kind": "autoencoder", "architecture": asdict(replace(SMALL, **change))}
    write_tensors(tmp_path / "file", build(SMALL).state_dict(), header)
    with pytest.raises(InputError, match="weights of another network"):
        Autoencoder.load(tmp_path / "file")


def test_a_missing_weight_is_refused(tmp_path: Path) -> None:
    weights = build(SMALL).state_dict()
    weights.popitem()
    header = {"kind": "autoencoder", "architecture": asdict(SMALL)}
    write_tensors(tmp_path / "file", weights, header)
    with pytest.raises(InputError, match="weights of another network"):
        Autoencoder.load(tmp_path / "file")


@pytest.mark.parametrize("share", [0, 0.1, 0.999])
def test_a_file_cut_short_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "autoencoder"
    build(SMALL).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match="cut short"):
        Autoencoder.load(path)


def test_the_variance_of_a_posterior_is_a_number_however_far_the_weights_go() -> None:
    model = build(Architecture((1, 8, 8), latent_dim=3, width=4, depth=1, variational=True))
    with torch.no_grad():
        for parameter in model.encoder[-1].parameters():
            parameter.mul_(1e6)
    mean, log_variance = model.encode(torch.rand(5, 1, 8, 8))
    assert log_variance is not None
    assert kl_to_standard_normal(mean, log_variance).isfinite()
    assert torch.exp(log_variance).max() > 1e6  # and it was far indeed
