"""All that stands in the way of a run is told at once, before anything is trained."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from typing import Any

import pytest
import torch

from hvrt_diffuser.command import make
from hvrt_diffuser.command.parser import Parser
from hvrt_diffuser.command.settings import settings
from hvrt_diffuser.data.images import LabelledImages
from hvrt_diffuser.data.splitting import hold_out
from hvrt_diffuser.pipelines.parameters import check_parameters
from hvrt_diffuser.pipelines.preflight import adapted, corrected, problems, refuse

EVERYTHING = {
    "autoencoder",
    "latent_sampler",
    "synthetic_images",
    "evaluation_metrics",
    "tstr_metrics",
}


def images(counts: dict[str, int], side: int = 16) -> LabelledImages:
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor([*counts.values()]))
    pixels = torch.zeros(len(labels), 1, side, side, dtype=torch.uint8)
    pixels[:, 0, 0, 0] = torch.arange(len(labels)) % 256  # no two are equal
    pixels[:, 0, 0, 1] = torch.arange(len(labels)) // 256
    return LabelledImages(pixels, labels, tuple(counts), "photos")


def found(counts: dict[str, int], side: int = 16, memory: float = 1e6, **more: Any) -> list[Any]:
    train, test = hold_out(images(counts, side), 0.2, seed=0)
    return problems(train, test, check_parameters({"run_name": "x", **more}), EVERYTHING, memory)


@pytest.mark.parametrize(
    ("counts", "side"),
    [
        ({"cat": 30, "dog": 30}, 16),
        ({"cat": 150, "dog": 120, "owl": 30}, 64),
        ({"common": 1000, "rare": 5}, 16),
        ({"faces": 200}, 8),
        ({"a": 3, "b": 4}, 4),
    ],
)
def test_what_can_be_run_is_run(counts: dict[str, int], side: int) -> None:
    assert not found(counts, side)


def test_several_problems_are_told_at_once_with_one_command() -> None:
    own = found(
        {"cat": 150, "dog": 150, "rare": 2}, side=3, ae_training={"batch_size": 512, "depth": 3}
    )
    assert len(own) == 3
    said = str(refuse(own, ["kedro", "run", "--env", "image_folder", "--params", "seed=3"]))
    assert "3 things stand in the way" in said
    assert "class rare has 1 latents" in said
    assert "cannot be halved 3 times" in said
    assert "batch_size = 512" in said
    command = said.partition("This command would do: ")[2]
    given = dict(part.split("=") for part in shlex.split(command)[-1].split(","))
    assert given == {
        "seed": "3",
        "dataset.min_class_size": "3",
        "ae_training.batch_size": "null",
        "ae_training.depth": "1",
    }


def test_the_command_does() -> None:
    """What it leaves out and sets leaves nothing in the way."""
    counts = {"cat": 150, "dog": 150, "rare": 2}
    [problem] = found(counts)
    least = problem.mend["dataset.min_class_size"]
    assert not found({name: n for name, n in counts.items() if n >= least})


def test_what_no_command_mends_promises_none() -> None:
    own = found({"cat": 30, "dog": 30}, generation={"class_id": "dag"})
    said = str(refuse(own, ["kedro", "run"]))
    assert "generation.class_id: there is no class dag" in said
    assert "did you mean dog" in said
    assert "command" not in said
    [problem] = found({"cat": 9, "dog": 9}, generation={"counts": {"owl": 5}})
    assert "no class owl" in problem.sentence


def test_memory_that_would_not_do_is_told_with_a_side_that_would() -> None:
    [problem] = found({"cat": 30, "dog": 30}, side=512, memory=1000.0)
    assert "GB of memory are free" in problem.sentence
    side = problem.mend["dataset.resize"]
    assert 8 <= side < 512
    assert side % 8 == 0
    assert not found({"cat": 30, "dog": 30}, side=side, memory=1000.0)


def test_whitened_patches_need_more_memory_than_strided_convolutions() -> None:
    def told(network: str) -> list[Any]:
        judge = {"network": network, "width": 256}
        return found({"cat": 30, "dog": 30}, 64, 600.0, evaluation={"judge": judge})

    assert not told("strided")
    [problem] = told("whitened")
    assert problem.sentence.startswith("evaluation of 60 images")


def test_a_mixture_says_how_many_latents_it_needs() -> None:
    [problem] = found({"cat": 30, "dog": 7}, generation={"sampler": "mixture_per_class"})
    assert "class dog has" in problem.sentence
    assert "10 components" in problem.sentence


def test_stages_that_do_not_run_need_nothing() -> None:
    train, test = hold_out(images({"cat": 150, "rare": 2}), 0.2, seed=0)
    parameters = check_parameters({"run_name": "x", "ae_training": {"batch_size": 512}})
    assert not problems(train, test, parameters, {"images_train"})


def test_what_is_adapted_is_said() -> None:
    train, test = hold_out(images({"cat": 150, "dog": 120, "owl": 30}), 0.2, seed=0)
    said = adapted(train, test, check_parameters({"run_name": "x"}), EVERYTHING)
    assert any("1,000 steps of 16 images" in sentence for sentence in said)
    assert any("60 test images" in sentence for sentence in said)
    assert any("at most 3 repetitions" in sentence for sentence in said)
    train, test = hold_out(images({"cat": 1500, "owl": 30}), 0.2, seed=0)
    said = adapted(train, test, check_parameters({"run_name": "x"}), EVERYTHING)
    assert any("Class owl has 24 training images" in sentence for sentence in said)
    one, other = hold_out(images({"faces": 200}), 0.2, seed=0)
    said = adapted(one, other, check_parameters({"run_name": "x"}), EVERYTHING)
    assert any("one class" in sentence for sentence in said)


@pytest.mark.parametrize(
    "typed",
    [
        ["kedro", "run", "--params", "dataset.root=my photos"],
        ["kedro", "run", "--params=dataset.root=my photos"],
    ],
)
def test_a_corrected_command_keeps_what_was_given(typed: list[str]) -> None:
    words = shlex.split(corrected(typed, {"dataset.resize": 64}))
    assert words == ["kedro", "run", "--params", "dataset.root=my photos,dataset.resize=64"]


def test_a_corrected_command_of_the_command_line_is_one_that_it_takes() -> None:
    typed = ["hvrt-diffuser", "make", "my photos", "--out", "made", "--set", "seed=3"]
    found = shlex.split(corrected(typed, {"dataset.resize": 64, "ae_training.batch_size": None}))
    assert found == [*typed, "--set", "dataset.resize=64", "--set", "ae_training.batch_size=null"]
    parser = Parser(prog="hvrt-diffuser")
    make.add_parser(parser.add_subparsers(dest="command"))
    taken = settings(parser.parse_args(found[1:]).settings)
    assert taken == {"seed": 3, "dataset.resize": 64, "ae_training.batch_size": None}


def test_test_images_without_a_class_do_not_stop_it() -> None:
    train, test = images({"cat": 40, "dog": 40}), images({"cat": 40, "dog": 0})
    test = replace(test, class_names=train.class_names)
    assert not problems(train, test, check_parameters({"run_name": "x"}), EVERYTHING, 1e6)


MORE = {
    "a shift of the judge": (
        {"evaluation": {"judge": {"shift": 16}}},
        r"evaluation\.judge\.shift is 16 and the images are 16 pixels",
    ),
    "a shift of TSTR": (
        {"tstr": {"until_validation": {"shift": 1000}}},
        r"tstr\.until_validation\.shift is 1000",
    ),
    "a shift of augmentation": (
        {"latent_encoding": {"augmentation": {"shift": 16.5}}},
        r"augmentation\.shift is 16.5",
    ),
    "a class beyond the classes": ({"generation": {"class_id": 2}}, "there is no class 2"),
    "a class of many digits": ({"generation": {"class_id": 2**62}}, "there is no class 461168"),
    "more latent dimensions than pixels": (
        {"ae_training": {"latent_dim": 300, "principal_path": True}},
        "latent_dim is 300, expected at most 256",
    ),
    "a whole model of other sizes": (
        {"generation": {"sampler": "dvp_vae"}},
        "the model dvp_vae: images of shape .* expected at least a batch",
    ),
    "a whole model of another setting": (
        {"generation": {"sampler": "dvp_vae"}, "samplers": {"dvp_vae": {"setting": "cifar10"}}},
        "the model dvp_vae: images of shape .* expected at least a batch",
    ),
    "classes of balance": ({"balance": {"counts": {"owl": 3}}}, "balance.counts names the class"),
    "more than a class has": (
        {"balance": {"counts": {"cat": 25}}},
        "balance.counts asks for 25 images of class cat, expected 1 to the 24",
    ),
    "shots beyond the images": (
        {"shots": {"shots": [25, 100]}},
        r"shots\.shots asks for 25 images .* class cat has 24",
    ),
}


def test_a_whole_model_of_more_components_than_images_is_told_how_many_do() -> None:
    train, test = hold_out(images({"cat": 60, "dog": 60}, side=16), 0.2, seed=0)
    given: dict[str, Any] = {"run_name": "x", "generation": {"sampler": "coarse_to_fine"}}
    [problem] = problems(train, test, check_parameters(given), {"latent_sampler"}, 1e6, 1e6)
    said = str(refuse([problem], ["kedro", "run"]))
    assert "96 training images have no 128 principal components" in said
    assert said.endswith("--params samplers.coarse_to_fine.latent_dim=48")
    given["samplers"] = {"coarse_to_fine": {"latent_dim": 48}}
    assert not problems(train, test, check_parameters(given), {"latent_sampler"}, 1e6, 1e6)


ASKS = {
    "generation.class_id": ({"class_id": "dog"}, "synthetic_images"),
    "generation.counts": ({"counts": 3}, "added_images"),
    "generation.balance": ({"balance": True}, "added_images"),
    "tstr": ({}, "tstr_metrics"),
    "balance": ({}, "balance_metrics"),
    "export": ({}, "exported_dataset"),
}


@pytest.mark.parametrize("name", ASKS)
def test_classes_are_not_asked_of_a_model_that_learns_none(name: str) -> None:
    asked, made = ASKS[name]
    train, test = hold_out(images({"cat": 200, "dog": 200}, side=28), 0.2, seed=0)

    def told(conditional: bool) -> list[str]:
        options = {"dvp_vae": {"conditional": conditional}}
        generation = {"sampler": "dvp_vae", **asked}
        given = {"run_name": "x", "generation": generation, "samplers": options}
        made_too = {"latent_sampler", made}
        found = problems(train, test, check_parameters(given), made_too, 1e6, 1e6)
        return [str(refuse([each], ["kedro", "run"])) for each in found]

    assert not told(True)
    [said] = told(False)
    assert f"(samplers.dvp_vae.conditional is false), and {name} asks for images of" in said
    assert said.endswith("--params samplers.dvp_vae.conditional=True")


@pytest.mark.parametrize("case", MORE)
def test_what_the_images_cannot_bear_is_told_before_anything_is_trained(case: str) -> None:
    given, said = MORE[case]
    train, test = hold_out(images({"cat": 30, "dog": 30}), 0.2, seed=0)
    made = {*EVERYTHING, "classifier", "balance_metrics", "shots_metrics"}
    parameters = check_parameters({"run_name": "x", "shots": {"shots": [10]}, **given})
    [problem] = problems(train, test, parameters, made, 1e6, 1e6)
    assert re.search(said, problem.sentence), problem.sentence
    assert not problems(train, test, parameters, {"images_train"}, 1e6, 1e6)


@pytest.mark.skipif(torch.cuda.is_available(), reason="the memory of the GPU counts")
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"ae_training": {"width": 4096, "depth": 4, "residual_blocks": 64}},
            "the autoencoder's weights with their optimiser would take",
        ),
        ({"generation": {"n": 10**8}}, "100,000,000 synthetic images .* would take 128 GB"),
    ],
)
def test_what_no_memory_of_the_machine_holds_is_refused(given: dict[str, Any], said: str) -> None:
    train, test = hold_out(images({"cat": 30, "dog": 30}), 0.2, seed=0)
    parameters = check_parameters({"run_name": "x", **given})
    found = problems(train, test, parameters, EVERYTHING, 1e9, 64_000.0)
    assert [re.search(said, problem.sentence) is not None for problem in found] == [True]
    assert "the machine has 64 GB" in found[0].sentence
    assert not problems(train, test, parameters, EVERYTHING, 1e9, 1e9)
