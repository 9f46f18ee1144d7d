"""The classifier builds itself for any image, and a file gives back the network that wrote it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hvrt_diffuser.classifiers import Classifier
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import read_tensors, write_tensors

SHAPES = [(1, 28, 28), (3, 32, 32), (1, 17, 23), (3, 64, 48), (1, 5, 3)]


def build(shape: tuple[int, int, int], n_classes: int = 10, width: int = 4) -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Classifier(shape, n_classes, width).eval()


@pytest.mark.parametrize("shape", SHAPES)
def test_images_of_any_size_give_64_features_and_a_logit_per_class(
    shape: tuple[int, int, int],
) -> None:
    model = build(shape, n_classes=7)
    x = torch.rand(3, *shape)
    features = model.features(x)
    assert features.shape == (3, 64)
    assert model.logits(features).shape == (3, 7)
    assert torch.equal(model(x), model.logits(features))


@pytest.mark.parametrize("shape", SHAPES)
def test_every_pixel_is_seen(shape: tuple[int, int, int]) -> None:
    x = torch.rand(1, *shape, requires_grad=True)
    (seen,) = torch.autograd.grad(build(shape, width=8).features(x).square().sum(), x)
    assert (seen != 0).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_a_loaded_network_gives_the_same_output(
    shape: tuple[int, int, int], tmp_path: Path
) -> None:
    model = build(shape)
    model.train()
    model(torch.rand(8, *shape))  # moves the running statistics
    model.eval().save(tmp_path / "one")
    loaded = Classifier.load(tmp_path / "one")
    assert not loaded.training
    assert (loaded.shape, loaded.n_classes, loaded.width) == (shape, 10, 4)
    x = torch.rand(4, *shape)
    assert torch.equal(model(x), loaded(x))
    loaded.save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


@pytest.mark.parametrize("change", [{"width": 8}, {"n_classes": 11}, {"shape": [3, 28, 28]}])
def test_weights_of_another_network_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "classifier"
    build((1, 28, 28)).save(path)
    tensors, header = read_tensors(path, "classifier")
    write_tensors(path, tensors, header | change)
    with pytest.raises(InputError, match="weights of another network"):
        Classifier.load(path)


@pytest.mark.parametrize("share", [0, 0.1, 0.999])
def test_a_file_cut_short_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "classifier"
    build((1, 28, 28)).save(path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(InputError, match="cut short"):
        Classifier.load(path)
