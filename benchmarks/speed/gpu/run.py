"""The parts of a GPU's report, in order, under one limit of time; the file is written after each of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.speed.row import Row
from synthworth.artifacts import write_bytes
from synthworth.errors import Unavailable

COMPILED = ("resnet18", "densenet121", "pixel_ddpm")
"""What is compiled ahead, each in a process of its own: torch finds it again on the disk. DenseNet-121 takes two
minutes, in which the others are measured."""
WAITING = 0.6
"""Of the time, how much may be waited for them."""
NO_TIME = "no time was left"
TESTS = Path(__file__).resolve().parents[3] / "tests"
MARK = "pytest.mark.gpu"
CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set[int]()
"""That this process may run on, where a system tells."""


@dataclass
class Report:
    """What was found so far.

    Parameters
    ----------
    file : where it is kept as JSON.
    patience, deadline : `time.monotonic()` until which is waited for what runs beside the rest, and at which no further
        part begins.
    folder : what is begun beside the rest writes there.
    """

    file: Path
    device: str
    patience: float
    deadline: float
    folder: Path
    found: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    peak: float = 0.0
    """Floating-point operations a second of matrix products in bf16."""
    model: Any = None
    """A trained `pixel_ddpm`, once there is one."""
    compiled: set[str] = field(default_factory=set)
    """What was compiled ahead; anything else would be compiled inside of a part, for minutes."""
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _begun: dict[str, float] = field(default_factory=dict)

    def part(self, name: str, do: Callable[[Report], Any], *, seconds: float = 0.0) -> None:
        """Do a part, or say why not, and keep the file.

        Parameters
        ----------
        seconds : that must be left for it to begin.
        """
        began = time.monotonic()
        if began + seconds > self.deadline:
            self.found[name] = {"left_out": NO_TIME}
        else:
            try:
                self.found[name] = {"found": do(self), "seconds": time.monotonic() - began}
            except Exception as error:  # told in the file: the parts after it are worth having all the same
                self.found[name] = {"fault": f"{type(error).__name__}: {error}"[:1000]}
        fault = self.found[name].get("fault", self.found[name].get("left_out", ""))
        print(f"{name}: {time.monotonic() - began:.1f} s {fault}".rstrip(), file=sys.stderr, flush=True)
        self.keep()

    def wanting(self) -> dict[str, str]:
        """Parts that failed or were left out, with what is known of the reason."""
        found = {}
        for name, told in self.found.items():
            inner = told.get("found")
            inner = inner if isinstance(inner, dict) else {}
            reason = told.get("fault") or told.get("left_out") or inner.get("left_out")
            if reason is None and inner.get("code"):
                reason = f"it ended with {inner['code']}: {' / '.join(inner['said'][-3:])}"
            if reason is not None:
                found[name] = reason
        return found

    def keep(self) -> None:
        """Write the file."""
        told = {**self.found, "rows": [row.to_json() for row in self.rows]}
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(self.file, (json.dumps(told, indent=1) + "\n").encode())

    def add(self, rows: Sequence[Row]) -> list[str]:
        """Keep rows; a line on each."""
        self.rows += rows
        return [f"{row.what}, {row.ours}: {row.ratio:.2f} times {row.peer}; {row.note}" for row in rows]

    def begin(self, name: str, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Begin a command beside whatever follows, on other cores than what is measured here, if there are enough."""
        mine, others = shared_cores()
        self._begun[name] = time.time()
        with (self.folder / name).open("wb") as said:
            process = self._running[name] = subprocess.Popen(
                command, stdout=said, stderr=subprocess.STDOUT, env={**os.environ, **(environment or {})}
            )
        if others:
            os.sched_setaffinity(process.pid, others)
            os.sched_setaffinity(0, mine)

    def ended(self, name: str) -> dict[str, Any]:
        """Wait for such a command: its exit code, its seconds, and the last lines that it said."""
        process = self._running.pop(name, None)
        if process is None:
            return {"left_out": NO_TIME}
        try:
            code: int | None = process.wait(max(1.0, self.patience - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            code = None
        file = self.folder / name
        lines = file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        took = file.stat().st_mtime - self._begun[name]  # it speaks when it ends, at the latest
        said = [line for line in lines if not _is_warning(line)]
        told = {"code": code, "seconds": round(took, 1), "said": said[-15:]}
        self.compiled |= {name.removeprefix("compile ")} if code == 0 else set()
        return {**told, **({"left_out": NO_TIME} if code is None else {})}

    def close(self) -> None:
        """End what still runs, and take all cores back."""
        for process in self._running.values():
            process.kill()
        if CORES:
            os.sched_setaffinity(0, CORES)


def _is_warning(line: str) -> bool:
    """Whether a line is one of a library's warnings, or the code it shows of it: they name paths of the machine."""
    return "Warning" in line or line.startswith(("    ", "  /"))


def shared_cores() -> tuple[frozenset[int], frozenset[int]]:
    """A quarter of the cores, for what is measured, and the others; nothing where there are fewer than eight."""
    cores = sorted(CORES)
    cut = len(cores) // 4
    return (frozenset(cores[:cut]), frozenset(cores[cut:])) if cut > 1 else (frozenset(), frozenset())


def report(file: Path, *, device: str, minutes: float) -> Report:
    """Prove and measure what there is time for.

    Parameters
    ----------
    file : the JSON, written after each part.
    minutes : no part begins later.
    """
    with tempfile.TemporaryDirectory(prefix="speed-") as folder:
        began, length = time.monotonic(), 60 * minutes
        made = Report(file, device, began + WAITING * length, began + length, Path(folder))
        made.found["minutes"] = {"found": minutes}
        try:
            _all(made)
        finally:
            made.close()
    return made


def _all(made: Report) -> None:
    made.part("machine", machine)
    made.part("begun together", begin, seconds=60)
    wait_for(made, "generators", "tests", "compile resnet18", "compile pixel_ddpm")
    made.part("resnet18", trainings_of("resnet18", 100, 600), seconds=45)
    made.part("pixel_ddpm", denoiser, seconds=45)
    made.part("sampler", sampler, seconds=15)
    wait_for(made, "compile densenet121")
    made.part("densenet121", trainings_of("densenet121", 30, 150), seconds=75)
    made.part("resnet18, eight", trainings_of("resnet18", 100, 600, (8,)), seconds=30)
    made.part("densenet121, eight", trainings_of("densenet121", 30, 150, (8,)), seconds=50)
    made.part("pixel_ddpm, not compiled", denoiser_plain, seconds=40)


def wait_for(made: Report, *names: str) -> None:
    """Wait for what was begun beside the rest, a part each."""
    for name in names:
        made.part(name, lambda r, name=name: r.ended(name))  # type: ignore[misc]


def machine(made: Report) -> dict[str, Any]:
    """Card, versions, and the speed of matrix products."""
    import torch

    from benchmarks.speed.machine import machine as facts_of
    from synthworth.training.peak import matmul_peak

    made.peak = matmul_peak(made.device, "bf16")
    facts: dict[str, Any] = {
        **facts_of(made.device), "when": time.strftime("%Y-%m-%d"),
        "peak_tflops": {p: matmul_peak(made.device, p) / 1e12 for p in ("fp32", "tf32", "bf16")},
    }  # fmt: skip
    if made.device.startswith("cuda"):
        properties = torch.cuda.get_device_properties(made.device)
        facts |= {
            "card": properties.name, "card_memory_gib": properties.total_memory / 2**30, "cuda": torch.version.cuda,
            "multiprocessors": properties.multi_processor_count,
        }  # fmt: skip
    return facts


def begin(made: Report) -> list[str]:
    """Begin what needs no quiet: every generator once, the tests for a GPU, and the compiling."""
    made.begin("generators", [sys.executable, "-m", "benchmarks.speed.gpu.generators", made.device])
    files = [str(file) for file in sorted(TESTS.glob("test_*.py")) if MARK in file.read_text(encoding="utf-8")]
    beside = ["-n", "4"] if find_spec("xdist") else []
    options = ["-p", "no:cacheprovider", "--durations=5", *beside, "-m", "gpu"]
    missing = f"raise SystemExit('the tests are not at hand: there is no {TESTS}')"
    run = ["-m", "pytest", *options, *files] if files else ["-c", missing]
    made.begin("tests", [sys.executable, *run], {"SYNTHWORTH_TESTS_ON_A_GPU": "1"})
    for name in COMPILED:
        made.begin(f"compile {name}", [sys.executable, "-m", "benchmarks.speed.gpu.warm", name, made.device])
    return ["generators", "tests", *COMPILED]


def trainings_of(
    arch: str, plain_steps: int, n_steps: int, many: tuple[int, ...] = (1, 6)
) -> Callable[[Report], list[str]]:
    """The part that times a classifier."""

    def part(made: Report) -> list[str]:
        from benchmarks.speed.gpu.trainings import training_rows

        rows = training_rows(
            arch, device=made.device, plain_steps=plain_steps, n_steps=n_steps, peak=made.peak, many=many,
            compile=arch in made.compiled,
        )  # fmt: skip
        return made.add(rows)

    return part


def denoiser(made: Report) -> list[str]:
    """`pixel_ddpm`, compiled."""
    from benchmarks.speed.gpu.denoiser import denoiser_row

    compiled = "pixel_ddpm" in made.compiled
    row, made.model = denoiser_row(device=made.device, n_steps=125, peer_steps=20, peak=made.peak, compile=compiled)
    return made.add([row])


def denoiser_plain(made: Report) -> list[str]:
    """`pixel_ddpm`, not compiled."""
    from benchmarks.speed.gpu.denoiser import denoiser_row

    row, _ = denoiser_row(device=made.device, n_steps=75, peer_steps=20, peak=made.peak, compile=False)
    return made.add([row])


def sampler(made: Report) -> list[str]:
    """Drawing with the model of an earlier part."""
    from benchmarks.speed.gpu.denoiser import sampler_row

    if made.model is None:
        raise Unavailable("there is no trained pixel_ddpm: see its part")
    return made.add([sampler_row(made.model, device=made.device)])
