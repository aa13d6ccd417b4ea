"""Classifier seeds that collapsed: no better than chance, where the other seeds of their arm are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

CHANCE = 0.5
"""AUROC of scores that say nothing."""
LEAST_ABOVE = 0.15
"""How far above chance the best seed lies, at least, for a seed to have anything to fall from."""
LEFT = 1 / 3
"""A collapsed seed keeps at most this share of what the best seed has above chance."""
GAP = 1 / 3
"""And between it and the next seed that did not collapse lies at least this share: scatter alone is no collapse."""


def collapsed(aurocs: Sequence[float]) -> tuple[int, ...]:
    """The seeds whose training collapsed, in order.

    With r the best seed's AUROC, at least 0.65: those at 0.5 + (r - 0.5) / 3 or below, where a gap of (r - 0.5) / 3
    separates them from the others. All but one may be among them. A single seed never is: there is nothing to hold it
    against.

    Parameters
    ----------
    aurocs : AUROC of each seed, in 0..1.
    """
    values = np.asarray(aurocs, dtype=np.float64)
    if len(values) < 2:
        return ()
    above = float(values.max()) - CHANCE
    if above < LEAST_ABOVE:
        return ()
    low = values <= CHANCE + LEFT * above
    if not low.any() or values[~low].min() - values[low].max() < GAP * above:
        return ()
    return tuple(int(k) for k in np.flatnonzero(low))


def collapsed_note(name: str, aurocs: Sequence[float]) -> str | None:
    """`seed 3 of latent_ddpm add 1 collapsed (AUROC 0.501; the others 0.790 to 0.812)`, or None."""
    seeds = collapsed(aurocs)
    if not seeds:
        return None
    others = [x for k, x in enumerate(aurocs) if k not in seeds]
    which = f"seed{'s' * (len(seeds) > 1)} {', '.join(str(k) for k in seeds)}"
    fallen = ", ".join(f"{aurocs[k]:.3f}" for k in seeds)
    rest = f"the other {others[0]:.3f}" if len(others) == 1 else f"the others {min(others):.3f} to {max(others):.3f}"
    return f"{which} of {name} collapsed (AUROC {fallen}; {rest})"
