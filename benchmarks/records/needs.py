"""Which stored artifacts the runs of records were made of, by the identities that stand in both."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from benchmarks.request.remedies import changed_options
from benchmarks.request.spec import RunSpec
from synthworth.errors import UserError
from synthworth.keys import digest, plain
from synthworth.work import Budget

OF_A_TRAINING = ("data", "classifier", "config", "version", "budget", "precision", "portion")
"""What of a classifier's identity stands in the spec of its run; the rest follows from the images that were drawn."""


@dataclass(frozen=True)
class Stored:
    """An artifact as its manifest says it."""

    kind: str
    key: str
    identity: Mapping[str, Any]
    trained_as: str = ""
    """Of a fit that was made from another: the key of that one."""


def spec_of(record: Mapping[str, Any]) -> RunSpec:
    """The spec of a record as an object.

    Raises
    ------
    UserError
        Where it is not of a form that this version makes.
    """
    told, known = dict(record["spec"]), {field.name for field in fields(RunSpec)}
    try:
        budgets = {name: Budget(**told[name]) if told.get(name) else None for name in ("fit", "train")}
        rest = {k: tuple(v) if isinstance(v, list) else v for k, v in told.items() if k in known}
        return RunSpec(**{**rest, **budgets})
    except (KeyError, TypeError) as error:
        raise UserError(f"record {str(record.get('run_id'))[:12]}: its spec cannot be read: {error}") from error


def needed(records: Iterable[Mapping[str, Any]], stored: Iterable[Stored]) -> set[tuple[str, str]]:
    """Kind and key of every stored artifact that the records' runs were made of.

    More than that is kept where an identity does not tell: all shards of a needed fit, and features of real images.
    """
    there = list(stored)
    specs = [spec_of(record) for record in records]
    fits = {digest(of.fit_identity()) for spec in specs for of in _with_root(spec) if not spec.is_real_only}
    fits |= {one.trained_as for one in there if one.kind == "fit" and one.key in fits and one.trained_as}
    trainings = [_training(spec) for spec in specs]
    data = [(spec.dataset, plain(spec.data), spec.data_version) for spec in specs]
    data += [(told["dataset"], plain(told["data"]), told["version"]) for spec in specs for told in spec.test_on]
    pools = {one.key: one.identity.get("fit") in fits for one in there if one.kind == "pool"}
    classify = {one.key: _is_of(one.identity, trainings, pools) for one in there if one.kind == "classify"}
    of_pool = {
        kept: {digest(one.identity["pool"]) for one in there
               if one.kind == "classify" and classify[one.key] is kept and one.identity.get("pool")}
        for kept in (True, False)
    }  # fmt: skip

    def is_needed(one: Stored) -> bool:
        if one.kind == "fit":
            return one.key in fits
        if one.kind in ("pool", "classify"):
            return {**pools, **classify}[one.key]
        if one.kind == "elsewhere":
            return classify.get(str(one.identity.get("classify")), False)
        if one.kind == "data":
            asked = one.identity
            return (asked.get("dataset"), asked.get("config"), asked.get("version")) in data
        if one.kind == "features":
            images = one.identity.get("images")
            return images in of_pool[True] or images not in of_pool[False]
        if one.kind == "filter":
            return pools.get(str(one.identity.get("shard")), True)
        return True

    return {(one.kind, one.key) for one in there if is_needed(one)}


def _with_root(spec: RunSpec) -> Iterator[RunSpec]:
    yield spec
    if (root := spec.fitted_on()) is not None:
        yield root


def _training(spec: RunSpec) -> dict[str, Any]:
    """What of the identity of its classifiers a spec tells."""
    found: dict[str, Any] = plain({
        "data": spec.data_identity(), "classifier": spec.classifier,
        "config": changed_options(spec.generator, spec.clf, spec.found), "version": spec.classifier_version,
        "budget": spec.classifier_budget, "precision": spec.precision, "portion": spec.portion,
    })  # fmt: skip
    return {**found, "draws": not spec.is_real_only}


def _is_of(identity: Mapping[str, Any], trainings: Iterable[Mapping[str, Any]], pools: Mapping[str, bool]) -> bool:
    pool = identity.get("pool")
    shards = [key for keys in (pool or {}).get("shards", {}).values() for key in keys]
    own = {name: identity.get(name) for name in OF_A_TRAINING} | {"draws": bool(shards)}
    return own in trainings and all(pools.get(key, True) for key in shards)
