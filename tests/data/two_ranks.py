"""What one of several processes finds that train together: ``python two_ranks.py DO FOLDER``.

It is started with the variables of torchrun. FOLDER holds ``images.safetensors``.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from hvrt_diffuser.autoencoders import TrainingOptions
from hvrt_diffuser.autoencoders.training import _build, _losses
from hvrt_diffuser.classifiers import Classifier, JudgeOptions, train_judge_together
from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.training import Checkpoint
from hvrt_diffuser.training.distributed import Ranks, follow, join

CPU = torch.device("cpu")
BATCH = 25  # images that the two share: 13 and 12
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "vae": {"beta": 1.0},
    "smooth": {"regulariser": {"kind": "decoder_gradient", "weight": 0.1}},
    "spectrum": {"regulariser": {"kind": "decoder_spectrum", "latent_weight": 0.01}},
    "discrepancy": {"regulariser": {"kind": "mmd", "weight": 10.0}},
    "principal": {"principal_path": True},
}
JUDGE = "judge"
LEARNT = JudgeOptions(
    width=8, steps=90, batch_size=65, evaluate_every=30, learning_rate=1e-2, mirrored="always"
)
SMALL = {"latent_dim": 4, "width": 4, "precision": "float32"}
TRAINED = {**SMALL, "width": 8, "epochs": 6, "batch_size": 64, "learning_rate": 5e-3}
KEPT = {**TRAINED, "beta": 0.5, "ema_decay": 0.8, "patience": 2, "validation_fraction": 0.2}


def begin(
    kind: str, images: Tensor, labels: Tensor, seed: int
) -> tuple[nn.Module, Callable[[Tensor], tuple[Tensor, ...]]]:
    """A network before its first step, and its loss of some rows."""
    if kind == JUDGE:
        torch.manual_seed(seed)
        judge = Classifier((1, 28, 28), 10, 4)
        return judge, lambda rows: (F.cross_entropy(judge(images[rows] / 255), labels[rows]),)
    options = TrainingOptions(**SMALL, **OPTIONS[kind])
    model = _build(images, torch.arange(300), options, seed, CPU, None)
    noise = generator(seed, "noise")
    return model, lambda rows: _losses(model, images[rows], options, noise)


def gradients(images: Tensor, labels: Tensor, ranks: Ranks) -> dict[str, Tensor]:
    """Of the weights at the beginning, by the kind of training, in one module or the plain way.

    The second time, with what a first batch leaves in buffers and generators.
    """
    found = {}
    for kind in (*OPTIONS, JUDGE):
        for way in ("alone", "module", "plain"):
            # The processes begin with other weights; the first one's are to count.
            model, loss = begin(kind, images, labels, ranks.rank)
            part = torch.arange(BATCH)[ranks.rank :: ranks.size]
            if way == "alone":
                model.load_state_dict(ranks.shared(model.state_dict()))
            wrapped = DistributedDataParallel(model) if way == "plain" else None
            step = ranks.synchronised(model, loss) if way == "module" else loss
            for _ in range(2):
                model.zero_grad()
                step(torch.arange(BATCH) if way == "module" else part)[0].backward()
            del wrapped  # it has to outlive the gradients
            for name, parameter in model.named_parameters():
                if parameter.grad is not None:
                    found[f"{kind}/{way}/{name}"] = parameter.grad.contiguous()
    return found


class Slow(Checkpoint):
    """Gives a test the time to kill one of the processes."""

    def write(self, *state: Any) -> None:
        super().write(*state)
        time.sleep(1)


def main(do: str, folder: Path) -> None:
    given = LabelledImages.load(folder / "images.safetensors")
    images, labels = given.images, given.labels
    ranks = join()
    if do == "everything":
        save_file(gradients(images[:300], labels[:300], ranks), folder / f"gradients_{ranks.rank}")
    if not ranks.first:
        follow()
        return
    kinds = {"trained": TRAINED, "kept": KEPT}
    for name in kinds if do == "everything" else ["kept"]:
        options = TrainingOptions(**kinds[name])
        make = Slow if do == "slowly" else Checkpoint
        model, history = options.fit_together(
            images, seed=0, device=CPU, checkpoint=make(folder / f"{name}.checkpoint")
        )
        model.save(folder / name)
        pd.DataFrame(history).to_parquet(folder / f"{name}.parquet")
    if do == "everything":
        train_judge_together(images, labels, 10, LEARNT, seed=0, device=CPU).save(folder / JUDGE)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
