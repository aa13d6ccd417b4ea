"""Which films a task takes, and under which labels."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from data.datasets.nih.table import FINDINGS, NO_FINDING, Entries, require_label
from synthworth.errors import UserError
from synthworth.keys import seed_from

Task = Literal["multilabel14", "single", "binary", "progressive"]
Others = Literal["auto", "exclude", "allow"]
SIX = (NO_FINDING, "Atelectasis", "Cardiomegaly", "Effusion", "Pneumonia", "Pneumothorax")
"""The preset of task `single`."""
BINARY = ("Infiltration",)
BINARY_CAP = 20_000
"""The preset of task `binary`: films of each of its two classes."""
STEPS = (2, 4, 6, 8, 14)
"""The ablation of task `progressive` over the number of findings."""


@dataclass(frozen=True)
class Selection:
    """The films of a task.

    Parameters
    ----------
    rows : int64 (M,), ascending
        Rows of the entries they were chosen from.
    labels : int64 (M,), one class a film, or uint8 (M, K), findings that co-occur
    classes
        Names of the K classes or findings.
    pool : int64 (P,), ascending
        Rows among which patients are drawn for the splits; `rows` are some of them.
    strata : int64 (P,) or uint8 (P, S)
        What that draw spreads evenly.
    """

    rows: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    pool: np.ndarray
    strata: np.ndarray


def select(
    entries: Entries,
    *,
    task: Task,
    findings: Sequence[str] = (),
    k: int = 4,
    cap: int | None = None,
    others: Others = "auto",
    seed: int,
) -> Selection:
    """Choose films and labels among `entries` (the films at hand).

    Parameters
    ----------
    task : multilabel14, progressive, single or binary
        multilabel14: every film, a column for each of the 14 findings; No Finding is a row of zeros.

        progressive: a column for each of the `k` findings that most of the films show (ties in NIH's order), or for the
        first `k` of `findings`. Films whose findings all are among them, and No Finding, so that a row of zeros always
        means a film without a finding, and a smaller k's films are among a larger one's. Patients are drawn for the
        splits once for all k, among all films, so that at k = 2, 4, 6, 8 and 14 every finding that can be in every
        split is.

        single: one class a film, from `findings` (the preset of six without): films that show that finding and no
        other, or No Finding. A single name stands against No Finding.

        binary: No Finding against one finding (Infiltration without), whether or not the film shows others: as many
        films of each class as the rarer has, at most `cap`.
    findings
        Names in any of the spellings of `table.normalise`.
    cap
        Films of each class at most; which, is drawn by patient and does not depend on the order of rows. Without it
        20,000 for binary, and no bound for single; refused where findings co-occur.
    others
        Films that show a finding outside the list beside one in it. auto: allowed in binary, else excluded. Where
        findings co-occur, allow takes every film, and a row of zeros means "none of these".
    seed
        Draws the films under `cap`.

    Raises
    ------
    UserError
        For options that do not go together, a label that is none of the 15, and classes that no film shows: the message
        says how many films each class has.
    """
    names = tuple(require_label(name, where="--data.findings") for name in findings)
    if len(set(names)) < len(names):
        raise UserError(f"--data.findings names a label twice: {', '.join(names)}")
    if cap is not None and cap < 1:
        raise UserError(f"--data.cap {cap}: a class needs at least one film")
    if task in ("multilabel14", "progressive"):
        if cap is not None:
            raise UserError(f"--data.cap {cap} is for tasks single and binary; a film of task {task} has many findings")
        return _several(entries, task=task, names=names, k=k, allow=others == "allow")
    classes = _single_classes(names) if task == "single" else _binary_classes(names)
    allow = others == "allow" or (others == "auto" and task == "binary")
    chosen = _one_each(entries, classes, allow=allow)
    _refuse_absent(entries, chosen, task=task, allow=allow)
    if task == "binary":
        cap = min(BINARY_CAP if cap is None else cap, int(np.bincount(chosen.labels).min()))
    return chosen if cap is None else _draw(entries, chosen, cap=cap, seed=seed)


def _several(entries: Entries, *, task: Task, names: tuple[str, ...], k: int, allow: bool) -> Selection:
    """Labels (M, K), for findings that co-occur."""
    counts = {name: n for name, n in entries.counts().items() if name != NO_FINDING}
    if NO_FINDING in names:
        raise UserError(f"--data.findings of task {task} holds {NO_FINDING!r}, which is no finding but a row of zeros")
    if task == "multilabel14":
        if names:
            raise UserError("task multilabel14 takes all 14 findings; choose among them with task progressive")
        everything = np.arange(len(entries))
        chosen = Selection(everything, entries.findings, FINDINGS, everything, entries.findings)
    else:
        n_most = len(names) or len(FINDINGS)
        if not 1 <= k <= n_most:
            raise UserError(f"--data.k {k}: between 1 and {n_most} findings can be asked for")
        rest = [name for name in FINDINGS if name not in names]
        chosen = _most_frequent(entries, (*names, *sorted(rest, key=lambda name: -counts[name])), k, allow=allow)
    absent = [name for name in chosen.classes if not counts[name]]
    if absent:
        n_there = sum(n > 0 for n in counts.values())
        raise UserError(
            f"task {task}: no film at hand shows {', '.join(absent)}. There are {_listed(counts)}. Bring more films, "
            f"or take --data.task progressive with --data.k up to {n_there}"
        )
    absent = [name for name, n in zip(chosen.classes, chosen.labels.sum(0, dtype=np.int64), strict=True) if not n]
    if absent:
        raise UserError(
            f"no film at hand shows {', '.join(absent)} without a finding outside {', '.join(chosen.classes)}. "
            "Raise --data.k, or pass --data.others allow"
        )
    return chosen


def _most_frequent(entries: Entries, ranked: Sequence[str], k: int, *, allow: bool) -> Selection:
    """The first `k` of all 14 findings as ranked; without `allow`, films that show no other."""
    marks = np.ascontiguousarray(entries.findings[:, [FINDINGS.index(name) for name in ranked]])
    everything, classes = np.arange(len(entries)), tuple(ranked[:k])
    if allow:
        return Selection(everything, np.ascontiguousarray(marks[:, :k]), classes, everything, marks)
    enters = np.where(marks.any(1), len(ranked) - marks[:, ::-1].argmax(1), 0)  # the smallest k that takes the film
    rows = np.flatnonzero(enters <= k)
    strata = np.concatenate([marks[:, :step] * (enters <= step)[:, None] for step in STEPS], axis=1)
    return Selection(rows, np.ascontiguousarray(marks[rows, :k]), classes, everything, strata)


def _single_classes(names: tuple[str, ...]) -> tuple[str, ...]:
    return (NO_FINDING, *names) if len(names) == 1 and names[0] != NO_FINDING else names or SIX


def _binary_classes(names: tuple[str, ...]) -> tuple[str, ...]:
    found = tuple(name for name in names or BINARY if name != NO_FINDING)
    if len(found) != 1:
        raise UserError(f"task binary is one finding against {NO_FINDING}; --data.findings has {', '.join(names)}")
    return (NO_FINDING, *found)


def _one_each(entries: Entries, classes: tuple[str, ...], *, allow: bool) -> Selection:
    """Films that show exactly one of the classes."""
    if len(classes) < 2:
        raise UserError(f"one class ({', '.join(classes)}) tells nothing apart; name two in --data.findings")
    nothing = ~entries.findings.any(1)
    shown = np.stack(
        [nothing if name == NO_FINDING else entries.findings[:, FINDINGS.index(name)] == 1 for name in classes], axis=1
    )
    takes = shown.sum(1) == 1
    if not allow:
        takes &= entries.findings.sum(1, dtype=np.int64) <= 1
    rows = np.flatnonzero(takes)
    labels = shown[rows].argmax(1).astype(np.int64)
    return Selection(rows, labels, classes, rows, labels)


def _counts(chosen: Selection) -> dict[str, int]:
    n_films = np.bincount(chosen.labels, minlength=len(chosen.classes))
    return dict(zip(chosen.classes, n_films.tolist(), strict=True))


def _refuse_absent(entries: Entries, chosen: Selection, *, task: Task, allow: bool) -> None:
    counts = _counts(chosen)
    absent = [name for name, n in counts.items() if not n]
    if not absent:
        return
    helps = not allow and all(_counts(_one_each(entries, chosen.classes, allow=True)).values())
    there = [name for name, n in counts.items() if n]
    alone = "" if allow else " alone"
    advice = f"name those there (--data.findings {' '.join(map(repr, there))})" if len(there) > 1 else "name others"
    more = ", or pass --data.others allow" if helps else ""
    raise UserError(
        f"task {task}: no film at hand shows {', '.join(absent)}{alone}. There are {_listed(counts)}. Bring more "
        f"films, {advice}{more}"
    )


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in counts.items())


def _draw(entries: Entries, chosen: Selection, *, cap: int, seed: int) -> Selection:
    """At most `cap` films of each class: those of the first patients in an order drawn from the patients' names."""
    patients, codes = np.unique(entries.patients[chosen.rows], return_inverse=True)
    salt = seed_from(seed, "extraction")
    drawn = [hashlib.blake2b(f"{salt}/{patient}".encode(), digest_size=8).digest() for patient in patients.tolist()]
    place = np.empty(len(patients), np.int64)
    place[sorted(range(len(patients)), key=drawn.__getitem__)] = np.arange(len(patients))
    order = np.lexsort((entries.images[chosen.rows], place[codes]))
    kept = [order[chosen.labels[order] == c][:cap] for c in range(len(chosen.classes))]
    keep = np.sort(np.concatenate(kept))
    rows, labels = chosen.rows[keep], chosen.labels[keep]
    return Selection(rows, labels, chosen.classes, rows, labels)
