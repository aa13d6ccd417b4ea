"""Where nobody says whose the images are, every audit, record and verdict says so, at each call."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from benchmarks.records.store import Records
from benchmarks.verdicts.over_trainings import entries_of, pooled_sentences
from benchmarks.verdicts.sentences import doubts
from benchmarks.verdicts.verdict import verdict
from data.audit.__main__ import main as audit_main
from data.audit.known_patients import KnownPatients
from data.audit.leaks import audit
from data.audit.report import audit_dataset
from data.films.table import WITHOUT_NUMBER
from data.images import ImageSet, Split
from data.prepare import main as prepare_main
from synthworth.commands import guarded

SENTENCE = "No patients are given: each image counts as a patient, and intervals may be too narrow."
WARNING = "patients are not known: each image counts as a patient of its own"
ROW = {"difference": 0.01, "low": -0.01, "high": 0.03, "p_interval": 0.3, "n_seeds": 6}


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    """Split folders of two classes; nothing says whose the films are."""
    root: Path = tmp_path_factory.mktemp("films")
    rng = np.random.default_rng(0)
    for split, n in (("train", 24), ("val", 16), ("test", 16)):
        for i in range(n):
            file = root / split / "ab"[i % 2] / f"{i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(rng.integers(0, 256, (16, 16), dtype=np.uint8)).save(file)
    return root


def without_patients(make_images: Callable[..., ImageSet]) -> dict[Split, ImageSet]:
    made = {}
    for split in (Split.train, Split.test):
        images = make_images(split=split)
        ids = tuple(f"{split.value}-{name}" for name in images.ids)
        made[split] = replace(images, ids=ids, groups=ids)
    return made


def test_an_audit_without_patients_counts_nothing_by_patient(make_images: Callable[..., ImageSet]) -> None:
    made = without_patients(make_images)
    report = audit(made)
    said = report.to_json()
    n = sum(map(len, made.values()))
    assert said["n_patients"] == {"train": None, "test": None}
    assert said["n_shared_patients"] is None
    assert said["patients_known"] == {"n_without": n, "n_images": n}
    assert said["warnings"][0].startswith(WARNING)
    twice = made[Split.train].images.clone()
    twice[1] = twice[0]
    whole = audit_dataset({**made, Split.train: replace(made[Split.train], images=twice)}, n_replicates=100)
    assert whole.filed_twice == ()
    assert whole.to_json()["n_duplicate_groups_of_several_patients"] is None


def test_an_audit_with_patients_says_nothing_of_it(make_images: Callable[..., ImageSet]) -> None:
    made = without_patients(make_images)
    for split, images in made.items():
        made[split] = replace(images, groups=tuple(f"p{split.value}{i // 2}" for i in range(len(images))))
    said = audit(made).to_json()
    assert said["n_shared_patients"] == 0
    assert said["patients_known"]["n_without"] == 0
    assert not any("patient" in line for line in said["warnings"])


def test_films_without_a_number_are_counted_by_the_datasets_note(make_images: Callable[..., ImageSet]) -> None:
    made = without_patients(make_images)
    for split, images in made.items():
        made[split] = replace(images, groups=tuple(f"pseudonym of {name}" for name in images.ids))
    n = sum(map(len, made.values()))
    assert audit(made).known == KnownPatients(0, n)
    assert audit(made, notes={WITHOUT_NUMBER: n}).known.unknown
    some = audit(made, notes={WITHOUT_NUMBER: 3}).known
    assert not some.unknown
    assert str(some.warning()).startswith(f"images without a patient: 3 of {n}")


def test_shared_patients_are_told_by_pair_of_splits(make_images: Callable[..., ImageSet]) -> None:
    made = without_patients(make_images)
    for split, images in made.items():
        made[split] = replace(images, groups=tuple(f"p{i // 2}" for i in range(len(images))))
    report = audit(made)
    n = len(made[Split.test]) // 2
    assert report.to_json()["shared_patients_by_pair"] == {"train and test": n}
    assert f"patients in more than one split: {n}: train and test {n} ('p0', 'p1', 'p2'" in report.warnings()[0]


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"n_without": 9, "n_images": 9}, [SENTENCE]),
        ({"n_without": 2, "n_images": 9},
         ["No patient is given for 2 of 9 images: each image counts as a patient, and intervals may be too narrow."]),
        ({"n_without": 0, "n_images": 9}, []),
        (None, []),
    ],
)  # fmt: skip
def test_a_verdict_doubts_what_stands_on_no_patients(known: dict[str, int] | None, said: list[str]) -> None:
    audited = {"patients_known": known} if known else {}
    assert list(doubts(ROW, audited)) == said
    assert verdict("vae add 1", {"none": ROW}, audited=audited).endswith(said[0] if said else "images alone")


def test_a_leaderboard_says_of_its_arms_that_patients_are_not_known(lab: Any) -> None:
    lab.run("none", 1.0)
    lab.run("vae", 2.0)
    lab.run("vae", 2.0, generator_seed=1, jitter=3)
    for file in lab.folder.glob("*/record.json"):
        record = json.loads(file.read_text())
        record["audit"]["patients_known"] = {"n_without": 9, "n_images": 9}
        record["audit"]["n_patients"] = dict.fromkeys(record["audit"]["n_patients"])
        lab.change(record)
    (table,) = lab.tables()
    assert "9 train images of patients not known" in " ".join(table.facts)
    assert [row.sentence.endswith(SENTENCE) for row in table.rows if row.label != "none"] == [True, True]
    kept = Records(lab.folder)
    (pooled,) = pooled_sentences(entries_of(kept, [record for record in kept if record["status"] == "ok"]))
    assert pooled.endswith(SENTENCE)


@pytest.mark.usefixtures("one_thread")
def test_the_audit_and_the_preparation_say_it_at_every_call(films: Path, tmp_path: Path, capsys) -> None:
    flags = ["--data.path", str(films), "--home", str(tmp_path)]
    for _ in range(2):
        assert guarded(prepare_main, flags) == 0
        said = capsys.readouterr().out
        assert said.count("not known") == 3
        assert "patients: no patient column: each image counts as a patient" in said
        assert guarded(audit_main, [*flags, "--replicates", "100"]) == 0
        printed = capsys.readouterr().out
        assert "FOUND  nothing" not in printed
        assert f"FOUND  {WARNING}" in printed
        row = next(line for line in printed.splitlines() if "patients in more than one split" in line)
        assert "not known" in row
    assert guarded(audit_main, [*flags, "--replicates", "100", "--json", "--figure", str(tmp_path / "a.png")]) == 0
    assert json.loads(capsys.readouterr().out)["n_shared_patients"] is None


def test_a_run_says_it_in_its_record_its_verdict_and_its_explanation(
    films: Path, run_here: Callable[..., Any], tmp_path: Path
) -> None:
    done = run_here("-m", "benchmarks.run", "--dataset", "folder", "--data.path", str(films), "--preset", "smoke",
                      "--seeds", "1", "--extractors", "--controls", "none", "--generator", "duplicate",
                      "--workers", "1")  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert SENTENCE in " ".join(done.stdout.split())
    assert WARNING in done.stderr
    records = [json.loads(file.read_text()) for file in tmp_path.glob("results/runs/*/record.json")]
    arm = next(record for record in records if record["name"].startswith("duplicate"))
    assert arm["audit"]["patients_known"] == {"n_without": 56, "n_images": 56}
    assert arm["verdict"].endswith(SENTENCE)
    told = run_here("-m", "benchmarks.show", arm["run_id"], "--explain").stdout
    assert SENTENCE in told
    assert f"  - {WARNING}" in told
