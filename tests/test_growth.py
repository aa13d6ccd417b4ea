"""What a leaderboard and a plan cost grows with their arms, not with the square, and what they print stays short."""

from __future__ import annotations

import cProfile
import dataclasses
import gc
import itertools
import pstats
import re
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from chaos.growth import records, write_records
from PIL import Image
from rich.console import Console

from benchmarks.job.plan import expected_rows
from benchmarks.records.predictions import Entry
from benchmarks.report.plan import MOST_ARMS, print_plan, together
from benchmarks.request.controls import Controls, is_control_of
from benchmarks.request.spec import RunSpec, real_only
from leaderboard.build import MOST_PRINTED, main
from leaderboard.canvas import MOST_ARMS as MOST_NAMED
from leaderboard.figures import draw_forest, draw_quality
from leaderboard.tables import Table, make_tables


def entries_of(folder: Path, n: int, *, settings: int = 1) -> list[Entry]:
    """Pretended records whose predictions are not there."""
    return [Entry(record, folder / "nowhere") for record, _ in records(folder, n, settings=settings)]


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> list[Entry]:
    return entries_of(tmp_path_factory.mktemp("many"), 400)


@pytest.fixture(scope="module")
def large(many: list[Entry]) -> Table:
    [table] = make_tables(many)
    return table


def calls_of(work: Callable[[], object]) -> int:
    """How many functions a piece of work calls: the same on every machine."""
    profile = cProfile.Profile()
    profile.runcall(work)
    return int(pstats.Stats(profile).total_calls)  # type: ignore[attr-defined]


def test_four_times_the_arms_of_a_table_are_four_times_the_work(many: list[Entry]) -> None:
    make_tables(many[:50])  # what is imported or made once
    few, more = (calls_of(lambda n=n: make_tables(many[:n])) for n in (100, 400))
    assert 3 < more / few < 4.4


def test_four_times_the_trainings_of_one_name_are_four_times_the_work(many: list[Entry]) -> None:
    def named_alike(n: int) -> list[Entry]:
        return [Entry({**e.record, "name": "one"}, e.folder) for e in many[:n]]

    make_tables(named_alike(50))
    few, more = (calls_of(lambda n=n: make_tables(named_alike(n))) for n in (100, 400))
    assert 3 < more / few < 4.4


def test_four_times_the_tables_are_four_times_the_work(tmp_path: Path) -> None:
    few, more = entries_of(tmp_path / "few", 50, settings=25), entries_of(tmp_path / "more", 200, settings=100)
    make_tables(few)
    assert 3 < calls_of(lambda: make_tables(more)) / calls_of(lambda: make_tables(few)) < 4.4


def specs(spec: RunSpec) -> Iterator[dict[str, Any]]:
    """Arms of all kinds, as their records hold them."""
    for portion, filters, seed, ratio, mode, shard in itertools.product(
        (1.0, 0.5), ((), ("consistent",)), (0, 1), (0.5, 1), ("add", "replace"), (4, 8)
    ):
        change = {"portion": portion, "filters": filters, "generator_seed": seed, "ratio": ratio, "mode": mode}
        yield dataclasses.replace(spec, shard=shard, **change).to_json()
        yield {**real_only(spec, generator="none").to_json(), "portion": portion}
        yield {**real_only(spec, generator="longer").to_json(), "ratio": ratio}


def test_the_control_that_is_looked_up_is_the_first_one_that_is_the_control(make_spec: Callable[..., RunSpec]) -> None:
    arms = list(specs(make_spec(generator="duplicate")))
    for controls in (arms, arms[::-1], arms[1::3], arms[2::3], []):
        found = Controls(controls, lambda spec: spec)
        for arm in arms:
            assert found.of(arm) is next((c for c in controls if is_control_of(c, arm)), None)


# -- what is shown ------------------------------------------------------------------------------------------------


def test_a_forest_names_the_best_arms_and_says_how_many_it_leaves_out(large: Table) -> None:
    figure = draw_forest(large)
    assert figure is not None
    assert len(figure.axes[0].get_yticks()) == MOST_NAMED
    assert f"the best {MOST_NAMED} of 399 arms" in figure.axes[0].get_title(loc="left")


def test_the_figure_of_quality_has_every_arm_of_a_large_table_and_names_none(large: Table) -> None:
    figure = draw_quality(large)
    assert figure is not None
    axes = figure.axes[0]
    assert sum(len(line.get_xdata()) for line in axes.lines[1:]) == 399  # type: ignore[arg-type]
    assert axes.get_legend() is None
    assert "399 arms, too many to be named here" in axes.get_title(loc="left")
    buffer = BytesIO()
    figure.savefig(buffer, format="png")
    assert max(Image.open(buffer).size) < 2000


def test_a_large_table_is_printed_in_part_and_written_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_records(tmp_path / "runs", 230, settings=2)
    assert main(["--results", str(tmp_path / "runs"), "--out", str(tmp_path / "site"), "--figures", "1"]) == 0
    said = capsys.readouterr().out
    assert re.findall(r"and (\d+) further arms", said) == ["30"]  # 115 in each: printed to the 200th of all
    assert "figures of the 1 tables with the most arms, of 2 (--figures)" in said
    assert len({file.name[:12] for file in (tmp_path / "site" / "figures").iterdir()}) == 1
    assert len((tmp_path / "site" / "leaderboard.csv").read_text().splitlines()) == 231


def test_what_is_not_printed_of_a_table_is_counted(large: Table, capsys: pytest.CaptureFixture[str]) -> None:
    from leaderboard.build import print_table

    print_table(Console(width=200), large)
    said = capsys.readouterr().out
    assert f"and {400 - MOST_PRINTED} further arms, in leaderboard.md" in said
    assert said.count("latent_ddpm") < MOST_PRINTED


def test_figures_are_let_go_of_before_the_next_is_drawn(
    large: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from matplotlib.figure import Figure

    from leaderboard import build
    from leaderboard.figures import draw_figures

    alive: list[int] = []

    def counting(table: Table, place: Path) -> Any:
        alive.append(sum(isinstance(one, Figure) for one in gc.get_objects()))
        return draw_figures(table, place)

    monkeypatch.setattr(build, "draw_figures", counting)
    with build.no_search_for_cycles():
        drawn = build._figures([large] * 4, tmp_path)
    assert all(drawn.values())
    assert alive[1:] == [alive[0]] * 3


# -- the plan -----------------------------------------------------------------------------------------------------


def printed(specs: list[RunSpec], capsys: pytest.CaptureFixture[str]) -> str:
    print_plan(Console(width=200), expected_rows("phantom", specs))
    return capsys.readouterr().out


def test_arms_that_differ_in_ratio_and_training_are_a_line_a_stage_that_counts_what_they_share_once(
    make_spec: Callable[..., RunSpec], capsys: pytest.CaptureFixture[str]
) -> None:
    arms = [make_spec(ratio=k / 20, generator_seed=s, seeds=2) for k in range(1, 41) for s in range(10)]
    arms += [make_spec(ratio=k / 20, filters=("consistent",)) for k in range(1, 41)]
    rows = {(row.arm, row.stage): (row.have, row.todo) for row in together(expected_rows("phantom", arms))}
    assert rows == {
        ("phantom", "data"): (0, 1),
        ("latent_ddpm add, 40 ratios 0.05 to 2, 10 trainings", "fit"): (0, 10),
        ("latent_ddpm add, 40 ratios 0.05 to 2, 10 trainings", "pool"): (0, None),
        ("latent_ddpm add, 40 ratios 0.05 to 2, 10 trainings", "classify"): (0, 800),
        ("latent_ddpm add [consistent], 40 ratios 0.05 to 2", "fit"): (0, 1),
        ("latent_ddpm add [consistent], 40 ratios 0.05 to 2", "pool"): (0, None),
        ("latent_ddpm add [consistent], 40 ratios 0.05 to 2", "classify"): (0, 40 * make_spec().seeds),
    }
    assert len(printed(arms, capsys).splitlines()) < 15


def test_few_arms_have_lines_of_their_own(
    make_spec: Callable[..., RunSpec], capsys: pytest.CaptureFixture[str]
) -> None:
    said = printed([make_spec(ratio=k / 4) for k in range(1, MOST_ARMS)], capsys)  # and a line of the dataset
    assert all(f"latent_ddpm add {k / 4:g} " in said for k in range(1, MOST_ARMS))
    assert "ratios" in printed([make_spec(ratio=k / 4) for k in range(1, MOST_ARMS + 1)], capsys)
