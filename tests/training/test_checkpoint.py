"""A training's state on disk: gone on from only where it belongs, and never destroyed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import write_tensors
from hvrt_diffuser.training.checkpoint import Checkpoint

SETTING = {"seed": 0, "learning_rate": 1e-3, "patience": None, "shape": [1, 28, 28], "images": "a"}
PROGRESS = {"history": [{"step": 1, "loss": 0.1 + 0.2}], "groups": []}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    checkpoint = Checkpoint(tmp_path / "folder" / "checkpoint.safetensors")
    checkpoint.write({"weights": torch.arange(100.0)}, PROGRESS, SETTING)
    return checkpoint


def test_without_a_file_there_is_nothing_to_go_on_from(tmp_path: Path) -> None:
    assert Checkpoint(tmp_path / "missing").read(SETTING) is None


def test_what_is_written_is_read_to_the_last_bit(checkpoint: Checkpoint) -> None:
    state = checkpoint.read(SETTING)
    assert state is not None
    tensors, progress = state
    assert json.dumps(progress) == json.dumps(PROGRESS)  # the order of names as well
    assert torch.equal(tensors["weights"], torch.arange(100.0))


def test_a_later_epoch_replaces_an_earlier_one(checkpoint: Checkpoint) -> None:
    checkpoint.write({"weights": torch.zeros(2)}, {"history": []}, SETTING)
    state = checkpoint.read(SETTING)
    assert state is not None
    assert state[0]["weights"].tolist() == [0, 0]
    assert state[1] == {"history": []}
    assert list(checkpoint.path.parent.iterdir()) == [checkpoint.path]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", 1),
        ("learning_rate", 1.0000001e-3),
        ("patience", 3),
        ("shape", [3, 28, 28]),
        ("images", "b"),
        ("new_field", 1),
    ],
)
def test_a_training_of_another_setting_is_refused_by_name_and_left_alone(
    checkpoint: Checkpoint, name: str, value: object
) -> None:
    before = checkpoint.path.read_bytes()
    with pytest.raises(InputError) as caught:
        checkpoint.read(SETTING | {name: value})
    sentence = str(caught.value)
    assert str(checkpoint.path) in sentence
    assert f"with {name} {SETTING.get(name)}" in sentence
    assert f"this one has {name} {value}" in sentence
    assert checkpoint.path.read_bytes() == before


def test_a_tuple_in_a_setting_is_the_list_that_the_file_holds(checkpoint: Checkpoint) -> None:
    assert checkpoint.read(SETTING | {"shape": (1, 28, 28)}) is not None


@pytest.mark.parametrize("share", [0, 0.01, 0.5, 0.99])
def test_a_checkpoint_cut_short_is_refused_and_left_alone(
    checkpoint: Checkpoint, share: float
) -> None:
    whole = checkpoint.path.read_bytes()
    cut = whole[: int(share * len(whole))]
    checkpoint.path.write_bytes(cut)
    with pytest.raises(InputError, match="cut short"):
        checkpoint.read(SETTING)
    assert checkpoint.path.read_bytes() == cut


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path / "file", {}, {"kind": "autoencoder", "setting": SETTING})
    with pytest.raises(InputError, match="holds 'autoencoder' where 'state of a training'"):
        Checkpoint(tmp_path / "file").read(SETTING)
