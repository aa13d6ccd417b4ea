"""Does a record say what its predictions say? What can be made again from what is stored, compared."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.judging.positive_control import KEPT, POSITIVE, POSITIVES
from benchmarks.records.predictions import AGREEMENT, Contradicted, Entry, ranked, read_auroc, read_evidence
from benchmarks.request.spec import ANALYSIS, NONE
from benchmarks.statistics.word import too_few_seeds, word_of_interval
from benchmarks.verdicts.again import Finished, judge_again
from benchmarks.verdicts.differing import differing, in_words_of
from benchmarks.verdicts.elsewhere_again import PARTS as ELSEWHERE
from benchmarks.verdicts.elsewhere_again import elsewhere_again
from benchmarks.verdicts.equal_compute import unequal
from benchmarks.verdicts.verdict import on_test_set, verdict
from synthworth.errors import Unavailable
from synthworth.progress import track

if TYPE_CHECKING:
    from benchmarks.statistics.sampled import Sampled

ALWAYS = ("difference", "n_seeds")
"""Numbers of a comparison that every analysis makes alike."""
PARTS = ("comparisons", "collapsed", "worth")
"""Parts of a record that are made again as they stand there."""


@dataclass(frozen=True)
class Rechecked:
    """What came of making a record's numbers again from its predictions.

    Parameters
    ----------
    record : the record, with the sentences that its numbers come to.
    contradicted : what the record says and the predictions do not, a line each.
    unchecked : why something could not be made again, where something could not.
    """

    record: Mapping[str, Any]
    contradicted: tuple[str, ...] = ()
    unchecked: str | None = None


# -- a record by itself, with all that it was compared with ----------------------------------------------------------


def recheck(entry: Entry, others: Mapping[str, Entry]) -> Rechecked:
    """What a finished record says that its stored predictions, and those of its controls, do not.

    Parameters
    ----------
    others : the records beside it by run id; a comparison with one that is not there is not made again.
    """
    record = entry.record
    try:
        mine, doubted = believed_utility(entry)
    except Contradicted as reason:
        return Rechecked(record, (str(reason),))
    except Unavailable as reason:
        return Rechecked(record, unchecked=str(reason))
    sound, lines = _sound(others, record)
    if entry.spec["analysis"] != ANALYSIS:
        return Rechecked(record, (*lines, *_of_older(entry, mine, sound)))
    made = _made_again(entry, sound.values())
    for name, stored in record["utility"].items():
        again = list(differing(made["utility"][name], stored))
        lines += [f"{name}: {line}" for line in again or ([doubted[name]] if name in doubted else [])]
    for control, row in record["comparisons"].items():
        if control in made["comparisons"]:
            lines += _of_row(control, made["comparisons"][control], row)
        elif row["run_id"] in sound:
            lines.append(f"against {control}: cannot be made again: {made['not_compared'].get(control, 'no pair')}")
    again = {name: made.get(name) for name in ("collapsed", "worth", "decision")}
    lines += differing({name: part for name, part in again.items() if name == "collapsed" or part}, record)
    if (shared := made.get("sharing")) and shared["kept"]:
        lines += differing(shared["kept"], record["sharing"]["kept"], "sharing.kept")
    lines += _of_positive(made, record, sound)
    again, unchecked = _elsewhere(entry, sound.values())
    lines += [line for name in again for line in differing(again[name], record[name], name)]
    made |= again
    lines += _of_verdict(record)
    said = {
        **record,
        **{name: in_words_of(made[name], record.get(name)) for name in (*PARTS, *again) if made.get(name)},
    }
    return Rechecked({**said, "verdict": _verdict(said)}, tuple(lines), unchecked)


def _sound(others: Mapping[str, Entry], record: Mapping[str, Any]) -> tuple[dict[str, Entry], list[str]]:
    """Of the records beside one those whose predictions bear them out; a line for each that is contradicted."""
    named = {row["run_id"]: control for control, row in record["comparisons"].items()}
    found, lines = {}, []
    for run_id, other in track(list(others.items()), "checking comparisons", unit="arms"):
        try:
            read_auroc(other)
        except Contradicted as reason:
            lines.append(f"against {named.get(run_id, POSITIVE)}: its own record is contradicted: {reason}")
        except Unavailable:  # without predictions of the control nothing is made again, and nothing contradicted
            continue
        else:
            found[run_id] = other
    return found, lines


def _made_again(entry: Entry, others: Iterable[Entry]) -> dict[str, Any]:
    one = Finished.of(entry)
    return judge_again(one, [one, *(Finished.of(other) for other in others)])


def _elsewhere(entry: Entry, others: Iterable[Entry]) -> tuple[dict[str, Any], str | None]:
    """What a record says of other test sets and of corrupted images, made again; or why that cannot be done."""
    if not any(entry.record.get(part) for part in ELSEWHERE):
        return {}, None
    one = Finished.of(entry)
    try:
        return elsewhere_again(one, [one, *(Finished.of(other) for other in others)]), None
    except Unavailable as reason:
        return {}, f"other test sets: {reason}"


def _of_older(entry: Entry, mine: Sampled, sound: Mapping[str, Entry]) -> Iterator[str]:
    """The same of a record of another analysis: what every analysis makes alike."""
    for control, row in entry.record["comparisons"].items():
        if row["run_id"] not in sound:
            continue
        try:
            _, note = compared_again(row, mine, read_auroc(sound[row["run_id"]]), analysis=entry.spec["analysis"])
        except Unavailable as reason:
            note = f"cannot be made again from the predictions: {reason}"
        if note:
            yield f"against {control}: {note}"


def _of_row(control: str, made: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    lines = list(differing(made, row))
    return [f"against {control}: {_not_borne_out(lines, made, row)}"] if lines else []


def _of_positive(made: Mapping[str, Any], record: Mapping[str, Any], sound: Mapping[str, Entry]) -> list[str]:
    stored, again = record.get("positive_control"), made["positive_control"]
    if stored is not None and (again is None or stored["run_id"] not in sound):
        return []
    if stored is None and not set(POSITIVES) & record["comparisons"].keys():
        return []
    return [f"positive control: {line}" for line in differing(again, stored)]


def _of_verdict(record: Mapping[str, Any]) -> Iterator[str]:
    """Whether the sentence of a record begins with the word that its comparisons come to."""
    was, now = (text.partition(".")[0] for text in (record["verdict"], _verdict(record)))
    if was != now:
        yield f"the verdict begins with {was[:80]!r}; the comparisons of the record come to {now[:80]!r}"


def _verdict(record: Mapping[str, Any]) -> str:
    missing, positive = record.get("not_compared", {}).get(NONE), record.get("positive_control")
    told = {"positive": positive, "missing": missing, "audited": record.get("audit")}
    return verdict(on_test_set(record["spec"], record["name"]), record["comparisons"], **told)


# -- its parts, for a table that has the arms at hand ----------------------------------------------------------------


def believed_utility(entry: Entry) -> tuple[Sampled, dict[str, str]]:
    """What of an arm's utility its stored predictions bear out.

    Returns
    -------
    auroc : made from the predictions; its value and its interval are those of the record.
    doubted : by name, in what the record's other numbers differ from those that the predictions give.

    Raises
    ------
    Unavailable
        When the predictions cannot be used, or give no interval.
    Contradicted
        When they give another AUROC than the record.
    """
    from benchmarks.statistics.utility import sample_utility

    evidence, classes, said = read_evidence(entry), entry.record["classes"], entry.record["utility"]
    found = ranked(entry, evidence)
    macro, now = found["auroc"], entry.spec["analysis"] == ANALYSIS
    try:
        interval = macro.interval()
    except Unavailable as reason:
        if not now or said["auroc"]["low"] is None:
            raise
        raise Contradicted(f"{reason}: no interval of AUROC; the record says {_interval(said['auroc'])}") from reason
    if now and not (_near(interval.low, said["auroc"]["low"]) and _near(interval.high, said["auroc"]["high"])):
        raise Contradicted(
            f"the predictions give AUROC an interval of [{interval.low:.4f}, {interval.high:.4f}]; the record says "
            f"{_interval(said['auroc'])}"
        )
    found |= sample_utility(evidence.scores, evidence.truth, evidence.resamples, classes=classes)
    lines = {name: list(differing(_value(one, now), said[name])) for name, one in found.items() if name in said}
    return macro, {name: lines[0] for name, lines in lines.items() if lines}


def _value(sampled: Sampled, with_interval: bool) -> dict[str, Any]:
    """A number and its interval as a record holds them."""
    value: dict[str, Any] = {"value": sampled.mean}
    if not with_interval:
        return value
    try:
        interval = sampled.interval()
    except Unavailable:
        return {**value, "low": None, "high": None}
    return {**value, "low": interval.low, "high": interval.high}


def compared_again(
    row: Mapping[str, Any],
    mine: Sampled,
    control: Sampled,
    *,
    analysis: int,
    leave_out: Collection[str] = (),
    further: Mapping[str, Any] | None = None,
) -> tuple[Mapping[str, Any], str | None]:
    """A comparison of a record, made again from the predictions of both arms.

    Parameters
    ----------
    row : as the record holds it.
    analysis : of the record; of another one than the present only what every analysis makes alike is compared.
    leave_out : numbers that the row does not hold.
    further : what is made again of the row beside the paired difference.

    Returns
    -------
    row : as the record holds it where the two agree, in today's words; else with the numbers that the predictions give.
    note : in what they differ; None where they agree.

    Raises
    ------
    Unavailable
        When the two cannot be compared: the record could not have either.
    """
    from benchmarks.statistics.compare import compare

    try:
        made = compare(mine, control, name_a=row["a"], name_b=row["b"]).to_json() | dict(further or {})
    except ValueError as error:
        raise Unavailable(str(error)) from error
    now = analysis == ANALYSIS
    compared = {name: part for name, part in made.items() if name not in leave_out and (now or name in ALWAYS)}
    if lines := list(differing(compared, row)):
        return {**row, **made}, _not_borne_out(lines, made, row)
    return in_words_of(made, row) if now else row, None


def further_of(mine: Sampled, control: Sampled, margin: float, training: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What a table needs of a comparison beside the paired difference: equivalence, and whether compute was equal.

    Parameters
    ----------
    training : of the two records.

    Raises
    ------
    Unavailable
        When the two cannot be compared.
    """
    from benchmarks.statistics.equivalence import equivalence

    try:
        apart = mine.minus(control)
    except ValueError as error:
        raise Unavailable(str(error)) from error
    return {"equivalence": equivalence(apart, margin=margin), "unequal": unequal(*training)}


def positive_again(
    positive: Mapping[str, Any], control: Sampled, zero: Sampled, *, analysis: int
) -> tuple[Mapping[str, Any], str | None]:
    """The positive control of a record, made again: as `compared_again`, of that control against real images alone.

    Raises
    ------
    Unavailable
        When the two cannot be compared.
    """
    row = {**positive, "a": positive["name"], "b": NONE, "p_value": None}
    again, note = compared_again(row, control, zero, analysis=analysis, leave_out=("p_value",))
    few, n = too_few_seeds(again["n_seeds"]), again["n_seeds"]
    shown = None if few else word_of_interval(again["low"], again["high"], n_seeds=n) == "helps"
    if note is None and shown is positive["shown"]:
        return positive, None
    said = note or f"whether it is shown to help is {positive['shown']} in the record, and {shown} by its predictions"
    numbers = {name: again[name] for name in KEPT if name in again}
    return {**positive, **numbers, "shown": shown}, f"positive control: {said}"


def _not_borne_out(lines: list[str], made: Mapping[str, Any], row: Mapping[str, Any]) -> str:
    if _difference(made) != _difference(row):
        return (
            f"the record says {_difference(row)}, which its predictions do not bear out: made again from them it is "
            f"{_difference(made)}"
        )
    return "; ".join(lines[:3]) + (f"; and {len(lines) - 3} more" if len(lines) > 3 else "")


def _near(made: float, recorded: float | None) -> bool:
    return recorded is not None and abs(made - recorded) <= AGREEMENT


def _difference(row: Mapping[str, Any]) -> str:
    return f"{row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"


def _interval(value: Mapping[str, Any]) -> str:
    return "that there is none" if value["low"] is None else f"[{value['low']:.4f}, {value['high']:.4f}]"
