"""Tables from records alone: `python -m leaderboard.build [--results DIR ...] [--out DIR]`."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below: they take a moment
    from synthworth.interrupts import hear

    hear()

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from benchmarks.judging.later import complete
from benchmarks.records.predictions import Entry
from benchmarks.records.shape import reason_of
from benchmarks.records.store import Records
from leaderboard.figures import draw_figures
from leaderboard.tables import Table, make_tables, over_tables
from leaderboard.text import cell, csv_text, markdown
from synthworth.artifacts import ensure_folder, write_bytes
from synthworth.commands import OK, guarded
from synthworth.errors import UserError
from synthworth.registry import load_plugin_file

if TYPE_CHECKING:
    from rich.console import Console

MARKDOWN, CSV = "leaderboard.md", "leaderboard.csv"
MOST_PRINTED = 200
"""Most arms of a table that are printed, the best; all of them stand in the files."""


@dataclass(frozen=True)
class BuildOptions:
    """Rank the arms of every setting from their records, and write the tables as Markdown and CSV, with figures."""

    results: tuple[Path, ...] = (Path("results/runs"),)
    """Folders of records; a run that is in several of them counts once."""
    plugin: tuple[Path, ...] = ()
    """Python files that register metrics: what records lack of them is computed from their stored predictions."""
    out: Path = Path("leaderboard/site")
    """Folder that takes leaderboard.md, leaderboard.csv and the figures."""
    figures: int = 20
    """Most tables that figures are drawn of, those with the most arms; 0 for none."""


@dataclass(frozen=True)
class Found:
    """What the folders hold: finished runs, unfinished ones, and what cannot be read or believed, with the reason."""

    entries: tuple[Entry, ...]
    failed: tuple[Mapping[str, Any], ...]
    skipped: tuple[str, ...]


def collect(folders: Sequence[Path]) -> Found:
    """Read every record in the folders; of several with one run id, the first finished one counts.

    Raises
    ------
    UserError
        For a folder that is not there, and when there is no record in any of them.
    """
    entries: dict[str, Entry] = {}
    failed: dict[str, Mapping[str, Any]] = {}
    skipped = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"--results {folder}: no such folder. Run python -m benchmarks.run first, or name another")
        shelf = Records(folder).read()
        skipped += shelf.unread
        for entry in shelf.finished:
            entries.setdefault(entry.run_id, entry)
        for entry in shelf.unfinished:
            failed.setdefault(entry.run_id, entry.record)
    if not entries and not failed:
        where = ", ".join(str(f) for f in folders)
        unread = f"; not read: {skipped[0]}" if skipped else ""
        unread += f"; and {len(skipped) - 1} more" if len(skipped) > 1 else ""
        raise UserError(
            f"there is no record in {where}{unread}. Run python -m benchmarks.run first, or name another --results"
        )
    unfinished = tuple(record for run_id, record in failed.items() if run_id not in entries)
    return Found(tuple(entries.values()), unfinished, tuple(skipped))


def main(args: Sequence[str]) -> int:
    """Read, rank, write, print.

    Returns
    -------
    int
        The exit code.
    """
    options = tyro.cli(BuildOptions, args=list(args), prog="python -m leaderboard.build")
    for plugin in options.plugin:
        load_plugin_file(plugin)
    found = collect(options.results)
    entries = [Entry(complete(entry, plugins=options.plugin), entry.folder) for entry in found.entries]
    tables = make_tables(entries, found.failed)
    ensure_folder(options.out)
    largest = {t.key for t in sorted(tables, key=lambda t: -len(t.rows))[: max(options.figures, 0)]}
    figures = {table.key: draw_figures(table, options.out) for table in tables if table.key in largest}
    over = over_tables(tables)
    pages = {MARKDOWN: markdown(tables, found.skipped, figures, over), CSV: csv_text(tables)}
    for name, text in pages.items():
        write_bytes(options.out / name, text.encode())
    from benchmarks.report.tables import console

    out = console()
    for table in tables:
        print_table(out, table)
    for line in over:
        out.print(f"VERDICT  {line}", style="bold", markup=False, soft_wrap=True)
    if len(largest) < len(tables):
        out.print(f"figures of the {len(largest)} tables with the most arms, of {len(tables)} (--figures)")
    for line in found.skipped:
        out.print(f"not read: {line}", markup=False, soft_wrap=True)
    for name in (*pages, *(figure.path for drawn in figures.values() for figure in drawn)):
        out.print(f"written {options.out / name}", markup=False, soft_wrap=True)
    return OK


def print_table(out: Console, table: Table) -> None:
    """The short form of a table; the Markdown holds all of it."""
    from rich.markup import escape

    from benchmarks.report.tables import table as empty

    columns = ("arm", "rank", "AUROC", "minus none", "Holm p", "minus duplicate", "verdict")
    made = empty(escape(table.heading), columns)
    for row in table.rows[:MOST_PRINTED]:
        label = row.label + (" (control)" if row.standing.entry.record["is_control"] else "")
        shown = ("auroc", "vs_none", "holm_none", "vs_duplicate")
        auroc, *others = (cell(name, row.numbers[name], lambda note: "*") for name in shown)
        texts = (label, str(row.standing.rank or "null"), auroc, *others, row.verdict)
        made.add_row(*(escape(text.replace(" (*)", "")) for text in texts))
    out.print(made)
    if (left := len(table.rows) - MOST_PRINTED) > 0:
        out.print(f"and {left} further arms, in {MARKDOWN}", soft_wrap=True)
    for record in table.failed:
        out.print(f"not finished: {record['name']}: {reason_of(record)}", markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(guarded(main))
