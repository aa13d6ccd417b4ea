"""Privacy of an arm as its record and its pictures hold it, in features and in pixels."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from benchmarks.judging.fidelity import Fidelity
from benchmarks.judging.privacy import Privacy
from benchmarks.metrics.extractors.base import Extracted
from benchmarks.report.figures.features import PCA, draw_features, plane_of, write_points
from benchmarks.report.figures.nearest_pairs import NEAREST, draw_pairs
from benchmarks.report.tables import privacy_sentence
from benchmarks.request.spec import RunSpec
from benchmarks.stages.arm import Arm
from benchmarks.stages.bench import Bench
from data.images import ImageSet, Split
from data.mixing import Demand, SyntheticSet
from synthworth.store import Store


class Corners:
    """An extractor of next to nothing: the image, averaged down to 4 x 4."""

    id, weights_sha256 = "corners@4", "0" * 64

    def extract(self, images: torch.Tensor) -> Extracted:
        pooled = torch.nn.functional.adaptive_avg_pool2d(images.float(), 4)
        return Extracted(pooled.flatten(1).numpy(), None)


def drawn_arm(spec: RunSpec, images: Any, streams: dict[str, int], pool: SyntheticSet | None) -> Arm:
    """An arm that is told what it needs and was given."""
    arm = Arm(spec, images)
    arm.demanded, arm.pool = Demand(streams, 180), pool
    return arm


@pytest.fixture
def privacy(tmp_path: Path, make_images, make_spec):
    """Privacy of images of 8 px in two spaces, and a maker of arms."""
    sets = {s: make_images((n, n, n), split=Split(s)) for s, n in (("train", 60), ("val", 40), ("test", 45))}
    images = SimpleNamespace(**sets)
    bench = Bench(Store.open(tmp_path / "home"), "cpu", 1, 60.0, {}, {})
    fidelity = Fidelity(bench, images, make_spec(extractors=()))
    fidelity.extractors["efficientnet_lite0"] = Corners()

    def arm(pictures: torch.Tensor, labels: torch.Tensor, generator: str = "dcgan") -> Arm:
        pool = SyntheticSet(pictures, labels, sets["train"].classes, "f" * 64, "t" * 64)
        return drawn_arm(make_spec(generator=generator, ratio=0.5), images, {"a": len(pool)}, pool)

    return Privacy(fidelity), sets, arm


def test_a_record_of_duplicates_says_so_in_both_spaces(privacy):
    judge, sets, arm = privacy
    train: ImageSet = sets["train"]
    found = judge.of(arm(train.images[::2], train.labels[::2]))
    for space in ("corners@4", "pixels"):
        assert found[f"copy_rate/{space}"].value == 1
        assert found[f"copy_rate/{space}"].extra["floor"] < 0.2
        assert found[f"membership_auroc_exposed/{space}"].value > 0.99
        assert found[f"membership_auroc/{space}"].extra["floor_split"] == "test"
    assert found["exact_copy_rate"].value == 1 and found["exact_copy_rate"].extra["floor"] == 0
    assert found["n_without_copies"].value == 0
    record = {"name": "x", "spec": {}, "privacy": {name: value.to_json() for name, value in found.items()}}
    assert re.search(r"copy rate 1.000 \[0.97., 1.000\] \(in [a-z@4]+, real 0.0..\), exact", privacy_sentence(record))
    assert privacy_sentence(record).endswith("of corners@4 and pixels whichever tells more")


def test_films_learned_by_heart_are_seen_where_features_are_blind_to_it(privacy):
    judge, sets, arm = privacy

    class Blind(Corners):
        """Another image altogether where one pixel is another."""

        def extract(self, images: torch.Tensor) -> Extracted:
            weights = torch.arange(1, images[0].numel() + 1, dtype=torch.float64)
            mixed = [torch.sin(images.flatten(1).double() @ (weights * k)) for k in range(1, 17)]
            return Extracted(torch.stack(mixed, 1).float().numpy(), None)

    judge.fidelity.extractors["efficientnet_lite0"] = Blind()
    train: ImageSet = sets["train"]
    brighter = train.images[:30].clamp(max=254) + 1
    learned = arm(brighter, train.labels[:30])
    found = judge.of(learned)
    assert found["copy_rate/corners@4"].value < 0.5 < found["copy_rate/pixels"].value == 1
    record = {"name": "x", "spec": {}, "privacy": {name: value.to_json() for name, value in found.items()}}
    assert re.search(r"copy rate 1.000 \[0....?, 1.000\] \(in pixels", privacy_sentence(record))
    assert found["n_without_copies"].value == 0
    assert judge.nearest_space(learned) == "pixels"
    assert next(iter(judge.pairs(learned).values()))[0].distance < 0.1


def test_the_arm_without_copies_is_named_and_counted(privacy):
    judge, sets, arm = privacy
    mixed = torch.cat([sets["train"].images[:40], 255 - sets["train"].images[:60]])
    one = arm(mixed, torch.arange(100) % 3)
    value = judge.of(one)["n_without_copies"]
    assert 0 < value.value <= 60
    assert value.extra["option"] == "--without-copies"
    assert value.extra["name"] == "dcgan add 0.5 [no_copies+no_pixel_copies]"
    assert value.extra["run_id"] != one.spec.run_id


def test_without_an_extractor_pixels_are_left(privacy):
    judge, sets, arm = privacy
    judge.fidelity.extractors.clear()
    alone = Privacy(judge.fidelity)
    found = alone.of(arm(sets["train"].images[:60], sets["train"].labels[:60]))
    assert found["copy_rate/pixels"].value == 1
    assert found["n_without_copies"].value is None
    assert all("corners" not in name for name in found)


def test_real_images_alone_have_no_privacy(privacy, make_spec):
    judge, _, _ = privacy
    assert judge.of(drawn_arm(make_spec(), judge.images, {}, None)) == {}


def test_each_number_says_in_which_space_it_was_measured(privacy):
    judge, sets, arm = privacy
    found = judge.of(arm(sets["train"].images[:60], sets["train"].labels[:60]))
    spaces = {("efficientnet_lite0", "corners@4"), (None, "pixels")}
    for metric in ("copy_rate", "nn_distance", "membership_auroc_exposed"):
        rows = {name: v for name, v in found.items() if v.metric == metric}
        assert {(v.extractor, v.features) for v in rows.values()} == spaces
        assert set(rows) == {f"{metric}/corners@4", f"{metric}/pixels"} == {v.name for v in rows.values()}
    few = judge.of(arm(sets["train"].images[:9], sets["train"].labels[:9]))
    assert few["auth_pct/pixels"].value is None and few["auth_pct/pixels"].direction == "higher"
    assert (few["auth_pct/pixels"].metric, few["auth_pct/pixels"].features) == ("auth_pct", "pixels")


def test_the_pictures_are_drawn_and_repeat(privacy, tmp_path):
    judge, sets, arm = privacy
    one = arm(sets["train"].images[::2], sets["train"].labels[::2])
    assert judge.pairs(one) == {} and judge.spread(one) == {}
    judge.of(one)
    pairs, spread = judge.pairs(one), judge.spread(one)
    plane = plane_of(**spread, seed=0)
    draw = {
        NEAREST: lambda f: draw_pairs(f, pairs, space=judge.spaces[0]),
        PCA: lambda f: draw_features(f, plane, name="an arm", space=judge.spaces[0]),
    }
    for name, write in draw.items():
        write(tmp_path / name)
        write(tmp_path / "again.png")
        assert (tmp_path / name).read_bytes() == (tmp_path / "again.png").read_bytes()
        with Image.open(tmp_path / name) as picture:
            assert picture.width > 800 and picture.height > 400
    write_points(tmp_path / "points.csv", plane)
    head, *rows = csv.reader((tmp_path / "points.csv").read_text().splitlines())
    assert head == ["kind", *plane.axes] and {row[0] for row in rows} == set(plane.points)
    mine = [[float(x), float(y)] for kind, x, y in rows if kind == "synthetic"]
    assert np.allclose(mine, plane.points["synthetic"][: len(mine)], rtol=1e-3)


def test_fidelity_by_class_has_numbers_where_there_are_images_and_notes_elsewhere(privacy):
    judge, sets, arm = privacy
    labels = torch.cat([torch.zeros(60, dtype=torch.int64), torch.ones(20, dtype=torch.int64)])
    rows = judge.fidelity.by_class(arm(sets["train"].images[:80], labels))["corners@4"]
    assert set(rows) == {"a", "b", "c"}
    numbers = {"fd", "kd", "manifold_precision", "manifold_recall", "density", "coverage"}
    assert set(rows["a"]) == {"n", "n_real", "floor_n", "note", *numbers, *(f"{name}_floor" for name in numbers)}
    assert rows["a"]["n"] == rows["a"]["n_real"] == 60
    assert rows["a"]["floor_n"] == 45 and rows["a"]["fd_floor"] is None
    assert rows["a"]["fd"] < 1e-2 and rows["a"]["manifold_precision"] > 0.9
    assert rows["b"]["fd"] is None and "20 synthetic" in rows["b"]["note"]
    assert rows["c"]["n"] == 0 and rows["c"]["density"] is None


def test_pixels_have_floors_in_the_table_of_fidelity(privacy):
    judge, sets, arm = privacy
    found = judge.fidelity.of(arm(sets["train"].images[:90], sets["train"].labels[:90]))
    for name in ("intensity_mean", "histogram_distance", "edge_density"):
        assert found[name].extra["floor"] is not None
        assert found[name].extra["floor_n"] == 90
    distance = found["fd@90/corners@4"]
    assert distance.value is not None and distance.extra["floor_n"] == 90
    assert (distance.metric, distance.extractor, distance.features) == ("fd", "efficientnet_lite0", "corners@4")
    assert not any(value.metric == "inception_score" for value in found.values()), "there are no logits"
    assert found["lpips_within"].value is None or found["lpips_within"].value >= 0


def test_an_extractor_that_is_not_there_leaves_a_null_of_each_of_its_numbers(privacy):
    judge, sets, arm = privacy
    judge.fidelity.unavailable |= {"inception": "no weights", "torchxrayvision": "no file"}
    found = judge.fidelity.of(arm(sets["train"].images[:90], sets["train"].labels[:90]))
    nulls = {name: v for name, v in found.items() if v.note in ("no weights", "no file")}
    inception = {"fid@90", "kid@90", "fid_infinity@90", "manifold_precision@90", "manifold_recall@90", "density@90",
                 "coverage@90", "inception_score@90"}  # fmt: skip
    assert {name for name, v in nulls.items() if v.extractor == "inception"} == inception
    assert {name for name, v in nulls.items() if v.alias} == {"fid@90", "kid@90", "fid_infinity@90"}
    theirs = {v.metric for v in nulls.values() if v.extractor == "torchxrayvision"}
    assert theirs == {v.metric for v in nulls.values() if v.extractor == "inception"} - {"inception_score"}
    assert all(v.features is None and v.n == 90 for v in nulls.values())
    assert {v.direction for v in nulls.values() if v.metric in ("fd", "kd", "fd_infinity")} == {"lower"}


def test_inception_in_bf16_gives_no_fid(privacy, make_spec):
    judge, sets, arm = privacy
    fast = Fidelity(judge.fidelity.bench, judge.fidelity.images, make_spec(extractors=(), extractor_precision="bf16"))
    fast.unavailable["inception"] = "no weights"
    found = fast.of(arm(sets["train"].images[:90], sets["train"].labels[:90]))
    assert "fd@90/inception" in found and not any(v.alias for v in found.values())


def test_findings_that_co_occur_have_numbers_by_finding_and_pairs_by_vector(privacy, make_images, make_spec):
    judge, _, _ = privacy
    sizes = {"train": 60, "val": 59, "test": 61}
    sets = {s: make_images((60, 60, n), split=Split(s), multi=True) for s, n in sizes.items()}
    images = SimpleNamespace(**sets)
    fidelity = Fidelity(judge.fidelity.bench, images, make_spec(extractors=()))
    fidelity.extractors["efficientnet_lite0"] = Corners()
    pool = SyntheticSet(sets["train"].images[:120], sets["train"].labels[:120], ("a", "b", "c"), "f" * 64, "t" * 64)
    arm = drawn_arm(make_spec(generator="dcgan", ratio=0.5), images, {"vectors": 120}, pool)
    rows = fidelity.by_class(arm)["corners@4"]
    assert [rows[name]["n"] for name in "abc"] == [60, 60, 0]
    assert rows["a"]["fd"] < 1e-2 and rows["a"]["floor_n"] == 60
    assert {"histogram_distance", "ssim_within"} <= set(fidelity.of(arm))
    assert Privacy(fidelity).of(arm)["copy_rate/pixels"].value == 1


def test_val_images_that_are_in_train_too_are_no_outsiders(privacy):
    judge, sets, arm = privacy
    shared = SimpleNamespace(**sets)
    images = sets["val"].images.clone()
    images[:20] = sets["train"].images[:20]
    shared.val = replace(sets["val"], images=images)
    judge.fidelity.images = shared
    found = Privacy(judge.fidelity).of(arm(sets["train"].images[:60], sets["train"].labels[:60]))
    assert found["copy_rate/pixels"].extra["n_held_out"] == 100
    assert found["copy_rate/pixels"].extra["bound"] > 0.5
