"""Shortcuts: how well view, sex or age (or whatever else is given) alone tell a class from the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.images import ImageSet, Split, marks_of
from synthworth.keys import seed_from

TOGETHER = "all together"
N_BINS = 10  # of a numeric attribute with more values than that
N_FOLDS = 5
N_ENOUGH = 100  # films with and without the class, from which on the test split is read
NOTABLE = 0.55  # lower end of the interval from which on a shortcut is warned of
PRIOR = 2.0  # films at the overall rate, that a category's own are mixed with
ON_TEST = "fitted on train, read on test"
LITTLE = f"at most {NOTABLE}: no interval was drawn"
CROSSED = f"{N_FOLDS} folds by patient over all films"


@dataclass(frozen=True)
class Shortcut:
    """AUROC of a class, scored by attributes alone, with a 95 % bootstrap interval over patients.

    Parameters
    ----------
    auroc, low, high
        None where there is no film with (or none without) the class, and the interval where it was not wanted; then
        `note` says so.
    n_positive, n_negative, n_patients
        Of the films that were read.
    basis
        Where the score was fitted and read.
    """

    attribute: str
    class_name: str
    auroc: float | None
    low: float | None
    high: float | None
    n_positive: int
    n_negative: int
    n_patients: int
    basis: str
    note: str | None = None

    @property
    def notable(self) -> bool:
        """Whether the interval lies above 0.55."""
        return self.low is not None and self.low > NOTABLE

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        rounded = {name: None if value is None else round(value, 4) for name, value in self._numbers().items()}
        return {
            "attribute": self.attribute,
            "class": self.class_name,
            **rounded,
            "n_positive": self.n_positive,
            "n_negative": self.n_negative,
            "n_patients": self.n_patients,
            "basis": self.basis,
            "note": self.note,
        }

    def _numbers(self) -> dict[str, float | None]:
        return {"auroc": self.auroc, "low": self.low, "high": self.high}


@dataclass(frozen=True)
class _Films:
    """Everything but pixels, of all splits. codes : int (N, A), category of each attribute; marks : bool (N, K)."""

    names: tuple[str, ...]
    codes: np.ndarray
    marks: np.ndarray
    patients: np.ndarray
    is_train: np.ndarray
    is_test: np.ndarray
    folds: np.ndarray


@dataclass(frozen=True)
class _Reading:
    """Which films are read, and how often each patient is drawn.

    Films, int (R,); their fold and their patient, int (R,); and how often each patient is drawn in each replicate,
    float32 (B + 1, P), where the first row is the sample itself.
    """

    rows: np.ndarray
    folds: np.ndarray
    patients: np.ndarray
    weights: np.ndarray
    basis: str


def measure_shortcuts(
    sets: Mapping[Split, ImageSet], *, n_replicates: int = 500, seed: int = 0, in_short: bool = False
) -> tuple[Shortcut, ...]:
    """AUROC of every attribute, and of all of them together, for every class (of two classes, for the second).

    One attribute scores a film by the share of the class in its category (numbers are cut into tenths), all together by
    logistic regression on the categories. The score is fitted on train and read on test where that has 100 films with
    and 100 without the class; elsewhere it is fitted on four fifths of all patients and read on the last fifth, five
    times, and pairs of films are compared within a fifth. An attribute that means nothing comes out at 0.5 on test, and
    at 0.5 or a little below it over the folds.

    Empty when the images carry no attribute that takes more than one value.

    Parameters
    ----------
    in_short
        Leave out all of them together, and the interval where the AUROC itself is not above 0.55: many attributes then
        cost little.
    """
    films = _gather(sets, seed=seed)
    if not films.names:
        return ()
    classes = next(iter(sets.values())).classes
    chosen = [1] if len(classes) == 2 and not next(iter(sets.values())).multilabel else range(len(classes))
    draws = {"n_replicates": n_replicates, "seed": seed_from(seed, "shortcut bootstrap")}
    on_test = _reading(films, np.flatnonzero(films.is_test), np.zeros_like(films.folds), ON_TEST, **draws)
    crossed = _reading(films, np.arange(len(films.folds)), films.folds, CROSSED, **draws)
    columns = {name: [k] for k, name in enumerate(films.names)}
    if len(columns) > 1 and not in_short:
        columns[TOGETHER] = list(range(len(films.names)))
    found = []
    for k in chosen:
        held = films.marks[on_test.rows, k]
        enough = films.is_train.any() and min(int(held.sum()), int((~held).sum())) >= N_ENOUGH
        reading = on_test if enough else crossed
        found += [_measure(films, name, at, k, classes[k], reading, in_short=in_short) for name, at in columns.items()]
    return tuple(found)


def _reading(
    films: _Films, rows: np.ndarray, folds: np.ndarray, basis: str, *, n_replicates: int, seed: int
) -> _Reading:
    known, patients = np.unique(films.patients[rows], return_inverse=True)
    rng = np.random.default_rng(seed)
    weights = np.ones((n_replicates + 1, len(known)), np.float32)
    for row in weights[1:] if len(known) else ():
        row[:] = np.bincount(rng.integers(len(known), size=len(known)), minlength=len(known))
    return _Reading(rows, folds[rows], patients, weights, basis)


def _gather(sets: Mapping[Split, ImageSet], *, seed: int) -> _Films:
    """The films of train, val and test; attributes that all of them carry, as categories."""
    used = [sets[split] for split in (Split.train, Split.val, Split.test) if split in sets]
    names, codes = [], []
    for name in used[0].attributes:
        if all(name in images.attributes for images in used):
            found = to_categories(np.concatenate([np.asarray(images.attributes[name]) for images in used]))
            if len(np.unique(found)) > 1:
                names.append(name)
                codes.append(found)
    labels = np.concatenate([images.labels.numpy() for images in used])
    marks = marks_of(labels, n_classes=used[0].n_classes).astype(bool)
    known, patients = np.unique(np.concatenate([np.asarray(images.groups) for images in used]), return_inverse=True)
    splits = np.concatenate([np.full(len(images), images.split.value) for images in used])
    order = np.random.default_rng(seed_from(seed, "shortcut folds")).permutation(len(known))
    return _Films(
        names=tuple(names),
        codes=np.stack(codes, axis=1) if codes else np.empty((len(labels), 0), np.int64),
        marks=marks,
        patients=patients,
        is_train=splits == Split.train.value,
        is_test=splits == Split.test.value,
        folds=(order % N_FOLDS)[patients],
    )


def to_categories(values: np.ndarray) -> np.ndarray:
    """Codes of an attribute's categories, int64 (N,).

    Categories are taken as they are, numbers of more than ten values by tenths; what is missing is a category of its
    own. Strings count as numbers when every one that is not empty is one.
    """
    numbers = _numbers(values)
    if numbers is None:
        return np.unique(values.astype(np.str_), return_inverse=True)[1].astype(np.int64)
    there = np.isfinite(numbers)
    codes = np.full(len(values), -1, np.int64)
    if len(np.unique(numbers[there])) <= N_BINS:
        codes[there] = np.unique(numbers[there], return_inverse=True)[1]
    else:
        edges = np.unique(np.quantile(numbers[there], np.arange(1, N_BINS) / N_BINS))
        codes[there] = np.searchsorted(edges, numbers[there], side="right")
    return codes - codes.min(initial=0)


def _numbers(values: np.ndarray) -> np.ndarray | None:
    """float64 (N,) with NaN for what is missing; None where the values are words."""
    if values.dtype.kind in "biuf":
        return values.astype(np.float64)
    words = [str(value).strip() for value in values.tolist()]
    try:
        return np.array([float(word) if word else np.nan for word in words])
    except ValueError:
        return None


def _measure(
    films: _Films,
    name: str,
    columns: Sequence[int],
    k: int,
    class_name: str,
    reading: _Reading,
    *,
    in_short: bool,
) -> Shortcut:
    truth, rows = films.marks[:, k], reading.rows
    n_positive, n_negative = int(truth[rows].sum()), int((~truth[rows]).sum())
    counted = {
        "n_positive": n_positive,
        "n_negative": n_negative,
        "n_patients": reading.weights.shape[1],
        "basis": reading.basis,
    }
    patterns, pattern = np.unique(films.codes[:, columns], axis=0, return_inverse=True)
    pattern = pattern.reshape(-1)
    score = np.zeros(len(rows))
    for fold in np.unique(reading.folds):
        fit = films.is_train if reading.basis == ON_TEST else films.folds != fold
        at = reading.folds == fold
        score[at] = _scores(patterns, pattern[fit], truth[fit])[pattern[rows[at]]]
    if in_short:
        alone = _auroc(score, truth[rows], reading.folds)
        if alone is not None and alone <= NOTABLE:
            return Shortcut(name, class_name, alone, None, None, **counted, note=LITTLE)
    auroc, replicates = _stratified_auroc(score, truth[rows], reading)
    if auroc is None:
        note = f"no film {'without' if n_positive else 'with'} {class_name}"
        if n_positive and n_negative:
            note = f"no fold holds films with and without {class_name}"
        return Shortcut(name, class_name, None, None, None, **counted, note=note)
    low, high = np.quantile(replicates, (0.025, 0.975))
    return Shortcut(name, class_name, auroc, float(low), float(high), **counted)


def _scores(patterns: np.ndarray, pattern: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Score of each pattern of categories, float64 (P,), fitted on the films given."""
    positive = np.bincount(pattern[truth], minlength=len(patterns)).astype(np.float64)
    n = np.bincount(pattern, minlength=len(patterns))
    rate = truth.mean() if len(truth) else 0.5
    if patterns.shape[1] == 1:
        found: np.ndarray = (positive + PRIOR * rate) / (n + PRIOR)
        return found
    if rate in (0.0, 1.0):
        return np.full(len(patterns), rate)
    from sklearn.linear_model import LogisticRegression

    hot = np.concatenate([column[:, None] == np.unique(column) for column in patterns.T], axis=1).astype(np.float64)
    seen = n > 0
    model = LogisticRegression(max_iter=1000).fit(
        np.concatenate([hot[seen], hot[seen]]),
        np.repeat([1, 0], seen.sum()),
        sample_weight=np.concatenate([positive[seen], (n - positive)[seen]]),
    )
    found = model.decision_function(hot)
    return found


def _auroc(score: np.ndarray, truth: np.ndarray, folds: np.ndarray) -> float | None:
    """AUROC over pairs of films of one fold; None where no fold holds one."""
    won = pairs = 0.0
    for fold in np.unique(folds):
        at = folds == fold
        values, level = np.unique(np.round(score[at], 12), return_inverse=True)
        with_it, without = (
            np.bincount(level[part], minlength=len(values)).astype(float) for part in (truth[at], ~truth[at])
        )
        won += float((with_it * (np.cumsum(without) - 0.5 * without)).sum())
        pairs += with_it.sum() * without.sum()
    return won / pairs if pairs else None


def _stratified_auroc(score: np.ndarray, truth: np.ndarray, reading: _Reading) -> tuple[float | None, np.ndarray]:
    """AUROC over pairs of films of one fold, and its replicates under the patients' weights.

    Scores take few values, so films are counted by patient, fold and value once, and a replicate is a product.
    """
    from scipy.sparse import csr_array

    weights, patients = reading.weights, reading.patients
    won = pairs = np.zeros(len(weights))
    for fold in np.unique(reading.folds):
        at = np.flatnonzero(reading.folds == fold)
        values, level = np.unique(np.round(score[at], 12), return_inverse=True)
        shape = (weights.shape[1], len(values))
        with_it, without = (
            weights @ csr_array((np.ones(len(part)), (patients[at][part], level[part])), shape=shape)
            for part in (np.flatnonzero(truth[at]), np.flatnonzero(~truth[at]))
        )
        below = np.cumsum(without, axis=1) - without
        won = won + (with_it * (below + 0.5 * without)).sum(1)
        pairs = pairs + with_it.sum(1) * without.sum(1)
    if not pairs[0]:
        return None, np.empty(0)
    there = pairs > 0
    return float(won[0] / pairs[0]), (won[there] / pairs[there])[1:]
