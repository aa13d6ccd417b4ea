"""The stages of a generator: fitted once for a whole sweep, then drawn from shard by shard."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np

from benchmarks.request.spec import RunSpec, n_shards
from benchmarks.stages.arm import Arm
from benchmarks.stages.classifier import describe_fit
from benchmarks.stages.copies import near_copies, require_near_copies
from benchmarks.stages.experiment import Experiment
from benchmarks.stages.filters import MOST_SHARDS, Sieve, refuse_starved
from benchmarks.stages.loggers import live_log
from benchmarks.stages.twin import make_from_twin
from data.mixing import VECTORS, SyntheticSet, stream_labels
from generators.registry import generators
from synthworth.artifacts import read_array, read_json, write_array, write_bytes, write_json
from synthworth.cost import ask_operations
from synthworth.devices import repeatable
from synthworth.errors import UserError
from synthworth.images import from_array
from synthworth.keys import digest, seed_from
from synthworth.processes import run_together
from synthworth.progress import Progress
from synthworth.store import Made
from synthworth.threads import threads_for
from synthworth.work import FitReport, Work, is_copying

if TYPE_CHECKING:
    from torch import Tensor

    from data.images import ImageSet

SNAPSHOTS = "snapshots"


def fit_generator(experiment: Experiment, spec: RunSpec) -> Made:
    """Fit the generator once for all ratios, modes and classifiers.

    The folder holds what `save` wrote, `fit.json` (the report), `history.csv` (the loss curve) and, where they were
    asked for, `snapshots/`.
    """
    cls, bench = generators.get(spec.generator), experiment.bench
    inner = spec.fitted_on()
    fitted = None if inner is None else fit_generator(experiment, inner).folder
    n = bench.fitting.devices if getattr(cls, "trains", True) else 1

    def make(out: Path, scratch: Path) -> None:
        if make_from_twin(bench, spec, out):
            return
        if n == 1:
            report = _fit(experiment, spec, out, scratch, fitted)
        else:
            job = (experiment, spec, out, scratch)
            report = run_together(_fit_in_process, *job, n=n, what=f"fitting {spec.generator}")
        learned = experiment.images.learned_from(spec).train.fingerprint()
        write_json(out / "fit.json", {**describe_fit(report), "train_fingerprint": learned})
        write_history(out / "history.csv", report.history)
        keep_snapshots(scratch, out)

    return bench.keep("fit", spec.fit_identity(), make)


def keep_snapshots(scratch: Path, out: Path) -> None:
    """Copy the snapshots of a fit to its artifact: a kill or a full disk before publication does not lose them."""
    for folder in sorted(scratch.rglob(SNAPSHOTS)):
        shutil.copytree(folder, out / folder.relative_to(scratch))


def _fit(
    experiment: Experiment, spec: RunSpec, out: Path, scratch: Path, fitted: Path | None = None, rank: int = 0
) -> FitReport:
    """Fit in this process; the first of several saves."""
    bench, images = experiment.bench, experiment.images
    train = images.learned_from(spec).train
    judge = near_copies(experiment, spec)
    if judge is not None and rank == 0:
        require_near_copies(spec, images)
        judge.prepare()
    from synthworth.training.compiling import decide as decide_compile

    cls, how = generators.get(spec.generator), bench.fitting
    reserve = images.reserve if getattr(cls, "needs_reserve", False) else None
    name = f"{spec.generator}-{digest(spec.fit_identity())[:12]}"
    budget, trains = spec.fit or Work(scratch).budget, getattr(cls, "trains", True)
    work = dataclasses.replace(
        bench.work(scratch, precision=spec.fit_precision, budget=budget, reserve=reserve),
        fitted=fitted, devices=how.devices if trains else 1, snapshot_epochs=how.snapshot_epochs,
        compile=trains and decide_compile(how.compile, device=bench.device, budget=budget),
        capture=how.compile != "no", copy_judge=judge,
    )  # fmt: skip
    config = bench.configs.get(spec.generator)
    model, threads = cls(config), fit_threads(cls(config), train, budget.steps, device=bench.device)
    shown = live_log(how.logger if rank == 0 else "none", folder=bench.store.home / "logs", run=name)
    with shown as log, repeatable(threads, device=bench.device):
        report: FitReport = model.fit(train, seed=spec.fit_seed, work=dataclasses.replace(work, log=log))
    if judge is not None and not any(map(is_copying, report.facts)):
        raise UserError(f"{spec.generator} has the option stop_at_copy_rate, and its fit does not look: see CopyStop")
    if rank == 0:
        model.save(out)
    return report


def fit_threads(model: Any, train: ImageSet, n_steps: int, *, device: str) -> int | None:
    """Threads of a fit on a CPU: as many as its steps are worth; None leaves them as they are."""
    if device != "cpu":
        return None
    import torch

    channels, size = int(train.images.shape[1]), int(train.images.shape[-1])
    shape = {"channels": channels, "size": size, "n_classes": train.n_classes, "multilabel": train.multilabel}
    known = ask_operations(model, **shape, n_steps=n_steps)
    return None if isinstance(known, str) else threads_for(known.of_a_step(), at_most=torch.get_num_threads())


def _fit_in_process(rank: int, experiment: Experiment, spec: RunSpec, out: Path, scratch: Path) -> FitReport:
    kind, _, _ = experiment.bench.device.partition(":")
    if kind == "cuda":
        experiment.bench.device = f"{kind}:{rank}"
    with repeatable(device=experiment.bench.device):
        return _fit(experiment, spec, out, scratch, rank=rank)


def write_history(file: Path, history: Sequence[Mapping[str, float]]) -> None:
    """The loss curve as CSV: a row for each entry, a column for each name in any of them."""
    columns = list(dict.fromkeys(name for row in history for name in row))
    lines = [",".join(columns), *(",".join(f"{row[c]:.6g}" if c in row else "" for c in columns) for row in history)]
    write_bytes(file, ("\n".join(lines) + "\n").encode())


def draw_pool(experiment: Experiment, arm: Arm) -> SyntheticSet | None:
    """The synthetic images of an arm: whole shards are drawn and kept, and their prefix is used."""
    spec, images, demanded = arm.spec, experiment.images, arm.demanded
    if not arm.draws:
        return None
    import torch

    fitted = fit_generator(experiment, spec)
    found = read_json(fitted.folder / "fit.json")["train_fingerprint"]
    learned = images.learned_from(spec).train.fingerprint()
    if found != learned:
        raise UserError(
            f"{spec.generator} was fitted on another train split ({found[:12]}) than this run's "
            f"({learned[:12]}). Delete {fitted.folder}"
        )
    loaded: list[Any] = []
    pictures, labels = [], []
    sieve = Sieve(experiment, spec) if spec.filters else None
    with Progress(f"drawing {spec.name}", demanded.total, unit="images") as bar:
        for stream, n in demanded.streams.items():
            taken = number = 0
            while taken < n:
                if number == MOST_SHARDS * n_shards(n, spec.shard):
                    refuse_starved(spec, stream, passed=taken, drawn=number * spec.shard, wanted=n)
                shard = _draw_shard(experiment, spec, fitted.folder, loaded, stream, number)
                drawn = read_array(shard / "images.npy")
                if len(drawn) < spec.shard and taken + len(drawn) < n:
                    refuse_exhausted(spec, stream, there=number * spec.shard + len(drawn), wanted=n)
                passing = np.arange(len(drawn))
                if sieve is not None:
                    passing = np.flatnonzero(sieve.passes(shard, spec.shard_identity(stream, number)))
                rows = passing[: n - taken]
                pictures.append(torch.from_numpy(drawn[rows]))
                labels.append(torch.from_numpy(read_array(shard / "labels.npy")[rows]))
                taken, number = taken + len(rows), number + 1
                bar.advance(len(rows))
    return SyntheticSet(
        torch.cat(pictures), torch.cat(labels), images.train.classes, arm.fit_key, images.train_fingerprint
    )


def refuse_exhausted(spec: RunSpec, stream: str, *, there: int, wanted: int) -> NoReturn:
    """Say how many images there are, where there are only so many.

    Raises
    ------
    UserError
        Always.
    """
    what = "label vectors, in the order in which they are asked for," if stream == VECTORS else f"images of {stream}"
    raise UserError(
        f"{spec.name} needs {wanted:,} images, and {there:,} {what} are all that {spec.generator} can answer without "
        "an image coming twice. Lower --ratio, or let images come again: --gen.repeat"
    )


def _labels_of(train: ImageSet, spec: RunSpec, stream: str, number: int) -> Tensor:
    """What a shard is asked for."""
    return stream_labels(train, stream, spec.shard, seed=seed_from(spec.shard_seed(stream, number), "labels"))


def _draw_shard(experiment: Experiment, spec: RunSpec, fit: Path, loaded: list[Any], stream: str, number: int) -> Path:
    import torch

    bench, images = experiment.bench, experiment.images

    def make(out: Path, _: Path) -> None:
        if not loaded:
            loaded.append(generators.get(spec.generator).load(fit, device=bench.device))
        seed = spec.shard_seed(stream, number)
        labels = _labels_of(images.train, spec, stream, number)
        drawn: Tensor
        if hasattr(loaded[0], "sample_next"):
            before = [_labels_of(images.train, spec, stream, k) for k in range(number)]
            drawn = loaded[0].sample_next(labels, earlier=torch.cat([labels[:0], *before]))
            labels = labels[: len(drawn)]
        else:
            drawn = loaded[0].sample(labels, seed=seed)
        if not isinstance(drawn, torch.Tensor):
            raise UserError(
                f"{spec.generator} drew a {type(drawn).__name__}; the contract asks for a tensor{from_array(drawn)}"
            )
        expected = (len(labels), *images.train.images.shape[1:])
        if tuple(drawn.shape) != expected or str(drawn.dtype) != "torch.uint8":
            raise UserError(
                f"{spec.generator} drew {drawn.dtype} {tuple(drawn.shape)}; the contract asks for uint8 {expected}"
            )
        write_array(out / "images.npy", drawn.cpu().numpy())
        write_array(out / "labels.npy", labels.numpy())

    return bench.keep("pool", spec.shard_identity(stream, number), make).folder
