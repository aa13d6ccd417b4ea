"""Precision `auto` is decided for generator and classifier by what each is; a named one is both's; old keys stay."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from benchmarks.job import carry_out as job
from benchmarks.job.plan import specs_of
from benchmarks.job.precision import Precisions, resolve_precisions
from benchmarks.records.load import Unreadable, load_record
from benchmarks.request.options import parse
from benchmarks.request.spec import NONE, RunSpec, normalise
from benchmarks.stages.bench import Bench
from classifiers.config import Config
from classifiers.factory import TimmClassifier
from classifiers.registry import classifiers
from data.mixing import Demand
from generators.bfloat16 import FASTER
from generators.registry import BUILT_IN, generators
from synthworth.devices import bf16_unit
from synthworth.errors import UserError
from synthworth.keys import digest
from synthworth.work import Work

Make = Callable[..., RunSpec]
KEYS = {
    ("fp32", "latent_ddpm"): ("beeb0522ce95cd5b", "bd41647c8b70dba4", "3a3ca6f995457324"),
    ("fp32", "duplicate"): ("67c0314f3b8439bf", "f9cdaee9ec6fb001", "215379589037a6ea"),
    ("fp32", NONE): ("50495b261a92d3b3", "d97c5f5c4247096c", "3e911863c133b4cf"),
    ("bf16", "latent_ddpm"): ("4b48293d42347382", "c2245e31c6b871cb", "80136e18261ffeed"),
    ("bf16", "duplicate"): ("736367b9d639fdb0", "ebaf65132115894c", "ca6122ee36547afb"),
    ("bf16", NONE): ("fb119e1f912d6113", "1b358a3f50b33681", "b0b6a7624635e22a"),
}
"""The first digits of fit key, classifier key and run id at commit 906174d, when one precision was that of both."""


def keys_of(spec: RunSpec) -> tuple[str, ...]:
    identities = spec.fit_identity(), spec.classify_identity(Demand({"a": 4}, 9), 0)
    return tuple(key[:16] for key in (*map(digest, identities), spec.run_id))


def resolved(*flags: str, size: int | None = 32) -> Precisions:
    request = parse(["--preset", "quick", *flags], prog="test")
    return resolve_precisions(request, "cpu", channels=None if size is None else 1, size=size)


@pytest.fixture
def unit(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Pretend that this processor multiplies bf16 so."""
    return lambda name: monkeypatch.setattr("benchmarks.job.precision.bf16_unit", lambda device: name)


# -- the rule -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("unit", "stem", "size", "faster"),
    [
        ("amx", "imagenet", 32, False),  # 303 images a second in fp32, 245 to 257 in bf16
        ("amx", "small", 32, True),  # 35 and 89
        ("amx", "auto", 32, True),  # small
        ("amx", "small", None, False),
        ("avx512", "imagenet", 32, True),
        ("avx512", "imagenet", None, True),
        ("none", "small", 32, False),
        ("cuda", "imagenet", 32, True),
    ],
)
def test_a_classifier_is_trained_in_what_was_faster_where_it_was_measured(
    unit: Any, stem: Any, size: int | None, faster: bool
) -> None:
    assert TimmClassifier.faster_in_bf16(Config(stem=stem), unit=unit, channels=1, size=size) is faster


def test_every_generator_that_trains_has_its_measured_row() -> None:
    assert FASTER["avx512"] == {name for name in BUILT_IN if getattr(generators.get(name), "trains", True)}


@pytest.mark.parametrize(
    ("amx", "avx512", "found"),
    [(True, True, "amx"), (True, False, "amx"), (False, True, "avx512"), (False, False, "none")],
)
def test_what_multiplies_bf16_is_asked_of_the_device_that_is_used(
    monkeypatch: pytest.MonkeyPatch, amx: bool, avx512: bool, found: str
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
    assert bf16_unit("cpu") == found
    assert (bf16_unit("cuda:1"), bf16_unit("mps")) == ("cuda", "none")


def test_a_gpu_that_emulates_bf16_does_not_multiply_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert bf16_unit("cuda") == "none"


# -- a request ----------------------------------------------------------------------------------------------------


def test_generator_and_classifier_are_decided_apart(unit: Callable[[str], None]) -> None:
    unit("amx")
    assert resolved("--generator", "pixel_ddpm") == Precisions("fp32", "bf16")
    assert resolved("--generator", "vae", "--clf.stem", "small") == Precisions("bf16", "fp32")
    unit("avx512")
    assert resolved("--generator", "vae") == Precisions("bf16", "bf16")


@pytest.mark.parametrize("name", ["fp32", "tf32", "bf16"])
@pytest.mark.parametrize("on", ["amx", "avx512", "none", "cuda"])
def test_a_precision_that_is_named_is_that_of_both(unit: Callable[[str], None], on: str, name: str) -> None:
    unit(on)
    assert resolved("--generator", "pixel_ddpm", "--precision", name) == Precisions(name, name)


@pytest.mark.parametrize(("on", "both"), [("cuda", "bf16"), ("none", "fp32")])
def test_on_a_gpu_everything_is_bf16_and_without_native_bf16_nothing(
    unit: Callable[[str], None], on: str, both: str
) -> None:
    unit(on)
    assert resolved("--generator", "vae") == Precisions(both, both)


def test_a_plugin_is_fp32_unless_it_says_that_bf16_is_faster(unit: Callable[[str], None]) -> None:
    unit("avx512")
    told: list[dict[str, Any]] = []

    class Quiet(generators.get("noise")):  # type: ignore[misc]
        trains: ClassVar[bool] = True

    class Told(classifiers.get("resnet18")):  # type: ignore[misc]
        @classmethod
        def faster_in_bf16(cls, config: Any, **known: Any) -> bool:
            told.append(known)
            return False

    generators.register("quiet")(Quiet)
    classifiers.register("told")(Told)
    assert resolved("--generator", "quiet", "--classifier", "told") == Precisions("fp32", "fp32")
    assert told == [{"unit": "avx512", "channels": 1, "size": 32}]


@pytest.mark.parametrize(
    ("answer", "said"), [(lambda: 1 / 0, "ZeroDivisionError"), (lambda: "many", "neither True nor False")]
)
def test_a_plugin_that_gives_no_answer_ends_the_request_with_what_to_do(
    unit: Callable[[str], None], answer: Callable[[], Any], said: str
) -> None:
    unit("avx512")

    class Odd(classifiers.get("resnet18")):  # type: ignore[misc]
        @classmethod
        def faster_in_bf16(cls, config: Any, **known: Any) -> Any:
            return answer()

    classifiers.register("odd")(Odd)
    with pytest.raises(UserError, match=f"{said}.*--precision fp32"):
        resolved("--classifier", "odd")
    assert resolved("--classifier", "odd", "--precision", "bf16") == Precisions("bf16", "bf16")


def test_what_is_not_known_before_the_images_is_not_said(unit: Callable[[str], None]) -> None:
    unit("amx")
    assert resolved("--generator", "pixel_ddpm", size=None).said() == "decided once the dataset is prepared"
    assert resolved("--generator", "pixel_ddpm").said() == "classifier fp32, generator bf16"
    assert resolved("--precision", "fp32", size=None).said() == "fp32"


def test_a_dry_run_and_the_run_train_in_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unit: Callable[[str], None]
) -> None:
    unit("amx")
    monkeypatch.setattr("benchmarks.job.precision.faster_in_bf16", lambda name, *, unit: True)
    used: list[tuple[str, str]] = []
    hand = Bench.work

    def work(bench: Bench, scratch: Path, **named: Any) -> Work:
        given = hand(bench, scratch, **named)
        used.append((scratch.parents[3].name, given.precision))
        return given

    monkeypatch.setattr(Bench, "work", work)
    words = [
        "--preset", "smoke", "--device", "cpu", "--workers", "1", "--generator", "vae", "--seeds", "1",
        "--controls", "none", "--extractors", "--home", str(tmp_path / "home"), "--results", str(tmp_path / "runs"),
    ]  # fmt: skip
    before, after = (job.carry_out(parse([*words, *dry], prog="test")) for dry in (["--dry-run"], []))
    assert not before.data_ready
    assert before.precisions == after.precisions == Precisions("fp32", "bf16")
    assert set(used) == {("fit", "bf16"), ("classify", "fp32")}
    again = job.carry_out(parse([*words, "--dry-run"], prog="test"))
    assert all(not row.todo for row in again.plan)
    (drawn,) = (record for record in after.records if record["spec"]["generator"] == "vae")
    assert (drawn["spec"]["precision"], drawn["spec"]["generator_precision"]) == ("fp32", "bf16")


# -- identity -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("precision", "generator"), KEYS)
def test_where_both_have_one_precision_no_key_has_changed(make_spec: Make, precision: str, generator: str) -> None:
    spec = make_spec(precision=precision, generator=generator)
    assert keys_of(normalise(spec)) == KEYS[precision, generator]
    said = dataclasses.replace(spec, generator_precision=precision)
    assert said == spec and "generator_precision" not in said.to_json()


def test_another_precision_of_the_generator_shares_what_it_does_not_change(make_spec: Make) -> None:
    mixed = make_spec(precision="fp32", generator_precision="bf16")
    assert keys_of(mixed)[0] == KEYS["bf16", "latent_ddpm"][0]
    assert keys_of(normalise(dataclasses.replace(mixed, ratio=0.0))) == KEYS["fp32", NONE]


def test_what_draws_without_training_has_no_precision_of_a_generator() -> None:
    flags = ["--preset", "quick", "--generator", "latent_ddpm", "--controls", "none", "duplicate", "reconstruct"]
    request = parse([*flags, "longer", "--ratio", "1"], prog="test")
    specs = specs_of(request, fingerprint="", precision="fp32", generator_precision="bf16")
    found = {spec.generator: spec.generator_precision for spec in specs}
    assert found == {NONE: "", "longer": "", "duplicate": "", "reconstruct": "bf16", "latent_ddpm": "bf16"}
    of = {spec.generator: spec for spec in specs}
    inner = of["reconstruct"].fitted_on()
    assert inner is not None and inner.fit_identity() == of["latent_ddpm"].fit_identity()


def test_records_without_a_precision_of_the_generator_and_with_one_are_read(lab: Any) -> None:
    old, new = lab.run("vae", 1.0), lab.run("vae", 1.0, generator_precision="bf16")
    assert "generator_precision" not in old["spec"] and new["spec"]["generator_precision"] == "bf16"
    for record in (old, new):
        assert load_record(lab.folder / record["run_id"][:16] / "record.json")["spec"] == record["spec"]
    labels = sorted(row.label for table in lab.tables() for row in table.rows)
    assert labels == ["vae add 0.5", "vae add 0.5 (generator_precision=bf16)"]
    file = lab.folder / new["run_id"][:16] / "record.json"
    (file.parent / "seal.json").unlink()
    new["spec"]["generator_precision"] = 16
    file.write_text(json.dumps({**new, "run_id": digest(new["spec"])}))
    with pytest.raises(Unreadable, match=r"spec\.generator_precision is 16, not text"):
        load_record(file, at_home=False)
