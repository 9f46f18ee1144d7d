"""The judge: whether synthetic images look real, help, are copies, and of whom."""

from hvrt_diffuser.judge.attack import attack, copying
from hvrt_diffuser.judge.bench import Bench
from hvrt_diffuser.judge.diagnosis import limit, reconstruction
from hvrt_diffuser.judge.evidence import SYNTHETIC, TEST, Evidence, LatentEvidence, gather
from hvrt_diffuser.judge.examine import examine, trained_extractors, untrained_extractors
from hvrt_diffuser.judge.extractors import (
    Extractor,
    ExtractorName,
    classifier_features,
    dinov2_features,
    encoder_features,
    inception_features,
    middle_features,
    pixels,
    random_features,
    statistics,
)
from hvrt_diffuser.judge.findings import BOUNDS, Finding, Verdict, reach_verdict
from hvrt_diffuser.judge.inspection import doubtful, look, without_leaks
from hvrt_diffuser.judge.likeness import likeness
from hvrt_diffuser.judge.measures import MEASURED, MOST_COMPARED, measure
from hvrt_diffuser.judge.standalone import JudgeRequest, judge
from hvrt_diffuser.judge.summary import summarise
from hvrt_diffuser.judge.tstr import Predictions, Task, cross_fit, tabulate, train_and_test

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
    "JudgeRequest",
    "LatentEvidence",
    "Predictions",
    "Task",
    "Verdict",
    "attack",
    "classifier_features",
    "copying",
    "cross_fit",
    "dinov2_features",
    "doubtful",
    "encoder_features",
    "examine",
    "gather",
    "inception_features",
    "judge",
    "likeness",
    "limit",
    "look",
    "measure",
    "middle_features",
    "pixels",
    "random_features",
    "reach_verdict",
    "reconstruction",
    "statistics",
    "summarise",
    "tabulate",
    "train_and_test",
    "trained_extractors",
    "untrained_extractors",
    "without_leaks",
]
