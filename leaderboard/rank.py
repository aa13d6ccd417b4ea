"""The order of a table: ranks that the predictions can tell apart, differences to the controls, Holm's p."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.judging.positive_control import POSITIVE
from benchmarks.records.predictions import PREDICTIONS, Contradicted, Entry
from benchmarks.request.controls import Controls
from benchmarks.request.spec import ANALYSIS, NONE, is_real_only, is_zero_line
from benchmarks.statistics.multiple import holm
from benchmarks.verdicts.again import worth_again
from benchmarks.verdicts.differing import differing, in_words_of
from benchmarks.verdicts.equal_compute import unequal
from benchmarks.verdicts.recheck import believed_utility, compared_again, further_of, positive_again
from synthworth.errors import Unavailable
from synthworth.progress import track

if TYPE_CHECKING:
    from benchmarks.statistics.sampled import Sampled

NOT_MADE_AGAIN = "as the record says: it could not be made again from the predictions of both arms"
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
    noted : by control, in what the record's comparison differed from its predictions; `against` has theirs.
    contradicted : why nothing that rests on the predictions is believed of the record; None where it is.
    positive : the positive control of the record, as its predictions have it where they are in the table.
    worth : what an added image was worth, as the predictions have it where the arms of the curve are in the table.
    doubted : by number of `utility`, or `worth`: why what the record says of it is not believed.
    """

    entry: Entry
    rank: int | None
    against: Mapping[str, Mapping[str, Any]]
    holm: float | None
    missing: Mapping[str, str]
    noted: Mapping[str, str] = field(default_factory=dict)
    contradicted: str | None = None
    positive: Mapping[str, Any] | None = None
    worth: Mapping[str, Any] | None = None
    doubted: Mapping[str, str] = field(default_factory=dict)


@dataclass
class _Sampled:
    """What the predictions of a table's arms give, by run id; all AUROC can be paired with each other."""

    auroc: dict[str, Sampled] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)
    """Why an arm has none."""
    contradicted: set[str] = field(default_factory=set)
    """Those whose record says another thing."""
    doubted: dict[str, dict[str, str]] = field(default_factory=dict)
    """What of the others' records is not borne out."""


def stand(entries: Sequence[Entry]) -> list[Standing]:
    """Order the arms of one table by AUROC and compare them; no two may be the same arm.

    An arm shares the rank of the arm at the head of its rank group unless the paired 95 % interval of their
    difference excludes 0; then it is the head of the next group, whose rank is one more than the number of arms
    before it. From one seed nothing is told apart. An arm whose record says another thing than its predictions stands
    last.
    """
    by_auroc = sorted(entries, key=lambda e: (e.auroc is None, -(e.auroc or 0.0), e.run_id))
    table = _sample(by_auroc)
    made, missing = table.auroc, table.missing
    ordered = sorted(by_auroc, key=lambda e: e.run_id in table.contradicted)
    ranks = _ranks([e for e in ordered if e.run_id in made], made)
    against, reasons, noted, positives, worths = {}, {}, {}, {}, {}
    controls = {name: Controls((e for e in ordered if e.spec["generator"] == name), _spec) for name in REFERENCES}
    zero = next((made[e.run_id] for e in ordered if is_zero_line(e.spec) and e.run_id in made), None)
    alone = [(e.record, made[e.run_id]) for e in ordered if e.spec["generator"] == NONE and e.run_id in made]
    known = {e.run_id: e for e in ordered if e.run_id in made}
    for entry in ordered:
        i = entry.run_id
        against[i], reasons[i] = _against(entry, controls, made)
        if i in table.contradicted:
            reasons[i] |= dict.fromkeys(against.pop(i), missing[i])
            against[i] = {}
        against[i], noted[i] = _made_again(entry, against[i], made, known)
        positives[i], note = _positive_again(entry, made, zero)
        noted[i] |= {POSITIVE: note} if note else {}
        worths[i], doubt = _worth_again(entry, made, alone)
        table.doubted[i] = table.doubted.get(i, {}) | ({"worth": doubt} if doubt else {})
    with_none = [e.run_id for e in ordered if NONE in against[e.run_id]]
    adjusted = dict(zip(with_none, holm([against[i][NONE]["p_interval"] for i in with_none]), strict=True))
    return [
        Standing(
            entry,
            ranks.get(entry.run_id),
            against[entry.run_id],
            adjusted.get(entry.run_id),
            reasons[entry.run_id] | ({"rank": missing[entry.run_id]} if entry.run_id in missing else {}),
            noted[entry.run_id],
            missing[entry.run_id] if entry.run_id in table.contradicted else None,
            positives[entry.run_id],
            worths[entry.run_id],
            table.doubted[entry.run_id],
        )
        for entry in ordered
    ]


def _sample(ordered: Sequence[Entry]) -> _Sampled:
    """What the predictions give: of one test set, the one that most arms have (of as many, the first arm's)."""
    table = _Sampled()
    for entry in track(ordered, "comparing arms", unit="arms"):
        i = entry.run_id
        try:  # what has no interval cannot be told from another arm
            table.auroc[i], table.doubted[i] = believed_utility(entry)
        except Unavailable as reason:
            table.missing[i] = str(reason)
            table.contradicted |= {i} if isinstance(reason, Contradicted) else set()
    designs = Counter(found.design for found in table.auroc.values())
    common = max(designs, key=lambda design: designs[design], default=None)
    for i in [i for i, found in table.auroc.items() if found.design != common]:
        del table.auroc[i]
        table.missing[i] = f"{PREDICTIONS} is of another test set than those of the other arms"
    return table


def _made_again(
    entry: Entry, against: Mapping[str, Mapping[str, Any]], made: Mapping[str, Sampled], known: Mapping[str, Entry]
) -> tuple[dict[str, Mapping[str, Any]], dict[str, str]]:
    """Every comparison of the record with an arm of the table, made again; in what the record differed, by control."""
    found: dict[str, Mapping[str, Any]] = {**against}
    noted: dict[str, str] = {}
    recorded = {
        name: row for name, row in entry.record["comparisons"].items() if name in against or entry.run_id in made
    }
    for control, row in recorded.items():
        if entry.run_id not in made or row["run_id"] not in made:
            noted[control] = NOT_MADE_AGAIN
            continue
        pair = made[entry.run_id], made[row["run_id"]]
        training = [e.record["training"] for e in (entry, known[row["run_id"]])]
        try:
            further = further_of(*pair, entry.spec["margin"], training)
            found[control], note = compared_again(row, *pair, analysis=entry.spec["analysis"], further=further)
        except Unavailable as reason:
            found[control], note = row, f"cannot be made again from the predictions: {reason}"
        if note:
            noted[control] = note
    return found, noted


def _positive_again(
    entry: Entry, made: Mapping[str, Sampled], zero: Sampled | None
) -> tuple[Mapping[str, Any] | None, str | None]:
    """The positive control of the record, made again where the predictions are in the table; in what it differed."""
    recorded = entry.record.get("positive_control")
    if recorded is None or zero is None or recorded["run_id"] not in made:
        return recorded, None
    try:
        return positive_again(recorded, made[recorded["run_id"]], zero, analysis=entry.spec["analysis"])
    except Unavailable as reason:
        return recorded, f"positive control: cannot be made again from the predictions: {reason}"


def _worth_again(
    entry: Entry, made: Mapping[str, Sampled], alone: Sequence[tuple[Mapping[str, Any], Sampled]]
) -> tuple[Mapping[str, Any] | None, str | None]:
    """The worth of the record, measured again where the predictions are in the table; in what it differed."""
    recorded = entry.record.get("worth")
    if recorded is None or entry.run_id not in made or entry.spec["analysis"] != ANALYSIS:
        return recorded, None
    try:
        again = worth_again(recorded, made[entry.run_id], alone)
    except (Unavailable, ValueError) as reason:
        return recorded, f"not measured again from the predictions: {reason}"
    if lines := list(differing(again, recorded)):
        return again, f"the record says another thing than its predictions: {lines[0]}"
    return in_words_of(again, recorded), None


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
