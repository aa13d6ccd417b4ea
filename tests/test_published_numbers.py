"""The published comparisons and worth are what the statistics make of the published predictions, digit by digit."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.records.predictions import Entry, read_auroc, read_predictions
from benchmarks.statistics.compare import compare, compare_metrics
from benchmarks.statistics.delong import compare_delong
from benchmarks.statistics.equivalence import equivalence
from benchmarks.statistics.resamples import Resamples
from benchmarks.statistics.utility import sample_utility
from benchmarks.statistics.worth import measure_worth
from synthworth.keys import seed_from

REFERENCE = Path(__file__).resolve().parent.parent / "results" / "reference"
RECORDS = [json.loads(file.read_text(encoding="utf-8")) for file in sorted(REFERENCE.glob("*/record.json"))]


SETTINGS = {"folder": 0.1, "phantom": 1.0}
"""Of each dataset the setting that is looked at here, by the share of the patients in use."""


def entry(*, name: str, dataset: str) -> Entry:
    here = [r for r in RECORDS if (r["spec"]["dataset"], r["spec"]["real_fraction"]) == (dataset, SETTINGS[dataset])]
    (record,) = (r for r in here if r["name"] == name)
    return Entry(record, REFERENCE / record["run_id"][:16])


def assert_same(found: Any, published: Any) -> None:
    """Numbers agree to 9 digits; words, keys and counts are equal."""
    if isinstance(published, Mapping):
        assert found.keys() == published.keys()
        for key in published:
            assert_same(found[key], published[key])
    elif isinstance(published, (list, tuple)):
        assert len(found) == len(published)
        for mine, its in zip(found, published, strict=True):
            assert_same(mine, its)
    else:
        assert found == (pytest.approx(published, rel=1e-9, abs=1e-9) if isinstance(published, float) else published)


@pytest.mark.parametrize(
    ("dataset", "name"), [("folder", "duplicate add 1"), ("phantom", "latent_ddpm add 0.5")], ids=lambda x: x
)
def test_a_published_comparison_is_made_again_from_the_predictions(dataset: str, name: str) -> None:
    mine, control = entry(name=name, dataset=dataset), entry(name="none", dataset=dataset)
    published = mine.record["comparisons"]["none"]
    a, b = read_auroc(mine), read_auroc(control)
    made = compare(a, b, name_a=name, name_b="none").to_json()
    assert_same(made, {key: published[key] for key in made})
    assert_same(equivalence(a.minus(b)), published["equivalence"])

    classes = mine.record["classes"]
    (scores, truth, groups), (others, _, _) = (read_predictions(e) for e in (mine, control))
    assert_same(compare_delong(scores, others, truth, classes=classes).to_json(), published["delong"])
    resamples = Resamples.draw(groups, seed=seed_from(mine.spec["seed"], "bootstrap"))
    metrics = compare_metrics(*(sample_utility(x, truth, resamples, classes=classes) for x in (scores, others)))
    assert {"auprc", "brier", "ece"} <= metrics.keys()
    assert_same(metrics, {metric: published["metrics"][metric] for metric in metrics})


def test_a_published_worth_is_read_off_the_published_curve_again() -> None:
    mine = entry(name="duplicate add 1", dataset="folder")
    published = mine.record["worth"]
    points = [entry(name=name, dataset="folder") for name in ("none", "none x 4", "none x 0.5", "none x 2")]
    curve = [(sum(point.record["counts"]["real"].values()), read_auroc(point)) for point in points]
    assert [n for n, _ in curve] == [published["curve"][k]["n"] for k in (1, 3, 0, 2)]
    n_synthetic = sum(mine.record["counts"]["synthetic"].values())
    made = measure_worth(read_auroc(mine), curve, n_real=published["n_real"], n_synthetic=n_synthetic)
    assert_same(made.to_json(), published)


def test_a_published_interval_is_that_of_the_predictions() -> None:
    mine = entry(name="duplicate add 1", dataset="folder")
    found, published = read_auroc(mine).interval(), mine.record["utility"]["auroc"]
    assert_same([found.estimate, found.low, found.high], [published[key] for key in ("value", "low", "high")])
    assert np.isfinite(found.percentile).all()
