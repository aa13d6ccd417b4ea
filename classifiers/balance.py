"""Classical remedies for uneven classes and small sets: balanced sampling, class weights, mixup, cutmix."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from data.mixing import balancing_weights
from synthworth.keys import seed_from
from synthworth.training.near import upload
from synthworth.training.order import BatchOrder

Blend = Literal["none", "mixup", "cutmix"]


class BalancedOrder:
    """Which rows step t looks at when rare classes are drawn as often as common ones (oversampling).

    Rows are drawn with replacement, with weights under which classes (or findings) are equally frequent.

    Stateless like `BatchOrder`: rows are a function of seed and step.
    """

    def __init__(self, labels: Tensor, batch: int, *, seed: int) -> None:
        self.weights, self.batch, self.seed = row_weights(labels), batch, seed

    def __call__(self, step: int) -> Tensor:  # int64 (batch,)
        """Rows of step `step`."""
        rng = np.random.default_rng(seed_from(self.seed, "balanced", step))
        return torch.from_numpy(rng.choice(len(self.weights), size=self.batch, p=self.weights))


def row_weights(labels: Tensor) -> np.ndarray:  # int64 (N,) or uint8 (N, K) -> float64 (N,), sum 1
    """Probability of each row under which classes are equally frequent.

    Where findings co-occur, as nearly as their co-occurrence allows (`data.mixing.balancing_weights`).
    """
    known = labels.numpy()
    if known.ndim == 1:
        counts = np.bincount(known)
        return np.asarray(1.0 / counts[known] / np.count_nonzero(counts))
    vectors, weights = balancing_weights(known)
    place = {vector.tobytes(): k for k, vector in enumerate(vectors)}
    kind = np.array([place[row.tobytes()] for row in known])
    return np.asarray(weights[kind] / np.bincount(kind, minlength=len(vectors))[kind])


class PhasedOrder:
    """Rows of `first` for the steps before `turn`, then rows of `second`: synthetic images first, then real ones."""

    def __init__(self, first: Tensor, second: Tensor, batch: int, *, turn: int, seed: int) -> None:
        self.turn = turn
        self.parts = tuple(
            (rows, BatchOrder(len(rows), batch, seed=seed_from(seed, "phase", k)))
            for k, rows in enumerate((first, second))
        )

    def __call__(self, step: int) -> Tensor:  # int64 (batch,)
        """Rows of step `step`."""
        rows, order = self.parts[step >= self.turn]
        return rows[order(step if step < self.turn else step - self.turn)]


def class_weights(labels: Tensor) -> Tensor:  # int64 (N,) or uint8 (N, K) -> float32 (K,)
    """What an image of each class counts in the loss: N / (K n_k), "balanced" in scikit-learn.

    Where findings co-occur, what a positive counts beside a negative: (N - n_k) / n_k. A class without an image
    counts 1.
    """
    n = len(labels)
    if labels.ndim == 2:
        present = labels.double().sum(0)
        weights = torch.where(present > 0, (n - present) / present.clamp_min(1), torch.ones_like(present))
        return weights.float()
    counts = torch.bincount(labels).double()
    weights = torch.where(counts > 0, n / (counts.count_nonzero() * counts.clamp_min(1)), torch.ones_like(counts))
    return weights.float()


def soft_targets(labels: Tensor, n_classes: int) -> Tensor:  # int64 (N,) or uint8 (N, K) -> float32 (N, K)
    """One-hot rows, or findings as numbers."""
    if labels.ndim == 2:
        return labels.float()
    return torch.nn.functional.one_hot(labels, n_classes).float()


def blend_batch(images: Tensor, targets: Tensor, *, how: Blend, alpha: float) -> tuple[Tensor, Tensor]:
    """Blend a batch with itself in another order; draws from torch's global generator.

    mixup (Zhang 2018): x = l x_i + (1 - l) x_j, y likewise. cutmix (Yun 2019): a rectangle of x_j covers a share
    1 - l of x_i, y by what is left. l ~ Beta(alpha, alpha), one for the batch.

    Parameters
    ----------
    images : float (N, C, H, W).
    targets : float (N, K).
    alpha : of the Beta distribution.
    """
    share = float(torch.distributions.Beta(alpha, alpha).sample())
    other = upload(torch.randperm(len(images)), images.device)
    if how == "mixup":
        images = share * images + (1 - share) * images[other]
    else:
        height, width = images.shape[-2:]
        cut = math.sqrt(1 - share)
        centre_y, centre_x = int(torch.randint(height, ())), int(torch.randint(width, ()))
        top, bottom = (min(max(round(centre_y + s * cut * height / 2), 0), height) for s in (-1, 1))
        left, right = (min(max(round(centre_x + s * cut * width / 2), 0), width) for s in (-1, 1))
        images = images.clone()
        images[..., top:bottom, left:right] = images[other][..., top:bottom, left:right]
        share = 1 - (bottom - top) * (right - left) / (height * width)
    return images, share * targets + (1 - share) * targets[other]
