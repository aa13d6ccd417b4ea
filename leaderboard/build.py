"""The command `python -m leaderboard.build [--results DIR ...] [--out DIR]`: tables from records alone."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below: they take a moment
    from synthworth.interrupts import hear

    hear()

import gc
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import tyro

from benchmarks.judging.later import complete
from benchmarks.records.predictions import Entry
from benchmarks.records.reproduced import read_notes
from benchmarks.records.shape import reason_of
from leaderboard.figures import Drawn, draw_figures
from leaderboard.flat import write_flat
from leaderboard.gather import Found, collect
from leaderboard.judge import Judge
from leaderboard.known import opened
from leaderboard.latex import latex
from leaderboard.pages.site import Site, write_site
from leaderboard.suite import Suite, left_out, read_suite
from leaderboard.tables import Table, make_tables, over_tables
from leaderboard.text import cell, markdown
from synthworth.artifacts import ensure_folder, whole_file
from synthworth.commands import OK, guarded
from synthworth.errors import UserError
from synthworth.registry import load_plugin_file
from synthworth.store import Store
from synthworth.threads import n_cores
from synthworth.workers import map_tasks

if TYPE_CHECKING:
    from rich.console import Console

Format = Literal["markdown", "csv", "parquet", "latex", "site"]
MARKDOWN, CSV, PARQUET, LATEX = "leaderboard.md", "leaderboard.csv", "leaderboard.parquet", "leaderboard.tex"
FILES: Mapping[str, str] = {"markdown": MARKDOWN, "csv": CSV, "parquet": PARQUET, "latex": LATEX}
MOST_PRINTED = 200
"""Most arms that are printed, over all tables, the best of each; all of them stand in the files."""
MOST_TABLES = 20
"""Most tables that are printed, the first by their headings."""
MANY_DRAWN = 8
"""Tables with figures from which on it pays to draw them in several processes."""
MOST_LINES = 10
"""Most reasons that are printed of records which are left out."""


@dataclass(frozen=True)
class BuildOptions:
    """Rank the arms of every setting from their records, and write the tables, with figures."""

    results: tuple[Path, ...] = (Path("results/runs"),)
    """Folders of records; a run that is in several of them counts once."""
    plugin: tuple[Path, ...] = ()
    """Python files that register metrics: what records lack of them is computed from their stored predictions."""
    out: Path = Path("leaderboard/site")
    """Folder that takes the files and the figures."""
    format: tuple[Format, ...] = ("markdown", "csv", "parquet", "latex", "site")
    """Which files are written: leaderboard.md, .csv, .parquet (a row an arm, every number), .tex (booktabs); site:
    pages that a browser opens from disk, index.html first."""
    figures: int = 20
    """Most tables that figures are drawn of, on the pages too, those with the most arms; 0 for none."""
    suite: str = ""
    """A frozen suite by its name, or a YAML file of one: records that are not of it are left out, with the reason."""
    recompute: int = 500
    """Most records whose numbers are made again from their predictions where no earlier build here has done so; of
    more, none are: they are shown as their records claim them. 0 for never."""
    home: Path | None = None
    """Folder of what is computed, which keeps what a build finds; default $SYNTHWORTH_HOME, or .synthworth."""

    def __post_init__(self) -> None:
        if self.recompute < 0:
            raise UserError(f"--recompute {self.recompute} was asked for; it is a number of records, or 0 for never")


def main(args: Sequence[str]) -> int:
    """Read, rank, write, print.

    Returns
    -------
    int
        The exit code.
    """
    options = tyro.cli(BuildOptions, args=list(args), prog="python -m leaderboard.build")
    with no_search_for_cycles():
        return _build(options)


@contextmanager
def no_search_for_cycles() -> Iterator[None]:
    """What a build makes lives to its end and holds nothing in circles, but figures (`_figures`): looking took long."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _build(options: BuildOptions) -> int:
    for plugin in options.plugin:
        load_plugin_file(plugin)
    suite = read_suite(options.suite) if options.suite else None
    from benchmarks.report.tables import console

    out = console()
    with opened(Store.open(options.home).home) as known:
        found = collect(options.results, known, workers=n_cores())
        entries, failed, reasons = _of_suite(found, suite)
        judge = Judge(known)
        unknown = judge.unknown(entries)
        if unknown > options.recompute:
            judge.claim()
        notes = read_notes(options.results)
        entries = [replace(entry, record=complete(entry, plugins=options.plugin)) for entry in entries]
        tables = make_tables(entries, failed, judge, notes.counted)
        over = over_tables(tables, judge)
    tables = [_beside_suite(table, suite) for table in tables]
    _write(options, out, tables, found.skipped, over, suite)
    if unknown > options.recompute:
        out.print(
            f"claimed: {unknown} of {len(entries)} records were not made again from their predictions; --recompute "
            f"{unknown} does that, once",
            soft_wrap=True,
        )
    for line in (*(f"not read: {line}" for line in found.skipped), *(f"note: {line}" for line in notes.others)):
        out.print(line, markup=False, soft_wrap=True)
    for line in reasons[:MOST_LINES]:
        out.print(f"not of {suite.name if suite else ''}: {line}", markup=False, soft_wrap=True)
    if len(reasons) > MOST_LINES:
        out.print(f"and {len(reasons) - MOST_LINES} further reasons")
    return OK


def _of_suite(found: Found, suite: Suite | None) -> tuple[list[Entry], list[Mapping[str, Any]], tuple[str, ...]]:
    """What is of a suite; why the other records are not, a line a reason."""
    if suite is None:
        return list(found.entries), list(found.failed), ()
    why = {entry.run_id: suite.why_not(entry.spec) for entry in found.entries}
    why |= {record["run_id"]: suite.why_not(record["spec"]) for record in found.failed}
    entries = [entry for entry in found.entries if why[entry.run_id] is None]
    failed = [record for record in found.failed if why[record["run_id"]] is None]
    if not entries and not failed:
        first = left_out([reason for reason in why.values() if reason])[0]
        raise UserError(
            f"--suite {suite.name}: none of {len(why)} records is of it; {first}. Name other --results or another suite"
        )
    return entries, failed, left_out([reason for reason in why.values() if reason])


def _beside_suite(table: Table, suite: Suite | None) -> Table:
    """The table with what it lacks of a suite among its facts."""
    if suite is None:
        return table
    beside = suite.beside([row.standing.entry.spec for row in table.rows])
    return replace(table, facts=(*table.facts, f"suite {suite.name} of {suite.date}{beside}"))


def _write(
    options: BuildOptions,
    out: Console,
    tables: Sequence[Table],
    skipped: Sequence[str],
    over: Sequence[str],
    suite: Suite | None,
) -> None:
    """Draw and write what was asked for; print the tables and where the files are."""
    ensure_folder(options.out)
    largest = {t.key for t in sorted(tables, key=lambda t: -len(t.rows))[: max(options.figures, 0)]}
    figures = _figures([table for table in tables if table.key in largest], options.out)
    pages: list[str] = []
    written = [(name, FILES[name]) for name in dict.fromkeys(options.format) if name in FILES]
    with ExitStack() as open_files:
        to = {name: open_files.enter_context(whole_file(options.out / file)) for name, file in written}
        if "markdown" in to:
            to["markdown"].write(markdown(tables, skipped, figures, over).encode())
        write_flat(tables, csv_to=to.get("csv"), parquet_to=to.get("parquet"))
        if "latex" in to:
            to["latex"].write(latex(tables).encode())
    if "site" in options.format:
        site = Site(tables, skipped, over, suite, [file for _, file in written])
        pages = write_site(site, options.out, n_figures=options.figures)
    left, printed = MOST_PRINTED, 0
    for table in tables[:MOST_TABLES]:
        if left <= 0:
            break
        print_table(out, table, most=left)
        left, printed = left - len(table.rows), printed + 1
    if len(tables) > printed:
        out.print(f"and {len(tables) - printed} further tables, in the files")
    for line in over:
        out.print(f"VERDICT  {line}", style="bold", markup=False, soft_wrap=True)
    if len(largest) < len(tables):
        out.print(f"figures of the {len(largest)} tables with the most arms, of {len(tables)} (--figures)")
    drawn = [figure.path for some in figures.values() for figure in some]
    for name in (*(file for _, file in written), *drawn):
        out.print(f"written {options.out / name}", markup=False, soft_wrap=True)
    if pages:
        also = f" and {len(pages) - 1} more pages: open it in a browser"
        out.print(f"written {options.out / pages[0]}{also}", markup=False, soft_wrap=True)


def _figures(tables: Sequence[Table], place: Path) -> dict[str, tuple[Drawn, ...]]:
    """Draw the figures of these tables, of many in several processes."""
    gc.freeze()  # what is there now is not looked through
    try:
        tasks = [(table, place) for table in tables]
        workers = n_cores() if len(tables) >= MANY_DRAWN else 1
        drawn = map_tasks(draw_one, tasks, workers=workers, what="drawing figures", with_torch=False)
    finally:
        gc.unfreeze()
    return {table.key: some or () for table, some in zip(tables, drawn, strict=True)}


def draw_one(task: tuple[Table, Path]) -> tuple[Drawn, ...]:
    """The figures of a table. Each holds itself in circles, and is let go of before the next is drawn."""
    drawn = draw_figures(*task)
    gc.collect()
    return drawn


def print_table(out: Console, table: Table, *, most: int = MOST_PRINTED) -> None:
    """The short form of a table, of so many rows; the Markdown holds all of it."""
    from rich.markup import escape

    from benchmarks.report.tables import table as empty

    columns = ("arm", "rank", "AUROC", "minus none", "Holm p", "minus duplicate", "verdict", "status")
    made = empty(escape(table.heading), columns)
    for row in table.rows[:most]:
        label = row.label + (" (control)" if row.standing.entry.record["is_control"] else "")
        shown = ("auroc", "vs_none", "holm_none", "vs_duplicate")
        auroc, *others = (cell(name, row.numbers[name], lambda note: "*") for name in shown)
        texts = (label, str(row.standing.rank or "null"), auroc, *others, row.verdict, row.status.shown)
        made.add_row(*(escape(text.replace(" (*)", "")) for text in texts))
    out.print(made)
    if (left := len(table.rows) - most) > 0:
        out.print(f"and {left} further arms, in {MARKDOWN}", soft_wrap=True)
    for record in table.failed:
        out.print(f"not finished: {record['name']}: {reason_of(record)}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(guarded(main))
