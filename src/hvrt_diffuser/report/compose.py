"""The report as JSON: what was measured, the verdict on it, and what it depends on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.data.images import LabelledImages, fingerprint
from hvrt_diffuser.judge import summarise
from hvrt_diffuser.report.measures import reading

__all__ = ["compose"]

NOT_MEASURES = {
    *("origin", "n", "leaves", "per_class", "likeness", "copies", "membership", "skipped"),
    *("label_agreement", "doubtful", "reconstruction"),
}


def compose(
    evaluation: Mapping[str, Any],
    tstr: Mapping[str, Any] | None,
    synthetic: LabelledImages,
    train: LabelledImages,
    *,
    run_name: str,
    parameters: Mapping[str, Any],
    stages: Mapping[str, Any],
    machine: Mapping[str, Any],
    look: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """Everything that the page shows but the pictures.

    Args:
        evaluation: metrics of the stage ``evaluation``.
        tstr: metrics of the stage ``tstr``; None where it did not run.
        synthetic: the images that were judged.
        train: real training images.
        run_name: of the run.
        parameters: of the run, nested.
        stages: by node, ``seconds``, ``peak_mb`` and ``command`` of its last run.
        machine: processor and versions.
        look: at the data, of the stage ``data_ingest``; None where nobody looked.

    Raises:
        InputError: the metrics are not of these images, or of two samplers.
    """
    if evaluation.get("images") != fingerprint(synthetic):
        raise InputError(
            "the metrics of evaluation are of other images than those that are there, expected "
            "metrics of these: run evaluation again"
        )
    if tstr and tstr.get("origin") != evaluation["origin"]:
        raise InputError(
            "the metrics of tstr are of another sampler than those of evaluation, expected one: "
            "run tstr again"
        )
    sets = list(evaluation["fd_classifier"])
    return {
        "run_name": run_name,
        **summarise(evaluation, tstr, look and {**look, "doubtful": evaluation.get("doubtful")}),
        "dataset": {
            "source": train.source,
            "n_train": len(train),
            "n_test": evaluation["n"]["test"],
            "shape": list(train.shape),
            "classes": list(train.class_names),
            "fingerprint": fingerprint(train),
        },
        "sets": sets,
        "measures": [
            {
                "measure": name,
                **reading(name)._asdict(),
                "values": [by_set.get(key) for key in sets],
            }
            for name, by_set in _flat(evaluation)
        ],
        "evaluation": dict(evaluation),
        "stages": dict(stages),
        "machine": dict(machine),
        "seed": parameters["seed"],
        "parameters": dict(_leaves(parameters)),
    }


def _flat(evaluation: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, float | None]]]:
    """Measures by set; one that has several numbers for a set becomes several."""
    for name, by_set in evaluation.items():
        if name in NOT_MEASURES or not isinstance(by_set, dict):
            continue
        several = [value for value in by_set.values() if isinstance(value, dict)]
        if not several:
            yield name, by_set
        for part in several[0] if several else ():
            yield f"{name}: {part}", {k: v and v[part] for k, v in by_set.items()}


def _leaves(parameters: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Parameters by their full names, in the order of the configuration."""
    for name, value in parameters.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", list(value) if isinstance(value, tuple) else value
