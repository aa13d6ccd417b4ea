"""The public contract test of datasets, check by check."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from benchmarks.check.config import check_config, check_version
from benchmarks.check.result import Check, Examination, Proof, expect, global_seeds, proofs, untouched
from data.images import ImageSet, Split
from data.splits.leaks import refuse_leaks
from synthworth.errors import UserError
from synthworth.keys import digest

LEARNED = (Split.train, Split.val, Split.test)
N_FURTHER = 8


class DatasetExam(Examination):
    """One dataset class under test, prepared when first needed."""

    @cached_property
    def prepared(self) -> tuple[Any, Path]:
        """The dataset, and the folder it was prepared in."""
        dataset, folder = self.new(), self.below("prepared")
        dataset.prepare(folder)
        return dataset, folder

    @cached_property
    def sets(self) -> Mapping[Split, ImageSet]:
        """Train, val and test."""
        dataset, folder = self.prepared
        return {split: dataset.load(folder, split) for split in LEARNED}


def check_origin(exam: DatasetExam) -> None:
    """licence says what is allowed with the images; citation names their paper, and is empty where there is none."""
    licence, citation = (getattr(exam.plugin, name, None) for name in ("licence", "citation"))
    expect(isinstance(licence, str) and bool(licence.strip()), f"licence is {licence!r}")
    expect(isinstance(citation, str), f"citation is {citation!r}")


def check_source(exam: DatasetExam) -> None:
    """source() gives plain values, the same each time: it is part of the images' key."""
    one, other = exam.new().source(), exam.new().source()
    expect(digest(one) == digest(other), f"source() gave {one!r} and then {other!r}")


def check_prepare(exam: DatasetExam) -> None:
    """prepare writes into the folder it is given, and a second call changes nothing."""
    dataset, folder = exam.prepared
    expect(any(folder.rglob("*")), "prepare wrote nothing into the folder it was given")
    before = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}
    dataset.prepare(folder)
    after = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.is_file()}
    expect(before == after, "a second call of prepare wrote into the folder again")


def check_splits(exam: DatasetExam) -> None:
    """load gives train, val and test as ImageSets of that split, with the same classes, channels and size."""
    for split, images in exam.sets.items():
        expect(isinstance(images, ImageSet), f"load gave {type(images).__name__} and no ImageSet")
        expect(images.split is split, f"load gave split {images.split.value!r} for {split.value!r}")
        expect(len(images) > 0, f"the {split.value} split is empty")
    look = {s.value: (i.classes, i.channels, i.size, i.multilabel) for s, i in exam.sets.items()}
    expect(len(set(look.values())) == 1, f"the splits differ: {look}")


def check_patients(exam: DatasetExam) -> None:
    """No image and no patient is in two splits."""
    try:
        refuse_leaks(exam.sets)
    except UserError as error:
        expect(False, str(error))


def check_classes(exam: DatasetExam) -> None:
    """Every class has a training image."""
    empty = [name for name, n in exam.sets[Split.train].counts().items() if not n]
    expect(not empty, f"no training image shows {', '.join(empty)}")


def check_repeat(exam: DatasetExam) -> None:
    """Preparing again elsewhere gives the same images, whatever the global random state, which is left alone."""
    again, folder = exam.new(), exam.below("again")
    exam.prepared  # noqa: B018 (prepared before: what a plugin imports may change the state, once)
    with global_seeds(11), untouched("prepare"):
        again.prepare(folder)
    for split, images in exam.sets.items():
        same = again.load(folder, split).fingerprint() == images.fingerprint()
        expect(same, f"the {split.value} split has other content when it is prepared a second time")


def check_further(exam: DatasetExam) -> None:
    """further(n), where there is one, gives None or n images of split reserve whose patients are in no other split."""
    further = getattr(exam.prepared[0], "further", lambda n: None)(N_FURTHER)
    if further is None:
        return
    expect(isinstance(further, ImageSet), f"further gave {type(further).__name__} and no ImageSet")
    expect(further.split is Split.reserve, f"further gave split {further.split.value!r}, not 'reserve'")
    expect(len(further) >= N_FURTHER, f"further({N_FURTHER}) gave {len(further)} images")
    try:
        refuse_leaks({**exam.sets, Split.reserve: further})
    except UserError as error:
        expect(False, str(error))


CHECKS: tuple[Check, ...] = (
    check_config, check_version, check_origin, check_source, check_prepare, check_splits, check_patients,
    check_classes, check_repeat, check_further,
)  # fmt: skip


def dataset_proofs(cls: type, *, config: Any = None) -> list[Proof]:
    """Every check of a dataset class, ready to run. It is prepared twice, in temporary folders.

    Parameters
    ----------
    config : what it is made with (where its files are, for one); without it `tiny_config()` or the default.
    """
    return proofs(CHECKS, DatasetExam(cls, config=config))
