"""From the spec of a record back to the request that it answers."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.request.configs import build_config
from benchmarks.request.elsewhere import FLAG
from benchmarks.request.options import Options, Request, read_choice, read_flags
from benchmarks.request.remedies import REMEDIES
from benchmarks.request.spec import NONE
from benchmarks.request.tuned import Tuned
from classifiers.registry import classifiers
from data.registry import datasets
from generators.registry import generators
from synthworth.errors import UserError
from synthworth.registry import config_of, load_plugin_file

SAME = (
    "dataset", "classifier", "mode", "real_fraction", "patients_per_class", "seed", "seeds", "shard", "extractors",
    "extractor_precision", "margin", "filters", "train",
)  # fmt: skip
"""Fields of a spec that are options by the same name."""


def request_again(
    spec: Mapping[str, Any], flags: Sequence[str], *, prog: str, beside: Sequence[Mapping[str, Any]] = ()
) -> Request:
    """The request whose arms include the one with this spec; every preset is left out of it.

    Parameters
    ----------
    spec : as a record holds it.
    flags : what a spec does not hold: where files lie, the device, workers, folders. They are read as those of
        `benchmarks.run`.
    beside : specs of the arms that it was compared with. A control that shows a part of a generator (`reconstruct`)
        says of which; the spec of another control does not.

    Raises
    ------
    UserError
        For plugins that are not there, options that they do not have any more, and a generator that nobody names.
    """
    for plugin in read_choice(flags, prog=prog).plugin:
        load_plugin_file(plugin)
    _refuse_unknown(spec)
    where, shown = "the record's spec", _shown(spec, beside)
    drawn, gen, controls = _drawn(spec, shown)
    plain = {name: spec[name] for name in SAME} | {"prevalence": spec.get("prevalence", 0)}
    values = {
        **plain, "generator": drawn, "ratio": [spec["ratio"]], "generator_seed": [spec["generator_seed"]],
        "controls": controls, "curve": _curve(spec), "fit": shown["fit"] or {}, "preset": "smoke",
        "donor": spec.get("donor", ""), "learn_from": shown.get("learn_from") or "own",
    }  # fmt: skip
    if spec.get("test_on") and not any(flag.partition("=")[0] == FLAG for flag in flags):
        values["test_on"] = [_as_json(told) for told in spec["test_on"]]
    values["robustness"] = spec.get("robustness", False)
    parts = {"gen": (generators, drawn, gen), "data": (datasets, spec["dataset"], spec["data"]),
             "clf": (classifiers, spec["classifier"], spec["clf"])}  # fmt: skip
    default: dict[str, Any] = {"options": build_config(Options, values, where=where)}
    for part, (registry, name, row) in parts.items():
        default[part] = build_config(config_of(registry.get(name), name), row, where=where, prefix=f"{part}.")
    request = read_flags(flags, default, prog=prog)
    tuned, options = None, spec["gen"] if spec["generator"] in REMEDIES else {}
    if mark := spec.get("tuned"):
        tuned = Tuned(spec["generator"], mark["study"], mark["trials"], mark["space"], options, mark.get("by", ""))
    precisions = spec["precision"], shown.get("generator_precision", "")
    return dataclasses.replace(request, precisions=precisions, tuned=tuned)


def _refuse_unknown(spec: Mapping[str, Any]) -> None:
    """Refuse a spec of plugins that nobody has loaded, and say how they are."""
    named = [(generators, spec["generator"]), (datasets, spec["dataset"]), (classifiers, spec["classifier"])]
    named += [(generators, name) for name in spec["controls"]]
    named += [(generators, spec["gen"][name]) for name in ("of_generator",) if name in spec["gen"]]
    for registry, name in named:
        if name not in registry and name not in (NONE, *REMEDIES):
            raise UserError(
                f"no {registry.kind} {name!r} is known, and the run has one. Load the file that defines it with "
                "--plugin FILE, or install its package"
            )


def _as_json(told: Mapping[str, Any]) -> str:
    """Another dataset of a spec as `--test-on` takes it. Where its files lie is not in a spec: it finds them itself."""
    return json.dumps({name: told[name] for name in ("name", "dataset", "data", "classes")})


def _shown(spec: Mapping[str, Any], beside: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The spec that says what the generator of the request was: mostly the arm's own.

    A control's says nothing of the generator beside which it was run, and need not, unless another of the controls
    shows a part of that one.
    """
    own = generators.get(spec["generator"]) if spec["generator"] not in (NONE, *REMEDIES) else None
    showing = [
        name for name in spec["controls"]
        if name not in (NONE, *REMEDIES) and getattr(generators.get(name), "needs_generator", False)
    ]  # fmt: skip
    if not showing or not getattr(own, "is_control", False) or "of_generator" in spec["gen"]:
        return spec
    for other in beside:
        if other["generator"] in showing:
            return other
    raise UserError(
        f"{spec['generator']} was run beside {showing[0]}, whose record says of which generator; it is not there. "
        "Put it beside this one, as the run that made both left it"
    )


def _drawn(spec: Mapping[str, Any], shown: Mapping[str, Any]) -> tuple[str, Mapping[str, Any], list[str]]:
    """Generator of the request, its options, and the controls."""
    name, controls = spec["generator"], list(spec["controls"])
    if "of_generator" in shown["gen"]:
        return shown["gen"]["of_generator"], shown["gen"]["config"], [*controls, name]
    if name in REMEDIES:
        return NONE, {}, [*controls, name]
    return name, spec["gen"], controls


def _curve(spec: Mapping[str, Any]) -> list[float]:
    """Points of the learning curve, the arm's own among them."""
    return [*spec["curve"], *([spec["portion"]] if spec["portion"] != 1 else [])]
