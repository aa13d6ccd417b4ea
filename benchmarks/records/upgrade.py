"""A record of an older schema in the present one: the only place that takes names of old records apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SCHEMA = 4
"""The present schema. 4: a value says in fields what it is (`metric`, `label`, `extractor`, `features`, `alias`)."""
READ = (3, SCHEMA)
"""Schemas that are read."""
INCEPTION = "inception"
ALIASES = {"fid": "fd", "kid": "kd", "fid_infinity": "fd_infinity"}
"""Names that schema 3 gave to distances of Inception's features in fp32, and what was measured."""


def upgrade(record: Any) -> Any:
    """A record of schema 3 in the present schema; anything else as it is, whatever it is."""
    if not isinstance(record, Mapping) or record.get("schema") != 3:
        return record
    parts = {
        part: {name: _placed(part, name, value) for name, value in record[part].items()}
        for part in ("utility", "validation", "fidelity", "privacy")
        if part in record
    }
    return {**record, **parts, "schema": SCHEMA}


def _placed(part: str, name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """A value of schema 3 with the fields that were packed into its name."""
    fields: dict[str, Any] = {"metric": name, "label": None, "extractor": None, "features": None, "alias": None}
    if part in ("utility", "validation"):
        fields |= _of_class(name)
    elif part == "privacy" and "/" in name:
        metric, _, space = name.partition("/")
        fields |= {"metric": metric, "features": space, "extractor": None if space == "pixels" else _network(space)}
    elif part == "fidelity" and "@" in name:
        fields |= _on_features(name, value)
    extra = {key: kept for key, kept in value["extra"].items() if part != "fidelity" or key != "extractor"}
    return {**fields, **value, "extra": extra}


def _of_class(name: str) -> dict[str, Any]:
    """`auroc[effusion]`, or `auroc`."""
    metric, bracket, rest = name.partition("[")
    return {"metric": metric, "label": rest.removesuffix("]") if bracket else None}


def _on_features(name: str, value: Mapping[str, Any]) -> dict[str, Any]:
    """`fd@400/efficientnet_lite0@128-fp32`; without an id, Inception's in fp32: `fid@400`, `density@400`.

    An extractor that was not there has a name and nothing after its `@`.
    """
    metric, _, rest = name.partition("@")
    where = rest.partition("/")[2]
    if not where:
        alias = metric if metric in ALIASES else None
        fields = {"extractor": INCEPTION, "features": value["extra"].get("extractor"), "alias": alias}
        return {"metric": ALIASES.get(metric, metric), **fields}
    return {"metric": metric, "extractor": _network(where), "features": None if where.endswith("@") else where}


def _network(features: str) -> str:
    """Name of the extractor in the id of its features."""
    return features.partition("@")[0]
