"""A plugin's Config, or the options of a run, from plain values: each is brought to its field's type, or named."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import math
import typing
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import tyro

from synthworth.errors import UserError


def layered(config: type, layers: Sequence[Mapping[str, Any]], where: str, prefix: str, owner: str = "") -> Any:
    """Build a Config from its defaults and mappings on top of them, later ones winning.

    The same layers give the same object again, so that the cells of a sweep share what none of them varies.
    """
    key = config, repr(layers), where, prefix, owner
    if key not in _built:
        made = _layered(config, layers, where, prefix, owner)
        if len(_built) >= BUILT:
            del _built[next(iter(_built))]
        _built[key] = made
    return _built[key]


_built: dict[tuple[Any, ...], Any] = {}
BUILT = 64
"""Configs that are kept, the latest; the requests of a sweep come in the order of its axes."""


def _layered(config: type, layers: Sequence[Mapping[str, Any]], where: str, prefix: str, owner: str) -> Any:
    merged: dict[str, Any] = {}
    for layer in layers:
        if not isinstance(layer, Mapping):
            raise UserError(f"{where}: {prefix.rstrip('.') or 'the file'} must be a mapping, not {layer!r}")
        for name, value in layer.items():
            old = merged.get(name)
            merged[name] = {**old, **value} if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return build_config(config, merged, where=where, prefix=prefix, owner=owner)


def build_config(config: type, values: Mapping[str, Any], *, where: str, prefix: str = "", owner: str = "") -> Any:
    """A Config from plain values, each brought to its field's type as a flag would be.

    It holds what was asked for. What it fills in by itself (the id of a hub's weights, the sha256 of a file) is taken
    out again: a flag may yet name other weights, and tyro builds the Config anew once the flags are read.

    Parameters
    ----------
    owner : the plugin whose Config it is, for the error.

    Raises
    ------
    UserError
        For an option that does not exist or a value of the wrong type; names the option.
    """
    hints = hints_of(config)
    known = {f.name for f in dataclasses.fields(config)}
    ready: dict[str, Any] = {}
    for raw, value in values.items():
        name = str(raw).replace("-", "_")
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {prefix}{near[0]}?" if near else ""
            of = f" of {owner}" if owner else ""
            there = f"There are: {', '.join(sorted(known))}" if known else f"{owner or 'It'} has no options"
            raise UserError(f"{where}: no option {prefix}{name}{of}.{hint} {there}")
        ready[name] = _typed(hints[name], value, where, prefix + name)
    try:
        made = config(**ready)
    except TypeError as error:
        what = prefix.rstrip(".") or "the options"
        raise UserError(f"{where}: {what} cannot be made: {error}. Every field needs a default") from error
    defaults = {f.name: f.default for f in dataclasses.fields(config) if f.default is not dataclasses.MISSING}
    for name, asked in (defaults | ready).items():
        if getattr(made, name) != asked:
            object.__setattr__(made, name, asked)
    return made


@lru_cache(maxsize=256)
def hints_of(config: type) -> Mapping[str, Any]:
    """Name -> type of the fields of a dataclass."""
    return typing.get_type_hints(config)


def _typed(hint: Any, value: Any, where: str, name: str) -> Any:
    if isinstance(value, Mapping):
        if dataclasses.is_dataclass(hint) and isinstance(hint, type):
            return build_config(hint, value, where=where, prefix=f"{name}.")
        raise UserError(f"{where}: {name} is one value, not a mapping")
    if dataclasses.is_dataclass(value) or (value is None and type(None) in typing.get_args(hint)):
        return value
    if hint is float and type(value) in (int, float) and 0 <= value < math.inf:  # as a flag's text would be read
        return float(str(value))
    if hint is int and type(value) is int and value >= 0:
        return value
    if isinstance(value, bool) and {"yes", "no"} <= set(typing.get_args(hint)):  # YAML's own reading of the two words
        value = "yes" if value else "no"
    words = tuple(str(v) for v in value) if isinstance(value, (list, tuple)) else (str(value),)
    try:
        return _as_flag(hint, words)
    except SystemExit as error:
        allowed = [str(one) for one in typing.get_args(hint)] if typing.get_origin(hint) is typing.Literal else []
        there = f"; there are {', '.join(allowed)}" if allowed else ""
        raise UserError(f"{where}: {name} cannot be {value!r}{there}") from error


_read: dict[tuple[Any, ...], Any] = {}
"""What words were read as, by the type: the requests of a sweep say most of them again and again."""
KEPT = 4096


def _as_flag(hint: Any, words: tuple[str, ...]) -> Any:
    """Words as a flag of this type would read them. Raises SystemExit where it would end the process."""
    key = hint, repr(hint), words  # Literal[1] equals Literal[True]
    if key in _read:
        return _read[key]
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        made = tyro.cli(hint, args=list(words), add_help=False, console_outputs=False)
    if len(_read) < KEPT and isinstance(made, (str, int, float, tuple, type(None))):  # what nobody can change
        _read[key] = made
    return made
