"""From flags, YAML and presets to a request: tyro parses twice, first the plugins' names, then their options."""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from benchmarks.request.configs import layered
from benchmarks.request.loggers import LoggerName
from benchmarks.request.named import (
    PRESET_VARIABLE,
    PRESETS,
    by_name,
    is_system,
    known_fields,
    read_config,
    read_preset,
    resolve_preset,
)
from benchmarks.request.tuned import Tuned
from classifiers.registry import classifiers
from data.mixing import Mode
from data.registry import datasets
from data.splits.sharing import Donor
from generators.registry import generators
from synthworth.errors import UserError
from synthworth.registry import config_of, load_plugin_file
from synthworth.work import Budget, Compile

SHARING = ("shared_real", "shared_pretrained")
"""Controls of a donor's films: the films themselves, and a classifier that has seen them."""


@dataclass(frozen=True)
class Choice:
    """The flags that decide which other flags there are."""

    generator: str = "latent_ddpm"
    dataset: str = "phantom"
    classifier: str | None = None
    preset: Literal["auto", "smoke", "quick", "standard", "full"] = "auto"
    config: Path | None = None
    plugin: tuple[Path, ...] = ()
    device: str = "auto"


@dataclass(frozen=True)
class Options:
    """Train a classifier with and without synthetic images, and say what they were worth."""

    generator: str = "latent_ddpm"
    """What draws the synthetic images; `python -m benchmarks.list generators` names all."""
    ratio: tuple[float, ...] = (0.5,)
    """Synthetic / real. Several ratios share one training of the generator; 0 is real images alone."""
    mode: Mode = "add"
    """add: real + r n. replace: n fixed, share r synthetic. balance: fill rare classes. only: no real images.
    pretrain: synthetic images for the first half of the steps, then the real ones. All at equal steps."""
    dataset: str = "phantom"
    """Where real images come from; `python -m benchmarks.list datasets` names all."""
    classifier: str = "resnet18"
    """What is trained on the mixture; `python -m benchmarks.list classifiers` names all. `benchmarks.run` takes several
    (resnet18 resnet34 densenet121), each a run of its own; three or more give a verdict over classifiers."""
    controls: tuple[str, ...] = ("none", "duplicate")
    """Arms that the generator's is read against, on the same seeds: controls (none, duplicate, jitter, holdout_real,
    reconstruct, noise, label_shuffle; with a donor shared_real, shared_pretrained) and classical remedies (oversample,
    class_weights, randaugment, mixup, cutmix, longer). With --learn-from donor the two of sharing join by themselves
    where none are named."""
    curve: tuple[float, ...] = ()
    """Shares of the real training images to learn from alone, for the worth in real images (0.125 0.25 0.5 2, say);
    above 1 further real images join, where there are some."""
    margin: float = 0.01
    """Difference of AUROC within which two arms count as equivalent, where the data show that."""
    prevalence: float = 0.0
    """Share of patients with the finding where the classifier would be used (0.02, say), at which net benefit and
    decision curve are measured; 0 measures none."""
    filters: tuple[str, ...] = ()
    """What synthetic images must pass before they are used; `python -m benchmarks.list filters` names all."""
    without_copies: bool = False
    """Also train on as many synthetic images that are no near-copies of training images: the use that is left."""
    test_on: tuple[str, ...] = ()
    """Further datasets of the same classes to predict on: a dataset (nih), DATASET:PATH (folder:kermany), either with
    NAME= before it, or a YAML file with name, dataset, data (its options) and classes (its class: ours, or null to
    leave its films out)."""
    robustness: bool = False
    """Also predict on the test images under noise, blur, contrast, JPEG and gamma, each at five strengths."""
    seeds: int = 6
    """Classifier seeds an arm; fewer than 6 cannot reach p < 0.05."""
    real_fraction: float = 1.0
    """Share of the training patients that anything may learn from; taken before the generator is trained."""
    patients_per_class: int = 0
    """Training patients of each class that anything may learn from, taken likewise; 0 for all."""
    max_train: int = 0
    """Training images at most: of a larger set, --real-fraction is lowered to about so many (smoke: 240); 0 for all."""
    donor: str = ""
    """Which training images are another hospital's: a share of them by whole patients (0.8), or those with the value of
    an attribute (site=B). The classifiers' own real images are the others; taken after the real fraction."""
    learn_from: Literal["own", "donor"] = "own"
    """donor: the generator learns from the donor's images alone, and its images join the recipient's real ones."""
    preset: Literal["auto", "smoke", "quick", "standard", "full"] = "auto"
    """Budgets: smoke (seconds), quick (two cores, minutes), standard (one GPU), full (published settings).
    auto is SYNTHWORTH_PRESET where that is set, else quick, or standard where there is an NVIDIA GPU. smoke beats the
    budgets and sizes of a published system."""
    config: Path | None = None
    """YAML file with any of these options, or the name of a published system (cxr_diffusion_text, say; all are listed
    by `python -m benchmarks.list systems`), with variants behind it (vae_vgg16+densenet121+decoder1; `list variants`);
    flags beat it, it beats the preset."""
    plugin: tuple[Path, ...] = ()
    """Python files that register generators, datasets, classifiers, metrics, extractors or filters."""
    seed: int = 0
    """Root of every seed."""
    generator_seed: tuple[int, ...] = (0,)
    """Which trainings of the generator. Three or more (0 1 2) give a verdict on the method, not on one training of
    it; controls are drawn once."""
    precision: Literal["auto", "fp32", "tf32", "bf16"] = "auto"
    """Arithmetic of training, of generator and classifier alike; auto decides for each by what it is, from a table of
    measured cases: bf16 where the processor multiplies it natively and the network trains faster so. tf32: float32
    whose products a GPU shortens."""
    device: str = "auto"
    """cpu, cuda, cuda:1, mps; auto takes a GPU where there is one. Not part of a run's identity."""
    extractors: tuple[str, ...] = ("inception", "efficientnet_lite0", "vgg16_random")
    """Feature extractors of the fidelity metrics."""
    extractor_precision: Literal["fp32", "bf16"] = "fp32"
    """Arithmetic of the extractors; bf16 is faster and moves the distances a little, so it names its own numbers."""
    shard: int = 256
    """Synthetic images drawn at a time for each class; a larger pool extends a smaller one by whole shards."""
    devices: int = 1
    """Processes (GPUs, or shares of a CPU) that train a generator together; each computes its share of the parts
    that a step's batch is cut into: as many as devices, or as the generator's option accumulate says. The number of
    parts is part of a run's identity, the number of devices is not."""
    compile: Compile = "auto"
    """Compile networks (torch.compile): a minute or so at the start, faster steps on a GPU. auto does so on CUDA where
    the fit is long enough to pay for it, yes always, and no neither compiles nor records steps. yes concerns generators
    off a GPU, and classifiers too on one. Not part of a run's identity."""
    snapshot_epochs: float = 0.0
    """Passes over the images between two pictures of what the generator draws, each kept with its weights; 0: none."""
    logger: LoggerName = "none"
    """Tracker that is also sent the records and their curves: tensorboard, mlflow or wandb. It changes nothing."""
    workers: int = 0
    """Classifiers trained side by side on a CPU; 0 takes one for each core, up to 8."""
    results: Path = Path("results/runs")
    """Folder that takes the records."""
    home: Path | None = None
    """Folder of the artifacts; SYNTHWORTH_HOME, or .synthworth."""
    checkpoint_seconds: float = 15.0
    """Seconds between checkpoints: what a kill can cost."""
    dry_run: bool = False
    """Print what is there and what would be made, and stop."""
    fit: Budget = field(default_factory=Budget)
    """Budget of the generator."""
    train: Budget = field(default_factory=Budget)
    """Budget of the classifier, in optimiser steps, the same for every arm."""


@dataclass(frozen=True)
class Request:
    """What was asked for: the options, and the chosen plugins' own Configs."""

    options: Options
    gen: Any
    data: Any
    clf: Any
    given: frozenset[str] = frozenset()
    """Options that the command line or the file names; the others are the preset's or defaults."""
    precisions: tuple[str, str] | None = None
    """Arithmetic of classifier and generator where a record says it; else `--precision` decides."""
    tuned: Tuned | None = None
    """Of what was chosen by a search."""


Read = Callable[[Mapping[str, Any]], Request]
"""From what stands already (`options` and the Configs) to the request, with the flags laid over it."""


def parse(args: Sequence[str], *, prog: str) -> Request:
    """Read flags (which beat the YAML file, which beats the preset) into a request.

    Raises
    ------
    UserError
        For unknown plugins, unknown or ill-typed options in a file. Unknown flags end the process with code 2.
    """
    args = complete_flags(args)
    first = read_choice(args, prog=prog)
    file = read_config(first.config) if first.config else {}
    return parse_mapping(file, args, first=first, where=str(first.config), prog=prog)


def parse_mapping(
    file: Mapping[str, Any], args: Sequence[str], *, first: Choice, where: str, prog: str, read: Read | None = None
) -> Request:
    """Options as a YAML file has them, and flags that beat them.

    Parameters
    ----------
    first : what the flags choose (`read_choice`).
    where : how the file is called in errors.
    read : reads the flags over what stands already; `read_flags` unless something else does the same.

    Raises
    ------
    UserError
        As `parse`.
    """
    flags = given_flags(args)
    if len(several := named_by_flag(args, "--classifier")) > 1:
        raise UserError(f"--classifier {' '.join(several)}: {prog} takes one; benchmarks.run takes several")
    chosen = _choose(first, file, flags=flags)
    of_system = "preset" in flags and is_system(chosen.config)
    default = _defaults(chosen, file, where=where, beats_system=of_system)
    request = read(default) if read is not None else read_flags(args, default, prog=prog)
    named = {str(name).replace("-", "_") for name in file}
    given = flags | named
    options = with_donor(request.options, controls_given="controls" in given)
    if options.preset == "auto":  # asked for by name: what it came to, and that it was chosen
        options = dataclasses.replace(options, preset=resolve_preset("auto", device=chosen.device))
        given = given - {"preset"}
    return dataclasses.replace(request, options=options, given=frozenset(given))


def with_donor(o: Options, *, controls_given: bool) -> Options:
    """The options with the donor in one form (0.80 is 0.8), and with the controls of sharing where none are named.

    Raises
    ------
    UserError
        For a donor that is neither a share nor the value of an attribute, and for what needs one without one.
    """
    if not o.donor:
        if o.learn_from == "donor":
            raise UserError("--learn-from donor needs a donor: --donor 0.5 (a share of the films), or --donor site=B")
        return o
    controls = o.controls
    if o.learn_from == "donor" and not controls_given:
        controls = (*controls, *(name for name in SHARING if name not in controls))
    return dataclasses.replace(o, donor=str(Donor.read(o.donor)), controls=controls)


def read_choice(args: Sequence[str], *, prog: str) -> Choice:
    """The flags that decide which other flags there are, whatever stands beside them."""
    first, _ = tyro.cli(
        Choice,
        args=[a for a in args if a not in ("-h", "--help")],
        return_unknown_args=True,
        add_help=False,
        prog=prog,
    )
    return first


def read_flags(args: Sequence[str], default: Mapping[str, Any], *, prog: str) -> Request:
    """A request whose options stand already, with flags that beat them.

    Parameters
    ----------
    default : `options` and the Configs `gen`, `data` and `clf` of the chosen plugins.

    Raises
    ------
    UserError
        For values that an option refuses. Unknown flags end the process with code 2.
    """
    shape = dataclasses.make_dataclass(
        "Run",
        [
            ("options", Annotated[Options, tyro.conf.arg(name="")]),
            *((part, type(default[part])) for part in ("gen", "data", "clf")),
        ],
        frozen=True,
    )
    run = tyro.cli(shape, args=list(args), default=shape(**default), prog=prog, description=Options.__doc__)
    return Request(run.options, run.gen, run.data, run.clf, given=frozenset(given_flags(args)))


def complete_flags(args: Sequence[str]) -> Sequence[str]:
    """The flags as they are meant: with the preset of the environment, and `--compile` alone as `--compile yes`."""
    return _with_preset(_with_compile(args))


def _with_compile(args: Sequence[str]) -> Sequence[str]:
    """The flags, with a `--compile` that stands alone read as `--compile yes`, as it was once spelled."""
    after = [*args, "-"][1:]
    alone = {k for k, (a, b) in enumerate(zip(args, after, strict=True)) if a == "--compile" and b.startswith("-")}
    return [f"{a}=yes" if k in alone else a for k, a in enumerate(args)]


def _with_preset(args: Sequence[str]) -> Sequence[str]:
    """The flags, with the preset of the environment where none is given.

    Raises
    ------
    UserError
        When the variable names no preset.
    """
    name = os.environ.get(PRESET_VARIABLE, "")
    asked = [b for a, b in itertools.pairwise(args) if a == "--preset"]
    asked += [a.partition("=")[2] for a in args if a.startswith("--preset=")]
    if not name or any(one != "auto" for one in asked):
        return args
    if name not in PRESETS:
        raise UserError(f"{PRESET_VARIABLE}={name}: no preset of that name; there are {', '.join(PRESETS)}")
    return [*args, "--preset", name]


def _choose(first: Choice, file: Mapping[str, Any], *, flags: set[str]) -> Choice:
    """Names of plugins and preset: from the flags, else the file, else the preset; plugin files are imported."""
    names = [f.name for f in dataclasses.fields(Choice) if f.name != "config"]
    if "config" in file:
        raise UserError(
            f"--config {first.config}: it names a further file, config: {file['config']}, which would not be read. "
            "Write all options into one file"
        )
    given = {k: file[k] for k in names if k in file} | {k: getattr(first, k) for k in names if k in flags}
    for name in ("generator", "dataset", "classifier", "preset", "device"):
        if name in given and not isinstance(given[name], str):
            several = "; a sweep varies it under sweep: product:" if name == "classifier" else ""
            raise UserError(f"--config {first.config}: {name} is one name, not {given[name]!r}{several}")
    if given.get("preset", "auto") not in PRESETS:
        raise UserError(f"no preset named {given['preset']!r}; there are {', '.join(PRESETS)}")
    plugins = given.get("plugin") or ()
    plugins = [plugins] if isinstance(plugins, str) else plugins
    if not isinstance(plugins, Sequence) or not all(isinstance(plugin, str | Path) for plugin in plugins):
        raise UserError(f"--config {first.config}: plugin is one file or a list of them, not {plugins!r}")
    for plugin in plugins:
        load_plugin_file(Path(plugin))
    return dataclasses.replace(first, **given)


def _defaults(chosen: Choice, file: Mapping[str, Any], *, where: str, beats_system: bool) -> dict[str, Any]:
    """What stands before the flags are read: options and the plugins' Configs from preset and file.

    Parameters
    ----------
    beats_system : the preset was asked for beside a published system. Its budgets, and what it says under
        `over_systems`, are then laid over the system's.
    """
    preset_name = resolve_preset(chosen.preset, device=chosen.device)
    preset = read_preset(preset_name)
    over = preset.get("over_systems", {}) if beats_system else {}
    generator, dataset = chosen.generator, chosen.dataset
    classifier = chosen.classifier or preset.get("classifier") or "resnet18"
    of_gen = by_name(preset, "generators", generator)
    of_clf = known_fields(
        config_of(classifiers.get(classifier), classifier),
        by_name(preset, "classifiers", classifier),
    )
    names = {"generator": generator, "dataset": dataset, "classifier": classifier, "preset": preset_name}
    where = where if file else f"preset {preset_name}"
    parts = {
        "gen": (generators, generator, of_gen.get("gen", {}), by_name(over, "generators", generator)),
        "data": (datasets, dataset, by_name(preset, "datasets", dataset), by_name(over, "datasets", dataset)),
        "clf": (classifiers, classifier, of_clf, of_clf if over else {}),
    }
    found = {}
    for part, (registry, name, row, last) in parts.items():
        layers = [registry.implied(name), row, file.get(part, {}), last]
        config = config_of(registry.get(name), name)
        found[part] = layered(config, layers, where, f"{part}.", name)
    rest = {k: v for k, v in file.items() if k not in names and k not in parts}
    budgets = [preset.get("options", {}), {"fit": of_gen.get("fit", {})}]
    layers = [*budgets, names, rest, *([*budgets, over.get("options", {})] if over else [])]
    return {"options": layered(Options, layers, where, ""), **found}


def given_flags(args: Sequence[str]) -> set[str]:
    """Names of the flags on the command line, with dashes as underscores."""
    return {a[2:].partition("=")[0].replace("-", "_") for a in args if a.startswith("--")}


def named_by_flag(args: Sequence[str], flag: str) -> list[str]:
    """The words that follow a flag, or stand behind its `=`; of a flag that is given twice the last ones."""
    found: list[str] = []
    for place, word in enumerate(args):
        if word == flag:
            found = list(itertools.takewhile(lambda one: not one.startswith("-"), args[place + 1 :]))
        elif word.startswith(f"{flag}="):
            found = [word.partition("=")[2]]
    return found
