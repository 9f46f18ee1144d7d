"""Nodes of ``benchmark``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from hvrt_diffuser.autoencoders import Autoencoder
from hvrt_diffuser.catalog.latents import table_to_latents
from hvrt_diffuser.classifiers import Classifier
from hvrt_diffuser.common.devices import resolve_device
from hvrt_diffuser.common.machine import describe_machine
from hvrt_diffuser.common.seeding import derive_seed
from hvrt_diffuser.data.images import LabelledImages, fingerprint
from hvrt_diffuser.frontier import ImageYardstick, Yardstick
from hvrt_diffuser.pipelines.ae_training.parameters import AETrainingOptions
from hvrt_diffuser.pipelines.benchmark.parameters import BenchmarkOptions
from hvrt_diffuser.pipelines.hvrt_fitting.parameters import FlowOptions, HVRTFittingOptions
from hvrt_diffuser.pipelines.tstr.parameters import TSTROptions
from hvrt_diffuser.pipelines.yardsticks import yardstick_of
from hvrt_diffuser.rivals import (
    MEASURES,
    Ledger,
    Shared,
    autoencoder_rivals,
    autoencoder_trials,
    check_candidates,
    chosen,
    compare_speed,
    generator_rivals,
    generator_trials,
    measure_rivals,
    plot_rivals,
    prior_rivals,
    prior_trials,
    run_trials,
    summarise,
    tuned_generators,
    validation_split,
)
from hvrt_diffuser.sweeps import AutoencoderStore, Yardsticks

__all__ = ["compare_rivals", "compare_times", "plot_comparison", "tabulate_rivals", "tune_rivals"]


def tune_rivals(
    images_train: LabelledImages,
    latents_train: pd.DataFrame,
    autoencoder: Autoencoder,
    classifier: Classifier,
    training: AETrainingOptions,
    hvrt: HVRTFittingOptions,
    flow: FlowOptions,
    options: BenchmarkOptions,
    seed: int,
    device: str,
    ledgers: Path,
    autoencoders: Path,
) -> dict[str, Any]:
    """The best candidates of rivals' options, on training images that are held out."""
    generators = options.generators.chosen()
    priors, others, whole = options.candidates()
    check_candidates(generators, whole, images_train)
    setting = {
        "n": options.n,
        "hvrt_fitting": hvrt.model_dump_json(),
        "flow": flow.model_dump_json(),
        "autoencoder": autoencoder.fingerprint(),
        "classifier": classifier.fingerprint(),
        "images": fingerprint(images_train),
        "seed": seed,
    }
    where = resolve_device(options.device or device)
    own_seed = derive_seed(seed, "rivals", "tuning")
    trials = []
    if any(len(several) > 1 for each in (priors, others, whole) for several in each.values()):
        fitted, held_out = validation_split(len(images_train), options.n, own_seed)
        latents, _ = table_to_latents(latents_train)
        size: dict[str, Any] = {"n": options.n, "compared": options.compared, "device": where}
        few, fresh = images_train[fitted], images_train[held_out]
        yardstick = Yardstick(
            (few, latents[fitted]), (fresh, latents[held_out]), autoencoder, classifier, **size
        )
        shared = Shared(hvrt, flow)
        trials = prior_trials(yardstick, priors, shared, steps=options.tuning_steps, seed=own_seed)
        store = AutoencoderStore(autoencoders, few, where)
        trials += autoencoder_trials(
            Yardsticks(few, fresh, classifier, store, **size),
            training,
            others,
            shared,
            epochs=options.tuning_epochs,
            seed=own_seed,
        )
        draws = options.tuning_draws
        trials += generator_trials(
            ImageYardstick(few, fresh, classifier, **{**size, "n": draws}),
            generators,
            whole,
            share=options.tuning_share,
            seed=own_seed,
        )
    entries = run_trials(trials, Ledger(ledgers, setting))
    return {
        "candidates": entries,
        "priors": chosen(priors, entries),
        "autoencoders": chosen(others, entries),
        "generators": chosen(whole, entries),
    }


def compare_rivals(
    images_train: LabelledImages,
    images_test: LabelledImages,
    latents_train: pd.DataFrame,
    latents_test: pd.DataFrame,
    autoencoder: Autoencoder,
    classifier: Classifier,
    training: AETrainingOptions,
    hvrt: HVRTFittingOptions,
    flow: FlowOptions,
    tstr: TSTROptions,
    options: BenchmarkOptions,
    seed: int,
    device: str,
    ledgers: Path,
    autoencoders: Path,
    generators: Path,
    tuning: dict[str, Any],
) -> dict[str, Any]:
    """Fidelity, utility, novelty, likelihood, time, memory and size of every rival."""
    setting = {
        # Neither rivals nor seeds: what is there is kept, and what is new is added.
        "measures": MEASURES,
        "n": options.n,
        "compared": options.compared,
        "hvrt_fitting": hvrt.model_dump_json(),
        "flow": flow.model_dump_json(),
        "tstr.classifier": tstr.classifier.model_dump_json(),
        "autoencoder": autoencoder.fingerprint(),
        "classifier": classifier.fingerprint(),
        "images": fingerprint(images_train),
        "images_test": fingerprint(images_test),
        "seed": seed,
    }
    where = resolve_device(options.device or device)
    size: dict[str, Any] = {"n": options.n, "compared": options.compared, "device": where}
    yardstick = yardstick_of(
        (images_train, images_test),
        (latents_train, latents_test),
        autoencoder,
        classifier,
        options,
        where,
    )
    store = AutoencoderStore(autoencoders, images_train, where)
    shared, judged_by = Shared(hvrt, flow), tstr.classifier
    # The longest first, so that processes that share the work end together.
    rivals = generator_rivals(
        ImageYardstick(images_train, images_test, classifier, **size),
        tuned_generators(options.generators.chosen(), tuning["generators"]),
        generators,
        judged_by,
        seeds=options.generator_seeds,
    )
    rivals += autoencoder_rivals(
        Yardsticks(images_train, images_test, classifier, store, **size),
        training,
        tuning["autoencoders"],
        {name: tuning["priors"].get(name, {}) for name in options.autoencoder_priors},
        {name: tuning["priors"].get(name, {}) for name in options.vae_priors},
        shared,
        judged_by,
        seeds=options.autoencoder_seeds,
    )
    rivals += prior_rivals(
        yardstick,
        tuning["priors"],
        shared,
        judged_by,
        seeds=options.seeds,
        network_seeds=options.network_seeds,
    )
    entries = measure_rivals(rivals, Ledger(ledgers, setting), seed=seed)
    return {
        "n": options.n,
        "n_test": len(images_test),
        "autoencoder": autoencoder.fingerprint(),
        "floors": yardstick.floors(seed),
        "machine": describe_machine(),
        "tuning": tuning["candidates"],
        "rows": summarise(entries),
    }


def compare_times(
    images_train: LabelledImages,
    images_test: LabelledImages,
    latents_train: pd.DataFrame,
    latents_test: pd.DataFrame,
    autoencoder: Autoencoder,
    classifier: Classifier,
    hvrt: HVRTFittingOptions,
    options: BenchmarkOptions,
    seed: int,
    device: str,
) -> dict[str, Any]:
    """HVRT, a VAE's reparameterisation and DDPM with all its steps, in turn."""
    where = resolve_device(options.device or device)
    yardstick = yardstick_of(
        (images_train, images_test),
        (latents_train, latents_test),
        autoencoder,
        classifier,
        options,
        where,
    )
    untrained, estimator = None, options.generators.pixel_diffusion
    if estimator is not None:
        # What it has learned takes no time.
        untrained = estimator.model_copy(update={"training_steps": 1}).fit(
            images_train.images, images_train.labels, seed=seed, device=where
        )
    sampler = hvrt.fit(yardstick.latents.to(where), images_train.labels, seed=seed)
    return {**compare_speed(yardstick, sampler, untrained), "machine": describe_machine()}


def tabulate_rivals(benchmark: dict[str, Any]) -> pd.DataFrame:
    """The rows as a table: a column of milliseconds for each batch, options as JSON."""
    rows = [{**row, "of": json.dumps(row["of"], sort_keys=True)} for row in benchmark["rows"]]
    return pd.json_normalize(rows, sep="_").convert_dtypes()


def plot_comparison(benchmark: dict[str, Any]) -> Figure:
    """The picture of the table."""
    return plot_rivals(benchmark["rows"])
