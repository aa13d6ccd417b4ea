"""Bounds of a request: how large it may be at all; training images at most; parts that several devices share."""

from __future__ import annotations

import dataclasses
import logging
import math
from typing import Any

from benchmarks.request.options import Options, Request
from synthworth.errors import UserError

logger = logging.getLogger(__name__)

LARGEST = {"seeds": 1000, "shard": 1_000_000, "workers": 1024, "devices": 1024}
LONGEST = 1000
"""Entries that an option which takes several may have: each ratio and each control is an arm of its own."""


def check_size(o: Options) -> None:
    """Refuse numbers that no run could be made of, before anything is planned by them.

    Raises
    ------
    UserError
        For a number that is not finite, below 0 or above its bound, and for an option with too many entries; names it.
    """
    for field in dataclasses.fields(o):
        flag, value = f"--{field.name.replace('_', '-')}", getattr(o, field.name)
        if isinstance(value, float) and not math.isfinite(value):
            raise UserError(f"{flag} {value} was asked for; it is a finite number")
        if isinstance(value, tuple) and len(value) > LONGEST:
            raise UserError(f"{flag} has {len(value):,} entries, and takes {LONGEST:,} at most")
        if field.name in LARGEST and value > LARGEST[field.name]:
            raise UserError(f"{flag} {value} was asked for; it is {LARGEST[field.name]:,} at most")
    for name in ("snapshot_epochs", "checkpoint_seconds", "max_train"):
        if getattr(o, name) < 0:
            raise UserError(f"--{name.replace('_', '-')} {getattr(o, name):g} was asked for; it is 0 or more")


def limit_train(o: Options, n_train: int) -> Options:
    """The options with `--real-fraction` lowered so far that about `--max-train` training images are left.

    They are of whole patients and every class. What is used in the end is in the spec like any other real fraction.

    Parameters
    ----------
    n_train : training images that the dataset has.
    """
    if not o.max_train or o.patients_per_class or n_train * o.real_fraction <= o.max_train:
        return o
    fraction = math.floor(1e4 * o.max_train / n_train) / 1e4 or o.max_train / n_train
    logger.warning(
        "%d of the %d training images are used (--real-fraction %g): preset %s takes --max-train %d",
        round(fraction * n_train), n_train, fraction, o.preset, o.max_train,
    )  # fmt: skip
    return dataclasses.replace(o, real_fraction=fraction)


def share_devices(request: Request) -> Request:
    """The request whose generator cuts a step's batch into as many parts as there are `--devices`.

    Unless it is told into how many (`--gen.accumulate`). The number of parts is in the key of the fit; how many devices
    share them is not.
    """
    n = request.options.devices
    gen = _cut(request.gen, n) if n > 1 else request.gen
    if gen != request.gen:
        logger.warning("--devices %d: a step's batch is cut into %d parts (--gen.accumulate %d)", n, n, n)
    return dataclasses.replace(request, gen=gen)


def _cut(config: Any, devices: int) -> Any:
    """A Config, and those in it, with `accumulate` raised from 1.

    A batch that cannot be cut so is left as it is, and is refused when the training begins.
    """
    changes: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            changes[field.name] = _cut(value, devices)
        elif field.name == "accumulate" and value == 1 and getattr(config, "batch", devices) % devices == 0:
            changes[field.name] = devices
    return dataclasses.replace(config, **changes)
