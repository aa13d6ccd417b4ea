"""The sentences on the front page: what the records come to, and no more than their intervals say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from benchmarks.statistics.word import too_few_seeds
from benchmarks.verdicts.verdict import Kind
from leaderboard.pages.svg import minus
from leaderboard.suite import Suite, dataset_of
from leaderboard.tables import SEEN, Row, Table

SIGNIFICANT = 0.05
MOST_NAMED = 4
OVER = "help over real images alone"
BEATS = "beat real images drawn again (duplicates)"
BY_THEMSELVES = "by their own records alone"
CONTROLS = (("duplicate", "duplicates"), ("holdout_real", "further real images"))


def sentences(tables: Sequence[Table]) -> list[str]:
    """What was judged; what was shown to help; what duplicates and further real images came to.

    An arm that may have seen the films is counted apart, and in no finding. So is one that is only claimed; where
    nothing was made again, what the records say of themselves is told as that.
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
    said = _share_that(rest, _helpful, ("judged arm is", "judged arms are"), OVER)
    if few:
        seeds = sorted({_seeds(row) for row in few})
        fewest = f"{seeds[0]} seed{'s' * (seeds[0] != 1)}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]} seeds"
        said.append(f"of {_many(len(few), 'arm')} it could not have been shown with {fewest}")
    said += [f"{_many(len(lied), 'arm')} {'is' if len(lied) == 1 else 'are'} contradicted"] if lied else []
    return _sentence(said)


def _share_that(rows: Sequence[Row], does: Callable[[Row], bool], arms: tuple[str, str], what: str) -> list[str]:
    """How many of these arms are shown to do what, which of them help, and how many hurt; claims apart."""
    if not rows:
        return []
    made, claims = [row for row in rows if _made(row)], [row for row in rows if not _made(row)]
    counted = made or claims
    found = [row for row in counted if does(row)]
    said = _share(len(found), len(counted), *arms) + f" {'shown' if made else 'said'} to {what}"
    said = said if made else f"{BY_THEMSELVES}, {said}"
    every = [said]
    if does is _helpful:
        every[0] += _which(found)
        hurtful = sum(row.word.kind is Kind.HURTS for row in counted)
        every += [f"{hurtful} {'hurts' if hurtful == 1 else 'hurt'}"] if hurtful else []
    if made and claims:
        n = sum(map(does, claims))
        every.append(
            f"not counted: {_many(len(claims), 'arm')} that {'is' if len(claims) == 1 else 'are'} only claimed "
            f"({BY_THEMSELVES} {n or 'none'} {'do' if n > 1 else 'does'})"
        )
    return every


def _made(row: Row) -> bool:
    """Whether its numbers were made again here, or its run was."""
    return row.status.word != "claimed"


def _helpful(row: Row) -> bool:
    return row.word.kind is Kind.HELPS


def _which(helpful: Sequence[Row]) -> str:
    """Generators and situations of these arms, the commonest first."""
    if not helpful:
        return ""
    by = Counter(f"{row.standing.entry.spec['generator']}, {row.situation}" for row in helpful)
    named = "; ".join(f"{name}: {n}" for name, n in by.most_common(MOST_NAMED))
    return f" ({named}; and {len(by) - MOST_NAMED} more)" if len(by) > MOST_NAMED else f" ({named})"


def _sentence(parts: Sequence[str]) -> str:
    text = "; ".join(parts)
    return text[0].upper() + text[1:] + "."


def _seeds(row: Row) -> int:
    return int(row.standing.entry.spec["seeds"])


def _controls(tables: Sequence[Table], judged: Sequence[Row]) -> str:
    """Who beats duplicates, and where duplicates and held-out real images were shown to help themselves."""
    compared = [
        row for row in judged if row.numbers["vs_duplicate"].value is not None and not too_few_seeds(_seeds(row))
    ]
    said = _share_that(compared, _above, ("is", "are"), BEATS)
    said += filter(None, (_in_settings(tables, *one) for one in CONTROLS))
    return _sentence(said or ["no arm could be compared with real images drawn again (duplicates) yet"])


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
    made = [again for rows in found if (again := [row for row in rows if _made(row)])]
    claims = [rows for rows in found if not any(map(_made, rows))]
    counted = made or claims
    said = f"{called} are {'shown' if made else 'said'} to {OVER} in {_settings(counted)}"
    said = said if made else f"{BY_THEMSELVES}, {said}"
    if made and claims:
        return f"{said}, and {BY_THEMSELVES} in {_settings(claims)} more"
    if len(counted) > 1 or len(counted[0]) > 1:
        return said
    gain = counted[0][0].numbers["vs_none"]
    return said + minus(f" (AUROC {gain.value:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}])")


def _settings(rows_of: Sequence[Sequence[Row]]) -> str:
    """In how many of these settings an arm helps."""
    return f"{sum(any(map(_helpful, rows)) for rows in rows_of)} of {_many(len(rows_of), 'setting')}"


def _above(row: Row) -> bool:
    gain, p = row.numbers["vs_duplicate"], row.numbers["holm_duplicate"].value
    return gain.low is not None and gain.low > 0 and p is not None and p < SIGNIFICANT


def _share(n: int, of: int, one: str, many: str) -> str:
    return f"{'None' if n == 0 else n} of {of} {one if of == 1 else many}"


def _many(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
