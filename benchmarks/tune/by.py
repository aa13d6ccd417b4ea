"""What the trials of a search are compared by: its words, which way is better, and what else is told of a trial."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Named = Literal["utility", "fidelity"]


@dataclass(frozen=True)
class By:
    """What a trial's value is.

    Parameters
    ----------
    name : as `--by` takes it.
    says : how the value is called where it is printed and drawn.
    column : how it is called in trials.csv.
    higher : whether more is better.
    facts : what else is kept of a trial: user attributes in the storage, columns of trials.csv.
    """

    name: Named
    says: str
    column: str
    higher: bool
    facts: tuple[str, ...] = ()

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """As Optuna calls it."""
        return "maximize" if self.higher else "minimize"

    def word(self, value: float) -> str:
        """`AUROC on val 0.8123`, `FD 87.31`."""
        return f"{self.says} {self.number(value)}"

    def number(self, value: float) -> str:
        """A value with the digits that tell trials apart."""
        return f"{value:.4f}" if self.higher else f"{value:.2f}"


STEPS = "fit_steps"
"""The fact that says how many steps the fit of a trial took."""
NOTES = "notes"
"""User attribute of a trial: why facts of it are null, by their names."""
UTILITY = By("utility", "AUROC on val", "val_auroc", higher=True)
FIDELITY = By(
    "fidelity", "FD", "fd", higher=False,
    facts=(
        "consistency_auroc", "consistency", "precision", "recall", "n_drawn", STEPS, "gflop_fit", "gflop_film",
    ),
)  # fmt: skip
"""Frechet distance of the films drawn to the real training films. Beside it: the AUROC and the balanced accuracy with
which a classifier of the real training films sees the label that was asked for; improved precision and recall; films
drawn; steps of the fit; 1e9 operations of the fit, and of drawing one film."""
KINDS = {by.name: by for by in (UTILITY, FIDELITY)}
