"""The sentences on the front page: what the records come to, and no more than their intervals say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from benchmarks.verdicts.verdict import Kind
from leaderboard.pages.svg import minus
from leaderboard.pages.worth import dataset_of, worth_of
from leaderboard.tables import Row, Table

SIGNIFICANT = 0.05
MOST_NAMED = 4


def sentences(tables: Sequence[Table]) -> list[str]:
    """What was judged; what was shown to help; what duplicates and further real images came to."""
    judged = [row for table in tables for row in table.rows if row.kind == "judged"]
    return [_what(tables, judged), _helps(judged), _controls(tables, judged)]


def _what(tables: Sequence[Table], judged: Sequence[Row]) -> str:
    datasets = {dataset_of(table.setting) for table in tables}
    generators = {row.standing.entry.spec["generator"] for row in judged}
    runs, failed = sum(len(table.rows) for table in tables), sum(len(table.failed) for table in tables)
    said = (
        f"{_many(len(generators), 'generator')} on {_many(len(datasets), 'dataset')}: "
        f"{_many(len(judged), 'arm')} judged, among {_many(runs, 'finished run')} with their controls"
    )
    return said + (f"; {_many(failed, 'run')} did not finish." if failed else ".")


def _helps(judged: Sequence[Row]) -> str:
    if not judged:
        return "No generator has a finished run yet."
    kinds = Counter(row.word.kind for row in judged)
    helpful = [row for row in judged if row.word.kind is Kind.HELPS]
    said = (
        _share(len(helpful), len(judged), "judged arm is", "judged arms are") + " shown to help over real images alone"
    )
    if helpful:
        by = Counter(f"{row.standing.entry.spec['generator']}, {row.situation}" for row in helpful)
        said += f" ({'; '.join(f'{name}: {n}' for name, n in by.most_common(MOST_NAMED))}"
        said += f"; and {len(by) - MOST_NAMED} more)" if len(by) > MOST_NAMED else ")"
    said += f"; {kinds[Kind.HURTS]} {'hurts' if kinds[Kind.HURTS] == 1 else 'hurt'}" if kinds[Kind.HURTS] else ""
    others = len(judged) - len(helpful) - kinds[Kind.HURTS]
    return said + (f"; of {others} {'neither is' if kinds[Kind.HURTS] else 'it is not'} shown." if others else ".")


def _controls(tables: Sequence[Table], judged: Sequence[Row]) -> str:
    """Who beats duplicates, and what duplicates and held-out real images came to themselves."""
    compared = [row for row in judged if row.numbers["vs_duplicate"].value is not None]
    above = [row for row in compared if _above(row)]
    said = []
    if compared:
        said.append(
            _share(len(above), len(compared), "is", "are") + " shown to beat real images drawn again (duplicates)"
        )
    worths = {}
    for name, called in (("duplicate", "a duplicate"), ("holdout_real", "a further real image")):
        rows = [row for table in tables for row in table.rows if row.standing.entry.spec["generator"] == name]
        found = [w["worth"] for row in rows if (w := worth_of(row)) and w["worth"] is not None]
        if found:
            worths[called] = _range(found)
    said += [f"{called} measured {worth}" for called, worth in worths.items()]
    if not said:
        return "No arm could be compared with real images drawn again (duplicates) yet."
    text = "; ".join(said) + (" on the scale of worth" if worths else "")
    return text[0].upper() + text[1:] + "."


def _above(row: Row) -> bool:
    gain, p = row.numbers["vs_duplicate"], row.numbers["holm_duplicate"].value
    return gain.low is not None and gain.low > 0 and p is not None and p < SIGNIFICANT


def _range(values: Sequence[float]) -> str:
    low, high = (minus(f"{end(values):.2f}") for end in (min, max))
    return low if low == high else f"{low} to {high}"


def _share(n: int, of: int, one: str, many: str) -> str:
    return f"{'None' if n == 0 else n} of {of} {one if of == 1 else many}"


def _many(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
