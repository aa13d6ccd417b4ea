"""The one import path of a plugin's author: every name a plugin needs, found when it is first used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from synthworth.registry import import_target

REGISTRIES = {
    "generator": "generators.registry:generators",
    "dataset": "data.registry:datasets",
    "classifier": "classifiers.registry:classifiers",
    "metric": "benchmarks.metrics.registry:METRICS",
    "extractor": "benchmarks.metrics.registry:EXTRACTORS",
    "filter": "benchmarks.request.filters:FILTERS",
}
"""Where the names of each kind of plugin are kept. These are addresses and not imports: this package is the ground
floor and imports nothing from above."""

WHERE = {
    # contracts, and what gives most of one
    "BaseDataset": "data.base",
    "BaseGenerator": "generators.base",
    "Classifier": "classifiers.base",
    "Dataset": "data.base",
    "Extractor": "benchmarks.metrics.extractors.base",
    "Generator": "generators.base",
    "Value": "benchmarks.metrics.value",
    # images
    "ImageSet": "data.images",
    "Split": "data.images",
    "SyntheticSet": "data.mixing",
    "TrainingMix": "data.mixing",
    "from_signed": "synthworth.images",
    "require_train": "data.images",
    "split_by_patient": "data.splits.by_patient",
    "to_rgb": "synthworth.images",
    "to_signed": "synthworth.images",
    "to_unit": "synthworth.images",
    # what a fit is given and reports
    "BatchConfig": "generators.options",
    "Budget": "synthworth.work",
    "FitReport": "synthworth.work",
    "Operations": "synthworth.cost",
    "PlannedPhase": "synthworth.cost",
    "Work": "synthworth.work",
    # errors
    "Diverged": "synthworth.errors",
    "Unavailable": "synthworth.errors",
    "UserError": "synthworth.errors",
    # identity and randomness
    "NOT_IDENTITY": "synthworth.keys",
    "draw_chunks": "generators.noise",
    "isolated_randomness": "synthworth.devices",
    "seed_from": "synthworth.keys",
    # what a search may try of an option
    "Between": "synthworth.search_space",
    "OneOf": "synthworth.search_space",
    "searched": "synthworth.search_space",
    "searched_inside": "synthworth.search_space",
    # files
    "read_array": "synthworth.artifacts",
    "read_json": "synthworth.artifacts",
    "read_tensors": "synthworth.artifacts",
    "write_array": "synthworth.artifacts",
    "write_json": "synthworth.artifacts",
    "write_tensors": "synthworth.artifacts",
    # training
    "BatchOrder": "synthworth.training.order",
    "PerClass": "generators.per_class",
    "Resident": "synthworth.training.near",
    "Snapshots": "generators.snapshots",
    "Trainer": "generators.training",
    "count_parameters": "synthworth.training.networks",
    "report_phases": "synthworth.training.reports",
    "run_steps": "synthworth.training.loop",
    # proof
    "check_plugin": "benchmarks.check.kinds",
    "parametrize_with_checks": "benchmarks.check.kinds",
}
"""Name -> module. A module is imported when one of its names is first used, so that a plugin which needs
`BaseGenerator` alone loads no torch."""

__all__ = ["register", *sorted(WHERE)]  # noqa: PLE0604 (a table, so that a name is written down once)


class Register:
    """`@register.generator("name")`, and the same for `dataset`, `classifier`, `metric`, `extractor` and `filter`.

    Each makes a class (a function, for a metric or a filter) available under a name in this process and in the worker
    processes that it starts.
    """

    def __getattr__(self, kind: str) -> Callable[[str], Callable[[Any], Any]]:
        if kind not in REGISTRIES:
            raise AttributeError(f"there is no register.{kind}; there are {', '.join(REGISTRIES)}")
        decorator: Callable[[str], Callable[[Any], Any]] = import_target(REGISTRIES[kind]).register
        return decorator

    def __dir__(self) -> list[str]:
        return sorted(REGISTRIES)


register = Register()


def __getattr__(name: str) -> Any:
    if name not in WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_target(f"{WHERE[name]}:{name}")


def __dir__() -> list[str]:
    return __all__
