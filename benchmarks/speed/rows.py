"""Which rows there are, by device and name. A row is measured by a function of the repetitions, growth by sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.speed.autoencoder import vae_row
from benchmarks.speed.classifier import classifier_row
from benchmarks.speed.diffusion import auto_rows, pixel_ddpm_rows, quick_rows
from benchmarks.speed.films import cache_row, epoch_row, memory_row
from benchmarks.speed.growth_arms import arms_rows
from benchmarks.speed.growth_films import films_rows
from benchmarks.speed.growth_seeds import seeds_rows
from benchmarks.speed.growth_sweep import cells_rows
from benchmarks.speed.inception import inception
from benchmarks.speed.neighbours import neighbours_memory_row, neighbours_row
from benchmarks.speed.numbers import bootstrap_row, prdc_row
from benchmarks.speed.sampling import sampling_rows
from benchmarks.speed.sweeps import sweep_row

GROWTH = {
    "growth-films": films_rows, "growth-arms": arms_rows, "growth-seeds": seeds_rows, "growth-cells": cells_rows,
}  # fmt: skip
"""`rows(sizes)`: each gives what time and memory grow by; without sizes its own."""
ROWS: dict[str, dict[str, Callable[[Any], Any]]] = {
    "cpu": {
        "pixel-ddpm": pixel_ddpm_rows,
        "pixel-ddpm-quick": quick_rows,
        "pixel-ddpm-auto": auto_rows,
        "vae": vae_row,
        "classifier": classifier_row,
        "sampling": sampling_rows,
        "inception-fp32": lambda repeat: inception(repeat, precision="fp32"),
        "inception-bf16": lambda repeat: inception(repeat, precision="bf16"),
        "prdc": prdc_row,
        "neighbours": neighbours_row,
        "neighbours-memory": neighbours_memory_row,
        "bootstrap": bootstrap_row,
        "cache": cache_row,
        "epoch": epoch_row,
        "memory": memory_row,
        "sweep": sweep_row,
        **GROWTH,
    },
    "cuda": {},
}
"""`row(repeat)` gives one `Row`, or some that are measured together."""
