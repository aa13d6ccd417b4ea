"""An experiment: the bench and the real images that all arms of a request share, opened once in a process."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.request.spec import RunSpec
from benchmarks.stages.arm import Arm
from benchmarks.stages.bench import Bench
from benchmarks.stages.external import External
from benchmarks.stages.images import Images
from data.registry import datasets
from synthworth.keys import digest, seed_from

if TYPE_CHECKING:
    from benchmarks.statistics.resamples import Resamples


class Experiment:
    """What every arm of a request has in common: where it runs, its real images, the resamples of its test patients.

    It crosses to a worker process by what it is made of: a worker opens it once and keeps it, so that its images are
    read, hashed and gathered once, however many trainings it is given.
    """

    def __init__(
        self, bench: Bench, folder: Path, dataset: Any, spec: RunSpec, externals: Sequence[External] = ()
    ) -> None:
        """Open an experiment.

        Parameters
        ----------
        folder : of the prepared dataset.
        spec : any of its arms; they agree in everything that is read here.
        externals : the other datasets that are predicted on, in the order of `spec.test_on`.
        """
        self.externals = tuple(externals)
        self.bench, self.images, self.spec = bench, Images(folder, dataset, spec), spec
        self._latest: Arm | None = None

    @cached_property
    def resamples(self) -> Resamples:
        """Of the patients of the test split."""
        from benchmarks.statistics.resamples import Resamples

        seed = seed_from(self.spec.seed, "bootstrap")
        return Resamples.draw(self.images.test.groups, seed=seed, n_replicates=self.spec.n_bootstrap)

    def arm(self, spec: RunSpec) -> Arm:
        """The arm of a spec; the latest one is kept, for the seeds of an arm are trained one after the other."""
        if self._latest is None or self._latest.spec != spec:
            self._latest = Arm(spec, self.images)
        return self._latest

    def __reduce__(self) -> tuple[Any, ...]:
        bench = replace(self.bench, seconds={}, made={})
        return reopen, (bench, self.images.folder, self.images.dataset.config, self.spec, self.externals)


_open: dict[str, Experiment] = {}


def reopen(bench: Bench, folder: Path, config: Any, spec: RunSpec, externals: Sequence[External] = ()) -> Experiment:
    """The experiment of this process that is made of these; opened by the first call, one at a time is kept."""
    key = digest([folder, bench.device, spec])
    if key not in _open:
        _open.clear()
        _open[key] = Experiment(bench, folder, datasets.get(spec.dataset)(config), spec, externals)
    return _open[key]
