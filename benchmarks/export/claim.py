"""The 44 items of CLAIM 2024, with what a record says of each.

CLAIM is the Checklist for Artificial Intelligence in Medical Imaging: Tejani, Klontzas, Gatti, Mongan, Moy, Park, Kahn
for the CLAIM 2024 Update Panel, Radiology: Artificial Intelligence 6(4):e240300, 2024. Items are named by their short
titles there. What an item asks for stands in that paper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.export import facts
from benchmarks.export.facts import NOT_FOR_DIAGNOSIS, REST, TO_WRITE, Record
from synthworth.escape import markdown_cell, markdown_text

SOURCE = "Tejani et al., Radiology: Artificial Intelligence 6(4):e240300, 2024"


def _data_options(record: Record) -> str:
    options = record["spec"]["data"]
    said = ", ".join(f"{name} {value}" for name, value in options.items() if value not in ("", [], None))
    return f"images are squares of one size, uint8; options of the reader: {said or 'none'}"


def _subsets(record: Record) -> str:
    spec = record["spec"]
    parts = [f"real fraction {spec['real_fraction']:g} of the training images, whole patients"]
    parts += [f"{spec['patients_per_class']} patients a class"] if spec["patients_per_class"] else []
    parts += [f"of the training images a donor's were set apart: {spec['donor']}"] if spec.get("donor") else []
    return "; ".join(parts)


def _missing(record: Record) -> str:
    options, attributes = record["spec"]["data"], (record.get("dataset") or {}).get("attributes", {})
    said = [f"missing labels: {options['missing']}"] if "missing" in options else []
    for split, part in attributes.items():
        said += [f"{split}, {name} not stated: {n}" for name, by in part.items() if (n := by.get("unknown"))]
    return "; ".join(said)


def _started_from(record: Record) -> str:
    starts = dict.fromkeys(str(one["weights"]) for one in record["training"].get("facts", ()) if "weights" in one)
    said = [f"classifiers begin with weights: {', '.join(starts)}"] if starts else []
    return "; ".join([*said, *facts.pretrained(record)])


def _selected(record: Record) -> str:
    steps = [one["best_step"] for one in record["training"].get("facts", ()) if "best_step" in one]
    at = f"; steps {', '.join(map(str, steps))}" if steps else ""
    return f"the checkpoint with the best AUROC on val; thresholds and temperature on val; test is read once{at}"


def _robust(record: Record) -> str:
    part = record.get("robustness")
    if not part:
        return ""
    return f"AUROC under five corruptions at five strengths {facts.number(part['auroc_corrupted'])}; {part['verdict']}"


def _elsewhere(record: Record) -> str:
    parts = record.get("elsewhere", {})
    said = [
        f"{name}: AUROC {facts.number(part['utility']['auroc'])}; {part['verdict']}" for name, part in parts.items()
    ]
    return "; ".join(said)


def _by_class(record: Record) -> str:
    rows = [v for v in record["utility"].values() if v["metric"] == "auroc"]
    return facts.told(rows)


def _failures(record: Record) -> str:
    rows = [
        f"worst group by {name}: {part['gap']['worst']}, gap {facts.number(part['gap'])}"
        for name, part in record.get("subgroups", {}).items()
        if part["gap"]["worst"]
    ]
    return "; ".join(rows)


def _metrics(record: Record) -> str:
    return ", ".join(dict.fromkeys(value["metric"] for value in record["utility"].values()))


def _statistics(record: Record) -> str:
    spec = record["spec"]
    return (
        f"95 % intervals over {spec['seeds']} seeds and {spec['n_bootstrap']} resamples of the test patients; paired "
        f"differences to the controls {', '.join(spec['controls'])} on the same seeds and patients; margin of "
        f"equivalence {spec['margin']:g}"
    )


def _test_size(record: Record) -> str:
    found = facts.detectable(record)
    return f"test split: {record['audit']['n_images']['test']} images; {found}" if found else ""


def _available(record: Record) -> str:
    return f"software: {facts.software(record)}, Apache-2.0; run {record['run_id']}; {facts.about_dataset(record)}"


def _numbers(record: Record) -> str:
    return f"{facts.sizes(record)}; {facts.left_out(record)}" if facts.left_out(record) else facts.sizes(record)


Answer = Callable[[Record], str]
ASKED: tuple[tuple[str, str, Answer | None, bool], ...] = (
    ("Title or abstract", "Identification as a study of AI methodology",
     lambda r: f"deep learning: {facts.model(r)}", False),
    ("Title or abstract", "Structured summary of design, methods, results and conclusions", None, False),
    ("Introduction", "Scientific and clinical background, intended use and role", None, False),
    ("Introduction", "Study aims, objectives and hypotheses", None, False),
    ("Study design", "Prospective or retrospective study", None, False),
    ("Study design", "Study goal",
     lambda r: "what images of a generator add to the training of a classifier, against controls", False),
    ("Data", "Data sources", facts.about_dataset, False),
    ("Data", "Inclusion and exclusion criteria", facts.left_out, False),
    ("Data", "Data preprocessing", _data_options, True),
    ("Data", "Selection of data subsets", _subsets, True),
    ("Data", "De-identification methods", None, False),
    ("Data", "How missing data were handled", _missing, False),
    ("Data", "Image acquisition protocol", None, False),
    ("Reference standard", "Definition of the methods used to obtain the reference standard", None, False),
    ("Reference standard", "Rationale for choosing the reference standard", None, False),
    ("Reference standard", "Source of reference standard annotations", None, False),
    ("Reference standard", "Annotation of the test set", None, False),
    ("Reference standard", "Inter- and intrarater variability", None, False),
    ("Data partitions", "How data were assigned to partitions", facts.sizes, False),
    ("Data partitions", "Level at which partitions are disjoint", facts.patients_are_known, True),
    ("Testing data", "Intended sample size", _test_size, False),
    ("Model", "Detailed description of the model", facts.model, False),
    ("Model", "Software libraries, frameworks and packages", facts.software, True),
    ("Model", "Initialization of model parameters", _started_from, True),
    ("Training", "Details of the training approach", facts.training, True),
    ("Training", "Method of selecting the final model", _selected, True),
    ("Training", "Ensembling techniques", lambda r: "none: metrics are averaged over seeds, predictions are not", True),
    ("Evaluation", "Metrics of model performance", _metrics, True),
    ("Evaluation", "Statistical measures of significance and uncertainty", _statistics, True),
    ("Evaluation", "Robustness or sensitivity analysis", _robust, False),
    ("Evaluation", "Methods for explainability or interpretability", None, False),
    ("Evaluation", "Evaluation on internal data",
     lambda r: f"own test split: AUROC {facts.number(r['utility']['auroc'])}", True),
    ("Evaluation", "Testing on external data", _elsewhere, False),
    ("Evaluation", "Clinical trial registration", None, False),
    ("Results, data", "Numbers of patients or examinations included and excluded", _numbers, False),
    ("Results, data", "Demographic and clinical characteristics of cases in each partition", facts.attributes, False),
    ("Results, model performance", "Performance metrics and measures of statistical uncertainty",
     lambda r: facts.told(facts.macro(r)), True),
    ("Results, model performance", "Estimates of diagnostic performance and their precision", _by_class, True),
    ("Results, model performance", "Failure analysis of incorrect results", _failures, False),
    ("Discussion", "Study limitations", lambda r: "; ".join(facts.limits(r)), False),
    ("Discussion", "Implications for practice, intended use and clinical role", lambda r: NOT_FOR_DIAGNOSIS, False),
    ("Other information", "Reference to the full study protocol or further technical details",
     lambda r: f"run {r['run_id']}; command: {r['provenance']['command']}", False),
    ("Other information", "Availability of software, trained model and data", _available, False),
    ("Other information", "Sources of funding and other support; role of funders", None, False),
)  # fmt: skip
"""Section, short title, what a record says of it, and whether that is all that the item asks for."""


def answers(record: Record) -> list[tuple[int, str, str, str]]:
    """Number, section, title and answer of each item."""
    found = []
    for k, (section, title, answer, whole) in enumerate(ASKED, 1):
        said = answer(record) if answer is not None else ""
        text = TO_WRITE if not said else said if whole else f"{said.rstrip('.')}. {REST}"
        found.append((k, section, title, text))
    return found


def claim(record: Mapping[str, Any]) -> str:
    """The checklist as Markdown."""
    rows = answers(record)
    n = sum(text == TO_WRITE for *_, text in rows)
    return f"""# CLAIM 2024: {markdown_text(record["name"])}

{markdown_text(NOT_FOR_DIAGNOSIS)}

The 44 items of CLAIM 2024 ({markdown_cell(SOURCE)}), with what the record of a run says of each.
Of {n} items it says nothing. The run is {record["run_id"]}.

{facts.table(("item", "section", "title", "what the record says"), rows)}
"""
