"""Whether it is known whose the images are: what an audit says where each image counts as a patient of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from data.films.table import WITHOUT_NUMBER
from data.images import ImageSet, Split


@dataclass(frozen=True)
class KnownPatients:
    """How many images no patient is given for.

    Parameters
    ----------
    n_without, n_images
        Images without a patient, and all.
    """

    n_without: int
    n_images: int

    @property
    def unknown(self) -> bool:
        """No image has a patient: what is counted by patients means nothing."""
        return 0 < self.n_images == self.n_without

    def warning(self) -> str | None:
        """One line; None where every image has a patient."""
        if not self.n_without:
            return None
        if self.unknown:
            return (
                "patients are not known: each image counts as a patient of its own, splits may share one, and "
                "intervals may be too narrow"
            )
        return (
            f"images without a patient: {self.n_without} of {self.n_images}; each counts as a patient of its own, and "
            "splits may share one"
        )

    def to_json(self) -> dict[str, Any]:
        """The two numbers."""
        return {"n_without": self.n_without, "n_images": self.n_images}


def known_patients(sets: Mapping[Split, ImageSet], notes: Mapping[str, Any] | None = None) -> KnownPatients:
    """Count the images that are their own patient: a patient has the image's name, or the dataset's notes say so.

    It is read off the images, so that it is known of what was prepared long ago, and of every dataset.

    Parameters
    ----------
    notes
        Of the prepared dataset; films of `dicom` without a patient's number have pseudonyms, and are counted there.
    """
    n = sum(map(len, sets.values()))
    own = sum(image == patient for s in sets.values() for image, patient in zip(s.ids, s.groups, strict=True))
    noted = (notes or {}).get(WITHOUT_NUMBER, 0)
    return KnownPatients(min(n, max(own, noted)), n)
