"""Whether the images of a run are such as may be given out: no patients' films, whatever the licence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchmarks.records.terms import DRAWN
from data.images import pixel_digests
from generators.registry import added_by
from synthworth.errors import UserError

if TYPE_CHECKING:
    from data.images import ImageSet
    from data.mixing import SyntheticSet

POOL = "pool"


def refuse_real_films(record: Mapping[str, Any]) -> None:
    """Refuse arms whose images are real films, or show them, or somebody else's.

    Raises
    ------
    UserError
        Naming what the images are.
    """
    name, generator = record["name"], record["spec"]["generator"]
    if not sum(record["counts"]["synthetic"].values()):
        raise UserError(f"{name} adds no images: there is nothing to export. Name a generator's run")
    added = added_by(generator)
    said = record.get("added") or added
    if added not in DRAWN or said not in DRAWN:
        what = said if said not in DRAWN else added
        raise UserError(
            f"the images of {name} are {what} images, that is patients' films or what shows them; they are not given "
            "out. Name the run of a generator that draws"
        )
    if generator == POOL:
        raise UserError(
            f"the images of {name} were made by somebody else and lie in a folder already, under the licence they came "
            "with: give out that folder, if its licence lets you"
        )


def refuse_exact_copies(pool: SyntheticSet, *real: ImageSet, name: str) -> None:
    """Refuse a pool that holds a real film, pixel for pixel, whatever its generator says that it draws.

    Raises
    ------
    UserError
        Saying how many.
    """
    known = {digest for images in real for digest in pixel_digests(images.images)}
    n = sum(digest in known for digest in pixel_digests(pool.images))
    if n:
        raise UserError(
            f"{n} of {len(pool)} images of {name} equal a real film, pixel for pixel: they are not given out"
        )
