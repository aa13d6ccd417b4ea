"""What of a run may be passed on: images that were drawn, and what the licence of the films lets."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from benchmarks.request.called import called
from synthworth.errors import UserError, bounded

DRAWN = ("synthetic", "noise")
"""What a generator may say of its images (`adds`) for them to be given out. All else are real films, or show them."""
OF_THE_USER = "yours"
"""The licence of datasets that are whatever the user has."""
OF_DATASETS = {
    "phantom": "Apache-2.0", "digits": "CC BY 4.0", "medmnist": "CC BY 4.0", "nih": "free use with attribution",
}  # fmt: skip
"""Licences of datasets whose name is enough to know them, for records that hold none. All let images be shown."""
OTHERWISE = ("dermamnist",)
"""Sets of MedMNIST that are not under its licence."""
FORBIDS = re.compile(r"\bND\b|(?i:no[- ]?deriv)|(?i:\bcredentialed\b)")
"""Licences that let nothing made from the images be passed on (Creative Commons' NoDerivatives), or only to people who
have signed for them."""


def licence_by_name(spec: Mapping[str, Any]) -> str | None:
    """The licence of a dataset that is known by its name alone; None of any other."""
    return None if spec["data"].get("name") in OTHERWISE else OF_DATASETS.get(spec["dataset"])


def licence_of(record: Mapping[str, Any]) -> str | None:
    """The licence of the real images behind a record, as it says or its dataset's name tells; None if neither."""
    said = (record.get("dataset") or {}).get("licence")
    return said if is_known(said) else licence_by_name(record["spec"])


def licence_given_out(record: Mapping[str, Any], *, dataset_licence: str | None, stated: str) -> str:
    """The licence under which the images are given out: the stated one, else that of the dataset.

    Parameters
    ----------
    dataset_licence : as the dataset's plugin states it; empty or None where it does not.
    stated : with `--licence`.

    Raises
    ------
    UserError
        Where the dataset's licence forbids what is made from its images to be passed on, and where nothing says.
    """
    of_dataset = (dataset_licence or "").strip()
    for words in (of_dataset, stated):
        if forbids(words):
            raise UserError(
                f"{record['name']}: the licence {bounded(words)!r} lets nothing that was made from the films be passed "
                "on, so their synthetic images are not exported"
            )
    if stated.strip():
        return stated.strip()
    if not is_known(of_dataset):
        raise UserError(
            f"{record['name']} learned from films of dataset {called(record['spec'])}, whose licence only you know. "
            'If it lets you give out images that were made from them, say under which: --licence "CC BY 4.0"'
        )
    return of_dataset


def forbids(licence: str) -> bool:
    """Whether a licence says that nothing made from the films may be passed on, as far as its words tell."""
    return FORBIDS.search(licence) is not None


def is_known(licence: str | None) -> bool:
    """Whether a licence says anything: that of the user's own films does not."""
    return (licence or "").strip() not in ("", OF_THE_USER)


def adds_drawn_images(record: Mapping[str, Any]) -> bool:
    """Whether the images that a run adds were drawn, and are no films of patients nor show them."""
    return bool(sum(record["counts"]["synthetic"].values())) and record.get("added", "synthetic") in DRAWN
