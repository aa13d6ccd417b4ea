"""An experiment reads, hashes and gathers once: images, mixtures, predictions, and the verdict over trainings."""

from __future__ import annotations

import pickle
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import benchmarks.stages.arm as arm_module
import data.images as images_module
from benchmarks.job.carry_out import Outcome, carry_out
from benchmarks.records.predictions import PREDICTIONS
from benchmarks.records.store import Records
from benchmarks.request.options import parse
from benchmarks.stages.experiment import Experiment
from benchmarks.verdicts.over_trainings import entries_of, pooled_sentences
from data.base import BaseDataset

SMALL = ("--preset", "smoke", "--device", "cpu", "--workers", "1", "--dataset", "phantom", "--generator", "vae",
         "--ratio", "0.5", "--seeds", "3", "--controls", "none", "duplicate")  # fmt: skip


class Counted:
    """How often things were done during a run."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.hashed: Counter[str] = Counter()
        self.read: Counter[str] = Counter()
        self.gathered: Counter[str] = Counter()
        hash_all, load, mix = images_module.fingerprint_of, BaseDataset.load, arm_module.mix

        def fingerprint_of(*args: Any, split: Any, **named: Any) -> str:
            self.hashed[split.value] += 1
            return hash_all(*args, split=split, **named)

        def counted_load(dataset: Any, root: Path, split: Any) -> Any:
            self.read[split.value] += 1
            return load(dataset, root, split)

        def counted_mix(train: Any, pool: Any, **named: Any) -> Any:
            self.gathered["real" if pool is None else pool.fit_key] += 1
            return mix(train, pool, **named)

        patch.setattr(images_module, "fingerprint_of", fingerprint_of)
        patch.setattr(BaseDataset, "load", counted_load)
        patch.setattr(arm_module, "mix", counted_mix)


def run(home: Path, *more: str) -> tuple[Outcome, Any]:
    words = [*SMALL, "--home", str(home / "home"), "--results", str(home / "runs"), *more]
    request = parse(words, prog="python -m benchmarks.run")
    return carry_out(request), request.options


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counted]:
    """A run of three arms and three extractors in this process, after the data were prepared."""
    home = tmp_path_factory.mktemp("experiment")
    run(home, "--controls", "none", "--extractors", "--generator", "noise", "--seeds", "1", "--seed", "9")
    with pytest.MonkeyPatch.context() as patch:
        found = Counted(patch)
        run(home, "--extractors", "inception", "efficientnet_lite0", "vgg16_random")
        yield found


def test_a_split_is_hashed_at_most_once_in_a_process(counted: Counted) -> None:
    assert counted.hashed["train"] == 1
    assert max(counted.hashed.values()) == 1


def test_a_split_is_read_at_most_once(counted: Counted) -> None:
    assert set(counted.read) >= {"train", "val", "test"}
    assert max(counted.read.values()) == 1


def test_a_mixture_is_gathered_once_and_handed_to_every_seed(counted: Counted) -> None:
    assert len(counted.gathered) == 3
    assert set(counted.gathered.values()) == {1}


def test_an_experiment_crosses_to_a_worker_without_its_images_and_is_opened_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Experiment] = []

    class Kept(Experiment):
        def __init__(self, *parts: Any) -> None:
            super().__init__(*parts)
            made.append(self)

    monkeypatch.setattr("benchmarks.job.opened.Experiment", Kept)
    run(tmp_path, "--extractors", "--generator", "noise", "--seeds", "1")
    sent = pickle.dumps(made[0])
    assert len(made[0].images.train.images.numpy().tobytes()) > 10 * len(sent)
    first, second = pickle.loads(sent), pickle.loads(sent)
    assert first is second
    assert first.images.train.fingerprint() == made[0].images.train.fingerprint()
    arm = first.arm(made[0].spec)
    assert first.arm(made[0].spec) is arm


def test_the_verdict_over_trainings_needs_no_predictions_of_arms_that_were_judged_just_now(tmp_path: Path) -> None:
    outcome, options = run(tmp_path, "--generator-seed", "0", "1", "--extractors", "--seeds", "2", "--controls", "none")
    entries = entries_of(Records(options.results), outcome.records)
    from_disk = pooled_sentences(entries)
    for entry in entries:
        (entry.folder / PREDICTIONS).unlink()
    assert pooled_sentences(entries, outcome.aurocs) == from_disk
    assert "is missing" in pooled_sentences(entries)[0]
