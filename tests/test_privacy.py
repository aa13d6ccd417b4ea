"""Memorisation: copies are found, fresh real images are not taken for copies, and each number has its known answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import roc_auc_score

from benchmarks.judging.fidelity import Fidelity
from benchmarks.judging.privacy import Privacy, closest
from benchmarks.metrics.extractors.base import Extracted
from benchmarks.metrics.privacy import (
    COPY,
    EXPOSED,
    Attack,
    Near,
    Reference,
    are_copies,
    copy_bound,
    exact_copies,
    pixel_vectors,
)  # fmt: skip
from benchmarks.report.figures.features import PCA, draw_features
from benchmarks.report.figures.nearest_pairs import NEAREST, draw_pairs
from benchmarks.report.tables import privacy_sentence
from benchmarks.stages.arm import Arm
from benchmarks.stages.bench import Bench
from data.images import ImageSet, Split
from data.mixing import Demand, SyntheticSet
from synthworth.artifacts import Store
from synthworth.errors import Unavailable

DIM = 8


def points(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, DIM)).astype(np.float32)


def patients(n: int, word: str) -> list[str]:
    """Two images each."""
    return [f"{word}{i // 2}" for i in range(n)]


TRAIN, VAL, FRESH = points(400, 1), points(300, 2), points(200, 3)


@pytest.fixture(scope="module")
def reference() -> Reference:
    return Reference(TRAIN, VAL, patients(400, "t"), patients(300, "v"))


def some_copies(share: float) -> np.ndarray:
    """200 vectors, a share of them copies of different members, the rest fresh."""
    n = round(200 * share)
    return np.concatenate([TRAIN[:: len(TRAIN) // n][:n] if n else TRAIN[:0], FRESH[n:]])


def test_copies_of_the_training_images_are_all_found(reference):
    found = reference.measure(some_copies(1), seed=0)
    assert found["copy_rate"].value == found["copy_rate"].low == 1
    assert found["auth_pct"].value == 0
    assert found["nn_distance"].value == 0
    assert found["proximity_auroc"].value == 1
    assert found["membership_auroc_exposed"].value > 0.999


def test_an_attacker_on_half_of_the_members_gets_what_the_formula_says(reference):
    value = reference.measure(some_copies(1), seed=0)["membership_auroc"]
    assert value.extra["ceiling"] == pytest.approx(0.75)
    assert value.value == pytest.approx(0.75, abs=0.05)
    everyone = reference.measure(TRAIN, seed=0)["membership_auroc"]
    assert everyone.value == everyone.extra["ceiling"] == 1


def test_fresh_real_images_are_no_copies(reference):
    found = reference.measure(FRESH, seed=0)
    assert found["copy_rate"].value <= 0.04
    assert found["copy_rate"].extra["held_out"] == pytest.approx(COPY, abs=0.004)
    assert found["copy_rate"].low <= COPY <= found["copy_rate"].high


@pytest.mark.parametrize("scale", [1, 5])
def test_what_was_drawn_without_the_training_images_betrays_nobody_and_intervals_hold_that(scale):
    names = ("membership_auroc", "membership_auroc_exposed")
    values: dict[str, list[float]] = {name: [] for name in names}
    held = dict.fromkeys(names, 0)
    for seed in range(16):
        members, outsiders, fresh = (points(100, 100 * seed + k) for k in range(3))
        made = Reference(members, outsiders, patients(100, "t"), patients(100, "v"))
        found = made.measure(scale * fresh, seed=seed)
        for name in names:
            values[name].append(found[name].value)
            held[name] += found[name].low <= 0.5 <= found[name].high
    assert np.mean(values["membership_auroc"]) == pytest.approx(0.5, abs=0.03)
    assert np.mean(values["membership_auroc_exposed"]) == pytest.approx(0.5, abs=0.1)
    assert min(held.values()) >= 13


def test_noise_is_far_from_everyone(reference):
    found = reference.measure(5 * FRESH, seed=0)
    assert found["copy_rate"].value == 0
    assert found["auth_pct"].value == 100
    assert found["proximity_auroc"].value < 0.01


def test_the_more_is_copied_the_higher_the_rate_and_the_attack(reference):
    found = [reference.measure(some_copies(share), seed=0) for share in (0, 0.25, 0.5, 1)]
    for name in ("copy_rate", "proximity_auroc", "membership_auroc"):
        values = [f[name].value for f in found]
        assert values == sorted(values) and values[0] < values[-1], name
    assert found[2]["copy_rate"].value == pytest.approx(0.5, abs=0.03)


def test_auth_pct_counts_those_farther_from_their_nearest_member_than_it_is_from_its_own():
    members = np.zeros((60, 2))
    members[:, 0] = 10 * np.arange(60)  # each 10 from the next
    outsiders = members + np.array([0, 3.0])
    synthetic = np.concatenate([members[:50] + np.array([0, 9.0]), members[:25] + np.array([0, 11.0])])
    found = Reference(members, outsiders, patients(60, "t"), patients(60, "v")).measure(synthetic, seed=0)
    assert found["auth_pct"].value == pytest.approx(100 * 25 / 75)


def test_a_member_that_has_a_twin_is_at_distance_zero_from_its_own_nearest():
    members = np.repeat(points(40, 5), 2, axis=0)
    synthetic = members[:60] + 0.001
    found = Reference(members, points(60, 6), patients(80, "t"), patients(60, "v")).measure(synthetic, seed=0)
    assert found["auth_pct"].value == 100


def test_distances_do_not_depend_on_chunks(reference, monkeypatch):
    whole = reference.measure(FRESH, seed=0)
    monkeypatch.setattr("benchmarks.metrics.neighbours.CHUNK", 3000)
    monkeypatch.setattr("benchmarks.metrics.privacy.CHUNK", 100)
    again = Reference(TRAIN, VAL, patients(400, "t"), patients(300, "v")).measure(FRESH, seed=0)
    assert again == whole


def test_the_seed_moves_intervals_and_nothing_else_on_the_copy_rate(reference):
    one, two = (reference.measure(some_copies(0.5), seed=s)["copy_rate"] for s in (0, 1))
    assert one.value == two.value
    assert one == reference.measure(some_copies(0.5), seed=0)["copy_rate"]


@pytest.mark.parametrize("share", [1.0, EXPOSED])
def test_attack_auroc_equals_scikit_learn_on_the_nearest_share(share):
    rng = np.random.default_rng(0)
    near, far = rng.integers(0, 40, 100).astype(float), rng.integers(0, 50, 150).astype(float)
    if share < 1:
        near, far = near + rng.random(100), far + rng.random(150)  # no ties: the cut falls between images
    cut = [np.sort(side)[: round(share * len(side))] for side in (near, far)]
    truth = np.repeat([1, 0], [len(side) for side in cut])
    attack = Attack(near, far, np.arange(100), np.arange(150))
    assert attack.auroc(share=share) == pytest.approx(roc_auc_score(truth, -np.concatenate(cut)))


def test_every_replicate_of_the_attack_equals_scikit_learn_on_the_resample_written_out():
    rng = np.random.default_rng(1)
    near, far = rng.integers(0, 30, 40).astype(float), rng.integers(0, 40, 60).astype(float)
    groups = np.arange(40) // 2, np.arange(60) // 3
    attack = Attack(near, far, *groups)
    counts = [rng.multinomial(20, np.full(20, 1 / 20), size=9).T.astype(float) for _ in range(2)]
    found = attack._auroc(*counts, 1.0)
    for b in range(9):
        drawn = [np.repeat(side, counts[k][groups[k], b].astype(int)) for k, side in enumerate((near, far))]
        truth = np.repeat([1, 0], [len(side) for side in drawn])
        assert found[b] == pytest.approx(roc_auc_score(truth, -np.concatenate(drawn)))


def test_patients_with_many_images_widen_the_interval():
    rng = np.random.default_rng(0)
    near, far = np.repeat(rng.random(20), 20), np.repeat(rng.random(20), 20)
    alone = Attack(near, far, np.arange(400), np.arange(400)).interval(seed=0)
    clustered = Attack(near, far, np.arange(400) // 20, np.arange(400) // 20).interval(seed=0)
    assert clustered[1] - clustered[0] > 2 * (alone[1] - alone[0])


def test_a_copy_is_one_even_where_the_bound_is_zero():
    assert are_copies(np.array([0.0, 1e-9]), 0.0).tolist() == [True, False]


def test_few_images_are_null_with_a_note(reference):
    with pytest.raises(Unavailable, match=r"needs 50 .* there are 20 and 300"):
        Reference(TRAIN[:20], VAL, patients(20, "t"), patients(300, "v"))
    for value in reference.measure(FRESH[:10], seed=0).values():
        assert value.value is None and "there are 10" in str(value.note)
    few = Reference(TRAIN, VAL[:60], patients(400, "t"), patients(60, "v")).measure(FRESH, seed=0)
    assert few["copy_rate"].value is None and "needs 100 held-out" in str(few["copy_rate"].note)
    assert few["auth_pct"].value is not None


def test_vectors_and_patients_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="features must be"):
        Reference(TRAIN, VAL[:, :4], patients(400, "t"), patients(300, "v"))
    with pytest.raises(ValueError, match="400 vectors but 3 patients"):
        Reference(TRAIN, VAL, patients(3, "t"), patients(300, "v"))
    with pytest.raises(ValueError, match="NaN"):
        Reference(np.full_like(TRAIN, np.nan), VAL, patients(400, "t"), patients(300, "v"))


def test_pixels_do_not_see_exposure_and_their_distance_is_the_correlation():
    images = torch.randint(0, 120, (2, 1, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    a, b = pixel_vectors(images)
    correlation = np.corrcoef(images.flatten(1).numpy())[0, 1]
    assert ((a - b) ** 2).sum() == pytest.approx(2 * (1 - correlation), rel=1e-5)
    assert np.abs(pixel_vectors(images * 2 + 10) - pixel_vectors(images)).max() < 1e-6
    assert not pixel_vectors(torch.full((1, 3, 40, 40), 7, dtype=torch.uint8)).any()
    assert pixel_vectors(torch.zeros((2, 3, 64, 64), dtype=torch.uint8)).shape == (2, 3 * 32 * 32)


def test_an_exact_copy_equals_in_every_pixel():
    images = torch.randint(0, 256, (5, 1, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    changed = images.clone()
    changed[2, 0, 3, 3] ^= 1
    assert exact_copies(changed, images).tolist() == [True, True, False, True, True]


def test_the_bound_of_a_near_copy_is_the_hundredth_nearest_of_held_out_images_and_needs_a_hundred_of_them():
    held_out = np.random.default_rng(0).permutation(np.arange(1.0, 102.0))
    assert copy_bound(held_out) == 2.0
    assert copy_bound(held_out[:100]) == np.quantile(held_out[:100], 0.01)
    with pytest.raises(Unavailable, match="needs 100 held-out real images; there are 99"):
        copy_bound(held_out[:99])
    reference = Reference(TRAIN, VAL, patients(400, "t"), patients(300, "v"))
    assert reference.bound == copy_bound(reference.outsider_to_member.distance)


def test_the_nearest_pairs_show_each_training_image_once():
    near = Near(np.array([3.0, 1.0, 2.0, 0.5]), np.array([7, 4, 7, 4]))
    assert closest(near, 9).tolist() == [3, 2]
    assert closest(near, 1).tolist() == [3]


class Corners:
    """An extractor of next to nothing: the image, averaged down to 4 x 4."""

    id, weights_sha256 = "corners@4", "0" * 64

    def extract(self, images: torch.Tensor) -> Extracted:
        pooled = torch.nn.functional.adaptive_avg_pool2d(images.float(), 4)
        return Extracted(pooled.flatten(1).numpy(), None)


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
        return Arm(make_spec(generator=generator, ratio=0.5), Demand({"a": len(pool)}, 180), pool)

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
    record = {"name": "x", "privacy": {name: value.to_json() for name, value in found.items()}}
    assert "copy rate 1.000 [1.000, 1.000]" in privacy_sentence(record)
    assert "corners@4" in privacy_sentence(record)


def test_the_arm_without_copies_is_named_and_counted(privacy):
    judge, sets, arm = privacy
    mixed = torch.cat([sets["train"].images[:40], 255 - sets["train"].images[:60]])
    one = arm(mixed, torch.arange(100) % 3)
    value = judge.of(one)["n_without_copies"]
    assert 0 < value.value <= 60
    assert value.extra["option"] == "--without-copies"
    assert value.extra["name"] == "dcgan add 0.5 [no_copies]"
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
    assert judge.of(Arm(make_spec(), Demand({}, 180))) == {}


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
    draw = {
        NEAREST: lambda f: draw_pairs(f, pairs, space=judge.spaces[0]),
        PCA: lambda f: draw_features(f, **spread, name="an arm", space=judge.spaces[0], seed=0),
    }
    for name, write in draw.items():
        write(tmp_path / name)
        write(tmp_path / "again.png")
        assert (tmp_path / name).read_bytes() == (tmp_path / "again.png").read_bytes()
        with Image.open(tmp_path / name) as picture:
            assert picture.width > 800 and picture.height > 400


def test_fidelity_by_class_has_numbers_where_there_are_images_and_notes_elsewhere(privacy):
    judge, sets, arm = privacy
    labels = torch.cat([torch.zeros(60, dtype=torch.int64), torch.ones(20, dtype=torch.int64)])
    rows = judge.fidelity.by_class(arm(sets["train"].images[:80], labels))["corners@4"]
    assert set(rows) == {"a", "b", "c"}
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


@pytest.mark.parametrize("chunk", [1 << 23, 700, 90, 1])
def test_nearest_within_a_set_equals_all_pairs_written_out(chunk, monkeypatch):
    from benchmarks.metrics.neighbours import nearest

    monkeypatch.setattr("benchmarks.metrics.neighbours.CHUNK", chunk)
    made = torch.from_numpy(points(37, 0)).double()
    made[5] = made[11]  # twins: each is the other's nearest, at distance 0
    pairs = (made[:, None] - made[None]).square().sum(-1)
    pairs.fill_diagonal_(torch.inf)
    for k in (1, 4, 36):
        found = nearest(made, made, k=k, same=True)
        assert torch.allclose(found.squared, pairs.sort(1).values[:, :k])
        assert torch.allclose(pairs.gather(1, found.index), found.squared)
    assert nearest(made, made, same=True).squared[[5, 11], 0].tolist() == [0, 0]


def test_findings_that_co_occur_have_numbers_by_finding_and_pairs_by_vector(privacy, make_images, make_spec):
    judge, _, _ = privacy
    sizes = {"train": 60, "val": 59, "test": 61}
    sets = {s: make_images((60, 60, n), split=Split(s), multi=True) for s, n in sizes.items()}
    fidelity = Fidelity(judge.fidelity.bench, SimpleNamespace(**sets), make_spec(extractors=()))
    fidelity.extractors["efficientnet_lite0"] = Corners()
    pool = SyntheticSet(sets["train"].images[:120], sets["train"].labels[:120], ("a", "b", "c"), "f" * 64, "t" * 64)
    arm = Arm(make_spec(generator="dcgan", ratio=0.5), Demand({"vectors": 120}, 180), pool)
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
