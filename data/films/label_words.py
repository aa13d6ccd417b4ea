"""Words in the place of a label that say a mark, that somebody was not sure, or that there is nothing to see."""

from __future__ import annotations

from collections.abc import Collection

MARKS = {"true": 1, "yes": 1, "y": 1, "t": 1, "false": 0, "no": 0, "n": 0, "f": 0}
UNCERTAIN = frozenset({
    "uncertain", "unsure", "not sure", "equivocal", "indeterminate", "undetermined", "inconclusive", "unclear",
    "ambiguous", "questionable", "doubtful", "maybe", "possible", "possibly", "probable", "probably", "?", "??", "???",
})  # fmt: skip
UNSAID = frozenset({"unknown", "unk", "not known", "tbd", "xxx", "-", "--", "---", "—", ".", "..."})
"""Labels of which nobody can say whether they are classes."""
NOTHING = frozenset({
    "normal", "healthy", "negative", "no findings", "no abnormality", "no abnormalities", "without findings",
    "unremarkable", "nothing", "nad", "sano", "gesund", "sain", "normale", "正常", "норма",
})  # fmt: skip
"""Labels that may mean "none of the findings" where findings co-occur."""
N_MEASURED = 10  # labels with decimals: so many are no classes


def to_number(text: str) -> float | None:
    """A number, with a minus of whatever kind; None for anything else."""
    try:
        return float(text.replace("\u2212", "-").replace("\u2013", "-"))
    except ValueError:
        return None


def is_uncertain(name: str, among: Collection[str]) -> bool:
    """Whether a label says that somebody was not sure, or may: `uncertain`, `a?`, `-`, or `U` beside 0 and 1 alone."""
    word = name.strip().lower()
    if word in UNCERTAIN or (word.endswith("?") and len(word) > 1):
        return True
    if word in UNSAID:
        return not any("+" in other for other in among)
    return word == "u" and {to_number(other) for other in among if other != name} == {0.0, 1.0}


def is_minus_one_a_code(values: Collection[float | None], *, blanks: bool) -> bool:
    """Whether -1 stands for no label: it alone is below 0, beside whole numbers with 0 among them or two above it.

    Parameters
    ----------
    values
        All labels as numbers.
    blanks
        Whether there are blank cells too.
    """
    others = {value for value in values if value != -1}
    whole = all(value is not None and value >= 0 and value.is_integer() for value in others)
    return -1 in values and whole and (0 in others or len(others) > 1 or blanks)


def are_measurements(names: Collection[str]) -> bool:
    """Whether labels are numbers of some quantity: all numbers, and many of them with decimals."""
    values = [to_number(name) for name in names]
    return None not in values and sum(not (value or 0.0).is_integer() for value in values) >= N_MEASURED
