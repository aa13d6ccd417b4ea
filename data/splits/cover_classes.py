"""Which patients change parts so that every class stands in every part it can: an exact, small integer programme."""

from __future__ import annotations

import numpy as np

FREE_PER_CLASS = 30  # patients of each class that may move: bounds the programme however large the table is
MAX_NODES = 2000  # of the branch and bound; a bound in seconds would make the split depend on the machine


def cover_classes(part: np.ndarray, has: np.ndarray, *, n_parts: int) -> np.ndarray:
    """Move as few patients as it takes for the parts to hold as many classes as they can.

    What is maximised, in this order: classes in part 0 (train: a class that is not there cannot be learned), then
    the classes summed over all parts, then classes in the last part (test), then the patients who stay. The parts
    stay inhabited. Solved by `scipy.optimize.milp` (HiGHS); of each class the first 30 patients may move.

    Parameters
    ----------
    part : int (P,)
        Part of each patient; every part has one.
    has : bool (P, K)
        Classes each patient carries.
    n_parts
        Number of parts.

    Returns
    -------
    part : int (P,)
        A new one; the given one where nothing better is found, and where there is nothing to mend: every class in as
        many parts as it has patients, in train with one of them, in test too with two.
    """
    held, n_patients = _held(part, has, n_parts=n_parts), has.sum(0)
    everywhere = held.sum(0) == np.minimum(n_patients, n_parts)
    if (everywhere & (held[0] | (n_patients < 1)) & (held[-1] | (n_patients < 2))).all():
        return part
    free = np.flatnonzero((has & (np.cumsum(has, axis=0) <= FREE_PER_CLASS)).any(1))
    moved = part.copy()
    moved[free] = _solve(part, has, free, n_parts=n_parts)
    if len(np.unique(moved)) < n_parts:
        return part
    return moved if _rank(_held(moved, has, n_parts=n_parts)) > _rank(held) else part


def _held(part: np.ndarray, has: np.ndarray, *, n_parts: int) -> np.ndarray:
    """Whether a patient of the part carries the class, bool (S, K)."""
    return np.stack([has[part == s].any(0) for s in range(n_parts)])


def _rank(held: np.ndarray) -> tuple[int, int, int]:
    """Classes in train, classes over all parts, classes in test."""
    return int(held[0].sum()), int(held.sum()), int(held[-1].sum())


def _solve(part: np.ndarray, has: np.ndarray, free: np.ndarray, *, n_parts: int) -> np.ndarray:
    """New parts of the `free` patients, int (F,); their old ones where the solver ends without a solution.

    Variables: x[f, s] in {0, 1}, patient f goes to part s; y[s, k] in [0, 1], at most the number of carriers of class k
    in part s, and so 0 or 1 at the optimum.
    """
    from scipy.optimize import Bounds, LinearConstraint, milp
    from scipy.sparse import coo_array, eye_array, hstack, kron

    n_free, n_classes = len(free), has.shape[1]
    fixed = np.setdiff1d(np.arange(len(part)), free)
    held = _held(part[fixed], has[fixed], n_parts=n_parts)
    inhabited = np.bincount(part[fixed], minlength=n_parts) > 0

    gain_test, gain_any = 1.0, n_classes + 1.0
    gain_train = gain_any * (n_classes * n_parts + 1)
    gains = np.full((n_parts, n_classes), gain_any)
    gains[0] += gain_train
    gains[-1] += gain_test
    stays = np.zeros((n_free, n_parts))
    stays[np.arange(n_free), part[free]] = 1 / (n_free + 1)

    ones = coo_array(np.ones((1, n_parts)))
    one_part = hstack([kron(eye_array(n_free), ones), coo_array((n_free, n_parts * n_classes))])
    carriers = kron(coo_array(has[free].T.astype(float)), eye_array(n_parts))  # rows (k, s), columns (f, s)
    order = np.arange(n_parts * n_classes).reshape(n_parts, n_classes).T.ravel()
    shown = coo_array((np.ones(order.size), (np.arange(order.size), order)))  # picks y[s, k] in row (k, s)
    at_most = hstack([carriers, -shown])
    someone = hstack([kron(np.ones((1, n_free)), eye_array(n_parts)), coo_array((n_parts, n_parts * n_classes))])
    found = milp(
        -np.concatenate([stays.ravel(), gains.ravel()]),
        integrality=np.concatenate([np.ones(stays.size), np.zeros(gains.size)]),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(one_part.tocsc(), 1, 1),
            LinearConstraint(at_most.tocsc(), -held.T.ravel().astype(float), np.inf),
            LinearConstraint(someone.tocsc(), (~inhabited).astype(float), np.inf),
        ],
        options={"node_limit": MAX_NODES, "mip_rel_gap": 0.0},
    )
    if found.x is None:
        return part[free]
    new: np.ndarray = found.x[: stays.size].reshape(n_free, n_parts).argmax(1)
    return new
