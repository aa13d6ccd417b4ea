"""The public contract test of generators, check by check; `benchmarks.check` is its command."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import tempfile
import textwrap
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.check.candidate import (
    N_STEPS,
    Broken,
    Examination,
    Interrupted,
    expect,
    global_seeds,
    make_images,
    one_thread,
    untouched,
)
from data.images import Split
from synthworth.errors import UserError
from synthworth.work import FitReport

if TYPE_CHECKING:
    from torch import Tensor

GREY_LEVELS = 1
"""How far two images may lie apart that only batch size tells apart: a network's sums are rounded in another order."""
KEPT_AS = {".safetensors", ".npy", ".json", ".csv"}


@dataclass(frozen=True)
class CheckResult:
    """What one check found. `message` says what was expected; it is empty where the check passed."""

    name: str
    passed: bool
    message: str = ""


def distance(one: Tensor, other: Tensor) -> int:
    """Largest difference in grey levels; 256 where shapes differ."""
    if one.shape != other.shape:
        return 256
    return int((one.int() - other.int()).abs().max()) if one.numel() else 0


def documented_fields(config: type) -> set[str]:
    """Names of the fields of a Config that have a docstring under them.

    Raises
    ------
    Broken
        When the source cannot be read (a class typed into an interpreter).
    """
    found: set[str] = set()
    for cls in config.__mro__[:-1]:
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
        except (OSError, TypeError) as error:
            raise Broken(f"the source of {cls.__name__} can be read, to see its docstrings ({error})") from error
        body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
        for line, below in pairwise(body):
            is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and is_text:
                found.add(line.target.id)
    return found


# -- the checks: each takes the examination and raises Broken, or anything else the generator raises ----------------


def check_config(exam: Examination) -> None:
    """Config is a frozen dataclass with defaults, every field documented."""
    config = getattr(exam.cls, "Config", None)
    expect(isinstance(config, type) and dataclasses.is_dataclass(config), "Config is a dataclass")
    assert config is not None
    expect(config.__dataclass_params__.frozen, f"{config.__name__} is frozen: @dataclass(frozen=True)")
    silent = sorted({f.name for f in dataclasses.fields(config)} - documented_fields(config))
    expect(not silent, f"every field of {config.__name__} has a docstring under it; missing: {', '.join(silent)}")
    config()


def check_version(exam: Examination) -> None:
    """version is a whole number from 1 up."""
    version = getattr(exam.cls, "version", None)
    expect(type(version) is int and version >= 1, f"version is a whole number from 1 up, not {version!r}")


def check_refusal(exam: Examination) -> None:
    """Fitting on another split than train is refused with UserError."""
    for split in (Split.val, Split.test, Split.reserve):
        images = make_images(**exam.look, split=split)  # type: ignore[arg-type]
        try:
            exam.new().fit(images, seed=1, work=exam.work(f"refused-{split.value}"))
        except UserError:
            continue
        raise Broken(f"fit refuses the {split.value} split with a UserError (data.images.require_train does it)")


def check_task_refusal(exam: Examination) -> None:
    """A task that is not in `tasks` is refused with UserError."""
    try:
        exam.new().fit(exam.train, seed=1, work=exam.work("task"))
    except UserError:
        return
    raise Broken(f"fit refuses labels of a task that is not in tasks {exam.cls.tasks} with a UserError")  # type: ignore[attr-defined]


def check_fit(exam: Examination) -> None:
    """fit returns a FitReport within the budget and leaves global random state alone."""
    with untouched("fit"):
        _, report, _ = exam.fitted
    expect(isinstance(report, FitReport), f"fit returns a FitReport, not {type(report).__name__}")
    expect(0 <= report.steps <= N_STEPS, f"fit takes at most the budget's {N_STEPS} steps, and reports {report.steps}")
    expect(report.stopped in ("steps", "seconds"), f"FitReport.stopped is 'steps' or 'seconds', not {report.stopped!r}")


def check_resume(exam: Examination) -> None:
    """A fit that was interrupted goes on where it was and ends the same; a finished one takes no step again."""
    model, report, n_logged = exam.fitted
    logged: list[int] = []

    def interrupt(step: int, **_: float) -> None:
        logged.append(step)
        if len(logged) == 3:
            raise Interrupted

    with suppress(Interrupted):
        exam.new().fit(exam.train, seed=1, work=exam.work("cut", log=interrupt))
    after: list[int] = []
    second = exam.new()
    again = second.fit(exam.train, seed=1, work=exam.work("cut", log=lambda step, **_: after.append(step)))
    if len(logged) == 3:
        expect(len(after) < n_logged, "an interrupted fit goes on, and does not begin again")
    steps = report.steps
    expect(again.steps == steps, f"a resumed fit reports the {steps} steps of a whole one, not {again.steps}")
    finished: list[int] = []
    third = exam.new()
    once_more = third.fit(exam.train, seed=1, work=exam.work("whole", log=lambda step, **_: finished.append(step)))
    expect(once_more.steps == steps, f"a finished fit called again reports its {steps} steps")
    expect(not (n_logged and finished), "a finished fit called again on the same folder takes no step")
    if exam.draws:
        drawn, resumed, twice = (m.sample(exam.labels, seed=5) for m in (model, second, third))
        expect(distance(resumed, drawn) == 0, "a resumed fit draws what a whole one draws")
        expect(distance(twice, drawn) == 0, "a finished fit called again draws the same")


def check_sample(exam: Examination) -> None:
    """sample gives one uint8 image a label on the CPU, shaped like the training images."""
    for labels in (exam.labels, exam.labels[:1]):
        images, shape = exam.drawn(labels), (len(labels), *exam.train.images.shape[1:])
        expect(str(images.dtype) == "torch.uint8", f"sample gives uint8, not {images.dtype}")
        found = tuple(images.shape)
        expect(found == shape, f"sample gives {shape} for {len(labels)} labels, not {found}")
        expect(images.device.type == "cpu", f"sample gives images on the CPU, not on {images.device}")


def check_empty(exam: Examination) -> None:
    """The empty request is answered by an empty batch."""
    images, shape = exam.drawn(exam.labels[:0]), (0, *exam.train.images.shape[1:])
    expect(tuple(images.shape) == shape and str(images.dtype) == "torch.uint8", f"no labels give uint8 {shape}")


def check_seed(exam: Examination) -> None:
    """The same seed draws the same bytes whatever the global random state; another seed draws others."""
    with global_seeds(11):
        first = exam.drawn(seed=5)
    with global_seeds(12):
        second, other = exam.drawn(seed=5), exam.drawn(seed=6)
    expect(distance(first, second) == 0, "the same seed draws the same bytes, whatever the global random state")
    expect(distance(first, other) > 0, "another seed draws other images")


def check_rows(exam: Examination) -> None:
    """Row i depends on (seed, i) and its label, not on how many rows there are."""
    whole = exam.drawn()
    for k in (1, 4):
        apart = distance(whole[:k], exam.drawn(exam.labels[:k]))
        expect(
            apart <= GREY_LEVELS,
            f"sample(labels)[:{k}] is sample(labels[:{k}]) within {GREY_LEVELS} grey level; they lie {apart} apart",
        )


def check_sample_state(exam: Examination) -> None:
    """sample leaves global random state alone."""
    model, labels = exam.fitted[0], exam.labels if exam.draws else exam.labels[:0]
    with untouched("sample"):
        model.sample(labels, seed=5)


def check_saving(exam: Examination) -> None:
    """save and load bring the same images back, without touching global random state."""
    model, folder = exam.fitted[0], exam.folder / "saved"
    folder.mkdir(exist_ok=True)
    with untouched("save and load"):
        model.save(folder)
        loaded = exam.cls.load(folder, device="cpu")  # type: ignore[attr-defined]
    labels = exam.labels if exam.draws else exam.labels[:0]
    apart = distance(loaded.sample(labels, seed=5), model.sample(labels, seed=5))
    expect(apart == 0, f"a saved and loaded model draws the same images; they lie {apart} grey levels apart")


def check_formats(exam: Examination) -> None:
    """What save writes is safetensors, npy, JSON or CSV."""
    folder = exam.folder / "formats"
    folder.mkdir(exist_ok=True)
    exam.fitted[0].save(folder)
    files = [p for p in folder.rglob("*") if p.is_file()]
    expect(bool(files), "save writes into the folder it is given")
    strange = sorted(p.name for p in files if p.suffix not in KEPT_AS)
    expect(not strange, f"save writes {', '.join(sorted(KEPT_AS))} and never pickle; found {', '.join(strange)}")
    for file in (p for p in files if p.suffix == ".npy"):
        expect(np.load(file, mmap_mode="r", allow_pickle=False).dtype != object, f"{file.name} holds plain numbers")


Check = Callable[[Examination], None]
ALWAYS: tuple[Check, ...] = (
    check_config, check_version, check_refusal, check_fit, check_resume, check_empty, check_sample_state,
    check_saving, check_formats,
)  # fmt: skip
DRAWING: tuple[Check, ...] = (check_sample, check_seed, check_rows)
OTHER_TASK: tuple[Check, ...] = (check_config, check_version, check_task_refusal)


def check_generator(cls: type, *, multilabel: bool = False, channels: int = 1, size: int = 32) -> list[CheckResult]:
    """Prove that a class keeps the contract of `generators.base.Generator`, in the way of scikit-learn's
    `check_estimator`: on a tiny set made here, with a budget of 8 steps, on the CPU.

    cls : the class. Its optional classmethod `tiny_config()` gives the smallest Config worth testing.
    multilabel : labels (N, K). A class whose `tasks` leave this task out must refuse it, and only that is checked.
    channels, size : of the images.

    Returns one result a check; nothing is raised for a generator that is broken, however it is.
    """
    task = "multi" if multilabel else "single"
    checks = ALWAYS[:5] + DRAWING + ALWAYS[5:] if getattr(cls, "draws", True) else ALWAYS
    if task not in getattr(cls, "tasks", ("single", "multi")):
        checks = OTHER_TASK
    with tempfile.TemporaryDirectory() as folder, one_thread():
        exam = Examination(cls, multilabel=multilabel, channels=channels, size=size, folder=Path(folder))
        return [_run(check, exam) for check in checks]


def _run(check: Check, exam: Examination) -> CheckResult:
    name = check.__name__.removeprefix("check_")
    try:
        check(exam)
    except Broken as broken:
        return CheckResult(name, False, f"expected: {broken}")
    except Exception as error:  # a stranger's class may raise anything, and that is what is reported
        what = first_line(check)
        return CheckResult(name, False, f"expected: {what} But it raised {type(error).__name__}: {error}")
    return CheckResult(name, True)


def first_line(thing: Any) -> str:
    """First line of a docstring."""
    return (inspect.getdoc(thing) or "").partition("\n")[0]
