"""Whether the images of a run may be given out: no patients' films, and nothing against a licence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from benchmarks.records.terms import DRAWN, forbids, is_known
from data.images import pixel_digests
from generators.registry import added_by
from synthworth.errors import UserError, bounded

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


def licence_of(record: Mapping[str, Any], *, dataset_licence: str | None, stated: str) -> str:
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
            f"{record['name']} learned from films of dataset {record['spec']['dataset']}, whose licence only you know. "
            'If it lets you give out images that were made from them, say under which: --licence "CC BY 4.0"'
        )
    return of_dataset


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
