"""Old records in today's statistics: `python -m benchmarks.reanalyse --results DIR --out DIR`."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below: they take a moment
    from synthworth.interrupts import hear

    hear()

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.records.store import WORTH, Records, copies_of
from benchmarks.report.tables import console
from benchmarks.request.spec import ANALYSIS
from benchmarks.verdicts.again import Finished, judge_again
from benchmarks.verdicts.elsewhere_again import elsewhere_again
from synthworth.commands import OK, guarded
from synthworth.errors import Unavailable, UserError


@dataclass(frozen=True)
class ReanalyseOptions:
    """Judge finished records again by today's statistics, from their stored predictions; nothing is trained."""

    out: Path
    """Folder that takes the new records; the old ones stay as they are."""
    results: Path = Path("results/runs")
    """Folder of the records. A record that is compared with others needs them in the same folder."""


def main(args: Sequence[str]) -> int:
    """Read, judge, write, and say which verdicts begin with another word."""
    options = tyro.cli(ReanalyseOptions, args=list(args), prog="python -m benchmarks.reanalyse")
    records, written = Records(options.results), Records(options.out)
    if options.out.resolve() == options.results.resolve():
        raise UserError(f"--out {options.out} is the folder of the records; name another, so that the old ones stay")
    shelf, out = records.read(), console()
    if not shelf.finished:
        unread = f" that can be read ({shelf.unread[0]})" if shelf.unread else ""
        raise UserError(f"no finished record{unread} in {options.results.resolve()}; name the folder with --results")
    for line in shelf.unread:
        out.print(f"not read: {line}", markup=False, soft_wrap=True)
    written.tidy()
    finished = []
    for entry in shelf.finished:
        try:
            finished.append((entry, Finished.of(entry)))
        except (ValueError, Unavailable) as reason:
            out.print(f"left out: {entry.record['name']} ({entry.run_id[:12]}): {reason}", markup=False, soft_wrap=True)
    finished = list({one.run_id: (entry, one) for entry, one in finished}.values())  # one arm in two analyses is one
    every = [one for _, one in finished]
    changed = n_written = 0
    for entry, one in finished:
        try:
            record = judge_again(one, every) | elsewhere_again(one, every)
        except (UserError, Unavailable) as reason:
            out.print(f"left out: {entry.record['name']} ({entry.run_id[:12]}): {reason}", markup=False, soft_wrap=True)
            continue
        written.write(record, _companions(entry.folder, record))
        n_written += 1
        if (was := _word(entry.record)) != (now := _word(record)):
            changed += 1
            out.print(f"{record['name']} ({one.spec['dataset']}): {was} -> {now}", markup=False, soft_wrap=True)
    out.print(f"{n_written} records in analysis {ANALYSIS} in {options.out}; {changed} verdicts changed their word")
    return OK


def _word(record: Any) -> str:
    """What a verdict begins with."""
    return str(record["verdict"]).partition(".")[0]


def _companions(folder: Path, record: Any) -> dict[str, Any]:
    """What stands beside a record, copied; the picture of the worth is drawn again."""
    from benchmarks.report.figures.worth import draw_worth

    files: dict[str, Any] = copies_of(folder, but=(WORTH,))
    if record["worth"]:
        auroc, name = record["utility"]["auroc"], record["name"]
        files[WORTH] = lambda to: draw_worth(to, record["worth"], auroc, name=name)
    return files


if __name__ == "__main__":
    sys.exit(guarded(main))
