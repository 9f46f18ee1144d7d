"""Extractors give the features of their network, and say what they lack."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hvrt_diffuser.autoencoders import Autoencoder, encode_images
from hvrt_diffuser.classifiers import Classifier
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.judge import (
    classifier_features,
    encoder_features,
    inception_features,
    pixels,
)

CPU = torch.device("cpu")


def test_pixels_are_shares_of_white(digits: LabelledImages) -> None:
    found = pixels(digits.images[:20])
    assert found.shape == (20, 784)
    assert found.dtype == np.float32
    expected = digits.images[:20].double().flatten(1).numpy() / 255
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_encoder_gives_its_latents(autoencoder: Autoencoder, digits: LabelledImages) -> None:
    found = encoder_features(autoencoder, CPU)(digits.images[:50])
    assert np.array_equal(found, encode_images(autoencoder, digits.images[:50], CPU)[0].numpy())


def test_classifier_gives_what_its_last_layer_sees(digits: LabelledImages) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        judge = Classifier((1, 28, 28), 10, width=4).eval()
    found = classifier_features(judge, CPU)(digits.images[:50])
    assert found.shape == (50, 64)
    with torch.inference_mode():
        logits = judge(digits.images[:50].float() / 255)
        again = judge.logits(torch.from_numpy(found))
    torch.testing.assert_close(again, logits, rtol=1e-4, atol=1e-4)


class TestInception:
    @pytest.fixture(scope="class")
    def weights(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """A file of random weights in the form of those of FID."""
        module = pytest.importorskip("torch_fidelity.feature_extractor_inceptionv3")
        folder = tmp_path_factory.mktemp("inception")
        torch.save({}, folder / "none.pth")
        with pytest.MonkeyPatch.context() as patch, torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            patch.setattr(nn.Module, "load_state_dict", lambda *_, **__: None)
            model = module.FeatureExtractorInceptionV3(
                "inception-v3-compat", ["2048"], str(folder / "none.pth")
            )
        torch.save(model.state_dict(), folder / "weights.pth")
        return folder / "weights.pth"

    def test_grey_images_are_seen_as_grey_in_three_channels(
        self, weights: Path, digits: LabelledImages
    ) -> None:
        extract = inception_features(weights, CPU)
        grey, colour = digits.images[:3], digits.images[:3].expand(-1, 3, -1, -1)
        found = extract(grey)
        assert found.shape == (3, 2048)
        assert np.array_equal(found, extract(colour))
        assert not np.array_equal(found[0], found[1])

    def test_says_how_to_get_weights(self) -> None:
        pytest.importorskip("torch_fidelity")
        with pytest.raises(InputError, match="give their file as weights"):
            inception_features(None, CPU)

    def test_names_a_file_that_is_not_there(self, tmp_path: Path) -> None:
        pytest.importorskip("torch_fidelity")
        with pytest.raises(InputError, match=r"nothing\.pth does not exist"):
            inception_features(tmp_path / "nothing.pth", CPU)

    @pytest.mark.parametrize("content", [b"", b"no weights"])
    def test_names_a_file_that_holds_something_else(self, tmp_path: Path, content: bytes) -> None:
        pytest.importorskip("torch_fidelity")
        (tmp_path / "broken.pth").write_bytes(content)
        with pytest.raises(InputError, match=r"broken\.pth"):
            inception_features(tmp_path / "broken.pth", CPU)

    def test_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        name = "torch_fidelity.feature_extractor_inceptionv3"
        monkeypatch.setitem(sys.modules, name, None)
        with pytest.raises(InputError, match="pip install torch-fidelity"):
            inception_features(None, CPU)
