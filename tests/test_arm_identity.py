"""An arm has one form, one name, and keys that are the same in every version."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks.job.plan import specs_of
from benchmarks.request.options import parse
from benchmarks.request.spec import ANALYSIS, NONE, RunSpec, normalise, real_only
from data.mixing import Demand
from generators.per_class import PerClass
from generators.pixel_ddpm import PixelDDPM, PixelDDPMConfig
from generators.registry import generators
from synthworth.keys import digest

Make = Callable[..., RunSpec]

PINNED = {
    "an arm": ({}, "1fd8682179822e86cbeb74d8df253ff1bbf50cdaf76b4a4355f9d8cafd05e3c7"),
    "fewer patients": (
        {"patients_per_class": 3, "ratio": 0.75, "mode": "replace", "generator_seed": 2},
        "52130ce9f510350d812ff6e3cb9e91fd0f4b84e52e62b3ce52da28763763cf40",
    ),
    "a fraction": (
        {"real_fraction": 0.5, "seed": 4, "mode": "pretrain", "filters": ("no_copies",)},
        "2a794f3c42af7431cc824dfd1cfc0f8f2d20bcfb56b48fed37c9ff14b401a12a",
    ),
    "real images alone": ({"ratio": 0.0}, "9669bac5da2770b7865b64f2d605b04f702c86d6b988e4e16c7c65fa8fd6b65e"),
    "a remedy that trains longer": (
        {"generator": "longer", "ratio": 0.5},
        "531a7342aa133521632a760e5f674aec798d3b08dc697a85ae6d7310e18a4bf8",
    ),
    "a remedy that sets an option": (
        {"generator": "class_weights", "clf": {"class_weights": False}},
        "18a49a61b5670a07cab6b9ec9de277f9dbe78489a563148ad33fed14039ccfdc",
    ),
}


@pytest.mark.parametrize("arm", PINNED)
def test_keys_never_change_between_versions(arm: str, make_spec: Make) -> None:
    """Computed at commit f109d72: what a store holds under these keys must be found again."""
    change, pinned = PINNED[arm]
    spec = normalise(dataclasses.replace(make_spec(), analysis=2, **change))
    demanded = Demand({} if spec.is_real_only else {"a": 5, "b": 4}, 9)
    shards = [spec.shard_identity(stream, k) for stream in ("a", "b") for k in range(2)]
    found = [spec.run_id, spec.data_identity(), spec.fit_identity(), shards, spec.pool_identity(demanded)]
    found += [spec.classify_identity(demanded, k) for k in range(2)]
    assert digest([found, spec.name, spec.mix_seed]) == pinned


def test_what_is_not_asked_for_is_as_the_pages_say() -> None:
    required = {f.name: 1 for f in dataclasses.fields(RunSpec) if f.default is dataclasses.MISSING}
    spec = RunSpec(**required)  # type: ignore[arg-type]
    assert {name: value for name, value in vars(spec).items() if name not in required} == {
        "ratio": 0.5, "mode": "add", "real_fraction": 1.0, "patients_per_class": 0, "portion": 1.0, "filters": (),
        "seed": 0, "generator_seed": 0, "seeds": 6, "shard": 256, "precision": "fp32", "generator_precision": "",
        "extractors": ("inception", "efficientnet_lite0", "vgg16_random"), "extractor_precision": "fp32",
        "controls": ("none", "duplicate"), "curve": (), "margin": 0.01, "n_bootstrap": 2000, "analysis": ANALYSIS,
        "donor": "", "learn_from": "", "tuned": None, "test_on": (), "robustness": False, "prevalence": 0.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({}, "latent_ddpm add 0.5"),
        ({"mode": "only", "ratio": 2.0}, "latent_ddpm only 2"),
        ({"filters": ("no_copies", "confident")}, "latent_ddpm add 0.5 [no_copies+confident]"),
        ({"generator_seed": 2}, "latent_ddpm add 0.5 (generator seed 2)"),
        ({"donor": "0.5"}, "latent_ddpm add 0.5"),
        ({"donor": "0.5", "learn_from": "donor"}, "latent_ddpm from donor add 0.5"),
        ({"ratio": 0.0}, "none"),
        ({"ratio": 0.0, "portion": 0.25}, "none x 0.25"),
        ({"generator": "longer", "ratio": 0.5}, "longer x 1.5"),
        ({"generator": "mixup", "ratio": 0.5}, "mixup"),
    ],
)
def test_an_arm_is_called_by_what_it_trains_on(make_spec: Make, change: dict[str, Any], name: str) -> None:
    assert normalise(make_spec(**change)).name == name


def test_an_arm_of_real_images_alone_has_one_form(make_spec: Make) -> None:
    asked = make_spec(
        generator_seed=3, gen={"x": 1}, filters=("no_copies",), curve=(0.5,), margin=0.05, mode="replace", shard=8
    )
    told = {"gen": {}, "generator_version": 1, "fit": None, "mode": "add", "generator_seed": 0, "shard": 256,
            "filters": (), "curve": (), "margin": 0.01}  # fmt: skip
    for generator, controls in ((NONE, ()), ("mixup", (NONE,))):
        alone = real_only(asked, generator=generator)
        assert {**vars(asked), **told, "generator": generator, "ratio": 0.0, "controls": controls} == vars(alone)
    longer = normalise(dataclasses.replace(asked, generator="longer"))
    assert (longer.ratio, longer.mode, longer.is_real_only) == (0.5, "add", True)
    assert longer.classifier_budget.steps == round(1.5 * asked.train.steps)
    assert normalise(dataclasses.replace(asked, generator="mixup")).classifier_budget == asked.train


def test_a_control_made_of_a_fitted_generator_names_its_arm(make_spec: Make) -> None:
    assert make_spec().fitted_on() is None
    inner = {"of_generator": "gmvae", "config": {"width": 8}, "version": 3}
    arm = make_spec(generator="reconstruct", gen=inner, generator_version=1).fitted_on()
    assert arm == make_spec(generator="gmvae", gen={"width": 8}, generator_version=3)


@pytest.mark.parametrize(
    ("flags", "raised"),
    [
        (["--preset", "quick", "--generator", "pixel_ddpm"], 1),  # ddim in 15 steps
        (["--preset", "quick", "--generator", "latent_ddpm", "--controls", "none", "reconstruct"], 0),
        (["--preset", "standard", "--generator", "pixel_ddpm"], 0),
        (["--preset", "standard", "--generator", "latent_ddpm", "--gen.sampling-steps", "60"], 1),
        (["--preset", "full", "--generator", "pixel_ddpm"], 0),
        (["--preset", "quick", "--generator", "dcgan"], 0),
    ],
)
def test_only_options_that_draw_otherwise_than_before_have_another_version(flags: list[str], raised: int) -> None:
    specs = {spec.generator: spec for spec in specs_of(parse(flags, prog="run"), fingerprint="", precision="fp32")}
    spec = specs[flags[3]]
    assert spec.generator_version == generators.get(spec.generator).version + raised
    if "reconstruct" in specs:
        assert specs["reconstruct"].fitted_on() == dataclasses.replace(specs["reconstruct"], **{
            name: getattr(spec, name) for name in ("generator", "gen", "generator_version")
        })  # fmt: skip


def test_a_generator_of_one_class_each_has_the_versions_of_the_inner_one() -> None:
    class PerFilm(PerClass):
        inner = PixelDDPM
        version = 3

    class Plain(PerClass):
        inner = type("Inner", (), {"version": 2, "Config": PixelDDPMConfig})

    few, usual = PixelDDPMConfig(sampling_steps=3), PixelDDPMConfig()
    assert [PerFilm.version_of(c) for c in (usual, few)] == [3, 4]
    assert [Plain.version_of(c) for c in (usual, few)] == [2, 2]
