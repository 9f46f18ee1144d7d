"""The loop that trains every network of the project."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.optim.swa_utils import AveragedModel

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import tensors_below
from hvrt_diffuser.common.interruption import check
from hvrt_diffuser.common.progress import progress
from hvrt_diffuser.training.checkpoint import Checkpoint
from hvrt_diffuser.training.distributed import ALONE, Ranks

__all__ = ["Row", "Training", "shuffled"]

Network = TypeVar("Network", bound=nn.Module)
Batch = TypeVar("Batch")
Row = dict[str, Any]  # of a history: what one look found, as JSON


class Training(Generic[Network]):
    """All that changes while a network is trained, so that it is saved and restored at once.

    A training is a row of looks, such as epochs. Each takes some steps by :meth:`run` and adds a
    row to the history; :meth:`fit` repeats it, keeps a checkpoint and stops early.

    Args:
        name: of what is done, for the progress bar and in an error: ``training the judge``.
        network: is trained itself.
        optimiser: of its weights.
        scheduler: of the learning rate, by step.
        generators: by name, all that batches and losses draw from.
        average: of the weights, which is kept in place of the last ones.
        clip: greatest norm of the gradient; None leaves it as it is.
        ranks: the processes that train it together; what is kept, and its history, is the first's.
    """

    def __init__(
        self,
        name: str,
        network: Network,
        optimiser: Optimizer,
        scheduler: LRScheduler,
        *,
        generators: Mapping[str, torch.Generator],
        average: AveragedModel | None = None,
        clip: float | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        self.name, self.network = name, network
        self.optimiser, self.scheduler = optimiser, scheduler
        self.generators, self.average, self.clip = generators, average, clip
        self.ranks = ranks
        self.rate = 0.0
        self.best: dict[str, Tensor] = {}
        self.history: list[Row] = []

    @property
    def kept(self) -> Network:
        """The network that would be kept now: the averaged one where there is an average."""
        return self.network if self.average is None else cast(Network, self.average.module)

    @property
    def step(self) -> int:
        """How many steps have been taken."""
        return self.scheduler.last_epoch

    def run(
        self, loss: Callable[[Batch], tuple[Tensor, ...]], batches: Iterable[Batch]
    ) -> list[float]:
        """Take one step of the optimiser for each batch.

        Args:
            loss: of a batch: the scalar to make small, and after it whatever else is reported.
            batches: what ``loss`` is given, one after the other.

        Returns:
            The means over the batches, and over all processes, of all that ``loss`` gave, in a
            row; the learning rate of the last step is in ``rate``.

        Raises:
            FloatingPointError: one of them is infinite or NaN.
        """
        self.network.train()
        sums, n = torch.zeros(()), 0
        for batch in batches:
            check()
            parts = loss(batch)
            self.optimiser.zero_grad(set_to_none=True)
            parts[0].backward()
            if self.clip is not None:
                nn.utils.clip_grad_norm_(self.network.parameters(), self.clip)
            self.optimiser.step()
            self.rate = float(self.optimiser.param_groups[0]["lr"])
            self.scheduler.step()
            if self.average is not None:
                self.average.update_parameters(self.network)
            n += 1
            sums = sums + torch.cat([part.detach().float().reshape(-1) for part in parts])
        means: list[float] = self.ranks.mean(sums / n).tolist()
        if not all(map(math.isfinite, means)):
            raise self._diverged(f"the loss became {means[0]}")
        return means

    def fit(
        self,
        look: Callable[[], Row],
        looks: int,
        *,
        unit: str = "looks",
        note: Callable[[Row], str],
        watched: Callable[[Row], float] | None = None,
        patience: int | None = None,
        checkpoint: Checkpoint | None = None,
        setting: Mapping[str, Any] | None = None,
    ) -> Network:
        """Look again and again; with a checkpoint, go on from where an earlier call was cut off.

        Args:
            look: takes some steps, and gives the row that it adds to the history; of several
                processes, the first one's row counts.
            looks: how many at most.
            unit: what a look is called: ``epochs``.
            note: what the progress bar says of a row.
            watched: the number of a row that is to become small, for ``patience``.
            patience: looks without a smaller number before the training stops, and the weights
                of the smallest are kept; None never stops, and keeps the last ones.
            checkpoint: where to keep the state after each look.
            setting: what a training must share with this one to go on from there; flat JSON.

        Returns:
            The network that is kept, in evaluation mode.

        Raises:
            InputError: a checkpoint of another setting, or of no such training.
            FloatingPointError: a loss or a weight became infinite or NaN; nothing of it is kept.
        """
        state = checkpoint.read(setting or {}) if checkpoint else None
        if checkpoint and state:
            try:
                self.load_state(*state)
            except (KeyError, RuntimeError, TypeError, ValueError) as error:
                raise InputError(
                    f"{checkpoint.path} holds no state of {self.name}: delete the file to start "
                    "afresh"
                ) from error
        state = self.ranks.shared(state)
        if state and not self.ranks.first:
            self.load_state(*state)

        def waited() -> int:
            """Looks since the smallest number."""
            if watched is None or not self.history:
                return 0
            values = [watched(row) for row in self.history]
            return len(values) - 1 - values.index(min(values))

        with progress(self.name, looks, unit, shown=self.ranks.first) as advance:
            for _ in self.history:
                advance("taken from the checkpoint")
            while len(self.history) < looks and (patience is None or waited() < patience):
                row = self.ranks.shared(look())
                self._check_finite(row)
                self.history.append(row)
                if patience is not None and waited() == 0:
                    self.best = {k: v.clone() for k, v in self.kept.state_dict().items()}
                if checkpoint:
                    checkpoint.write(*self.state(), setting or {})
                advance(note(row))
        if self.best:
            self.kept.load_state_dict(self.best)
        return self.finished()

    def finished(self) -> Network:
        """The network that is kept, in evaluation mode.

        Raises:
            FloatingPointError: one of its weights is infinite or NaN.
        """
        self._check_finite({})
        return self.kept.eval()

    def _check_finite(self, row: Row) -> None:
        """Look at what a look found, and at all weights; a loss is of those before its step."""
        for name, value in row.items():
            numbers = value if isinstance(value, list) else [value]
            if not all(math.isfinite(n) for n in numbers if isinstance(n, float)):
                raise self._diverged(f"{name} became {value}")
        tensors = [*self.network.state_dict().values(), *self.kept.state_dict().values()]
        finite = [t.isfinite().all() for t in tensors if t.is_floating_point()]
        if finite and not torch.stack(finite).all():  # one transfer from a device
            raise self._diverged("weights became infinite or NaN")

    def _diverged(self, what: str) -> FloatingPointError:
        return FloatingPointError(
            f"{what} by step {self.step} of {self.name}, expected finite numbers: lower its "
            f"learning_rate (now {self.optimiser.defaults['lr']})"
        )

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Tensors, and the rest as JSON, from which :meth:`load_state` goes on."""
        tensors = {f"model.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        if self.average is not None:
            tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        optimiser = self.optimiser.state_dict()
        for index, slots in optimiser["state"].items():
            tensors |= {f"optimiser.{index}.{k}": v for k, v in slots.items()}
        tensors |= {f"generator.{k}": v.get_state() for k, v in self.generators.items()}
        return tensors, {
            "history": self.history,
            "scheduler": self.scheduler.state_dict(),
            "groups": optimiser["param_groups"],
        }

    def load_state(self, tensors: Mapping[str, Tensor], progress: Mapping[str, Any]) -> None:
        """Go back to a state that :meth:`state` gave."""
        weights = self.network.state_dict()
        self.network.load_state_dict(tensors_below(tensors, "model."))
        self.best = {
            k: v.to(weights[k].device, copy=True)
            for k, v in tensors_below(tensors, "best.").items()
        }
        if self.average is not None:
            self.average.load_state_dict(tensors_below(tensors, "average."))
        weights_of = [w for group in self.optimiser.param_groups for w in group["params"]]
        slots: dict[int, dict[str, Tensor]] = {}
        for name, value in tensors_below(tensors, "optimiser.").items():
            index, slot = name.split(".", 1)
            # A file keeps no strides, and a fused optimiser goes by places in memory alone.
            like = weights_of[int(index)] if value.ndim else value
            slots.setdefault(int(index), {})[slot] = torch.empty_like(
                like, dtype=value.dtype, device=value.device, requires_grad=False
            ).copy_(value)
        self.optimiser.load_state_dict({"state": slots, "param_groups": progress["groups"]})
        self.scheduler.load_state_dict(progress["scheduler"])
        for name, source in self.generators.items():
            source.set_state(tensors[f"generator.{name}"])
        self.history = progress["history"]


def shuffled(
    n: int, batch_size: int, source: torch.Generator, device: torch.device
) -> tuple[Tensor, ...]:
    """The batches of one epoch: indices of ``n`` rows in a new order, without the last few."""
    order = torch.randperm(n, generator=source).to(device)
    return order.split(batch_size)[: n // batch_size]
