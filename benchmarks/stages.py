"""The stages of a run, each a function of its inputs and a seed, each kept under its own key."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.loggers import LoggerName
from benchmarks.remedies import changed_config
from benchmarks.spec import RunSpec
from classifiers.registry import classifiers
from data.base import ImageSet, Split
from data.cache import read_index
from data.mixing import Demand, SyntheticSet, TrainingMix, demand, mix
from data.preparation import data_preparation, preparer
from data.splits import subsample_patients
from data.subsets import join_train, take_patients
from synthworth.artifacts import Made, Store, ensure_folder, read_array, read_json, write_array, write_json
from synthworth.errors import UserError
from synthworth.keys import seed_from
from synthworth.work import FitReport, Work

if TYPE_CHECKING:
    from torch import Tensor

RESERVE_PER_TRAIN = 4
"""Further real images drawn for the positive control, as a multiple of the training set. In no key: whoever changes
it raises the version of `holdout_real`."""


@dataclass(frozen=True)
class Fitting:
    """How a generator is fitted, where that changes nothing of what it learns (up to rounding): no part of any key."""

    devices: int = 1
    compile: bool = False
    snapshot_epochs: float = 0.0
    logger: LoggerName = "none"
    plugins: tuple[Path, ...] = ()


@dataclass
class Bench:
    """Where a run happens: the store, the device, the plugins' Configs, and what each kind of stage cost.

    `configs` holds the Configs as given, with the fields that are not identity (paths, batch sizes in sampling).
    """

    store: Store
    device: str
    workers: int
    checkpoint_seconds: float
    configs: Mapping[str, Any]
    info: Mapping[str, Any]
    fitting: Fitting = Fitting()
    seconds: dict[str, float] = field(default_factory=dict)
    made: dict[str, int] = field(default_factory=dict)

    def note(self, stage: str, seconds: float, made: int) -> None:
        """Add wall seconds spent in a stage by this process, and artifacts it made."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds
        self.made[stage] = self.made.get(stage, 0) + made

    def keep(self, stage: str, identity: Any, make: Callable[[Path, Path], None]) -> Made:
        """`Store.get_or_make`, with its wall time noted."""
        began = time.perf_counter()
        made = self.store.get_or_make(stage, identity, make, info=self.info)
        self.note(stage, time.perf_counter() - began, int(made.fresh))
        return made

    def work(self, scratch: Path, spec: RunSpec, *, budget: Any, reserve: ImageSet | None = None) -> Work:
        """The `Work` a fit is given."""
        return Work(
            folder=scratch, device=self.device, precision=spec.precision, budget=budget, reserve=reserve,
            checkpoint_seconds=self.checkpoint_seconds,
        )  # fmt: skip


def prepare_data(bench: Bench, name: str, dataset: Any) -> tuple[Path, dict[str, Any]]:
    """Decode a dataset once; returns the prepared folder and its index (with the content fingerprint)."""
    made = bench.keep("data", data_preparation(name, dataset), preparer(dataset))
    return made.folder, read_index(made.folder)


class Images:
    """The real images of an experiment: train (after the real fraction), val, test, and the reserve."""

    def __init__(self, folder: Path, dataset: Any, spec: RunSpec) -> None:
        self.folder, self.dataset, self.spec = folder, dataset, spec

    @cached_property
    def _parts(self) -> tuple[ImageSet, ImageSet | None]:
        whole, spec = self.dataset.load(self.folder, Split.train), self.spec
        if spec.patients_per_class:
            return take_patients(whole, spec.patients_per_class, seed=spec.data_identity()["seed"])
        if spec.real_fraction == 1:
            return whole, None
        return subsample_patients(whole, spec.real_fraction, seed=spec.data_identity()["seed"])

    @property
    def train(self) -> ImageSet:
        """What every arm learns from."""
        return self._parts[0]

    @cached_property
    def val(self) -> ImageSet:
        """Real images for the choice of checkpoints and thresholds."""
        images: ImageSet = self.dataset.load(self.folder, Split.val)
        return images

    @cached_property
    def test(self) -> ImageSet:
        """Real images, read once, at the end."""
        images: ImageSet = self.dataset.load(self.folder, Split.test)
        return images

    @cached_property
    def reserve(self) -> ImageSet:
        """Real images that no arm trains on.

        Raises
        ------
        UserError
            When every real image is in use and the dataset can draw no further ones.
        """
        if self._parts[1] is not None and len(self._parts[1]):
            return self._parts[1]
        further: ImageSet | None = getattr(self.dataset, "further", lambda n: None)(RESERVE_PER_TRAIN * len(self.train))
        if further is None:
            raise UserError(
                f"holdout_real needs real images that no arm trains on, and {self.spec.dataset} has none left; "
                "set --real-fraction below 1 to hold some back"
            )
        return further

    def portion(self, share: float) -> ImageSet:
        """The training images of a point of the learning curve: whole patients, each point among the next; above 1
        further real images join, of patients from the reserve.

        Raises
        ------
        UserError
            Above 1, when the reserve holds too few images.
        """
        seed = seed_from(self.spec.seed, "learning curve")
        if share <= 1:
            return subsample_patients(self.train, share, seed=seed)[0]
        wanted, reserve = (share - 1) * len(self.train), self.reserve
        if wanted > len(reserve):
            raise UserError(
                f"--curve {share:g} needs {wanted:.0f} real images that no other arm trains on, and there are "
                f"{len(reserve)}; the largest point is {1 + int(100 * len(reserve) / len(self.train)) / 100:g}"
            )
        return join_train(self.train, subsample_patients(reserve, wanted / len(reserve), seed=seed)[0])

    @cached_property
    def train_fingerprint(self) -> str:
        """Of the images every arm learns from; a generator fitted on others is refused."""
        return self.train.fingerprint()

    def demand(self, spec: RunSpec) -> Demand:
        """Synthetic images an arm needs, by stream."""
        if spec.is_real_only:
            return Demand({}, len(self.train))
        return demand(self.train, ratio=spec.ratio, mode=spec.mode)


# -- classifier ---------------------------------------------------------------------------------------------------


def describe_fit(report: FitReport) -> dict[str, Any]:
    """A `FitReport` as JSON."""
    return {
        "steps": report.steps,
        "images_seen": report.images_seen,
        "seconds": report.seconds,
        "stopped": report.stopped,
        "history": [dict(row) for row in report.history],
        "facts": dict(report.facts),
    }


@dataclass(frozen=True)
class Scores:
    """Predictions of one trained classifier: float32 (N, K) probabilities on val and test, and how it was trained."""

    val: np.ndarray
    test: np.ndarray
    report: dict[str, Any]
    folder: Path


def mixture(spec: RunSpec, images: Images, demanded: Demand, pool: SyntheticSet | None) -> TrainingMix:
    """What one arm trains on; the same for all its seeds."""
    train = images.train if spec.portion == 1 else images.portion(spec.portion)
    keep = demanded.keep_real if spec.portion == 1 else len(train)
    return mix(train, pool, keep_real=keep, seed=spec.mix_seed, pretraining=demanded.pretraining)


def train_classifier(
    bench: Bench,
    spec: RunSpec,
    images: Images,
    demanded: Demand,
    number: int,
    mixed: Callable[[], TrainingMix],
) -> Made:
    """Train one classifier and keep its predictions on val and test."""

    def make(out: Path, scratch: Path) -> None:
        identity = spec.classify_identity(demanded, number)
        model = classifiers.get(spec.classifier)(changed_config(spec.generator, bench.configs.get("clf")))
        work = bench.work(scratch, spec, budget=spec.classifier_budget)
        report = model.fit(mixed(), images.val, seed=identity["seed"], work=work)
        write_array(out / "val.npy", model.predict(images.val.images))
        write_array(out / "test.npy", model.predict(images.test.images))
        write_json(out / "fit.json", describe_fit(report))
        if identity["keep_model"]:
            model.save(ensure_folder(out / "model"))

    return bench.keep("classify", spec.classify_identity(demanded, number), make)


def read_scores(folder: Path) -> Scores:
    """Predictions kept by `train_classifier`."""
    return Scores(
        read_array(folder / "val.npy"),
        read_array(folder / "test.npy"),
        read_json(folder / "fit.json"),
        folder,
    )


# -- features -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Features:
    """Features of one image set: float32 (N, D), and logits (N, 1008) where the extractor gives them."""

    features: np.ndarray
    logits: np.ndarray | None
    extractor: str


def extract_features(bench: Bench, extractor: Any, key: str, pictures: Callable[[], Tensor]) -> Features:
    """Features of the image set named by `key`, computed once."""

    def make(out: Path, _: Path) -> None:
        found = extractor.extract(pictures())
        write_array(out / "features.npy", found.features)
        if found.logits is not None:
            write_array(out / "logits.npy", found.logits)

    identity = {"images": key, "extractor": extractor.id, "weights": extractor.weights_sha256}
    folder = bench.keep("features", identity, make).folder
    logits = folder / "logits.npy"
    return Features(read_array(folder / "features.npy"), read_array(logits) if logits.is_file() else None, extractor.id)
