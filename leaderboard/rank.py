"""The order of a table: ranks that the predictions can tell apart, differences to the controls, Holm's p."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.records import PREDICTIONS
from benchmarks.spec import NONE
from benchmarks.statistics.multiple import holm
from synthworth.errors import Unavailable
from synthworth.keys import seed_from
from synthworth.progress import track

if TYPE_CHECKING:
    from benchmarks.statistics.bootstrap import Replicates

REFERENCES = (NONE, "duplicate")
"""The controls that a table shows differences to."""
AGREEMENT = 1e-6
"""How far the AUROC of the predictions may lie from the one in the record: rounding, and no more."""


@dataclass(frozen=True)
class Entry:
    """A finished record and the folder it lies in."""

    record: Mapping[str, Any]
    folder: Path

    @property
    def run_id(self) -> str:
        """The run's id."""
        return str(self.record["run_id"])

    @property
    def spec(self) -> Mapping[str, Any]:
        """The plain form of the RunSpec."""
        spec: Mapping[str, Any] = self.record["spec"]
        return spec

    @property
    def auroc(self) -> float | None:
        """Macro AUROC on test, mean over seeds."""
        value: float | None = self.record["utility"]["auroc"]["value"]
        return value


@dataclass(frozen=True)
class Standing:
    """Where an arm stands in its table.

    rank : 1 is best; shared by arms that cannot be told apart; None where it cannot be said.
    against : comparison (as in a record) with each of `REFERENCES` that there is one with.
    holm : Holm-adjusted p (of the interval, over seeds and patients) of the comparison with real images alone.
    missing : why `rank` or a reference is not there.
    """

    entry: Entry
    rank: int | None
    against: Mapping[str, Mapping[str, Any]]
    holm: float | None
    missing: Mapping[str, str]


def read_replicates(entry: Entry) -> Replicates:
    """Bootstrap of an arm from its stored test predictions, of the same design as in the run itself.

    Raises
    ------
    Unavailable
        When the predictions are missing, cannot be read, or are not those that the record was made from.
    """
    from benchmarks.statistics.bootstrap import bootstrap_auroc

    file = entry.folder / PREDICTIONS
    if not file.is_file():
        raise Unavailable(f"{PREDICTIONS} is missing beside the record")
    spec, classes = entry.spec, entry.record["classes"]
    try:
        scores, truth, groups = _read_predictions(file, classes)
        made = bootstrap_auroc(
            scores,
            truth,
            groups,
            seed=seed_from(spec["seed"], "bootstrap"),
            n_replicates=spec["n_bootstrap"],
            classes=classes,
        )
    except ValueError as error:
        raise Unavailable(f"{PREDICTIONS} cannot be used: {' '.join(str(error).split())}") from error
    found, said = float(made.macro.mean()), entry.auroc
    if said is None or abs(found - said) > AGREEMENT or len(made.point) != spec["seeds"]:
        shown = "null" if said is None else f"{said:.4f}"
        raise Unavailable(
            f"{PREDICTIONS} holds {len(made.point)} seeds with AUROC {found:.4f}; the record says {spec['seeds']} "
            f"seeds with {shown}"
        )
    return made


def _read_predictions(file: Path, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Scores float64 (S, N, K), truth int64 (N,) or (N, K), and the N patients.

    Raises ValueError for a file that is no parquet, lacks a column, or has not the same images for every seed.
    """
    import pyarrow.parquet as pq

    table = pq.read_table(file)
    multi = "truth" not in table.column_names
    truths = [f"truth_{c}" for c in classes] if multi else ["truth"]
    scores = [f"score_{c}" for c in classes]
    lacking = [c for c in ("seed", "id", "group", *truths, *scores) if c not in table.column_names]
    if lacking:
        raise ValueError(f"no column {', '.join(lacking)}")
    table = table.sort_by([("seed", "ascending"), ("id", "ascending")])
    n_seeds = len(table["seed"].unique())
    if not n_seeds or len(table) % n_seeds:
        raise ValueError(f"{len(table)} rows for {n_seeds} seeds")
    n = len(table) // n_seeds
    ids = np.array(table["id"].to_pylist()).reshape(n_seeds, n)
    if (ids != ids[0]).any():
        raise ValueError("the seeds hold different images")
    labels = np.stack([table[c].to_numpy()[:n] for c in truths], axis=1).astype(np.int64)
    stack = np.stack([table[c].to_numpy().astype(np.float64).reshape(n_seeds, n) for c in scores], axis=2)
    return stack, labels if multi else labels[:, 0], table["group"].to_pylist()[:n]


def stand(entries: Sequence[Entry]) -> list[Standing]:
    """Order the arms of one table by AUROC and compare them; no two may be the same arm.

    An arm shares the rank of the arm at the head of its rank group unless the paired 95 % interval of their
    difference excludes 0; then it is the head of the next group, whose rank is one more than the number of arms
    before it. From one seed nothing is told apart.
    """
    ordered = sorted(entries, key=lambda e: (e.auroc is None, -(e.auroc or 0.0), e.run_id))
    made, missing = _replicates(ordered)
    ranks = _ranks([e for e in ordered if e.run_id in made], made)
    against, reasons = {}, {}
    for entry in ordered:
        against[entry.run_id], reasons[entry.run_id] = _against(entry, ordered, made, missing)
    with_none = [e.run_id for e in ordered if NONE in against[e.run_id]]
    adjusted = dict(zip(with_none, holm([against[i][NONE]["p_interval"] for i in with_none]), strict=True))
    return [
        Standing(
            entry,
            ranks.get(entry.run_id),
            against[entry.run_id],
            adjusted.get(entry.run_id),
            reasons[entry.run_id] | ({"rank": missing[entry.run_id]} if entry.run_id in missing else {}),
        )
        for entry in ordered
    ]


def _replicates(ordered: Sequence[Entry]) -> tuple[dict[str, Replicates], dict[str, str]]:
    """Replicates by run id, and for the others the reason; all of them can be paired with each other."""
    made: dict[str, Replicates] = {}
    missing: dict[str, str] = {}
    for entry in track(ordered, "comparing arms", unit="arms"):
        try:
            found = read_replicates(entry)
        except Unavailable as reason:
            missing[entry.run_id] = str(reason)
            continue
        first = next(iter(made.values()), found)
        if found.design != first.design:
            missing[entry.run_id] = f"{PREDICTIONS} is of another test set than the arms above"
        else:
            made[entry.run_id] = found
    return made, missing


def _ranks(ordered: Sequence[Entry], made: Mapping[str, Replicates]) -> dict[str, int]:
    from benchmarks.statistics.compare import compare

    ranks: dict[str, int] = {}
    head, rank = None, 0
    for place, entry in enumerate(ordered, start=1):
        mine = made[entry.run_id]
        if head is None or compare(head, mine, name_a="head", name_b="arm").verdict != "no difference shown":
            head, rank = mine, place
        ranks[entry.run_id] = rank
    return ranks


def _against(
    entry: Entry, entries: Sequence[Entry], made: Mapping[str, Replicates], missing: Mapping[str, str]
) -> tuple[dict[str, Mapping[str, Any]], dict[str, str]]:
    """Comparisons with the references: the record's own, else from the predictions of the control in the table."""
    from benchmarks.statistics.compare import compare

    found: dict[str, Mapping[str, Any]] = {}
    reasons: dict[str, str] = {}
    for control in REFERENCES:
        recorded = entry.record["comparisons"].get(control)
        twin = next((e for e in entries if _is_control_of(e, control, entry)), None)
        if entry.spec["generator"] == NONE:
            reasons[control] = "real images alone are what the other arms are compared with"
        elif entry.spec["generator"] == control:
            reasons[control] = "this arm is the control itself"
        elif recorded is not None:
            found[control] = recorded
        elif twin is None:
            reasons[control] = f"no finished {control} arm to compare with in this setting, at this ratio and mode"
        elif entry.run_id in made and twin.run_id in made:
            pair = made[entry.run_id], made[twin.run_id]
            names = {"name_a": entry.record["name"], "name_b": twin.record["name"]}
            found[control] = {"run_id": twin.run_id, **compare(*pair, **names).to_json()}
        else:
            reasons[control] = "not in the record, and predictions are missing to compute it"
    return found, reasons


def _is_control_of(candidate: Entry, control: str, entry: Entry) -> bool:
    a, b = candidate.spec, entry.spec
    if a["generator"] != control:
        return False
    return control == NONE or all(a[k] == b[k] for k in ("ratio", "mode", "generator_seed", "shard"))
