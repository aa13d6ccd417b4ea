"""Hostile records and predictions: `python tests/chaos/records.py --n 2000` prints what became of each.

No input may end in a traceback, take longer than `LONGEST`, put an escape sequence on a terminal, a formula into the
CSV or a link into the page. A byte that was flipped in what is sealed is always named.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import io
import json
import logging
import re
import resource
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from benchmarks import compare, reanalyse, show
from benchmarks.job.believe import doubt_what_changed
from benchmarks.records.predictions import PREDICTIONS
from benchmarks.records.seal import SEAL, write_seal
from benchmarks.records.store import RECORD, Records
from benchmarks.verdicts.again import Finished, judge_again
from leaderboard.build import collect, print_table
from leaderboard.figures import draw_figures
from leaderboard.flat import csv_text
from leaderboard.tables import make_tables
from leaderboard.text import markdown
from synthworth.errors import UserError
from synthworth.keys import digest
from synthworth.printable import STEERING, console, one_line

REFERENCE = Path(__file__).resolve().parent.parent.parent / "results" / "reference"
ARMS = ("none", "none x 0.5", "none x 2", "none x 4", "duplicate add 1", "holdout_real add 1", "latent_ddpm add 1")
"""Committed records of one experiment: real images alone, a learning curve, two controls and a generator."""
EVERY = 10
"""Of so many test images one is kept: enough to judge, and quick."""
EVIL = "=x[a](http://e)![b](http://e)<b>\x1b[31m\x07\u202e|`\n# x"
LONGEST = 10.0
"""Seconds of the processor within which every input is dealt with."""


def make_shelf(folder: Path, arms: Sequence[str] = ARMS, every: int = EVERY) -> dict[str, dict[str, Any]]:
    """Records of an experiment with few test images and resamples, as the suite writes them, by name."""
    old = folder.with_name(f"{folder.name}-before")
    for record in Records(REFERENCE):
        if record["spec"]["dataset"] != "phantom" or record["name"] not in arms:
            continue
        if record["spec"]["generator"] != "none" and "jitter" not in record["spec"]["controls"]:
            continue  # of another call, beside controls of its own
        made = copy.deepcopy(record)
        made["spec"]["n_bootstrap"] = 40
        made["run_id"] = digest(made["spec"])
        home = old / made["run_id"][:16]
        home.mkdir(parents=True)
        table = pq.read_table(REFERENCE / record["run_id"][:16] / PREDICTIONS)
        ids = pc.unique(table["id"]).sort()[::every]
        for value in made["utility"].values():
            value["n"] = len(ids)
        made["audit"]["n_images"]["test"] = len(ids)
        made["audit"]["counts"].pop("test")  # of all test images
        for group in (group for part in made["subgroups"].values() for group in part["groups"].values()):
            group["n_images"] //= every
        pq.write_table(table.filter(pc.is_in(table["id"], ids)), home / PREDICTIONS)
        (home / RECORD).write_text(json.dumps(made))
    entries = Records(old).read().finished
    finished = [(entry, Finished.of(entry)) for entry in entries]
    kept = Records(folder)
    for entry, one in finished:
        record = judge_again(one, [other for _, other in finished])
        kept_as_it_was = record["utility"]["balanced_accuracy_argmax"]  # of all test images
        found = one.sampled["balanced_accuracy_argmax"]
        kept_as_it_was |= {"value": found.mean, "low": (its := found.interval()).low, "high": its.high}
        kept_as_it_was["extra"]["per_seed"] = found.values.tolist()
        kept.write(
            record, {PREDICTIONS: lambda to, entry=entry: shutil.copyfile(entry.folder / PREDICTIONS, to)}
        )  # fmt: skip
    shutil.rmtree(old)
    return {record["name"]: record for record in kept}


# -- what is done to a record -------------------------------------------------------------------------------------

HOSTILE = st.sampled_from(
    [
        None, True, False, 0, -1, 1, 2, 0.5, -0.5, 3.7, 1e9, -1e9, 1e300, -1e300, 10**40, 10**4000, "", "x", EVIL,
        "f" * 64, "../../etc", "\ud800", "y" * 20_000, [], [None], ["x"], [0.5] * 3, [[[]]], {}, {"a": 1}, {EVIL: EVIL},
    ]
)  # fmt: skip
WHOLE = st.sampled_from(
    [
        b"", b"[]", b"{}", b"null", b"1", b'"x"', b"\xff\xfe\x00", b"{" * 5000, b"[" * 100_000 + b"]" * 100_000,
        b'{"schema": 4, "status": "ok"}', b'{"schema": 3, "status": "ok", "utility": []}', b'{"schema": NaN}',
        b'{"schema": 4, "x": ' + b"9" * 5000 + b"}", b'{"schema": 4, "status": "ok", "run_id": 1e999}',
        b'{"a":' * 400 + b"1" + b"}" * 400, b"\x00" * 1000, b'{"schema": [4]}', b'{"schema": {"a": 4}}',
    ]
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every part of a JSON value."""
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        yield (*path, name)
        yield from places(part, (*path, name))


def changed(record: dict[str, Any], path: tuple[Any, ...], how: str, value: Any) -> dict[str, Any]:
    """The record with one part replaced, left out or renamed."""
    made = copy.deepcopy(record)
    inside: Any = made
    for name in path[:-1]:
        inside = inside[name]
    if how == "replace":
        inside[path[-1]] = value
    elif how == "leave out":
        del inside[path[-1]]
    elif isinstance(inside, dict):
        inside[value if isinstance(value, str) else str(value)[:80]] = inside.pop(path[-1])
    else:
        inside.append(value)
    return made


SHARE = st.floats(0, 1, exclude_max=True)
EDIT = st.tuples(SHARE, SHARE, st.sampled_from(["replace"] * 4 + ["leave out", "rename"]), HOSTILE)
Attack = tuple[str, str, Any, bool]


def attacks(names: list[str]) -> st.SearchStrategy[Attack]:
    """The arm, what is done to it (`record`, `text`, `flip` or `predictions`), with what, and whether it is sealed."""
    what = {
        "record": st.lists(EDIT, min_size=1, max_size=3),
        "text": WHOLE,
        "flip": st.tuples(SHARE, st.integers(1, 255)),
        "predictions": st.tuples(SHARE, st.integers(1, 255)),
    }
    kinds = st.sampled_from(["record"] * 7 + ["text", "flip", "predictions"])
    return kinds.flatmap(
        lambda kind: st.tuples(st.sampled_from(names), st.just(kind), what[kind], st.booleans())
    )  # fmt: skip


def edited(record: dict[str, Any], edits: list[tuple[float, float, str, Any]]) -> dict[str, Any]:
    """The record after these edits: which part of all there are, how far outside of it, how, and with what."""
    made = record
    for where, outside, how, value in edits:
        paths = list(places(made)) or [("status",)]
        path = paths[int(where * len(paths))]
        made = changed(made, path[: 1 + int(outside * len(path))], how, value)  # large parts as often as leaves
    return made


def flip(file: Path, at: float, mask: int) -> None:
    """Change one byte."""
    raw = bytearray(file.read_bytes())
    raw[int(at * len(raw))] ^= mask
    file.write_bytes(raw)


def apply(folder: Path, record: dict[str, Any], kind: str, what: Any, sealed: bool) -> Path:
    """Carry an attack out on a record of a folder; where it lies afterwards."""
    home = folder / record["run_id"][:16]
    if kind == "record":
        what = edited(record, what)
        with contextlib.suppress(Exception):  # a spec that has no digest keeps the run id that it had
            what |= {"run_id": digest(what["spec"])} if sealed else {}
        (home / RECORD).write_text(json.dumps(what))
    elif kind == "text":
        (home / RECORD).write_bytes(what)
    else:
        flip(home / (RECORD if kind == "flip" else PREDICTIONS), *what)
    if kind in ("record", "text") or not sealed:
        (home / SEAL).unlink()
    if kind == "record" and sealed:
        write_seal(home, RECORD)
        if re.fullmatch("[0-9a-f]{64}", str(what.get("run_id"))):
            home = home.rename(folder / what["run_id"][:16])
    return home


# -- what is asked of everything that reads -----------------------------------------------------------------------


def said(command: Callable[[list[str]], int], *args: str) -> str:
    """What a command prints; a user's error is its one line."""
    out = io.StringIO()
    try:
        with contextlib.redirect_stdout(out):
            command(list(args))
    except UserError as error:
        return one_line(str(error))  # as `guarded` prints it
    return out.getvalue()


def read_everything(folder: Path, home: Path, names: list[str], *, figures: bool) -> dict[str, str]:
    """Every reader on a folder with one hostile record, at `home`: what each says."""
    found = collect([folder])
    tables = make_tables(found.entries, found.failed)
    with contextlib.redirect_stdout(io.StringIO()) as screen:
        for table in tables:
            print_table(console(), table)
            if figures:
                draw_figures(table, folder.parent / "site")
    about = ["--results", str(folder)]
    texts = {
        "csv": csv_text(tables),
        "page": markdown(tables, found.skipped),
        "screen": screen.getvalue(),
        "show": said(show.main, home.name, *about),
        "skipped": "\n".join(found.skipped),
    }
    if home.name not in texts["skipped"]:  # else all three say what the first has said
        other = next(name for name in names if name != home.name)
        texts["explain"] = said(show.main, home.name, *about, "--explain")
        texts["json"] = said(show.main, home.name, *about, "--json")
        texts["compare"] = said(compare.main, home.name, other, *about)
    if figures:
        again = folder.parent / "again"
        texts["reanalyse"] = said(reanalyse.main, *about, "--out", str(again))
        shutil.rmtree(again, ignore_errors=True)
    kept = Records(folder)
    doubt_what_changed(kept, [kept.find(entry.run_id) for entry in found.entries])
    return texts


def harm(texts: dict[str, str]) -> list[str]:
    """What of the attacks came through."""
    found = [f"{name}: an escape" for name, text in texts.items() if name != "json" and STEERING.search(text)]
    cells = [cell for line in texts["csv"].splitlines() for cell in line.split(",")]
    found += [f"csv: {cell[:40]}" for cell in cells if re.match(r'"?[=+@]|"?-(?![\d.])', cell)]
    page = re.sub(r"(?m)^!\[.*\]\(figures/[0-9a-f]{12}-\w+\.png\)$", "", texts["page"])
    return found + [f"page: {sign}" for sign in ("](http", "![b](", "<b>") if sign in page]


class Trial:
    """A folder of records that is put back after each attack."""

    def __init__(self, place: Path, **shelf: Any) -> None:
        self.folder, self.kept = place / "runs", place / "kept"
        self.shelf = make_shelf(self.folder, **shelf)
        self.ids = [record["run_id"][:16] for record in self.shelf.values()]
        shutil.copytree(self.folder, self.kept)
        self.outcomes: Counter[str] = Counter()
        self.slowest, self.n = 0.0, 0

    def attack(self, name: str, kind: str, what: Any, sealed: bool) -> None:
        """Carry out one attack; raises where it did harm."""
        self.n += 1
        home, began = apply(self.folder, self.shelf[name], kind, what, sealed), time.process_time()
        try:
            texts = read_everything(self.folder, home, self.ids, figures=self.n % 50 == 0)
            took = time.process_time() - began
        finally:
            shutil.rmtree(home)
            original = self.shelf[name]["run_id"][:16]
            shutil.rmtree(self.folder / original, ignore_errors=True)
            shutil.copytree(self.kept / original, self.folder / original)
        assert not (found := harm(texts)), found
        assert took < LONGEST, took
        self.slowest = max(self.slowest, took)
        named = home.name in texts["skipped"] or "NOT BORNE OUT" in texts["show"] or "not checked" in texts["show"]
        self.outcomes[f"{kind}: {'named' if named else 'read as it stands'}"] += 1
        if sealed and kind in ("flip", "predictions"):
            assert named or same(self.kept / original, what, kind), "a byte changed, and nothing was said"


def same(kept: Path, what: tuple[float, int], kind: str) -> bool:
    """Whether the changed record says what the untouched one does: a byte of white space."""
    if kind != "flip":
        return False
    raw = bytearray((kept / RECORD).read_bytes())
    before = json.loads(bytes(raw))
    raw[int(what[0] * len(raw))] ^= what[1]
    try:
        return bool(json.loads(bytes(raw)) == before)
    except ValueError:
        return False


def run(trial: Trial, n: int, start: int) -> None:
    """Attack `n` times with inputs that hypothesis draws."""

    @seed(start)
    @settings(max_examples=n, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(attacks(sorted(trial.shelf)))
    def attacked(attack: Attack) -> None:
        trial.attack(*attack)

    attacked()


def main() -> None:
    """Attack, and print how often each kind was named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    began = time.perf_counter()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as place:
        trial = Trial(Path(place))
        run(trial, asked.n, asked.seed)
    for outcome, count in sorted(trial.outcomes.items()):
        print(f"{outcome:<40}{count:>6}")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{trial.n} inputs in {time.perf_counter() - began:.0f} s, slowest {trial.slowest:.2f} s, peak {peak:.0f} MiB"
    )


if __name__ == "__main__":
    main()
