"""What is printed of other test sets and of corrupted test images. Reads records, computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from benchmarks.report.tables import number, table
from data.corruptions import CORRUPTIONS

if TYPE_CHECKING:
    from rich.console import Console


def print_elsewhere(out: Console, records: Sequence[Mapping[str, Any]]) -> None:
    """AUROC of every arm on every other test set, beside that on its own, and how far the two are apart."""
    title = "AUROC on other test sets, beside the own test split"
    made = table(title, ("arm", "test set", "films", "patients", "there", "here", "here minus there"), left=2)
    notes: dict[str, None] = {}
    for record in records:
        for name, part in record.get("elsewhere", {}).items():
            there, apart = part["utility"]["auroc"], part["apart"]
            made.add_row(
                escape(record["name"]), escape(name), str(there["n"]), str(part["n_patients"]), number(there),
                number(record["utility"]["auroc"]), signed(apart),
            )  # fmt: skip
            notes |= {f"{name}: {n} films left out, {reason}": None for reason, n in part["left_out"].items() if n}
            notes |= {f"{name}: {n} {what} shared with the experiment": None for what, n in part["shared"].items() if n}
            notes |= {f"null: {note}": None for note in (there["note"],) if there["value"] is None}
            notes |= {f"null: {apart['note']}": None for _ in (1,) if apart["difference"] is None}
    if made.row_count:
        out.print(made)
    for note in notes:
        out.print(escape(note), soft_wrap=True)


def print_robustness(out: Console, records: Sequence[Mapping[str, Any]]) -> None:
    """AUROC of every arm on corrupted test images: the mean, what is lost, and from strength 1 to 5 by corruption."""
    columns = ("arm", "corrupted", "lost", *(f"{name} 1..5" for name in CORRUPTIONS))
    made = table("AUROC on corrupted test images (mean of five corruptions at five strengths)", columns)
    notes: dict[str, None] = {}
    for record in records:
        if part := record.get("robustness"):
            every = (part["auroc"].get(name, ()) for name in CORRUPTIONS)
            ends = (f"{_short(rows[0])} .. {_short(rows[-1])}" if rows else "" for rows in every)
            made.add_row(escape(record["name"]), number(part["auroc_corrupted"]), signed(part["lost"]), *ends)
            if part["auroc_corrupted"]["value"] is None:
                notes |= {f"null: {part['auroc_corrupted']['note']}": None}
    if made.row_count:
        out.print(made)
    for note in notes:
        out.print(escape(note), soft_wrap=True)


def print_verdicts_elsewhere(out: Console, records: Sequence[Mapping[str, Any]]) -> None:
    """The verdict on each of these arms on each other test set, and on corrupted images; each names its test set."""
    for record in records:
        parts = [*record.get("elsewhere", {}).values(), *filter(None, [record.get("robustness")])]
        for part in parts:
            out.print(escape(f"VERDICT  {part['verdict']}"), style="bold", soft_wrap=True)
        for name, part in record.get("elsewhere", {}).items():
            for control, row in part["comparisons"].items():
                if row["apart"]["difference"] is not None:
                    out.print(
                        escape(f"  gain over {control} here minus that on {name}: {signed(row['apart'])}"),
                        soft_wrap=True,
                    )


def signed(row: Mapping[str, Any]) -> str:
    """`+0.012 [-0.001, +0.025]`, or `null`."""
    if row["difference"] is None:
        return "null"
    return f"{row['difference']:+.3f} [{row['low']:+.3f}, {row['high']:+.3f}]"


def _short(value: Mapping[str, Any]) -> str:
    return "null" if value["value"] is None else f"{value['value']:.3f}"
