"""Numbers that are a mean over classifier seeds: equal to the mean of those beside them, and within their interval.

Both hold by the way they are made (`benchmarks.judging.utility.mean_over_seeds`, `Sampled.interval`): the interval is
laid around the mean. It is not so of percentiles of a bootstrap, as those of memberships and copy rates: nothing here
is asked of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.records.kinds import ROUNDING, Wrong, in_order


def mean_of_its_seeds(value: Mapping[str, Any], name: str = "value") -> None:
    """Refuse a number that is not the mean of its seeds, where they are in `extra.per_seed` or `per_seed`."""
    seeds = value.get("extra", value).get("per_seed")
    number = value[name]
    if number is None or not seeds or None in seeds:
        return
    mean = sum(seeds) / len(seeds)
    if abs(mean - number) > ROUNDING and abs(mean - number) > ROUNDING * max(map(abs, seeds)):
        raise Wrong(f"has a {name} of {number:.6g}, and the mean of its {len(seeds)} seeds is {mean:.6g}")


def around_its_number(value: Mapping[str, Any], name: str = "value") -> None:
    """Refuse a number outside its own interval."""
    low, number, high = value["low"], value[name], value["high"]
    if low is None or number is None or high is None or low <= number <= high:
        return
    if not in_order(low, number, high):
        raise Wrong(f"has a {name} of {number:.6g} outside its interval {low:.6g} to {high:.6g}")
