"""How a verdict was reached, step by step, from its record alone: `python -m benchmarks.show RUN_ID --explain`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.judging.positive_control import POSITIVES
from benchmarks.request.spec import NONE
from benchmarks.statistics.word import MIN_SEEDS, Verdict, side_of_zero, too_few_seeds, word_of_interval
from benchmarks.verdicts.sentences import (
    control_sentence,
    doubts,
    p_text,
    power_sentence,
    sharing_sentence,
    worth_sentence,
)
from benchmarks.verdicts.verdict import Kind, word_of_arm

Record = Mapping[str, Any]
SHOWN: Mapping[Verdict, str] = {
    "helps": "shown to be better", "hurts": "shown to be worse", "no difference shown": "no difference shown",
}  # fmt: skip
"""What the interval of one difference shows, in the words of a sentence."""


def explain(record: Record) -> Iterator[str]:
    """Lines of plain text; an empty one between paragraphs."""
    yield from _what_was_trained(record)
    if not record["comparisons"]:
        reasons = dict.fromkeys(record.get("not_compared", {}).values())
        said = f" ({'; '.join(reasons)})" if reasons else ""
        yield f"It was compared with nothing{said}, so there is no verdict to explain."
        return
    for control, row in record["comparisons"].items():
        yield ""
        yield from explain_difference(record["name"], control, row)
    yield ""
    yield from _the_word(record)
    yield from _what_to_doubt(record)


def _what_was_trained(record: Record) -> Iterator[str]:
    spec, training = record["spec"], record["training"]
    real, synthetic = (sum(record["counts"][kind].values()) for kind in ("real", "synthetic"))
    yield (
        f"{record['name']}: {spec['seeds']} classifiers ({spec['classifier']}), each trained on {real} real and "
        f"{synthetic} {record.get('added') or 'added'} images of {spec['dataset']}."
    )
    steps = sorted(set(training["steps"]))
    budget = spec["train"]["steps"]
    same = f"all took {steps[0]} optimiser steps" if len(steps) == 1 else f"they took {steps} optimiser steps"
    kept = "as every arm does" if steps == [budget] else f"where the budget of the other arms is {budget}"
    yield f"{same.capitalize()}, {kept}; each saw {training['images_seen'][0]} images, with repetition."
    auroc = record["utility"]["auroc"]
    interval = "" if auroc.get("low") is None else f" [{auroc['low']:.4f}, {auroc['high']:.4f}]"
    yield (
        f"AUROC on test {auroc['value']:.4f}{interval}, mean over the seeds: "
        f"{', '.join(f'{x:.4f}' for x in auroc['extra']['per_seed'])}."
        if auroc["value"] is not None
        else f"AUROC on test could not be computed: {auroc['note']}."
    )


def explain_difference(name: str, control: str, row: Mapping[str, Any]) -> Iterator[str]:
    """How the paired difference between two arms, and its interval, came about.

    Parameters
    ----------
    row : as in a record's comparisons.
    """
    parts = row["interval"]
    yield f"{name} minus {control}, seed by seed: {', '.join(f'{x:+.4f}' for x in row['by_seed'])}."
    yield f"  mean {row['difference']:+.4f}, on {row['n_groups']} test patients"
    if parts["se_seeds"] is not None:
        total = abs(row["high"] - row["low"]) / 2 / parts["quantile"] if parts["quantile"] else 0.0
        yield (
            f"  standard error {total:.4f}: {parts['se_seeds']:.4f} from the choice of seeds; which patients are in "
            f"test moves the mean by {parts['se_patients']:.4f}{_interaction(parts)}"
        )
    yield (
        f"  95 % interval {row['difference']:+.4f} -/+ {parts['quantile']:.2f} standard errors = "
        f"[{row['low']:+.4f}, {row['high']:+.4f}], which {_side(row)}"
    )
    n = row["n_seeds"]
    if n > 1:
        yield f"  exact sign-flip over the {n} seeds: p = {row['p_value']:.3f} (smallest possible: {2 / 2**n:.3f})"
        yield f"  it asks of new seeds on the same patients; for new patients as well: p {p_text(row['p_interval'])}"
    if row.get("unequal"):
        yield f"  not at equal compute: {row['unequal']}"
    for sentence in _further(row):
        yield f"  {sentence}"


def _interaction(parts: Mapping[str, Any]) -> str:
    shared = parts.get("se_interaction")
    return "" if shared is None else f"; {shared:.4f}, what single seeds make of single patients, is in both"


def _further(row: Mapping[str, Any]) -> Iterator[str]:
    delong, equivalence = row.get("delong"), row.get("equivalence")
    if delong and delong.get("p_value") is not None:
        yield f"DeLong, which takes films as independent and knows one model: p {p_text(delong['p_value'])}"
    if equivalence:
        yield f"two one-sided tests: {equivalence['sentence']}"
    if sentence := power_sentence(row):
        yield sentence
    yield from doubts(row)
    if row["note"]:
        yield f"note: {row['note']}"


def _side(row: Mapping[str, Any]) -> str:
    where = {1: "lies above 0", 0: "holds 0", -1: "lies below 0"}[side_of_zero(row["low"], row["high"])]
    if reason := too_few_seeds(row["n_seeds"]):
        return f"{where}; but {reason}: no difference shown"
    word = word_of_interval(row["low"], row["high"], n_seeds=row["n_seeds"])
    return f"{where}: {SHOWN[word]}"


def _the_word(record: Record) -> Iterator[str]:
    word = word_of_arm(record["comparisons"], positive=record.get("positive_control"))
    yield f"VERDICT  {record['verdict']}"
    if word.kind is Kind.NOT_COMPARED:
        yield "  because real images alone are not among --controls."
    elif word.kind is Kind.UNEQUAL:
        yield f"  because its classifiers took {word.detail} of real images alone:"
        yield "  what the images did cannot be told from what the training did."
    elif word.kind is Kind.SCREENING:
        n = record["comparisons"][NONE]["n_seeds"]
        yield f"  because {n} seeds are fewer than {MIN_SEEDS}: no exact test over them can reach p < 0.05."
    elif word.kind is Kind.HELPS:
        yield "  HELPS, because the interval of the difference to real images alone lies above 0."
        if word.unbeaten:
            yield f"  The same is not shown against {', '.join(word.unbeaten)}, which do without a generator."
    elif word.kind is Kind.HURTS:
        yield "  HURTS, because the interval of the difference to real images alone lies below 0."
    else:
        yield "  NO DIFFERENCE SHOWN, because the interval of the difference to real images alone holds 0. That is not"
        yield "  evidence of equality: what lies inside the interval is possible."
        if word.detail:
            yield "  The two one-sided tests above are: the margin lies outside the interval of 90 %."
    if word.below is not None:
        yield f"  The difference itself is smaller than {word.below:g}, the margin below which it makes none in use."
    if sentence := control_sentence(record.get("positive_control")):
        yield f"  {sentence}"
    if sentence := worth_sentence(record):
        yield f"WORTH    {sentence}"
    if sentence := sharing_sentence(record):
        yield f"SHARING  {sentence}"


def _what_to_doubt(record: Record) -> Iterator[str]:
    doubts = []
    tried = set(POSITIVES) & record["comparisons"].keys() or record.get("positive_control")
    if not tried and record["spec"]["generator"] not in POSITIVES:
        doubts.append("holdout_real was not run: nothing shows that real images would have helped at this budget")
    compared = {**record["comparisons"], **record.get("not_compared", {})}
    if "duplicate" not in compared and record["spec"]["generator"] not in ("none", "duplicate"):
        doubts.append("duplicate was not run: more copies of the real images might do the same")
    if set(record["training"]["stopped"]) != {"steps"}:
        doubts.append("a training was cut short by the wall clock")
    if not record["is_control"]:
        doubts.append("this is one training of the generator; --generator-seed 0 1 2 gives a verdict over several")
    left = (record.get("privacy") or {}).get("n_without_copies")
    if left and left["value"] is not None and left["value"] < left["n"] and not record["is_control"]:
        copies = f"{left['n'] - left['value']:.0f} of {left['n']} added images are near-copies of training images"
        doubts.append(f"{copies}; --without-copies shows what is left without them")
    doubts += record["audit"]["warnings"]
    if doubts:
        yield ""
        yield "What to keep in mind:"
    for doubt in doubts:
        yield f"  - {doubt}"
