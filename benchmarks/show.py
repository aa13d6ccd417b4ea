"""One record in full: `python -m benchmarks.show RUN_ID`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.markup import escape

from benchmarks.cli import OK, guarded
from benchmarks.explain import explain
from benchmarks.records import Records
from benchmarks.report import console, number, print_places, print_verdicts, table


@dataclass(frozen=True)
class ShowOptions:
    """Print a record: every metric with its interval, the comparisons, the counts, the cost, where it was made."""

    run_id: Annotated[str, tyro.conf.Positional]
    """The run's id, or its first digits."""
    results: Path = Path("results/runs")
    """Folder of the records."""
    json: bool = False
    """Print the record as it is stored."""
    explain: bool = False
    """Print how the verdict was reached, step by step."""


def main(args: Sequence[str]) -> int:
    """Print one record."""
    options = tyro.cli(ShowOptions, args=list(args), prog="python -m benchmarks.show")
    record = Records(options.results).match(options.run_id)
    if options.json:
        print(json.dumps(record, indent=1))
        return OK
    out = console()
    out.print(f"{record['name']}  {record['run_id']}  {record['status']}", markup=False)
    if record["status"] != "ok":
        out.print(record["error"], markup=False)
        return OK
    if options.explain:
        for line in explain(record):
            out.print(line, markup=False, soft_wrap=True)
        return OK
    _print_metrics(out, record)
    _print_comparisons(out, record)
    _print_counts(out, record)
    for title, part in (
        ("spec", record["spec"]),
        ("cost", record["cost"]),
        ("provenance", record["provenance"]),
    ):
        out.print(title, style="bold")
        out.print_json(json.dumps(part))
    for line in record["audit"]["warnings"]:
        out.print(f"audit: {line}", markup=False)
    print_verdicts(out, [record])
    print_places(out, options.results, [record])
    return OK


def _print_metrics(out: Any, record: dict[str, Any]) -> None:
    for part in ("utility", "fidelity"):
        made = table(part, ("metric", "value", "n", "better", "floor", "note"))
        for name, value in record[part].items():
            floor = value["extra"].get("floor")
            made.add_row(
                escape(name), number(value, 4), str(value["n"]), value["direction"],
                "" if floor is None else f"{floor:.4g}", escape(value["note"] or ""),
            )  # fmt: skip
        if made.row_count:
            out.print(made)


def _print_comparisons(out: Any, record: dict[str, Any]) -> None:
    made = table("AUROC, paired difference", ("against", "difference", "95 % interval", "sign-flip p"))
    for control, row in record["comparisons"].items():
        made.add_row(
            escape(control), f"{row['difference']:+.4f}", f"[{row['low']:+.4f}, {row['high']:+.4f}]",
            f"{row['p_value']:.3f}",
        )  # fmt: skip
    if made.row_count:
        out.print(made)


def _print_counts(out: Any, record: dict[str, Any]) -> None:
    made = table("training images by class", ("class", "real", "synthetic"))
    for name in record["classes"]:
        made.add_row(escape(name), *(str(record["counts"][kind][name]) for kind in ("real", "synthetic")))
    out.print(made)


if __name__ == "__main__":
    sys.exit(guarded(main))
