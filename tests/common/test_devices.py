"""A device that is not there is refused, never replaced."""

from __future__ import annotations

import pytest
import torch
from pydantic import TypeAdapter, ValidationError

from hvrt_diffuser.common.devices import DeviceName, resolve_device
from hvrt_diffuser.common.errors import InputError


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without accelerators."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def two_gpus(machine: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("name", ["auto", "cpu"])
def test_without_accelerators_work_runs_on_the_cpu(name: str) -> None:
    assert resolve_device(name) == torch.device("cpu")


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("name", ["cuda", "cuda:0", "cuda:1", "mps"])
def test_a_device_that_is_not_there_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"'{name}' was asked for and is not there.* one of cpu:"):
        resolve_device(name)


@pytest.mark.usefixtures("two_gpus")
@pytest.mark.parametrize(
    ("name", "found"),
    [("auto", "cuda:0"), ("cuda", "cuda:0"), ("cuda:1", "cuda:1"), ("cpu", "cpu")],
)
def test_with_gpus_auto_is_the_first(name: str, found: str) -> None:
    assert resolve_device(name) == torch.device(found)


@pytest.mark.usefixtures("two_gpus")
def test_a_third_of_two_gpus_is_refused_and_those_there_are_named() -> None:
    with pytest.raises(InputError, match="one of cuda:0, cuda:1, cpu"):
        resolve_device("cuda:2")


@pytest.mark.usefixtures("machine")
def test_mps_which_has_no_float64_is_taken_by_name_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto") == torch.device("cpu")
    assert resolve_device("mps") == torch.device("mps")


@pytest.mark.parametrize("name", ["auto", "cpu", "mps", "cuda", "cuda:12"])
def test_a_name_of_a_device_is_accepted(name: str) -> None:
    assert TypeAdapter(DeviceName).validate_python(name) == name


@pytest.mark.parametrize("name", ["", "gpu", "CUDA", "cuda:", "cuda:x", "cpu:0", "xcpu", "cpu "])
def test_what_is_no_name_of_a_device_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(DeviceName).validate_python(name)
