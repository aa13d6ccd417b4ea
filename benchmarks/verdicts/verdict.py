"""The word that a comparison earns, decided here for every place that says one; and the verdict, a sentence of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from benchmarks.request.spec import NONE
from benchmarks.statistics.word import too_few_seeds, word_of_interval
from benchmarks.verdicts.sentences import difference_sentence

Comparison = Mapping[str, Any]
"""A paired difference as a record's `comparisons` hold it."""
SPELT_OUT = ("duplicate",)
"""Controls beside real images alone whose difference is written in the sentence; the others' are in the table."""
MIN_TRAININGS = 3
"""Fewest trainings of a generator that give a verdict: with two, the interval covers 92 to 98 % and not 95
(docs/decisions.md)."""


class Kind(StrEnum):
    """What can be said of an arm against another; the value is how a table says it."""

    HELPS = "helps"
    HURTS = "hurts"
    NO_DIFFERENCE = "no difference shown"
    SCREENING = "screening only"
    UNEQUAL = "unequal compute"
    NOT_COMPARED = "not compared"


@dataclass(frozen=True)
class Word:
    """A word with what belongs to it; tables say `short`, sentences say `loud`.

    Parameters
    ----------
    kind : the word alone.
    detail : why nothing is said (`SCREENING`, `UNEQUAL`), or that the arms are shown to be equivalent
        (`NO_DIFFERENCE`); empty where there is nothing to add.
    unbeaten : names of the controls that an arm which helps is not shown to beat.
    """

    kind: Kind
    detail: str = ""
    unbeaten: tuple[str, ...] = ()

    @property
    def short(self) -> str:
        """A word or two, for instance `helps, not shown to beat duplicate`."""
        return f"{self.kind}, not shown to beat {' or '.join(self.unbeaten)}" if self.unbeaten else str(self.kind)

    @property
    def loud(self) -> str:
        """The word as a sentence begins with it, for instance `SCREENING ONLY, 3 seeds cannot reach p < 0.05`."""
        said = self.kind.upper()
        if self.unbeaten:
            said += f", BUT NOT SHOWN TO BEAT {' OR '.join(self.unbeaten).upper()}"
        return f"{said}, {self.detail}" if self.detail else said


def word_of(row: Comparison | None, others: Mapping[str, Comparison] | None = None) -> Word:
    """Decide the word of one comparison.

    Parameters
    ----------
    row : the comparison that is judged: with real images alone, or of any two arms. None where there is none. Read
        are `low`, `high` (difference of AUROC, -1..1) and `n_seeds`; and where they are there `unequal` (in what the
        compute of the two differs), `equivalence`, and `n_trainings`, of the generator.
    others : the same arm's comparisons with further controls, by name; an arm that helps is measured against them too.

    Returns
    -------
    Word
        Unequal compute comes first, then too few seeds or trainings, then the interval.
    """
    if row is None:
        return Word(Kind.NOT_COMPARED)
    if row.get("unequal"):
        return Word(Kind.UNEQUAL, row["unequal"])
    if reason := _too_few(row):
        return Word(Kind.SCREENING, reason)
    kind = Kind(_interval(row))
    if kind is Kind.HELPS:
        return Word(kind, unbeaten=tuple(name for name, other in (others or {}).items() if _interval(other) != "helps"))
    equivalence = row.get("equivalence") or {}
    return Word(kind, equivalence["sentence"] if kind is Kind.NO_DIFFERENCE and equivalence.get("equivalent") else "")


def word_of_arm(comparisons: Mapping[str, Comparison]) -> Word:
    """Decide the word of an arm from its comparisons by control: the gain over real images alone, then the others."""
    return word_of(comparisons.get(NONE), {name: row for name, row in comparisons.items() if name != NONE})


def _too_few(row: Comparison) -> str | None:
    if reason := too_few_seeds(row["n_seeds"]):
        return reason
    n = row.get("n_trainings", MIN_TRAININGS)
    return f"{n} trainings are fewer than {MIN_TRAININGS}" if n < MIN_TRAININGS else None


def _interval(row: Comparison) -> str:
    return word_of_interval(row["low"], row["high"], n_seeds=row["n_seeds"])


def verdict(name: str, comparisons: Mapping[str, Comparison]) -> str:
    """Say in one sentence what is shown of an arm: its word, and the differences that the word comes from.

    Parameters
    ----------
    name : of the arm.
    comparisons : by control, as in its record.
    """
    if NONE not in comparisons:
        return f"{name}: not compared with real images alone"
    differences = [f"{difference_sentence(comparisons[NONE])} against real images alone"]
    differences += [f"{difference_sentence(comparisons[c])} against {c}" for c in comparisons if c in SPELT_OUT]
    return f"{word_of_arm(comparisons).loud}. {name}: {'; '.join(differences)}"
