"""What a record says in two places that does not go together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from benchmarks.records.counted import miscounted
from benchmarks.records.decision_shape import of_decision
from benchmarks.records.kinds import ROUNDING, in_order, maybe, number
from benchmarks.request.remedies import REMEDIES
from data.corruptions import STRENGTHS
from generators.registry import BUILT_IN, CONTROLS

real_or_null = maybe(number())


def contradictions(record: Mapping[str, Any]) -> Iterator[str]:
    """A line for each; of a finished record that has its shape.

    Raises
    ------
    Wrong
        For a number by class that is none.
    """
    spec, classes = record["spec"], record["classes"]
    control = spec["generator"] in CONTROLS or spec["generator"] in REMEDIES
    if (control or spec["generator"] in BUILT_IN) and record["is_control"] is not control:
        yield f"says that {spec['generator']} is {'no' if control else 'a'} control"
    for what in ("steps", "images_seen", "stopped"):
        if (n := len(record["training"][what])) != spec["seeds"]:
            yield f"has training.{what} of {n} classifiers, and {spec['seeds']} seeds"
    if len(set(classes)) != len(classes):
        yield "names a class twice"
    for kind in ("real", "synthetic"):
        if lost := [name for name in classes if name not in record["counts"][kind]]:
            yield f"has no count of {kind} images of {lost[0]}"
            return
    yield from miscounted(record)
    auroc = record["utility"]["auroc"]
    if auroc["value"] is not None and None in auroc["extra"].get("per_seed", [None]):
        yield "has an AUROC without that of each seed"
    for attribute, found in record.get("subgroups", {}).items():
        named = {found["gap"]["best"], found["gap"]["worst"]} - {None, ""}
        if not named <= found["groups"].keys():
            yield f"has a gap between groups of {attribute} that it does not hold"
    yield from _of_elsewhere(record)
    yield from _of_worth(record.get("worth"))
    yield from _of_privacy(record.get("privacy") or {})
    yield from _of_bins(record.get("calibration"))
    yield from of_decision(record.get("decision"), spec)
    for rows in record.get("fidelity_by_class", {}).values():
        for name, row in rows.items():
            for metric in row.keys() - {"n", "n_real", "floor_n", "note"}:
                if not metric.endswith("_floor") and f"{metric}_floor" not in row:
                    yield f"has {metric} of class {name} without its floor"
                real_or_null(row[metric])


def _of_elsewhere(record: Mapping[str, Any]) -> Iterator[str]:
    """The parts on other test sets are those that the spec asks for: their names are names of files too."""
    asked = [told["name"] for told in record["spec"].get("test_on", ())]
    if sorted(asked) != sorted(record.get("elsewhere", {})):
        yield f"is tested on {', '.join(asked) or 'no other set'} by its spec, and has numbers of other sets"
    robustness = record.get("robustness")
    if bool(record["spec"].get("robustness")) is not bool(robustness):
        yield "has numbers of corrupted images that its spec does not ask for, or lacks those that it asks for"
    for name, rows in (robustness or {"auroc": {}})["auroc"].items():
        if len(rows) != len(STRENGTHS):
            yield f"has {len(rows)} strengths of {name}, not {len(STRENGTHS)}"


def _of_worth(worth: Mapping[str, Any] | None) -> Iterator[str]:
    if worth is None:
        return
    if worth["worth"] is not None and worth["n_equivalent"] is None:
        yield "has a worth without the number of real images that do the same"
    for share, n in (("worth", "n_equivalent"), ("low", "n_low"), ("high", "n_high")):
        if None not in (worth[share], worth.get(n)) and _differs(worth[share], worth[n], worth):
            yield f"has a {share} of {worth[share]:.6g} of its worth, and {n} says another"
    if any(not in_order(point["low"], point["auroc"], point["high"]) for point in worth["curve"]):
        yield "has a learning curve with a point outside its interval"


def _differs(share: float, n: float, worth: Mapping[str, Any]) -> bool:
    """Whether a worth is not what a number of real images comes to."""
    said, most = share * worth["n_synthetic"], max(1.0, abs(n), worth["n_synthetic"])
    return bool(abs(said - (n - worth["n_real"])) > ROUNDING * most)


def _of_privacy(privacy: Mapping[str, Any]) -> Iterator[str]:
    """What the line on privacy is made of: copy rate and membership in every space, exact copies, what is left."""
    spaces = [v["features"] for v in privacy.values() if v["metric"] == "copy_rate"]
    if not spaces:
        return
    there = {(v["metric"], v["features"]) for v in privacy.values()}
    for space, metric in product(spaces, ("membership_auroc", "membership_auroc_exposed")):
        if (metric, space) not in there:
            yield f"has a copy rate in {space} and no {metric} there"
    if (privacy.get("exact_copy_rate") or {"value": None})["value"] is None:
        yield "has a copy rate and no rate of exact copies"
    left = privacy.get("n_without_copies")
    if left is None or (left["value"] is not None and not {"run_id", "option"} <= left["extra"].keys()):
        yield "has a copy rate and does not say what is left without copies"


def _of_bins(calibration: Mapping[str, Any] | None) -> Iterator[str]:
    for stage in ("as_given", "calibrated"):
        bins = (calibration or {}).get(stage)
        if bins is None:
            continue
        if calibration is not None and calibration["temperature"] is None:
            yield "has bins of calibrated probabilities without a temperature"
        if not sum(bins["n"]) or not len(bins["n"]) == len(bins["confidence"]) == len(bins["correct"]):
            yield f"has bins {stage} that do not go together"
