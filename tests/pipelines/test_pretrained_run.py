"""A run with a pretrained autoencoder: how it is chosen, refused, and known to be up to date."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from kedro.config import OmegaConfigLoader
from kedro.framework.project import configure_project
from kedro.framework.session import KedroSession

from hvrt_diffuser.autoencoders import Autoencoder, PretrainedAutoencoder, PretrainedOptions
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.hooks import CheckedParameters
from hvrt_diffuser.pipelines.known import without_replaced
from hvrt_diffuser.pipelines.parameters import check_parameters
from hvrt_diffuser.pipelines.preflight import problems
from hvrt_diffuser.settings import CONFIG_LOADER_ARGS

diffusers = pytest.importorskip("diffusers")

CONF = Path(__file__).parents[2] / "conf"


def saved(folder: Path, **changes: Any) -> Path:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes: dict[str, Any] = {
            "encoder_block_out_channels": [32, 32],
            "decoder_block_out_channels": [32, 32],
            "num_encoder_blocks": [1, 1],
            "num_decoder_blocks": [1, 1],
        }
        diffusers.AutoencoderTiny(**sizes, **changes).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(tmp_path_factory.mktemp("tiny"))


def completed(**given: Any) -> dict[str, Any]:
    """The parameter block of the environment ``test`` with what a command line gives."""
    loader = OmegaConfigLoader(
        str(CONF), env="test", runtime_params={"ae_training": given}, **CONFIG_LOADER_ARGS
    )
    context: Any = SimpleNamespace(config_loader=loader)
    CheckedParameters().after_context_created(context)
    block: dict[str, Any] = loader["parameters"]["ae_training"]
    return block


def test_a_folder_chooses_and_takes_the_place_of_what_the_configuration_says(tiny: Path) -> None:
    block = completed(pretrained=str(tiny))
    assert block["autoencoder"] == "pretrained"
    assert block["latent_dim"] == 8  # of the environment, and of either
    assert "width" not in block
    assert len(block["weights"]) == 16


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"width": 8}, r"ae_training\.width"),
        ({"autoencoder": "convolutional"}, r"ae_training\.pretrained.* pretrained"),
        ({"revision": "main"}, r"ae_training\.revision is 'main': expected the 40 hexadecimal"),
        ({"download": True}, r"ae_training\.pretrained is .*: a folder, expected an id"),
        ({"pretrained": "no/where"}, r"ae_training\.pretrained is 'no/where': no/where is no fold"),
    ],
)
def test_what_does_not_go_together_is_told_in_a_sentence(
    given: dict[str, Any], message: str, tiny: Path
) -> None:
    with pytest.raises(InputError, match=message) as told:
        completed(**{"pretrained": str(tiny), **given})
    assert "\n" not in str(told.value)


def test_without_another_choice_the_configuration_stays() -> None:
    raw = {"ae_training": {"width": 8, "latent_dim": 4}, "seed": 1}
    assert without_replaced(raw, {"ae_training": {"latent_dim": 4}}) == (raw, [])
    assert without_replaced(raw, {"ae_training": {"autoencoder": "mine:Own"}}) == (raw, [])
    assert without_replaced(raw, {}) == (raw, [])


def test_ten_images_are_refused_before_anything_is_trained(
    tiny: Path, digits: LabelledImages
) -> None:
    parameters = check_parameters({"run_name": "x", "ae_training": {"pretrained": str(tiny)}})
    assert isinstance(parameters.ae_training.chosen, PretrainedOptions)
    ten = digits[torch.arange(10)]
    found = problems(ten, ten, parameters, ["autoencoder"], 1e6, 1e6)
    sentences = [problem.sentence for problem in found]
    assert any("10 training images have no 64 principal" in sentence for sentence in sentences)


@pytest.mark.slow
def test_a_whole_run_without_a_network(
    tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError("no connection in tests")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.chdir(tmp_path)
    configure_project("hvrt_diffuser")

    def run(folder: Path, **how: Any) -> None:
        session = KedroSession.create(
            project_path=tmp_path,
            conf_source=str(CONF),
            env="test",
            runtime_params={"ae_training": {"pretrained": str(folder)}},
        )
        session.run(**how)

    run(tiny)
    file = tmp_path / "data/06_models/test/autoencoder.safetensors"
    assert isinstance(Autoencoder.load(file), PretrainedAutoencoder)
    made = file.stat().st_mtime_ns
    moved = saved(tmp_path / "moved")
    run(moved, to_outputs=["synthetic_images"], only_missing_outputs=True)
    assert file.stat().st_mtime_ns == made
    changed = saved(tmp_path / "changed", latent_channels=3)
    with pytest.raises(InputError, match=r"was made with ae_training\.weights="):
        run(changed, pipeline_name="generation")
    run(changed, to_outputs=["synthetic_images"], only_missing_outputs=True)
    assert file.stat().st_mtime_ns != made
