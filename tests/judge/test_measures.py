"""Which figures there are, and that a metric of one's own is one of them."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.judge import Evidence, LatentEvidence, measure
from hvrt_diffuser.judge.extractors import pixels

SETS = ("test", "synthetic", "vae_beta_1", "real_floor", "reconstruction_floor", "copy_floor")


@pytest.fixture
def evidence(digits: LabelledImages) -> Evidence:
    """Real digits in every set, seen as a few of their pixels."""
    parts = dict(zip(SETS, digits[torch.arange(480)].images.split(80), strict=True))
    labels = dict(zip(SETS, digits.labels[:480].split(80), strict=True))  # what a judge sees
    seen = {name: pixels(images[..., 12:16, 12:16]) for name, images in parts.items()}
    training = digits.images[480:580]
    rows = np.arange(80)
    latents = [pixels(x[..., 10:12, 10:12]) for x in (training, parts["test"], training[:80])]
    return Evidence(
        images=parts,
        features={"classifier": seen, "pixels": {name: x[:, :8] for name, x in seen.items()}},
        probabilities={name: np.eye(10)[own.numpy()] for name, own in labels.items()},
        training=training,
        decoded_training=training,
        latents=LatentEvidence(latents[0][rows] + 0.01, rows, *latents),
        seed=0,
    )


def test_sets_and_extractors_are_in_the_names(evidence: Evidence) -> None:
    found = measure(evidence)
    against_test = set(SETS) - {"test"}
    assert set(found["fd_classifier"]) == set(found["fd_pixels"]) == against_test
    assert set(found["kid_classifier"]) == against_test
    assert set(found["vendi_classifier"]) == set(found["inception_score_classifier"]) == set(SETS)
    assert "kid_pixels" not in found
    spaces = {"dcr_image", "dcr_raw", "dcr_latent", "authentic_raw", "attribution", "ks"}
    spaces |= {"likelihood_gap_raw"}
    assert spaces < set(found)


def test_a_metric_of_ones_own_is_a_figure(
    evidence: Evidence, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_figure.py").write_text(
        "def brightness(real, synthetic, *, seed):\n    return synthetic.mean() - real.mean()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "my_figure", raising=False)
    found = measure(evidence, ["my_figure:brightness"])
    features = evidence.features["classifier"]
    expected = features["synthetic"].mean() - features["test"].mean()
    assert found["brightness_classifier"]["synthetic"] == pytest.approx(float(expected))
    assert "fd_classifier" in found
    assert "kid_classifier" not in found


def test_an_unknown_metric_is_refused_before_anything_is_measured(evidence: Evidence) -> None:
    with pytest.raises(InputError, match="there is no metric called 'kit'"):
        measure(evidence, ["kit"])


def test_what_has_too_few_images_is_skipped_with_its_reason(evidence: Evidence) -> None:
    few = {name: x[:3] for name, x in evidence.features["classifier"].items()}
    found = measure(replace(evidence, features={"classifier": few}), ["kid", "manifold"])
    assert set(found["manifold_classifier"].values()) == {None}
    assert "neighbours" in found["skipped"]["manifold_classifier"]
    assert found["kid_classifier"]["synthetic"] is not None
