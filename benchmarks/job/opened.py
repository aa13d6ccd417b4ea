"""A request opened: its bench, its prepared images, and its arms with their keys."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.job.elsewhere import foretell, open_externals, told_of
from benchmarks.job.plan import Known, check_plugins, specs_of
from benchmarks.job.precision import Precisions, resolve_precisions
from benchmarks.records.provenance import machine
from benchmarks.request.limits import check_size, limit_train, share_devices
from benchmarks.request.loggers import check_logger
from benchmarks.request.options import Options, Request
from benchmarks.request.remedies import REMEDIES
from benchmarks.request.spec import RunSpec
from benchmarks.stages.arm import Arm
from benchmarks.stages.bench import Bench, Fitting
from benchmarks.stages.elsewhere import STAGE, keys_elsewhere
from benchmarks.stages.experiment import Experiment
from benchmarks.stages.external import External
from benchmarks.stages.images import Images, prepare_data
from data.registry import datasets
from generators.registry import generators
from synthworth.devices import check_devices, resolve_device
from synthworth.keys import digest
from synthworth.store import Store
from synthworth.workers import n_workers

T = TypeVar("T")


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
            keys += [(STAGE, key) for key in keys_elsewhere(arm)]
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
    """A request as far as it is known before its images are."""

    request: Request
    bench: Bench
    dataset: Any
    precisions: Precisions

    @cached_property
    def specs(self) -> list[RunSpec]:
        """Of its arms, without what only the images tell. Refuses arms that cannot be."""
        channels, size = _foretold(self.dataset)
        others = foretell(self.request, channels=channels, size=size)
        return _specs(self.request, self.precisions, test_on=[one.told() for one in others])


@dataclass
class Shared:
    """What the requests of one sweep have in common, each made once. Objects are told by themselves, and kept.

    Parameters
    ----------
    known : arms of controls.
    images : of real images, by what they were made of.
    arms : by run id.
    externals : the other datasets of requests, by what asks for them and the images of the experiment.
    """

    known: Known = field(default_factory=dict)
    images: dict[str, Images] = field(default_factory=dict)
    arms: dict[str, Arm] = field(default_factory=dict)
    externals: dict[str, list[External]] = field(default_factory=dict)
    _made: dict[tuple[Any, ...], tuple[tuple[Any, ...], Any]] = field(default_factory=dict)

    def once(self, make: Callable[..., T], *of: Any) -> T:
        """`make(*of)`; what was made of the very same objects before, where it was."""
        key = make, *map(id, of)
        if key not in self._made:
            self._made[key] = of, make(*of)
        found: T = self._made[key][1]
        return found


def begin_request(request: Request, *, shared: Shared | None = None) -> Begun:
    """Refuse what is known to be wrong before an image is decoded.

    Raises
    ------
    UserError
        Naming it.
    """
    shared = shared or Shared()
    shared.once(check_size, request.options)
    shared.once(check_plugins, request.options)
    request = share_devices(request)
    bench = _of_request(shared.once(_bench_of, request.options), request)
    dataset = shared.once(_dataset, request.options.dataset, request.data)
    channels, size = shared.once(_foretold, dataset)
    precisions = resolve_precisions(request, bench.device, channels=channels, size=size)
    foretell(request, channels=channels, size=size)
    return Begun(request, bench, dataset, precisions)


def _dataset(name: str, config: Any) -> Any:
    return datasets.get(name)(config)


def _foretold(dataset: Any) -> tuple[int | None, int | None]:
    """Channels and size of images to come, as far as they are known."""
    found: tuple[int | None, int | None] = getattr(dataset, "foretold", lambda: (None, None))()
    return found


def open_bench(request: Request) -> Bench:
    """The store and the device of a request.

    Raises
    ------
    UserError
        When the device does not exist.
    """
    return _of_request(_bench_of(request.options), request)


def _of_request(bench: Bench, request: Request) -> Bench:
    """A bench of its own, with the Configs of this request."""
    configs = {**bench.configs, request.options.generator: request.gen, "clf": request.clf}
    return replace(bench, configs=configs, seconds={}, made={})


def _bench_of(o: Options) -> Bench:
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
        configs=controls,
        info={"device": device, "machine": machine(device)},
        fitting=Fitting(o.devices, o.compile, o.snapshot_epochs, o.logger),
    )


def open_prepared(
    request: Request, bench: Bench, dataset: Any, folder: Path, index: dict[str, Any], *,
    shared: Shared | None = None,
) -> Opened:  # fmt: skip
    """A request over a dataset that is prepared.

    Parameters
    ----------
    folder, index : of the dataset, as `prepare_data` gives them.
    shared : with requests opened before.
    """
    shared = shared or Shared()
    request = replace(request, options=shared.once(limit_train, request.options, index["splits"]["train"]["n"]))
    precisions = resolve_precisions(request, bench.device, channels=index["channels"], size=index["size"])
    others = digest([list(request.options.test_on), index["fingerprint"]])
    if others not in shared.externals:
        shared.externals[others] = open_externals(bench, request, index)
    externals = shared.externals[others]
    specs = _specs(
        request, precisions, fingerprint=str(index["fingerprint"]), known=shared.known, test_on=told_of(externals)
    )
    experiment = Experiment(bench, folder, dataset, specs[0], externals)
    known = shared.once(_images_of, folder, specs[0])  # points of a curve are drawn from the seed
    experiment.images = shared.images.setdefault(known, experiment.images)
    own = [shared.arms.setdefault(spec.run_id, Arm(spec, experiment.images)) for spec in specs]
    return Opened(request, bench, dataset, index, precisions, experiment, own)


def _images_of(folder: Path, spec: RunSpec) -> str:
    """What real images are made of."""
    return digest([folder, spec.data_identity(), spec.seed])


def _specs(
    request: Request, precisions: Precisions, *, fingerprint: str = "", known: Known | None = None,
    test_on: Sequence[Mapping[str, Any]] = (),
) -> list[RunSpec]:  # fmt: skip
    return specs_of(
        request, fingerprint=fingerprint, precision=precisions.classifier, generator_precision=precisions.generator,
        known=known, test_on=test_on,
    )  # fmt: skip


def open_request(request: Request, *, images: dict[str, Images] | None = None) -> Opened:
    """A request, its dataset prepared if it is not yet.

    Parameters
    ----------
    images : of requests opened before, by what they were made of; those with the same real images share them.
    """
    request = share_devices(request)
    bench = open_bench(request)
    dataset = datasets.get(request.options.dataset)(request.data)
    folder, index = prepare_data(bench, request.options.dataset, dataset)
    return open_prepared(request, bench, dataset, folder, index, shared=Shared(images={} if images is None else images))
