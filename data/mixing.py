"""Mixing: which synthetic images join which real ones, and how many of each class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from data.images import ImageSet, check_labels, count_labels, require_train
from synthworth.errors import UserError
from synthworth.keys import seed_from

if TYPE_CHECKING:
    from torch import Tensor

Mode = Literal["add", "replace", "balance", "only", "pretrain"]
MODES: tuple[str, ...] = get_args(Mode)
PRETRAINING = 0.5
"""Share of the steps that mode `pretrain` spends on synthetic images, before it goes on with real ones."""


@dataclass(frozen=True)
class SyntheticSet:
    """Images a generator drew. There is no way from here into val or test.

    Parameters
    ----------
    images : uint8 (M, C, H, W)
    labels : int64 (M,) or uint8 (M, K)
        What was asked for.
    fit_key
        Digest of the fit that drew them.
    train_fingerprint
        Of the images that they may be mixed with: those that fit learned from, or, where it learned from a donor's, the
        recipient's.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    fit_key: str
    train_fingerprint: str

    def __post_init__(self) -> None:
        from synthworth.images import check_batch

        check_batch(self.images, what="synthetic images")
        check_labels(self.labels, n_classes=len(self.classes))
        if len(self.images) != len(self.labels):
            raise ValueError(f"{len(self.images)} synthetic images but {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.images)

    def counts(self) -> dict[str, int]:
        """Images by class asked for."""
        return count_labels(self.labels, self.classes)


@dataclass(frozen=True)
class TrainingMix:
    """What one arm trains on.

    Parameters
    ----------
    images : uint8 (N, C, H, W)
    labels : int64 (N,) or uint8 (N, K)
    is_real : bool (N,)
    counts : {"real": {class: n}, "synthetic": {class: n}}
    pretraining
        Share of the steps that see synthetic images only; the rest then sees real ones only. 0: every step sees both.
    """

    images: Tensor
    labels: Tensor
    is_real: np.ndarray
    classes: tuple[str, ...]
    counts: Mapping[str, Mapping[str, int]]
    pretraining: float = 0.0

    def __len__(self) -> int:
        return len(self.images)

    @property
    def multilabel(self) -> bool:
        """Whether findings co-occur: labels are (N, K)."""
        return self.labels.ndim == 2


@dataclass(frozen=True)
class Demand:
    """How many synthetic images each stream must supply.

    A stream is a class (one class an image), or the single stream `vectors` (findings that co-occur). Streams are
    drawn in shards, so a larger demand extends a smaller one.
    """

    streams: Mapping[str, int]
    keep_real: int
    """How many real images stay in the mixture."""
    pretraining: float = 0.0
    """Share of the steps that see synthetic images only, before the real ones."""

    @property
    def total(self) -> int:
        """Synthetic images over all streams."""
        return sum(self.streams.values())


VECTORS = "vectors"
MAX_RATIO = 1000
MAX_SYNTHETIC = 10_000_000
"""Synthetic images that an arm may ask for: they are drawn one by one, and held together when they are mixed."""
GATHERED_AT_ONCE = 1024
"""Images copied into a mixture at a time: what is read of a memory map is held once, in the mixture itself."""


def check_ratio(ratio: float, mode: str) -> None:
    """Refuse a ratio that means nothing.

    Raises
    ------
    UserError
        For NaN, infinity, a negative ratio, one above `MAX_RATIO`, or one above 1 in mode `replace`.
    """
    if not np.isfinite(ratio) or ratio < 0:
        raise UserError(f"--ratio {ratio} was asked for; a ratio is synthetic / real, a number from 0 up")
    if ratio > MAX_RATIO:
        raise UserError(f"--ratio {ratio:g} was asked for; a ratio is synthetic / real, {MAX_RATIO:,} at most")
    if mode == "replace" and ratio > 1:
        raise UserError(f"--ratio {ratio} with --mode replace: a share of the training set lies between 0 and 1")
    if mode not in MODES:
        raise UserError(f"--mode {mode!r}: there are {', '.join(MODES)}")


def demand(train: ImageSet, *, ratio: float, mode: Mode) -> Demand:
    """As `demand_of`, of the images that an arm learns from."""
    return demand_of(train.counts(), len(train), multilabel=train.multilabel, ratio=ratio, mode=mode)


def demand_of(real: Mapping[str, int], n: int, *, multilabel: bool, ratio: float, mode: str) -> Demand:
    """Synthetic images by stream, class-balanced; remainders go to the first classes, one each.

    Parameters
    ----------
    real : real training images by class, in the order of the classes.
    n : of all of them.
    multilabel : whether findings co-occur.
    ratio : synthetic / real
    mode
        `add` real + r n; `replace` n fixed, share r synthetic; `balance` fill rare classes up to the largest (the ratio
        caps the sum: at most r n are added, in proportion to what is missing); `only` r n synthetic, no real;
        `pretrain` r n synthetic for the first half of the steps, then the n real ones.

    Raises
    ------
    UserError
        As `check_ratio`, and where the ratio comes to more than `MAX_SYNTHETIC` images.
    """
    check_ratio(ratio, mode)
    total = round(ratio * n)
    if total > MAX_SYNTHETIC:
        raise UserError(
            f"--ratio {ratio:g} of {n:,} training images comes to {total:,} synthetic images, and {MAX_SYNTHETIC:,} "
            "are the most that an arm takes. Lower the ratio"
        )
    keep = {"add": n, "balance": n, "pretrain": n, "replace": n - total, "only": 0}[mode]
    pretraining = PRETRAINING if mode == "pretrain" else 0.0
    counts = np.array(list(real.values()))
    missing = counts.max() - counts
    if multilabel:
        if mode == "balance":
            total = min(total, int(missing.sum()))
        return Demand({VECTORS: total}, keep, pretraining)
    if mode == "balance":
        shares = apportion(total, missing / missing.sum()) if missing.sum() > total else missing
    else:
        shares = apportion(total, np.full(len(real), 1 / len(real)))
    return Demand({c: int(k) for c, k in zip(real, shares, strict=True)}, keep, pretraining)


def apportion(total: int, weights: np.ndarray) -> np.ndarray:
    """Split `total` into whole parts in proportion to `weights` (largest remainder; ties to the first): int (K,)."""
    exact = weights * total
    parts: np.ndarray = np.floor(exact).astype(np.int64)
    order = np.argsort(-(exact - parts), kind="stable")
    parts[order[: total - int(parts.sum())]] += 1
    return parts


def stream_labels(train: ImageSet, stream: str, n: int, *, seed: int) -> Tensor:
    """Labels to ask a generator for: the class n times, or n label vectors of the training set.

    Vectors are drawn with weights that make every finding (and the empty vector) come out as often as the others
    while what co-occurs stays real.
    """
    import torch

    if not train.multilabel:
        return torch.full((n,), train.classes.index(stream), dtype=torch.int64)
    vectors, weights = balancing_weights(train.labels.numpy())
    rows = np.random.default_rng(seed).choice(len(vectors), size=n, p=weights)
    return torch.from_numpy(vectors[rows])


def balancing_weights(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distinct label vectors, and draw probabilities under which findings are equally frequent.

    Multiplicative updates (iterative proportional fitting): a vector's weight is multiplied by the geometric mean,
    over its findings, of target / current frequency; the empty vector counts as a finding of its own. Where
    co-occurrence makes exact equality impossible, the result is the nearest the updates reach in 200 rounds.

    Returns
    -------
    vectors : uint8 (V, K)
    probabilities : (V,)
    """
    vectors, counts = np.unique(labels, axis=0, return_counts=True)
    marks = np.concatenate([vectors, vectors.sum(1, keepdims=True) == 0], axis=1).astype(np.float64)
    marks = marks[:, marks.sum(0) > 0]
    weights = counts / counts.sum()
    for _ in range(200):
        frequency = weights @ marks
        target = frequency.mean()
        weights = weights * np.exp(marks @ np.log(target / frequency) / marks.sum(1))
        weights /= weights.sum()
    return vectors, weights


def mix(
    train: ImageSet, synthetic: SyntheticSet | None, *, keep_real: int, seed: int, pretraining: float = 0.0
) -> TrainingMix:
    """Put real and synthetic images together, shuffled with their own generator.

    Parameters
    ----------
    keep_real
        How many real images stay, drawn without replacement (a smaller number keeps a prefix of the same order, so that
        rising ratios in mode `replace` are nested).
    pretraining
        See `TrainingMix`; without synthetic images there is none.

    Raises
    ------
    UserError
        When the synthetic images were made for another train split than this one, or the real ones are no train split
        (a donor's, say).
    """
    import torch

    require_train(train, what="a mixture", from_donor=False)
    if synthetic is not None and synthetic.train_fingerprint != train.fingerprint():
        raise UserError(
            "these synthetic images were learned from another train split than the one they are to be mixed with "
            f"({synthetic.train_fingerprint[:12]} against {train.fingerprint()[:12]}); fit the generator again"
        )
    rows = real_rows(len(train), keep_real, seed=seed)
    n_synthetic = 0 if synthetic is None else len(synthetic)
    n = len(rows) + n_synthetic
    if not n:
        raise UserError("the mixture holds no image; raise --ratio or choose another --mode")
    order = np.random.default_rng(seed_from(seed, "mix")).permutation(n)
    is_real = order < len(rows)
    images = torch.empty((n, *train.images.shape[1:]), dtype=torch.uint8)
    labels = torch.empty((n, *train.labels.shape[1:]), dtype=train.labels.dtype)
    parts = [(is_real, train.images, train.labels, rows[order[is_real]])]
    if synthetic is not None:
        parts.append((~is_real, synthetic.images, synthetic.labels, order[~is_real] - len(rows)))
    for places, pictures, marks, chosen in parts:
        where = np.flatnonzero(places)
        for start in range(0, len(where), GATHERED_AT_ONCE):
            part = slice(start, start + GATHERED_AT_ONCE)
            images[where[part]] = pictures[chosen[part]]
        labels[where] = marks[chosen]
    return TrainingMix(
        images=images,
        labels=labels,
        is_real=is_real,
        classes=train.classes,
        counts=mix_counts(train, synthetic, keep_real=keep_real, seed=seed),
        pretraining=pretraining if n_synthetic else 0.0,
    )


def real_rows(n: int, keep: int, *, seed: int) -> np.ndarray:
    """Which of n real images stay in a mixture, in order: int (keep,). A smaller number keeps some of the same."""
    if keep >= n:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed_from(seed, "keep real")).permutation(n)[:keep])


def mix_counts(
    train: ImageSet, synthetic: SyntheticSet | None, *, keep_real: int, seed: int
) -> dict[str, dict[str, int]]:
    """Images of a mixture by class, `real` and `synthetic`, without gathering them; arguments as for `mix`."""
    kept = train.labels[real_rows(len(train), keep_real, seed=seed)]
    drawn = dict.fromkeys(train.classes, 0) if synthetic is None else synthetic.counts()
    return {"real": count_labels(kept, train.classes), "synthetic": drawn}
