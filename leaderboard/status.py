"""How far the numbers of a row are to be trusted: claimed, recomputed, reproduced, or contradicted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.records.reproduced import Note, content_of
from leaderboard.rank import Standing
from leaderboard.slim import Slim

Word = Literal["claimed", "recomputed", "reproduced", "contradicted"]


@dataclass(frozen=True)
class Status:
    """The word, and what it rests on in a few more.

    `claimed`: the record says so. `recomputed`: AUROC, the differences to real images alone and to duplicates, and the
    worth were made again from the predictions beside the record, in this build or one before it here, and agree;
    which other columns no predictions give, `leaderboard/pages/columns.yaml` says. `reproduced`: the run was carried
    out again here, by committed code, and agreed; `why` has commit, machine and date. `contradicted`: the predictions
    say another thing, and its numbers are null.

    Parameters
    ----------
    beside : what a reader has to see beside the word: that the run was carried out again and did not agree, and that
        there are several records of it. Empty for most.
    """

    word: Word
    why: str | None = None
    beside: str = ""

    @property
    def shown(self) -> str:
        """The word with what stands beside it."""
        return f"{self.word}, {self.beside}" if self.beside else self.word


def status_of(standing: Standing, notes: Mapping[str, Note]) -> Status:
    """The status of a row.

    Parameters
    ----------
    notes : of reproductions that count here, by the digest of the record's file.
    """
    entry = standing.entry
    others = entry.others if isinstance(entry, Slim) else ()
    beside = [f"one of {len(others) + 1} records"] if others else []
    whys = [f"another record of this run, which does not count: {', '.join(others)}"] if others else []
    if standing.contradicted:
        return _status("contradicted", [standing.contradicted, *whys], beside)
    whys = [*filter(None, (standing.claimed, standing.beside)), *whys]
    note = notes.get(entry.sha256) if isinstance(entry, Slim) else None
    if note is not None and isinstance(entry, Slim) and note.content == content_of(entry.folder, entry.sha256):
        if note.agreed and note.by_committed_code:
            return _status("reproduced", [note.said, *whys], beside)
        if note.agreed:
            whys = [f"carried out again by code with uncommitted changes, which does not count: {note.said}", *whys]
        else:
            whys = [f"carried out again it did not agree: {note.said}", *whys]
            beside = ["not reproduced", *beside]
    return _status("claimed" if standing.claimed else "recomputed", whys, beside)


def _status(word: Word, whys: Sequence[str], beside: Sequence[str]) -> Status:
    return Status(word, "; ".join(whys) or None, ", ".join(beside))
