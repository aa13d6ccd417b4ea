"""The documents are true: flags and files exist, signatures and fields are those of the code."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from pages import PAGES, ROOT, SMOKE, blocks, call, commands

from benchmarks.cli import COMMANDS
from benchmarks.request.spec import RunSpec

TOP = {path.name for path in ROOT.iterdir()}
MADE_BY_RUNS = (
    "results/runs",
    "results/submitted",
    "results/reader",
    "results/sweeps",
    "results/tune",
    "results/again",
    "results/exports",
    "leaderboard/site",
    ".synthworth",
)


# -- every page ---------------------------------------------------------------------------------------------------


def documented(module: str) -> list[str]:
    """Commands of a module on the pages: those that tests/test_documented_commands.py does not run."""
    return list(dict.fromkeys(c for p in PAGES for c in commands(p) if c.startswith(f"python -m {module} ")))


@pytest.mark.parametrize("command", [*documented("data.download"), *documented("benchmarks.speed")])
def test_commands_that_no_test_runs_have_the_flags_they_use(command: str, run_python) -> None:
    module, *args = shlex.split(command)[2:]
    choices = args[:1] if module == "data.download" else []  # its subcommands have flags of their own
    done = run_python("-m", module, *choices, "--help", COLUMNS="200")
    assert done.returncode == 0, done.stderr
    used = {arg.partition("=")[0] for arg in args if arg.startswith("--")}
    assert used <= set(re.findall(r"--[a-z][\w.-]*", done.stdout))


def anchors(page: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        assert there.exists(), f"{target} is linked and does not exist"
        assert not anchor or anchor in anchors(there), f"{target}: there is no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_every_file_that_is_named_exists(page: Path) -> None:
    for span in re.findall(r"`([^`\n]+)`", page.read_text(encoding="utf-8")):
        is_path = re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", span) and (
            "/" in span or span.endswith((".py", ".md", ".toml", ".ini", ".yaml"))
        )
        if is_path and span.split("/")[0] in TOP and not span.startswith(MADE_BY_RUNS):
            assert (ROOT / span).exists(), f"`{span}` is named and does not exist"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_no_page_holds_a_placeholder(page: Path) -> None:
    assert re.findall(r"@@\w+@@|TODO", page.read_text(encoding="utf-8")) == []


def texts() -> list[Path]:
    """Every document and source file of the project."""
    skip = {".git", ".tox", ".venv", "venv", ".synthworth", "runs", "site", "build", "dist", "__pycache__"}
    endings = {".py", ".md", ".toml", ".ini", ".yaml", ".yml", ".cfg", ".json", ".csv", ".sh"}
    found = []
    for folder, folders, files in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in skip and not name.endswith(("_cache", ".egg-info"))]
        found += [Path(folder, f) for f in files if Path(f).suffix in endings or Path(folder).name == ".ci"]
    return sorted(found)


def test_no_file_names_a_folder_of_a_development_machine_or_a_registry() -> None:
    hosts = ["pypi" + ".org", "python" + "hosted"]
    forbidden = re.compile(r"(?<![\w.>})$/-])/(?:work|root|home/\w+)/|" + "|".join(map(re.escape, hosts)))
    for file in texts():
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
            assert not forbidden.search(line), f"{file.relative_to(ROOT)}:{number}: {line.strip()[:100]}"


# -- the architecture ---------------------------------------------------------------------------------------------

ARCHITECTURE = ROOT / "docs" / "architecture.md"


def methods(tree: ast.ClassDef) -> dict[str, str]:
    """Signatures of a class's methods and annotations of its fields, as text."""
    found = {}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef):
            found[node.name] = f"({ast.unparse(node.args)}) -> {ast.unparse(node.returns)}"
        elif isinstance(node, ast.AnnAssign):
            found[ast.unparse(node.target)] = ast.unparse(node.annotation)
    return found


@pytest.mark.parametrize("name", ["Dataset", "Generator", "Classifier"])
def test_the_contracts_are_shown_as_they_are(name: str) -> None:
    home = {"Dataset": "data", "Generator": "generators", "Classifier": "classifiers"}[name]
    code = ast.parse((ROOT / home / "base.py").read_text(encoding="utf-8"))
    shown = ast.parse("\n".join(blocks(ARCHITECTURE, "python")))
    ours, theirs = (
        next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name)
        for tree in (code, shown)
    )
    assert methods(theirs) == methods(ours)


@pytest.mark.slow
def test_every_field_of_a_spec_and_of_a_record_is_described(tmp_path: Path) -> None:
    done = call("python -m benchmarks.run --generator noise --extractors", tmp_path, **SMOKE)
    assert done.returncode == 0, done.stderr
    page = ARCHITECTURE.read_text(encoding="utf-8")
    records = [json.loads(file.read_text(encoding="utf-8")) for file in tmp_path.glob("results/runs/*/record.json")]
    assert records
    fields = {f.name for f in dataclasses.fields(RunSpec)}
    for record in records:
        fields |= set(record)
        for part in (*record["comparisons"].values(), record["training"], record["cost"], record["provenance"]):
            fields |= set(part)
        for value in (*record["utility"].values(), *record["fidelity"].values()):
            fields |= set(value)
    missing = sorted(name for name in fields if f"`{name}`" not in page)
    assert not missing, "fields that docs/architecture.md does not name"


def test_every_rule_of_the_protocol_names_a_test_that_there_is() -> None:
    page = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    table = page.partition("## Which test holds which rule")[2]
    rules = re.findall(r"^(\d+)\. \*\*", page, re.MULTILINE)
    rows = dict(re.findall(r"^\| (\d+) \| (.+) \|$", table, re.MULTILINE))
    assert rules == [str(n) for n in range(1, len(rules) + 1)] == list(rows)
    named = re.findall(r"`(tests/\w+\.py)::(\w+)`", table)
    assert len(named) >= len(rules)
    for file, test in named:
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), f"{file} has no {test}"


def test_every_environment_variable_is_described() -> None:
    sources = [file for file in texts() if file.suffix == ".py" and file.parent.name != "tests"]
    used = {name for file in sources for name in re.findall(r"SYNTHWORTH_[A-Z_]+", file.read_text(encoding="utf-8"))}
    page = ARCHITECTURE.read_text(encoding="utf-8")
    assert {name for name in used if f"`{name}`" not in page} == set()


# -- the commands -------------------------------------------------------------------------------------------------


def test_every_command_of_synthworth_is_on_its_page() -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"^\| `(\w+)` \| `([\w.]+)` \|", page, re.M))
    assert shown == {name: module.removesuffix(".__main__") for name, (module, _) in COMMANDS.items()}


def test_every_command_of_synthworth_is_a_module() -> None:
    for module, _ in COMMANDS.values():
        assert callable(importlib.import_module(module).main)


def test_the_table_of_ratios_is_that_of_its_sweep() -> None:
    import csv

    page = (ROOT / "docs/ratios.md").read_text(encoding="utf-8")
    with (ROOT / "results/reference/ratio_ablation/table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["state"] for row in rows} == {"done"} and len(rows) == 18
    for row in (row for row in rows if float(row["ratio"])):
        said = f"| `{row['generator']}` | {float(row['ratio']):g} | {float(row['auroc']):.3f} "
        (line,) = [line for line in page.splitlines() if line.startswith(said)]
        for name in ("vs_none", "vs_duplicate"):
            value, low, high = (float(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
            assert f"{value:+.4f} [{low:+.4f}, {high:+.4f}]" in line


def test_the_tables_of_sharing_are_those_of_its_records() -> None:
    import runpy

    page = (ROOT / "docs/sharing.md").read_text(encoding="utf-8")
    made = runpy.run_path(str(ROOT / "docs/sharing.py"))
    found = made["read_records"]()
    assert len(found) >= 3
    for records in found.values():
        assert made["table_of"](records) in page and made["title_of"](records) in page


def rows_elsewhere() -> Iterator[str]:
    """The rows of the table of docs/elsewhere.md, made from the records."""
    from benchmarks.records.store import Records

    def told(value: Mapping[str, Any], digits: int = 3) -> str:
        name = "value" if "value" in value else "difference"
        sign = "" if name == "value" else "+"
        return " ".join(
            [f"{value[name]:{sign}.{digits}f}", f"[{value['low']:{sign}.{digits}f}, {value['high']:{sign}.{digits}f}]"]
        )

    records = [entry.record for entry in Records(ROOT / "results/reference/elsewhere").read().finished]
    assert len(records) == 6
    for record in sorted(records, key=lambda r: (r["spec"]["dataset"], not r["is_control"], r["name"] != "none")):
        ((there, away),) = record["elsewhere"].items()
        home = {"folder": "kermany", "nih": "nih14"}[record["spec"]["dataset"]]
        corrupted = record["robustness"]["auroc_corrupted"]
        numbers = [record["utility"]["auroc"], away["utility"]["auroc"], away["apart"], corrupted]
        yield f"| {home} | {there} | {record['name']} | " + " | ".join(map(told, numbers)) + " |"


def test_the_table_of_other_test_sets_is_that_of_its_records() -> None:
    page = (ROOT / "docs/elsewhere.md").read_text(encoding="utf-8")
    for row in rows_elsewhere():
        assert row in page, row
