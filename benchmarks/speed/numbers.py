"""Speed of PRDC and of the bootstrap against peers."""

from __future__ import annotations

import time

import numpy as np

from benchmarks.speed.peers import find_peer
from benchmarks.speed.row import SEED, Row, best


def prdc_row(repeat: int) -> Row:
    """Precision, recall, density and coverage of 10,000 against 10,000 features against the package `prdc`."""
    from benchmarks.metrics.manifold import prdc

    compute_prdc = find_peer("prdc", row="prdc").compute_prdc
    rng = np.random.default_rng(SEED)
    real, fake = (rng.normal(size=(10_000, 512)).astype(np.float32) for _ in range(2))
    seconds = best(lambda: prdc(real=real, fake=fake), 1)
    began = time.perf_counter()
    compute_prdc(real_features=real, fake_features=fake, nearest_k=5)
    return Row("PRDC, 10,000 x 10,000 x 512", "chunked", "prdc", seconds, time.perf_counter() - began)


def bootstrap_row(repeat: int) -> Row:
    """2,000 patient-clustered replicates of 14-class macro AUROC against scikit-learn in a loop."""
    from sklearn.metrics import roc_auc_score

    from benchmarks.statistics.auroc import sample_auroc
    from benchmarks.statistics.resamples import Resamples

    rng = np.random.default_rng(SEED)
    n, n_patients, n_classes, n_loop = 25_596, 2_800, 14, 10
    groups = rng.integers(n_patients, size=n)
    truth = (rng.random((n, n_classes)) < 0.08).astype(np.uint8)
    scores = rng.random((1, n, n_classes)) + 0.3 * truth
    seconds = best(lambda: sample_auroc(scores, truth, Resamples.draw(groups.tolist(), seed=SEED)), 1)
    rows = [np.flatnonzero(groups == g) for g in range(n_patients)]
    began = time.perf_counter()
    for _ in range(n_loop):
        drawn = np.concatenate([rows[g] for g in rng.integers(n_patients, size=n_patients)])
        roc_auc_score(truth[drawn], scores[0, drawn], average="macro")
    peer = (time.perf_counter() - began) * 2000 / n_loop
    note = f"the loop is {n_loop} replicates, scaled"
    return Row("AUROC bootstrap, 25,596 films, 14 findings", "from ranks", "scikit-learn", seconds, peer, note)
