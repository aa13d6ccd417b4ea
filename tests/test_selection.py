"""The number that a checkpoint is kept by: AUROC on val in whole counts."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from classifiers.selection import macro_auroc


def test_checkpoints_that_order_as_many_pairs_rightly_have_one_auroc_to_the_bit():
    rng, truth = np.random.default_rng(0), np.arange(9) % 3
    found: dict[int, set[float]] = {}
    for _ in range(300):
        scores = rng.integers(0, 6, (9, 3)) / 7
        pairs = [(a - b).item() for k in range(3) for a in scores[truth == k, k] for b in scores[truth != k, k]]
        value = macro_auroc(scores, truth)
        found.setdefault(sum((p > 0) - (p < 0) for p in pairs), set()).add(value)
        assert value == pytest.approx(roc_auc_score(truth[:, None] == np.arange(3), scores))
    assert len(found) > 20 and all(len(values) == 1 for values in found.values())


def test_a_classifier_that_says_nan_has_no_auroc():
    with pytest.raises(ValueError, match="NaN"):
        macro_auroc(np.array([[0.1, np.nan], [0.5, 0.5]]), np.array([0, 1]))
