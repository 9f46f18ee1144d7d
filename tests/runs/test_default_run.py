"""``kedro run`` makes everything at once, and each pipeline and node alone from what is on disk."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from kedro.config import OmegaConfigLoader

from hvrt_diffuser.settings import CONFIG_LOADER_ARGS

PIPELINES = [
    "data_ingest",
    "ae_training",
    "latent_encoding",
    "hvrt_fitting",
    "generation",
    "evaluation",
    "tstr",
    "report",
    "export",
]
QUICK = ("latent_encoding", "hvrt_fitting", "generation", "export")  # which take seconds
SWEEPS = ("strategy", "beta", "dimension", "ensemble", "tree")
EXPERIMENTS = {
    "sampler_frontier": {"sampler_frontier.json", "samplers_plot.png"},
    "benchmark": {"benchmark.json", "benchmark.parquet", "benchmark_plot.png"},
    "variants": {"variants.json", "variants_plot.png"},
    "phase1": {"phase1.json", "models_plot.png"},
    "phase2": {"phase2_ensemble.json", "phase2_ensemble.png"},
    "phase3": {"phase3.json", "generators_plot.png"},
    "optimise": {"optimise.json", "optimise_plot.png"},
    "hpo": {"hpo.json", *(f"hpo_{name}.{form}" for name in SWEEPS for form in ("json", "png"))},
}
UTILITY = ("balance", "shots", "dvp_vae")  # which have tests of their own
OF_EXPERIMENTS = {"experiments", "sampler_frontier", "benchmark", "benchmark_table"}
OF_EXPERIMENTS |= {"balance_generator", "balance_metrics", "shots_generators", "shots_metrics"}
OF_EXPERIMENTS |= {"tstr_generators"}

GPU_NODES = {
    "ae_training.train_autoencoder",
    "standard_vae.train_autoencoder",
    "low_beta_vae.train_autoencoder",
    "latent_encoding.encode_train",
    "latent_encoding.encode_test",
    "latent_encoding.encode_augmented",
    "hvrt_fitting.fit_sampler",
    "generation.generate_images",
    "generation.plot_grid",
    "evaluation.train_judge",
    "evaluation.evaluate",
    "tstr.train_synthetic_test_real",
}

PICTURES = ("real_grid", "reconstruction_grid", "synthetic_grid", "frontier_plot", "fd_plot")
PATTERN_FILES = {
    *(f"data/08_reporting/test/{name}.png" for name in (*PICTURES, "marginals_plot")),
    "data/07_model_output/test/dataset/README.md",
    "data/07_model_output/test/dataset/.hvrt_diffuser.json",
    "data/07_model_output/test/dataset/data/train-00000-of-00001.parquet",
}

TIMES = {
    "stages.json",
    "report.json",
    "report.html",
    "nodes.json",
}  # hold times, or hashes of these

BASELINE_FILES = {
    f"data/{layer}/test/{vae}{suffix}"
    for vae in ("standard_vae", "low_beta_vae")
    for layer, suffix in (
        ("06_models", ".safetensors"),
        ("08_reporting", "_training_history.parquet"),
        ("08_reporting", "_training_curves.png"),
    )
}


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for inner in value.values():
            yield from numbers(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from numbers(inner)
    elif isinstance(value, int | float):
        yield value


def refuse_constant(name: str) -> float:
    raise AssertionError(f"{name} is no JSON")


def catalog_files(project: Any) -> set[str]:
    """The files that the catalog names, but for checkpoints, which a finished training removes."""
    loader = OmegaConfigLoader(str(project.path / "conf"), env="test", **CONFIG_LOADER_ARGS)
    entries = {k: v for k, v in loader["catalog"].items() if not k.startswith("_")}
    files = {
        entry["filepath"]
        for name, entry in entries.items()
        if "filepath" in entry
        and "{" not in name
        and "checkpoint" not in name
        and name not in {"exported_dataset", "added_images", *OF_EXPERIMENTS}
    }
    return files | BASELINE_FILES | PATTERN_FILES


class TestRegistry:
    def test_lists_every_pipeline_and_the_default(self, project: Any, kedro: Any) -> None:
        listed = kedro(project, "registry", "list").stdout
        names = [line[2:] for line in listed.splitlines() if line.startswith("- ")]
        assert sorted(names) == sorted(["__default__", *PIPELINES, *EXPERIMENTS, *UTILITY])


class TestFinishedRun:
    def test_runs_the_package_of_the_project(self, finished: Any, package_of: Any) -> None:
        assert Path(package_of(finished)).is_relative_to(finished.path)

    def test_writes_every_file_of_the_catalog_and_no_other(self, finished: Any) -> None:
        assert set(finished.hashes()) == catalog_files(finished)

    def test_no_file_is_empty(self, finished: Any) -> None:
        for name in finished.hashes():
            assert (finished.path / name).stat().st_size > 0, name

    @pytest.mark.parametrize("name", ["evaluation.json", "tstr.json", "report.json"])
    def test_numbers_are_finite_json(self, finished: Any, name: str) -> None:
        text = finished.file("08_reporting", name).read_text()
        found = list(numbers(json.loads(text, parse_constant=refuse_constant)))
        assert found
        assert all(math.isfinite(number) for number in found)

    def test_synthetic_images_are_as_many_as_asked_for(self, finished: Any) -> None:
        table = pq.read_table(finished.file("07_model_output", "synthetic_images.parquet"))
        assert len(table) == 500
        assert set(table.column("label").to_pylist()) == set(range(10))

    def test_report_says_what_ran_how_long_and_with_how_much_memory(self, finished: Any) -> None:
        report = json.loads(finished.file("08_reporting", "report.json").read_text())
        assert {
            "generation.generate_images",
            "ae_training.train_autoencoder",
            "evaluation.evaluate",
        } <= set(report["stages"])
        for name, stage in report["stages"].items():
            assert stage["command"].endswith("kedro run --env test"), name
            assert 0 <= stage["seconds"] < 300, name
            assert stage["peak_mb"] is None or 100 < stage["peak_mb"] < 8000, name
        assert {"python", "torch", "processor"} <= set(report["machine"])
        assert report["parameters"]["ae_training.latent_dim"] == 8
        assert report["run_name"] == "test"
        assert report["seed"] == 0

    def test_report_answers_four_questions(self, finished: Any) -> None:
        report = json.loads(finished.file("08_reporting", "report.json").read_text())
        page = finished.file("08_reporting", "report.html").read_text()
        assert set(report["verdict"]) == {"likeness", "utility", "novelty", "membership"}
        for answer in report["verdict"].values():
            assert html.escape(answer["sentence"]) in page

    def test_card_says_the_same_as_the_report(self, finished: Any) -> None:
        report = json.loads(finished.file("08_reporting", "report.json").read_text())
        card = finished.file("07_model_output", "dataset/README.md").read_text()
        for answer in report["verdict"].values():
            assert answer["sentence"].split(":")[0] in card

    def test_prints_a_verdict(self, finished_run: tuple[Any, Any]) -> None:
        project, done = finished_run
        evaluation = json.loads(project.file("08_reporting", "evaluation.json").read_text())
        tstr = json.loads(project.file("08_reporting", "tstr.json").read_text())
        verdict = done.stdout[done.stdout.index("Synthetic images  ") :]
        assert "data/07_model_output/test/synthetic_images.parquet" in verdict
        for name in (
            "synthetic",
            "real_floor",
            "reconstruction_floor",
            "copy_floor",
            "vae_beta_1",
        ):
            assert f"{evaluation['fd_classifier'][name]:.2f} " in verdict, name
        for row in tstr["rows"]:
            if row["row"] in ("real_equal_n", "real_all", "synthetic"):
                assert f"{row['mean']:.2f}% [{row['low']:.2f}, " in verdict, row["row"]
        assert "500 real training images" in verdict
        assert "kedro viz" in verdict

    def test_log_has_no_warning_and_no_traceback(self, finished_run: tuple[Any, Any]) -> None:
        printed = finished_run[1].stdout + finished_run[1].stderr
        assert "WARNING" not in printed
        assert "Warning" not in printed
        assert "Traceback" not in printed


@pytest.mark.slow
def test_the_same_command_twice_gives_the_same_bytes(
    finished: Any, project: Any, kedro: Any
) -> None:
    kedro(project, "run", "--env", "test")
    varying = {f"data/08_reporting/test/{name}" for name in TIMES}
    first = {k: v for k, v in finished.hashes().items() if k not in varying}
    second = {k: v for k, v in project.hashes().items() if k not in varying}
    assert second == first


class TestAlone:
    """From what an earlier run left on disk."""

    @pytest.mark.parametrize(
        "name",
        [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in PIPELINES],
    )
    def test_each_pipeline(self, finished_copy: Any, kedro_here: Any, name: str) -> None:
        before = finished_copy.hashes()
        done = kedro_here(finished_copy, "run", "--env", "test", "--pipelines", name)
        assert set(finished_copy.hashes()) == set(before)
        reports = name in ("generation", "evaluation", "tstr")
        assert ("Synthetic images  " in done.stdout) == reports

    @pytest.mark.slow
    @pytest.mark.parametrize("name", EXPERIMENTS)
    def test_each_experiment(self, finished_copy: Any, kedro_here: Any, name: str) -> None:
        before = finished_copy.hashes()
        kedro_here(finished_copy, "run", "--env", "test", "--pipelines", name)
        added = {Path(file) for file in set(finished_copy.hashes()) - set(before)}
        of_all = {path for path in added if "experiments" in path.parts}
        assert {path.name for path in added - of_all} == EXPERIMENTS[name]
        assert {path.suffix for path in of_all} <= {".json", ".parquet", ".safetensors", ".lock"}
        assert any(path.suffix == ".json" for path in of_all)

    @pytest.mark.slow
    def test_with_another_sampler(self, finished_copy: Any, kedro_here: Any) -> None:
        finished_copy.file("08_reporting", "tstr.json").unlink()  # it is of the sampler before
        stages = "hvrt_fitting,generation,evaluation,report,export"
        choice = "generation.sampler=flow_map"
        kedro_here(finished_copy, "run", "--env", "test", "--pipelines", stages, "--params", choice)
        report = json.loads(finished_copy.file("08_reporting", "report.json").read_text())
        assert report["evaluation"]["origin"]["sampler"] == "flow_map"
        assert report["evaluation"]["attribution"]["synthetic"] is None
        assert "flow_map" in finished_copy.file("07_model_output", "dataset/README.md").read_text()

    def test_the_older_spelling(self, finished_copy: Any, kedro_here: Any) -> None:
        finished_copy.file("08_reporting", "tstr.json").unlink()
        done = kedro_here(finished_copy, "run", "--env", "test", "--pipeline=tstr")
        assert finished_copy.file("08_reporting", "tstr.json").exists()
        assert "Utility" in done.stdout

    @pytest.mark.slow
    def test_tags_name_the_nodes_for_a_gpu(self, finished_copy: Any, kedro_here: Any) -> None:
        kedro_here(finished_copy, "run", "--env", "test", "--tags", "gpu")
        stages = json.loads(finished_copy.file("08_reporting", "stages.json").read_text())
        ran = {name for name, stage in stages.items() if stage["command"].endswith("--tags gpu")}
        assert ran == GPU_NODES

    @pytest.mark.slow
    def test_from_a_node_on(self, finished_copy: Any, kedro_here: Any) -> None:
        kept = [
            finished_copy.file("06_models", "autoencoder.safetensors"),
            finished_copy.file("04_feature", "latents_train.parquet"),
        ]
        made = [
            finished_copy.file("06_models", "latent_sampler.safetensors"),
            finished_copy.file("08_reporting", "tstr.json"),
        ]
        before = [path.stat().st_mtime_ns for path in kept]
        for path in made:
            path.unlink()
        kedro_here(
            finished_copy, "run", "--env", "test", "--from-nodes", "hvrt_fitting.fit_sampler"
        )
        assert [path.stat().st_mtime_ns for path in kept] == before
        assert all(path.exists() for path in made)

    @pytest.mark.slow
    def test_from_a_folder_within_the_project(self, finished_copy: Any, kedro: Any) -> None:
        """A checkpoint that the training no longer needs is removed all the same."""
        notebooks = finished_copy.path / "notebooks"
        notebooks.mkdir()
        before = set(finished_copy.hashes())
        arguments = ("run", "--env", "test", "--nodes", "ae_training.train_autoencoder")
        kedro(finished_copy, *arguments, cwd=notebooks)
        assert set(finished_copy.hashes()) == before
        assert list(notebooks.iterdir()) == []
