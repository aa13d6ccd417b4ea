"""In which space an arm's synthetic images tell most of the images that their generator learned from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Privacy = Mapping[str, Mapping[str, Any]]


def telling(privacy: Privacy, metric: str) -> Mapping[str, Any] | None:
    """A privacy number in the space where it lies farthest above that of never-seen real images.

    A copy is a copy wherever it shows, and who attacks may choose the space. So one number for an arm is that of the
    space that tells most: films that were learned by heart can lie far from their originals in features of a network,
    and on them pixel by pixel.

    Parameters
    ----------
    privacy : the part of a record of that name, or as much of it.
    metric : copy_rate, membership_auroc or membership_auroc_exposed; the higher, the more is told.

    Returns
    -------
    The value as the record holds it, the first of equals; None where no space has one.
    """
    there = [value for value in privacy.values() if value["metric"] == metric and value["value"] is not None]
    return max(there, key=_above, default=None)


def _above(value: Mapping[str, Any]) -> float:
    floor = value.get("extra", {}).get("floor")
    return float(value["value"] - (floor or 0.0))
