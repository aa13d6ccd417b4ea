"""What a trial is worth by what it draws: its Frechet distance to the real training films; test is never looked at."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from benchmarks.job.opened import Opened, open_request
from benchmarks.job.plan import check_classes
from benchmarks.judging.fidelity import Fidelity, consistency_of
from benchmarks.metrics.frechet import MIN_N
from benchmarks.metrics.registry import EXTRACTORS, metric_named
from benchmarks.request.options import Request
from benchmarks.request.spec import NONE
from benchmarks.stages.classifier import train_classifier
from benchmarks.stages.generator import draw_pool
from benchmarks.stages.images import Images
from benchmarks.tune.by import FIDELITY
from benchmarks.tune.equal import shape_of
from generators.registry import generators
from synthworth.artifacts import read_json
from synthworth.cost import ask_operations
from synthworth.devices import repeatable
from synthworth.errors import Unavailable, UserError

if TYPE_CHECKING:
    from benchmarks.metrics.value import Value
    from benchmarks.stages.arm import Arm


@dataclass(frozen=True)
class Drawn:
    """What the films of a trial came to.

    Parameters
    ----------
    fd : to the real training films, 0 or more; lower is nearer.
    facts : those of `FIDELITY`; None where one cannot be computed.
    notes : why, by the fact's name.
    """

    fd: float
    facts: dict[str, Any]
    notes: dict[str, str]


def measure_drawn(request: Request, extractor: str, *, images: dict[str, Images]) -> Drawn:
    """Fit the generator of the arm that the request marks as tuned, draw its films, and compare them with real ones.

    Everything is made by the stages of a run and kept under its keys. The real films are those that the generator
    learned from. The classifier that looks for the label asked for is the first of the real-only arm: one training,
    which every trial of a study finds in the store; its artifact holds predictions on test, which are not read.

    Parameters
    ----------
    request : its first training of the generator counts.
    extractor : registered name of the network that gives the features.
    images : of trials before.

    Raises
    ------
    Diverged, UserError
        As a run; and where there is no distance.
    """
    opened = open_request(alone(request), images=images)
    experiment, bench = opened.experiment, opened.bench
    arm = next(arm for arm in opened.arms if arm.spec.tuned)
    judge = next(arm for arm in opened.arms if arm.spec.is_zero_line)
    check_classes(experiment.images, [arm.spec])
    with repeatable(device=bench.device):
        arm.pool = draw_pool(experiment, arm)
        assert arm.pool is not None
        model = train_classifier(experiment, judge, 0).folder / "model"
        source = experiment.images.learned_from(arm.spec)
        measured = Fidelity(bench, source, replace(arm.spec, extractors=(extractor,)))
        if extractor in measured.unavailable:
            raise UserError(f"{extractor} gives no features any more: {measured.unavailable[extractor]}")
        features = {"real": measured.features(extractor, "train").features,
                    "fake": measured.drawn(extractor, arm).features}  # fmt: skip
        found = metric_named("fd").measure(**features) | metric_named("prdc").measure(**features)
        found |= consistency_of(arm.pool, judge.spec.classifier, model, device=bench.device)
    fd = found["fd"]
    if fd.value is None:
        raise UserError(f"there is no Frechet distance: {fd.note}")
    return _told(fd.value, found, _costs(opened, arm), len(arm.pool))


def alone(request: Request) -> Request:
    """The request with nothing but its first training of the generator and real images alone."""
    o = request.options
    return replace(request, options=replace(
        o, generator_seed=o.generator_seed[:1], controls=(NONE,), curve=(), without_copies=False, test_on=(),
        robustness=False,
    ))  # fmt: skip


def _told(fd: float, found: dict[str, Value], costs: dict[str, Any], n_drawn: int) -> Drawn:
    named = {
        "consistency_auroc": "class_consistency_auroc", "consistency": "class_consistency",
        "precision": "manifold_precision", "recall": "manifold_recall",
    }  # fmt: skip
    facts: dict[str, Any] = {"n_drawn": n_drawn}
    notes: dict[str, str] = {}
    for fact, name in named.items():
        value = found.get(name)
        facts[fact] = None if value is None else value.value
        if value is None or value.value is None:
            notes[fact] = "needs one class an image" if value is None else str(value.note)
    for fact, cost in costs.items():
        facts[fact] = None if isinstance(cost, str) else cost
        if isinstance(cost, str):
            notes[fact] = cost
    return Drawn(fd, {name: facts[name] for name in FIDELITY.facts}, notes)


def _costs(opened: Opened, arm: Arm) -> dict[str, Any]:
    """Steps and 1e9 operations of the fit, and of drawing one film; a text says why one is not known."""
    bench, name = opened.bench, arm.spec.generator
    report = read_json(bench.store.path("fit", arm.fit_key) / "fit.json")
    cost = report["cost"]
    each = cost["gflop_per_image"]
    known = ask_operations(
        generators.get(name)(bench.configs.get(name)), **shape_of(arm.images.train), n_steps=max(1, report["steps"])
    )
    return {
        "fit_steps": report["steps"],
        "gflop_fit": str(cost["notes"].get("gflop_per_image", "not known")) if each is None
        else each * cost["images_seen"],
        "gflop_film": known if isinstance(known, str) else known.use / 1e9,
    }  # fmt: skip


# -- before anything is made ----------------------------------------------------------------------------------------


def extractor_of(opened: Opened) -> str:
    """The first of the request's feature networks that works here.

    Raises
    ------
    UserError
        Where none does; says of each why.
    """
    o, reasons = opened.request.options, []
    for name in o.extractors:
        try:
            EXTRACTORS.get(name)(device=opened.bench.device, precision=o.extractor_precision)
        except Unavailable as reason:
            reasons.append(f"{name}: {reason}")
        else:
            return name
    raise UserError(f"--by fidelity needs a feature network, and none works here ({'; '.join(reasons)}). "
                    "efficientnet_lite0 needs no file: --extractors efficientnet_lite0")  # fmt: skip


def refuse_few(opened: Opened) -> None:
    """Refuse a request whose films would be too few for a Frechet distance.

    Raises
    ------
    UserError
        Naming how many there are, and how many are needed.
    """
    arm = next(arm for arm in opened.arms if arm.spec.generator == opened.request.options.generator)
    n_drawn, n_real = arm.demanded.total, len(opened.experiment.images.learned_from(arm.spec).train)
    if n_drawn < MIN_N:
        raise UserError(
            f"--by fidelity: {n_drawn} films are drawn at --ratio {arm.spec.ratio:g} (--mode {arm.spec.mode}), and a "
            f"Frechet distance needs {MIN_N}; raise --ratio"
        )
    if n_real < MIN_N:
        raise UserError(
            f"--by fidelity: there are {n_real} real training films, and a Frechet distance needs {MIN_N}; take more "
            "of them"
        )
