"""A sweep on this machine: the records of `benchmarks.run`, each artifact once, failures told, kills survived."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import warm
from small_sweeps import FLAGS, LEAST, SHORT, SMALL, VARIED, artifacts, records, same, write

from benchmarks.job.carry_out import carry_out
from benchmarks.records.predictions import PREDICTIONS
from benchmarks.request.options import parse
from benchmarks.sweep.__main__ import main
from synthworth.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def by_runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `benchmarks.run` makes of the same cells, one request after the other."""
    place = tmp_path_factory.mktemp("runs")
    for words in (["vae", "--ratio", "0", "0.5", "1", "--generator-seed", "0", "1"], ["dcgan", "--ratio", "0.5"]):
        words = ["--generator", *words, "--workers", "2"]
        words += ["--home", str(place / "home"), "--results", str(place / "runs")]
        carry_out(parse([*FLAGS, *words], prog="test"))
    return place


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    place = tmp_path_factory.mktemp("sweep")
    args = write(place, VARIED)
    assert main([*args, "--jobs", "2"]) == 0
    return place, args


def test_a_sweep_makes_the_records_of_the_runs_it_stands_for(by_runs: Path, swept: tuple[Path, list[str]]) -> None:
    same(swept[0], by_runs, n=8)
    assert artifacts(swept[0]) == artifacts(by_runs)


def test_generators_are_trained_once_for_all_ratios(swept: tuple[Path, list[str]]) -> None:
    place, _ = swept
    of = [json.loads(file.read_text()) for file in (place / "home/artifacts/fit").glob("*/manifest.json")]
    names = [manifest["identity"]["generator"] for manifest in of]
    assert sorted(names) == ["dcgan", "duplicate", "vae", "vae"]


def test_a_second_call_makes_nothing(swept: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    place, args = swept
    before = {file: file.stat().st_mtime_ns for file in (place / "runs").glob("*/*")}
    assert main(args) == 0
    assert {file: file.stat().st_mtime_ns for file in before} == before
    said = capsys.readouterr().out
    assert "7 cells in 2 requests: 7 done" in said and "made:" not in said


def test_the_table_has_a_row_a_cell_with_the_numbers_of_its_record(swept: tuple[Path, list[str]]) -> None:
    import pandas as pd

    place, _ = swept
    table = pd.read_csv(place / "out" / "table.csv")
    assert len(table) == 7 and set(table["state"]) == {"done"}
    assert list(table["ratio"]) == [0, 0, 0.5, 0.5, 1, 1, 0.5]
    of = records(place)
    for row in table.to_dict("records"):
        record = of[row["run_id"]]
        assert row["auroc"] == pytest.approx(record["utility"]["auroc"]["value"])
        if row["ratio"]:
            assert record["spec"]["generator"] == row["generator"] and record["spec"]["ratio"] == row["ratio"]
            assert row["vs_none"] == pytest.approx(record["comparisons"]["none"]["difference"])
    page = (place / "out" / "table.md").read_text()
    assert "7 of 7 rows are done" in page and "figure.png" in page
    assert (place / "out" / "figure.png").stat().st_size > 10_000


def test_a_dry_run_writes_nothing_and_says_what_is_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = write(tmp_path, VARIED)
    assert main([*args, "--dry-run"]) == 0
    said = capsys.readouterr().out
    assert "7 cells in 2 requests, at most: 8 arms, 3 trainings of a generator, 16 of a classifier" in said
    assert "To be prepared first: phantom" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ablation.yaml"]


def test_machines_that_share_a_sweep_by_items_make_it_whole(by_runs: Path, tmp_path: Path) -> None:
    args = write(tmp_path, SHORT)
    for number in (1, 2):
        assert main([*args, "--jobs", "2", "--item", f"{number}/2"]) == 0
    assert main([*args, "--collect"]) == 0
    same(tmp_path, by_runs, n=4)


def begin(args: list[str], **more: Any) -> subprocess.Popen[str]:
    code = f"import sys; from benchmarks.sweep.__main__ import main; sys.exit(main({args!r}))"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    return warm.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    )


def test_two_sweeps_at_once_share_the_work(by_runs: Path, tmp_path: Path) -> None:
    args = write(tmp_path, SHORT)
    both = [begin([*args, "--jobs", "2"]) for _ in range(2)]
    said = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    same(tmp_path, by_runs, n=4)
    assert artifacts(tmp_path) == {"classify": 8, "data": 1, "fit": 3, "pool": 18}
    written = [int(n) for out, _ in said for n in re.findall(r"(\d+) records", out)]
    assert sum(written) == 4 and not (tmp_path / "home" / "work" / "evaluate").exists()


def test_folders_that_differ_between_cells_are_refused(tmp_path: Path) -> None:
    args = write(tmp_path, "sweep:\n  list:\n    - {results: a}\n    - {results: b}\n")
    args = [word for word in args if word != "--results" and not word.endswith("runs")]
    with pytest.raises(UserError, match="results differs between cells"):
        main(args)


def test_options_of_drawing_share_one_training_and_draw_what_a_training_of_their_own_would(tmp_path: Path) -> None:
    options = "generator: latent_ddpm\ngen: {drop: 0.2}\n"
    least = [*LEAST, "--gen.sampling-steps", "2"]
    args = write(tmp_path / "shared", options + "sweep:\n  product: {gen.guidance: [1, 3]}\n")
    assert main([*args, "--jobs", "1", *least]) == 0
    fits = [json.loads(file.read_text()) for file in (tmp_path / "shared/home/artifacts/fit").glob("*/fit.json")]
    assert sum("trained_as" in report for report in fits) == 1
    (twin,) = [report for report in fits if "trained_as" in report]
    words = ["--generator", "latent_ddpm", "--gen.drop", "0.2", "--workers", "1"]
    words += ["--results", str(tmp_path / "own/runs")]
    for guidance in ("1", "3"):  # each in a home of its own, and so with a training of its own
        more = ["--gen.guidance", guidance, "--home", str(tmp_path / f"home {guidance}")]
        carry_out(parse([*FLAGS, *words, *more, *least], prog="test"))
    same(tmp_path / "shared", tmp_path / "own", n=3)
    costs = [record["cost"] for record in records(tmp_path / "shared").values() if "fit_seconds" in record["cost"]]
    trained = [cost for cost in costs if cost["fit"].get("steps") == twin["steps"] and cost["fit_seconds"] > 0.2]
    assert len(trained) == 2  # the training's seconds stand in both records, not those of a copy


def test_a_point_of_the_curve_is_that_of_its_own_seed(tmp_path: Path) -> None:
    args = write(tmp_path, "curve: [0.5]\nsweep:\n  product: {seed: [0, 1], generator: [duplicate], ratio: [0.5]}\n")
    assert main([*args, "--jobs", "1", *LEAST]) == 0
    for seed in ("0", "1"):
        words = ["--generator", "duplicate", "--ratio", "0.5", "--curve", "0.5", "--seed", seed, "--workers", "1"]
        words += ["--home", str(tmp_path / "own" / "home"), "--results", str(tmp_path / "own" / "runs")]
        carry_out(parse([*FLAGS, *words, *LEAST], prog="test"))
    same(tmp_path, tmp_path / "own", n=6)


def test_a_value_that_no_fit_could_be_drawn_with_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    options = "generator: pixel_ddpm\ngen: {drop: 0, sampling_steps: 2, widths: [8, 16], attention: []}\n"
    args = [*write(tmp_path, options + "sweep:\n  product: {gen.guidance: [1, 3]}\n"), *LEAST]
    with pytest.raises(UserError, match=r"guidance 3 needs a prediction without condition: set --gen.drop above 0"):
        main([*args, "--jobs", "1"])
    assert not records(tmp_path)


def test_blocks_that_vary_other_options_and_arms_without_a_row_of_their_own(
    swept: tuple[Path, list[str]], tmp_path: Path
) -> None:
    """Over what is stored: nothing is trained."""
    import pandas as pd

    place, _ = swept
    (tmp_path / "two.yaml").write_text(
        SMALL + "generator: vae\nsweep:\n  - product: {ratio: [0.5, 1]}\n  - product: {margin: [0.01]}\n"
    )
    folders = ["--home", str(place / "home"), "--results", str(place / "runs"), "--out", str(tmp_path / "out")]
    assert main(["--config", str(tmp_path / "two.yaml"), *folders, "--jobs", "2"]) == 0
    table = pd.read_csv(tmp_path / "out" / "table.csv")
    assert list(table["state"]) == ["done"] * 3 and (tmp_path / "out" / "figure.png").is_file()
    assert table["note"].iloc[2] == "the same run as the cell ratio 0.5"


def test_ratios_that_the_file_asks_for_together_are_told_apart(
    swept: tuple[Path, list[str]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Over what is stored: nothing is trained."""
    place, _ = swept
    text = "generator: vae\nratio: [0.5, 1]\ngenerator_seed: [0, 1]\nsweep:\n  product: {margin: [0.01]}\n"
    (tmp_path / "one.yaml").write_text(SMALL + text)
    folders = ["--home", str(place / "home"), "--results", str(place / "runs"), "--out", str(tmp_path / "out")]
    assert main(["--config", str(tmp_path / "one.yaml"), *folders, "--jobs", "2"]) == 0
    page = (tmp_path / "out" / "table.md").read_text()
    assert "| margin | ratio | generator_seed | state |" in page.replace("\\", "") and "4 of 4 rows are done" in page
    assert "| 0.01 | 0.5 | 0 | done |" in page and "| 0.01 | 1 | 1 | done |" in page
    head = next(line for line in capsys.readouterr().out.splitlines() if "margin" in line and "state" in line)
    assert "ratio" in head and "generator_seed" in head
    rows = [(row.split(",")[:3]) for row in (tmp_path / "out" / "table.csv").read_text().splitlines()]
    assert rows == [["margin", "ratio", "generator_seed"],
                    *(["0.01", ratio, seed] for seed in "01" for ratio in ("0.5", "1.0"))]  # fmt: skip


def test_nothing_failed_is_said(swept: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    _, args = swept
    assert main([*args, "--only-failed"]) == 0
    assert "nothing failed before" in capsys.readouterr().out


def test_a_record_whose_predictions_have_changed_is_made_again(
    swept: tuple[Path, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    place, args = swept
    before = records(place)
    victim = sorted((place / "runs").glob(f"*/{PREDICTIONS}"))[0]
    content = victim.read_bytes()
    victim.write_bytes(content[:-5] + bytes([content[-5] ^ 1]) + content[-4:])
    assert main([*args, "--jobs", "2"]) == 0
    assert "1 records" in capsys.readouterr().out.replace("\n", " ")
    assert victim.read_bytes() == content and records(place).keys() == before.keys()
