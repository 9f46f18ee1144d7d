"""The classifier that judges images, and the one that TSTR trains on them."""

from hvrt_diffuser.classifiers.network import Classifier, NetworkName
from hvrt_diffuser.classifiers.options import ClassifierOptions, JudgeOptions
from hvrt_diffuser.classifiers.training import (
    classify,
    look_within,
    train_classifier,
    train_judge,
    train_judge_together,
)

__all__ = [
    "Classifier",
    "ClassifierOptions",
    "JudgeOptions",
    "NetworkName",
    "classify",
    "look_within",
    "train_classifier",
    "train_judge",
    "train_judge_together",
]
