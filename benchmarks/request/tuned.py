"""That an arm was chosen among others on val: the mark that its spec carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Tuned:
    """That an arm of a request was chosen among others on val, and what the choice found for a remedy.

    Parameters
    ----------
    arm : the generator, or the remedy, whose arms are marked.
    study, trials, space : name of the search, trials it had in all, and digest of what it searched.
    options : of the classifier, that a remedy changes beside its own.
    """

    arm: str
    study: str
    trials: int
    space: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def mark(self) -> dict[str, Any]:
        """What stands in a spec."""
        return {"study": self.study, "trials": self.trials, "space": self.space}
