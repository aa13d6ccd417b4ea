"""Whether finished records that a run finds are what was written: their files by the seal, else their numbers again."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from benchmarks.records.elsewhere import holds_predictions
from benchmarks.records.predictions import Entry
from benchmarks.records.seal import changed_files, read_seal
from benchmarks.records.store import RECORD, Records
from benchmarks.verdicts.recheck import recheck

logger = logging.getLogger(__name__)


def doubt_what_changed(records: Records, found: Iterable[Mapping[str, Any] | None]) -> set[str]:
    """Count finished records as missing where their predictions have changed, or say another thing.

    A record with a seal is measured by that. One that was written before there were seals is measured by its
    predictions: AUROC and comparisons are made again. A picture that has changed is named, and no more.

    Parameters
    ----------
    found : what `Records.find` gave.

    Returns
    -------
    Run ids of those that have a seal, and beside which no file has changed.
    """
    sound = set[str]()
    for record in found:
        if record is None:
            continue
        entry = Entry(record, records.path(record["run_id"]))
        if read_seal(entry.folder) is None:
            reasons = recheck(entry, records.beside(entry)).contradicted
            if reasons:
                records.doubt(entry.run_id, f"is not borne out by its predictions: {reasons[0]}")
            continue
        changed = changed_files(entry.folder, record=RECORD)
        sound |= set() if changed else {entry.run_id}
        if predictions := [name for name in changed if holds_predictions(name)]:
            records.doubt(entry.run_id, f"lies beside {predictions[0]} that have changed since they were written")
        for name in changed:
            if name not in predictions:
                logger.warning("%s has changed since it was written with its record", entry.folder / name)
    return sound
