"""To latents and back: an image's bytes do not depend on the company in which it is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from hvrt_diffuser.autoencoders import (
    Architecture,
    Autoencoder,
    ConvolutionalAutoencoder,
    decode_latents,
    encode_images,
    to_uint8,
)
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages

CPU = torch.device("cpu")


def test_to_uint8_gives_back_every_grey_level() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(to_uint8(levels.float() / 255), levels)


@given(st.floats(0, 1))
def test_to_uint8_gives_the_nearest_level(x: float) -> None:
    assert abs(int(to_uint8(torch.tensor(x, dtype=torch.float64))) - 255 * x) <= 0.5


@pytest.mark.parametrize("n", [1, 2, 7, 31, 32, 33, 255, 256, 257, 300])
def test_decoded_bytes_do_not_depend_on_how_many_are_decoded(
    autoencoder: Autoencoder, latents: Tensor, n: int
) -> None:
    all_of_them = decode_latents(autoencoder, latents[:600], CPU)
    assert torch.equal(decode_latents(autoencoder, latents[:n], CPU), all_of_them[:n])
    assert torch.equal(
        decode_latents(autoencoder, latents[290 : 290 + n], CPU)[:5],
        all_of_them[290 : 290 + min(n, 5)],
    )


def test_decoded_bytes_do_not_depend_on_the_company(
    autoencoder: Autoencoder, latents: Tensor
) -> None:
    alone = decode_latents(autoencoder, latents[:40], CPU)
    strange = torch.cat([torch.full((40, 8), 1e3), latents[:40]])
    assert torch.equal(decode_latents(autoencoder, strange, CPU)[40:], alone)


def test_reconstructions_resemble_their_image_more_than_others(
    autoencoder: Autoencoder, latents: Tensor, digits: LabelledImages
) -> None:
    decoded = decode_latents(autoencoder, latents[:200], CPU)
    assert decoded.dtype == torch.uint8
    assert decoded.shape == (200, 1, 28, 28)
    both = torch.cat([decoded, digits.images[:200]]).flatten(1).float()
    likeness = torch.corrcoef(both)[:200, 200:]
    assert (likeness.argsort(descending=True)[:, :5] == torch.arange(200)[:, None]).any(
        1
    ).sum() > 100


def test_pixels_are_rounded_and_not_cut(autoencoder: Autoencoder, latents: Tensor) -> None:
    decoded = decode_latents(autoencoder, latents[:256], CPU)
    with torch.inference_mode():
        exact = torch.sigmoid(autoencoder.decode(latents[:256]).double()) * 255
    assert (decoded - exact).abs().max() < 0.5 + 1e-3


@pytest.mark.parametrize("n", [1, 7, 33, 300])
def test_latents_do_not_depend_on_how_many_images_are_encoded(
    autoencoder: Autoencoder, latents: Tensor, digits: LabelledImages, n: int
) -> None:
    encoded, _ = encode_images(autoencoder, digits.images[:n], CPU)
    torch.testing.assert_close(encoded, latents[:n], rtol=1e-4, atol=1e-4)


def test_a_plain_autoencoder_has_no_posterior(
    autoencoder: Autoencoder, digits: LabelledImages
) -> None:
    encoded, deviations = encode_images(autoencoder, digits.images[:3], CPU)
    assert encoded.shape == (3, 8)
    assert encoded.dtype == torch.float32
    assert not encoded.requires_grad
    assert deviations is None


def test_a_vae_gives_the_mean_and_the_deviation_of_its_posterior(digits: LabelledImages) -> None:
    model = ConvolutionalAutoencoder(Architecture((1, 28, 28), 4, 4, 2, variational=True)).eval()
    encoded, deviations = encode_images(model, digits.images[:40], CPU)
    with torch.inference_mode():
        mean, log_variance = model.encode(digits.images[:40].float() / 255)
    assert log_variance is not None
    torch.testing.assert_close(encoded, mean)
    torch.testing.assert_close(deviations.square().log(), log_variance, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "spoil", [lambda z: z[:, :7], lambda z: z[0], lambda z: z[:, :, None], lambda z: z[:, :0]]
)
def test_latents_of_another_network_are_refused(
    autoencoder: Autoencoder, latents: Tensor, spoil: Callable[[Tensor], Tensor]
) -> None:
    with pytest.raises(InputError, match="latent_dim 8"):
        decode_latents(autoencoder, spoil(latents[:5]), CPU)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_latents_that_are_not_finite_are_refused(
    autoencoder: Autoencoder, latents: Tensor, value: float
) -> None:
    spoilt = latents[:300].clone()
    spoilt[299, 7] = value
    with pytest.raises(InputError, match="NaN or infinite"):
        decode_latents(autoencoder, spoilt, CPU)


@pytest.mark.parametrize("shape", [(1, 28, 27), (3, 28, 28), (28, 28)])
def test_images_of_another_shape_are_refused(
    autoencoder: Autoencoder, shape: tuple[int, ...]
) -> None:
    with pytest.raises(InputError, match=r"\(1, 28, 28\) and was given"):
        encode_images(autoencoder, torch.zeros(4, *shape, dtype=torch.uint8), CPU)


def test_neither_way_touches_the_global_generators(
    autoencoder: Autoencoder, digits: LabelledImages, global_generators_untouched: Any
) -> None:
    with global_generators_untouched():
        decode_latents(autoencoder, encode_images(autoencoder, digits.images[:5], CPU)[0], CPU)


# ---- a lower precision


def test_bfloat16_moves_pixels_by_a_few_steps(autoencoder: Autoencoder, latents: Tensor) -> None:
    exact = decode_latents(autoencoder, latents[:600], CPU).int()
    fast = decode_latents(autoencoder, latents[:600], CPU, "bfloat16").int()
    difference = (exact - fast).abs()
    assert 0 < difference.max() < 16
    assert difference.float().mean() < 0.5


@pytest.mark.parametrize("n", [1, 7, 33, 257])
def test_images_in_bfloat16_do_not_depend_on_how_many_are_made(
    autoencoder: Autoencoder, latents: Tensor, n: int
) -> None:
    whole = decode_latents(autoencoder, latents[:600], CPU, "bfloat16")
    assert torch.equal(decode_latents(autoencoder, latents[:n], CPU, "bfloat16"), whole[:n])


def test_latents_in_float64_are_decoded_as_those_in_float32(
    autoencoder: Autoencoder, latents: Tensor
) -> None:
    exact = decode_latents(autoencoder, latents[:40], CPU)
    assert torch.equal(decode_latents(autoencoder, latents[:40].double(), CPU), exact)
