"""What the bounds of DVP-VAEs come to, epoch by epoch: what each of their parts is worth."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hvrt_diffuser.common.devices import resolve_device
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.machine import describe_machine
from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.data.binary import binary_images
from hvrt_diffuser.data.images import LabelledImages, fingerprint
from hvrt_diffuser.experiments.jobs import Job, expand
from hvrt_diffuser.experiments.ledger import Entry, Ledger, Tensors, Work, hashed
from hvrt_diffuser.experiments.options import BaseOptions, ExperimentOptions, LikelihoodOptions
from hvrt_diffuser.image_models.dvp_vae import (
    DVPVAE,
    Bounds,
    DVPVAEEstimator,
    DVPVAEGenerator,
    bounds,
)
from hvrt_diffuser.training.checkpoint import Checkpoint

__all__ = ["LikelihoodRunner", "likelihood_jobs"]

MEASURES = frozenset({"nelbo", "iwae", "bits_per_dim", "kl_levels", "active_units", "history"})
SHOWN = 10  # images of each kind that are kept to be looked at


def likelihood_jobs(name: str, options: LikelihoodOptions, base: BaseOptions) -> list[Job]:
    """All jobs of the experiment, in the order of the table.

    Raises:
        InputError: a job that cannot be made, or is of something else than a DVP-VAE.
    """
    wide = ExperimentOptions(jobs=options.jobs, seeds=options.seeds)
    jobs = expand(name, wide, base)
    for job in jobs:
        if not isinstance(job.sampler, DVPVAEEstimator):
            raise InputError(
                f"{name}.jobs.{job.group} has {job.sampler.name}, expected dvp_vae, whose bounds "
                "are measured: set its samplers to dvp_vae, or put it into another experiment"
            )
    return jobs


class LikelihoodRunner:
    """Trains DVP-VAEs, and bounds the likelihood of test images after every epoch.

    Any number of processes may do so at once: they share the work.

    Args:
        name: of the experiment, for errors.
        train: training images.
        test: test images.
        base: what no job changes.
        options: the jobs, and on how many images they are measured.
        folder: of the ledger, and of trainings that were cut off.
        command: that measures, to stand in the rows.

    Raises:
        InputError: a job that cannot be made of these images, before anything is trained.
    """

    def __init__(
        self,
        name: str,
        train: LabelledImages,
        test: LabelledImages,
        base: BaseOptions,
        options: LikelihoodOptions,
        folder: Path,
        command: str,
    ) -> None:
        self.name, self.train, self.base, self.options = name, train, base, options
        self.folder, self.command = folder, command
        self.device = resolve_device(base.device)
        self.ledger = Ledger(folder / "entries")
        self.jobs = likelihood_jobs(name, options, base)
        for job in self.jobs:
            try:
                self._of(job).check(train.images, train.labels)
            except InputError as error:
                raise InputError(f"{job.row} cannot be trained: {error}") from None
        # Sources may have their images by class, and the first of these are looked at.
        self.all_test = test
        order = torch.randperm(len(test), generator=generator(0, "likelihoods", "order"))
        self.test = test[order[: options.images]]
        self._shared: Entry = {
            "of": "likelihoods",
            "images": fingerprint(train),
            "test": fingerprint(self.test),
            "seed": base.seed,
            **options.model_dump(mode="json", exclude={"jobs", "seeds", "published"}),
        }

    def table(self) -> dict[str, Any]:
        """Train what is not trained yet.

        Returns:
            JSON: ``machine``, ``n_test`` and ``rows``, one for each job and seed.
        """
        measures = self.ledger.fill(self.works(), f"measuring {self.name}")
        rows = [
            {
                "row": job.row,
                "group": job.group,
                "values": job.values,
                "dataset": self.train.source,
                "setting": self._of(job).setting,
                "options": job.sampler.model_dump(mode="json"),
                "seed": job.repetition,
                **found,
                "published": self.options.published,
            }
            for job, found in zip(self.jobs, measures, strict=True)
        ]
        return {"machine": describe_machine(), "n_test": len(self.test), "rows": rows}

    def pictures(self) -> dict[str, Tensors]:
        """By row, of its first seed: uint8 (n, c, h, w) of each kind that was kept.

        These are ``real``, ``pseudoinputs`` of these, ``from_pseudoinputs`` alone, and ``draws``.
        """
        found: dict[str, Tensors] = {}
        for job, work in zip(self.jobs, self.works(), strict=True):
            kept = self.ledger.draws(work.identity)
            if kept is not None:
                found.setdefault(job.row, kept)
        return found

    def works(self) -> Sequence[Work]:
        """All jobs, as the ledger takes them."""
        return [self._work(job) for job in self.jobs]

    # ---- one job

    def _of(self, job: Job) -> DVPVAEEstimator:
        assert isinstance(job.sampler, DVPVAEEstimator), "checked in the beginning"
        return job.sampler

    def _work(self, job: Job) -> Work:
        identity = {
            **self._shared,
            "options": job.sampler.model_dump(mode="json"),
            "repetition": job.repetition,
        }
        return Work(
            identity,
            identity,
            MEASURES,
            lambda before, kept: self._measure(job, hashed(identity)),
            f"{job.row}, seed {job.repetition}",
        )

    def _measure(self, job: Job, key: str) -> tuple[Entry, Tensors]:
        seed, options = derive_seed(self.base.seed, "rivals", job.repetition), self.options
        colour = self.test.shape[0] > 1
        images = self.test.images
        pixels = images.float() / 255 if colour else binary_images(images)
        pixels, labels = pixels.to(self.device), self.test.labels.to(self.device)
        looking = 0.0

        def look(network: DVPVAE) -> Entry:
            nonlocal looking
            start, n = time.perf_counter(), options.epoch_images
            found = bounds(
                network,
                pixels[:n],
                source=generator(seed, "likelihoods", "epoch", device=self.device),
                labels=labels[:n],
                times=options.times,
                iwae_samples=options.epoch_iwae_samples,
            )
            looking += time.perf_counter() - start
            return _shown(found)

        own = self.folder / "trainings" / key
        cut_off, start = own.exists(), time.perf_counter()
        model, history = self._of(job).train(
            self.train.images,
            self.train.labels,
            seed=seed,
            device=self.device,
            checkpoint=Checkpoint(own / "checkpoint.safetensors"),
            look=look,
        )
        seconds = time.perf_counter() - start - looking
        found = bounds(
            model.network,
            pixels,
            source=generator(seed, "likelihoods", "last", device=self.device),
            labels=labels,
            times=options.times,
            iwae_samples=options.iwae_samples,
            iwae_images=options.iwae_images,
        )
        measures = {
            "epochs": len(history),
            **_shown(found),
            "iwae_samples": found.iwae_samples,
            "nll": found.nll,
            "pseudoinput": found.pseudoinput,
            "label": found.label,
            "units": _units(model.network),
            "parameters": sum(p.numel() for p in model.network.parameters()),
            "seconds": None if cut_off else seconds,  # what it took before is not known
            "command": self.command,
            "history": [
                {"epoch": row["epoch"], "loss": row["loss"], **row["validation"]} for row in history
            ],
        }
        source = generator(seed, "likelihoods", "pictures", device=self.device)
        drawn = _pictures(model, pixels[:SHOWN], labels[:SHOWN], source)
        shutil.rmtree(own, ignore_errors=True)
        return measures, drawn


def _shown(found: Bounds) -> Entry:
    return {
        "nelbo": found.elbo,
        "iwae": found.iwae,
        "bits_per_dim": found.bits_per_dim,
        "kl_levels": found.levels,
        "active_units": found.active_units,
    }


def _units(network: DVPVAE) -> list[int]:
    """Latents of each level, from coarse to fine."""
    scales = reversed(network.architecture.scales)
    zc = network.architecture.latent_channels
    return [zc * r * r for r, n_levels in scales for _ in range(n_levels)]


@torch.no_grad()
def _pictures(
    model: DVPVAEGenerator, pixels: Tensor, labels: Tensor, source: torch.Generator
) -> Tensors:
    network = model.network
    u = network.q_u(pixels).mean
    kinds = {
        "real": pixels,
        "pseudoinputs": (network.pseudoinput.back(u) + 1) / 2,
        "from_pseudoinputs": network.images(u, source, labels),
    }
    found = {k: (255 * v).round().to(torch.uint8).cpu() for k, v in kinds.items()}
    return {**found, "draws": model.sample(SHOWN, generator=source)[0].cpu()}
