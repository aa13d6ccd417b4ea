"""The command `python -m benchmarks.check NAME|module:Class`: whether a plugin keeps its contract."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below: they take a moment
    from synthworth.interrupts import hear

    hear()

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from benchmarks.check.checks import check_generator
from benchmarks.check.kinds import KINDS, Kind, check_plugin, kind_of
from benchmarks.check.result import CheckResult
from benchmarks.metrics.registry import EXTRACTORS, METRICS
from benchmarks.request.filters import FILTERS
from classifiers.registry import classifiers
from data.registry import datasets
from generators.registry import generators
from synthworth.commands import FAILED, OK, guarded
from synthworth.errors import UserError, unknown_name
from synthworth.printable import printable
from synthworth.registry import Registry, config_of, import_target, load_plugin_file

__all__ = ["CheckResult", "check_generator", "main"]

REGISTRIES: dict[str, Registry] = {
    "generator": generators,
    "dataset": datasets,
    "classifier": classifiers,
    "metric": METRICS,
    "extractor": EXTRACTORS,
    "filter": FILTERS,
}
FLAGS = {"generator": "gen", "dataset": "data", "classifier": "clf"}
"""What a plugin's own options follow, as in the main job."""
PROG = "python -m benchmarks.check"


@dataclass(frozen=True)
class CheckOptions:
    """Prove that a plugin keeps its contract; exit code 0 if it does, 1 if not.

    The options of a generator, dataset or classifier can be given as in the main job (--gen.NAME, --data.NAME,
    --clf.NAME).
    """

    name: Annotated[str, tyro.conf.Positional]
    """A registered name, or `module:Class` (`module:function` for a metric or a filter)."""
    kind: Kind | None = None
    """Of what; only needed where two kinds have the name, or an address does not tell."""
    plugin: tuple[Path, ...] = ()
    """Python files that register more."""
    multi: bool = False
    """Check a generator or classifier with findings that co-occur, labels (N, K)."""
    channels: int = 1
    """1 for grey, 3 for RGB."""
    size: int = 32
    """Pixels a side."""


def find_plugin(name: str, kind: str | None) -> tuple[Any, str, dict[str, Any]]:
    """The plugin of a registered name or of an address, its kind, and the settings that its name implies.

    Raises
    ------
    UserError
        When there is none, or several kinds have the name and `kind` does not say which is meant.
    """
    if ":" not in name:
        kinds = [k for k in KINDS if (kind in (None, k)) and name in REGISTRIES[k]]
        if not kinds:
            known = [n for k in KINDS if kind in (None, k) for n in REGISTRIES[k].names()]
            raise unknown_name(kind or "plugin", name, known)
        if len(kinds) > 1:
            raise UserError(f"{name!r} is a {' and a '.join(kinds)}; say which is meant with --kind")
        registry = REGISTRIES[kinds[0]]
        return registry.get(name), kinds[0], dict(registry.implied(name))
    try:
        found = import_target(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{name!r} cannot be imported: {error}. Give module:Class, importable from here") from error
    return found, kind or kind_of(found), {}


def parse(args: Sequence[str]) -> tuple[CheckOptions, Any, str, Any]:
    """The options, the plugin, its kind, and the Config it is to be made with (None for the smallest it offers).

    Raises
    ------
    UserError
        For what does not exist. Unknown flags end the process with code 2.
    """
    options, rest = tyro.cli(CheckOptions, args=list(args), prog=PROG, return_unknown_args=True)
    if options.channels not in (1, 3):
        raise UserError(f"--channels {options.channels} was asked for; images have 1 or 3")
    for file in options.plugin:
        load_plugin_file(file)
    plugin, kind, implied = find_plugin(options.name, options.kind)
    if kind not in FLAGS or not (rest or implied):
        if rest:
            tyro.cli(CheckOptions, args=list(args), prog=PROG)  # says which flag it does not know, and ends
        return options, plugin, kind, None
    tiny = getattr(plugin, "tiny_config", None) or config_of(plugin, options.name)
    config = dataclasses.replace(tiny(), **implied)
    shape = dataclasses.make_dataclass("Own", [(FLAGS[kind], type(config))], frozen=True)
    own = tyro.cli(shape, args=rest, default=shape(config), prog=PROG)
    return options, plugin, kind, getattr(own, FLAGS[kind])


def require_options(name: str, plugin: Any, config: Any) -> None:
    """Refuse a generator that is asked for without an option that it cannot do without (`required`).

    Raises
    ------
    UserError
        Naming the option.
    """
    for option in getattr(plugin, "required", ()):
        if config is None or not getattr(config, option):
            flag = f"--gen.{option.replace('_', '-')}"
            raise UserError(f"{name} cannot be checked without {flag}, which has no default that would do; give it")


def main(args: Sequence[str]) -> int:
    """Check one plugin and print a table of what was found."""
    options, plugin, kind, config = parse(args)
    if kind == "generator" and hasattr(plugin, "check_demand"):
        raise UserError(
            f"{options.name} draws from images of your own, which the small set made here knows nothing of: "
            "python -m benchmarks.run looks at them before anything is made"
        )
    require_options(options.name, plugin, config)
    tasks = getattr(plugin, "tasks", ("single", "multi"))
    multilabel = options.multi or "single" not in tasks
    results = check_plugin(
        plugin, kind=kind, multilabel=multilabel, channels=options.channels, size=options.size, config=config
    )
    for result in results:
        print(printable(f"{'pass' if result.passed else 'FAIL'}  {result.name:<14}{result.message}".rstrip()))
        if not result.passed:
            print(f"{'':<20}expected: {result.expected}")
    if kind in ("generator", "classifier") and {"single", "multi"} <= set(tasks) and not multilabel:
        print("checked on images of one class each; --multi checks findings that co-occur")
    n_failed = sum(not r.passed for r in results)
    print(f"{kind} {options.name}: {len(results) - n_failed} of {len(results)} checks passed")
    return FAILED if n_failed else OK


if __name__ == "__main__":
    sys.exit(guarded(main))
