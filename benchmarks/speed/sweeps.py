"""A sweep against the loop that people write: a fresh run for every cell, which trains its generator again."""

from __future__ import annotations

import io
import tempfile
import time
from contextlib import redirect_stdout
from pathlib import Path

from benchmarks.speed.row import Row

GENERATORS, RATIOS, TRAININGS = ("vae", "dcgan"), (0.25, 0.5, 1.0, 2.0, 4.0), (0, 1, 2)
BASE = """
preset: smoke
device: cpu
controls: [none, duplicate]
extractors: [efficientnet_lite0]
"""


def sweep_row(repeat: int = 1) -> Row:
    """Two generators, five ratios and three trainings of each on phantom; both sides in one process at a time.

    Both train as often as they must, so neither is repeated.

    Parameters
    ----------
    repeat : no more than one measurement is taken.
    """
    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        seconds, stages, fits = swept(Path(folder))
        naive = naive_loop(Path(folder))
    return Row(
        f"sweep of {len(GENERATORS)} generators, {len(RATIOS)} ratios, {len(TRAININGS)} trainings (smoke)",
        "benchmarks.sweep --jobs 1",
        "a run for each of the 30 cells, in a home of its own",
        seconds,
        naive,
        note=f"{fits} trainings of a generator instead of 30; the stages alone take {stages:.1f} s",
        facts={"stages_s": stages, "over_the_stages": seconds / stages - 1, "fits": fits},
    )


def swept(folder: Path) -> tuple[float, float, int]:
    """Wall seconds of the command, the sum of its items' seconds, and how many generators it trained."""
    from benchmarks.request.cells import read_sweep
    from benchmarks.sweep.__main__ import sweep
    from benchmarks.sweep.options import PROG, read_options

    product = f"generator: {list(GENERATORS)}, ratio: {list(RATIOS)}, generator_seed: {list(TRAININGS)}"
    file = folder / "ablation.yaml"
    file.write_text(f"{BASE}sweep:\n  product: {{{product}}}\n")
    words = ["--config", str(file), "--jobs", "1", "--out", str(folder / "out")]
    words += ["--home", str(folder / "home"), "--results", str(folder / "runs")]
    began = time.perf_counter()
    with redirect_stdout(io.StringIO()):
        o, flags = read_options(words)
        done = sweep(o, read_sweep(file, flags, prog=PROG), file)
    seconds = time.perf_counter() - began
    if done.code:
        raise RuntimeError(f"the sweep failed: {[failure.sentence() for failure in done.failed]}")
    return seconds, sum(done.seconds.values()), done.made["fit"]


def naive_loop(folder: Path) -> float:
    """Seconds of the cells one after the other, each from nothing; the imports of each are not counted."""
    from benchmarks.job.carry_out import carry_out
    from benchmarks.request.options import parse

    file = folder / "naive.yaml"
    file.write_text(BASE)
    cells = [(g, ratio, training) for g in GENERATORS for ratio in RATIOS for training in TRAININGS]
    seconds = 0.0
    for number, (generator, ratio, training) in enumerate(cells):
        words = ["--config", str(file), "--generator", generator, "--ratio", str(ratio), "--workers", "1"]
        words += ["--generator-seed", str(training), "--home", str(folder / f"home {number}")]
        words += ["--results", str(folder / f"runs {number}")]
        began = time.perf_counter()
        carry_out(parse(words, prog="benchmarks.speed"))
        seconds += time.perf_counter() - began
    return seconds
