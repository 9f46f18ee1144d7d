"""Parameters as YAML leaves them, on the command line and in files."""

from __future__ import annotations

from typing import Any

import pytest

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.pipelines.parameters import check_parameters, complete


@pytest.mark.parametrize(
    ("given", "name"),
    [(2024, "2024"), (0, "0"), ("2024-01-02", "2024-01-02"), ("a.b-c_ä", "a.b-c_ä"), ("_", "_")],
)
def test_a_run_name_of_digits_is_a_text(given: Any, name: str) -> None:
    assert check_parameters({"run_name": given}).run_name == name


@pytest.mark.parametrize("given", [1000.0, True, None, [1], {"a": 1}])
def test_a_run_name_that_yaml_reads_as_no_text_is_refused(given: Any) -> None:
    with pytest.raises(InputError, match=r"run_name is .*expected a text.*put a letter in front"):
        check_parameters({"run_name": given})


@pytest.mark.parametrize(
    "given",
    [
        "..",
        ".hidden",
        "-x",
        "CON",
        "nul.x",
        "a.",
        "a/b",
        "a\\b",
        "",
        " ",
        "a\n",
        "x" * 300,
        "[",
        "\udcff",
    ],
)
def test_a_run_name_that_is_no_folder_of_its_own_is_refused(given: str) -> None:
    with pytest.raises(InputError, match=r"run_name is .*expected the name of a folder") as caught:
        check_parameters({"run_name": given})
    assert len(str(caught.value)) < 500


def test_one_value_where_several_may_stand_is_several_of_one() -> None:
    raw = {"tstr": {"n": 40}, "evaluation": {"extractors": "classifier", "metrics": "fd"}}
    found = check_parameters({"run_name": "x", **raw})
    assert found.tstr.n == (40,)
    assert found.evaluation.extractors == ("classifier",)
    assert complete(found)["tstr_task"]["n"] == [40]


def test_a_wrong_one_is_still_refused() -> None:
    with pytest.raises(InputError, match=r"tstr\.n\.0 is 0: .*greater than or equal to 1"):
        check_parameters({"run_name": "x", "tstr": {"n": 0}})
    with pytest.raises(InputError, match=r"tstr\.n is \{.*tuple"):
        check_parameters({"run_name": "x", "tstr": {"n": {"a": 1}}})


@pytest.mark.parametrize("storage", ["", None, "sqlite:///study.db"])
def test_a_storage_of_trials_is_no_parameter_as_the_entries_are_the_only_store(
    storage: str | None,
) -> None:
    with pytest.raises(InputError, match=r"parameter hpo\.storage is unknown: expected one of "):
        check_parameters({"run_name": "x", "hpo": {"storage": storage}})
