"""Which films a sheet shows, in which order: as many real ones as synthetic ones, with the same labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from data.images import marks_of
from generators.matching import rows_showing
from synthworth.errors import UserError
from synthworth.keys import seed_from

if TYPE_CHECKING:
    from data.images import ImageSet
    from data.mixing import SyntheticSet

NONE_OF_THEM = "none of the findings"


@dataclass(frozen=True)
class Films:
    """The films of a sheet, in its order.

    Parameters
    ----------
    images : uint8 (N, C, S, S)
    synthetic : bool (N,)
    shown : what each shows, in words.
    """

    images: np.ndarray
    synthetic: np.ndarray
    shown: tuple[str, ...]


def choose_films(pool: SyntheticSet, real: ImageSet, *, n: int, seed: int) -> Films:
    """Draw films for a sheet: n / 2 synthetic ones, evenly over the labels, and a real one for each.

    A real film has the label of its partner; where findings co-occur and no film is left that has exactly these, one
    that differs in the fewest. No film comes twice.

    Parameters
    ----------
    real : films that no generator has learned from: those of test.
    n : films in all; an even number.

    Raises
    ------
    UserError
        For a number that is odd or too small, or larger than there are films for.
    """
    if n < 2 or n % 2:
        raise UserError(f"--n {n}: a sheet has an even number of films, half of them real")
    if n // 2 > min(len(pool), len(real)):
        raise UserError(
            f"--n {n}: half of them are {n // 2} of each kind, and there are {len(pool)} synthetic and {len(real)} "
            "real test films. Ask for fewer"
        )
    rng = np.random.default_rng(seed_from(seed, "reader"))
    asked, known = pool.labels.numpy(), real.labels.numpy()
    drawn = _evenly(asked, n // 2, rng)
    free = rng.permutation(len(real))
    partners = []
    for row in drawn:
        try:
            near = rows_showing(known[free], asked[row], whose="the test split")
        except UserError as error:
            raise UserError(
                f"--n {n}: the test split has too few films of a class for a partner each: {error}"
            ) from error
        partners.append(int(free[near[0]]))
        free = np.delete(free, near[0])
    order = rng.permutation(n)
    images = np.concatenate([pool.images.numpy()[drawn], real.images.numpy()[partners]])[order]
    labels = np.concatenate([asked[drawn], known[partners]])[order]
    words = _in_words(labels, pool.classes)
    return Films(images, (np.arange(n) < n // 2)[order], words)


def _evenly(labels: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Rows of n labels, in turns of each that there is."""
    kinds: dict[bytes, list[int]] = {}
    for row in rng.permutation(len(labels)).tolist():
        kinds.setdefault(labels[row].tobytes(), []).append(row)
    queues = [kinds[key] for key in sorted(kinds)]
    taken: list[int] = []
    while len(taken) < n:
        taken += [queue.pop() for queue in queues if queue]
        queues = [queue for queue in queues if queue]
    return np.array(taken[:n])


def _in_words(labels: np.ndarray, classes: tuple[str, ...]) -> tuple[str, ...]:
    marks = marks_of(labels, n_classes=len(classes))
    return tuple(" and ".join(c for c, mark in zip(classes, row, strict=True) if mark) or NONE_OF_THEM for row in marks)
