"""What a fit cost beside its seconds: floating-point operations, share of the device's peak, energy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from synthworth.errors import UserError, bounded

JOULES_PER_KWH = 3.6e6
MOST = 1e30
"""More operations than this no machine will ever compute."""
UNTRAINED = "nothing was trained"
UNCOUNTED = "this fit counts none (it takes its steps without run_steps)"


@dataclass(frozen=True)
class Cost:
    """What a fit cost over all its attempts.

    Parameters
    ----------
    gflop : 1e9 floating-point operations of all images seen, forward and backward; a multiplication with its addition
        counts two. None where it is not known.
    peak : 1e9 floating-point operations a second of one large matrix product on the same devices, threads and
        precision, together; None where it was not measured.
    joules : taken by the whole devices while the fit ran, whatever else ran on them; None where no counter can be read.
    notes : why `gflop`, `peak` or `joules` is None, by name; of `joules` that are there, what they are of.
    """

    gflop: float | None = None
    peak: float | None = None
    joules: float | None = None
    notes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PlannedPhase:
    """Steps of one kind that a fit takes.

    Parameters
    ----------
    kind : of the network, as tables of measured speeds name it: `unet`, `dit`, `gan`, `resnet`, ...
    steps : optimiser steps.
    batch : images of a step.
    flops : floating-point operations an image, forward and backward.
    """

    kind: str
    steps: int
    batch: int
    flops: float


@dataclass(frozen=True)
class Operations:
    """What a plugin's networks compute, known from its options and the shape of the images before any is made.

    Parameters
    ----------
    phases : of its fit.
    use : floating-point operations of drawing one image, or of predicting one.
    parameters : of the networks that are saved, about; 0 where that is not said.
    """

    phases: tuple[PlannedPhase, ...]
    use: float
    parameters: int = 0

    def of_a_step(self) -> float:
        """Floating-point operations of the largest optimiser step."""
        return max(phase.batch * phase.flops for phase in self.phases)


def check_operations(found: object) -> Operations:
    """What a plugin says that it computes, once it is sure that time can be reckoned from it.

    Raises
    ------
    UserError
        Naming what is no number, or is none that a network can have.
    """
    if not isinstance(found, Operations):
        raise UserError(f"a {type(found).__name__} is no synthworth.api.Operations")
    if not isinstance(found.phases, tuple) or not found.phases:
        raise UserError(f"phases {found.phases!r}: one PlannedPhase or more is needed, in a tuple")
    for phase in found.phases:
        if not isinstance(phase, PlannedPhase) or not isinstance(phase.kind, str):
            raise UserError(f"{phase!r} is no PlannedPhase whose kind is a text")
        for name, low in (("steps", 0), ("batch", 1), ("flops", 0)):
            _check_number(f"{name} of phase {phase.kind}", getattr(phase, name), low=low)
    _check_number("use", found.use, low=0)
    _check_number("parameters", found.parameters, low=0)
    return found


def ask_operations(plugin: Any, **named: Any) -> Operations | str:
    """What a plugin says that it computes (its optional method `operations`), or why that is not known.

    Parameters
    ----------
    named : channels, size, n_classes, multilabel and n_steps, as the method takes them.
    """
    name = type(plugin).__name__
    if not hasattr(plugin, "operations"):
        return f"not known: {name} does not say what it computes (its optional method operations)"
    try:
        found = plugin.operations(**named)
    except Exception as error:  # a stranger's may be any; an estimate ends no run, and the fit says what is wrong
        return bounded(f"not known: asking {name} what it computes failed ({type(error).__name__}: {error})")
    if found is None:
        return f"not known: {name} does not know what it computes with these options"
    try:
        return check_operations(found)
    except UserError as error:
        return f"not known: what {name} says that it computes: {error}"


def _check_number(name: str, value: object, *, low: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value < MOST:
        raise UserError(f"{name} {value!r}: a number from {low} to {MOST:g} is needed")


def join_costs(costs: Sequence[Cost]) -> Cost:
    """The cost of fits that followed each other on the same devices: sums, unknown where one of them is."""
    if not costs:
        return Cost()
    notes = {name: note for cost in reversed(costs) for name, note in cost.notes.items()}
    for cost in costs:  # the reason of one that is unknown stands before what a known one is of
        notes |= {name: note for name, note in cost.notes.items() if getattr(cost, name) is None}
    return Cost(
        _sum([cost.gflop for cost in costs]), max((c.peak for c in costs if c.peak is not None), default=None),
        _sum([cost.joules for cost in costs]), notes,
    )  # fmt: skip


def _sum(numbers: Sequence[float | None]) -> float | None:
    known = [number for number in numbers if number is not None]
    return sum(known) if len(known) == len(numbers) else None


def describe_cost(cost: Cost, *, steps: int, images_seen: int, seconds: float) -> dict[str, Any]:
    """A cost as JSON, for the record of a fit.

    Parameters
    ----------
    steps, images_seen, seconds : of the fit, over all its attempts; the seconds are those of the training loop.

    Returns
    -------
    images_seen, gflop_per_image, images_per_second, peak_tflops, share_of_peak (0..1), kwh, and `notes`: why a number
    is None, by its name, and what `kwh` is of.
    """
    trained = steps > 0 and images_seen > 0
    why = {name: UNTRAINED if not trained else cost.notes.get(name, UNCOUNTED) for name in ("gflop", "peak", "joules")}
    rate = images_seen / seconds if trained and seconds > 0 else None
    gflop = cost.gflop / images_seen if trained and cost.gflop is not None else None
    peak = cost.peak if trained else None
    share = gflop * rate / peak if gflop is not None and rate is not None and peak else None
    kwh = cost.joules / JOULES_PER_KWH if trained and cost.joules is not None else None
    notes = {
        "gflop_per_image": None if gflop is not None else why["gflop"],
        "images_per_second": None
        if rate is not None
        else why["gflop"]
        if not trained
        else "it took no measurable time",
        "peak_tflops": None if peak is not None else why["peak"],
        "share_of_peak": None if share is not None else why["gflop"] if gflop is None else why["peak"],
        "kwh": why["joules"] if kwh is None or "joules" in cost.notes else None,
    }
    return {
        "images_seen": images_seen,
        "gflop_per_image": gflop,
        "images_per_second": rate,
        "peak_tflops": None if peak is None else peak / 1e3,
        "share_of_peak": share,
        "kwh": kwh,
        "notes": {name: note for name, note in notes.items() if note is not None},
    }


def cost_in_words(told: Mapping[str, Any]) -> str:
    """A described cost on one line: `1.28 million images, 166 GFLOP an image, 807 images/s, 14 % of peak, 0.31 kWh`."""
    words = [f"{told['images_seen']:,} images seen"]
    for name, form in (
        ("gflop_per_image", "{:.3g} GFLOP an image"), ("images_per_second", "{:.4g} images/s"),
        ("share_of_peak", "{:.1%} of peak"), ("kwh", "{:.3g} kWh"),
    ):  # fmt: skip
        value = told.get(name)
        words.append(f"{name}: null ({told['notes'].get(name, 'not said')})" if value is None else form.format(value))
    return ", ".join(words)
