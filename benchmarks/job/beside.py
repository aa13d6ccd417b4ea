"""Which generators are fitted by a worker, beside the classifiers that need nothing of them."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.request.spec import RunSpec
from benchmarks.stages.arm import Arm
from benchmarks.stages.bench import Bench
from benchmarks.stages.experiment import Experiment
from benchmarks.stages.generator import fit_threads
from generators.registry import generators
from synthworth.keys import digest
from synthworth.threads import share_of_cores


def goes_beside(bench: Bench, threads: int | None) -> bool:
    """Whether a fit that is worth so many threads loses nothing where a worker trains it.

    A worker has its share of the cores. Where the fit is worth no more, this process would leave the others idle.

    Parameters
    ----------
    threads : None where it is not known: such a fit has all cores to itself.
    """
    if bench.device != "cpu" or bench.workers == 1 or bench.fitting.devices > 1 or threads is None:
        return False
    return threads <= share_of_cores(bench.workers)


def groups_beside(experiment: Experiment, arms: Sequence[Arm]) -> list[list[Arm]]:
    """Arms whose generator is to be fitted by a worker, those of one training together.

    They are those of a fit that is not there yet. Filters may ask for a classifier that is trained later: arms that are
    filtered are drawn in this process.
    """
    groups: dict[str, list[Arm]] = {}
    for arm in arms:
        if arm.draws:
            groups.setdefault(key_of(arm.spec), []).append(arm)
    return [
        group
        for key, group in groups.items()
        if not any(arm.spec.filters for arm in group)
        and not experiment.bench.store.has("fit", key)
        and _fits_in_a_worker(experiment, root_of(group[0].spec))
    ]


def root_of(spec: RunSpec) -> RunSpec:
    """The arm whose generator is trained: the one that a control shows a part of, or the arm itself."""
    return spec.fitted_on() or spec


def key_of(spec: RunSpec) -> str:
    """Of the training of an arm's generator; empty for real images alone."""
    return "" if spec.is_real_only else digest(root_of(spec).fit_identity())


def _fits_in_a_worker(experiment: Experiment, spec: RunSpec) -> bool:
    bench, cls = experiment.bench, generators.get(spec.generator)
    if spec.fit is None or not getattr(cls, "trains", True):
        return False
    model = cls(bench.configs.get(spec.generator))
    threads = fit_threads(model, experiment.images.learned_from(spec).train, spec.fit.steps, device=bench.device)
    return goes_beside(bench, threads)
