"""A generator in a package of its own: listed, checked, run and ranked without touching this project."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import warm

MODULE = '''"""A generator that draws the mean image of the class with a little noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from generators.base import BaseGenerator
from synthworth.artifacts import read_array, write_array
from synthworth.work import FitReport


@dataclass(frozen=True)
class Config:
    """Options of mean_film."""

    spread: float = 8.0
    """Standard deviation of the noise, in grey levels."""


class MeanFilm(BaseGenerator):
    """Mean image of the class, with a little noise."""

    Config = Config
    tasks = ("single",)

    def fit(self, train, *, seed, work):
        self.require(train)
        pixels, labels = train.images.numpy().astype(np.float32), train.labels.numpy()
        self.means = np.stack([pixels[labels == k].mean(0) for k in range(train.n_classes)])
        return FitReport(steps=1, images_seen=len(train), seconds=0.0)

    def sample(self, labels, *, seed):
        import torch

        noise = np.random.default_rng(seed).normal(0, self.config.spread, (len(labels), *self.means.shape[1:]))
        return torch.from_numpy((self.means[labels.numpy()] + noise).clip(0, 255).astype(np.uint8))

    def save(self, folder):
        write_array(folder / "means.npy", self.means)
        write_array(folder / "spread.npy", np.array([self.config.spread]))

    @classmethod
    def load(cls, folder, *, device):
        model = cls(Config(spread=float(read_array(folder / "spread.npy")[0])))
        model.means = read_array(folder / "means.npy")
        return model
'''


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package installed below `site` as an installer lays it out."""
    folder = tmp_path_factory.mktemp("plugin")
    package, info = folder / "site/film_lab", folder / "site/film_lab-1.2.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (package / "__init__.py").write_text('"""A laboratory of films."""\n')
    (package / "mean_film.py").write_text(MODULE)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: film-lab\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[synthworth.generators]\nmean_film = film_lab.mean_film:MeanFilm\n")
    return folder


def call(place: Path, module: str, *args: str) -> str:
    """Run `python -m module` where the package is installed; its standard output."""
    own = {"PYTHONPATH": str(place / "site"), "SYNTHWORTH_HOME": str(place / "home")}
    done = warm.run(["-m", module, *args], folder=place, environment={**os.environ, **own}, seconds=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_listed_with_its_package(place: Path) -> None:
    listed = call(place, "benchmarks.list", "generators")
    assert re.search(r"mean_film +Mean image of the class, with a little noise\.  \(package film-lab\)", listed)


def test_it_passes_the_contract_test(place: Path) -> None:
    call(place, "benchmarks.check", "mean_film")


def test_it_is_run_with_its_own_options_and_ranked(place: Path) -> None:
    options = ["--preset", "smoke", "--extractors", "--seeds", "1", "--generator", "mean_film", "--gen.spread", "4"]
    assert "mean_film add 0.5" in call(place, "benchmarks.run", *options)
    call(place, "leaderboard.build", "--results", "results/runs", "--out", "board")
    board = (place / "board/leaderboard.md").read_text()
    assert "mean_film" in board
    assert "duplicate" in board
