"""Processes of Python that need not import torch and its like anew, which takes seconds of each: forked from a server.

They are true children of the process that asks for them: they have an exit code, a group, signals, descriptors,
folder and environment of their own, and import the project from the beginning. Two servers take turns, since a fork
keeps the seed that strings are hashed with: a command and the same command again have different ones, as ever.

Where this cannot be done, a process is begun in the usual way: off Linux, and where the environment sets what an
interpreter or a library reads when it starts.
"""

from __future__ import annotations

import atexit
import ctypes
import inspect
import multiprocessing.util
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

from warm_server import Order

READ_AT_START = ("PYTHON", "OMP_", "GOMP_", "MKL_", "OPENBLAS_", "LD_PRELOAD", "CUDA_", "HF_", "MPL")
"""How the names of variables begin that are read by an interpreter or a library when it starts.

Not what libraries set for themselves as they are imported: `LD_LIBRARY_PATH` (OpenCV), `KMP_*` (scikit-learn),
`PYTORCH_NVML_BASED_CUDA_CHECK` (Lightning Fabric), `TORCHINDUCTOR_*`. A process of pytest has these as soon as one
test has imported them.
"""
EACH_HAS_ITS_OWN = ("PYTHONPATH",)
"""Names that begin so, but are not read from the server's own environment."""
TAKE_ORPHANS = 36
"""`PR_SET_CHILD_SUBREAPER` of Linux."""


ENVIRONMENT: dict[str, str] = {}
"""What the servers start with: the environment of this process before any test changes it, from `set_up` on."""


class Server:
    """A process that forks others from itself; begun with the first order."""

    def __init__(self) -> None:
        self.line: socket.socket | None = None

    def begin(self) -> None:
        """Start, which takes as long as a cold process takes to import its libraries."""
        self.line, there = socket.socketpair()
        file = Path(__file__).with_name("warm_server.py")
        process = subprocess.Popen(
            [sys.executable, str(file), str(there.fileno())], pass_fds=[there.fileno()], env=ENVIRONMENT
        )
        there.close()
        atexit.register(process.wait)
        atexit.register(self.line.close)
        if self.line.recv(5) != b"ready":
            raise RuntimeError("the server of warm processes did not start")

    def fork(self, order: Order, descriptors: Sequence[int]) -> int:
        """The id of a new child of this process."""
        assert self.line is not None
        parcel = pickle.dumps(order)
        with _taking_orphans():
            socket.send_fds(self.line, [len(parcel).to_bytes(8, "big")], descriptors)
            self.line.sendall(parcel)
            answer = self.line.recv(8)
        if not (pid := int.from_bytes(answer, "big")):
            raise RuntimeError("a warm process did not become a child of the one that asked for it")
        return pid


SERVERS = (Server(), Server())
IN_TURN = cycle(SERVERS)


@contextmanager
def _taking_orphans() -> Iterator[None]:
    """Inside the block orphans below this process become its children, and not those of the machine's first one."""
    _set_taking_orphans(True)
    try:
        yield
    finally:
        _set_taking_orphans(False)


def _set_taking_orphans(takes: bool) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(TAKE_ORPHANS, int(takes), 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def _read_at_start(environment: Mapping[str, str]) -> dict[str, str]:
    return {k: v for k, v in environment.items() if k.startswith(READ_AT_START) and k not in EACH_HAS_ITS_OWN}


def fork(
    words: Sequence[str], descriptors: Mapping[int, int], environment: Mapping[str, str], *, folder: str | None = None,
    new_session: bool = False,
) -> int | None:  # fmt: skip
    """The id of a child that does what `python WORDS` does; None where it has to be begun in the usual way.

    Parameters
    ----------
    descriptors : by the number that the child knows them by.
    """
    if (
        sys.platform != "linux"
        or not ENVIRONMENT
        or not words
        or (words[0].startswith("-") and words[0] not in ("-m", "-c"))
    ):
        return None
    if _read_at_start(environment) != _read_at_start(ENVIRONMENT):
        return None
    server = next(IN_TURN)
    if server.line is None:
        server.begin()
    ignored = tuple(int(n) for n in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(n) is signal.SIG_IGN)
    order = Order(
        tuple(words), folder or os.getcwd(), dict(environment), tuple(descriptors), os.getpid(), ignored, new_session
    )
    return server.fork(order, list(descriptors.values()))


class Popen(subprocess.Popen[str]):
    """`subprocess.Popen` of `[sys.executable, ...]`, from a server where that can be done."""

    def _execute_child(self, *given: Any) -> None:
        usual = super()._execute_child  # type: ignore[misc]
        o = inspect.signature(usual).bind(*given).arguments
        program, *words = o["args"]
        plain = program == sys.executable and not (o["executable"] or o["preexec_fn"] or o["pass_fds"] or o["shell"])
        ends = {0: o["p2cread"], 1: o["c2pwrite"], 2: o["errwrite"]}
        ends = {place: place if end == -1 else end for place, end in ends.items()}
        folder = None if o["cwd"] is None else os.path.abspath(o["cwd"])
        environment = os.environ if o["env"] is None else o["env"]
        pid = fork(words, ends, environment, folder=folder, new_session=o["start_new_session"]) if plain else None
        if pid is None:
            usual(*given)
            return
        self.pid, self._child_created = pid, True
        self._close_pipe_fds(  # type: ignore[attr-defined]
            *(o[name] for name in ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite"))
        )


def run(
    words: Sequence[str], *, folder: Path, environment: Mapping[str, str], seconds: float
) -> subprocess.CompletedProcess[str]:
    """`python WORDS` in a folder, to its end."""
    line = [sys.executable, *words]
    with Popen(line, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            out, err = process.communicate(timeout=seconds)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(line, process.returncode, out, err)


def set_up() -> None:
    """From here on processes are warm, also those that `multiprocessing` spawns in this process."""
    ENVIRONMENT.update(os.environ)
    cold = multiprocessing.util.spawnv_passfds

    def spawn(path: bytes, words: Sequence[str], passed: Sequence[int]) -> int:
        line = [os.fsdecode(word) for word in words]
        helper = any("spawn_main" in word for word in line)
        words_of_helper = line[line.index("-c") :] if helper else []
        pid = fork(words_of_helper, {n: n for n in (0, 1, 2, *passed)}, os.environ)
        return cold(path, words, passed) if pid is None else pid

    multiprocessing.util.spawnv_passfds = spawn  # type: ignore[assignment]
