"""A model card for the Hugging Face hub: YAML that its pages read, and what a record says of the classifiers.

The front matter has the form of the hub's model cards (`model-index` with one result a metric). The sections are those
of Mitchell et al., Model Cards for Model Reporting, 2019, as far as a record fills them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.export import facts
from benchmarks.export.facts import NOT_FOR_DIAGNOSIS, TO_WRITE, Record
from benchmarks.request.called import called
from synthworth.escape import markdown_text

METRICS = (
    "auroc", "auprc", "balanced_accuracy", "f1", "precision", "recall", "specificity", "brier", "ece", "net_benefit",
)  # fmt: skip
"""Those of the front matter, of no single class; all of them are in the table below it."""


def front_matter(record: Record, authors: Sequence[str]) -> dict[str, Any]:
    """What the hub reads: plain values for YAML. A metric that is null is left out: the hub takes numbers alone."""
    spec = record["spec"]
    dataset = {"type": spec["dataset"], "name": called(spec), "split": "test"}
    if spec["fingerprint"]:
        dataset["revision"] = spec["fingerprint"]
    metrics = [
        {"type": v["metric"], "name": facts.named(v) + _interval(v), "value": v["value"]}
        for v in facts.of_metrics(record, "utility", *METRICS)
        if v["value"] is not None
    ]
    result = {"task": {"type": "image-classification"}, "dataset": dataset, "metrics": metrics}
    return {
        "license": "other",
        "library_name": "timm",
        "pipeline_tag": "image-classification",
        "tags": ["medical-imaging", "synthetic-data", "synthworth", "not-for-diagnosis"],
        **({"authors": list(authors)} if authors else {}),
        "model-index": [{"name": record["name"], "results": [result]}],
    }


def _interval(value: Record) -> str:
    return "" if value["low"] is None else f", 95 % interval {value['low']:.4f} to {value['high']:.4f}"


def model_card(record: Mapping[str, Any], *, authors: Sequence[str] = ()) -> str:
    """The card as Markdown with YAML in front."""
    import yaml

    front = yaml.safe_dump(front_matter(record, authors), sort_keys=False, allow_unicode=False, width=10_000)
    values = [[facts.named(v), facts.number(v), v["n"], v["note"] or ""] for v in record["utility"].values()]
    rows = list(facts.attribute_rows(record))
    splits = list(record["audit"]["n_images"])
    held = [[name, value, *(by_split.get(split, 0) for split in splits)] for name, value, by_split in rows]
    return f"""---
{front}---

# {markdown_text(record["name"])}

**{NOT_FOR_DIAGNOSIS}**

## Model description

{facts.bullets([facts.model(record), facts.training(record), f"generator: {facts.generator(record)}"])}

{facts.bullets([f"pre-trained: {line}" for line in facts.pretrained(record)])}

## Intended use

To measure what synthetic images add to the training of a classifier. Any other use: {TO_WRITE}.

## Data

{facts.bullets([facts.about_dataset(record), facts.sizes(record), facts.patients_are_known(record)])}

{facts.bullets([f"left out: {facts.left_out(record) or TO_WRITE}"])}

{facts.table(("attribute", "value", *(f"{split}, images" for split in splits)), held)}

## What the added images bought

{facts.bullets([record["verdict"], *facts.comparisons(record), *filter(None, [facts.detectable(record)])])}

## Metrics

On the test split, mean over seeds, with 95 % intervals.

{facts.table(("metric", "value", "images", "note"), values)}

## Copies of patients' images among those that were added

{facts.bullets(facts.copies(record) or ["not measured"])}

## Limits

{facts.bullets([*facts.limits(record), "who was measured, and where, bounds what this says of anybody else"])}

## Bias, risks and ethics

This section is {TO_WRITE}.

## How it was made

{facts.bullets([facts.software(record), f"run {record['run_id']}", f"command: {record['provenance']['command']}"])}
"""
