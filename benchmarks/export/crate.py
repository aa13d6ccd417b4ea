"""A run as a Process Run Crate: its files with their sha256, and the action that made them.

RO-Crate 1.1 with the profile Process Run Crate 0.5 (w3id.org/ro/wfrun/process/0.5), written by the package rocrate: one
`CreateAction`, whose `instrument` is this suite, whose `object` is the dataset with all that was trained elsewhere, and
whose `result` are the files of the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.export import facts
from benchmarks.export.facts import NOT_FOR_DIAGNOSIS, TO_WRITE, Record
from benchmarks.records.load import RECORD
from benchmarks.records.terms import forbids, is_known, licence_of
from benchmarks.request.called import called
from synthworth.artifacts import whole_folder
from synthworth.errors import UserError
from synthworth.keys import file_sha256

PROFILE = "https://w3id.org/ro/wfrun/process/0.5"
NEEDS = "RO-Crate needs rocrate: pip install 'synthworth[export]'"
FORMS = {
    ".json": "application/json", ".parquet": "application/vnd.apache.parquet", ".png": "image/png", ".csv": "text/csv",
}  # fmt: skip
FROM_STORE = "The call took stages from its store: when those were made is not recorded, nor when all of it began"
UNNAMED = "application/octet-stream"
SHOW_FILMS = ("grid.png", "nearest.png")
"""Pictures of a record that show films of patients."""
NAMES = {
    RECORD: "record of the run",
    "predictions.parquet": "predictions on the test split, with ids of images and patients",
    "seal.json": "sha256 of every file of the record",
}  # fmt: skip


def files_of(folder: Path, licence: str | None) -> tuple[list[Path], list[str]]:
    """The files of a record that go into a crate, and the names of those that stay: films that may not be shown.

    Parameters
    ----------
    licence : of the dataset, None where it is not known.
    """
    shown = is_known(licence) and not forbids(licence or "")
    there = sorted(file for file in folder.iterdir() if file.is_file() and not file.name.startswith("."))
    stay = [file.name for file in there if file.name in SHOW_FILMS and not shown]
    return [file for file in there if file.name not in stay], stay


def write_crate(record: Record, folder: Path, to: Path, *, authors: Sequence[str]) -> list[str]:
    """Write a crate, whole or not at all.

    Parameters
    ----------
    folder : of the record.

    Returns
    -------
    Names of files that were left out: they show films whose licence is not known, or forbids it.

    Raises
    ------
    UserError
        Without rocrate.
    """
    try:
        from rocrate.rocrate import ROCrate
    except ImportError as error:
        raise UserError(NEEDS) from error
    files, stay = files_of(folder, licence_of(record))
    crate = ROCrate(version="1.1")
    crate.metadata.extra_terms["sha256"] = "https://schema.org/sha256"
    _describe(crate, record)
    results = [_file(crate, file) for file in files]
    _act(crate, record, results, authors)
    with whole_folder(to) as made:
        crate.write(made)
    return stay


def _describe(crate: Any, record: Record) -> None:
    """The root: what it is, on which terms, to which profile it keeps."""
    profile = _add(crate, PROFILE, "CreativeWork", name="Process Run Crate", version="0.5")
    root = crate.root_dataset
    root["conformsTo"] = profile
    root["name"] = f"Run {record['run_id'][:16]}: {record['name']}"
    root["description"] = f"{NOT_FOR_DIAGNOSIS} {record['verdict']}"
    root["datePublished"] = _ended(record)
    root["license"] = licence_of(record) or TO_WRITE


def _file(crate: Any, file: Path) -> Any:
    return crate.add_file(
        file, file.name,
        properties={
            "name": NAMES.get(file.name, file.name), "encodingFormat": FORMS.get(file.suffix, UNNAMED),
            "contentSize": str(file.stat().st_size), "sha256": file_sha256(file),
        },
    )  # fmt: skip


def _act(crate: Any, record: Record, results: Sequence[Any], authors: Sequence[str]) -> None:
    """The action with its instrument, objects, results, times and agents."""
    provenance, spec = record["provenance"], record["spec"]
    tool = _add(
        crate, "#synthworth", "SoftwareApplication", name="SynthWorth",
        softwareVersion=f"{provenance.get('synthworth')} ({provenance.get('commit')})",
        description=facts.software(record),
    )  # fmt: skip
    part = record.get("dataset") or {}
    data = _add(
        crate, "#dataset", "CreativeWork", name=called(spec), identifier=spec["fingerprint"] or TO_WRITE,
        license=part["licence"] if is_known(part.get("licence")) else TO_WRITE,
        citation=part.get("citation") or TO_WRITE,
    )  # fmt: skip
    objects = [data]
    for k, one in enumerate(record.get("pretrained", ())):
        told = {"sha256": one["sha256"], "description": one["note"]}
        objects.append(
            _add(
                crate, f"#pretrained-{k}", "CreativeWork", name=f"{one['part']}: {one['name']}",
                license=one["licence"] or TO_WRITE, **{name: value for name, value in told.items() if value},
            )
        )  # fmt: skip
    agents = [_add(crate, f"#author-{k}", "Person", name=name) for k, name in enumerate(authors)]
    began = _began(record)
    from_store = "" if began or "started" not in provenance else f". {FROM_STORE}"
    properties = {
        "name": record["name"], "description": provenance["command"] + from_store, "endTime": _ended(record),
        **({"startTime": began} if began else {}),
        "actionStatus": "http://schema.org/CompletedActionStatus",
    }  # fmt: skip
    action = crate.add_action(
        tool, identifier=f"#{record['run_id']}", object=objects, result=list(results), properties=properties
    )
    if agents:
        action["agent"] = agents
        crate.root_dataset["author"] = agents
    crate.root_dataset["mentions"] = [action]


def _began(record: Record) -> str | None:
    """When the call began that wrote the record, if all can have been made in it; None where it took less time.

    Stages that are in the store are taken from there: their times are not in a record.
    """
    provenance, cost = record["provenance"], record["cost"]
    if "started" not in provenance:
        return None
    took = (datetime.fromisoformat(_ended(record)) - datetime.fromisoformat(provenance["started"])).total_seconds()
    longest = max(cost.get("fit_seconds") or 0.0, cost.get("classifier_seconds") or 0.0)
    return str(provenance["started"]) if took >= longest else None


def _ended(record: Record) -> str:
    return str(record["provenance"].get("ended") or record["provenance"]["when"])


def _add(crate: Any, at: str, kind: str, /, **properties: Any) -> Any:
    from rocrate.model.contextentity import ContextEntity

    return crate.add(ContextEntity(crate, at, properties={"@type": kind, **properties}))
