"""What every picture has in common: a title, and names that are drawn as they are."""

from __future__ import annotations

from matplotlib.figure import Figure

__all__ = ["literal", "titled_figure"]


def literal(text: str) -> str:
    """A text that matplotlib draws as it is: two dollar signs would make a formula of it."""
    return text.replace("$", r"\$")


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
