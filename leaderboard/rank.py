"""The order of a table: ranks that the predictions can tell apart, differences to the controls, Holm's p."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from benchmarks.judging.positive_control import POSITIVE
from benchmarks.records.predictions import PREDICTIONS, Entry
from benchmarks.request.controls import Controls
from benchmarks.request.spec import ANALYSIS, NONE, is_real_only, is_zero_line
from benchmarks.statistics.multiple import holm
from leaderboard.judge import Arm, Judge, Row, apart_by_claims
from synthworth.progress import track

NOT_MADE_AGAIN = "as the record says: it could not be made again from the predictions of both arms"
NO_PREDICTIONS = "not in the record, and predictions are missing to compute it"
CLAIM = "nothing was made again from the predictions in this build (--recompute)"
OLDER = "not measured again (python -m benchmarks.reanalyse does)"
REFERENCES = (NONE, "duplicate")
"""The controls that a table shows differences to."""
SHOWN = (*REFERENCES, "worth")
"""What a table shows beside AUROC: the status of a row is that of these."""


@dataclass(frozen=True)
class Standing:
    """Where an arm stands in its table.

    Parameters
    ----------
    rank : 1 is best; shared by arms that cannot be told apart; None where it cannot be said.
    against : comparison (as in a record) with each of `REFERENCES` that there is one with.
    holm : Holm-adjusted p (of the interval, over seeds and patients) of the comparison with real images alone.
    missing : why `rank` or a reference is not there.
    noted : by control, what is to be said of a comparison beside its own note.
    contradicted : in what the record says another thing than its predictions: AUROC, a comparison, the positive control
        or the worth. Then nothing of it is believed or shown. None where nothing is.
    positive : the positive control of the record, as its predictions have it where they are in the table.
    worth : what an added image was worth, as the predictions have it where the arms of the curve are in the table.
    doubted : by number of `utility`, or `worth`: why what the record says of it is not believed.
    claimed : why AUROC, a difference that is shown, or the worth is the record's word; None where all of these were
        made again from the predictions.
    beside : which further controls could not be compared again; None where all were.
    holm_duplicate : as `holm`, of the comparison with duplicates.
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
    claimed: str | None = None
    beside: str | None = None
    holm_duplicate: float | None = None


def stand(entries: Sequence[Entry], judge: Judge | None = None) -> list[Standing]:
    """Order the arms of one table by AUROC and compare them; no two may be the same arm.

    An arm shares the rank of the arm at the head of its rank group unless the paired 95 % interval of their
    difference excludes 0; then it is the head of the next group, whose rank is one more than the number of arms
    before it. From one seed nothing is told apart. Two arms of which one is a claim are told apart by what their
    records say (`apart_by_claims`). An arm whose record says another thing than its predictions stands last.

    Parameters
    ----------
    judge : who knows what the predictions say; by default everything is made again from them.
    """
    judge = judge or Judge()
    by_auroc = sorted(entries, key=lambda e: (e.auroc is None, -(e.auroc or 0.0), e.run_id))
    table = _look_at(by_auroc, judge)
    ordered = sorted(by_auroc, key=lambda e: table.arms[e.run_id].contradicted)
    controls = {name: Controls((e for e in ordered if e.spec["generator"] == name), _spec) for name in REFERENCES}
    made = [_standing(entry, table, controls, judge) for entry in track(ordered, "comparing arms", unit="arms")]
    made = sorted(made, key=lambda one: one.contradicted is not None)
    ranks = _ranks([one.entry for one in made if "rank" not in one.missing], table, judge)
    adjusted = {name: _holm(made, name) for name in REFERENCES}
    return [
        replace(
            one,
            rank=ranks.get(one.entry.run_id),
            holm=adjusted[NONE].get(one.entry.run_id),
            holm_duplicate=adjusted["duplicate"].get(one.entry.run_id),
        )
        for one in made
    ]


@dataclass
class _Table:
    """What is known of the arms of a table, by run id."""

    arms: dict[str, Arm]
    known: dict[str, Entry]
    """Those whose predictions were used, now or in an earlier build: all can be paired with each other."""
    missing: dict[str, str]
    """Why an arm cannot be ranked."""
    zero: Entry | None = None
    alone: list[Entry] = field(default_factory=list)


def _look_at(ordered: Sequence[Entry], judge: Judge) -> _Table:
    """What is known of each arm: of one test set, the one that most arms have (of as many, the first arm's)."""
    arms = {e.run_id: judge.arm(e) for e in track(ordered, "looking at arms", unit="arms")}
    missing = {i: arm.missing for i, arm in arms.items() if arm.missing is not None}
    missing |= {e.run_id: _no_auroc(e) for e in ordered if e.auroc is None and e.run_id not in missing}
    designs = Counter(arm.design for arm in arms.values() if arm.design is not None)
    common = max(designs, key=lambda design: designs[design], default=None)
    for i, arm in arms.items():
        if arm.design not in (None, common):
            missing[i] = f"{PREDICTIONS} is of another test set than those of the other arms"
    known = {e.run_id: e for e in ordered if arms[e.run_id].recomputed and e.run_id not in missing}
    zero = next((e for e in known.values() if is_zero_line(e.spec)), None)
    return _Table(arms, known, missing, zero, [e for e in known.values() if e.spec["generator"] == NONE])


def _no_auroc(entry: Entry) -> str:
    return str(entry.record["utility"]["auroc"]["note"])


def _standing(entry: Entry, table: _Table, controls: Mapping[str, Controls[Entry]], judge: Judge) -> Standing:
    """What is said of one arm; its ranks come later."""
    i, arm = entry.run_id, table.arms[entry.run_id]
    if arm.contradicted:
        return _not_believed(entry, table.missing[i])
    against, reasons = _against(entry, controls, table, judge)
    again = _Again()
    against = _made_again(entry, against, table, judge, again)
    positive = _positive_again(entry, table, judge, again)
    worth, doubt = _worth_again(entry, table, judge, again)
    if again.lies:
        return _not_believed(entry, "; ".join(again.lies))
    claimed, beside = _claimed(arm, table.missing.get(i), again.left)
    return Standing(
        entry,
        None,
        against,
        None,
        reasons | ({"rank": table.missing[i]} if i in table.missing else {}),
        again.noted,
        None,
        positive,
        worth,
        {**arm.doubted, **({"worth": doubt} if doubt else {})},
        claimed=claimed,
        beside=beside,
    )


def _not_believed(entry: Entry, why: str) -> Standing:
    """An arm whose record says another thing than its predictions: nothing of it stands."""
    return Standing(entry, None, {}, None, dict.fromkeys((*REFERENCES, "rank"), why), contradicted=why)


@dataclass
class _Again:
    """What came of making the comparisons of one record again."""

    noted: dict[str, str] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)
    """Which could not be made again."""
    lies: list[str] = field(default_factory=list)
    """In what the record says another thing than the predictions of both arms."""


def _claimed(arm: Arm, missing: str | None, left: Sequence[str]) -> tuple[str | None, str | None]:
    """Why the numbers of a row count as claimed, None where they were made again; and what else was not."""
    if not arm.recomputed:
        return missing or CLAIM, None
    said = [[name for name in left if (name in SHOWN) is shown] for shown in (True, False)]
    claimed, beside = (f"not made again: {', '.join(names)}" if names else None for names in said)
    return claimed, beside


def _made_again(entry: Entry, against: Mapping[str, Row], table: _Table, judge: Judge, told: _Again) -> dict[str, Row]:
    """Every comparison of the record with an arm of the table, made again where both have their predictions."""
    found: dict[str, Row] = {**against}
    is_known = entry.run_id in table.known
    for control, row in entry.record["comparisons"].items():
        if control not in against and not is_known:
            continue
        other = table.known.get(row["run_id"])
        again = judge.compared_again(entry, control, other) if is_known and other is not None else None
        if again is not None:
            found[control], note, lies = again
            told.lies += [f"against {control}: {note}"] if lies else []
            told.left += [control] if note and not lies else []
        else:
            found[control] = row
            told.left.append(control)
            note = None if _is_claim(table, entry) else NOT_MADE_AGAIN
        if note:
            told.noted[control] = note
    return found


def _is_claim(table: _Table, entry: Entry) -> bool:
    """Whether nothing of an arm was made again, by choice and not because it could not be."""
    return not table.arms[entry.run_id].recomputed and entry.run_id not in table.missing


def _positive_again(entry: Entry, table: _Table, judge: Judge, told: _Again) -> Row | None:
    """The positive control of the record, made again where it is known."""
    recorded = entry.record.get("positive_control")
    if recorded is None:
        return None
    control = table.known.get(recorded["run_id"])
    again = None
    if table.zero is not None and control is not None:
        again = judge.positive_again(entry, control, table.zero)
    found, note, lies = again if again is not None else (recorded, None, False)
    if note:
        told.noted[POSITIVE] = note
    told.lies += [note] if note and lies else []
    told.left += ["positive control"] if again is None or (note and not lies) else []
    return found


def _worth_again(entry: Entry, table: _Table, judge: Judge, told: _Again) -> tuple[Row | None, str | None]:
    """The worth of the record, measured again where that is known; and what is to be said of it."""
    recorded = entry.record.get("worth")
    if recorded is None:
        return None, None
    again = None
    if entry.run_id in table.known and entry.spec["analysis"] == ANALYSIS:
        again = judge.worth_again(entry, table.alone)
    elif entry.run_id in table.known:
        again = recorded, f"of analysis {entry.spec['analysis']}, which measured otherwise: {OLDER}", False
    found, note, lies = again if again is not None else (recorded, None, False)
    told.lies += [f"worth: {note}"] if note and lies else []
    told.left += ["worth"] if again is None or (note and not lies) else []
    return found, note


def _spec(entry: Entry) -> Mapping[str, Any]:
    return entry.spec


def _ranks(ordered: Sequence[Entry], table: _Table, judge: Judge) -> dict[str, int]:
    ranks: dict[str, int] = {}
    head, rank = None, 0
    for place, entry in enumerate(ordered, start=1):
        if head is None or _apart(head, entry, table, judge):
            head, rank = entry, place
        ranks[entry.run_id] = rank
    return ranks


def _apart(head: Entry, mine: Entry, table: _Table, judge: Judge) -> bool:
    both = head.run_id in table.known and mine.run_id in table.known
    found = judge.apart(head, mine) if both else None
    return apart_by_claims(head, mine) if found is None else found


def _holm(standings: Sequence[Standing], control: str) -> dict[str, float]:
    """Holm-adjusted p of the comparisons with a control, over the table, by run id."""
    rows = {one.entry.run_id: one.against[control]["p_interval"] for one in standings if control in one.against}
    return dict(zip(rows, holm(list(rows.values())), strict=True))


def _against(
    entry: Entry, controls: Mapping[str, Controls[Entry]], table: _Table, judge: Judge
) -> tuple[dict[str, Row], dict[str, str]]:
    """Comparisons with the references: the record's own, else from the predictions of the control in the table."""
    found: dict[str, Row] = {}
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
        elif entry.run_id not in table.known or twin.run_id not in table.known:
            claim = _is_claim(table, entry) or _is_claim(table, twin)
            reasons[control] = f"not in the record; {CLAIM}" if claim else NO_PREDICTIONS
        elif (row := judge.compared(entry, twin)) is not None:
            found[control] = row
        else:
            reasons[control] = f"not in the record; {CLAIM}"
    return found, reasons
