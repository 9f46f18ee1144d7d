"""Training a classifier for a fixed number of steps, or until a validation split says stop."""

from __future__ import annotations

from threading import Lock

import torch
from pydantic import BaseModel, ConfigDict, Field
from sklearn.model_selection import train_test_split
from torch import Tensor
from torch.nn import functional as F
from torch.optim.lr_scheduler import OneCycleLR

from hvrt_diffuser.classifiers.network import Classifier
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.precision import Precision, autocast
from hvrt_diffuser.common.progress import progress
from hvrt_diffuser.common.seeding import derive_seed, generator

__all__ = ["ClassifierOptions", "JudgeOptions", "classify", "train_classifier", "train_judge"]

BATCH_SIZE = 500  # in evaluation
_BORROWED = Lock()  # held while torch's global generator is borrowed


class ClassifierOptions(BaseModel):
    """How a classifier is trained: the same number of steps whatever the number of images."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(ge=1, description="channels at half the image's size")
    steps: int = Field(ge=2, description="optimiser steps")
    batch_size: int = Field(ge=2, description="images per step")
    learning_rate: float = Field(gt=0, description="peak rate of AdamW, one cycle")
    weight_decay: float = Field(ge=0, description="of AdamW, per step and unit of learning rate")
    precision: Precision = Field(description="of the convolutions")


class JudgeOptions(ClassifierOptions):
    """How the classifier that judges is trained, so that it remembers little of its images."""

    shift: int = Field(ge=0, description="largest random translation, pixels, each way")
    validation_fraction: float = Field(gt=0, lt=1, description="share held out, by class")
    evaluate_every: int = Field(ge=1, description="steps between two looks at the validation loss")
    patience: int = Field(ge=1, description="looks without a better loss before training stops")


def train_classifier(
    images: Tensor,
    labels: Tensor,
    n_classes: int,
    options: ClassifierOptions,
    *,
    seed: int,
    device: torch.device,
) -> Classifier:
    """Train a classifier for ``options.steps`` steps.

    Args:
        images: uint8 (n, c, h, w).
        labels: int64 (n,).
        n_classes: number of classes, also of those without an image.
        options: of the network and the optimisation.
        seed: of the weights and the order of batches.
        device: where to train.

    Returns:
        The network in evaluation mode, on ``device``.

    Raises:
        InputError: fewer images than a batch.
    """
    training = _Training(images, labels, n_classes, options, seed, device)
    training.run(options.steps)
    return training.model.eval()


def train_judge(
    images: Tensor,
    labels: Tensor,
    n_classes: int,
    options: JudgeOptions,
    *,
    seed: int,
    device: torch.device,
) -> Classifier:
    """Train the classifier whose features and probabilities judge images.

    A classifier remembers its training images, which makes copies of them look better than fresh
    images in its features. Random translations, weight decay and stopping at the best validation
    loss keep that small; the copy floor of the evaluation says how small.

    Args, raises: as :func:`train_classifier`.

    Returns:
        The network with the best validation loss, in evaluation mode on the CPU.
    """
    try:
        kept, held_out = train_test_split(
            torch.arange(len(labels)).numpy(),
            test_size=options.validation_fraction,
            stratify=labels.numpy(),
            random_state=derive_seed(seed, "judge", "split") % 2**32,
        )
    except ValueError as error:
        raise InputError(
            f"{len(labels)} images of {n_classes} classes cannot be split for validation "
            f"({error}): add images or set evaluation.judge.validation_fraction higher"
        ) from error
    training = _Training(
        images[kept], labels[kept], n_classes, options, seed, device, options.shift
    )
    held_images, held_labels = images[held_out], labels[held_out]
    best_loss, best, waited, step = float("inf"), training.model.state_dict(), 0, 0
    with progress("training the judge", options.steps // options.evaluate_every, "looks") as look:
        while step < options.steps and waited < options.patience:
            step += training.run(min(options.evaluate_every, options.steps - step))
            loss = _loss(training.model, held_images, held_labels, device)
            waited += 1
            if loss < best_loss:
                best_loss, waited = loss, 0
                best = {k: v.clone() for k, v in training.model.state_dict().items()}
            look(f"best validation loss {best_loss:.4f}, step {step}")
    training.model.load_state_dict(best)
    return training.model.cpu().eval()


@torch.inference_mode()
def classify(model: Classifier, images: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Features float32 (n, 64) and class probabilities float32 (n, k) of uint8 images, on the CPU.

    Raises:
        InputError: the images do not have the shape that the classifier was built for.
    """
    if tuple(images.shape[1:]) != model.shape:
        raise InputError(
            f"the classifier was trained on images of shape {model.shape} and was given "
            f"{tuple(images.shape[1:])}: train it on these images, or give it its own"
        )
    model = model.to(device).eval()
    features, probabilities = [], []
    for batch in images.split(BATCH_SIZE):
        found = model.features(batch.to(device).float() / 255)
        features.append(found.cpu())
        probabilities.append(torch.softmax(model.logits(found), dim=1).cpu())
    return torch.cat(features), torch.cat(probabilities)


def _loss(model: Classifier, images: Tensor, labels: Tensor, device: torch.device) -> float:
    _, probabilities = classify(model, images, device)
    return F.nll_loss(probabilities.clamp_min(1e-12).log(), labels).item()


class _Training:
    """A classifier, its optimiser, and an endless shuffled stream of batches."""

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        n_classes: int,
        options: ClassifierOptions,
        seed: int,
        device: torch.device,
        shift: int = 0,
    ) -> None:
        if len(images) < options.batch_size:
            raise InputError(
                f"{len(images)} images were given to train a classifier on, expected at least one "
                f"batch of {options.batch_size}: add images or lower batch_size"
            )
        self.options, self.device, self.shift = options, device, shift
        self.images, self.labels = images.to(device), labels.to(device)
        c, h, w = images.shape[1:]
        # torch's initialisers draw from the global generator: borrow it, and give it back.
        with _BORROWED, torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed(seed, "classifier", "weights"))
            self.model = Classifier((c, h, w), n_classes, options.width).to(device)
        self.optimiser = torch.optim.AdamW(
            self.model.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay
        )
        self.scheduler = OneCycleLR(self.optimiser, options.learning_rate, options.steps)
        self.generator = generator(seed, "classifier", "batches")
        self.order = torch.empty(0, dtype=torch.long)

    def run(self, steps: int) -> int:
        """Take ``steps`` optimiser steps, and say how many were taken."""
        self.model.train()
        for _ in range(steps):
            index = self._next_batch()
            x = self._shifted(self.images[index].float() / 255)
            with autocast(self.device, self.options.precision):
                logits = self.model(x)
            loss = F.cross_entropy(logits.float(), self.labels[index])
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()
            self.optimiser.step()
            self.scheduler.step()
        return steps

    def _next_batch(self) -> Tensor:
        """Indices of the next batch; every image comes once before any comes again."""
        if len(self.order) < self.options.batch_size:
            again = torch.randperm(len(self.images), generator=self.generator)
            self.order = torch.cat([self.order, again])
        batch, self.order = self.order.split(
            [self.options.batch_size, len(self.order) - self.options.batch_size]
        )
        return batch.to(self.device)

    def _shifted(self, x: Tensor) -> Tensor:
        """Each image moved by up to ``shift`` pixels each way, its edge repeated."""
        if not self.shift:
            return x
        n, _, h, w = x.shape
        moves = torch.randint(0, 2 * self.shift + 1, (2, n, 1), generator=self.generator)
        moves = moves.to(x.device)
        x = F.pad(x, (self.shift,) * 4, mode="replicate").permute(0, 2, 3, 1)  # (n, h, w, c)
        rows = (torch.arange(h, device=x.device) + moves[0])[:, :, None]  # (n, h, 1)
        columns = (torch.arange(w, device=x.device) + moves[1])[:, None, :]  # (n, 1, w)
        image = torch.arange(n, device=x.device)[:, None, None]
        return x[image, rows, columns].permute(0, 3, 1, 2)
