"""An item of a sweep done, in whatever process this is: it gets a request and a key, and answers with a state."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from benchmarks.job.fault import Fault, Kind, fault_of
from benchmarks.job.opened import Opened, open_request
from benchmarks.job.plan import optional_arms
from benchmarks.request.options import Request
from benchmarks.stages.filters import Starved
from benchmarks.stages.images import Images
from benchmarks.sweep.alone import one_at_a_time
from benchmarks.sweep.items import Item
from synthworth.errors import bounded
from synthworth.store import Store

KEPT = 2
"""Requests that a process keeps open: its items come request by request, mostly."""


@dataclass(frozen=True)
class Answer:
    """What became of an item.

    Parameters
    ----------
    seconds : wall time.
    made : artifacts that this process made by stage; what it waited for in another's hands is none.
    fault : None where it is done.
    tries : how often it was begun.
    """

    seconds: float
    made: Mapping[str, int] = field(default_factory=dict)
    fault: Fault | None = None
    tries: int = 1


def perform(request: Request, item: Item) -> Answer:
    """Do an item. Whatever it raises is told in the answer; interrupts go on."""
    began, before = time.perf_counter(), dict[str, int]()
    opened: Opened | None = None
    try:
        if item.stage == "evaluate":
            made = _evaluate(request, item)
        else:
            opened = _opened(request)
            bench, before = opened.bench, dict(opened.bench.made)
            _make(opened, item)
            made = {stage: n - before.get(stage, 0) for stage, n in bench.made.items() if n > before.get(stage, 0)}
    except Starved as error:
        specs = [] if opened is None else opened.specs
        kind: Kind = "skipped" if item.run_id in optional_arms(request, specs) else "refused"
        return Answer(time.perf_counter() - began, fault=Fault(kind, bounded(str(error))))
    except Exception as error:  # told in the answer: the items beside it are worth having all the same
        return Answer(time.perf_counter() - began, fault=fault_of(error))
    return Answer(time.perf_counter() - began, made)


_open: dict[int, tuple[Request, Opened]] = {}
_images: dict[str, Images] = {}


def _opened(request: Request) -> Opened:
    """The request, opened once in a process."""
    for number, (known, opened) in _open.items():
        if known == request:
            _open[number] = _open.pop(number)
            return opened
    while len(_open) >= KEPT:
        del _open[next(iter(_open))]
    opened = open_request(request, images=_images)
    for key in [key for key in _images if all(_images[key] is not o.experiment.images for _, o in _open.values())]:
        if _images[key] is not opened.experiment.images:
            del _images[key]
    _open[max(_open, default=0) + 1] = request, opened
    return opened


def _make(opened: Opened, item: Item) -> None:
    """Fit, draw, extract or train, as `benchmarks.run` does it."""
    from benchmarks.job.beside import root_of
    from benchmarks.job.train_arms import train_numbers
    from benchmarks.judging.extraction import extract_all, measures_of
    from benchmarks.stages.generator import draw_pool, fit_generator
    from synthworth.devices import repeatable

    experiment = opened.experiment
    arm = next((arm for arm in opened.arms if arm.spec.run_id == item.run_id), None)
    if item.stage == "features":
        with repeatable(device=opened.bench.device):
            if arm is not None:  # else of the real images
                arm.pool = draw_pool(experiment, arm)
            extract_all(measures_of(opened.bench, experiment.images, opened.arms), arm)
        return
    assert arm is not None
    if item.stage == "classify":
        train_numbers(experiment, arm.spec, item.numbers)
        return
    with repeatable(device=opened.bench.device):
        if item.stage == "fit":
            fit_generator(experiment, root_of(arm.spec))
        else:
            draw_pool(experiment, arm)


def _evaluate(request: Request, item: Item) -> dict[str, int]:
    """Judge what is there, as `benchmarks.run` does it, and write the records."""
    from benchmarks.job.carry_out import carry_out

    with one_at_a_time(Store.open(request.options.home).home, item.key, what=item.name):
        outcome: Any = carry_out(request, only_there=True, without=item.without)
    return {"records": outcome.made.get("judge", 0), "features": outcome.made.get("features", 0)}
