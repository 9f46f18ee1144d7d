"""Parameters: out of range, of another type, not finite, unknown; names of runs and of classes."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from functools import cache
from typing import Any

import yaml

from chaos.inputs.case import KEDRO, Case, Prepare, as_it_is, stage
from chaos.inputs.values import wrong
from chaos.judging import Expected
from chaos.kills import References
from chaos.project import SETTINGS, Project, set_parameters
from hvrt_diffuser.pipelines.known import known

EXPERIMENTS = ("hpo", "benchmark")
ALONE = ("balance", "shots", *EXPERIMENTS)  # no part of a whole run
OWN_ROOT = ("auto", "image_folder")  # the sources that read the project's images
DIGITS = SETTINGS["dataset"]["root"]


@cache
def every_parameter() -> tuple[tuple[str, str, tuple[tuple[str, Any], ...]], ...]:
    """Full names, types, and what else has to be set for each to be read."""
    return tuple(_every_parameter())


def _every_parameter() -> Iterator[tuple[str, str, tuple[tuple[str, Any], ...]]]:
    everything = known()
    for block, entry in everything["parameters"].items():
        if "type" in entry and block not in ("samplers", "run_name"):
            yield block, entry["type"], ()
        for option, own in entry.get("options", {}).items():
            yield f"{block}.{option}", own["type"], ()
    for block in EXPERIMENTS:
        for option, own in everything["experiment"]["options"].items():
            yield f"{block}.{option}", own["type"], ()
    for name, entry in everything["samplers"].items():
        for option, own in entry["options"].items():
            yield f"samplers.{name}.{option}", own["type"], (("generation.sampler", name),)
    for option, own in everything["autoencoders"]["convolutional"]["options"].items():
        kind = (("ae_training.regulariser.kind", "mmd"),)  # without which it is no regulariser
        more = kind if option in ("regulariser.weight", "regulariser.latent_weight") else ()
        yield f"ae_training.{option}", own["type"], more
    for name in OWN_ROOT:
        for option, own in everything["sources"][name]["options"].items():
            if own["type"] not in ("Path", "str or null"):  # of which any may be meant
                yield f"dataset.{option}", own["type"], (("dataset.source", name),)


def out_of_range(rng: random.Random) -> Case:
    """A value that the parameter does not take, by one of three ways to give it."""
    while True:
        name, kind, others = rng.choice(every_parameter())
        if name.endswith("_weights"):  # of a network that is not asked for otherwise
            asked = name.split(".")[1].removesuffix("_weights")
            others = (("evaluation.extractors", ["classifier", asked]),)
        value = wrong(rng, name, kind)
        if value is not None or kind.startswith(("int", "float")):
            return given(rng, name, value, dict(others))


def given(rng: random.Random, name: str, value: Any, others: dict[str, Any]) -> Case:
    """The parameter in the environment's file, behind ``--params``, or behind ``--set``."""
    block, last = name.split(".", maxsplit=1)[0], name.rpartition(".")[2]
    shown = f"{name}={value!r}"
    ways = ["file"]
    if isinstance(value, int | float) or (isinstance(value, str) and value and value != "8"):
        ways += ["params"]
        if block not in ALONE and "dataset.source" not in (name, *others):  # PHOTOS is that
            ways += ["make"]
    way = rng.choice(ways)
    alone = block in ALONE
    start = "run" if alone else "fresh"
    typed = stage(block) if alone else stage()
    names = (last,)
    if way == "file":
        return Case(f"{shown} in parameters.yml", typed, _set({**others, name: value}), start,
                    names=names)  # fmt: skip
    if way == "params":
        words = ",".join(f"{k}={_plain(v)}" for k, v in {**others, name: value}.items())
        return Case(f"{shown} by --params", (*typed, "--params", words), start=start, names=names)
    words = [w for k, v in {**others, name: value}.items() for w in ("--set", f"{k}={_plain(v)}")]
    typed = ("hvrt-diffuser", "make", DIGITS, "--out", "made", *words)
    return Case(f"{shown} by make --set", typed, start="fresh", names=names)


def unknown(rng: random.Random) -> Case:
    """A name with a letter too few."""
    name, _, others = rng.choice([p for p in every_parameter() if len(p[0]) > 6])
    place = rng.randrange(name.rfind(".") + 1, len(name))
    misspelt = name[:place] + name[place + 1 :]
    if misspelt in {p[0] for p in every_parameter()} or misspelt.endswith("."):
        return unknown(rng)
    return given(rng, misspelt, rng.choice((1, 0.5)), dict(others))


# fmt: off
RUN_NAMES = (
    ".", "..", "...", "-x", "--help", ".hidden", "CON", "nul", "aux.txt", "[", "[]", "a/b", "../x",
    "/tmp", "a\\b", "null", "true", "*", "?", "a:b", "~", "x.", "1.5", "%s", "$HOME", "${nosuch}",
    "${oc.env:HOME}", "a" * 300, "é" * 150, "{a: 1}", "a b/c", "a\nb", "a\tb", " ",
)
# fmt: on
UNCLEAR = ("null", "true", "1.5", "x.")  # texts to some, and fine
GOOD_RUN_NAMES = ("2024", "run_1", "été-2", "a.b", "x" * 60)


def run_name(rng: random.Random) -> Case:
    """A name that cannot be that of a folder, or should not be."""
    name = rng.choice(RUN_NAMES)
    expected: Expected = "either" if name in UNCLEAR else "refused"
    shown, typed = f"run_name={name!r}", stage("data_ingest")
    names: tuple[str, ...] = ("run_name",)
    if rng.random() < 0.5:
        typed = (*typed, "--params", f"run_name={name}")
        try:
            yaml.safe_load(name)
        except yaml.YAMLError:  # Kedro reads it before it knows whose value it is
            names = ()
        return Case(f"{shown} by --params", typed, as_it_is, "fresh", expected, names)
    return Case(
        f"{shown} in globals.yml", typed, _set({"run_name": name}), "fresh", expected, names
    )


def good_run_name(rng: random.Random) -> Case:
    """A name that nobody may refuse."""
    name = rng.choice(GOOD_RUN_NAMES)
    typed = (*stage("data_ingest"), "--params", f"run_name={name}")
    return Case(f"run_name={name!r}", typed, start="fresh", expected="fine")


# fmt: off
CLASS_NAMES = (
    "$a$b", "$\\alpha", "<b>bold</b>", "[red]x", "[b]", "a_b^c", "%s%d", "{0}", "ß", "İ",
    "-x", "--n", "a,b", "a=b", "'", '"', "CON", "null", "true", "__x", "a::b", "\\frac", "#1",
    "&amp;", "<script>x<", "猫", "\u202egpj", "x" * 200, "a b", "a\nb", "a\tb",
)
# fmt: on


def class_name(rng: random.Random) -> Case:
    """A class whose name is markup to somebody: told and drawn as it is, or refused."""
    name = rng.choice(CLASS_NAMES)
    raw = rng.random() < 0.15
    form = rng.choice(("parquet", "image_folder", "webdataset"))

    def prepare(project: Project, references: References) -> None:
        folder = project.path / DIGITS
        (folder / "one").rename(folder / (os.fsdecode(b"\xff\xfe") if raw else name))
        set_parameters(project, {"export.form": form})

    shown = "bytes that are no text" if raw else repr(name)
    return Case(f"a class called {shown}, exported as {form}", KEDRO, prepare, "fresh", "either")


def _set(changes: dict[str, Any]) -> Prepare:
    return lambda project, references: set_parameters(project, changes)


def _plain(value: Any) -> str:
    if isinstance(value, str):
        return value
    text: str = yaml.safe_dump(value, default_flow_style=True, width=10**6)
    return text.removesuffix("...\n").strip()
