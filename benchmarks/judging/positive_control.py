"""The positive control of an arm: whether real images that no arm trains on helped in the same experiment."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from benchmarks.judging.sharing import SHARED
from benchmarks.request.controls import is_control_of
from benchmarks.request.spec import is_zero_line
from benchmarks.statistics.word import too_few_seeds
from synthworth.errors import Unavailable

if TYPE_CHECKING:
    from benchmarks.statistics.sampled import Sampled

POSITIVE = "holdout_real"
"""The control that has to help, where an experiment can show help at all."""
POSITIVES = (POSITIVE, SHARED)
"""It, and where it was not run what does the same: the films of a donor."""
KEPT = ("difference", "low", "high", "p_interval", "n_seeds", "detectable")


def positive_control(
    spec: Mapping[str, Any], others: Iterable[Mapping[str, Any]], samples: Mapping[str, Mapping[str, Sampled]]
) -> dict[str, Any] | None:
    """What the first of `POSITIVES` that was run gained over real images alone beside an arm, as plain JSON values.

    Parameters
    ----------
    spec : plain form of the arm's RunSpec.
    others : `run_id`, `name` and `spec` of each arm of the experiment.
    samples : metrics by run id; an arm whose AUROC is null has no `auroc`.

    Returns
    -------
    name, run_id : of the control's arm.
    shown : True where its interval lies above 0, None where too few seeds can say, False otherwise.
    difference, low, high, p_interval, n_seeds, detectable : of its comparison with real images alone.

    None where it was not run beside the arm, is the arm itself, or cannot be compared.
    """
    from benchmarks.statistics.compare import compare

    arms = list(others)
    beside = [a for a in arms if is_control_of(a["spec"], spec)]
    control = next((a for name in POSITIVES for a in beside if a["spec"]["generator"] == name), None)
    zero = next((a for a in arms if is_zero_line(a["spec"])), None)
    if control is None or zero is None or spec["generator"] in POSITIVES or is_zero_line(spec):
        return None
    mine, its = (samples[one["run_id"]].get("auroc") for one in (control, zero))
    if mine is None or its is None:
        return None
    try:
        found = compare(mine, its, name_a=control["name"], name_b=zero["name"]).to_json()
    except Unavailable:
        return None  # the control's own record says why it could not be compared
    shown = None if too_few_seeds(found["n_seeds"]) else found["verdict"] == "helps"
    about = {"name": control["name"], "run_id": control["run_id"], "shown": shown}
    return about | {name: found[name] for name in KEPT}
