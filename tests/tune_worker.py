"""A worker of a study whose trials take no training: `python tune_worker.py URL FOLDER TRIALS SECONDS`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.request.options import parse
from benchmarks.tune import study as studies
from benchmarks.tune.options import read_options
from benchmarks.tune.space import sides_of
from benchmarks.tune.storage import open_storage, url_of

FLAGS = ["--generator", "vae", "--preset", "smoke", "--device", "cpu"]


def main(url: str, folder: str, trials: int, seconds: float) -> None:
    """Work at the study `s` until it has its trials; each leaves a line on the values it tried."""

    def measure(request: Any, report: Any, *, images: Any) -> float:
        with open(f"{folder}/tried", "a", encoding="utf-8") as file:
            file.write(f"{request.gen.lr!r} {request.options.ratio[0]}\n")
        time.sleep(seconds)
        return float(request.gen.lr)

    studies.measure = measure  # type: ignore[assignment]
    flags = ["--trials", str(trials), "--study", "s", "--only", "gen.lr", "ratio"]
    o, _ = read_options(flags)
    (side,) = sides_of(o, parse(FLAGS, prog="tune"))
    study = studies.open_study(open_storage(url_of(url, Path(folder))), side, {})
    studies.work_at(study, side, trials=trials, told=lambda trial: None, images={})


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4]))
