"""A sweep on a Ray cluster of two simulated nodes, one of which dies: the same records. Skipped where Ray is not."""

from __future__ import annotations

import importlib.util
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from small_sweeps import BROKEN, SHORT, records, same, write

from benchmarks.job.fault import OutOfTime
from benchmarks.sweep.__main__ import main
from benchmarks.sweep.on_ray import resources_of, within
from synthworth.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")
there = pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed (extra cluster)")


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two nodes of one CPU each beside a head that takes no tasks."""
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    made.add_node(num_cpus=1)
    made.worker = made.add_node(num_cpus=1)
    made.wait_for_nodes()
    monkeypatch.setenv("SYNTHWORTH_LEASE_SECONDS", "5")
    yield made
    made.shutdown()


@there
def test_a_cluster_that_loses_a_node_makes_the_records_of_one_machine(cluster: Any, tmp_path: Path) -> None:
    alone, spread = write(tmp_path / "alone", SHORT), write(tmp_path / "spread", SHORT)
    assert main([*alone, "--jobs", "2"]) == 0

    def die() -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until and not list((tmp_path / "spread/home/work").glob("*/*")):
            time.sleep(0.2)
        cluster.remove_node(cluster.worker, allow_graceful=False)

    killer = threading.Thread(target=die)
    killer.start()
    code = main([*spread, "--executor", "ray", "--ray-address", cluster.address, "--jobs", "1"])
    killer.join()
    assert code == 0
    same(tmp_path / "spread", tmp_path / "alone", n=4)


@there
def test_what_fails_on_a_cluster_is_a_record_and_the_others_finish(cluster: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    text = f"plugin: {tmp_path / 'broken.py'}\nsweep:\n  product: {{generator: [breaks, vae]}}\n"
    args = [*write(tmp_path, text), "--executor", "ray", "--ray-address", cluster.address]
    assert main(args) == 1
    of = {record["name"]: record for record in records(tmp_path).values()}
    assert of["vae add 0.5"]["status"] == "ok" and of["breaks add 0.5"]["status"] == "failed"
    assert "go_wrong" in of["breaks add 0.5"]["failure"]["traceback"]


@there
def test_a_cluster_that_does_not_answer_is_said_in_one_line_and_nothing_is_written(tmp_path: Path) -> None:
    args = write(tmp_path, SHORT)
    with pytest.raises(UserError, match="nothing answers there"):
        main([*args, "--executor", "ray", "--ray-address", "127.0.0.1:1"])
    assert not records(tmp_path)


def test_without_ray_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.sweep.on_ray.importlib.util.find_spec", lambda name: None)
    from benchmarks.sweep.on_ray import connect

    with pytest.raises(UserError, match="pip install 'synthworth\\[cluster\\]'"):
        connect("auto")


def test_a_task_asks_for_what_its_plugin_declares(monkeypatch: pytest.MonkeyPatch) -> None:
    from generators.registry import generators

    request: Any = SimpleNamespace(options=SimpleNamespace(generator="vae", classifier="resnet18"))
    fit: Any = SimpleNamespace(stage="fit")
    assert resources_of(request, fit, device="cpu", threads=2) == {"num_cpus": 2, "num_gpus": 0}
    monkeypatch.setattr(generators.get("vae"), "resources", {"gpu": 2, "memory": 8e9}, raising=False)
    asked = {"num_cpus": 1, "num_gpus": 2, "memory": 8_000_000_000, "max_calls": 1}
    assert resources_of(request, fit, device="cuda", threads=1) == asked
    assert resources_of(request, SimpleNamespace(stage="classify"), device="cuda", threads=1)["num_gpus"] == 1  # type: ignore[arg-type]


def test_time_that_is_up_is_raised_in_the_block_and_forgotten_after_it() -> None:
    with pytest.raises(OutOfTime, match="longer than"), within(0.05):
        time.sleep(5)
    with within(0.05):
        pass
    time.sleep(0.1)
