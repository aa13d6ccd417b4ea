"""Which kind of plugin something is, and the proofs of each kind: `check_plugin`, `parametrize_with_checks`."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal, get_args

from benchmarks.check.checks import generator_proofs
from benchmarks.check.classifiers import classifier_proofs
from benchmarks.check.datasets import dataset_proofs
from benchmarks.check.extractors import extractor_proofs
from benchmarks.check.functions import filter_proofs, metric_proofs
from benchmarks.check.result import CheckResult, Proof
from synthworth.errors import UserError

Kind = Literal["generator", "dataset", "classifier", "metric", "extractor", "filter"]
KINDS: tuple[str, ...] = get_args(Kind)
METHODS = {
    "generator": ("fit", "sample", "load"),
    "classifier": ("fit", "predict", "load"),
    "dataset": ("prepare", "load"),
    "extractor": ("extract", "forward"),
}
"""A class is of the first kind whose methods it has."""


def kind_of(plugin: Any) -> str:
    """The kind of a class, by its methods; of a function, by whether its first argument is one that filters alone get.

    Raises
    ------
    UserError
        For what is none of them.
    """
    if inspect.isclass(plugin):
        for kind, methods in METHODS.items():
            if all(hasattr(plugin, name) for name in methods):
                return kind
        wanted = "; ".join(f"{kind}: {', '.join(methods)}" for kind, methods in METHODS.items())
        raise UserError(f"{plugin.__name__} is no plugin: it lacks methods. A class has, by kind, {wanted}")
    if callable(plugin):
        first = next(iter(inspect.signature(plugin).parameters), "")
        return "filter" if first in ("images", "labels", "probabilities", "distance", "real_distance") else "metric"
    raise UserError(f"{plugin!r} is neither a class nor a function, so it is no plugin; give one with --kind")


def proofs_of(
    plugin: Any,
    *,
    kind: str | None = None,
    multilabel: bool | None = None,
    channels: int = 1,
    size: int = 32,
    config: Any = None,
) -> list[Proof]:
    """Every check of a plugin, ready to run.

    Parameters
    ----------
    kind : of what it is; found from its methods or arguments where it is left out.
    multilabel, channels, size : of the images that a generator or classifier learns from; without `multilabel` both
        one class an image and findings that co-occur, as far as its `tasks` go.
    config : what a generator, classifier or dataset is made with, in the place of its smallest.
    """
    kind = kind or kind_of(plugin)
    if kind in ("generator", "classifier"):
        make = generator_proofs if kind == "generator" else classifier_proofs
        if multilabel is not None:
            return make(plugin, multilabel=multilabel, channels=channels, size=size, config=config)
        look: dict[str, Any] = {"channels": channels, "size": size, "config": config}
        return [
            proof
            for task in getattr(plugin, "tasks", ("single", "multi"))
            for proof in make(plugin, multilabel=task == "multi", prefix=f"{task}_", **look)
        ]
    if kind == "dataset":
        return dataset_proofs(plugin, config=config)
    return {"metric": metric_proofs, "extractor": extractor_proofs, "filter": filter_proofs}[kind](plugin)


def check_plugin(plugin: Any, **options: Any) -> list[CheckResult]:
    """Prove that a plugin of any kind keeps its contract.

    Parameters
    ----------
    options : as for `parametrize_with_checks`.

    Returns
    -------
    list of CheckResult
        One a check; nothing is raised for a plugin that is broken, however it is.
    """
    return [proof.result() for proof in proofs_of(plugin, **options)]


def parametrize_with_checks(plugin: Any, **options: Any) -> Callable[[Any], Any]:
    """A pytest decorator: the test below it is called with each check of the plugin in turn, as `check`.

    In the way of scikit-learn's decorator of the same name. In the plugin's own tests:

        @parametrize_with_checks(MyGenerator)
        def test_it_keeps_the_contract(check):
            check()

    A check that fails raises AssertionError; the first line of its message is the error, the second what was expected.

    Parameters
    ----------
    options : `kind`, `multilabel`, `channels`, `size`, `config`; see `proofs_of`.
    """
    import pytest

    made = proofs_of(plugin, **options)
    return pytest.mark.parametrize("check", made, ids=[proof.name for proof in made])
