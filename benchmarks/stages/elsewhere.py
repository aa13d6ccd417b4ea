"""Predictions of kept classifiers on other images: the films of other datasets, and corrupted test images."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.request.spec import RunSpec
from benchmarks.stages.arm import Arm
from benchmarks.stages.experiment import Experiment
from benchmarks.stages.external import CHUNK, External
from classifiers.registry import classifiers
from data.corruptions import CORRUPTIONS, STRENGTHS, VERSION, corrupt
from synthworth.artifacts import read_array, write_array
from synthworth.errors import Diverged
from synthworth.keys import digest

STAGE, SCORES = "elsewhere", "scores.npy"


def identities(spec: RunSpec, classify_key: str) -> dict[str, dict[str, Any]]:
    """What a classifier predicts beside val and test: identity of each artifact, by the name of the films.

    An external set's is all films of the dataset, whatever the mapping of its classes: another mapping predicts nothing
    anew. Corrupted test images are one artifact for each corruption; the split is in the key of the training.
    """
    found: dict[str, dict[str, Any]] = {
        told["name"]: {"classify": classify_key, "films": told["fingerprint"]} for told in spec.test_on
    }
    if spec.robustness:
        found |= {
            corrupted(name): {"classify": classify_key, "corruption": name, "version": VERSION} for name in CORRUPTIONS
        }
    return found


def corrupted(corruption: str) -> str:
    """The name of the test images under a corruption; no external set can be called so."""
    return f"test, {corruption}"


def keys_elsewhere(arm: Arm) -> tuple[str, ...]:
    """Digest of every artifact of predictions elsewhere that an arm has."""
    return tuple(digest(identity) for key in arm.classify_keys for identity in identities(arm.spec, key).values())


def lacks_elsewhere(experiment: Experiment, arm: Arm, number: int) -> bool:
    """Whether a classifier has predictions elsewhere to make."""
    wanted = identities(arm.spec, arm.classify_keys[number]).values()
    return any(not experiment.bench.store.has(STAGE, digest(identity), deep=True) for identity in wanted)


def predict_elsewhere(experiment: Experiment, arm: Arm, number: int) -> dict[str, Path]:
    """Predictions of one classifier on everything that it is asked for, by the name of the films; made where missing.

    Returns
    -------
    dict of Path
        Folders whose `scores.npy` is float32: (N, K) of all films of an external dataset, (5, N, K) of the test images
        at each strength of a corruption.

    Raises
    ------
    Diverged
        Where a prediction is not finite.
    """
    bench, spec, key = experiment.bench, arm.spec, arm.classify_keys[number]

    @cache
    def model() -> Any:
        folder = bench.store.read("classify", key) / "model"
        return classifiers.get(spec.classifier).load(folder, device=bench.device)

    def maker(name: str) -> Callable[[Path, Path], None]:
        def make(out: Path, scratch: Path) -> None:
            scores = _scores(experiment, name, model())
            if not np.isfinite(scores).all():
                raise Diverged(f"classifier {number} of {spec.name} predicts what is not finite on {name}")
            write_array(out / SCORES, scores)

        return make

    wanted = identities(spec, key)
    return {name: bench.keep(STAGE, identity, maker(name)).folder for name, identity in wanted.items()}


def _scores(experiment: Experiment, name: str, model: Any) -> np.ndarray:
    external = {one.name: one for one in experiment.externals}.get(name)
    if external is not None:
        return np.concatenate([model.predict(chunk) for chunk in external.chunks()]).astype(np.float32)
    corruption = next(one for one in CORRUPTIONS if corrupted(one) == name)
    found = [_on_corrupted(experiment, corruption, strength, model) for strength in STRENGTHS]
    return np.stack(found).astype(np.float32)


def _on_corrupted(experiment: Experiment, corruption: str, strength: int, model: Any) -> np.ndarray:
    test = experiment.images.test
    parts = [slice(start, start + CHUNK) for start in range(0, len(test), CHUNK)]
    found = [model.predict(corrupt(test.images[p], corruption, strength, ids=test.ids[p])) for p in parts]
    return np.concatenate(found)


def external_scores(experiment: Experiment, arm: Arm, external: External) -> np.ndarray:
    """float32 (S, N, K): probabilities of each classifier on the films of an external set that are judged."""
    rows = external.films(experiment.images).rows
    return np.stack([read_array(folders[external.name] / SCORES)[rows] for folders in _all(experiment, arm)])


def corrupted_scores(experiment: Experiment, arm: Arm) -> dict[tuple[str, int], np.ndarray]:
    """float32 (S, N, K) by corruption and strength: probabilities of each classifier on the corrupted test images."""
    folders, found = list(_all(experiment, arm)), {}
    for name in CORRUPTIONS:
        stack = np.stack([read_array(of[corrupted(name)] / SCORES) for of in folders])
        found |= {(name, strength): stack[:, k] for k, strength in enumerate(STRENGTHS)}
    return found


def _all(experiment: Experiment, arm: Arm) -> Iterator[Mapping[str, Path]]:
    for number in range(arm.spec.seeds):
        yield predict_elsewhere(experiment, arm, number)
