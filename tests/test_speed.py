"""The speed rows: what runs in a process of its own finds the code that it measures."""

from __future__ import annotations

from benchmarks.speed.films import _peak, films


def test_the_process_whose_memory_is_measured_caches_films() -> None:
    with films(6, 6, 16) as root:
        assert 20 < _peak(root) < 8_000  # MiB
