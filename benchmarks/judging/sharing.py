"""What an arm that uses a donor's films keeps of what sharing the films themselves gains."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchmarks.request.spec import NONE
from synthworth.errors import Unavailable

if TYPE_CHECKING:
    from benchmarks.statistics.sampled import Sampled

SHARED = "shared_real"
"""The control that the gain of sharing is measured by."""


def sharing_of(
    spec: Mapping[str, Any],
    comparisons: Mapping[str, Mapping[str, Any]],
    mine: Mapping[str, Sampled],
    samples: Mapping[str, Mapping[str, Sampled]],
) -> dict[str, Any] | None:
    """The share of the sharing gain that an arm keeps, as plain JSON values (`Kept`), and whose gain it is a share of.

    Parameters
    ----------
    spec : plain form of the arm's RunSpec.
    comparisons : of the arm by control, as its record holds them.
    mine : metrics of the arm.
    samples : those of the controls, by run id.

    Returns
    -------
    None for an arm that does not use a donor's films, is those films itself, or was not compared with them and with
    real images alone.
    """
    from benchmarks.statistics.share_kept import share_kept

    if not spec.get("learn_from") or spec["generator"] == SHARED or not {NONE, SHARED} <= comparisons.keys():
        return None
    arms = [mine.get("auroc"), *(samples[comparisons[name]["run_id"]].get("auroc") for name in (SHARED, NONE))]
    if any(one is None for one in arms):
        return None
    try:
        found = share_kept(*[one for one in arms if one is not None])
    except Unavailable:
        return None  # `not_compared` of the arm says why
    of = comparisons[SHARED]
    return {**found.to_json(), "of": of["b"], "of_run_id": of["run_id"]}
