"""The public contract test of classifiers, check by check."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import Any

import numpy as np

from benchmarks.check.candidate import N_STEPS, Interrupted, interrupted_after, make_images
from benchmarks.check.config import check_config, check_kept_files, check_version
from benchmarks.check.result import Broken, Check, Examination, Proof, expect, global_seeds, proofs, untouched
from data.images import ImageSet, Split
from data.mixing import TrainingMix, mix
from synthworth.errors import UserError
from synthworth.work import Budget, FitReport, Work, ignore_scalars

ROUNDING = 1e-4
"""How far two probabilities may lie apart that only batch size tells apart."""


class ClassifierExam(Examination):
    """One classifier class under test: a tiny mixture and val split, and its fitted model, made when first needed."""

    def __init__(self, plugin: type, *, config: Any, multilabel: bool, channels: int, size: int) -> None:
        super().__init__(plugin, config=config)
        self.look = {"multilabel": multilabel, "channels": channels, "size": size}

    @cached_property
    def mixture(self) -> TrainingMix:
        """What it trains on."""
        train = make_images(**self.look)  # type: ignore[arg-type]
        return mix(train, None, keep_real=len(train), seed=0)

    def held_out(self, split: Split) -> ImageSet:
        """Images of another split, of other patients."""
        return make_images(**self.look, split=split, seed=2, n=24)  # type: ignore[arg-type]

    @cached_property
    def val(self) -> ImageSet:
        """What it chooses its checkpoint on, and predicts."""
        return self.held_out(Split.val)

    def fit(self, name: str, *, seed: int = 1, log: Callable[..., None] = ignore_scalars) -> tuple[Any, FitReport]:
        """A model fitted in the folder of that name, and its report."""
        model = self.new()
        work = Work(self.below(name), budget=Budget(N_STEPS), log=log, checkpoint_seconds=0.0)
        return model, model.fit(self.mixture, self.val, seed=seed, work=work)

    @cached_property
    def fitted(self) -> tuple[Any, FitReport]:
        """A fitted model and its report."""
        return self.fit("whole")

    def predict(self, model: Any) -> np.ndarray:
        """Probabilities of the val images."""
        found: np.ndarray = model.predict(self.val.images)
        return found


def check_val(exam: ClassifierExam) -> None:
    """fit chooses its checkpoint on the val split alone, and refuses every other with a UserError."""
    for split in (Split.train, Split.test, Split.reserve):
        try:
            work = Work(exam.below(f"refused-{split.value}"), budget=Budget(N_STEPS))
            exam.new().fit(exam.mixture, exam.held_out(split), seed=1, work=work)
        except UserError:
            continue
        raise Broken(f"fit chose its checkpoint on the {split.value} split")


def check_fit(exam: ClassifierExam) -> None:
    """fit takes exactly the budget's steps and reports them."""
    _, report = exam.fitted
    expect(isinstance(report, FitReport), f"fit returned {type(report).__name__} and no FitReport")
    expect(report.steps == N_STEPS, f"fit reports {report.steps} steps of a budget of {N_STEPS}")
    expect(report.images_seen > 0, f"fit reports {report.images_seen} images seen")


def check_learning_rate(exam: ClassifierExam) -> None:
    """Rows of the report's history tell `step` and `learning_rate`: arms are compared on them."""
    history = exam.fitted[1].history
    expect(bool(history), "the report's history is empty")
    lacking = [name for name in ("step", "learning_rate") if any(name not in row for row in history)]
    expect(not lacking, f"rows of the history lack {' and '.join(lacking)}")


def check_predict(exam: ClassifierExam) -> None:
    """predict gives probabilities, float32 (N, K): they sum to 1 where an image has one class."""
    with untouched("predict"):
        found = exam.predict(exam.fitted[0])
    shape = (len(exam.val), exam.val.n_classes)
    said = f"{type(found).__name__} {getattr(found, 'dtype', '')} {np.shape(found)}"
    expect(isinstance(found, np.ndarray), f"predict gave {said}, not a numpy array")
    expect(found.dtype == np.float32 and found.shape == shape, f"predict gave {said}, not float32 {shape}")
    expect(bool(np.isfinite(found).all()), "predict gave NaN or infinity")
    expect(found.min() >= 0 and found.max() <= 1, f"predict gave numbers from {found.min()} to {found.max()}")
    if not exam.val.multilabel:
        sums = found.sum(1)
        expect(bool(np.allclose(sums, 1, atol=1e-3)), f"the probabilities of an image sum to {sums.min()}")


def check_rows(exam: ClassifierExam) -> None:
    """What is predicted for an image does not depend on the others beside it."""
    model = exam.fitted[0]
    apart = float(np.abs(exam.predict(model)[:5] - model.predict(exam.val.images[:5])).max())
    expect(apart <= ROUNDING, f"predictions of five images alone and among others lie {apart:.2g} apart")


def check_seed(exam: ClassifierExam) -> None:
    """The same seed learns the same whatever the global random state, which is left alone; another learns otherwise."""
    first = exam.predict(exam.fitted[0])
    with global_seeds(11), untouched("fit"):
        again = exam.predict(exam.fit("again")[0])
        other = exam.predict(exam.fit("other", seed=2)[0])
    apart = float(np.abs(first - again).max())
    expect(apart == 0, f"the same seed learned otherwise under another global random state, by {apart:.2g}")
    expect(bool(np.abs(first - other).max() > 0), "two seeds learned the same: arms could not be paired by seed")


def check_resume(exam: ClassifierExam) -> None:
    """A fit that was interrupted goes on and predicts the same as a whole one; so does a finished one called again."""
    logged: list[int] = []
    with suppress(Interrupted):
        exam.fit("cut", log=interrupted_after(3, logged))
    first = exam.predict(exam.fitted[0])
    for name, what in (("cut", "a resumed fit"), ("whole", "a finished fit called again")):
        model, report = exam.fit(name)
        expect(report.steps == N_STEPS, f"{what} reports {report.steps} steps, not {N_STEPS}")
        apart = float(np.abs(exam.predict(model) - first).max())
        expect(apart == 0, f"{what} predicts otherwise than a whole one, by {apart:.2g}")


def check_saving(exam: ClassifierExam) -> None:
    """save and load bring the same predictions back, without touching the global random state."""
    model, folder = exam.fitted[0], exam.below("saved")
    with untouched("save and load"):
        model.save(folder)
        loaded = exam.plugin.load(folder, device="cpu")
    apart = float(np.abs(exam.predict(loaded) - exam.predict(model)).max())
    expect(apart == 0, f"a saved and loaded model predicts otherwise, by {apart:.2g}")


def check_formats(exam: ClassifierExam) -> None:
    """What save writes is safetensors, npy, JSON or CSV."""
    folder = exam.below("formats")
    exam.fitted[0].save(folder)
    check_kept_files(folder)


CHECKS: tuple[Check, ...] = (
    check_config, check_version, check_val, check_fit, check_learning_rate, check_predict, check_rows, check_seed,
    check_resume, check_saving, check_formats,
)  # fmt: skip


def classifier_proofs(
    cls: type, *, multilabel: bool, channels: int, size: int, config: Any = None, prefix: str = ""
) -> list[Proof]:
    """Every check of a classifier class, ready to run: on a tiny set made here, with a budget of 8 steps, on the CPU.

    Parameters
    ----------
    multilabel : labels (N, K), findings that co-occur.
    channels, size : of the images.
    """
    exam = ClassifierExam(cls, config=config, multilabel=multilabel, channels=channels, size=size)
    return proofs(CHECKS, exam, prefix=prefix)
