"""A study: opened where it was left, and worked at until it has its trials."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from benchmarks.job.fault import fault_of
from benchmarks.tune.by import FIDELITY, NOTES, STEPS, UTILITY
from benchmarks.tune.drawn import measure_drawn
from benchmarks.tune.measure import measure
from benchmarks.tune.slots import SLOT, SURPLUS, by_slot, give_back, is_left, place_of
from benchmarks.tune.space import Side, plain_space
from synthworth.errors import NOT_OURS, UserError, bounded, disk_message
from synthworth.keys import canonical, seed_from

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

    from benchmarks.stages.images import Images

ASKED = "asked"
"""User attribute of a study: what was asked for when it began, as canonical JSON."""
REASON, KIND, TRACEBACK = "reason", "kind", "traceback"
"""User attributes of a failed trial: why, in one line; what kind of fault; the end of the traceback."""
STARTUP, WARM_UP = 5, 30
"""Trials before any is pruned, and percent of the first classifier's steps: a look that is early says little."""
WAIT = 2.0
"""Seconds between looks at the trials of other workers."""
Told = Callable[["FrozenTrial"], None]


class TooMany(Exception):
    """Other workers have begun all the trials there are to be."""


def quieten() -> None:
    """Leave it to this command to say what becomes of trials."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)


def open_study(storage: Any, side: Side, base: Mapping[str, Any], *, trials: int) -> Study:
    """The study, begun where there is none of its name; its first trials are what was asked for, up to half of all.

    Parameters
    ----------
    base : the spec that its trials change, as JSON.
    trials : how many there will be, as far as this call goes.

    Raises
    ------
    UserError
        When one of that name was asked for otherwise: names what differs.
    """
    import optuna

    quieten()
    how = {"pruner": make_pruner(), "sampler": sampler_of(side, 0), "storage": storage, "study_name": side.study}
    try:
        study = optuna.create_study(direction=side.by.direction, **how)
    except optuna.exceptions.DuplicatedStudyError:
        study = optuna.load_study(**how)
    asked = canonical(asked_of(side, base))
    if ASKED not in study.user_attrs and not study.get_trials(deepcopy=False):
        study.set_user_attr(ASKED, asked)
        for first in side.as_asked()[: max(1, trials // 2)]:
            study.enqueue_trial(dict(first), skip_if_exists=True)
    refuse_another(study, asked)
    return study


def asked_of(side: Side, base: Mapping[str, Any]) -> dict[str, Any]:
    """What every call at a study has to agree in."""
    asked: dict[str, Any] = {"space": {name: plain_space(one) for name, one in side.space.items()}, "request": base}
    if side.by is not UTILITY:
        asked |= {"by": side.by.name, "features": side.extractor}
    return {**asked, "equal operations": True} if side.held is not None else asked


def refuse_another(study: Study, asked: str) -> None:
    """Refuse to go on with a study that searches something else."""
    import json

    was, now = json.loads(study.user_attrs.get(ASKED, "{}")), json.loads(asked)
    differing = list(_differing(was, now))
    if differing:
        more = f" and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise UserError(
            f"study {study.study_name!r} was begun with another {'; '.join(differing[:3])}{more}. Ask as before, or "
            "begin another with --study NAME"
        )


def _differing(was: Any, now: Any, where: str = "") -> Any:
    if isinstance(was, dict) and isinstance(now, dict) and not {"values", "low"} & (was.keys() | now.keys()):
        for name in {**was, **now}:
            yield from _differing(was.get(name), now.get(name), f"{where}.{name}" if where else name)
    elif was != now:
        yield f"{where} ({bounded(_shown(was))}, now {bounded(_shown(now))})"


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, dict):
        return ", ".join(map(str, value.get("values") or [f"{value.get('low')} to {value.get('high')}"]))
    return str(value)


def make_pruner() -> Any:
    """Ends a trial whose AUROC on val is below the median of the trials before it, at the same look."""
    import optuna

    return optuna.pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=WARM_UP)


def sampler_of(side: Side, place: int) -> BaseSampler:
    """Proposes the values of one trial: TPE (Bergstra 2011), from a seed of the request's and the trial's place.

    So a study that was stopped goes on as if it had not been, and no two workers try the same values by chance.
    """
    import optuna

    seed = seed_from(side.request.options.seed, "tune", side.study, place) % 2**32
    return optuna.samplers.TPESampler(seed=seed)


def work_at(
    study: Study, side: Side, *, trials: int, told: Told, images: dict[str, Images],
    waits: Callable[[], None] = lambda: None,
) -> None:  # fmt: skip
    """Take trials until the study has so many, and wait for those of other workers.

    Parameters
    ----------
    told : hears of each trial that this worker ended.
    waits : called when the last trials are with other workers, once.

    Raises
    ------
    UserError
        When a disk refuses: no trial's doing. The trial is given back.
    """
    import optuna

    objective, waited = Objective(side, trials, images), False
    while (left := is_left(study, trials=trials)) is not False:
        if left is None:
            if not waited:
                waits()
            waited = True
            time.sleep(WAIT)
            optuna.storages.fail_stale_trials(study)
            continue
        objective.number = None
        try:
            study.optimize(objective, n_trials=1, catch=(Exception,))
        except KeyboardInterrupt:
            _hand_over(study, objective)
            raise
        if objective.refused is not None:
            _hand_over(study, objective)
            raise objective.refused
        if objective.number is not None:
            told(study.get_trials(deepcopy=False)[objective.number])


def _hand_over(study: Study, objective: Objective) -> None:
    from optuna.trial import TrialState

    if objective.number is None:
        return
    trial = study.get_trials(deepcopy=False)[objective.number]
    if trial.state == TrialState.FAIL:
        give_back(study, trial, killed=False)


class Objective:
    """A trial, as Optuna calls it.

    Attributes
    ----------
    number : of the trial under way, or the last one; None where it was one too many.
    refused : what ends the whole command, and is not the trial's fault.
    """

    def __init__(self, side: Side, trials: int, images: dict[str, Images]) -> None:
        self.side, self.trials, self.images = side, trials, images
        self.number: int | None = None
        self.refused: UserError | None = None

    def __call__(self, trial: Trial) -> float:
        """The trial's value: `Side.by` says of what."""
        import optuna

        slot = int(trial.user_attrs.get(SLOT, trial.number))
        self.number = None
        place = place_of(trial.study.get_trials(deepcopy=False), slot)
        if place >= self.trials:
            trial.set_user_attr(SURPLUS, True)
            raise TooMany
        self.number = trial.number
        trial.study.sampler = sampler_of(self.side, place)

        def report(step: int, value: float) -> None:
            trial.report(value, step)
            if trial.should_prune():
                raise optuna.TrialPruned(f"below the median after {step} %")

        try:
            request = self.side.asked(self.side.draw(trial), trials=self.trials)
            if self.side.held is not None:
                trial.set_user_attr(STEPS, request.options.fit.steps)
            if self.side.by is not FIDELITY:
                return measure(request, report, images=self.images)
            drawn = measure_drawn(request, self.side.extractor, images=self.images)
            for name, fact in {**drawn.facts, NOTES: drawn.notes}.items():
                trial.set_user_attr(name, fact)
            return drawn.fd
        except optuna.TrialPruned:
            raise
        except OSError as error:
            if error.errno not in NOT_OURS:
                _tell(trial, error)
            else:
                self.refused = UserError(disk_message(error))
            raise
        except Exception as error:  # told beside the trial: the others are worth having all the same
            _tell(trial, error)
            raise


def _tell(trial: Trial, error: Exception) -> None:
    fault = fault_of(error)
    for name, text in ((REASON, fault.error), (KIND, fault.kind), (TRACEBACK, fault.traceback)):
        trial.set_user_attr(name, text)


def finished(study: Study) -> list[FrozenTrial]:
    """The trials that count, in their order."""
    return list(by_slot(study.get_trials(deepcopy=False)).values())


def best_of(study: Study) -> FrozenTrial:
    """The trial with the highest AUROC on val, or the lowest Frechet distance; of equal ones the first.

    Raises
    ------
    NothingFound
        When none came to its end.
    """
    from optuna.study import StudyDirection
    from optuna.trial import TrialState

    complete = [trial for trial in finished(study) if trial.state == TrialState.COMPLETE]
    if not complete:
        reasons = [str(trial.user_attrs.get(REASON)) for trial in finished(study) if REASON in trial.user_attrs]
        why = f" The last one: {reasons[-1]}" if reasons else ""
        raise NothingFound(
            f"study {study.study_name!r}: none of its trials came to an end, so nothing is run on test.{why}"
        )
    sign = 1.0 if study.direction == StudyDirection.MINIMIZE else -1.0
    return min(complete, key=lambda trial: (sign * (trial.value or 0.0), trial.number))


class NothingFound(Exception):
    """Every trial of a study failed; the message says so."""
