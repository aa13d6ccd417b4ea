"""The rows of a sweep's table: each cell, what its record says, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.job.opened import Opened
from benchmarks.records.store import Records
from benchmarks.report.columns import value_of
from benchmarks.request.cells import Sweep
from benchmarks.request.spec import RunSpec
from benchmarks.sweep.failures import Failure

NUMBERS = (
    "auroc", "auroc_low", "auroc_high", "vs_none", "vs_none_low", "vs_none_high", "p_none", "vs_duplicate",
    "vs_duplicate_low", "vs_duplicate_high", "p_duplicate", "worth", "worth_low", "worth_high", "fd",
)  # fmt: skip
"""Columns of what a record says; `fd` is the Frechet distance in the first extractor that was at hand."""


@dataclass(frozen=True)
class Row:
    """A cell at one ratio and training.

    Parameters
    ----------
    axes : what is varied, and its value here.
    state : done, failed or to do.
    numbers : by column; None where the record has none.
    note : why there is no record.
    """

    axes: Mapping[str, Any]
    spec: RunSpec
    state: str
    numbers: Mapping[str, float | None]
    note: str = ""


def rows_of(sweep: Sweep, requests: Sequence[Opened], *, records: Records, failures: Sequence[Failure]) -> list[Row]:
    """One a cell; a cell of several ratios or trainings has one for each."""
    why = {failure.run_id: failure.sentence() for failure in failures if failure.run_id}
    made = []
    for cell, number in zip(sweep.cells, sweep.answers, strict=True):
        opened = requests[number]
        for spec in specs_of_cell(cell, opened):
            record = records.find(spec.run_id)
            varied = {name: one_cell(cell[name]) for name in sweep.axes if name in cell}
            axes = {**varied, **{name: getattr(spec, name) for name in ("ratio", "generator_seed") if name in varied}}
            if "ratio" in varied and spec.is_real_only:
                axes["ratio"] = 0.0
            if record is None:
                state = "failed" if spec.run_id in why else "to do"
                made.append(Row(axes, spec, state, dict.fromkeys(NUMBERS), why.get(spec.run_id, "")))
            else:
                made.append(Row(axes, spec, "done", numbers_of(record)))
    return made


def specs_of_cell(cell: Mapping[str, Any], opened: Opened) -> list[RunSpec]:
    """The arms that a cell is about: its generator's, at its ratio and training."""
    o = opened.request.options
    ratios = _several(cell["ratio"]) if "ratio" in cell else list(o.ratio)
    trainings = _several(cell["generator_seed"]) if "generator_seed" in cell else list(o.generator_seed)
    found = []
    for ratio in ratios:
        for training in trainings:
            for spec in opened.specs:
                drawn = spec.generator == o.generator and spec.ratio == float(ratio) and spec.generator_seed == training
                if drawn or (float(ratio) == 0 and spec.is_zero_line):
                    found.append(spec)
                    break
    return list({spec.run_id: spec for spec in found}.values())


def one_cell(value: Any) -> Any:
    """A value of an axis as one cell of a table: a list or a mapping in words."""
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {one_cell(inner)}" for name, inner in value.items())
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _several(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def numbers_of(record: Mapping[str, Any]) -> dict[str, float | None]:
    """The columns of a record."""
    auroc = record["utility"].get("auroc") or {}
    made: dict[str, float | None] = {
        "auroc": auroc.get("value"), "auroc_low": auroc.get("low"), "auroc_high": auroc.get("high")
    }  # fmt: skip
    for control in ("none", "duplicate"):
        found = record["comparisons"].get(control) or {}
        made |= {
            f"vs_{control}": found.get("difference"), f"vs_{control}_low": found.get("low"),
            f"vs_{control}_high": found.get("high"),
            f"p_{control}": found.get("p_interval"),
        }  # fmt: skip
    worth = record.get("worth") or {}
    made |= {"worth": worth.get("worth"), "worth_low": worth.get("low"), "worth_high": worth.get("high")}
    fd = value_of({k: v for k, v in record["fidelity"].items() if v["value"] is not None}, "fd")
    return {name: made.get(name) for name in NUMBERS} | {"fd": fd["value"] if fd else None}
