"""The classical remedies, as arms of the same table: real images alone, and a classifier that trains otherwise."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from synthworth.errors import UserError
from synthworth.work import Budget


@dataclass(frozen=True)
class Remedy:
    """What a remedy changes: options of the classifier, and whether it trains longer than every other arm."""

    summary: str
    options: Mapping[str, Any] = field(default_factory=dict)
    trains_longer: bool = False
    strength: tuple[str, ...] = ()
    """Options of the classifier that say how strong the remedy is."""


REMEDIES: Mapping[str, Remedy] = {
    "oversample": Remedy("rare classes drawn as often as common ones", {"sampling": "balanced"}),
    "class_weights": Remedy("rare classes count more in the loss", {"class_weights": True}),
    "randaugment": Remedy("RandAugment (Cubuk 2020)", {"augment": "randaugment"}),
    "mixup": Remedy("blends of two images (Zhang 2018)", {"blend": "mixup"}, strength=("blend_alpha",)),
    "cutmix": Remedy(
        "a rectangle of another image (Yun 2019)", {"blend": "cutmix", "blend_alpha": 1.0}, strength=("blend_alpha",)
    ),
    "longer": Remedy("more steps, by as much as the synthetic images are more", trains_longer=True),
}


def changes_of(name: str, found: Mapping[str, Any]) -> dict[str, Any]:
    """Options of the classifier that an arm changes: those of its remedy, and those that a search found for it."""
    return {**REMEDIES[name].options, **found} if name in REMEDIES else {}


def changed_options(name: str, known: Mapping[str, Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """The classifier's options under a remedy.

    Parameters
    ----------
    known : the options without it.
    found : what a search found for the remedy (`RunSpec.found`).

    Raises
    ------
    UserError
        When the classifier has no such option.
    """
    changes = changes_of(name, found)
    missing = sorted(set(changes) - set(known))
    if missing:
        raise UserError(
            f"--controls {name} sets the classifier's option {missing[0]!r}, and this classifier has none; leave it out"
        )
    return {**known, **changes}


def changed_config(name: str, config: Any, found: Mapping[str, Any]) -> Any:
    """The classifier's Config under a remedy; the same object for every other name.

    Parameters
    ----------
    found : what a search found for the remedy (`RunSpec.found`).
    """
    changes = changes_of(name, found)
    return dataclasses.replace(config, **changes) if changes else config


def changed_budget(name: str, budget: Budget, *, ratio: float) -> Budget:
    """The classifier's budget under a remedy.

    (1 + ratio) times the steps for the one that trains longer, which is what a fixed number of epochs would give an arm
    with so many more images.
    """
    if name in REMEDIES and REMEDIES[name].trains_longer:
        return dataclasses.replace(budget, steps=round(budget.steps * (1 + ratio)))
    return budget
