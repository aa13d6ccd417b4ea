"""A generator of one class made conditional: a model of its own for every class."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from data.images import ImageSet
from generators.base import BaseGenerator, Generator
from synthworth.artifacts import ensure_folder, read_json, write_json
from synthworth.cost import Operations
from synthworth.errors import Diverged, UserError
from synthworth.keys import seed_from
from synthworth.work import FitReport, Work

if TYPE_CHECKING:
    from torch import Tensor

FACTS = "per_class.json"


ONE_CLASS = dict.fromkeys(("auxiliary", "conditioning"), "each network sees one class")
"""`idle` of GANs, whose networks are told no class here."""


class PerClass(BaseGenerator):
    """One model of `inner` a class, each fitted to the images of that class as if there were no other.

    A plugin's author writes a generator that ignores its labels, and::

        class MyPerClass(PerClass):
            inner = MyUnconditional

    `Config`, `trains`, `tiny_config` and what else the harness asks for are those of `inner`; `version` rises
    whenever either's does. The budget of steps (and of seconds) is shared equally, what does not divide goes to the
    first classes. Findings that co-occur have no class to share by: `tasks` is single alone.
    """

    inner: ClassVar[type]
    version: ClassVar[int] = 1
    tasks: ClassVar[tuple[str, ...]] = ("single",)

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "inner" in cls.__dict__:
            own = cls.__dict__.get("version", PerClass.version)
            cls.version = own + cls.inner.version - 1  # type: ignore[attr-defined]
            cls.trains = getattr(cls.inner, "trains", True)
            if "Config" not in cls.__dict__:
                cls.Config = cls.inner.Config  # type: ignore[attr-defined]

    @classmethod
    def least_steps(cls, config: Any, *, n_classes: int | None = None) -> int:
        """Those of the inner generator, for each class."""
        inner = getattr(cls.inner, "least_steps", None)
        return (inner(config) if inner else 1) * (n_classes or 1)

    @classmethod
    def tiny_config(cls) -> Any:
        """The inner generator's."""
        tiny = getattr(cls.inner, "tiny_config", None)
        return tiny() if tiny else cls.Config()

    @classmethod
    def version_of(cls, config: Any) -> int:
        """`version`, raised as the inner generator's is by this Config."""
        inner: Any = cls.inner
        return cls.version + (inner.version_of(config) - inner.version if hasattr(inner, "version_of") else 0)

    def check_files(self, *, fetch: bool, channels: int | None, size: int | None) -> None:
        """What the inner generator refuses; see `BaseGenerator`."""
        check = getattr(self.inner(self.config), "check_files", None)
        if check is not None:
            check(fetch=fetch, channels=channels, size=size)

    def operations(
        self, *, channels: int, size: int, n_classes: int, multilabel: bool, n_steps: int
    ) -> Operations | None:
        """What the inner generator says of images of one class; the models share the steps."""
        known = getattr(self.inner(self.config), "operations", None)
        if known is None:
            return None
        found: Operations | None = known(channels=channels, size=size, n_classes=1, multilabel=False, n_steps=n_steps)
        return None if found is None else replace(found, parameters=n_classes * found.parameters)

    def fit(self, train: ImageSet, *, seed: int, work: Work) -> FitReport:
        """Fit a model to every class in turn, each in a folder of its own below the work's; a second call goes on.

        Raises
        ------
        UserError
            For another split than train, findings that co-occur, a class without an image, or fewer steps than
            classes.
        """
        from synthworth.training.reports import join_reports

        self.require(train)
        n, steps = train.n_classes, work.budget.steps
        self.require_steps(self.config, steps, n_classes=n)
        self.models: list[Generator] = []
        reports: list[FitReport] = []
        for k, name in enumerate(train.classes):
            model, done = self.inner(self.config), sum(report.steps for report in reports)
            share = steps // n + (k < steps % n) if self.trains else steps
            seconds = work.budget.seconds and work.budget.seconds / n
            bench = replace(
                work,
                folder=ensure_folder(work.folder / folder_of(k)),
                budget=replace(work.budget, steps=share, seconds=seconds),
                log=moved(work.log, done),
            )
            try:
                reports.append(model.fit(only(train, k, name), seed=seed_from(seed, "class", k), work=bench))
            except Diverged as error:
                raise Diverged(f"the model of {name}: {error}") from error
            self.models.append(model)
        facts = {f"{fact}[{c}]": v for c, r in zip(train.classes, reports, strict=True) for fact, v in r.facts.items()}
        return join_reports(reports, label="class", first=0, facts=facts, counting_on=True)

    def sample(self, labels: Tensor, *, seed: int) -> Tensor:
        """Draw every image by the model of its class.

        A row depends on the seed, its label, and how many rows before it have that label: on no later row.

        Returns
        -------
        uint8 (N, C, H, W), row i drawn by the model of `labels[i]`.

        Raises
        ------
        UserError
            For a label that is none of the classes.
        """
        import torch

        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < len(self.models):
            found = f"{int(labels.min())}..{int(labels.max())}"
            raise UserError(f"labels {found} were asked for; there are {len(self.models)} classes, numbered from 0")
        rows = [torch.nonzero(labels == k)[:, 0] for k in range(len(self.models))]
        drawn = [
            model.sample(torch.zeros_like(rows[k]), seed=seed_from(seed, "class", k))
            for k, model in enumerate(self.models)
        ]
        images = drawn[0].new_empty((len(labels), *drawn[0].shape[1:]))
        for where, part in zip(rows, drawn, strict=True):
            images[where] = part
        return images

    def save(self, folder: Path) -> None:
        """Write every model into a folder of its own."""
        for k, model in enumerate(self.models):
            model.save(ensure_folder(folder / folder_of(k)))
        write_json(folder / FACTS, {"n_models": len(self.models)})

    @classmethod
    def load(cls, folder: Path, *, device: str) -> Self:
        """Read what `save` wrote."""
        n = read_json(folder / FACTS)["n_models"]
        models = [cls.inner.load(folder / folder_of(k), device=device) for k in range(n)]  # type: ignore[attr-defined]
        model = cls(getattr(models[0], "config", None))
        model.models = models
        return model


def folder_of(k: int) -> str:
    """Where the model of class k lies."""
    return f"class-{k}"


def only(train: ImageSet, k: int, name: str) -> ImageSet:
    """The images of class k as a set of one class: its labels are all 0."""
    import torch

    mine = train.subset(np.flatnonzero(train.labels.numpy() == k))
    return replace(mine, labels=torch.zeros_like(mine.labels), classes=(name,))


def moved(log: Callable[..., None], steps: int) -> Callable[..., None]:
    """A log whose steps count on from `steps`."""

    def moved_log(step: int, **scalars: float) -> None:
        log(steps + step, **scalars)

    return moved_log
