"""The card of a dataset of synthetic images, in the form that Hugging Face gives its cards."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.names import plain, readable
from hvrt_diffuser.common.shared_folder import SharedFolder

__all__ = ["CARD", "CardFacts", "Form", "dataset_card", "export_place"]

Form = Literal["parquet", "image_folder", "webdataset"]

CARD = "README.md"
TAG = "hvrt-diffuser"
DATA_FILES: dict[Form, str] = {
    "parquet": "data/train-*.parquet",
    "image_folder": "train/*/*.png",
    "webdataset": "train-*.tar",
}
SIZES = ("1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T")

HOW = """\
An autoencoder encoded real images, the sampler below was fitted on their latents and drew new \
ones, and the autoencoder decoded these in one pass."""

UNKNOWN = """\
That was not told to the judge: they lay in a folder. The command below judged them."""

LIMITS = """\
- **Not as a privacy safeguard.** Whatever the sampler, a draw may lie near a training \
image, or nearly be its copy. If those were private, so is this dataset.
- **Not to evaluate a model.** No test accuracy may be reported on these images: they show what \
their generator took up of its source, its errors included. Test on real images that it never saw.
- **Not for decisions about people.** Nothing here is evidence about anyone, and what was skewed \
in the source is skewed here.
- **Not as a substitute for what the source lacks.** No draw shows a class or a kind of image that \
the source did not hold, and many draws of a rare one repeat its few images: no conclusion about \
it gains from their number."""

LICENCE = """\
It follows from the licence of the source images, which this card does not know: hence \
`license: unknown` in its header. Settle it before passing the images on."""

LOAD_COLUMNS = """\
```python
from datasets import load_dataset

images = load_dataset("FOLDER", split="train")
picture, label = images[0]["image"], images[0]["label"]
name = images.features["label"].int2str(label)
```"""

LOAD_SHARDS = """\
```python
from glob import glob

import webdataset

shards = sorted(glob("FOLDER/train-*.tar"))
images = webdataset.WebDataset(shards, shardshuffle=False).decode("pil").to_tuple("png", "cls")
```

The library `datasets` opens them too, and knows the classes' names:

```python
from datasets import load_dataset

images = load_dataset("FOLDER", split="train")
picture, label = images[0]["png"], images[0]["cls"]
name = images.features["cls"].int2str(label)
```"""

LOAD: dict[Form, str] = {
    "parquet": LOAD_COLUMNS,
    "image_folder": LOAD_COLUMNS,
    "webdataset": LOAD_SHARDS,
}


@dataclass(frozen=True)
class CardFacts:
    """What a card tells. Each text is taken as plain text, whatever characters it holds.

    Attributes:
        title: what the dataset is called, such as the run's name.
        form: how the images lie in their folder.
        classes: name and number of images of class i, at place i.
        shape: channels (1 grey, 3 RGB), height and width of an image, in pixels.
        source: the images that the models learnt from.
        n_training: how many those are.
        autoencoder: what encoded and decoded, in words; None where nobody knows how they were
            made, and then so are the next two.
        sampler: what drew the latents, in words.
        seed: that of the draws.
        versions: of the packages that took part, by name.
        command: as typed.
        verdict: the judge's sentences; none where nothing was judged.
        evidence: the figures behind them: the headings, then rows of as many cells.
        n_real: images of the dataset that are real ones, and come first.

    Raises:
        InputError: the rows of ``evidence`` differ in length.
    """

    title: str
    form: Form
    classes: Sequence[tuple[str, int]]
    shape: tuple[int, int, int]
    source: str
    n_training: int
    autoencoder: str | None
    sampler: str | None
    seed: int | None
    versions: Mapping[str, str]
    command: str
    verdict: Sequence[str]
    evidence: Sequence[Sequence[str]]
    n_real: int = 0

    def __post_init__(self) -> None:
        lengths = sorted({len(row) for row in self.evidence})
        if len(lengths) > 1:
            raise InputError(
                f"the figures behind the verdict have rows of {' and '.join(map(str, lengths))} "
                "cells, expected as many in each row as there are headings: complete the rows"
            )


def dataset_card(facts: CardFacts) -> str:
    """The README.md of a dataset: a YAML header for machines, then sections for people.

    Source: https://huggingface.co/docs/hub/datasets-cards.
    """
    n = sum(count for _, count in facts.classes)
    c, h, w = facts.shape
    colour = "grey" if c == 1 else "RGB"
    sections = {
        "What it is": [
            f"{n - facts.n_real:,} synthetic images of {h} by {w} pixels, {colour}, each labelled "
            f"with one of {len(facts.classes)} classes. A model that had learnt from real images "
            "drew them."
            + (f" Before them are {facts.n_real:,} real ones." if facts.n_real else ""),
            _table([("class", "images"), *((name, f"{m:,}") for name, m in facts.classes)]),
        ],
        "How it was made": [
            HOW if facts.sampler else UNKNOWN,
            _table(_origin(facts)),
            _fenced("sh", facts.command),
        ],
        "Verdict": _verdict(facts),
        "What it must not be used for": [LIMITS],
        "How to load it": [LOAD[facts.form]],
        "Licence": [LICENCE],
    }
    parts = [f"---\n{_yaml(_header(facts, n))}---", f"# {_plain(facts.title)}"]
    for title, paragraphs in sections.items():
        parts += [f"## {title}", *paragraphs]
    return "\n\n".join(parts) + "\n"


def export_place(folder: str | Path) -> SharedFolder:
    """A folder for images with their card, which the user may edit."""
    return SharedFolder(Path(folder), "export", documents=(CARD,))


def _header(facts: CardFacts, n: int) -> dict[str, Any]:
    names = {str(i): name for i, (name, _) in enumerate(facts.classes)}
    image, label = ("png", "cls") if facts.form == "webdataset" else ("image", "label")
    features = [
        {"name": image, "dtype": "image"},
        {"name": label, "dtype": {"class_label": {"names": names}}},
    ]
    files = [{"split": "train", "path": DATA_FILES[facts.form]}]
    config: dict[str, Any] = {"config_name": "default", "data_files": files}
    header: dict[str, Any] = {
        "pretty_name": readable(facts.title),
        "license": "unknown",
        "task_categories": ["image-classification"],
        "tags": ["synthetic", TAG],
        "size_categories": [_size_category(n)],
        "configs": [config],
    }
    if facts.form == "image_folder":
        # The builder of image folders heeds these alone; by itself it numbers the folders in
        # alphabetical order, and gives no label where there is a single one.
        config |= {"drop_labels": False, "features": features}
    else:
        header["dataset_info"] = {"features": features}
    return header


def _size_category(n: int) -> str:
    i = bisect_right([10**power for power in range(3, 13)], n)
    if i == 0:
        return f"n<{SIZES[0]}"
    return f"n>{SIZES[-1]}" if i == len(SIZES) else f"{SIZES[i - 1]}<n<{SIZES[i]}"


def _origin(facts: CardFacts) -> list[tuple[str, str]]:
    versions = ", ".join(f"{name} {version}" for name, version in facts.versions.items())
    return [
        ("", ""),  # a table of Markdown has headings, if only empty ones
        ("source", facts.source),
        ("training images", f"{facts.n_training:,}"),
        *(
            (name, str(value))
            for name in ("autoencoder", "sampler", "seed")
            if (value := getattr(facts, name)) is not None
        ),
        ("versions", versions),
    ]


def _verdict(facts: CardFacts) -> list[str]:
    sentences = facts.verdict or ["These images were not judged."]
    figures = [_table(facts.evidence)] if facts.evidence else []
    return ["\n".join(f"- {_plain(sentence)}" for sentence in sentences), *figures]


def _table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = [[_plain(cell) for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _plain(text: str) -> str:
    """A text on one line that Markdown shows as it is."""
    line = plain(" ".join(text.split()))
    # An underscore before a letter or a digit can end no emphasis, so `a_b` stays readable.
    line = re.sub(r"[\\`*\[\]<>|#~&$]|_(?![^\W_])|^[-+=]", r"\\\g<0>", line)
    return re.sub(r"^(\d+)([.)])", r"\1\\\2", line)  # no item of a numbered list


def _fenced(language: str, text: str) -> str:
    """A block of code, whatever fences it holds itself."""
    fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", text)), 0)
    return f"{fence}{language}\n{text}\n{fence}"


def _yaml(header: dict[str, Any]) -> str:
    # In ASCII: pyyaml writes a few line breaks of Unicode in a way that it reads otherwise.
    return yaml.safe_dump(header, sort_keys=False, width=float("inf"))
