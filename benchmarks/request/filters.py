"""The filters that synthetic images may be asked to pass: their names and what each means."""

from __future__ import annotations

from dataclasses import replace

from benchmarks.request.spec import RunSpec
from synthworth.registry import BuiltIn, Registry

COPIES, PIXEL_COPIES = "no_copies", "no_pixel_copies"
WITHOUT_COPIES = (COPIES, PIXEL_COPIES)
"""The filters that `--without-copies` asks for: a copy is one wherever it shows."""
FILTERS = Registry(
    "filter",
    "synthworth.filters",
    {
        "confident": BuiltIn(
            "benchmarks.stages.filters:confident",
            "a classifier trained on real images alone gives the label asked for at least a half",
        ),
        "near": BuiltIn(
            "benchmarks.stages.filters:near",
            "no farther from the nearest training image than 95 % of the real val images are",
        ),
        COPIES: BuiltIn(
            "benchmarks.stages.filters:no_copies",
            "not nearer to a training image than 99 % of the real val images are, in features (near-copies go)",
        ),
        PIXEL_COPIES: BuiltIn(
            "benchmarks.stages.filters:no_pixel_copies",
            "the same in pixels, where films that were learned by heart show first",
        ),
    },
)
"""A filter is a function of keyword arguments that returns bool (n,): which of n synthetic images may be used. It is
called with what its signature names; `benchmarks.stages.filters.EVIDENCE` lists what there is. It is known by its name
alone: one that would let other images pass gets a new name."""


def check_filters(names: tuple[str, ...]) -> None:
    """Refuse a name that is no filter.

    Raises
    ------
    UserError
        With the nearest names.
    """
    for name in names:
        FILTERS.require(name)


def without_copies(spec: RunSpec) -> RunSpec | None:
    """The same arm with near-copies left out; None for real images alone, and where they are left out already."""
    missing = [name for name in WITHOUT_COPIES if name not in spec.filters]
    if spec.is_real_only or not missing:
        return None
    return replace(spec, filters=(*spec.filters, *missing))
