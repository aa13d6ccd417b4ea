"""Bootstrap over patients of every utility metric of an arm, and the paired difference of two arms in each."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.metrics.calibration import no_probabilities
from benchmarks.metrics.utility import one_sided, one_vs_rest, youden_threshold
from benchmarks.statistics.compare import Interval, interval_p, mean_interval, sign_flip_p
from benchmarks.statistics.resamples import N_REPLICATES, design_of, draw_counts
from benchmarks.statistics.weighted import (
    Column,
    Patients,
    average_precision,
    brier,
    calibration_error,
    rates,
    recalls_of_first_choice,
)
from synthworth.errors import Unavailable

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

HIGHEST = {"brier": 2.0, "brier_calibrated": 2.0}
"""The largest value of the metrics whose largest is not 1."""
MIN_RESAMPLES = 100
"""Fewest resamples that an interval is made of."""


@dataclass(frozen=True)
class Drawn:
    """One metric of one arm: on the test set as it is, and on every resample of its patients."""

    name: str
    """As in the table of utility: `f1` (macro) or `f1[effusion]`."""
    values: NDArray[np.float64]
    """(S,): of each seed on the test set itself."""
    draws: NDArray[np.float64]
    """(S, B): of each seed on each resample; 0 where `valid` is False."""
    valid: NDArray[np.bool_]
    """(B,): whether the resample defines it for every seed."""
    n_groups: int
    """Number of patients."""
    seed: int
    """What the resamples are derived from."""
    design: str
    """As in `Replicates`: arms can be paired only where it is equal."""

    def interval(self) -> Interval:
        """Mean over the seeds with its 95 % interval over seeds and patients, cut at the ends of its range.

        Raises
        ------
        Unavailable
            With fewer than two patients, or when fewer than `MIN_RESAMPLES` resamples (or than there are, if these
            are fewer) define it.
        """
        kept = self.draws[:, _enough(self.valid)]
        found = mean_interval(self.values, kept, n_groups=self.n_groups, seed=self.seed)
        ends = max(found.low, 0.0), min(found.high, HIGHEST.get(self.name.partition("[")[0], 1.0))
        parts = {name: getattr(found, name) for name in Interval.__dataclass_fields__}
        return Interval(**{**parts, "low": ends[0], "high": ends[1]})


def _enough(valid: NDArray[np.bool_]) -> NDArray[np.bool_]:
    n, least = int(valid.sum()), min(MIN_RESAMPLES, len(valid))
    if n < least:
        raise Unavailable(f"only {n} of {len(valid)} resamples of the patients define it, {least} are needed")
    return valid


def val_thresholds(truth: ArrayLike, scores: ArrayLike) -> NDArray[np.float64]:
    """Youden's threshold on val for each seed and question, (S, Q); NaN where val has none to choose.

    truth : (N,) or (N, K) of val. scores : (S, N, K) of val. Questions as in `one_vs_rest`.
    """
    rows = []
    for one in np.asarray(scores):
        problem = one_vs_rest(truth, one)
        row = np.full(len(problem.names), np.nan)
        for q in range(len(row)):
            if one_sided(problem.truth[:, q]) is None:
                row[q] = youden_threshold(problem.truth[:, q], problem.scores[:, q])
        rows.append(row)
    return np.stack(rows)


def bootstrap_metrics(
    scores: ArrayLike,
    truth: ArrayLike,
    groups: Sequence[Any],
    *,
    seed: int,
    thresholds: NDArray[np.float64] | None = None,
    n_replicates: int = N_REPLICATES,
    classes: Sequence[str] | None = None,
) -> dict[str, Drawn]:
    """Every utility metric but AUROC, by name, of every seed on `n_replicates` resamples of the patients.

    The resamples are those of `bootstrap_auroc` with the same groups, seed and number, so arms, seeds and metrics
    are paired. Each replicate is the metric's own definition (`benchmarks.metrics.utility`) on the resample written
    out; a macro is the mean over the classes that the resample defines. A metric that the test set itself does not
    define for every seed has no entry.

    Parameters
    ----------
    scores : (S, N, K) probabilities. truth : int (N,) or 0/1 (N, K). groups : N patients.
    thresholds : (S, Q) of `val_thresholds`; without them there are no rates at a threshold.

    Raises
    ------
    ValueError
        For shapes that do not fit or scores that are not finite.
    """
    stack, labels = np.asarray(scores, dtype=np.float64), np.asarray(truth)
    if stack.ndim != 3 or not len(stack) or len(groups) != stack.shape[1] or n_replicates < 1:
        raise ValueError(f"scores {stack.shape}, {len(groups)} groups and {n_replicates} replicates do not fit")
    problems = [one_vs_rest(labels, one, classes) for one in stack]
    yes, names = problems[0].truth, problems[0].names
    ids, patient = np.unique(np.asarray(groups), return_inverse=True)
    drawn = draw_counts(len(ids), n_replicates, seed=seed)
    patients = Patients(patient, np.hstack([np.ones((len(ids), 1)), drawn]))  # column 0: the test set as it is
    all_names = tuple(classes) if classes is not None else tuple(str(c) for c in range(stack.shape[2]))

    def measure(s: int) -> dict[str, Column]:
        found = _ranked(problems[s].scores, yes, names, patients)
        found |= _probable(labels, stack[s], all_names, patients)
        if labels.ndim == 1:
            label = "balanced_accuracy_argmax"
            first = _with_macro(label, all_names, recalls_of_first_choice(labels, stack[s], patients))
            found[label] = first[label]
        if thresholds is not None:
            found |= _decided(problems[s].scores, yes, thresholds[s], names, patients)
        return found

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        by_seed = list(pool.map(measure, range(len(problems))))
    design = design_of(yes, patient, names, seed=seed, n_replicates=n_replicates)
    table = {}
    for name in (name for name in by_seed[0] if all(name in found for found in by_seed)):
        columns = [found[name] for found in by_seed]
        draws = np.stack([c.draws for c in columns])
        valid: NDArray[np.bool_] = np.stack([c.valid for c in columns]).min(axis=0)
        if valid[0]:
            table[name] = Drawn(name, draws[:, 0], draws[:, 1:], valid[1:], len(ids), seed, design)
    return table


def _with_macro(metric: str, names: Sequence[str], table: Column) -> dict[str, Column]:
    """Each row of (Q, B) under its class's name, and their mean over the classes that are defined."""
    n = table.valid.sum(axis=0)
    macro = Column(np.where(table.valid, table.draws, 0.0).sum(axis=0) / np.maximum(n, 1), n > 0)
    rows = {f"{metric}[{name}]": Column(table.draws[q], table.valid[q]) for q, name in enumerate(names)}
    return {metric: macro, **rows}


def _ranked(
    scores: NDArray[np.float64], yes: NDArray[np.bool_], names: Sequence[str], patients: Patients
) -> dict[str, Column]:
    columns = [average_precision(scores[:, q], yes[:, q], patients) for q in range(len(names))]
    return _with_macro(
        "auprc", names, Column(np.stack([c.draws for c in columns]), np.stack([c.valid for c in columns]))
    )


def _probable(
    truth: NDArray[Any], scores: NDArray[np.float64], names: Sequence[str], patients: Patients
) -> dict[str, Column]:
    """What is asked of the probabilities themselves; nothing of scores that are none."""
    if no_probabilities(scores, multilabel=truth.ndim == 2):
        return {}
    found: dict[str, Column] = {}
    for metric, table in (
        ("brier", brier(truth, scores, patients)),
        ("ece", calibration_error(truth, scores, patients)),
    ):
        if truth.ndim == 2:
            found |= _with_macro(metric, names, table)
        else:
            found[metric] = Column(table.draws[0], table.valid[0])
    return found


def _decided(
    scores: NDArray[np.float64],
    yes: NDArray[np.bool_],
    thresholds: NDArray[np.float64],
    names: Sequence[str],
    patients: Patients,
) -> dict[str, Column]:
    """The rates at this seed's thresholds (Q,); a class without a threshold has none."""
    chosen = np.isfinite(thresholds)
    found: dict[str, Column] = {}
    for rate, table in rates(yes, scores >= np.where(chosen, thresholds, np.inf), patients).items():
        found |= _with_macro(rate, names, Column(table.draws, table.valid & chosen[:, None]))
    return found


def compare_metrics(a: Mapping[str, Drawn], b: Mapping[str, Drawn]) -> dict[str, dict[str, Any]]:
    """Paired difference of two arms in every macro metric that both have: plain JSON values by name.

    difference, low, high : a minus b, with the 95 % interval over seeds and patients.
    p_value : exact sign-flip p over the seeds. p_interval : the p that belongs to the interval.
    n_resamples : resamples that define the metric for every seed of both arms. A metric whose interval cannot be
    made has null ends and a `note`.

    Raises
    ------
    ValueError
        When the arms differ in test set, patients, bootstrap seed, replicates or number of seeds.
    """
    found: dict[str, dict[str, Any]] = {}
    for name in (name for name in a if "[" not in name and name in b):
        mine, other = a[name], b[name]
        if mine.design != other.design or mine.draws.shape != other.draws.shape:
            raise ValueError(f"{name} cannot be paired: the arms need one test set, one seed and the same seeds")
        found[name] = _compare(mine, other)
    return found


def _compare(a: Drawn, b: Drawn) -> dict[str, Any]:
    by_seed, valid = a.values - b.values, a.valid & b.valid
    row: dict[str, Any] = {
        "difference": float(by_seed.mean()),
        "low": None,
        "high": None,
        "p_value": sign_flip_p(by_seed, seed=a.seed),
        "p_interval": None,
        "n_resamples": int(valid.sum()),
        "note": None,
    }
    try:
        draws = (a.draws - b.draws)[:, _enough(valid)]
        interval = mean_interval(by_seed, draws, n_groups=a.n_groups, seed=a.seed)
        p = interval_p(by_seed, draws, n_groups=a.n_groups)
    except Unavailable as reason:
        return {**row, "note": str(reason)}
    return {**row, "low": interval.low, "high": interval.high, "p_interval": p, "note": interval.note}
