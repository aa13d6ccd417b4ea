"""The shape of a record: which parts it has, and what each may hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.records.contradictions import contradictions
from benchmarks.records.decision_shape import DECISION
from benchmarks.records.described_shape import DATASET, PRETRAINED, ended_after_it_started, moment
from benchmarks.records.kinds import (
    ROUNDING,
    Check,
    Wrong,
    anything,
    both,
    by_name,
    digest_of,
    fields,
    flag,
    in_order,
    mapping,
    maybe,
    number,
    one_of,
    said,
    several,
    text,
    whole,
)
from benchmarks.records.means import around_its_number, mean_of_its_seeds
from benchmarks.request.elsewhere import NAME
from benchmarks.request.spec import name_of
from synthworth.printable import one_line
from synthworth.work import is_copying

FINISHED = "ok"
UNFINISHED = ("failed", "skipped")
MOST_SEEDS = 100_000
MOST_RESAMPLES = 20_000
"""More than these no experiment has; a record that says so would fill the memory of whoever reads its predictions."""

share, gain, end = number(0, 1), number(-1, 1), number(-1e6, 1e6)
count, seeds, real = whole(), whole(1, MOST_SEEDS), number()
note, end_or_null, real_or_null = maybe(text), maybe(end), maybe(real)


def _both_ends_or_none(value: Mapping[str, Any]) -> None:
    low, high = value["low"], value["high"]
    if (low is None) != (high is None):
        raise Wrong("has one end of an interval without the other")
    if low is not None and not in_order(low, high):
        raise Wrong(f"has an interval from {low:g} down to {high:g}")


def _null_has_a_note(value: Mapping[str, Any]) -> None:
    if value["value"] is None and not value["note"]:
        raise Wrong("is null without a note that says why")


def _kept_or_a_note(value: Mapping[str, Any]) -> None:
    if value["kept"] is None and not value["note"]:
        raise Wrong("is null without a note that says why")
    around_its_number(value, "kept")


def _names_a_file(name: str) -> None:
    if not NAME.fullmatch(name):
        raise Wrong(f"is {name!r:.60}, and no name of a test set")


def _floor_has_its_n(value: Mapping[str, Any]) -> None:
    extra = value["extra"]
    if extra.get("floor") is not None and extra.get("floor_n") is None:
        raise Wrong("has a floor without its floor_n")


def _holds_its_difference(row: Mapping[str, Any]) -> None:
    around_its_number(row, "difference")


def _holds_its_auroc(group: Mapping[str, Any]) -> None:
    mean_of_its_seeds(group, "auroc")
    around_its_number(group, "auroc")


def _right_of_all(reader: Mapping[str, Any]) -> None:
    around_its_number(reader, "accuracy")
    if abs(reader["accuracy"] * reader["n"] - reader["n_right"]) > ROUNDING * reader["n"]:
        raise Wrong(f"has an accuracy of {reader['accuracy']:g} with {reader['n_right']} of {reader['n']} right")


EXTRA = fields(
    {},
    {
        "floor": real_or_null, "floor_n": maybe(count), "at_floor_n": real_or_null, "chance": real, "quantile": real,
        "held_on_test": maybe(share), "per_seed": several(real_or_null), "run_id": digest_of, "option": text,
    },
)  # fmt: skip


def value_of(kind: Check) -> Check:
    """A value whose number is of this kind."""
    return both(
        fields(
            {
                "metric": said, "label": note, "extractor": note, "features": note, "alias": note, "value": maybe(kind),
                "low": real_or_null, "high": real_or_null, "n": count, "direction": one_of("higher", "lower"),
                "note": note, "extra": EXTRA,
            }
        ),
        _null_has_a_note, _both_ends_or_none, _floor_has_its_n,
    )  # fmt: skip


VALUES = by_name(value_of(real))
AUROC = value_of(share)
OVER_SEEDS = by_name(both(value_of(real), mean_of_its_seeds, around_its_number))
"""Utility: a mean over the classifier seeds, with an interval around it."""
APART = {"difference": gain, "low": end, "high": end, "p_interval": share, "n_seeds": seeds}
COMPARISON = both(
    fields(
        {
            **APART, "run_id": digest_of, "a": text, "b": text, "p_value": share, "note": note, "n_groups": count,
            "by_seed": several(gain, least=1),
            "interval": fields(
                {"se_seeds": real_or_null, "se_patients": real, "quantile": real}, {"se_interaction": real_or_null}
            ),
        },
        {
            "detectable": real_or_null, "unequal": maybe(said), "support": maybe(said),
            "collapsed": maybe(several(said)), "metrics": by_name(mapping), "verdict": text,
            "delong": maybe(fields({}, {"p_value": maybe(share)})),
            "equivalence": maybe(fields({"sentence": text}, {"margin": maybe(share), "equivalent": flag})),
        },
    ),
    _holds_its_difference,
)  # fmt: skip
POSITIVE = both(
    fields(
        {**APART, "name": text, "run_id": digest_of, "shown": maybe(flag)}, {"detectable": real_or_null}
    ),
    _holds_its_difference,
)  # fmt: skip
POINT = fields({"n": whole(1), "auroc": share, "low": end, "high": end, "fitted": end})
APART = fields({"difference": real_or_null, "low": real_or_null, "high": real_or_null, "note": note})
NUMBER = both(
    fields(
        {"value": maybe(share), "low": end_or_null, "high": end_or_null, "note": note},
        {"per_seed": several(real)},
    ),
    _both_ends_or_none, mean_of_its_seeds, around_its_number,
)  # fmt: skip
KNOWN = fields({"n_without": count, "n_images": count})
ELSEWHERE = fields(
    {
        "dataset": text, "counts": by_name(count), "n_patients": count, "left_out": by_name(count),
        "shared": by_name(count), "patients_known": KNOWN, "utility": both(fields({"auroc": AUROC}), OVER_SEEDS),
        "comparisons": by_name(both(COMPARISON, fields({"apart": APART}))), "not_compared": by_name(text),
        "positive_control": maybe(POSITIVE), "apart": APART, "verdict": text,
    }
)  # fmt: skip
ROBUSTNESS = fields(
    {
        "version": count,
        "auroc": by_name(several(NUMBER, least=1)),
        "auroc_corrupted": NUMBER,
        "lost": APART,
        "comparisons": by_name(COMPARISON),
        "not_compared": by_name(text),
        "verdict": text,
    }
)
WORTH = fields(
    {
        "worth": real_or_null, "low": real_or_null, "high": real_or_null, "where": said, "note": note, "n_real": count,
        "n_synthetic": count, "n_equivalent": real_or_null, "curve": several(POINT),
    },
    {"n_low": real_or_null, "n_high": real_or_null, "advice": note},
)  # fmt: skip
KEPT = both(
    fields(
        {
            "kept": real_or_null, "low": real_or_null, "high": real_or_null, "gain": gain, "full": gain,
            "full_low": end, "full_high": end, "note": text, "of": text, "of_run_id": digest_of,
        }
    ),
    _kept_or_a_note,
)  # fmt: skip
SHARING = fields(
    {
        "donor": said, "n_recipient": count, "n_recipient_patients": count, "n_donor": count,
        "n_donor_patients": count, "kept": maybe(KEPT),
    }
)  # fmt: skip
TRAINING = fields(
    {
        "steps": several(count, least=1), "images_seen": several(count, least=1), "stopped": several(text, least=1),
        "learning_rate": anything,
    }
)  # fmt: skip
FIT_COST = fields(
    {"images_seen": count, "notes": by_name(text)},
    dict.fromkeys(
        ("gflop_per_image", "images_per_second", "peak_tflops", "share_of_peak", "kwh"), maybe(number(0))
    ),
)  # fmt: skip
LOOK = both(fields({"step": count, "rate": share, "low": share, "high": share}), _both_ends_or_none)
LOOKS = fields(
    {
        "bound": share, "chance": share, "n_images": count, "n_steps": count, "looks": several(LOOK, least=1),
        "kept": count, "stopped": maybe(count),
    }
)  # fmt: skip


def _facts(facts: Any) -> None:
    """Facts of a generator's fit: whatever it tells, but for what looks for copies saw."""
    mapping(facts)
    looks = {name: found for name, found in facts.items() if is_copying(name)}
    by_name(LOOKS)(looks)
    for name, found in looks.items():
        steps = {look["step"] for look in found["looks"]}
        if not {found["kept"], found["stopped"]} - {None} <= steps:
            raise Wrong(f"has in {name} a step at which nobody looked")


COST = fields(
    {},
    {
        **dict.fromkeys(("classifier_seconds", "fit_seconds", "draw_seconds_per_1000"), maybe(number(0))),
        "classifiers": several(maybe(FIT_COST)), "fit": fields({}, {"cost": FIT_COST, "facts": _facts}),
    },
)  # fmt: skip
"""Records of before there were costs in FLOPs have the seconds alone."""
WIDER = both(fields({"difference": end, "low": end, "high": end}), _holds_its_difference)
GROUP = both(
    fields(
        {
            "auroc": maybe(share), "low": end_or_null, "high": end_or_null, "n_images": count,
            "n_patients": maybe(count), "note": note, "against_none": maybe(WIDER),
        },
        {"per_seed": maybe(several(real))},
    ),
    _both_ends_or_none, _holds_its_auroc,
)  # fmt: skip
GAP = both(
    fields(
        {
            "value": real_or_null, "low": end_or_null, "high": end_or_null, "best": note, "worst": note, "note": note,
            "against_none": maybe(both(WIDER, fields({"best": text, "worst": text}))),
        }
    ),
    _both_ends_or_none, around_its_number,
)  # fmt: skip
SUBGROUPS = by_name(fields({"groups": by_name(GROUP), "gap": GAP, "note": note}))
BINS = fields({"n": several(count, least=1), "confidence": several(maybe(share)), "correct": several(maybe(share))})
CALIBRATION = fields(
    {"of": text, "temperature": maybe(several(real, least=1)), "as_given": maybe(BINS), "calibrated": maybe(BINS),
     "note": note}
)  # fmt: skip
REMARK = fields({"film": whole(1), "is": one_of("real", "synthetic"), "remark": text})
READER = both(
    fields(
        {
            "sheet": said, "reader": text, "n_films": whole(1), "n": whole(1), "n_right": count, "accuracy": share,
            "low": share, "high": share, "p_value": share,
            "called_synthetic": fields({"real": maybe(share), "synthetic": maybe(share)}),
            "by_class": by_name(fields({"n": count, "n_right": count, "remarks": several(REMARK)})),
        }
    ),
    _both_ends_or_none, _right_of_all,
)  # fmt: skip
SPLITS = ("train", "val", "test")
AUDIT = fields(
    {
        "n_images": fields(dict.fromkeys(SPLITS, count)), "n_patients": fields(dict.fromkeys(SPLITS, maybe(count))),
        "warnings": several(text),
    },
    {"patients_known": maybe(KNOWN), "counts": by_name(by_name(count))},
)  # fmt: skip
PROVENANCE = both(
    fields(
        {"command": text, "when": moment},
        {"gpu": note, "device": note, "processor": note, "n_cores": maybe(count), "started": moment, "ended": moment},
    ),
    ended_after_it_started,
)
MACHINE = fields({"gpu": note, "device": text, "processor": note, "n_cores": maybe(count)})
BUDGET = fields({"steps": count}, {"seconds": real_or_null})
TEST_ON = fields(
    {
        "name": both(said, _names_a_file), "dataset": text, "data": mapping, "version": count, "fingerprint": text,
        "classes": by_name(maybe(text)),
    }
)  # fmt: skip
SPEC = fields(
    {
        "dataset": text, "data": mapping, "data_version": count, "fingerprint": text, "generator": text, "gen": mapping,
        "generator_version": count, "fit": maybe(BUDGET), "classifier": text, "clf": mapping,
        "classifier_version": count, "train": fields({"steps": count, "seconds": real_or_null}), "ratio": number(0),
        "mode": text, "real_fraction": share, "patients_per_class": count, "portion": number(0),
        "filters": several(text), "seed": whole(-(10**18), 10**18), "generator_seed": whole(-(10**18), 10**18),
        "seeds": seeds, "shard": count, "precision": text, "extractors": several(text), "extractor_precision": text,
        "controls": several(text), "curve": several(real), "margin": share, "n_bootstrap": whole(1, MOST_RESAMPLES),
        "analysis": count,
    },
    {
        "generator_precision": text, "donor": text, "learn_from": one_of("", "donor"),
        "tuned": maybe(fields({"study": text, "trials": whole(1), "space": text}, {"by": one_of("fidelity")})),
        "test_on": several(TEST_ON), "robustness": flag,
        "prevalence": share,
    },
)  # fmt: skip
SHARED = {"name": text, "run_id": digest_of, "spec": SPEC}
RECORD_SHAPE = fields(
    {
        **SHARED,
        "classes": several(text, least=1),
        "is_control": flag,
        "counts": fields({"real": by_name(count), "synthetic": by_name(count)}),
        "utility": both(fields({"auroc": AUROC}), OVER_SEEDS),
        "validation": both(fields({"auroc": AUROC}), OVER_SEEDS),
        "fidelity": VALUES,
        "comparisons": by_name(COMPARISON),
        "verdict": text,
        "training": TRAINING,
        "cost": COST,
        "provenance": both(PROVENANCE, MACHINE),
        "audit": AUDIT,
    },
    {
        "added": note,
        "privacy": VALUES,
        "fidelity_by_class": by_name(by_name(fields({"n": count, "n_real": count, "floor_n": count, "note": note}))),
        "unavailable": by_name(text),
        "not_compared": by_name(text),
        "positive_control": maybe(POSITIVE),
        "collapsed": several(count),
        "worth": maybe(WORTH),
        "sharing": SHARING,
        "calibration": CALIBRATION,
        "decision": DECISION,
        "subgroups": SUBGROUPS,
        "readers": several(READER),
        "dataset": DATASET,
        "pretrained": PRETRAINED,
        "elsewhere": by_name(ELSEWHERE),
        "robustness": ROBUSTNESS,
        "reanalysed": maybe(fields({"from_analysis": count, "kept": several(text)})),
    },
)
FAILURE_SHAPE = fields(SHARED, {"error": note, "provenance": PROVENANCE})
OLDER_VALUES = by_name(fields({"extra": mapping}))
OLDER_SHAPE = fields({}, dict.fromkeys(("utility", "validation", "fidelity", "privacy"), OLDER_VALUES))
"""What of a record of schema 3 has to be there before its names can be taken apart."""


def check_shape(record: Any) -> None:
    """Refuse a record in the present schema that a reader could trip over.

    Raises
    ------
    Wrong
        Naming the part, what it holds and what it has to hold.
    """
    fields({"status": one_of(FINISHED, *UNFINISHED)})(record)
    (RECORD_SHAPE if record["status"] == FINISHED else FAILURE_SHAPE)(record)


def check_agreement(record: Mapping[str, Any]) -> None:
    """Refuse a record, of this shape, that says in two places what does not go together.

    Raises
    ------
    Wrong
        Naming the two.
    """
    if record["name"] != (name := one_line(name_of(record["spec"]))):
        raise Wrong(f"is called {record['name']!r:.80}, and is the arm {name!r:.80} by its spec")
    for problem in contradictions(record) if record["status"] == FINISHED else ():
        raise Wrong(problem)


def check_spec(spec: Any) -> None:
    """Refuse what could not be read again as the spec of a record.

    Raises
    ------
    Wrong
        As `check_shape`.
    """
    SPEC(spec)


def reason_of(record: Mapping[str, Any]) -> str:
    """Why a run did not finish."""
    return str(record.get("error") or f"status {record['status']}, no reason given")
