"""A sweep's table and figure, from the records that are there: CSV, Markdown, PNG."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.sweep.figure import draw_sweep
from benchmarks.sweep.rows import NUMBERS, Row, one_cell
from synthworth.artifacts import ensure_folder, write_bytes
from synthworth.escape import csv_cell, markdown_cell, markdown_text

TABLE, PAGE, FIGURE = "table.csv", "table.md", "figure.png"
SHOWN = {
    "auroc": "AUROC",
    "vs_none": "against real images alone",
    "vs_duplicate": "against duplicate",
    "worth": "worth",
}


def write_tables(rows: Sequence[Row], axes: Sequence[str], out: Path, *, title: str) -> list[Path]:
    """Write what there is; the files."""
    ensure_folder(out)
    files = [out / TABLE, out / PAGE]
    write_bytes(files[0], as_csv(rows, axes).encode())
    write_bytes(files[1], as_markdown(rows, axes, title=title, figure=False).encode())
    drawn = draw_sweep(out / FIGURE, rows, axes, title=title)
    if not drawn:
        (out / FIGURE).unlink(missing_ok=True)
    write_bytes(files[1], as_markdown(rows, axes, title=title, figure=drawn).encode())
    return [*files, out / FIGURE] if drawn else files


def as_csv(rows: Sequence[Row], axes: Sequence[str]) -> str:
    """All columns, a row a cell."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = [name for name in ("generator", "ratio", "generator_seed", "filters") if name not in axes]
    writer.writerow([*axes, *names, "seeds", "state", *NUMBERS, "run_id", "note"])
    for row in rows:
        own = [one_cell(getattr(row.spec, name)) for name in names]
        varied = [row.axes.get(name) for name in axes]
        numbers = [row.numbers[name] for name in NUMBERS]
        cells = [*varied, *own, row.spec.seeds, row.state, *numbers, row.spec.run_id, row.note]
        writer.writerow(map(csv_cell, cells))
    return text.getvalue()


def as_markdown(rows: Sequence[Row], axes: Sequence[str], *, title: str, figure: bool) -> str:
    """What people read first: the axes, and the numbers with their intervals."""
    done = sum(row.state == "done" for row in rows)
    lines = [f"# {markdown_text(title)}", "", f"{done} of {len(rows)} rows are done.", ""]
    if figure:
        lines += [f"![What each cell gains over real images alone]({FIGURE})", ""]
    heads = [*map(markdown_cell, axes), "state", *SHOWN.values()]
    lines += [f"| {' | '.join(heads)} |", "| " + " | ".join(["---"] * len(heads)) + " |"]
    for row in rows:
        cells = [said(row.axes.get(name)) for name in axes]
        cells += [row.state, *(interval(row.numbers, name, signed=name.startswith("vs_")) for name in SHOWN)]
        lines.append(f"| {' | '.join(cells)} |")
    for head, failed in (("What failed:", True), ("Notes:", False)):
        if notes := sorted({row.note for row in rows if row.note and (row.state == "failed") is failed}):
            lines += ["", head, "", *(f"- {markdown_text(note)}" for note in notes)]
    return "\n".join(lines) + "\n"


def said(value: Any) -> str:
    """A value of an axis as a cell."""
    if value is None:
        return ""
    return f"{value:g}" if isinstance(value, int | float) else markdown_cell(str(value))


def interval(numbers: Mapping[str, float | None], name: str, *, signed: bool = False) -> str:
    """`0.812 [0.790, 0.834]`; nothing where there is no number."""
    value, low, high = numbers[name], numbers[f"{name}_low"], numbers[f"{name}_high"]
    if value is None:
        return ""
    sign = "+" if signed else ""
    ends = ", ".join("..." if x is None else f"{x:{sign}.3f}" for x in (low, high))
    return f"{value:{sign}.3f}" + (f" [{ends}]" if (low, high) != (None, None) else "")
