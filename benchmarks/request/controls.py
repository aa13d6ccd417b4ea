"""Which arm is the control of which, decided from the two specs alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from benchmarks.request.spec import PRETRAINED, is_real_only

Arm = TypeVar("Arm")
DRAWN_ALIKE = ("ratio", "mode", "shard")
"""Fields in which a control that draws images agrees with the arm that is compared with it."""


def is_control_of(control: Mapping[str, Any], spec: Mapping[str, Any]) -> bool:
    """Whether an arm of a control is the one that another arm is compared with.

    A control learns from all training images, so a point of the learning curve is none, and its images pass no
    filter. Real images alone and most remedies have ratio 0 and are the control of every arm; the remedy that trains
    longer has the ratio of the arms it is a control of. A control that draws images is its first draw, at the same
    ratio, mode and shard size; `shared_pretrained` has a mode of its own beside arms of every mode. The first draw is
    its own control: callers leave an arm out of its own controls.

    Parameters
    ----------
    control : plain form of a RunSpec whose generator is a control or a remedy. Which of them an arm is compared with
        is the caller's to say.
    spec : plain form of the other arm's RunSpec, of the same dataset, classifier, budget and seeds.
    """
    if control["portion"] != 1 or control["filters"]:
        return False
    if is_real_only(control):
        return control["ratio"] in (0, spec["ratio"])
    own_mode = ("mode",) if control["generator"] == PRETRAINED else ()
    alike = all(control[name] == spec[name] for name in DRAWN_ALIKE if name not in own_mode)
    return control["generator_seed"] == 0 and alike


class Controls(Generic[Arm]):
    """The arms of one control, in order, in which that of another arm is found without looking at all of them."""

    def __init__(self, arms: Iterable[Arm], spec_of: Callable[[Arm], Mapping[str, Any]]) -> None:
        """Sort the arms by what an arm has to agree in with them (`is_control_of`).

        Parameters
        ----------
        spec_of : gives the plain form of an arm's RunSpec.
        """
        self._spec_of = spec_of
        self._alike: dict[tuple[Any, ...], tuple[int, Arm]] = {}
        for place, arm in enumerate(arms):
            spec = spec_of(arm)
            if is_control_of(spec, spec):  # what is no control of an arm like itself is none of any
                agrees = (spec["ratio"],) if is_real_only(spec) else tuple(spec[name] for name in DRAWN_ALIKE)
                self._alike.setdefault(agrees, (place, arm))

    def of(self, spec: Mapping[str, Any]) -> Arm | None:
        """The first one that is the control of an arm with this spec, or None."""
        drawn = [tuple({**spec, "mode": mode}[name] for name in DRAWN_ALIKE) for mode in (spec["mode"], "pretrain")]
        keys = {(0,), (spec["ratio"],), *drawn}
        found = [self._alike[key] for key in keys if key in self._alike]
        fitting = [(place, arm) for place, arm in found if is_control_of(self._spec_of(arm), spec)]
        return min(fitting, key=lambda one: one[0])[1] if fitting else None
