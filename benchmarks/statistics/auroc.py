"""AUROC of every seed and class of an arm, on the test set and on the resamples of its patients."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.metrics.utility import one_vs_rest, too_few
from benchmarks.statistics.resamples import CHUNK, Resamples, accumulate, n_threads
from benchmarks.statistics.sampled import Sampled
from benchmarks.statistics.support import Support
from synthworth.errors import Unavailable
from synthworth.keys import digest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

SMALL = 100_000
"""Images times resamples below which a class is done sooner than a thread is begun."""


def sample_auroc(
    scores: ArrayLike, truth: ArrayLike, resamples: Resamples, *, classes: Sequence[str] | None = None
) -> dict[str, Sampled]:
    """AUROC of every seed: `auroc`, the macro, and `auroc[<class>]` of each class that the test set can judge.

    The macro of a resample is the mean over the classes that the resample can judge. AUROC is the Mann-Whitney
    statistic with ties counted one half, computed from the number of times each image was drawn; it equals
    scikit-learn's on the resample written out.

    Parameters
    ----------
    scores : (S, N, K) probabilities, one (N, K) for each classifier seed.
    truth : int (N,) or 0/1 (N, K).
    resamples : of the N images' patients.

    Raises
    ------
    Unavailable
        When no class has two patients or more with and without it.
    ValueError
        For shapes that do not fit, or scores that are not finite.
    """
    stack = check_scores(scores, resamples)
    problems = [one_vs_rest(truth, one, classes) for one in stack]
    yes, names = problems[0].truth, problems[0].names
    reasons = [too_few(yes[:, q], resamples.patient) for q in range(len(names))]
    judged = [q for q, reason in enumerate(reasons) if reason is None]
    left_out = tuple(f"{name} ({why})" for name, why in zip(names, reasons, strict=True) if why)
    if not judged:
        raise Unavailable(f"no class can be judged on this test set: {'; '.join(left_out)}")

    def work(job: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        s, q = job
        return Ranks(problems[s].scores[:, q], yes[:, q], resamples).auroc()

    jobs = [(s, q) for s in range(len(problems)) for q in judged]
    if len(yes) * resamples.n_replicates < SMALL:
        done = [work(job) for job in jobs]
    else:
        with ThreadPoolExecutor(n_threads()) as pool:
            done = list(pool.map(work, jobs))
    columns = np.stack([row[0] for row in done]).reshape(len(problems), len(judged), -1)  # (S, Q, 1 + B)
    valid = np.stack([row[1] for row in done[: len(judged)]])  # (Q, 1 + B), the same for every seed
    design = resamples.design(yes, names)
    support = Support.of(resamples.patient, yes[:, judged], [names[q] for q in judged])
    found = {"auroc": macro_of("auroc", columns, valid, support, resamples.seed, design=design, left_out=left_out)}
    for k, q in enumerate(judged):
        one = Sampled(
            "auroc", columns[:, k, 0], columns[:, k, 1:], valid[k, 1:],
            Support.of(resamples.patient, yes[:, [q]], [names[q]]), resamples.seed, digest([design, names[q]]),
            label=names[q],
        )  # fmt: skip
        found[one.name] = one
    return found


def macro_of(
    metric: str,
    columns: NDArray[np.float64],
    valid: NDArray[np.bool_],
    support: Support,
    seed: int,
    *,
    design: str,
    left_out: tuple[str, ...] = (),
) -> Sampled:
    """Mean over the classes that each resample defines.

    Parameters
    ----------
    columns : (S, Q, 1 + B), 0 where `valid` (Q, 1 + B) is False; column 0 is the test set itself.
    """
    n = valid.sum(axis=0)
    macro = columns.sum(axis=1) / np.maximum(n, 1)
    some, all_of_them = n[1:] > 0, n[1:] == len(valid)
    return Sampled(
        metric=metric,
        values=np.ascontiguousarray(columns[:, :, 0]).mean(axis=1),
        draws=macro[:, 1:],
        valid=some,
        support=support,
        seed=seed,
        design=design,
        n_incomplete=int((some & ~all_of_them).sum()),
        left_out=left_out,
    )


def check_scores(scores: ArrayLike, resamples: Resamples) -> NDArray[np.float64]:
    """Scores as float64 (S, N, K).

    Raises
    ------
    ValueError
        For another shape, no seed, or a number of images that is not that of the resamples.
    """
    stack = np.asarray(scores, dtype=np.float64)
    if stack.ndim != 3 or not len(stack):
        raise ValueError(f"scores must be (S, N, K) with at least one seed, not {stack.shape}")
    if stack.shape[1] != len(resamples.patient):
        raise ValueError(f"{len(resamples.patient)} patients for {stack.shape[1]} images")
    return stack


class Ranks:
    """One class under one set of scores, sorted once; then AUROC for any number of times each patient is drawn.

    With w the number of times that an image is drawn, u_1 < u_2 < ... the distinct scores of the positives, and
    P_g, N_g, T_g the weights of the positives at u_g, of the negatives below u_g and of the negatives at u_g:

        AUROC = sum_g P_g (N_g + T_g / 2) / (sum_g P_g * sum of all negative weights)

    w is a patient's, so the sums over images are products of sparse (level x patient) matrices with the counts.
    """

    def __init__(self, scores: NDArray[np.float64], yes: NDArray[np.bool_], resamples: Resamples) -> None:
        """Sort one class.

        Parameters
        ----------
        scores, yes : (N,).
        """
        from scipy.sparse import csr_array

        self.counts, patient, n_patients = resamples.counts, resamples.patient, resamples.n_patients
        levels, level = np.unique(scores[yes], return_inverse=True)
        shape = (len(levels), n_patients)
        self.positives = csr_array((np.ones(len(level)), (level, patient[yes])), shape=shape)
        below = np.searchsorted(levels, scores[~yes], side="left")  # first level not below the negative's score
        above = np.searchsorted(levels, scores[~yes], side="right")  # first level above it; differs for a tie
        rows, columns = np.concatenate([below, above]), np.concatenate([patient[~yes]] * 2)
        inside = rows < len(levels)
        halves = np.full(int(inside.sum()), 0.5)
        self.steps = csr_array((halves, (rows[inside], columns[inside])), shape=shape)
        self.n_negatives = np.bincount(patient[~yes], minlength=n_patients).astype(np.float64)

    def auroc(self) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """AUROC (1 + B,) on the test set and on each resample, and whether it is defined; 0 where it is not."""
        counts = self.counts
        n_replicates = counts.shape[1]
        pairs, possible = np.empty(n_replicates), np.empty(n_replicates)
        for start in range(0, n_replicates, CHUNK):
            part = slice(start, start + CHUNK)
            weights = np.ascontiguousarray(counts[:, part])
            positive = self.positives @ weights
            lower = self.steps @ weights
            accumulate(lower)
            pairs[part] = np.einsum("gb,gb->b", positive, lower)
            possible[part] = positive.sum(axis=0) * (self.n_negatives @ weights)
        valid = possible > 0
        return np.divide(pairs, possible, out=np.zeros(n_replicates), where=valid), valid
