"""What every sampler keeps to: shapes, labels, one stream, its file, its device, what it refuses.

Every name of the registry is checked, and the sampler of docs/extend.md, which a user wrote.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np
import pytest
import safetensors
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare
from torch import Tensor

from hvrt_diffuser.autoencoders import Autoencoder
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.files import read_tensors, write_tensors
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.common.stored import FORMS
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.diffuser import HVRTDiffuser
from hvrt_diffuser.samplers import LatentSampler, SamplerEstimator, load_sampler

COUNTS = (240, 180, 120, 60)
OWN = "my_samplers:Independent"
PAGE = Path(__file__).parents[2] / "docs" / "extend.md"
EXAMPLE = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)[0]


def read_example() -> None:
    """Make the module of docs/extend.md one that can be imported."""
    module = ModuleType("my_samplers")
    sys.modules["my_samplers"] = module
    exec(compile(EXAMPLE, str(PAGE), "exec", dont_inherit=True), vars(module))


read_example()

# Networks of a moment: what they learn where they are trained stands in test_rivals.py.
FLOW = {"width": 32, "blocks": 1, "training_steps": 10, "batch_size": 64, "solver_steps": 4}
FLOW |= {"learning_rate": 5e-3, "precision": "float32"}
MAP = {**FLOW, "trajectories": 200, "distillation_steps": 10}
# These two know where the latents lie.
LONGER = {"width": 64, "training_steps": 250, "batch_size": 256}
TRAINED = {
    "latent_flow": {**FLOW, **LONGER},
    "flow_map": {**MAP, **LONGER, "trajectories": 4000, "distillation_steps": 400},
}
DIFFUSION = {"width": 32, "blocks": 1, "training_steps": 20, "batch_size": 64}
DIFFUSION |= {"precision": "float32"}
VAE = {"width": 32, "training_steps": 20, "batch_size": 64}
AUTOREGRESSIVE = {"transforms": 2, "width": 16, "training_steps": 10, "batch_size": 64}
MOMENT = {"training_steps": 10, "batch_size": 64}
# A name that is not here is tested with its defaults.
QUICK: dict[str, dict[str, Any]] = {
    "latent_flow": FLOW,
    "flow_map": MAP,
    "mixture": {"components": 2},
    "mixture_per_class": {"components": 2},
    "interpolation": {"neighbours": 1},
    "masked_autoregressive_flow": AUTOREGRESSIVE,
    "neural_spline_flow": AUTOREGRESSIVE,
    "second_stage_vae": VAE,
    "vamp_prior": {"pseudoinputs": 3, **VAE},
    "latent_edm": {"solver_steps": 6, **DIFFUSION},
    "latent_ddpm": {"solver_steps": 10, **DIFFUSION},
    "latent_consistency": {"width": 32, "blocks": 1, **MOMENT},
    "matched_flow_map": MAP,
    "transformer_flow": {"width": 8, "transforms": 3, "heads": 2, **MOMENT},
    "class_energy": {"width": 16, "steps": 5, **MOMENT},
    "semi_parametric": {"width": 16, "neighbours": 1, **MOMENT},
}


@dataclass(frozen=True)
class Case:
    """A sampler with some options, and how many other versions of each latent it starts from."""

    name: str
    options: dict[str, Any]
    copies: int = 0

    def estimator(self, **others: Any) -> SamplerEstimator:
        options = {**QUICK.get(self.name, {}), **others, **self.options}
        made: SamplerEstimator = SAMPLERS.make(self.name, options)
        return made

    def extra(self, latents: Tensor) -> dict[str, Any]:
        """What the fit takes beside latents and labels."""
        found = {}
        if self.copies:
            found["augmented"] = torch.stack([latents + 0.01 * i for i in range(self.copies)])
        if "deviations" in SAMPLERS.find(self.name).uses:
            found["deviations"] = torch.full_like(latents, 0.1)
        return found

    def __call__(
        self, latents: Tensor, labels: Tensor | None = None, *, seed: int = 0, least: int = 5
    ) -> LatentSampler:
        has_leaves = "min_samples_leaf" in SAMPLERS.find(self.name).model_fields
        estimator = self.estimator(**({"min_samples_leaf": least} if has_leaves else {}))
        return estimator.fit(latents, labels, seed=seed, **self.extra(latents))


def hvrt(**options: Any) -> Case:
    return Case("hvrt", options)


HVRT: dict[str, Case] = {
    "hvrt": hvrt(),
    "bootstrap_noise": hvrt(strategy="bootstrap_noise"),
    "multivariate_kde": hvrt(strategy="multivariate_kde"),
    "univariate_kde_copula": hvrt(strategy="univariate_kde_copula"),
    "HVRT": hvrt(partitioner="HVRT"),
    "FastHART": hvrt(partitioner="FastHART"),
    "HART": hvrt(partitioner="HART", tree_splitter="random"),
    "PyramidHART": hvrt(partitioner="PyramidHART", tree_splitter="random"),
    "three by splitter": hvrt(members=3, diversity="splitter", tree_splitter="random"),
    "three by rows": hvrt(members=3, diversity="rows", strategy="multivariate_kde"),
    "three by rotations": hvrt(members=3, diversity="rotations", strategy="univariate_kde_copula"),
}
FITS: dict[str, Case] = {
    **{name: Case(name, {}) for name in SAMPLERS.names() if SAMPLERS.find(name).kind == "latents"},
    OWN: Case(OWN, {}),
    **HVRT,
    "one leaf": Case("smoothed_bootstrap", {"leaves": "one"}),
    "class leaves": Case("smoothed_bootstrap", {"leaves": "class", "preserve_variance": True}),
    "shuffled leaves": Case("smoothed_bootstrap", {"leaves": "shuffled"}),
    "k-means": Case("smoothed_bootstrap", {"leaves": "k_means"}),
    "flow from rows": Case("latent_flow", {"strength": 0.5}),
    "flow map from rows": Case("flow_map", {"strength": 0.5}),
    "flow map from augmented rows": Case("flow_map", {"strength": 0.5}, copies=2),
}
NETWORKS = tuple(name for name, case in FITS.items() if SAMPLERS.find(case.name).network)
FLOWS = tuple(name for name, case in FITS.items() if case.name in TRAINED)
# What is drawn of a class may be as wide as all of them.
JOINT = ("mixture", "gaussian", "one leaf", "shuffled leaves")
RANDOM = (
    *NETWORKS,
    "mixture",
    "mixture_per_class",
    "HART",
    "PyramidHART",
    "three by splitter",
    "three by rows",
    "three by rotations",
    "shuffled leaves",
    "k-means",
)
NOTHING_RANDOM = (
    "standard_normal",
    "posterior",
    "gaussian",
    "gaussian_per_class",
    "kernel_density",
    "interpolation",
    "smoothed_bootstrap",
    "one leaf",
    "class leaves",
    OWN,
    *(name for name in HVRT if name not in RANDOM),
)
# Every draw is near a latent, whatever the shape of them all.
LOCAL = (*HVRT, "posterior", "kernel_density", "interpolation", "smoothed_bootstrap", "k-means")
every_fit = pytest.mark.parametrize("name", FITS)
every_fit_of_hvrt = pytest.mark.parametrize("name", HVRT)


@pytest.fixture(scope="module")
def rows(latents: Tensor, digits: LabelledImages) -> tuple[Tensor, Tensor]:
    """Latents of real digits of four classes, in unequal numbers and mixed order."""
    picked = torch.cat(
        [(digits.labels == c).nonzero()[:m, 0] for c, m in enumerate(COUNTS)]
    ).sort()[0]
    return latents[picked].contiguous(), digits.labels[picked]


@pytest.fixture(scope="module")
def fitted(rows: tuple[Tensor, Tensor]) -> dict[str, LatentSampler]:
    return {name: fit(*rows, seed=0) for name, fit in FITS.items()}


@pytest.fixture(scope="module")
def learned(rows: tuple[Tensor, Tensor]) -> dict[str, LatentSampler]:
    """The flows after a training of some seconds: one, its map, and both at other strengths."""
    flow = SAMPLERS.make("latent_flow", TRAINED["latent_flow"]).fit(*rows)
    flow_map = SAMPLERS.make("flow_map", TRAINED["flow_map"]).fit(*rows, start=flow)
    found = {}
    for name in FLOWS:
        case = FITS[name]
        estimator = case.estimator(**TRAINED[case.name])
        known = {"latent_flow": flow, "flow_map": flow_map}[case.name]
        found[name] = estimator.adapt(known, *rows, **case.extra(rows[0]))
    return found


@pytest.fixture(scope="module", params=FITS)
def sampler(request: pytest.FixtureRequest, fitted: dict[str, LatentSampler]) -> LatentSampler:
    return fitted[request.param]


def source(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def asked(n: int) -> Tensor:
    """All classes, in an order of no pattern that a sampler might share."""
    return torch.randint(len(COUNTS), (n,), generator=source(99))


def same(a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> bool:
    """Whether both give the same bytes."""
    return all(
        x.dtype == y.dtype and x.shape == y.shape and x.numpy().tobytes() == y.numpy().tobytes()
        for x, y in zip(a, b, strict=True)
    )


def sentence(error: pytest.ExceptionInfo[InputError]) -> str:
    """What the user reads: one line that says what was found and what to do about it."""
    said = str(error.value)
    assert "\n" not in said
    assert ": " in said, f"does not say what to do: {said}"
    return said


# ---- what comes


@every_fit
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_have_the_shape_type_and_device_of_the_latents(
    rows: tuple[Tensor, Tensor], fitted: dict[str, LatentSampler], name: str, dtype: torch.dtype
) -> None:
    sampler = fitted[name]
    if dtype != torch.float32:
        sampler = FITS[name](rows[0].to(dtype), rows[1], seed=0)
    assert sampler.latent_dim == 8
    assert sampler.n_classes == len(COUNTS)
    assert sampler.counts.tolist() == list(COUNTS)
    assert sampler.device == torch.device("cpu")
    for n, wanted in ((1, None), (37, None), (1, asked(1)), (37, asked(37))):
        latents, labels = sampler.sample(n, wanted, generator=source())
        assert latents.shape == (n, 8)
        assert latents.dtype == (torch.float32 if name == "standard_normal" else dtype)
        assert labels.shape == (n,)
        assert labels.dtype == torch.int64
        assert latents.device == labels.device == sampler.device


@every_fit
def test_draws_are_finite_and_differ_from_each_other(
    fitted: dict[str, LatentSampler], name: str
) -> None:
    n = 2000 if name in NETWORKS else 20_000
    for labels in (None, asked(n)):
        latents, _ = fitted[name].sample(n, labels, generator=source())
        assert torch.isfinite(latents).all()
        assert len(latents.unique(dim=0)) == n


@every_fit
def test_draws_lie_where_the_latents_lie(
    rows: tuple[Tensor, Tensor],
    fitted: dict[str, LatentSampler],
    learned: dict[str, LatentSampler],
    name: str,
) -> None:
    if name == "standard_normal" or (name in NETWORKS and name not in FLOWS):
        pytest.skip("it has not learned where the latents lie")
    # A component of a mixture may hold rows of several classes.
    classes = () if name in JOINT else range(len(COUNTS))
    # Between two independent rows lie 2/3 of their variance.
    narrow = {"interpolation": 0.8}.get(name, 0.65 if name in FLOWS else 0.9)
    for label in (None, *classes):
        labels = None if label is None else torch.full((10_000,), label)
        drawn, _ = {**fitted, **learned}[name].sample(10_000, labels, generator=source())
        real = rows[0] if label is None else rows[0][rows[1] == label]
        deviation = real.std(0)
        # 0.1 is seven times the error of the mean; a kernel widens what it starts from, and a
        # network trained for a moment narrows it.
        near = 0.25 if name in FLOWS else 0.1
        assert ((drawn.mean(0) - real.mean(0)).abs() < near * deviation).all()
        assert (drawn.std(0) > narrow * deviation).all()
        assert (drawn.std(0) < 1.5 * deviation).all()


# ---- labels


@pytest.mark.parametrize("n", [1, 6, 8193])
def test_labels_that_are_asked_for_are_those_that_come(sampler: LatentSampler, n: int) -> None:
    labels = asked(n)
    _, found = sampler.sample(n, labels, generator=source())
    assert torch.equal(found, labels)
    assert torch.equal(labels, asked(n)), "what was asked for was written to"


def test_labels_come_in_their_real_proportions(sampler: LatentSampler) -> None:
    n = 20_000
    _, labels = sampler.sample(n, generator=source())
    found = torch.bincount(labels, minlength=len(COUNTS)).numpy()
    assert chisquare(found, np.array(COUNTS) / sum(COUNTS) * n).pvalue > 0.001
    assert chisquare(found).pvalue < 1e-6, "the check would not tell them from even ones"


@every_fit
def test_latents_without_labels_are_one_class(rows: tuple[Tensor, Tensor], name: str) -> None:
    sampler = FITS[name](rows[0])
    assert sampler.n_classes == 1
    assert sampler.counts.tolist() == [sum(COUNTS)]
    for labels in (None, torch.zeros(50, dtype=torch.long)):
        latents, found = sampler.sample(50, labels, generator=source())
        assert torch.isfinite(latents).all()
        assert found.tolist() == [0] * 50
    with pytest.raises(InputError, match="class 1 was asked for, expected 0, the only class"):
        sampler.sample(1, torch.tensor([1]), generator=source())


# ---- one stream


@pytest.mark.parametrize("labelled", [False, True])
def test_the_same_seed_gives_the_same_bytes(sampler: LatentSampler, labelled: bool) -> None:
    labels = asked(500) if labelled else None
    one, again = (sampler.sample(500, labels, generator=source(3)) for _ in range(2))
    assert same(one, again)


@pytest.mark.parametrize("labelled", [False, True])
def test_another_seed_gives_other_draws(sampler: LatentSampler, labelled: bool) -> None:
    labels = asked(50) if labelled else None
    one, other = (sampler.sample(50, labels, generator=source(seed))[0] for seed in (0, 1))
    assert not (one == other).any(1).any()


def test_a_second_call_goes_on_with_new_draws(sampler: LatentSampler) -> None:
    stream = source()
    one, other = (sampler.sample(50, generator=stream)[0] for _ in range(2))
    assert not (one == other).any(1).any()


def in_pieces(
    sampler: LatentSampler, labels: Tensor | None, sizes: list[int], seed: int
) -> tuple[Tensor, Tensor]:
    stream = source(seed)
    pieces = [
        sampler.sample(len(place), None if labels is None else labels[place], generator=stream)
        for place in torch.arange(sum(sizes)).split(sizes)
    ]
    latents, found = zip(*pieces, strict=True)
    return torch.cat(latents), torch.cat(found)


@every_fit
@settings(max_examples=10, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 70), min_size=1, max_size=6),
    labelled=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_pieces_of_a_stream_are_the_whole(
    fitted: dict[str, LatentSampler], name: str, sizes: list[int], labelled: bool, seed: int
) -> None:
    sampler, n = fitted[name], sum(sizes)
    labels = asked(n) if labelled else None
    whole = sampler.sample(n, labels, generator=source(seed))
    assert same(in_pieces(sampler, labels, sizes, seed), whole)


@every_fit
@pytest.mark.parametrize("labelled", [False, True])
def test_pieces_of_a_long_stream_are_the_whole(
    fitted: dict[str, LatentSampler], name: str, labelled: bool
) -> None:
    sampler = fitted[name]
    # More than a sampler draws at once, and at least once with a row left over.
    n, pieces = (2500, (999, 1025)) if name in NETWORKS else (70_000, (999, 8192, 65_537))
    labels = asked(n) if labelled else None
    whole = sampler.sample(n, labels, generator=source())
    for size in pieces:
        sizes = [min(size, n - start) for start in range(0, n, size)]
        assert same(in_pieces(sampler, labels, sizes, 0), whole), f"pieces of {size}"


def test_the_global_generators_are_not_touched_by_drawing(
    sampler: LatentSampler, global_generators_untouched: Any
) -> None:
    with global_generators_untouched():
        sampler.sample(100, generator=source())
        sampler.sample(100, asked(100), generator=source())


# ---- the fit


@every_fit
def test_the_fit_depends_on_its_arguments_alone(
    rows: tuple[Tensor, Tensor],
    name: str,
    tmp_path: Path,
    global_generators_untouched: Any,
) -> None:
    latents, labels = (each.clone() for each in rows)
    for file in ("one", "two"):
        torch.rand(3)  # what the global generator does is of no account
        with global_generators_untouched():
            sampler = FITS[name](latents, labels, seed=5)
        sampler.save(tmp_path / file)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    assert same((latents, labels), rows), "the fit wrote to what it was given"


@every_fit
def test_what_becomes_of_the_latents_afterwards_does_not_matter(
    rows: tuple[Tensor, Tensor], fitted: dict[str, LatentSampler], name: str
) -> None:
    latents, labels = (each.clone() for each in rows)
    sampler = FITS[name](latents, labels, seed=0)
    latents.fill_(0)
    labels.fill_(0)
    found = sampler.sample(100, asked(100), generator=source())
    assert same(found, fitted[name].sample(100, asked(100), generator=source()))


@pytest.mark.parametrize("name", RANDOM)
def test_another_seed_gives_another_fit(
    rows: tuple[Tensor, Tensor], fitted: dict[str, LatentSampler], name: str
) -> None:
    other = FITS[name](*rows, seed=1)
    draws = [each.sample(100, generator=source())[0] for each in (fitted[name], other)]
    assert not torch.equal(*draws)


@pytest.mark.parametrize("name", NOTHING_RANDOM)
def test_without_anything_random_the_seed_does_not_matter(
    rows: tuple[Tensor, Tensor], fitted: dict[str, LatentSampler], name: str
) -> None:
    other = FITS[name](*rows, seed=1)
    draws = [each.sample(100, generator=source()) for each in (fitted[name], other)]
    assert same(*draws)


# ---- devices


@pytest.mark.parametrize("labelled", [False, True])
def test_everything_happens_on_the_device(sampler: LatentSampler, labelled: bool) -> None:
    """A tensor on the meta device has no values: whoever reads one back gets an error."""
    moved = sampler.to("meta")
    assert moved.device.type == "meta"
    assert moved.latent_dim == sampler.latent_dim
    assert moved.n_classes == sampler.n_classes
    assert moved.origin == sampler.origin
    for n in (1, 140_000):  # more than a network sees at once
        labels = asked(n) if labelled else None
        latents, found = moved.sample(n, labels, generator=source())
        assert latents.device.type == found.device.type == "meta"
        assert latents.shape == (n, 8)
        assert latents.dtype == sampler.sample(1, generator=source())[0].dtype
        assert found.shape == (n,)
        assert found.dtype == torch.int64
    assert sampler.device.type == "cpu", "the sampler that was moved is not the one it was"
    sampler.sample(1, generator=source())


def test_moving_to_where_it_is_changes_no_draw(sampler: LatentSampler) -> None:
    moved = sampler.to("cpu")
    assert same(moved.sample(99, generator=source()), sampler.sample(99, generator=source()))


@dataclass
class ElsewhereGenerator:
    """All that a sampler may ask of a generator before it refuses it."""

    device: torch.device = torch.device("cuda")  # noqa: RUF009 (a device is a value)


def test_a_generator_of_another_device_is_refused(sampler: LatentSampler) -> None:
    with pytest.raises(InputError, match=r"a generator on cuda .* a sampler on cpu") as error:
        sampler.sample(3, generator=cast(torch.Generator, ElsewhereGenerator()))
    assert "torch.Generator('cpu')" in sentence(error)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
@every_fit
def test_draws_on_a_gpu_are_those_of_one_seed(rows: tuple[Tensor, Tensor], name: str) -> None:
    for sampler in (
        FITS[name](*rows, seed=0).to("cuda"),
        FITS[name](rows[0].cuda(), rows[1], seed=0),
    ):
        for labels in (None, asked(3000), asked(3000).cuda()):
            one, again = (
                sampler.sample(3000, labels, generator=torch.Generator("cuda").manual_seed(3))
                for _ in range(2)
            )
            assert one[0].device.type == one[1].device.type == "cuda"
            assert torch.isfinite(one[0]).all()
            assert torch.equal(one[0], again[0])
            assert torch.equal(one[1], again[1])
            if labels is not None:
                assert torch.equal(one[1].cpu(), labels.cpu())
        with pytest.raises(InputError, match="a generator on cpu"):
            sampler.sample(3, generator=source())


# ---- files


@every_fit
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_loaded_sampler_draws_the_same(
    rows: tuple[Tensor, Tensor],
    fitted: dict[str, LatentSampler],
    name: str,
    dtype: torch.dtype,
    tmp_path: Path,
) -> None:
    sampler = fitted[name]
    if dtype != torch.float32:
        sampler = FITS[name](rows[0].to(dtype), rows[1], seed=0)
    sampler.save(tmp_path / "one")
    loaded = load_sampler(str(tmp_path / "one"))
    assert type(loaded) is type(sampler)
    assert loaded.origin == sampler.origin
    assert torch.equal(loaded.counts, sampler.counts)
    for labels in (None, asked(200)):
        draws = (each.sample(200, labels, generator=source()) for each in (sampler, loaded))
        assert same(*draws)
    loaded.save(tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="sampler does not exist") as error:
        load_sampler(tmp_path / "sampler")
    assert str(tmp_path) in sentence(error)


def test_a_file_cut_short_is_refused(sampler: LatentSampler, tmp_path: Path) -> None:
    path = tmp_path / "sampler"
    sampler.save(path)
    whole = path.read_bytes()
    (length,) = np.frombuffer(whole[:8], np.uint64).tolist()
    # In and after the length of the header, in and after the header, among the tables, at the end.
    for left in (0, 5, 8, 8 + length // 2, 8 + length, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:left])
        with pytest.raises(InputError, match="cut short") as error:
            load_sampler(path)
        assert f"{path} ({left} bytes)" in sentence(error)


@pytest.mark.parametrize("content", [b"no safetensors file", b"\x00" * 1000, b"{}"])
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "sampler"
    path.write_bytes(content)
    with pytest.raises(InputError, match="was not written by hvrt_diffuser") as error:
        load_sampler(path)
    assert str(path) in sentence(error)


def test_a_safetensors_file_of_others_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "sampler"
    path.write_bytes(safetensors.torch.save({"latents": torch.zeros(3, 2)}))
    with pytest.raises(InputError, match="was not written by hvrt_diffuser") as error:
        load_sampler(path)
    assert str(path) in sentence(error)


def test_a_file_of_another_kind_is_refused(sampler: LatentSampler, tmp_path: Path) -> None:
    path = tmp_path / "sampler"
    sampler.save(path)
    tensors, header = read_tensors(path, "latent sampler")
    write_tensors(path, tensors, header | {"kind": "autoencoder"})
    with pytest.raises(InputError, match="'autoencoder' where 'latent sampler'") as error:
        load_sampler(path)
    assert str(path) in sentence(error)


@pytest.mark.parametrize("form", [None, "another form", ["smoothed bootstrap"]])
def test_a_file_of_another_version_is_refused(
    sampler: LatentSampler, tmp_path: Path, form: Any
) -> None:
    path = tmp_path / "sampler"
    sampler.save(path)
    tensors, header = read_tensors(path, "latent sampler")
    del header["form"]
    write_tensors(path, tensors, header if form is None else header | {"form": form})
    with pytest.raises(InputError, match="of this version") as error:
        load_sampler(path)
    assert str(path) in sentence(error)


def test_a_file_that_lacks_a_table_or_an_entry_is_refused(
    sampler: LatentSampler, tmp_path: Path
) -> None:
    path = tmp_path / "sampler"
    sampler.save(path)
    tensors, header = read_tensors(path, "latent sampler")
    incomplete: list[tuple[str, dict[str, Tensor], dict[str, Any]]] = [
        *((k, {n: t for n, t in tensors.items() if n != k}, header) for k in tensors),
        *(
            (k, tensors, {n: v for n, v in header.items() if n != k})
            for k in set(header) - {"kind", "notice"}
        ),
    ]
    for missing, kept, said in incomplete:
        write_tensors(path, kept, said)
        with pytest.raises(InputError, match="of this version") as error:
            load_sampler(path)
        assert str(path) in sentence(error)
        assert missing.rsplit(".", 1)[-1] in sentence(error)


@every_fit
def test_the_file_says_whether_it_contains_training_latents(
    rows: tuple[Tensor, Tensor], fitted: dict[str, LatentSampler], name: str, tmp_path: Path
) -> None:
    fitted[name].save(tmp_path / "sampler")
    with safetensors.safe_open(tmp_path / "sampler", framework="pt") as file:
        (header,) = (json.loads(value) for value in file.metadata().values())
        held = [file.get_tensor(key) for key in file.keys()]  # noqa: SIM118
    a_row_each = any(len(tensor) == len(rows[0]) for tensor in held if tensor.ndim == 2)
    if a_row_each or "augmented" in name:
        assert "latents of the training images" in header["notice"]
    else:
        assert "notice" not in header


@every_fit
def test_the_origin_names_the_sampler_its_options_and_the_seed(
    fitted: dict[str, LatentSampler], name: str
) -> None:
    estimator, origin = SAMPLERS.find(FITS[name].name), fitted[name].origin
    assert origin["sampler"] == estimator.name == FITS[name].name
    assert origin["seed"] == 0
    again = {option: origin[option] for option in estimator.model_fields}
    assert SAMPLERS.make(FITS[name].name, again).origin(0).items() <= origin.items()


CHANGED: dict[str, dict[str, Any]] = {
    "hvrt": {"noise_scale": 0.3, "strategy": "multivariate_kde"},
    "univariate_kde_copula": {"noise_scale": 0.3, "strategy": "multivariate_kde"},
    "smoothed_bootstrap": {"noise_scale": 0.3, "preserve_variance": True},
    "latent_flow": {"strength": 0.4, "solver_steps": 2},
    "flow_map": {"strength": 0.4},
    "matched_flow_map": {"strength": 0.4},
}


@every_fit
def test_an_adapted_sampler_is_one_that_was_fitted_so(
    rows: tuple[Tensor, Tensor], fitted: dict[str, LatentSampler], name: str
) -> None:
    case, changes = FITS[name], CHANGED.get(name, {})
    other = Case(case.name, {**case.options, **changes}, case.copies)
    extra = case.extra(rows[0]) if case.copies else {}
    adapted = other.estimator().adapt(fitted[name], *rows, **extra)
    expected = other(*rows, seed=0) if changes else fitted[name]
    draws = [each.sample(100, generator=source()) for each in (adapted, expected)]
    assert same(*draws)
    assert adapted.origin == expected.origin


# ---- what cannot be drawn


@pytest.mark.parametrize(
    ("n", "labels", "found"),
    [
        (0, None, "n is 0, expected 1 to 100000000"),
        (-3, None, "n is -3, expected 1"),
        (0, [], "n is 0, expected 1 to 100000000"),
        (2**62, None, "n is 4611686018427387904, expected 1"),
        (3.0, None, "n is 3.0, expected a whole number"),
        (True, None, "n is True, expected a whole number"),
        ("3", None, "n is '3', expected a whole number"),
        (3, [0, 1], r"\(2,\) labels were given for 3 draws"),
        (1, [0, 1], r"\(2,\) labels were given for 1 draws"),
        (2, [[0], [1]], r"\(2, 1\) labels were given"),
        (3, [0, 1, 4], "class 4 was asked for, expected one of 0 to 3"),
        (2, [-1, 0], "class -1 was asked for"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    sampler: LatentSampler, n: Any, labels: list[int] | None, found: str
) -> None:
    given = None if labels is None else torch.tensor(labels, dtype=torch.long)
    with pytest.raises(InputError, match=found) as error:
        sampler.sample(n, given, generator=source())
    sentence(error)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.uint8])
def test_labels_of_another_type_are_not_drawn(sampler: LatentSampler, dtype: torch.dtype) -> None:
    with pytest.raises(InputError, match="int64") as error:
        sampler.sample(2, torch.tensor([0, 1], dtype=dtype), generator=source())
    sentence(error)


# ---- what cannot be fitted

Change = Callable[[Tensor], Tensor]


def put(value: float) -> Change:
    def change(tensor: Tensor) -> Tensor:
        changed = tensor.clone()
        changed[17, 3] = value
        return changed

    return change


def as_it_is(tensor: Tensor) -> Tensor:
    return tensor


UNFIT: dict[str, tuple[Change, Change, str]] = {
    "nan": (put(float("nan")), as_it_is, "1 of 600 latents hold NaN .* in row 17"),
    "infinite": (put(float("inf")), as_it_is, "NaN or infinite values .* in row 17"),
    "minus infinite": (put(-float("inf")), as_it_is, "NaN or infinite values"),
    "integers": (lambda z: z.long(), as_it_is, "latents of type torch.int64"),
    "half precision": (lambda z: z.half(), as_it_is, "latents of type torch.float16"),
    "no latents": (lambda z: z[:0], lambda y: y[:0], r"latents of shape \(0, 8\)"),
    "no dimensions": (lambda z: z[:, :0], as_it_is, r"latents of shape \(600, 0\)"),
    "one latent without its row": (lambda z: z[0], lambda y: y[:8], r"latents of shape \(8,\)"),
    "images": (lambda z: z.view(-1, 2, 4), as_it_is, r"latents of shape \(600, 2, 4\)"),
    "a label too few": (as_it_is, lambda y: y[:-1], r"labels of shape \(599,\)"),
    "one label": (as_it_is, lambda y: y[:1], r"labels of shape \(1,\)"),
    "labels in a column": (as_it_is, lambda y: y[:, None], r"labels of shape \(600, 1\)"),
    "float labels": (as_it_is, lambda y: y.float(), "labels of type torch.float32"),
    "short labels": (as_it_is, lambda y: y.int(), "labels of type torch.int32"),
    "a gap in the labels": (as_it_is, lambda y: y + (y > 1), r"\[0, 1, 3, 4\].* renumber"),
    "no class 0": (as_it_is, lambda y: y + 1, r"\[1, 2, 3, 4\].* renumber"),
    "a negative label": (as_it_is, lambda y: y - 1, r"\[-1, 0, 1, 2\].* renumber"),
}


@every_fit
@pytest.mark.parametrize("case", UNFIT)
def test_what_cannot_be_fitted_is_refused(
    rows: tuple[Tensor, Tensor], name: str, case: str
) -> None:
    spoil_latents, spoil_labels, found = UNFIT[case]
    with pytest.raises(InputError, match=found) as error:
        FITS[name](spoil_latents(rows[0]), spoil_labels(rows[1]))
    sentence(error)


@every_fit_of_hvrt
@pytest.mark.parametrize("labelled", [False, True])
def test_a_class_of_one_latent_is_refused(
    rows: tuple[Tensor, Tensor], name: str, labelled: bool
) -> None:
    """Even where a leaf might hold one."""
    latents = rows[0][:10] if labelled else rows[0][:1]
    labels = torch.tensor([0] * 9 + [1]) if labelled else None
    alone = 1 if labelled else 0
    with pytest.raises(InputError, match=f"class {alone} has 1 latents, expected at least 2") as e:
        HVRT[name](latents, labels, least=1)
    sentence(e)


@every_fit_of_hvrt
def test_a_class_smaller_than_a_leaf_is_one_leaf(rows: tuple[Tensor, Tensor], name: str) -> None:
    labels = torch.tensor([0] * 20 + [1] * 2)
    sampler = HVRT[name](rows[0][:22], labels, least=5)
    latents, found = sampler.sample(50, torch.ones(50, dtype=torch.long), generator=source(0))
    assert (found == 1).all()
    assert torch.isfinite(latents).all()
    own = rows[0][20:22]
    spread = (own[0] - own[1]).abs().max()
    assert ((latents - own.mean(0)).abs() <= 5 * spread).all(), "not of the two latents"


# ---- what looks as if it could not be fitted, and can


@every_fit
@pytest.mark.parametrize("n", [2, 6])
def test_fewer_latents_than_dimensions_are_enough(
    rows: tuple[Tensor, Tensor], name: str, n: int
) -> None:
    sampler = FITS[name](rows[0][:n], None, least=2)
    for labels in (None, torch.zeros(500, dtype=torch.long)):
        latents, _ = sampler.sample(500, labels, generator=source())
        assert torch.isfinite(latents).all()
        assert len(latents.unique(dim=0)) == 500


@every_fit
def test_one_dimension_is_enough(rows: tuple[Tensor, Tensor], name: str) -> None:
    sampler = FITS[name](rows[0][:, :1].contiguous(), rows[1])
    latents, _ = sampler.sample(500, asked(500), generator=source())
    assert latents.shape == (500, 1)
    assert torch.isfinite(latents).all()


@pytest.mark.parametrize("name", [name for name in FITS if name != "standard_normal"])
@pytest.mark.parametrize("shape", ["constant dimension", "duplicates", "all alike", "far out"])
def test_latents_without_spread_give_draws_beside_them(
    rows: tuple[Tensor, Tensor], name: str, shape: str
) -> None:
    if name not in LOCAL and shape == "duplicates":
        pytest.skip("a network trained for a moment, or two Gaussians, do not meet 20 points")
    latents = {
        "constant dimension": rows[0].index_fill(1, torch.tensor([3]), 2.5),
        "duplicates": rows[0][:20].repeat(30, 1),
        "all alike": rows[0][:1].repeat(600, 1),
        "far out": rows[0][:1].repeat(600, 1) + 1000,
    }[shape]
    sampler = FITS[name](latents, rows[1] if shape == "constant dimension" else None)
    checked = slice(3, 4) if shape == "constant dimension" else slice(None)
    for labels in (None, torch.zeros(1000, dtype=torch.long)):
        draws, _ = sampler.sample(1000, labels, generator=source())
        assert torch.isfinite(draws).all()
        away = (draws[:, None, checked] - latents[:, checked].unique(dim=0)).abs().amax(2)
        # A posterior has the deviation of 0.1 it was given; a kernel, a hundredth of the set's.
        limit = 0.6 if name == "posterior" else 0.1 * max(1.0, float(latents.std(0).max()))
        assert away.amin(1).max() < limit


# ---- the example of docs/extend.md


def test_the_example_draws_images(
    autoencoder: Autoencoder, rows: tuple[Tensor, Tensor], fitted: dict[str, LatentSampler]
) -> None:
    images = HVRTDiffuser(autoencoder, fitted[OWN]).generate(40, seed=0)
    assert images.shape == (40, 1, 28, 28)
    narrow = SAMPLERS.make(OWN, {"width": 0.1}).fit(*rows)
    drawn, _ = narrow.sample(500, torch.zeros(500, dtype=torch.long), generator=source())
    assert (drawn.std(0) < 0.2 * rows[0][rows[1] == 0].std(0)).all()


def test_a_file_does_not_decide_which_module_is_imported(
    fitted: dict[str, LatentSampler], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted[OWN].save(tmp_path / "sampler")
    draws = fitted[OWN].sample(9, generator=source())
    monkeypatch.delitem(FORMS, fitted[OWN].form)
    monkeypatch.delitem(sys.modules, "my_samplers")
    (tmp_path / "my_samplers.py").write_text(EXAMPLE)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=f"class {OWN}, expected one whose module is imported"):
        load_sampler(tmp_path / "sampler")
    assert "my_samplers" not in sys.modules
    SAMPLERS.find(OWN)
    assert same(load_sampler(tmp_path / "sampler").sample(9, generator=source()), draws)
