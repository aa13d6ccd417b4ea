"""The executor of a Ray cluster: a task an item; what crosses is a request and a key, and back comes a state."""

from __future__ import annotations

import importlib.util
import signal
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from benchmarks.job.fault import Fault, OutOfTime
from benchmarks.request.options import Request
from benchmarks.sweep.ends import Ends, Settled
from benchmarks.sweep.graph import Graph
from benchmarks.sweep.items import Item
from benchmarks.sweep.perform import Answer, perform
from synthworth.errors import UserError, bounded
from synthworth.processes import call_packed, pack

MOST_SUBMITTED = 1000
"""Tasks that wait in the cluster at a time; the rest wait here."""
SYSTEM_RETRIES = 20
"""How often a task is begun again because its node or its process was lost: that says nothing of the item."""
REACH_SECONDS = 5.0


def run_ray(
    graph: Graph, requests: Sequence[Request], *, address: str, device: str, threads: int, settled: Settled,
    retries: int = 0, limits: Mapping[str, float] | None = None,
) -> None:  # fmt: skip
    """Make every item that can be made, somewhere in the cluster. All nodes see the same home and results.

    Parameters
    ----------
    address : of the cluster: auto, HOST:PORT, or local for one that is begun here and ends with this process.
    threads : torch's, in each task, and the CPUs that a task asks for.
    retries, limits, settled : as in `run_local`.

    Raises
    ------
    UserError
        Where Ray is not installed, or the cluster cannot be reached.
    """
    ray = connect(address)
    try:
        ends = Ends(graph, retries=retries, settled=settled)
        running: dict[Any, Item] = {}
        while not graph.settled:
            while len(running) < MOST_SUBMITTED and (item := graph.next()) is not None:
                limit = (limits or {}).get(item.stage, 0.0)
                request = requests[item.request]
                task = _remote(ray, request, item, device, threads)
                running[task.remote(pack(perform, request, item), threads, limit)] = item
            ready, _ = ray.wait(list(running), num_returns=1, timeout=5.0)
            for reference in ready:
                item, answer = running.pop(reference), _answer(ray, reference)
                ends.take(item, answer)
    finally:
        ray.shutdown()


def connect(address: str) -> Any:
    """The module `ray`, connected.

    Raises
    ------
    UserError
        Where that cannot be.
    """
    _check_installed()
    import ray

    _check_reached(address)
    try:
        ray.init(address=None if address == "local" else address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(
            f"--ray-address {address}: no Ray cluster answers there ({bounded(str(error).splitlines()[0])}). Start one "
            "with `ray start --head`, or use --executor local"
        ) from error
    return ray


def check_cluster(address: str) -> None:
    """Refuse, before anything is prepared, a cluster that does not answer; one that is begun here is not begun yet.

    Raises
    ------
    UserError
        As `connect`.
    """
    if address == "local":
        _check_installed()
    else:
        connect(address).shutdown()


def _check_installed() -> None:
    if importlib.util.find_spec("ray") is None:
        raise UserError("--executor ray needs the package ray: pip install 'synthworth[cluster]'")


def _check_reached(address: str) -> None:
    """Refuse at once an address where nothing listens; Ray would try for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdigit()):
        return
    try:
        with socket.create_connection((host, int(port)), timeout=REACH_SECONDS):
            pass
    except OSError as error:
        raise UserError(
            f"--ray-address {address}: nothing answers there ({error}). Start a cluster with `ray start --head`, or "
            "use --executor local"
        ) from error


def resources_of(request: Request, item: Item, *, device: str, threads: int) -> dict[str, Any]:
    """What a task asks the cluster for: what the item's plugin declares, else a GPU where there are some.

    A plugin declares it as `resources`, a mapping of `gpu` (cards) and `memory` (bytes).
    """
    from classifiers.registry import classifiers
    from generators.registry import generators

    o = request.options
    plugin: Any = classifiers.get(o.classifier) if item.stage == "classify" else generators.get(o.generator)
    told: Mapping[str, float] = getattr(plugin, "resources", {})
    on_gpu = device.startswith("cuda")
    asked: dict[str, Any] = {"num_cpus": threads, "num_gpus": told.get("gpu", 1) if on_gpu else 0}
    if "memory" in told:
        asked["memory"] = int(told["memory"])
    if on_gpu:
        asked["max_calls"] = 1  # a process that ends gives its card's memory back
    return asked


def _remote(ray: Any, request: Request, item: Item, device: str, threads: int) -> Any:
    asked = resources_of(request, item, device=device, threads=threads)
    remote = ray.remote(max_retries=SYSTEM_RETRIES, retry_exceptions=False, **asked)(do)
    return remote.options(name=f"{item.stage} {item.name}"[:80], scheduling_strategy="SPREAD")


def do(parcel: bytes, threads: int, limit: float) -> Answer:
    """A task: the call of a parcel, with so many threads, in so many seconds."""
    import torch

    from synthworth.progress import mute

    torch.set_num_threads(threads)
    mute()
    with within(limit):
        answer: Answer = call_packed(parcel)
    return answer


@contextmanager
def within(limit: float) -> Iterator[None]:
    """Raise `OutOfTime` in the block after so many seconds; never for 0."""
    if not limit:
        yield
        return

    def ring(number: int, frame: Any) -> None:
        raise OutOfTime(f"it took longer than {limit / 3600:g} h (--max-hours)")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, limit)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _answer(ray: Any, reference: Any) -> Answer:
    """What became of a task."""
    try:
        answer: Answer = ray.get(reference)
    except ray.exceptions.OutOfMemoryError as error:
        return Answer(0.0, fault=Fault("out of memory", bounded(str(error).splitlines()[0])))
    except ray.exceptions.RayTaskError as error:  # what `perform` does not tell: the parcel could not be opened
        return Answer(0.0, fault=Fault("refused", bounded(str(error.cause or error).splitlines()[-1])))
    except ray.exceptions.RayError as error:
        return Answer(0.0, fault=Fault("killed", bounded(str(error).splitlines()[0])))
    return answer
