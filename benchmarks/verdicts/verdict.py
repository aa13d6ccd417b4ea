"""The word that a comparison earns, decided here for every place that says one; and the verdict, a sentence of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from benchmarks.request.spec import NONE
from benchmarks.statistics.word import too_few_seeds, word_of_interval
from benchmarks.verdicts.sentences import control_sentence, difference_sentence, doubts, p_text, power_sentence

Comparison = Mapping[str, Any]
"""A paired difference as a record's `comparisons` hold it."""
SPELT_OUT = ("duplicate", "shared_real")
"""Controls beside real images alone whose difference is written in the sentence; the others' are in the table."""
UPPER_BOUNDS = ("shared_real",)
"""Controls that an arm is not meant to beat: no verdict holds against it that it does not."""
ALPHA = 0.05
"""Holm's p from which a finding is none."""
MIN_TRAININGS = 3
"""Fewest trainings of a generator that give a verdict: with two, the interval covers 92 to 98 % and not 95
(docs/decisions.md)."""
MIN_FAMILIES = 3
"""Fewest classifier families that give a verdict over families, for the same reason."""


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
    detail : why nothing is said (`SCREENING`, `UNEQUAL`); that the arms are shown to be equivalent, or that Holm's
        correction takes the finding away (`NO_DIFFERENCE`); empty where there is nothing to add.
    unbeaten : names of the controls that an arm which helps is not shown to beat.
    below : the margin, where an arm is shown to help or hurt by less than it; None elsewhere.
    control_failed : whether the positive control was run and is not shown to help.
    """

    kind: Kind
    detail: str = ""
    unbeaten: tuple[str, ...] = ()
    below: float | None = None
    control_failed: bool = False

    @property
    def short(self) -> str:
        """A word or two, for instance `helps, not shown to beat duplicate`."""
        said = str(self.kind)
        if self.below is not None:
            said += f" by less than {self.below:g}"
        if self.unbeaten:
            said += f", not shown to beat {' or '.join(self.unbeaten)}"
        return f"{said} (positive control not shown)" if self.control_failed else said

    @property
    def loud(self) -> str:
        """The word as a sentence begins with it, for instance `SCREENING ONLY, 3 seeds cannot reach p < 0.05`."""
        said = self.kind.upper()
        if self.below is not None:
            said += f", BY LESS THAN THE MARGIN OF {self.below:g}"
        if self.unbeaten:
            said += f", BUT NOT SHOWN TO BEAT {' OR '.join(self.unbeaten).upper()}"
        return f"{said}, {self.detail}" if self.detail else said


def word_of(
    row: Comparison | None,
    others: Mapping[str, Comparison] | None = None,
    *,
    adjusted: float | None = None,
    positive: Mapping[str, Any] | None = None,
) -> Word:
    """Decide the word of one comparison.

    Parameters
    ----------
    row : the comparison that is judged: with real images alone, or of any two arms. None where there is none. Read
        are `difference`, `low`, `high` (of AUROC, -1..1) and `n_seeds`; and where they are there `unequal` (in what the
        compute of the two differs), `equivalence`, `n_trainings`, of the generator, and `n_families`, of classifiers.
    others : the same arm's comparisons with further controls, by name; an arm that helps is measured against them too.
    adjusted : the comparison's p after Holm's correction over a table; the word of a table is decided by it.
    positive : the positive control's own gain (`positive_control` of a record), where it was run.

    Returns
    -------
    Word
        Unequal compute comes first, then too few seeds, trainings or families, then the interval, then Holm's p.
    """
    if row is None:
        return Word(Kind.NOT_COMPARED)
    if row.get("unequal"):
        return Word(Kind.UNEQUAL, row["unequal"])
    if reason := _too_few(row):
        return Word(Kind.SCREENING, reason)
    kind, equivalence = Kind(_interval(row)), row.get("equivalence") or {}
    failed = positive is not None and positive["shown"] is False
    if kind is Kind.NO_DIFFERENCE:
        return Word(kind, equivalence["sentence"] if equivalence.get("equivalent") else "", control_failed=failed)
    if adjusted is not None and adjusted >= ALPHA:
        detail = f"p {p_text(adjusted)} after Holm's correction for the other arms of the table"
        return Word(Kind.NO_DIFFERENCE, detail, control_failed=failed)
    margin = equivalence.get("margin")
    below = margin if margin is not None and abs(row["difference"]) < margin else None
    # in one order, however the record was read: its names are sorted once it is written
    unbeaten = tuple(name for name, other in sorted((others or {}).items()) if _interval(other) != "helps")
    return Word(kind, unbeaten=unbeaten if kind is Kind.HELPS else (), below=below, control_failed=failed)


def word_of_arm(
    comparisons: Mapping[str, Comparison],
    *,
    adjusted: float | None = None,
    positive: Mapping[str, Any] | None = None,
) -> Word:
    """Decide the word of an arm from its comparisons by control: the gain over real images alone, then the others.

    Parameters
    ----------
    adjusted, positive : as for `word_of`.
    """
    others = {name: row for name, row in comparisons.items() if name not in (NONE, *UPPER_BOUNDS)}
    return word_of(comparisons.get(NONE), others, adjusted=adjusted, positive=positive)


def _too_few(row: Comparison) -> str | None:
    if reason := too_few_seeds(row["n_seeds"]):
        return reason
    for field, what, least in (
        ("n_trainings", "trainings", MIN_TRAININGS),
        ("n_families", "classifiers", MIN_FAMILIES),
    ):
        if (n := row.get(field, least)) < least:
            return f"{n} {what} are fewer than {least}"
    return None


def _interval(row: Comparison) -> str:
    return word_of_interval(row["low"], row["high"], n_seeds=row["n_seeds"])


def on_test_set(spec: Mapping[str, Any], name: str, test_set: str = "") -> str:
    """How a verdict calls an arm that is tested on several sets: with the set that it is about.

    Parameters
    ----------
    spec : of the arm, in plain form.
    test_set : the name of another dataset; empty for the experiment's own test split.
    """
    if test_set:
        return f"{name} on {test_set}"
    return f"{name} on its own test split" if spec.get("test_on") else name


def verdict(
    name: str,
    comparisons: Mapping[str, Comparison],
    *,
    adjusted: float | None = None,
    positive: Mapping[str, Any] | None = None,
    missing: str | None = None,
    audited: Mapping[str, Any] | None = None,
) -> str:
    """Say what is shown of an arm: its word, the differences that it comes from, and what they rest on.

    The smallest difference that would have been shown, a positive control that did not come out, few patients or one
    who dominates, seeds that collapsed, and patients who are not known follow, a sentence each.

    Parameters
    ----------
    name : of the arm.
    comparisons : by control, as in its record.
    adjusted, positive : as for `word_of`.
    missing : why there is no comparison with real images alone.
    audited : the audit of the splits, as a record holds it.
    """
    if NONE not in comparisons:
        return f"{name}: not compared with real images alone{f': {missing}' if missing else ''}"
    zero = comparisons[NONE]
    differences = [f"{difference_sentence(zero)} against real images alone"]
    differences += [f"{difference_sentence(comparisons[c])} against {c}" for c in sorted(comparisons) if c in SPELT_OUT]
    word = word_of_arm(comparisons, adjusted=adjusted, positive=positive)
    said = f"{word.loud}. {name}: {'; '.join(differences)}"
    control = control_sentence(positive, nothing_shown=word.kind is Kind.NO_DIFFERENCE)
    further = [
        text
        for text in (
            power_sentence(zero),
            control,
            *doubts(zero, audited),
        )
        if text
    ]
    return ". ".join([said, " ".join(further)]) if further else said
