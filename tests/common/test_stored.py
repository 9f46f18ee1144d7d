"""Dataclasses that are moved, written and read as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import read_tensors, write_tensors
from hvrt_diffuser.common.stored import Stored, load_stored


class Network(nn.Module):
    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.size = {"n_in": n_in, "n_out": n_out}
        self.layer = nn.Linear(n_in, n_out)


@dataclass(frozen=True)
class Inner(Stored):
    values: Tensor
    words: list[str]


@dataclass(frozen=True)
class Whole(Stored):
    """Everything that may be a field; two of them share a tensor."""

    network: Network
    first: Inner
    second: Stored
    nothing: Inner | None = None
    origin: dict[str, Any] = field(default_factory=lambda: {"form": "of a user's option"})

    file_kind: ClassVar[str] = "whole"


@pytest.fixture
def whole() -> Whole:
    inner = Inner(torch.tensor([1, 2]), ["a", "b"])
    with torch.random.fork_rng():
        return Whole(Network(2, 3), inner, inner)


def test_what_is_written_is_what_is_read(whole: Whole, tmp_path: Path) -> None:
    whole.save(tmp_path / "one")
    read = load_stored(tmp_path / "one", "something", "whole")
    assert type(read) is Whole
    assert torch.equal(read.network.layer.weight, whole.network.layer.weight)
    assert not read.network.training
    assert torch.equal(read.second.values, torch.tensor([1, 2]))
    assert (read.first.words, read.nothing, read.origin) == (["a", "b"], None, whole.origin)
    read.save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_moving_makes_another(whole: Whole) -> None:
    moved = whole.to("meta")
    assert moved.network.layer.weight.is_meta
    assert moved.first.values.is_meta
    assert not whole.network.layer.weight.is_meta
    typed = whole.to(torch.float64)
    assert typed.network.layer.weight.dtype == torch.float64
    assert typed.first.values.dtype == torch.int64


def test_a_class_that_does_not_say_is_called_by_its_path() -> None:
    assert Whole.form == f"{__name__}:Whole"


def test_a_file_of_another_kind_or_of_other_weights_is_refused(
    whole: Whole, tmp_path: Path
) -> None:
    whole.save(tmp_path / "file")
    with pytest.raises(InputError, match="holds 'whole' where 'part' or 'piece' was expected"):
        load_stored(tmp_path / "file", "part", "piece")
    tensors, header = read_tensors(tmp_path / "file", "whole")
    header["networks"]["network"]["n_out"] = 4
    write_tensors(tmp_path / "file", tensors, header)
    with pytest.raises(InputError, match="weights of another network"):
        load_stored(tmp_path / "file", "whole")
