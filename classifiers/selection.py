"""Which checkpoint is kept: the one with the best macro AUROC on val, ties broken by the lower loss."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
from torch import Tensor, nn

from data.images import marks_of
from synthworth.errors import Unavailable


def macro_auroc(scores: np.ndarray, truth: np.ndarray) -> float:
    """Area under the ROC curve, averaged over the classes that have both positives and negatives.

    Mann-Whitney in whole counts, ties one half, and the mean as a fraction: two checkpoints of one AUROC have one
    number, whatever the shape of their curves, and are told apart by the loss and not by rounding.

    Parameters
    ----------
    scores : float (N, K).
    truth : int (N,), each class against the rest, or (N, K) of zeros and ones.

    Raises
    ------
    Unavailable
        When no class has both.
    ValueError
        For scores that are not finite.
    """
    if not np.isfinite(scores).all():
        raise ValueError("scores hold NaN or infinity: the classifier that made them is broken")
    positive = marks_of(truth, n_classes=scores.shape[1]).astype(bool)
    mixed = [k for k in range(scores.shape[1]) if 0 < positive[:, k].sum() < len(positive)]
    if not mixed:
        raise Unavailable("every image has the same label: AUROC needs positives and negatives")
    return float(sum(_auroc(scores[:, k], positive[:, k]) for k in mixed) / len(mixed))


def _auroc(scores: np.ndarray, positive: np.ndarray) -> Fraction:
    """Share of the pairs, one positive and one negative, that the scores order rightly; of ties one half."""
    negatives = np.sort(scores[~positive])
    below, not_above = (np.searchsorted(negatives, scores[positive], side=side).sum() for side in ("left", "right"))
    return Fraction(int(below + not_above), 2 * int(positive.sum()) * len(negatives))


def evaluation_steps(n_steps: int, n_evaluations: int) -> tuple[int, ...]:
    """After which steps val is looked at: evenly spread, the last one included, none twice."""
    return tuple(sorted({max(1, round(i * n_steps / n_evaluations)) for i in range(1, n_evaluations + 1)}))


class Best:
    """The best weights so far and the val scores that chose them; a part of the training checkpoint."""

    def __init__(self) -> None:
        self.weights: dict[str, Tensor] = {}
        self.step = 0
        self.scores: list[dict[str, float]] = []

    def offer(self, model: nn.Module, *, step: int, auroc: float, loss: float) -> None:
        """Keep a copy of the weights when (AUROC, -loss) is above all before; at equality the earlier."""
        ranks = [(row["auroc"], -row["loss"]) for row in self.scores]
        self.scores.append({"step": float(step), "auroc": auroc, "loss": loss})
        if not ranks or (auroc, -loss) > max(ranks):
            self.step = step
            self.weights = {name: value.detach().clone() for name, value in model.state_dict().items()}

    def state_dict(self) -> dict[str, Any]:
        """Plain values and tensors, as the training checkpoint keeps them."""
        return {"weights": self.weights, "step": self.step, "scores": self.scores}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.weights, self.scores = dict(state["weights"]), list(state["scores"])
        self.step = int(state["step"])
