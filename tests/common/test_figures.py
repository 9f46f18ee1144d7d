"""Names are drawn as they are, and every picture says what it shows."""

from __future__ import annotations

import io

import pandas as pd
import pytest
import torch
from matplotlib.cbook import is_math_text
from matplotlib.figure import Figure
from matplotlib.text import Text

from hvrt_diffuser.common.figures import label, literal, titled_figure
from hvrt_diffuser.comparing import plot_comparison
from hvrt_diffuser.report.plots import plot_image_rows

NAMES = ["$1_front_$1_back", "$", "a$b", r"\$x$", "<b>bold</b>", r"$\frac{", "100 %", "ü", "a_b^c"]
ODD = ["_x", r"$\frac{$", "[red]", "{x}", "a\nb", "\u202eabc", "\udcff", "x" * 300, "", "\x00\x1b"]


def drawn(text: str) -> str:
    """What matplotlib draws of a text that it may take for a formula."""
    shown, mathematics = Text(0, 0, text)._preprocess_math(text)
    assert not mathematics
    assert not is_math_text(text)
    return str(shown)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_no_formula(name: str) -> None:
    assert drawn(literal(name)) == name
    assert drawn(label(name)) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("_x", "\N{NO-BREAK SPACE}_x"),
        ("a\nb", r"a\nb"),
        ("\u202eabc", r"\u202eabc"),
        ("\udcff", "%FF"),
        ("x" * 300, "x" * 47 + "…"),
        ("$" * 300, "$" * 47 + "…"),
    ],
)
def test_a_name_leaves_room_for_what_it_names(name: str, shown: str) -> None:
    assert drawn(label(name)) == shown


def test_a_sentence_keeps_its_lines() -> None:
    assert literal("one\ntwo\x1b") == "one\ntwo\\x1b"


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_has_its_title(name: str) -> None:
    figure = titled_figure(name, 2, 1)
    figure.savefig(io.BytesIO(), format="png")
    assert figure.get_suptitle() == literal(name)


def save(figure: Figure) -> None:
    for form in ("png", "svg"):
        figure.savefig(io.BytesIO(), format=form)


@pytest.mark.filterwarnings("error:constrained_layout")
def test_images_are_drawn_whatever_their_classes_are_called() -> None:
    images = torch.zeros(len(ODD), 3, 1, 8, 8, dtype=torch.uint8)
    save(plot_image_rows("Images", images, ODD, ODD[:3]))


def test_a_legend_leaves_no_name_out() -> None:
    names = [name for name in ODD if name not in ("", "\udcff")]
    figure = plot_comparison(
        pd.DataFrame({"sampler": names, "fd_classifier": 1.0, "dcr_image": 0.5})
    )
    save(figure)
    (legend,) = (axes.get_legend() for axes in figure.axes)
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == [label(name) for name in names]
