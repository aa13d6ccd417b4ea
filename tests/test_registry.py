"""Plugins come in by four doors, under names of their own; listing them imports nothing heavy."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from synthworth.errors import UserError
from synthworth.registry import BuiltIn, Registry, load_plugin_file

Run = Callable[..., "CompletedProcess[str]"]
HEAVY = ("torch", "torchvision", "timm", "diffusers", "pandas", "sklearn", "scipy", "matplotlib", "lightning_fabric")


def fresh(**targets: str) -> Registry:
    """A registry of a kind that nothing installed declares."""
    rows = {name: BuiltIn(target, f"about {name}", {"size": 3}) for name, target in targets.items()}
    return Registry("model", "synthworth.test_models", rows)


@pytest.fixture
def package(tmp_path: Path) -> Callable[..., Path]:
    """Install a package: its code and the dist-info that declares its entry points."""

    def install(name: str, group: str, entries: str, code: str) -> Path:
        site = tmp_path / f"site-{name}"
        info = site / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        (site / f"{name}.py").write_text(code)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{group}]\n{entries}\n")
        return site

    return install


# -- the built-in table and the decorator -------------------------------------------------------------------------


def test_a_built_in_plugin_is_imported_when_it_is_chosen_and_not_before() -> None:
    registry = fresh(table="fractions:Fraction", broken="no_such_module:Thing")
    assert registry.names() == ["broken", "table"]
    assert [row.error for row in registry.listing()] == [None, None]
    assert registry.get("table").__name__ == "Fraction"
    assert registry.implied("table") == {"size": 3}
    assert registry.implied("unknown") == {}


def test_the_decorator_registers_and_returns_the_class() -> None:
    registry = fresh()

    @registry.register("mine")
    class Mine:
        """First line.

        Second.
        """

    assert registry.get("mine") is Mine
    (row,) = registry.listing()
    assert (row.name, row.summary, row.error) == ("mine", "First line.", None)
    assert "mine" in registry and "yours" not in registry


def test_an_unknown_name_answers_with_the_nearest() -> None:
    registry = fresh(latent_ddpm="a:b", dcgan="a:b")
    with pytest.raises(UserError) as caught:
        registry.get("latent_dpm")
    assert str(caught.value) == (
        "no model named 'latent_dpm'. Did you mean 'latent_ddpm'? Available: dcgan, latent_ddpm"
    )
    with pytest.raises(UserError, match=r"no model named 'zzz'\. Available: dcgan, latent_ddpm$"):
        registry.get("zzz")
    with pytest.raises(UserError, match=r"Available: none$"):
        fresh().get("anything")


def test_two_plugins_of_one_name_are_an_error() -> None:
    registry = fresh(taken="fractions:Fraction")
    with pytest.raises(UserError, match=r"two models are named 'taken'.*Rename one"):
        registry.register("taken")(type("Other", (), {}))
    assert registry.get("taken").__name__ == "Fraction"


@pytest.mark.parametrize("target", ["no_such_module:Thing", "fractions:NoSuchThing"])
def test_a_broken_plugin_fails_only_when_it_is_chosen(target: str) -> None:
    registry = fresh(broken=target, fine="fractions:Fraction")
    registry.get("fine")
    with pytest.raises(UserError, match=r"model 'broken' \(built in\) cannot be imported: \w+Error"):
        registry.get("broken")


# -- entry points -------------------------------------------------------------------------------------------------


def test_an_installed_packages_entry_point_is_found(
    package: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    code = 'class Model:\n    """A model from elsewhere."""\n'
    monkeypatch.syspath_prepend(
        package("strangers_model", "synthworth.test_models", "far = strangers_model:Model", code)
    )
    registry = fresh(near="fractions:Fraction")
    assert registry.names() == ["far", "near"]
    row = next(r for r in registry.listing() if r.name == "far")
    assert (row.source, row.summary, row.error) == ("package strangers_model", "A model from elsewhere.", None)
    assert registry.get("far").__module__ == "strangers_model"


def test_a_broken_entry_point_is_listed_with_its_error(
    package: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = package("broken_model", "synthworth.test_models", "bad = broken_model:Model", "raise RuntimeError('no GPU')")
    monkeypatch.syspath_prepend(site)
    registry = fresh(near="fractions:Fraction")
    rows = {row.name: row.error for row in registry.listing()}
    assert rows == {"bad": "RuntimeError: no GPU", "near": None}
    registry.get("near")
    with pytest.raises(UserError, match=r"model 'bad' \(package broken_model\) cannot be imported.*no GPU"):
        registry.get("bad")


def test_an_entry_point_with_a_taken_name_is_an_error_only_when_chosen(
    package: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    site = package("rival_model", "synthworth.test_models", "near = rival_model:Model", "class Model: ...")
    monkeypatch.syspath_prepend(site)
    registry = fresh(near="fractions:Fraction", other="fractions:Fraction")
    registry.get("other")
    (clash,) = [row.error for row in registry.listing() if row.name == "near"]
    assert clash is not None and "package rival_model" in clash
    with pytest.raises(UserError, match="two models are named 'near'"):
        registry.get("near")


def test_the_list_command_shows_an_installed_generator(package: Callable[..., Path], run_python: Run) -> None:
    code = 'class MyGAN:\n    """Draws from elsewhere."""\n'
    site = package("my_gan_package", "synthworth.generators", "my_gan = my_gan_package:MyGAN", code)
    done = run_python("-m", "benchmarks.list", "generators", "--json", path=[site])
    assert done.returncode == 0, done.stderr
    rows = {row["name"]: row for row in json.loads(done.stdout)["generators"]}
    assert rows["my_gan"]["source"] == "package my_gan_package"
    assert rows["my_gan"]["summary"] == "Draws from elsewhere."
    assert rows["latent_ddpm"]["source"] == "built in"


# -- a file on the command line -----------------------------------------------------------------------------------


def test_a_plugin_file_registers_what_it_defines_once(tmp_path: Path) -> None:
    import synthworth.registry as module

    registry = fresh()
    module.test_registry = registry  # type: ignore[attr-defined]
    file = tmp_path / "mine.py"
    file.write_text(
        "import synthworth.registry as module\n@module.test_registry.register('from_file')\nclass Mine: ...\n"
    )
    try:
        load_plugin_file(file)
        load_plugin_file(file)
    finally:
        del module.test_registry  # type: ignore[attr-defined]
    assert registry.get("from_file").__name__ == "Mine"


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "no such file"), ("1 / 0", "ZeroDivisionError"), ("x =", "SyntaxError"), ("import no_such_x", "no_such_x")],
)
def test_a_plugin_file_that_cannot_be_read_is_named(tmp_path: Path, content: str | None, said: str) -> None:
    file = tmp_path / "faulty.py"
    if content is not None:
        file.write_text(content)
    with pytest.raises(UserError, match=r"faulty\.py") as caught:
        load_plugin_file(file)
    assert said in str(caught.value)


# -- nothing heavy ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("module", "args"),
    [
        ("benchmarks.list", []),
        ("benchmarks.run", ["--help"]),
        ("benchmarks.run", ["--generator", "dcgan", "--dataset", "digits", "--help"]),
        ("benchmarks.show", ["--help"]),
        ("leaderboard.build", ["--help"]),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value) or "no-flags",
)
def test_listing_and_help_import_nothing_heavy(run_python: Run, module: str, args: list[str]) -> None:
    code = f"""
import runpy, sys
sys.argv = [{module!r}, *{args!r}]
try:
    runpy.run_module({module!r}, run_name="__main__", alter_sys=True)
except SystemExit as done:
    assert not done.code, done.code
print("heavy:", sorted(set({HEAVY!r}) & set(sys.modules)))
"""
    done = run_python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.rstrip().endswith("heavy: []"), done.stdout[-300:]


def test_a_plugin_without_options_is_named_in_one_line() -> None:
    from synthworth.registry import config_of

    class Bare: ...

    with pytest.raises(UserError, match="bare has no Config: a frozen dataclass of its options"):
        config_of(Bare, "bare")


@pytest.mark.parametrize("turn", ["first", "second"])
def test_what_one_test_registers_is_unknown_to_the_next(turn: str) -> None:
    from generators.registry import generators

    assert "of_one_test" not in generators, turn
    generators.register("of_one_test")(type("Mine", (), {}))
    assert "of_one_test" in generators
