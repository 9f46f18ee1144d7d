"""What fails is told in one sentence, and nothing in it moves the cursor."""

from __future__ import annotations

import pytest
import yaml

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.terminal import describe


def test_what_a_user_can_mend_is_a_sentence() -> None:
    assert (
        describe(InputError("x is 3, expected 2: correct it")) == "x is 3, expected 2: correct it"
    )
    assert describe(KeyError("x")) is None


@pytest.mark.parametrize("name", ["\x1b[2J", "a\nb", "\udcff", "\u202e"])
def test_names_in_it_are_shown_as_they_are(name: str) -> None:
    said = describe(InputError(f"there is no class {name}"))
    assert said is not None
    assert said.isprintable()


@pytest.mark.parametrize("value", ["[", "...", "{a", "a: b: c", "\udcff"])
def test_a_value_that_is_no_yaml(value: str) -> None:
    """``kedro run --params x=[`` stops there, before the project hears of it."""
    with pytest.raises(yaml.YAMLError) as caught:
        yaml.safe_load(value)
    said = describe(caught.value)
    assert said is not None
    assert said.startswith("a parameter is no YAML (")
    assert said.isprintable()
