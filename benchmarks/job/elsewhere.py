"""The other datasets of a request: prepared, and refused where they cannot be tested on, before anything is trained."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.job.plan import prepared
from benchmarks.request.elsewhere import FLAG, Elsewhere, match_classes, read_elsewhere
from benchmarks.request.options import Request
from benchmarks.stages.bench import Bench
from benchmarks.stages.experiment import Experiment
from benchmarks.stages.external import External
from benchmarks.stages.images import prepare_data
from data.registry import datasets
from synthworth.errors import UserError
from synthworth.keys import plain

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Foretold:
    """Another dataset before it is prepared."""

    asked: Elsewhere
    config: Any

    @property
    def dataset(self) -> Any:
        """The dataset itself. Raises UserError for options that do not go together."""
        with _naming(self.asked):
            return datasets.get(self.asked.dataset)(self.config)

    def folder(self, bench: Bench) -> Path | None:
        """Of the prepared dataset; None while it is not. Raises UserError where its files are not there."""
        with _naming(self.asked):
            return prepared(bench, self.asked.dataset, self.dataset)

    def told(self, index: Mapping[str, Any] | None = None, *, ours: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What it is, as it stands in a spec.

        Parameters
        ----------
        index, ours : of its prepared images, and of the experiment's; None for both while one is not prepared.

        Raises
        ------
        UserError
            For other channels, another size, labels of another kind, and classes that do not match.
        """
        classes: Mapping[str, str | None] = self.asked.classes
        if index is not None and ours is not None:
            _check_alike(self.asked, index, ours)
            classes = match_classes(ours["classes"], index["classes"], given=self.asked.classes, asked=self.asked.asked)
        return {
            "name": self.asked.name,
            "dataset": self.asked.dataset,
            "data": plain(self.config),
            "version": datasets.get(self.asked.dataset).version,
            "fingerprint": "" if index is None else str(index["fingerprint"]),
            "classes": dict(classes),
        }


def foretell(request: Request, *, channels: int | None, size: int | None) -> list[Foretold]:
    """The other datasets of a request, with their options.

    Parameters
    ----------
    channels, size : of the experiment's images, as far as they are known.

    Raises
    ------
    UserError
        For what `--test-on` names that is none, and for options that do not exist.
    """
    found = read_elsewhere(request.options.test_on)
    opened = []
    for one in found:
        with _naming(one):
            opened.append(Foretold(one, one.config(channels=channels, size=size)))
    return opened


@contextmanager
def _naming(asked: Elsewhere) -> Iterator[None]:
    """What a dataset refuses names its own flags (`--data.path`): begin the line with the one that asked for it."""
    try:
        yield
    except UserError as error:
        if str(error).startswith(FLAG):
            raise
        raise UserError(f"{FLAG} {asked.asked}: {error}") from error


def are_prepared(bench: Bench, request: Request, index: Mapping[str, Any]) -> bool:
    """Whether every other dataset of a request is decoded.

    Parameters
    ----------
    index : of the experiment's images.
    """
    found = foretell(request, channels=index["channels"], size=index["size"])
    return all(one.folder(bench) is not None for one in found)


def open_externals(bench: Bench, request: Request, index: Mapping[str, Any]) -> list[External]:
    """Prepare the other datasets of a request, and match their classes with the experiment's.

    Parameters
    ----------
    index : of the experiment's images.

    Raises
    ------
    UserError
        As `Foretold.told`, and for images that cannot be prepared.
    """
    opened = []
    for one in foretell(request, channels=index["channels"], size=index["size"]):
        with _naming(one.asked):
            folder, its = prepare_data(bench, one.asked.dataset, one.dataset)
        opened.append(External(one.told(its, ours=index), Path(folder), one.config))
    return opened


def check_externals(experiment: Experiment) -> None:
    """Say what is left out of the other datasets' films, and refuse a set without a film of one of our classes.

    Raises
    ------
    UserError
        As `External.films`.
    """
    for external in experiment.externals:
        for line in remarks(external, experiment):
            logger.warning("%s", line)


def remarks(external: External, experiment: Experiment) -> list[str]:
    """What is to be told of an external set: what was left out of it, and what it shares with the experiment."""
    films, said = external.films(experiment.images), []
    if n := films.left_out["learned from"]:
        said.append(f"{n} films are left out, which are a film of the experiment's train or val, pixel for pixel")
    if n := films.left_out["of other classes"]:
        said.append(f"{n} films of classes that are mapped to none are left out")
    if n := films.shared["films of test"]:
        said.append(
            f"{n} films are a test film of the experiment, pixel for pixel: the two test sets are not independent"
        )
    if n := films.shared["names of patients"]:
        said.append(
            f"{n} patients have the name of a patient of the experiment: where they are the same people, this is no "
            "external test"
        )
    return [f"test set {external.name}: {line}" for line in said]


def _check_alike(asked: Elsewhere, index: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    for what, unit, advice in (
        ("channels", "channels", "Set channels: under data: in a YAML file, or choose another dataset"),
        ("size", "px on a side", "Set size: under data: in a YAML file"),
    ):
        if index[what] != ours[what]:
            raise UserError(
                f"{FLAG} {asked.asked}: its films have {index[what]} {unit}, and the experiment's have {ours[what]}. "
                f"{advice}"
            )
    if bool(index["multilabel"]) != bool(ours["multilabel"]):
        kinds = {True: "findings that co-occur", False: "one class a film"}
        its, own = (kinds[bool(one["multilabel"])] for one in (index, ours))
        raise UserError(
            f"{FLAG} {asked.asked}: its labels are {its}, and the experiment's are {own}. Choose options of the "
            "dataset that give the same kind"
        )


def told_of(externals: Sequence[External]) -> tuple[Mapping[str, Any], ...]:
    """What stands in the spec of an arm that is tested on them."""
    return tuple(external.told for external in externals)
