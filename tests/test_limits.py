"""Smoke is small everywhere, and one flag is enough to share a training; what that changes is in the spec."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.check.candidate import make_images
from benchmarks.request.limits import limit_train, share_devices
from benchmarks.request.named import systems
from benchmarks.request.options import parse
from generators.registry import generators
from synthworth.errors import UserError
from synthworth.work import Work

SMALL = ["--preset", "smoke", "--seeds", "1", "--extractors", "--controls", "none", "--workers", "1"]
RUN = ["-m", "benchmarks.run", *SMALL]
NEEDS_WEIGHTS = {"cxr_diffusion_elixr", "cxr_diffusion_text", "cxr_diffusion_vision", "ddpm_cifar10_finetuned"}


def smoke(*args: str) -> Any:
    return parse(["--preset", "smoke", *args], prog="test")


# -- training images at most --------------------------------------------------------------------------------------


def test_of_a_large_set_so_many_images_are_used_as_the_preset_takes(caplog: pytest.LogCaptureFixture) -> None:
    limited = limit_train(smoke().options, n_train=4708)
    assert limited.real_fraction == 0.0509
    assert "240 of the 4708 training images are used (--real-fraction 0.0509)" in caplog.text


def test_a_small_set_a_smaller_fraction_and_patients_that_were_asked_for_stay() -> None:
    for request, n_train in [
        (smoke(), 240),
        (smoke("--real-fraction", "0.05"), 4708),
        (smoke("--patients-per-class", "5"), 4708),
        (smoke("--max-train", "0"), 10**6),
        (parse(["--preset", "quick"], prog="test"), 10**6),
    ]:
        assert limit_train(request.options, n_train=n_train) == request.options


def test_the_fraction_of_a_huge_set_is_not_nothing() -> None:
    assert limit_train(smoke().options, n_train=10**8).real_fraction == 240 / 10**8


def test_a_record_of_a_large_set_holds_the_fraction_and_its_pool_is_small(run_here: Any, tmp_path: Path) -> None:
    n, rng = 1000, np.random.default_rng(0)
    arrays = {}
    for split in ("train", "val", "test"):
        labels = (np.arange(n) % 2).astype(np.uint8)[:, None]
        arrays |= {f"{split}_images": rng.integers(0, 200, (n, 28, 28), dtype=np.uint8), f"{split}_labels": labels}
        n = 40
    np.savez(tmp_path / "pneumoniamnist.npz", **arrays)
    medmnist = "--dataset medmnist --data.name pneumoniamnist --data.file pneumoniamnist.npz"
    done = run_here(*RUN, *medmnist.split(), "--generator", "noise")
    assert done.returncode == 0, done.stderr
    (record,) = (
        r for p in tmp_path.glob("results/runs/*/record.json")
        if (r := json.loads(p.read_text()))["spec"]["generator"] == "noise"
    )  # fmt: skip
    assert record["spec"]["real_fraction"] == 0.24
    assert sum(record["counts"]["real"].values()) == 240
    assert sum(record["counts"]["synthetic"].values()) == 120


# -- published systems --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(systems()))
def test_smoke_beats_the_budgets_and_sizes_of_a_published_system(name: str) -> None:
    full, tried = parse(["--config", name], prog="test"), smoke("--config", name)
    assert (tried.options.fit.steps, tried.options.train.steps, tried.options.seeds) == (6, 6, 2)
    assert (tried.options.snapshot_epochs, tried.options.preset) == (0, "smoke")
    assert tried.data.size == 32 and tried.gen.batch <= 8 and tried.clf.batch_size == 16
    assert tried.options.generator == full.options.generator and tried.data.task == full.data.task
    assert smoke("--config", name, "--gen.batch", "4", "--fit.steps", "3").gen.batch == 4
    assert smoke("--config", name, "--fit.steps", "3").options.fit.steps == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(systems()))
def test_a_published_system_is_tried_in_seconds_or_says_which_weights_it_needs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_thread: None
) -> None:
    monkeypatch.setenv("SYNTHWORTH_OFFLINE", "1")
    request = smoke("--config", name)
    multi, channels = request.data.task == "multilabel14", request.data.channels
    train = make_images(multilabel=multi, channels=channels, size=request.data.size)
    model = generators.get(request.options.generator)(request.gen)
    work = Work(tmp_path, budget=request.options.fit)
    if name in NEEDS_WEIGHTS:
        with pytest.raises(UserError, match=r"--gen\.(condition|pretrained)"):
            model.fit(train, seed=1, work=work)
        return
    assert model.fit(train, seed=1, work=work).steps == 6
    assert tuple(model.sample(train.labels[:3], seed=1).shape) == (3, channels, 32, 32)


def test_a_file_of_ones_own_still_beats_the_preset(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("generator: dcgan\nfit: {steps: 9}\ngen: {width: 16}\n")
    request = smoke("--config", str(tmp_path / "mine.yaml"))
    assert (request.options.fit.steps, request.gen.width) == (9, 16)


def test_the_environment_gives_the_preset_as_the_flag_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SYNTHWORTH_PRESET", "smoke")
    assert parse([], prog="test") == smoke()
    assert parse(["--config", "dcgan_infiltration"], prog="test").options.fit.steps == 6
    assert parse(["--preset", "quick"], prog="test").options.preset == "quick"
    monkeypatch.setenv("SYNTHWORTH_PRESET", "smokey")
    with pytest.raises(UserError, match="SYNTHWORTH_PRESET=smokey: no preset of that name"):
        parse([], prog="test")


# -- devices ------------------------------------------------------------------------------------------------------


def test_two_devices_cut_a_batch_in_two_unless_told_otherwise(caplog: pytest.LogCaptureFixture) -> None:
    shared = share_devices(smoke("--devices", "2"))
    assert (shared.gen.accumulate, shared.gen.first_stage.accumulate) == (2, 2)
    assert "cut into 2 parts (--gen.accumulate 2)" in caplog.text
    told = share_devices(smoke("--devices", "2", "--gen.accumulate", "4"))
    assert (told.gen.accumulate, told.gen.first_stage.accumulate) == (4, 2)
    odd = share_devices(smoke("--devices", "2", "--generator", "dcgan", "--gen.batch", "7"))
    assert odd.gen.accumulate == 1
    assert share_devices(smoke("--devices", "2", "--generator", "noise")).gen == smoke("--generator", "noise").gen
    assert share_devices(smoke()) == smoke()


@pytest.mark.slow
def test_one_flag_shares_the_default_generator_and_flags_of_a_stored_training_say_that_they_change_nothing(
    run_here: Any, tmp_path: Path
) -> None:
    done = run_here(*RUN, "--devices", "2")
    assert done.returncode == 0, done.stderr
    assert "--devices 2: a step's batch is cut into 2 parts" in done.stderr
    (fit,) = (
        m for p in tmp_path.glob("home/artifacts/fit/*/manifest.json")
        if (m := json.loads(p.read_text()))["identity"]["generator"] == "latent_ddpm"
    )  # fmt: skip
    assert fit["identity"]["config"]["accumulate"] == 2
    again = run_here(*RUN, *["--devices", "2", "--compile", "--snapshot-epochs", "1"])
    assert again.returncode == 0, again.stderr
    assert "--snapshot-epochs and --compile change nothing: this training of latent_ddpm is stored" in again.stderr
    plain = run_here(*RUN, "--devices", "2")
    assert "change nothing" not in plain.stderr and "changes nothing" not in plain.stderr
    fresh = run_here(*RUN, *["--devices", "2", "--compile", "--dry-run", "--seed", "7"])
    assert "nothing" not in fresh.stderr
