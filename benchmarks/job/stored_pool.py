"""The synthetic images of a finished run, from the store: nothing is fitted or drawn anew."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from synthworth.errors import UserError

if TYPE_CHECKING:
    from benchmarks.stages.images import Images
    from data.mixing import SyntheticSet


def stored_pool(
    record: Mapping[str, Any], flags: Sequence[str], *, prog: str, results: Path
) -> tuple[SyntheticSet, Images]:
    """The synthetic images of a run, and the real ones of its experiment.

    Parameters
    ----------
    record : a finished one, of an arm that adds images.
    flags : of `benchmarks.run`; they say where the images and files of the run lie.
    results : folder of the records.

    Raises
    ------
    UserError
        Where its images are not stored.
    """
    import torch  # noqa: F401

    from benchmarks.job.opened import begin_request, open_request
    from benchmarks.job.plan import prepared
    from benchmarks.request.again import request_again
    from benchmarks.stages.generator import draw_pool

    request = request_again(record["spec"], [*flags, "--results", str(results)], prog=prog)
    begun = begin_request(request)
    lacking = UserError(
        f"the films of {record['name']} are not in {begun.bench.store.home}. Name the --home that the run had and "
        f"where its images lie, or carry it out again: {record['provenance']['command']}"
    )
    if prepared(begun.bench, request.options.dataset, begun.dataset) is None:
        raise lacking
    opened = open_request(request)
    arm = next((arm for arm in opened.arms if arm.spec.run_id == record["run_id"]), None)
    if arm is None or not all(opened.bench.store.has("pool", key) for key in arm.shard_keys):
        raise lacking
    pool = draw_pool(opened.experiment, arm)
    assert pool is not None
    return pool, opened.experiment.images
