"""Which patients go into which part: patient-level splits, and nested subsamples for the low-data regime."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from data.images import Split, marks_of
from data.splits.cover_classes import cover_classes
from synthworth.errors import UserError
from synthworth.keys import seed_from

if TYPE_CHECKING:
    from torch import Tensor


SPLITS = (Split.train, Split.val, Split.test)


@dataclass(frozen=True)
class _Patients:
    """Patients in an order drawn by their names alone.

    rows : image rows of each patient.
    holds : int (P, K), images of each class (or finding; then one column more for images without any).
    """

    rows: list[np.ndarray]
    holds: np.ndarray

    @property
    def sizes(self) -> np.ndarray:
        """Images of each patient, int (P,)."""
        return np.array([len(rows) for rows in self.rows], dtype=np.int64)


def split_by_patient(
    groups: Sequence[str],
    labels: Tensor | np.ndarray,
    *,
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1),
    seed: int,
) -> dict[Split, np.ndarray]:
    """Split images into train, val and test so that no patient is in two of them.

    Iterative stratification (Sechidis, Tsoumakas & Vlahavas 2011) over patients: classes from the rarest to
    the commonest; each of a class's patients, in an order drawn from the names, joins the emptiest split (in
    images of the class, relative to what the split wants) that he brings nearer to what it wants. The last
    patients of a class go where it is still missing. Where a class of three patients or more is then not in
    every split, because patients carry several classes, single patients change sides (`cover_classes`): first
    as many classes as can be are in train, then as many as can be in the three together. The result depends on
    names, labels and seed, never on the order of rows.

    Parameters
    ----------
    groups : (N,)
        Patient of each image.
    labels : int (N,), one class an image, or (N, K) zeros and ones
    fractions
        Share of the images wanted in train, val and test; they sum to 1.
    seed
        Another seed draws another split.

    Returns
    -------
    int64, ascending
        Rows of each split.

    Raises
    ------
    UserError
        For fractions that are not three positive numbers summing to 1, and for fewer than three patients.
    """
    if len(fractions) != 3 or not all(f > 0 for f in fractions) or abs(sum(fractions) - 1) > 1e-6:
        raise UserError(f"fractions {tuple(fractions)}: train, val and test need three positive shares, sum 1")
    parts = split_patients_in(groups, labels, shares=fractions, seed=seed)
    return dict(zip(SPLITS, parts, strict=True))


def split_patients_in(
    groups: Sequence[str], labels: Tensor | np.ndarray, *, shares: Sequence[float], seed: int
) -> list[np.ndarray]:
    """The same for any number of parts; see `split_by_patient`.

    Returns
    -------
    int64, ascending
        Rows of each part.

    Raises
    ------
    UserError
        When there are fewer patients than parts.
    """
    patients = _patients(groups, np.asarray(labels), seed=seed, purpose="split")
    if len(patients.rows) < len(shares):
        raise UserError(f"{len(patients.rows)} patients cannot be split into {len(shares)} parts")
    part = _stratify(patients.holds, patients.sizes, np.asarray(shares, dtype=np.float64))
    _mend(part, patients.holds, n_parts=len(shares))
    _fill_empty(part, patients.sizes, n_parts=len(shares))
    part = cover_classes(part, patients.holds > 0, n_parts=len(shares))
    return [np.sort(np.concatenate([patients.rows[p] for p in np.flatnonzero(part == s)])) for s in range(len(shares))]


def _first_served(n_parts: int) -> tuple[int, ...]:
    """Which part gets a class that too few patients have: train, then test, then val."""
    return (0, *range(n_parts - 1, 0, -1))


def _patients(groups: Sequence[str], labels: np.ndarray, *, seed: int, purpose: str) -> _Patients:
    if len(groups) != len(labels):
        raise ValueError(f"{len(groups)} patients' names but {len(labels)} labels")
    names, inverse = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
    order = sorted(range(len(names)), key=lambda p: (seed_from(seed, purpose, str(names[p])), names[p]))
    place = np.empty(len(names), np.int64)
    place[order] = np.arange(len(names))
    patient = place[inverse]
    if labels.ndim == 2:
        marks = np.concatenate([labels, labels.sum(1, keepdims=True) == 0], axis=1)
    else:
        marks = marks_of(labels, n_classes=int(labels.max(initial=-1)) + 1)
    holds = np.zeros((len(names), marks.shape[1]), np.int64)
    np.add.at(holds, patient, marks)
    by_patient = np.argsort(patient, kind="stable")
    ends = np.cumsum(np.bincount(patient, minlength=len(names)))
    return _Patients(np.split(by_patient, ends[:-1]), holds)


def _rarest_first(holds: np.ndarray) -> np.ndarray:
    """Classes that occur, by the number of patients who have them (ties in label order)."""
    n_patients = (holds > 0).sum(0)
    order: np.ndarray = np.argsort(n_patients, kind="stable")
    order = order[n_patients[order] > 0]
    return order


def _stratify(holds: np.ndarray, sizes: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Part of each patient, int (P,)."""
    part = np.full(len(holds), -1, np.int64)
    there = np.zeros((len(shares), holds.shape[1]))  # images of each class in each part so far
    filled = np.zeros(len(shares))
    wanted_all = shares * sizes.sum()
    for c in _rarest_first(holds):
        wanted = shares * holds[:, c].sum()
        waiting = np.flatnonzero((holds[:, c] > 0) & (part < 0))
        for i, p in enumerate(waiting):
            missing = [s for s in _first_served(len(shares)) if there[s, c] == 0]
            if missing and len(waiting) - i <= len(missing):
                s = missing[0]
            else:
                s = _least_filled(wanted - there[:, c], wanted, int(holds[p, c]), wanted_all - filled)
            part[p] = s
            there[s] += holds[p]
            filled[s] += sizes[p]
    return part


def _least_filled(room: np.ndarray, wanted: np.ndarray, size: int, room_all: np.ndarray) -> int:
    """The emptiest part, by share of what it wants, among those which `size` images bring nearer to that.

    The emptiest before the patient joins, not after: else large patients would all go to the largest part,
    and patients with many films would be trained on and never tested.
    """
    nearer = size <= 2 * room
    rank = np.where(nearer, 1 + room / wanted, (room - size) / wanted)
    return int(np.lexsort((room_all, rank))[-1])


def _mend(part: np.ndarray, holds: np.ndarray, *, n_parts: int) -> None:
    """Move single patients, in place, into parts that lack a class, where that takes no class from a part."""
    has = holds > 0
    count = np.stack([has[part == s].sum(0) for s in range(n_parts)])
    for c in _rarest_first(holds):
        for s in _first_served(n_parts):
            if count[s, c]:
                continue
            for p in np.flatnonzero(has[:, c]):
                if (count[part[p]][has[p]] > 1).all():
                    count[part[p]] -= has[p]
                    count[s] += has[p]
                    part[p] = s
                    break


def _fill_empty(part: np.ndarray, sizes: np.ndarray, *, n_parts: int) -> None:
    """Give a part without any patient the smallest patient of the part that has most of them, in place."""
    for s in _first_served(n_parts):
        if not (part == s).any():
            donors = np.flatnonzero(part == np.bincount(part, minlength=n_parts).argmax())
            part[donors[np.argmin(sizes[donors])]] = s
