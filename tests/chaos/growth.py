"""How a leaderboard grows with its records: `python tests/chaos/growth.py` prints time, peak memory and exponents.

The records are made here: arms of several generators, ratios, options and trainings, all in one table, or each of so
many settings a table of its own; with predictions beside them or without. Every measurement is a process of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

GENERATORS, RATIOS, TRAININGS = ("latent_ddpm", "vae", "dcgan", "pixel_ddpm"), 10, 5


def lab(folder: Path) -> Any:
    """The pretended experiment of the tests, on 120 test images of 60 patients."""
    import numpy as np
    import torch

    sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
    from conftest import Lab

    from benchmarks.request.spec import RunSpec
    from data.images import ImageSet, Split
    from synthworth.work import Budget

    n = 120
    pixels = np.random.default_rng(n).integers(0, 256, (n, 1, 8, 8), dtype=np.uint8)
    test = ImageSet(
        torch.from_numpy(pixels), torch.from_numpy(np.repeat([0, 1, 2], n // 3)), tuple(f"i{k:03d}" for k in range(n)),
        tuple(f"p{k // 2:03d}" for k in range(n)), Split.test, tuple("abc"),
    )  # fmt: skip
    spec = RunSpec(
        dataset="phantom", data={"size": 32}, data_version=1, fingerprint="f" * 64, generator="latent_ddpm",
        gen={"widths": [8, 16]}, generator_version=1, fit=Budget(steps=10), classifier="resnet18",
        clf={"arch": "resnet18"}, classifier_version=1, train=Budget(steps=5), shard=4, n_bootstrap=200, seeds=5,
        controls=("none",),
    )  # fmt: skip
    return Lab(folder, test, spec)


def write_records(folder: Path, n: int, *, settings: int = 1, predictions: bool = False) -> None:
    """Write n records, evenly over so many settings."""
    from synthworth.artifacts import write_json

    with tempfile.TemporaryDirectory() as made:
        for record, template in records(Path(made), n, settings=settings):
            final = folder / record["run_id"][:16]
            final.mkdir(parents=True)
            write_json(final / "record.json", record)
            if predictions:
                shutil.copy(template / "predictions.parquet", final)


def records(made: Path, n: int, *, settings: int = 1) -> Iterator[tuple[dict[str, Any], Path]]:
    """n records, evenly over so many settings, each with the folder in `made` that holds its predictions."""
    one = lab(made)
    zero = one.run("none", 0.3)
    arms = [one.run("vae", 0.2 + 0.02 * k, jitter=k) for k in range(20)]
    zeros = [dataclasses.replace(one.spec, generator="none", fingerprint=f"{k:064x}") for k in range(settings)]
    every = [(zero, _real(spec)) for spec in zeros]
    every += [(arms[k % len(arms)], spec) for k, spec in enumerate(_specs(one.spec, n - settings, settings))]
    for template, spec in every:
        record = {**template, "run_id": spec.run_id, "name": spec.name, "spec": spec.to_json()}
        yield record, made / template["run_id"][:16]


def _real(spec: Any) -> Any:
    from benchmarks.request.spec import real_only

    return real_only(spec)


def _specs(spec: Any, n: int, settings: int) -> Iterator[Any]:
    """The first n arms: settings turn fastest, then generators, ratios, trainings, and the widths of a network."""
    for number in range(n):
        rest, setting = divmod(number, settings)
        rest, generator = divmod(rest, len(GENERATORS))
        rest, ratio = divmod(rest, RATIOS)
        width, training = divmod(rest, TRAININGS)
        yield dataclasses.replace(
            spec, generator=GENERATORS[generator], ratio=0.25 * (ratio + 1), generator_seed=training,
            gen={"widths": [8 + width, 16]}, fingerprint=f"{setting:064x}",
        )  # fmt: skip


def main() -> int:
    sys.path[:0] = [str(ROOT / "tests")]
    from chaos.building import measure

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--settings", type=int, default=1, help="tables they are spread over")
    parser.add_argument("--predictions", action="store_true", help="with predictions beside the records")
    options = parser.parse_args()
    print(f"{'records':>8} {'what':<7} {'CPU s':>8} {'exponent':>9} {'wall s':>8} {'peak MiB':>9} {'KiB a record':>13}")
    before: dict[str, tuple[int, float, float]] = {}
    for n in options.records:
        with tempfile.TemporaryDirectory() as folder:
            runs, site = Path(folder) / "runs", Path(folder) / "site"
            write_records(runs, n, settings=options.settings, predictions=options.predictions)
            for what in ("tables", "build"):
                words = (str(runs),) if what == "tables" else ("--results", str(runs), "--out", str(site))
                seconds, wall, peak = measure(what, *words)
                m, s, p = before.get(what, (n, seconds, peak))
                grows = ("", "") if n == m else (
                    f"{math.log(seconds / s) / math.log(n / m):.2f}", f"{1024 * (peak - p) / (n - m):.1f}"
                )  # fmt: skip
                print(
                    f"{n:>8} {what:<7} {seconds:>8.2f} {grows[0]:>9} {wall:>8.2f} {peak:>9.0f} {grows[1]:>13}",
                    flush=True,
                )
                before[what] = n, seconds, peak
    return 0


if __name__ == "__main__":
    sys.exit(main())
