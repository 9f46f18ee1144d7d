"""What every picture has in common: a title, and names that are drawn as they are."""

from __future__ import annotations

from matplotlib.figure import Figure

from hvrt_diffuser.common.names import plain

__all__ = ["label", "literal", "titled_figure"]

LONGEST = 48  # letters of a name, which else would leave no room for what it names


def literal(text: str) -> str:
    """Lines that matplotlib draws as they are: two dollar signs would make a formula of them."""
    return "\n".join(plain(line) for line in text.split("\n")).replace("$", r"\$")


def label(name: str) -> str:
    """A name beside what it names: on one line, cut where it is long, and never left out.

    A legend leaves out what begins with an underscore.
    """
    shown = plain(name)
    shown = shown if len(shown) <= LONGEST else f"{shown[: LONGEST - 1]}…"
    return literal(f"\N{NO-BREAK SPACE}{shown}" if shown.startswith("_") else shown)


def titled_figure(title: str, width: float, height: float) -> Figure:
    """An empty figure under a title.

    Args:
        title: what it shows; drawn as it is.
        width: in inches.
        height: in inches.
    """
    figure = Figure(figsize=(width, height), layout="constrained")
    figure.suptitle(literal(title), fontsize=11)
    return figure
