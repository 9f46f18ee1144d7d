"""Arguments of Python's functions and of the command line that cannot be meant."""

from __future__ import annotations

import math
import random
import traceback
from collections.abc import Callable
from typing import Any

from chaos.inputs.case import KEDRO, Case
from chaos.project import RUN

MODEL = f"data/06_models/{RUN}"
NUMBERS = (0, -1, 2**62, 2**70, 1.5, "7", None, True, math.nan, math.inf, [3])
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "n": NUMBERS,
    "class_id": (99, -1, 2**70, 1.5, "nosuch", None, True, math.nan, [0]),
    "device": ("gpu", "cuda:99", "", "cuda:-1", 7, "cpu:x", None),
    "precision": ("half", "float16", 16, None, "", "bf16"),
    "seed": (-1, 1.5, "a", None, True, 2**70, [1]),
}


def python(rng: random.Random) -> Case:
    """An argument of HVRTDiffuser."""
    name = rng.choice([*ARGUMENTS])
    value = rng.choice(ARGUMENTS[name])

    def call() -> None:
        from hvrt_diffuser import HVRTDiffuser

        given = {"n": 5, "seed": 0, "class_id": 1, name: value}
        load = {name: value} if name in ("device", "precision") else {}
        diffuser = HVRTDiffuser.load(MODEL, **load)
        if name == "class_id":
            diffuser.generate_conditional(given["n"], class_id=value, seed=0)
        else:
            diffuser.generate(given["n"], seed=given["seed"])

    return Case(f"HVRTDiffuser with {name}={value!r}", _only_input_errors(call))


def _only_input_errors(call: Callable[[], None]) -> Callable[[], None]:
    """A program in which any other error is what a user sees of it: a traceback."""

    def program() -> None:
        from hvrt_diffuser.common.errors import InputError

        try:
            call()
        except InputError:
            raise
        except Exception:
            traceback.print_exc()
            raise SystemExit(1) from None

    return program


D, J = ("hvrt-diffuser", "draw"), ("hvrt-diffuser", "judge")
DIGITS = "data/01_raw/digits"
DRAW = (*D, MODEL, "--out", "more")
JUDGE = (*J, "--train", DIGITS, "--synthetic")
COMMANDS: tuple[tuple[str, ...], ...] = (
    *((*DRAW, "-n", n) for n in ("0", "-5", "x", "1.5", "", "nan", str(10**14), str(2**70))),
    *((*DRAW, "--class", name) for name in ("nosuch", "", "99", "-1")),
    *((*DRAW, "--seed", seed) for seed in ("-1", "x", "1.5", str(2**70))),
    *((*DRAW, "--device", device) for device in ("gpu", "cuda:99", "", "cuda:-1")),
    (*DRAW, "--form", "nosuch"),
    (*DRAW, "--colour", "red"),
    *((*D, model, "--out", "more") for model in ("nowhere", "conf", "data", "pyproject.toml")),
    *((*D, MODEL, "--out", out) for out in ("pyproject.toml", "conf", "data", MODEL)),
    *((*JUDGE, path) for path in ("nowhere", "conf", "pyproject.toml", "src")),
    (*JUDGE, DIGITS, "--require", "nosuch=good"),
    (*JUDGE, DIGITS, "--require", "likeness"),
    *((*JUDGE, DIGITS, "--no-training", "--n", n) for n in ("-1", "x", "0")),
    (*JUDGE, DIGITS, "--n", str(10**14)),
    *((*JUDGE, DIGITS, "--seeds", n) for n in ("0", "-1", "1.5")),
    *((*JUDGE, DIGITS, "--resize", n) for n in ("0", "-3", str(10**9))),
    (*JUDGE, DIGITS, "--dinov2", "pyproject.toml"),
    (*JUDGE, DIGITS, "--device", "gpu"),
    (*JUDGE, DIGITS, "--seed", "-1"),
    *(("hvrt-diffuser", "runs", "show", name) for name in ("nosuch", "..", "", "a/b", ".")),
    *(("hvrt-diffuser", "runs", "delete", name, "--yes") for name in ("..", "", "/", ".", "../x")),
    ("hvrt-diffuser", "runs", "compare", RUN),
    ("hvrt-diffuser", "runs", "list", "--data", "nowhere"),
    ("hvrt-diffuser", "samplers", "nosuch"),
    ("hvrt-diffuser", "nosuch"),
    *(("hvrt-diffuser", "make", path, "--out", "made") for path in ("nowhere", "conf", "")),
    ("hvrt-diffuser", "make", DIGITS),
    *(
        ("hvrt-diffuser", "make", DIGITS, "--out", out)
        for out in (f"{DIGITS}/made", "pyproject.toml", "conf", "pyproject.toml/made")
    ),
    *(
        ("hvrt-diffuser", "make", DIGITS, "--out", "made", "--set", text)
        for text in ("seed", "=3", "seed=", "seed=[", "nosuch=1", "dataset.root=x", "seed=1=2")
    ),
    *(
        ("hvrt-diffuser", "make", DIGITS, "--out", "made", *words)
        for words in (
            ("--per-class", "0"),
            ("--per-class", "-1"),
            ("--per-class", str(10**14)),
            ("--resize", "0"),
            ("--resize", str(10**9)),
            ("--sampler", "nosuch"),
            ("--form", "nosuch"),
            ("--seed", "-1"),
            ("--device", "gpu"),
            ("--require", "likeness=nosuch"),
        )
    ),
    *(("hvrt-diffuser", "serve", model) for model in ("nowhere", "conf", "pyproject.toml")),
    *(
        ("hvrt-diffuser", "serve", MODEL, *words)
        for words in (
            ("--port", "99999"),
            ("--port", "-1"),
            ("--jobs", "0"),
            ("--host", "0.0.0.0"),
            ("--token", "short"),
            ("--device", "gpu"),
        )
    ),
    *(
        (*KEDRO, option, "nosuch")
        for option in ("--pipelines", "--nodes", "--tags", "--from-nodes", "--to-outputs")
    ),
    ("kedro", "run", "--env", "nosuch"),
    (*KEDRO, "--params", "seed"),
    (*KEDRO, "--params", "=1"),
    (*KEDRO, "--params", "seed:1:2"),
    (*KEDRO, "--runner", "nosuch"),
    ("kedro", "nosuch"),
)


def on_the_command_line(rng: random.Random) -> Case:
    """A command that is wrong as it stands, in a project where all has run."""
    words = rng.choice(COMMANDS)
    return Case(" ".join(word or "''" for word in words), words)
