"""How many bytes a request will write, and whether its disks have them, before anything is made."""

from __future__ import annotations

import shutil
from collections.abc import Container, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.job.estimate import Sizes
from benchmarks.request.spec import RunSpec
from benchmarks.stages.arm import Arm
from benchmarks.stages.bench import Bench
from benchmarks.stages.elsewhere import STAGE, keys_elsewhere
from classifiers.registry import classifiers
from data.corruptions import STRENGTHS
from generators.registry import generators
from synthworth.artifacts import nearest_folder
from synthworth.cost import ask_operations
from synthworth.errors import UserError
from synthworth.keys import digest, plain

if TYPE_CHECKING:
    from data.images import ImageSet

ARTIFACT = 4096
"""Bytes of an artifact beside its arrays: a manifest, a report."""
RECORD = 300_000
"""Of a record with its figures and predictions, as measured; large test sets write more."""
FLOAT = 4
Needed = dict[tuple[str, str], int]
"""Kind and key of what is to be written -> its bytes, about; what cannot be foretold (features) is left out."""
_parameters: dict[str, int] = {}
"""Of networks whose parameters were counted in this process, by their options."""


def bytes_of_arms(bench: Bench, arms: Iterable[Arm], *, finished: Container[str]) -> Needed:
    """What the arms of a request lack, each artifact once.

    Parameters
    ----------
    finished : run ids with a record.
    """
    needed: Needed = {}
    for arm in arms:
        if arm.spec.run_id in finished:
            continue
        train, images = arm.images.train, arm.images
        shard = arm.spec.shard * (train.images[0].numel() + (train.n_classes if train.multilabel else 8))
        scores = 4 * train.n_classes * (len(images.val) + len(images.test))
        needed["record", arm.spec.run_id] = RECORD
        wanted = {("classify", key): ARTIFACT + scores for key in arm.classify_keys}
        for key in (key for number, key in enumerate(arm.classify_keys) if arm.spec.keeps_model(number)):
            classifier = classifiers.get(arm.spec.classifier)(bench.configs.get("clf"))
            wanted["classify", key] += FLOAT * parameters_of(classifier, train)
        wanted |= {(STAGE, key): ARTIFACT + len(STRENGTHS) * scores for key in keys_elsewhere(arm)}
        if arm.draws:
            wanted |= {("pool", key): ARTIFACT + shard for key in arm.shard_keys}
            fitted = generators.get(arm.spec.generator)(bench.configs.get(arm.spec.generator))
            wanted["fit", arm.fit_key] = ARTIFACT + FLOAT * parameters_of(fitted, train)
        needed |= {one: n for one, n in wanted.items() if one not in needed and not bench.store.has(*one)}
    return needed


def parameters_of(plugin: Any, train: ImageSet) -> int:
    """Parameters of the networks that a plugin trains on such images; 0 where it does not say what it computes."""
    shape = {
        "channels": train.channels, "size": train.size, "n_classes": train.n_classes, "multilabel": train.multilabel,
    }  # fmt: skip
    key = digest([type(plugin).__module__, type(plugin).__qualname__, plain(plugin.config), shape])
    if key not in _parameters:
        known = ask_operations(plugin, **shape, n_steps=2)
        _parameters[key] = 0 if isinstance(known, str) else known.parameters
    return _parameters[key]


def bytes_of_films(sizes: Sizes, specs: Iterable[RunSpec], *, key: str) -> Needed:
    """Of a dataset that is not prepared: its images, where their number and size are foretold; and the records.

    Parameters
    ----------
    key : names the dataset.
    """
    needed: Needed = {("record", spec.run_id): RECORD for spec in specs}
    needed["data", key] = ARTIFACT
    if sizes.n is not None and sizes.channels is not None and sizes.size is not None:
        needed["data", key] += sum(sizes.n.values()) * sizes.channels * sizes.size**2
    return needed


def check_room(needed: Mapping[tuple[str, str], int], *, home: Path, results: Path) -> None:
    """Refuse what its disks have no room for.

    Raises
    ------
    UserError
        Naming the folder, what is to be written there, and what is free.
    """
    artifacts = sum(n for (kind, _), n in needed.items() if kind != "record")
    records = sum(n for (kind, _), n in needed.items() if kind == "record")
    together = _disk(home) == _disk(results)
    wanted = {home: artifacts + records} if together else {home: artifacts, results: records}
    for folder, n in wanted.items():
        free = shutil.disk_usage(nearest_folder(folder)).free
        if free < n:
            flag = "--home" if folder == home else "--results"
            raise UserError(
                f"no room in {folder}: about {in_bytes(n)} are to be written there, and {in_bytes(free)} are free. "
                f"Free some space, or name a folder on another disk with {flag}"
            )


def in_bytes(n: int) -> str:
    """Bytes as people say them: `3.2 MB`."""
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n >= size:
            return f"{n / size:.3g} {unit}"
    return f"{n} bytes"


def _disk(folder: Path) -> int:
    return nearest_folder(folder).stat().st_dev
