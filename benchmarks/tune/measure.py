"""What a trial is worth: the AUROC on val of an arm that is made as a run makes it; test is never looked at."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import replace
from statistics import fmean
from typing import Any

from benchmarks.job.opened import open_request
from benchmarks.job.plan import check_classes
from benchmarks.request.options import Request
from benchmarks.stages.arm import Arm
from benchmarks.stages.classifier import train_classifier
from benchmarks.stages.experiment import Experiment
from benchmarks.stages.generator import draw_pool
from benchmarks.stages.images import Images
from synthworth.artifacts import read_array, read_json
from synthworth.devices import repeatable
from synthworth.errors import UserError

LOOKS = "val_auroc"
"""Ends the name under which a classifier logs a look at val, and names them all in the facts of its report."""
Report = Callable[[int, float], None]
"""`report(step, value)`: the AUROC on val so far, after so many percent of the classifiers' steps (100 a seed). What it
raises ends the trial."""


def measure(request: Request, report: Report, *, images: MutableMapping[str, Images]) -> float:
    """Mean over classifier seeds of the macro AUROC on val, of the arm that the request marks as tuned.

    Everything is made by the stages of a run and kept under its keys: equal artifacts are never made twice, and a trial
    that was killed goes on. A classifier's artifact holds its predictions on test too, for the run that may want them;
    they are not read here.

    Parameters
    ----------
    request : its first training of the generator counts.
    images : of trials before.

    Raises
    ------
    Diverged, UserError
        As a run.
    """
    o = request.options
    on_val = replace(o, generator_seed=o.generator_seed[:1], test_on=(), robustness=False)  # chosen on val alone
    opened = open_request(replace(request, options=on_val), images=images)
    experiment = opened.experiment
    arm = next(arm for arm in opened.arms if arm.spec.tuned)
    check_classes(experiment.images, [arm.spec])
    found: list[float] = []
    with repeatable(device=opened.bench.device):
        arm.pool = draw_pool(experiment, arm)
        for number in range(arm.spec.seeds):
            found.append(_one_seed(experiment, arm, number, found, report))
    return fmean(found)


def _one_seed(experiment: Experiment, arm: Arm, number: int, before: list[float], report: Report) -> float:
    """AUROC on val of one classifier; each look at val is reported as the mean over the seeds so far."""
    steps, looked = arm.spec.classifier_budget.steps, dict[int, float]()

    def look(step: int, auroc: float) -> None:
        percent = round(100 * step / steps)
        if percent < 100 and percent not in looked:  # the best look so far is the classifier that would be kept
            looked[percent] = max([auroc, *looked.values()])
            report(100 * number + percent, fmean([*before, looked[percent]]))

    def log(step: int, **scalars: float) -> None:
        for name, value in scalars.items():
            if name.rpartition("/")[2] == LOOKS:
                look(step, value)

    made = train_classifier(experiment, arm, number, log=log)
    if not made.fresh:  # it was there: its looks are in its report
        for step, auroc in read_json(made.folder / "fit.json")["facts"].get(LOOKS, ()):
            look(int(step), float(auroc))
    auroc = _on_val(experiment, made.folder)
    report(100 * (number + 1), fmean([*before, auroc]))
    return auroc


def _on_val(experiment: Experiment, folder: Any) -> float:
    from classifiers.selection import macro_auroc
    from synthworth.errors import Unavailable

    try:
        return macro_auroc(read_array(folder / "val.npy"), experiment.images.val.labels.numpy())
    except Unavailable as reason:
        raise UserError(f"val cannot choose: {reason}") from reason
