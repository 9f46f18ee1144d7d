"""Scores of an attacker, and how well they tell members from others."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from hvrt_diffuser.metrics import membership, membership_scores


def test_the_score_grows_the_nearer_released_images_are_and_copies_are_finite() -> None:
    scores = membership_scores(np.array([2.0, 2, 2, 2, 0]), np.array([4.0, 2, 1, 0, 0]))
    assert scores[:3] == pytest.approx(np.log([0.5, 1, 2]))
    assert scores[3] > 5
    assert np.isfinite(scores).all()
    assert scores[4] == 0


def test_neither_attack_depends_on_the_unit_of_the_reference() -> None:
    source = np.random.default_rng(0)
    near, far = source.random((2, 500)) + 0.1, source.random((2, 500)) + 0.2
    found = [
        membership(*(membership_scores(factor * r, s) for r, s in (near, far)), n_released=9)
        for factor in (1, 10)
    ]
    assert found[0] == pytest.approx(found[1])


def test_both_figures_are_those_of_the_curve() -> None:
    source = np.random.default_rng(0)
    members, others = source.standard_normal(3000) + 1, source.standard_normal(2000)
    found = membership(members, others, n_released=7)
    truth, scores = np.repeat([1, 0], [3000, 2000]), np.concatenate([members, others])
    fpr, tpr, _ = roc_curve(truth, scores)
    assert found.auc == pytest.approx(roc_auc_score(truth, scores))
    assert found.tpr_at_1 == pytest.approx(tpr[fpr <= 0.01].max(), abs=0.003)
    assert found.tpr_low is not None
    assert found.tpr_high is not None
    assert found.tpr_low < 0.092 < found.tpr_high  # Phi(1 - 2.326)
    assert found[-3:] == (3000, 2000, 7)


def test_below_100_others_no_false_alarm_of_one_percent_is_told() -> None:
    source = np.random.default_rng(0)
    found = membership(source.random(200), source.random(99), n_released=1)
    assert found.tpr_at_1 is found.tpr_low is found.tpr_high is None
    assert found.auc_low < 0.5 < found.auc_high
