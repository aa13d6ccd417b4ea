"""The positive control: found beside an arm, compared with real images alone, and told where it failed."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

from benchmarks.judging.positive_control import positive_control
from benchmarks.statistics.sampled import Sampled
from benchmarks.statistics.support import Support


def sampled(level: float, *, n_seeds: int = 6, seed: int = 0) -> dict[str, Sampled]:
    rng = np.random.default_rng(seed)
    values = level + 0.002 * rng.normal(size=n_seeds)
    draws = values[:, None] + 0.002 * rng.normal(size=(n_seeds, 300))
    return {"auroc": Sampled("auroc", values, draws, np.ones(300, bool), Support.equal(80), 0, "d")}


def arm(generator: str, ratio: float = 1.0, **change: Any) -> dict[str, Any]:
    spec = {"generator": generator, "ratio": ratio, "mode": "add", "shard": 256, "portion": 1.0, "filters": [],
            "generator_seed": 0, **change}  # fmt: skip
    return {"run_id": f"{generator} {ratio} {change}", "name": f"{generator} add {ratio:g}", "spec": spec}


NONE, HOLDOUT, VAE = arm("none", 0.0), arm("holdout_real"), arm("vae")


def found(of: dict[str, Any], gain: float, *, n_seeds: int = 6, arms: Any = (NONE, HOLDOUT, VAE)) -> Any:
    samples = {a["run_id"]: sampled(0.8 + gain * (a is HOLDOUT), n_seeds=n_seeds, seed=k) for k, a in enumerate(arms)}
    return positive_control(of["spec"], arms, samples)


@pytest.mark.parametrize(("gain", "shown"), [(0.05, True), (0.0, False), (-0.05, False)])
def test_it_is_shown_where_its_interval_lies_above_zero(gain: float, shown: bool) -> None:
    made = found(VAE, gain)
    assert made["shown"] is shown and made["name"] == "holdout_real add 1"
    assert made["difference"] == pytest.approx(gain, abs=0.01) and made["low"] < made["difference"] < made["high"]


def test_too_few_seeds_leave_it_open() -> None:
    assert found(VAE, 0.05, n_seeds=5)["shown"] is None


def test_it_stands_beside_arms_of_its_own_ratio_alone() -> None:
    half = arm("vae", 0.5)
    assert found(half, 0.0, arms=(NONE, HOLDOUT, half)) is None
    assert found(VAE, 0.0, arms=(NONE, VAE)) is None
    assert found(VAE, 0.0, arms=(HOLDOUT, VAE)) is None


def test_neither_it_nor_real_images_alone_have_one() -> None:
    assert found(HOLDOUT, 0.0) is None
    assert found(NONE, 0.0) is None


def test_without_an_auroc_or_enough_patients_there_is_none() -> None:
    samples = {a["run_id"]: sampled(0.8) for a in (NONE, HOLDOUT, VAE)}
    assert positive_control(VAE["spec"], (NONE, HOLDOUT), samples | {HOLDOUT["run_id"]: {}}) is None
    one = {k: {"auroc": dataclasses.replace(v["auroc"], support=Support.equal(1))} for k, v in samples.items()}
    assert positive_control(VAE["spec"], (NONE, HOLDOUT), one) is None
