"""What the exports say of a record, in words and numbers, and which words stand where it says nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.records.terms import licence_of
from benchmarks.request.called import called
from benchmarks.verdicts.sentences import difference_sentence
from synthworth.escape import markdown_cell, markdown_text

Record = Mapping[str, Any]
TO_WRITE = "to be written by the authors"
REST = f"The rest is {TO_WRITE}."
NOT_FOR_DIAGNOSIS = "Made for research on synthetic training images. Not a medical device, and not for diagnosis."
CONTROL_NAMES = {"none": "real images alone"}


def number(value: Record, digits: int = 4) -> str:
    """`0.8120 [0.7901, 0.8340]`, or `null: why`."""
    if value["value"] is None:
        return f"null: {value['note']}"
    within = "" if value["low"] is None else f" [{value['low']:.{digits}f}, {value['high']:.{digits}f}]"
    return f"{value['value']:.{digits}f}{within}"


def named(value: Record) -> str:
    """What a value is called: the metric, the class, and where it was measured."""
    label = f" of {value['label']}" if value["label"] is not None else ""
    where = f" in {value['features']}" if value["features"] else ""
    return f"{value['alias'] or value['metric']}{label}{where}"


def told(values: Sequence[Record], digits: int = 4) -> str:
    """Values in one sentence, with the real-real floor of those that have one."""
    return "; ".join(f"{named(value)} {number(value, digits)}{_floor(value)}" for value in values)


def _floor(value: Record) -> str:
    extra = value["extra"]
    if value["value"] is None or extra.get("floor") is None:
        return ""
    return f" (real images against real ones {extra['floor']:.4g}, n {extra['floor_n']})"


def macro(record: Record, part: str = "utility") -> list[Record]:
    """The values of a part that are of no single class, those that are null last."""
    return sorted((v for v in record.get(part, {}).values() if v["label"] is None), key=lambda v: v["value"] is None)


def of_metrics(record: Record, part: str, *metrics: str) -> list[Record]:
    """The values of some metrics, in their order, those of no single class."""
    return [v for name in metrics for v in macro(record, part) if v["metric"] == name]


def comparisons(record: Record) -> list[str]:
    """The paired difference to each control, a sentence each; and the controls that it could not be compared with."""
    rows = [f"{difference_sentence(row)} against {_called(name)}" for name, row in record["comparisons"].items()]
    return rows + [f"not compared with {name}: {why}" for name, why in record.get("not_compared", {}).items()]


def detectable(record: Record) -> str:
    """The smallest true difference that this test set and these seeds would have shown, against each control."""
    rows = [(name, row.get("detectable")) for name, row in record["comparisons"].items()]
    found = [f"{value:.4f} in AUROC against {_called(name)}" for name, value in rows if value is not None]
    if not found:
        return ""
    return f"smallest true difference that would have been shown in four of five experiments: {', '.join(found)}"


def _called(name: str) -> str:
    return CONTROL_NAMES.get(name, name)


def about_dataset(record: Record) -> str:
    """Name, licence, citation and fingerprint of the dataset, with what the record does not know named."""
    spec, part = record["spec"], record.get("dataset") or {}
    citation = part.get("citation")
    said = [f"dataset {called(spec)}"]
    said += [f"licence: {licence_of(record) or TO_WRITE}"]
    said += [f"citation: {citation}" if citation else f"citation: {TO_WRITE}"]
    if spec["fingerprint"]:
        said.append(f"fingerprint of the images {spec['fingerprint']}")
    return "; ".join(said)


def sizes(record: Record) -> str:
    """Images and patients by split."""
    audit = record["audit"]
    patients = audit["n_patients"]
    return "; ".join(
        f"{split}: {n} images" + (f" of {patients[split]} patients" if patients.get(split) is not None else "")
        for split, n in audit["n_images"].items()
    )


def copies(record: Record) -> list[str]:
    """How near the added images are to those of patients, a line each, with what never-seen real images give."""
    names = ("copy_rate", "exact_copy_rate", "membership_auroc", "membership_auroc_exposed", "auth_pct")
    return [told([value]) for value in of_metrics(record, "privacy", *names)]


def patients_are_known(record: Record) -> str:
    """At which level the splits are apart, and how sure that is."""
    known = record["audit"].get("patients_known")
    if known is None:
        return "splits are made by patient where patients are given; this record does not say how many are"
    if not known["n_without"]:
        return "no patient is in two splits"
    return (
        f"no patient is in two splits, as far as patients are given: {known['n_without']} of {known['n_images']} "
        "images have none, and count as patients of their own"
    )


def left_out(record: Record) -> str:
    """What was left out, with counts; empty where the record says nothing of it."""
    part = record.get("dataset")
    if part is None:
        return ""
    rows = [f"{what}: {n}" for what, n in part["left_out"].items()]
    rows += [f"counted while the films were read: {what}: {n}" for what, n in part["remarks"].items()]
    return "; ".join([*rows, *([part["note"]] if part["note"] else [])])


def attribute_rows(record: Record) -> Iterator[tuple[str, str, dict[str, int]]]:
    """(attribute or class, value, images by split), for the table of what the splits hold."""
    counts = record["audit"].get("counts", {})
    for name in record["classes"]:
        yield "class", name, {split: by_class.get(name, 0) for split, by_class in counts.items()}
    by_split = (record.get("dataset") or {}).get("attributes", {})
    attributes = dict.fromkeys(name for part in by_split.values() for name in part)
    for name in attributes:
        for value in sorted({value for part in by_split.values() for value in part.get(name, {})}):
            yield name, value, {split: part.get(name, {}).get(value, 0) for split, part in by_split.items()}


def attributes(record: Record) -> str:
    """The same in one sentence."""
    rows = [
        f"{name} {value}: " + ", ".join(f"{n} {split}" for split, n in by_split.items())
        for name, value, by_split in attribute_rows(record)
        if by_split
    ]
    return "; ".join(rows)


def pretrained(record: Record) -> list[str]:
    """The parts that were trained elsewhere before, a line each; none is said where the record knows of none."""
    if "pretrained" not in record:
        return [f"of pre-trained parts this record says nothing: {TO_WRITE}"]
    rows = [
        f"{one['part']}: {one['name']}"
        + (f", sha256 {one['sha256']}" if one["sha256"] else "")
        + f", licence: {one['licence'] or TO_WRITE}"
        + (f" ({one['note']})" if one["note"] else "")
        for one in record["pretrained"]
    ]
    return rows or ["no part was trained elsewhere before"]


def training(record: Record) -> str:
    """How the classifiers were trained."""
    spec, part = record["spec"], record["training"]
    options = ", ".join(f"{name} {value}" for name, value in spec["clf"].items() if value not in ("", False, None))
    steps = " and ".join(dict.fromkeys(str(n) for n in part["steps"]))
    return (
        f"{len(part['steps'])} classifiers from {spec['seeds']} seeds, {steps} optimiser steps each; "
        f"options: {options}; precision {spec['precision']}"
    )


def model(record: Record) -> str:
    """The classifier, and what was added to its training."""
    spec, facts = record["spec"], (record["training"].get("facts") or [{}])[0]
    size = f", {facts['n_parameters']:,} parameters" if "n_parameters" in facts else ""
    n, n_real = (sum(record["counts"][kind].values()) for kind in ("synthetic", "real"))
    added = f"{n} {record.get('added') or 'added'} images of {spec['generator']}" if n else "no added images"
    named = f"image classifier {spec['classifier']}{size}, version {spec['classifier_version']}"
    how = f"mode {spec['mode']}, ratio {spec['ratio']:g}"
    return f"{named}, over {len(record['classes'])} classes; trained on {n_real} real images and {added} ({how})"


def generator(record: Record) -> str:
    """The generator with its options, budget and seed."""
    spec = record["spec"]
    options = ", ".join(f"{name} {value}" for name, value in spec["gen"].items() if value not in ("", False, None))
    budget = f"{spec['fit']['steps']} steps" if spec.get("fit") else "no training of its own"
    return (
        f"{spec['generator']} version {spec['generator_version']}, {budget}, seed {spec['seed']} and generator seed "
        f"{spec['generator_seed']}; options: {options or 'none'}"
    )


def software(record: Record) -> str:
    """Versions of this suite and of the libraries, and the commit."""
    found = record["provenance"]
    libraries = ", ".join(f"{name} {version}" for name, version in found.get("libraries", {}).items())
    suite = f"SynthWorth {found.get('synthworth')} (commit {found.get('commit')})"
    return f"{suite}, Python {found.get('python')}; {libraries}"


def limits(record: Record) -> list[str]:
    """What the record itself holds against its numbers, a line each."""
    lines = [f"data audit: {line}" for line in record["audit"]["warnings"]]
    lines += [f"{name} was not measured: {why}" for name, why in record.get("unavailable", {}).items()]
    lines += [f"{len(record['collapsed'])} classifier seeds collapsed to chance"] if record.get("collapsed") else []
    lines += [f"not compared with {name}: {why}" for name, why in record.get("not_compared", {}).items()]
    if record["spec"]["seeds"] < 6:
        lines.append(f"{record['spec']['seeds']} seeds cannot reach p < 0.05")
    if not record.get("elsewhere"):
        lines.append("tested on no other dataset than its own test split")
    return lines


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table; every cell is text."""
    lines = [list(map(markdown_cell, head)), ["---"] * len(head)]
    lines += [[markdown_cell(str(cell)) for cell in row] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def bullets(lines: Sequence[str]) -> str:
    """A Markdown list; every line is text."""
    return "\n".join(f"- {markdown_text(line)}" for line in lines)
