"""How a warm process begins: `python warm_server.py FD` imports what takes seconds, once, and forks a process an order.

Only the libraries of others are imported beforehand. The project itself, and whatever a command asks for beside them,
is imported anew by every process, from the folders that its own environment names.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import os
import pickle
import runpy
import signal
import socket
import sys
import threading
import time
import types
from dataclasses import dataclass
from pathlib import Path

LIBRARIES = (
    "torch", "torch.utils.flop_counter", "torchvision.models", "timm.optim", "numpy", "pandas", "pyarrow.parquet",
    "pyarrow.dataset", "sklearn.metrics", "sklearn.decomposition", "matplotlib.figure",
    "matplotlib.backends.backend_agg", "diffusers.models.unets.unet_1d", "diffusers.models.unets.unet_2d",
    "lightning_fabric", "cattrs", "tyro", "rich.table", "yaml", "cv2",
)  # fmt: skip
"""What commands that train take their time to import."""
HIGH = 300
"""Descriptors are moved above this number before they are put in their places."""


@dataclass(frozen=True)
class Order:
    """A process that is asked for.

    Attributes
    ----------
    words : the command line after `python`: `-m MODULE ...`, `-c CODE ...` or `FILE ...`.
    places : numbers that the descriptors which come with the order have in the process.
    parent : the process that asks, whose child the new one becomes.
    ignored : signals that the parent ignores, and so the new one.
    """

    words: tuple[str, ...]
    folder: str
    environment: dict[str, str]
    places: tuple[int, ...]
    parent: int
    ignored: tuple[int, ...]
    new_session: bool


def serve(line: socket.socket) -> Order:
    """Answer orders with the id of the process; returns in each of these, ready to become what was ordered."""
    gc.collect()
    gc.freeze()  # a collection in a forked process would copy every page
    while head := socket.recv_fds(line, 8, 64):
        sent, descriptors, _, _ = head
        if not sent:
            os._exit(0)
        parcel = b""
        while len(parcel) < int.from_bytes(sent, "big"):
            parcel += line.recv(1 << 20)
        order: Order = pickle.loads(parcel)
        between = os.fork()
        if not between:
            between = os.getpid()
            if os.fork():
                os._exit(0)  # an orphan becomes the child of the nearest process above that takes orphans: who asked
            while os.getppid() == between:
                time.sleep(0.0005)
            line.sendall((os.getpid() if os.getppid() == order.parent else 0).to_bytes(8, "big"))
            line.close()
            _put(descriptors, order.places)
            return order
        os.waitpid(between, 0)
        for descriptor in descriptors:
            os.close(descriptor)
    raise AssertionError("a line that ended is an empty message")


def _put(descriptors: list[int], places: tuple[int, ...]) -> None:
    high = [fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, HIGH) for descriptor in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    for descriptor, place in zip(high, places, strict=True):
        os.dup2(descriptor, place)
        os.close(descriptor)


def become(order: Order, base: list[str]) -> None:
    """Do what `python WORDS` does, as a process that its parent began; `base` is the path without anybody's own."""
    for number in (signal.SIGINT, signal.SIGTERM):
        usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, signal.SIG_IGN if number in order.ignored else usual)
    if order.new_session:
        os.setsid()
    os.chdir(order.folder)
    os.environ.clear()
    os.environ.update(order.environment)
    for name, place, mode, errors in (
        ("stdin", 0, "r", None),
        ("stdout", 1, "w", None),
        ("stderr", 2, "w", "backslashreplace"),
    ):
        was = getattr(sys, name)
        stream = os.fdopen(place, mode, 1 if place == 2 else -1, was.encoding, errors or was.errors, closefd=False)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    sys.modules["numpy"].random.seed()
    kind, *rest = order.words
    first = {"-m": order.folder, "-c": ""}.get(kind, os.path.dirname(os.path.abspath(kind)))
    sys.path[:] = [first, *filter(None, order.environment.get("PYTHONPATH", "").split(os.pathsep)), *base]
    importlib.invalidate_caches()
    main = types.ModuleType("__main__")
    main.__builtins__ = __builtins__  # type: ignore[attr-defined]
    sys.modules["__main__"] = main
    try:
        _carry_out(kind, rest, main)
    except SystemExit as left:
        if not isinstance(left.code, int | None):
            print(left.code, file=sys.stderr)
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except KeyboardInterrupt:
        raise  # the interpreter ends by the signal
    except BaseException:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
        code = 1
    else:
        code = 0
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code & 0xFF)  # as processes of multiprocessing end: to take all modules down takes a second


def _carry_out(kind: str, rest: list[str], main: types.ModuleType) -> None:
    if kind == "-m":
        sys.argv = ["-m", *rest[1:]]
        runpy._run_module_as_main(rest[0])  # type: ignore[attr-defined]  # what `-m` itself calls
        return
    text = rest[0].encode() if kind == "-c" else Path(kind).read_bytes()
    sys.argv = [kind, *rest[kind == "-c" :]]
    if kind != "-c":
        main.__file__ = kind
    exec(compile(text, "<string>" if kind == "-c" else kind, "exec"), main.__dict__)


def start(number: int) -> tuple[Order, list[str]]:
    """Import the libraries and serve; what comes of it is an order, and the path without anybody's own folders."""
    own = {os.path.dirname(os.path.abspath(__file__)), *os.environ.get("PYTHONPATH", "").split(os.pathsep)}
    base = [folder for folder in sys.path if folder not in own]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in LIBRARIES:
        importlib.import_module(name)
    line = socket.socket(fileno=number)
    line.sendall(b"ready")
    return serve(line), base


if __name__ == "__main__":
    HELD = sys.modules["__main__"]
    become(*start(int(sys.argv[1])))
