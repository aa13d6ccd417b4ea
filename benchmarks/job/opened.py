"""A request opened: its bench, its prepared images, and its arms with their keys."""

from __future__ import annotations

from collections.abc import MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.job.plan import check_plugins, specs_of
from benchmarks.job.precision import Precisions, resolve_precisions
from benchmarks.records.provenance import machine
from benchmarks.request.limits import check_size, limit_train, share_devices
from benchmarks.request.loggers import check_logger
from benchmarks.request.options import Request
from benchmarks.request.remedies import REMEDIES
from benchmarks.request.spec import RunSpec
from benchmarks.stages.arm import Arm
from benchmarks.stages.bench import Bench, Fitting
from benchmarks.stages.experiment import Experiment
from benchmarks.stages.images import Images, prepare_data
from data.registry import datasets
from generators.registry import generators
from synthworth.devices import check_devices, resolve_device
from synthworth.keys import digest
from synthworth.store import Store
from synthworth.workers import n_workers


@dataclass
class Opened:
    """A request whose images are prepared.

    Parameters
    ----------
    request : with what the number of images decides.
    index : of the prepared dataset.
    arms : controls first.
    """

    request: Request
    bench: Bench
    dataset: Any
    index: dict[str, Any]
    precisions: Precisions
    experiment: Experiment
    arms: list[Arm]

    def note_use(self) -> None:
        """Leave the hour on every stored artifact that the arms are made of: whoever tidies up keeps what is new."""
        for arm in self.arms:
            keys = [("classify", key) for key in arm.classify_keys]
            if arm.draws:
                keys += [("fit", arm.fit_key), *(("pool", key) for key in arm.shard_keys)]
            for kind, key in keys:
                self.bench.store.note_use(kind, key)

    @property
    def specs(self) -> list[RunSpec]:
        """Of the arms."""
        return [arm.spec for arm in self.arms]


@dataclass(frozen=True)
class Begun:
    """A request as far as it is known before its images are.

    Parameters
    ----------
    specs : of its arms, without what only the images tell.
    """

    request: Request
    bench: Bench
    dataset: Any
    precisions: Precisions
    specs: list[RunSpec]


def begin_request(request: Request) -> Begun:
    """Refuse what is known to be wrong before an image is decoded.

    Raises
    ------
    UserError
        Naming it.
    """
    check_size(request.options)
    check_plugins(request.options)
    request = share_devices(request)
    bench = open_bench(request)
    dataset = datasets.get(request.options.dataset)(request.data)
    channels, size = getattr(dataset, "foretold", lambda: (None, None))()
    precisions = resolve_precisions(request, bench.device, channels=channels, size=size)
    return Begun(request, bench, dataset, precisions, _specs(request, precisions))


def open_bench(request: Request) -> Bench:
    """The store and the device of a request.

    Raises
    ------
    UserError
        When the device does not exist.
    """
    o = request.options
    store = Store.open(o.home)
    device = resolve_device(o.device)
    check_devices(o.devices, device=device)
    check_logger(o.logger)
    classes = {name: generators.get(name) for name in o.controls if name not in REMEDIES}
    controls = {
        name: cls.Config(generator=o.generator)
        for name, cls in classes.items()
        if getattr(cls, "needs_generator", False)
    }
    return Bench(
        store=store,
        device=device,
        workers=n_workers(o.workers, device=device),
        checkpoint_seconds=o.checkpoint_seconds,
        configs={**controls, o.generator: request.gen, "clf": request.clf},
        info={"device": device, "machine": machine(device)},
        fitting=Fitting(o.devices, o.compile, o.snapshot_epochs, o.logger),
    )


def open_prepared(
    request: Request, bench: Bench, dataset: Any, folder: Path, index: dict[str, Any], *,
    images: MutableMapping[str, Images] | None = None,
) -> Opened:  # fmt: skip
    """A request over a dataset that is prepared.

    Parameters
    ----------
    folder, index : of the dataset, as `prepare_data` gives them.
    images : of requests opened before, by what they were made of; those with the same real images share them.
    """
    request = limit_train(request, n_train=index["splits"]["train"]["n"])
    precisions = resolve_precisions(request, bench.device, channels=index["channels"], size=index["size"])
    specs = _specs(request, precisions, fingerprint=str(index["fingerprint"]))
    experiment = Experiment(bench, folder, dataset, specs[0])
    if images is not None:
        known = digest([folder, specs[0].data_identity(), specs[0].seed])  # points of a curve are drawn from the seed
        experiment.images = images.setdefault(known, experiment.images)
    return Opened(
        request, bench, dataset, index, precisions, experiment, [Arm(spec, experiment.images) for spec in specs]
    )


def _specs(request: Request, precisions: Precisions, *, fingerprint: str = "") -> list[RunSpec]:
    return specs_of(
        request, fingerprint=fingerprint, precision=precisions.classifier, generator_precision=precisions.generator
    )


def open_request(request: Request, *, images: MutableMapping[str, Images] | None = None) -> Opened:
    """A request, its dataset prepared if it is not yet."""
    request = share_devices(request)
    bench = open_bench(request)
    dataset = datasets.get(request.options.dataset)(request.data)
    folder, index = prepare_data(bench, request.options.dataset, dataset)
    return open_prepared(request, bench, dataset, folder, index, images=images)
