"""Samplers side by side, on real digits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest

import hvrt_diffuser
from hvrt_diffuser.autoencoders import TrainingOptions
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.comparing import compare, plot_comparison
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.judge import Bench
from hvrt_diffuser.samplers import HVRTEstimator


@pytest.fixture(scope="module")
def table(bench: Bench) -> pd.DataFrame:
    samplers = {
        "hvrt": "hvrt",
        "near copies": HVRTEstimator(strategy="bootstrap_noise"),
        "one Gaussian": "gaussian",
    }
    return compare(
        samplers,
        (0, 1),
        train=bench.train,
        test=bench.test,
        n=300,
        autoencoder=bench.autoencoder,
        judge=bench.judge,
    )


def test_a_row_for_each_sampler_and_seed_and_two_floors(table: pd.DataFrame) -> None:
    assert list(table["sampler"]) == [
        *("hvrt", "hvrt", "near copies", "near copies", "one Gaussian", "one Gaussian"),
        *("real images", "copies"),
    ]
    measured = table[:6]
    assert measured.notna().all(axis=None)
    mean = measured.groupby("sampler")[["fd_classifier", "dcr_image"]].mean()
    assert mean.loc["near copies", "dcr_image"] < mean.loc["hvrt", "dcr_image"]
    assert mean.loc["hvrt", "fd_classifier"] < mean.loc["one Gaussian", "fd_classifier"]


def test_the_same_seeds_give_the_same_numbers(table: pd.DataFrame, bench: Bench) -> None:
    again = compare(
        ["hvrt"],
        (1,),
        train=bench.train,
        test=bench.test,
        n=300,
        autoencoder=bench.autoencoder,
        judge=bench.judge,
    )
    columns = ["fd_classifier", "precision", "recall", "dcr_image", "ks"]
    assert again.loc[0, columns].tolist() == table.loc[1, columns].tolist()


def test_the_plot_shows_each_sampler_and_the_floors(table: pd.DataFrame) -> None:
    [axes] = plot_comparison(table).axes
    shown = {text.get_text() for text in axes.get_legend().get_texts()}
    assert shown == {"hvrt", "near copies", "one Gaussian", "real images", "copies"}
    assert axes.get_title()


def test_all_but_images_and_samplers_has_a_default(
    digits: LabelledImages, make_options: Callable[..., TrainingOptions]
) -> None:
    quick = make_options(epochs=1)
    table = hvrt_diffuser.compare(["hvrt"], [0], train=digits[:400], n=80, training=quick)
    assert len(table) == 3


@pytest.mark.parametrize("name", ["vq_vae", "posterior", "hvrtt"])
def test_what_cannot_be_compared_is_named(bench: Bench, name: str) -> None:
    with pytest.raises(InputError, match=name):
        compare([name], train=bench.train, test=bench.test, autoencoder=bench.autoencoder)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"n": 2**62}, "n is 4611686018427387904, expected 6 to"),
        ({"n": 300.0}, "n is 300.0, expected a whole number"),
        ({"n": 5}, "n is 5, expected 6 to"),
        ({"seeds": (0, True)}, "one of seeds is True, expected a whole number"),
        ({"seeds": (-1,)}, "one of seeds is -1, expected 0 to"),
        ({"seeds": ()}, "seeds are none, expected at least one"),
        ({"device": "gpu"}, "device 'gpu' was asked for and is not there"),
        ({"device": "cuda:99"}, "device 'cuda:99' was asked for and is not there"),
    ],
)
def test_arguments_that_make_no_sense_are_refused_before_anything_is_trained(
    digits: LabelledImages, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        compare(["hvrt"], **{"train": digits, **given})
