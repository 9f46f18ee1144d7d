"""Lines of the record of what was measured: ``{name, value, unit, command}``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hvrt_diffuser.common.files import whole_file

__all__ = ["OUTPUT", "line", "record"]

OUTPUT = Path("docs/results/scale.json")


def line(name: str, value: float, unit: str, command: str) -> dict[str, Any]:
    """One of them, to three digits."""
    return {"name": name, "value": round(value, 3), "unit": unit, "command": command}


def record(lines: list[dict[str, Any]], output: Path) -> None:
    """Put lines into a record, in the place of those of the same names."""
    names = {each["name"] for each in lines}
    others = json.loads(output.read_text()) if output.exists() else []
    kept = [each for each in others if each["name"] not in names]
    with whole_file(output) as temporary:
        temporary.write_text(json.dumps([*kept, *lines], indent=1) + "\n")
