"""Names are drawn as they are, and every picture says what it shows."""

from __future__ import annotations

import io

import pytest
from matplotlib.cbook import is_math_text
from matplotlib.text import Text

from hvrt_diffuser.common.figures import literal, titled_figure

NAMES = ["$1_front_$1_back", "$", "a$b", r"\$x$", "<b>bold</b>", r"$\frac{", "100 %", "ü", "a_b^c"]


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_no_formula(name: str) -> None:
    text = Text(0, 0, literal(name))
    shown, mathematics = text._preprocess_math(text.get_text())
    assert shown == name
    assert not mathematics
    assert not is_math_text(text.get_text())


@pytest.mark.parametrize("name", NAMES)
def test_a_figure_has_its_title(name: str) -> None:
    figure = titled_figure(name, 2, 1)
    figure.savefig(io.BytesIO(), format="png")
    assert figure.get_suptitle() == literal(name)
