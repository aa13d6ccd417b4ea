"""The flags of a sweep that are none of `benchmarks.run`."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import tyro

from benchmarks.sweep.items import STAGES
from synthworth.errors import UserError, unknown_name

PROG = "python -m benchmarks.sweep"
MOST = 1024
"""Processes, and tries again."""
SHIPPED = Path(__file__).with_name("configs")


@dataclass(frozen=True)
class SweepOptions:
    """Carry out every cell of a YAML file: what is there is not made again, and each artifact is made once.

    Every flag of `benchmarks.run` may follow and holds for all cells.
    """

    config: Path
    """YAML file: any options of `benchmarks.run`, and under `sweep` what is varied; or the name of one that is shipped
    (ratio_ablation, say)."""
    out: Path | None = None
    """Folder of the table, the figure and the failures; results/sweeps and the file's name unless it is given."""
    executor: Literal["local", "ray"] = "local"
    """Who makes the items: processes of this machine, or the tasks of a Ray cluster (extra `cluster`)."""
    ray_address: str = "auto"
    """The cluster of --executor ray: auto, HOST:PORT, or local for one that is begun here."""
    jobs: int = 0
    """Processes; 0 for one a core, up to 8, or one a GPU."""
    item: str = ""
    """i/n: make the share of one of n machines (1/n to n/n) that have the same home; no generator is in two shares."""
    only_failed: bool = False
    """Only what failed before, and what needs it."""
    retry: int = 0
    """How often an item that fails is tried again at once."""
    max_hours: tuple[str, ...] = ()
    """Hours that an item may take: 4 for all, or fit=4 classify=0.5."""
    collect: bool = False
    """Only the table and the figure, from what is there."""
    dry_run: bool = False
    """Print the plan and stop."""


def read_options(args: Sequence[str]) -> tuple[SweepOptions, list[str]]:
    """The flags of a sweep, and those for `benchmarks.run`.

    Raises
    ------
    UserError
        For numbers that cannot be, and a file that is not there.
    """
    options, rest = tyro.cli(SweepOptions, args=list(args), return_unknown_args=True, prog=PROG)
    for name in ("jobs", "retry"):
        if not 0 <= getattr(options, name) <= MOST:
            raise UserError(f"--{name} {getattr(options, name)} was asked for; it is 0 to {MOST:,}")
    if "--max-hours" in args and not options.max_hours:
        raise UserError("--max-hours names nothing; say how many, 4 or fit=4, or leave it out")
    if options.collect and (options.only_failed or options.item):
        other = "--only-failed" if options.only_failed else "--item"
        raise UserError(
            f"--collect makes nothing but table and figure, so {other} says nothing beside it; leave one out"
        )
    limits_of(options.max_hours)
    share_of(options.item)
    return options, list(rest)


def find_sweep(config: Path) -> Path:
    """The file, or the shipped one of that name, with its suffix or without."""
    if config.exists() or len(config.parts) > 1 or config.suffix not in ("", ".yaml"):
        return config
    names = sorted(file.stem for file in SHIPPED.glob("*.yaml"))
    if config.suffix and config.stem not in names:
        raise UserError(
            f"--config {config}: there is no such file, and no shipped sweep of that name: {', '.join(names)}"
        )
    if config.stem not in names:
        raise unknown_name("shipped sweep", config.name, names)
    return SHIPPED / f"{config.stem}.yaml"


def limits_of(words: Sequence[str]) -> Mapping[str, float]:
    """Seconds that an item of each stage may take."""
    limits: dict[str, float] = {}
    for word in words:
        stage, _, hours = word.rpartition("=")
        if stage and stage not in STAGES:
            raise unknown_name("stage", stage, STAGES)
        try:
            value = float(hours)
        except ValueError:
            value = math.nan
        if not 0 < value < math.inf:
            raise UserError(f"--max-hours {word}: hours above 0, as in 4 or fit=4")
        limits |= dict.fromkeys([stage] if stage else STAGES, 3600 * value)
    return limits


def share_of(item: str) -> tuple[int, int] | None:
    """Which share of how many; None for all."""
    if not item:
        return None
    number, _, of = item.partition("/")
    plain = all(word.isascii() and word.isdecimal() and len(word) < 6 for word in (number, of))
    if not (plain and 1 <= int(number) <= int(of)):
        raise UserError(f"--item {item}: i/n with i from 1 to n, 3/8 say")
    return int(number), int(of)
