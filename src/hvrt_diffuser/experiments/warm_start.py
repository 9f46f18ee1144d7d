"""A generator of some of the images, and its warm start on all of them."""

from __future__ import annotations

import time
from typing import Any

import torch

from hvrt_diffuser.autoencoders import Autoencoder
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.options import change
from hvrt_diffuser.common.seeding import derive_seed, generator
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.experiments.jobs import Job
from hvrt_diffuser.experiments.runner import Runner
from hvrt_diffuser.judge.bench import Bench

__all__ = ["WarmStartRunner", "take_known"]


def take_known(train: LabelledImages, share: float, seed: int) -> LabelledImages:
    """The share of each class that is seen at first, in the order of all images."""
    order = torch.randperm(len(train), generator=generator(seed, "phase3", "known"))
    kept = []
    for c in range(len(train.class_names)):
        rows = order[train.labels[order] == c]
        kept.append(rows[: max(1, round(share * len(rows)))])
    return train[torch.cat(kept).sort().values]


class WarmStartRunner(Runner):
    """A runner of jobs that have a start.

    ``known`` is trained, fitted and measured on a share of the images. ``warm`` goes on from it
    with all of them: the autoencoder is fine-tuned, and the latents go through the trees that are
    there.
    """

    def check(self, jobs: Any) -> None:
        """See :meth:`Runner.check`; a warm start needs trees to keep."""
        super().check(jobs)
        for job in jobs:
            if job.start == "warm" and not hasattr(job.sampler, "refit"):
                raise InputError(
                    f"{job.row} goes on from a {job.sampler.name}, which has no trees to keep, "
                    "expected hvrt: take it"
                )

    def _known_images(self) -> LabelledImages:
        return take_known(self.train, self.options.warm_start.known, self.base.seed)

    def _known_autoencoder(self, job: Job) -> Autoencoder:
        assert job.training is not None
        return self.store(self._known_images()).get(job.training, self.seed(job.trained))

    def make_bench(self, job: Job) -> Bench:
        """See :meth:`Runner.make_bench`."""
        if job.start is None:
            return super().make_bench(job)
        if job.start == "known":
            return self.bench_on(self._known_images(), self._known_autoencoder(job))
        assert job.training is not None
        options = self.options.warm_start
        changes = {"epochs": options.epochs, "learning_rate": options.learning_rate}
        tuned = self.store(self.train).get(
            change("warm_start", job.training, changes),
            derive_seed(self.seed(job.trained), "phase3", "tune"),
            start=lambda: self._known_autoencoder(job),
        )
        return self.bench_on(self.train, tuned)

    def fit(self, job: Job, bench: Bench, key: str) -> tuple[Any, float | None]:
        """See :meth:`Runner.fit`; the seconds of a warm start are those of what it adds."""
        if job.start != "warm":
            return super().fit(job, bench, key)
        known = self.bench_on(self._known_images(), self._known_autoencoder(job))
        seed = self.seed(job.repetition)
        sampler: Any = job.sampler
        first = sampler.fit(known.latents.to(self.device), known.train.labels, seed=seed)
        start = time.perf_counter()
        fitted = sampler.refit(first, bench.latents.to(self.device), bench.train.labels, seed=seed)
        return fitted, time.perf_counter() - start
