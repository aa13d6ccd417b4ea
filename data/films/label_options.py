"""Options that say how a table's labels are to be read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from data.films.dataset import FilmConfig
from synthworth.keys import SINCE_DEFAULT

Doubt = Literal["refuse", "zeros", "ones", "drop"]


@dataclass(frozen=True)
class LabelConfig(FilmConfig):
    """Options of every dataset whose labels stand in a table of the user's own."""

    classes: tuple[str, ...] = ()
    """Declared classes, in order; any other label is an error, unless `others` says otherwise. Without it: all labels
    found, sorted."""
    negative: tuple[str, ...] = ("No Finding",)
    """Labels that mean "none of the findings" where findings co-occur."""
    task: Literal["auto", "single", "multi"] = "auto"
    """One class an image, or findings that co-occur. auto: multi with `label_columns` or `separator`, and where a label
    holds "|" or is a list."""
    label_columns: tuple[str, ...] = ()
    """Instead of a label column: columns of 0 and 1, one a finding (or one a class, with task single)."""
    separator: tuple[str, ...] = field(default=(), metadata=SINCE_DEFAULT)
    """What stands between the findings of one cell (";"), or several such marks. Without it: "|". Cells that are lists,
    ['a', 'b'], are read as such in any case."""
    rename: tuple[str, ...] = field(default=(), metadata=SINCE_DEFAULT)
    """Classes by what the table calls them, NAME=CELL: "Pneumothorax=1", or "Malignant=mel" "Malignant=bcc" for two
    in one. CELL * is every label that no other names, and an empty CELL a blank one."""
    others: Literal["refuse", "allow", "drop"] = field(default="refuse", metadata=SINCE_DEFAULT)
    """What becomes of a label that `classes` does not declare: refuse names it and stops, allow takes it for none of
    the findings (where findings co-occur), drop leaves the image out."""
    uncertain: Doubt = field(default="refuse", metadata=SINCE_DEFAULT)
    """What an uncertain label (-1, as in CheXpert, or a word such as uncertain) becomes: refuse counts them and stops,
    zeros and ones take them for 0 and 1, drop leaves the image out."""
    blank: Doubt = field(default="refuse", metadata=SINCE_DEFAULT)
    """What a blank label becomes: as `uncertain`. In a column of labels that co-occur, zeros is none of the
    findings."""
    repeats: Literal["refuse", "any"] = field(default="refuse", metadata=SINCE_DEFAULT)
    """What becomes of rows of one image (one a box) with different labels: refuse names two and stops, any gives
    the image every label that one of its rows has. Rows that agree are one image in any case."""
