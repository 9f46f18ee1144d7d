"""VQ-VAE: images as grids of codes, and a transformer that draws them one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F
from typing_extensions import Self

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import read_tensors, tensors_below, write_tensors
from hvrt_diffuser.common.precision import Precision
from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.image_models.protocol import check_images, hash_images, requested_labels
from hvrt_diffuser.training.checkpoint import Checkpoint
from hvrt_diffuser.training.steps import optimise

__all__ = ["VQVAE", "VQVAEEstimator"]

KIND = "VQ-VAE"
AT_ONCE = 1024  # images that are drawn, or encoded, together
GROUPS = 8  # of channels that are normalised together
HEADS = 4  # of the transformer's attention


def _autoencoder(size: dict[str, Any]) -> nn.Module:
    """An autoencoder of diffusers with a codebook, a quarter of the image's size in the middle."""
    try:
        from diffusers import VQModel
    except ImportError as error:
        raise InputError(
            "diffusers is not installed, expected it for a VQ-VAE: "
            "pip install 'hvrt-diffuser[rivals]'"
        ) from error
    c = 4 * size["shape"][0]  # a pixel unshuffle comes first: full size is where time is lost
    model: Any = VQModel(
        in_channels=c,
        out_channels=c,
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(size["width"], 2 * size["width"]),
        layers_per_block=1,
        latent_channels=size["code_dim"],
        num_vq_embeddings=size["codes"],
        norm_num_groups=GROUPS,
        mid_block_add_attention=False,
    )
    # The published loss commits the encoder by 0.25; diffusers' default has the two terms changed
    # over, to stay with weights of an earlier release.
    model.quantize.legacy = False
    network: nn.Module = model
    return network


class _Prior(nn.Module):
    """p(code | codes before it, class): a causal transformer."""

    def __init__(self, size: dict[str, Any]) -> None:
        super().__init__()
        width, codes, places = size["prior_width"], size["codes"], _places(size)
        self.label = nn.Embedding(size["n_classes"], width)
        self.code = nn.Embedding(codes, width)
        self.place = nn.Parameter(0.02 * torch.randn(places, width))
        layer = nn.TransformerEncoderLayer(
            width, HEADS, 4 * width, dropout=0.0, activation="gelu", batch_first=True,
            norm_first=True,
        )  # fmt: skip
        self.layers = nn.TransformerEncoder(
            layer, size["prior_layers"], nn.LayerNorm(width), enable_nested_tensor=False
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


def _grid(size: dict[str, Any]) -> tuple[int, int]:
    return size["shape"][1] // 4, size["shape"][2] // 4


def _places(size: dict[str, Any]) -> int:
    rows, columns = _grid(size)
    return rows * columns


@dataclass(frozen=True)
class VQVAE:
    """Draws the codes of an image row by row, and decodes them.

    van den Oord et al. 2017, arXiv 1711.00937.

    Attributes:
        autoencoder: of diffusers, with a codebook.
        prior: of the codes, given the class.
        counts: int64 (k,), the number of images of each class that it was fitted on.
        size: what rebuilds both.
        origin: what it was fitted by, kept in the file's header.
    """

    autoencoder: Any
    prior: Any
    counts: Tensor
    size: dict[str, Any]
    origin: dict[str, Any]

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return len(self.counts)

    @property
    def device(self) -> torch.device:
        """Where it draws."""
        return self.counts.device

    @torch.no_grad()
    def sample(
        self, n: int, labels: Tensor | None = None, *, generator: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """See :meth:`hvrt_diffuser.image_models.ImageGenerator.sample`."""
        labels = requested_labels(n, labels, self.counts, generator)
        parts = [self.decode(self._draw(own, generator)) for own in labels.split(AT_ONCE)]
        return torch.cat(parts), labels

    def _draw(self, labels: Tensor, source: torch.Generator) -> Tensor:
        codes = labels.new_zeros(len(labels), 0)
        for _ in range(_places(self.size)):
            share = self.prior(codes, labels)[:, -1].softmax(dim=1)
            codes = torch.cat([codes, torch.multinomial(share, 1, generator=source)], dim=1)
        return codes

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """The codes int64 (n, l) of images uint8 (n, c, h, w)."""
        return torch.cat(
            [_codes(self.autoencoder, x.to(self.device)) for x in images.split(AT_ONCE)]
        )

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Images uint8 (n, c, h, w) of codes int64 (n, l)."""
        rows, columns = _grid(self.size)
        vectors = self.autoencoder.quantize.embedding(codes)  # (n, l, code_dim)
        vectors = vectors.transpose(1, 2).reshape(len(codes), -1, rows, columns)
        decoded = self.autoencoder.decode(vectors, force_not_quantize=True).sample
        x = F.pixel_shuffle(decoded, 2).clamp(0, 1)
        return (x * 255).round().to(torch.uint8)

    def save(self, path: str | Path) -> None:
        """Write a safetensors file."""
        tensors = {
            f"{part}.{name}": tensor.contiguous()
            for part, network in (("autoencoder", self.autoencoder), ("prior", self.prior))
            for name, tensor in network.state_dict().items()
        }
        header = {"kind": KIND, "size": self.size, "origin": self.origin}
        write_tensors(path, {**tensors, "counts": self.counts}, header)

    @classmethod
    def load(cls, path: str | Path) -> VQVAE:
        """Read what :meth:`save` wrote, onto the CPU.

        Raises:
            InputError: the file is missing, cut short or of another kind.
        """
        tensors, header = read_tensors(path, KIND)
        networks = _autoencoder(header["size"]), _Prior(header["size"])
        for name, network in zip(("autoencoder.", "prior."), networks, strict=True):
            network.load_state_dict(tensors_below(tensors, name))
            network.requires_grad_(False).eval()
        return cls(*networks, tensors["counts"], header["size"], header["origin"])


def _unshuffled(images: Tensor) -> Tensor:
    """(n, 4c, h/2, w/2) in [0, 1] of uint8 images."""
    return F.pixel_unshuffle(images.float() / 255, 2)


def _codes(autoencoder: Any, images: Tensor) -> Tensor:
    latents = autoencoder.encode(_unshuffled(images)).latents
    codes: Tensor = autoencoder.quantize(latents)[2][2]
    return codes.view(len(images), -1)


class VQVAEEstimator(BaseModel):
    """How a VQ-VAE is trained, and then the prior of its codes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    codes: int = Field(128, ge=2, description="of the codebook")
    code_dim: int = Field(16, ge=1, description="dimensions of a code")
    width: int = Field(32, ge=8, multiple_of=8, description="channels at half the image's size")
    prior_width: int = Field(128, ge=4, multiple_of=4, description="of the transformer")
    prior_layers: int = Field(4, ge=1, description="of the transformer")
    training_steps: int = Field(6000, ge=1, description="optimiser steps, of each of the two")
    batch_size: int = Field(128, ge=1, description="images per step")
    learning_rate: float = Field(1e-3, gt=0, description="peak rate of AdamW, one cycle")
    precision: Precision = Field(
        "float32", description="of the convolutions in training; draws are float32"
    )

    def shortened(self, share: float) -> Self:
        """The same with this share of its training, at least a step: to try options by."""
        return self.model_copy(
            update={"training_steps": max(1, round(share * self.training_steps))}
        )

    def check(self, images: Tensor, labels: Tensor) -> Tensor:
        """Check images uint8 (n, c, h, w) and labels int64 (n,) before a fit.

        Returns:
            int64 (k,), the number of images of each class.

        Raises:
            InputError: shapes or types that do not fit, or classes that are not 0 ... k-1.
        """
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
        """Train on images uint8 (n, c, h, w) and labels int64 (n,).

        Args:
            images: in memory.
            labels: every class from 0 to k-1.
            seed: of weights and batches.
            device: where to train and to draw.
            checkpoint: where to keep the state of a training that goes on where it was cut off;
                that of the prior has a file beside it.

        Raises:
            InputError: images or labels that do not fit, a missing diffusers, or a checkpoint of
                another setting.
            FloatingPointError: the loss became infinite or NaN.
        """
        counts = self.check(images, labels)
        size: dict[str, Any] = {
            "shape": list(images.shape[1:]),
            "n_classes": len(counts),
            **self.model_dump(
                include={"codes", "code_dim", "width", "prior_width", "prior_layers"}
            ),
        }
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "VQ-VAE", "weights"))
            autoencoder, prior = _autoencoder(size).to(device), _Prior(size).to(device)
        images, labels = images.to(device), labels.to(device)
        _spread_codes(autoencoder, images, generator(seed, "VQ-VAE", "codes", device=device))
        # The share of the pixels' variance that is lost, beside the codes' terms of like size.
        some_rows = torch.randperm(len(images), generator=generator(seed, "VQ-VAE", "variance"))
        variance = (images[some_rows[:AT_ONCE].to(device)].float() / 255).var()

        def some(source: torch.Generator) -> Tensor:
            return torch.randint(len(images), (self.batch_size,), generator=source, device=device)

        def reconstruction(model: Any, source: torch.Generator) -> Tensor:
            x = _unshuffled(images[some(source)])
            quantised, commitment, _ = model.quantize(model.encode(x).latents.float())
            decoded = model.decode(quantised, force_not_quantize=True).sample.float()
            return F.mse_loss(decoded, x) / variance + commitment

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
            codes = torch.cat([_codes(autoencoder, x) for x in images.split(AT_ONCE)])

        def surprise(model: _Prior, source: torch.Generator) -> Tensor:
            """Nats per code."""
            rows = some(source)
            logits = model(codes[rows, :-1], labels[rows]).float()
            return F.cross_entropy(logits.flatten(0, 1), codes[rows].flatten())

        beside = None
        if checkpoint:
            beside = Checkpoint(checkpoint.path.with_name(f"prior_{checkpoint.path.name}"))
        prior = optimise(
            prior,
            surprise,
            generator(seed, "VQ-VAE", "prior", device=device),
            name="training the prior of the codes",
            checkpoint=beside,
            **common,
        )
        origin = {"generator": KIND, **self.model_dump(mode="json"), "seed": seed}
        return VQVAE(autoencoder, prior, counts.to(device), size, origin)


@torch.no_grad()
def _spread_codes(autoencoder: Any, images: Tensor, source: torch.Generator) -> None:
    """Start the codes from vectors that the encoder gives: of others, most are never chosen."""
    rows = torch.randint(len(images), (256,), generator=source, device=images.device)
    latents = autoencoder.encode(_unshuffled(images[rows])).latents
    vectors = latents.permute(0, 2, 3, 1).flatten(0, 2)
    weight = autoencoder.quantize.embedding.weight
    order = torch.randint(len(vectors), (len(weight),), generator=source, device=images.device)
    noise = torch.randn(weight.shape, generator=source, device=images.device)
    weight.copy_(vectors[order] + 0.01 * vectors.std() * noise)
