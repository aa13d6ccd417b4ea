"""Checks that every plugin with a Config shares: its options, its version, and the files that it saves."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
from itertools import pairwise
from pathlib import Path

import numpy as np

from benchmarks.check.result import Broken, Examination, expect

KEPT_AS = {".safetensors", ".npy", ".json", ".csv"}


def documented_fields(config: type) -> set[str]:
    """Names of the fields of a Config that have a docstring under them.

    Raises
    ------
    Broken
        When the source cannot be read (a class typed into an interpreter).
    """
    found: set[str] = set()
    for cls in config.__mro__[:-1]:
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
        except (OSError, TypeError) as error:
            raise Broken(f"the source of {cls.__name__} cannot be read, to see its docstrings ({error})") from error
        body = tree.body[0].body if isinstance(tree.body[0], ast.ClassDef) else []
        for line, below in pairwise(body):
            is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and is_text:
                found.add(line.target.id)
    return found


def check_config(exam: Examination) -> None:
    """Config is a frozen dataclass with defaults, every field documented by a docstring under it."""
    config = getattr(exam.plugin, "Config", None)
    expect(config is not None, f"{exam.plugin.__name__} has no Config")
    expect(isinstance(config, type) and dataclasses.is_dataclass(config), f"Config is {config!r} and no dataclass")
    assert isinstance(config, type)
    parameters = getattr(config, "__dataclass_params__")  # noqa: B009 (typeshed does not know it)
    expect(parameters.frozen, f"{config.__name__} is not frozen; write @dataclass(frozen=True)")
    silent = sorted({f.name for f in dataclasses.fields(config)} - documented_fields(config))
    expect(not silent, f"fields of {config.__name__} without a docstring: {', '.join(silent)}")
    config()


def check_version(exam: Examination) -> None:
    """version is a whole number from 1 up."""
    version = getattr(exam.plugin, "version", None)
    expect(type(version) is int and version >= 1, f"version is {version!r}")


def check_kept_files(folder: Path) -> None:
    """What a fitted plugin saved is safetensors, npy, JSON or CSV.

    Raises
    ------
    Broken
        For an empty folder, another kind of file, or an npy of Python objects.
    """
    files = [p for p in folder.rglob("*") if p.is_file()]
    expect(bool(files), "save wrote nothing into the folder it was given")
    strange = sorted(p.name for p in files if p.suffix not in KEPT_AS)
    expect(not strange, f"save wrote {', '.join(strange)}; allowed are {', '.join(sorted(KEPT_AS))}, never pickle")
    for file in (p for p in files if p.suffix == ".npy"):
        holds_objects = np.load(file, mmap_mode="r", allow_pickle=False).dtype.hasobject
        expect(not holds_objects, f"{file.name} holds Python objects, not numbers")
