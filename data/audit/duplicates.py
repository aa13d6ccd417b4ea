"""Near duplicates: films in two splits that are one film, saved again, brightened or brought to another size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from data.audit.leaks import DuplicateGroup
from data.images import ImageSet, Split
from data.splits.leaks import N_EXAMPLES
from synthworth.progress import Progress

if TYPE_CHECKING:
    from torch import Tensor

THRESHOLD = 0.92
"""Similarity from which two films are reported. Chosen and measured on 5,856 Kermany and 1,000 NIH films of 64 px:
those of two patients reach 0.86 and 0.79, 3,000 with one black bar above and below 0.91, rendered phantoms 0.91. Of 300
copies of each set 99.7 % or more are found when re-encoded (JPEG 40), brightened, darkened, resized or cut by 1 % of
the side; 93 % (NIH) with noise of 5 grey levels, 68 to 89 % (with bars 1 %) when moved by 1/64 of the side. Larger cuts
and mirrored films are not found."""
SIDE = 32  # pixels of the thumbnail
WINDOW = 5  # pixels of the local mean and contrast
CONSTANT_STD = 2.0  # grey levels; a film below it shows nothing, and is similar to nothing
MAX_PAIRS = 1000  # pairs kept; the number of pairs is complete
N_CLOSEST = 24  # closest pairs kept for a look, whatever their similarity
BLOCK = 1024, 16384  # films compared at a time: 64 MB of similarities


@dataclass(frozen=True)
class NearPair:
    """Two films of different splits, not equal in every pixel.

    Parameters
    ----------
    first, second : (split, image id)
    rows
        Where they stand in their splits.
    similarity : at most 1
    conflict
        Whether their labels differ.
    same_patient
        Whether they are filed under one patient.
    """

    first: tuple[str, str]
    second: tuple[str, str]
    rows: tuple[int, int]
    similarity: float
    conflict: bool
    same_patient: bool

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "first": ":".join(self.first),
            "second": ":".join(self.second),
            "similarity": round(self.similarity, 4),
            "label_conflict": self.conflict,
            "same_patient": self.same_patient,
        }


@dataclass(frozen=True)
class NearDuplicates:
    """What a search over all pairs of splits found.

    Parameters
    ----------
    n_pairs
        Pairs with at least `threshold`, all of them.
    pairs
        The most similar of these, at most 1,000.
    closest
        The most similar pairs whatever their similarity, a film at most once, best first.
    nearest : by split, float32
        Similarity of each of its films to the nearest train film (constant ones left out).
    n_pixels
        Side of the thumbnail that was compared.
    """

    threshold: float
    n_pairs: int
    pairs: tuple[NearPair, ...]
    closest: tuple[NearPair, ...]
    nearest: Mapping[str, np.ndarray]
    n_pixels: int

    @property
    def conflicts(self) -> tuple[NearPair, ...]:
        """Pairs whose labels differ."""
        return tuple(pair for pair in self.pairs if pair.conflict)

    def to_json(self) -> dict[str, Any]:
        """The number of pairs, 20 examples, and the distribution of each split's nearest train film."""
        points = (0.5, 0.9, 0.99, 1.0)
        return {
            "threshold": self.threshold,
            "thumbnail": self.n_pixels,
            "n_pairs": self.n_pairs,
            "n_pairs_kept": len(self.pairs),
            "n_label_conflicts": len(self.conflicts),
            "pairs": [pair.to_json() for pair in self.pairs[:N_EXAMPLES]],
            "closest": [pair.to_json() for pair in self.closest[:5]],
            "nearest_train_film": {
                split: {f"quantile {p}": round(float(np.quantile(values, p)), 4) for p in points}
                for split, values in self.nearest.items()
                if len(values)
            },
        }


@dataclass
class _Best:
    """The most similar pairs seen so far: rows of both films and similarity."""

    n: int = 0
    first: list[np.ndarray] = field(default_factory=list)
    second: list[np.ndarray] = field(default_factory=list)
    similarity: list[np.ndarray] = field(default_factory=list)

    def add(self, first: np.ndarray, second: np.ndarray, similarity: np.ndarray) -> None:
        self.n += len(similarity)
        self.first.append(first)
        self.second.append(second)
        self.similarity.append(similarity)
        if sum(map(len, self.similarity)) > 4 * MAX_PAIRS:
            self._keep(MAX_PAIRS)

    def _keep(self, n: int) -> None:
        columns = [np.concatenate(c) if c else np.empty(0) for c in (self.first, self.second, self.similarity)]
        order = np.argsort(-columns[2], kind="stable")[:n]
        self.first, self.second, self.similarity = ([c[order]] for c in columns)

    def rows(self) -> list[tuple[int, int, float]]:
        """(row, row, similarity), best first."""
        self._keep(MAX_PAIRS)
        columns = (self.first[0], self.second[0], self.similarity[0])
        return [(int(a), int(b), float(s)) for a, b, s in zip(*columns, strict=True)]


def describe(images: Tensor) -> tuple[Tensor, np.ndarray]:
    """What a film is compared by, and its contrast.

    A grey thumbnail of 32 x 32 (area mean), less its local mean over 5 x 5, divided by its local standard
    deviation (plus half of the whole thumbnail's, so that noise in flat parts stays small): local contrast
    normalisation (Jarrett et al. 2009). The product of two such vectors is their normalised correlation: 1 for one film
    at two brightnesses, and lower for two patients than a correlation of grey levels, which all chest films share.

    Parameters
    ----------
    images : uint8 (N, C, H, W)
        May be a memory map.

    Returns
    -------
    vectors : float32 (N, D), of unit length
        Zeros for a film with a standard deviation below 2 grey levels.
    stds : float32 (N,), grey levels
        The standard deviations.
    """
    import torch
    from torch.nn.functional import adaptive_avg_pool2d, avg_pool2d

    def local_mean(x: Tensor) -> Tensor:
        return avg_pool2d(x, WINDOW, stride=1, padding=WINDOW // 2, count_include_pad=False)

    side = min(SIDE, *images.shape[-2:])
    out, stds = torch.empty(len(images), side * side), np.empty(len(images), np.float32)
    with torch.no_grad(), Progress("thumbnails", len(images), unit="films") as bar:
        for start in range(0, len(images), 256):
            grey = images[start : start + 256].float()
            if grey.shape[1] > 1:
                grey = grey.mean(1, keepdim=True)
            std = grey.std((1, 2, 3), correction=0)
            high = adaptive_avg_pool2d(grey, side)
            high = high - local_mean(high)
            whole = high.std((1, 2, 3), correction=0, keepdim=True)
            flat = (high / (local_mean(high * high).sqrt() + 0.5 * whole + 1e-6)).flatten(1)
            flat = torch.nn.functional.normalize(flat - flat.mean(1, keepdim=True), dim=1)
            out[start : start + 256] = flat * (std >= CONSTANT_STD)[:, None]
            stds[start : start + 256] = std.numpy()
            bar.advance(len(grey))
    return out, stds


def near_duplicates(
    sets: Mapping[Split, ImageSet],
    described: Mapping[Split, tuple[Tensor, np.ndarray]],
    exact: Sequence[DuplicateGroup] = (),
    *,
    threshold: float = THRESHOLD,
) -> NearDuplicates:
    """Compare every film with every film of every other split.

    100,000 films (80 : 10 : 10) are 1.7 billion pairs, 3.5 TFLOP: one to two minutes on two cores, in 0.5 GB
    beside the images.

    Parameters
    ----------
    described
        What `describe` says of each split.
    exact
        Groups of films with equal pixels, of which only the first is compared: the others are no news.
    """
    again = {member for group in exact for member in group.members[1:]}
    rows = {split: _compared(images, described[split][1], again) for split, images in sets.items()}
    vectors = {split: described[split][0][rows[split]] for split in sets}
    splits = list(sets)
    pairs: list[NearPair] = []
    closest: list[NearPair] = []
    n_pairs, nearest = 0, {}
    couples = [(a, b) for i, a in enumerate(splits) for b in splits[i + 1 :]]
    with Progress("near duplicates", sum(len(rows[b]) for _, b in couples), unit="films") as bar:
        for a, b in couples:
            found, best, where = _search(vectors[a], vectors[b], threshold, bar)
            n_pairs += found.n
            pairs += [_pair(sets, a, b, int(rows[a][i]), int(rows[b][j]), s) for i, j, s in found.rows()]
            top = np.argsort(-best, kind="stable")[: 4 * N_CLOSEST]
            closest += [_pair(sets, a, b, int(rows[a][where[j]]), int(rows[b][j]), float(best[j])) for j in top]
            if a is Split.train:
                nearest[b.value] = best
    pairs.sort(key=lambda pair: -pair.similarity)
    side = round(next(iter(vectors.values())).shape[1] ** 0.5)
    return NearDuplicates(threshold, n_pairs, tuple(pairs[:MAX_PAIRS]), _each_once(closest), nearest, side)


def _compared(images: ImageSet, stds: np.ndarray, again: set[tuple[str, str]]) -> np.ndarray:
    """Rows of the films that show something and are not an earlier film once more, int64."""
    fresh = np.array([(images.split.value, name) not in again for name in images.ids], dtype=bool)
    return np.flatnonzero(fresh & (stds >= CONSTANT_STD))


def _search(a: Tensor, b: Tensor, threshold: float, bar: Progress) -> tuple[_Best, np.ndarray, np.ndarray]:
    """Pairs of rows (of a, of b) from `threshold` on; and for each row of b its nearest of a: similarity and row."""
    found = _Best()
    best, where = np.full(len(b), -1.0, np.float32), np.zeros(len(b), np.int64)
    for start in range(0, len(b), BLOCK[0]):
        part = b[start : start + BLOCK[0]]
        here = slice(start, start + len(part))
        for begin in range(0, len(a), BLOCK[1]):
            similar = part @ a[begin : begin + BLOCK[1]].T
            top, at = (x.numpy() for x in similar.max(1))
            better = top > best[here]
            best[here][better], where[here][better] = top[better], at[better] + begin
            if top.max() >= threshold:
                j, i = (similar >= threshold).nonzero(as_tuple=True)
                found.add(i.numpy() + begin, j.numpy() + start, similar[j, i].numpy())
        bar.advance(len(part))
    return found, best, where


def _pair(sets: Mapping[Split, ImageSet], a: Split, b: Split, i: int, j: int, similarity: float) -> NearPair:
    one, other = sets[a], sets[b]
    return NearPair(
        first=(a.value, one.ids[i]),
        second=(b.value, other.ids[j]),
        rows=(i, j),
        similarity=min(similarity, 1.0),
        conflict=one.labels[i].tolist() != other.labels[j].tolist(),
        same_patient=one.groups[i] == other.groups[j],
    )


def _each_once(pairs: Sequence[NearPair]) -> tuple[NearPair, ...]:
    """The best pairs of which no film is in a better one."""
    seen: set[tuple[str, str]] = set()
    kept = []
    for pair in sorted(pairs, key=lambda pair: -pair.similarity):
        if len(kept) < N_CLOSEST and not {pair.first, pair.second} & seen:
            seen |= {pair.first, pair.second}
            kept.append(pair)
    return tuple(kept)
