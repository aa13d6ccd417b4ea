"""What `--test-on` names: the datasets that classifiers also predict on, and which of their classes are which."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.request.configs import build_config
from benchmarks.request.yaml_file import read_yaml
from data.registry import NEEDS, datasets
from synthworth.errors import UserError
from synthworth.registry import config_of

FLAG = "--test-on"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
"""What an external set may be called: the name is part of a file's."""
FIELDS = ("dataset", "data", "classes", "name")
LIKE_OURS = ("size", "channels")
"""Options of a dataset that are those of the experiment's images where it has them and nobody says another."""


@dataclass(frozen=True)
class Elsewhere:
    """A dataset to test on, as it was asked for.

    Parameters
    ----------
    name : what tables and files call it.
    dataset : its registered name.
    data : its options, as far as they were said.
    classes : its classes by name -> ours, or None for a class whose films are left out; others go by their names.
    asked : the words that asked for it.
    """

    name: str
    dataset: str
    data: Mapping[str, Any]
    classes: Mapping[str, str | None]
    asked: str

    def config(self, *, channels: int | None, size: int | None) -> Any:
        """The dataset's own Config.

        Parameters
        ----------
        channels, size : of the experiment's images; None where they are not known yet.

        Raises
        ------
        UserError
            For an option that does not exist, or a value that it refuses.
        """
        config = config_of(datasets.get(self.dataset), self.dataset, needs=NEEDS)
        known = {field.name for field in dataclasses.fields(config)}
        ours = {"size": size, "channels": channels}
        same = {n: ours[n] for n in LIKE_OURS if n in known and n not in self.data and ours[n] is not None}
        return build_config(
            config, {**same, **self.data}, where=f"{FLAG} {self.asked}", prefix="data.", owner=self.dataset
        )


def read_elsewhere(words: Sequence[str]) -> tuple[Elsewhere, ...]:
    """What each word names: `DATASET` or `DATASET:PATH`, `NAME=` before it or not, a YAML file, or its content as JSON.

    A set is called by its dataset where no name is said, never by its folder: the name stands in the record, and a
    folder may be named after a patient.

    Raises
    ------
    UserError
        For what is none of these, an unknown dataset, an odd name, and a name that is there twice.
    """
    found = tuple(_read(word) for word in words)
    for one in found:
        if not NAME.fullmatch(one.name):
            raise UserError(
                f"{FLAG} {one.asked}: it would be called {one.name!r}; a name has up to 40 letters, digits, _, . and "
                f"-. Say another: {FLAG} NAME={one.dataset}, or name: in a YAML file"
            )
        same = [other.asked for other in found if other.name.casefold() == one.name.casefold()]
        if len(same) > 1:
            raise UserError(
                f"{FLAG} {same[1]}: there is a test set called {one.name} already ({same[0]}). Say another: "
                f"{FLAG} NAME={one.dataset}:PATH, or name: in a YAML file"
            )
        config_of(datasets.get(one.dataset), one.dataset, needs=NEEDS)
    return found


def _read(word: str) -> Elsewhere:
    if word.lstrip().startswith("{"):
        return _of_mapping(_json(word), asked=word if len(word) <= 60 else f"{word[:56]} ...", default="")
    if word.endswith((".yaml", ".yml")):
        return _of_mapping(read_yaml(Path(word), flag=FLAG), asked=word, default=Path(word).stem)
    called, equals, rest = word.partition("=")
    dataset, colon, path = (rest if equals and ":" not in called else word).partition(":")
    name = called if equals and ":" not in called else dataset
    if not colon:
        return Elsewhere(name, dataset, {}, {}, word)
    config = config_of(datasets.get(dataset), dataset, needs=NEEDS)
    if "path" not in {field.name for field in dataclasses.fields(config)}:
        raise UserError(f"{FLAG} {word}: dataset {dataset} has no option path; say its options in a YAML file")
    return Elsewhere(name, dataset, {"path": path}, {}, word)


def _json(word: str) -> dict[str, Any]:
    try:
        found = json.loads(word)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{FLAG} {word[:56]}: it begins with a brace and is no JSON ({error})") from error
    return dict(found)


def _of_mapping(content: Mapping[str, Any], *, asked: str, default: str) -> Elsewhere:
    unknown = [str(name) for name in content if name not in FIELDS]
    if unknown:
        raise UserError(f"{FLAG} {asked}: no field {unknown[0]}; there are {', '.join(FIELDS)}")
    dataset, data, classes = content.get("dataset"), content.get("data") or {}, content.get("classes") or {}
    if not isinstance(dataset, str):
        raise UserError(f"{FLAG} {asked}: it names no dataset; write dataset: folder, say, and its options under data:")
    if not isinstance(data, Mapping):
        raise UserError(f"{FLAG} {asked}: data is a mapping of the dataset's options, not {data!r}")
    if not isinstance(classes, Mapping) or not all(
        value is None or isinstance(value, str) for value in classes.values()
    ):
        raise UserError(
            f"{FLAG} {asked}: classes is a mapping from its class to ours, or to null where films of that class are to "
            f"be left out, not {classes!r}"
        )
    return Elsewhere(
        str(content.get("name", default or dataset)),
        dataset,
        dict(data),
        {str(k): v for k, v in classes.items()},
        asked,
    )


def match_classes(
    ours: Sequence[str], theirs: Sequence[str], *, given: Mapping[str, str | None], asked: str
) -> dict[str, str | None]:
    """Which class of ours each of theirs is; None where its films are left out.

    Names are compared without regard to case. Nothing else is guessed.

    Parameters
    ----------
    given : as the user said it; any of theirs may be missing.
    asked : how the set is called in errors.

    Raises
    ------
    UserError
        For a class in `given` that is none of theirs, or is to be none of ours; for one of theirs of which nobody says
        what it is; and for one of ours that none of theirs is.
    """
    own, its = ({name.casefold(): name for name in names} for names in (ours, theirs))
    said: dict[str, str | None] = {}
    for name, to in given.items():
        if name.casefold() not in its:
            raise UserError(
                f"{FLAG} {asked}: classes names {name!r}, which it has not; its classes are {_listed(theirs)}"
            )
        if to is not None and to.casefold() not in own:
            raise UserError(
                f"{FLAG} {asked}: classes makes {name!r} {to!r}; the experiment's classes are {_listed(ours)}"
            )
        said[its[name.casefold()]] = None if to is None else own[to.casefold()]
    found = {name: said[name] if name in said else own.get(name.casefold()) for name in theirs}
    unsaid = [name for name in theirs if found[name] is None and name not in said]
    if unsaid:
        raise UserError(
            f"{FLAG} {asked}: of its classes {_listed(theirs)} nothing says what {_listed(unsaid)} would be among "
            f"{_listed(ours)}. Say it under classes: in a YAML file, with null for films to leave out"
        )
    lacking = [name for name in ours if name not in found.values()]
    if lacking:
        raise UserError(
            f"{FLAG} {asked}: none of its classes {_listed(theirs)} is the experiment's {_listed(lacking)}. Map one to "
            "it under classes: in a YAML file, or test on another dataset"
        )
    return found


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
