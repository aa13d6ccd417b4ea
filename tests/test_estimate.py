"""How long a run takes is said before anything is made: by operations, by what was made before, or not at all."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.job import speeds
from benchmarks.job.estimate import Estimate, Sizes, Todo
from benchmarks.job.made_before import MadeBefore
from benchmarks.job.opened import open_bench
from benchmarks.job.plan import specs_of
from benchmarks.job.speeds import START_SECONDS, TRAINING, Speed, said_of, training_seconds, use_seconds
from benchmarks.report.plan import in_words
from benchmarks.request.options import Request, parse
from benchmarks.run import main
from benchmarks.stages.bench import Bench
from benchmarks.stages.generator import fit_threads
from classifiers.factory import TimmClassifier
from data.images import ImageSet, Split
from data.mixing import mix
from data.registry import datasets
from generators.base import BaseGenerator
from generators.registry import generators
from synthworth.artifacts import write_json
from synthworth.cost import Operations, PlannedPhase
from synthworth.manifest import write_manifest
from synthworth.work import Budget, Work

pytestmark = pytest.mark.usefixtures("one_thread")
PEAK = 1e11


def films(n: int, split: Split = Split.train, *, size: int = 32) -> ImageSet:
    pixels = np.random.default_rng(n).integers(0, 256, (n, 1, size, size), dtype=np.uint8)
    ids = tuple(f"{split.value}{k}" for k in range(n))
    return ImageSet(torch.from_numpy(pixels), torch.arange(n) % 2, ids, ids, split, ("a", "b"))


COUNTED = [
    "dcgan", "dcgan_per_class", "fs_gmvae", "gmvae", "latent_ddpm", "lsgan", "lsgan_per_class", "pixel_ddpm",
    "r3gan", "vae",
]  # fmt: skip
SHAPE = {"channels": 1, "size": 32, "n_classes": 2, "multilabel": False}


@pytest.mark.parametrize("name", ["pixel_ddpm", "latent_ddpm", "vae", "dcgan", "r3gan"])
def test_a_generator_says_beforehand_what_its_fit_then_counts(name: str, tmp_path: Path) -> None:
    cls = generators.get(name)
    known = cls(cls.tiny_config()).operations(**SHAPE, n_steps=2)
    report = cls(cls.tiny_config()).fit(films(8), seed=0, work=Work(tmp_path, budget=Budget(2)))
    foretold = sum(phase.steps * phase.batch * phase.flops for phase in known.phases)
    assert report.cost.gflop == pytest.approx(foretold / 1e9, rel=1e-3)  # but for gradients of a few inputs
    assert known.use > 0


@pytest.mark.parametrize("name", COUNTED)
def test_a_generator_that_is_asked_again_says_the_same(name: str) -> None:
    """Threads of a fit follow from it, and with them its bits: asked once more, a run must not train otherwise."""
    cls = generators.get(name)
    said = [cls(cls.tiny_config()).operations(**SHAPE, n_steps=4) for _ in range(3)]
    assert said[0] is not None and said == [said[0]] * 3
    assert fit_threads(cls(cls.tiny_config()), films(8), 4, device="cpu") == 1


def test_a_classifier_says_beforehand_what_its_fit_then_counts(tmp_path: Path) -> None:
    config = dataclasses.replace(TimmClassifier.tiny_config(), n_evaluations=2)  # both steps look at val as well
    known, train = TimmClassifier(config).operations(**SHAPE, n_steps=2), films(8)
    mixture = mix(train, None, keep_real=len(train), seed=0, pretraining=0.0)
    report = TimmClassifier(config).fit(mixture, films(4, Split.val), seed=0, work=Work(tmp_path, budget=Budget(2)))
    (phase,) = known.phases
    assert (phase.kind, phase.steps, phase.batch) == ("resnet", 2, 8)
    assert report.cost.gflop == pytest.approx(2 * 8 * phase.flops / 1e9, rel=1e-9)
    assert known.use == pytest.approx(phase.flops / 3, rel=0.1)


def test_seconds_are_operations_by_the_share_of_the_peak_and_a_little_for_each_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(speeds, "TRAINING", {("cuda", "bf16", "unet"): Speed(share=0.25, step=0.002)})
    monkeypatch.setattr(speeds, "USE", {("cuda", "fp32", "unet"): 0.5})
    phase = PlannedPhase("unet", steps=100, batch=64, flops=1e9)
    # 64 GFLOP at a quarter of 1 TFLOP/s take 0.256 s
    assert training_seconds(phase, device="cuda:1", precision="bf16", peak=1e12) == pytest.approx(100 * (0.002 + 0.256))
    assert use_seconds("unet", 1e12, device="cuda", precision="fp32", peak=4e12) == pytest.approx(0.5)
    assert training_seconds(phase, device="cpu", precision="bf16", peak=1e12) is None
    assert use_seconds("gan", 1e12, device="cuda", precision="fp32", peak=4e12) is None


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of 100 GFLOP/s, half of which every network gets."""
    monkeypatch.setattr("synthworth.training.peak.matmul_now", lambda *args, **more: PEAK)
    kinds = ("unet", "autoencoder", "gan", "resnet")
    monkeypatch.setattr(speeds, "TRAINING", {("cpu", "fp32", kind): Speed(0.5, 0.0) for kind in kinds})
    monkeypatch.setattr(speeds, "USE", {("cpu", "fp32", kind): 0.5 for kind in kinds})
    monkeypatch.setattr(Estimate, "_is_beside", lambda self, spec: False)  # its part: tests/test_beside.py


def asked(home: Path, *args: str) -> tuple[Request, Bench, Any, list[Any]]:
    more = ("--home", str(home), "--device", "cpu", "--precision", "fp32", "--workers", "2")
    request = parse(["--preset", "smoke", "--extractors", *args, *more], prog="x")
    dataset = datasets.get("phantom")(request.data)
    return request, open_bench(request), dataset, specs_of(request, fingerprint="f", precision="fp32")


def by_stage(request: Request, bench: Bench, dataset: Any, specs: list[Any]) -> dict[str, Any]:
    sizes = Sizes.of(dataset, None)
    lines = Estimate(bench, request, sizes, Todo.of_specs(specs, sizes), dataset).lines()
    assert [line.stage for line in lines] == ["data", "fit", "pool", "classify", "features", "judge"]
    return {line.stage: line for line in lines}


@pytest.mark.usefixtures("steady")
def test_an_estimate_is_the_sum_of_what_networks_compute(tmp_path: Path) -> None:
    request, bench, dataset, specs = asked(tmp_path, "--generator", "vae", "--controls", "none", "--ratio", "0.5")
    lines = by_stage(request, bench, dataset, specs)
    vae = generators.get("vae")(request.gen).operations(channels=1, size=32, n_classes=6, multilabel=False, n_steps=6)
    (phase,) = vae.phases
    assert lines["fit"].seconds == pytest.approx(6 * phase.batch * phase.flops / (PEAK / 2))
    # 60 films of 6 classes: one shard of 16 a class
    assert lines["pool"].seconds == pytest.approx(96 * vae.use / (PEAK / 2))
    clf = TimmClassifier(request.clf).operations(channels=1, size=32, n_classes=6, multilabel=False, n_steps=6)
    (phase,) = clf.phases
    one = (6 * phase.batch * phase.flops + (2 * 60 + 120) * clf.use) / (PEAK / 2)  # a look, and both predictions
    assert lines["classify"].seconds == pytest.approx(START_SECONDS + 4 * one / 2)  # 2 arms of 2 seeds, 2 workers
    assert lines["classify"].source == lines["fit"].source == "operations"
    assert lines["features"].seconds == 0.0


@pytest.mark.usefixtures("steady")
def test_what_cannot_be_known_is_said_and_the_rest_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    request, bench, dataset, specs = asked(tmp_path, "--generator", "vae", "--controls", "none")
    monkeypatch.setattr(generators.get("vae"), "operations", BaseGenerator.operations)
    lines = by_stage(request, bench, dataset, specs)
    assert lines["fit"].seconds is None and "not known: VAE" in lines["fit"].source
    assert lines["pool"].seconds is None

    def broken(self: Any, **shape: int) -> None:
        raise ZeroDivisionError("of size")

    monkeypatch.setattr(generators.get("vae"), "operations", broken)
    assert "failed (ZeroDivisionError: of size)" in by_stage(request, bench, dataset, specs)["fit"].source
    assert lines["classify"].seconds is not None


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("many", "a str is no"),
        (Operations((), 1.0), "phases ()"),
        (Operations((PlannedPhase("gan", 6, 8, float("nan")),), 1.0), "flops of phase gan nan"),
        (Operations((PlannedPhase("gan", 6, 8, -1e9),), 1.0), "flops of phase gan -1000000000.0"),
        (Operations((PlannedPhase(["gan"], 6, 8, 1e9),), 1.0), "PlannedPhase(kind=['gan']"),  # type: ignore[arg-type]
        (Operations((PlannedPhase("gan", 6, 8, 1e9),), None), "use None"),  # type: ignore[arg-type]
    ],
)
@pytest.mark.usefixtures("steady")
def test_what_no_network_computes_is_not_reckoned_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, told: Any, said: str
) -> None:
    request, bench, dataset, specs = asked(tmp_path, "--generator", "vae", "--controls", "none")
    monkeypatch.setattr(generators.get("vae"), "operations", lambda self, **shape: told)
    lines = by_stage(request, bench, dataset, specs)
    assert lines["fit"].seconds is None and f"not known: what VAE says that it computes: {said}" in lines["fit"].source
    assert lines["pool"].seconds is None and lines["classify"].seconds is not None


def made(bench: Bench, spec: Any, *, steps: int, loop: float, seconds: float) -> None:
    """A fit in the store that says it took so long, in the training loop and in all."""

    def make(out: Path, scratch: Path) -> None:
        write_json(out / "fit.json", {"steps": steps, "seconds": loop})

    folder = bench.keep("fit", spec.fit_identity(), make).folder
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").unlink()
    kept = {name: value for name, value in manifest.items() if name not in ("files", "sha256")}
    write_manifest(folder, {**kept, "seconds": seconds})


@pytest.mark.usefixtures("steady")
def test_what_was_made_here_before_is_the_better_source(tmp_path: Path) -> None:
    request, bench, dataset, specs = asked(tmp_path, "--generator", "vae", "--controls", "none")
    (spec,) = (spec for spec in specs if spec.generator == "vae")
    longer = dataclasses.replace(spec, fit=Budget(60), seed=5)
    made(bench, longer, steps=60, loop=12.0, seconds=13.0)
    lines = by_stage(request, bench, dataset, specs)
    assert lines["fit"].source == "as made before"
    assert lines["fit"].seconds == pytest.approx(1.0 + 6 * 12.0 / 60)  # a second beside the loop, 0.2 s a step


def test_another_machine_other_options_or_a_few_steps_do_not_tell(tmp_path: Path) -> None:
    _, bench, _, specs = asked(tmp_path, "--generator", "vae", "--controls", "none")
    (spec,) = (spec for spec in specs if spec.generator == "vae")
    wanted = dataclasses.replace(spec, fit=Budget(100))
    few = dataclasses.replace(spec, fit=Budget(20))
    other = dataclasses.replace(spec, fit=Budget(100), gen={**spec.gen, "batch": 99})
    for one, n in ((few, 20), (other, 100)):
        made(bench, one, steps=n, loop=9.0, seconds=9.0)
    elsewhere = dataclasses.replace(bench, info={"device": "cpu", "machine": "another"})
    made(elsewhere, wanted, steps=100, loop=9.0, seconds=9.0)
    assert MadeBefore(bench).fit(wanted) is None
    assert MadeBefore(elsewhere).fit(wanted) is not None
    assert MadeBefore(bench).fit(dataclasses.replace(spec, fit=Budget(15))) is not None  # so few are asked for


@pytest.mark.usefixtures("steady")
def test_a_dry_run_says_preset_device_and_the_time_by_stage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    args = ["--preset", "smoke", "--generator", "vae", "--extractors", "--device", "cpu", "--precision", "fp32"]
    assert main([*args, "--dry-run", "--home", str(tmp_path / "home")]) == 0
    first, second, *rest = capsys.readouterr().out.splitlines()
    assert first.startswith("preset smoke, device cpu, precision fp32, dataset phantom")
    assert second.startswith("expected time: about ") and "fit " in second and "classifiers " in second
    text = "\n".join(rest)
    for stage in ("data", "fit generator", "draw images", "train classifiers", "extract features", "measure and rec"):
        assert stage in text
    assert "sum of what is known" in text
    assert not (tmp_path / "home" / "artifacts").exists()


def test_a_run_says_what_it_will_take_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Begun(Exception):
        pass

    def never(*args: Any) -> Any:
        raise Begun

    monkeypatch.setattr("benchmarks.job.carry_out.prepare_data", never)
    args = ["--preset", "smoke", "--generator", "duplicate", "--controls", "none", "--extractors", "--device", "cpu"]
    with pytest.raises(Begun):
        main([*args, "--home", str(tmp_path / "home"), "--results", str(tmp_path / "runs")])
    assert capsys.readouterr().out.splitlines()[1].startswith("expected time: ")


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, "not known"), (0.4, "0 s"), (99.0, "99 s"), (240.0, "4 min"), (9000.0, "2.5 h")]
)
def test_seconds_are_said_as_people_say_them(seconds: float | None, words: str) -> None:
    assert in_words(seconds) == words


def test_every_kind_of_network_that_plugins_name_was_measured_on_a_cpu() -> None:
    kinds = {kind for device, _, kind in speeds.TRAINING if device == "cpu"}
    assert {"unet", "autoencoder", "gan", "resnet"} <= kinds
    for precision in ("bf16", "fp32"):
        assert all(("cpu", precision, kind) in speeds.TRAINING for kind in kinds)


def test_what_was_never_measured_is_taken_from_what_was_and_is_called_assumed() -> None:
    trained, used = (said_of(what, "unet", device="cpu", precision="bf16") for what in ("training", "use"))
    assert (trained, used) == ("operations", "operations, at an assumed speed")
    share = TRAINING["cpu", "bf16", "unet"].share
    assert use_seconds("unet", 1e12, device="cpu", precision="bf16", peak=1e12) == pytest.approx(1 / share)
    assert use_seconds("nothing known", 1e12, device="cpu", precision="bf16", peak=1e12) is None
