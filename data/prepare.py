"""The command `python -m data.prepare --dataset folder --data.path FILMS --data.size 64`: decode once."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below: they take a moment
    from synthworth.interrupts import hear

    hear()

import dataclasses
import inspect
import json
import shlex
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from data.images import Split, count_labels
from data.prepared import METADATA, data_preparation, preparer, read_index
from data.registry import NEEDS, datasets
from synthworth.artifacts import check_writable, ensure_folder, read_array, read_rows
from synthworth.commands import OK, guarded
from synthworth.errors import UserError
from synthworth.keys import digest
from synthworth.printable import one_line
from synthworth.registry import config_of, load_plugin_file, no_exit
from synthworth.store import Made, Store

PROG = "python -m data.prepare"


@dataclass(frozen=True)
class PrepareOptions:
    """Decode a dataset once, in parallel, into the cache that the benchmarks read.

    `python -m benchmarks.run` finds it when it is given the same --data options. A call that was interrupted goes on
    where it was.
    """

    dataset: str = "folder"
    """Where the images come from; `python -m benchmarks.list datasets` names all."""
    plugin: tuple[Path, ...] = ()
    """Python files that register datasets."""
    home: Path | None = None
    """Folder of the artifacts; SYNTHWORTH_HOME, or .synthworth."""
    export: Path | None = None
    """Folder that takes a copy of metadata.parquet and of train.csv, val.csv and test.csv."""
    json: bool = False
    """Print JSON."""


def parse(args: Sequence[str]) -> tuple[PrepareOptions, Any]:
    """The options, and the chosen dataset's own Config. tyro parses twice, as for every command with plugins.

    Raises
    ------
    UserError
        For an unknown dataset or a broken plugin. Unknown flags end the process with code 2.
    """
    bare = [a for a in args if a not in ("-h", "--help")]
    first, _ = tyro.cli(PrepareOptions, args=bare, return_unknown_args=True, add_help=False, prog=PROG)
    for plugin in first.plugin:
        load_plugin_file(plugin)
    config = config_of(datasets.get(first.dataset), first.dataset, needs=NEEDS)(**datasets.implied(first.dataset))
    shape = dataclasses.make_dataclass(
        "Prepare",
        [("options", Annotated[PrepareOptions, tyro.conf.arg(name="")]), ("data", type(config))],
        frozen=True,
    )
    default = shape(options=first, data=config)
    found = tyro.cli(shape, args=list(args), default=default, prog=PROG, description=inspect.getdoc(PrepareOptions))
    return found.options, found.data


def main(args: Sequence[str]) -> int:
    """Prepare, print what came of it. Returns the exit code."""
    options, config = parse(args)
    dataset = datasets.get(options.dataset)(config)
    store = Store.open(options.home)
    identity = data_preparation(options.dataset, dataset)
    if not store.has("data", digest(identity)):  # what is finished is only read
        check_writable(store.home)
    if options.export is not None:
        check_writable(options.export)
        _refuse_export_of_no_films(options.dataset, dataset)
    with no_exit():
        made = store.get_or_make("data", identity, preparer(dataset))
    found = summarise(made)
    if options.export is not None:
        found["exported"] = [str(file) for file in export(made.folder, options.export)]
    if options.json:
        print(json.dumps(found, indent=1))
        return OK
    _print(found)
    flags = shlex.join(a for a in _without(args, ("--export", "--json", "--no-json", "--dataset")))
    print(one_line(f"a run finds it by: python -m benchmarks.run --dataset {options.dataset} {flags}".rstrip()))
    return OK


def _refuse_export_of_no_films(name: str, dataset: Any) -> None:
    from data.films.dataset import FilmDataset

    if not isinstance(dataset, FilmDataset):
        raise UserError(f"--export: dataset {name} is not made of films, and has no metadata to copy")


def summarise(made: Made) -> dict[str, Any]:
    """What a prepared folder holds: JSON with the place, images and patients by split, images by class, notes.

    Patients are null where each image counts as one of its own.
    """
    index = read_index(made.folder)
    names = [split.value for split in Split if split.value in index["splits"]]
    counts, patients = {}, {}
    for name in names:
        labels = read_array(made.folder / f"{name}-labels.npy")
        counts[name] = count_labels(labels, index["classes"])
        rows = read_rows(made.folder / f"{name}-rows.parquet", columns=["id", "group"])
        groups = rows.column("group")
        own = groups == rows.column("id")
        patients[name] = None if own else len(groups.unique())
    return {
        "folder": str(made.folder),
        "fresh": made.fresh,
        "seconds": round(made.seconds, 3),
        "fingerprint": index["fingerprint"],
        "size": index["size"],
        "channels": index["channels"],
        "images": {name: index["splits"][name]["n"] for name in names},
        "patients": patients,
        "counts": counts,
        "notes": index.get("notes", {}),
    }


def export(prepared: Path, to: Path) -> list[Path]:
    """Copy metadata.parquet and the CSV of every split; the copies."""
    ensure_folder(to)
    files = [prepared / METADATA, *sorted(prepared.glob("*.csv"))]
    return [Path(shutil.copyfile(file, to / file.name)) for file in files]


def _print(found: dict[str, Any]) -> None:
    splits = list(found["images"])
    rows = {"images": found["images"], "patients": found["patients"]}
    rows |= {
        f"  {name}": {split: found["counts"][split][name] for split in splits} for name in found["counts"][splits[0]]
    }
    shown = [(one_line(name), row) for name, row in rows.items()]
    width = max(len(name) for name, _ in shown)
    print(" " * width + "".join(f"{split:>10}" for split in splits))
    for name, row in shown:
        print(f"{name:<{width}}" + "".join(f"{_count(row[split]):>10}" for split in splits))
    notes = dict(found["notes"])
    skipped = notes.pop("skipped", [])
    for name, value in notes.items():
        print(one_line(f"{name}: {value}"))
    for skip in skipped:
        print(one_line(f"skipped {skip['id']} ({skip['split']}): {skip['reason']}"))
    n = sum(found["images"].values()) + len(skipped)
    took = f"{found['seconds']:.1f} s, {n / max(found['seconds'], 1e-9):,.0f} images/s"
    what = f"{found['size']} x {found['size']} px, {found['channels']} channel{'s'[: found['channels'] - 1]}"
    print(f"{what}, {'decoded in' if found['fresh'] else 'was there, decoded in'} {took}")
    for file in found.get("exported", []):
        print(one_line(f"written {file}"))
    print(one_line(f"in {found['folder']}"))


def _count(n: int | None) -> str:
    return "not known" if n is None else f"{n:,}"


def _without(args: Sequence[str], flags: Sequence[str]) -> list[str]:
    """The arguments less some flags and their values."""
    kept, dropping = [], False
    for arg in args:
        if arg.startswith("--"):
            name, given, _ = arg.partition("=")
            dropping = name in flags and not given
            if name in flags:
                continue
        elif dropping:
            continue
        kept.append(arg)
    return kept


if __name__ == "__main__":
    sys.exit(guarded(main))
