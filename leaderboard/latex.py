"""A table as LaTeX, with booktabs: the columns of a paper, every text escaped."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.report.footnotes import Notes
from leaderboard.tables import Row, Table
from leaderboard.text import cell
from synthworth.printable import one_line

COLUMNS = {
    "auroc": "AUROC", "vs_none": "minus none", "holm_none": "Holm $p$", "vs_duplicate": "minus duplicate",
    "holm_duplicate": "Holm $p$", "worth": "worth", "auprc": "AUPRC",
    "sensitivity_at_95_specificity": r"sens.\ at 95\,\% spec.\ on val",
}  # fmt: skip
DISTANCES = {"fid": "FID", "fd_efficientnet_lite0": "FD (EfficientNet-Lite0)"}
"""The last column: of a table the first of these that an arm of it has, else the first."""
ESCAPED = str.maketrans({
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "%": r"\%", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", '"': r"\textquotedbl{}", "-": r"{-}", "`": r"\textasciigrave{}",
})  # fmt: skip
"""What LaTeX would obey, and pairs of signs that it would join."""


def latex_text(text: str) -> str:
    """Text as it is in LaTeX, on one line: no command, group, formula, column or comment is begun."""
    return one_line(text).translate(ESCAPED)


def latex(tables: Sequence[Table]) -> str:
    r"""Every table as a `table` with `booktabs`, ready for `\input`; notes stand below it, controls below a rule."""
    return "\n".join(("% \\usepackage{booktabs}", *map(_table_text, tables)))


def _table_text(table: Table) -> str:
    notes = Notes()
    judged = [row for row in table.rows if row.kind == "judged"]
    apart = [row for row in table.rows if row.kind != "judged"]
    columns = _columns(table)
    titles = ["rank", "arm", "situation", *columns.values(), "status"]
    lines = [
        r"\begin{table}", r"\centering\small", rf"\caption{{{latex_text(table.heading)}}}",
        rf"\label{{tab:{table.key}}}", rf"\begin{{tabular}}{{rll{'r' * len(columns)}l}}", r"\toprule",
        rf"{' & '.join(titles)} \\", r"\midrule",
    ]  # fmt: skip
    lines += [rf"{' & '.join(_cells(row, notes, columns))} \\" for row in judged]
    if apart:
        lines += [
            *([r"\midrule"] if judged else []),
            *(rf"{' & '.join(_cells(row, notes, columns))} \\" for row in apart),
        ]
    for record in table.failed:
        lines.append(rf"-- & {latex_text(record['name'])} & \multicolumn{{{len(columns) + 2}}}{{l}}{{not finished}} \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par ({mark}) {latex_text(note)}" for note, mark in notes.marks.items()]
    return "\n".join([*lines, r"\end{table}", ""])


def _columns(table: Table) -> dict[str, str]:
    """Number -> heading of the columns of a table."""
    measured = [name for name in DISTANCES if any(row.numbers[name].value is not None for row in table.rows)]
    distance = [*measured, *DISTANCES][0]
    return COLUMNS | {distance: DISTANCES[distance]}


def _cells(row: Row, notes: Notes, columns: Iterable[str]) -> list[str]:
    standing = row.standing
    rank = str(standing.rank) if standing.rank else f"null ({notes.mark(standing.missing['rank'])})"
    numbers = (latex_text(cell(name, row.numbers[name], notes.mark)) for name in columns)
    status = row.status.shown + (f" ({notes.mark(row.contaminated)})" if row.contaminated else "")
    return [rank, latex_text(row.label), row.situation, *numbers, latex_text(status)]
