"""A run's identity holds what its numbers depend on, and the key of a stage what that stage depends on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from benchmarks.job.plan import specs_of
from benchmarks.request.options import parse
from benchmarks.request.spec import NONE, NOT_THE_ARM, RunSpec, n_shards, normalise, real_only
from data.images import ImageSet
from data.mixing import MODES, Demand, demand
from synthworth.errors import UserError
from synthworth.keys import digest
from synthworth.work import Budget

Make = Callable[..., RunSpec]

ALL = {"data", "fit", "pool", "classify", "run_id"}
GENERATOR = {"fit", "pool", "classify", "run_id"}
CLASSIFIER = {"classify", "run_id"}
MEASURED = {"run_id"}
KEPT = {"classify", "run_id"}  # measured alone, with classifiers whose weights are kept: what is stored, not learned
TABLE: dict[str, tuple[Any, set[str]]] = {
    "dataset": ("digits", ALL),
    "data": ({"size": 64}, ALL),
    "data_version": (2, ALL),
    "fingerprint": ("e" * 64, ALL),
    "real_fraction": (0.5, ALL),
    "patients_per_class": (3, ALL),
    "donor": ("0.5", ALL),
    "learn_from": ("donor", GENERATOR),
    "filters": (("no_copies",), CLASSIFIER),
    "portion": (0.5, CLASSIFIER),
    "generator": ("dcgan", GENERATOR),
    "gen": ({"widths": [8, 32]}, GENERATOR),
    "generator_version": (2, GENERATOR),
    "fit": (Budget(steps=11), GENERATOR),
    "generator_seed": (1, GENERATOR),
    "seed": (1, GENERATOR),
    "precision": ("bf16", GENERATOR),
    "generator_precision": ("bf16", GENERATOR),
    "shard": (8, {"pool", "classify", "run_id"}),
    "ratio": (1.0, CLASSIFIER),
    "mode": ("replace", CLASSIFIER),
    "classifier": ("densenet121", CLASSIFIER),
    "clf": ({"arch": "other"}, CLASSIFIER),
    "classifier_version": (2, CLASSIFIER),
    "train": (Budget(steps=6), CLASSIFIER),
    "seeds": (7, MEASURED),
    "extractors": (("vgg16_random",), MEASURED),
    "extractor_precision": ("bf16", MEASURED),
    "controls": (("none",), MEASURED),
    "curve": ((0.5,), MEASURED),
    "margin": (0.02, MEASURED),
    "n_bootstrap": (201, MEASURED),
    "analysis": (99, MEASURED),
    "tuned": ({"study": "s", "trials": 3, "space": "d" * 64}, MEASURED),
    "test_on": (({"name": "nih", "fingerprint": "a" * 64},), KEPT),
    "robustness": (True, KEPT),
    "prevalence": (0.1, MEASURED),
}
"""For every field another value, and the keys that must change with it (and no others)."""


def keys_of(spec: RunSpec, train: ImageSet) -> dict[str, str]:
    demanded = demand(train, ratio=spec.ratio, mode=spec.mode)
    return {
        "data": digest(spec.data_identity()),
        "fit": digest(spec.fit_identity()),
        "pool": digest(spec.shard_identity("a", 0)),
        "classify": digest(spec.classify_identity(demanded, 0)),
        "run_id": spec.run_id,
    }


def test_every_field_has_its_row() -> None:
    assert set(TABLE) == {f.name for f in dataclasses.fields(RunSpec)}


@pytest.mark.parametrize("field", TABLE)
def test_a_field_changes_the_keys_of_its_row_and_no_others(
    field: str, make_spec: Make, make_images: Callable[..., ImageSet]
) -> None:
    other, expected = TABLE[field]
    spec, train = make_spec(), make_images()
    assert getattr(spec, field) != other
    before, after = keys_of(spec, train), keys_of(dataclasses.replace(spec, **{field: other}), train)
    assert {name for name in before if before[name] != after[name]} == expected


@pytest.mark.parametrize(
    "change", [{"streams": {"a": 5}}, {"streams": {"b": 4}}, {"keep_real": 8}, {"pretraining": 0.5}]
)
def test_every_part_of_a_demand_is_in_the_classifiers_key(make_spec: Make, change: dict[str, Any]) -> None:
    spec, asked = make_spec(), Demand({"a": 4}, 9)
    other = dataclasses.replace(asked, **change)
    assert digest(spec.classify_identity(asked, 0)) != digest(spec.classify_identity(other, 0))


def test_the_rows_above_name_every_part_of_a_demand() -> None:
    assert {f.name for f in dataclasses.fields(Demand)} == {"streams", "keep_real", "pretraining"}


def test_no_two_modes_share_a_classifiers_key(make_spec: Make, make_images: Callable[..., ImageSet]) -> None:
    train = make_images()
    keys = {mode: keys_of(make_spec(mode=mode), train)["classify"] for mode in MODES}
    assert len(set(keys.values())) == len(MODES)


def test_classifiers_of_one_arm_have_keys_of_their_own(make_spec: Make) -> None:
    identities = [make_spec().classify_identity(Demand({"a": 4}, 9), k) for k in range(3)]
    assert len({digest(identity) for identity in identities}) == 3
    assert [identity["seed"] for identity in identities] == [make_spec().classifier_seed(k) for k in range(3)]


def test_the_model_of_the_zero_lines_first_classifier_alone_is_kept(make_spec: Make) -> None:
    alone, portion = normalise(make_spec(ratio=0.0)), normalise(make_spec(ratio=0.0, portion=0.5))
    remedy, nothing = real_only(make_spec(), generator="oversample"), Demand({}, 9)
    options = {"clf": {"sampling": "natural"}}
    specs = [make_spec(**options), alone, portion, dataclasses.replace(remedy, **options)]
    kept = [[spec.classify_identity(nothing, k)["keep_model"] for k in range(2)] for spec in specs]
    assert kept == [[False, False], [True, False], [False, False], [False, False]]
    assert [spec.is_zero_line for spec in specs] == [False, True, False, False]


def test_what_is_only_measured_on_an_arm_is_named() -> None:
    counted = {"seeds", "n_bootstrap", "analysis"}  # they decide how surely, and so which record is read
    counted |= {"tuned"}  # how the arm was chosen: a lucky one is not the one that was asked for
    kept = {"test_on", "robustness"}
    assert {field for field, (_, keys) in TABLE.items() if keys == MEASURED} - counted | kept == set(NOT_THE_ARM)


@pytest.mark.parametrize("change", [{"test_on": ({"name": "nih", "fingerprint": "a"},)}, {"robustness": True}])
def test_an_arm_that_predicts_elsewhere_keeps_every_classifier_and_learns_the_same(
    make_spec: Make, change: dict[str, Any]
) -> None:
    nothing = Demand({"a": 2}, 9)
    for spec in (make_spec(), real_only(make_spec())):
        one, other = (
            made.classify_identities(nothing, range(2)) for made in (spec, dataclasses.replace(spec, **change))
        )
        assert [identity["keep_model"] for identity in other] == [True, True]
        assert [{**identity, "keep_model": True} for identity in one] == other


def test_the_root_seed_changes_the_data_only_where_patients_are_drawn(
    make_spec: Make, make_images: Callable[..., ImageSet]
) -> None:
    train = make_images()
    drawn: tuple[tuple[dict[str, Any], bool], ...] = (
        ({}, True), ({"real_fraction": 0.5}, False), ({"patients_per_class": 2}, False),
    )  # fmt: skip
    for change, same in drawn:
        one, other = (make_spec(seed=s, **change) for s in (0, 1))
        assert (keys_of(one, train)["data"] == keys_of(other, train)["data"]) is same


def test_real_images_alone_do_not_depend_on_the_generators_fields(
    make_spec: Make, make_images: Callable[..., ImageSet]
) -> None:
    alone, demanded = normalise(make_spec(ratio=0.0)), Demand({}, len(make_images()))
    for field, (other, keys) in TABLE.items():
        if (keys == GENERATOR and field not in ("seed", "precision", "generator")) or field == "shard":
            changed = normalise(make_spec(ratio=0.0, **{field: other}))
            assert changed.run_id == alone.run_id, field
            assert changed.classify_identity(demanded, 0) == alone.classify_identity(demanded, 0)


# -- equal requests, equal ids ------------------------------------------------------------------------------------


@pytest.mark.parametrize("generator", ["latent_ddpm", "dcgan", "duplicate", "noise", NONE])
def test_ratio_0_is_real_images_alone_whatever_the_generator(make_spec: Make, generator: str) -> None:
    alone = normalise(make_spec(generator=NONE))
    asked = normalise(make_spec(generator=generator, ratio=0, gen={"x": 1}, mode="replace", generator_seed=3))
    assert asked.run_id == alone.run_id
    assert (asked.generator, asked.name, asked.is_real_only) == (NONE, NONE, True)
    assert asked == real_only(asked)


def test_ratio_0_with_no_real_images_is_refused(make_spec: Make) -> None:
    with pytest.raises(UserError, match="leaves no image to train on"):
        normalise(make_spec(ratio=0.0, mode="only"))


def test_whole_ratios_are_integers(make_spec: Make) -> None:
    assert make_spec(ratio=1).run_id == make_spec(ratio=1.0).run_id
    assert make_spec(ratio=1).name == make_spec(ratio=1.0).name == "latent_ddpm add 1"


def test_a_control_is_not_its_own_control(make_spec: Make) -> None:
    assert normalise(make_spec(generator="duplicate")).controls == (NONE,)


def run_ids(args: list[str]) -> list[str]:
    request = parse(args, prog="test")
    return [spec.run_id for spec in specs_of(request, fingerprint="f" * 64, precision="fp32")]


FLAGS = {
    "--preset": "smoke",
    "--generator": "latent_ddpm",
    "--dataset": "digits",
    "--ratio": "1",
    "--seeds": "3",
    "--gen.batch": "8",
    "--data.size": "16",
    "--clf.batch-size": "8",
    "--fit.steps": "9",
}


def test_the_order_of_flags_does_not_matter() -> None:
    flat = [word for pair in FLAGS.items() for word in pair]
    shuffled = [word for pair in reversed(FLAGS.items()) for word in pair]
    joined = [f"{name}={value}" for name, value in sorted(FLAGS.items())]
    assert run_ids(flat) == run_ids(shuffled) == run_ids(joined)


def test_a_file_says_the_same_as_flags(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(
        "preset: smoke\ngenerator: latent_ddpm\ndataset: digits\nratio: [1.0]\nseeds: 3\n"
        "gen: {batch: 8}\ndata: {size: 16}\nclf: {batch_size: 8}\nfit: {steps: 9}\n"
    )
    flat = [word for pair in FLAGS.items() for word in pair]
    assert run_ids(["--config", str(file)]) == run_ids(flat)


def test_one_and_one_point_zero_on_the_command_line_are_one_run() -> None:
    start = ["--preset", "smoke", "--dataset", "digits", "--ratio"]
    assert run_ids([*start, "1"]) == run_ids([*start, "1.0"]) == run_ids([*start, "1e0"])


def test_where_and_how_fast_is_not_part_of_a_run() -> None:
    start = ["--preset", "smoke", "--dataset", "digits"]
    elsewhere = ["--results", "x", "--home", "y", "--workers", "1", "--device", "cpu", "--gen.sample-batch", "3"]
    assert run_ids(start) == run_ids([*start, *elsewhere, "--checkpoint-seconds", "3"])


def test_ratios_given_together_share_fit_and_real_images() -> None:
    request = parse(["--preset", "smoke", "--dataset", "digits", "--ratio", "0", "0.5", "1"], prog="test")
    specs = specs_of(request, fingerprint="f" * 64, precision="fp32")
    names = [spec.name for spec in specs]
    assert names[0] == NONE
    assert sorted(names) == sorted(
        [NONE, "duplicate add 0.5", "duplicate add 1", "latent_ddpm add 0.5", "latent_ddpm add 1"]
    )
    assert len({digest(s.fit_identity()) for s in specs if s.generator == "latent_ddpm"}) == 1


def test_what_is_not_a_control_is_refused_as_one() -> None:
    request = parse(["--preset", "smoke", "--controls", "none", "latent_ddpm"], prog="test")
    with pytest.raises(UserError, match="not a control"):
        specs_of(request, fingerprint="f" * 64, precision="fp32")


# -- what cannot be asked for -------------------------------------------------------------------------------------


@pytest.mark.parametrize("ratio", [float("nan"), -0.1, float("inf"), -float("inf")])
def test_a_ratio_that_means_nothing_is_refused(make_spec: Make, ratio: float) -> None:
    with pytest.raises(UserError, match="--ratio"):
        make_spec(ratio=ratio)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"ratio": 1.5, "mode": "replace"}, "between 0 and 1"),
        ({"mode": "blend"}, "--mode 'blend'"),
        ({"real_fraction": 0.0}, "--real-fraction"),
        ({"real_fraction": 1.1}, "--real-fraction"),
        ({"real_fraction": float("nan")}, "--real-fraction"),
        ({"seeds": 0}, "--seeds 0"),
        ({"shard": 0}, "--shard 0"),
        ({"patients_per_class": -1}, "--patients-per-class -1"),
        ({"portion": 0.0}, "no point at 0"),
        ({"portion": -1.0}, "no point at -1"),
        ({"margin": 0.0}, "--margin 0"),
        ({"margin": 1.0}, "--margin 1"),
    ],
)
def test_settings_out_of_range_are_refused(make_spec: Make, change: dict[str, Any], said: str) -> None:
    with pytest.raises(UserError, match=said):
        make_spec(**change)


@pytest.mark.parametrize(
    "change",
    [{"real_fraction": 1.0}, {"real_fraction": 0.01}, {"seeds": 1}, {"shard": 1}, {"patients_per_class": 1},
     {"portion": 0.01}, {"portion": 2.0}, {"margin": 0.001}, {"margin": 0.999}, {"ratio": 1.0, "mode": "replace"}],
)  # fmt: skip
def test_settings_at_the_edge_of_the_range_are_taken(make_spec: Make, change: dict[str, Any]) -> None:
    spec = make_spec(**change)
    assert {name: getattr(spec, name) for name in change} == change


# -- seeds and shards ---------------------------------------------------------------------------------------------


def test_classifier_seeds_do_not_depend_on_generator_or_ratio(make_spec: Make) -> None:
    alone = normalise(make_spec(ratio=0.0))
    for change in ({}, {"generator": "dcgan"}, {"ratio": 2.0}, {"mode": "only"}, {"generator_seed": 5}, {"gen": {}}):
        spec = make_spec(**change)
        assert [spec.classifier_seed(k) for k in range(6)] == [alone.classifier_seed(k) for k in range(6)]
        assert spec.mix_seed == alone.mix_seed
    assert len({alone.classifier_seed(k) for k in range(6)}) == 6
    assert make_spec(seed=1).classifier_seed(0) != alone.classifier_seed(0)


def test_more_seeds_train_only_the_further_classifiers(make_spec: Make) -> None:
    few, many, demanded = make_spec(seeds=2), make_spec(seeds=6), Demand({"a": 4}, 9)
    assert [digest(few.classify_identity(demanded, k)) for k in range(2)] == [
        digest(many.classify_identity(demanded, k)) for k in range(2)
    ]


def test_a_larger_pools_shards_extend_a_smaller_ones(make_spec: Make, make_images: Callable[..., ImageSet]) -> None:
    train, pools = make_images((20, 20, 20)), []
    for ratio in (0.5, 1.0, 2.0):
        spec = make_spec(ratio=ratio)
        pool = spec.pool_identity(demand(train, ratio=ratio, mode="add"))
        assert pool is not None
        pools.append(pool["shards"])
    for smaller, larger in pairwise(pools):
        for stream, keys in smaller.items():
            assert larger[stream][: len(keys)] == keys
            assert len(larger[stream]) > len(keys)


def test_no_two_shards_share_a_seed(make_spec: Make) -> None:
    specs = [make_spec(), make_spec(seed=1), make_spec(generator_seed=1)]
    seeds = [s.shard_seed(stream, k) for s in specs for stream in ("a", "b") for k in range(4)]
    assert len(set(seeds)) == len(seeds)


def test_a_pool_that_ends_within_a_shard_has_a_key_of_its_own(make_spec: Make) -> None:
    spec = make_spec()
    five, six = (spec.classify_identity(Demand({"a": n}, 9), 0) for n in (5, 6))
    assert five["pool"]["shards"] == six["pool"]["shards"]
    assert digest(five) != digest(six)


@pytest.mark.parametrize(("n", "size", "expected"), [(0, 4, 0), (1, 4, 1), (4, 4, 1), (5, 4, 2), (256, 256, 1)])
def test_images_are_held_by_as_few_shards_as_do(n: int, size: int, expected: int) -> None:
    assert n_shards(n, size) == expected


def test_the_id_is_the_digest_of_what_the_record_holds(make_spec: Make) -> None:
    spec = make_spec()
    assert digest(spec.to_json()) == spec.run_id
