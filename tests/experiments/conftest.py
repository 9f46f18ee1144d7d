"""What tests of experiments share: small options, and a runner on the digits of the bench."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hvrt_diffuser.autoencoders import TrainingOptions
from hvrt_diffuser.classifiers import ClassifierOptions
from hvrt_diffuser.experiments import BaseOptions, ExperimentOptions, Runner
from hvrt_diffuser.judge import bench as measured_by
from hvrt_diffuser.judge.bench import Bench

CLASSIFIER = ClassifierOptions(width=8, steps=30, batch_size=64, learning_rate=0.01)
FLOW: dict[str, Any] = {
    "width": 32,
    "blocks": 2,
    "training_steps": 100,
    "batch_size": 128,
    "precision": "float32",
    "solver_steps": 4,
}
FLOW_MAP = {**FLOW, "trajectories": 2000, "distillation_steps": 50}


@pytest.fixture(scope="session")
def base(make_options: Callable[..., TrainingOptions]) -> BaseOptions:
    return BaseOptions(
        ae_training=make_options(latent_dim=8, width=8, epochs=2, batch_size=100),
        samplers={"latent_flow": FLOW, "flow_map": FLOW_MAP},
        classifier=CLASSIFIER,
    )


@pytest.fixture(scope="session")
def make_experiment() -> Callable[..., ExperimentOptions]:
    """Options of an experiment on few draws, from groups by name."""

    def make(jobs: dict[str, Any], **changes: Any) -> ExperimentOptions:
        plain = {"n": 300, "compared": 100, "seeds": 2, "jobs": jobs}
        return ExperimentOptions.model_validate({**plain, **changes})

    return make


@pytest.fixture(scope="session")
def make_runner(bench: Bench, base: BaseOptions) -> Callable[..., Runner]:
    """A runner on the images of the bench."""

    def make(options: ExperimentOptions, folder: Path, **changes: Any) -> Runner:
        kind = changes.pop("kind", Runner)
        assert bench.autoencoder is not None
        made: Runner = kind(
            bench.train,
            bench.test,
            bench.judge,
            bench.autoencoder,
            changes.pop("base", base),
            options,
            folder,
            **changes,
        )
        return made

    return make


@pytest.fixture(scope="module", autouse=True)
def few_calls() -> Any:
    """How large a batch is does not matter to these tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measured_by, "BATCHES", (1, 8))
        yield
