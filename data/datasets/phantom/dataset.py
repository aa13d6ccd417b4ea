"""The dataset `phantom`: its options, its splits, and its reserve of further films."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from data.base import BaseDataset
from data.images import ImageSet, Split
from synthworth.errors import UserError

SIZES = (32, 256)
DIFFICULTIES = (0.0, 2.0)
MAX_FILMS = 1_000_000  # of a split: all of it is held in memory


@dataclass(frozen=True)
class PhantomConfig:
    """Chest films rendered from an anatomical model."""

    size: int = 32
    """Height and width of the films in pixels, 32 to 256. The same film at another size shows the same anatomy."""
    task: Literal["single", "multi"] = "single"
    """single: one class a film, no_finding among them. multi: five findings that co-occur, none = all zeros."""
    n_train: int = 1000
    """Films to train on. A larger number adds films to those of a smaller one."""
    n_val: int = 500
    """Films for model selection and thresholds."""
    n_test: int = 1500
    """Films for the one final reading."""
    difficulty: float = 1.0
    """0 = strong findings, alike bodies, little noise; 1 = like a hospital's; 2 = hardly visible."""
    seed: int = 0
    """Another seed gives another hospital: no patient in common."""

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn.

        Raises
        ------
        UserError
            When a field is out of its range.
        """
        low, high = SIZES
        if not low <= self.size <= high:
            raise UserError(f"phantom films of {self.size} px were asked for; sizes run from {low} to {high} px")
        if self.task not in ("single", "multi"):
            raise UserError(f"phantom has no task {self.task!r}; choose 'single' or 'multi'")
        for name in ("n_train", "n_val", "n_test"):
            if getattr(self, name) < 1:
                raise UserError(f"phantom {name} is {getattr(self, name)}; ask for at least one film")
            if getattr(self, name) > MAX_FILMS:
                raise UserError(f"phantom {name} is {getattr(self, name)}; {MAX_FILMS:,} films are the most it draws")
        low, high = DIFFICULTIES
        if not math.isfinite(self.difficulty) or not low <= self.difficulty <= high:
            raise UserError(f"phantom difficulty is {self.difficulty}; it runs from {low} to {high}")


class Phantom(BaseDataset):
    """Rendered chest films, one channel, uint8, with sex, age, age_band and view of every film.

    Patients have one to five films and are in one split only; the `reserve` has no end.
    """

    Config: ClassVar[type] = PhantomConfig
    version: ClassVar[int] = 1
    licence: ClassVar[str] = "Apache-2.0 (rendered by this software; no patient was imaged)"
    citation: ClassVar[str] = "SynthWorth phantom, version 1"
    channels: ClassVar[int] = 1

    config: PhantomConfig

    @property
    def classes(self) -> tuple[str, ...]:
        """no_finding and the five findings, or the five findings alone where they co-occur."""
        from data.datasets.phantom.patients import CLASSES, FINDINGS

        return FINDINGS if self.multilabel else CLASSES

    @property
    def size(self) -> int:
        """Height and width in pixels."""
        return self.config.size

    @property
    def multilabel(self) -> bool:
        """Whether findings co-occur."""
        return self.config.task == "multi"

    def foretold(self) -> tuple[int, int]:
        """Films are grey and square."""
        return 1, self.config.size

    def build(self) -> Mapping[Split, ImageSet]:
        """Draw train, val and test."""
        c = self.config
        return {
            split: self.draw(split, n)
            for split, n in ((Split.train, c.n_train), (Split.val, c.n_val), (Split.test, c.n_test))
        }

    def further(self, n: int) -> ImageSet:
        """The first n films of the reserve, whose patients are in no other split.

        Raises
        ------
        UserError
            When n is below 1.
        """
        if n < 1:
            raise UserError(f"{n} further films were asked for; ask for at least one")
        return self.draw(Split.reserve, n)

    def draw(self, split: Split, n: int) -> ImageSet:
        """The first n films of a split's endless stream of patients."""
        import numpy as np
        import torch

        from data.datasets.phantom.patients import draw_films
        from data.datasets.phantom.render import render

        c = self.config
        films = draw_films(n, seed=c.seed, stream=split.value, task=c.task, difficulty=c.difficulty)
        return ImageSet(
            images=torch.from_numpy(render(films, c.size)),
            labels=torch.from_numpy(films.labels),
            ids=films.ids,
            groups=films.groups,
            split=split,
            classes=self.classes,
            attributes={name: np.asarray(value) for name, value in films.attributes.items()},
        )
