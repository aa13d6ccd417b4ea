"""`kill -9` at any stage, then the same command: it goes on and ends with the same predictions."""

from __future__ import annotations

import glob
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import warm
from test_run import predictions

COMMAND = [
    "--preset", "smoke", "--generator", "latent_ddpm", "--ratio", "1", "--extractors", "--gen.sampling-steps", "3",
    "--gen.unet-widths", "64", "128",  # wide enough that a checkpoint is there before the training has ended
    "--fit.steps", "30", "--train.steps", "30", "--checkpoint-seconds", "0.05", "--controls", "none", "--seeds", "1",
    "--data.n-train", "160", "--data.n-val", "40", "--data.n-test", "60",
]  # fmt: skip
STAGES = {
    "fit": "home/work/fit/*/*/*/scratch/denoiser.ckpt",
    "sampling": "home/artifacts/pool/*/manifest.json",
    "classifier": "home/work/classify/*/*/*/scratch/classifier.ckpt",
}


def start(folder: Path, *more: str) -> subprocess.Popen[str]:
    """The main job in `folder`, in a process group of its own."""
    return warm.Popen(
        [sys.executable, "-m", "benchmarks.run", *COMMAND, *more],
        start_new_session=True,
        cwd=folder,
        env={**os.environ, "SYNTHWORTH_HOME": str(folder / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Predictions of the command left alone."""
    folder = tmp_path_factory.mktemp("uninterrupted")
    process = start(folder)
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0, said
    return predictions(folder)


@pytest.mark.parametrize("stage", STAGES)
def test_a_killed_run_resumes_and_ends_with_the_same_predictions(
    stage: str, uninterrupted: dict[str, bytes], tmp_path: Path
) -> None:
    process = start(tmp_path)
    deadline = time.monotonic() + 300
    while not glob.glob(str(tmp_path / STAGES[stage])):  # Path.glob fails where a folder goes meanwhile
        assert process.poll() is None, f"the run ended before {stage} could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not list(tmp_path.glob("results/runs/*"))

    again = start(tmp_path)
    _, said = again.communicate(timeout=600)
    assert again.returncode == 0, said
    assert predictions(tmp_path) == uninterrupted
    assert not [p for p in tmp_path.glob("home/work/*/*") if p.is_dir()]
