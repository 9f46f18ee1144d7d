"""``hvrt-diffuser samplers``: as the registry has them."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint

import pytest

from hvrt_diffuser import diffuser  # noqa: F401  # registers them
from hvrt_diffuser.command import main, samplers
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.registry import SAMPLERS


def test_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["samplers"]) == 0
    printed = capsys.readouterr().out
    latents, _, whole = printed.partition("Whole models")
    for name in SAMPLERS.own_names():
        part = latents if SAMPLERS.find(name).kind == "latents" else whole
        assert f"\n  {name} " in part


@pytest.mark.parametrize("name", ["hvrt", "flow_map", "dvp_vae", "standard_normal"])
def test_the_options_of_one_have_their_defaults(
    capsys: pytest.CaptureFixture[str], name: str
) -> None:
    assert main(["samplers", name]) == 0
    printed = capsys.readouterr().out
    for option, field in SAMPLERS.find(name).model_fields.items():
        default = field.get_default(call_default_factory=True)
        shown = default if isinstance(default, str) else json.dumps(default)
        assert f"samplers.{name}.{option} = {shown} " in printed


def test_those_of_installed_packages_are_listed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    point = EntryPoint("mine", "my_package:Mine", samplers.GROUP)
    monkeypatch.setattr(samplers, "entry_points", lambda group: [point])
    assert main(["samplers"]) == 0
    assert "  mine " in capsys.readouterr().out
    assert main(["samplers", "mine"]) == 0
    assert "my_package:Mine" in capsys.readouterr().out


def test_a_misspelt_one_is_told() -> None:
    with pytest.raises(InputError, match=r"flowmap.*did you mean flow_map\?"):
        main(["samplers", "flowmap"])
