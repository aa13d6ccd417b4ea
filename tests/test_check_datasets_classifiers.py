"""The contract tests of datasets and classifiers: what keeps it passes, each way of breaking it is caught."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.check.candidate import make_images
from benchmarks.check.kinds import check_plugin
from data.base import BaseDataset
from data.images import ImageSet, Split
from synthworth.artifacts import read_json, write_json
from synthworth.errors import UserError
from synthworth.work import FitReport

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def failures(plugin: Any, **options: Any) -> dict[str, str]:
    return {r.name: r.message for r in check_plugin(plugin, **options) if not r.passed}


# -- datasets -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Options:
    """Options of a toy."""

    n: int = 24
    """Images of a split."""


class Blobs(BaseDataset):
    """Bright blobs, three classes."""

    Config, licence, citation = Options, "CC0", "Nobody, 2026"

    def build(self) -> Mapping[Split, ImageSet]:
        look = {"multilabel": False, "channels": 1, "size": 16, "n": self.config.n}
        return {s: make_images(**look, split=s, seed=k) for k, s in enumerate((Split.train, Split.val, Split.test))}

    def further(self, n: int) -> ImageSet | None:
        return make_images(multilabel=False, channels=1, size=16, split=Split.reserve, seed=9, n=n)


class NoLicence(Blobs):
    licence = ""


class OtherEachTime(Blobs):
    calls = 0

    def build(self) -> Mapping[Split, ImageSet]:
        sets = dict(super().build())
        OtherEachTime.calls += 1
        return sets | {Split.val: replace(sets[Split.val], images=sets[Split.val].images + OtherEachTime.calls)}


class SharesPatients(Blobs):
    def prepare(self, root: Path, *, scratch: Path | None = None) -> None:
        from data.prepared import is_prepared, write_splits

        sets = dict(self.build())
        sets[Split.test] = replace(sets[Split.test], groups=sets[Split.train].groups)
        if not is_prepared(root):
            write_splits(root, sets)


class LacksAClass(Blobs):
    def build(self) -> Mapping[Split, ImageSet]:
        sets = dict(super().build())
        few = sets[Split.train].subset(np.flatnonzero(sets[Split.train].labels.numpy() < 2))
        return sets | {Split.train: few}


class FurtherOfTrain(Blobs):
    def further(self, n: int) -> ImageSet | None:
        train = self.build()[Split.train]
        return train.subset(np.arange(n), split=Split.reserve)


class PreparesAgain(Blobs):
    def prepare(self, root: Path, *, scratch: Path | None = None) -> None:
        super().prepare(root)
        write_json(root / "again.json", 1)


@pytest.mark.parametrize(
    ("broken", "check", "says"),
    [
        (NoLicence, "origin", "licence is ''"),
        (OtherEachTime, "repeat", "val split has other content"),
        (SharesPatients, "patients", "is in both train and test"),
        (LacksAClass, "classes", "no training image shows right"),
        (FurtherOfTrain, "further", "is in both train and reserve"),
        (PreparesAgain, "prepare", "wrote into the folder again"),
    ],
)
def test_each_way_in_which_a_dataset_breaks_its_contract_is_caught(broken: type, check: str, says: str) -> None:
    found = failures(broken)
    assert says in found[check]


def test_a_dataset_that_keeps_its_contract_passes_every_check() -> None:
    assert failures(Blobs) == {}
    assert failures(Blobs, config=Options(n=12)) == {}


# -- classifiers --------------------------------------------------------------------------------------------------


class Guess:
    """Learns a seeded linear map of the mean of three columns; everything right."""

    Config, version = Options, 1

    def __init__(self, config: Any = None) -> None:
        self.config = config or Options()

    def fit(self, mix: Any, val: ImageSet, *, seed: int, work: Any) -> FitReport:
        if val.split is not Split.val:
            raise UserError("val only")
        self.multilabel = mix.multilabel
        self.weights = np.random.default_rng(seed).normal(size=(3, len(mix.classes))).round(3)
        rows = []
        for step in range(1, work.budget.steps + 1):
            rows.append({"step": float(step), "learning_rate": 0.1})
            work.log(step, loss=0.0)
        return FitReport(work.budget.steps, 8 * work.budget.steps, 0.0, history=tuple(rows))

    def predict(self, images: Any) -> np.ndarray:
        columns = images.float().mean((1, 2)).reshape(len(images), 3, -1).mean(2).numpy() / 255
        odds = np.exp(columns.astype(np.float64) @ self.weights)
        return (odds / (1 + odds) if self.multilabel else odds / odds.sum(1, keepdims=True)).astype(np.float32)

    def save(self, folder: Path) -> None:
        write_json(folder / "model.json", {"weights": self.weights.tolist(), "multilabel": self.multilabel})

    @classmethod
    def load(cls, folder: Path, *, device: str) -> Any:
        model, kept = cls(), read_json(folder / "model.json")
        model.weights, model.multilabel = np.array(kept["weights"]), kept["multilabel"]
        return model


class TakesAnyVal(Guess):
    def fit(self, mix: Any, val: ImageSet, *, seed: int, work: Any) -> FitReport:
        return super().fit(mix, replace(val, split=Split.val), seed=seed, work=work)


class StopsEarly(Guess):
    def fit(self, mix: Any, val: ImageSet, *, seed: int, work: Any) -> FitReport:
        return replace(super().fit(mix, val, seed=seed, work=work), steps=3)


class TellsNoRate(Guess):
    def fit(self, mix: Any, val: ImageSet, *, seed: int, work: Any) -> FitReport:
        return replace(super().fit(mix, val, seed=seed, work=work), history=({"step": 1.0, "loss": 0.0},))


class NoProbabilities(Guess):
    def predict(self, images: Any) -> np.ndarray:
        return 2 * super().predict(images)


class LooksAtTheBatch(Guess):
    def predict(self, images: Any) -> np.ndarray:
        return super().predict(images + int(len(images) > 9) * 20)


class OneSeed(Guess):
    def fit(self, mix: Any, val: ImageSet, *, seed: int, work: Any) -> FitReport:
        return super().fit(mix, val, seed=0, work=work)


class StirsTheWorld(Guess):
    def fit(self, mix: Any, val: ImageSet, *, seed: int, work: Any) -> FitReport:
        torch.manual_seed(seed)
        return super().fit(mix, val, seed=seed, work=work)


class ForgetsItsWeights(Guess):
    @classmethod
    def load(cls, folder: Path, *, device: str) -> Any:
        model = super().load(folder, device=device)
        model.weights = model.weights * 0
        return model


@pytest.mark.parametrize(
    ("broken", "check", "says"),
    [
        (TakesAnyVal, "val", "chose its checkpoint on the train split"),
        (StopsEarly, "fit", "3 steps of a budget of 8"),
        (TellsNoRate, "learning_rate", "lack learning_rate"),
        (NoProbabilities, "predict", "the probabilities of an image sum to 2"),
        (LooksAtTheBatch, "rows", "predictions of five images alone"),
        (OneSeed, "seed", "two seeds learned the same"),
        (StirsTheWorld, "seed", "fit changed the global random state of torch"),
        (ForgetsItsWeights, "saving", "a saved and loaded model predicts otherwise"),
    ],
)
def test_each_way_in_which_a_classifier_breaks_its_contract_is_caught(broken: type, check: str, says: str) -> None:
    found = {r.name: r.message for r in check_plugin(broken, multilabel=False, size=30) if not r.passed}
    assert says in found[check]


def test_a_classifier_that_keeps_its_contract_passes_every_check() -> None:
    assert failures(Guess, size=30) == {}
