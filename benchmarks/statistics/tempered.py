"""Bootstrap over patients of Brier score and calibration error after each seed's own temperature."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.metrics.calibration import temper
from benchmarks.statistics.resamples import N_REPLICATES, design_of, draw_counts
from benchmarks.statistics.sampled import Drawn
from benchmarks.statistics.weighted import Patients, brier, calibration_error
from synthworth.errors import Unavailable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike


def bootstrap_calibrated(
    scores: ArrayLike,
    truth: ArrayLike,
    groups: Sequence[Any],
    *,
    val_truth: ArrayLike,
    val_scores: ArrayLike,
    seed: int,
    n_replicates: int = N_REPLICATES,
    classes: Sequence[str],
) -> dict[str, Drawn]:
    """`brier_calibrated` and `ece_calibrated`, with `[<finding>]` where findings co-occur, on the resamples of
    `benchmarks.statistics.sampled.bootstrap_metrics`; empty where no temperature can be fitted.

    The temperatures are fitted once: val is not resampled, as it is not for the thresholds.

    scores : (S, N, K) on test. truth : (N,) or (N, K). groups : N patients. val_truth, val_scores : the same of val.
    """
    labels = np.asarray(truth)
    try:
        tempered, _ = temper(scores=scores, val_truth=val_truth, val_scores=val_scores)
    except Unavailable:
        return {}
    ids, patient = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.hstack([np.ones((len(ids), 1)), draw_counts(len(ids), n_replicates, seed=seed)])
    patients = Patients(patient, counts)  # column 0: the test set as it is
    yes = labels.astype(bool) if labels.ndim == 2 else labels[:, None] == np.arange(tempered.shape[2])
    design = design_of(yes, patient, tuple(classes), seed=seed, n_replicates=n_replicates)
    made = {}
    for name, statistic in (("brier_calibrated", brier), ("ece_calibrated", calibration_error)):
        with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
            columns = list(pool.map(lambda one, f=statistic: f(labels, one, patients), tempered))
        draws = np.stack([column.draws for column in columns])  # (S, 1 or K, B): every resample holds images
        rows = {name: draws.mean(axis=1)}
        if labels.ndim == 2:
            rows |= {f"{name}[{c}]": draws[:, k] for k, c in enumerate(classes)}
        for label, row in rows.items():
            everywhere = np.ones(n_replicates, dtype=bool)
            made[label] = Drawn(label, row[:, 0], row[:, 1:], everywhere, len(ids), seed, design)
    return made
