"""What a page tells of a record that its short form lacks: read from its file, once a record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leaderboard.slim import whole
from leaderboard.tables import Row
from synthworth.errors import Unavailable


class Details:
    """The whole records behind rows. A file that has changed since the build began is named in `lost`."""

    def __init__(self) -> None:
        self._found: dict[str, dict[str, Any]] = {}
        self.lost: dict[str, str] = {}

    def of(self, row: Row) -> Mapping[str, Any]:
        """What of the whole record the pages use; empty where it cannot be read any more."""
        run_id = row.standing.entry.run_id
        if run_id not in self._found:
            try:
                record = whole(row.standing.entry)
            except Unavailable as reason:
                self.lost[run_id] = str(reason)
                record = {}
            self._found[run_id] = _kept(record)
        return self._found[run_id]

    def curve(self, row: Row) -> list[dict[str, Any]]:
        """Points of the learning curve that the worth was read off, by the number of images."""
        return sorted((self.of(row).get("worth") or {}).get("curve", ()), key=lambda point: point["n"])

    def by_class(self, row: Row) -> dict[str, float]:
        """AUROC by class; nothing of a row that its predictions contradict."""
        if row.standing.contradicted:
            return {}
        found = self.of(row).get("utility", {}).values()
        return {
            v["label"]: v["value"] for v in found if v["metric"] == "auroc" and v["label"] and v["value"] is not None
        }

    def calibration(self, row: Row) -> Mapping[str, Any] | None:
        """The bins of a reliability curve, as given and after temperature scaling."""
        return None if row.standing.contradicted else self.of(row).get("calibration")


def _kept(record: Mapping[str, Any]) -> dict[str, Any]:
    parts = ("worth", "calibration", "dataset", "pretrained", "provenance", "audit", "counts", "utility", "cost",
             "unavailable", "not_compared", "collapsed", "spec", "training", "classes", "added", "comparisons",
             "verdict", "name", "run_id", "elsewhere")  # fmt: skip
    return {name: record[name] for name in parts if name in record}
