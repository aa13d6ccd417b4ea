"""Corrupted test images: predicted on by kept classifiers, one number of all, and compared on the same patients."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from elsewhere_runs import films, run, words

from benchmarks.reanalyse import main as reanalyse
from benchmarks.records.elsewhere import CORRUPTED, ORDER, read_corrupted
from benchmarks.records.predictions import Entry, read_predictions
from benchmarks.records.store import Records
from benchmarks.run import main as run_main
from benchmarks.stages.elsewhere import corrupted_scores
from benchmarks.stages.experiment import Experiment
from benchmarks.stages.images import Images
from benchmarks.statistics.auroc import sample_auroc
from benchmarks.statistics.resamples import Resamples
from benchmarks.verdicts.recheck import recheck
from classifiers.registry import classifiers
from data.corruptions import CORRUPTIONS, STRENGTHS, corrupt
from synthworth.errors import Diverged, Unavailable
from synthworth.keys import seed_from
from synthworth.store import Store


class Finished(NamedTuple):
    """A run with `--robustness`."""

    home: Path
    own: Path
    outcome: Any
    records: dict[str, dict[str, Any]]

    def entry(self, name: str) -> Entry:
        record = self.records[name]
        return Entry(record, self.home / "runs" / record["run_id"][:16])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    home = tmp_path_factory.mktemp("robustness")
    own = films(home / "own", classes=("well", "sick"), n=60, seed=1)
    outcome = run(home, own, "--robustness")
    return Finished(home, own, outcome, {r["name"]: r for r in outcome.records})


def test_every_corruption_has_a_number_at_every_strength(finished: Finished) -> None:
    for record in finished.records.values():
        part = record["robustness"]
        assert {name: len(rows) for name, rows in part["auroc"].items()} == dict.fromkeys(CORRUPTIONS, len(STRENGTHS))
        every = [row["value"] for rows in part["auroc"].values() for row in rows]
        assert part["auroc_corrupted"]["value"] == pytest.approx(np.mean(every))
        assert part["auroc_corrupted"]["low"] < part["auroc_corrupted"]["value"] < part["auroc_corrupted"]["high"]
        lost = record["utility"]["auroc"]["value"] - part["auroc_corrupted"]["value"]
        assert part["lost"]["difference"] == pytest.approx(lost)
        assert np.mean(part["auroc_corrupted"]["per_seed"]) == pytest.approx(part["auroc_corrupted"]["value"])


def test_it_is_compared_with_every_control_on_the_same_patients(finished: Finished) -> None:
    noise, none = (finished.records[name]["robustness"] for name in ("noise add 0.5", "none"))
    row = noise["comparisons"]["none"]
    assert row["difference"] == pytest.approx(noise["auroc_corrupted"]["value"] - none["auroc_corrupted"]["value"])
    assert row["low"] <= row["difference"] <= row["high"] and row["run_id"] == finished.records["none"]["run_id"]
    assert "noise add 0.5 on corrupted test images: AUROC" in noise["verdict"]
    assert "test_on" not in finished.records["none"]["spec"]


@pytest.mark.parametrize(("name", "strength"), [("noise", 5), ("blur", 1), ("jpeg", 3)])
def test_predictions_are_those_of_the_kept_classifier_by_hand(finished: Finished, name: str, strength: int) -> None:
    entry, store = finished.entry("noise add 0.5"), Store.open(finished.home / "home")
    arm = next(arm for arm in finished.outcome.arms if arm.spec.run_id == entry.run_id)
    test = arm.images.test
    stored = read_corrupted(entry, shape=read_predictions(entry)[0].shape)[name, strength]
    order = np.argsort(np.array(test.ids))
    for number, key in enumerate(arm.classify_keys):
        model = classifiers.get(arm.spec.classifier).load(store.read("classify", key) / "model", device="cpu")
        by_hand = model.predict(corrupt(test.images, name, strength, ids=test.ids))
        assert np.allclose(stored[number], by_hand[order], atol=1e-6)


def test_the_number_is_that_of_the_stored_predictions(finished: Finished) -> None:
    entry = finished.entry("none")
    scores, truth, patients = read_predictions(entry)
    resamples = Resamples.draw(patients, seed=seed_from(0, "bootstrap"), n_replicates=entry.spec["n_bootstrap"])
    stored = read_corrupted(entry, shape=scores.shape)
    for name, strength in (ORDER[0], ORDER[-1]):
        found = sample_auroc(stored[name, strength], truth, resamples, classes=entry.record["classes"])["auroc"]
        said = entry.record["robustness"]["auroc"][name][strength - 1]
        assert (found.mean, found.interval().low) == pytest.approx((said["value"], said["low"]))


def test_the_same_command_again_predicts_nothing(
    finished: Finished, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import benchmarks.stages.elsewhere as elsewhere

    monkeypatch.setattr(elsewhere, "_scores", lambda *_: pytest.fail("predicted again"))
    assert run_main(words(finished.home, finished.own, "--robustness")) == 0
    text = capsys.readouterr().out
    assert "AUROC on corrupted test images" in text and "noise add 0.5 on corrupted test images: AUROC" in text


def test_weights_that_are_kept_for_it_serve_another_test_set_too(finished: Finished) -> None:
    near = films(finished.home / "near", classes=("well", "sick"), n=10, seed=5)
    outcome = run(finished.home, finished.own, "--test-on", f"near=folder:{near}")
    assert outcome.made.get("classify", 0) == 0 and outcome.made["elsewhere"] == 4


def test_judged_again_it_says_the_same_and_a_changed_number_is_found(finished: Finished, tmp_path: Path) -> None:
    assert reanalyse(["--results", str(finished.home / "runs"), "--out", str(tmp_path / "new")]) == 0
    made = {r["run_id"]: r for r in Records(tmp_path / "new")}
    entry, records = finished.entry("noise add 0.5"), Records(finished.home / "runs")
    again, was = made[entry.run_id]["robustness"], entry.record["robustness"]
    assert again["auroc_corrupted"]["value"] == pytest.approx(was["auroc_corrupted"]["value"])
    assert again["lost"]["low"] == pytest.approx(was["lost"]["low"]) and again["verdict"] == was["verdict"]
    assert recheck(entry, records.beside(entry)).contradicted == ()
    record = json.loads(json.dumps(entry.record))
    record["robustness"]["auroc"]["jpeg"][2]["value"] += 0.001
    (line,) = recheck(Entry(record, entry.folder), records.beside(entry)).contradicted
    assert "robustness.auroc.jpeg.2.value" in line


def test_predictions_that_cannot_be_used_are_said(finished: Finished, tmp_path: Path) -> None:
    entry = finished.entry("none")
    shape = read_predictions(entry)[0].shape
    place = tmp_path / entry.folder.name
    shutil.copytree(entry.folder, place)
    np.save(place / CORRUPTED, np.zeros((25, 1, 1, 1), dtype=np.float32))
    with pytest.raises(Unavailable, match="has changed since it was written"):
        read_corrupted(Entry(entry.record, place), shape=shape)
    (place / "seal.json").unlink()
    with pytest.raises(Unavailable, match=r"holds float32 \(25, 1, 1, 1\), not float32"):
        read_corrupted(Entry(entry.record, place), shape=shape)
    (place / CORRUPTED).unlink()
    assert "corrupted.npy is missing" in (recheck(Entry(entry.record, place), {}).unchecked or "")


def test_a_prediction_that_is_not_finite_fails_the_arm(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    cls = classifiers.get("resnet18")
    arm = finished.outcome.arms[0]
    monkeypatch.setattr(cls, "predict", lambda self, images: np.full((len(images), 2), np.nan, dtype=np.float32))
    experiment = Experiment.__new__(Experiment)
    experiment.images = Images(arm.images.folder, arm.images.dataset, arm.spec)
    experiment.externals = ()
    from benchmarks.stages.bench import Bench

    home = finished.home / "other"
    shutil.copytree(finished.home / "home" / "artifacts" / "classify", home / "artifacts" / "classify")
    experiment.bench = Bench(Store.open(home), "cpu", 1, 15.0, {}, {})
    with pytest.raises(Diverged, match="classifier 0 of none predicts what is not finite on test, noise"):
        corrupted_scores(experiment, arm)
