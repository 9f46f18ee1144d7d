"""No number that users set is without finite bounds, and none is taken for another kind."""

from __future__ import annotations

import importlib
import math
import pkgutil
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

import numpy as np
import pytest
from pydantic import BaseModel, Field, ValidationError

import hvrt_diffuser
from hvrt_diffuser.common import contents
from hvrt_diffuser.common.bounds import Count, Distinct, Seed, Share, numbers_in, whole_number
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.options import Options, checked
from hvrt_diffuser.pipelines.parameters import check_parameters


def models() -> list[type[BaseModel]]:
    """Every model of options that the package defines, and the variants that it registers."""
    for module in pkgutil.walk_packages(hvrt_diffuser.__path__, "hvrt_diffuser."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)

    def below(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
        for each in model.__subclasses__():
            yield each
            yield from below(each)

    found = dict.fromkeys(below(BaseModel))
    own = [each for each in found if each.__module__.startswith("hvrt_diffuser.")]
    return [each for each in own if each.__module__ != contents.__name__]  # nobody sets these


def numbers(model: type[BaseModel]) -> Iterator[tuple[str, type, dict[str, float]]]:
    for name, field in model.model_fields.items():
        for kind, bounds in numbers_in(field.annotation, tuple(field.metadata)):
            yield name, kind, bounds


def unbounded(model: type[BaseModel]) -> list[str]:
    return [
        name
        for name, _, bounds in numbers(model)
        if sum(sign in bounds for sign in ("gt", "ge", "lt", "le")) != 2
        or not all(map(math.isfinite, bounds.values()))
        or not {"gt", "ge"} & {*bounds}
    ]


MODELS = models()


def test_every_number_of_every_model_has_finite_bounds() -> None:
    assert {model.__name__: found for model in MODELS if (found := unbounded(model))} == {}


def test_no_model_takes_what_is_not_finite() -> None:
    assert all(model.model_config.get("allow_inf_nan") is False for model in MODELS)


def test_the_walk_goes_where_numbers_are() -> None:
    names = {f"{model.__name__}.{name}" for model in MODELS for name, *_ in numbers(model)}
    assert {
        "TrainingOptions.latent_dim",
        "JudgeOptions.shift",
        "TSTROptions.n",
        "GenerationOptions.counts",
        "PixelDiffusionEstimator.channels",
        "GenerateRequest.labels",
        "ServeOptions.port",
        "WarmStartOptions.known",
    } <= names
    assert len(names) > 120


@pytest.mark.parametrize(
    "kind",
    [
        int,
        float | None,
        tuple[int, ...],
        dict[str, int],
        dict[int, str],
        Annotated[int, Field(ge=0)] | str,
        tuple[Annotated[float, Field(le=1)], ...],
        Annotated[float, Field(ge=0, le=float("inf"))],
    ],
)
def test_the_walk_finds_a_number_without_bounds(kind: Any) -> None:
    class Own(Options):
        number: kind = None

    assert unbounded(Own) == ["number"]


WRONG: dict[type, tuple[Any, ...]] = {
    int: (True, False, "8", 1.0, math.nan, math.inf, None.__class__, [1], 10**400, -(10**400)),
    float: (True, "0.5", "1e-3", math.nan, math.inf, -math.inf, 1e300, 10**400, b"1"),
}


@pytest.mark.parametrize("model", MODELS, ids=lambda model: f"{model.__module__}.{model.__name__}")
def test_what_is_no_number_of_the_kind_is_refused_by_every_field(model: type[BaseModel]) -> None:
    """As YAML and Python leave it; a field in which it may be a text or a list is left out."""
    for name, field in model.model_fields.items():
        holds = (field.annotation, *get_args(field.annotation))
        kinds = {get_args(kind)[0] if get_origin(kind) is Annotated else kind for kind in holds}
        plain = [*kinds & {int, float}]
        if (
            len(plain) != 1
            or str in kinds
            or any(get_origin(kind) in (tuple, dict) for kind in kinds)
        ):
            continue
        for wrong in WRONG[plain[0]]:
            with pytest.raises(ValidationError) as caught:
                model.model_validate({name: wrong})
            assert any(error["loc"][:1] == (name,) for error in caught.value.errors())


@pytest.mark.parametrize("given", [8, np.int64(8), np.uint8(8), np.int32(8)])
def test_whole_numbers_of_numpy_are_numbers(given: Any) -> None:
    found = check_parameters({"run_name": "x", "ae_training": {"latent_dim": given}})
    latent_dim: Any = found.ae_training.chosen.latent_dim
    assert latent_dim == 8
    assert type(latent_dim) is int


@pytest.mark.parametrize("given", [1, np.float32(1), np.int64(1)])
def test_a_whole_number_does_where_any_is_asked_for(given: Any) -> None:
    found = check_parameters({"run_name": "x", "standard_vae": {"beta": given}})
    assert type(found.standard_vae.beta) is float


CASES = {
    "a seed that is true": ({"seed": True}, "seed is True: expected a whole number"),
    "a seed of a text": ({"seed": "0"}, "seed is '0': expected a whole number"),
    "a seed beyond 63 bits": ({"seed": 2**63}, "seed is 9223372036854775808: .*less than"),
    "a seed of many digits": ({"seed": 10**300}, r"seed is 1000+\.\.\.: .*less than"),
    "a text of digits": ({"ae_training": {"latent_dim": "8"}}, "latent_dim is '8': expected"),
    "a float": ({"ae_training": {"latent_dim": 8.0}}, "latent_dim is 8.0: expected a whole"),
    "what would hang": (
        {"ae_training": {"residual_blocks": 10**9}},
        "residual_blocks is 1000000000: .*less than or equal to 64",
    ),
    "a shift that would": ({"evaluation": {"judge": {"shift": 10**6}}}, "judge.shift is 1000000"),
    "images by the billion": ({"generation": {"n": 10**9}}, "generation.n is 1000000000: .*100000"),
    "classes by the billion": (
        {"generation": {"counts": {"cat": 10**9}}},
        "generation.counts.cat is 1000000000: input should be less",
    ),
    "of each class": ({"generation": {"counts": 0}}, "generation.counts is 0: input should be gre"),
    "a rate that is infinite": (
        {"ae_training": {"learning_rate": math.inf}},
        "ae_training.learning_rate is inf",
    ),
    "a rate of nonsense": ({"tstr": {"classifier": {"learning_rate": 1e300}}}, "rate is 1e\\+300"),
    "decay of nonsense": ({"evaluation": {"judge": {"weight_decay": 1e300}}}, "weight_decay is"),
    "beta of nonsense": ({"standard_vae": {"beta": math.inf}}, "standard_vae.beta is inf"),
    "width of nonsense": (
        {"samplers": {"hvrt": {"noise_scale": 1e300}}},
        "noise_scale is 1e\\+300",
    ),
    "not a number": ({"samplers": {"hvrt": {"noise_scale": math.nan}}}, "noise_scale is nan"),
    "a nested one": (
        {"ae_training": {"regulariser": {"kind": "mmd", "weight": math.inf}}},
        "regulariser.weight is inf",
    ),
    "one of several": ({"tstr": {"n": [100, 10**9]}}, r"tstr\.n\.1 is 1000000000"),
    "true among several": (
        {"shots": {"shots": [True]}},
        r"shots\.shots\.0 is True: expected a whole",
    ),
    "the same twice": ({"tstr": {"n": [100, 100]}}, "100 stands there twice"),
    "the same name twice": (
        {"evaluation": {"extractors": ["classifier", "classifier"]}},
        "classifier stands there twice",
    ),
    "a metric twice": ({"evaluation": {"metrics": ["kid", "kid"]}}, "kid stands there twice"),
    "a sampler twice": ({"shots": {"samplers": ["hvrt", "hvrt"]}}, "hvrt stands there twice"),
    "a ratio twice": ({"shots": {"ratios": [3, 3]}}, "3 stands there twice"),
    "an empty grid": (
        {"hpo": {"jobs": {"beta": {"grid": {"autoencoder.beta": []}}}}},
        r"hpo\.jobs\.beta\.grid\.autoencoder\.beta is \[\]: .*at least 1",
    ),
    "a grid with the same twice": (
        {"phase1": {"jobs": {"hvrt": {"grid": {"sampler.noise_scale": [1.0, 1.0]}}}}},
        "1.0 stands there twice",
    ),
    "an empty space": (
        {"optimise": {"search": {"space": {"sampler.noise_scale": []}}}},
        "noise_scale is .*at least 1",
    ),
    "no space at all": ({"optimise": {"search": {"space": {}}}}, "space is .*at least 1"),
    "no row of tstr": ({"tstr": {"n": []}}, r"tstr\.n is .*at least 1"),
    "no shots": ({"shots": {"shots": []}}, "shots is .*at least 1"),
}


@pytest.mark.parametrize("case", CASES)
def test_a_value_is_refused_in_one_sentence(case: str) -> None:
    given, said = CASES[case]
    with pytest.raises(InputError, match=said) as caught:
        check_parameters({"run_name": "x", **given})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    assert "function-" not in str(caught.value)


def test_a_grid_may_hold_true_beside_1() -> None:
    grid = {"sampler.preserve_variance": [True, False], "sampler.noise_scale": [1, 1.5, 0]}
    check_parameters({"run_name": "x", "phase1": {"jobs": {"smoothed_bootstrap": {"grid": grid}}}})
    mixed: Any = Annotated[tuple[Any, ...], Distinct]
    assert checked("", type("Own", (Options,), {"__annotations__": {"x": mixed}}), {"x": [1, True]})


@pytest.mark.parametrize("value", [True, 1.5, "3", None, math.nan, [1], 2**62, -1, np.float64(3)])
def test_an_argument_that_is_no_whole_number_in_range_is_refused(value: Any) -> None:
    with pytest.raises(InputError, match=r"^n is .*expected"):
        whole_number("n", value, 0, 100)


@pytest.mark.parametrize("value", [0, 100, np.int64(7), np.uint8(7)])
def test_an_argument_in_range_is_a_number_of_python(value: Any) -> None:
    assert type(whole_number("n", value, 0, 100)) is int


def test_a_narrower_field_keeps_its_own_bounds() -> None:
    class Own(Options):
        part: Share = Field(0.5, gt=0, lt=1)
        many: Count = Field(5, ge=2)
        some: Count | None = Field(None, le=7)
        seed: Seed = 0

    found = {name: bounds for name, _, bounds in numbers(Own)}
    assert found["part"] == {"gt": 0, "lt": 1}
    assert found["many"]["ge"] == 2
    assert found["some"] == {"ge": 1, "le": 7}
    for wrong in ({"part": 0}, {"part": 1}, {"many": 1}, {"some": 8}):
        with pytest.raises(InputError):
            checked("", Own, wrong)


def test_every_environment_of_kedro_reads_numbers_of_the_command_line() -> None:
    """As ``--params`` hands them on; 1e-3 is a number there."""
    from kedro.framework.cli.utils import _split_params

    text = "ae_training.latent_dim=8,ae_training.learning_rate=1e-3,standard_vae.beta=1,seed=7"
    raw = _split_params(None, None, text)  # type: ignore[arg-type]
    found = check_parameters({"run_name": "x", **raw})
    options: Any = found.ae_training.chosen
    assert (options.latent_dim, options.learning_rate, found.seed) == (8, 1e-3, 7)


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "0.001", "1.0e-3", ".1e-2", "+1e-3"])
def test_set_reads_numbers_as_the_files_do(text: str) -> None:
    from hvrt_diffuser.command.settings import settings

    assert settings([f"ae_training.learning_rate={text}"]) == {"ae_training.learning_rate": 1e-3}


@pytest.mark.parametrize("text", ["1e-3x", "e3", "'1e-3'"])
def test_set_makes_no_number_of_a_text(text: str) -> None:
    from hvrt_diffuser.command.settings import settings

    assert isinstance(
        settings([f"ae_training.learning_rate={text}"])["ae_training.learning_rate"], str
    )
