"""What was asked of a generator's training that is stored already, and so changes nothing."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.request.options import Request
from benchmarks.request.spec import RunSpec
from benchmarks.stages.bench import Bench
from benchmarks.stages.generator import SNAPSHOTS
from synthworth.keys import digest


def unused_options(bench: Bench, request: Request, specs: Sequence[RunSpec]) -> list[str]:
    """Say which options of this request have no effect on a stored training of its generator.

    A line for each stored training that `--snapshot-epochs` or `--compile` was given for. They are no part of what
    identifies a training: it is taken as it is.
    """
    o = request.options
    asked = {
        "--snapshot-epochs": "snapshot_epochs" in request.given and o.snapshot_epochs > 0,
        "--compile": "compile" in request.given and o.compile == "yes",
    }
    lines = []
    for key in dict.fromkeys(digest(s.fit_identity()) for s in specs if s.generator == o.generator and s.fit):
        folder = bench.store.path("fit", key)
        has_pictures = any(folder.rglob(SNAPSHOTS))
        flags = [f for f, given in asked.items() if given and not (f == "--snapshot-epochs" and has_pictures)]
        if flags and bench.store.has("fit", key):
            verb = "changes" if len(flags) == 1 else "change"
            lines.append(
                f"{' and '.join(flags)} {verb} nothing: this training of {o.generator} is stored. "
                f"Delete {folder} to train it again"
            )
    return lines
