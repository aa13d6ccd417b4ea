"""What there is: `python -m benchmarks.list [generators|datasets|classifiers|metrics|extractors]`."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below: they take a moment
    from synthworth.interrupts import hear

    hear()

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from benchmarks.metrics.registry import EXTRACTORS, METRICS
from benchmarks.request.filters import FILTERS
from benchmarks.request.named import systems, variants
from benchmarks.request.remedies import REMEDIES
from classifiers.registry import classifiers
from data.registry import datasets
from generators.registry import generators
from synthworth.commands import OK, guarded
from synthworth.printable import one_line
from synthworth.registry import Listing, load_plugin_file

KINDS = {
    "generators": generators,
    "datasets": datasets,
    "classifiers": classifiers,
    "metrics": METRICS,
    "extractors": EXTRACTORS,
    "filters": FILTERS,
}

SUMMARIES = {
    "remedies": {name: remedy.summary for name, remedy in REMEDIES.items()},
    "systems": systems(),
    "variants": variants(),
}
"""What is no plugin: names of options, with a line on each."""


Kind = Literal[
    "all", "generators", "datasets", "classifiers", "metrics", "extractors", "remedies", "filters", "systems",
    "variants",
]  # fmt: skip


@dataclass(frozen=True)
class ListOptions:
    """List plugins by kind, with where they come from; a broken one is listed with its error."""

    kind: Annotated[Kind, tyro.conf.Positional] = "all"
    """Which kind; all of them unless one is named. variants: what may stand behind the name of a system, with a +."""
    plugin: tuple[Path, ...] = ()
    """Python files that register more."""
    json: bool = False
    """Print JSON."""


def main(args: Sequence[str]) -> int:
    """Print the tables. Imports no built-in plugin."""
    options = tyro.cli(ListOptions, args=list(args), prog="python -m benchmarks.list")
    for plugin in options.plugin:
        load_plugin_file(plugin)
    chosen = {kind: registry for kind, registry in KINDS.items() if options.kind in ("all", kind)}
    listings = {kind: [asdict(row) for row in registry.listing()] for kind, registry in chosen.items()}
    for kind, summaries in SUMMARIES.items():
        if options.kind in ("all", kind):
            listings[kind] = [asdict(Listing(name, "built in", said)) for name, said in summaries.items()]
    if options.json:
        print(json.dumps(listings, indent=1))
        return OK
    for kind, rows in listings.items():
        print(kind)
        width = max((len(row["name"]) for row in rows), default=0)
        for row in rows:
            said = f"BROKEN: {row['error']}" if row["error"] else row["summary"]
            source = "" if row["source"] == "built in" else f"  ({row['source']})"
            print(one_line(f"  {row['name']:<{width}}  {said}{source}"))
    return OK


if __name__ == "__main__":
    sys.exit(guarded(main))
