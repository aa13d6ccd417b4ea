"""What a suite is, and which records are of it: datasets, budgets, controls and seeds, frozen under a dated name."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

from benchmarks.request.called import called
from benchmarks.request.controls import Controls
from benchmarks.request.remedies import REMEDIES
from benchmarks.request.situations import BY_MODE, REAL_ALONE, REMEDY, SHARING, SITUATIONS, situation_of
from benchmarks.request.spec import PRETRAINED, is_real_only
from benchmarks.request.yaml_file import read_yaml
from generators.registry import CONTROLS
from synthworth.artifacts import from_json
from synthworth.errors import UserError
from synthworth.printable import one_line

FOLDER = Path(__file__).resolve().parent / "suites"
FLAG = "--suite"
KINDS = {str: "text", int: "whole number", float: "number", tuple: "list", dict: "mapping"}
"""How a value is called of which something else was given."""


@dataclass(frozen=True)
class Films:
    """One dataset of a suite.

    Parameters
    ----------
    name : how the suite calls it.
    dataset : its registered name.
    size : of the images, px.
    fingerprint : of the prepared images, all splits.
    real_fraction : share of the real training patients that every arm learns from.
    """

    name: str
    dataset: str
    size: int
    fingerprint: str
    real_fraction: float


@dataclass(frozen=True)
class Suite:
    """A frozen suite.

    Parameters
    ----------
    name, date : `synthworth-2026-12`, and the day from which on it is frozen (YYYY-MM-DD).
    about : what it is for, in a sentence.
    datasets : which images.
    classifier, train_steps : what judges, and its budget of optimiser steps.
    seeds : fewest classifier seeds.
    ratios : of synthetic to real images.
    situations : those that are judged.
    controls : those that stand beside the arms of every dataset.
    clf : options of the classifier that are fixed, by name; the others may differ, as may the precision and the seed of
        the data.
    """

    name: str
    date: str
    about: str
    datasets: tuple[Films, ...]
    classifier: str
    train_steps: int
    seeds: int
    ratios: tuple[float, ...]
    situations: tuple[str, ...]
    controls: tuple[str, ...]
    clf: Mapping[str, Any] = field(default_factory=dict)

    def why_not(self, spec: Mapping[str, Any]) -> str | None:
        """Why an arm, as its record holds it, is not of the suite: the first reason; None where it is."""
        films = next((one for one in self.datasets if one.fingerprint == spec["fingerprint"]), None)
        if films is None or films.dataset != spec["dataset"]:
            return f"another fingerprint: {spec['dataset']} {spec['fingerprint'][:12]} is no dataset of the suite"
        if spec["real_fraction"] != films.real_fraction or spec["patients_per_class"]:
            return f"{films.name} with another share of the real patients than {films.real_fraction:g}"
        if spec["classifier"] != self.classifier or spec["train"]["steps"] != self.train_steps:
            return (
                f"another classifier or budget: {spec['classifier']}, {spec['train']['steps']} steps; the suite has "
                f"{self.classifier}, {self.train_steps} steps"
            )
        for name, fixed in self.clf.items():
            if spec["clf"].get(name) != fixed:
                return f"another classifier: --clf.{name} {spec['clf'].get(name)}, the suite has {fixed}"
        if spec["seeds"] < self.seeds:
            return f"{spec['seeds']} classifier seeds, the suite has at least {self.seeds}"
        situation = situation_of(spec)
        if situation not in (*self.situations, REAL_ALONE, REMEDY) and not self._is_beside_what_is_judged(spec):
            return f"the situation {situation} is not judged in the suite"
        if not is_real_only(spec) and spec["ratio"] not in self.ratios:
            return f"ratio {spec['ratio']:g}, the suite has {', '.join(f'{r:g}' for r in self.ratios)}"
        return None

    def not_begun(self, specs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        """Names of the datasets of which none of these arms is."""
        there = {spec["fingerprint"] for spec in specs}
        return tuple(films.name for films in self.datasets if films.fingerprint not in there)

    def _is_beside_what_is_judged(self, spec: Mapping[str, Any]) -> bool:
        """Whether an arm is a control of the suite, in a mode in which it is compared with arms that are judged.

        Arms of sharing have any mode; `shared_pretrained` stands beside arms of every mode.
        """
        if spec["generator"] not in self.controls:
            return False
        return SHARING in self.situations or spec["generator"] == PRETRAINED or BY_MODE[spec["mode"]] in self.situations

    def lacks(self, specs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        """Controls of the suite that are not among the arms of a table, at any ratio or in any mode."""
        there = {spec["generator"] for spec in specs}
        return tuple(name for name in self.controls if name not in there)

    def beside(self, specs: Sequence[Mapping[str, Any]]) -> str:
        """Which controls of the suite stand beside the arms of a table that are judged, each at its ratio and mode."""
        judged = [spec for spec in specs if spec["generator"] not in (*CONTROLS, *REMEDIES)]
        lacks, some = self.lacks(specs), []
        for name in self.controls:
            arms = Controls((spec for spec in specs if spec["generator"] == name), lambda spec: spec)
            n = sum(arms.of(spec) is not None for spec in judged)
            some += [f"{name} (beside {n})"] if n < len(judged) and name not in lacks else []
        said = [f"not finished here, of its controls: {', '.join(lacks)}"] if lacks else []
        said += [f"not beside each of {len(judged)} judged arms: {', '.join(some)}"] if some else []
        if said:
            return f"; {'; '.join(said)}"
        return ", with all of its controls beside every judged arm" if judged else ", with no judged arm yet"


def suites() -> tuple[str, ...]:
    """The names of the suites that are shipped, by date."""
    return tuple(sorted(file.stem for file in FOLDER.glob("*.yaml")))


@cache
def names_of_suites() -> Mapping[str, str]:
    """How the shipped suites call their datasets, by fingerprint; the newest suite's name counts."""
    return {films.fingerprint: films.name for name in suites() for films in read_suite(name).datasets}


def read_suite(named: str) -> Suite:
    """A suite by its name, or from a YAML file of one.

    Raises
    ------
    UserError
        For a name that is none; for a file that holds unknown keys, lacks one, or has a value of another kind or one
        that makes no sense.
    """
    file = FOLDER / f"{named}.yaml" if named in suites() else Path(named)
    if named not in suites() and file.suffix not in (".yaml", ".yml"):
        raise UserError(f"{FLAG} {named}: no such suite. There are: {', '.join(suites())}; or name a YAML file of one")
    found = read_yaml(file, flag=FLAG)
    found["date"] = str(found.get("date", ""))
    try:
        suite = from_json(Suite, found)
    except ValueError as error:
        raise UserError(f"{FLAG} {file} is no suite: {error}") from error
    for wrong in (*_of_another_kind(found, asdict(suite)), *_without_sense(suite)):
        raise UserError(f"{FLAG} {file} is no suite: {one_line(wrong)}")
    return suite


def _of_another_kind(given: Any, read: Any, where: str = "") -> Iterator[str]:
    """Values that were made to fit: a number out of text, a whole one out of a part, a list out of a word."""
    if isinstance(read, dict) and isinstance(given, dict):
        for name, part in read.items():
            yield from _of_another_kind(given.get(name, part), part, f"{where}.{name}".lstrip("."))
    elif isinstance(read, tuple) and isinstance(given, list):
        for one, part in zip(given, read, strict=True):
            yield from _of_another_kind(one, part, where)
    elif type(given) is not type(read) and not (type(given) is int and type(read) is float):
        yield f"{where} {given!r} is no {KINDS[type(read)]}"


def _without_sense(suite: Suite) -> Iterator[str]:
    """Values that no suite can have, a line each."""
    texts = {"name": suite.name, "about": suite.about, "classifier": suite.classifier}
    for k, films in enumerate(suite.datasets):
        texts |= {f"name of dataset {k + 1}": films.name, f"dataset of dataset {k + 1}": films.dataset}
    yield from (f"{what} is empty" for what, text in texts.items() if not text.strip())
    if not _is_day(suite.date):
        yield f"date {suite.date!r} is no day: write it as 2026-12-01"
    for films in suite.datasets:
        if not re.fullmatch(r"[0-9a-f]{64}", films.fingerprint):
            yield f"fingerprint {films.fingerprint!r} of {films.name}: it has 64 digits, 0 to 9 and a to f"
        if films.size < 1 or not 0 < films.real_fraction <= 1:
            share = f"real_fraction {films.real_fraction:g}"
            yield f"{films.name} has size {films.size} and {share}: a size is at least 1, a share above 0 and up to 1"
    for what, n in (("seeds", suite.seeds), ("train_steps", suite.train_steps)):
        if n < 1:
            yield f"{what} {n}: at least 1"
    if ratios := [ratio for ratio in suite.ratios if not 0 < ratio < math.inf]:
        yield f"ratio {ratios[0]:g}: a finite number above 0"
    known = {"situation": (suite.situations, SITUATIONS), "control": (suite.controls, (*sorted(CONTROLS), *REMEDIES))}
    for what, (named, there) in known.items():
        if unknown := [name for name in named if name not in there]:
            yield f"no {what} {unknown[0]!r}. There are: {', '.join(there)}"
    if endless := [name for name, fixed in suite.clf.items() if isinstance(fixed, float) and not math.isfinite(fixed)]:
        yield f"clf.{endless[0]} is no finite number"
    lists: dict[str, Sequence[Any]] = {
        "ratios": suite.ratios, "situations": suite.situations, "controls": suite.controls,
        "names of datasets": [films.name for films in suite.datasets],
        "fingerprints": [films.fingerprint for films in suite.datasets],
    }  # fmt: skip
    for what, values in lists.items():
        if not values and what != "controls":
            yield f"{what}: at least one is needed"
        if twice := [value for value, n in Counter(values).items() if n > 1]:
            yield f"{what}: {twice[0]} is there twice"


def _is_day(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def left_out(reasons: Sequence[str]) -> tuple[str, ...]:
    """A line for each reason why records are not of a suite, the commonest first."""
    return tuple(f"{n} record{'s' * (n > 1)}: {reason}" for reason, n in Counter(reasons).most_common())


def dataset_of(setting: Mapping[str, Any]) -> str:
    """What pages and tables call a dataset; a folder of films as a suite that has its fingerprint does."""
    return called(setting, names_of_suites())
