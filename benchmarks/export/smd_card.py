"""The scorecard of synthetic medical data (SMD card): its seven sections, with what a record says of each.

Zamzmi, Subbaswamy, Sizikova, Margerrison, Delfino, Badano: Scorecard for synthetic medical data evaluation,
Communications Engineering 4:130, 2025 (arXiv 2406.11143): seven criteria (7 Cs), complemented by a descriptive section.
Which of our numbers stands for which criterion is decided here, not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from benchmarks.export import facts
from benchmarks.export.facts import REST, TO_WRITE, Record
from generators.pool_folder import WARNING
from synthworth.escape import markdown_cell, markdown_text

SOURCE = "Zamzmi et al., Communications Engineering 4:130, 2025"


def _values(record: Record, part: str, *metrics: str) -> Iterator[str]:
    for value in facts.of_metrics(record, part, *metrics):
        yield facts.told([value])


def _congruence(record: Record) -> Iterator[str]:
    yield from _values(
        record, "fidelity", "fd", "kd", "inception_score", "manifold_precision", "density", "histogram_distance"
    )


def _coverage(record: Record) -> Iterator[str]:
    yield from _values(record, "fidelity", "coverage", "manifold_recall", "lpips_within", "ssim_within")


def _constraint(record: Record) -> Iterator[str]:
    yield from _values(record, "fidelity", "class_consistency", "class_consistency_auroc")
    for one in record.get("readers", ()):
        yield (
            f"reader {one['reader'] or 'without a name'}: {one['n_right']} of {one['n']} films told right as real or "
            "synthetic"
        )


def _completeness(record: Record) -> Iterator[str]:
    for name in record["classes"]:
        counts = record["counts"]
        yield f"{name}: {counts['synthetic'][name]} synthetic images beside {counts['real'][name]} real ones"


def _compliance(record: Record) -> Iterator[str]:
    yield facts.about_dataset(record)
    yield from facts.copies(record)
    yield facts.patients_are_known(record)


def _comprehension(record: Record) -> Iterator[str]:
    yield facts.generator(record)
    yield from facts.pretrained(record)
    yield facts.software(record)
    yield f"command: {record['provenance']['command']}"


def _consistency(record: Record) -> Iterator[str]:
    seeds = record["utility"]["auroc"]["extra"].get("per_seed") or ()
    if seeds:
        yield f"AUROC of the classifier by seed: {', '.join('null' if s is None else f'{s:.4f}' for s in seeds)}"
    for extractor, rows in record.get("fidelity_by_class", {}).items():
        for name, row in rows.items():
            shown = [
                f"{metric} {row[metric]:.4g}" for metric in ("fd", "kd", "coverage") if row.get(metric) is not None
            ]
            if shown:
                yield f"{name} in {extractor}: {', '.join(shown)} (n {row['n']})"
    for name, part in record.get("subgroups", {}).items():
        if part["gap"]["value"] is not None:
            yield f"AUROC by {name}: gap {facts.number(part['gap'])}, worst {part['gap']['worst']}"


SECTIONS: tuple[tuple[str, str, Callable[[Record], Iterator[str]], str], ...] = (
    ("Congruence", "How near the images are to real ones.", _congruence, ""),
    ("Coverage", "How much of the variety of real ones they hold.", _coverage, ""),
    ("Constraint", "Whether they keep to what anatomy and acquisition allow.", _constraint,
     f"Whether anatomy, devices and projection are possible was not measured: {TO_WRITE}."),
    ("Completeness", "Whether what the task needs is there.", _completeness,
     f"Images carry no demographics, reports or acquisition data. What the task needs of them is {TO_WRITE}."),
    ("Compliance", "Licences, privacy, and standards of the place where they are used.", _compliance,
     f"Local standards, consent and ethics: {TO_WRITE}."),
    ("Comprehension", "Whether it can be understood how they were made.", _comprehension, ""),
    ("Consistency", "Whether quality holds over seeds, classes and groups.", _consistency, ""),
)  # fmt: skip
"""Title, what the section is about in our words, what a record says of it, and what it never says."""


def smd_card(record: Mapping[str, Any]) -> str:
    """The card as Markdown."""
    parts = []
    for k, (title, about, lines, rest) in enumerate(SECTIONS, 1):
        said = list(lines(record))
        body = facts.bullets(said) if said else f"The record says nothing of it: {TO_WRITE}."
        parts.append("\n\n".join([f"## {k}. {title}", about, body, *([rest] if rest else [])]))
    n = sum(record["counts"]["synthetic"].values())
    made = f"{n} {record.get('added')} images" if n else "no images: this run adds none"
    described = [
        f"what: {made}, drawn by {record['spec']['generator']}",
        f"learned from: {facts.about_dataset(record)}",
        f"splits: {facts.sizes(record)}",
        f"what they bought a classifier: {record['verdict']}",
        f"intended use: {TO_WRITE}",
        f"contact and maintenance: {TO_WRITE}",
    ]
    return f"""# SMD card: {markdown_text(record["name"])}

**{WARNING}**

The scorecard of synthetic medical data ({markdown_cell(SOURCE)}), as far as the record of a run fills it. The run is
{record["run_id"]}.

## Description

{facts.bullets(described)}

{chr(10).join(f"{part}{chr(10)}" for part in parts)}
## Limits

{facts.bullets(facts.limits(record))}

{REST}
"""
