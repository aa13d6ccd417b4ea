"""Each number of fidelity stands beside that of as many real test images, or the table says that it does not."""

from __future__ import annotations

import io
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from benchmarks.judging.fidelity import Fidelity
from benchmarks.metrics.extractors.base import Extracted
from benchmarks.metrics.registry import METRICS, metric_named
from benchmarks.report.tables import print_fidelity
from benchmarks.stages.arm import Arm
from benchmarks.stages.bench import Bench
from data.images import ImageSet, Split
from data.mixing import Demand, SyntheticSet
from synthworth.store import Store

N_TEST = 70
MOVING = {"fd", "manifold_recall", "coverage", "intensity_mean", "histogram_distance"}
STILL = {"kd", "manifold_precision", "density", "ssim_within"}


class Blocks:
    """An extractor of next to nothing: the image, averaged down to 6 x 6."""

    id, weights_sha256 = "blocks@6", "0" * 64

    def extract(self, images: torch.Tensor) -> Extracted:
        return Extracted(torch.nn.functional.adaptive_avg_pool2d(images.float(), 6).flatten(1).numpy(), None)


def noise(made: ImageSet, seed: int) -> ImageSet:
    """The set with pictures of one law: noise."""
    source = torch.Generator().manual_seed(seed)
    return replace(made, images=torch.randint(0, 256, (len(made), 1, 16, 16), dtype=torch.uint8, generator=source))


@pytest.fixture
def fidelity(tmp_path: Path, make_images, make_spec) -> Any:
    """Fidelity where test has 70 images, and a maker of arms that draw n more of the very law of the real ones."""
    sizes = {"train": (100, 100, 100), "val": (20, 20, 20), "test": (24, 23, 23)}
    sets = {s: noise(make_images(n, split=Split(s)), k) for k, (s, n) in enumerate(sizes.items())}
    images = SimpleNamespace(**sets)
    made = Fidelity(Bench(Store.open(tmp_path / "home"), "cpu", 1, 60.0, {}, {}), images, make_spec(extractors=()))
    made.extractors["efficientnet_lite0"] = Blocks()

    def arm(n: int) -> Arm:
        pool = noise(make_images((n, 0, 0), split=Split("train")), 9)
        one = Arm(make_spec(generator="dcgan", ratio=n / 300), images)
        one.demanded = Demand({"a": n}, 300)
        one.pool = SyntheticSet(pool.images, torch.arange(n) % 3, ("a", "b", "c"), "f" * 64, "t" * 64)
        return one

    return SimpleNamespace(of=lambda n: {v.metric: v for v in made.of(arm(n)).values()}, made=made, arm=arm)


def printed(found: dict[str, Any]) -> str:
    record = {"name": "dcgan", "fidelity": {v.name: v.to_json() for v in found.values()}}
    out = Console(file=io.StringIO(), width=160)
    print_fidelity(out, [record])
    return out.file.getvalue()


def test_where_test_has_as_many_images_the_floor_stands_on_the_arms_own_n(fidelity) -> None:
    for n in (55, N_TEST):
        found = fidelity.of(n)
        for name in MOVING | STILL:
            assert found[name].extra["floor_n"] == found[name].n == n
            assert "at_floor_n" not in found[name].extra
    assert "as many of the arm's" not in printed(found)


def test_where_test_has_fewer_what_moves_with_n_is_given_at_the_floors_n_too(fidelity) -> None:
    found = fidelity.of(280)
    for name in MOVING | STILL:
        extra = found[name].extra
        assert (found[name].n, extra["floor_n"]) == (280, N_TEST)
        assert ("at_floor_n" in extra) == (name in MOVING), name
    fd = found["fd"]
    assert fd.extra["at_floor_n"] == pytest.approx(fd.extra["floor"], rel=0.25), "one law, one n"
    assert fd.value < 0.6 * fd.extra["floor"], "and at its own n it would seem nearer to real than real images are"
    assert abs(found["coverage"].extra["at_floor_n"] - found["coverage"].extra["floor"]) < 0.1
    assert found["coverage"].value > found["coverage"].extra["floor"] + 0.15


def test_the_table_shows_the_row_that_compares_with_the_floor_and_says_so(fidelity) -> None:
    text = printed(fidelity.of(280))
    rows = [re.split(r"\s*│\s*", line) for line in text.splitlines() if "│" in line]
    assert [row[3] for row in rows] == ["280", "70", "70"]
    assert [bool(row[4]) for row in rows] == [True, True, True]
    assert "compare the floor with the row above it" in text


def test_of_a_record_without_that_row_the_table_says_what_does_not_compare(fidelity) -> None:
    found = fidelity.of(280)
    for value in found.values():
        value.extra.pop("at_floor_n", None)
    text = printed(found)
    assert "as many of the arm's" not in text
    assert "only KD, precision, density and FD at infinity compare with it" in text


@pytest.mark.parametrize("name", ["fd", "kd", "prdc"])
def test_what_is_declared_to_stand_still_does_not_move_with_n(name: str) -> None:
    """Means over 30 draws of one law, 60 and 240 images against 300: those that move do, the others do not."""
    rng = np.random.default_rng(0)
    found: dict[str, dict[int, list[float]]] = {}
    for _ in range(30):
        real = rng.normal(size=(300, 32))
        for n in (60, 240):
            for value in metric_named(name).measure(real=real, fake=rng.normal(size=(n, 32)), seed=0).values():
                found.setdefault(value.name, {}).setdefault(n, []).append(value.value)
    for quantity in METRICS.get(name).quantities:
        few, many = (np.array(found[quantity.name][n]) for n in (60, 240))
        error = np.sqrt(few.var(ddof=1) / 30 + many.var(ddof=1) / 30)
        assert (abs(few.mean() - many.mean()) > 5 * error) == quantity.moves_with_n, quantity.name
