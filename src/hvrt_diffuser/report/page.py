"""One self-contained HTML page: no script, no network, every picture with a text alternative."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jinja2
import matplotlib as mpl
from matplotlib.figure import Figure
from PIL import Image

from hvrt_diffuser.common.names import plain
from hvrt_diffuser.report.measures import row_name
from hvrt_diffuser.report.plots import set_name

__all__ = ["Picture", "render_page"]

DPI = 80


@dataclass(frozen=True)
class Picture:
    """A figure, and what it says to those who do not see it.

    Attributes:
        figure: what to show.
        caption: one sentence below it.
        alternative: its content in words.
        form: ``svg`` for lines and letters, ``png`` for photographs.
    """

    figure: Figure
    caption: str
    alternative: str
    form: Literal["svg", "png"] = "svg"

    def source(self) -> str:
        """A data URI; the same figure gives the same bytes."""
        file = io.BytesIO()
        fixed: dict[str, Any] = {"svg": {"Date": None}, "png": {"Software": None}}
        with mpl.rc_context({"svg.hashsalt": "hvrt_diffuser", "svg.fonttype": "none"}):
            self.figure.savefig(file, format=self.form, dpi=DPI, metadata=fixed[self.form])
        if self.form == "png":
            with Image.open(file) as image:  # 256 colours are a quarter of the bytes
                file = io.BytesIO()
                image.convert("RGB").quantize().save(file, format="PNG", optimize=True)
        kind = {"svg": "image/svg+xml", "png": "image/png"}[self.form]
        return f"data:{kind};base64,{base64.b64encode(file.getvalue()).decode()}"


def render_page(report: Mapping[str, Any], pictures: Mapping[str, Sequence[Picture]]) -> str:
    """The page.

    Args:
        report: what :func:`hvrt_diffuser.report.compose` gave.
        pictures: by section of the page.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("hvrt_diffuser.report", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_as_text,
    )
    environment.filters["set_name"] = set_name
    environment.filters["number"] = _number
    environment.filters["row_name"] = row_name
    return environment.get_template("page.html").render(report=report, pictures=pictures)


def _as_text(value: Any) -> Any:
    """Names as they are: escapes of a template's own parts are made already."""
    return plain(value) if type(value) is str else value


def _number(value: float | None) -> str:
    """A figure for a table: four significant digits, and a dash for nothing."""
    if value is None:
        return "-"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"
