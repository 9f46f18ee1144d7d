"""Options of a pretrained autoencoder, and its fit: components, and the decoder where asked for."""

from __future__ import annotations

import hashlib
import math
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from pydantic import AfterValidator, Field, ValidationInfo, field_validator
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR

from hvrt_diffuser.autoencoders.base import AUTOENCODERS, Autoencoder, AutoencoderEstimator
from hvrt_diffuser.autoencoders.pretrained import PretrainedArchitecture, PretrainedAutoencoder
from hvrt_diffuser.autoencoders.pretrained_files import (
    COMMIT,
    fetch,
    read_family,
    read_network,
    weights_digest,
)
from hvrt_diffuser.autoencoders.principal import PrincipalComponents
from hvrt_diffuser.common.bounds import BatchSize, LatentDim, LearningRate, Steps
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.interruption import check
from hvrt_diffuser.common.options import Options
from hvrt_diffuser.common.precision import Precision, autocast
from hvrt_diffuser.common.progress import progress
from hvrt_diffuser.common.seeding import borrowed_seed, derive_seed, generator
from hvrt_diffuser.training.checkpoint import Checkpoint
from hvrt_diffuser.training.loop import Row, Training

__all__ = ["FineTuning", "PretrainedOptions"]

LOOKS = 20  # of the progress bar, and states of a checkpoint
AT_ONCE = 256  # images encoded between two moves of the progress bar
LOOKED_AT = 32  # images whose reconstruction is measured where nothing is trained


def _commit(revision: str | None) -> str | None:
    if revision is not None and not COMMIT.fullmatch(revision):
        raise ValueError(
            "expected the 40 hexadecimal digits of a commit, since a branch or a tag may move: "
            "copy them from the repository's history"
        )
    return revision


class FineTuning(Options):
    """How a decoder is trained on images and their latents; the encoder stays as it is."""

    error: Literal["squared", "absolute"] = Field(
        "squared", description="of a pixel, which is made small"
    )
    steps: Steps = Field(1000, description="of the optimiser")
    batch_size: BatchSize = Field(8, description="images per step")
    learning_rate: LearningRate = Field(1e-4, description="peak rate of AdamW")


@AUTOENCODERS.register("pretrained")
class PretrainedOptions(AutoencoderEstimator):
    """A trained autoencoder of diffusers; its latents are principal components of its grid."""

    download: bool = Field(
        False, description="take pretrained for an id of the Hugging Face hub, and fetch it"
    )
    revision: Annotated[str | None, AfterValidator(_commit)] = Field(
        None, description="the commit that is fetched, 40 hexadecimal digits"
    )
    pretrained: str = Field(
        description="a folder with config.json and diffusion_pytorch_model.safetensors of an "
        "AutoencoderKL, AutoencoderTiny, AutoencoderDC or VQModel; beside download an id of the hub"
    )
    weights: str | None = Field(
        None,
        validate_default=True,
        description="digest that these files must have; null takes any, and a run keeps that of a "
        "folder",
    )
    latent_dim: LatentDim = Field(
        64, description="dimensions of a latent: principal components of the grid"
    )
    fine_tune: FineTuning | None = Field(
        None, description="training of the decoder on the images; null is none"
    )
    precision: Precision = Field(
        "float32", description="of the network, as components are fitted and the decoder is trained"
    )

    @field_validator("pretrained")
    @classmethod
    def _there(cls, pretrained: str, info: ValidationInfo) -> str:
        if "download" not in info.data or "revision" not in info.data:
            return pretrained  # which were refused
        download, revision = info.data["download"], info.data["revision"]
        if download and Path(pretrained).expanduser().is_dir():
            raise ValueError("a folder, expected an id of the hub: set download to false")
        if download and revision is None:
            raise ValueError(
                "an id of the hub without a commit, expected its revision: set it to the 40 "
                "hexadecimal digits of one, since a branch may move"
            )
        if not download and revision is not None:
            raise ValueError(
                f"given with revision {revision}, which a folder does not have, expected it beside "
                "download alone: leave it out, or set download to true"
            )
        if not download:
            read_family(Path(pretrained).expanduser())
        return pretrained

    @field_validator("weights")
    @classmethod
    def _same(cls, weights: str | None, info: ValidationInfo) -> str | None:
        if info.data.get("download", True) or "pretrained" not in info.data:
            return weights  # looked at once they are fetched
        return _checked_digest(Path(info.data["pretrained"]).expanduser(), weights)

    def check(self, n: int, shape: tuple[int, int, int]) -> None:
        """See :meth:`AutoencoderEstimator.check`; what is to be fetched is fetched."""
        self._check_number(n)
        self._read(shape)

    def _check_number(self, n: int) -> None:
        PrincipalComponents.check(n, self.latent_dim)
        if self.fine_tune is not None and n < self.fine_tune.batch_size:
            raise InputError(
                f"{n} training images are fewer than fine_tune.batch_size = "
                f"{self.fine_tune.batch_size}, expected as many at least: lower it or add images"
            )

    def _read(
        self, shape: tuple[int, int, int]
    ) -> tuple[PretrainedArchitecture, dict[str, Tensor]]:
        if self.download:
            assert self.revision is not None
            folder = fetch(self.pretrained, self.revision)
        else:
            folder = Path(self.pretrained).expanduser()
        with borrowed_seed(0, "autoencoder", "replaced"):  # by the weights that are read
            family, config, tensors = read_network(folder)
        weights = _checked_digest(folder, self.weights)
        return PretrainedArchitecture(shape, self.latent_dim, family, config, weights), tensors

    def fit(
        self,
        images: Tensor,
        *,
        seed: int,
        device: torch.device,
        checkpoint: Checkpoint | None = None,
        start: Autoencoder | None = None,
    ) -> tuple[Autoencoder, list[Row]]:
        """See :meth:`AutoencoderEstimator.fit`; the checkpoint is of the decoder's training.

        The loss is the mean error of a pixel, squared without ``fine_tune``.
        """
        self._check_number(len(images))
        c, h, w = images.shape[1:]
        architecture, tensors = self._read((c, h, w))
        if start is not None and start.architecture != architecture:
            raise InputError(
                f"a network of {start.architecture} was given to start from, expected "
                f"{architecture}: take its options and images of its shape"
            )
        if isinstance(start, PretrainedAutoencoder):
            model = deepcopy(start)
        else:
            with borrowed_seed(0, "autoencoder", "replaced"):
                model = PretrainedAutoencoder(architecture)
            model.network.load_state_dict(tensors)
        model = model.requires_grad_(False).to(device).eval()
        rows = self._rows(model, images, device)
        if start is None:
            fit_seed = derive_seed(seed, "autoencoder", "principal") % 2**32
            model.principal.fit_rows(rows, fit_seed)
        latents = torch.cat(
            [model.principal.encode_rows(part.to(device)) for part in rows.split(AT_ONCE)]
        )
        if self.fine_tune is None:
            history = [{"epoch": 0, "train_loss": _squared_error(model, latents, images)}]
        else:
            setting = {
                **self.model_dump(exclude={"pretrained", "download", "fine_tune"}),
                **{f"fine_tune.{k}": v for k, v in self.fine_tune.model_dump().items()},
                "seed": seed,
                "weights": architecture.weights,
                "start": start.fingerprint() if start else None,
                "images": hashlib.sha256(images.numpy().tobytes()).hexdigest(),
            }
            history = self._train(model, latents, images, self.fine_tune, seed, checkpoint, setting)
        return model.requires_grad_(False).cpu().eval(), history

    def _rows(self, model: PretrainedAutoencoder, images: Tensor, device: torch.device) -> Tensor:
        """The grids of all images, float32 (n, numbers) on the CPU."""
        found = []
        parts = images.split(AT_ONCE)
        name = "encoding by the pretrained autoencoder"
        with progress(name, len(parts), "batches") as advance, torch.inference_mode():
            for part in parts:
                check()
                with autocast(device, self.precision):
                    found.append(model.rows(part.to(device).float() / 255).cpu())
                if not found[-1].isfinite().all():
                    raise InputError(
                        "the pretrained encoder gives infinite values or NaN for some images, "
                        "expected numbers: set precision to float32, or take other weights"
                    )
                advance("")
        return torch.cat(found).clone()  # no tensor of inference mode, which no gradient can enter

    def _train(
        self,
        model: PretrainedAutoencoder,
        latents: Tensor,
        images: Tensor,
        options: FineTuning,
        seed: int,
        checkpoint: Checkpoint | None,
        setting: dict[str, Any],
    ) -> list[Row]:
        """Train the decoder in place; with a checkpoint, go on from where that was cut off."""
        device, n, steps = latents.device, len(images), options.steps
        decoding = model.decoding.requires_grad_(True)
        optimiser = torch.optim.AdamW(
            decoding.parameters(), lr=options.learning_rate, weight_decay=0
        )
        order = generator(seed, "autoencoder", "order")
        training = Training(
            "fine-tuning the decoder",
            decoding,
            optimiser,
            OneCycleLR(optimiser, options.learning_rate, total_steps=max(2, steps)),
            generators={"order": order},
        )
        between = math.ceil(steps / LOOKS)
        error = F.mse_loss if options.error == "squared" else F.l1_loss

        def loss(_: int) -> tuple[Tensor]:
            index = torch.randint(n, (options.batch_size,), generator=order)
            with autocast(device, self.precision):
                made = model.pixels(latents[index.to(device)])
            return (error(made.float(), images[index].to(device).float() / 255),)

        def look() -> Row:
            (mean,) = training.run(loss, range(min(between, steps - training.step)))
            return {
                "epoch": training.step * options.batch_size / n,
                "step": training.step,
                "train_loss": mean,
                "learning_rate": training.rate,
            }

        training.fit(
            look,
            math.ceil(steps / between),
            note=lambda row: f"{options.error} error {row['train_loss']:.5f}, step {row['step']}",
            checkpoint=checkpoint,
            setting=setting,
        )
        return training.history


def _checked_digest(folder: Path, expected: str | None) -> str:
    """Raise InputError for a folder of another digest than one that was given."""
    found = weights_digest(folder)
    if expected not in (None, found):
        raise InputError(
            f"{folder} holds weights with the digest {found}, expected {expected}: put those "
            "back, or set weights to null"
        )
    return found


@torch.inference_mode()
def _squared_error(model: PretrainedAutoencoder, latents: Tensor, images: Tensor) -> float:
    """Of a pixel of the first images' reconstructions; all would take as long as encoding did."""
    shown = images[:LOOKED_AT].to(latents.device).float() / 255
    return F.mse_loss(model.decode(latents[:LOOKED_AT]).sigmoid(), shown).item()
