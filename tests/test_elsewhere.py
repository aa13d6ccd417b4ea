"""Other test sets: predicted on once, judged like the own test split, told apart from it, and checked again."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from elsewhere_runs import films, run, words

from benchmarks.judging.elsewhere import resample_seed
from benchmarks.reanalyse import main as reanalyse
from benchmarks.records.elsewhere import external_file, read_external
from benchmarks.records.kinds import Wrong
from benchmarks.records.predictions import Entry
from benchmarks.records.seal import SEAL, write_seal
from benchmarks.records.shape import check_agreement, check_shape, check_spec
from benchmarks.records.store import Records
from benchmarks.run import main as run_main
from benchmarks.show import main as show
from benchmarks.statistics.auroc import sample_auroc
from benchmarks.statistics.resamples import Resamples
from benchmarks.verdicts.recheck import recheck
from classifiers.registry import classifiers
from data.films.decode import decode_film
from synthworth.keys import seed_from
from synthworth.store import Store

OURS, THEIRS = ("well", "sick"), ("healthy", "other", "ill")


class Finished(NamedTuple):
    """A run on one folder that is tested on two others."""

    home: Path
    own: Path
    asked: tuple[str, ...]
    records: dict[str, dict[str, Any]]
    outcome: Any

    def entry(self, name: str) -> Entry:
        record = self.records[name]
        return Entry(record, self.home / "runs" / record["run_id"][:16])


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    home = tmp_path_factory.mktemp("elsewhere")
    own = films(home / "own", classes=OURS, seed=1)
    near = films(home / "near", classes=("SICK", "Well"), n=20, seed=2, shift=10)  # sorted the other way round
    far = films(home / "far", classes=THEIRS, n=20, seed=3)
    learned = sorted((own / "sick").iterdir())
    for k, film in enumerate(learned):  # every film of ours is there too: those learned from are none to test on
        shutil.copy(film, far / "ill" / f"same-{k:03d}.png")
    rows = [f"ill/same-{k:03d}.png,ill,same-{k}" for k in range(len(learned))]
    (far / "metadata.csv").write_text((far / "metadata.csv").read_text() + "\n".join(rows) + "\n")
    mapping = home / "far.yaml"
    mapping.write_text(
        f"dataset: folder\ndata: {{path: {far}}}\nclasses: {{healthy: well, ill: sick, other: null}}\nname: far\n"
    )
    asked = ("--test-on", f"near=folder:{near}", str(mapping))
    outcome = run(home, own, *asked)
    return Finished(home, own, asked, {r["name"]: r for r in outcome.records}, outcome)


def test_a_record_has_every_test_set_with_the_same_statistics(finished: Finished) -> None:
    record = finished.records["noise add 0.5"]
    assert set(record["elsewhere"]) == {"near", "far"}
    for part in record["elsewhere"].values():
        assert part["utility"].keys() == record["utility"].keys()
        assert part["comparisons"]["none"].keys() == {*record["comparisons"]["none"], "apart"}
        assert part["utility"]["auroc"]["low"] is not None
    assert record["elsewhere"]["near"]["counts"] == {"sick": 20, "well": 20}
    assert record["elsewhere"]["near"]["n_patients"] == 20


def test_films_of_a_class_mapped_to_none_and_films_learned_from_are_left_out_and_counted(finished: Finished) -> None:
    part, n_test = finished.records["none"]["elsewhere"]["far"], finished.records["none"]["audit"]["n_images"]["test"]
    n_learned = part["left_out"]["learned from"]
    assert part["left_out"]["of other classes"] == 20
    assert 20 < n_learned < 40 and n_learned + part["shared"]["films of test"] == 40
    assert 0 < part["shared"]["films of test"] < n_test
    assert part["counts"] == {"sick": 20 + 40 - n_learned, "well": 20}
    table = pq.read_table(finished.entry("none").folder / external_file("far"))
    assert len(set(table["id"].to_pylist())) == part["utility"]["auroc"]["n"] == 40 + 40 - n_learned
    assert not any("other" in one for one in table["id"].to_pylist())


def test_predictions_there_are_those_of_the_kept_classifier_by_hand(finished: Finished) -> None:
    entry, store = finished.entry("noise add 0.5"), Store.open(finished.home / "home")
    table = pq.read_table(entry.folder / external_file("near")).to_pandas()
    arm = next(arm for arm in finished.outcome.arms if arm.spec.run_id == entry.run_id)
    scores = read_external(entry, "near")[0]  # ordered by id
    for number, key in enumerate(arm.classify_keys):
        rows = table[table["seed"] == number].sort_values("id")
        pictures = [
            decode_film(finished.home / "near" / name, channels=1, target=16, fit="crop") for name in rows["id"]
        ]
        images = torch.from_numpy(np.stack(pictures))[:, None]
        model = classifiers.get(arm.spec.classifier).load(store.read("classify", key) / "model", device="cpu")
        by_hand = model.predict(images)
        assert np.allclose(scores[number], by_hand, atol=1e-6)
        truth = [("sick", "well").index(name.split("/")[0].lower()) for name in rows["id"]]
        assert rows["truth"].tolist() == truth  # its own classes are sorted otherwise: SICK, Well


def test_here_minus_there_is_the_difference_of_the_two_numbers(finished: Finished) -> None:
    for record in finished.records.values():
        for part in record["elsewhere"].values():
            here, there = (one["utility"]["auroc"] for one in (record, part))
            assert part["apart"]["difference"] == pytest.approx(here["value"] - there["value"])
            assert part["apart"]["by_seed"] == pytest.approx(
                np.subtract(here["extra"]["per_seed"], there["extra"]["per_seed"]).tolist()
            )
            assert part["apart"]["low"] < part["apart"]["difference"] < part["apart"]["high"]
    record = finished.records["noise add 0.5"]
    row = record["elsewhere"]["near"]["comparisons"]["none"]
    gain = record["comparisons"]["none"]["difference"]
    assert row["apart"]["difference"] == pytest.approx(gain - row["difference"])


def test_the_patients_there_are_resampled_by_themselves(finished: Finished) -> None:
    entry = finished.entry("none")
    scores, truth, patients = read_external(entry, "near")
    assert len({resample_seed(0, "near"), resample_seed(0, "far"), seed_from(0, "bootstrap")}) == 3
    resamples = Resamples.draw(patients, seed=resample_seed(0, "near"), n_replicates=entry.spec["n_bootstrap"])
    interval = sample_auroc(scores, truth, resamples, classes=entry.record["classes"])["auroc"].interval()
    said = entry.record["elsewhere"]["near"]["utility"]["auroc"]
    assert (interval.low, interval.high) == pytest.approx((said["low"], said["high"]))


def test_every_verdict_names_its_test_set(finished: Finished) -> None:
    record = finished.records["noise add 0.5"]
    assert "noise add 0.5 on its own test split" in record["verdict"]
    for name, part in record["elsewhere"].items():
        assert f"noise add 0.5 on {name}: AUROC" in part["verdict"]


def test_the_same_command_again_trains_and_predicts_nothing(
    finished: Finished, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import benchmarks.stages.classifier as classifier
    import benchmarks.stages.elsewhere as elsewhere

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("made again")

    monkeypatch.setattr(classifier, "fit_alone", refuse)
    monkeypatch.setattr(elsewhere, "_scores", refuse)
    assert run_main(words(finished.home, finished.own, *finished.asked)) == 0
    text = capsys.readouterr().out
    assert "AUROC on other test sets, beside the own test split" in text
    assert "noise add 0.5 on far: AUROC" in text and "20 films left out, of other classes" in text


def test_another_mapping_and_a_lost_record_predict_nothing_anew(
    finished: Finished, monkeypatch: pytest.MonkeyPatch
) -> None:
    import benchmarks.stages.elsewhere as elsewhere

    monkeypatch.setattr(elsewhere, "_scores", lambda *_: pytest.fail("predicted again"))
    other = finished.home / "both.yaml"
    data = f"dataset: folder\ndata: {{path: {finished.home / 'far'}}}\nname: far\n"
    other.write_text(data + "classes: {healthy: well, ill: sick, other: sick}\n")
    outcome = run(finished.home, finished.own, "--test-on", str(other))
    part = next(r for r in outcome.records if r["name"] == "none")["elsewhere"]["far"]
    assert part["left_out"]["of other classes"] == 0
    assert outcome.made.get("classify", 0) == 0


def test_an_interrupted_prediction_is_made_without_training(finished: Finished, tmp_path: Path) -> None:
    home = tmp_path / "again"
    shutil.copytree(finished.home / "home", home / "home")
    shutil.rmtree(next((home / "home" / "artifacts" / "elsewhere").iterdir()))
    outcome = run(home, finished.own, *finished.asked)
    assert (outcome.made.get("classify", 0), outcome.made["elsewhere"]) == (0, 1)
    for record in outcome.records:
        assert record["elsewhere"] == finished.records[record["name"]]["elsewhere"]


def test_what_is_learned_and_said_of_the_own_split_is_the_same_without(finished: Finished, tmp_path: Path) -> None:
    outcome = run(tmp_path, finished.own)
    for record in outcome.records:
        other = finished.records[record["name"]]
        assert "elsewhere" not in record and record["run_id"] != other["run_id"]
        assert record["utility"] == other["utility"]
        assert record["comparisons"].keys() == other["comparisons"].keys()


def test_a_record_with_other_test_sets_than_its_spec_is_not_read(finished: Finished) -> None:
    record = finished.records["none"]
    check_agreement(record)
    with pytest.raises(Wrong, match="is tested on near, far by its spec, and has numbers of other sets"):
        check_agreement({**record, "elsewhere": {}})
    with pytest.raises(Wrong, match="numbers of corrupted images that its spec does not ask for"):
        check_agreement({**record, "robustness": {"auroc": {}}})
    with pytest.raises(Wrong, match=r"robustness.* is missing"):
        check_shape({**record, "robustness": {}})


def test_a_name_that_leads_out_of_the_folder_of_a_record_is_none(finished: Finished) -> None:
    spec = json.loads(json.dumps(finished.records["none"]["spec"]))
    spec["test_on"][0]["name"] = "x/../../../etc"
    with pytest.raises(Wrong, match=r"test_on.0.name is .* and no name of a test set"):
        check_spec(spec)


def test_judged_again_it_says_the_same(finished: Finished, tmp_path: Path) -> None:
    assert reanalyse(["--results", str(finished.home / "runs"), "--out", str(tmp_path / "new")]) == 0
    for record in Records(tmp_path / "new"):
        if record["run_id"] not in {one["run_id"] for one in finished.records.values()}:
            continue
        was = finished.records[record["name"]]["elsewhere"]
        assert record["elsewhere"].keys() == was.keys()
        for name, part in record["elsewhere"].items():
            assert part["verdict"] == was[name]["verdict"] and part["left_out"] == was[name]["left_out"]
            assert part["apart"]["low"] == pytest.approx(was[name]["apart"]["low"])
            assert part["utility"].keys() == was[name]["utility"].keys()
        assert (tmp_path / "new" / record["run_id"][:16] / external_file("near")).is_file()


def test_a_record_whose_predictions_there_have_changed_is_made_again(finished: Finished, tmp_path: Path) -> None:
    home = tmp_path / "again"
    for part in ("home", "runs"):
        shutil.copytree(finished.home / part, home / part)
    entry = finished.entry("none")
    place = home / "runs" / entry.folder.name
    shutil.copy(place / external_file("far"), place / external_file("near"))
    outcome = run(home, finished.own, *finished.asked)
    assert outcome.made["judge"] == 1 and outcome.made.get("elsewhere", 0) == 0
    again = pq.read_table(place / external_file("near"))
    assert again.equals(pq.read_table(entry.folder / external_file("near")))


@pytest.mark.slow
def test_a_sweep_makes_the_records_of_the_run_and_predicts_in_its_items(finished: Finished, tmp_path: Path) -> None:
    from benchmarks.sweep.__main__ import main as sweep

    file = tmp_path / "cells.yaml"
    file.write_text("sweep:\n  - product:\n      ratio: [0.5]\n")
    flags = words(tmp_path, finished.own, *finished.asked)
    place = flags.index("--ratio")
    flags = flags[:place] + flags[place + 2 :]
    assert sweep(["--config", str(file), *flags, "--out", str(tmp_path / "out"), "--jobs", "1"]) == 0
    made = {r["run_id"]: r for r in Records(tmp_path / "runs")}
    for record in finished.records.values():
        assert made[record["run_id"]]["elsewhere"].keys() == record["elsewhere"].keys()
        for name, part in made[record["run_id"]]["elsewhere"].items():
            there = record["elsewhere"][name]["utility"]["auroc"]["value"]
            assert part["utility"]["auroc"]["value"] == pytest.approx(there, abs=0.02)


def test_trainings_that_take_turns_on_one_device_predict_afterwards(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.job.train_arms.takes_turns", lambda *_: True)  # as on a GPU
    outcome = run(tmp_path, finished.own, *finished.asked)
    assert (outcome.made["classify"], outcome.made["elsewhere"]) == (4, 8)
    for record in outcome.records:
        assert record["elsewhere"].keys() == {"near", "far"}


@pytest.mark.parametrize(
    ("path", "told"),
    [
        (("utility", "auroc", "value"), "elsewhere.near.utility.auroc.value"),
        (("apart", "difference"), "elsewhere.near.apart.difference"),
        (("comparisons", "none", "low"), "elsewhere.near.comparisons.none.low"),
        (("comparisons", "none", "apart", "high"), "elsewhere.near.comparisons.none.apart.high"),
    ],
)
def test_a_changed_number_is_found(finished: Finished, path: tuple[str, ...], told: str) -> None:
    entry, records = finished.entry("noise add 0.5"), Records(finished.home / "runs")
    assert recheck(entry, records.beside(entry)).contradicted == ()
    record = json.loads(json.dumps(entry.record))
    part = record["elsewhere"]["near"]
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] += 0.001
    lines = recheck(Entry(record, entry.folder), records.beside(entry)).contradicted
    assert len(lines) == 1 and told in lines[0], lines


def test_predictions_that_are_not_there_are_said_and_others_still_checked(
    finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(finished.home / "runs", tmp_path / "runs")
    entry = finished.entry("noise add 0.5")
    place = tmp_path / "runs" / entry.folder.name
    (place / external_file("far")).unlink()
    assert show([entry.run_id[:12], "--results", str(tmp_path / "runs")]) == 0
    text = capsys.readouterr().out
    assert "not checked against the predictions: other test sets: predictions-far.parquet is missing" in text
    assert "VERDICT" in text
    (place / external_file("far")).write_bytes((place / external_file("near")).read_bytes())
    (place / SEAL).unlink()
    write_seal(place, "record.json")
    found = recheck(Entry(entry.record, place), {})
    assert "predictions-far.parquet" in (found.unchecked or "") + " ".join(found.contradicted)


def test_what_is_left_out_and_shared_is_warned_of_before_anything_is_trained(
    finished: Finished, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        run(finished.home, finished.own, *finished.asked)
    assert "test set far: 20 films of classes that are mapped to none are left out" in caplog.text
    assert "pixel for pixel: the two test sets are not independent" in caplog.text
    assert "train or val, pixel for pixel" in caplog.text


def test_a_plan_counts_the_predictions(finished: Finished) -> None:
    outcome = run(finished.home, finished.own, *finished.asked, "--dry-run")
    rows = {(row.arm, row.stage): (row.have, row.todo) for row in outcome.plan}
    assert rows["none", "elsewhere"] == (4, 0)  # two sets, two seeds


def test_a_test_set_that_is_not_prepared_is_not_decoded_by_a_dry_run(finished: Finished, tmp_path: Path) -> None:
    more = films(tmp_path / "more", classes=OURS, n=10, seed=9)
    before = sorted((finished.home / "home" / "artifacts" / "data").iterdir())
    outcome = run(finished.home, finished.own, "--test-on", f"more=folder:{more}", "--dry-run")
    assert not outcome.data_ready
    assert sorted((finished.home / "home" / "artifacts" / "data").iterdir()) == before


@pytest.mark.slow
def test_workers_predict_what_this_process_would(finished: Finished, tmp_path: Path) -> None:
    outcome = run(tmp_path, finished.own, *finished.asked, "--workers", "2")
    assert outcome.made["elsewhere"] == 2 * 2 * 2 and outcome.made["classify"] == 4
    for record in outcome.records:
        was = finished.records[record["name"]]
        for name, part in record["elsewhere"].items():
            there = part["utility"]["auroc"]["value"]
            assert there == pytest.approx(was["elsewhere"][name]["utility"]["auroc"]["value"], abs=0.02)


def test_every_split_of_the_other_dataset_is_there_to_test_on(finished: Finished) -> None:
    told = finished.records["none"]["spec"]["test_on"][0]
    assert (told["name"], told["classes"]) == ("near", {"SICK": "sick", "Well": "well"})
    assert finished.records["none"]["elsewhere"]["near"]["utility"]["auroc"]["n"] == 40  # of 32 + 4 + 4
    assert "path" not in told["data"] and told["data"]["size"] == 16
    assert len(told["fingerprint"]) == 64
