"""The one runner of all experiments: jobs through the bench, kept in the ledger."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from hvrt_diffuser.autoencoders import Autoencoder, encode_augmented, negative_elbo
from hvrt_diffuser.classifiers import Classifier
from hvrt_diffuser.common.devices import resolve_device
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.estimator import Estimator
from hvrt_diffuser.common.seeding import derive_seed
from hvrt_diffuser.data.images import LabelledImages, fingerprint
from hvrt_diffuser.diffuser import HVRTDiffuser
from hvrt_diffuser.experiments.jobs import Job
from hvrt_diffuser.experiments.ledger import Entry, Ledger, Tensors, Work, hashed
from hvrt_diffuser.experiments.options import BaseOptions, ExperimentOptions
from hvrt_diffuser.experiments.store import AutoencoderStore
from hvrt_diffuser.judge.bench import GRADED, MEASURES, Bench, cost, watched
from hvrt_diffuser.judge.rows import copied, enough, equal_n
from hvrt_diffuser.metrics import named_metrics
from hvrt_diffuser.training.checkpoint import Checkpoint

__all__ = ["Item", "Runner"]

ACTIVE = 0.01  # variance of a dimension's means above which it is in use (Burda et al. 2016)


class Item(NamedTuple):
    """An entry of the ledger: a job, or what its autoencoder allows for."""

    job: Job
    floors: bool

    def dumped(self) -> Entry:
        """As JSON, which :meth:`loaded` reads."""
        return {"job": self.job.dumped(), "floors": self.floors}

    @classmethod
    def loaded(cls, dumped: Entry) -> Item:
        """The item that :meth:`dumped` has written."""
        return cls(Job.loaded(dumped["job"]), dumped["floors"])


class Runner:
    """Measures jobs.

    Args:
        train: training images.
        test: test images.
        judge: gives the features of the Fréchet distance.
        autoencoder: the run's own; jobs that change nothing of its training have it.
        base: what no job changes.
        options: of the experiment.
        folder: of the ledger, of autoencoders and of trainings that were cut off.
        only: names of measures, where nothing else is needed; None measures everything and keeps
            the draws.
    """

    def __init__(
        self,
        train: LabelledImages,
        test: LabelledImages,
        judge: Classifier,
        autoencoder: Autoencoder,
        base: BaseOptions,
        options: ExperimentOptions,
        folder: Path,
        *,
        only: frozenset[str] | None = None,
    ) -> None:
        self.train, self.test, self.judge, self.autoencoder = train, test, judge, autoencoder
        self.base, self.options, self.folder, self.only = base, options, folder, only
        graded = GRADED if options.graded else ()
        self._names = only or frozenset({*MEASURES, *graded, *named_metrics(options.metrics)})
        self.device = resolve_device(base.device)
        self.ledger = Ledger(folder / "entries")
        self._shared: Entry = {
            "images": fingerprint(train),
            "test": fingerprint(test),
            "judge": judge.fingerprint(),
            "n": options.n,
            "compared": options.compared,
            "classifier": base.classifier.model_dump(mode="json"),
            "classifiers": options.classifiers if only is None else 0,
            "seed": base.seed,
        }
        self._own = autoencoder.fingerprint()
        self._benches: dict[str, Bench] = {}
        self._fits: tuple[Any, dict[str, tuple[Any, Any, float]]] = (None, {})
        # The latest whole model: the hash of its fit, itself, and the seconds it took.
        self._whole: tuple[str, Any, float | None] | None = None

    def store(self, images: LabelledImages) -> AutoencoderStore:
        """Of autoencoders of some images."""
        return AutoencoderStore(self.folder / "autoencoders", images, self.device)

    # ---- all jobs

    def run(self, jobs: Sequence[Job], description: str) -> list[Entry]:
        """Measure every job that the ledger does not hold.

        Args:
            jobs: in the order of the table.
            description: of the progress.

        Returns:
            For each job what it is, what its autoencoder allows for, and its measures.

        Raises:
            InputError: a job that cannot be made with these images or this autoencoder; before
                anything is measured.
        """
        self.check(jobs)
        works = [self.work_of(item) for item in self.items(jobs)]
        keys = [hashed(work.identity) for work in works]
        found = dict(zip(keys, self.ledger.fill(works, description), strict=True))
        return [
            {
                **self.described(job),
                **found.get(hashed(self.floors(job).identity), {}),
                **found[hashed(self.work(job).identity)],
            }
            for job in jobs
        ]

    def items(self, jobs: Sequence[Job]) -> list[Item]:
        """What has to be measured of jobs, in the order of the work."""
        found = [Item(job, floors=False) for job in sorted(jobs, key=_rank)]
        if self.only is None:
            each = {hashed(self.floors(job).identity): job for job in jobs}
            found += [Item(job, floors=True) for job in each.values()]
        return found

    def work_of(self, item: Item) -> Work:
        """An item, as the ledger takes it."""
        return self.floors(item.job) if item.floors else self.work(item.job)

    def check(self, jobs: Sequence[Job]) -> None:
        """Refuse jobs that cannot be made: their turn may be hours away.

        Raises:
            InputError: there is one.
        """
        variational = self.autoencoder.architecture.variational
        for job in jobs:
            if job.sampler.kind == "images":
                try:
                    job.sampler.check(self.train.images, self.train.labels)  # type: ignore[attr-defined]
                except InputError as error:
                    raise InputError(f"{job.row} cannot be trained: {error}") from None
            if "deviations" in job.sampler.uses and job.training is None and not variational:
                raise InputError(
                    f"{job.row} needs a VAE, and the run's autoencoder is a plain one: give the "
                    "job an autoencoder with beta above 0"
                )

    def described(self, job: Job) -> Entry:
        """What a job is, as JSON."""
        return {
            "row": job.row,
            "group": job.group,
            "values": job.values,
            "what": job.sampler.what,
            "of": {
                "sampler": job.sampler.name,
                "options": job.sampler.model_dump(mode="json"),
                **({"autoencoder": _dumped(job.training)} if job.training else {}),
            },
            "repetition": job.repetition,
        }

    # ---- one job

    def seed(self, repetition: int | str) -> int:
        """Of everything random in a repetition."""
        return derive_seed(self.base.seed, "rivals", repetition)

    def _autoencoder_of(self, job: Job) -> Any:
        """JSON that tells a job's autoencoder; None for a whole model."""
        if job.sampler.kind == "images":
            return None
        if job.training is None:
            return self._own
        found: Entry = {"name": job.training.name, "options": _dumped(job.training)}
        found |= {"repetition": job.trained}
        if job.start:
            found |= {"start": job.start, **self.options.warm_start.model_dump()}
        return found

    def work(self, job: Job) -> Work:
        """A job, as the ledger takes it."""
        autoencoder = self._autoencoder_of(job)
        identity = {
            **self._shared,
            "autoencoder": autoencoder,
            "sampler": job.sampler.name,
            "options": job.sampler.model_dump(mode="json"),
            "augmentation": job.augmentation and job.augmentation.model_dump(mode="json"),
            "conditional": job.conditional,
            "repetition": job.repetition,
        }
        return Work(
            identity,
            self._together(job),
            self._names,
            lambda before, kept: self._measure(job, hashed(identity), before, kept),
            f"{job.row}, repetition {job.repetition}",
        )

    def _together(self, job: Job) -> Any:
        """Another autoencoder is trained by one process; a fit is shared by those it serves."""
        autoencoder = self._autoencoder_of(job)
        if isinstance(autoencoder, dict):
            return [self._shared["images"], self.base.seed, autoencoder]
        root = job.sampler
        while builds_on := getattr(root, "builds_on", lambda: None)():
            root = builds_on
        return [self._shared["images"], self.base.seed, autoencoder, _key(root), job.repetition]

    def _measure(
        self, job: Job, key: str, before: Entry, kept: Tensors | None
    ) -> tuple[Entry, Tensors | None]:
        seed, bench, base = self.seed(job.repetition), self.bench(job), self.base
        if kept is not None:
            missing = self._names - before.keys()
            found = bench.measure(bench.unpacked(kept), seed, missing, self.options.metrics)
            return {**before, **found}, None
        with watched() as used:
            fitted, seconds = self.fit(job, bench, key)
            autoencoder = bench.autoencoder if job.sampler.kind == "latents" else None
            model = HVRTDiffuser(autoencoder, fitted, self.device)
            classifiers = self._shared["classifiers"]
            drawing = bench.draw(model, seed, conditional=job.conditional, classifiers=classifiers)
        measures: Entry = bench.measure(drawing, seed, self._names, self.options.metrics)
        if self.only is not None:
            return measures, None
        part = getattr(fitted, "per_class" if job.conditional else "overall", None)
        measures |= {
            "tstr": bench.tstr(drawing, base.classifier, seeds=classifiers, seed=seed),
            "train_seconds": seconds,
            **used,
            **cost(model),
            "evaluations": getattr(fitted, "evaluations", 0),
            "leaves": getattr(part, "n_leaves", None),
        }
        if job.sampler.kind == "images":
            test = self.test.images, self.test.labels
            measures["nelbo"] = job.sampler.bound(fitted, *test, seed)  # type: ignore[attr-defined]
        return measures, bench.packed(drawing)

    def bench(self, job: Job) -> Bench:
        """What a job is measured by; the latest of each kind stays, since many jobs share it."""
        identity = self._autoencoder_of(job)
        kind, key = job.sampler.kind, hashed(identity)
        if self._benches.get(f"{kind} {key}") is None:
            self._benches = {k: v for k, v in self._benches.items() if not k.startswith(kind)}
            self._benches[f"{kind} {key}"] = self.make_bench(job)
        return self._benches[f"{kind} {key}"]

    def make_bench(self, job: Job) -> Bench:
        """The bench of a job."""
        autoencoder: Autoencoder | None = None
        if job.sampler.kind == "latents":
            autoencoder = self.autoencoder
            if job.training is not None:
                seed = self.seed(job.trained)
                autoencoder = self.store(self.train).get(job.training, seed)
        return self.bench_on(self.train, autoencoder)

    def bench_on(self, train: LabelledImages, autoencoder: Autoencoder | None) -> Bench:
        """A bench of some training images."""
        n, compared = self.options.n, self.options.compared
        return Bench(
            train,
            self.test,
            self.judge,
            n=n,
            compared=compared,
            device=self.device,
            autoencoder=autoencoder,
        )

    # ---- fits

    def fit(self, job: Job, bench: Bench, key: str) -> tuple[Any, float | None]:
        """What a job is drawn from, on the device, and the seconds of its fit.

        A training of a whole model that was cut off is gone on with; what it took before is not
        known, and its seconds are then None.
        """
        seed = self.seed(job.repetition)
        if job.sampler.kind == "latents":
            return self._fit_latents(job, bench, seed)
        of_fit = hashed([_key(job.sampler), seed])
        if self._whole is None or self._whole[0] != of_fit:
            self._whole = of_fit, *self._fit_whole(job, bench, seed, key)
        _, model, seconds = self._whole
        return job.sampler.adapt(model), seconds  # type: ignore[attr-defined]

    def _fit_whole(self, job: Job, bench: Bench, seed: int, key: str) -> tuple[Any, float | None]:
        own = self.folder / "trainings" / key
        cut_off = own.exists()
        start = time.perf_counter()
        model = job.sampler.fit(  # type: ignore[attr-defined]
            bench.train.images,
            bench.train.labels,
            seed=seed,
            device=self.device,
            checkpoint=Checkpoint(own / "checkpoint.safetensors"),
        )
        seconds = time.perf_counter() - start
        shutil.rmtree(own, ignore_errors=True)
        return model, None if cut_off else seconds

    def _fit_latents(self, job: Job, bench: Bench, seed: int) -> tuple[Any, float]:
        where = (hashed([self._autoencoder_of(job), job.repetition]), seed)
        if self._fits[0] != where:  # fits on other latents are not needed any more
            self._fits = (where, {})
        extra: dict[str, Any] = {}
        if job.augmentation is not None:
            extra["augmented"] = encode_augmented(
                bench.autoencoder,  # type: ignore[arg-type]
                bench.train.images,
                job.augmentation,
                seed=derive_seed(seed, "frontier", "augment"),
                device=self.device,
            )
        if "deviations" in job.sampler.uses:
            assert bench.deviations is not None
            extra["deviations"] = bench.deviations.to(self.device)
        return self._shared_fit(job.sampler, bench, seed, extra)

    def _shared_fit(
        self, estimator: Any, bench: Bench, seed: int, extra: dict[str, Any]
    ) -> tuple[Any, float]:
        """A fit, or one of an estimator that differs in drawing alone, adapted."""
        fits, key = self._fits[1], hashed(_key(estimator))
        data: tuple[Tensor, Tensor] = (bench.latents.to(self.device), bench.train.labels)
        if key not in fits:
            before, base = 0.0, estimator.builds_on()
            extra = dict(extra)
            if base is not None:
                extra["start"], before = self._shared_fit(base, bench, seed, {})
            start = time.perf_counter()
            fitted = estimator.fit(*data, seed=seed, **extra)
            seconds = before + time.perf_counter() - start
            fits[key] = ((estimator, "augmented" in extra), fitted, seconds)
            return fitted, seconds
        first, fitted, seconds = fits[key]
        if first != (estimator, "augmented" in extra):
            fitted = estimator.adapt(fitted, *data, seed=seed, **extra)
        return fitted, seconds

    # ---- floors

    def floors(self, job: Job) -> Work:
        """What the autoencoder of a job allows for, and images alone for a whole model."""
        autoencoder = self._autoencoder_of(job)
        identity = {
            **self._shared,
            "of": "floors",
            "autoencoder": autoencoder,
            "repetition": job.repetition,
        }
        return Work(
            identity,
            self._together(job),
            frozenset({"real_floor"}),
            lambda before, kept: (self._measure_floors(job), None),
            f"floors, repetition {job.repetition}",
        )

    def _measure_floors(self, job: Job) -> Entry:
        seed, bench = self.seed(job.repetition), self.bench(job)
        found: Entry = dict(bench.floors(seed))
        model = bench.autoencoder
        if model is None:
            return found
        found["active_units"] = int((bench.held_out.var(dim=0) > ACTIVE).sum())
        found["nelbo"] = None
        if model.architecture.variational:
            found["nelbo"] = negative_elbo(model, self.test.images, seed=seed, device=self.device)
        if job.training is None:
            n, train = self.options.n, bench.train
            rows = {"copy_tstr": copied(model, train, n, self.device)}
            if enough(train, n):
                rows["real_tstr"] = equal_n(train, n)
            found |= bench.utility(
                rows, self.base.classifier, seeds=self.options.classifiers, seed=seed
            )
        return found


def _dumped(training: Any) -> Entry:
    found: Entry = training.model_dump(mode="json", exclude={"device"})
    return found


def _key(estimator: Estimator) -> Any:
    """JSON that estimators have in common that differ in drawing alone."""
    return [estimator.name, estimator.model_dump(mode="json", exclude=set(estimator.drawing))]


def _rank(job: Job) -> tuple[bool, ...]:
    """The longest first, so that processes that share the work end together."""
    return job.sampler.kind != "images", job.training is None, not job.sampler.network
