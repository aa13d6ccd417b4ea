"""An exported pool as Croissant 1.1: built of mlcroissant's own classes, and validated by mlcroissant.

Croissant Format Specification 1.1 (mlcommons.org/croissant/1.1) with the vocabulary of its RAI extension and the
provenance terms of PROV-O: `rai:hasSyntheticData`, and what the images were derived from in `prov:wasDerivedFrom` and
`prov:wasGeneratedBy`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.export import facts
from benchmarks.export.facts import TO_WRITE, Record
from generators.pool_folder import CARD, TABLE, WARNING, Picture
from synthworth.errors import UserError
from synthworth.keys import file_sha256

VERSION = "http://mlcommons.org/croissant/1.1"
RAI_VERSION = "http://mlcommons.org/croissant/RAI/1.0"
CONTEXT = {
    "prov": "http://www.w3.org/ns/prov#", "arrayShape": "cr:arrayShape", "containedIn": "cr:containedIn",
    "isArray": "cr:isArray", "name": {"@container": "@language"}, "description": {"@container": "@language"},
}  # fmt: skip
"""What version 1.1 and PROV-O add to the terms that mlcroissant begins with."""
RECORDS = "images"
NEEDS = "Croissant needs mlcroissant: pip install 'synthworth[export]'"
TEXT, WHOLE = "TEXT", "INTEGER"
"""Names of mlcroissant's data types."""
COLUMNS = {
    "image": (TEXT, "Path of the picture below this folder."),
    "sha256": (TEXT, "Of the file."),
    "label": (TEXT, "What the generator was asked to show; findings are joined by |."),
    "generator": (TEXT, "Name of the generator that drew it."),
    "run_id": (TEXT, "Digest of the run."),
    "seed": (WHOLE, "Seed of the run."),
    "generator_seed": (WHOLE, "Which training of the generator."),
    "row": (WHOLE, "Number of the image among those of its run, from 0."),
}


def croissant(
    record: Record, folder: Path, pictures: Sequence[Picture], *, licence: str, authors: Sequence[str]
) -> dict[str, Any]:
    """The JSON-LD of a pool.

    Parameters
    ----------
    folder : of the pool, as it was exported.
    licence : of the images.

    Raises
    ------
    UserError
        Without mlcroissant, and where mlcroissant refuses what was made.
    """
    try:
        import mlcroissant as mlc
    except ImportError as error:
        raise UserError(NEEDS) from error
    try:
        made = _metadata(mlc, record, folder, pictures, licence=licence, authors=authors)
        plain: dict[str, Any] = json.loads(json.dumps(made.to_json(), default=str))
        validate(plain, folder)
    except mlc.ValidationError as error:
        raise UserError(f"mlcroissant refuses the export: {error}") from error
    return plain


def _metadata(
    mlc: Any, record: Record, folder: Path, pictures: Sequence[Picture], *, licence: str, authors: Sequence[str]
) -> Any:
    context = mlc.Context(conforms_to=VERSION, folder=folder)
    context.rdf.context.update(CONTEXT)
    return mlc.Metadata(
        ctx=context,
        name=record["name"],
        description=f"{WARNING} {len(pictures)} images drawn by {record['spec']['generator']}: {record['verdict']}",
        conforms_to=[VERSION, RAI_VERSION],
        license=[licence],
        cite_as=_citation(record),
        creators=[mlc.Person(ctx=context, name=name) for name in authors],
        date_published=_published(record),
        url=f"urn:sha256:{record['run_id']}",
        version="1.0.0",
        keywords=["synthetic", "medical imaging", record["spec"]["generator"]],
        distribution=_files(mlc, context, folder, pictures),
        record_sets=[_records(mlc, context)],
        data_collection=f"Drawn by a generator, not collected. {facts.generator(record)}",
        data_limitations="; ".join([WARNING, *facts.limits(record)]),
        data_biases=f"Images learned from the training split. {facts.sizes(record)}. {facts.attributes(record)}",
        personal_sensitive_information="; ".join(facts.copies(record)) or TO_WRITE,
        data_use_cases=f"Training of image classifiers, in research. Other uses: {TO_WRITE}",
        data_social_impact=TO_WRITE,
        extra_properties={
            "rai:hasSyntheticData": True,
            "prov:wasDerivedFrom": facts.about_dataset(record),
            "prov:wasGeneratedBy": f"{facts.software(record)}; {record['provenance']['command']}",
        },
    )


def validate(made: Mapping[str, Any], folder: Path) -> None:
    """Let mlcroissant read what was made, from a file in the folder that it describes.

    Raises
    ------
    mlcroissant.ValidationError
        Where it refuses it.
    """
    import tempfile

    import mlcroissant as mlc

    with tempfile.NamedTemporaryFile("w", dir=folder, prefix=".croissant-", suffix=".json", encoding="utf-8") as file:
        json.dump(made, file)
        file.flush()
        mlc.Dataset(jsonld=file.name)


def _published(record: Record) -> datetime:
    return datetime.fromisoformat(str(record["provenance"].get("ended") or record["provenance"]["when"]))


def _citation(record: Record) -> str:
    return (record.get("dataset") or {}).get("citation") or TO_WRITE


def _files(mlc: Any, context: Any, folder: Path, pictures: Sequence[Picture]) -> list[Any]:
    """Every file of the folder with its sha256."""
    named = [(TABLE, "text/csv", file_sha256(folder / TABLE))]
    if (folder / CARD).is_file():
        named.append((CARD, "text/markdown", file_sha256(folder / CARD)))
    named += [(one.image, "image/png", one.sha256) for one in pictures]
    return [
        mlc.FileObject(
            ctx=context, id=name, name=name, content_url=name, encoding_formats=[form], sha256=sha256,
            content_size=f"{(folder / name).stat().st_size} B",
        )
        for name, form, sha256 in named
    ]  # fmt: skip


def _records(mlc: Any, context: Any) -> Any:
    """The rows of the table."""
    fields = [
        mlc.Field(
            ctx=context, id=f"{RECORDS}/{column}", name=column, description=about,
            data_types=[getattr(mlc.DataType, kind)],
            source=mlc.Source(ctx=context, file_object=TABLE, extract=mlc.Extract(ctx=context, column=column)),
        )
        for column, (kind, about) in COLUMNS.items()
    ]  # fmt: skip
    about = "One row a synthetic image."
    return mlc.RecordSet(ctx=context, id=RECORDS, name=RECORDS, description=about, fields=fields)
