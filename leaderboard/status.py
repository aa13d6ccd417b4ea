"""How far the numbers of a row are to be trusted: claimed, recomputed, reproduced, or contradicted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from benchmarks.records.reproduced import Note, content_of
from leaderboard.rank import Standing
from leaderboard.slim import Slim

Word = Literal["claimed", "recomputed", "reproduced", "contradicted"]


@dataclass(frozen=True)
class Status:
    """The word, and what it rests on in a few more.

    `claimed`: the record says so. `recomputed`: the statistics were made again from the predictions beside it, in this
    build or one before it here, and agree. `reproduced`: the run was carried out again here and agreed; `why` has
    commit, machine and date. `contradicted`: the predictions say another thing, and its numbers are null.
    """

    word: Word
    why: str | None = None


def status_of(standing: Standing, notes: Mapping[str, Note]) -> Status:
    """The status of a row.

    Parameters
    ----------
    notes : of reproductions that count here, by the digest of the record's file.
    """
    if standing.contradicted:
        return Status("contradicted", standing.contradicted)
    entry, why = standing.entry, standing.claimed
    note = notes.get(entry.sha256) if isinstance(entry, Slim) else None
    if note is not None and isinstance(entry, Slim) and note.content == content_of(entry.folder, entry.sha256):
        if note.agreed:
            return Status("reproduced", note.said)
        why = "; ".join(filter(None, (f"carried out again it did not agree: {note.said}", why)))
    return Status("claimed" if standing.claimed else "recomputed", why)
