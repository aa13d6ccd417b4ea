"""What grows with the cells of a sweep: its plan, its table, and the leaderboard of its records.

Two kinds of sweep, which are the ends of what there is: `options` varies an option of a generator, so that each cell is
a request of its own; `ratios` varies ratios and trainings, so that one request has all cells. Their records are those
of one small run, each with the spec, name and run id of its cell and what lay beside it, sealed as a run seals them.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.speed.growth import SIZES, Growth, Stage, grow

if TYPE_CHECKING:
    from benchmarks.request.spec import RunSpec

KINDS = ("options", "ratios")
GENERATOR, DRAWN, CONTROLS = "latent_ddpm", "noise", ("none", "duplicate")
"""What the cells are about; what the one run draws in its place, at once; what both are compared with."""
BASE: dict[str, Any] = {
    "preset": "smoke", "device": "cpu", "generator": GENERATOR, "controls": list(CONTROLS), "extractors": [],
    "seeds": 2, "train": {"steps": 1}, "fit": {"steps": 2}, "data": {"n_train": 60, "n_val": 60, "n_test": 90},
}  # fmt: skip
Work = Callable[[], object]


def cells_rows(sizes: Sequence[int] = ()) -> list[Growth]:
    """Each stage at 100, 1,000 and 10,000 cells, or at other sizes."""
    return grow("cells", __name__, sizes=sizes or SIZES["cells"], lay_out=lay_out)


# -- what lies there --------------------------------------------------------------------------------------------------


def lay_out(folder: Path, n: int) -> None:
    """Sweeps of n cells of each kind with all their records, and what they share: a prepared dataset."""
    home, templates = _template()
    shutil.copytree(home, folder / "home")
    for kind in KINDS:
        (folder / kind).mkdir()
        (folder / kind / "sweep.yaml").write_text(json.dumps(BASE | {"sweep": {"product": varied(kind, n)}}))
        shelve(folder / kind / "runs", specs(folder, kind), templates)


def varied(kind: str, n: int) -> dict[str, list[float]]:
    """Axes of n cells, or of the next square above it."""
    if kind == "options":
        return {"gen.guidance": [1 + k / 10_000 for k in range(n)]}
    side = math.ceil(math.sqrt(n))
    return {"ratio": [0.5 + k / 100 for k in range(side)], "generator_seed": list(range(side))}


@cache
def _template() -> tuple[Path, dict[str, Path]]:
    """A home with a prepared dataset, and the folders of one run's records by generator; kept to the process's end."""
    from benchmarks.job.carry_out import carry_out
    from benchmarks.request.options import parse_mapping, read_choice
    from synthworth.artifacts import read_json

    place = tempfile.TemporaryDirectory(prefix="growth-")
    _kept.append(place)
    root = Path(place.name)
    flags = ["--home", str(root / "home"), "--results", str(root / "runs"), "--workers", "1"]
    asked, first = BASE | {"generator": DRAWN}, read_choice(flags, prog="growth")
    carry_out(parse_mapping(asked, flags, first=first, where="growth", prog="growth"))
    made = {read_json(folder / "record.json")["spec"]["generator"]: folder for folder in (root / "runs").iterdir()}
    return root / "home", {GENERATOR: made.pop(DRAWN), **made}


_kept: list[tempfile.TemporaryDirectory[str]] = []


def specs(folder: Path, kind: str) -> list[RunSpec]:
    """Every arm of a sweep once, as its plan has them."""
    from benchmarks.report.tables import console
    from benchmarks.request.cells import read_sweep
    from benchmarks.sweep.plan import open_all

    asked = read_sweep(folder / kind / "sweep.yaml", flags_of(folder, kind, "runs"), prog="growth")
    opened = open_all(asked, console(), dry_run=True)
    assert opened is not None
    return list({spec.run_id: spec for one in opened for spec in one.specs}.values())


def flags_of(folder: Path, kind: str, runs: str) -> list[str]:
    """Where a sweep finds its dataset and its records."""
    return ["--home", str(folder / "home"), "--results", str(folder / kind / runs)]


def shelve(runs: Path, arms: Sequence[RunSpec], templates: Mapping[str, Path]) -> None:
    """A finished record for each arm, with links to the files beside its template."""
    from benchmarks.records.load import RECORD
    from benchmarks.records.seal import SEAL, write_seal
    from benchmarks.request.controls import Controls
    from synthworth.artifacts import read_json

    read = {name: read_json(folder / RECORD) for name, folder in templates.items()}
    plain = {spec.run_id: spec.to_json() for spec in arms}
    controls = {
        name: Controls([one for one in plain.items() if one[1]["generator"] == name], lambda one: one[1])
        for name in CONTROLS
    }  # fmt: skip
    for spec in arms:
        form, template = plain[spec.run_id], templates[spec.generator]
        compared = {
            name: row | {"run_id": found[0]}
            for name, row in read[spec.generator]["comparisons"].items()
            if (found := controls[name].of(form)) is not None
        }
        record = read[spec.generator] | {
            "run_id": spec.run_id, "name": spec.name, "spec": form, "comparisons": compared,
            "is_control": spec.generator in CONTROLS, "counts": counted(read[spec.generator], form),
        }  # fmt: skip
        made = runs / spec.run_id[:16]
        made.mkdir(parents=True)
        for file in template.iterdir():
            if file.name not in (RECORD, SEAL):
                os.link(file, made / file.name)
        (made / RECORD).write_text(json.dumps(record, indent=1, sort_keys=True, allow_nan=False) + "\n")
        write_seal(made, RECORD)


def counted(record: Mapping[str, Any], form: Mapping[str, Any]) -> dict[str, Any]:
    """The images by class of a record, of which as many are added as the ratio of another spec asks for."""
    from benchmarks.request.spec import is_real_only
    from data.mixing import demand_of

    if is_real_only(form):
        return dict(record["counts"])
    train = {name: record["audit"]["counts"]["train"][name] for name in record["classes"]}
    asked = demand_of(train, sum(train.values()), multilabel=False, ratio=form["ratio"], mode=form["mode"])
    return {**record["counts"], "synthetic": {**record["counts"]["synthetic"], **asked.streams}}


# -- the stages -------------------------------------------------------------------------------------------------------


def _sweep(folder: Path, kind: str, flag: str, *, runs: str = "runs", looked_at: bool = True) -> Work:
    """A command of a sweep.

    Parameters
    ----------
    looked_at : whether a command before it has looked at the records, or it is the first to.
    """
    from benchmarks.job.briefs import INDEX
    from benchmarks.sweep.__main__ import main

    words = ["--config", str(folder / kind / "sweep.yaml"), "--out", str(folder / kind / "out"), "--jobs", "1"]
    words += [*flags_of(folder, kind, runs)]
    if looked_at and runs == "runs":
        _silent(main, [*words, "--dry-run"])
    else:
        (folder / kind / runs / INDEX).unlink(missing_ok=True)
    return lambda: _silent(main, [*words, flag])


def _board(folder: Path, kind: str) -> Work:
    main = import_module("leaderboard.build").main  # by its name, as the installed command has it: a floor above

    place = folder / kind
    words = ["--results", str(place / "runs"), "--out", str(place / "site"), "--recompute", "0", "--figures", "0"]

    def build() -> None:
        with tempfile.TemporaryDirectory(dir=place) as home:  # of its own: nothing is known
            _silent(main, [*words, "--home", home])

    return build


def _silent(main: Callable[[Sequence[str]], int], words: Sequence[str]) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        code = main(words)
    if code:
        raise RuntimeError(f"{' '.join(words)} ended with {code}")


def _stages(kind: str) -> dict[str, Stage]:
    said = {"options": "a request a cell", "ratios": "one request"}[kind]
    first = "the first look at the records, which are read and hashed whole"
    return {
        f"plan of nothing, {said}": Stage(lambda folder, n: _sweep(folder, kind, "--dry-run", runs="none")),
        f"plan at first, {said}": Stage(lambda folder, n: _sweep(folder, kind, "--dry-run", looked_at=False), first),
        f"plan again, {said}": Stage(lambda folder, n: _sweep(folder, kind, "--dry-run")),
        f"collect, {said}": Stage(lambda folder, n: _sweep(folder, kind, "--collect")),
        f"leaderboard, {said}": Stage(lambda folder, n: _board(folder, kind), "at the records' word"),
    }


STAGES = {name: stage for kind in KINDS for name, stage in _stages(kind).items()}
