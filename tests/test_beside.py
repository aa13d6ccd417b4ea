"""A small fit is trained by a worker beside the classifiers that need nothing of it: same records, same failures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.job.beside import goes_beside, groups_beside
from benchmarks.job.carry_out import Outcome, carry_out
from benchmarks.job.opened import open_bench
from benchmarks.records.predictions import PREDICTIONS
from benchmarks.records.store import Records
from benchmarks.request.options import parse
from synthworth import threads as threads_module
from synthworth.threads import n_cores

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = [
    *("--preset", "smoke", "--device", "cpu", "--generator", "vae", "--ratio", "0.5", "1", "--seeds", "2"),
    *("--controls", "none", "duplicate", "--train.steps", "2", "--fit.steps", "2", "--extractors"),
    *("--data.n-train", "120", "--data.n-val", "40", "--data.n-test", "40"),
]
DIVERGING = """
from generators.vae import VAE
from synthworth.api import register
from synthworth.errors import Diverged

@register.generator("lost")
class Lost(VAE):
    def fit(self, train, *, seed, work):
        raise Diverged("lost: the loss is nan at step 1 of 2")
"""


def run(place: Path, *more: str, workers: int) -> Outcome:
    words = [*SMALL, "--workers", str(workers), "--home", str(place / "home"), "--results", str(place / "runs"), *more]
    return carry_out(parse(words, prog="test"))


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[int, tuple[Path, Outcome]]:
    """The same request by one process and by two workers."""
    made = {}
    for workers in (1, 2):
        place = tmp_path_factory.mktemp(f"by{workers}")
        made[workers] = place, run(place, workers=workers)
    return made


def test_records_do_not_depend_on_who_fits(outcomes: dict[int, tuple[Path, Outcome]]) -> None:
    (alone, one), (by_two, two) = outcomes[1], outcomes[2]
    assert [r["run_id"] for r in one.records] == [r["run_id"] for r in two.records]
    for a, b in zip(one.records, two.records, strict=True):
        assert (a["utility"], a["fidelity"], a["counts"]) == (b["utility"], b["fidelity"], b["counts"])
        files = [place / "runs" / a["run_id"][:16] / PREDICTIONS for place in (alone, by_two)]
        assert files[0].read_bytes() == files[1].read_bytes()


def test_what_workers_made_is_counted_by_stage(outcomes: dict[int, tuple[Path, Outcome]]) -> None:
    one, two = outcomes[1][1], outcomes[2][1]
    assert one.made == two.made
    assert two.made["fit"] == 2 and two.made["classify"] == 10
    assert all(two.seconds[stage] > 0 for stage in ("fit", "pool", "classify"))


def test_a_fit_that_diverges_in_a_worker_fails_its_arms_and_no_other(tmp_path: Path) -> None:
    plugin = tmp_path / "lost.py"
    plugin.write_text(DIVERGING)
    outcome = run(tmp_path, "--generator", "lost", "--plugin", str(plugin), workers=2)
    assert [(r["name"], r["error"]) for r in outcome.failed] == [
        (f"lost add {ratio}", "lost: the loss is nan at step 1 of 2") for ratio in ("0.5", "1")
    ]
    assert {r["name"] for r in outcome.records} == {"none", "duplicate add 0.5", "duplicate add 1"}
    assert outcome.made["classify"] == 6  # none and the duplicates at two ratios, two seeds each


def test_a_worker_fits_only_what_is_worth_no_more_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads_module, "n_cores", lambda: 4)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    bench = open_bench(parse([*SMALL, "--workers", "2"], prog="test"))
    assert [goes_beside(bench, threads) for threads in (1, 2, 3, None)] == [True, True, False, False]
    bench.workers = 1
    assert not goes_beside(bench, 1)
    bench.workers, bench.device = 2, "cuda"
    assert not goes_beside(bench, 1)


class Seen(Exception):
    """The groups are known; the rest of the run is not needed."""


@pytest.mark.parametrize(
    ("more", "groups"),
    [
        ([], [["vae add 0.5", "vae add 1"]]),
        (["--generator-seed", "0", "1"], [
            ["vae add 0.5", "vae add 1"], ["vae add 0.5 (generator seed 1)", "vae add 1 (generator seed 1)"],
        ]),
        (["--filters", "no_copies"], []),
        (["--generator", "noise"], []),
        (["--devices", "2"], []),
        (["--generator", "latent_ddpm", "--controls", "none", "reconstruct"], [
            ["reconstruct add 0.5", "reconstruct add 1", "latent_ddpm add 0.5", "latent_ddpm add 1"],
        ]),
    ],
    ids=["one fit", "two trainings", "filtered", "a control", "two processes", "with a part of it"],
)  # fmt: skip
def test_arms_of_one_fit_go_together(
    more: list[str], groups: list[list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[list[str]] = []

    def look(experiment: Any, arms: Any) -> Any:
        found.extend([arm.spec.name for arm in group] for group in groups_beside(experiment, arms))
        raise Seen

    monkeypatch.setattr("benchmarks.job.carry_out.groups_beside", look)
    with pytest.raises(Seen):
        run(tmp_path, *more, workers=2)
    assert found == groups


def test_what_is_fitted_already_is_drawn_here(outcomes: dict[int, tuple[Path, Outcome]], tmp_path: Path) -> None:
    place = outcomes[2][0]
    words = [*SMALL, "--workers", "2", "--home", str(place / "home"), "--results", str(tmp_path), "--seeds", "1"]
    outcome = carry_out(parse(words, prog="test"))
    assert outcome.made["fit"] == 0 and outcome.made["classify"] == 0
    assert len(list(Records(tmp_path))) == 5


def test_the_expected_time_is_that_of_what_goes_on_side_by_side(tmp_path: Path) -> None:
    place = ["--home", str(tmp_path / "home"), "--results", str(tmp_path / "runs"), "--dry-run"]
    words = ["--preset", "quick", "--device", "cpu", "--generator", "latent_ddpm", *place]
    seconds = {}
    for workers in ("1", "2"):
        lines = carry_out(parse([*words, "--workers", workers], prog="test")).expected
        seconds[workers] = {line.stage: line.seconds or 0.0 for line in lines}
    one, two = (sum(found[stage] for stage in ("fit", "pool", "classify")) for found in seconds.values())
    assert all(seconds["2"][stage] > 0 for stage in ("fit", "pool", "classify"))
    if n_cores() > 1:
        assert two < one
