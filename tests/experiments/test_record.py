"""The record of rivals can be added to: its models open with today's code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hvrt_diffuser.autoencoders import Autoencoder
from hvrt_diffuser.classifiers import Classifier

RECORDS = Path(__file__).parents[2] / "docs" / "results"


@pytest.mark.skipif(not RECORDS.is_dir(), reason="the records come with a checkout")
def test_the_models_of_the_record_of_rivals_are_those_that_it_names() -> None:
    record = json.loads((RECORDS / "benchmark.json").read_text())
    models = RECORDS / "benchmark_models"
    judge = Classifier.load(models / "classifier.safetensors")
    autoencoder = Autoencoder.load(models / "autoencoder.safetensors")
    assert judge.fingerprint() == record["judge"]
    assert autoencoder.fingerprint() == record["autoencoder"]
    assert judge.shape == autoencoder.architecture.shape == (1, 28, 28)
