"""Flags that would change nothing beside the others: refused, since who gives one believes that it does."""

from __future__ import annotations

from typing import Any

from benchmarks.request.options import Request
from generators.registry import generators
from synthworth.errors import UserError
from synthworth.search_space import Wanted, label_of, unmet, value_at


def refuse_idle(request: Request) -> None:
    """Refuse a flag of the generator or the classifier that has no part beside the other options.

    What a file says is left as it is: a preset, a search or a record may hold all options at once.

    Raises
    ------
    UserError
        For the first of them, naming what stands in its way.
    """
    for name in sorted(request.given):
        part, _, option = name.partition(".")
        if part == "gen" and (why := getattr(generators.get(request.options.generator), "idle", {}).get(option)):
            flag = f"--{_dashed(name)}"
            raise UserError(f"{flag} changes nothing here: {why} in {request.options.generator}; leave {flag} out")
        if option and part in ("gen", "clf"):
            config = getattr(request, part)
            for other, values in unmet(config, option).items():
                raise UserError(
                    f"--{_dashed(name)} changes nothing here: {_against(f'--{part}.{_dashed(other)}', config, other)}; "
                    f"{_remedy(f'--{part}.{_dashed(other)}', values)}, or leave --{_dashed(name)} out"
                )


def _against(flag: str, config: Any, other: str) -> str:
    value = value_at(config, other)
    return f"{flag} is {label_of(value) if value not in ('', None) else 'not given'}"


def _remedy(flag: str, values: Wanted) -> str:
    if not isinstance(values, tuple):
        return f"set {flag} {values}"
    wanted = [str(label_of(value)) for value in values]
    return f"leave {flag} out" if wanted == [""] else f"set {flag} {' or '.join(wanted)}"


def _dashed(name: str) -> str:
    return name.replace("_", "-")
