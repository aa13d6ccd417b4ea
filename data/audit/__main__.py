"""The command `python -m data.audit --dataset folder --data.path FILMS`: what is wrong with a dataset's splits."""

from __future__ import annotations

import dataclasses
import inspect
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from data.audit.duplicates import THRESHOLD
from data.registry import datasets
from synthworth.artifacts import Store, check_writable
from synthworth.commands import OK, guarded
from synthworth.errors import UserError
from synthworth.printable import console, printable
from synthworth.registry import load_plugin_file

PROG = "python -m data.audit"


@dataclass(frozen=True)
class AuditOptions:
    """Audit a dataset's splits, prepared first if it is not yet.

    Counts, co-occurrence, duplicates and near duplicates across splits, label conflicts, films that show nothing, and
    what view, sex or age alone tell of the class, or file mode, format and size, border and mean grey.
    """

    dataset: str = "folder"
    """Where the images come from; `python -m benchmarks.list datasets` names all."""
    plugin: tuple[Path, ...] = ()
    """Python files that register datasets."""
    home: Path | None = None
    """Folder of the artifacts; SYNTHWORTH_HOME, or .synthworth."""
    figure: Path | None = None
    """PNG (or PDF, SVG) file that takes the figure."""
    threshold: float = THRESHOLD
    """Similarity, up to 1, from which two films of different splits count as near duplicates."""
    replicates: int = 500
    """Bootstrap replicates behind the intervals of the shortcuts."""
    seed: int = 0
    """Draws folds and replicates of the shortcuts."""
    json: bool = False
    """Print JSON."""


def parse(args: Sequence[str]) -> tuple[AuditOptions, Any]:
    """The options, and the chosen dataset's own Config. tyro parses twice, as for every command with plugins.

    Raises
    ------
    UserError
        For an unknown dataset, a broken plugin, or an option that cannot be. Unknown flags end the process with code 2.
    """
    bare = [a for a in args if a not in ("-h", "--help")]
    first, _ = tyro.cli(AuditOptions, args=bare, return_unknown_args=True, add_help=False, prog=PROG)
    for plugin in first.plugin:
        load_plugin_file(plugin)
    config = datasets.get(first.dataset).Config(**datasets.implied(first.dataset))
    shape = dataclasses.make_dataclass(
        "Audit", [("options", Annotated[AuditOptions, tyro.conf.arg(name="")]), ("data", type(config))], frozen=True
    )
    default = shape(options=first, data=config)
    found = tyro.cli(shape, args=list(args), default=default, prog=PROG, description=inspect.getdoc(AuditOptions))
    options: AuditOptions = found.options
    if not 0 < options.threshold <= 1:
        raise UserError(f"--threshold {options.threshold}: a similarity lies above 0 and is at most 1")
    if options.replicates < 100:
        raise UserError(f"--replicates {options.replicates}: an interval needs 100 or more")
    return options, found.data


def main(args: Sequence[str]) -> int:
    """Prepare, audit, print; findings are no failure. Returns the exit code."""
    options, config = parse(args)
    dataset = datasets.get(options.dataset)(config)
    store = Store.open(options.home)
    check_writable(store.home)
    if options.figure is not None:
        _check_figure(options.figure)
    from data.audit.report import audit_dataset
    from data.images import Split
    from data.prepared import data_preparation, preparer, read_index

    made = store.get_or_make("data", data_preparation(options.dataset, dataset), preparer(dataset))
    index: Any = read_index(made.folder)
    sets = {split: dataset.load(made.folder, split) for split in Split if split.value in index["splits"]}
    found = audit_dataset(
        sets,
        dataset=dataset,
        notes=index.get("notes"),
        threshold=options.threshold,
        n_replicates=options.replicates,
        seed=options.seed,
    )
    if options.figure is not None:
        from data.audit.figure import draw_audit

        path = getattr(config, "path", None)
        title = f"{options.dataset} {path.name}" if isinstance(path, Path) else options.dataset
        draw_audit(found, sets, options.figure, title=title)
    if options.json:
        print(json.dumps({"dataset": options.dataset, "folder": str(made.folder), **found.to_json()}, indent=1))
        return OK
    from data.audit.tables import print_audit

    print_audit(console(), found)
    if options.figure is not None:
        print(printable(f"figure {options.figure}"))
    return OK


def _check_figure(file: Path) -> None:
    if file.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise UserError(f"--figure {file}: the name must end in .png, .pdf or .svg")
    check_writable(file.absolute().parent)


if __name__ == "__main__":
    sys.exit(guarded(main))
