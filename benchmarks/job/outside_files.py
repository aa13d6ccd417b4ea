"""Weights and other files from elsewhere: can they be used? Asked before anything is prepared or trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from benchmarks.metrics.registry import EXTRACTORS, METRICS
from benchmarks.request.filters import FILTERS
from benchmarks.request.options import Request
from benchmarks.stages.arm import Arm
from benchmarks.stages.bench import Bench
from benchmarks.stages.copies import require_near_copies
from classifiers.registry import classifiers
from generators.registry import generators
from synthworth.errors import UserError

NEEDS = ("is_at_hand", "gives_logits", "literature_in", "extract")
"""What an extractor cannot do without."""


def check_outside_files(request: Request, dataset: Any, *, generator: bool = True, classifier: bool = True) -> None:
    """Let the plugins refuse what their options name and cannot be used (their optional `check_files`).

    A generator refuses a budget that is too short for its stages, too (`require_steps`). A dry run fetches nothing, so
    what lies on a hub is then not looked at.

    Parameters
    ----------
    generator, classifier : whether it is to be trained; what is stored needs no file any more.

    Raises
    ------
    UserError
        For what is missing, damaged or another's.
    """
    o = request.options
    channels, size = getattr(dataset, "foretold", lambda: (None, None))()
    asked = [(generators.get(o.generator), request.gen)] if generator else []
    asked += [(classifiers.get(o.classifier), request.clf)] if classifier else []
    for plugin, config in asked:
        if hasattr(plugin, "require_steps"):
            plugin.require_steps(config, o.fit.steps)
        if hasattr(plugin, "check_files"):
            plugin(config).check_files(fetch=not o.dry_run, channels=channels, size=size)
    if not o.dry_run:
        _check_measures(o.extractors, o.filters)


def _check_measures(extractors: Sequence[str], filters: Sequence[str]) -> None:
    """Refuse plugins that measure and are of the wrong kind, and damaged weights of those that are on this machine."""
    from generators.perceptual import find_weights, load_lpips

    for registry, names in ((METRICS, METRICS.names()), (FILTERS, filters)):
        for name in names:
            registry.get(name)
    for name in extractors:
        kind = EXTRACTORS.get(name)
        lacking = [need for need in NEEDS if not hasattr(kind, need)]
        if lacking:
            raise UserError(
                f"extractor {name!r} has no {', '.join(lacking)}, which is part of the contract. python -m "
                f"benchmarks.check {name} says what else is"
            )
        if hasattr(kind, "check_files") and kind.is_at_hand():
            kind(device="cpu").check_files()
    if find_weights() is not None:
        load_lpips(None)


def check_what_is_to_be_trained(bench: Bench, request: Request, dataset: Any, arms: Sequence[Arm]) -> None:
    """`check_outside_files` for what is not stored yet; and demands that a generator cannot meet.

    Raises
    ------
    UserError
        As `check_outside_files`, from `check_demand` of a generator that has only so many images, and where val cannot
        tell a generator that is to stop before it copies what a copy is.
    """
    fits = [arm.fit_key for arm in arms if arm.draws and arm.spec.generator == request.options.generator]
    check_outside_files(
        request, dataset, generator=not all(bench.store.has("fit", key) for key in fits),
        classifier=not all(bench.store.has("classify", key) for arm in arms for key in arm.classify_keys),
    )  # fmt: skip
    for key, arm in {arm.fit_key: arm for arm in arms if arm.draws}.items():
        if not bench.store.has("fit", key):
            require_near_copies(arm.spec, arm.images)
    plugin = generators.get(request.options.generator)
    drawn = [arm for arm in arms if arm.draws and arm.spec.generator == request.options.generator]
    if hasattr(plugin, "require_steps") and not all(bench.store.has("fit", arm.fit_key) for arm in drawn):
        for n_classes in {arm.images.train.n_classes for arm in drawn}:
            plugin.require_steps(request.gen, request.options.fit.steps, n_classes=n_classes)
    if hasattr(plugin, "check_demand"):
        for arm in drawn:
            if not all(bench.store.has("pool", key) for key in arm.shard_keys):
                plugin(request.gen).check_demand(arm.images.train, arm.demanded.streams)
