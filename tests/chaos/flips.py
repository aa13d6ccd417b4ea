"""One byte changed in every file of a finished home, records deleted, the same command: named, and the same numbers.

`python tests/chaos/flips.py [--rounds N]` makes a home by a small run of the main job. A round harms one file of every
artifact, the next one in each, until every file was harmed. Prints a row for each kind of file.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import logging
import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from synthworth import manifest

COMMAND = [
    "--preset", "smoke", "--generator", "latent_ddpm", "--ratio", "1", "--gen.sampling-steps", "3", "--fit.steps", "4",
    "--train.steps", "3", "--seeds", "2", "--workers", "1", "--extractors", "efficientnet_lite0",
]  # fmt: skip


@contextlib.contextmanager
def heard() -> Iterator[io.StringIO]:
    """What is logged."""
    text = io.StringIO()
    handler, root = logging.StreamHandler(text), logging.getLogger()
    root.addHandler(handler)
    try:
        yield text
    finally:
        root.removeHandler(handler)


def run(folder: Path) -> tuple[int, str, dict[str, bytes]]:
    """The command, in this process, as a new process would find the home: exit code, log, predictions by run."""
    from benchmarks.run import main

    manifest._verified.clear()
    shutil.rmtree(folder / "runs", ignore_errors=True)
    with heard() as said, contextlib.redirect_stdout(io.StringIO()):
        code = main([*COMMAND, "--home", str(folder / "home"), "--results", str(folder / "runs")])
    found = {p.parent.name: p.read_bytes() for p in folder.glob("runs/*/predictions.parquet")}
    return code, said.getvalue(), found


def files_by_artifact(home: Path) -> dict[Path, list[Path]]:
    """Every published file, manifests with them."""
    folders = sorted(p.parent for p in home.glob("artifacts/*/*/manifest.json"))
    return {f: sorted(p for p in f.rglob("*") if p.is_file()) for f in folders}


def flip(file: Path, at: float) -> None:
    """Change one bit of a byte of a file."""
    content = bytearray(file.read_bytes())
    content[min(int(at * len(content)), len(content) - 2)] ^= 2
    file.write_bytes(content)


def play(folder: Path, rounds: int | None, seed: int) -> list[tuple[str, int, int, bool]]:
    """Harm and run again. Rows: kind of file, how many were harmed, how many named, whether all numbers were kept."""
    code, _, expected = run(folder)
    if code or not expected:
        raise SystemExit(f"the first run ended with {code}")
    die = random.Random(seed)
    harmed, named, kept = Counter[str](), Counter[str](), dict[str, bool]()
    most = max(map(len, files_by_artifact(folder / "home").values()))
    order = list(range(most))
    die.shuffle(order)
    for turn in order[:rounds]:
        victims = [files[turn % len(files)] for files in files_by_artifact(folder / "home").values()]
        for file in victims:
            flip(file, die.random())
        code, said, found = run(folder)
        same = code == 0 and found == expected
        for file in victims:
            inside = file.relative_to(folder / "home" / "artifacts")
            kind = f"{inside.parts[0]}/{'/'.join(inside.parts[2:])}"
            harmed[kind] += 1
            named[kind] += f"stored {inside.parts[0]} {inside.parts[1][:12]} is damaged" in said
            kept[kind] = kept.get(kind, True) and same
    return [(kind, harmed[kind], named[kind], kept[kind]) for kind in sorted(harmed)]


def main() -> int:
    """Play all rounds and print the table; 1 where a byte went unnoticed or a number changed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, help="rounds to play; all without it")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        rows = play(Path(folder), asked.rounds, asked.seed)
    print(f"{'file':<44}{'harmed':>8}{'named':>8}  same numbers")
    for kind, harmed, named, kept in rows:
        print(f"{kind:<44}{harmed:>8}{named:>8}  {'yes' if kept else 'NO'}")
    print(f"{sum(r[1] for r in rows)} bytes changed, {sum(r[2] for r in rows)} named")
    return 0 if all(harmed == named and kept for _, harmed, named, kept in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
