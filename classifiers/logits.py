"""What a network's logits mean: the loss that they are trained by, and the probabilities that they stand for."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def row_losses(
    logits: Tensor,
    labels: Tensor,
    *,
    smoothing: float = 0.0,
    weights: Tensor | None = None,
    multilabel: bool | None = None,
) -> Tensor:
    """Mean loss: softmax cross-entropy, or mean binary cross-entropy where findings co-occur.

    Parameters
    ----------
    labels : int64 (N,) for softmax, uint8 (N, K) for binary; may also be soft, float (N, K).
    weights : float (K,), what each class counts (softmax) or what a positive counts beside a negative (binary).
    multilabel : says of soft labels which of the two is meant.

    Returns
    -------
    The loss, 0-d.
    """
    if labels.ndim == 1 and smoothing and weights is not None:
        return _weighted_and_smoothed(logits, labels, smoothing=smoothing, weights=weights)
    if labels.ndim == 1 or (labels.is_floating_point() and not multilabel):
        return F.cross_entropy(logits, labels, weight=weights, label_smoothing=smoothing)
    targets = labels.float() * (1 - smoothing) + smoothing / 2
    return F.binary_cross_entropy_with_logits(logits, targets, pos_weight=weights)


def _weighted_and_smoothed(logits: Tensor, labels: Tensor, *, smoothing: float, weights: Tensor) -> Tensor:
    """`F.cross_entropy` to the bit, without its look for rows to ignore: a GPU would have to wait for what it finds.

    (1 - s) sum_i w_yi (-log p_yi) / W + s / K sum_i sum_k w_k (-log p_ik) / W, where W = sum_i w_yi.
    """
    log_p = F.log_softmax(logits, 1)
    smooth = -(log_p * weights).sum(1).sum() / weights.gather(0, labels).sum()
    return (1 - smoothing) * F.nll_loss(log_p, labels, weight=weights) + smooth * (smoothing / logits.shape[1])


def to_probabilities(logits: Tensor, *, multilabel: bool) -> np.ndarray:  # float (N, K) -> float32 (N, K)
    """Softmax over classes, or a sigmoid for each finding."""
    probabilities = logits.sigmoid() if multilabel else torch.softmax(logits, 1)
    return probabilities.float().cpu().numpy()
