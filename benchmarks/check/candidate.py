"""A generator under examination: the tiny images it learns from, its work folders, and global state watched."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.images import ImageSet, Split
from synthworth.work import Budget, FitReport, Work, ignore_scalars

if TYPE_CHECKING:
    from torch import Tensor

N_IMAGES, N_CLASSES, N_STEPS = 48, 3, 8


class Broken(Exception):
    """A generator does not keep the contract; the message says what was expected."""


class Interrupted(Exception):
    """Stands for a kill in the middle of a fit."""


def expect(truth: bool, message: str) -> None:
    """Raise Broken with `message` unless `truth`."""
    if not truth:
        raise Broken(message)


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


def global_states() -> tuple[Any, ...]:
    """Python's, numpy's and torch's global random states, in a form that compares."""
    import torch

    numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002 (the global state is the point)
    key = numpy_state["state"].pop("key").tobytes()
    return random.getstate(), (key, numpy_state), torch.get_rng_state().numpy().tobytes()


@contextmanager
def global_seeds(seed: int) -> Iterator[None]:
    """Seed all global generators inside the block; put them back after it."""
    import torch

    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread inside the block: tiny networks are quickest so, and rounding does not depend on the
    machine."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def untouched(what: str) -> Iterator[None]:
    """Raise Broken when the block changes a global random state."""
    before = global_states()
    yield
    changed = [
        name for name, old, new in zip(("random", "numpy", "torch"), before, global_states(), strict=True) if old != new
    ]
    expect(not changed, f"{what} changed the global random state of {' and '.join(changed)}; draw from one of your own")


class Examination:
    """One generator class under test: its images, its work folders, its fitted model, made when first needed."""

    def __init__(self, cls: type, *, multilabel: bool, channels: int, size: int, folder: Path) -> None:
        self.cls, self.folder = cls, folder
        self.look = {"multilabel": multilabel, "channels": channels, "size": size}
        self.train = make_images(**self.look)  # type: ignore[arg-type]
        self.draws = getattr(cls, "draws", True)
        self.labels = self.train.labels[:7]

    def new(self) -> Any:
        """An instance with the smallest Config the class offers."""
        tiny = getattr(self.cls, "tiny_config", None)
        return self.cls(tiny() if tiny else self.cls.Config())  # type: ignore[attr-defined]

    def work(self, name: str, *, log: Callable[..., None] | None = None) -> Work:
        """A small budget in a folder called `name`, a checkpoint at every step."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        reserve = None
        if getattr(self.cls, "needs_reserve", False):
            reserve = make_images(**self.look, split=Split.reserve, seed=1)  # type: ignore[arg-type]
        return Work(
            folder, budget=Budget(N_STEPS), log=log or ignore_scalars, checkpoint_seconds=0.0, reserve=reserve,
            fitted=self.other if getattr(self.cls, "needs_generator", False) else None,
        )  # fmt: skip

    @cached_property
    def other(self) -> Path:
        """The fitted generator that a control is given, which declares `needs_generator`."""
        from generators.registry import generators

        cls = generators.get(self.cls.Config().generator)  # type: ignore[attr-defined]
        model, scratch, out = cls(cls.tiny_config()), self.folder / "other-work", self.folder / "other"
        for folder in (scratch, out):
            folder.mkdir()
        model.fit(self.train, seed=1, work=Work(scratch, budget=Budget(N_STEPS)))
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
