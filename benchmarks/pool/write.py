"""How a pool is written: beside its place, read back, then renamed; or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.records.telling import telling
from benchmarks.request.called import called
from generators.pool import Pool, PoolConfig
from generators.pool_folder import CARD, LICENCE, NO_FINDING, TABLE, TOGETHER, WARNING, folder_names, write_pictures
from synthworth.artifacts import check_writable, ensure_folder, whole_folder, write_bytes
from synthworth.errors import UserError
from synthworth.escape import markdown_cell, markdown_text
from synthworth.work import Work

if TYPE_CHECKING:
    from data.images import ImageSet
    from data.mixing import SyntheticSet


def refuse_target(folder: Path) -> None:
    """Refuse a place where something is already, or nothing can be written.

    Raises
    ------
    UserError
        Naming it.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise UserError(f"{folder} is no folder. Name one that is empty or not there yet")
    if folder.is_dir() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty; nothing in it is overwritten. Name another folder")
    check_writable(folder)


def write_pool(
    folder: Path, pool: SyntheticSet, record: Mapping[str, Any], *, licence: str, dataset_licence: str | None,
    train: ImageSet,
) -> int:  # fmt: skip
    """Write the images of a run as a folder that `--generator pool` reads.

    Parameters
    ----------
    licence : of the images.
    dataset_licence : of the films that they were learned from.
    train : what the folder is read back for.

    Returns
    -------
    Number of pictures.

    Raises
    ------
    UserError
        Where the folder could not be read back as the same images under the same labels; nothing is left then.
    """
    spec = record["spec"]
    with whole_folder(folder) as made:
        ensure_folder(made)
        rows = write_pictures(
            made, pool, generator=spec["generator"], run_id=record["run_id"], seed=spec["seed"],
            generator_seed=spec["generator_seed"],
        )  # fmt: skip
        refuse_what_reads_otherwise(made, pool, train)
        write_bytes(made / CARD, card(record, pool, licence=licence, dataset_licence=dataset_licence).encode())
    return len(rows)


def refuse_what_reads_otherwise(folder: Path, pool: SyntheticSet, train: ImageSet) -> None:
    """Read a folder as `--generator pool --gen.path` does, and compare it with what was written.

    Raises
    ------
    UserError
        Where it cannot be read, or images or labels are others: names of classes can be such that a table cannot say
        them.
    """
    import numpy as np

    said = (
        "the images cannot be written as a folder that is read back the same: names of classes are such that a table "
        "cannot say them. Rename them"
    )
    read = Pool(PoolConfig(path=folder, saw_test="no"))
    try:
        read.fit(train, seed=0, work=Work(folder))
    except UserError as error:
        raise UserError(f"{said} ({str(error).replace(str(folder), 'the folder')})") from error
    images, labels = read.images.numpy(), read.labels.numpy()
    if not (np.array_equal(labels, pool.labels.numpy()) and np.array_equal(images, pool.images.numpy())):
        raise UserError(said)


def card(record: Mapping[str, Any], pool: SyntheticSet, *, licence: str, dataset_licence: str | None) -> str:
    """The card of the folder, as Markdown: what the images are, whence, on which terms, how they are read."""
    spec, multilabel = record["spec"], pool.labels.ndim == 2
    copies, version = _copies(record), record["provenance"].get("synthworth", "")
    learned = f"the training split of {called(spec)}, fingerprint {spec['fingerprint']}"
    where = (
        f"`{TOGETHER}/`, and their findings in `{TABLE}`: joined by `|`, `{NO_FINDING}` for none" if multilabel
        else "a folder for each class: "
        + ", ".join(
            f"{markdown_cell(name)} in {markdown_cell(place)}" for name, place in folder_names(pool.classes).items()
        )
    )  # fmt: skip
    counts = "\n".join(f"| {markdown_cell(name)} | {n} |" for name, n in record["counts"]["synthetic"].items())
    size = tuple(pool.images.shape[1:])
    return f"""# Images drawn by {markdown_text(record["name"])}

**{WARNING}**

| | |
| --- | --- |
| images | {len(pool)}, {size[0]} channel{"s"[: size[0] > 1]}, {size[1]} x {size[2]} pixels, PNG |
| drawn by | {markdown_cell(spec["generator"])}, run {record["run_id"]} |
| learned from | {markdown_cell(learned)} |
| {LICENCE} | {markdown_cell(licence)} |
| licence of the films learned from | {markdown_cell(dataset_licence or "not stated")} |
| near-copies of training films | {copies} |
| made with | {markdown_cell(f"SynthWorth {version}")} |

{"Images with each finding" if multilabel else "Images of each class"}:

| {"finding" if multilabel else "class"} | images |
| --- | ---: |
{counts}

The pictures are in {where}.

`{TABLE}` has a row for each, with the sha256 of the file. A label is what the generator was asked for. No reader has
confirmed it.

They are read back with `--generator pool --gen.path` and this folder.
"""


def _copies(record: Mapping[str, Any]) -> str:
    """The rate of near-copies in the space that tells most, beside that of never-seen real films."""
    one = telling(record.get("privacy") or {}, "copy_rate")
    if one is None:
        return "not measured"
    beside = one["extra"].get("held_out")
    real = "" if beside is None else f", {beside:.3f} of never-seen real films"
    within = f" [{one['low']:.3f}, {one['high']:.3f}]" if one["low"] is not None else ""
    return f"{one['value']:.3f}{within} of the images, in {markdown_cell(str(one['features']))}{real}"
