"""A numpy array in the place of a tensor: said in a line that says what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.run import main
from classifiers.factory import TimmClassifier
from data.images import ImageSet, Split
from synthworth.commands import WRONG, guarded
from synthworth.images import check_batch

PIXELS, LABELS = np.zeros((2, 1, 8, 8), np.uint8), np.zeros(2, np.int64)
PLUGIN = '''
from dataclasses import dataclass

import numpy as np

from synthworth.api import BaseGenerator, FitReport, register


@dataclass(frozen=True)
class Nothing:
    pass


@register.generator("arrays")
class Arrays(BaseGenerator):
    """Draws arrays."""

    Config = Nothing
    trains = False

    def fit(self, train, *, seed, work):
        return FitReport(steps=0, images_seen=0, seconds=0.0)

    def sample(self, labels, *, seed):
        return np.zeros((len(labels), 1, 32, 32), np.uint8)

    def save(self, folder):
        (folder / "model.json").write_text("{}")

    @classmethod
    def load(cls, folder, *, device):
        return cls()
'''


def test_images_that_are_an_array_are_said() -> None:
    with pytest.raises(TypeError, match=r"must be a uint8 tensor, not ndarray: torch\.from_numpy makes one of it"):
        check_batch(PIXELS)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match=r"must be a uint8 tensor, not list$"):
        check_batch([1, 2])  # type: ignore[arg-type]


def test_labels_that_are_an_array_are_said() -> None:
    names, both = ("a", "b"), (torch.from_numpy(PIXELS), LABELS)
    with pytest.raises(TypeError, match=r"labels must be a tensor, not ndarray: torch\.from_numpy makes one of it"):
        ImageSet(*both, names, names, Split.train, ("one",))  # type: ignore[arg-type]


def test_a_classifier_that_is_shown_an_array_says_so() -> None:
    model = TimmClassifier()
    model._model, model._eye = torch.nn.Identity(), object()  # type: ignore[assignment]
    with pytest.raises(TypeError, match=r"not ndarray: torch\.from_numpy"):
        model.predict(PIXELS)  # type: ignore[arg-type]


def test_a_generator_that_draws_arrays_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SYNTHWORTH_HOME", str(tmp_path / "home"))
    (tmp_path / "arrays.py").write_text(PLUGIN)
    code = guarded(main, [
        "--preset", "smoke", "--plugin", str(tmp_path / "arrays.py"), "--generator", "arrays", "--controls", "none",
        "--seeds", "1", "--extractors", "--results", str(tmp_path / "results"),
    ])  # fmt: skip
    said = capsys.readouterr().err.strip().splitlines()[-1]
    assert code == WRONG
    assert said == "error: arrays drew a ndarray; the contract asks for a tensor: torch.from_numpy makes one of it"
