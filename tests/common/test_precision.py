"""bfloat16 is taken where the hardware has it, and never by chance."""

from __future__ import annotations

from types import MappingProxyType

import pytest
import torch

from hvrt_diffuser.common.precision import Precision, autocast, has_bfloat16

CPU = torch.device("cpu")


def a_cpu_with(monkeypatch: pytest.MonkeyPatch, **features: bool) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: MappingProxyType(features))


def product(precision: Precision) -> torch.dtype:
    """The type of a matrix product of float32."""
    with autocast(CPU, precision):
        return (torch.ones(2, 2) @ torch.ones(2, 2)).dtype


@pytest.mark.parametrize("feature", ["avx512_bf16", "amx_bf16", "bf16"])
def test_auto_is_bfloat16_on_a_cpu_that_has_it(
    monkeypatch: pytest.MonkeyPatch, feature: str
) -> None:
    a_cpu_with(monkeypatch, avx2=True, **{feature: True})
    assert product("auto") == torch.bfloat16


def test_auto_is_float32_where_bfloat16_would_be_emulated(monkeypatch: pytest.MonkeyPatch) -> None:
    a_cpu_with(monkeypatch, avx2=True, avx512_f=True, avx512_bf16=False)
    assert product("auto") == torch.float32


@pytest.mark.parametrize("has", [False, True])
def test_a_precision_that_is_named_is_taken_whatever_the_hardware(
    monkeypatch: pytest.MonkeyPatch, has: bool
) -> None:
    a_cpu_with(monkeypatch, avx512_bf16=has)
    assert product("float32") == torch.float32
    assert product("bfloat16") == torch.bfloat16


def test_a_gpu_that_emulates_bfloat16_does_not_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []

    def is_supported(including_emulation: bool = True) -> bool:
        asked.append(including_emulation)
        return including_emulation

    monkeypatch.setattr(torch.cuda, "is_bf16_supported", is_supported)
    assert not has_bfloat16(torch.device("cuda", 0))
    assert asked == [False]


def test_of_other_devices_none_is_taken_to_have_it() -> None:
    assert not has_bfloat16(torch.device("mps"))
