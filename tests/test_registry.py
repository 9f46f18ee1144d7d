"""The list of what can be chosen by a name, and the page that holds it."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Literal

import pytest
from pydantic import BaseModel, Field

from hvrt_diffuser import registry
from hvrt_diffuser.common import registry as registries
from hvrt_diffuser.common.options import Options
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.data.sources import SOURCES
from hvrt_diffuser.metrics import METRICS

ROOT = Path(__file__).parents[1]
KNOWN = "src/hvrt_diffuser/pipelines/known.json"


class Inner(Options):
    """What is inside."""

    steps: int = Field(3, ge=1, description="how many")


class Outer(Options):
    """What is outside,
    on two lines.

    And more.
    """

    kind: Literal["a", "b"] = Field("a", description="which | of two")
    rate: float | None = Field(None, gt=0, lt=1, description="how fast")
    place: Path = Field(description="where")
    inner: Inner = Field(Inner(steps=5), description="not shown")
    other: Inner | None = Field(None, description="perhaps")


SECTIONS: dict[str, tuple[str, dict[str, type[BaseModel]]]] = {"Toys": ("to play", {"toy": Outer})}


@pytest.mark.parametrize(
    ("form", "path"), [("markdown", "docs/parameters.md"), ("json", KNOWN)], ids=["page", "json"]
)
def test_the_file_is_what_the_command_writes(form: str, path: str) -> None:
    """In a process of its own: what other tests register is not in it."""
    done = subprocess.run(
        [sys.executable, "-m", "hvrt_diffuser.registry", f"--{form}"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=True,
    )
    assert done.stdout == (ROOT / path).read_text(encoding="utf-8"), (
        f"{path} is not up to date: python -m hvrt_diffuser.registry --{form} > {path}"
    )


def test_every_name_is_listed() -> None:
    text = registry.as_text()
    for entries in (SAMPLERS, SOURCES, METRICS):
        assert entries.names()
        for name in entries.names():
            assert f"\n  {name} " in text


def test_every_option_says_what_it_is() -> None:
    for _, entries in registry.SECTIONS.values():
        own = entries
        if isinstance(entries, registries.Registry):
            own = {name: entries.find(name) for name in entries.own_names()}
        assert own
        for name, entry in own.items():
            model = type(entry) if isinstance(entry, BaseModel) else entry
            for option, field in getattr(model, "model_fields", {}).items():
                assert field.description, f"{name}.{option}"


def test_options_have_their_types_bounds_and_defaults() -> None:
    page = registry.as_markdown(SECTIONS)
    assert "## Toys\n\nTo play.\n" in page
    assert "| `toy` | What is outside, on two lines |" in page
    assert "| `kind` | a, b | a | which \\| of two |" in page
    assert "| `rate` | float or null, > 0, < 1 | null | how fast |" in page
    assert "| `place` | Path | required | where |" in page
    assert "| `inner.steps` | int, ≥ 1 | 5 | how many |" in page
    assert "not shown" not in page
    assert "| `other` | Inner or null | null | perhaps |" in page
    assert "| `other.steps` | int, ≥ 1 | 3 | how many |" in page


def test_what_is_installed_is_listed_and_not_on_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [
        EntryPoint("whole", f"{__name__}:Outer", SOURCES.group),
        EntryPoint("broken", "no_such_module:Source", SOURCES.group),
    ]
    monkeypatch.setitem(sys.modules, __name__, sys.modules[__name__])
    monkeypatch.setattr(Outer, "read", None, raising=False)
    monkeypatch.setattr(registries, "entry_points", lambda group: points)
    sections = {"Sources": ("whence", SOURCES)}
    text = registry.as_text(sections)
    assert "  whole " in text
    assert "how fast" in text
    assert "No module named 'no_such_module'" in text
    page = registry.as_markdown(sections)
    assert "`whole`" not in page
    assert "`parquet`" in page
