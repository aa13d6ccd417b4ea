"""What is stored, how much of it, whether it is whole, and what may go: `python -m benchmarks.artifacts du`."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below: they take a moment
    from synthworth.interrupts import hear

    hear()

import os
import shutil
import sys
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from synthworth.commands import FAILED, OK, guarded
from synthworth.errors import UserError
from synthworth.in_use import used_since
from synthworth.store import HOUR

if TYPE_CHECKING:
    from benchmarks.records.needs import Stored
    from synthworth.store import Store

PROG = "python -m benchmarks.artifacts"
DAY = 24.0
GOING = "going-"


@dataclass(frozen=True)
class ArtifactOptions:
    """List what is stored (ls), say how much it is (du), hash all of it again (verify), delete some of it (prune)."""

    do: Annotated[Literal["ls", "du", "verify", "prune"], tyro.conf.Positional] = "du"
    """What to do."""
    home: Path | None = None
    """Folder of the artifacts; SYNTHWORTH_HOME, or .synthworth."""
    kind: str = ""
    """Only artifacts of this kind: data, fit, pool, filter, classify or features."""
    keep_recorded: bool = False
    """prune: keep what the runs of the records below --results were made of, and delete the rest."""
    results: tuple[Path, ...] = (Path("results/runs"),)
    """Folders with records."""
    older_than: float = DAY
    """prune: keep what was made or used within so many hours: whatever runs now will want it."""
    dry_run: bool = False
    """prune: only say what would go."""


@dataclass(frozen=True)
class Found:
    """A folder of the store: its manifest where that can be read, its bytes, and hours since it was used last."""

    kind: str
    folder: Path
    manifest: Mapping[str, Any] | None
    n_bytes: int
    idle: float


def main(args: Sequence[str]) -> int:
    """Do what was asked; 1 where something is damaged."""
    o = tyro.cli(ArtifactOptions, args=list(args), prog=PROG)
    from synthworth.store import Store

    store = Store.open(o.home)
    if not (store.home / "artifacts").is_dir():
        raise UserError(f"{store.home} holds no artifacts. Name their folder with --home")
    found = [one for one in every(store) if o.kind in ("", one.kind)]
    if o.kind and not found:
        kinds = sorted(path.name for path in (store.home / "artifacts").iterdir())
        raise UserError(f"--kind {o.kind}: there are none; there are {', '.join(kinds)}")
    return {"ls": list_them, "du": sum_them, "verify": verify, "prune": prune}[o.do](store, found, o)


def every(store: Store) -> Iterator[Found]:
    """All published artifacts. One that goes while it is looked at is left out."""
    for kind in sorted(path for path in (store.home / "artifacts").iterdir() if path.is_dir()):
        for folder in sorted(path for path in kind.iterdir() if path.is_dir()):
            try:
                used = (folder / "manifest.json").stat().st_mtime
            except OSError:
                used = time.time()
            try:
                manifest: Mapping[str, Any] | None = store.manifest(kind.name, folder.name)
            except UserError:
                manifest = None
            yield Found(kind.name, folder, manifest, size_of(folder), (time.time() - used) / 3600)


def size_of(folder: Path) -> int:
    """Bytes of all files below a folder, as far as they are still there."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                total += os.lstat(Path(place, name)).st_size
            except FileNotFoundError:
                continue
    return total


def list_them(store: Store, found: Sequence[Found], o: ArtifactOptions) -> int:
    """A line an artifact, the latest used first."""
    from benchmarks.report.tables import console, table

    made = table(f"artifacts in {store.home}", ("kind", "key", "of", "MB", "seconds", "used, hours ago"), left=3)
    for one in sorted(found, key=lambda one: one.idle):
        seconds = "?" if one.manifest is None else f"{one.manifest['seconds']:.1f}"
        said = "damaged" if one.manifest is None else what(one.manifest)
        made.add_row(one.kind, one.folder.name[:12], said, f"{one.n_bytes / 1e6:.2f}", seconds, f"{one.idle:.1f}")
    console().print(made)
    return OK


def what(manifest: Mapping[str, Any]) -> str:
    """What an artifact is of, in a few words."""
    from rich.markup import escape

    identity = manifest.get("identity", {})
    data = identity.get("data", identity) if isinstance(identity, dict) else {}
    words = [identity.get("generator"), identity.get("classifier"), identity.get("extractor"), identity.get("stream"),
             data.get("dataset")]  # fmt: skip
    seed = identity.get("seed")
    return escape(" ".join(str(word) for word in words if word) + (f" (seed {seed})" if seed is not None else ""))


def sum_them(store: Store, found: Sequence[Found], o: ArtifactOptions) -> int:
    """Number and bytes by kind, and of what is half made or was moved aside."""
    from benchmarks.report.tables import console, table

    made = table(f"artifacts in {store.home}", ("kind", "artifacts", "MB"), left=1)
    numbers, sizes = Counter(one.kind for one in found), Counter[str]()
    for one in found:
        sizes[one.kind] += one.n_bytes
    for kind in numbers:
        made.add_row(kind, str(numbers[kind]), f"{sizes[kind] / 1e6:.2f}")
    for name, said in (("work", "half made"), ("damaged", "moved aside")):
        if (folder := store.home / name).is_dir() and not o.kind:
            made.add_row(said, str(sum(1 for _ in folder.glob("*/*"))), f"{size_of(folder) / 1e6:.2f}")
    made.add_row("together", str(len(found)), f"{sum(sizes.values()) / 1e6:.2f}")
    console().print(made)
    return OK


def verify(store: Store, found: Sequence[Found], o: ArtifactOptions) -> int:
    """Hash every file again; names what is not as it was written."""
    from benchmarks.report.tables import console
    from synthworth.progress import track
    from synthworth.store import ABSENT

    damaged = []
    for one in track(found, "verify"):
        try:
            fault = store.fault(one.kind, one.folder.name, deep=True)
        except UserError as error:  # what lies there is none of its files
            fault = str(error)
        if fault not in (None, ABSENT):
            damaged.append(f"{one.folder}: {fault}")
    out = console()
    for line in damaged:
        out.print(f"DAMAGED {line}", style="bold red", markup=False, soft_wrap=True)
    n_bytes = sum(one.n_bytes for one in found)
    remedy = "the command that needs one moves it aside and makes it again"
    said = f"{len(damaged)} damaged; {remedy}" if damaged else "whole"
    out.print(f"{len(found)} artifacts, {n_bytes / 1e6:.1f} MB: {said}", markup=False, soft_wrap=True)
    return FAILED if damaged else OK


def prune(store: Store, found: Sequence[Found], o: ArtifactOptions) -> int:
    """Delete what no record needs and nobody used lately.

    What a run or sweep that goes on now has made, used or counts on stays, whatever its age. An artifact is renamed
    before it is deleted, so that nobody sees a part of one; whoever wants it makes it again.
    """
    from benchmarks.records.needs import needed
    from benchmarks.report.tables import console, table

    if not o.keep_recorded:
        raise UserError("prune deletes what no record needs: say so with --keep-recorded; look first with --dry-run")
    if not 0 <= o.older_than < float("inf"):
        raise UserError(f"--older-than {o.older_than:g}: hours, 0 or more")
    stored = list(stored_of(list(every(store))))
    keep = needed(records_in(o.results), stored)
    known = {(one.kind, one.key) for one in stored}
    going = [
        one for one in found
        if (one.kind, one.folder.name) in known - keep and may_go(store, one.folder, o.older_than)
    ]  # fmt: skip
    made = table("prune", ("kind", "kept", "MB kept", "would go" if o.dry_run else "deleted", "MB"), left=1)
    for kind in dict.fromkeys(one.kind for one in found):
        of = [one for one in found if one.kind == kind]
        gone = [one for one in of if one in going]
        rest = sum(one.n_bytes for one in of) - sum(one.n_bytes for one in gone)
        made.add_row(
            kind, str(len(of) - len(gone)), f"{rest / 1e6:.2f}", str(len(gone)),
            f"{sum(one.n_bytes for one in gone) / 1e6:.2f}",
        )  # fmt: skip
    if not o.dry_run:
        for one in going:
            if may_go(store, one.folder, o.older_than):  # a sweep may have begun meanwhile
                remove(store, one)
        for left in store.home.glob(f"{GOING}*"):
            shutil.rmtree(left, ignore_errors=True)
    out = console()
    out.print(made)
    lately = sum((one.kind, one.folder.name) in known - keep for one in found) - len(going)
    if lately:
        hours = f"{o.older_than:g} h (--older-than)"
        out.print(f"{lately} more are of no record, and were used within {hours} or by what runs now", markup=False)
    return OK


def may_go(store: Store, folder: Path, older_than: float) -> bool:
    """Whether an artifact was used by nothing within so many hours, nor by a run or sweep that goes on now.

    A use is noted to the hour.
    """
    try:
        used = (folder / "manifest.json").stat().st_mtime
    except OSError:  # it went, or cannot be looked at
        return False
    return time.time() - used >= 3600 * older_than and used < used_since(store.home) - HOUR


def stored_of(found: Sequence[Found]) -> Iterator[Stored]:
    """As identities; what is damaged has none, and stays."""
    from benchmarks.records.needs import Stored
    from synthworth.artifacts import read_json

    for one in found:
        if one.manifest is None or not isinstance(one.manifest.get("identity"), dict):
            continue
        report = one.folder / "fit.json"
        trained = read_json(report).get("trained_as", "") if one.kind == "fit" and report.is_file() else ""
        yield Stored(one.kind, one.folder.name, one.manifest["identity"], str(trained))


def records_in(folders: Sequence[Path]) -> list[Mapping[str, Any]]:
    """Finished records.

    Raises
    ------
    UserError
        Where a folder has none: that it was misspelled must not cost what its records need; and where one cannot be
        read.
    """
    from benchmarks.records.store import Records

    found: list[Mapping[str, Any]] = []
    for folder in folders:
        shelf = Records(folder).read()
        if not shelf.finished:
            raise UserError(f"{folder} holds no finished record, so all would go; name their folders with --results")
        if shelf.unread:
            raise UserError(f"{shelf.unread[0]}. Nothing is deleted: what it needs is not known")
        found += [entry.record for entry in shelf.finished]
    return found


def remove(store: Store, one: Found) -> None:
    """Take an artifact out of the store in one step, then delete it."""
    aside = store.home / f"{GOING}{uuid.uuid4().hex[:12]}"
    try:
        os.rename(one.folder, aside)
    except FileNotFoundError:
        return
    shutil.rmtree(aside, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(guarded(main))
