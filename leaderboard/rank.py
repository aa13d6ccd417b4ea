"""The order of a table: ranks that the predictions can tell apart, differences to the controls, Holm's p."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.records.predictions import PREDICTIONS, Entry, read_auroc
from benchmarks.request.controls import Controls
from benchmarks.request.spec import NONE, is_real_only
from benchmarks.statistics.multiple import holm
from benchmarks.verdicts.equal_compute import unequal
from synthworth.errors import Unavailable
from synthworth.progress import track

if TYPE_CHECKING:
    from benchmarks.statistics.sampled import Sampled

REFERENCES = (NONE, "duplicate")
"""The controls that a table shows differences to."""


@dataclass(frozen=True)
class Standing:
    """Where an arm stands in its table.

    Parameters
    ----------
    rank : 1 is best; shared by arms that cannot be told apart; None where it cannot be said.
    against : comparison (as in a record) with each of `REFERENCES` that there is one with.
    holm : Holm-adjusted p (of the interval, over seeds and patients) of the comparison with real images alone.
    missing : why `rank` or a reference is not there.
    """

    entry: Entry
    rank: int | None
    against: Mapping[str, Mapping[str, Any]]
    holm: float | None
    missing: Mapping[str, str]


def stand(entries: Sequence[Entry]) -> list[Standing]:
    """Order the arms of one table by AUROC and compare them; no two may be the same arm.

    An arm shares the rank of the arm at the head of its rank group unless the paired 95 % interval of their
    difference excludes 0; then it is the head of the next group, whose rank is one more than the number of arms
    before it. From one seed nothing is told apart.
    """
    ordered = sorted(entries, key=lambda e: (e.auroc is None, -(e.auroc or 0.0), e.run_id))
    made, missing = _replicates(ordered)
    ranks = _ranks([e for e in ordered if e.run_id in made], made)
    against, reasons = {}, {}
    controls = {name: Controls((e for e in ordered if e.spec["generator"] == name), _spec) for name in REFERENCES}
    for entry in ordered:
        against[entry.run_id], reasons[entry.run_id] = _against(entry, controls, made)
    with_none = [e.run_id for e in ordered if NONE in against[e.run_id]]
    adjusted = dict(zip(with_none, holm([against[i][NONE]["p_interval"] for i in with_none]), strict=True))
    return [
        Standing(
            entry,
            ranks.get(entry.run_id),
            against[entry.run_id],
            adjusted.get(entry.run_id),
            reasons[entry.run_id] | ({"rank": missing[entry.run_id]} if entry.run_id in missing else {}),
        )
        for entry in ordered
    ]


def _replicates(ordered: Sequence[Entry]) -> tuple[dict[str, Sampled], dict[str, str]]:
    """Replicates by run id, and for the others the reason; all of them can be paired with each other."""
    made: dict[str, Sampled] = {}
    missing: dict[str, str] = {}
    for entry in track(ordered, "comparing arms", unit="arms"):
        try:
            found = read_auroc(entry)
            found.interval()  # what has none cannot be told from another arm
        except Unavailable as reason:
            missing[entry.run_id] = str(reason)
            continue
        first = next(iter(made.values()), found)
        if found.design != first.design:
            missing[entry.run_id] = f"{PREDICTIONS} is of another test set than the arms above"
        else:
            made[entry.run_id] = found
    return made, missing


def _spec(entry: Entry) -> Mapping[str, Any]:
    return entry.spec


def _ranks(ordered: Sequence[Entry], made: Mapping[str, Sampled]) -> dict[str, int]:
    from benchmarks.statistics.compare import told_apart

    ranks: dict[str, int] = {}
    head, rank = None, 0
    for place, entry in enumerate(ordered, start=1):
        mine = made[entry.run_id]
        if head is None or told_apart(head, mine):
            head, rank = mine, place
        ranks[entry.run_id] = rank
    return ranks


def _against(
    entry: Entry, controls: Mapping[str, Controls[Entry]], made: Mapping[str, Sampled]
) -> tuple[dict[str, Mapping[str, Any]], dict[str, str]]:
    """Comparisons with the references: the record's own, else from the predictions of the control in the table."""
    from benchmarks.statistics.compare import compare

    found: dict[str, Mapping[str, Any]] = {}
    reasons: dict[str, str] = {}
    for control in REFERENCES:
        recorded = entry.record["comparisons"].get(control)
        twin = controls[control].of(entry.spec)
        if entry.spec["generator"] == NONE:
            reasons[control] = "real images alone are what the other arms are compared with"
        elif entry is twin or (twin is None and entry.spec["generator"] == control):
            reasons[control] = "this arm is the control itself"
        elif recorded is not None:
            found[control] = recorded
        elif twin is None and is_real_only(entry.spec):
            reasons[control] = f"a classical remedy has no ratio at which there would be a {control} arm"
        elif twin is None:
            reasons[control] = f"no finished {control} arm to compare with in this setting, at this ratio and mode"
        elif entry.run_id in made and twin.run_id in made:
            pair = made[entry.run_id], made[twin.run_id]
            names = {"name_a": entry.record["name"], "name_b": twin.record["name"]}
            found[control] = {
                "run_id": twin.run_id,
                **compare(*pair, **names).to_json(),
                "unequal": unequal(entry.record["training"], twin.record["training"]),
            }
        else:
            reasons[control] = "not in the record, and predictions are missing to compute it"
    return found, reasons
