"""The command `python -m benchmarks.check NAME|module:Class`: does a generator keep the contract?"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from benchmarks.check.checks import CheckResult, check_generator
from generators.registry import generators
from synthworth.commands import FAILED, OK, guarded
from synthworth.errors import UserError
from synthworth.registry import import_target, load_plugin_file

__all__ = ["CheckResult", "check_generator", "main"]


@dataclass(frozen=True)
class CheckOptions:
    """Prove that a generator keeps the contract; exit code 0 if it does, 1 if not."""

    generator: Annotated[str, tyro.conf.Positional]
    """A registered name, or `module:Class`."""
    plugin: tuple[Path, ...] = ()
    """Python files that register more."""
    multi: bool = False
    """Check with findings that co-occur, labels (N, K)."""
    channels: int = 1
    """1 for grey, 3 for RGB."""
    size: int = 32
    """Pixels a side."""


def find_class(name: str) -> type:
    """The class of a registered name or of `module:Class`.

    Raises
    ------
    UserError
        When there is none.
    """
    if ":" not in name:
        found: type = generators.get(name)
        return found
    try:
        found = import_target(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{name!r} cannot be imported: {error}. Give module:Class, importable from here") from error
    if not isinstance(found, type):
        raise UserError(f"{name!r} is not a class but {type(found).__name__}")
    return found


def main(args: Sequence[str]) -> int:
    """Check one generator and print a table of what was found."""
    options = tyro.cli(CheckOptions, args=list(args), prog="python -m benchmarks.check")
    if options.channels not in (1, 3):
        raise UserError(f"--channels {options.channels} was asked for; images have 1 or 3")
    for plugin in options.plugin:
        load_plugin_file(plugin)
    cls = find_class(options.generator)
    results = check_generator(cls, multilabel=options.multi, channels=options.channels, size=options.size)
    for result in results:
        print(f"{'pass' if result.passed else 'FAIL'}  {result.name:<14}{result.message}".rstrip())
    n_failed = sum(not r.passed for r in results)
    print(f"{options.generator}: {len(results) - n_failed} of {len(results)} checks passed")
    return FAILED if n_failed else OK


if __name__ == "__main__":
    sys.exit(guarded(main))
