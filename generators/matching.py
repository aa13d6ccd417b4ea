"""Which real images answer a label that is asked for."""

from __future__ import annotations

import numpy as np

from synthworth.errors import UserError


def require_alike(asked: np.ndarray, known: np.ndarray) -> None:
    """Refuse labels of another kind than those of the images.

    Parameters
    ----------
    asked, known : (N,), one class an image, or (N, K), findings.

    Raises
    ------
    UserError
        When they differ.
    """
    if asked.ndim != known.ndim:
        raise UserError(f"labels of shape {asked.shape} were asked for; those of the images have {known.shape}")


def rows_showing(labels: np.ndarray, label: np.ndarray, *, whose: str) -> np.ndarray:
    """Rows whose label is the one asked for, or, if none is, those of fewest differing findings (Hamming distance).

    Parameters
    ----------
    labels : int64 (N,) or uint8 (N, K), of the images.
    label : one of the same kind.
    whose : the images, for the error.

    Returns
    -------
    int64 (n,), n >= 1.

    Raises
    ------
    UserError
        For a class without an image.
    """
    differing = (labels != label).reshape(len(labels), -1).sum(1)
    if labels.ndim == 1 and (not len(differing) or differing.min() > 0):
        raise UserError(f"{whose} has no image of class {int(label)}")
    return np.flatnonzero(differing == differing.min())
