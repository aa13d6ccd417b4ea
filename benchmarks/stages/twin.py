"""A fit from another that differs in options of drawing alone: guidance and sampling steps train nothing anew."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.request.spec import RunSpec
from benchmarks.stages.bench import Bench
from generators.registry import generators
from synthworth.artifacts import read_json, write_json
from synthworth.errors import UserError
from synthworth.keys import digest_of_plain, drawing_options, plain
from synthworth.store import Store

REPORT, HISTORY = "fit.json", "history.csv"
TRAINED_AS = "trained_as"
"""In the report of a fit that was made from another: the key of that one."""


def training_key(spec: RunSpec) -> str:
    """Digest of what a generator learned: of its fit without the options of drawing."""
    return digest_of_plain(_trained(plain(spec.fit_identity()), _drawing(spec)))


def make_from_twin(bench: Bench, spec: RunSpec, out: Path) -> bool:
    """Save the fit that is asked for, from a stored one that differs in options of drawing alone; False without one."""
    names = _drawing(spec)
    twin = _find(bench.store, spec, names) if names else None
    if twin is None:
        return False
    cls, asked = generators.get(spec.generator), bench.configs[spec.generator]
    getattr(cls(asked), "check_drawing", lambda: None)()  # what its own `fit` would refuse
    model: Any = cls.load(twin, device=bench.device)
    model.config = dataclasses.replace(model.config, **{name: getattr(asked, name) for name in names})
    model.save(out)
    report = read_json(twin / REPORT)
    write_json(out / REPORT, {TRAINED_AS: twin.name, **report})
    shutil.copyfile(twin / HISTORY, out / HISTORY)
    return True


def seconds_of(store: Store, key: str) -> float:
    """Wall seconds of the training behind a fit."""
    trained = str(read_json(store.path("fit", key) / REPORT).get(TRAINED_AS, key))
    return float(store.manifest("fit", trained if store.has("fit", trained) else key)["seconds"])


def _find(store: Store, spec: RunSpec, names: frozenset[str]) -> Path | None:
    wanted = _trained(plain(spec.fit_identity()), names)
    root = store.path("fit", "")
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        try:
            identity = store.manifest("fit", folder.name)["identity"]
        except UserError:  # damaged, or on its way: whoever needs it says so
            continue
        if _trained(identity, names) == wanted and store.has("fit", folder.name, deep=True):
            return folder
    return None


def _trained(identity: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    config = identity.get("config", {})
    return {**identity, "config": {name: value for name, value in config.items() if name not in names}}


def _drawing(spec: RunSpec) -> frozenset[str]:
    """Options of drawing that training does not read; none where training looks at what is drawn."""
    if spec.copy_bound:
        return frozenset()
    config = generators.get(spec.generator).Config
    return drawing_options(config) if dataclasses.is_dataclass(config) and spec.fit is not None else frozenset()
