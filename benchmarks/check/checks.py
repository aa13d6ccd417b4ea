"""The public contract test of generators, check by check."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from benchmarks.check.candidate import N_STEPS, GeneratorExam, Interrupted, interrupted_after, make_images
from benchmarks.check.config import check_config, check_kept_files, check_version
from benchmarks.check.result import Broken, Check, CheckResult, Proof, expect, global_seeds, proofs, untouched
from data.images import Split
from synthworth.errors import UserError
from synthworth.work import FitReport

if TYPE_CHECKING:
    from torch import Tensor

GREY_LEVELS = 1
"""How far two images may lie apart that only batch size tells apart: a network's sums are rounded in another order."""


def distance(one: Tensor, other: Tensor) -> int:
    """Largest difference in grey levels; 256 where shapes differ."""
    if one.shape != other.shape:
        return 256
    return int((one.int() - other.int()).abs().max()) if one.numel() else 0


# -- the checks: each takes the examination and raises Broken, or anything else the generator raises ----------------


def check_refusal(exam: GeneratorExam) -> None:
    """fit refuses every split but train with a UserError, as BaseGenerator.require and data.images.require_train do.

    A control of a donor's films refuses train too.
    """
    others = (Split.train,) if exam.train.split is Split.donor else ()
    for split in (Split.val, Split.test, Split.reserve, *others):
        images = make_images(**exam.look, split=split)  # type: ignore[arg-type]
        try:
            exam.new().fit(images, seed=1, work=exam.work(f"refused-{split.value}"))
        except UserError:
            continue
        raise Broken(f"fit learned from the {split.value} split")


def check_task_refusal(exam: GeneratorExam) -> None:
    """fit refuses labels of a task that is not in `tasks` with a UserError."""
    try:
        exam.new().fit(exam.train, seed=1, work=exam.work("task"))
    except UserError:
        return
    task = "multi" if exam.train.multilabel else "single"
    raise Broken(f"fit learned from a {task}-label set, which is not in tasks {exam.plugin.tasks}")


def check_fit(exam: GeneratorExam) -> None:
    """fit returns a FitReport within the budget and leaves the global random state alone."""
    _, report, _ = exam.fitted
    with global_seeds(11), untouched("fit"):  # not the first fit: what a plugin imports may change the state, once
        exam.new().fit(exam.train, seed=1, work=exam.work("state"))
    expect(isinstance(report, FitReport), f"fit returned {type(report).__name__} and no FitReport")
    expect(0 <= report.steps <= N_STEPS, f"fit reports {report.steps} steps of a budget of {N_STEPS}")
    expect(report.stopped in ("steps", "seconds"), f"FitReport.stopped is {report.stopped!r}, not 'steps' or 'seconds'")


def check_resume(exam: GeneratorExam) -> None:
    """A fit that was interrupted goes on where it was and ends the same; a finished one takes no step again."""
    model, report, n_logged = exam.fitted
    logged: list[int] = []
    with suppress(Interrupted):
        exam.new().fit(exam.train, seed=1, work=exam.work("cut", log=interrupted_after(3, logged)))
    after: list[int] = []
    second = exam.new()
    again = second.fit(exam.train, seed=1, work=exam.work("cut", log=lambda step, **_: after.append(step)))
    if len(logged) == 3:
        expect(len(after) < n_logged, "an interrupted fit began again from the first step")
    steps = report.steps
    expect(again.steps == steps, f"a resumed fit reports {again.steps} steps, and a whole one {steps}")
    finished: list[int] = []
    third = exam.new()
    once_more = third.fit(exam.train, seed=1, work=exam.work("whole", log=lambda step, **_: finished.append(step)))
    expect(once_more.steps == steps, f"a finished fit called again reports {once_more.steps} steps, and not {steps}")
    expect(not (n_logged and finished), "a finished fit called again on the same folder took further steps")
    if exam.draws:
        drawn, resumed, twice = (m.sample(exam.labels, seed=5) for m in (model, second, third))
        expect(distance(resumed, drawn) == 0, "a resumed fit draws other images than a whole one")
        expect(distance(twice, drawn) == 0, "a finished fit called again draws other images")


def check_sample(exam: GeneratorExam) -> None:
    """sample gives one uint8 image a label on the CPU, shaped like the training images."""
    for labels in (exam.labels, exam.labels[:1]):
        images, shape = exam.drawn(labels), (len(labels), *exam.train.images.shape[1:])
        expect(str(images.dtype) == "torch.uint8", f"sample gives {images.dtype}, not uint8")
        found = tuple(images.shape)
        expect(found == shape, f"sample gives {found} for {len(labels)} labels, not {shape}")
        expect(images.device.type == "cpu", f"sample gives images on {images.device}, not on the CPU")


def check_empty(exam: GeneratorExam) -> None:
    """The empty request is answered by an empty uint8 batch shaped like the training images."""
    images, shape = exam.drawn(exam.labels[:0]), (0, *exam.train.images.shape[1:])
    found = f"{images.dtype} {tuple(images.shape)}"
    expect(tuple(images.shape) == shape and str(images.dtype) == "torch.uint8", f"no label gave {found}, not {shape}")


def check_seed(exam: GeneratorExam) -> None:
    """The same seed draws the same bytes whatever the global random state; another seed draws others."""
    with global_seeds(11):
        first = exam.drawn(seed=5)
    with global_seeds(12):
        second, other = exam.drawn(seed=5), exam.drawn(seed=6)
    expect(distance(first, second) == 0, "the same seed drew other bytes under another global random state")
    expect(distance(first, other) > 0, "two seeds drew the same images")


def check_label(exam: GeneratorExam) -> None:
    """A label changes what is drawn: two labels at one seed do not give the same images."""
    asked = exam.labels.unique(dim=0)
    pictures = [exam.drawn(label.expand(8, *label.shape).contiguous()) for label in asked]
    for k, images in enumerate(pictures):
        alike = [j for j in range(len(asked)) if j != k and distance(images, pictures[j]) == 0]
        # eight steps of a network need not tell every two vectors of findings apart, but none may be like all others
        learns = exam.train.multilabel and getattr(exam.plugin, "trains", True)
        allowed = len(asked) - 2 if learns else 0
        a, b = sorted((k, alike[0])) if alike else (k, k)
        expect(
            len(alike) <= allowed,
            f"labels {asked[a].tolist()} and {asked[b].tolist()} drew the same images: the label changes nothing",
        )


def check_rows(exam: GeneratorExam) -> None:
    """Row i depends on the seed, i and its label, not on how many rows there are."""
    whole = exam.drawn()
    for k in (1, 4):
        apart = distance(whole[:k], exam.drawn(exam.labels[:k]))
        expect(
            apart <= GREY_LEVELS,
            f"sample(labels)[:{k}] and sample(labels[:{k}]) lie {apart} grey levels apart; {GREY_LEVELS} is allowed",
        )


def check_sample_state(exam: GeneratorExam) -> None:
    """sample leaves the global random state alone."""
    model, labels = exam.fitted[0], exam.labels if exam.draws else exam.labels[:0]
    with untouched("sample"):
        model.sample(labels, seed=5)


def check_saving(exam: GeneratorExam) -> None:
    """save and load bring the same images back, without touching the global random state."""
    model, folder = exam.fitted[0], exam.below("saved")
    with untouched("save and load"):
        model.save(folder)
        loaded = exam.plugin.load(folder, device="cpu")
    labels = exam.labels if exam.draws else exam.labels[:0]
    apart = distance(loaded.sample(labels, seed=5), model.sample(labels, seed=5))
    expect(apart == 0, f"a saved and loaded model draws other images, {apart} grey levels apart")


def check_formats(exam: GeneratorExam) -> None:
    """What save writes is safetensors, npy, JSON or CSV."""
    folder = exam.below("formats")
    exam.fitted[0].save(folder)
    check_kept_files(folder)


def checks_of(cls: type, *, multilabel: bool) -> tuple[Check, ...]:
    """The checks that apply to a generator.

    A task that is not its own must be refused, and only that is checked; one that draws nothing is not asked to draw; a
    control may draw whatever the label (`is_control`).
    """
    if ("multi" if multilabel else "single") not in getattr(cls, "tasks", ("single", "multi")):
        return check_config, check_version, check_task_refusal
    drawing: tuple[Check, ...] = (check_sample, check_seed, check_rows) if getattr(cls, "draws", True) else ()
    label: tuple[Check, ...] = () if getattr(cls, "is_control", False) else (check_label,)
    return (
        check_config, check_version, check_refusal, check_fit, check_resume, *drawing, *label, check_empty,
        check_sample_state, check_saving, check_formats,
    )  # fmt: skip


def generator_proofs(
    cls: type, *, multilabel: bool, channels: int, size: int, config: Any = None, prefix: str = ""
) -> list[Proof]:
    """Every check of a generator class, ready to run; see `check_generator`."""
    exam = GeneratorExam(cls, config=config, multilabel=multilabel, channels=channels, size=size)
    return proofs(checks_of(cls, multilabel=multilabel), exam, prefix=prefix)


def check_generator(
    cls: type, *, multilabel: bool = False, channels: int = 1, size: int = 32, config: Any = None
) -> list[CheckResult]:
    """Prove that a class keeps the contract of `generators.base.Generator`.

    In the way of scikit-learn's `check_estimator`: on a tiny set made here, with a budget of 8 steps, on the CPU.

    Parameters
    ----------
    cls : the class. Its optional classmethod `tiny_config()` gives the smallest Config worth testing.
    multilabel : labels (N, K). A class whose `tasks` leave this task out must refuse it, and only that is checked.
    channels, size : of the images.
    config : what it is made with, in the place of the smallest.

    Returns
    -------
    list of CheckResult
        One a check; nothing is raised for a generator that is broken, however it is.
    """
    made = generator_proofs(cls, multilabel=multilabel, channels=channels, size=size, config=config)
    return [proof.result() for proof in made]
