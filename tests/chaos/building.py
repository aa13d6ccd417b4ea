"""What a leaderboard, or the making of its tables alone, costs in a process of its own: seconds and peak memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MEASURE = """
import json, re, resource, sys, time
from pathlib import Path

def now():
    return time.process_time(), time.perf_counter()

began = now()
if sys.argv[1] == "tables":
    from leaderboard.build import collect
    from leaderboard.tables import make_tables
    found = collect([Path(sys.argv[2])])
    began = now()
    make_tables(found.entries, found.failed)
else:
    from leaderboard.build import main
    main(sys.argv[2:])
helped = resource.getrusage(resource.RUSAGE_CHILDREN)
spent, wall = (end - start for end, start in zip(now(), began, strict=True))
peak = re.search("VmHWM:.*?([0-9]+) kB", Path("/proc/self/status").read_text())[1]
print(json.dumps([spent + helped.ru_utime + helped.ru_stime, wall, int(peak) / 1024]))
"""


def measure(what: str, *words: str) -> tuple[float, float, float]:
    """Processor seconds (its helpers' too), wall seconds, and peak MiB of its own.

    Parameters
    ----------
    what : `build`, the whole command with these words; or `tables` of the records in a folder.
    """
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, what, *words], capture_output=True, text=True, check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path[1:]])},
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(done.stderr)
    seconds, wall, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, wall, peak
