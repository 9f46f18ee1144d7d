"""All parameters of a run: checked together before anything happens, completed, and looked up."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any

import torch
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError

from hvrt_diffuser import diffuser  # noqa: F401  # registers every sampler and whole model
from hvrt_diffuser.autoencoders import TrainingOptions
from hvrt_diffuser.common.bounds import Seed
from hvrt_diffuser.common.devices import DeviceName, resolve_device
from hvrt_diffuser.common.engine import EngineOptions
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.names import folder_name, unknown_parameter
from hvrt_diffuser.common.options import Options, first_error, name_of, reason_of, shown
from hvrt_diffuser.common.registry import SAMPLERS
from hvrt_diffuser.pipelines.ae_training.parameters import AETrainingOptions, BaselineOptions
from hvrt_diffuser.pipelines.data_ingest.parameters import DatasetOptions
from hvrt_diffuser.pipelines.evaluation.parameters import EvaluationOptions
from hvrt_diffuser.pipelines.experiments.parameters import ExperimentOptions, LikelihoodOptions
from hvrt_diffuser.pipelines.export.parameters import ExportOptions
from hvrt_diffuser.pipelines.generation.parameters import GenerationOptions
from hvrt_diffuser.pipelines.latent_encoding.parameters import LatentEncodingOptions
from hvrt_diffuser.pipelines.tstr.parameters import TSTROptions
from hvrt_diffuser.pipelines.utility.parameters import BalanceOptions, ShotsBlock

__all__ = [
    "Parameters",
    "check_devices",
    "check_parameters",
    "check_read",
    "complete",
    "leaves",
    "reads",
    "uses_gpu",
]


def _text(run_name: Any) -> Any:
    """YAML reads a name of digits as a number, and its digits are the name."""
    if type(run_name) is int:
        return str(run_name)
    if not isinstance(run_name, str):
        raise ValueError("expected a text, and YAML reads none in it: put a letter in front")
    return run_name


class Parameters(Options):
    """Everything that a configuration or ``--params`` may set."""

    run_name: Annotated[str, BeforeValidator(_text), AfterValidator(folder_name)] = Field(
        description="the folder of the run's files; by --params, else from globals.yml",
    )
    seed: Seed = Field(0, description="of everything random")
    device: DeviceName = Field(
        "auto",
        description="of every block that names no other: auto (cuda, else cpu), cpu, cuda, cuda:N, "
        "mps",
    )
    engine: EngineOptions = EngineOptions()
    dataset: DatasetOptions = DatasetOptions()
    ae_training: AETrainingOptions = AETrainingOptions()
    standard_vae: BaselineOptions = BaselineOptions(beta=1.0)
    low_beta_vae: BaselineOptions = BaselineOptions(beta=0.05)
    latent_encoding: LatentEncodingOptions = LatentEncodingOptions()
    samplers: dict[str, dict[str, Any]] = Field(
        default_factory=dict, description="options by the name of the sampler or whole model"
    )
    generation: GenerationOptions = GenerationOptions()
    evaluation: EvaluationOptions = EvaluationOptions()
    tstr: TSTROptions = TSTROptions()
    export: ExportOptions = ExportOptions()
    balance: BalanceOptions = BalanceOptions()
    shots: ShotsBlock = ShotsBlock()
    sampler_frontier: ExperimentOptions = ExperimentOptions()
    benchmark: ExperimentOptions = ExperimentOptions()
    variants: ExperimentOptions = ExperimentOptions()
    phase1: ExperimentOptions = ExperimentOptions()
    phase2: ExperimentOptions = ExperimentOptions()
    phase3: ExperimentOptions = ExperimentOptions()
    hpo: ExperimentOptions = ExperimentOptions()
    optimise: ExperimentOptions = ExperimentOptions()
    dvp_vae: LikelihoodOptions = LikelihoodOptions()


RENAMED = {"hvrt_fitting": "samplers.hvrt", "flow": "samplers.flow_map"}
# Blocks that nodes take, put together from what users set; {sampler} is the chosen one.
SAMPLER = ("generation.sampler", "samplers.{sampler}")
DERIVED: dict[str, tuple[str, ...]] = {
    "sampler": SAMPLER,
    "evaluate": ("evaluation", "generation.class_id", "standard_vae.beta", "seed"),
    "tstr_task": (
        *SAMPLER,
        "tstr",
        "ae_training",
        "latent_encoding.augmentation",
        "low_beta_vae.beta",
        "seed",
    ),
    "balance_task": (
        *SAMPLER,
        "balance",
        "ae_training",
        "latent_encoding.augmentation",
        "tstr.augment",
        "tstr.classifier",
        "seed",
    ),
    "shots_task": (
        "samplers",
        "shots",
        "ae_training",
        "latent_encoding.augmentation",
        "tstr.augment",
        "tstr.classifier",
        "seed",
    ),
    "base": ("ae_training", "samplers", "tstr.classifier", "latent_encoding.augmentation", "seed"),
}
ALWAYS_READ = ("run_name", "seed", "device", "engine")


def check_parameters(raw: Mapping[str, Any]) -> Parameters:
    """Validate the parameters of a run.

    Raises:
        InputError: one is unknown, missing or out of range; names the first such one.
    """
    try:
        parameters = Parameters.model_validate(raw)
    except ValidationError as error:
        first = first_error(error)
        where = name_of(first["loc"])
        if first["type"] == "extra_forbidden":
            raise InputError(_unknown(first["loc"], raw)) from error
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, InputError) and where in Parameters.model_fields:
            raise cause from error  # of a whole block, and it says which option
        found = "missing" if first["type"] == "missing" else shown(first["input"])
        raise InputError(
            f"the parameter {where} is {found}: {reason_of(first)}; "
            "correct it in conf/ or in --params"
        ) from error
    chosen = (parameters.generation.sampler, *parameters.shots.samplers)
    estimators = {
        name: SAMPLERS.make(name, parameters.samplers.get(name), f"samplers.{name}")
        for name in dict.fromkeys((*chosen, *parameters.samplers))
    }
    _check_augmentation(parameters, estimators[parameters.generation.sampler])
    return parameters


def _unknown(place: tuple[int | str, ...], raw: Mapping[str, Any]) -> str:
    where = ".".join(map(str, place))
    first = str(place[0])
    if first in RENAMED:
        given = next(iter(leaves(raw[first])), ("", None))[0]
        return (
            f"the parameter {first}{given and '.'}{given} is unknown: it is now "
            f"{RENAMED[first]}{given and '.'}{given}"
        )
    model: Any = Parameters
    for part in place[:-1]:
        model = model.model_fields[part].annotation
    return unknown_parameter(where, model.model_fields)


def _check_augmentation(parameters: Parameters, estimator: Any) -> None:
    copies = parameters.latent_encoding.augmentation.copies
    if copies and ("augmented" not in estimator.uses or estimator.strength == 1):
        raise InputError(
            f"latent_encoding.augmentation.copies is {copies}, expected 0 unless a flow starts "
            "from augmented images: set generation.sampler to flow_map and "
            "samplers.flow_map.strength below 1"
        )


def complete(parameters: Parameters) -> dict[str, Any]:
    """The parameters as nodes take them: every default, the device of each block, derived blocks.

    Returns:
        Plain values, nested by block.
    """
    name = parameters.generation.sampler
    found = parameters.model_dump(mode="json")
    for block in found.values():
        if isinstance(block, dict) and block.get("device", "") is None:
            block["device"] = parameters.device
    own = SAMPLERS.make(name, parameters.samplers.get(name), f"samplers.{name}")
    found["samplers"][name] = own.model_dump(mode="json")
    sampler = {"name": name, "options": found["samplers"][name], "device": parameters.device}
    encoding, tstr = found["latent_encoding"], found["tstr"]
    chosen = parameters.ae_training.chosen
    convolutional = chosen if isinstance(chosen, TrainingOptions) else TrainingOptions()
    trained = {
        "ae_training": found["ae_training"],
        "augmentation": encoding["augmentation"],
        "augment": tstr["augment"],
        "classifier": tstr["classifier"],
        "seed": parameters.seed,
    }
    return found | {
        "sampler": sampler,
        "evaluate": {
            **found["evaluation"],
            "class_id": parameters.generation.class_id,
            "vae": parameters.standard_vae.name,
            "seed": parameters.seed,
        },
        "tstr_task": {
            **tstr,
            "sampler": sampler,
            "ae_training": found["ae_training"],
            "augmentation": encoding["augmentation"],
            "vae": parameters.low_beta_vae.name,
            "seed": parameters.seed,
        },
        "balance_task": {**found["balance"], **trained, "sampler": sampler},
        "shots_task": {**found["shots"], **trained, "options": found["samplers"]},
        "base": {
            "ae_training": convolutional.model_dump(mode="json"),
            "samplers": found["samplers"],
            "classifier": tstr["classifier"],
            "augmentation": encoding["augmentation"],
            "seed": parameters.seed,
            "device": parameters.device,
        },
    }


def leaves(block: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Values by their full names; lists are values."""
    if not isinstance(block, Mapping):
        yield above, block
        return
    for name, value in block.items():
        yield from leaves(value, f"{above}.{name}" if above else str(name))


def reads(inputs: Iterable[str], sampler: str) -> list[str]:
    """What users can set that nodes with these inputs read, blocks or single parameters.

    Args:
        inputs: of nodes or of a pipeline.
        sampler: the chosen one.
    """
    found: dict[str, None] = {}
    for name in inputs:
        if name == "raw_images":
            found["dataset"] = None
        if name.startswith("params:"):
            own = name.removeprefix("params:")
            found |= dict.fromkeys(
                path.format(sampler=sampler) for path in DERIVED.get(own, (own,))
            )
    return list(found)


def look_up(parameters: Mapping[str, Any], paths: Iterable[str]) -> dict[str, Any]:
    """The single parameters at or below some paths, by their full names, as JSON."""
    found: dict[str, Any] = {}
    for path in paths:
        value: Any = parameters
        for part in path.split(".", 2 if path.startswith("samplers.") else -1):
            value = value.get(part, {}) if isinstance(value, Mapping) else {}
        found |= dict(leaves(value, path))
    kept: dict[str, Any] = json.loads(json.dumps(found))
    return kept


def check_read(
    given: Mapping[str, Any],
    inputs: Sequence[str],
    made_by: Iterable[str],
    pipelines: Mapping[str, Any],
    sampler: str,
) -> None:
    """Refuse parameters of the command line that no node of the run reads.

    Args:
        given: what the command line set, nested.
        inputs: of the pipeline that runs.
        made_by: parameters that the inputs on disk were made with, which may be repeated.
        pipelines: all of them by name, to say which one reads it.
        sampler: the chosen one.

    Raises:
        InputError: there is one.
    """
    read = [*ALWAYS_READ, *reads(inputs, sampler), *made_by]
    for name, _ in leaves(given):
        if any(_overlap(name, path) for path in read):
            continue
        if name.startswith("samplers.") and not _overlap(name, f"samplers.{sampler}"):
            raise InputError(
                f"the parameter {name} was given, and nothing that this run does reads it, since "
                f"generation.sampler is {sampler}: choose that sampler by generation.sampler, or "
                "leave the parameter out"
            )
        readers = [
            pipeline
            for pipeline, nodes in pipelines.items()
            if pipeline != "__default__"
            and any(_overlap(name, path) for path in reads(nodes.inputs(), sampler))
        ]
        raise InputError(
            f"the parameter {name} was given, and no node of this run reads it, expected "
            f"parameters of what runs: leave it out, or run {' or '.join(readers)} as well"
        )


def _overlap(first: str, second: str) -> bool:
    """Whether one is the other, or a block that holds it."""
    return f"{first}.".startswith(f"{second}.") or f"{second}.".startswith(f"{first}.")


def check_devices(parameters: Parameters) -> None:
    """Raise InputError where a device that is asked for is not there."""
    _devices(parameters.model_dump())


def uses_gpu(parameters: Mapping[str, Any]) -> bool:
    """Whether a block of the completed parameters computes on CUDA."""
    return any(device.type == "cuda" for device in _devices(parameters))


def _devices(parameters: Mapping[str, Any]) -> list[torch.device]:
    blocks = (block for block in parameters.values() if isinstance(block, Mapping))
    names = {parameters["device"], *(block.get("device") for block in blocks)}
    return [resolve_device(name) for name in sorted(names - {None})]
