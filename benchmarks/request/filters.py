"""The filters that synthetic images may be asked to pass: their names and what each means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from benchmarks.request.spec import RunSpec
from synthworth.errors import unknown_name

COPIES = "no_copies"
FILTERS: Mapping[str, str] = {
    "confident": "a classifier trained on real images alone gives the label asked for at least a half",
    "near": "no farther from the nearest training image than 95 % of the real val images are",
    COPIES: "not nearer to a training image than 99 % of the real val images are (near-copies go)",
}


def check_filters(names: tuple[str, ...]) -> None:
    """Refuse a name that is no filter.

    Raises
    ------
    UserError
        With the nearest names.
    """
    for name in names:
        if name not in FILTERS:
            raise unknown_name("filter", name, FILTERS)


def without_copies(spec: RunSpec) -> RunSpec | None:
    """The same arm with near-copies left out; None for real images alone, and where they are left out already."""
    if spec.is_real_only or COPIES in spec.filters:
        return None
    return replace(spec, filters=(*spec.filters, COPIES))
