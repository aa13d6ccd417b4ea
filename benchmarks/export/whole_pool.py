"""Whether a folder is the pool of a run, all of it, and under which licence its images are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.records.terms import licence_given_out, licence_of
from generators.pool_folder import CARD, Picture, licence_on_card, marks_in_words
from synthworth.errors import UserError, bounded


def refuse_other_pool(record: Mapping[str, Any], folder: Path, pictures: Sequence[Picture]) -> None:
    """Refuse a folder that holds images of another run, none, or not all of those that the record counts.

    Raises
    ------
    UserError
        Saying whose they are, or how many.
    """
    other = next((one for one in pictures if one.run_id != record["run_id"]), None)
    if other is not None or not pictures:
        whose = f"of run {other.run_id[:12]}" if other else "of no image"
        raise UserError(f"{folder} is a pool {whose}, and the record is of run {record['run_id'][:12]}")
    classes, counts = record["classes"], record["counts"]["synthetic"]
    there = Counter(name for one in pictures for name in marks_in_words(one.label, classes))
    lacking = next((name for name in classes if there[name] != counts[name]), None)
    if lacking is not None or [one.row for one in pictures] != list(range(len(pictures))):
        said = "" if lacking is None else f", of {lacking} {there[lacking]}, where its record counts {counts[lacking]}"
        raise UserError(
            f"{folder} is not the whole pool of run {record['run_id'][:12]}: it holds {len(pictures)} images{said}. "
            "Export it again into another folder: python -m benchmarks.pool export"
        )


def licence_of_pool(record: Mapping[str, Any], folder: Path, *, stated: str) -> str:
    """The licence of exported images: the one on their card, by the rules under which they were exported.

    Parameters
    ----------
    stated : with `--licence`; where there is a card it says the same.

    Raises
    ------
    UserError
        Where card and flag say two things, where the licence forbids it, and where nothing says.
    """
    on_card, stated = licence_on_card(folder), stated.strip()
    if on_card and stated and on_card != stated:
        raise UserError(
            f"--licence {bounded(stated)!r}, and {folder / CARD} says that the images are under {bounded(on_card)!r}. "
            "Leave the flag out, or export the pool again under that licence"
        )
    return licence_given_out(record, dataset_licence=licence_of(record), stated=stated or on_card or "")
