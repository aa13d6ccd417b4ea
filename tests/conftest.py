"""What several test files share: tiny image sets, specs, pretended records, and commands in their own process."""

from __future__ import annotations

import dataclasses
import importlib
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import warm
from hypothesis import HealthCheck, settings

from benchmarks.metrics.frechet import FD, measure_frechet
from benchmarks.metrics.value import Value
from benchmarks.records.predictions import PREDICTIONS, write_predictions
from benchmarks.records.store import SCHEMA, Records
from benchmarks.request.remedies import REMEDIES
from benchmarks.request.spec import RunSpec, real_only
from benchmarks.statistics.auroc import sample_auroc
from benchmarks.statistics.compare import compare
from benchmarks.statistics.resamples import Resamples
from benchmarks.statistics.sampled import Sampled
from benchmarks.statistics.utility import sample_utility
from benchmarks.verdicts.verdict import verdict
from data.images import ImageSet, Split
from data.mixing import apportion, demand_of
from generators.registry import CONTROLS
from synthworth.commands import guarded
from synthworth.keys import seed_from
from synthworth.work import Budget

if os.environ.get("SYNTHWORTH_TESTS_ON_A_GPU") != "1":
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
"""The suite computes on the CPU, whatever the machine has: `--device auto` is the CPU and `--preset auto` is quick,
here and in every process a test starts. `tests/test_gpu_host.py` holds it. `python -m benchmarks.speed --device cuda`
sets the variable for the files that are marked `gpu`, and for no other."""
settings.register_profile("shared machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("shared machine")  # how long a draw takes says nothing where others compute too
os.environ.pop("SYNTHWORTH_PRESET", None)  # of the machine; a test that wants one sets it
warm.set_up()

SLOWEST_FIRST = (
    "test_documented_commands", "test_sweep", "test_sweep_faults", "test_kills", "test_chaos_sweeps", "test_run",
    "test_check", "test_check_kinds", "test_side_by_side", "test_record_fuzz", "test_reproduce", "test_experiment",
    "test_sharing", "test_chaos", "test_interrupts", "test_family_runs", "test_documentation", "test_bad_input",
    "test_generators", "test_systems", "test_latent_ddpm", "test_flow", "test_beside", "test_prune_beside",
)  # fmt: skip
"""Files that take longest: begun first, so that two workers end together."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slowest files; the order within a file stays."""
    rank = {name: k for k, name in enumerate(SLOWEST_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(rank)))


ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def forget_plugins() -> Iterator[None]:
    """Plugins that a test reads or registers are none of the next one's, nor of its worker processes."""
    from benchmarks.metrics.registry import EXTRACTORS, METRICS
    from benchmarks.request.filters import FILTERS
    from classifiers.registry import classifiers
    from data.registry import datasets
    from generators.registry import generators
    from synthworth.registry import _PLUGIN_FILES

    held: list[dict[Any, Any]] = [_PLUGIN_FILES]
    for registry in (generators, classifiers, datasets, FILTERS, METRICS, EXTRACTORS):
        registry.names()  # the installed packages' entry points are read once a process: before the copy
        held += [registry._entries, registry._clashes]
    before = [dict(each) for each in held]
    yield
    for each, was in zip(held, before, strict=True):
        each.clear()
        each.update(was)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One torch thread while a test runs: two threads on busy cores wait for each other more than they compute."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Interrupts are heard, here and by commands started here: what a script runs in its background ignores them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture
def make_images() -> Callable[..., ImageSet]:
    """Tiny image sets: `counts` images a class, two images a patient, 8 px grey."""
    import torch

    def make(counts: Sequence[int] = (8, 6, 4), *, split: Split = Split.train, multi: bool = False) -> ImageSet:
        labels = np.repeat(np.arange(len(counts)), counts)
        n = len(labels)
        pixels = np.random.default_rng(n).integers(0, 256, (n, 1, 8, 8), dtype=np.uint8)
        return ImageSet(
            images=torch.from_numpy(pixels),
            labels=torch.from_numpy(np.eye(len(counts), dtype=np.uint8)[labels] if multi else labels),
            ids=tuple(f"{split.value}-{i:03d}" for i in range(n)),
            groups=tuple(f"{split.value}-patient-{i // 2:03d}" for i in range(n)),
            split=split,
            classes=tuple("abcdefgh"[: len(counts)]),
        )

    return make


@pytest.fixture
def make_spec() -> Callable[..., RunSpec]:
    """A complete RunSpec; keyword arguments change its fields."""

    def make(**change: Any) -> RunSpec:
        values: dict[str, Any] = {
            "dataset": "phantom",
            "data": {"size": 32},
            "data_version": 1,
            "fingerprint": "f" * 64,
            "generator": "latent_ddpm",
            "gen": {"widths": [8, 16]},
            "generator_version": 1,
            "fit": Budget(steps=10),
            "classifier": "resnet18",
            "clf": {"arch": "resnet18"},
            "classifier_version": 1,
            "train": Budget(steps=5),
            "shard": 4,
            "n_bootstrap": 200,
        }
        return RunSpec(**{**values, **change})

    return make


@pytest.fixture
def pytorch_fid_distance(monkeypatch: pytest.MonkeyPatch) -> Callable[..., float]:
    """pytorch-fid's own distance, given the matrix root it calls for: `sqrtm(disp=False)`, which SciPy 1.18 drops."""
    import scipy.linalg
    from pytorch_fid import fid_score

    def sqrtm(matrix: np.ndarray, disp: bool = True) -> Any:
        root = scipy.linalg.sqrtm(matrix)
        return root if disp else (root, None)

    monkeypatch.setattr(fid_score, "linalg", SimpleNamespace(sqrtm=sqrtm))
    return fid_score.calculate_frechet_distance


PROVENANCE = {
    "command": "python -m benchmarks.run --generator vae",
    "when": "2026-11-27T05:53:55+00:00",
    "gpu": None,
    "device": "cpu",
    "processor": "a processor",
    "n_cores": 2,
}


def trained(spec: RunSpec) -> dict[str, Any]:
    """What a record says of an arm's trainings."""
    steps, n = spec.classifier_budget.steps, spec.seeds
    return {
        "steps": [steps] * n, "images_seen": [64 * steps] * n, "stopped": ["steps"] * n, "facts": [{}] * n,
        "learning_rate": [[1, 0.1], [steps, 0.0]], "learning_rate_note": None,
    }  # fmt: skip


def _measured(sampled: Sampled, n: int) -> dict[str, Any]:
    """A number of the utility as a record holds it."""
    interval, seeds = sampled.interval(), {"per_seed": sampled.values.tolist()}
    return Value(
        sampled.name, interval.estimate, n, "higher", interval.low, interval.high, extra=seeds
    ).to_json()  # fmt: skip


class Lab:
    """Writes finished records of pretended arms, predictions included, as the main job would."""

    def __init__(self, folder: Path, test: ImageSet, spec: RunSpec) -> None:
        self.folder, self.test, self.spec = folder, test, spec
        self.known: dict[tuple[Any, ...], Sampled] = {}
        self.run_ids: dict[tuple[Any, ...], str] = {}

    def run(
        self, generator: str, quality: float, *, fid: float | None = 30.0, jitter: int = 0, **change: Any
    ) -> dict[str, Any]:
        """A record of an arm whose classifiers see `quality` standard deviations between yes and no."""
        spec = dataclasses.replace(self.spec, generator=generator, **change)
        if generator == "none":
            spec = real_only(spec)
        scores = self._scores(quality, spec.seeds, jitter)
        truth, classes = self.test.labels.numpy(), self.test.classes
        seed = seed_from(spec.seed, "bootstrap")
        resamples = Resamples.draw(self.test.groups, seed=seed, n_replicates=spec.n_bootstrap)
        mine = sample_auroc(scores, truth, resamples, classes=classes)["auroc"]
        precise = sample_utility(scores, truth, resamples, classes=classes)["auprc"]
        key = (generator, spec.ratio if generator != "none" else None, spec.seeds, spec.seed)
        self.known[key], self.run_ids[key] = mine, spec.run_id
        record = self._record(spec, mine, precise, fid)
        Records(self.folder).write(record, {PREDICTIONS: lambda f: write_predictions(f, self.test, scores)})
        return record

    def _scores(self, quality: float, n_seeds: int, jitter: int) -> np.ndarray:
        """float32 (S, N, K); the noise is the same for every arm, but for a little that `jitter` seeds."""
        n, k = len(self.test), self.test.n_classes
        common = np.random.default_rng(0).standard_normal((n_seeds, n, k))
        own = np.random.default_rng([1, jitter]).standard_normal((n_seeds, n, k))
        logits = quality * np.eye(k)[self.test.labels.numpy()] + common + 0.1 * own
        return (1 / (1 + np.exp(-logits))).astype(np.float32)

    def _record(self, spec: RunSpec, mine: Sampled, precise: Sampled, fid: float | None) -> dict[str, Any]:
        n = len(self.test)
        value, auprc = (_measured(one, n) for one in (mine, precise))
        plain = Value("f1", 0.5, n, "higher").to_json()
        floors = {"extra": {"floor": 20.0, "floor_n": 9}}
        note = {"note": "Inception's weights are not there"} if fid is None else floors
        fidelity = {}
        for extractor, number, more in (
            ("inception", fid, note),
            ("efficientnet_lite0", 0.5, {"extra": {"floor": None, "floor_n": None}}),
            ("vgg16_random", 0.5, {}),
        ):
            literature = extractor == "inception"
            where = {"extractor": extractor, "features": f"{extractor}@1", "literature": literature}
            made = measure_frechet.on_features(FD.value(number, 9, **more), **where)
            fidelity[made.name] = made.to_json()
        comparisons = {}
        for control in spec.controls:
            key = (control, None if control == "none" else spec.ratio, spec.seeds, spec.seed)
            if key in self.known and control != spec.generator:
                made = compare(mine, self.known[key], name_a=spec.name, name_b=control)
                comparisons[control] = {"run_id": self.run_ids[key], **made.to_json(), "unequal": None}
        real = dict.fromkeys(self.test.classes, 3)
        sizes = {"train": sum(real.values()), "val": n, "test": n}
        asked = demand_of(real, sizes["train"], multilabel=False, ratio=spec.ratio, mode=spec.mode)
        if not spec.is_real_only:
            real = dict(zip(real, apportion(asked.keep_real, np.full(len(real), 1 / len(real))).tolist(), strict=True))
        return {
            "schema": SCHEMA,
            "status": "ok",
            "run_id": spec.run_id,
            "name": spec.name,
            "spec": spec.to_json(),
            "classes": list(self.test.classes),
            "is_control": spec.generator in CONTROLS or spec.generator in REMEDIES,
            "counts": {"real": real, "synthetic": dict.fromkeys(real, 0) if spec.is_real_only else asked.streams},
            "added": "synthetic",
            "utility": {"auroc": value, "auprc": auprc, "balanced_accuracy": plain, "f1": plain},
            "fidelity": {} if spec.is_real_only else fidelity,
            "comparisons": comparisons,
            "verdict": verdict(spec.name, comparisons),
            "training": trained(spec),
            "cost": {} if spec.is_real_only else {"fit_seconds": 1.5, "draw_seconds_per_1000": 2.5},
            "validation": {"auroc": value},
            "audit": {"n_images": sizes, "n_patients": sizes, "warnings": []},
            "provenance": PROVENANCE,
        }

    def fail(self, error: str, **change: Any) -> dict[str, Any]:
        """A record of a run that did not finish."""
        spec = dataclasses.replace(self.spec, **change)
        record = {
            "schema": SCHEMA, "status": "failed", "run_id": spec.run_id, "name": spec.name, "spec": spec.to_json(),
            "error": error, "provenance": PROVENANCE,
        }  # fmt: skip
        Records(self.folder).write(record, {})
        return record

    def change(self, record: dict[str, Any], **parts: Any) -> None:
        """Write a record again with other parts, as the suite itself would: beside the same predictions, sealed."""
        kept = (self.folder / record["run_id"][:16] / PREDICTIONS).read_bytes()
        Records(self.folder).write({**record, **parts}, {PREDICTIONS: lambda file: file.write_bytes(kept)})

    def tables(self) -> list[Any]:
        """The tables of all records so far."""
        from leaderboard.build import collect
        from leaderboard.tables import make_tables

        found = collect([self.folder])
        return make_tables(found.entries, found.failed)


@pytest.fixture
def lab(
    tmp_path: Path,
    make_images: Callable[..., ImageSet],
    make_spec: Callable[..., RunSpec],
    monkeypatch: pytest.MonkeyPatch,
) -> Lab:
    """A folder of pretended runs on 120 test images of 60 patients; what a leaderboard finds of them is kept beside."""
    monkeypatch.setenv("SYNTHWORTH_HOME", str(tmp_path / "home"))
    return Lab(tmp_path / "runs", make_images((40, 40, 40), split=Split.test), make_spec())


@pytest.fixture
def run_python(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run `python ARGS` in an empty folder, with `PYTHONPATH` at the repository and what `path` adds.

    `-m MODULE` has torch and its like imported already (`warm`); anything else starts as python starts.
    """

    def run(*args: str, path: Sequence[Path] = (), **env: str) -> subprocess.CompletedProcess[str]:
        folders = os.pathsep.join(str(p) for p in (*path, ROOT))
        own = {"SYNTHWORTH_HOME": str(tmp_path / "home"), "SYNTHWORTH_NOTES_KEY": str(tmp_path / "notes.key")}
        environment = {**os.environ, **own, "PYTHONPATH": folders, **env}
        if args[0] == "-m":
            return warm.run(args, folder=tmp_path, environment=environment, seconds=120)
        return subprocess.run(
            [sys.executable, *args], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120,
            check=False,
        )  # fmt: skip

    return run


Here = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def call_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], one_thread: None) -> Here:
    """`call(folder, module, *args, **env)`: what `python -m MODULE ARGS` does in a folder, in this process.

    Nothing is imported anew, which takes seconds each time. For what a command does: how it starts, is interrupted
    and shares work with others is `run_python`'s.
    """

    def call(folder: Path, module: str, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(str(folder))
        own = {"SYNTHWORTH_HOME": str(folder / "home"), "SYNTHWORTH_NOTES_KEY": str(folder / "notes.key")}
        for name, value in {**own, **env}.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # `guarded` sets its own
        found = importlib.import_module(module)
        main = found.main if hasattr(found, "main") else importlib.import_module(f"{module}.__main__").main
        capsys.readouterr()
        warnings = logging.StreamHandler(sys.stderr)
        warnings.setLevel(logging.WARNING)
        logging.getLogger().addHandler(warnings)
        try:
            code = guarded(main, list(args))
        except SystemExit as left:
            code = left.code
        finally:
            logging.getLogger().removeHandler(warnings)
        return subprocess.CompletedProcess([module, *args], code, *capsys.readouterr())

    return call


@pytest.fixture
def run_here(call_here: Here, tmp_path: Path) -> Here:
    """As `run_python` with `-m MODULE ARGS`, by `call_here`."""

    def run(minus_m: str, module: str, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        assert minus_m == "-m"
        return call_here(tmp_path, module, *args, **env)

    return run
