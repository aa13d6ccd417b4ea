"""Several trainings of a generator: their interval covers, and what is said goes no further than it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.job.plan import specs_of
from benchmarks.records.predictions import PREDICTIONS, Entry
from benchmarks.records.store import Records
from benchmarks.request.options import parse
from benchmarks.statistics.crossed_trainings import pool, variance
from benchmarks.statistics.interval import half_width
from benchmarks.statistics.quantile import one_sided_p, quantile
from benchmarks.statistics.sampled import Sampled
from benchmarks.statistics.support import Support
from benchmarks.verdicts.over_trainings import by_method, entries_of, pooled_sentences
from synthworth.errors import Unavailable


def crossed(
    rng: np.random.Generator, *, g: int, s: int, training: float, seed: float, n: int = 60
) -> tuple[np.ndarray, np.ndarray]:
    """Values (g, s) and 150 resamples of n patients, every effect and interaction in them; the true mean is 0."""
    normal = rng.standard_normal
    base = training * normal((g, 1)) + seed * normal((1, s)) + 0.05 * normal((g, s))
    by_patient = normal(n) + 0.3 * normal((g, 1, n)) + 0.3 * normal((1, s, n)) + 0.5 * normal((g, s, n))
    counts = rng.multinomial(n, np.full(n, 1 / n), size=150).T / n
    return base + by_patient.mean(axis=-1), base[:, :, None] + by_patient @ counts


@pytest.mark.parametrize(
    ("g", "training", "expected"),
    [(2, 0.15, 0.970), (3, 0.0, 0.959), (3, 0.15, 0.966), (3, 0.5, 0.946), (5, 0.5, 0.953)],
)
def test_the_interval_covers_what_it_was_measured_to(g: int, training: float, expected: float) -> None:
    """`expected` is the coverage in 4,000 experiments; 600 here have a standard error of .009."""
    rng, hits = np.random.default_rng(g), 0
    for _ in range(600):
        values, draws = crossed(rng, g=g, s=6, training=training, seed=0.1)
        found = variance(values, draws, n_groups=60)
        hits += abs(values.mean()) <= quantile(0.975, found.parts) * np.sqrt(found.total)
    assert hits / 600 == pytest.approx(expected, abs=0.028)


def test_one_training_has_the_variance_of_every_other_comparison() -> None:
    values, draws = crossed(np.random.default_rng(0), g=1, s=6, training=0.0, seed=0.1)
    spread, found = half_width(values[0], draws[0], n_groups=60), variance(values, draws, n_groups=60)
    assert np.sqrt(found.total) == pytest.approx(spread.se)
    assert quantile(0.975, found.parts) == pytest.approx(spread.quantile)


def test_trainings_that_differ_widen_the_interval() -> None:
    values, draws = crossed(np.random.default_rng(0), g=3, s=6, training=0.0, seed=0.1)
    apart = np.array([[-1.0], [0.0], [1.0]])
    near = variance(values, draws, n_groups=60)
    far = variance(values + apart, draws + apart[:, :, None], n_groups=60)
    assert far.total > 3 * near.total
    assert far.parts[0][0] > 0.8
    assert (far.seeds, far.patients) == pytest.approx((near.seeds, near.patients))


TABLE = np.array([[1.0, 2.0, 3.0], [3.0, 4.0, 8.0]])
"""Two trainings and three seeds. Means 2, 5 (variance 9/2) and 2, 3, 11/2 (variance 13/4); what is left of each cell,
(1/2, 1/2, -1) and its negative, has the mean square 3/2. So A = 9/4, B = 13/12 and C = 1/4."""


def still(values: np.ndarray) -> np.ndarray:
    """Resamples that all give the same: the patients play no part."""
    return np.repeat(values[:, :, None], 5, axis=2)


@pytest.mark.parametrize("turned", [False, True])
def test_the_variance_between_is_a_plus_b_less_the_interaction_that_both_hold(turned: bool) -> None:
    """Turned, there are three trainings and two seeds."""
    values = TABLE.T if turned else TABLE
    found = variance(values, still(values), n_groups=9)
    a, b = (13 / 12, 9 / 4) if turned else (9 / 4, 13 / 12)
    assert (found.trainings, found.seeds, found.patients) == pytest.approx((a, b, 0))
    assert found.total == pytest.approx(9 / 4 + 13 / 12 - 1 / 4)
    freedom = (2, 1) if turned else (1, 2)
    expected = [[a / (a + b), freedom[0]], [b / (a + b), freedom[1]], [0, 8]]
    assert np.array(found.parts) == pytest.approx(np.array(expected))


def test_one_seed_tells_the_trainings_apart_and_nothing_of_seeds() -> None:
    values = np.array([[1.0], [3.0]])
    found = variance(values, still(values), n_groups=9)
    assert (found.total, found.trainings, found.seeds) == (1, 1, 0)


@pytest.mark.parametrize(
    ("table", "a", "b"),
    [([[2, 0], [-2, 0]], 1, 0), ([[2, -2], [0, 0]], 0, 1), ([[1, -1], [-1, 1]], 0, 0)],
    ids=["trainings", "seeds", "interaction alone"],
)
def test_the_variance_between_never_falls_below_that_of_trainings_or_of_seeds(table, a: float, b: float) -> None:
    """C is 1 in each of them, so that A + B - C is 0 or below."""
    values = np.array(table, dtype=float)
    found = variance(values, still(values), n_groups=9)
    assert (found.trainings, found.seeds, found.total) == (a, b, max(a, b))
    assert [share for share, _ in found.parts] == ([a, b, 0] if a or b else [0, 0, 1])


def test_trainings_and_seeds_that_differ_alike_share_the_variance_and_have_freedom_by_their_number() -> None:
    """Effects of -1, 0 and 1 of both, without interaction: A = B = 1/3."""
    effect = np.array([-1.0, 0.0, 1.0])
    values = effect[:, None] + effect
    found = variance(values, still(values), n_groups=9)
    assert found.total == pytest.approx(2 / 3)
    assert np.array(found.parts) == pytest.approx(np.array([[1 / 2, 2], [1 / 2, 2], [0, 8]]))


def moving(*, mean: float, training: float, seed: float, both: float) -> np.ndarray:
    """Three resamples (2, 2, 3) that move the grand mean, the trainings apart, the seeds apart, and both."""
    apart = np.array([1.0, -1.0])
    table = mean + training * apart[:, None] + seed * apart + both * np.outer(apart, apart)
    return table[:, :, None] * np.array([1.0, -1.0, 0.0])


def test_patients_add_their_variance_less_what_trainings_and_seeds_hold_of_it() -> None:
    """Over the three resamples a move of m has the variance m^2, and with three patients 3/2 m^2."""
    values = 3 * np.array([[1.0, 1.0], [-1.0, -1.0]])
    found = variance(values, moving(mean=4, training=1, seed=2, both=1.5), n_groups=3)
    patients, beyond = 1.5 * 16, 9 - 1.5 * (1 + 4 - 2.25)
    assert found.patients == pytest.approx(patients)
    assert found.total == pytest.approx(beyond + patients)
    shares = beyond / (beyond + patients), patients / (beyond + patients)
    assert np.array(found.parts) == pytest.approx(np.array([[shares[0], 1], [0, 1], [shares[1], 2]]))


def test_trainings_that_agree_by_luck_do_not_narrow_what_patients_make_of_them() -> None:
    """Trainings come out 1 apart; single patients move them apart by 6 already, and the mean by less."""
    values = np.array([[1.0, 1.0], [-1.0, -1.0]])
    found = variance(values, moving(mean=1, training=2, seed=0, both=0), n_groups=3)
    assert found.total == pytest.approx(1.5 * 4)
    assert found.parts[0][0] == 0 and found.parts[2] == (1.0, 2.0)
    few = variance(values, moving(mean=1, training=2, seed=0, both=0), n_groups=3, freedom=1.5)
    assert few.parts[2] == (1.0, 1.5)


def arms_of(values: np.ndarray, draws: np.ndarray, **change: Any) -> tuple[list[Sampled], Sampled]:
    """An arm for each row of values (G, S) and draws (G, S, N), and a control that is 0 throughout."""
    zero = Sampled(
        "auroc",
        np.zeros(values.shape[1]),
        np.zeros(draws.shape[1:]),
        np.ones(draws.shape[2], bool),
        Support.equal(60),
        3,
        "d",
    )
    control = dataclasses.replace(zero, **change)
    return [dataclasses.replace(control, values=v, draws=d) for v, d in zip(values, draws, strict=True)], control


@pytest.mark.parametrize(("n_seeds", "words"), [(6, ("helps", "hurts")), (5, ("no difference shown",) * 2)])
def test_what_is_pooled_is_the_mean_with_the_interval_of_its_variance(n_seeds: int, words: tuple[str, str]) -> None:
    values, draws = crossed(np.random.default_rng(1), g=3, s=n_seeds, training=0.05, seed=0.05)
    for sign, word in zip((1, -1), words, strict=True):
        arms, control = arms_of(sign * (values + 2), sign * (draws + 2))
        expected, found = variance(values, draws, n_groups=60), pool(arms, control)
        se = np.sqrt(expected.total)
        assert (found.verdict, found.n_trainings, found.n_seeds, found.n_groups) == (word, 3, n_seeds, 60)
        assert found.difference == pytest.approx(sign * (values.mean() + 2))
        assert found.by_training == pytest.approx(tuple(sign * (values.mean(axis=1) + 2)))
        assert found.quantile == pytest.approx(quantile(0.975, expected.parts))
        ends = (found.difference - found.quantile * se, found.difference + found.quantile * se)
        assert (found.low, found.high) == pytest.approx(ends)
        assert found.p_value == pytest.approx(2 / 2**n_seeds)
        assert found.p_interval == pytest.approx(2 * one_sided_p(abs(found.difference), se, expected.parts))
        parts = (expected.trainings, expected.seeds, expected.patients)
        assert (found.se_trainings, found.se_seeds, found.se_patients) == pytest.approx(tuple(np.sqrt(parts)))
        assert found.to_json() == dataclasses.asdict(found) | {"by_training": list(found.by_training), "collapsed": []}


def test_an_interval_over_trainings_that_holds_zero_says_nothing() -> None:
    values, draws = crossed(np.random.default_rng(1), g=3, s=6, training=0.05, seed=0.05)
    for shift in (-0.01, 0.01):
        found = pool(*arms_of(values - values.mean() + shift, draws - values.mean() + shift))
        assert found.low < 0 < found.high and found.verdict == "no difference shown"
    nothing = pool(*arms_of(np.zeros((2, 6)), np.zeros((2, 6, 200))))
    assert (nothing.low, nothing.high, nothing.verdict) == (0, 0, "no difference shown")


def test_an_interval_over_trainings_needs_two_patients_and_two_seeds() -> None:
    values, draws = crossed(np.random.default_rng(1), g=2, s=2, training=0.05, seed=0.05)
    assert pool(*arms_of(values, draws, support=Support.equal(2))).n_groups == 2
    with pytest.raises(Unavailable, match="two patients and two classifier seeds"):
        pool(*arms_of(values, draws, support=Support.equal(1)))
    with pytest.raises(Unavailable, match="two patients and two classifier seeds"):
        pool(*arms_of(values[:, :1], draws[:, :1]))


def trained(lab: Any, *qualities: float, **change: Any) -> list[dict[str, Any]]:
    """Records of real images alone and of a generator trained as often as there are qualities."""
    runs = [lab.run("latent_ddpm", q, jitter=k, generator_seed=k, **change) for k, q in enumerate(qualities)]
    return [lab.run("none", 1.0, **change), *runs]


def told(lab: Any, records: list[dict[str, Any]]) -> list[str]:
    return pooled_sentences(entries_of(Records(lab.folder), records))


@pytest.fixture
def alone(lab: Any) -> Any:
    """A lab where real images alone are known, so that later arms are compared with them."""
    for seeds in (6, 3):
        lab.run("none", 1.0, seeds=seeds)
    return lab


@pytest.mark.parametrize(
    ("qualities", "word"),
    [
        ((2.4, 2.5, 2.6), "HELPS. latent_ddpm add 0.5, 3 trainings: AUROC +"),
        ((0.1, 0.2, 0.15), "HURTS. latent_ddpm add 0.5, 3 trainings: AUROC -"),
        ((1.0, 1.0, 1.0), "NO DIFFERENCE SHOWN. "),
        ((2.5, 1.0, 0.2), "NO DIFFERENCE SHOWN. "),
        ((2.5, 2.5), "SCREENING ONLY, 2 trainings are fewer than 3. "),
    ],
)
def test_a_method_is_judged_over_its_trainings(alone: Any, qualities: tuple[float, ...], word: str) -> None:
    (line,) = told(alone, trained(alone, *qualities))
    assert line.startswith(word)
    assert line.count("each training: ") == 1
    assert len(line.partition("each training: ")[2].split(", ")) == len(qualities)


def test_one_training_or_few_seeds_say_nothing_of_the_method(alone: Any) -> None:
    assert told(alone, trained(alone, 2.5)) == []
    (line,) = told(alone, trained(alone, 2.5, 2.5, 2.5, seeds=3))
    assert line.startswith("SCREENING ONLY, 3 seeds")


def test_only_what_differs_in_the_training_alone_is_pooled(alone: Any) -> None:
    records = [*trained(alone, 2.0, 2.0), alone.run("latent_ddpm", 2.0, ratio=1.0, generator_seed=2)]
    records.append(alone.run("duplicate", 1.0, generator_seed=1, fit=None))
    groups = by_method([Entry(r, alone.folder) for r in records])
    assert [[e.spec["generator_seed"] for e in group] for group in groups] == [[0, 1]]


def test_draws_of_a_control_that_learns_nothing_are_no_trainings(alone: Any) -> None:
    records = [alone.run("duplicate", 1.0, jitter=k, generator_seed=k, fit=None) for k in range(3)]
    assert told(alone, [*records, alone.run("none", 1.0)]) == []


def test_the_sentence_names_the_method_its_interval_and_every_training_in_the_order_of_the_seeds(alone: Any) -> None:
    later = [alone.run("latent_ddpm", q, jitter=k, generator_seed=k) for k, q in ((3, 2.6), (2, 2.4), (1, 2.2))]
    zero, lost = alone.run("none", 1.0), alone.fail("the loss is nan", generator_seed=9)
    (line,) = told(alone, [lost, zero, *later])
    number = r"\+0\.\d{4}"
    found = re.fullmatch(
        rf"HELPS\. latent_ddpm add 0\.5, 3 trainings: AUROC {number} \[{number}, {number}\] against real images alone, "
        rf"for new trainings, seeds and patients, p (?:= 0\.\d{{3}}|< 0\.001); "
        rf"each training: ({number}, {number}, {number})\. "
        r"This test set and these seeds would have shown a difference of 0\.\d{3} in four of five experiments\.",
        line,
    )
    assert found is not None
    gains = [float(x) for x in found[1].split(", ")]
    assert gains == sorted(gains)


def test_predictions_that_are_missing_are_why_a_method_is_not_judged(alone: Any) -> None:
    records = trained(alone, 2.4, 2.5, 2.6)
    (Records(alone.folder).path(records[1]["run_id"]) / PREDICTIONS).unlink()
    assert told(alone, records) == [
        f"latent_ddpm add 0.5, 3 trainings: {PREDICTIONS} is missing beside the record"
    ]  # fmt: skip


def test_a_missing_zero_line_is_said(alone: Any) -> None:
    (line,) = told(alone, trained(alone, 2.0, 2.0, 2.0)[1:])
    assert line == "latent_ddpm add 0.5, 3 trainings: not compared with real images alone"


def test_trainings_compared_with_other_controls_are_pooled_all_the_same(alone: Any) -> None:
    records = trained(alone, 2.4, 2.5, 2.6)
    (line,) = told(alone, [{**r, "comparisons": {}} for r in records])
    assert line.startswith("HELPS. latent_ddpm add 0.5, 3 trainings: AUROC +")
    assert told(alone, records) == [line]


def test_a_point_of_the_learning_curve_is_not_what_trainings_are_compared_with(alone: Any) -> None:
    zero, *arms = trained(alone, 2.4, 2.5, 2.6)
    point = alone.run("none", 2.5, portion=2.0)
    (line,) = told(alone, [point, zero, *arms])
    assert line == told(alone, [zero, *arms])[0]
    assert told(alone, [point, *arms])[0].endswith("not compared with real images alone")


def test_one_training_of_unequal_compute_leaves_the_method_without_a_verdict(alone: Any) -> None:
    zero, first, *others = trained(alone, 2.4, 2.5, 2.6)
    longer = {**first, "training": {**first["training"], "steps": [9] * 6}}
    (line,) = told(alone, [zero, longer, *others])
    assert line.startswith("UNEQUAL COMPUTE, 9 optimiser steps against 5. latent_ddpm add 0.5, 3 trainings: AUROC +")


def test_trainings_that_cannot_be_paired_are_refused(alone: Any) -> None:
    trained(alone, 2.0, 2.0)
    first, control = (alone.known[k] for k in (("latent_ddpm", 0.5, 6, 0), ("none", None, 6, 0)))
    with pytest.raises(ValueError, match="two or more"):
        pool([first], control)
    with pytest.raises(ValueError, match="the trainings cannot be paired"):
        pool([first, dataclasses.replace(first, design="another")], control)


def test_the_leaderboard_says_it_below_the_table(alone: Any) -> None:
    from leaderboard.text import markdown

    trained(alone, 2.4, 2.5, 2.6)
    tables = alone.tables()
    assert [len(t.pooled) for t in tables if t.setting["seeds"] == 6] == [1]
    assert "Over several trainings of a generator:\n\n- HELPS. latent_ddpm add 0.5, 3 trainings" in markdown(tables, [])


def test_a_request_trains_the_generator_several_times_and_draws_controls_once() -> None:
    flags = ["--preset", "smoke", "--generator", "vae", "--ratio", "1", "--generator-seed", "0", "2"]
    request = parse(flags, prog="run")
    specs = specs_of(request, fingerprint="", precision="fp32")
    assert [s.name for s in specs] == ["none", "duplicate add 1", "vae add 1", "vae add 1 (generator seed 2)"]
    assert [s.generator_seed for s in specs] == [0, 0, 0, 2]
    assert len({s.run_id for s in specs}) == 4


def test_the_command_judges_the_method_last(run_here: Callable[..., Any], tmp_path: Path) -> None:
    done = run_here(
        "-m", "benchmarks.run", "--preset", "smoke", "--extractors", "--controls", "none", "--generator", "vae",
        "--generator-seed", "0", "1", "--workers", "1",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "VERDICT  SCREENING ONLY, 2 seeds cannot reach p < 0.05. vae add 0.5 (generator seed 1): " in done.stdout
    assert "VERDICT  SCREENING ONLY, 2 seeds cannot reach p < 0.05. vae add 0.5, 2 trainings: AUROC " in done.stdout
    assert len(list(tmp_path.glob("results/runs/*/record.json"))) == 3
    assert len(list(tmp_path.glob("home/artifacts/fit/*/manifest.json"))) == 2
