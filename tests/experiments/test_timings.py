"""The measurements: what they write, and what they say when there is nothing to measure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from torch import Tensor

from hvrt_diffuser.experiments.timings import one_pass, timing
from hvrt_diffuser.experiments.timings.timing import Entry, side_by_side, timed
from hvrt_diffuser.image_models import PixelDiffusionEstimator
from hvrt_diffuser.judge.bench import Bench
from hvrt_diffuser.samplers import HVRTEstimator


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hvrt_diffuser.experiments.timings", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_ratio_says_how_many_times_faster_ours_is(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    calls: list[str] = []

    def work(name: str, seconds: float) -> None:
        nonlocal now
        calls.append(name)
        now += seconds * ((len(calls) + 1) // 2)  # slower in each round

    monkeypatch.setattr(timing.time, "perf_counter", lambda: now)
    entry = side_by_side("x", lambda: work("a", 0.001), lambda: work("b", 0.05), rounds=3)
    assert calls == ["a", "b"] * 4  # one of each that does not count, and then in turn
    assert entry.ratio == pytest.approx(50)
    assert entry.ours == pytest.approx(3)
    assert entry.theirs == pytest.approx(150)
    assert entry.unit == "ms"


def test_a_timed_call_returns_what_it_made() -> None:
    seconds, result = timed(lambda: 42)
    assert result == 42
    assert seconds >= 0


def test_an_entry_without_a_rival_has_no_ratio() -> None:
    assert Entry("x", 1.0, None, "MB", None).ratio is None


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells its peak")
@pytest.mark.slow
def test_memory_of_a_million_draws_is_that_of_the_draws_and_little_more(
    latents: Tensor, tmp_path: Path
) -> None:
    """A million draws of 8 dimensions, their labels and their rows are 48 MB."""
    path = tmp_path / "sampler.safetensors"
    HVRTEstimator(min_samples_leaf=5).fit(latents).save(path)
    code = (
        "import sys; from hvrt_diffuser.experiments.timings.sampling import _measure;"
        f"sys.stdout.write(str(_measure('ours', 'epanechnikov', {str(path)!r})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=300, check=True
    )
    assert 40 < float(done.stdout) < 48 + 40


def test_a_run_that_is_missing_is_one_sentence(tmp_path: Path) -> None:
    done = run("--run-name", "nothing", "--data", str(tmp_path), "--output", str(tmp_path))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert done.stderr.startswith("Error: ")
    assert "nothing" in done.stderr
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.slow
def test_an_unknown_measurement_is_refused() -> None:
    done = run("--only", "taste")
    assert done.returncode == 2
    assert "taste" in done.stderr
    assert "decoding" in done.stderr


def test_times_of_one_pass_are_per_image_and_those_of_a_diffusion_of_all_steps(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("diffusers")
    small = PixelDiffusionEstimator(channels=(8, 8), training_steps=1, batch_size=16, steps=1)
    monkeypatch.setattr(one_pass, "ROUNDS", 2)
    monkeypatch.setattr(one_pass, "DDPM_STEPS", 4)
    monkeypatch.setattr(one_pass, "DIFFUSION", small)
    said: list[str] = []
    found = one_pass.one_pass(bench, said.append)
    assert found["ddpm_steps"] == 4
    assert found["ddpm_over_hvrt"] == found["ddpm"] / found["hvrt"]
    assert min(found["hvrt"], found["vae_reparameterisation"], found["hvrt_over_vae"]) > 0
    assert len(said) == 2
