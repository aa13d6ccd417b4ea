"""Every figure of a table is there when its numbers are, says what the records say, and is the same twice."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from leaderboard.build import CSV, MARKDOWN, main
from leaderboard.figures import (
    BETTER,
    EQUAL,
    FOLDER,
    UNEQUAL,
    WORSE,
    choose_quality,
    draw_figures,
    draw_forest,
    draw_quality,
    draw_ratio,
    draw_worth,
    push_apart,
    ratio_series,
)
from synthworth.commands import guarded

PNG = b"\x89PNG\r\n\x1a\n"


def build(folder: Path, out: Path) -> int:
    return guarded(main, ["--results", str(folder), "--out", str(out)])


def worth(
    value: float | None, low: float | None, high: float | None, where: str = "on the curve", n: int = 4
) -> dict[str, Any]:
    return {
        "n_real": 9, "n_synthetic": n, "where": where, "n_equivalent": None if value is None else 9 + n * value,
        "n_low": None, "n_high": None, "worth": value, "low": low, "high": high, "note": "", "curve": [],
    }  # fmt: skip


@pytest.fixture
def small(lab: Any) -> Any:
    """Real images alone, their duplicates, one generator that helps and one that hurts."""
    lab.run("none", 1.0)
    lab.run("duplicate", 1.0, jitter=2)
    lab.run("good", 2.0, fid=90.0)
    lab.run("bad", 0.3, fid=5.0)
    return lab


@pytest.fixture
def ablation(lab: Any) -> Any:
    """Two generators and duplicates at three ratios, one of the generators in two modes; worth of two arms."""
    lab.run("none", 1.0)
    for k, ratio in enumerate((0.25, 0.5, 2.0)):
        lab.run("duplicate", 1.0, jitter=2, ratio=ratio)
        record = lab.run("one", 1.1 + 0.2 * k, fid=60.0 - k, ratio=ratio)
        lab.run("two", 1.0 - 0.1 * k, fid=40.0 - k, ratio=ratio)
        lab.run("two", 1.0, fid=41.0 - k, ratio=ratio, mode="replace" if ratio <= 1 else "balance")
        if k < 2:
            lab.change(record, worth=(worth(0.5, 0.1, 0.9, n=2), worth(None, 1.2, None, "beyond the curve"))[k])
    return lab


# -- what the page shows ------------------------------------------------------------------------------------------


def test_the_page_shows_every_figure_that_was_written(ablation: Any, tmp_path: Path) -> None:
    assert build(ablation.folder, tmp_path / "site") == 0
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", (tmp_path / "site" / MARKDOWN).read_text())
    written = sorted(f.relative_to(tmp_path / "site").as_posix() for f in (tmp_path / "site" / FOLDER).iterdir())
    assert sorted(shown) == written
    assert [path.rpartition("-")[2] for path in shown] == ["forest.png", "quality.png", "ratio.png", "worth.png"]
    assert all((tmp_path / "site" / path).read_bytes().startswith(PNG) for path in shown)


def test_a_table_without_ratios_and_worth_has_no_figure_of_them(small: Any, tmp_path: Path) -> None:
    (table,) = small.tables()
    kinds = [figure.path.rpartition("-")[2] for figure in draw_figures(table, tmp_path)]
    assert kinds == ["forest.png", "quality.png"]


def test_real_images_alone_need_no_figure(lab: Any, tmp_path: Path) -> None:
    lab.run("none", 1.0)
    (table,) = lab.tables()
    assert draw_figures(table, tmp_path) == ()
    assert not (tmp_path / FOLDER).exists()


def test_a_setting_in_which_nothing_finished_has_no_figure(lab: Any, tmp_path: Path) -> None:
    lab.fail("Diverged: at step 3")
    (table,) = lab.tables()
    assert draw_figures(table, tmp_path) == ()


def test_drawing_twice_writes_the_same_bytes(ablation: Any, tmp_path: Path) -> None:
    (table,) = ablation.tables()
    one, two = (draw_figures(table, tmp_path / name) for name in ("one", "two"))
    assert one == two
    assert len(one) == 4
    for figure in one:
        assert (tmp_path / "one" / figure.path).read_bytes() == (tmp_path / "two" / figure.path).read_bytes()


def test_figures_leave_matplotlibs_settings_alone(small: Any, tmp_path: Path) -> None:
    import matplotlib as mpl

    before = dict(mpl.rcParams)
    (table,) = small.tables()
    draw_figures(table, tmp_path)
    assert dict(mpl.rcParams) == before


# -- forest -------------------------------------------------------------------------------------------------------


def test_the_forest_has_a_line_an_arm_in_the_order_of_the_table(small: Any) -> None:
    (table,) = small.tables()
    figure = draw_forest(table)
    assert figure is not None
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.get_yticklabels()] == ["good add 0.5", "duplicate add 0.5", "bad add 0.5"]
    points = [line for line in axes.lines if line.get_marker() in ("o", "s")]
    assert [line.get_marker() for line in points] == ["o", "s", "o"]
    assert [line.get_color() for line in points] == [BETTER, EQUAL, WORSE]
    gains = [row.numbers["vs_none"].value for row in table.rows if row.numbers["vs_none"].value is not None]
    assert [line.get_xdata()[0] for line in points] == gains
    shown = [text.get_text() for text in axes.texts]
    assert shown[0].startswith(f"{gains[0]:+.3f} [")


def test_screening_colours_nothing_and_says_so(lab: Any) -> None:
    lab.run("none", 1.0, seeds=3)
    lab.run("good", 3.0, seeds=3)
    (table,) = lab.tables()
    figure = draw_forest(table)
    assert figure is not None
    (axes,) = figure.axes
    assert {line.get_color() for line in axes.lines if line.get_marker() == "o"} == {EQUAL}
    assert "screening only: 3 seeds" in axes.get_title(loc="left")


def test_an_arm_of_unequal_compute_is_not_drawn_as_one_that_helps(lab: Any) -> None:
    lab.run("none", 1.0)
    lab.run("good", 2.0)
    record = lab.run("longer", 2.5, ratio=1.0)
    row = {**record["comparisons"]["none"], "unequal": "10 optimiser steps against 5"}
    lab.change(record, comparisons={"none": row})
    (table,) = lab.tables()
    figure = draw_forest(table)
    assert figure is not None
    (axes,) = figure.axes
    colours = [line.get_color() for line in axes.lines if line.get_marker() in ("o", "s")]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert dict(zip(names, colours, strict=True)) == {"longer x 2": UNEQUAL, "good add 0.5": BETTER}
    assert "unequal compute" in axes.get_title(loc="left")


@pytest.mark.parametrize("n", [1, 30])
def test_one_arm_and_thirty_fit_on_the_figure(lab: Any, n: int) -> None:
    lab.run("none", 1.0)
    for k in range(n):
        lab.run(f"{'long_' * (k % 9)}generator_{k}", 1.0 + 0.02 * k, fid=30.0 + k, jitter=k, n_bootstrap=200)
    (table,) = lab.tables()
    for draw in (draw_forest, draw_quality):
        figure = draw(table)
        if figure is None:
            assert n < 3
            continue
        figure.draw_without_rendering()
        inside = figure.bbox
        (axes,) = figure.axes
        legend = axes.get_legend()
        names = legend.get_texts() if legend else axes.get_yticklabels()
        texts = [*names, *axes.texts]
        boxes = [text.get_window_extent() for text in texts]
        for box in boxes:
            assert box.x0 >= inside.x0 - 1 and box.x1 <= inside.x1 + 1
            assert box.y0 >= inside.y0 - 1 and box.y1 <= inside.y1 + 1
        assert axes.get_window_extent().width > 0.3 * inside.width


# -- quality ------------------------------------------------------------------------------------------------------


def test_quality_takes_fid_where_most_arms_have_it_else_another_distance(small: Any, lab: Any) -> None:
    (table,) = small.tables()
    assert choose_quality(table) == "fid@9"
    small.run("bad", 0.3, fid=None)
    (table,) = small.tables()
    assert choose_quality(table) == "fd@9/efficientnet_lite0@1"


def test_quality_names_every_arm_and_gives_the_rank_correlation(lab: Any) -> None:
    lab.run("none", 1.0)
    for k, quality in enumerate((1.2, 1.4, 1.6, 1.8, 2.0)):
        lab.run(f"g{k}", quality, fid=100.0 - 10 * k)
    (table,) = lab.tables()
    figure = draw_quality(table)
    assert figure is not None
    (axes,) = figure.axes
    assert [t.get_text().split()[1] for t in axes.get_legend().get_texts()] == ["g4", "g3", "g2", "g1", "g0"]
    assert [t.get_text() for t in axes.texts] == list("12345")
    assert "without +1.00 [" in axes.get_title(loc="left").replace("\n", " ")


def test_below_five_arms_there_is_no_rank_correlation_and_below_three_no_figure(small: Any, lab: Any) -> None:
    (table,) = small.tables()
    figure = draw_quality(table)
    assert figure is not None and "no rank correlation" in figure.axes[0].get_title(loc="left")
    assert choose_quality(type(table)(**{**vars(table), "rows": table.rows[:2]})) is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), min_size=1, max_size=30))
def test_numbers_pushed_apart_do_not_overlap_and_far_ones_stay(points: list[tuple[int, int]]) -> None:
    places = np.array(points, dtype=np.float64)
    moved = push_apart(places, 20.0)
    gaps = np.hypot(*(moved[:, None] - moved[None]).transpose(2, 0, 1)) + 100 * np.eye(len(moved))
    assert gaps.min() > 15
    alone = np.array([[0.0, 0.0], [500.0, 0.0]])
    assert push_apart(alone, 20.0) == pytest.approx(alone, abs=0.1)


# -- ratio and worth ----------------------------------------------------------------------------------------------


def test_a_line_of_the_ratio_figure_is_one_generator_in_one_mode(ablation: Any) -> None:
    (table,) = ablation.tables()
    series = ratio_series(table)
    found = {name: [row.standing.entry.spec["ratio"] for row in rows] for name, rows in series.items()}
    every = [0.25, 0.5, 2.0]
    assert found == {"one add": every, "two add": every, "two replace": [0.25, 0.5], "duplicate add": every}
    figure = draw_ratio(table)
    assert figure is not None
    (axes,) = figure.axes
    assert [t.get_text() for t in axes.get_legend().get_texts()] == list(found)
    assert [t.get_text() for t in axes.get_xticklabels()] == ["0.25", "0.5", "2"]


def test_arms_of_another_training_of_the_generator_are_another_line(lab: Any) -> None:
    lab.run("none", 1.0)
    for generator_seed in (0, 1):
        for ratio in (0.5, 1.0):
            lab.run("one", 1.5, ratio=ratio, generator_seed=generator_seed)
    (table,) = lab.tables()
    series = ratio_series(table)
    assert len(series) == 2
    assert all(len(rows) == 2 for rows in series.values())


def test_worth_is_drawn_where_it_was_measured_with_an_arrow_beyond_the_curve(ablation: Any) -> None:
    (table,) = ablation.tables()
    figure = draw_worth(table)
    assert figure is not None
    (axes,) = figure.axes
    assert {t.get_text() for t in axes.texts} == {"0.50 [0.10, 0.90]", "beyond the curve [1.20, ...]"}
    assert [line.get_marker() for line in axes.lines if line.get_marker() in "<>"] == [">"]


def test_worth_on_a_flat_curve_is_a_word_and_no_mark(lab: Any) -> None:
    lab.run("none", 1.0)
    lab.change(lab.run("good", 2.0), worth=worth(None, None, None, "on a flat curve"))
    (table,) = lab.tables()
    figure = draw_worth(table)
    assert figure is not None
    assert [t.get_text() for t in figure.axes[0].texts] == ["the learning curve is flat"]
    assert not [line for line in figure.axes[0].lines if line.get_marker() in ("o", "s", "<", ">")]


# -- subgroups in the CSV -----------------------------------------------------------------------------------------


def test_the_worst_group_gap_stands_in_the_csv(small: Any, tmp_path: Path) -> None:
    plain = {"low": None, "high": None, "against_none": None}
    gap = {**plain, "value": 0.05, "low": 0.01, "high": 0.09, "best": "PA", "worst": "AP", "note": None}
    few = {**plain, "n_images": 9, "n_patients": 9, "note": None}
    groups = {"AP": {**few, "auroc": 0.7}, "PA": {**few, "auroc": 0.75}}
    null = {**plain, "value": None, "best": None, "worst": None, "note": "1 group could be judged"}
    subgroups = {
        "view": {"groups": groups, "gap": gap, "note": None},
        "sex": {"groups": {}, "gap": null, "note": None},
    }
    small.change(small.run("good", 2.0, fid=90.0), subgroups=subgroups)
    build(small.folder, tmp_path / "site")
    rows = {row["generator"]: row for row in csv.DictReader(io.StringIO((tmp_path / "site" / CSV).read_text()))}
    good, bad = rows["good"], rows["bad"]
    shown = [good[f"gap_view{end}"] for end in ("", "_low", "_high", "_best_group", "_worst_group", "_worst_auroc")]
    assert shown == ["0.05", "0.01", "0.09", "PA", "AP", "0.7"]
    assert good["gap_sex"] == "null" and "gap_sex: 1 group could be judged" in good["notes"]
    assert bad["gap_view"] == "null" and "there are no groups of this attribute" in bad["notes"]


def test_without_subgroups_the_csv_has_no_columns_for_them(small: Any, tmp_path: Path) -> None:
    build(small.folder, tmp_path / "site")
    assert "gap_" not in (tmp_path / "site" / CSV).read_text().splitlines()[0]


def test_tables_are_drawn_without_torch(small: Any, tmp_path: Path, run_python: Callable[..., Any]) -> None:
    code = (
        "import sys; from leaderboard.build import main; "
        f"main(['--results', {str(small.folder)!r}, '--out', {str(tmp_path / 'site')!r}]); "
        "print(sorted({'torch', 'timm', 'diffusers', 'matplotlib.pyplot'} & set(sys.modules)))"
    )
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().endswith("[]")
