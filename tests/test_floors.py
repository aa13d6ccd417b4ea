"""The house rules that a machine can hold: floors, lengths, first lines, and what a plugin's module imports."""

from __future__ import annotations

import ast
import importlib.util
import json
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("synthworth", "data", "generators", "classifiers", "benchmarks", "leaderboard")
MODULES = sorted(file for package in PACKAGES for file in (ROOT / package).rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
HEAVY = ("torch", "torchvision", "timm", "diffusers", "pandas", "sklearn", "scipy", "matplotlib", "seaborn")

CHOOSE_ALL = f"""
import importlib, json, sys
from benchmarks.cli import COMMANDS
from benchmarks.metrics.registry import EXTRACTORS, METRICS
from classifiers.registry import classifiers
from data.registry import datasets
from generators.registry import generators

found, before, chosen = {{}}, set(), 0

def look(name):
    global before
    loaded = {{module for module in {HEAVY} if module in sys.modules}}
    if loaded - before:
        found[name] = sorted(loaded - before)
    before = loaded

for module, _ in COMMANDS.values():
    importlib.import_module(module)
    look(module)
for registry in (generators, datasets, classifiers, METRICS, EXTRACTORS):
    for row in registry.listing():
        if row.source == "built in":
            registry.get(row.name)
            look(registry.kind + " " + row.name)
            chosen += 1
print(json.dumps({{"heavy": found, "chosen": chosen}}))
"""


def name_of(file: Path) -> str:
    return file.relative_to(ROOT).as_posix()


def test_imports_only_ever_point_down(run_python) -> None:
    if importlib.util.find_spec("importlinter") is None:
        pytest.skip("import-linter is not installed: it comes with the extra `lint`")
    code = (
        "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(config_filename=%r, no_cache=True))"
    )
    done = run_python("-c", code % str(ROOT / "pyproject.toml"))
    assert done.returncode == 0, done.stdout + done.stderr


def test_choosing_any_plugin_or_command_imports_nothing_heavy(run_python) -> None:
    done = run_python("-c", CHOOSE_ALL)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["chosen"] > 20
    assert answer["heavy"] == {}, "imported with the module; import it inside the function that needs it"


@pytest.mark.parametrize("file", [*MODULES, *TESTS], ids=name_of)
def test_no_file_is_longer_than_400_lines(file: Path) -> None:
    assert len(file.read_text(encoding="utf-8").splitlines()) <= 400


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_the_first_line_of_a_module_says_what_it_decides(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    assert ast.get_docstring(tree), "a module begins with its docstring"
    assert tree.body[0].lineno == 1


@pytest.mark.parametrize("file", MODULES, ids=name_of)
def test_no_exception_is_swallowed_and_no_warning_silenced(file: Path) -> None:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"line {node.lineno}: a bare except"
            said = [line for line in node.body if not isinstance(line, ast.Pass)]
            broad = isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
            assert said or not broad, f"line {node.lineno}: {ast.unparse(node.type)} is swallowed"
        if isinstance(node, ast.Call):
            assert "filterwarnings" not in ast.unparse(node.func), f"line {node.lineno}: a warning is silenced"
