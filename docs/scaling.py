"""The tables of docs/scaling.md, from the inputs at its top: `python docs/scaling.py` prints them.

Hours are rate times work; memory is bytes a film. What a processor does is read from the file of `benchmarks.speed` in
results/reference/speed. Change an input here, run this, and paste what it prints.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILMS, GPUS = (10**5, 10**6, 10**8), (1, 8, 64)
MEMORY = 128 * 2**30
"""Bytes of the machine that is asked when it is full."""
DAY = 24.0


@dataclass(frozen=True)
class Input:
    """A number that the page rests on: its unit, and where it comes from."""

    value: float
    what: str
    source: str


MEASURED = json.loads((ROOT / "results/reference/speed/amd-epyc-two-cores.json").read_text(encoding="utf-8"))
PRDC = next(float(f"{row['value']:.3g}") for row in MEASURED["rows"] if row["name"] == "prdc")


def grown(*stages: str) -> float:
    """Milliseconds of processor that a film takes in some stages, at 10,000 films."""
    of = {one["stage"]: one["processor_seconds"]["10000"] for one in MEASURED["growth"] if one["of"] == "films"}
    return float(f"{sum(of[stage] for stage in stages) / 10:.2g}")


INPUTS = {
    "R_resnet": Input(40_580, "images/s, ResNet-18 trained at 64 px, six side by side (3.3 GFLOP)", "one H200"),
    "R_densenet": Input(10_156, "images/s, DenseNet-121 trained at 64 px, six side by side (5.3 GFLOP)", "one H200"),
    "R_unet": Input(1_478, "images/s, UNet of 29 M parameters trained at 64 px (166 GFLOP), compiled", "one H200"),
    "R_draw": Input(18.0, "images/s drawn by that UNet in bf16, 50 steps with guidance", "one H200"),
    "A": Input(14, "arms: a generator, ten controls, three points of the curve", "preset `standard`"),
    "S": Input(6, "seeds of each arm", "preset `standard`"),
    "E": Input(10, "passes of each training over the real films", "assumed"),
    "V": Input(50e6, "images that the generator sees, or each film once where there are more", "published budgets"),
    "T": Input(50, "steps of drawing, two forward passes each (guidance)", "preset `standard`"),
    "P": Input(5, "arms that add as many images as there are films", "preset `standard`"),
    "F": Input(11.4, "GFLOP an image of Inception at 299 px, at ResNet-18's FLOP/s", "arithmetic"),
    "D": Input(2048, "numbers of a feature", "Inception"),
    "K": Input(14, "findings", "ChestX-ray14"),
    "px": Input(64, "side of a film in pixels", "preset `standard`"),
    "c_write": Input(grown("prepare: write"), "ms a film: splits written and fingerprinted", "`growth-films`"),
    "c_read": Input(grown("read, verify"), "ms a film: splits read and verified", "`growth-films`"),
    "c_audit": Input(
        grown("audit: what splits share", "audit: shortcuts"),
        "ms a film: audit without near duplicates",
        "`growth-films`",
    ),
    "c_mix": Input(grown("mixture"), "ms a film: one mixture", "`growth-films`"),
    "c_test": Input(grown("record: intervals"), "ms a test film: intervals of an arm, six classes", "`growth-films`"),
    "q_audit": Input(1.5 / 60, "h: near duplicates of 10^5 films, n^2", "`data/audit/duplicates.py`, two cores"),
    "q_prdc": Input(PRDC, "s: PRDC of 10^4 x 10^4 features of 512, n^2", "row `prdc`, two cores"),
}
V = {name: one.value for name, one in INPUTS.items()}


def on_gpus(n: float, g: int) -> dict[str, float]:
    """Hours of the stages that GPUs share, n films on g of them."""
    v, hour = V, 3600.0 * g
    images = v["A"] * v["S"] * v["E"] * n
    return {
        "classifiers, ResNet-18": images / v["R_resnet"] / hour,
        "classifiers, DenseNet-121": images / v["R_densenet"] / hour,
        "generator, fit": max(v["V"], n) / v["R_unet"] / hour,
        "generator, n images drawn": n / v["R_draw"] / hour,
        "features": (1 + v["P"]) * n * v["F"] / 3.3 / v["R_resnet"] / hour,
    }


def on_cores(n: float) -> dict[str, float]:
    """Hours of the stages that a processor does today, whatever GPUs there are."""
    v, ms = V, 1 / 3.6e6
    return {
        "prepare, write": n * v["c_write"] * ms,
        "read, verify": n * v["c_read"] * ms,
        "audit without near duplicates": n * v["c_audit"] * ms,
        "mixtures of all arms": v["A"] * n * v["c_mix"] * ms,
        "intervals of all arms": v["A"] * n / 10 * v["c_test"] * ms,
        "near duplicates, n^2": v["q_audit"] * (n / 1e5) ** 2,
        "PRDC of the arms that add, n^2": v["P"] * v["q_prdc"] / 3600 * (n / 1e4) ** 2,
    }


def bytes_of() -> dict[str, float]:
    """Bytes a film of what is held in memory at once; a tenth of the films are test films, three a patient."""
    v = V
    return {
        "PRDC: both sides in float32, float64 and float32 again": 2 * v["D"] * (4 + 8 + 4),
        "mixture: n real and n synthetic images, uint8": 2 * v["px"] ** 2,
        "scores of all arms, float64": v["A"] * v["S"] * v["K"] / 10 * 8,
        "resamples: patients x 2,001 counts, float64": 2001 * 8 / 30,
        "ids and patients: two tuples of str": 2 * (49 + 13 + 8),
    }


def on_disk() -> dict[str, float]:
    """Bytes a film of what is written."""
    return {
        "images of the splits, a memory map": V["px"] ** 2,
        "predictions.parquet of all arms": V["A"] * V["S"] * V["K"] / 10 * 4,
    }


def full_at(bytes_a_film: float) -> float:
    """Films at which 128 GiB are full."""
    return MEMORY / bytes_a_film


def day_at(hours: Callable[[float], float]) -> float:
    """Films, to 1 %, at which a stage takes a day."""
    low, high = 1.0, 1e12
    while high / low > 1.01:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if hours(middle) < DAY else (low, middle)
    return low


def number(value: float) -> str:
    """Two digits that mean something; years beyond 10,000 h."""
    if value >= 1e4:
        return f"{value / 8766:.2g} years" if value < 8.766e5 else f"{value / 8766:,.0f} years"
    return f"{float(f'{value:.2g}'):,g}"


def said(value: float) -> str:
    """An input as it was given."""
    return f"{value:,.4g}" if value < 1e4 else f"{value:,.0f}"


def power(n: float) -> str:
    """A number of films to two digits."""
    return f"{n:.1e}".replace("e+0", "e").replace("e+", "e")


def table(head: list[str], rows: list[list[str]]) -> str:
    """A table of Markdown, all columns but the first to the right."""
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def tables() -> dict[str, str]:
    """The tables of the page by name."""
    gpu_head = ["hours", *[f"{n:.0e} films, {g} GPU".replace("e+0", "e") for n in FILMS for g in GPUS]]
    gpu = {name: [on_gpus(n, g)[name] for n in FILMS for g in GPUS] for name in on_gpus(1, 1)}
    cpu = {name: [on_cores(n)[name] for n in FILMS] for name in on_cores(1)}
    disk = on_disk()
    sizes = bytes_of() | disk
    days = {name: day_at(lambda n, name=name: on_cores(n)[name]) for name in cpu}
    days |= {name: day_at(lambda n, name=name: on_gpus(n, 1)[name]) for name in gpu}
    films = [f"{n:.0e} films".replace("e+0", "e") for n in FILMS]
    return {
        "inputs": table(
            ["input", "value", "what", "from"],
            [[f"`{k}`", said(one.value), one.what, one.source] for k, one in INPUTS.items()],
        ),
        "gpus": table(gpu_head, [[name, *map(number, row)] for name, row in gpu.items()]),
        "cores": table(["hours", *films], [[name, *map(number, row)] for name, row in cpu.items()]),
        "memory": table(
            ["GiB", *films, "128 GiB at"],
            [
                [name, *(number(size * n / 2**30) for n in FILMS), "disk" if name in disk else power(full_at(size))]
                for name, size in sizes.items()
            ],
        ),
        "first": table(
            ["stage", "films in a day, one machine with one GPU"],
            [[name, power(n)] for name, n in sorted(days.items(), key=lambda pair: pair[1])],
        ),
    }  # fmt: skip


if __name__ == "__main__":
    for made in tables().values():
        print(made, end="\n\n")
