"""Nothing leaks: a generator that learned from other images is refused, and synthetic images judge nothing."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from classifiers.config import Config
from classifiers.factory import TimmClassifier
from data.images import ImageSet, Split
from data.mixing import SyntheticSet, mix
from synthworth.errors import UserError
from synthworth.files import MANIFEST
from synthworth.manifest import write_manifest
from synthworth.work import Budget, Work

Run = Callable[..., subprocess.CompletedProcess[str]]
Images = Callable[..., ImageSet]
TINY = ("-m", "benchmarks.run", "--preset", "smoke", "--seeds", "1", "--extractors", "--controls", "none",
        "--generator", "noise", "--workers", "1")  # fmt: skip


def test_a_stored_generator_of_another_split_is_refused_and_nothing_is_written(run_here: Run, tmp_path: Path) -> None:
    first = run_here(*TINY, "--ratio", "0.1")
    assert first.returncode == 0, first.stderr
    reports = [f for f in tmp_path.glob("home/artifacts/fit/*/fit.json") if "train_fingerprint" in f.read_text()]
    for file in reports:
        file.write_text(json.dumps({**json.loads(file.read_text()), "train_fingerprint": "0" * 64}))
        said = json.loads((file.parent / MANIFEST).read_text())
        write_manifest(file.parent, {k: v for k, v in said.items() if k not in ("files", "sha256")})
    before = sorted(tmp_path.glob("results/runs/*"))
    second = run_here(*TINY, "--ratio", "0.2")
    assert second.returncode == 2
    assert "noise was fitted on another train split (000000000000) than this run's" in second.stderr
    assert "Delete " in second.stderr
    assert sorted(tmp_path.glob("results/runs/*")) == before


def drawn(train: ImageSet) -> SyntheticSet:
    return SyntheticSet(train.images[:4], train.labels[:4], train.classes, "a fit", train.fingerprint())


@pytest.mark.usefixtures("one_thread")
def test_synthetic_images_cannot_choose_a_checkpoint(make_images: Images, tmp_path: Path) -> None:
    train = make_images()
    mixed = mix(train, None, keep_real=len(train), seed=0)
    model = TimmClassifier(Config(batch_size=4, n_evaluations=1, augment="none"))
    with pytest.raises(UserError, match="SyntheticSet"):
        model.fit(mixed, drawn(train), seed=0, work=Work(tmp_path, budget=Budget(1)))  # type: ignore[arg-type]


def test_synthetic_images_cannot_be_put_among_real_ones(make_images: Images) -> None:
    from data.splits.low_data import join_train

    train = make_images()
    with pytest.raises(UserError, match="SyntheticSet"):
        join_train(train, drawn(train))  # type: ignore[arg-type]


@pytest.mark.parametrize("split", [Split.val, Split.test, Split.reserve])
def test_no_generator_learns_from_what_judges(split: Split, make_images: Images, tmp_path: Path) -> None:
    from generators.registry import generators

    held = make_images(split=split)
    for name in generators.names():
        cls = generators.get(name)
        work = Work(tmp_path, budget=Budget(1), reserve=make_images(split=Split.reserve))
        with pytest.raises(UserError, match="train split"):
            cls(cls.Config()).fit(held, seed=0, work=work)
