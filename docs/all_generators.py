"""The table of all generators on both sets of films: `python docs/all_generators.py` writes it into docs/generators.md.

Its rows are those of docs/equal_operations.py, each at one number of steps of drawing.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
PAGE, RESULTS = ROOT / "docs/generators.md", ROOT / "results/reference/generators"
SETS = ("phantom", "medmnist")
STEPS, OWN = 10, {"consistency": 2}
"""Steps of drawing of a row, where it has steps; and of those that are made for others."""
HEAD = (
    "generator", "steps", "GFLOP of training", "GFLOP a film", "s per 1,000 films", "FD, rendered", "consistency",
    "recall", "FD, PneumoniaMNIST", "consistency", "recall",
)  # fmt: skip


def rows() -> dict[str, dict[str, Any]]:
    """Name of a row -> set -> what was measured there; None where it was not."""
    found = {films: json.loads((RESULTS / f"{films}.json").read_text(encoding="utf-8"))["rows"] for films in SETS}
    names = sorted(set().union(*found.values()), key=lambda name: (name.partition(",")[0], name))
    return {name: {films: found[films].get(name) for films in SETS} for name in names}


def drawn(name: str, row: dict[str, Any]) -> dict[str, Any]:
    """What a row draws in its number of steps."""
    steps = OWN.get(name.partition(",")[0], STEPS)
    (at,) = (at for at in row["draws"] if at["steps"] in (None, steps))
    found: dict[str, Any] = at
    return found


def table_of(found: dict[str, dict[str, Any]]) -> str:
    """A row a generator or variant, as Markdown; what was not run is empty."""
    lines = ["| " + " | ".join(HEAD) + " |", "| --- |" + " ---: |" * (len(HEAD) - 1)]
    for name, row in found.items():
        first = next(one for one in row.values() if one is not None)
        at = drawn(name, first)
        seconds = at.get("seconds_per_1000")
        cells = [f"`{name}`", "" if at["steps"] is None else str(at["steps"]), f"{first['gflop']:,.0f}",
                 f"{first['gflop_a_prediction'] * at['predictions']:.2g}",
                 "" if seconds is None else f"{seconds:.2g}" if seconds < 10 else f"{seconds:.0f}"]  # fmt: skip
        for films in SETS:
            if row[films] is None:
                cells += [""] * 3
                continue
            at = drawn(name, row[films])
            cells += [f"{at['fd']:.0f}", f"{at['consistency_auroc']:.2f}", f"{at['recall']:.2f}"]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def filled(page: str, table: str) -> str:
    """The page with the table below its mark."""
    before, mark, after = page.partition("<!-- table: both sets -->\n")
    assert mark, f"{PAGE.name} has no mark of the table"
    rest = after.lstrip("\n")
    rest = rest.partition("\n\n")[2] if rest.startswith("|") else rest
    return f"{before}{mark}\n{table}\n\n{rest}"


if __name__ == "__main__":
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), table_of(rows())), encoding="utf-8")
