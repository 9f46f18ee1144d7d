"""Files that were not made of one another are not taken together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kedro.io import DataCatalog

from hvrt_diffuser.catalog import FigureDataset, MetricsDataset, PageDataset
from hvrt_diffuser.common.errors import InputError
from hvrt_diffuser.common.figures import titled_figure
from hvrt_diffuser.pipelines.lineage import Lineage, Origin

PARAMETERS = {"generation": {"sampler": "hvrt"}}
MAKERS = {"model": "training", "codes": "encoding", "judge": "judging", "draws": "drawing"}
CHAIN = {"model": (), "codes": ("model",), "judge": (), "draws": ("model", "codes")}


class Run:
    """Four files of one run: draws are made of codes, which are made of a model."""

    def __init__(self, folder: Path, seed: int = 0) -> None:
        self.catalog = DataCatalog(
            {name: MetricsDataset(filepath=(folder / f"{name}.json").as_posix()) for name in CHAIN}
        )
        for name in CHAIN:
            self.make(name, seed)

    def make(self, name: str, seed: int) -> None:
        """As a run of the node alone would."""
        lineage = self.lineage()
        lineage.keep([name], lineage.of_node(CHAIN[name]))
        self.catalog.save(name, {"seed": seed})

    def lineage(self) -> Lineage:
        """Of a new run."""
        return Lineage(PARAMETERS, self.catalog, MAKERS)

    def path(self, name: str) -> Path:
        return Path(str(self.catalog[name]._filepath))


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path / "this")


@pytest.fixture
def other(tmp_path: Path) -> Run:
    return Run(tmp_path / "other", seed=1)


def test_what_was_made_of_one_another_is_taken(run: Run) -> None:
    run.lineage().check_together(list(CHAIN))


@pytest.mark.parametrize(
    ("foreign", "read", "said"),
    [
        # a file of another run lies where the one was that the next was made of
        ("model", ["model", "codes"], ["codes was made of another model", "run encoding again"]),
        ("codes", ["model", "codes"], ["codes was made of another model", "run encoding again"]),
        ("codes", ["draws", "judge"], ["draws was made of another codes", "run drawing again"]),
        ("model", ["draws"], ["draws was made of another model", "lies in the run's folder"]),
        ("draws", ["draws"], ["draws was made of another codes", "run drawing again"]),
    ],
)
def test_a_file_of_another_run(
    run: Run, other: Run, foreign: str, read: list[str], said: list[str]
) -> None:
    run.path(foreign).write_bytes(other.path(foreign).read_bytes())
    with pytest.raises(InputError) as error:
        run.lineage().check_together(read)
    assert all(words in str(error.value) for words in said), error.value


def test_what_is_gone_says_what_it_was_through_what_was_made_of_it(run: Run, other: Run) -> None:
    """The model is deleted: codes and draws still say of which they were made."""
    run.path("model").unlink()
    run.path("draws").write_bytes(other.path("draws").read_bytes())
    with pytest.raises(InputError, match="draws was made of another codes"):
        run.lineage().check_together(["codes", "draws"])
    run.path("codes").unlink()
    run.lineage().check_together(["draws", "judge"])


def test_two_files_say_of_which_they_were_made_when_that_is_gone(run: Run, other: Run) -> None:
    run.path("draws").write_bytes(other.path("draws").read_bytes())
    run.path("judge").write_bytes(run.path("codes").read_bytes())
    for name in ("model", "codes"):
        run.path(name).unlink()
    with pytest.raises(InputError, match=r"another model \(.*\) than the one that judge was made"):
        run.lineage().check_together(["judge", "draws"])


def test_what_is_made_anew_is_of_one_origin_again(run: Run) -> None:
    run.make("model", seed=2)
    with pytest.raises(InputError, match="run encoding again"):
        run.lineage().check_together(["codes"])
    run.make("codes", seed=2)
    with pytest.raises(InputError, match="run drawing again"):
        run.lineage().check_together(["codes", "draws"])
    run.make("draws", seed=2)
    run.lineage().check_together(list(CHAIN))


def test_made_anew_with_the_same_bytes_nothing_is_foreign(run: Run) -> None:
    before = run.path("model").read_bytes()
    run.make("model", seed=0)
    assert run.path("model").read_bytes() == before
    run.lineage().check_together(list(CHAIN))


def test_splits_of_other_images_do_not_go_together(run: Run) -> None:
    for name, images in (("model", "photographs (1)"), ("judge", "photographs (2)")):
        lineage = run.lineage()
        lineage.keep([name], Origin())
        lineage.keep_source([name], images)
        run.catalog.save(name, {"seed": 0})
    with pytest.raises(InputError, match=r"judge was made of another real images"):
        run.lineage().check_together(["model", "judge"])


MADE_BY: dict[str, Any] = {"parameters": {"a": "</head>'><b>"}, "files": {"model": "0" * 16}}


def test_a_picture_and_a_page_say_what_they_were_made_of(tmp_path: Path) -> None:
    figure = titled_figure("A plot", 2, 2)
    page = "<!doctype html><html><head></head><body><p>so</p></body></html>\n"
    for dataset, data in (
        (FigureDataset(filepath=(tmp_path / "a.png").as_posix()), figure),
        (PageDataset(filepath=(tmp_path / "a.html").as_posix()), page),
    ):
        assert dataset.read_made_by() is None
        dataset.made_by = MADE_BY
        dataset.save(data)
        assert dataset.read_made_by() == MADE_BY
        dataset.made_by = None
        dataset.save(data)
        assert dataset.read_made_by() is None
    assert (tmp_path / "a.html").read_text() == page
