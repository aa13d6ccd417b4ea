"""A finished run in a form that others read: `python -m benchmarks.export RECORD --as claim`."""

from __future__ import annotations

if __name__ == "__main__":  # before the imports below: they take a moment
    from synthworth.interrupts import hear

    hear()

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from synthworth.commands import OK, guarded
from synthworth.errors import UserError

if TYPE_CHECKING:
    from benchmarks.records.predictions import Entry

PROG = "python -m benchmarks.export"
FOLDER = Path("results/exports")
NAMES = {
    "croissant": "croissant.json",
    "ro-crate": "ro-crate",
    "model-card": "model-card.md",
    "claim": "claim.md",
    "smd-card": "smd-card.md",
}
"""What each form is called in the folder that it goes to; the crate is a folder itself."""


@dataclass(frozen=True)
class ExportOptions:
    """Tell a run in a form that others read. What its record does not hold is left to the authors, and says so."""

    record: Annotated[str, tyro.conf.Positional]
    """The run: its id or its first digits, the folder of its record, or the record."""
    form: Annotated[Literal["croissant", "ro-crate", "model-card", "claim", "smd-card"], tyro.conf.arg(name="as")]
    """Croissant 1.1 of an exported pool; a Process Run Crate of the run; a model card for the Hugging Face hub; the 44
    items of CLAIM 2024; the seven sections of the card of synthetic medical data (SMD card)."""
    out: Path | None = None
    """Where it goes: a file, or a folder that is there; of ro-crate a folder that is empty or not there yet. Without it
    below results/exports, and croissant into the pool's folder."""
    pool: Path | None = None
    """croissant: the folder that `python -m benchmarks.pool export` wrote of this run."""
    licence: str = ""
    """croissant: of the images, where the card in the pool's folder does not say it."""
    author: tuple[str, ...] = ()
    """Who made the run, in words; a record names nobody."""
    results: Path = Path("results/runs")
    """Folder of the records."""


def main(args: Sequence[str]) -> int:
    """Write the export."""
    o = tyro.cli(ExportOptions, args=list(args), prog=PROG)
    from benchmarks.records.given import given_record
    from benchmarks.report.tables import console

    entry = given_record(o.record, o.results)
    place = _place(o, entry.run_id)
    refuse_disbelieved(entry)
    remarks = _write(o, entry, place)
    out = console()
    out.print(f"written {place}", markup=False, soft_wrap=True)
    for line in remarks:
        out.print(line, markup=False, soft_wrap=True)
    return OK


def _place(o: ExportOptions, run_id: str) -> Path:
    """Where the export goes.

    Raises
    ------
    UserError
        Where something is there already, or nothing can be written.
    """
    from synthworth.artifacts import check_writable

    if o.form == "croissant" and o.pool is None:
        raise UserError(
            f"--as croissant describes a folder of images: {o.record} has to be exported first (python -m "
            "benchmarks.pool export RUN_ID FOLDER); name it with --pool FOLDER"
        )
    beside = o.pool if o.form == "croissant" and o.pool is not None else FOLDER / run_id[:16]
    place = o.out or beside / NAMES[o.form]
    if place.is_dir() and o.form != "ro-crate":
        place = place / NAMES[o.form]
    is_empty = o.form == "ro-crate" and place.is_dir() and not any(place.iterdir())
    if place.is_symlink() or (place.exists() and not is_empty):
        raise UserError(f"{place} is there already; nothing is overwritten. Name another place with --out")
    if o.form == "croissant" and place.parent.resolve() != beside.resolve():
        raise UserError(
            f"{place}: Croissant names files from where it lies, so it goes into the folder {beside} itself"
        )
    check_writable(place.parent)
    return place


def refuse_disbelieved(entry: Entry) -> None:
    """Refuse a record whose numbers are not those of its predictions.

    Raises
    ------
    UserError
        Naming the first of them.
    """
    from benchmarks.records.store import Records
    from benchmarks.verdicts.recheck import recheck

    found = recheck(entry, Records(entry.folder.parent).beside(entry))
    if found.contradicted:
        raise UserError(
            f"{entry.folder} is not borne out by its predictions: {found.contradicted[0]}. It is not exported; put the "
            "record back as it was written, or carry it out again"
        )


def _write(o: ExportOptions, entry: Entry, place: Path) -> list[str]:
    """Write the export; remarks on it."""
    from benchmarks.export.facts import TO_WRITE
    from synthworth.artifacts import ensure_folder, write_bytes, write_json

    record, authors = entry.record, o.author
    if o.form == "ro-crate":
        from benchmarks.export.crate import write_crate

        left = write_crate(record, entry.folder, place, authors=authors)
        said = ["predictions hold the ids of images and patients: pass them on only where the films may be"]
        return said + [f"left out, for they show films whose licence is not known: {', '.join(left)}"] * bool(left)
    if o.form == "croissant":
        from benchmarks.export.croissant import croissant
        from benchmarks.export.whole_pool import licence_of_pool, refuse_other_pool
        from generators.pool_folder import read_pictures

        assert o.pool is not None
        pictures = read_pictures(o.pool)
        refuse_other_pool(record, o.pool, pictures)
        licence = licence_of_pool(record, o.pool, stated=o.licence)
        made = croissant(record, o.pool, pictures, licence=licence, authors=authors)
        write_json(ensure_folder(place.parent) / place.name, made)
        return [f"mlcroissant accepts it: {len(pictures)} images, each with its sha256"]
    if o.form == "smd-card":
        from benchmarks.records.terms import adds_drawn_images

        if not adds_drawn_images(record):
            added = record.get("added") or "no"
            raise UserError(
                f"{record['name']} adds {added} images: an SMD card is of synthetic ones. Name the run of a generator"
            )
    text = _markdown(o, record)
    write_bytes(ensure_folder(place.parent) / place.name, text.encode())
    n = text.count(TO_WRITE)
    return [f"{n} place{'s are' if n > 1 else ' is'} {TO_WRITE}"] if n else []


def _markdown(o: ExportOptions, record: object) -> str:
    from benchmarks.export.claim import claim
    from benchmarks.export.model_card import model_card
    from benchmarks.export.smd_card import smd_card

    assert isinstance(record, dict)
    if o.form == "model-card":
        return model_card(record, authors=o.author)
    return {"claim": claim, "smd-card": smd_card}[o.form](record)


if __name__ == "__main__":
    sys.exit(guarded(main))
