"""What the rendered chest films promise: reproducible, nested, apart by patient, and anatomically right."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from data.datasets.phantom.dataset import Phantom, PhantomConfig
from data.datasets.phantom.patients import CLASSES, FINDINGS, Films, draw_films
from data.datasets.phantom.render import render
from data.images import ImageSet, Split
from synthworth.errors import UserError

SMALL = PhantomConfig(n_train=40, n_val=20, n_test=30)


@pytest.fixture(scope="module")
def healthy() -> Films:
    """Films of the train stream with every finding taken away."""
    films = draw_films(48, seed=3, stream="train", task="single", difficulty=1.0)
    return films.showing(np.zeros_like(films.severity))


def with_finding(films: Films, name: str, severity: float = 0.8) -> Films:
    """The same films, all of them with one finding."""
    level = np.zeros_like(films.severity)
    level[:, FINDINGS.index(name)] = severity
    return films.showing(level)


def centred(films: Films) -> Films:
    """The same anatomies straight on, all at one size and exposure, so that zones lie at known places."""
    still = ("roll", "shift_x", "shift_y", "turn", "level", "tilt_light", "breath", "asym")
    shape = {k: np.zeros_like(v) if k in still else v for k, v in films.shape.items()}
    shape |= {k: np.ones_like(v) for k, v in films.shape.items() if k in ("zoom", "size")}
    return dataclasses.replace(films, shape=shape)


def zone(size: int, x: tuple[float, float], y: tuple[float, float]) -> tuple[slice, slice]:
    """Rows and columns of a rectangle in patient coordinates, -1..1."""
    cell = [slice(round((low + 1) / 2 * size), round((high + 1) / 2 * size)) for low, high in (y, x)]
    return cell[0], cell[1]


def heart_width(pixels: np.ndarray) -> np.ndarray:
    """Share of the width between the lungs' outer edges that is bright, at the level of the ventricle."""
    rows, columns = zone(pixels.shape[-1], (-0.62, 0.62), (0.16, 0.26))
    band = pixels[:, 0, rows, columns].astype(float).mean(1)
    low, high = np.percentile(band, 15, axis=1), np.percentile(band, 97, axis=1)
    return (band > ((low + high) / 2)[:, None]).mean(1)


def test_same_seed_draws_the_same_films() -> None:
    first, second = (Phantom(SMALL).draw(Split.train, 40) for _ in range(2))
    assert first.fingerprint() == second.fingerprint()


def test_another_seed_draws_other_films() -> None:
    one = Phantom(SMALL).draw(Split.train, 20)
    other = Phantom(dataclasses.replace(SMALL, seed=1)).draw(Split.train, 20)
    assert not torch.equal(one.images, other.images)


@pytest.mark.parametrize("size", [32, 50, 128])
def test_a_film_does_not_depend_on_its_batch_or_on_threads(size: int) -> None:
    films = draw_films(9, seed=0, stream="val", task="multi", difficulty=1.0)
    together = render(films, size, workers=1)
    alone = np.concatenate([render(films.rows(i, i + 1), size, workers=1) for i in range(len(films))])
    assert np.array_equal(together, alone)
    assert np.array_equal(together, render(films, size, workers=3))


def test_drawing_leaves_global_random_state_alone() -> None:
    before = np.random.get_state()[1].copy(), torch.get_rng_state()  # noqa: NPY002
    Phantom(SMALL).draw(Split.train, 5)
    assert np.array_equal(np.random.get_state()[1], before[0])  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.parametrize("task", ["single", "multi"])
def test_a_larger_train_set_only_adds_films(task: str) -> None:
    dataset = Phantom(dataclasses.replace(SMALL, task=task))
    few, many = dataset.draw(Split.train, 23), dataset.draw(Split.train, 61)
    assert many.ids[:23] == few.ids
    assert torch.equal(many.images[:23], few.images)
    assert torch.equal(many.labels[:23], few.labels)
    assert np.array_equal(many.attributes["age"][:23], few.attributes["age"])


def test_no_patient_is_in_two_streams() -> None:
    sets = dict(Phantom(SMALL).build())
    sets[Split.reserve] = Phantom(SMALL).further(50)
    assert [len(sets[s]) for s in (Split.train, Split.val, Split.test, Split.reserve)] == [40, 20, 30, 50]
    patients = [g for images in sets.values() for g in set(images.groups)]
    assert len(patients) == len(set(patients))
    pixels = [film.numpy().tobytes() for images in sets.values() for film in images.images]
    assert len(pixels) == len(set(pixels))


def test_an_image_set_says_who_and_what() -> None:
    films = Phantom(SMALL).draw(Split.train, 40)
    assert isinstance(films, ImageSet)
    assert films.images.shape == (40, 1, 32, 32) and films.images.dtype == torch.uint8
    assert films.classes == CLASSES == Phantom(SMALL).classes
    assert films.ids[0] == "phantom-train-000000-01" and films.groups[0] == "phantom-train-000000"
    assert set(films.attributes) == {"sex", "age", "age_band", "view"}
    assert set(films.attributes["sex"]) == {"F", "M"} and set(films.attributes["view"]) == {"AP", "PA"}
    assert films.attributes["age"].min() >= 18 and films.attributes["age"].max() <= 90


def test_a_patient_has_one_to_five_films_of_one_sex_and_age() -> None:
    films = draw_films(600, seed=0, stream="train", task="single", difficulty=1.0)
    people: dict[str, set[tuple[str, int]]] = {}
    for i, patient in enumerate(films.groups[:-5]):
        people.setdefault(patient, set()).add((films.attributes["sex"][i], int(films.attributes["age"][i])))
    assert all(len(seen) == 1 for seen in people.values())
    n_films = np.bincount(np.unique(films.groups[:-5], return_counts=True)[1])
    assert len(n_films) == 6 and (n_films[1:] > 0).all()


def test_films_of_a_patient_look_more_alike_than_those_of_others() -> None:
    films = Phantom(dataclasses.replace(SMALL, difficulty=0.0)).draw(Split.train, 150)
    flat = films.images.float().flatten(1)
    distance = torch.cdist(flat, flat)
    same = torch.tensor([[a == b for a in films.groups] for b in films.groups])
    off_diagonal = ~torch.eye(len(films), dtype=torch.bool)
    assert distance[same & off_diagonal].mean() < 0.8 * distance[~same].mean()


def test_single_task_is_imbalanced_with_every_class_present() -> None:
    films = draw_films(4000, seed=0, stream="test", task="single", difficulty=1.0)
    share = np.bincount(films.labels, minlength=6) / 4000
    assert share.argmax() == 0 and share[0] > 0.3
    assert share.min() > 0.07


def test_findings_co_occur_more_often_than_by_chance() -> None:
    films = draw_films(4000, seed=0, stream="test", task="multi", difficulty=1.0)
    has = films.labels.astype(bool)
    assert films.labels.dtype == np.uint8 and films.labels.shape == (4000, 5)
    assert np.array_equal(has, films.severity > 0)
    assert 0.25 < (~has.any(1)).mean() < 0.6
    heart, fluid, _, _, patches = has.T
    assert (heart & fluid).mean() > 1.3 * heart.mean() * fluid.mean()
    assert (patches & fluid).mean() > 1.2 * patches.mean() * fluid.mean()


def test_sick_films_are_more_often_portable() -> None:
    films = draw_films(4000, seed=0, stream="test", task="single", difficulty=1.0)
    portable = films.attributes["view"] == "AP"
    assert portable[films.labels > 0].mean() > portable[films.labels == 0].mean() + 0.08


def test_cardiomegaly_widens_the_heart(healthy: Films) -> None:
    films = centred(healthy)
    before = heart_width(render(films, 128, noise=False))
    after = heart_width(render(with_finding(films, "cardiomegaly"), 128, noise=False))
    assert (after > before).mean() > 0.9
    assert after.mean() > before.mean() + 0.05


def test_effusion_brightens_the_lower_lateral_lung(healthy: Films) -> None:
    films = centred(healthy)
    gain = render(with_finding(films, "effusion"), 64, noise=False).astype(float) - render(films, 64, noise=False)
    sides = [gain[:, 0, *zone(64, x, (0.3, 0.6))].mean((1, 2)) for x in ((-0.66, -0.5), (0.5, 0.66))]
    apex = np.abs(gain[:, 0, *zone(64, (-0.4, 0.4), (-0.6, -0.4))]).mean((1, 2))
    assert (np.maximum(*sides) > 8).mean() > 0.9
    assert (apex < 3).all()


def test_pneumothorax_darkens_the_rim_of_one_lung(healthy: Films) -> None:
    films = centred(healthy)
    change = render(with_finding(films, "pneumothorax"), 128, noise=False).astype(float)
    change -= render(films, 128, noise=False)
    sides = np.stack([change[:, 0, *zone(128, x, (-0.6, 0.1))].min((1, 2)) for x in ((-0.7, -0.2), (0.2, 0.7))])
    assert (sides.min(0) < -12).all()
    assert (sides.max(0) > -6).all()


@pytest.mark.parametrize("name", ["nodule", "infiltration"])
def test_opacities_brighten_a_part_of_the_lungs_only(healthy: Films, name: str) -> None:
    change = render(with_finding(healthy, name), 64, noise=False).astype(float) - render(healthy, 64, noise=False)
    brighter = (change > 6).mean((1, 2, 3))
    assert (change.max((1, 2, 3)) > 12).mean() > 0.9
    assert 0.005 < brighter.mean() < 0.25
    assert (change < -6).mean() < 0.002


def test_women_show_breast_shadows_and_age_thins_the_ribs() -> None:
    films = draw_films(800, seed=1, stream="train", task="single", difficulty=1.0)
    female = films.attributes["sex"] == "F"
    assert films.shape["breast"][female].min() >= 0 and (films.shape["breast"][~female] == 0).all()
    old = films.attributes["age"] >= 65
    assert films.shape["rib_bone"][old].mean() < films.shape["rib_bone"][~old].mean()
    assert films.shape["aorta"][old].mean() > films.shape["aorta"][~old].mean()


def test_portable_films_magnify_the_heart() -> None:
    films = draw_films(2000, seed=1, stream="train", task="single", difficulty=1.0)
    portable = films.attributes["view"] == "AP"
    assert films.shape["heart"][portable].mean() > 1.04 * films.shape["heart"][~portable].mean()


@pytest.mark.parametrize("size", [32, 64, 128])
def test_every_size_shows_the_same_anatomy(healthy: Films, size: int) -> None:
    films = with_finding(healthy.rows(0, 8), "nodule")
    large = render(films, 256, noise=False).astype(float)
    k = 256 // size
    reduced = large.reshape(8, 1, size, k, size, k).mean((3, 5))
    difference = np.abs(reduced - render(films, size, noise=False))
    assert difference.mean() < 3
    assert np.percentile(difference, 99) < 20


def test_findings_fade_as_difficulty_grows() -> None:
    seen = []
    for difficulty in (0.0, 1.0, 2.0):
        films = draw_films(60, seed=0, stream="train", task="multi", difficulty=difficulty)
        clear = films.showing(np.zeros_like(films.severity))
        change = render(films, 32, noise=False).astype(float) - render(clear, 32, noise=False)
        seen.append(np.abs(change[films.labels.any(1)]).mean())
    assert seen[0] > 1.3 * seen[1] > 1.3 * 1.3 * seen[2]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("size", 31),
        ("size", 257),
        ("n_train", -1),
        ("n_val", 0),
        ("n_test", -5),
        ("difficulty", -0.1),
        ("difficulty", 2.5),
        ("difficulty", float("nan")),
        ("task", "both"),
    ],
)
def test_what_cannot_be_drawn_is_refused_in_one_line(field: str, value: object) -> None:
    with pytest.raises(UserError, match=field if field != "size" else "px") as error:
        PhantomConfig(**{field: value})
    assert "\n" not in str(error.value)


def test_asking_for_no_further_films_is_refused() -> None:
    with pytest.raises(UserError, match="further"):
        Phantom(SMALL).further(0)
