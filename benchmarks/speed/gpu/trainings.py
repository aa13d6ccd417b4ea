"""Classifiers on a GPU: plain steps, recorded ones, compiled ones, and several trainings side by side."""

from __future__ import annotations

import hashlib
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.speed.row import SEED, Row

if TYPE_CHECKING:
    from classifiers.factory import TimmClassifier
    from data.images import ImageSet
    from data.mixing import TrainingMix

SIDE, BATCH, N_TRAIN, N_VAL = 64, 64, 4000, 200
CLASSES = ("a", "b")


@lru_cache
def grain(side: int = SIDE, n_train: int = N_TRAIN) -> tuple[TrainingMix, ImageSet]:
    """Grain without a meaning as a mixture and as val: what is in an image takes no time."""
    import torch

    from data.images import ImageSet, Split
    from data.mixing import TrainingMix

    source = torch.Generator().manual_seed(SEED)

    def draw(n: int) -> tuple[Any, Any]:
        pixels = torch.randint(0, 256, (n, 1, side, side), dtype=torch.uint8, generator=source)
        return pixels, torch.randint(0, len(CLASSES), (n,), generator=source)

    counts = {"real": {"a": n_train, "b": 0}, "synthetic": {"a": 0, "b": 0}}
    train, val = draw(n_train), draw(N_VAL)
    names = tuple(map(str, range(N_VAL)))
    mixture = TrainingMix(*train, np.ones(n_train, bool), CLASSES, counts)
    return mixture, ImageSet(*val, names, names, Split.val, CLASSES)


@dataclass(frozen=True)
class Measured:
    """Some trainings side by side.

    Parameters
    ----------
    steps : optimiser steps a second, of all of them together.
    prepared : seconds until all were ready for their first step: networks made, steps compiled and recorded.
    predictions : of each, on val, as a digest: the same bits give the same.
    """

    steps: float
    prepared: float
    predictions: tuple[str, ...]


def train(
    arch: str, n_steps: int, *, device: str, together: int = 1, compile: bool = False, capture: bool = True,
    side: int = SIDE, n_train: int = N_TRAIN, precision: str = "bf16", **options: Any,
) -> Measured:  # fmt: skip
    """Train classifiers of seeds 0, 1, ... side by side for so many steps each, and time the steps.

    Parameters
    ----------
    compile, capture : as `Work` has them.
    options : further ones of the classifier's Config.
    """
    from classifiers.config import Config
    from classifiers.factory import TimmClassifier
    from synthworth.devices import repeatable, wait_for
    from synthworth.errors import Diverged
    from synthworth.training.loop import run_together
    from synthworth.work import Budget, Work

    mixture, val = grain(side, n_train)
    config = Config(**{"arch": arch, "batch_size": BATCH, "n_evaluations": 1, **options})
    with ExitStack() as stack:
        stack.enter_context(repeatable(device=device))
        began = time.perf_counter()
        started: list[tuple[TimmClassifier, Any]] = []
        for seed in range(together):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="speed-")))
            work = Work(
                folder, device=device, precision=precision, budget=Budget(n_steps), checkpoint_seconds=1e9,
                compile=compile, capture=capture,
            )  # fmt: skip
            model = TimmClassifier(config)
            training = model.start(mixture, val, seed=seed, work=work)
            training.prepare()
            started.append((model, training))
        wait_for(device)
        prepared = time.perf_counter() - began
        began = time.perf_counter()
        ends = run_together([training.phase for _, training in started], what=f"{together} {arch}")
        wait_for(device)
        seconds = time.perf_counter() - began
        found = []
        for (model, training), end in zip(started, ends, strict=True):
            if isinstance(end, Diverged):
                raise end
            model.end(training, end)
            found.append(hashlib.sha256(model.predict(val.images).tobytes()).hexdigest()[:16])
    return Measured(together * n_steps / seconds, prepared, tuple(found))


def gflop_of(arch: str, side: int = SIDE) -> float:
    """GFLOP an image, forward and backward."""
    from classifiers.config import Config
    from classifiers.factory import TimmClassifier

    told = TimmClassifier(Config(arch=arch)).operations(
        channels=1, size=side, n_classes=len(CLASSES), multilabel=False, n_steps=1
    )
    return told.phases[0].flops / 1e9


def training_rows(
    arch: str, *, device: str, plain_steps: int, n_steps: int, peak: float, many: Sequence[int] = (1, 6),
    compile: bool = True, side: int = SIDE,
) -> list[Row]:  # fmt: skip
    """One training and several side by side against plain steps, the way they were taken before.

    Parameters
    ----------
    plain_steps, n_steps : of the plain training, and of every other.
    peak : floating-point operations a second of matrix products in bf16.
    many : how many side by side; of 1, also without compiling.
    """
    gflop = gflop_of(arch, side)
    plain = train(arch, plain_steps, device=device, capture=False, side=side)
    rows = []
    for together, compiled in [(1, False)] * (1 in many) + [(n, True) for n in many] * compile:
        found = train(arch, n_steps, device=device, together=together, compile=compiled, side=side)
        images = found.steps * BATCH
        share = images * gflop * 1e9 / peak
        note = (
            f"{found.steps:.1f} against {plain.steps:.1f} steps/s; {images:,.0f} images/s, {share:.1%} of the peak; "
            f"ready after {found.prepared:.1f} s"
        )
        facts = {
            "steps_per_second": found.steps, "peer_steps_per_second": plain.steps, "images_per_second": images,
            "gflop_per_image": gflop, "tflops": images * gflop / 1e3, "share_of_peak": share,
            "prepared_seconds": found.prepared, "predictions": list(found.predictions), "together": together,
            "compiled": compiled,
        }  # fmt: skip
        rows.append(
            Row(
                f"{arch}, {side} px, batch {BATCH}, bf16, {together} at a time",
                "compiled, recorded" if compiled else "recorded", "plain steps, 1 at a time",
                1 / found.steps, 1 / plain.steps, note, unit="s a step", facts=facts,
            )
        )  # fmt: skip
    return rows
