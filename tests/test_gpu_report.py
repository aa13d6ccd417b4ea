"""The report of a GPU: its parts on a CPU as far as they go, its limit of time, and what it tells of faults."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.speed.gpu import generators as smoke
from benchmarks.speed.gpu import run
from benchmarks.speed.gpu.denoiser import denoiser_row, sampler_row, standard_config
from benchmarks.speed.gpu.run import NO_TIME, Report, begin, machine, report
from benchmarks.speed.gpu.trainings import train, training_rows

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL: dict[str, Any] = {
    "side": 32,
    "n_train": 128,
    "device": "cpu",
    "precision": "fp32",
    "stem": "imagenet",
    "batch_size": 8,
}


def made(tmp_path: Path, *, seconds: float = 600.0) -> Report:
    end = time.monotonic() + seconds
    return Report(tmp_path / "deep" / "gpu.json", "cpu", end, end, tmp_path)


def told(found: Report) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(found.file.read_text())
    return loaded


def test_a_fault_in_one_part_is_told_and_the_next_part_is_done(tmp_path: Path) -> None:
    found = made(tmp_path)
    found.part("broken", lambda r: 1 / 0)
    found.part("sound", lambda r: [1, 2])
    assert told(found)["broken"]["fault"] == "ZeroDivisionError: division by zero"
    assert told(found)["sound"]["found"] == [1, 2]


def test_a_part_that_no_time_is_left_for_is_left_out_and_says_so(tmp_path: Path) -> None:
    found = made(tmp_path, seconds=5.0)
    found.part("long", lambda r: pytest.fail("it was begun"), seconds=10.0)
    assert told(found)["long"] == {"left_out": NO_TIME}


def test_what_runs_beside_the_rest_is_waited_for_and_tells_its_end(tmp_path: Path) -> None:
    found = made(tmp_path)
    found.begin("beside", [sys.executable, "-c", "print('one'); print('two'); raise SystemExit(3)"])
    told = found.ended("beside")
    assert told.pop("seconds") >= 0 and told == {"code": 3, "said": ["one", "two"]}


def test_what_was_never_begun_is_left_out_and_not_a_fault(tmp_path: Path) -> None:
    assert made(tmp_path).ended("tests") == {"left_out": NO_TIME}


def test_only_what_was_compiled_ahead_is_timed_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found, asked = made(tmp_path), {}
    for name, code in (("compile resnet18", 0), ("compile densenet121", 1)):
        found.begin(name, [sys.executable, "-c", f"raise SystemExit({code})"])
        found.ended(name)
    rows = "benchmarks.speed.gpu.trainings.training_rows"
    monkeypatch.setattr(rows, lambda arch, *, compile, **more: asked.update({arch: compile}) or [])
    for name in ("resnet18", "densenet121"):
        run.trainings_of(name, 1, 1)(found)
    assert asked == {"resnet18": True, "densenet121": False}


def test_warnings_of_libraries_are_no_part_of_what_is_told(tmp_path: Path) -> None:
    found = made(tmp_path)
    said = "print('/usr/lib/x.py:3: UserWarning: old'); print('  warn(old)'); print('    x = 1'); print('3 passed')"
    found.begin("tests", [sys.executable, "-c", said])
    assert found.ended("tests")["said"] == ["  warn(old)", "3 passed"]


def test_drawing_without_a_trained_model_says_so(tmp_path: Path) -> None:
    found = made(tmp_path)
    found.part("sampler", run.sampler)
    assert "no trained pixel_ddpm" in told(found)["sampler"]["fault"]


def test_what_takes_too_long_beside_the_rest_is_ended(tmp_path: Path) -> None:
    found = made(tmp_path, seconds=0.5)
    found.begin("beside", [sys.executable, "-c", "import time; time.sleep(600)"])
    assert found.ended("beside")["left_out"] == NO_TIME


def test_it_begins_every_test_file_that_is_marked_for_a_gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands: dict[str, list[str]] = {}
    monkeypatch.setattr(
        Report, "begin", lambda self, name, command, environment=None: commands.update({name: list(command)})
    )
    begin(made(tmp_path))
    assert [Path(word).name for word in commands["tests"] if word.endswith(".py")] == ["test_on_a_gpu.py"]
    assert set(commands) == {"generators", "tests", "compile resnet18", "compile densenet121", "compile pixel_ddpm"}


def test_what_failed_or_was_left_out_is_named_with_its_reason(tmp_path: Path) -> None:
    found = made(tmp_path)
    found.part("sound", lambda r: {"code": 0, "said": ["fine"]})
    found.part("broken", lambda r: 1 / 0)
    found.part("tests", lambda r: {"code": 1, "said": ["1 failed"]})
    assert found.wanting() == {
        "broken": "ZeroDivisionError: division by zero",
        "tests": "it ended with 1: 1 failed",
    }


def test_the_machine_is_told_with_its_peak(tmp_path: Path) -> None:
    found = made(tmp_path)
    facts = machine(found)
    assert facts["torch"] == torch.__version__
    assert 0 < facts["peak_tflops"]["fp32"] < 1000
    assert found.peak == facts["peak_tflops"]["bf16"] * 1e12


def test_a_report_without_time_still_says_what_it_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "begin", lambda made: [])
    found = told(report(tmp_path / "gpu.json", device="cpu", minutes=0.0))
    assert found["resnet18"] == found["sampler"] == {"left_out": NO_TIME}


def test_trainings_side_by_side_predict_what_each_predicts_alone() -> None:
    together = train("resnet18", 1, together=2, **SMALL)
    assert together.predictions[0] == train("resnet18", 1, **SMALL).predictions[0]
    assert together.predictions[0] != together.predictions[1]
    assert together.steps > 0


def test_rows_of_trainings_say_their_flops_and_their_share_of_the_peak() -> None:
    (row,) = training_rows(
        "resnet18", device="cpu", plain_steps=1, n_steps=1, peak=1e12, many=(1,), compile=False, side=32
    )
    facts = row.facts
    assert facts["gflop_per_image"] == pytest.approx(3.3, rel=0.2), "32 px, stem small: what 64 px takes with stem half"
    assert facts["share_of_peak"] == pytest.approx(facts["images_per_second"] * facts["gflop_per_image"] / 1e3)
    assert row.ratio == pytest.approx(facts["steps_per_second"] / facts["peer_steps_per_second"])


def test_the_denoiser_of_standard_is_the_one_that_is_timed() -> None:
    assert standard_config().widths == (128, 256, 256)


def test_a_denoiser_is_timed_against_the_plain_loop_and_then_draws() -> None:
    config = standard_config(widths=(16, 16), attention=(), blocks=1, batch=8, sampling_steps=2)
    row, model = denoiser_row(device="cpu", n_steps=3, peer_steps=1, peak=1e12, compile=False, side=32, config=config)
    assert row.facts["images_per_second"] > 0 and row.facts["gflop_per_image"] > 0
    assert sampler_row(model, device="cpu", n=4).facts["mean_difference_of_255"] < 5


def test_a_generator_that_fails_is_named_with_its_fault(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken:
        trains = True

        @classmethod
        def tiny_config(cls) -> None:
            raise ValueError("no such option")

    from generators import registry

    monkeypatch.setattr(registry.generators, "names", lambda: ["jitter", "lsgan", "broken"])
    get = registry.generators.get
    monkeypatch.setattr(registry.generators, "get", lambda name: Broken if name == "broken" else get(name))
    assert smoke.main("cpu") == 1
    said = capsys.readouterr().out
    assert "broken: ValueError: no such option" in said and "lsgan: right" in said and "jitter" not in said
