"""Flags beat the file, the file beats the preset, and whatever is not an option is named."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.request import named
from benchmarks.request.named import resolve_preset, systems
from benchmarks.request.options import Request, parse
from classifiers.registry import classifiers
from generators.registry import generators
from synthworth.commands import guarded
from synthworth.errors import UserError

PLUGIN = '''
from dataclasses import dataclass
from {package}.registry import register

@dataclass(frozen=True)
class Config:
    """Options of mine."""
    depth: int = 3
    """How deep mine goes."""

@register("{name}")
class Mine:
    """A stranger's plugin."""
    Config = Config
    version = 1
'''


def read(*args: str) -> Request:
    return parse(["--preset", "smoke", *args], prog="test")


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str], str]:
    """Write a YAML file; returns its path."""

    def write(text: str) -> str:
        file = tmp_path / "run.yaml"
        file.write_text(text)
        return str(file)

    return write


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Callable[[str, str], str]]:
    """Write a plugin file for a package (`generators`, `classifiers`); what it registers is taken back after."""
    before = {registry: dict(registry._entries) for registry in (generators, classifiers)}

    def write(package: str, name: str) -> str:
        file = tmp_path / f"plugin_{name}.py"
        file.write_text(PLUGIN.format(package=package, name=name))
        return str(file)

    yield write
    for registry, entries in before.items():
        registry._entries = entries
    for module in [m for m in sys.modules if m.startswith("synthworth_plugin_plugin_")]:
        del sys.modules[module]


def help_of(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    with pytest.raises(SystemExit) as done:
        read(*args, "--help")
    assert not done.value.code
    return " ".join(capsys.readouterr().out.replace("│", " ").split())


# -- what beats what ----------------------------------------------------------------------------------------------


def test_without_flags_the_preset_speaks() -> None:
    request = read()
    assert (request.options.seeds, request.options.train.steps, request.options.fit.steps) == (2, 6, 6)
    assert request.options.preset == "smoke"
    assert (request.options.generator, request.options.dataset) == ("latent_ddpm", "phantom")
    assert request.data.n_train == 120


def test_the_file_beats_the_preset_and_flags_beat_the_file(config: Callable[[str], str]) -> None:
    file = config("seeds: 4\ntrain: {steps: 11}\nclf: {batch_size: 5}\nratio: [0.25, 2]\n")
    request = read("--config", file)
    assert (request.options.seeds, request.options.train.steps, request.clf.batch_size) == (4, 11, 5)
    assert request.options.ratio == (0.25, 2.0)
    assert request.options.fit.steps == 6
    request = read("--config", file, "--seeds", "5", "--train.steps", "12", "--clf.batch-size", "6", "--ratio", "1")
    assert (request.options.seeds, request.options.train.steps, request.clf.batch_size) == (5, 12, 6)
    assert request.options.ratio == (1.0,)


def test_one_value_of_a_budget_leaves_the_others(config: Callable[[str], str]) -> None:
    request = read("--config", config("fit: {seconds: 9}\n"))
    assert (request.options.fit.steps, request.options.fit.seconds) == (6, 9.0)


def test_the_file_may_choose_the_plugins(config: Callable[[str], str]) -> None:
    file = config("generator: duplicate\ndataset: digits\nclassifier: resnet34\npreset: smoke\n")
    request = parse(["--config", file], prog="test")
    chosen = request.options
    assert (chosen.generator, chosen.dataset, chosen.classifier) == ("duplicate", "digits", "resnet34")
    assert request.clf.arch == "resnet34"
    assert type(request.data).__name__ == "DigitsConfig"
    request = parse(["--config", file, "--generator=noise"], prog="test")
    assert (request.options.generator, request.options.dataset) == ("noise", "digits")


def test_a_name_implies_settings_that_a_flag_still_beats() -> None:
    assert read("--classifier", "densenet121").clf.arch == "densenet121"
    assert read("--classifier", "densenet121", "--clf.arch", "resnet34").clf.arch == "resnet34"


def test_dashes_and_underscores_are_one_option(config: Callable[[str], str]) -> None:
    assert read("--config", config("real-fraction: 0.5\n")).options.real_fraction == 0.5
    assert read("--config", config("real_fraction: 0.5\n")).options.real_fraction == 0.5
    assert read("--config", config("clf: {batch-size: 5}\n")).clf.batch_size == 5
    assert read("--real_fraction", "0.5").options.real_fraction == 0.5


def test_an_empty_file_changes_nothing(config: Callable[[str], str]) -> None:
    plain, with_file = read(), read("--config", config("# nothing\n"))
    assert with_file.gen == plain.gen
    assert (with_file.options.seeds, with_file.options.ratio) == (plain.options.seeds, plain.options.ratio)


@pytest.mark.parametrize("preset", sorted(p.stem for p in named.PRESET_FOLDER.glob("*.yaml")))
def test_every_preset_can_be_read_with_every_built_in_plugin(preset: str) -> None:
    for name in generators.names():
        parse(["--preset", preset, "--generator", name], prog="test")
    for name in classifiers.names():
        parse(["--preset", preset, "--classifier", name], prog="test")


def test_the_machine_chooses_the_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(named, "has_nvidia_gpu", lambda: False)
    assert resolve_preset("auto") == "quick"
    monkeypatch.setattr(named, "has_nvidia_gpu", lambda: True)
    assert resolve_preset("auto") == "standard"
    assert resolve_preset("smoke") == "smoke"
    assert resolve_preset("auto", device="cpu") == resolve_preset("auto", device="mps") == "quick"
    for hidden in ("-1", "", "NoDevFiles", "-1,0"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
        assert resolve_preset("auto") == "quick"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert resolve_preset("auto") == "standard"
    assert resolve_preset("auto", device="cuda:1") == "standard"
    monkeypatch.setattr(named.importlib.metadata, "version", lambda name: "2.8.0+cpu")
    assert resolve_preset("auto") == "quick"


def test_a_preset_that_is_chosen_is_named_and_said_to_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(named.PRESET_VARIABLE, raising=False)
    monkeypatch.setattr(named, "has_nvidia_gpu", lambda: True)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for flags in ([], ["--preset", "auto"]):
        asked = parse(flags, prog="test")
        assert asked.options.preset == "standard" and "preset" not in asked.given
    on_cpu = parse(["--device", "cpu"], prog="test")
    assert (on_cpu.options.preset, on_cpu.options.classifier) == ("quick", "resnet10t")
    monkeypatch.setenv(named.PRESET_VARIABLE, "smoke")
    for flags in ([], ["--preset", "auto"], ["--preset=auto"]):
        assert parse(flags, prog="test").options.preset == "smoke"
    assert parse(["--preset", "quick"], prog="test").options.preset == "quick"


# -- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sedes: 3", r"no option sedes\. Did you mean seeds\? There are: .*seeds"),
        ("gen: {widht: 3}", "no option gen.widht"),
        ("clf: {x: 3}", "no option clf.x"),
        ("data: {x: 3}", "no option data.x"),
        ("fit: {stpes: 3}", "no option fit.stpes"),
        ("seeds: many", "seeds cannot be 'many'"),
        ("seeds: 1.5", "seeds cannot be 1.5"),
        ("seeds: null", "seeds cannot be None"),
        ("seeds: [1, 2]", r"seeds cannot be \[1, 2\]"),
        ("ratio: half", "ratio cannot be 'half'"),
        ("mode: blend", "mode cannot be 'blend'"),
        ("dry_run: perhaps", "dry_run cannot be 'perhaps'"),
        ("seeds: {a: 1}", "seeds is one value, not a mapping"),
        ("gen: 3", "gen must be a mapping"),
        ("fit: {steps: x}", "fit.steps cannot be 'x'"),
        ("- seeds", "must be a mapping of options, not a list"),
        ("seeds: [", "is not YAML"),
        ("generator: latent_dpm", "Did you mean 'latent_ddpm'"),
        ("generator: 5", "generator is one name, not 5"),
        ("dataset: [digits]", "dataset is one name"),
    ],
)
def test_what_a_file_gets_wrong_is_named_in_one_line(
    config: Callable[[str], str], capsys: pytest.CaptureFixture[str], text: str, said: str
) -> None:
    file = config(text)
    with pytest.raises(UserError, match=said) as caught:
        read("--config", file)
    assert "\n" not in str(caught.value)
    assert capsys.readouterr() == ("", "")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--config .*gone\.yaml: No such file"):
        read("--config", str(tmp_path / "gone.yaml"))


def test_yaml_makes_no_objects(config: Callable[[str], str]) -> None:
    with pytest.raises(UserError, match="is not YAML"):
        read("--config", config("seeds: !!python/object/apply:os.getpid []\n"))


@pytest.mark.parametrize("flags", [["--sedes", "3"], ["--seeds", "many"], ["--gen.nothing", "1"], ["--mode", "blend"]])
def test_a_wrong_flag_ends_with_code_2(flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        read(*flags)
    assert done.value.code == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--generator", "latent_dpm"], "Did you mean 'latent_ddpm'"),
        (["--dataset", "phantm"], "Did you mean 'phantom'"),
        (["--classifier", "resnet19"], "Did you mean"),
        (["--fit.steps", "0"], "at least 1 is needed"),
        (["--train.seconds", "-1"], "above 0"),
        (["--plugin", "nowhere.py"], "nowhere.py: no such file"),
    ],
)
def test_a_request_that_cannot_be_is_one_line_and_code_2(
    flags: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(args: Any) -> int:
        read(*args)
        return 0

    assert guarded(command, flags) == 2
    err = capsys.readouterr().err
    assert said in err
    assert err.startswith("error: ") and err.count("\n") == 1


# -- the plugins' own options -------------------------------------------------------------------------------------


def test_the_generators_flags_follow_the_generator(capsys: pytest.CaptureFixture[str]) -> None:
    latent, control = help_of(capsys, "--generator", "latent_ddpm"), help_of(capsys, "--generator", "duplicate")
    assert "--gen.sampling-steps" in latent and "Steps of the sampler" in latent
    assert "--gen." not in control
    assert "--data.n-train" in control
    assert "--data.n-train" not in help_of(capsys, "--dataset", "digits")


def test_help_tells_every_option_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    text = help_of(capsys)
    for words in ("--ratio", "Synthetic / real.", "--seeds INT", "(default: 2)", "--clf.batch-size", "--fit.steps"):
        assert words in text


def test_a_plugin_files_own_options_appear(
    plugin: Callable[[str, str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    file = plugin("generators", "mine")
    text = help_of(capsys, "--plugin", file, "--generator", "mine")
    assert "--gen.depth INT How deep mine goes. (default: 3)" in text
    request = read("--plugin", file, "--generator", "mine", "--gen.depth", "7")
    assert (type(request.gen).__name__, request.gen.depth) == ("Config", 7)
    with pytest.raises(UserError, match=r"no generator named 'min'\. Did you mean 'mine'"):
        read("--plugin", file, "--generator", "min")


def test_a_plugin_may_be_named_in_the_file(plugin: Callable[[str, str], str], config: Callable[[str], str]) -> None:
    file = plugin("generators", "filed")
    request = read("--config", config(f"plugin: [{file}]\ngenerator: filed\ngen: {{depth: 9}}\n"))
    assert request.gen.depth == 9
    assert request.options.plugin == (Path(file),)


def test_one_plugin_in_the_file_needs_no_list(plugin: Callable[[str, str], str], config: Callable[[str], str]) -> None:
    file = plugin("generators", "single")
    request = read("--config", config(f"plugin: {file}\ngenerator: single\n"))
    assert request.gen.depth == 3


def test_a_classifier_from_elsewhere_works_with_every_preset(plugin: Callable[[str, str], str]) -> None:
    file = plugin("classifiers", "far")
    for preset in sorted(p.stem for p in named.PRESET_FOLDER.glob("*.yaml")):
        request = parse(["--preset", preset, "--plugin", file, "--classifier", "far"], prog="test")
        assert request.clf.depth == 3


@pytest.mark.parametrize("name", sorted(systems()))
def test_every_published_system_is_a_configuration(name: str) -> None:
    request = parse(["--config", name], prog="test")
    assert request.options.dataset == "nih"
    assert request.options.preset == "full"
    assert parse(["--config", name, "--gen.batch", "8"], prog="test").gen.batch == 8


def test_an_unknown_system_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UserError, match="Did you mean 'cxr_diffusion_text'"):
        parse(["--config", "cxr_difusion_text"], prog="test")
