"""Several classifiers in one call: a request for each of them, which differ in the classifier alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.request.idle import refuse_idle
from benchmarks.request.named import read_config
from benchmarks.request.options import Request, given_flags, named_by_flag, parse, read_choice
from classifiers.registry import classifiers
from synthworth.errors import UserError
from synthworth.registry import config_of, load_plugin_file

FLAG = "--classifier"


def parse_each(args: Sequence[str], *, prog: str) -> list[Request]:
    """Read flags into a request for each classifier that they name, or that their file lists as `classifier: [a, b]`.

    A request has one classifier, whoever asked for how many: its arms, keys and records are those of a call that names
    that one alone.

    Returns
    -------
    In the order in which they are named; one where one is named, or none.

    Raises
    ------
    UserError
        As `benchmarks.request.options.parse` and `refuse_idle`, for whichever it is; for a classifier that is named
        twice, under another name too, and for an option of `--clf` that one of several has not.
    """
    names, rest = _split(args)
    first = read_choice(rest, prog=prog)
    file = read_config(first.config) if first.config else {}
    if not names and isinstance(file.get("classifier"), list):
        names = _listed(file["classifier"], where=str(first.config))
    if len(names) < 2:
        return [_single([*rest, FLAG, *names] if names else args, prog=prog)]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            raise UserError(f"{FLAG} {' '.join(names)}: {name} is named twice; name each once")
    for plugin in first.plugin or _plugins(file):
        load_plugin_file(Path(plugin))
    _check_options(rest, file, names)
    requests = [_single([*rest, FLAG, name], prog=prog) for name in names]
    _refuse_twins(requests)
    return requests


def _single(args: Sequence[str], *, prog: str) -> Request:
    request = parse(args, prog=prog)
    refuse_idle(request)
    return request


def _split(args: Sequence[str]) -> tuple[list[str], list[str]]:
    """The classifiers that flags name, as they were named last, and the other words."""
    names = named_by_flag(args, FLAG)
    rest: list[str] = []
    inside = False
    for word in args:
        if word.startswith("-"):
            inside = word == FLAG
            if not inside and not word.startswith(f"{FLAG}="):
                rest.append(word)
        elif not inside:
            rest.append(word)
    return (names, rest) if names else ([], list(args))


def _listed(value: list[Any], *, where: str) -> list[str]:
    if not value or not all(isinstance(name, str) for name in value):
        raise UserError(f"--config {where}: classifier is a name or a list of names, not {value!r}")
    return value


def _plugins(file: Mapping[str, Any]) -> Sequence[Any]:
    """Files of plugins that a YAML file names; what is none is refused where the file is read."""
    value = file.get("plugin") or ()
    return [one for one in ([value] if isinstance(value, str) else value) if isinstance(one, str)]


def _check_options(args: Sequence[str], file: Mapping[str, Any], names: Sequence[str]) -> None:
    """Refuse an option of the classifier, by flag or in the file, that some of several have and others have not."""
    asked = {flag.split(".")[1] for flag in given_flags(args) if flag.startswith("clf.")}
    asked |= {str(name).replace("-", "_") for name in part} if isinstance(part := file.get("clf"), Mapping) else set()
    known = {}
    for name in names:
        own = {field.name for field in dataclasses.fields(config_of(classifiers.get(name), name))}
        known[name] = own | {f"no_{one}" for one in own}
    for option in sorted(asked):
        lacking = [name for name in names if option not in known[name]]
        if lacking:
            said = f"--clf.{option.replace('_', '-')}"
            having = [name for name in names if name not in lacking]
            if not having:
                raise UserError(f"{said}: neither {' nor '.join(lacking)} has such an option; take it out")
            have = f"{' and '.join(having)} {'have' if len(having) > 1 else 'has'}"
            raise UserError(
                f"{said}: {lacking[0]} has no such option, {have}. Options hold for every classifier of a call: take "
                f"it out, or run {lacking[0]} by itself"
            )


def _refuse_twins(requests: Sequence[Request]) -> None:
    """Refuse two names that come to one network with one set of options: it would count as two families."""
    for k, one in enumerate(requests):
        for other in requests[:k]:
            if (type(one.clf), one.clf) == (type(other.clf), other.clf):
                pair = f"{other.options.classifier} and {one.options.classifier}"
                arch = getattr(one.clf, "arch", None)
                raise UserError(
                    f"{FLAG}: {pair} come to the same classifier here{f' (arch {arch})' if arch else ''}; name it once"
                )
