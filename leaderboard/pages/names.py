"""What the files of the site are called: names that any file system and any address take."""

from __future__ import annotations

import re

from synthworth.keys import digest

LONGEST = 40


def slug(name: str) -> str:
    """A name as part of a file name: its letters and digits, and 8 digits of a digest that keeps namesakes apart.

    Parameters
    ----------
    name : whatever a record calls a generator, a dataset or a figure.

    Returns
    -------
    str
        Of a to z, 0 to 9 and `-`; equal for equal names alone.
    """
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:LONGEST].strip("-")
    return f"{plain}-{digest(name)[:8]}" if plain else digest(name)[:8]


def generator_page(name: str) -> str:
    """File of a generator's page."""
    return f"generator-{slug(name)}.html"


def dataset_page(name: str) -> str:
    """File of a dataset's page."""
    return f"dataset-{slug(name)}.html"
