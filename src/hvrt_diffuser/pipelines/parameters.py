"""All parameters of a run, checked together before anything else happens."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import Field, ValidationError

from hvrt_diffuser.common.devices import DeviceName, resolve_device
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.pipelines.ae_training.parameters import AETrainingOptions, BaselineOptions
from hvrt_diffuser.pipelines.benchmark.parameters import BenchmarkOptions
from hvrt_diffuser.pipelines.data_ingest.parameters import DatasetOptions
from hvrt_diffuser.pipelines.evaluation.parameters import EvaluationOptions
from hvrt_diffuser.pipelines.export.parameters import ExportOptions
from hvrt_diffuser.pipelines.generation.parameters import GenerationOptions
from hvrt_diffuser.pipelines.hpo.parameters import Axes, HPOOptions
from hvrt_diffuser.pipelines.hvrt_fitting.parameters import FlowOptions, HVRTFittingOptions
from hvrt_diffuser.pipelines.latent_encoding.parameters import LatentEncodingOptions
from hvrt_diffuser.pipelines.optimise.parameters import OptimiseOptions
from hvrt_diffuser.pipelines.options import Options
from hvrt_diffuser.pipelines.phase1.parameters import PhaseOptions
from hvrt_diffuser.pipelines.phase3.parameters import WarmStartOptions
from hvrt_diffuser.pipelines.sampler_frontier.parameters import FrontierOptions
from hvrt_diffuser.pipelines.tstr.parameters import TSTROptions

__all__ = ["Parameters", "check_devices", "check_parameters"]


class Parameters(Options):
    """Everything that a configuration or ``--params`` may set."""

    run_name: str = Field(
        pattern=r"^[\w.-]+$",
        description="the folder of the run's files; by --params, else from globals.yml",
    )
    seed: int = Field(ge=0, description="of everything random")
    device: DeviceName = Field(description="of every pipeline that names no other")
    dataset: DatasetOptions
    ae_training: AETrainingOptions
    standard_vae: BaselineOptions
    low_beta_vae: BaselineOptions
    latent_encoding: LatentEncodingOptions
    hvrt_fitting: HVRTFittingOptions
    flow: FlowOptions
    generation: GenerationOptions
    evaluation: EvaluationOptions
    tstr: TSTROptions
    export: ExportOptions
    sampler_frontier: FrontierOptions
    benchmark: BenchmarkOptions
    hpo: HPOOptions
    optimise: OptimiseOptions
    phase1: PhaseOptions
    phase2: Axes
    phase3: WarmStartOptions


def check_parameters(raw: Mapping[str, Any]) -> Parameters:
    """Validate the parameters of a run.

    Raises:
        InputError: one is unknown, missing or out of range; names the first such one.
    """
    try:
        parameters = Parameters.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        if first["type"] == "extra_forbidden":
            known = _known_names(first["loc"][:-1])
            close = difflib.get_close_matches(str(first["loc"][-1]), known, 1)
            hint = f"did you mean {close[0]}?" if close else f"expected one of {', '.join(known)}"
            raise InputError(f"the parameter {where} is unknown: {hint}") from error
        found = "missing" if first["type"] == "missing" else repr(first["input"])
        raise InputError(
            f"the parameter {where} is {found}: {first['msg'][0].lower()}{first['msg'][1:]}; "
            "correct it in conf/ or in --params"
        ) from error
    _check_augmentation(parameters)
    return parameters


def _check_augmentation(parameters: Parameters) -> None:
    copies = parameters.latent_encoding.augmentation.copies
    starts_from_rows = parameters.generation.sampler != "hvrt" and parameters.flow.strength < 1
    if copies and not starts_from_rows:
        raise InputError(
            f"latent_encoding.augmentation.copies is {copies}, expected 0 unless a flow starts "
            "from augmented images: set generation.sampler to flow_map and flow.strength below 1"
        )


def _known_names(block: tuple[int | str, ...]) -> list[str]:
    """The names that a block of parameters may hold."""
    model: Any = Parameters
    for part in block:
        model = model.model_fields[part].annotation
    return sorted(model.model_fields)


def check_devices(parameters: Parameters) -> None:
    """Raise InputError where a device that is asked for is not there."""
    blocks = [getattr(parameters, name) for name in Parameters.model_fields]
    for name in {parameters.device, *(getattr(block, "device", None) for block in blocks)}:
        if name is not None:
            resolve_device(name)
