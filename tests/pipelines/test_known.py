"""Names of parameters are checked without their classes, and as these would."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from kedro.config import OmegaConfigLoader

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.experiments.classifiers import JUDGE
from hvrt_diffuser.pipelines.known import check_names, find_option, known
from hvrt_diffuser.pipelines.parameters import check_parameters
from hvrt_diffuser.settings import CONFIG_LOADER_ARGS

CONF = Path(__file__).parents[2] / "conf"
ENVIRONMENTS = sorted(path.name for path in CONF.iterdir() if path.is_dir())

WRONG: list[dict[str, Any]] = [
    {"sede": 3},
    {"generaton": {"n": 3}},
    {"nothing_like_it": 3},
    {"ae_training": {"epoch": 3}},
    {"ae_training": {"devic": "cpu"}},
    {"ae_training": {"width": 3, "components": 3}},
    {"dataset": {"test_fractoin": 0.1}},
    {"dataset": {"root": "photos"}},
    {"dataset": {"source": "parquet", "rot": "photos"}},
    {"samplers": {"hvrt": {"components": 3}}},
    {"samplers": {"flow_map": {"strenght": 3}}},
    {"samplers": {"standard_normal": {"width": 3}}},
    {"tstr": {"classifier": {"step": 3}}},
    {"tstr": {"frob": 3}},
    {"benchmark": {"seed": 3}},
    {"sampler_frontier": {"tuning": {"step": 3}}},
]
RIGHT: list[dict[str, Any]] = [
    {},
    {"seed": 1, "tstr": {"n": [3], "classifier": {"steps": 3}}},
    {"dataset": {"source": "my_package.images:Source", "anything": 3}},
    {"samplers": {"my_package.samplers:Mine": {"anything": 3}, "of_another_package": {"x": 1}}},
    {"balance": {"counts": {"any class": 20}}},
    {"hvrt_fitting": {"noise_scale": 2}},  # an earlier name: the complete check says so
    {"generation": 3},  # a wrong value, and no wrong name
    {"benchmark": {"jobs": {"mine": {"samplers": ["hvrt"]}}}},
    {"ae_training": {"regulariser": {"kind": "mmd", "weight": 1.0}}},
]


@pytest.mark.parametrize("raw", WRONG, ids=str)
def test_what_is_unknown_is_refused_in_the_words_of_the_complete_check(raw: dict[str, Any]) -> None:
    with pytest.raises(InputError) as complete:
        check_parameters({"run_name": "x", **raw})
    with pytest.raises(InputError) as quick:
        check_names(raw)
    assert str(quick.value) == str(complete.value)


@pytest.mark.parametrize("raw", RIGHT, ids=str)
def test_what_may_be_known_passes(raw: dict[str, Any]) -> None:
    check_names(raw)


@pytest.mark.parametrize("env", ENVIRONMENTS)
def test_every_environment_passes(env: str) -> None:
    raw = OmegaConfigLoader(str(CONF), env=env, **CONFIG_LOADER_ARGS)["parameters"]
    check_names(raw)
    check_parameters(raw)


def test_the_judge_of_photographs_that_is_measured_is_that_of_the_environment() -> None:
    raw = OmegaConfigLoader(str(CONF), env="cifar10", **CONFIG_LOADER_ARGS)["parameters"]
    assert check_parameters(raw).evaluation.judge == JUDGE


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("run_name", "one"),
        ("ae_training.autoencoder", "one"),
        ("dataset.root", "one"),
        ("dataset.source", "one"),
        ("samplers.hvrt.strategy", "one"),
        ("export.form", "one"),
        ("evaluation.extractors", "several"),
        ("tstr.n", None),
        ("samplers.flow_map.strength", None),
        ("samplers.mixture.components", None),
    ],
)
def test_an_option_says_whether_it_is_a_text(name: str, text: str | None) -> None:
    option = find_option(name)
    assert option is not None
    assert option.get("text") == text


@pytest.mark.parametrize("name", ["nothing", "tstr.nothing", "samplers.mine.x", "tstr", "samplers"])
def test_what_is_no_option_is_none(name: str) -> None:
    assert (find_option(name) or {}).get("text") is None


def test_every_kind_of_thing_is_listed() -> None:
    for kind in ("parameters", "samplers", "autoencoders", "sources", "metrics"):
        assert known()[kind]


def test_the_check_imports_neither_torch_nor_what_takes_as_long() -> None:
    code = """
import sys
import hvrt_diffuser.hooks, hvrt_diffuser.settings, hvrt_diffuser.command
from hvrt_diffuser.pipelines.known import check_names
check_names({"seed": 1})
print(sorted({"torch", "torchvision", "sklearn", "hvrt", "pandas", "matplotlib"} & {*sys.modules}))
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True
    )
    assert done.stdout.strip() == "[]"
