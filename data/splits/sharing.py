"""Two hospitals from one dataset: the recipient's films and the donor's, without a patient in common."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.images import ImageSet, Split
from data.splits.low_data import subsample_patients
from synthworth.errors import UserError

N_NAMED = 8
"""Values of an attribute that an error lists."""


@dataclass(frozen=True)
class Donor:
    """What makes a training film the donor's: a share of the films, by whole patients, or the value of an attribute.

    Parameters
    ----------
    share : of the training films, in (0, 1); None where an attribute decides.
    attribute, value : `site` and `B`, say; empty where the share decides.
    """

    share: float | None = None
    attribute: str = ""
    value: str = ""

    @classmethod
    def read(cls, text: str) -> Donor:
        """What `--donor 0.8` or `--donor site=B` asks for.

        Raises
        ------
        UserError
            For anything else.
        """
        attribute, equals, value = text.partition("=")
        if equals and attribute.strip() and value.strip():
            return cls(attribute=attribute.strip(), value=value.strip())
        try:
            share = float(text)
        except ValueError:
            share = 0.0
        if not 0 < share < 1:
            raise UserError(
                f"--donor {text} was asked for; it is a share of the training films between 0 and 1 (0.8), or the "
                "value of an attribute (site=B)"
            )
        return cls(share=share)

    def __str__(self) -> str:
        return f"{self.attribute}={self.value}" if self.share is None else f"{self.share:g}"

    def owns(self, images: ImageSet) -> np.ndarray:
        """Which images are the donor's, by the attribute: bool (N,).

        Raises
        ------
        UserError
            For an attribute that the images do not have.
        """
        values = images.attributes.get(self.attribute)
        if values is None:
            there = ", ".join(images.attributes) or "none; a folder's are the columns that --data.attributes names"
            raise UserError(f"--donor {self}: the images have no attribute {self.attribute}; there are {there}")
        return np.array([str(value) == self.value for value in values], dtype=bool)


def part_train(train: ImageSet, donor: Donor, *, seed: int) -> tuple[ImageSet, ImageSet]:
    """Split the training images between two hospitals, by whole patients.

    By share, the recipient's patients are those that `subsample_patients` keeps: they cover every class, and a smaller
    donor's patients are among a larger one's.

    Parameters
    ----------
    train : the training split, after the real fraction.
    seed : of a split by share; one by attribute has no chance in it.

    Returns
    -------
    recipient
        In `Split.train`.
    donor
        In `Split.donor`.

    Raises
    ------
    UserError
        Where the recipient or the donor is left without a film, a patient would be in both, or the attribute is not
        there.
    """
    if donor.share is not None:
        recipient, rest = subsample_patients(train, 1 - donor.share, seed=seed)
        owned = rest.subset(np.arange(len(rest)), split=Split.donor)
    else:
        mine = donor.owns(train)
        recipient = train.subset(np.flatnonzero(~mine))
        owned = train.subset(np.flatnonzero(mine), split=Split.donor)
    if not len(owned) or not len(recipient):
        empty, other = ("donor", "recipient") if not len(owned) else ("recipient", "donor")
        raise UserError(
            f"--donor {donor} leaves the {empty} without a film: all {len(train)} training images are the {other}'s"
            f"{_values(train, donor)}"
        )
    _refuse_shared(recipient, owned, donor)
    return recipient, owned


def without_donors(reserve: ImageSet, donor: Donor) -> ImageSet:
    """The images of the reserve that are not the donor's: by share none is, by attribute some may be."""
    if donor.share is not None:
        return reserve
    return reserve.subset(np.flatnonzero(~donor.owns(reserve)))


def part_held_out(images: ImageSet, donor: Donor) -> tuple[ImageSet, ImageSet]:
    """The recipient's and the donor's films of val or test, which nothing learns from.

    By share both are all of them: the hospitals' patients are alike. By attribute a classifier is judged on the
    recipient's films, and the donor's tell what never-seen films of the donor look like.

    Raises
    ------
    UserError
        Where either is left without a film, or a patient would be in both.
    """
    if donor.share is not None:
        return images, images
    mine = donor.owns(images)
    _refuse_shared(images.subset(np.flatnonzero(~mine)), images.subset(np.flatnonzero(mine)), donor)
    if mine.all():
        raise UserError(
            f"--donor {donor}: every film of {images.split.value} is the donor's, and the recipient has none to be "
            "judged on. Have films of both in every split, or split by share (--donor 0.5)"
        )
    if not mine.any():
        raise UserError(
            f"--donor {donor}: {images.split.value} holds no film of the donor's, and nothing tells what films of its "
            "that were never seen look like. Have films of both in every split, or split by share (--donor 0.5)"
        )
    return images.subset(np.flatnonzero(~mine)), images.subset(np.flatnonzero(mine))


def _refuse_shared(recipient: ImageSet, owned: ImageSet, donor: Donor) -> None:
    if both := sorted(set(recipient.groups) & set(owned.groups)):
        raise UserError(
            f"--donor {donor}: {len(both)} patients of {recipient.split.value} have films at both hospitals, {both[0]} "
            "for one; a patient is one hospital's alone. Leave such films out, or split by share (--donor 0.5)"
        )


def _values(images: ImageSet, donor: Donor) -> str:
    if donor.share is not None:
        return ""
    there = sorted({str(value) for value in images.attributes[donor.attribute]})
    more = f" and {len(there) - N_NAMED} more" if len(there) > N_NAMED else ""
    return f". {donor.attribute} has the values {', '.join(there[:N_NAMED])}{more}"
