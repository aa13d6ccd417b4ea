"""The rows of a sweep's table: each cell, what its record says, or why there is none."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.job.briefs import Briefs
from benchmarks.job.opened import Opened
from benchmarks.report.columns import value_of
from benchmarks.request.cells import Sweep
from benchmarks.request.spec import NONE, RunSpec
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


SEVERAL = ("ratio", "generator_seed", "filters")
"""Of what one request may have several arms."""
OF_THE_SPEC = ("ratio", "mode", "generator_seed", "shard")
"""Axes that an arm of real images alone does not have."""


def rows_of(sweep: Sweep, requests: Sequence[Opened], *, records: Briefs, reasons: Mapping[str, Failure]) -> list[Row]:
    """One a cell; a cell of several ratios, trainings or filters has one for each, which stand among its axes then.

    What an axis is in a row is what its run has: an option may have been lowered to what there is.

    Parameters
    ----------
    reasons : run id -> why it has no record.
    """
    made: list[Row] = []
    first: dict[str, Mapping[str, Any]] = {}
    for cell, specs in arms_of_cells(sweep, requests):
        for spec in specs:
            record, note = records.find(spec.run_id), ""
            axes = {name: one_cell(cell[name]) for name in sweep.axes if name in cell}
            for name in axes:
                if hasattr(spec, name) and name not in ("generator", "dataset", "classifier", "controls", "curve"):
                    told = one_cell(getattr(spec, name))
                    axes[name] = axes[name] if spec.is_real_only and name in OF_THE_SPEC else told
            if "ratio" in axes and spec.is_real_only:
                axes["ratio"] = 0.0
            if not spec.is_real_only and first.setdefault(spec.run_id, cell) is not cell:
                note = f"the same run as the cell {_cell_in_words(first[spec.run_id])}"
            state = "done"
            if record is None:
                state = "failed" if spec.run_id in reasons else "to do"
                note = reasons[spec.run_id].sentence() if spec.run_id in reasons else note
            made.append(Row(axes, spec, state, dict(record.numbers) if record else dict.fromkeys(NUMBERS), note))
    return _told_apart(made, sweep.axes)


def _told_apart(rows: list[Row], axes: Sequence[str]) -> list[Row]:
    """The rows with what tells those of one cell apart, where a request asks for several values of it by itself."""
    for name in (one for one in SEVERAL if one not in axes):
        if len({getattr(row.spec, name) for row in rows if not row.spec.is_real_only}) > 1:
            rows = [replace(row, axes={**row.axes, **_value_of(row.spec, name)}) for row in rows]
    return rows


def _value_of(spec: RunSpec, name: str) -> dict[str, Any]:
    """Of an arm of real images alone only the ratio, which is 0."""
    if spec.is_real_only:
        return {"ratio": 0.0} if name == "ratio" else {}
    return {name: one_cell(getattr(spec, name))}


def axes_of(rows: Sequence[Row], axes: Sequence[str]) -> tuple[str, ...]:
    """What is varied, and what else tells rows apart."""
    return (*axes, *(name for name in SEVERAL if name not in axes and any(name in row.axes for row in rows)))


def arms_of_cells(sweep: Sweep, requests: Sequence[Opened]) -> Iterator[tuple[Mapping[str, Any], list[RunSpec]]]:
    """Each cell with the arms that it is about: its generator's, at its ratio and training, with and without copies."""
    of_request: dict[int, _Arms] = {}
    for cell, number in zip(sweep.cells, sweep.answers, strict=True):
        if number not in of_request:
            of_request[number] = _Arms(requests[number])
        yield cell, of_request[number].of(cell)


class _Arms:
    """The arms of a request, found by ratio and training: one request may have thousands, and as many cells."""

    def __init__(self, opened: Opened) -> None:
        self.options = o = opened.request.options
        self._own: dict[tuple[float, int], list[tuple[int, RunSpec]]] = {}
        self._zero: list[tuple[int, RunSpec]] = []
        for place, spec in enumerate(opened.specs):
            if spec.generator == o.generator:
                self._own.setdefault((spec.ratio, spec.generator_seed), []).append((place, spec))
            if spec.is_zero_line:
                self._zero.append((place, spec))

    def of(self, cell: Mapping[str, Any]) -> list[RunSpec]:
        """In their order."""
        o = self.options
        ratios = [float(r) for r in _several(cell.get("ratio", o.ratio))]
        trainings = [int(t) for t in _several(cell.get("generator_seed", o.generator_seed))]
        found = [one for key in itertools.product(ratios, trainings) for one in self._own.get(key, ())]
        found += self._zero if 0.0 in ratios or o.generator == NONE else []
        if not found:
            raise ValueError(f"a cell without an arm: {dict(cell)}")
        return list({spec.run_id: spec for _, spec in sorted(found, key=lambda one: one[0])}.values())


def _cell_in_words(cell: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {one_cell(value)}" for name, value in cell.items())


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
