"""What digests cost: the share of a command's time that goes into writing and comparing them.

`python tests/chaos/digests.py --home HOME --results RUNS -- --preset smoke --generator latent_ddpm` runs the main job
twice in this process, as it finds the home and then from what is stored, and prints both shares. Trainings in worker
processes are timed as a whole: give `--workers 1` to see their digests too.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from synthworth import manifest, store


class Spent:
    """Seconds in some functions."""

    def __init__(self) -> None:
        self.seconds, self.calls, self._inside = 0.0, 0, 0

    def of(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, timed; calls from within another timed one are part of that."""

        def timed(*args: Any, **more: Any) -> Any:
            began = time.perf_counter()
            self._inside += 1
            try:
                return function(*args, **more)
            finally:
                self._inside -= 1
                if not self._inside:
                    self.seconds += time.perf_counter() - began
                    self.calls += 1

        return timed


def measure(command: list[str]) -> tuple[float, Spent]:
    """Seconds of the main job as a new process meets the home, and those spent on digests."""
    from benchmarks.run import main

    manifest._verified.clear()
    spent, began = Spent(), time.perf_counter()
    before = store.check_folder, store.write_manifest
    store.check_folder, store.write_manifest = (spent.of(f) for f in before)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            code = main(command)
    finally:
        store.check_folder, store.write_manifest = before
    if code:
        raise SystemExit(f"the command ended with {code}")
    return time.perf_counter() - began, spent


def main() -> int:
    """Measure both and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--results", type=Path, required=True)
    parser.add_argument("command", nargs="*", help="options of the main job, after --")
    asked = parser.parse_args()
    places = ["--home", str(asked.home), "--results", str(asked.results)]
    for what in ("as it finds the home", "from what is stored"):
        seconds, spent = measure([*asked.command, *places])
        share = spent.seconds / seconds
        print(f"{what:<22}{seconds:8.2f} s, digests {spent.seconds:6.3f} s in {spent.calls} looks: {share:.2%}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
