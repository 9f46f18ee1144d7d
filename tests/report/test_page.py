"""The page stands alone, and is read by those who do not see its pictures."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
import torch

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.figures import literal
from hvrt_diffuser.data.images import LabelledImages, fingerprint
from hvrt_diffuser.judge.measures import MEASURED
from hvrt_diffuser.report import (
    Picture,
    compose,
    plot_fd,
    plot_image_rows,
    plot_marginals,
    render_page,
    set_name,
)
from hvrt_diffuser.report.measures import Reading, reading, row_name
from hvrt_diffuser.report.pictures import closest_pairs

FD = {
    "synthetic": 6.5,
    "vae_beta_1": 40.0,
    "real_floor": 2.0,
    "reconstruction_floor": 3.0,
    "copy_floor": 4.5,
}
SUPPORT = {"precision": 0.9, "recall": 0.9, "density": 1.0, "coverage": 0.9}
SECTIONS = ("images", "nearest", "frontier", "fidelity", "marginals", "training", "utility")


def make_images(n: int, seed: int = 0) -> LabelledImages:
    source = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (n, 1, 8, 8), generator=source).to(torch.uint8)
    names = ("<b>cat</b>", 'dog & "owl"')
    return LabelledImages(images, torch.arange(n) % 2, names, "noise <i>")


@pytest.fixture
def evaluation(examined: Any) -> dict[str, Any]:
    by_class = {"test": {"n": 10, "agreement": 99.0}, "synthetic": {"n": 10, "agreement": None}}
    sizes = {"synthetic": 20, "test": 10, **{name: 20 for name in FD if name != "synthetic"}}
    return {
        **examined(n=sizes, per_class={name: by_class for name in make_images(2).class_names}),
        "origin": {"sampler": "hvrt"},
        "leaves": {"unconditional": 3, "per_class": 6},
        "images": fingerprint(make_images(20)),
        "skipped": {"mmd_classifier": "20 images are too few."},
        "fd_classifier": FD,
        "kid_classifier": {name: {"mean": 0.1, "std": 0.01} for name in FD},
        "manifold_classifier": {name: SUPPORT for name in FD} | {"copy_floor": None},
        "dcr_image": {"synthetic": 0.55},
        "dcr_raw": {"synthetic": 0.65},
        "dcr_latent": {"synthetic": 0.66},
        "authentic_image": {"synthetic": 0.3, "test": 0.5},
        "authentic_raw": {"synthetic": 0.3, "test": 0.5},
        "authentic_latent": {"synthetic": 0.3, "test": 0.5},
        "attribution": {"synthetic": 0.998},
    }


@pytest.fixture
def tstr(trained_rows: Any) -> dict[str, Any]:
    table: dict[str, Any] = trained_rows(gain=(-1.0, -1.5, -0.5))
    return table


NOTHING: dict[str, Any] = {
    "exact": 0,
    "near": 0,
    "looked_at": None,
    "two_labels": 0,
    "pairs": [],
}
LOOK: dict[str, Any] = {
    "duplicates": {"train": NOTHING, "test": None},
    "leaks": {"exact": 1, "near": 1, "looked_at": None, "group": 0, "rows": [3, 5]},
    "groups": None,
    "doubtful": None,
    "ingest": {
        "source": "images in a folder",
        "shape": [3, 24, 32],
        "classes": {"a": {"train": 40, "test": 20}},
        "notes": [
            {"what": "turned upright by EXIF", "n": 1234, "names": ["a/<b>.jpg", "a/c.jpg"]},
            {"what": "grey, made RGB", "n": None, "names": []},
        ],
    },
}
SAID = "2 test images were left out, since they stand in the training images as well"


def report(evaluation: dict[str, Any], tstr: dict[str, Any] | None, seed: int = 0) -> Any:
    return compose(
        evaluation,
        tstr,
        make_images(20, seed),
        make_images(40),
        run_name="<script>alert(1)</script>",
        parameters={"seed": 0, "tstr": {"n": [10], "classifier": {"width": 4}}},
        stages={"evaluate": {"seconds": 1.5, "peak_mb": None, "command": "kedro run & more"}},
        machine={"python": "3.11"},
        look=LOOK,
    )


@pytest.fixture
def pictures() -> dict[str, list[Picture]]:
    images = torch.zeros(2, 3, 1, 8, 8, dtype=torch.uint8)
    figure = plot_image_rows("Some images", images, ["a", "b"])
    return {
        name: [Picture(figure, f"Of {name}.", f'In words: {name} < "it"', "png")]
        for name in SECTIONS
    }


class Reader(HTMLParser):
    """What a page holds: its pictures, what it would load, and what stands in it."""

    last: tuple[str, str | None] = ("", None)
    VOID = ("img", "meta", "link", "br")

    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[dict[str, str | None]] = []
        self.loaded: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.tables: list[list[list[tuple[str, str | None]]]] = []  # rows of (tag, column's name)
        self.wrapped: list[bool] = []  # whether each table stands in a block that scrolls

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "img":
            self.pictures.append(found)
        if tag == "table":
            self.tables.append([])
            self.wrapped.append(self.last == ("div", "table"))
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append((tag, found.get("data-column")))
        self.last = (tag, found.get("class"))
        self.loaded += [value for name in ("src", "href") if (value := found.get(name))]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(page: str) -> Reader:
    reader = Reader()
    reader.feed(page)
    assert reader.open == []
    return reader


def test_what_was_done_with_which_files_is_a_table(
    evaluation: Any, tstr: Any, pictures: Any
) -> None:
    text = read(render_page(report(evaluation, tstr), pictures)).text
    assert "read, as images of 32 by 24 pixels, in colour" in text
    assert "turned upright by EXIF1,234a/<b>.jpg, a/c.jpg" in text
    assert "grey, made RGB-" in text


@pytest.mark.parametrize("with_tstr", [True, False])
def test_loads_nothing_and_runs_nothing(
    evaluation: Any, tstr: Any, pictures: Any, with_tstr: bool
) -> None:
    page = render_page(report(evaluation, tstr if with_tstr else None), pictures)
    found = read(page)
    assert found.loaded
    assert all(address.startswith("data:") for address in found.loaded)
    assert "script" not in found.tags
    assert not re.search(r"@import|url\(", page)
    assert ("tstr,report" in found.text) != with_tstr


def test_every_picture_has_words(evaluation: Any, tstr: Any, pictures: Any) -> None:
    found = read(render_page(report(evaluation, tstr), pictures))
    words = [picture["alt"] for picture in found.pictures]
    assert sorted(words) == sorted(f'In words: {name} < "it"' for name in SECTIONS)


def test_names_are_shown_as_they_are(evaluation: Any, tstr: Any, pictures: Any) -> None:
    found = read(render_page(report(evaluation, tstr), pictures))
    assert "<b>cat</b>" in found.text
    assert 'dog & "owl"' in found.text
    assert "<script>alert(1)</script>" in found.text
    assert "kedro run & more" in found.text


def test_says_what_the_json_says(evaluation: Any, tstr: Any, pictures: Any) -> None:
    whole = report(evaluation, tstr)
    text = read(render_page(whole, pictures)).text
    for verdict in whole["verdict"].values():
        assert verdict["question"] in text
        assert verdict["sentence"] in text
        for finding in verdict["findings"]:
            assert finding["sentence"] in text
    assert "kid_classifier: mean" in text
    assert not any(row["values"] == [None] * len(whole["sets"]) for row in whole["measures"])
    assert "tstr.classifier.width" in text
    assert "97.00" in text
    assert SAID in text
    assert "20 images are too few." in text


def test_metrics_of_other_images_are_refused(evaluation: Any) -> None:
    with pytest.raises(InputError, match="run evaluation again"):
        report(evaluation, None, seed=1)


def test_metrics_of_another_sampler_are_refused(evaluation: Any, tstr: Any) -> None:
    with pytest.raises(InputError, match="run tstr again"):
        report(evaluation, {**tstr, "origin": {"sampler": "other"}})


@pytest.mark.parametrize("form", ["svg", "png"])
def test_the_same_figure_gives_the_same_bytes(form: Any) -> None:
    sources = [Picture(plot_fd(FD), "", "", form).source() for _ in range(2)]
    assert sources[0] == sources[1]
    content = base64.b64decode(sources[0].split(",", 1)[1])
    assert content.startswith(b"<?xml" if form == "svg" else b"\x89PNG")


@pytest.mark.parametrize("with_tstr", [True, False])
def test_a_narrow_screen_names_the_column_of_every_figure(
    evaluation: Any, tstr: Any, pictures: Any, with_tstr: bool
) -> None:
    """There a row is a list, so that no column stands beyond the edge; the style says so."""
    page = render_page(report(evaluation, tstr if with_tstr else None), pictures)
    found = read(page)
    assert all(found.wrapped)
    headed = [rows for rows in found.tables if rows[0][0][0] == "th"]
    assert len(headed) == (8 if with_tstr else 7)
    for rows in headed:
        for row in rows[1:]:
            assert len(row) == len(rows[0])
            assert all(column for _, column in row[1:])
    narrow = re.search(r"@media \(max-width: 40rem\) \{(.*?)\n\}", page, re.DOTALL)
    assert narrow
    assert "content: attr(data-column)" in narrow[1]
    assert not re.search(
        r"(?<!clip-path: )overflow: hidden|text-overflow", narrow[1].split("}", 1)[1]
    )


def test_measures_have_names_and_directions(evaluation: Any, tstr: Any, pictures: Any) -> None:
    whole = report(evaluation, tstr)
    rows = {row["measure"]: row for row in whole["measures"]}
    assert rows["fd_classifier"]["title"] == "Fréchet distance, features of the judge"
    assert rows["fd_classifier"]["better"] == "less"
    assert rows["manifold_classifier: recall"]["better"] == "more"
    assert rows["kid_classifier: std"]["better"] == ""
    assert rows["dcr_raw"]["better"] == "1, or more"
    text = read(render_page(whole, pictures)).text
    assert all(row["title"] in text for row in whole["measures"])


@pytest.mark.parametrize("name", MEASURED)
def test_every_measure_of_the_judge_has_a_name(name: str) -> None:
    assert reading(f"{name}_classifier").title != f"{name}_classifier"


def test_a_measure_of_ones_own_keeps_its_name() -> None:
    assert reading("brightness_classifier") == Reading("brightness_classifier", "")


def test_every_row_says_what_it_was_trained_on(evaluation: Any, tstr: Any, pictures: Any) -> None:
    text = read(render_page(report(evaluation, tstr), pictures)).text
    for row in tstr["rows"]:
        assert f"{row_name(row['row'])} {row['row']}" in text
    assert row_name("vae_beta_0_05") == "images of a VAE with β = 0.05, posteriors decoded"


def test_the_closest_pairs_show_their_distances() -> None:
    images = make_images(20).images
    pairs = [
        {"place": 3, "nearest": 5, "distance": 0.125},
        {"place": 1, "nearest": 2, "distance": 4},
    ]
    (picture,) = closest_pairs(images, images, pairs)
    axes = picture.figure.axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["0.12", "4.00"]
    assert "0.12, 4.00" in picture.alternative
    assert closest_pairs(images, images, []) == []


def test_every_set_has_a_point_and_its_figure() -> None:
    axes = plot_fd(FD).axes[0]
    assert not axes.patches  # on a logarithmic axis a bar begins nowhere
    assert {label.get_text() for label in axes.get_yticklabels()} == set(map(set_name, FD))
    assert {"6.50", "40.00", "2.00", "3.00", "4.50"} <= {text.get_text() for text in axes.texts}


@pytest.mark.parametrize("d", [1, 4, 6, 20])
def test_marginals_are_those_that_differ_most(d: int) -> None:
    source = np.random.default_rng(0)
    x, y = source.normal(size=(2, 50, d)).astype(np.float32)
    statistics = source.random(d)
    drawn = plot_marginals(x, y, statistics)
    titles = [axes.get_title() for axes in drawn.axes if axes.get_title()]
    expected = np.argsort(-statistics)[:6]
    assert [int(title.split()[1].strip(",")) for title in titles] == expected.tolist()


def test_names_in_pictures_are_no_formulas() -> None:
    images = torch.zeros(2, 3, 1, 8, 8, dtype=torch.uint8)
    names = ["$1_front_$1_back", r"$\frac$"]  # which would not parse
    figure = plot_image_rows("$a_$b_", images, names, [*names, "$"])
    figure.draw_without_rendering()
    axes = figure.axes[0]
    shown = [label.get_text() for label in (*axes.get_xticklabels(), *axes.get_yticklabels())]
    assert shown == [literal(name) for name in (*names, "$", *names)]


def test_every_picture_has_a_title() -> None:
    images = torch.zeros(2, 3, 1, 8, 8, dtype=torch.uint8)
    x = np.zeros((5, 2), np.float32)
    pictures = {
        "a": plot_image_rows("a", images, ["1", "2"]),
        "How far from the test images": plot_fd(FD),
        "The latent dimensions that differ most": plot_marginals(x, x + 1, np.ones(2)),
    }
    assert all(figure.get_suptitle() == title for title, figure in pictures.items())
