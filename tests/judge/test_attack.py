"""Attacks on released images with a known answer, on real digits."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from importlib import import_module
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from hvrt_diffuser.common.seeding import generator
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.sources import read_images
from hvrt_diffuser.judge import attack, copying
from hvrt_diffuser.metrics import Copies, Membership
from hvrt_diffuser.metrics.registered import turned
from hvrt_diffuser.samplers import HVRTEstimator

N = 2500
Change = Callable[[Tensor], Tensor]
CHANGES: tuple[Change, ...] = (
    lambda x: x.roll(1, 3),
    lambda x: x.roll((2, -2), (2, 3)),
    lambda x: x.flip(3),
    lambda x: turned(x.float(), 5).round().to(torch.uint8),
    lambda x: turned(x.float(), 10).round().to(torch.uint8),
)


@pytest.fixture
def fewer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth of what the closest look takes."""
    module = import_module("hvrt_diffuser.judge.attack")  # the function has the same name
    monkeypatch.setattr(module, "MOST_REGISTERED", 400)


class Decoder:
    """Principal components in an autoencoder's place."""

    def __init__(self, images: Tensor) -> None:
        self.shape = images.shape[1:]
        self.model = PCA(32, random_state=0).fit(images.flatten(1).numpy())
        self.latents = self.encode(images)

    def encode(self, images: Tensor) -> Tensor:
        return torch.from_numpy(self.model.transform(images.flatten(1).numpy())).float()

    def decode(self, latents: Tensor) -> Tensor:
        images = torch.from_numpy(self.model.inverse_transform(latents.numpy()))
        return images.round().clamp(0, 255).to(torch.uint8).view(-1, *self.shape)


@pytest.fixture(scope="module")
def train(digits: LabelledImages) -> Tensor:
    return digits.images[:N]


@pytest.fixture(scope="module")
def test(digits: LabelledImages) -> Tensor:
    return digits.images[N:3750]


@pytest.fixture(scope="module")
def unseen(digits: LabelledImages) -> Tensor:
    return digits.images[3750:]


@pytest.fixture(scope="module")
def decoder(train: Tensor) -> Decoder:
    return Decoder(train)


@pytest.mark.usefixtures("fewer")
class TestAttack:
    def test_digits_that_nobody_has_seen_tell_nothing(
        self, train: Tensor, test: Tensor, unseen: Tensor
    ) -> None:
        found = attack(train, test, unseen, seed=0)
        assert 0.47 < found["auc"] < 0.53
        assert found["auc_low"] < 0.5 < found["auc_high"]
        assert found["tpr_low"] < 0.01 < found["tpr_high"] < 0.05
        assert found["n_released"] == 1250
        assert found["reason"] is None

    def test_decoded_training_images_are_told(
        self, train: Tensor, test: Tensor, decoder: Decoder
    ) -> None:
        found = attack(train, test, decoder.decode(decoder.latents), seed=0)
        assert found["auc"] >= 0.7
        assert found["tpr_at_1"] >= 0.3

    def test_training_images_moved_by_a_pixel_are_told_after_a_blur(
        self, train: Tensor, test: Tensor
    ) -> None:
        found = attack(train, test, train.roll(1, 3), seed=0)
        assert found["by_features"]["blurred"]["auc"] >= 0.6
        assert found["auc"] == found["by_features"][found["features"]]["auc"] >= 0.9

    @pytest.mark.parametrize("change", [CHANGES[1], CHANGES[2], CHANGES[4]])
    def test_changed_copies_are_told_where_they_are_registered(
        self, train: Tensor, test: Tensor, change: Change
    ) -> None:
        found = attack(train, test, change(train), seed=0)
        assert found["features"] == "registered"
        assert found["auc_low"] > 0.8
        assert found["tpr_low"] > 0.3

    def test_copies_of_a_few_tell_of_those_few(self, train: Tensor, test: Tensor) -> None:
        found = attack(train, test, train[:500], seed=0)
        assert found["tpr_low"] < 0.208 < found["tpr_high"]  # a fifth, and 1% of the others
        assert found["auc"] == pytest.approx(0.6, abs=0.04)

    def test_ten_times_as_many_draws_leak_more(
        self, digits: LabelledImages, train: Tensor, test: Tensor, decoder: Decoder
    ) -> None:
        sampler = HVRTEstimator().fit(decoder.latents, digits.labels[:N])
        draws = sampler.sample(5000, generator=generator(0, "draws"))[0]
        few, many = (attack(train, test, decoder.decode(draws[:n]), seed=0) for n in (500, 5000))
        assert many["auc_low"] > few["auc_high"]
        assert many["tpr_at_1"] > few["tpr_at_1"]
        assert few["auc_low"] > 0.5

    def test_a_test_set_of_another_kind_is_no_leak(
        self, digits: LabelledImages, train: Tensor, unseen: Tensor
    ) -> None:
        """Training and fresh images of one kind, and test images with thicker strokes."""
        other = torch.nn.functional.max_pool2d(digits.images[N:3750].float(), 2, 1)
        other = torch.nn.functional.pad(other, [1, 0, 1, 0]).to(torch.uint8)
        found = attack(train, other, unseen, seed=0)
        assert found["auc"] == pytest.approx(0.5, abs=0.05)

    def test_the_same_seed_attacks_the_same(
        self,
        train: Tensor,
        test: Tensor,
        unseen: Tensor,
        global_generators_untouched: Callable[[], AbstractContextManager[None]],
    ) -> None:
        sets = [x[:120] for x in (train, test, unseen)]
        before = [x.clone() for x in sets]
        with global_generators_untouched():
            first = [f(*sets, seed=0) for f in (attack, copying)]
        assert first == [f(*sets, seed=0) for f in (attack, copying)]
        assert first != [f(*sets, seed=1) for f in (attack, copying)]
        assert all(map(torch.equal, before, sets))


@pytest.mark.usefixtures("fewer")
class TestCopying:
    def test_fresh_digits_are_none(self, train: Tensor, test: Tensor, unseen: Tensor) -> None:
        found = copying(train, test, unseen, seed=0)
        assert found["a_low"] < 0.5 < found["a_high"]
        assert found["tail_low"] < 0.01 < found["tail_high"]
        assert abs(found["ct"]) < 3
        assert found["exact"] == found["repeats"] == 0
        assert found["reason"] is None

    def test_a_tenth_of_copies(self, train: Tensor, test: Tensor, unseen: Tensor) -> None:
        released = torch.cat([unseen[:900], train[:100]])
        found = copying(train, test, released, seed=0)
        assert found["tail"] >= 0.10
        assert found["tail_low"] > 0.05
        assert found["exact"] == 100
        for pair in found["nearest"]:
            assert pair["distance"] == 0
            assert torch.equal(released[pair["place"]], train[pair["nearest"]])

    @pytest.mark.parametrize("change", CHANGES[:4])
    def test_changed_copies_do_not_look_new(
        self, train: Tensor, test: Tensor, change: Change
    ) -> None:
        found = copying(train, test, change(train[:1000]), seed=0)
        assert found["a_high"] < 0.05
        assert found["ct"] < -20
        assert found["exact"] == 0

    @pytest.mark.parametrize("degrees", [-10, -8, 8, 10])
    def test_turned_copies_do_not_look_new(
        self, train: Tensor, test: Tensor, unseen: Tensor, degrees: int
    ) -> None:
        copies, fresh = (
            copying(train, test, turned(x[:500].float(), degrees).round().to(torch.uint8), seed=0)
            for x in (train, unseen)
        )
        assert copies["a_high"] < 0.2
        assert copies["ct"] < -10
        assert fresh["a"] == pytest.approx(0.5, abs=0.08)

    def test_repeats_are_counted(self, train: Tensor, test: Tensor, unseen: Tensor) -> None:
        found = copying(train, test, unseen[:100].repeat(3, 1, 1, 1), seed=0)
        assert (found["exact"], found["repeats"]) == (0, 200)

    def test_places_and_distances_belong_together(
        self, train: Tensor, test: Tensor, unseen: Tensor
    ) -> None:
        found = copying(train, test, torch.cat([train[:150], unseen[:150]]), seed=0)
        place, nearest, distance = (np.array(x) for x in found["draws"].values())
        assert sorted(place) == list(range(300))
        assert np.array_equal(nearest[place < 150], place[place < 150])
        assert not distance[place < 150].any()
        assert distance[place >= 150].all()
        assert found["n_draws"] == 300
        assert found["n_fresh"] == len(found["fresh"]["place"]) == 400


def strict(found: dict[str, Any]) -> str:
    return json.dumps(found, allow_nan=False)


@pytest.mark.parametrize(("n", "m", "k"), [(100, 19, 100), (19, 100, 100), (100, 100, 0)])
def test_too_few_images_tell_nothing_and_say_so(
    digits: LabelledImages, n: int, m: int, k: int
) -> None:
    train, test, released = digits.images[: n + m + k].split([n, m, k])
    for f, fields in ((attack, Membership._fields), (copying, Copies._fields)):
        found = f(train, test, released, seed=0)
        assert all(found[field] is None for field in fields)
        assert f"{n} training, {m} test and {k} released images are too few" in found["reason"]
        assert strict(found)


def test_few_images_tell_a_part_and_say_what_they_cannot(digits: LabelledImages) -> None:
    train, test, released = digits.images[:150].split([70, 40, 40])
    found = attack(train, test, released, seed=0)
    assert found["tpr_at_1"] is None
    assert "40 non-members are too few" in found["reason"]
    assert found["auc_low"] < 0.5 < found["auc_high"]
    near = copying(train, test, released, seed=0)
    assert near["tail"] is None
    assert near["reason"] == "40 fresh images are too few for tail"
    assert near["a_low"] < 0.5 < near["a_high"]
    assert strict(found)
    assert strict(near)


@pytest.mark.parametrize("shape", [(3, 90, 130), (1, 3, 3), (3, 1, 8)])
def test_images_of_any_size_are_compared(shape: tuple[int, int, int]) -> None:
    source = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (90, *shape), dtype=torch.uint8, generator=source)
    train, test = images.split(45)
    assert strict(attack(train, test, train, seed=0))
    found = copying(train, test, train, seed=0)
    assert strict(found)
    assert found["exact"] == 45
    assert found["a"] == 0


def test_images_that_are_all_equal_end_in_numbers() -> None:
    images = torch.zeros(150, 1, 8, 8, dtype=torch.uint8)
    found = attack(images, images, images, seed=0)
    assert found["auc"] == 0.5
    assert strict(found)
    near = copying(images, images, images, seed=0)
    assert (near["a"], near["ct"], near["tail"]) == (0.5, 0, pytest.approx(0.01, abs=0.004))
    assert strict(near)


@pytest.mark.slow
def test_complete_mnist(real_data: Any) -> None:
    """Fresh digits pass, and copies moved by two pixels or turned among 50,000 do not."""
    mnist = read_images("torchvision", name="MNIST", root=str(real_data / "mnist"))
    test = mnist.test
    assert test is not None
    order = torch.randperm(60_000, generator=generator(0, "split"))
    unseen, train = (mnist.train.images[x] for x in order.split([10_000, 50_000]))
    fresh = copying(train, test.images, unseen, seed=0)
    assert fresh["a_low"] < 0.5 < fresh["a_high"]
    assert attack(train, test.images, unseen, seed=0)["auc_high"] < 0.53
    copies = train[:10_000]
    for released, a in (
        (copies.roll((2, 2), (2, 3)), 0.05),
        (turned(copies.float(), 10).round().to(torch.uint8), 0.2),
    ):
        assert copying(train, test.images, released, seed=0)["a_high"] < a
        assert attack(train, test.images, released, seed=0)["auc_low"] > 0.5
