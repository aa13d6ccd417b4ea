"""How long a leaderboard takes of many real records: `python tests/chaos/many.py` copies committed ones and builds.

Every copy of the committed records has another root seed, so that it stands in a table of its own with its controls:
another spec, run id and comparisons, sealed anew, beside the same predictions. The first build looks at records that
nobody has looked at and takes them at their word; the second finds them by their bytes. Both are processes of their
own. 10,000 records take 0.6 GB below the folder of temporary files: predictions are hard links.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

COMMITTED = ROOT / "results" / "reference"


def write_copies(folder: Path, n: int, *, one_table: bool = False) -> None:
    """Write n records, each a committed one under another root seed (or of another training of its generator)."""
    sys.path[:0] = [str(ROOT)]
    from benchmarks.records.seal import SEAL, write_seal
    from benchmarks.request.spec import is_real_only, name_of
    from synthworth.keys import digest

    templates_at = folder.parent / "templates"
    shutil.copytree(COMMITTED, templates_at, ignore=shutil.ignore_patterns("*.png"))
    templates = [json.loads(file.read_text()) for file in sorted(COMMITTED.glob("*/record.json"))]
    if one_table:
        templates = [t for t in templates if t["spec"]["dataset"] == "phantom" and not is_real_only(t["spec"])]
    written = 0
    for copy in range(1, n + 1):
        change = {"generator_seed": 1000 + copy} if one_table else {"seed": 1000 + copy}
        specs = {t["run_id"]: {**t["spec"], **change} for t in templates}
        ids = {run_id: digest(spec) for run_id, spec in specs.items()}
        for template in templates[: n - written]:
            was = template["run_id"]
            record = {**template, "spec": specs[was], "run_id": ids[was], "name": name_of(specs[was])}
            record["comparisons"] = {
                name: {**row, "run_id": ids.get(row["run_id"], row["run_id"]), "a": record["name"]}
                for name, row in template["comparisons"].items()
            }
            final = folder / record["run_id"][:16]
            if final.exists():
                continue
            final.mkdir(parents=True)
            (final / "record.json").write_text(json.dumps(record))
            sealed = json.loads((COMMITTED / was[:16] / SEAL).read_text())["sha256"]
            write_seal(final, "record.json")
            mine = json.loads((final / SEAL).read_text())["sha256"]
            (final / SEAL).write_text(json.dumps({"sha256": {**sealed, **mine}}))
            os.link(templates_at / was[:16] / "predictions.parquet", final / "predictions.parquet")
            written += 1
        if written >= n:
            return


def main() -> int:
    sys.path[:0] = [str(ROOT / "tests")]
    from chaos.building import measure

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, nargs="+", default=[100, 1000, 10000])
    parser.add_argument("--one-table", action="store_true", help="all in one table, as trainings of their generators")
    parser.add_argument("--figures", default="0")
    options = parser.parse_args()
    print(f"{'records':>8} {'build':<7} {'CPU s':>8} {'wall s':>8} {'peak MiB':>9}")
    for n in options.records:
        folder = Path(tempfile.mkdtemp())
        try:
            write_copies(folder / "runs", n, one_table=options.one_table)
            for what in ("first", "again"):
                seconds, wall, peak = measure(
                    "build", "--results", str(folder / "runs"), "--out", str(folder / "site"), "--home",
                    str(folder / "home"), "--recompute", "0", "--figures", options.figures,
                )  # fmt: skip
                print(f"{n:>8} {what:<7} {seconds:>8.2f} {wall:>8.2f} {peak:>9.0f}", flush=True)
        finally:
            shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
