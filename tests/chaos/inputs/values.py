"""Values that a parameter does not take, drawn from what the registry says of it."""

from __future__ import annotations

import math
import random
import re
from typing import Any

HUGE = 10**12  # of what costs memory or time: more than any machine has
BOUND = re.compile(r"(≥|>|≤|<) (-?\d[\d,]*(?:\.\d+)?(?:e[+-]\d+)?)")
CHOICES = re.compile(r"[a-zA-Z_]\w*(, \w+)+")
# Lists and blocks, and texts that name something.
BY_NAME: dict[str, tuple[Any, ...]] = {
    "generation.class_id": (99, -1, "nosuch", 2**70, 1.5, True, [0]),
    "generation.counts": (-1, 0, 1.5, [], {"nosuch": 5}, {"one": -1}, {"one": HUGE}, HUGE),
    "balance.counts": ({"nosuch": 5}, {"one": 0}, {"one": 1.5}, [], 7, {"one": HUGE}),
    "tstr.n": ([], [0], [-5], [60, 60], [1.5], ["many"], [HUGE], [True]),
    "shots.shots": ([], [0], [10, 10], [1.5], [HUGE], [[10]]),
    "shots.ratios": ([], [0], [1, 1], ["one"], [HUGE], [-1]),
    "shots.samplers": ([], ["nosuch"], ["hvrt", "hvrt"], [7]),
    "evaluation.metrics": (["nosuch"], ["fd", "fd"], [7], ["no.such.Class"]),
    "evaluation.extractors": (["nosuch"], ["random", "random"], [7]),
    "evaluation.inception_weights": ("nowhere.pth", "conf", [1]),
    "evaluation.dinov2_weights": ("nowhere.pth", "conf", [1]),
    "samplers.pixel_diffusion.channels": ([], [0], [-8], [1.5], [HUGE]),
    "samplers.dvp_vae.setting": ("nosuch", 7),
    "device": ("gpu", "cuda:99", "", "cuda:-1", "cpu:x", [1]),
    "dataset.source": ("nosuch", "", "no.such.Class"),
    "ae_training.autoencoder": ("nosuch", "", "os.path"),
    "generation.sampler": ("nosuch", "", "os.path"),
    "jobs": (
        {"x": {"samplers": ["nosuch"]}},
        {"x": 7},
        {"x": {"grid": {"sampler.nosuch": [1]}}},
        {"hvrt": {"samplers": ["hvrt"], "grid": {"sampler.noise_scale": []}}},
        {"hvrt": {"samplers": ["hvrt"], "grid": {"sampler.noise_scale": [1.0, 1.0]}}},
        {"hvrt": {"samplers": ["hvrt", "hvrt"]}},
    ),
}


def wrong(rng: random.Random, name: str, kind: str) -> Any:
    """A value that a parameter of this kind must not take; None where none is known.

    Args:
        rng: what draws.
        name: of the parameter, full.
        kind: what the registry says of its type, such as ``int, ≥ 1``.
    """
    for known in (name, name.rpartition(".")[2]):
        if known in BY_NAME:
            return rng.choice(BY_NAME[known])
    if name.endswith(".device"):
        return rng.choice(BY_NAME["device"])
    bare = kind.replace(" or null", "")
    if bare.startswith(("int", "float")):
        return rng.choice(_numbers(bare, name, nullable=bare != kind))
    if bare == "bool":
        return rng.choice(("maybe", 2, [True], 1.5, ""))
    if CHOICES.fullmatch(bare):
        return rng.choice(("nosuch", 7, "", [bare.split(", ", maxsplit=1)[0]], True))
    return None


def _numbers(kind: str, name: str, nullable: bool) -> list[Any]:
    whole = kind.startswith("int")
    found: list[Any] = ["many", [1, 2], {"a": 1}, True, math.inf, -math.inf, math.nan, "8"]
    bounds = {sign: float(value.replace(",", "")) for sign, value in BOUND.findall(kind)}
    found += [] if nullable else [None]
    found += [2.5] if whole else []
    step = 1 if whole else 0.5
    for sign, value in bounds.items():
        edge = int(value) if whole else value
        found += {
            "≥": [edge - 1, -(10**9)],
            ">": [edge, edge - step],
            "≤": [edge + step, 10**9],
            "<": [edge, edge + step],
        }[sign]
    if not bounds.keys() & {"≤", "<"} and not name.endswith("seed"):
        found += [HUGE, 10**30] if whole else [1e300, 1e30]
    if multiple := re.search(r"a multiple of (\d+)", kind):
        found += [int(multiple[1]) + 1]
    return found
