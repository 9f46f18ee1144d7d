"""From images to features; a figure is named after the extractor that it was measured in."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Literal

import numpy as np
import safetensors.torch
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import VisionTransformer

from hvrt_diffuser.autoencoders import Autoencoder, encode_images
from hvrt_diffuser.classifiers import Classifier, classify, look_within
from hvrt_diffuser.common.colour import LUMA_CHROMA
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.seeding import generator

__all__ = [
    "Extractor",
    "ExtractorName",
    "classifier_features",
    "dinov2_features",
    "encoder_features",
    "inception_features",
    "middle_features",
    "pixels",
    "random_features",
    "statistics",
]

Array = NDArray[np.float32]
Extractor = Callable[[Tensor], Array]
"""From uint8 images (n, c, h, w) to float32 features (n, f)."""

ExtractorName = Literal[
    "classifier",
    "classifier_middle",
    "encoder",
    "pixels",
    "random",
    "statistics",
    "inception",
    "dinov2",
]
"""``classifier`` is the default; ``inception`` gives the only figure that may be called FID."""

INCEPTION_BATCH = 50
BATCH = 500  # images at a time, at most
PIXELS_AT_ONCE = 2**19  # and pixels of them
SCALED_BY = 2**21  # pixels of the images that scale a random network
FOR_SCALES = 2000  # real images that whiten and standardise
FARTHEST = 3.0  # deviations
SMALLEST = 8  # pixels of a side
WIDTH = 32  # channels of a random layer
PATCH = 5  # pixels of a side of what its first layer sees
BANDS = (0.0, 0.125, 0.25, 0.375, 1.0)  # edges, cycles a pixel
Layer = tuple[Tensor, Tensor]
DINOV2_SIDE = 16  # patches of 14 pixels in an image of 224
DINOV2_LAYERS = (
    # torchvision's name, that of its authors, and what scales its output
    ("ln_1.", "norm1", None),
    ("self_attention.in_proj_", "attn.qkv", None),
    ("self_attention.out_proj.", "attn.proj", "ls1"),
    ("ln_2.", "norm2", None),
    ("mlp.0.", "mlp.fc1", None),
    ("mlp.3.", "mlp.fc2", "ls2"),
)


def classifier_features(judge: Classifier, device: torch.device) -> Extractor:
    """The 64 features before the last layer of a classifier of the same images."""
    return lambda images: classify(judge, images, device)[0].numpy()


def middle_features(judge: Classifier, device: torch.device) -> Extractor:
    """What the same classifier sees before its last convolutions, averaged over the image.

    A network that is to tell classes apart drops on its way what does not tell them.
    """
    return lambda images: look_within(judge, images, device).numpy()


def encoder_features(autoencoder: Autoencoder, device: torch.device) -> Extractor:
    """The latents of an autoencoder: features in which its own samples may look better."""
    return lambda images: encode_images(autoencoder, images, device)[0].numpy()


def pixels(images: Tensor) -> Array:
    """Pixels in [0, 1]."""
    flat: Array = images.flatten(1).numpy().astype(np.float32)
    return flat / np.float32(255)


def inception_features(
    weights: Path | None, device: torch.device, *, download: bool = False
) -> Extractor:
    """The 2,048 features of Inception-v3 with the weights of FID, by torch-fidelity.

    Args:
        weights: the file ``pt_inception-2015-12-05-6726825d.pth``; None needs ``download``.
        device: where to compute.
        download: let torch-fidelity fetch the weights.

    Raises:
        InputError: torch-fidelity is not installed, there are no weights, or they do not fit.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        raise InputError(
            "torch-fidelity is not installed, which the extractor inception needs: "
            "pip install torch-fidelity, or leave inception out"
        ) from error
    if weights is None and not download:
        raise InputError(
            "the extractor inception was given no weights: give their file as weights, or "
            "download=True to fetch them"
        )
    if weights is not None and not weights.is_file():
        raise InputError(
            f"{weights} does not exist, where the weights of Inception-v3 were expected: correct "
            "weights"
        )
    try:
        if weights is not None:
            # torch-fidelity would unpickle anything: what is more than tensors stops here.
            torch.load(weights, map_location="cpu", weights_only=True)
        model = FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], None if weights is None else str(weights)
        )
    except Exception as error:  # a file of something else fails in many ways
        raise InputError(
            f"the weights of Inception-v3 ({weights or 'fetched'}) could not be read "
            f"({type(error).__name__}), expected those of torch-fidelity or torchmetrics: "
            "correct weights"
        ) from error
    model = model.to(device).eval()

    @torch.inference_mode()
    def extract(images: Tensor) -> Array:
        rgb = images.expand(-1, 3, -1, -1)  # a grey image three times
        batches = rgb.split(INCEPTION_BATCH)
        return torch.cat([model(batch.to(device))[0].cpu() for batch in batches]).numpy()

    return extract


# ---- untrained: nothing was made to please them


def random_features(real: Tensor, device: torch.device) -> Extractor:
    """64 whitened features of an untrained network, which sees what trained ones ignore.

    Its first layer whitens patches of 5 x 5 pixels: what real images hardly ever show, such as
    noise in fine structure or in colour, is as large after it as what they are full of. Two random
    layers follow, with rectifiers of both signs (CReLU, Shang et al. 2016, arXiv 1603.05201), each
    scaled by the real images in place of training (Mishkin & Matas 2016, arXiv 1511.06422). The
    features are mean magnitudes of the first layer, and means of the last one by quarter.

    Args:
        real: uint8 (n, c, h, w), of which at most 2,000 set the scales; others than those that are
            compared, best the training images.
        device: where to compute.

    Raises:
        InputError: images smaller than 8 pixels, or alike.
    """
    some = _some(real)
    few = some[: min(BATCH, max(1, SCALED_BY // (some.shape[2] * some.shape[3])))]
    layers = [(kernels.to(device), shift.to(device)) for kernels, shift in _layers(few)]
    return _whitened(partial(_random, layers=layers), some)


def statistics(real: Tensor) -> Extractor:
    """Whitened statistics of each image: brightness, colour and frequencies.

    Of luma mean, deviation, five quantiles and the amplitude in four bands of frequencies; of each
    chroma mean and deviation, and their correlation; of each channel the mean magnitude of
    gradient and Laplacian. That is 22 of a colour image and 13 of a grey one, less those that are
    constant in the real images.

    Args, raises: as :func:`random_features`.
    """
    return _whitened(_statistics, _some(real))


def _some(real: Tensor) -> Tensor:
    if min(real.shape[2:]) < SMALLEST:
        raise InputError(
            f"images of {real.shape[2]} x {real.shape[3]} pixels were given, expected at least "
            f"{SMALLEST} a side for the extractors random and statistics: give larger images"
        )
    order = torch.randperm(len(real), generator=generator(0, "extractors", "real"))
    return real[order[:FOR_SCALES]]


def _whitened(raw: Callable[[Tensor], Tensor], real: Tensor) -> Extractor:
    """Features with the mean and, down to a hundredth of the largest, the variances of real ones.

    A Fréchet distance is one of variances: what varies little would count for nothing. Values
    beyond three deviations count as three, so that no few images are all that is seen.
    """

    def extract(images: Tensor) -> NDArray[np.float64]:
        if images.shape[1:] != real.shape[1:]:
            raise InputError(
                f"the extractor was made for images of shape {tuple(real.shape[1:])} and was given "
                f"{tuple(images.shape[1:])}: make it of images of this shape"
            )
        found: NDArray[np.float64] = torch.cat([raw(b) for b in _batches(images)]).double().numpy()
        return found

    reference = extract(real)
    mean, deviation = reference.mean(axis=0), reference.std(axis=0)
    varies = deviation > 1e-6
    if not varies.any():
        raise InputError(
            f"{len(real):,} real images are all alike, expected images that differ: give others"
        )
    mean, deviation = mean[varies], deviation[varies]

    def scaled(features: NDArray[np.float64]) -> NDArray[np.float64]:
        return ((features[:, varies] - mean) / deviation).clip(-FARTHEST, FARTHEST)

    usual = scaled(reference)
    center = usual.mean(axis=0)
    values, vectors = np.linalg.eigh((usual - center).T @ (usual - center) / len(usual))
    whitening = vectors / np.sqrt(values.clip(min=0) + 0.01 * values[-1])
    return lambda images: ((scaled(extract(images)) - center) @ whitening).astype(np.float32)


def _batches(images: Tensor) -> Sequence[Tensor]:
    """Images, a few at a time where they are large."""
    pixels = images.shape[2] * images.shape[3]
    return images.split(min(BATCH, max(1, PIXELS_AT_ONCE // pixels)))


def _layers(real: Tensor) -> list[Layer]:
    """Kernels and shifts, from real images, uint8 (n, c, h, w)."""
    source = generator(0, "extractors", "random")
    batches = [batch.float() / 255 for batch in _batches(real)]
    mean, covariance = _moments(
        F.unfold(batch, PATCH).transpose(1, 2).flatten(0, 1) for batch in batches
    )  # of (p, 25 c)
    values, vectors = torch.linalg.eigh(covariance)
    directions = torch.randn(WIDTH, len(values), generator=source, dtype=torch.float64)
    scales = (values.clamp_min(0) + 1e-4 * values[-1] + 1e-12).sqrt()
    first = F.normalize(directions) / scales @ vectors.T  # (32, 25 c)
    layers = [(first.float().view(WIDTH, -1, PATCH, PATCH), -(first @ mean).float())]
    for _ in range(2):
        kernels = torch.randn(WIDTH, 2 * WIDTH, 3, 3, generator=source)
        unscaled = [*layers, (kernels, torch.zeros(WIDTH))]
        center, covariance = _moments(
            _maps(batch, unscaled)[-1].transpose(0, 1).flatten(1).T for batch in batches
        )
        deviation = covariance.diagonal().clamp_min(1e-12).sqrt().float()
        layers.append((kernels / deviation[:, None, None, None], -center.float() / deviation))
    return layers


def _moments(parts: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean float64 (f,) and covariance (f, f) of rows (n, f), of which some come at a time."""
    count, mean, products = 0, torch.zeros(()), torch.zeros(())
    for part in parts:
        rows = part.double()
        own = rows.mean(0)
        away, whole = own - mean, count + len(rows)
        rows -= own
        share = count * len(rows) / whole  # (Chan, Golub & LeVeque 1983)
        products = products + rows.T @ rows + torch.outer(away, away) * share
        mean = mean + away * len(rows) / whole
        count = whole
    return mean, products / (count - 1)


def _maps(x: Tensor, layers: Sequence[Layer]) -> list[Tensor]:
    """What each layer gives, before its rectifier; (n, 32, ...) each."""
    (kernels, shift), *later = layers
    found = [F.conv2d(F.pad(x, (PATCH // 2,) * 4, mode="replicate"), kernels, shift)]
    for place, (kernels, shift) in enumerate(later):
        x, magnitude = found[-1], found[-1].abs()
        if place == 0:  # before they are joined, which is faster
            x, magnitude = F.avg_pool2d(x, 2), F.avg_pool2d(magnitude, 2)
        x = torch.cat([magnitude + x, magnitude - x], dim=1) / 2  # rectified, of both signs
        found.append(F.conv2d(x, kernels, shift, stride=2 - place, padding=1))
    return found


def _random(images: Tensor, layers: Sequence[Layer]) -> Tensor:
    """Features (n, 64) of uint8 images."""
    device = layers[0][0].device
    first, *_, last = _maps(images.to(device).float() / 255, layers)
    quarters = F.adaptive_avg_pool2d(last[:, : WIDTH // 4].relu(), 2).flatten(1)
    return torch.cat([first.abs().mean((2, 3)), quarters], dim=1).cpu()


def _statistics(images: Tensor) -> Tensor:
    """Float64 (n, 22) of uint8 colour images, (n, 13) of grey ones."""
    x = images.double() / 255
    h, w = x.shape[2:]
    luma = x[:, 0]
    found = []
    if x.shape[1] == 3:
        luma, *chroma = torch.einsum("kc,nchw->knhw", x.new_tensor(LUMA_CHROMA), x)
        blue, red = (each.flatten(1) - each.mean((1, 2))[:, None] for each in chroma)
        deviations = [each.std(1) for each in (blue, red)]
        together = (blue * red).mean(1) / (deviations[0] * deviations[1] + 1e-6)
        found += [*(each.mean((1, 2)) for each in chroma), *deviations, together]
    flat = luma.flatten(1)
    quantiles = torch.quantile(flat, x.new_tensor([0.05, 0.25, 0.5, 0.75, 0.95]), dim=1)
    power = torch.fft.fft2(luma, norm="ortho").abs().square()
    rows, columns = (torch.fft.fftfreq(size, dtype=x.dtype) for size in (h, w))
    frequency = torch.hypot(rows[:, None], columns)
    found += [flat.mean(1), flat.std(1), *quantiles]
    for low, high in pairwise(BANDS):
        band = (frequency > low) & (frequency <= high)
        found.append((power * band).mean((1, 2)).sqrt())
    across, down = x.diff(dim=3), x.diff(dim=2)
    curved = across.diff(dim=3)[:, :, 1:-1] + down.diff(dim=2)[..., 1:-1]
    gradient = across.abs().mean((2, 3)) + down.abs().mean((2, 3))
    return torch.stack([*found, *gradient.T, *curved.abs().mean((2, 3)).T], dim=1)


# ---- DINOv2


def dinov2_features(weights: Path | None, device: torch.device) -> Extractor:
    """The class token of DINOv2, 384 (ViT-S/14), 768 (B) or 1,024 features (L).

    Oquab et al. 2023, arXiv 2304.07193; in its features distances agree with people better than in
    Inception's (Stein et al. 2023, arXiv 2306.04675). The network is torchvision's, with the scale
    of each layer multiplied into the weights before it. Images are resized to 224 x 224.

    Args:
        weights: a file such as ``dinov2_vits14_pretrain.pth``, or the same tensors as
            ``.safetensors``.
        device: where to compute.

    Raises:
        InputError: there is no file, or it holds something else.
    """
    if weights is None or not weights.is_file():
        raise InputError(
            f"{weights or 'nothing'} was given as the weights of DINOv2, expected a file such as "
            "dinov2_vits14_pretrain.pth of its authors: fetch it, or leave the extractor dinov2 out"
        )
    try:
        if weights.suffix == ".safetensors":
            tensors = safetensors.torch.load_file(weights)
        else:
            tensors = torch.load(weights, map_location="cpu", weights_only=True)
        model = _dinov2(tensors)
    except Exception as error:  # a file of something else fails in many ways
        raise InputError(
            f"{weights} could not be read as weights of DINOv2 ({type(error).__name__}), expected "
            "those of ViT-S/14, B/14 or L/14 without registers: give their file"
        ) from error
    model = model.to(device).eval()
    mean, deviation = (
        torch.tensor(values, device=device)[:, None, None]
        for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    )

    @torch.inference_mode()
    def extract(images: Tensor) -> Array:
        found = []
        for batch in images.expand(-1, 3, -1, -1).split(INCEPTION_BATCH):
            x = F.interpolate(batch.to(device).float() / 255, 224, mode="bilinear", antialias=True)
            found.append(model((x - mean) / deviation).cpu())
        return torch.cat(found).numpy()

    return extract


def _dinov2(tensors: Mapping[str, Tensor]) -> VisionTransformer:
    """The network of the weights' size, with those weights by torchvision's names."""
    tensors = {name: values.float() for name, values in tensors.items()}
    position = tensors["pos_embed"]  # (1, 1 + 37 * 37, d)
    d, side = position.shape[2], math.isqrt(position.shape[1] - 1)
    depth = 1 + max(int(name.split(".")[1]) for name in tensors if name.startswith("blocks."))
    grid = position[:, 1:].view(1, side, side, d).permute(0, 3, 1, 2)
    # Its authors interpolate by this factor, not to this size.
    scale = (DINOV2_SIDE + 0.1) / side
    grid = F.interpolate(grid, scale_factor=(scale, scale), mode="bicubic")
    grid = grid.flatten(2).transpose(1, 2)  # (1, 256, d)
    named = {
        "class_token": tensors["cls_token"],
        "encoder.pos_embedding": torch.cat([position[:, :1], grid], dim=1),
        "conv_proj.weight": tensors["patch_embed.proj.weight"],
        "conv_proj.bias": tensors["patch_embed.proj.bias"],
        "encoder.ln.weight": tensors["norm.weight"],
        "encoder.ln.bias": tensors["norm.bias"],
    }
    for i in range(depth):
        for ours, theirs, scaled_by in DINOV2_LAYERS:
            for kind in ("weight", "bias"):
                values = tensors[f"blocks.{i}.{theirs}.{kind}"]
                if scaled_by:
                    gamma = tensors[f"blocks.{i}.{scaled_by}.gamma"]
                    values = values * (gamma[:, None] if kind == "weight" else gamma)
                named[f"encoder.layers.encoder_layer_{i}.{ours}{kind}"] = values
    model = VisionTransformer(
        224, 14, depth, d // 64, d, 4 * d, norm_layer=partial(nn.LayerNorm, eps=1e-6)
    )
    model.heads = nn.Identity()
    model.load_state_dict(named)
    return model
