"""What the JSON files of a run hold, as far as something reads them back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, RootModel, ValidationError

from hvrt_diffuser.common.errors import InputError

__all__ = [
    "Content",
    "DataLook",
    "Evaluation",
    "NodeRecords",
    "Report",
    "ReportSummary",
    "Stages",
    "TSTRTable",
    "Table",
    "read_content",
]

Block = dict[str, Any]


class Content(BaseModel):
    """A JSON object with at least some entries; what else it has is nobody's business here."""

    model_config = ConfigDict(extra="allow", allow_inf_nan=False)


class Likeness(Content):
    """By one extractor."""

    e: float | None
    low: float | None
    high: float | None
    n: int


class Evaluation(Content):
    """``evaluation.json``."""

    origin: Block
    images: str
    n: dict[str, int]
    classes: list[str]
    missing_classes: list[str]
    label_agreement: Block | None
    likeness: dict[str, Likeness]
    copies: Block
    membership: Block
    per_class: dict[str, dict[str, Block]]
    fd_classifier: dict[str, float | None]


class TrainedRow(Content):
    """A row of ``tstr.json``."""

    row: str
    n: int
    mean: float
    per_class: dict[str, Block]


class Confusion(Content):
    """Of a row, the counts of real and predicted classes."""

    row: str
    n: int
    counts: list[list[int]]


class TSTRTable(Content):
    """``tstr.json``."""

    origin: Block
    n_test: int
    steps: int
    rows: list[TrainedRow]
    gain_over_augmentation: dict[str, Any] | None
    trts: list[Block]
    confusion: list[Confusion]


class Answer(Content):
    """To a question of the verdict."""

    question: str
    grade: str
    sentence: str


class SummaryRow(Content):
    """Of the table of TSTR, as lists of runs read it."""

    row: str
    mean: float


class ReportSummary(Content):
    """What lists of runs read of ``report.json``."""

    verdict: dict[str, Answer] = Field(min_length=1)
    dataset: Block
    parameters: Block
    evaluation: Block
    tstr: list[SummaryRow] | None


class Report(ReportSummary):
    """``report.json``."""

    run_name: str
    machine: Block
    stages: dict[str, Block]
    seed: int
    sets: list[str]
    measures: list[Block]


class Stage(Content):
    """What a node took."""

    seconds: float
    command: str


class Stages(RootModel[dict[str, Stage]]):
    """``stages.json``, by node."""

    root: dict[str, Stage] = Field(min_length=1)


class NodeRecord(Content):
    """Of what a node was made."""

    code: str
    parameters: Block
    inputs: dict[str, str | None]
    outputs: dict[str, str | None]


class NodeRecords(RootModel[dict[str, NodeRecord]]):
    """``nodes.json``, by node."""

    root: dict[str, NodeRecord] = Field(min_length=1)


class DataLook(Content):
    """``data_look.json``."""

    duplicates: dict[str, Block | None]
    leaks: Block | None


class Table(Content):
    """Of an experiment, of balance or of shots."""

    rows: list[Block]


Model = TypeVar("Model", bound=BaseModel)


def read_content(path: Path, model: type[Model]) -> Any:
    """JSON that holds what is expected of it.

    Raises:
        InputError: there is none, it is cut short, or holds something else.
    """
    if path.is_dir():
        raise InputError(
            f"{path} is a folder, expected a JSON file: move it away, and run the pipeline that "
            "writes it"
        )
    try:
        found = json.loads(path.read_bytes())
        model.model_validate(found)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        what = f"{place}: " if place else ""
        raise InputError(
            f"{path} holds something else than {_about(model)} ({what}{first['msg']}), which "
            "somebody has changed or another version has written: delete it, and run the pipeline "
            "that writes it"
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        told = error.strerror if isinstance(error, OSError) else None  # without "[Errno 2]"
        reason = told or (str(error).splitlines() or [""])[0]
        raise InputError(
            f"{path} is missing or cut short ({reason}), expected {_about(model)}: run the "
            "pipeline that writes it"
        ) from error
    return found


def _about(model: type[BaseModel]) -> str:
    doc = (model.__doc__ or "").strip().splitlines()[0]
    return f"the contents of {doc.rstrip('.').replace('``', '')}" if "``" in doc else "a table"
