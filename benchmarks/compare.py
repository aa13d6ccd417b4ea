"""Two finished runs against each other, from their stored predictions: `python -m benchmarks.compare RUN_A RUN_B`."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below: they take a moment
    from synthworth.interrupts import hear

    hear()

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from benchmarks.records.predictions import Entry, read_auroc
from benchmarks.records.shape import FINISHED, reason_of
from benchmarks.records.store import Records
from benchmarks.report.tables import console
from benchmarks.request.spec import SETTING
from benchmarks.verdicts.equal_compute import unequal
from benchmarks.verdicts.explain import explain_difference
from benchmarks.verdicts.verdict import Kind, word_of
from synthworth.commands import OK, guarded
from synthworth.errors import Unavailable, UserError

SAID = {
    Kind.HELPS: "is BETTER than", Kind.HURTS: "is WORSE than", Kind.UNEQUAL: "is NOT COMPARED AT EQUAL COMPUTE with",
}  # fmt: skip
"""How the last line says a word; every other word is that the two are not shown to differ."""


@dataclass(frozen=True)
class CompareOptions:
    """Compare two finished runs, pair by pair of classifier seeds, on the same test patients.

    Any two arms, two trainings of one generator (--generator-seed), two classifiers.
    """

    run_a: Annotated[str, tyro.conf.Positional]
    """The first run's id, or its first digits."""
    run_b: Annotated[str, tyro.conf.Positional]
    """The second's; what is printed is the first minus the second."""
    results: Path = Path("results/runs")
    """Folder of the records."""
    margin: float = 0.01
    """Difference of AUROC within which the two count as equivalent, where the data show that."""
    json: bool = False
    """Print JSON."""


def compare_runs(a: Entry, b: Entry, *, margin: float) -> dict[str, Any]:
    """The paired comparison of AUROC of two runs, as in a record's `comparisons`, with their names and what differs.

    Raises
    ------
    UserError
        When they cannot be paired: other test images, root seed or number of seeds; predictions that are missing.
    """
    from benchmarks.statistics.compare import compare
    from benchmarks.statistics.equivalence import equivalence

    try:
        mine, other = read_auroc(a), read_auroc(b)
    except Unavailable as reason:
        raise UserError(f"{a.record['name']} and {b.record['name']} cannot be compared: {reason}") from reason
    try:
        found = compare(mine, other, name_a=a.record["name"], name_b=b.record["name"]).to_json()
        equal = equivalence(mine.minus(other), margin=margin)
    except Unavailable as reason:
        raise UserError(f"{a.record['name']} and {b.record['name']} cannot be compared: {reason}") from reason
    except ValueError as error:
        raise UserError(f"{error}. Runs of one dataset, root seed (--seed) and number of seeds can be") from error
    return {
        **found,
        "run_a": a.run_id,
        "run_b": b.run_id,
        "differing": [name for name in SETTING if a.spec[name] != b.spec[name]],
        "unequal": unequal(a.record["training"], b.record["training"]),
        "equivalence": equal,
    }


def sentences(row: Mapping[str, Any]) -> list[str]:
    """A comparison of two runs in lines of plain text, the verdict last."""
    found = word_of(row)
    word = SAID.get(found.kind, "is NOT SHOWN TO DIFFER from")
    small = "" if found.below is None else f", by less than the margin of {found.below:g}"
    said = (
        f"{row['a']} {word} {row['b']}{small}: AUROC {row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"
    )
    lines = list(explain_difference(row["a"], row["b"], row))
    if row["differing"]:
        lines.append(f"  the two also differ in {', '.join(row['differing'])}: this is not the images' doing alone")
    return [*lines, said]


def main(args: Sequence[str]) -> int:
    """Print the comparison."""
    options = tyro.cli(CompareOptions, args=list(args), prog="python -m benchmarks.compare")
    if not 0 < options.margin < 1:
        raise UserError(f"--margin {options.margin} was asked for; it is a difference of AUROC between 0 and 1")
    records = Records(options.results)
    a, b = (_entry(records, prefix) for prefix in (options.run_a, options.run_b))
    found = compare_runs(a, b, margin=options.margin)
    if options.json:
        print(json.dumps(found, indent=1))
        return OK
    out = console()
    for line in sentences(found):
        out.print(line, markup=False, soft_wrap=True)
    return OK


def _entry(records: Records, prefix: str) -> Entry:
    record = records.match(prefix)
    if record["status"] != FINISHED:
        raise UserError(f"{record['name']} ({prefix}) has not finished: {reason_of(record)}")
    return Entry(record, records.path(record["run_id"]))


if __name__ == "__main__":
    sys.exit(guarded(main))
