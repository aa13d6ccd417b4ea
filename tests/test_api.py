"""One import path for a plugin's author: every name is there, and is loaded when it is used."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

import synthworth.api as api

Run = Callable[..., "CompletedProcess[str]"]
STUB = Path(api.__file__).with_suffix(".pyi")


@pytest.mark.parametrize("name", api.__all__)
def test_every_name_can_be_imported(name: str) -> None:
    namespace: dict[str, object] = {}
    exec(f"from synthworth.api import {name}", namespace)
    assert namespace[name] is not None
    assert name in dir(api)


def test_a_name_that_is_not_there_is_an_import_error() -> None:
    with pytest.raises(ImportError, match="BaseGenerater"):
        from synthworth.api import BaseGenerater  # noqa: F401
    with pytest.raises(AttributeError, match=r"no register\.generater; there are generator, dataset"):
        api.register.generater("x")


def test_the_path_and_the_bases_of_a_plugin_load_no_torch(run_python: Run) -> None:
    code = """
import sys
import synthworth.api
assert not {"torch", "generators.base", "data.images"} & set(sys.modules)
from synthworth.api import BaseDataset, BaseGenerator, Extractor, FitReport, UserError, register, seed_from
@register.generator("mine")
class Mine(BaseGenerator): ...
print(sorted({"torch", "pandas", "scipy", "timm"} & set(sys.modules)))
"""
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_each_kind_has_the_same_register() -> None:
    from synthworth.registry import Registry, import_target

    for kind, address in api.REGISTRIES.items():
        registry = import_target(address)
        assert isinstance(registry, Registry) and registry.kind == kind
        assert getattr(api.register, kind) == registry.register
    assert dir(api.register) == sorted(api.REGISTRIES)


def test_what_editors_are_told_is_what_there_is() -> None:
    tree = ast.parse(STUB.read_text(encoding="utf-8"))
    told = {a.asname: n.module for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names if a.asname}
    assert told == api.WHERE
    (shown,) = (n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Register")
    assert [f.name for f in shown.body if isinstance(f, ast.FunctionDef)] == list(api.REGISTRIES)
