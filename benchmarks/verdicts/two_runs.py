"""Two finished runs against each other, from their stored predictions, and what is said of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.records.predictions import Entry, read_auroc
from benchmarks.request.spec import common_setting
from benchmarks.verdicts.equal_compute import unequal
from benchmarks.verdicts.explain import explain_difference
from benchmarks.verdicts.verdict import Kind, word_of
from synthworth.errors import Unavailable, UserError

SAID = {
    Kind.HELPS: "is BETTER than", Kind.HURTS: "is WORSE than", Kind.UNEQUAL: "is NOT COMPARED AT EQUAL COMPUTE with",
}  # fmt: skip
"""How the last line says a word; every other word is that the two are not shown to differ."""


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
        "differing": _differing(a.spec, b.spec),
        "unequal": unequal(a.record["training"], b.record["training"]),
        "equivalence": equal,
    }


def _differing(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[str]:
    mine, other = common_setting(a), common_setting(b)
    return [name for name in mine if mine[name] != other[name]]


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
