"""Latent flows: the solver, where draws start and arrive, and what distillation keeps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor, nn

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import read_tensors
from hvrt_diffuser.samplers import (
    FlowEstimator,
    FlowMapEstimator,
    LatentFlow,
)
from hvrt_diffuser.samplers.flow import Scale, carry, flow_source
from hvrt_diffuser.samplers.velocity import VelocityField

QUICK: dict[str, Any] = {
    "width": 64,
    "blocks": 2,
    "training_steps": 800,
    "batch_size": 256,
    "learning_rate": 4e-3,
    "precision": "float32",
}


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


class Known(nn.Module):
    """A velocity that is given, and how often it was asked for."""

    def __init__(self, velocity: Any) -> None:
        super().__init__()
        self.velocity, self.calls = velocity, 0

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        self.calls += 1
        found: Tensor = self.velocity(x, t[:, None])
        return found


def arrive(velocity: Any, x: Tensor, steps: int) -> tuple[Tensor, int]:
    field: Any = Known(velocity)
    labels = torch.zeros(len(x), dtype=torch.long)
    arrived, path = carry(field, x, labels, torch.linspace(0, 1, steps + 1, dtype=torch.float64))
    assert len(path) == steps
    assert torch.equal(path[0], x)
    return arrived, field.calls


# ---- the solver


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_a_straight_path_is_followed_exactly(steps: int) -> None:
    x = torch.randn(5, 3, generator=source(), dtype=torch.float64)
    towards = torch.randn(5, 3, generator=source(1), dtype=torch.float64)
    arrived, calls = arrive(lambda x, t: towards, x, steps)
    assert torch.allclose(arrived, x + towards)
    assert calls == 2 * steps - 1


def test_a_curved_path_is_followed_to_the_second_order() -> None:
    x = torch.randn(5, 3, generator=source(), dtype=torch.float64)
    exact = x * torch.e
    errors = [(arrive(lambda x, t: x, x, n)[0] - exact).abs().max().item() for n in (20, 40, 80)]
    assert 3.5 < errors[0] / errors[1] < 4.5
    assert 3.5 < errors[1] / errors[2] < 4.5


def test_the_time_is_told() -> None:
    x = torch.zeros(4, 2, dtype=torch.float64)
    arrived, _ = arrive(lambda x, t: (2 * t).expand_as(x), x, 50)
    assert torch.allclose(arrived, torch.ones_like(x), atol=0.03)


def test_draws_cost_as_many_evaluations_as_they_say(two_classes: tuple[Tensor, Tensor]) -> None:
    flow = FlowEstimator(**{**QUICK, "training_steps": 1}, solver_steps=5).fit(*two_classes)
    asked = []
    flow.field.register_forward_hook(lambda *_: asked.append(1))
    flow.sample(10, generator=source())
    assert len(asked) == flow.evaluations == 9


# ---- where it starts


def test_units_have_mean_0_and_deviation_1(latents: Tensor) -> None:
    scale = Scale.of(latents)
    x = scale.enter(latents)
    assert x.mean(0).abs().max() < 1e-4
    assert (x.std(0, correction=0) - 1).abs().max() < 1e-4
    assert torch.allclose(scale.leave(x), latents, atol=1e-4)


def test_a_start_is_what_training_pairs_are_at_that_time() -> None:
    x = torch.tensor([[3.0, -1.0]])
    start = flow_source(x, torch.tensor([1]), 0.25)
    drawn, _ = start.sample(50_000, generator=source())
    assert torch.allclose(drawn.mean(0), 0.75 * x[0], atol=0.01)
    assert torch.allclose(drawn.std(0), torch.tensor([0.25, 0.25]), atol=0.01)


def test_a_start_from_noise_keeps_no_latent(latents: Tensor, tmp_path: Path) -> None:
    options = {**QUICK, "training_steps": 2}
    for strength, kept in ((1.0, False), (0.5, True)):
        flow = FlowEstimator(**options, strength=strength).fit(latents[:300])
        flow.save(tmp_path / "flow")
        tensors, header = read_tensors(tmp_path / "flow", "latent sampler")
        assert any(len(t) == 300 for t in tensors.values() if t.ndim == 2) is kept
        assert ("notice" in header) is kept
        rows = flow.draw(9, generator=source()).rows
        assert (rows is not None) is kept


# ---- where it arrives


@pytest.fixture(scope="module")
def two_classes() -> tuple[Tensor, Tensor]:
    """A ring, and a small blob beside it: nothing that one Gaussian would fit."""
    angle = torch.rand(2000, generator=source()) * 2 * torch.pi
    ring = torch.stack([angle.cos(), angle.sin()], 1) * 3
    blob = torch.randn(1000, 2, generator=source(1)) * 0.2 + torch.tensor([8.0, 0.0])
    noise = 0.1 * torch.randn(2000, 2, generator=source(2))
    return torch.cat([ring + noise, blob]), torch.tensor([0] * 2000 + [1] * 1000)


@pytest.fixture(scope="module")
def flow(two_classes: tuple[Tensor, Tensor]) -> LatentFlow:
    return FlowEstimator(**QUICK).fit(*two_classes, seed=0)


@pytest.fixture(scope="module")
def flow_map(two_classes: tuple[Tensor, Tensor], flow: LatentFlow) -> LatentFlow:
    estimator = FlowMapEstimator(**QUICK, trajectories=10_000, distillation_steps=800)
    return estimator.fit(*two_classes, seed=0, start=flow)


@pytest.mark.parametrize("name", ["flow", "flow_map"])
@pytest.mark.slow
def test_each_class_arrives_where_it_belongs(name: str, request: pytest.FixtureRequest) -> None:
    sampler = request.getfixturevalue(name)
    ring, _ = sampler.sample(4000, torch.zeros(4000, dtype=torch.long), generator=source())
    radius = ring.norm(dim=1)
    assert abs(radius.mean() - 3) < 0.1
    assert radius.std() < 0.4  # 0.1, and what a small network blurs
    angle = torch.atan2(ring[:, 1], ring[:, 0])
    counts = torch.histc(angle, 8, -torch.pi, torch.pi) / 4000
    assert (counts - 1 / 8).abs().max() < 0.04, "the ring has gaps"
    blob, _ = sampler.sample(4000, torch.ones(4000, dtype=torch.long), generator=source())
    assert (blob.mean(0) - torch.tensor([8.0, 0.0])).abs().max() < 0.15
    assert blob.std(0).max() < 0.5


def test_one_step_of_the_map_arrives_where_many_of_the_flow_do(
    two_classes: tuple[Tensor, Tensor], flow: LatentFlow, flow_map: LatentFlow
) -> None:
    assert flow_map.evaluations == 1
    fine = FlowEstimator(**QUICK, solver_steps=40).adapt(flow, *two_classes)
    once = FlowEstimator(**QUICK, solver_steps=1).adapt(flow, *two_classes)
    arrived, own, jumped = (s.sample(4000, generator=source())[0] for s in (fine, flow_map, once))
    of_map = (own - arrived).norm(dim=1).median()
    of_jump = (jumped - arrived).norm(dim=1).median()
    assert of_map < 0.3 * of_jump


def test_the_weaker_the_closer_to_copies(
    two_classes: tuple[Tensor, Tensor], flow_map: LatentFlow
) -> None:
    latents, labels = two_classes
    away = []
    for strength in (0.02, 0.2, 0.6):
        estimator = FlowMapEstimator(**QUICK, strength=strength)
        weaker = estimator.adapt(flow_map, latents, labels)
        assert weaker.field is flow_map.field
        assert weaker.origin["strength"] == strength
        drawn, found, rows = weaker.draw(2000, generator=source())
        assert rows is not None
        assert torch.equal(found, labels[rows])
        away.append((drawn - latents[rows]).norm(dim=1).median().item())
    assert away[0] < 0.3
    assert away[0] < away[1] < away[2]


def test_augmented_latents_are_started_from_as_often_as_the_others(
    two_classes: tuple[Tensor, Tensor], flow_map: LatentFlow
) -> None:
    latents, labels = two_classes
    mixed = torch.randperm(len(latents), generator=source(9))
    latents, labels = latents[mixed], labels[mixed]
    away = torch.tensor([0.0, 20.0])
    estimator = FlowMapEstimator(**QUICK, strength=0.02)
    versions = torch.stack([latents + away, latents + 2 * away, latents + 3 * away])
    sampler = estimator.adapt(flow_map, latents, labels, augmented=versions)
    assert torch.equal(sampler.counts, flow_map.counts)
    drawn, found, rows = sampler.draw(8000, generator=source())
    assert rows is not None
    started = latents[torch.argsort(labels, stable=True)][rows]
    assert torch.equal(found, labels[torch.argsort(labels, stable=True)][rows])
    height = (drawn - started)[:, 1] / 20
    version = height.round()
    assert (height - version).abs().median() < 0.05, "a draw is near a version of its own row"
    assert (torch.bincount(version.long().clamp(0), minlength=4) / 8000 - 1 / 4).abs().max() < 0.03


def test_the_flow_is_trained_without_augmented_latents(two_classes: tuple[Tensor, Tensor]) -> None:
    latents, labels = two_classes
    estimator = FlowEstimator(**{**QUICK, "training_steps": 20}, strength=0.5)
    alone = estimator.fit(latents, labels)
    beside = estimator.fit(latents, labels, augmented=(latents + 50)[None])
    assert torch.equal(alone.scale.mean, beside.scale.mean)
    for one, other in zip(
        alone.field.state_dict().values(), beside.field.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("strength", "augmented", "said"),
    [
        (1.0, torch.zeros(1, 300, 2), "starts from noise"),
        (0.5, torch.zeros(300, 2), r"expected \(c, n, d\)"),
        (0.5, torch.zeros(1, 299, 2), r"expected \(c, n, d\)"),
        (0.5, torch.full((1, 300, 2), torch.nan), "NaN"),
    ],
)
def test_augmented_latents_that_cannot_be_started_from_are_refused_before_training(
    strength: float, augmented: Tensor, said: str
) -> None:
    latents = torch.randn(300, 2, generator=source())
    estimator = FlowEstimator(**{**QUICK, "training_steps": 10**7}, strength=strength)
    with pytest.raises(InputError, match=said):
        estimator.fit(latents, augmented=augmented)


def test_a_map_of_a_trained_flow_is_that_of_one_fit(two_classes: tuple[Tensor, Tensor]) -> None:
    quick = {**QUICK, "training_steps": 5, "trajectories": 50, "distillation_steps": 3}
    whole = FlowMapEstimator(**quick, strength=0.5)
    flow = whole.builds_on().fit(*two_classes, seed=4)
    assert isinstance(flow, LatentFlow)
    one, other = (
        whole.fit(*two_classes, seed=4, start=start).sample(9, generator=source())[0]
        for start in (None, flow)
    )
    assert torch.equal(one, other)


# ---- the fit


def test_labels_and_order_of_rows_do_not_matter_to_the_units(latents: Tensor) -> None:
    options = {**QUICK, "training_steps": 1}
    labels = torch.arange(len(latents)) % 3
    flow = FlowEstimator(**options, strength=0.5).fit(latents, labels)
    order = torch.argsort(labels, stable=True)
    again = FlowEstimator(**options, strength=0.5).fit(latents[order], labels[order])
    one, other = (s.sample(50, generator=source())[0] for s in (flow, again))
    assert torch.allclose(one, other, atol=1e-4)


def test_a_flow_that_is_changed_remembers_whose_latents_it_knows(
    two_classes: tuple[Tensor, Tensor], flow: LatentFlow
) -> None:
    known = replace(flow, origin={**flow.origin, "autoencoder": "abc"})
    quick = FlowMapEstimator(**QUICK, trajectories=50, distillation_steps=1)
    weaker = FlowEstimator(**QUICK, strength=0.5).adapt(known, *two_classes)
    distilled = quick.fit(*two_classes, start=known)
    assert weaker.origin["autoencoder"] == distilled.origin["autoencoder"] == "abc"
    assert (weaker.origin["sampler"], distilled.origin["sampler"]) == ("latent_flow", "flow_map")


def test_training_makes_the_loss_fall(latents: Tensor) -> None:
    """Untrained, the velocity is 0, and draws are the noise in the latents' units."""
    short, long = (
        FlowEstimator(**{**QUICK, "training_steps": steps}).fit(latents) for steps in (1, 300)
    )
    real = torch.cov(latents.T.double())
    off = [
        (torch.cov(s.sample(4000, generator=source())[0].T.double()) - real).norm() / real.norm()
        for s in (short, long)
    ]
    assert off[1] < 0.5 * off[0]


def test_a_loss_that_diverges_is_told(latents: Tensor) -> None:
    estimator = FlowEstimator(**{**QUICK, "training_steps": 40})
    wild = estimator.model_copy(update={"learning_rate": 1e30})  # options have bounds
    with pytest.raises(FloatingPointError, match="lower its learning_rate"):
        wild.fit(latents)


@pytest.mark.parametrize(
    "wrong", [{"strength": 0}, {"strength": 1.1}, {"solver_steps": 0}, {"guidance": 2}]
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FlowEstimator(**{**QUICK, **wrong})


def test_the_field_starts_at_rest() -> None:
    field = VelocityField(4, 3, 16, 2)
    x = torch.randn(6, 4, generator=source())
    assert (field(x, torch.rand(6), torch.arange(6) % 3) == 0).all()
