"""Rows of tables, and pictures of them."""

from __future__ import annotations

from typing import Any

import pandas as pd
import pytest
from matplotlib.text import Text

from hvrt_diffuser.experiments import floors, plot_frontier, plot_rivals, plot_sweep, summarise
from hvrt_diffuser.pipelines.experiments.nodes import draw_picture, tabulate_rows


def entry(name: str, seed: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "row": name,
        "group": name.partition(",")[0],
        "values": {},
        "what": "a sampler",
        "of": {"sampler": "hvrt", "options": {}},
        "repetition": seed,
        "real_floor": 1.0,
        "copy_floor": 2.0 + seed,
        "reconstruction_floor": 0.5,
        "real_tstr": 98.0,
        "fd_classifier": 5.0,
        "dcr_image": 0.5,
        "dcr_latent": 0.6,
        "attribution": None,
        "tstr": 97.0,
        "evaluations": 0,
        "peak_mb": 3.0,
        "ms_per_image": {"1": 2.0, "64": 0.5},
        **changes,
    }


def test_means_and_deviations_are_over_seeds_and_memory_is_the_most() -> None:
    (row,) = summarise(
        [
            entry("one", 0, fd_classifier=1.0, peak_mb=None),
            entry("one", 1, fd_classifier=3.0, peak_mb=10.0, tstr=None),
        ]
    )
    assert row["seeds"] == 2
    assert row["fd_classifier"] == 2
    assert row["fd_classifier_std"] == pytest.approx(2**0.5)
    assert row["copy_floor"] == 2.5
    assert row["attribution"] is row["tstr"] is row["tstr_std"] is None
    assert row["peak_mb"] == 10
    assert row["ms_per_image"] == {"1": 2.0, "64": 0.5}
    assert summarise([entry("one")])[0]["fd_classifier_std"] is None


def test_floors_are_of_the_run_s_own_autoencoder() -> None:
    other = entry("vae + hvrt", copy_floor=99.0, of={"sampler": "hvrt", "autoencoder": {}})
    found = floors([entry("a", 0), entry("b", 0), entry("a", 1), other])
    assert found["copy_floor"] == 2.5
    assert found["copy_floor_std"] == pytest.approx(0.5**0.5)
    assert found["real_tstr"] == 98
    assert floors([other]) == {}


def test_the_table_has_a_column_for_each_batch_size(tmp_path: Any) -> None:
    rows = summarise([entry("one"), entry("two", tstr=None)])
    tabulate_rows({"rows": rows}).to_parquet(tmp_path / "table.parquet")
    table = pd.read_parquet(tmp_path / "table.parquet")
    assert table["row"].tolist() == ["one", "two"]
    assert table["ms_per_image_64"].tolist() == [0.5, 0.5]
    assert table["tstr"].isna().tolist() == [False, True]
    assert table["of"].tolist() == ['{"options": {}, "sampler": "hvrt"}'] * 2


def test_the_picture_of_a_frontier_names_every_group_and_floor() -> None:
    rows = summarise(
        [
            entry("hvrt, noise_scale 0.3", dcr_image=0.2),
            entry("hvrt, noise_scale 1.0"),
            entry("flow_map, strength 0.5", evaluations=1, tstr=None),
        ]
    )
    table = {"rows": rows, "floors": floors([entry("hvrt")])}
    figure = draw_picture(table, kind="frontier")
    said = [text.get_text() for text in figure.legends[0].get_texts()]
    assert said[:2] == ["hvrt", "flow map (1 evaluation)"]
    assert "real training images (floor)" in said
    assert len(plot_frontier(rows, {}).axes) == 2


# ---- rivals


@pytest.fixture
def rows() -> list[dict[str, Any]]:
    named = {"hvrt": 5.0, "gaussian": 30.0, "standard_normal": 300.0, "mixture": 31.0}
    return summarise([entry(name, fd_classifier=fd) for name, fd in named.items()])


def test_the_picture_names_every_rival(rows: list[dict[str, Any]]) -> None:
    for axes in plot_rivals(rows).axes:
        said = {text.get_text() for text in axes.texts}
        assert said == {"hvrt", "gaussian", "standard normal", "mixture"}


def test_names_cover_neither_each_other_nor_points(rows: list[dict[str, Any]]) -> None:
    crowd = [{**rows[0], "row": f"rival_{i}", "fd_classifier": 5 + 0.3 * i} for i in range(8)]
    figure = plot_rivals([*rows, *crowd])
    figure.draw_without_rendering()
    for axes in figure.axes:
        names = [Text.get_window_extent(text) for text in axes.texts]  # without its line
        points = [axes.transData.transform(line.get_xydata())[0] for line in axes.lines]
        for i, name in enumerate(names):
            assert not any(name.overlaps(other) for other in names[:i])
            assert not any(name.contains(*point) for point in points)


def test_other_autoencoders_have_a_panel_of_their_own(rows: list[dict[str, Any]]) -> None:
    other = {**rows[0], "row": "rae_l2 + hvrt", "of": {"autoencoder": {}}, "fd_classifier": 3.0}
    _, novelty, autoencoders = plot_rivals([*rows, other]).axes
    assert len(novelty.texts) == len(rows)
    (points,) = autoencoders.lines
    assert points.get_label() == "hvrt"
    found = dict(zip(points.get_ydata(), points.get_xdata(), strict=True))
    assert found == {"the run's own": 5.0, "rae l2": 3.0}


# ---- sweeps


def test_the_picture_of_a_sweep_names_every_value_and_option() -> None:
    rows = summarise(
        [entry(f"x, members {k}", values={"sampler.members": k}, dcr_image=k) for k in (1, 2)]
    )
    shares = {"fd_classifier": {"sampler.members": 0.8, "seed": 0.2}, "tstr": {"seed": 1.0}}
    figure = plot_sweep(rows, shares)
    said = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert said == ["members 1", "members 2"]
    assert "members" in [tick.get_text() for tick in figure.axes[-1].get_yticklabels()]


def test_the_picture_of_several_groups_names_the_rows() -> None:
    figure = plot_sweep(summarise([entry("low_beta_vae + hvrt"), entry("other + hvrt")]))
    said = [tick.get_text() for tick in figure.axes[0].get_yticklabels()]
    assert said == ["low beta vae + hvrt", "other + hvrt"]


def test_the_picture_of_a_sweep_in_which_nothing_varies() -> None:
    assert len(plot_sweep(summarise([entry("x", values={"a.b": 1})]), {}).axes) == 3


def test_names_of_rows_are_no_formulas() -> None:
    name = "$1_front_$1_back"  # which would not parse
    rows = summarise([entry(name), entry(f"{name} + hvrt", values={"a.b": name})])
    for figure in (
        plot_sweep(rows, {"tstr": {name: 1.0}}),
        plot_rivals(rows),
        plot_frontier(rows, {}),
    ):
        figure.draw_without_rendering()
        assert figure.get_suptitle()
