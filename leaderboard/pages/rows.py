"""The rows of the site's table as its script reads them: a column a list, texts and notes once."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.records.shape import reason_of
from benchmarks.request.situations import situation_of
from leaderboard.contamination import contamination_of
from leaderboard.numbers import Number
from leaderboard.pages.columns import columns, parts_of
from leaderboard.pages.names import generator_page
from leaderboard.pages.worth import short_heading
from leaderboard.suite import dataset_of
from leaderboard.tables import Row, Table
from synthworth.printable import one_line

TEXTS = (
    "arm",
    "situation",
    "verdict",
    "status",
    "dataset",
    "classifier",
    "generator",
    "run",
    "kind",
    "word",
    "page",
    "beside",
)
"""Columns of text; each is a list of what stands in it, and by row the place in that list."""
NOTED = ("status", "contaminated", "rank")
"""What has a note beside the numbers."""
CORRECTED = ("holm_none", "holm_duplicate")
"""Numbers that stand in the cell of their gain, and in no column of their own."""
DIGITS = 5
"""Significant digits of a number on the page; the CSV has all of them."""
NOT_FINISHED = "unfinished"
NO_PLACE = "not judged: it has no place among the generators, which are read against it"


class Texts:
    """Texts by the place where they first came."""

    def __init__(self) -> None:
        self.places: dict[str, int] = {}

    def place(self, text: str) -> int:
        """The place of a text, which is printable on one line."""
        return self.places.setdefault(one_line(text), len(self.places))


def table_data(tables: Sequence[Table]) -> dict[str, Any]:
    """Every arm of every table, finished or not, in the order of the tables and of their ranks.

    Returns
    -------
    dict
        `columns`; `settings` (heading, the same in short, key, over how many comparisons p is corrected); `setting`
        (place by row); `texts` and `codes` by column of text; `numbers` by column of numbers: lists of values and of
        their parts, null where there is none; `notes`; and `why`, by column the place of a note by row, -1 where there
        is none.
    """
    texts = {name: Texts() for name in TEXTS}
    codes: dict[str, list[int]] = {name: [] for name in TEXTS}
    notes = Texts()
    shown = columns()
    numbered = [c["id"] for c in shown if c["id"] not in (*TEXTS, "rank", "real_fraction")] + list(CORRECTED)
    numbers: dict[str, dict[str, list[Any]]] = {
        name: {part: [] for part in ("value", *parts_of(name))} for name in numbered
    }
    numbers |= {"rank": {"value": [], "tied": []}, "real_fraction": {"value": []}}
    why: dict[str, list[int]] = {name: [] for name in (*numbered, *NOTED)}
    setting: list[int] = []
    for place, table in enumerate(tables):
        every = [(*_of_row(row), row.tied) for row in table.rows]
        every += [(*_of_unfinished(record), False) for record in table.failed]
        for words, found, said, tied in every:
            setting.append(place)
            words |= {"dataset": dataset_of(table.setting), "classifier": str(table.setting["classifier"])}
            for name in TEXTS:
                codes[name].append(texts[name].place(words[name]))
            for name in numbered:
                number = found.get(name)
                for part, values in numbers[name].items():
                    values.append(_short(getattr(number, part)) if number else None)
                why[name].append(notes.place(number.note) if number and number.note else -1)
            numbers["rank"]["value"].append(found["rank"].value)
            numbers["rank"]["tied"].append(int(tied))
            numbers["real_fraction"]["value"].append(table.setting["real_fraction"])
            for name in NOTED:
                why[name].append(notes.place(text) if (text := said[name]) else -1)
    return {
        "columns": shown,
        "settings": [
            {
                "heading": one_line(t.heading), "short": one_line(short_heading(t)), "key": t.key,
                "corrected": t.corrected,
            }
            for t in tables
        ],
        "setting": setting, "texts": {name: list(one.places) for name, one in texts.items()}, "codes": codes,
        "numbers": numbers, "notes": list(notes.places), "why": why,
    }  # fmt: skip


Said = dict[str, str | None]


def _of_row(row: Row) -> tuple[dict[str, str], dict[str, Number], Said]:
    """Texts, numbers and notes of an arm."""
    standing = row.standing
    words = {
        "arm": row.label, "situation": row.situation, "verdict": row.verdict, "status": row.status.word,
        "generator": str(standing.entry.spec["generator"]), "run": standing.entry.run_id[:16], "kind": row.kind,
        "word": row.word.kind.name.lower(), "page": generator_page(str(standing.entry.spec["generator"])),
        "beside": row.status.beside,
    }  # fmt: skip
    rank = Number(row.place, note=standing.missing.get("rank") or (None if row.kind == "judged" else NO_PLACE))
    said: Said = {"status": row.status.why, "contaminated": row.contaminated, "rank": rank.note}
    return words, {**row.numbers, "rank": rank}, said


def _of_unfinished(record: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Number], Said]:
    """The same of an arm that did not finish: no number, and why."""
    spec, reason = record["spec"], reason_of(record)
    words = {
        "arm": str(record["name"]), "situation": situation_of(spec), "verdict": "not finished",
        "beside": "", "status": str(record["status"]), "generator": str(spec["generator"]),
        "run": str(record["run_id"])[:16],
        "kind": NOT_FINISHED, "word": "not_compared", "page": generator_page(str(spec["generator"])),
    }  # fmt: skip
    said: Said = {"status": reason, "contaminated": contamination_of(spec), "rank": "not finished"}
    return words, {"rank": Number(None)}, said


def _short(value: Any) -> Any:
    """A number with the digits that a page shows."""
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def as_script(data: Mapping[str, Any]) -> str:
    """The data as a script that gives it a name: a page opened from disk can fetch nothing, but run a script beside it.

    Text from records is inside JSON, in which `<`, `>`, `&` and the line ends of JavaScript are escaped.
    """
    text = json.dumps(data, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    for sign in "<>&":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return f"globalThis.LEADERBOARD = {text};\n"
