"""Whether the images that a record counts are as many as its spec asks for, and its numbers stand on its splits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.request.spec import is_real_only
from data.mixing import Demand, demand_of
from synthworth.errors import UserError

OF_ONE_CLASS = "balanced_accuracy_argmax"
"""What is measured where each image has one class, and is null or not there where findings co-occur."""
WHOLE_TEST = "seeds and patients"
"""The interval of metrics that stand on every image of a test set; a plugin's may stand on fewer."""


def miscounted(record: Mapping[str, Any]) -> Iterator[str]:
    """A line for each contradiction; of a finished record that has its shape, with a count of every class."""
    images = record["audit"]["n_images"]
    yield from _of_values(record["utility"], record["spec"]["seeds"], images["test"], "test")
    yield from _of_values(record["validation"], record["spec"]["seeds"], images["val"], "val")
    for name, part in record.get("elsewhere", {}).items():
        yield from _of_values(part["utility"], record["spec"]["seeds"], part["patients_known"]["n_images"], name)
    for attribute, part in record.get("subgroups", {}).items():
        if most := [name for name, group in part["groups"].items() if group["n_images"] > images["test"]]:
            yield f"has more images of {attribute} {most[0]} than test images"
    sharing, worth = record.get("sharing"), record.get("worth")
    if sharing is not None and sharing["n_recipient"] != images["train"]:
        yield f"has {sharing['n_recipient']} images of the recipient, and {images['train']} to train on"
    yield from _of_audit(record)
    try:
        asked = _demand(record)
    except UserError as error:
        yield f"asks for what no run could make: {error}"
        return
    yield from _of_real(record, asked)
    yield from _of_added(record, asked)
    if worth is not None and (worth["n_real"], worth["n_synthetic"]) != (asked.keep_real, asked.total):
        yield (
            f"has a worth of {worth['n_synthetic']} images beside {worth['n_real']} real ones, and adds {asked.total} "
            f"to {asked.keep_real}"
        )


def _of_values(values: Mapping[str, Any], seeds: int, n: int, split: str) -> Iterator[str]:
    for name, value in values.items():
        extra = value["extra"]
        per_seed = extra.get("per_seed")
        if per_seed is not None and len(per_seed) != seeds:
            yield f"has {name} of {len(per_seed)} seeds, and {seeds} seeds"
        if value["n"] != n and (name == "auroc" or extra.get("interval") == WHOLE_TEST):
            yield f"has {name} of {value['n']} images, and {n} images in {split}"


def _of_audit(record: Mapping[str, Any]) -> Iterator[str]:
    """Whether images by class are images of the split, as far as they are counted."""
    images, one_class = record["audit"]["n_images"], is_of_one_class(record)
    for split, by_class in record["audit"].get("counts", {}).items():
        if split not in images:
            continue  # a donor's
        n = images[split]
        if by_class.keys() != set(record["classes"]):
            yield f"counts other classes in {split} than it has"
        elif max(by_class.values()) > n or (one_class and sum(by_class.values()) != n):
            yield f"counts {sum(by_class.values())} images by class in {split}, and {n} images"


def is_of_one_class(record: Mapping[str, Any]) -> bool:
    """Whether each image is known to have one class: what findings co-occur in cannot be counted up."""
    found = record["utility"].get(OF_ONE_CLASS)
    return found is not None and found["value"] is not None


def _train(record: Mapping[str, Any]) -> Mapping[str, int] | None:
    """Real training images by class, in the order of the classes; None where the record does not say."""
    classes, counts = record["classes"], record["audit"].get("counts", {}).get("train")
    if counts is None and record["spec"]["mode"] in ("add", "balance", "pretrain") and record["spec"]["portion"] == 1:
        counts = record["counts"]["real"]  # they all stay
    if counts is None or not counts.keys() >= set(classes):
        return None
    return {name: counts[name] for name in classes}


def _demand(record: Mapping[str, Any]) -> Demand:
    """What the arm asks for, by the function that a run asks with.

    Raises
    ------
    UserError
        For a ratio or a mode that means nothing.
    """
    spec, n = record["spec"], record["audit"]["n_images"]["train"]
    if is_real_only(spec):
        return Demand({}, n)
    real = _train(record)
    known = real is not None and is_of_one_class(record)
    return demand_of(
        real or dict.fromkeys(record["classes"], 0), n, multilabel=not known, ratio=spec["ratio"], mode=spec["mode"]
    )


def _of_real(record: Mapping[str, Any], asked: Demand) -> Iterator[str]:
    """Every real image stays, or as many as the mode keeps; a point of the learning curve has fewer, or more."""
    counts, portion, n = record["counts"]["real"], record["spec"]["portion"], record["audit"]["n_images"]["train"]
    train, sizes = _train(record), [record["counts"]["real"][name] for name in record["classes"]]
    if portion != 1:
        fits = train is None or all((counts[c] - k) * (portion - 1) >= 0 for c, k in train.items())
    elif asked.keep_real == n:
        fits = train is None or all(counts[c] == k for c, k in train.items())
        fits = fits and (sum(sizes) == n if is_of_one_class(record) else max(sizes) <= n)
    else:
        fits = train is None or all(counts[c] <= k for c, k in train.items())
        fits = fits and (sum(sizes) == asked.keep_real if is_of_one_class(record) else max(sizes) <= asked.keep_real)
    if not fits:
        yield (
            f"counts {sum(sizes)} real images, and keeps {asked.keep_real} of {n} by its spec (mode "
            f"{record['spec']['mode']}, ratio {record['spec']['ratio']:g})"
        )


def _of_added(record: Mapping[str, Any], asked: Demand) -> Iterator[str]:
    """As many as the ratio comes to, by class where each image has one; of findings no more than there are images."""
    counts, classes, spec = record["counts"]["synthetic"], record["classes"], record["spec"]
    if set(asked.streams) == set(classes):
        fits = all(counts[name] == asked.streams[name] for name in classes)
    else:
        fits = max(counts[name] for name in classes) <= asked.total
    if not fits:
        yield (
            f"counts {sum(counts[name] for name in classes)} added images, and asks for {asked.total} by its spec "
            f"(mode {spec['mode']}, ratio {spec['ratio']:g})"
        )
