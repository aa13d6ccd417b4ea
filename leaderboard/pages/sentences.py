"""The sentences on the front page: what the records come to, and no more than their intervals say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from benchmarks.statistics.word import too_few_seeds
from benchmarks.verdicts.verdict import Kind
from leaderboard.pages.svg import minus
from leaderboard.suite import Suite, dataset_of
from leaderboard.tables import SEEN, Row, Table

SIGNIFICANT = 0.05
MOST_NAMED = 4
OVER = "help over real images alone"
CONTROLS = (("duplicate", "duplicates"), ("holdout_real", "further real images"))


def sentences(tables: Sequence[Table]) -> list[str]:
    """What was judged; what was shown to help; what duplicates and further real images came to.

    An arm that may have seen the films is counted apart, and in no finding.
    """
    every = [(table, row) for table in tables for row in table.rows if row.kind == "judged"]
    judged = [row for _, row in every if not row.contaminated]
    said = [_what(tables, every), _helps(judged), _controls(tables, judged)]
    if seen := len(every) - len(judged):
        said[1] += f" {_many(seen, 'arm')} more {'has' if seen == 1 else 'have'} a part that {SEEN}: not counted here."
    return said


def of_suite(suite: Suite, tables: Sequence[Table]) -> str:
    """Of which suite the page is, and which of its datasets have no record yet."""
    lacking = suite.not_begun([row.standing.entry.spec for table in tables for row in table.rows])
    said = f"Suite {suite.name} of {suite.date}"
    return said + (f"; no record yet of: {', '.join(lacking)}." if lacking else ", with records of all its datasets.")


def _what(tables: Sequence[Table], every: Sequence[tuple[Table, Row]]) -> str:
    datasets = {dataset_of(table.setting) for table, _ in every}
    generators = {row.standing.entry.spec["generator"] for _, row in every}
    runs, failed = sum(len(table.rows) for table in tables), sum(len(table.failed) for table in tables)
    said = (
        f"{_many(len(generators), 'generator')} on {_many(len(datasets), 'dataset')}: "
        f"{_many(len(every), 'arm')} judged, among {_many(runs, 'finished run')} with their controls"
    )
    return said + (f"; {_many(failed, 'run')} did not finish." if failed else ".")


def _helps(judged: Sequence[Row]) -> str:
    if not judged:
        return "No generator has a finished run yet."
    lied = [row for row in judged if row.standing.contradicted]
    few = [row for row in judged if row not in lied and too_few_seeds(_seeds(row))]
    rest = [row for row in judged if row not in few and row not in lied]
    kinds = Counter(row.word.kind for row in rest)
    helpful = [row for row in rest if row.word.kind is Kind.HELPS]
    said = []
    if rest:
        said.append(_share(len(helpful), len(rest), "judged arm is", "judged arms are") + f" shown to {OVER}")
    if helpful:
        by = Counter(f"{row.standing.entry.spec['generator']}, {row.situation}" for row in helpful)
        said[0] += f" ({'; '.join(f'{name}: {n}' for name, n in by.most_common(MOST_NAMED))}"
        said[0] += f"; and {len(by) - MOST_NAMED} more)" if len(by) > MOST_NAMED else ")"
    said += [f"{kinds[Kind.HURTS]} {'hurts' if kinds[Kind.HURTS] == 1 else 'hurt'}"] if kinds[Kind.HURTS] else []
    if few:
        seeds = sorted({_seeds(row) for row in few})
        fewest = f"{seeds[0]} seed{'s' * (seeds[0] != 1)}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
        said.append(f"of {_many(len(few), 'arm')} it could not have been shown with {fewest}")
    said += [f"{_many(len(lied), 'arm')} {'is' if len(lied) == 1 else 'are'} contradicted"] if lied else []
    text = "; ".join(said)
    return text[0].upper() + text[1:] + "."


def _seeds(row: Row) -> int:
    return int(row.standing.entry.spec["seeds"])


def _controls(tables: Sequence[Table], judged: Sequence[Row]) -> str:
    """Who beats duplicates, and where duplicates and held-out real images were shown to help themselves."""
    compared = [
        row for row in judged if row.numbers["vs_duplicate"].value is not None and not too_few_seeds(_seeds(row))
    ]
    above = [row for row in compared if _above(row)]
    said = []
    if compared:
        said.append(
            _share(len(above), len(compared), "is", "are") + " shown to beat real images drawn again (duplicates)"
        )
    said += filter(None, (_in_settings(tables, *one) for one in CONTROLS))
    if not said:
        return "No arm could be compared with real images drawn again (duplicates) yet."
    text = "; ".join(said)
    return text[0].upper() + text[1:] + "."


def _in_settings(tables: Sequence[Table], name: str, called: str) -> str | None:
    """In how many settings a control is shown to help; its gain with its interval where it has one arm."""
    found = [
        [r for r in table.rows if r.standing.entry.spec["generator"] == name and r.numbers["vs_none"].value is not None]
        for table in tables
        if not too_few_seeds(table.setting["seeds"])
    ]
    found = [rows for rows in found if rows]
    if not found:
        return None
    shown = sum(any(row.word.kind is Kind.HELPS for row in rows) for rows in found)
    said = f"{called} are shown to {OVER} in {shown} of {_many(len(found), 'setting')}"
    if len(found) > 1 or len(found[0]) > 1:
        return said
    gain = found[0][0].numbers["vs_none"]
    return said + minus(f" (AUROC {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}])")


def _above(row: Row) -> bool:
    gain, p = row.numbers["vs_duplicate"], row.numbers["holm_duplicate"].value
    return gain.low is not None and gain.low > 0 and p is not None and p < SIGNIFICANT


def _share(n: int, of: int, one: str, many: str) -> str:
    return f"{'None' if n == 0 else n} of {of} {one if of == 1 else many}"


def _many(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
