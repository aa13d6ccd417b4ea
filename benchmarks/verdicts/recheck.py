"""Does a record say what its predictions say? AUROC and comparisons made again from what is stored, and compared."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from benchmarks.judging.positive_control import KEPT
from benchmarks.records.predictions import AGREEMENT, Contradicted, Entry, read_auroc
from benchmarks.request.spec import ANALYSIS, NONE, is_zero_line
from benchmarks.statistics.word import too_few_seeds, word_of_interval
from benchmarks.verdicts.verdict import verdict
from synthworth.errors import Unavailable
from synthworth.progress import track

if TYPE_CHECKING:
    from benchmarks.statistics.sampled import Sampled

ALWAYS = ("difference", "n_seeds")
"""Numbers of a comparison that every analysis makes alike."""
IN_THIS_ANALYSIS = ("low", "high", "p_value", "p_interval")


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


@dataclass(frozen=True)
class Rechecked:
    """What came of making a record's numbers again from its predictions.

    Parameters
    ----------
    contradicted : what the record says and the predictions do not, a line each.
    unchecked : why nothing could be made again, where nothing could.
    """

    contradicted: tuple[str, ...] = ()
    unchecked: str | None = None


def believed_auroc(entry: Entry) -> Sampled:
    """AUROC of an arm from its stored predictions, where they say what the record says: the value and its interval.

    Raises
    ------
    Unavailable
        When the predictions cannot be used, or give no interval.
    Contradicted
        When they say another thing than the record.
    """
    made = read_auroc(entry)
    found, said = made.interval(), entry.record["utility"]["auroc"]
    if entry.spec["analysis"] == ANALYSIS and not (_near(found.low, said["low"]) and _near(found.high, said["high"])):
        raise Contradicted(
            f"the predictions give AUROC an interval of [{found.low:.4f}, {found.high:.4f}]; the record says "
            f"{_interval(said)}"
        )
    return made


def compared_again(
    row: Mapping[str, Any], mine: Sampled, control: Sampled, *, analysis: int, leave_out: Collection[str] = ()
) -> tuple[Mapping[str, Any], str | None]:
    """A comparison of a record, made again from the predictions of both arms.

    Parameters
    ----------
    row : as the record holds it.
    analysis : of the record; intervals of another analysis than the present one are not compared.
    leave_out : numbers that the row does not hold.

    Returns
    -------
    row : as the record holds it where the two agree, else with the numbers that the predictions give.
    note : in what they differ; None where they agree.

    Raises
    ------
    Unavailable
        When the two cannot be compared: the record could not have either.
    """
    from benchmarks.statistics.compare import compare

    try:
        made = compare(mine, control, name_a=row["a"], name_b=row["b"]).to_json()
    except ValueError as error:
        raise Unavailable(str(error)) from error
    compared = ALWAYS + (IN_THIS_ANALYSIS if analysis == ANALYSIS else ())
    if all(_near(made[name], row[name]) for name in compared if name not in leave_out):
        return row, None
    note = (
        f"the record says {_difference(row)}, which its predictions do not bear out: made again from them it is "
        f"{_difference(made)}"
    )
    return {**row, **made}, note


def recheck(entry: Entry, others: Mapping[str, Entry]) -> Rechecked:
    """What a finished record says that its stored predictions, and those of its controls, do not.

    Parameters
    ----------
    others : the records beside it by run id; a comparison with one that is not there is not made again.
    """
    try:
        mine = believed_auroc(entry)
    except Contradicted as reason:
        return Rechecked((str(reason),))
    except Unavailable as reason:
        return Rechecked(unchecked=str(reason))
    known = {entry.run_id: mine}
    lines = [*_of_comparisons(entry, others, known), *_of_positive(entry, others, known), *_of_verdict(entry)]
    return Rechecked(tuple(lines))


def _of_comparisons(entry: Entry, others: Mapping[str, Entry], known: dict[str, Sampled]) -> Iterator[str]:
    rows = {name: row for name, row in entry.record["comparisons"].items() if row["run_id"] in others}
    for control, row in track(list(rows.items()), "checking comparisons", unit="controls"):
        try:
            pair = known[entry.run_id], _known(others[row["run_id"]], known)
        except Contradicted as reason:
            yield f"against {control}: its own record is contradicted: {reason}"
        except Unavailable:  # without predictions of the control nothing is made again, and nothing contradicted
            continue
        else:
            yield from _differing(f"against {control}", compared_again, row, *pair, analysis=entry.spec["analysis"])


def _of_positive(entry: Entry, others: Mapping[str, Entry], known: dict[str, Sampled]) -> Iterator[str]:
    positive = entry.record.get("positive_control")
    zero = next((other for other in others.values() if is_zero_line(other.spec)), None)
    if positive is None or zero is None or positive["run_id"] not in others:
        return
    try:
        pair = _known(others[positive["run_id"]], known), _known(zero, known)
    except Unavailable:  # said of the comparison, where it is one that the record holds
        return
    yield from _differing("", positive_again, positive, *pair, analysis=entry.spec["analysis"])


def _differing(what: str, again: Any, *args: Any, **kwargs: Any) -> Iterator[str]:
    """In what a part of the record differs from what is made again; nothing where it does not."""
    try:
        _, note = again(*args, **kwargs)
    except Unavailable as reason:
        note = f"cannot be made again from the predictions: {reason}"
    if note:
        yield f"{what}: {note}" if what else note


def _known(entry: Entry, known: dict[str, Sampled]) -> Sampled:
    """AUROC of an arm by its predictions, which are read once."""
    if entry.run_id not in known:
        known[entry.run_id] = read_auroc(entry)
    return known[entry.run_id]


def _of_verdict(entry: Entry) -> Iterator[str]:
    """Whether the sentence of a record begins with the word that its comparisons come to."""
    record = entry.record
    if entry.spec["analysis"] != ANALYSIS:
        return
    missing = record.get("not_compared", {}).get(NONE)
    positive = record.get("positive_control")
    made = verdict(record["name"], record["comparisons"], positive=positive, missing=missing)
    was, now = (text.partition(".")[0] for text in (record["verdict"], made))
    if was != now:
        yield f"the verdict begins with {was[:80]!r}; the comparisons of the record come to {now[:80]!r}"


def _near(made: float, recorded: float | None) -> bool:
    return recorded is not None and abs(made - recorded) <= AGREEMENT


def _difference(row: Mapping[str, Any]) -> str:
    return f"{row['difference']:+.4f} [{row['low']:+.4f}, {row['high']:+.4f}]"


def _interval(value: Mapping[str, Any]) -> str:
    return "that there is none" if value["low"] is None else f"[{value['low']:.4f}, {value['high']:.4f}]"
