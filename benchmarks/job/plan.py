"""The plan: which arms a request means, and what of each is there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.metrics.registry import EXTRACTORS
from benchmarks.records.kinds import Wrong
from benchmarks.records.shape import check_spec
from benchmarks.report.plan import Row
from benchmarks.request.filters import WITHOUT_COPIES, check_filters, without_copies
from benchmarks.request.options import Options, Request
from benchmarks.request.remedies import REMEDIES, changed_options
from benchmarks.request.spec import DONOR, RunSpec, n_shards, normalise, real_only
from benchmarks.stages.arm import Arm
from benchmarks.stages.bench import Bench
from benchmarks.stages.elsewhere import STAGE, identities, keys_elsewhere
from benchmarks.stages.images import Images
from classifiers.registry import NEEDS as CLASSIFIER_NEEDS
from classifiers.registry import classifiers
from data.mixing import Demand
from data.prepared import data_preparation
from data.registry import NEEDS as DATASET_NEEDS
from data.registry import datasets
from generators.registry import NEEDS as GENERATOR_NEEDS
from generators.registry import generators
from synthworth.errors import UserError
from synthworth.keys import digest, plain
from synthworth.registry import config_of

MAX_SHARDS = 50_000


def check_plugins(o: Options) -> None:
    """Refuse plugins that are not of their kind, before anything is made of them.

    Raises
    ------
    UserError
        For one that lacks what its contract asks for, and for a control that is none.
    """
    chosen = [(generators, o.generator, GENERATOR_NEEDS), (datasets, o.dataset, DATASET_NEEDS)]
    chosen.append((classifiers, o.classifier, CLASSIFIER_NEEDS))
    for registry, name, needs in chosen:
        config_of(registry.get(name), name, needs=needs)
    _check_controls(o)
    _check_sharing(o)


def _check_controls(o: Options) -> None:
    for control in o.controls:
        if control in REMEDIES:
            continue
        if not getattr(generators.get(control), "is_control", False):
            raise UserError(f"--controls {control}: it is a generator, not a control; give it as --generator")
        config_of(generators.get(control), control, needs=GENERATOR_NEEDS)


def _check_sharing(o: Options) -> None:
    """Refuse what does not go together between two hospitals, before an image is looked at.

    Raises
    ------
    UserError
        For a control of the donor's films without a donor, and for images that would be learned from the wrong ones.
    """
    used = {name: generators.get(name) for name in (o.generator, *o.controls) if name not in REMEDIES}
    for name, cls in used.items():
        if getattr(cls, "from_donor", False) and not o.donor:
            raise UserError(f"{name} draws the films of a donor: say which they are, --donor 0.5 or --donor site=B")
        if o.learn_from == DONOR and getattr(cls, "needs_generator", False):
            raise UserError(
                f"--controls {name} shows the recipient's films through the generator's autoencoder, and with "
                "--learn-from donor that has learned from the donor's; leave one of the two out"
            )
    cls = used.get(o.generator)
    own = getattr(cls, "is_control", False) and not getattr(cls, "from_donor", False)
    if o.learn_from == DONOR and not own and not getattr(cls, "trains", True) and not getattr(cls, "from_donor", False):
        raise UserError(
            f"--learn-from donor: {o.generator} learns from no film at all, so not from the donor's; leave one of the "
            "two out"
        )
    if o.learn_from == DONOR and own:
        raise UserError(f"--learn-from donor: {o.generator} is a control of the recipient's own films; leave one out")


def specs_of(
    request: Request, *, fingerprint: str, precision: str, generator_precision: str = "", known: Known | None = None,
    test_on: Sequence[Mapping[str, Any]] = (),
) -> list[RunSpec]:  # fmt: skip
    """Every arm of a request, controls first, none of them twice.

    Parameters
    ----------
    precision : of the classifiers, and of what draws without training.
    generator_precision : of what is trained to draw; empty for the same.
    known : arms of controls that requests before this one had, where several share them.
    test_on : what other datasets are, as it stands in a spec.

    Raises
    ------
    UserError
        For a control, an extractor or a filter that does not exist, or a ratio that means nothing.
    """
    o = request.options
    for flag, given in (("ratio", o.ratio), ("generator-seed", o.generator_seed)):
        if not given:
            raise UserError(f"--{flag} needs at least one number")
    if getattr(generators.get(o.generator), "one_training", False) and tuple(o.generator_seed) != (0,):
        raise UserError(f"--generator-seed {' '.join(map(str, o.generator_seed))}: {o.generator} has one training, 0")
    for extractor in o.extractors:
        EXTRACTORS.require(extractor)
    check_filters(o.filters)
    _check_controls(o)
    _check_sharing(o)
    known = known if known is not None else {}
    common = _common(request, known, fingerprint=fingerprint, precision=precision)
    common |= {"generator_precision": generator_precision, "test_on": tuple(test_on)}
    controls = _controls(request, common, known)
    wanted = list(controls)
    wanted += [
        _arm(request, {**common, "generator_seed": number, "filters": o.filters}, o.generator, ratio)
        for number in o.generator_seed
        for ratio in o.ratio
    ]
    if o.without_copies:
        wanted += [spec for arm in wanted if arm.generator == o.generator and (spec := without_copies(arm)) is not None]
    wanted += [replace(real_only(wanted[0]), portion=portion) for portion in o.curve if portion != 1]
    if o.curve:
        wanted.append(real_only(wanted[0]))
    unique = {spec.run_id: spec for spec in wanted}
    checked = {id(spec) for spec in controls}
    for spec in unique.values():
        if id(spec) not in checked:
            _check_can_be_read_again(spec)
    return sorted(unique.values(), key=lambda s: (not s.is_zero_line, s.generator == o.generator, s.portion))


Known = dict[tuple[Any, ...], Any]
"""Arms of controls by what they are made of: objects by themselves, which are kept with what was made of them."""


def _controls(request: Request, common: Mapping[str, Any], known: Known) -> list[RunSpec]:
    """The arms of the controls, each fit for a record. Those that draw from the generator have its options."""
    o = request.options
    classes = [generators.get(name) for name in o.controls if name not in REMEDIES]
    of_generator = o.generator in o.controls or any(getattr(cls, "needs_generator", False) for cls in classes)
    used = (o, request.data, request.clf, request.tuned, *([request.gen] if of_generator else []))
    names = ("fingerprint", "precision", "generator_precision", "data_version", "classifier_version")
    key = (*map(id, used), *(common[name] for name in names), digest(common["test_on"]))
    if key not in known:
        found = [_arm(request, common, name, ratio) for ratio in o.ratio for name in o.controls]
        for spec in {spec.run_id: spec for spec in found}.values():
            _check_can_be_read_again(spec)
        known[key] = used, found
    made: list[RunSpec] = known[key][1]
    return made


def _check_can_be_read_again(spec: RunSpec) -> None:
    """Refuse what a record could hold and no reader would take: it would be made again by every call."""
    same = {"gen", "data", "clf"}  # plain already, and any mapping will do
    form = {name: value if name in same else plain(value) for name, value in spec.fields()}
    try:
        check_spec(form)
    except Wrong as error:
        raise UserError(f"no record can hold what was asked for: {error}. Ask for another number") from error


def optional_arms(request: Request, specs: Sequence[RunSpec]) -> frozenset[str]:
    """Run ids of the arms that `--without-copies` adds: where too few images pass, they are skipped with a note."""
    if not request.options.without_copies or set(WITHOUT_COPIES) <= set(request.options.filters):
        return frozenset()
    return frozenset(spec.run_id for spec in specs if set(WITHOUT_COPIES) <= set(spec.filters))


def _plain(config: Any, known: Known) -> Any:
    """The plain form of a Config, made once."""
    key = "plain", id(config)
    if key not in known:
        known[key] = config, plain(config)
    return known[key][1]


def _common(request: Request, known: Known, *, fingerprint: str, precision: str) -> dict[str, Any]:
    """What all arms of a request share.

    Controls are not filtered (`duplicate` without copies would be nothing), and are drawn from generator seed 0, so
    that they are the same in every request.
    """
    o = request.options
    return {
        "dataset": o.dataset,
        "data": _plain(request.data, known),
        "data_version": datasets.get(o.dataset).version,
        "fingerprint": fingerprint,
        "classifier": o.classifier,
        "clf": _plain(request.clf, known),
        "classifier_version": version_of(classifiers.get(o.classifier), request.clf),
        "mode": o.mode,
        "real_fraction": o.real_fraction,
        "patients_per_class": o.patients_per_class,
        "donor": o.donor,
        "seed": o.seed,
        "seeds": o.seeds,
        "shard": o.shard,
        "precision": precision,
        "extractors": o.extractors,
        "extractor_precision": o.extractor_precision,
        "controls": o.controls,
        "curve": o.curve,
        "margin": o.margin,
        "robustness": o.robustness,
        "prevalence": o.prevalence,
    }


def _arm(request: Request, common: Mapping[str, Any], name: str, ratio: float) -> RunSpec:
    """The arm of a generator, a control or a remedy at one ratio."""
    tuned = request.tuned
    if name in REMEDIES:
        gen = plain(tuned.options) if tuned is not None and tuned.arm == name else {}
        changed_options(name, common["clf"], gen)  # refuses a classifier without the option
        drawn: dict[str, Any] = {"gen": gen, "generator_version": 1, "fit": None, "generator_precision": ""}
    else:
        drawn = _drawn(request, name)
    if tuned is not None and tuned.arm == name:
        drawn["tuned"] = tuned.mark()
    return normalise(RunSpec(**{**common, **drawn}, generator=name, train=request.options.train, ratio=ratio))


def _drawn(request: Request, name: str) -> dict[str, Any]:
    """What identifies the generator of an arm: its options, version and budget."""
    o, cls = request.options, generators.get(name)
    if getattr(cls, "needs_generator", False):
        if name == o.generator:
            raise UserError(
                f"{name} shows what a generator's autoencoder keeps: ask for it beside one, for instance "
                f"--generator latent_ddpm --controls none duplicate {name}"
            )
        of = generators.get(o.generator)
        gen = {"of_generator": o.generator, "version": version_of(of, request.gen), "config": plain(request.gen)}
        return {"gen": gen, "generator_version": cls.version, "fit": o.fit}
    config = request.gen if name == o.generator else cls.Config()
    budget = o.fit if getattr(cls, "trains", True) else None
    same = {} if budget is not None else {"generator_precision": ""}  # a copy of an image is the same in any arithmetic
    if mode := getattr(cls, "mode", None):
        same["mode"] = mode
    shared = getattr(cls, "from_donor", False) or (name == o.generator and o.learn_from == DONOR)
    whose = {"learn_from": DONOR} if shared else {}
    return {"gen": plain(config), "generator_version": version_of(cls, config), "fit": budget, **same, **whose}


def version_of(plugin: Any, config: Any) -> int:
    """The version that stands in a key: the plugin's, or what it says of this Config (its optional `version_of`)."""
    found: int = plugin.version_of(config) if hasattr(plugin, "version_of") else plugin.version
    return found


def check_classes(images: Images, specs: Sequence[RunSpec]) -> None:
    """Refuse, before anything is trained, what no arm could learn from.

    Raises
    ------
    UserError
        For a class without a training image; for an arm whose ratio comes to no synthetic image at all: it would train
        on real images alone under the generator's name; for one that needs too many shards; and for a point of the
        learning curve that needs more images than there are.
    """
    empty = [c for c, n in images.train.counts().items() if n == 0]
    if empty:
        fewer = "Choose another --donor, raise --real-fraction" if specs[0].donor else "Raise --real-fraction"
        raise UserError(
            f"no training image shows {', '.join(empty)} (dataset {specs[0].dataset}, {len(images.train)} training "
            f"images). {fewer}, or leave the class out"
        )
    if any(spec.learn_from for spec in specs) and (lacks := [c for c, n in images.donor.counts().items() if n == 0]):
        raise UserError(
            f"no film of the donor (--donor {specs[0].donor}, {len(images.donor)} films) shows {', '.join(lacks)}: "
            "nothing of it can be shared. Choose another donor, or leave the class out"
        )
    n = len(images.train)
    for spec in specs:
        if spec.portion > 1:
            images.further_for(spec.portion)
        if not spec.is_real_only:
            _refuse_shards(spec, images.demand(spec))
        if spec.is_real_only or images.demand(spec).total:
            continue
        if round(spec.ratio * n):
            raise UserError("--mode balance adds nothing here: every class has as many images. Choose another --mode")
        raise UserError(
            f"--ratio {spec.ratio:g} of {n} training images comes to 0 synthetic images; 1 image is a ratio of "
            f"{1 / n:.3g}, and ratio 0 asks for real images alone"
        )


def _refuse_shards(spec: RunSpec, demanded: Demand) -> None:
    """Each shard is an artifact of its own, with a key and a folder."""
    n = sum(n_shards(wanted, spec.shard) for wanted in demanded.streams.values())
    if n > MAX_SHARDS:
        raise UserError(
            f"{spec.name} needs {demanded.total:,} synthetic images in {n:,} shards of --shard {spec.shard}, and "
            f"{MAX_SHARDS:,} shards are the most. Raise --shard, or lower --ratio"
        )


def rows_of(bench: Bench, arm: Arm) -> list[Row]:
    """What of an arm is there and what is to do."""

    def count(stage: str, keys: Sequence[str]) -> Row:
        there = tuple((key, bench.store.has(stage, key)) for key in keys)
        have = sum(has for _, has in there)
        return Row(arm.spec.name, stage, have, len(keys) - have, arm.spec, there)

    rows = []
    if arm.draws:
        rows += [count("fit", [arm.fit_key]), count("pool", arm.shard_keys)]
    rows.append(count("classify", arm.classify_keys))
    return [*rows, count(STAGE, keys_elsewhere(arm))] if arm.spec.predicts_elsewhere else rows


def expected_rows(dataset: str, specs: Sequence[RunSpec]) -> list[Row]:
    """The plan of a dataset that is not prepared, and of which nothing can be there.

    How many images are drawn depends on it and is not known (None).
    """
    rows = [Row(dataset, "data", 0, 1)]
    for spec in specs:
        if not spec.is_real_only:
            fit = ((digest(spec.fit_identity()), False),)
            rows += [Row(spec.name, "fit", 0, 1, spec, fit), Row(spec.name, "pool", 0, None, spec)]
        trainings = tuple((f"{spec.run_id} {number}", False) for number in range(spec.seeds))
        rows.append(Row(spec.name, "classify", 0, spec.seeds, spec, trainings))
        if spec.predicts_elsewhere:
            rows.append(Row(spec.name, STAGE, 0, spec.seeds * len(identities(spec, "")), spec))
    return rows


def prepared(bench: Bench, name: str, dataset: Any) -> Path | None:
    """Folder of the prepared dataset, or None while it is not there or not whole."""
    key = digest(data_preparation(name, dataset))
    return bench.store.path("data", key) if bench.store.has("data", key, deep=True) else None
