"""That an arm was chosen among others by a search: the mark that its spec carries."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Tuned:
    """That an arm of a request was chosen among others, and what the choice found for a remedy.

    Parameters
    ----------
    arm : the generator, or the remedy, whose arms are marked.
    study, trials, space : name of the search, trials it had in all, and digest of what it searched.
    options : of the classifier, that a remedy changes beside its own.
    by : what the choice went by: AUROC on val, or, for `fidelity`, how far the films drawn are from the training films.
    """

    arm: str
    study: str
    trials: int
    space: str
    options: Mapping[str, Any] = field(default_factory=dict)
    by: Literal["", "fidelity"] = ""

    def mark(self) -> dict[str, Any]:
        """What stands in a spec."""
        mark: dict[str, Any] = {"study": self.study, "trials": self.trials, "space": self.space}
        return {**mark, "by": self.by} if self.by else mark
