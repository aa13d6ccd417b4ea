"""Images of which there are only so many, drawn in turn over all shards: none comes again before all have come."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np


def rows_in_turn(
    asked: np.ndarray, earlier: np.ndarray, rows_of: Callable[[np.ndarray], np.ndarray], *, repeat: bool
) -> np.ndarray:
    """Which images answer the labels that come next.

    Parameters
    ----------
    asked : int64 (N,) or uint8 (N, K).
    earlier : the labels that were answered before, in the same form: what answered them does not come again, until
        all have come.
    rows_of : the images that show a label, int64 (n,), in the order in which they come; none where there are none.
    repeat : whether they begin again where all have come.

    Returns
    -------
    int64 (M,)
        M is below N where the first label that no image is left for stands at M.
    """
    taken: dict[bytes, int] = {}
    for label in earlier:
        taken[label.tobytes()] = taken.get(label.tobytes(), 0) + 1
    known: dict[bytes, np.ndarray] = {}
    drawn: list[int] = []
    for label in asked:
        key = label.tobytes()
        if key not in known:
            known[key] = rows_of(label)
        rows, k = known[key], taken.get(key, 0)
        if not len(rows) or (k >= len(rows) and not repeat):
            break
        drawn.append(int(rows[k % len(rows)]))
        taken[key] = k + 1
    return np.array(drawn, dtype=np.int64)
