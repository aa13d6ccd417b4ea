"""The documents are true: commands run, flags and files exist, signatures and fields are those of the code."""

from __future__ import annotations

import ast
import dataclasses
import importlib
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cli import COMMANDS
from benchmarks.request.spec import RunSpec
from synthworth.commands import guarded

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = [README, *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md")), *sorted((ROOT / "docs").glob("*.md"))]
TOP = {path.name for path in ROOT.iterdir()}
MADE_BY_RUNS = ("results/runs", "leaderboard/site", ".synthworth")

SMOKE = ("--preset", "smoke", "--seeds", "1", "--workers", "1", "--extractors")
"""Added to a run of the README: six steps, one seed, no extractor, no further process."""
HOW_TESTED: dict[str, tuple[str, ...] | str] = {
    "python -m benchmarks.run": SMOKE,
    "python -m benchmarks.list": (),
    "python -m benchmarks.check": (),
    "python -m benchmarks.show": (),
    "python -m leaderboard.build": (),
    "python -m data.prepare": (),
    "python -m data.audit": (),
    "python3 -m venv .venv": "covered by CI: .ci/run executes the README's test command in a fresh environment",
    "pip install": "covered by CI: as above",
    "tox": "covered by CI: it is what runs this test",
}
"""How each command of the README is tested, by how it begins: executed here with these arguments added, or a reason."""


def blocks(page: Path, language: str) -> list[str]:
    """Fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.M | re.S)


def commands(page: Path) -> list[str]:
    """Commands of a page's bash blocks, one by one, without comments and without the folder of the environment."""
    found = []
    for block in blocks(page, "bash"):
        for line in re.sub(r"\\\n\s*", " ", block).splitlines():
            words = shlex.split(line, comments=True)
            for part in " ".join(words).split(" && ") if words else ():
                found.append(part.replace(".venv/bin/", ""))
    return found


def how_tested(command: str) -> tuple[str, ...] | str | None:
    """The row of `HOW_TESTED` that fits best; None when there is none."""
    fitting = [begin for begin in HOW_TESTED if f"{command} ".startswith(f"{begin} ")]
    return HOW_TESTED[max(fitting, key=len)] if fitting else None


def python_commands(page: Path) -> list[str]:
    """Every `python -m X ...` of a page, in blocks and in text, whose module is one of this project's."""
    text = " ".join(re.findall(r"`(python -m [^`]+)`", page.read_text(encoding="utf-8")))
    inline = [f"python -m {part}".strip() for part in text.split("python -m ")[1:]]
    ours = re.compile(r"python -m (benchmarks|leaderboard|data)\.")
    return list(dict.fromkeys(c for c in [*commands(page), *inline] if ours.match(c)))


def plugin_code() -> str:
    """The generator that the guide shows."""
    page = (ROOT / "docs" / "adding_a_generator.md").read_text(encoding="utf-8")
    return re.search(r"<!-- plugin: pca_gauss.py -->\n```python\n(.*?)^```$", page, re.M | re.S)[1]


# -- the README ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder as the README's reader has it: a local npz, a folder of films, and one finished run."""
    import torch
    from PIL import Image

    folder = tmp_path_factory.mktemp("readme")
    rng = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", 48), ("val", 24), ("test", 24)):
        labels = (np.arange(n) % 2).astype(np.uint8)[:, None]
        noise = rng.integers(0, 128, (n, 28, 28), dtype=np.uint8)
        arrays |= {f"{split}_images": noise + 60 * labels[:, :, None], f"{split}_labels": labels}
    np.savez(folder / "pneumoniamnist.npz", **arrays)
    for k, name in enumerate(("normal", "opacity")):
        (folder / "films" / name).mkdir(parents=True)
        for i in range(40):
            pixels = rng.integers(0, 128, (70, 80), dtype=np.uint8) + 60 * k
            Image.fromarray(pixels.astype(np.uint8)).save(folder / "films" / name / f"{i}.png")
    (folder / "pca_gauss.py").write_text(plugin_code(), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("SYNTHWORTH_HOME", str(folder / "home"))
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # tiny networks: a second thread only waits, and waits long on a busy machine
        assert execute("python -m benchmarks.run --generator noise", SMOKE) == 0
        yield folder
        torch.set_num_threads(threads)


def execute(command: str, more: tuple[str, ...]) -> int:
    """Run a `python -m X` command in this process; its exit code."""
    module, *args = shlex.split(command)[2:]
    record = next(Path("results/runs").glob("*/record.json"), None)
    args = [record.parent.name if arg == "RUN_ID" and record else arg for arg in args]
    found = importlib.import_module(module)
    if hasattr(found, "__path__"):  # `python -m PACKAGE` runs its __main__
        found = importlib.import_module(f"{module}.__main__")
    return guarded(found.main, [*args, *more])


def test_the_readme_has_the_two_commands_that_do_everything() -> None:
    text = README.read_text(encoding="utf-8")
    for mark, ending in (("run", "--generator latent_ddpm --ratio 0.5"), ("test", "tox")):
        block = re.search(rf"<!-- {mark} -->\n```bash\n(.*?)```", text, re.S)
        assert block, f"no block marked {mark}"
        assert "install" in block[1] and block[1].strip().endswith(ending)


@pytest.mark.slow
@pytest.mark.parametrize("command", list(dict.fromkeys(commands(README))))
def test_every_command_of_the_readme_is_tested(command: str, workplace, monkeypatch) -> None:
    how = how_tested(command)
    assert how is not None, "a command of the README that has no row in HOW_TESTED"
    if isinstance(how, str):
        pytest.skip(how)
    monkeypatch.chdir(workplace)
    monkeypatch.setenv("SYNTHWORTH_HOME", str(workplace / "home"))
    assert execute(command, how) == 0


# -- every page ---------------------------------------------------------------------------------------------------


@cache
def flags_of(module: str, choices: tuple[str, ...], folder: Path) -> set[str]:
    """Flags that `python -m module CHOICES --help` names."""
    done = subprocess.run(
        [sys.executable, "-m", module, *choices, "--help"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return set(re.findall(r"--[a-z][\w.-]*", done.stdout))


@pytest.fixture(scope="module")
def beside_plugin(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the guide's plugin in it."""
    folder = tmp_path_factory.mktemp("guide")
    (folder / "pca_gauss.py").write_text(plugin_code(), encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("page", "command"),
    [pytest.param(p, c, id=f"{p.name}: {c[10:60]}") for p in PAGES for c in python_commands(p)],
)
def test_every_command_in_the_documents_has_the_flags_it_uses(page: Path, command: str, beside_plugin: Path) -> None:
    module, *args = shlex.split(command)[2:]
    choices: list[str] = []
    if module == "benchmarks.run" or module.startswith("data."):
        for flag in ("--generator", "--dataset", "--classifier", "--plugin", "--preset"):
            if flag in args:
                choices += [flag, args[args.index(flag) + 1]]
    if module == "data.download":  # its subcommands have flags of their own
        choices += args[:1]
    used = {arg.partition("=")[0] for arg in args if arg.startswith("--")}
    assert used <= flags_of(module, tuple(choices), beside_plugin), page.name


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


def test_every_field_of_a_spec_and_of_a_record_is_described(workplace: Path) -> None:
    page = ARCHITECTURE.read_text(encoding="utf-8")
    records = [json.loads(file.read_text(encoding="utf-8")) for file in workplace.glob("results/runs/*/record.json")]
    fields = {f.name for f in dataclasses.fields(RunSpec)}
    for record in records:
        fields |= set(record)
        for part in (*record["comparisons"].values(), record["training"], record["cost"], record["provenance"]):
            fields |= set(part)
        for value in (*record["utility"].values(), *record["fidelity"].values()):
            fields |= set(value)
    missing = sorted(name for name in fields if f"`{name}`" not in page)
    assert not missing, "fields that docs/architecture.md does not name"


def test_every_environment_variable_is_described() -> None:
    sources = [file for file in texts() if file.suffix == ".py" and file.parent.name != "tests"]
    used = {name for file in sources for name in re.findall(r"SYNTHWORTH_[A-Z]+", file.read_text(encoding="utf-8"))}
    page = ARCHITECTURE.read_text(encoding="utf-8")
    assert {name for name in used if f"`{name}`" not in page} == set()


# -- the guide ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "args", [("benchmarks.check", "pca_gauss"), ("benchmarks.list", "generators")], ids=lambda a: a[0]
)
def test_the_plugin_of_the_guide_is_listed_and_keeps_the_contract(args, run_python, beside_plugin: Path) -> None:
    done = run_python("-m", *args, "--plugin", str(beside_plugin / "pca_gauss.py"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pca_gauss" in done.stdout
    assert "BROKEN" not in done.stdout


def test_the_plugin_of_the_guide_is_short() -> None:
    lines = [line for line in plugin_code().splitlines() if line.strip()]
    assert len(lines) <= 35


def test_every_command_of_synthworth_is_a_module() -> None:
    for module, _ in COMMANDS.values():
        assert callable(importlib.import_module(module).main)
