"""Experiments whose share of the sharing gain is known: real images alone, a donor's films beside them, and an arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.calibrate.design import Design, simulate_levels
from benchmarks.calibrate.worth import LAYOUT
from benchmarks.statistics.auroc import sample_auroc
from benchmarks.statistics.resamples import Resamples
from benchmarks.statistics.share_kept import share_kept
from synthworth.keys import seed_from

ALONE = 0.76
"""AUROC of real images alone."""


@dataclass(frozen=True)
class ShareDesign:
    """A donor's films gain `full` of AUROC; the arm gains the share `kept` of that.

    Every arm is measured on one test set, as `layout` has it, with its own effects.
    """

    name: str
    summary: str
    kept: float
    full: float
    layout: Design = LAYOUT


SHARE_DESIGNS = (
    ShareDesign("half kept", "half of a gain of .06", 0.5, 0.06),
    ShareDesign("all kept", "all of a gain of .06", 1.0, 0.06),
    ShareDesign("nothing kept", "nothing of a gain of .06", 0.0, 0.06),
    ShareDesign("half kept, small gain", "half of a gain of .02", 0.5, 0.02),
    ShareDesign("worse than nothing", "a loss of half a gain of .06", -0.5, 0.06),
)


@dataclass(frozen=True)
class ShareTask:
    """A part of a design's experiments, in the form that crosses to a worker process."""

    design: ShareDesign
    numbers: tuple[int, ...]
    n_replicates: int
    seed: int


def simulate_sharing(design: ShareDesign, *, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores (3, S, N, 2) of real images alone, of the donor's films and of the arm; truth (N,) and patients (N,)."""
    aurocs = ALONE, ALONE + design.full, ALONE + design.kept * design.full
    return simulate_levels(design.layout, aurocs, seed=seed)


def run_share(task: ShareTask) -> list[dict[str, Any]]:
    """The share that is measured in each experiment, and whether its interval holds the truth."""
    rows = []
    for number in task.numbers:
        seed = seed_from(task.seed, "calibrate share", task.design.name, number)
        scores, truth, patients = simulate_sharing(task.design, seed=seed)
        resamples = Resamples.draw(patients.tolist(), seed=seed, n_replicates=task.n_replicates)
        alone, full, arm = (sample_auroc(one, truth, resamples)["auroc"] for one in scores)
        found = share_kept(arm, full, alone)
        rows.append(
            {
                "said": found.kept is not None,
                "kept": found.kept,
                "closed": found.low is not None and found.high is not None,
                "holds": (found.low is None or found.low <= task.design.kept)
                and (found.high is None or task.design.kept <= found.high),
            }
        )
    return rows


def summarise_share(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rates over the experiments of one design.

    Returns
    -------
    said : share of experiments in which the gain of the donor's films is shown, so that a share of it is told.
    coverage : of those, the share whose interval holds the true share.
    closed : of those, the share whose interval has both ends.
    median : of the shares that are told; None where none is.
    """
    said = [row for row in rows if row["said"]]
    return {
        "n_experiments": len(rows),
        "said": len(said) / len(rows),
        "coverage": float(np.mean([row["holds"] for row in said])) if said else None,
        "closed": float(np.mean([row["closed"] for row in said])) if said else None,
        "median": float(np.median([row["kept"] for row in said])) if said else None,
    }
