"""The learning rate as a function of the step's number."""

from __future__ import annotations

import math
from typing import Literal

Schedule = Literal["constant", "cosine", "one_cycle"]


def rate_at(
    step: int, n_steps: int, *, schedule: Schedule, n_rise: int, peak: float = 1.0, overlap: bool = False
) -> float:
    """The rate of a step. It depends on nothing else, so a resumed training has it again.

    Parameters
    ----------
    step : from 0 to n_steps - 1.
    schedule : constant, a linear rise to `peak` and no more; cosine, the same rise and half a cosine down to 0
        (Loshchilov 2017); one_cycle, from peak / 25 up to the peak and down to peak / 1e4, both along half a cosine
        (Smith 2018; the shape of torch's OneCycleLR).
    n_rise : steps of the rise, at least 1.
    overlap : the cosine of `cosine` begins with the training and is multiplied with the rise, in the place of
        beginning where the rise ends.
    """
    risen = min(1.0, (step + 1) / n_rise)
    if schedule == "constant":
        return peak * risen
    if overlap:
        return peak * risen * _falling(min(1.0, step / n_steps))
    first, last = (peak / 25, peak / 1e4) if schedule == "one_cycle" else (0.0, 0.0)
    if step < n_rise:
        climbed = (1 - math.cos(math.pi * risen)) / 2 if schedule == "one_cycle" else risen
        return first + (peak - first) * climbed
    return last + (peak - last) * _falling((step + 1 - n_rise) / max(1, n_steps - n_rise))


def _falling(share: float) -> float:
    """Half a cosine from 1 down to 0 while `share` goes from 0 to 1."""
    return (1 + math.cos(math.pi * share)) / 2
