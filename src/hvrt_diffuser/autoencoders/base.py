"""What an autoencoder is, whoever wrote it, and the registry of those that can be chosen."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import hash_tensors, read_tensors, write_tensors
from hvrt_diffuser.common.options import Options
from hvrt_diffuser.common.registry import Registry
from hvrt_diffuser.training.checkpoint import Checkpoint
from hvrt_diffuser.training.loop import Row

__all__ = ["AUTOENCODERS", "Autoencoder", "AutoencoderEstimator"]

KIND = "autoencoder"
OWN_FORM = "convolutional"  # of files that name no form


class Autoencoder(nn.Module, ABC):
    """A network that encodes images and decodes latents.

    A class of one's own states ``form`` and ``described_by`` and is built from an instance of
    the latter, its ``architecture``. Once it is imported, :meth:`load` reads its files.

    Attributes:
        form: the class's name in files.
        described_by: a dataclass of JSON and tuples that rebuilds the network, with ``shape``
            (c, h, w) of an image, ``latent_dim`` and ``variational``: whether :meth:`encode`
            gives posteriors.
    """

    form: ClassVar[str]
    described_by: ClassVar[type[Any]]
    forms: ClassVar[dict[str, type[Autoencoder]]] = {}

    def __init_subclass__(cls, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        known = Autoencoder.forms.setdefault(cls.form, cls)
        if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
            raise TypeError(f"two autoencoders have the form {cls.form}, expected one")
        Autoencoder.forms[cls.form] = cls  # a notebook's cell may run again

    def __init__(self, architecture: Any) -> None:
        super().__init__()
        self.architecture = architecture

    @abstractmethod
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """Map images in [0, 1], (n, c, h, w), to latents (n, d).

        Returns:
            The latents and None, or the mean and log-variance of a posterior.
        """

    @abstractmethod
    def decode(self, z: Tensor) -> Tensor:
        """Map latents (n, d) to logits (n, c, h, w); their sigmoid is the image in [0, 1]."""

    def fingerprint(self) -> str:
        """A short hash of the weights: latents belong to the network that made them."""
        return hash_tensors(self.state_dict())

    def save(self, path: str | Path) -> None:
        """Write the weights, and in the header what rebuilds the network."""
        header = {"kind": KIND, "architecture": asdict(self.architecture)}
        if self.form != OWN_FORM:
            header["form"] = self.form
        write_tensors(path, self.state_dict(), header)

    @staticmethod
    def load(path: str | Path) -> Autoencoder:
        """Read what :meth:`save` wrote; the network is in evaluation mode, on the CPU.

        Raises:
            InputError: the file is missing, cut short, of a class that is not imported, or holds
                other weights than it says.
        """
        tensors, header = read_tensors(path, KIND)
        form = header.get("form", OWN_FORM)
        if form not in Autoencoder.forms:
            raise InputError(
                f"{path} holds an autoencoder of form '{form}', expected one of "
                f"{', '.join(Autoencoder.forms)}: import the module of its class first"
            )
        build = Autoencoder.forms[form]
        try:
            fields = header["architecture"].items()
            model = build(
                build.described_by(**{k: tuple(v) if isinstance(v, list) else v for k, v in fields})
            )
            model.load_state_dict(tensors)
        except InputError:  # such as of a package that is not installed
            raise
        except (AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(
                f"{path} holds weights of another network than the architecture in its header: "
                "delete it and train it again"
            ) from error
        return model.eval()


class AutoencoderEstimator(Options):
    """Options of an autoencoder, and its training by them."""

    name: ClassVar[str]

    def check(self, n: int, shape: tuple[int, int, int]) -> None:
        """Refuse, before anything is trained, what :meth:`fit` would refuse.

        Args:
            n: how many images there are.
            shape: of one, (c, h, w).

        Raises:
            InputError: there is such a thing; by itself, an estimator knows of none.
        """

    @abstractmethod
    def fit(
        self,
        images: Tensor,
        *,
        seed: int,
        device: torch.device,
        checkpoint: Checkpoint | None = None,
        start: Autoencoder | None = None,
    ) -> tuple[Autoencoder, list[Row]]:
        """Train an autoencoder.

        Args:
            images: uint8 (n, c, h, w).
            seed: of all that is random.
            device: where to train.
            checkpoint: where to keep the state of a training that may be cut off.
            start: a trained network to fine-tune, which stays as it is.

        Returns:
            The network in evaluation mode on the CPU, and a row per epoch: ``epoch``,
            ``train_loss``, and what else is of interest.

        Raises:
            InputError: images, a checkpoint or a start that the options do not fit.
            FloatingPointError: the loss became infinite or NaN.
        """

    def fit_together(
        self,
        images: Tensor,
        *,
        seed: int,
        device: torch.device,
        checkpoint: Checkpoint | None = None,
    ) -> tuple[Autoencoder, list[Row]]:
        """As :meth:`fit`, by all processes of torchrun, where an estimator knows how.

        By itself it does not, and the first process trains alone.

        Raises:
            ConnectionError: another process has ended.
        """
        return self.fit(images, seed=seed, device=device, checkpoint=checkpoint)


AUTOENCODERS: Registry[type[AutoencoderEstimator]] = Registry(
    "autoencoder", "hvrt_diffuser.autoencoders", ("fit", "model_fields")
)
