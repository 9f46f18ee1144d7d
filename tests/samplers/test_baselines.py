"""The prior and the posterior that HVRT is compared with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency, chisquare, kstest
from torch import Tensor

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.samplers import PosteriorEstimator, StandardNormal, StandardNormalEstimator

COUNTS = torch.tensor([100, 0, 250, 650])


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def rows(latents: Tensor, digits: LabelledImages) -> tuple[Tensor, Tensor]:
    return latents[:400], digits.labels[:400]


# ---- the prior


@pytest.fixture(scope="module")
def prior_draws() -> tuple[Tensor, Tensor]:
    return StandardNormal(6, COUNTS).sample(20_000, generator=source())


def test_the_prior_is_standard_normal_in_every_dimension(
    prior_draws: tuple[Tensor, Tensor],
) -> None:
    z = prior_draws[0]
    assert z.dtype == torch.float32
    assert z.shape == (20_000, 6)
    p = [kstest(column.double().numpy(), "norm").pvalue for column in z.T]
    assert min(p) > 0.001 / len(p)


def test_the_dimensions_of_the_prior_are_independent(prior_draws: tuple[Tensor, Tensor]) -> None:
    z = prior_draws[0].double()
    for values in (z, z.square()):
        assert torch.corrcoef(values.T).fill_diagonal_(0).abs().max() < 4 / np.sqrt(len(z))


def test_labels_of_the_prior_come_in_the_real_proportions(
    prior_draws: tuple[Tensor, Tensor],
) -> None:
    found = torch.bincount(prior_draws[1], minlength=4)
    assert len(found) == 4
    assert found[1] == 0, "a class without an image was drawn"
    present = COUNTS > 0
    expected = (COUNTS / COUNTS.sum() * 20_000)[present].numpy()
    assert chisquare(found[present].numpy(), expected).pvalue > 0.001


def test_labels_of_the_prior_say_nothing_about_its_latents(
    prior_draws: tuple[Tensor, Tensor],
) -> None:
    z, labels = prior_draws
    p = []
    for column in z.T:
        table = [
            [int(((labels == c) & (column > 0)).sum()), int(((labels == c) & (column <= 0)).sum())]
            for c in (0, 2, 3)
        ]
        p.append(chi2_contingency(table).pvalue)
    assert min(p) > 0.001 / len(p)


def test_labels_asked_of_the_prior_do_not_change_its_latents() -> None:
    prior = StandardNormal(6, COUNTS)
    asked = torch.tensor([3, 1, 0])
    z, labels = prior.sample(3, asked, generator=source())
    assert torch.equal(labels, asked)
    assert torch.equal(z, prior.sample(3, generator=source())[0])


def test_the_prior_takes_from_latents_only_how_many_there_are(
    rows: tuple[Tensor, Tensor],
) -> None:
    latents, labels = rows
    one, other = (
        StandardNormalEstimator().fit(each, labels) for each in (latents, 5 * latents.flip(1) + 3)
    )
    assert one.latent_dim == 8
    assert one.counts.tolist() == torch.bincount(labels).tolist()
    assert torch.equal(*(each.sample(50, generator=source())[0] for each in (one, other)))


# ---- the posterior


def test_a_posterior_without_deviation_gives_the_rows_themselves(
    rows: tuple[Tensor, Tensor],
) -> None:
    means, labels = rows
    sampler = PosteriorEstimator().fit(means, labels, deviations=torch.zeros_like(means))
    for asked in (None, torch.arange(1000) % 10):
        draws, found = sampler.sample(1000, asked, generator=source())
        same = (draws[:, None] == means).all(2)
        assert same.any(1).all()
        assert torch.equal(labels[same.int().argmax(1)], found)


def test_draws_have_the_mean_and_deviation_of_their_image(rows: tuple[Tensor, Tensor]) -> None:
    means = rows[0][:2] * 100  # far apart, so that a draw tells whose it is
    deviations = torch.rand(2, 8, generator=source()) + 0.1
    labels = torch.tensor([1, 0])
    sampler = PosteriorEstimator().fit(means, labels, deviations=deviations)
    draws, found = sampler.sample(20_000, generator=source())
    for row in (0, 1):
        noise = (draws[found == labels[row]] - means[row]) / deviations[row]
        p = [kstest(column.double().numpy(), "norm").pvalue for column in noise.T]
        assert min(p) > 0.001 / len(p)


def test_without_deviations_there_is_no_posterior(rows: tuple[Tensor, Tensor]) -> None:
    with pytest.raises(InputError, match="of a VAE: train the autoencoder with beta"):
        PosteriorEstimator().fit(*rows)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda s: s[:-1],
        lambda s: s[:, :-1],
        lambda s: s[:, 0],
        lambda s: torch.full_like(s, float("nan")),
        lambda s: torch.full_like(s, float("inf")),
        lambda s: -s,
    ],
    ids=["a row short", "a dimension short", "one dimension", "nan", "infinite", "negative"],
)
def test_deviations_that_do_not_fit_are_refused(rows: tuple[Tensor, Tensor], spoil: Any) -> None:
    with pytest.raises(InputError, match="encode the images again"):
        PosteriorEstimator().fit(*rows, deviations=spoil(torch.ones_like(rows[0])))
