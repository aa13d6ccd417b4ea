"""Which situation an arm puts synthetic images to the test in: what a hospital would do with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.request.remedies import REMEDIES
from benchmarks.request.spec import DONOR, NONE

BY_MODE = {
    "add": "augmenting",
    "replace": "replacing",
    "balance": "balancing",
    "only": "only",
    "pretrain": "pretraining",
}
"""What each mode of mixing is done for."""
SHARING, REAL_ALONE, REMEDY = "sharing", "real images alone", "classical remedy"
SITUATIONS = (*BY_MODE.values(), SHARING, REAL_ALONE, REMEDY)


def situation_of(spec: Mapping[str, Any]) -> str:
    """The situation of an arm, as its record holds it: one of `SITUATIONS`.

    `augmenting` adds synthetic images to all real ones, `replacing` puts them in the place of some, `balancing` fills
    up the rarer classes, `only` leaves the real ones out, `pretraining` begins with them and goes on with real ones.
    `sharing` is any of these with images that a donor hospital's films taught, or are.
    """
    if spec["generator"] == NONE:
        return REAL_ALONE
    if spec["generator"] in REMEDIES:
        return REMEDY
    return SHARING if spec.get("learn_from") == DONOR else BY_MODE[spec["mode"]]
