"""The picture on the front page: what an added image was worth, by generator and situation, between the controls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from leaderboard.pages.intervals import Line, Mark, draw_lines
from leaderboard.pages.svg import Chart, minus
from leaderboard.suite import dataset_of
from leaderboard.tables import SEEN, Row, Table

TITLE = "What one added image was worth, in real images"
CAPTION = (
    "Each line is one experiment: the dot is the worth, the line its 95 % interval; an arrow leaves the range that was "
    "measured. Squares are controls: real images drawn again (duplicate) and further real images (holdout_real)."
)
AXIS = "worth of one added image, in further real images"
MARKS = (Mark(0, "adds nothing", kind="zero"), Mark(1, "as good as a real image", kind="one"))
CONTROLS = {"duplicate": "duplicates of the real images", "holdout_real": "further real images"}
MOST_TABLES, MOST_ARMS = 4, 8
FLAT = "curve too flat to read"
OF_SEEN = f" Pale: a part of the arm was trained elsewhere, and {SEEN}."
HEAD = ("setting", "arm", "situation", "kind", "worth", "low", "high", "where", "note", "contaminated", "run_id")


def worth_of(row: Row) -> dict[str, Any] | None:
    """The worth of an arm as its predictions have it; None where there is no learning curve."""
    found = row.standing.worth or {}
    return dict(found) if found.get("where") and row.standing.contradicted is None else None


def said_of(worth: dict[str, Any]) -> str:
    """A worth in a few words: the number with its interval, or why there is none."""
    low, high = (None if worth[end] is None else minus(f"{worth[end]:.2f}") for end in ("low", "high"))
    if worth["worth"] is not None:
        return f"{minus(format(worth['worth'], '.2f'))} [{low or '…'}, {high or '…'}]"
    if low is None and high is None:
        return FLAT
    return f"below {high}" if low is None else f"above {low}" if high is None else f"{low} to {high}"


def front_chart(tables: Sequence[Table], name: str = "worth") -> Chart | None:
    """The picture over the settings in which a generator's worth was measured; None where there is none.

    Of a setting it has the judged arms in the order of their names, and of each control the arms at their ratios.
    Nothing here is chosen by how well it did. A setting whose learning curve is too flat for any worth is one line,
    below the others: all of its arms stand in the numbers.

    Parameters
    ----------
    name : of the files of the picture.
    """
    chosen = [(table, rows) for table in tables if (rows := _rows(table))]
    if not chosen:
        return None
    chosen = sorted(chosen, key=lambda pair: (_is_flat(pair[1]), -len(pair[1])))
    left, chosen, n_left = len(chosen) - MOST_TABLES, chosen[:MOST_TABLES], 0
    lines: list[Line] = []
    numbers: list[tuple[Any, ...]] = []
    seen = False
    for table, rows in chosen:
        if _is_flat(rows):
            lines.append(Line(short_heading(table), heading=True))
            lines.append(Line(f"all {len(rows)} arms" if len(rows) > 1 else rows[0].named, text=FLAT))
            numbers += [_numbers(table, row) for row in rows]
            continue
        for situation in dict.fromkeys(row.situation for row in rows):
            lines.append(Line(f"{short_heading(table)} · {situation}", heading=True))
            mine = [row for row in rows if row.situation == situation]
            n_left += max(len(mine) - MOST_ARMS, 0)
            drawn = mine[:MOST_ARMS]
            for row in [*drawn, *_controls(table, drawn)]:
                seen = seen or bool(row.contaminated)
                lines.append(_line(row, worth_of(row) or {}))
                numbers.append(_numbers(table, row))
    return Chart(
        name,
        TITLE,
        CAPTION + (OF_SEEN if seen else "") + _without(tables) + _left_out(left, n_left),
        lambda width: draw_lines(lines, MARKS, AXIS, width),
        HEAD,
        tuple(numbers),
    )


def _is_flat(rows: Sequence[Row]) -> bool:
    """Whether the curve of a setting says nothing of any of these arms."""
    return all(said_of(worth_of(row) or {}) == FLAT for row in rows)


def _numbers(table: Table, row: Row) -> tuple[Any, ...]:
    worth = worth_of(row) or {}
    return (
        table.heading, row.label, row.situation, row.kind, worth["worth"], worth["low"], worth["high"], worth["where"],
        worth["note"], row.contaminated, row.standing.entry.run_id,
    )  # fmt: skip


def _without(tables: Sequence[Table]) -> str:
    """How many judged arms have no worth, by situation; nothing where all have one."""
    left = Counter(r.situation for table in tables for r in table.rows if r.kind == "judged" and not worth_of(r))
    if not left:
        return ""
    counted = ", ".join(f"{situation} {n}" for situation, n in left.most_common())
    has, them = ("arm has", "it") if left.total() == 1 else ("arms have", "them")
    return f" {left.total()} judged {has} gains but no worth: run {them} with --curve ({counted})."


def _left_out(n_settings: int, n_arms: int) -> str:
    """How many settings and arms with a worth the picture has no room for."""
    said = [f"{n_arms} further arms of these settings"] if n_arms else []
    said += [f"{n_settings} further settings"] if n_settings > 0 else []
    return f" {' and '.join(said)} are in the table." if said else ""


def _line(row: Row, worth: dict[str, Any]) -> Line:
    control = row.kind != "judged"
    generator = row.standing.entry.spec["generator"]
    ratio = f", ratio {row.standing.entry.spec['ratio']:g}"
    label = CONTROLS[generator] + ratio if control and generator in CONTROLS else row.named
    colour = {"duplicate": "s2", "holdout_real": "s3"}.get(generator, "control") if control else "s1"
    return Line(label, worth["worth"], worth["low"], worth["high"], colour, said_of(worth), control,
                faint=bool(row.contaminated))  # fmt: skip


def _rows(table: Table) -> list[Row]:
    found = [row for row in table.rows if row.kind == "judged" and worth_of(row)]
    return sorted(found, key=lambda row: (row.situation, row.label))


def _controls(table: Table, beside: Sequence[Row]) -> list[Row]:
    """Of each control the arm at each ratio of `beside` that has a worth, the first of its trainings."""
    spec = lambda row: row.standing.entry.spec  # noqa: E731
    found = []
    for name in CONTROLS:
        for ratio in sorted({spec(row)["ratio"] for row in beside}):
            arms = [r for r in table.rows if spec(r)["generator"] == name and spec(r)["ratio"] == ratio and worth_of(r)]
            found += sorted(arms, key=lambda row: (spec(row)["generator_seed"], row.label))[:1]
    return found


def short_heading(table: Table) -> str:
    """A setting in a few words: dataset, size and share of the real patients."""
    setting = table.setting
    named = dataset_of(setting)
    size = setting["data"].get("size")
    share = setting["real_fraction"]
    parts = [named + (f", {size} px" if size else "")]
    if share != 1:
        parts.append(f"{100 * share:g} % of the real patients")
    trained = next((r.standing.entry.record["audit"]["n_images"]["train"] for r in table.rows), None)
    if trained is not None:
        parts.append(f"{trained:,} real training images")
    return ", ".join(parts)
