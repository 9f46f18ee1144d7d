"""VQ-VAE: images as grids of codes, and a transformer that draws them one after the other."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from hvrt_diffuser.common.bounds import (
    BatchSize,
    Components,
    LatentDim,
    Layers,
    LearningRate,
    Steps,
    Width,
)
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.precision import Precision
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.image_models.protocol import (
    ImageModel,
    ImageModelEstimator,
    check_images,
    hash_images,
    requested_labels,
)
from hvrt_diffuser.training.checkpoint import Checkpoint
from hvrt_diffuser.training.steps import optimise

__all__ = ["VQVAE", "VQVAEEstimator"]

AT_ONCE = 1024  # images that are drawn, or encoded, together
GROUPS = 8  # of channels that are normalised together
HEADS = 4  # of the transformer's attention


class _Autoencoder(nn.Module):
    """An autoencoder of diffusers with a codebook, a quarter of the image's size in the middle."""

    def __init__(self, shape: Sequence[int], codes: int, code_dim: int, width: int) -> None:
        super().__init__()
        self.size: dict[str, Any] = {
            "shape": list(shape),
            "codes": codes,
            "code_dim": code_dim,
            "width": width,
        }
        try:
            from diffusers import VQModel
        except ImportError as error:
            raise InputError(
                "diffusers is not installed, expected it for a VQ-VAE: "
                "pip install 'hvrt-diffuser[rivals]'"
            ) from error
        c = 4 * shape[0]  # a pixel unshuffle comes first: full size is where time is lost
        self.model: Any = VQModel(
            in_channels=c,
            out_channels=c,
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(width, 2 * width),
            layers_per_block=1,
            latent_channels=code_dim,
            num_vq_embeddings=codes,
            norm_num_groups=GROUPS,
            mid_block_add_attention=False,
        )
        # The published loss commits the encoder by 0.25; diffusers' default has the two terms
        # changed over, to stay with weights of an earlier release.
        self.model.quantize.legacy = False

    @property
    def grid(self) -> tuple[int, int]:
        """Codes of an image, down and across."""
        _, h, w = self.size["shape"]
        return h // 4, w // 4

    def vectors(self, images: Tensor) -> Tensor:
        """Vectors (n, code_dim, *grid) of images uint8 (n, c, h, w), before they are codes."""
        return self.model.encode(_unshuffled(images)).latents

    def codes(self, images: Tensor) -> Tensor:
        """The codes int64 (n, l) of images uint8 (n, c, h, w)."""
        codes: Tensor = self.model.quantize(self.vectors(images))[2][2]
        return codes.view(len(images), -1)

    def decode(self, vectors: Tensor) -> Tensor:
        """What :func:`_unshuffled` gives of the images of codes' vectors."""
        return self.model.decode(vectors, force_not_quantize=True).sample


class _Prior(nn.Module):
    """p(code | codes before it, class): a causal transformer."""

    def __init__(self, n_classes: int, codes: int, places: int, width: int, layers: int) -> None:
        super().__init__()
        self.size = {
            "n_classes": n_classes,
            "codes": codes,
            "places": places,
            "width": width,
            "layers": layers,
        }
        self.label = nn.Embedding(n_classes, width)
        self.code = nn.Embedding(codes, width)
        self.place = nn.Parameter(0.02 * torch.randn(places, width))
        layer = nn.TransformerEncoderLayer(
            width, HEADS, 4 * width, dropout=0.0, activation="gelu", batch_first=True,
            norm_first=True,
        )  # fmt: skip
        self.layers = nn.TransformerEncoder(
            layer, layers, nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.leave = nn.Linear(width, codes)

    def forward(self, codes: Tensor, labels: Tensor) -> Tensor:
        """Logits (n, l + 1, codes) of each code and the one after the last, for codes (n, l)."""
        start = self.label(labels)[:, None]  # (n, 1, width): the class stands before all codes
        x = torch.cat([start, self.code(codes)], dim=1)
        x = x + self.place[: x.shape[1]]
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1], device=x.device)
        logits: Tensor = self.leave(self.layers(x, mask=mask, is_causal=True))
        return logits


@dataclass(frozen=True)
class VQVAE(ImageModel):
    """Draws the codes of an image row by row, and decodes them.

    van den Oord et al. 2017, arXiv 1711.00937.

    Attributes:
        autoencoder: of diffusers, with a codebook.
        prior: of the codes, given the class.
        counts: int64 (k,), the number of images of each class that it was fitted on.
        origin: what it was fitted by, kept in the file's header.
    """

    autoencoder: _Autoencoder
    prior: _Prior
    counts: Tensor
    origin: dict[str, Any]

    form: ClassVar[str] = "VQ-VAE"

    @torch.no_grad()
    def sample(
        self, n: int, labels: Tensor | None = None, *, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`hvrt_diffuser.image_models.ImageModel.sample`."""
        labels = requested_labels(n, labels, self.counts, generator)
        parts = [self.decode(self._draw(own, generator)) for own in labels.split(AT_ONCE)]
        return torch.cat(parts), labels

    def _draw(self, labels: Tensor, source: torch.Generator) -> Tensor:
        codes = labels.new_zeros(len(labels), 0)
        for _ in range(self.prior.size["places"]):
            share = self.prior(codes, labels)[:, -1].softmax(dim=1)
            codes = torch.cat([codes, torch.multinomial(share, 1, generator=source)], dim=1)
        return codes

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """The codes int64 (n, l) of images uint8 (n, c, h, w)."""
        return torch.cat([self.autoencoder.codes(x.to(self.device)) for x in images.split(AT_ONCE)])

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Images uint8 (n, c, h, w) of codes int64 (n, l)."""
        vectors = self.autoencoder.model.quantize.embedding(codes)  # (n, l, code_dim)
        vectors = vectors.transpose(1, 2).reshape(len(codes), -1, *self.autoencoder.grid)
        x = F.pixel_shuffle(self.autoencoder.decode(vectors), 2).clamp(0, 1)
        return (x * 255).round().to(torch.uint8)


def _unshuffled(images: Tensor) -> Tensor:
    """(n, 4c, h/2, w/2) in [0, 1] of uint8 images."""
    return F.pixel_unshuffle(images.float() / 255, 2)


@SAMPLERS.register("vq_vae")
class VQVAEEstimator(ImageModelEstimator):
    """How a VQ-VAE is trained, and then the prior of its codes."""

    what: ClassVar[str] = "a VQ-VAE, and a transformer that draws its codes"

    codes: Components = Field(128, ge=2, description="of the codebook")
    code_dim: LatentDim = Field(16, description="dimensions of a code")
    width: Width = Field(32, ge=8, multiple_of=8, description="channels at half the image's size")
    prior_width: Width = Field(128, ge=4, multiple_of=4, description="of the transformer")
    prior_layers: Layers = Field(4, ge=1, description="of the transformer")
    training_steps: Steps = Field(6000, description="optimiser steps, of each of the two")
    batch_size: BatchSize = Field(128, description="images per step")
    learning_rate: LearningRate = Field(1e-3, description="peak rate of AdamW, one cycle")
    precision: Precision = Field(
        "float32", description="of the convolutions in training; draws are float32"
    )

    def check(self, images: Tensor, labels: Tensor) -> Tensor:
        """See :meth:`hvrt_diffuser.image_models.ImageModelEstimator.check`."""
        counts = check_images(images, labels)
        if images.shape[2] % 4 or images.shape[3] % 4:
            raise InputError(
                f"images of {images.shape[2]}x{images.shape[3]} pixels were given, expected sides "
                "that are multiples of 4: resize them"
            )
        return counts

    def fit(
        self,
        images: Tensor,
        labels: Tensor,
        *,
        seed: int,
        device: torch.device,
        checkpoint: Checkpoint | None = None,
    ) -> VQVAE:
        """See :meth:`hvrt_diffuser.image_models.ImageModelEstimator.fit`.

        A checkpoint of the prior's training lies beside the given one.
        """
        counts = self.check(images, labels)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "VQ-VAE", "weights"))
            autoencoder = _Autoencoder(images.shape[1:], self.codes, self.code_dim, self.width)
            places = math.prod(autoencoder.grid)
            prior = _Prior(len(counts), self.codes, places, self.prior_width, self.prior_layers)
            autoencoder, prior = autoencoder.to(device), prior.to(device)
        images, labels = images.to(device), labels.to(device)
        _spread_codes(autoencoder, images, generator(seed, "VQ-VAE", "codes", device=device))
        # The share of the pixels' variance that is lost, beside the codes' terms of like size.
        some_rows = torch.randperm(len(images), generator=generator(seed, "VQ-VAE", "variance"))
        variance = (images[some_rows[:AT_ONCE].to(device)].float() / 255).var()

        def some(source: torch.Generator) -> Tensor:
            return torch.randint(len(images), (self.batch_size,), generator=source, device=device)

        def reconstruction(model: _Autoencoder, source: torch.Generator) -> Tensor:
            own = images[some(source)]
            quantised, commitment, _ = model.model.quantize(model.vectors(own).float())
            decoded = model.decode(quantised).float()
            return F.mse_loss(decoded, _unshuffled(own)) / variance + commitment

        common: dict[str, Any] = {
            "steps": self.training_steps,
            "learning_rate": self.learning_rate,
            "precision": self.precision,
            "setting": {
                **self.model_dump(mode="json"),
                "seed": seed,
                "images": hash_images(images, labels),
            },
        }
        autoencoder = optimise(
            autoencoder,
            reconstruction,
            generator(seed, "VQ-VAE", "batches", device=device),
            name="training the VQ-VAE",
            checkpoint=checkpoint,
            **common,
        )
        with torch.no_grad():
            codes = torch.cat([autoencoder.codes(x) for x in images.split(AT_ONCE)])

        def surprise(model: _Prior, source: torch.Generator) -> Tensor:
            """Nats per code."""
            rows = some(source)
            logits = model(codes[rows, :-1], labels[rows]).float()
            return F.cross_entropy(logits.flatten(0, 1), codes[rows].flatten())

        prior = optimise(
            prior,
            surprise,
            generator(seed, "VQ-VAE", "prior", device=device),
            name="training the prior of the codes",
            checkpoint=checkpoint and checkpoint.of_part("prior"),
            **common,
        )
        return VQVAE(autoencoder, prior, counts.to(device), self.origin(seed))


@torch.no_grad()
def _spread_codes(autoencoder: _Autoencoder, images: Tensor, source: torch.Generator) -> None:
    """Start the codes from vectors that the encoder gives: of others, most are never chosen."""
    rows = torch.randint(len(images), (256,), generator=source, device=images.device)
    vectors = autoencoder.vectors(images[rows]).permute(0, 2, 3, 1).flatten(0, 2)
    weight = autoencoder.model.quantize.embedding.weight
    order = torch.randint(len(vectors), (len(weight),), generator=source, device=images.device)
    noise = torch.randn(weight.shape, generator=source, device=images.device)
    weight.copy_(vectors[order] + 0.01 * vectors.std() * noise)
