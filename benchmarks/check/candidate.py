"""A generator under examination: the tiny images it learns from, its work folders, its fitted model."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.check.result import Examination
from data.images import ImageSet, Split
from synthworth.work import Budget, FitReport, Work, ignore_scalars

if TYPE_CHECKING:
    from torch import Tensor

N_IMAGES, N_CLASSES, N_STEPS = 48, 3, 8


class Interrupted(Exception):
    """Stands for a kill in the middle of a fit."""


def make_images(
    *, multilabel: bool, channels: int, size: int, split: Split = Split.train, seed: int = 0, n: int = N_IMAGES
) -> ImageSet:
    """A tiny set whose classes differ in where a bright blob lies; every class and label vector occurs."""
    import torch

    rng = np.random.default_rng(seed)
    codes = np.arange(n) % (2**N_CLASSES if multilabel else N_CLASSES)
    labels = ((codes[:, None] >> np.arange(N_CLASSES)) & 1).astype(np.uint8) if multilabel else codes.astype(np.int64)
    present = labels if multilabel else np.eye(N_CLASSES, dtype=np.uint8)[codes]
    y, x = np.mgrid[0:size, 0:size] / size
    blobs = np.stack([np.exp(-((x - cx) ** 2 + (y - 0.5) ** 2) / 0.02) for cx in (0.2, 0.5, 0.8)])
    grey = 60 + 120 * np.einsum("nk,khw->nhw", present, blobs)
    pixels = grey[:, None] + rng.normal(0, 15, (n, channels, size, size))
    return ImageSet(
        images=torch.from_numpy(pixels.clip(0, 255).astype(np.uint8)),
        labels=torch.from_numpy(labels),
        ids=tuple(f"{split.value}-{seed}-{i}" for i in range(n)),
        groups=tuple(f"{split.value}-{seed}-{i // 2}" for i in range(n)),
        split=split,
        classes=("left", "middle", "right"),
    )


def interrupted_after(n: int, logged: list[int]) -> Callable[..., None]:
    """A log that notes its steps in `logged` and raises Interrupted at its n-th call."""

    def log(step: int, **_: float) -> None:
        logged.append(step)
        if len(logged) == n:
            raise Interrupted

    return log


class GeneratorExam(Examination):
    """One generator class under test: its images, its work folders, its fitted model, made when first needed."""

    def __init__(self, plugin: type, *, config: Any, multilabel: bool, channels: int, size: int) -> None:
        super().__init__(plugin, config=config)
        self.look = {"multilabel": multilabel, "channels": channels, "size": size}
        self.draws = getattr(plugin, "draws", True)

    @cached_property
    def train(self) -> ImageSet:
        """What it learns from: the train split, or a donor's films where it declares `from_donor`."""
        split = Split.donor if getattr(self.plugin, "from_donor", False) else Split.train
        return make_images(**self.look, split=split)  # type: ignore[arg-type]

    @cached_property
    def labels(self) -> Tensor:
        """What it is asked for: seven labels, every class among them."""
        return self.train.labels[:7]

    def work(self, name: str, *, log: Callable[..., None] | None = None) -> Work:
        """A small budget in a folder called `name`, a checkpoint at every step."""
        reserve = None
        if getattr(self.plugin, "needs_reserve", False):
            reserve = make_images(**self.look, split=Split.reserve, seed=1)  # type: ignore[arg-type]
        return Work(
            self.below(name), budget=Budget(N_STEPS), log=log or ignore_scalars, checkpoint_seconds=0.0,
            reserve=reserve, fitted=self.other if getattr(self.plugin, "needs_generator", False) else None,
        )  # fmt: skip

    @cached_property
    def other(self) -> Path:
        """The fitted generator that a control is given, which declares `needs_generator`."""
        from generators.registry import generators

        cls = generators.get(self.plugin.Config().generator)
        model, out = cls(cls.tiny_config()), self.below("other")
        model.fit(self.train, seed=1, work=Work(self.below("other-work"), budget=Budget(N_STEPS)))
        model.save(out)
        return out

    @cached_property
    def fitted(self) -> tuple[Any, FitReport, int]:
        """A fitted model, its report, and how many times it logged."""
        model, rows = self.new(), []
        report = model.fit(self.train, seed=1, work=self.work("whole", log=lambda step, **_: rows.append(step)))
        return model, report, len(rows)

    def drawn(self, labels: Tensor | None = None, *, seed: int = 5) -> Tensor:
        """Images of the fitted model."""
        images: Tensor = self.fitted[0].sample(self.labels if labels is None else labels, seed=seed)
        return images
