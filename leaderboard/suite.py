"""What a suite is, and which records are of it: datasets, budgets, controls and seeds, frozen under a dated name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path, PurePath
from typing import Any

from benchmarks.request.situations import REAL_ALONE, REMEDY, SITUATIONS, situation_of
from benchmarks.request.spec import is_real_only
from benchmarks.request.yaml_file import read_yaml
from synthworth.artifacts import from_json
from synthworth.errors import UserError

FOLDER = Path(__file__).resolve().parent / "suites"
OF_FILMS = "folder"
"""The dataset that is whatever films lie in a folder."""
FLAG = "--suite"


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
        if situation not in (*self.situations, REAL_ALONE, REMEDY):
            return f"the situation {situation} is not judged in the suite"
        if not is_real_only(spec) and spec["ratio"] not in self.ratios:
            return f"ratio {spec['ratio']:g}, the suite has {', '.join(f'{r:g}' for r in self.ratios)}"
        return None

    def not_begun(self, specs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        """Names of the datasets of which none of these arms is."""
        there = {spec["fingerprint"] for spec in specs}
        return tuple(films.name for films in self.datasets if films.fingerprint not in there)

    def lacks(self, specs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
        """Controls of the suite that are not among the arms of a table."""
        there = {spec["generator"] for spec in specs}
        return tuple(name for name in self.controls if name not in there)


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
        For a name that is none; for a file that holds unknown keys, lacks one, or has a value of another kind.
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
    if wrong := [s for s in suite.situations if s not in SITUATIONS]:
        raise UserError(f"{FLAG} {file}: no situation {wrong[0]!r}. There are: {', '.join(SITUATIONS)}")
    return suite


def left_out(reasons: Sequence[str]) -> tuple[str, ...]:
    """A line for each reason why records are not of a suite, the commonest first."""
    return tuple(f"{n} record{'s' * (n > 1)}: {reason}" for reason, n in Counter(reasons).most_common())


def dataset_of(setting: Mapping[str, Any]) -> str:
    """What pages and tables call a dataset: its name, and which one of several it is.

    A folder of films is called by a suite that has its fingerprint, else by the last part of its path where the record
    holds that, else by the first digits of its fingerprint: two folders never share a name.
    """
    which = setting["data"].get("name")
    if which or setting["dataset"] != OF_FILMS:
        return f"{setting['dataset']} {which}" if which else str(setting["dataset"])
    of_suite = names_of_suites().get(setting["fingerprint"])
    last = PurePath(str(setting["data"].get("path") or "")).name
    digits = str(setting["fingerprint"])[:6]
    return of_suite or (f"{last} ({OF_FILMS} {digits})" if last else f"{OF_FILMS} {digits}")
