"""What a search says: its space and plan, a line a trial, and what the best of them came to on test."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from benchmarks.report.plan import in_words
from benchmarks.report.tables import table
from benchmarks.tune.by import FIDELITY
from benchmarks.tune.slots import SURPLUS, by_slot, place_of, slot_of
from benchmarks.tune.space import RATIO, Side
from benchmarks.tune.study import KIND, REASON, best_of, finished
from synthworth.search_space import label_of

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


def print_space(out: Console, side: Side) -> None:
    """A row for each option: what is tried, when it matters, and what it was asked to be."""
    what = f"what {side.arm} is searched in" if side.arm else "what the classical remedies are searched in"
    made = table(f"study {side.study}: {what}", ("option", "tried", "as asked", "only where"), left=4)
    for name, one in side.space.items():
        when = "; ".join(f"{other} is {' or '.join(map(str, values))}" for other, values in one.when.items())
        asked = side.request.options.ratio[0] if name == RATIO else side.now(name, {})
        made.add_row(
            escape(name), escape(str(one.space)), escape("" if asked is None else str(label_of(asked))), escape(when)
        )
    out.print(made)


def print_trial(
    out: Console, side: Side, study: Study, trial: FrozenTrial, *, trials: int, seconds: float
) -> None:  # fmt: skip
    """One line on a trial that has ended: its value, the best so far, and how long the others will take.

    Parameters
    ----------
    seconds : since this worker began.
    """
    from optuna.trial import TrialState

    done = sum(one.state.is_finished() for one in finished(study))
    place = f"trial {place_of(study.get_trials(deepcopy=False), slot_of(trial)) + 1}"
    if trial.state == TrialState.COMPLETE:
        what = _valued(side, trial)
    elif trial.state == TrialState.PRUNED:
        last = max(trial.intermediate_values, default=0)
        what = f"pruned below the median after {last} %, with {trial.intermediate_values.get(last, 0.0):.4f} by then"
    else:
        what = f"FAILED ({trial.user_attrs.get(KIND, 'error')}): {trial.user_attrs.get(REASON, 'it was ended')}"
    complete = [one for one in finished(study) if one.state == TrialState.COMPLETE]
    best = f"; best {side.by.number(best_of(study).value or 0.0)}" if complete else ""
    here = max(1, sum(one.state.is_finished() for one in mine(study)))
    left = (trials - done) * seconds / here
    rest = f"; {done} of {trials} done, about {in_words(left)} left" if done < trials else f"; {done} of {trials} done"
    out.print(f"{place}: {what}{best}{rest}", markup=False, soft_wrap=True)
    out.file.flush()


def _valued(side: Side, trial: FrozenTrial) -> str:
    """`AUROC on val 0.8123`; `FD 87.31 (consistency 0.93, recall 0.41, 1,000 steps, 1,234 GFLOP)`."""
    said = side.by.word(trial.value or 0.0)
    if side.by is not FIDELITY:
        return said
    told = {name: trial.user_attrs.get(name) for name in side.facts}
    words = [f"{word} {'null' if told[name] is None else f'{told[name]:.2f}'}"
             for word, name in (("consistency", "consistency_auroc"), ("recall", "recall"))]  # fmt: skip
    words += [f"{told['fit_steps']:,} steps"]
    words += [] if told["gflop_fit"] is None else [f"{told['gflop_fit']:,.0f} GFLOP"]
    return f"{said} ({', '.join(words)})"


def mine(study: Study) -> list[FrozenTrial]:
    """Trials that are no surplus."""
    return [trial for trial in study.get_trials(deepcopy=False) if not trial.user_attrs.get(SURPLUS)]


def counts(study: Study) -> str:
    """`20 trials: 12 complete, 6 pruned, 2 failed`."""
    from collections import Counter

    states = Counter(trial.state.name.lower() for trial in by_slot(study.get_trials(deepcopy=False)).values())
    words = {"complete": "complete", "pruned": "pruned", "fail": "failed", "running": "running", "waiting": "waiting"}
    said = ", ".join(f"{states[state]} {word}" for state, word in words.items() if states[state])
    return f"{sum(states.values())} trials" + (f": {said}" if said else "")


def print_best(out: Console, side: Side, study: Study) -> None:
    """The best trial and its values."""
    best = best_of(study)
    values = ", ".join(f"{name} {label}" for name, label in best.params.items())
    out.print(
        f"BEST     {study.study_name}, {counts(study)}: {_valued(side, best)} with {values}", markup=False,
        soft_wrap=True,
    )  # fmt: skip


def print_compared(out: Console, lines: Sequence[str]) -> None:
    """The comparisons on test."""
    for line in lines:
        out.print(line, style="bold" if line.startswith("TUNED") else None, markup=False, soft_wrap=True)


def on_val(record: Mapping[str, Any]) -> str:
    """`0.8123 on val, 0.7991 on test`."""
    val, test = (record[part]["auroc"]["value"] for part in ("validation", "utility"))
    return ", ".join(f"{'null' if x is None else f'{x:.4f}'} on {name}" for x, name in ((val, "val"), (test, "test")))
