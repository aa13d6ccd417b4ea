"""The registry of plugins and its four doors: built-in table, entry points, decorator, `--plugin file.py`."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import importlib.util
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from synthworth.errors import UserError, unknown_name


@dataclass(frozen=True)
class BuiltIn:
    """A row of a built-in table: where the plugin is, one line on it, and settings that its name implies."""

    target: str
    """`module:attribute`, imported only when the plugin is chosen."""
    summary: str
    implies: Mapping[str, Any] = field(default_factory=dict)
    """Defaults of the plugin's Config that follow from the name (`resnet18` implies `arch="resnet18"`)."""


@dataclass(frozen=True)
class Listing:
    """What a listing says of one plugin; `error` is None unless the plugin cannot be imported."""

    name: str
    source: str
    summary: str
    error: str | None = None


@dataclass
class _Entry:
    name: str
    source: str
    summary: str
    load: Callable[[], Any]
    implies: Mapping[str, Any]
    lazy: bool


def import_target(target: str) -> Any:
    """Import `module:attribute`.

    Raises
    ------
    ImportError, AttributeError
        As Python does.
    """
    module, _, attribute = target.partition(":")
    found: Any = importlib.import_module(module)
    for part in attribute.split("."):
        found = getattr(found, part)
    return found


def first_line(thing: Any) -> str:
    """First line of a docstring, or an empty string."""
    return (getattr(thing, "__doc__", None) or "").strip().partition("\n")[0]


class Registry:
    """Names of one kind of plugin (generators, datasets, classifiers, metrics, extractors).

    Parameters
    ----------
    kind : the word used in messages, singular.
    group : the entry-point group that other packages declare theirs in.
    builtins : name -> BuiltIn; nothing of it is imported until `get`.
    """

    def __init__(self, kind: str, group: str, builtins: Mapping[str, BuiltIn]) -> None:
        self.kind = kind
        self.group = group
        self._entries: dict[str, _Entry] = {}
        self._clashes: dict[str, str] = {}
        self._scanned = False
        self._imported: set[str] = set()
        for name, row in builtins.items():
            self._add(_Entry(name, "built in", row.summary, _importer(row.target), row.implies, lazy=True))

    def _add(self, entry: _Entry) -> None:
        old = self._entries.get(entry.name)
        if old is not None:
            raise UserError(
                f"two {self.kind}s are named {entry.name!r}: one from {old.source}, one from {entry.source}. "
                "Rename one of them"
            )
        self._entries[entry.name] = entry

    def _scan(self) -> None:
        """Read the installed packages' entry points, once; nothing is imported by reading them."""
        if self._scanned:
            return
        self._scanned = True
        for point in importlib.metadata.entry_points(group=self.group):
            source = f"package {point.dist.name}" if point.dist else f"entry point {point.value}"
            entry = _Entry(point.name, source, "", _importer(point.value), {}, lazy=False)
            try:
                self._add(entry)
            except UserError as clash:
                self._clashes[point.name] = str(clash)

    def register(self, name: str) -> Callable[[Any], Any]:
        """Decorator: make a class of this process available under `name`.

        Raises
        ------
        UserError
            When the name is taken.
        """
        self._scan()

        def keep(thing: Any) -> Any:
            source = f"{thing.__module__}.{thing.__qualname__}"
            self._add(_Entry(name, source, first_line(thing), lambda: thing, {}, lazy=False))
            return thing

        return keep

    def names(self) -> list[str]:
        """All names, sorted; imports nothing."""
        self._scan()
        return sorted(self._entries)

    def __contains__(self, name: str) -> bool:
        self._scan()
        return name in self._entries

    def require(self, name: str) -> None:
        """Refuse a name that is unknown or taken twice, importing nothing.

        Raises
        ------
        UserError
            With the nearest names, or with the two sources.
        """
        self._scan()
        if name in self._clashes:
            raise UserError(self._clashes[name])
        if name not in self._entries:
            raise unknown_name(self.kind, name, self._entries)

    def get(self, name: str) -> Any:
        """The plugin of that name, imported now.

        Raises
        ------
        UserError
            For an unknown name (with the nearest ones), for two plugins of one name, for a plugin that cannot be
            imported (with its error), and for what no plugin can be: a module, a number.
        """
        self.require(name)
        entry = self._entries[name]
        try:
            if name in self._imported:  # what is asked for thousands of times is not guarded each time
                found = entry.load()
            else:
                with no_exit():
                    found = entry.load()
                self._imported.add(name)
        except Exception as error:
            raise UserError(
                f"{self.kind} {name!r} ({entry.source}) cannot be imported: {type(error).__name__}: {error}"
            ) from error
        if not callable(found) and not hasattr(found, "measure"):  # a metric with its declaration
            raise UserError(
                f"{self.kind} {name!r} ({entry.source}) is of type {type(found).__name__}: it must be "
                "a class or a function. Let its entry point name one: module:Class"
            )
        return found

    def implied(self, name: str) -> Mapping[str, Any]:
        """Config defaults that follow from the name; empty for most."""
        self._scan()
        return self._entries[name].implies if name in self._entries else {}

    def listing(self) -> Iterator[Listing]:
        """Every plugin by name. Built-in ones are not imported; strangers are, to show whether they can be."""
        self._scan()
        for name in self.names():
            entry = self._entries[name]
            if name in self._clashes:
                yield Listing(name, entry.source, entry.summary, self._clashes[name])
            elif entry.lazy:
                yield Listing(name, entry.source, entry.summary)
            else:
                try:
                    yield Listing(name, entry.source, entry.summary or first_line(self.get(name)))
                except UserError as error:
                    why = error.__cause__
                    yield Listing(name, entry.source, "", str(error) if why is None else f"{type(why).__name__}: {why}")


def _importer(target: str) -> Callable[[], Any]:
    return lambda: import_target(target)


_PLUGIN_FILES: dict[Path, str] = {}
"""Plugin files that this process has imported, in order, with the module name of each."""


def loaded_plugin_files() -> tuple[Path, ...]:
    """The plugin files that this process has imported, in order.

    A worker process imports them too before it reads its first task (`synthworth.processes.pack`): a task may hold a
    plugin's Config.
    """
    return tuple(_PLUGIN_FILES)


def load_plugin_file(path: Path) -> None:
    """Import a Python file given by `--plugin`; its `@register` lines take effect. A second call does nothing.

    The file runs with the user's rights: this is the user's own code, named on the command line.

    Raises
    ------
    UserError
        When the file is missing or fails while it is imported.
    """
    path = path.resolve()
    if path in _PLUGIN_FILES:
        return
    if not path.is_file():
        raise UserError(f"--plugin {path}: no such file")
    name = f"synthworth_plugin_{path.stem}"
    if name in sys.modules:  # a file of the same name in another folder
        name = f"{name}_{len(_PLUGIN_FILES)}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise UserError(f"--plugin {path}: not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with no_exit():
            spec.loader.exec_module(module)
    except UserError:
        del sys.modules[name]
        raise
    except Exception as error:
        del sys.modules[name]
        raise UserError(f"--plugin {path}: {type(error).__name__}: {error}") from error
    _PLUGIN_FILES[path] = name


@contextmanager
def no_exit() -> Iterator[None]:
    """Let no plugin end the program by `sys.exit`: it would be silent, and with code 0 look like success.

    Raises
    ------
    UserError
        In the place of SystemExit; it says where the call stands.
    """
    try:
        yield
    except SystemExit as error:
        frames = traceback.extract_tb(error.__traceback__)
        where = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else "a plugin"
        raise UserError(
            f"{where} ended the program by sys.exit({error.code!r}). A plugin raises an exception, or "
            "synthworth.api.UserError, to say what is wrong"
        ) from error


def config_of(plugin: Any, name: str, *, needs: Sequence[str] = ()) -> Any:
    """The options' class of a plugin.

    Parameters
    ----------
    needs : attributes that a plugin of its kind cannot do without.

    Raises
    ------
    UserError
        When it is no class, or has no Config that is a dataclass, or lacks one of `needs`.
    """
    says = f"python -m benchmarks.check {name} says what else is"
    if not isinstance(plugin, type):
        raise UserError(
            f"{name} is of type {type(plugin).__name__}, and a class with a Config is part of the contract. {says}"
        )
    config = getattr(plugin, "Config", None)
    if not isinstance(config, type) or not dataclasses.is_dataclass(config):
        raise UserError(f"{name} has no Config: a frozen dataclass of its options is part of the contract. {says}")
    lacking = [need for need in needs if not hasattr(plugin, need)]
    if lacking:
        raise UserError(f"{name} has no {', '.join(lacking)}, which is part of the contract. {says}")
    return config
