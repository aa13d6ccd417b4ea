"""Whether file names hold patients: names that are one up to a last counter, for a hint where no patient is given."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

PATTERN = r"([^/]*\d)[^/\d]+\d*[^/\d]*\.\w+$"
"""All up to a number after which a word or another number follows: `p12` of `p12_left.png`, `p12-img3.png`."""
FEWEST = 5  # groups of files: fewer are as likely classes
LARGEST = 0.5  # of the files: a group that holds more is no patient


def note_patients_in_names(ids: Sequence[str], labels: Sequence[str]) -> dict[str, Any]:
    """A note that says how many names begin alike, with the option that would make patients of them; or none.

    Nothing is said where most names have no such beginning, where each has its own, where there are not more
    beginnings than classes, and where one belongs to most files.

    Parameters
    ----------
    ids
        Paths of the images.
    labels
        What the table or the folders say of each; blank where columns do.
    """
    compiled = re.compile(PATTERN)
    found = [match[1] for name in ids if (match := compiled.match(name, name.rfind("/") + 1))]
    groups = Counter(found)
    few = max(FEWEST, len(set(labels)) + 1)
    if 2 * len(found) < len(ids) or not few <= len(groups) < len(found):
        return {}
    first, n = groups.most_common(1)[0]
    if n < 2 or n > LARGEST * len(ids):
        return {}
    return {
        "file names that may hold patients": f"{len(found)} names begin in {len(groups)} ways ({first!r} for {n} of "
        f"them); if these are patients, --data.patient-pattern '{PATTERN}'"
    }
