"""The judge: whether synthetic images look real, train classifiers, and are copies."""

from hvrt_diffuser.judge.bench import Bench
from hvrt_diffuser.judge.evidence import SYNTHETIC, TEST, Evidence, LatentEvidence, gather
from hvrt_diffuser.judge.extractors import (
    Extractor,
    ExtractorName,
    classifier_features,
    encoder_features,
    inception_features,
    pixels,
)
from hvrt_diffuser.judge.findings import BOUNDS, Finding, Verdict, reach_verdict
from hvrt_diffuser.judge.measures import MEASURED, MOST_COMPARED, measure
from hvrt_diffuser.judge.tstr import Predictions, Task, mcnemar, tabulate, train_and_test

__all__ = [
    "BOUNDS",
    "MEASURED",
    "MOST_COMPARED",
    "SYNTHETIC",
    "TEST",
    "Bench",
    "Evidence",
    "Extractor",
    "ExtractorName",
    "Finding",
    "LatentEvidence",
    "Predictions",
    "Task",
    "Verdict",
    "classifier_features",
    "encoder_features",
    "gather",
    "inception_features",
    "mcnemar",
    "measure",
    "pixels",
    "reach_verdict",
    "tabulate",
    "train_and_test",
]
