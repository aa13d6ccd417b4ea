"""A YAML file of options: what it may be, and every reason why it is refused. Nothing in it is executed or unfolded."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from synthworth.errors import UserError
from synthworth.files import Unfit, read_file

MAX_BYTES = 1 << 20
MAX_DEPTH = 50
MAX_VALUES = 20_000
"""Values of a file, those that an alias repeats counted each time: nine lines of aliases can mean 10^9 of them."""


def read_yaml(file: Path, *, flag: str = "--config") -> dict[str, Any]:
    """A YAML mapping of plain values.

    Parameters
    ----------
    flag : what named the file, for errors.

    Raises
    ------
    UserError
        When the file is missing, no ordinary file or too large; when it is not YAML, or not a mapping; when it nests
        deeper or holds more values than options do; for a key that is there twice (`real-fraction` is
        `real_fraction`), and for a value that is none of its kind.
    """
    try:
        text = read_file(file, at_most=MAX_BYTES).decode("utf-8-sig")
    except OSError as error:
        raise UserError(f"{flag} {file}: {error.strerror}") from error
    except Unfit as error:
        raise UserError(f"{flag} {file} cannot be read: {error}. Give a YAML file of options") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{flag} {file} is not YAML: {error}") from error
    try:
        _refuse_unbounded(text, file, flag)
        content = yaml.load(text, Loader=_Options)
    except _Twice as error:
        raise UserError(f"{flag} {file}: {error}") from error
    except yaml.YAMLError as error:
        raise UserError(f"{flag} {file} is not YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(f"{flag} {file} must be a mapping of options, not a {type(content).__name__}")
    return content


def _refuse_unbounded(text: str, file: Path, flag: str) -> None:
    """Count depth and values in the stream of events, which is read without recursion and before anything is built."""
    sizes: dict[str, int] = {}  # anchor -> values that an alias to it stands for
    opened: list[tuple[str | None, int]] = []  # the anchor of each collection that is open, and the values before it
    n = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if isinstance(event, yaml.AliasEvent):
            if event.anchor in (anchor for anchor, _ in opened):
                raise UserError(f"{flag} {file}: *{event.anchor} holds itself{_place(event)}. Write it out")
            n += sizes.get(event.anchor, 0)
        elif isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.anchor, n))
            n += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = opened.pop()
            sizes |= {anchor: n - before} if anchor else {}
        elif isinstance(event, yaml.ScalarEvent):
            n += 1
            sizes |= {event.anchor: 1} if event.anchor else {}
            if "\0" in event.value:
                raise UserError(f"{flag} {file}: a value holds a zero byte{_place(event)}. Take it out")
        if len(opened) > MAX_DEPTH:
            raise UserError(f"{flag} {file} nests deeper than {MAX_DEPTH} levels{_place(event)}; options need four")
        if n > MAX_VALUES:
            raise UserError(f"{flag} {file} holds more than {MAX_VALUES:,} values{_place(event)}, aliases written out")


def _place(event: yaml.Event) -> str:
    return f" (line {event.start_mark.line + 1})"


class _Twice(Exception):
    """A key is there twice; the message says where."""


class _Options(yaml.SafeLoader):
    """YAML's safe loader; a key that is there twice is an error, and so is a value that is none of its kind."""

    def construct_mapping(self, node: yaml.Node, deep: bool = False) -> dict[Hashable, Any]:
        """The mapping; its keys are looked at before merged ones (`<<`) join them, which they may override."""
        first: dict[str, int] = {}
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key, yaml.ScalarNode):
                continue
            name, line = str(key.value).replace("-", "_"), key.start_mark.line + 1
            if name in first:
                raise _Twice(f"{key.value!r} is there twice (lines {first[name]} and {line}); keep one of them")
            first[name] = line
        return super().construct_mapping(node, deep=deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value, where PyYAML can make one: of `!!int abc`, a day 99, or 5,000 digits it raises what comes."""
        try:
            return super().construct_object(node, deep=deep)
        except yaml.YAMLError:
            raise
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            said = f"line {node.start_mark.line + 1} holds a value that cannot be read as {_kind(node)} ({error})"
            raise yaml.constructor.ConstructorError(None, None, said, None) from error


def _kind(node: yaml.Node) -> str:
    return str(node.tag).rpartition(":")[2]
