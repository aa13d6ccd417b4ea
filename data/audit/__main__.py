"""The command `python -m data.audit --dataset folder --data.path FILMS`: what is wrong with a dataset's splits."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below: they take a moment
    from synthworth.interrupts import hear

    hear()

import dataclasses
import inspect
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from data.audit.duplicates import THRESHOLD
from data.prepared import data_preparation, preparer, read_index
from data.registry import NEEDS, datasets
from synthworth.artifacts import check_writable
from synthworth.commands import OK, guarded
from synthworth.errors import UserError
from synthworth.keys import digest
from synthworth.printable import console, one_line, printable
from synthworth.registry import config_of, load_plugin_file, no_exit
from synthworth.store import Store

if TYPE_CHECKING:
    from data.splits.leaks import SharedNames

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
    config = config_of(datasets.get(first.dataset), first.dataset, needs=NEEDS)(**datasets.implied(first.dataset))
    shape = dataclasses.make_dataclass(
        "Audit", [("options", Annotated[AuditOptions, tyro.conf.arg(name="")]), ("data", type(config))], frozen=True
    )
    default = shape(options=first, data=config)
    found = tyro.cli(shape, args=list(args), default=default, prog=PROG, description=inspect.getdoc(AuditOptions))
    options: AuditOptions = found.options
    if not 0 < options.threshold <= 1:
        raise UserError(f"--threshold {options.threshold}: a similarity lies above 0 and is at most 1")
    if not 100 <= options.replicates <= 100_000:
        raise UserError(f"--replicates {options.replicates}: an interval needs 100 or more, and 100,000 are enough")
    return options, found.data


def main(args: Sequence[str]) -> int:
    """Prepare, audit, print; findings are no failure. Returns the exit code.

    Raises
    ------
    SharedNames
        Where splits share patients, after all of them are printed.
    """
    options, config = parse(args)
    dataset = datasets.get(options.dataset)(config)
    store = Store.open(options.home)
    if options.figure is not None:
        _check_figure(options.figure)
    identity = data_preparation(options.dataset, dataset)
    if not store.has("data", digest(identity)):  # what is finished is only read
        check_writable(store.home)
    from data.audit.report import audit_dataset
    from data.images import Split
    from data.splits.leaks import SharedNames

    try:
        with no_exit():
            made = store.get_or_make("data", identity, preparer(dataset))
    except SharedNames as error:
        _print_shared(error, as_json=options.json)
        raise
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


def _print_shared(error: SharedNames, *, as_json: bool) -> None:
    """All names that splits share, by pair of splits: nothing else of such a dataset can be audited."""
    from data.splits.leaks import by_pair

    pairs = {" and ".join(pair): names for pair, names in by_pair(error.shared).items()}
    if as_json:
        print(json.dumps({f"{error.what}s in more than one split": pairs}, indent=1))
        return
    for pair, names in pairs.items():
        print(f"{error.what}s in {pair}, {len(names)}:")
        print("\n".join(f"  {one_line(name)}" for name in names))


def _check_figure(file: Path) -> None:
    if file.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise UserError(f"--figure {file}: the name must end in .png, .pdf or .svg")
    check_writable(file.absolute().parent)


if __name__ == "__main__":
    sys.exit(guarded(main))
