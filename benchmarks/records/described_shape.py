"""What a record may hold of its dataset, of pre-trained parts, and of when it was begun and ended."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from benchmarks.records.kinds import (
    Wrong,
    both,
    by_name,
    digest_of,
    fields,
    maybe,
    one_of,
    said,
    several,
    text,
    whole,
)

UTC = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\+00:00|Z)")


def moment(value: Any) -> None:
    """A time in UTC to the second, in ISO 8601, on a day that there is."""
    text(value)
    said = f"is {value!r:.40}, and no time in UTC like 2026-11-27T05:53:55+00:00"
    if not UTC.fullmatch(value):
        raise Wrong(said)
    try:
        datetime.fromisoformat(value)
    except ValueError as error:  # month 13, hour 24
        raise Wrong(said) from error


def ended_after_it_started(provenance: Mapping[str, Any]) -> None:
    """Refuse a run that ended before it was started."""
    started, ended = (provenance.get(name) for name in ("started", "ended"))
    if started and ended and datetime.fromisoformat(ended) < datetime.fromisoformat(started):
        raise Wrong(f"has an end at {ended}, before its start at {started}")


def _unknown_has_a_note(value: Mapping[str, Any]) -> None:
    if None in (value["sha256"], value["licence"]) and not value["note"]:
        raise Wrong("has a null without a note that says why")


counted = by_name(whole())
DATASET = fields(
    {
        "name": text, "licence": maybe(said), "citation": maybe(said), "attributes": by_name(by_name(counted)),
        "left_out": counted, "remarks": counted, "note": maybe(said),
    }
)  # fmt: skip
PRETRAINED = several(
    both(
        fields(
            {
                "part": one_of("classifier", "generator", "extractor", "metric"), "name": said,
                "sha256": maybe(digest_of), "licence": maybe(said), "note": maybe(said),
            }
        ),
        _unknown_has_a_note,
    )
)  # fmt: skip
