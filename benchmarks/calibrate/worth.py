"""Experiments whose worth is known: a learning curve of real images alone, and an arm that stands on it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.calibrate.design import Design, simulate_levels
from benchmarks.statistics.auroc import sample_auroc
from benchmarks.statistics.resamples import Resamples
from benchmarks.statistics.worth import measure_worth
from synthworth.keys import seed_from

N_REAL = N_SYNTHETIC = 400
"""Images of the arm that is valued."""


LAYOUT = Design("worth", "6 seeds, 1,500 films of 600 patients", n_patients=600, n_films=1500)
"""The test set that worth is measured on."""


@dataclass(frozen=True)
class WorthDesign:
    """Real images alone gain `per_doubling` of AUROC with each doubling; the arm's added images are worth `worth`.

    Every arm is measured on one test set, as `layout` has it, with its own effects.
    """

    name: str
    summary: str
    worth: float
    per_doubling: float
    sizes: tuple[int, ...] = (100, 200, 400, 800, 1600)
    layout: Design = LAYOUT

    def auroc(self, n: float) -> float:
        """AUROC of n real images: straight in log n, .76 at the arm's own number."""
        return 0.76 + self.per_doubling * math.log2(n / N_REAL)


WORTH_DESIGNS = (
    WorthDesign("worth .5, steep", "worth .5, .04 of AUROC a doubling", 0.5, 0.04),
    WorthDesign("worth 1, steep", "worth 1, .04 of AUROC a doubling", 1.0, 0.04),
    WorthDesign("worth .5, shallow", "worth .5, .01 of AUROC a doubling", 0.5, 0.01),
    WorthDesign("worth 1, shallow", "worth 1, .01 of AUROC a doubling", 1.0, 0.01),
    WorthDesign("worth 1, curve ends there", "worth 1, the curve ends at the arm", 1.0, 0.04, (100, 200, 400, 800)),
)  # fmt: skip


@dataclass(frozen=True)
class WorthTask:
    """A part of a design's experiments, in the form that crosses to a worker process."""

    design: WorthDesign
    numbers: tuple[int, ...]
    n_replicates: int
    seed: int


def simulate_arms(design: WorthDesign, *, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores (A + 1, S, N, 2) of the curve's points and of the arm, truth (N,) and patients (N,)."""
    sizes = [*design.sizes, N_REAL + design.worth * N_SYNTHETIC]
    return simulate_levels(design.layout, [design.auroc(size) for size in sizes], seed=seed)


def run_worth(task: WorthTask) -> list[dict[str, Any]]:
    """The worth that is measured in each experiment, and whether its interval holds the truth."""
    rows = []
    for number in task.numbers:
        seed = seed_from(task.seed, "calibrate worth", task.design.name, number)
        scores, truth, patients = simulate_arms(task.design, seed=seed)
        resamples = Resamples.draw(patients.tolist(), seed=seed, n_replicates=task.n_replicates)
        *points, arm = (sample_auroc(one, truth, resamples)["auroc"] for one in scores)
        curve = list(zip(task.design.sizes, points, strict=True))
        found = measure_worth(arm, curve, n_real=N_REAL, n_synthetic=N_SYNTHETIC)
        rows.append(
            {
                "said": found.where != "on a flat curve",
                "worth": found.worth,
                "closed": found.low is not None and found.high is not None,
                "holds": (found.low is None or found.low <= task.design.worth)
                and (found.high is None or task.design.worth <= found.high),
            }
        )
    return rows


def summarise_worth(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Rates over the experiments of one design.

    Returns
    -------
    said : share of experiments whose curve is shown to rise, so that something is read off it.
    coverage : of those, the share whose interval holds the true worth; an open end holds all beyond it.
    closed : of those, the share whose interval has both ends.
    median : of the worths that are numbers; None where none is.
    """
    said = [row for row in rows if row["said"]]
    numbers = [row["worth"] for row in said if row["worth"] is not None]
    return {
        "n_experiments": len(rows),
        "said": len(said) / len(rows),
        "coverage": float(np.mean([row["holds"] for row in said])) if said else None,
        "closed": float(np.mean([row["closed"] for row in said])) if said else None,
        "median": float(np.median(numbers)) if numbers else None,
    }
