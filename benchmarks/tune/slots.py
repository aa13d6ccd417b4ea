"""Which trials a study still has: N in all, however many workers there are, and those of killed workers again."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial

SLOT, SURPLUS, TRIES = "slot", "surplus", "tries"
"""User attributes of a trial: the number of the one that it takes the place of; that it was one too many; how
often it ended with its worker."""
MOST_TRIES = 10
"""How often a trial is begun: what kills every worker is given up."""


def slot_of(trial: FrozenTrial) -> int:
    """Which of the N a trial is: its number, or that of the one that a killed worker left."""
    return int(trial.user_attrs.get(SLOT, trial.number))


def by_slot(trials: Sequence[FrozenTrial]) -> dict[int, FrozenTrial]:
    """The latest trial of each slot, without those that were too many."""
    kept = [trial for trial in trials if not trial.user_attrs.get(SURPLUS)]
    return {slot_of(trial): trial for trial in sorted(kept, key=lambda trial: trial.number)}


def place_of(trials: Sequence[FrozenTrial], slot: int) -> int:
    """Which of the N it is, from 0: how many slots were begun before.

    Numbers are given by the storage, one to a trial, so no two workers have one place: of those that begin at once only
    as many stay as may.
    """
    return sum(other < slot for other in by_slot(trials))


def is_left(study: Study, *, trials: int) -> bool | None:
    """Whether a trial can be begun now; None while the last ones are with other workers."""
    from optuna.trial import TrialState

    found = by_slot(study.get_trials(deepcopy=False))
    states = [trial.state for trial in found.values()]
    if TrialState.WAITING in states or len(found) < trials:
        return True
    return None if TrialState.RUNNING in states else False


def give_back(study: Study, trial: FrozenTrial, *, killed: bool = True) -> None:
    """Put a trial that its worker did not finish back into the queue, with the values that it had.

    Optuna's own `RetryHeartbeatStaleTrialCallback` does the same; this one keeps the slot.

    Parameters
    ----------
    killed : whether the trial may have been what ended its worker; an interrupt is none of its doing.
    """
    import optuna

    tries = int(trial.user_attrs.get(TRIES, 0)) + killed
    if tries >= MOST_TRIES:
        return
    attrs: dict[str, Any] = {**trial.user_attrs, SLOT: slot_of(trial), TRIES: tries}
    study.add_trial(
        optuna.create_trial(
            state=optuna.trial.TrialState.WAITING, params=trial.params, distributions=trial.distributions,
            user_attrs=attrs, system_attrs=trial.system_attrs,
        )
    )  # fmt: skip
