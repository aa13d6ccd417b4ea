"""A sweep's YAML: any options of `benchmarks.run`, and under `sweep` what is varied; the requests that it means."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.request.named import find_config
from benchmarks.request.options import Request, complete_flags, given_flags, parse_mapping, read_choice
from benchmarks.request.same_flags import SameFlags
from benchmarks.request.yaml_file import read_yaml
from synthworth.errors import UserError, unknown_name
from synthworth.progress import track

SWEEP, PRODUCT, LIST = "sweep", "product", "list"
PARTS = ("gen", "data", "clf", "fit", "train")
"""Mappings of options: `gen.guidance` in a sweep is `guidance` of `gen`."""
MOST = 10_000
"""Cells of a sweep."""
TOGETHER = ("ratio", "generator_seed")
"""Options of which one request takes several values."""

Cell = Mapping[str, Any]
"""What is varied, by its name (dots within), and its value in this cell."""


@dataclass(frozen=True)
class Sweep:
    """What a sweep asks for.

    Parameters
    ----------
    cells : in the file's order.
    requests : that answer all of them; cells which differ in ratio and training alone share one.
    answers : of each cell the place of its request.
    axes : names of what is varied.
    """

    cells: tuple[Cell, ...]
    requests: tuple[Request, ...]
    answers: tuple[int, ...]
    axes: tuple[str, ...]


def read_sweep(file: Path, flags: Sequence[str], *, prog: str) -> Sweep:
    """Read a sweep; flags are those of `benchmarks.run` and beat the file in every cell.

    Raises
    ------
    UserError
        For a file that is none, an option that does not exist, a product without a cell, too many cells.
    """
    where, flags = str(file), complete_flags(flags)
    first = dataclasses.replace(read_choice(flags, prog=prog), config=file)
    base = dict(read_yaml(find_config(file)))
    blocks = base.pop(SWEEP, None)
    cells = cells_of(blocks, where=where)
    axes = tuple(dict.fromkeys(name for cell in cells for name in cell))
    for flag in sorted(given_flags(flags)):
        if twice := next((axis for axis in axes if _meet(flag, axis)), None):
            raise UserError(f"--{flag} is given, and {where} varies {twice}; take it out of one of them")
    groups, read = joined(cells), SameFlags(flags, prog=prog)
    requests = tuple(
        parse_mapping(overlaid(base, cell, where=where), flags, first=first, where=where, prog=prog, read=read)
        for cell, _ in track(groups, "sweep: reading cells")
    )
    answers = {place: number for number, (_, places) in enumerate(groups) for place in places}
    return Sweep(tuple(cells), requests, tuple(answers[place] for place in range(len(cells))), axes)


def _meet(name: str, other: str) -> bool:
    """Whether two options are the same, or one of them is a mapping that holds the other."""
    return name == other or name.startswith(f"{other}.") or other.startswith(f"{name}.")


def cells_of(blocks: Any, *, where: str) -> list[Cell]:
    """The cells of what stands under `sweep`: of each block every entry of its list with every point of its product."""
    if isinstance(blocks, Mapping):
        blocks = [blocks]
    if not isinstance(blocks, list) or not blocks:
        raise UserError(f"{where}: a sweep says under {SWEEP}: what is varied, as a {PRODUCT}: or a {LIST}:")
    found: dict[str, Cell] = {}
    for block in blocks:
        for cell in _cells_of_block(block, where=where):
            found.setdefault(repr(sorted(cell.items(), key=lambda row: row[0])), cell)
            if len(found) > MOST:
                raise UserError(f"{where}: more than {MOST:,} cells; vary less in one sweep")
    return list(found.values())


def _cells_of_block(block: Any, *, where: str) -> list[Cell]:
    if not isinstance(block, Mapping):
        raise UserError(f"{where}: {SWEEP} holds {block!r}, which is neither {PRODUCT}: nor {LIST}:")
    for name in block:
        if name not in (PRODUCT, LIST):
            raise unknown_name(f"part of a sweep ({where})", str(name), (PRODUCT, LIST))
    axes, entries = block.get(PRODUCT, {}), block.get(LIST, [{}])
    if not block or (PRODUCT in block and not axes):
        raise UserError(f"{where}: nothing is varied: {PRODUCT} is empty, so the sweep has no cell")
    if not isinstance(axes, Mapping) or not isinstance(entries, list):
        raise UserError(f"{where}: {PRODUCT} maps options to lists of values, and {LIST} is a list of mappings")
    for name, values in axes.items():
        if not isinstance(values, list):
            raise UserError(f"{where}: {PRODUCT}.{name} is a list of values, not {values!r}")
        if not values:
            raise UserError(f"{where}: {PRODUCT}.{name} is empty, so the sweep has no cell; give it a value")
    if not entries:
        raise UserError(f"{where}: {LIST} is empty, so the sweep has no cell; give it an entry")
    for entry in entries:
        if not isinstance(entry, Mapping):
            raise UserError(f"{where}: an entry of {LIST} maps options to values; {entry!r} does not")
    n = len(entries)
    for values in axes.values():
        n *= len(values)
    if n > MOST:
        raise UserError(f"{where}: {n:,} cells, and {MOST:,} are the most; vary less in one sweep")
    names = [_spelled(name) for name in axes]
    for entry in entries:
        varied = [*map(_spelled, entry), *names]
        for k, name in enumerate(varied):
            if twice := next((other for other in varied[:k] if _meet(name, other)), None):
                raise UserError(f"{where}: one cell says {twice} and {name}; say it once")
    return [
        {**{_spelled(name): value for name, value in entry.items()}, **dict(zip(names, point, strict=True))}
        for entry in entries
        for point in itertools.product(*axes.values())
    ]


def _spelled(name: object) -> str:
    return str(name).replace("-", "_")


def joined(cells: Sequence[Cell]) -> list[tuple[Cell, list[int]]]:
    """Cells that differ in `TOGETHER` alone as one, where their values are a whole product of those options.

    Returns
    -------
    Each with the places of the cells that it stands for.
    """
    groups: dict[str, list[int]] = {}
    made: list[tuple[Cell, list[int]]] = []
    for place, cell in enumerate(cells):
        if not all(isinstance(cell.get(name, 0), int | float) for name in TOGETHER):
            made.append((cell, [place]))
            continue
        rest = {name: value for name, value in cell.items() if name not in TOGETHER}
        groups.setdefault(repr(sorted(rest.items(), key=lambda row: row[0])), []).append(place)
    for places in groups.values():
        group = _joined_group([cells[place] for place in places])
        made += [(group[0], places)] if len(group) == 1 else [(cells[place], [place]) for place in places]
    return made


def _joined_group(group: Sequence[Cell]) -> list[Cell]:
    names = [name for name in TOGETHER if all(name in cell and not isinstance(cell[name], list) for cell in group)]
    values = [list(dict.fromkeys(cell[name] for cell in group)) for name in names]
    points = {tuple(cell[name] for name in names) for cell in group}
    if len(names) < sum(any(name in cell for cell in group) for name in TOGETHER) or points != set(
        itertools.product(*values)
    ):
        return list(group)
    return [{**group[0], **dict(zip(names, values, strict=True))}]


def overlaid(base: Mapping[str, Any], cell: Cell, *, where: str) -> dict[str, Any]:
    """The options of a cell, as a file of `benchmarks.run` would have them."""
    made = {_spelled(name): dict(value) if isinstance(value, Mapping) else value for name, value in base.items()}
    for name, value in cell.items():
        part, _, inner = name.partition(".")
        if not inner:
            held = made.get(name)
            made[name] = {**held, **value} if isinstance(held, dict) and isinstance(value, Mapping) else value
        elif part in PARTS:
            held = made.setdefault(part, {})
            if not isinstance(held, Mapping):
                raise UserError(f"{where}: {part} must be a mapping, not {held!r}")
            _put(made, name.split("."), value)
        else:
            raise unknown_name(f"mapping of options ({where}: {name})", part, PARTS)
    return made


def _put(made: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Set a value in nested mappings."""
    for step in path[:-1]:
        inner = made.get(step)
        made[step] = dict(inner) if isinstance(inner, Mapping) else {}
        made = made[step]
    made[path[-1]] = value
