"""Bootstrap of AUROC over patients, for every seed of an arm at once; arms drawn with one seed are paired."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.metrics.utility import one_sided, one_vs_rest
from synthworth.errors import Unavailable
from synthworth.keys import digest, seed_from

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

N_REPLICATES = 2000
CHUNK = 250  # replicates worked on at once


@dataclass(frozen=True)
class Replicates:
    """AUROC of one arm: on the test set as it is, and on every resample of its patients."""

    point: NDArray[np.float64]
    """(S, Q): AUROC of each seed and class on the test set itself."""
    draws: NDArray[np.float64]
    """(S, Q, B): the same on each resample; 0 where `valid` is False."""
    valid: NDArray[np.bool_]
    """(Q, B): whether the resample holds both a positive and a negative image of the class."""
    classes: tuple[str, ...]
    """The Q classes that the macro averages over."""
    left_out: tuple[str, ...]
    """Classes that the test set itself cannot judge, with the reason."""
    n_groups: int
    """Number of patients."""
    seed: int
    """What the resamples of seeds are derived from."""
    design: str
    """Digest of truth, groups, seed and B: arms can be paired only where it is equal."""

    @property
    def macro(self) -> NDArray[np.float64]:
        """(S,): mean over the classes on the test set itself."""
        return self.point.mean(axis=1)

    @property
    def macro_draws(self) -> NDArray[np.float64]:
        """(S, B): mean over the classes that the resample can judge; at least one can."""
        return self.draws.sum(axis=1) / self.valid.sum(axis=0)

    @property
    def n_incomplete(self) -> int:
        """Resamples in which some class lost all its positives (or negatives) and was left out of the macro."""
        return int((~self.valid).any(axis=0).sum())

    def of_class(self, name: str) -> Replicates:
        """The same for one class alone; resamples that cannot judge it are dropped.

        Raises
        ------
        Unavailable
            When the test set cannot judge this class.
        """
        if name not in self.classes:
            raise Unavailable(f"the test set cannot judge class {name!r}")
        q = self.classes.index(name)
        kept = self.valid[q]
        return Replicates(
            self.point[:, [q]],
            self.draws[:, [q]][:, :, kept],
            self.valid[[q]][:, kept],
            (name,),
            (),
            self.n_groups,
            self.seed,
            digest([self.design, name]),
        )


def bootstrap_auroc(
    scores: ArrayLike,
    truth: ArrayLike,
    groups: Sequence[Any],
    *,
    seed: int,
    n_replicates: int = N_REPLICATES,
    classes: Sequence[str] | None = None,
) -> Replicates:
    """AUROC of every seed and class on `n_replicates` resamples of the patients.

    Patients are drawn with replacement and bring all their images (the images of a patient are not independent).
    The resamples depend on `groups`, `seed` and `n_replicates` alone, so arms called with the same ones share
    them, and so do the seeds of an arm: differences are paired.

    AUROC is the Mann-Whitney statistic with ties counted one half, computed from the number of times each image
    was drawn; it equals scikit-learn's on the resample written out.

    Parameters
    ----------
    scores : (S, N, K) probabilities, one (N, K) for each classifier seed.
    truth : int (N,) or 0/1 (N, K).
    groups : N patients, of any hashable, sortable kind.

    Raises
    ------
    Unavailable
        When no class has both positive and negative images.
    ValueError
        For shapes that do not fit, scores that are not finite, or no replicate asked for.
    """
    stack = np.asarray(scores, dtype=np.float64)
    if stack.ndim != 3 or not len(stack):
        raise ValueError(f"scores must be (S, N, K) with at least one seed, not {stack.shape}")
    if n_replicates < 1 or len(groups) != stack.shape[1]:
        raise ValueError(f"{len(groups)} groups for {stack.shape[1]} images, {n_replicates} replicates")
    problems = [one_vs_rest(truth, one, classes) for one in stack]
    yes, names = problems[0].truth, problems[0].names
    reasons = [one_sided(yes[:, q]) for q in range(len(names))]
    judged = [q for q, reason in enumerate(reasons) if reason is None]
    left_out = tuple(f"{name} ({why})" for name, why in zip(names, reasons, strict=True) if why)
    if not judged:
        raise Unavailable(f"no class can be judged on this test set: {'; '.join(left_out)}")
    patients, patient = np.unique(np.asarray(groups), return_inverse=True)
    counts = draw_counts(len(patients), n_replicates, seed=seed)
    everyone = np.ones((len(patients), 1))
    jobs = [(s, q) for s in range(len(problems)) for q in judged]

    def work(job: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
        s, q = job
        ranks = Ranks(problems[s].scores[:, q], yes[:, q], patient, len(patients))
        draws, valid = ranks.auroc(counts)
        return ranks.auroc(everyone)[0], draws, valid

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1, len(jobs))) as pool:
        done = list(pool.map(work, jobs))
    shape = (len(problems), len(judged))
    valid = np.stack([row[2] for row in done[: len(judged)]])
    draws = np.stack([row[1] for row in done]).reshape(*shape, n_replicates)
    some = valid.any(axis=0)
    return Replicates(
        point=np.concatenate([row[0] for row in done]).reshape(shape),
        draws=draws[:, :, some],
        valid=valid[:, some],
        classes=tuple(names[q] for q in judged),
        left_out=left_out,
        n_groups=len(patients),
        seed=seed,
        design=design_of(yes, patient, names, seed=seed, n_replicates=n_replicates),
    )


def design_of(
    yes: NDArray[np.bool_], patient: NDArray[np.intp], names: Sequence[str], *, seed: int, n_replicates: int
) -> str:
    """Digest of what two arms must share to be paired: truth (N, Q), patient (N,), class names, resamples."""
    return digest([_sha256(yes), _sha256(patient.astype(np.int64)), list(names), seed, n_replicates])


def _sha256(array: NDArray[Any]) -> str:
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def draw_counts(n_groups: int, n_replicates: int, *, seed: int) -> NDArray[np.float64]:
    """How often each group is drawn, (n_groups, n_replicates): columns sum to n_groups."""
    rng = np.random.default_rng(seed_from(seed, "bootstrap", "patients"))
    counts = np.empty((n_groups, n_replicates))
    for start in range(0, n_replicates, CHUNK):
        n = min(CHUNK, n_replicates - start)
        cells = rng.integers(n_groups, size=(n, n_groups)) + n_groups * np.arange(n)[:, None]
        counts[:, start : start + n] = np.bincount(cells.ravel(), minlength=n * n_groups).reshape(n, n_groups).T
    return counts


def accumulate(table: NDArray[np.float64]) -> None:
    """Running sums down the rows, in place: `np.cumsum(axis=0)`, three to eight times as fast on wide rows."""
    before: NDArray[np.float64] | float = 0.0
    for row in table:
        row += before
        before = row


class Ranks:
    """One class under one set of scores, sorted once; then AUROC for any number of times each patient is drawn.

    With w the number of times that an image is drawn, u_1 < u_2 < ... the distinct scores of the positives, and
    P_g, N_g, T_g the weights of the positives at u_g, of the negatives below u_g and of the negatives at u_g:

        AUROC = sum_g P_g (N_g + T_g / 2) / (sum_g P_g * sum of all negative weights)

    w is a patient's, so the sums over images are products of sparse (level x patient) matrices with the counts.
    """

    def __init__(
        self, scores: NDArray[np.float64], yes: NDArray[np.bool_], patient: NDArray[np.intp], n_patients: int
    ) -> None:
        from scipy.sparse import csr_array

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

    def auroc(self, counts: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """AUROC (B,) for counts (n_patients, B), and whether it is defined; 0 where it is not."""
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
