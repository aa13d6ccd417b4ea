"""What a record tells of a run: terms of the dataset, attributes by split, what was left out, pre-trained parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from benchmarks.job.described import (
    ALEXNET,
    NOT_COUNTED,
    OUTSIDE,
    OWN_FILE,
    UNREAD,
    attributes_of,
    describe_dataset,
    pretrained_parts,
)
from benchmarks.records.described_shape import DATASET, PRETRAINED, moment
from benchmarks.records.kinds import Wrong
from benchmarks.records.load import load_record
from benchmarks.stages.bench import now
from benchmarks.verdicts.agreement import fields_of
from data.datasets.medmnist.dataset import MedMNIST, MedMNISTConfig
from data.images import ImageSet
from synthworth.artifacts import write_json

SHA = "a" * 64


def with_attributes(images: ImageSet, **values: list[Any]) -> ImageSet:
    return replace(images, attributes={name: np.array(those) for name, those in values.items()})


def test_attributes_are_counted_by_value_and_the_unstated_are_unknown(
    make_images: Callable[..., ImageSet],
) -> None:
    images = with_attributes(
        make_images((3, 3)), sex=["F", "M", "F", "", "nan", "F"], dose=[1.0, 2.0, 1.0, 1.0, 1.0, 2.0]
    )
    assert attributes_of(images) == {"dose": {"1": 4, "2": 2}, "sex": {"F": 3, "M": 1, "unknown": 2}}


def test_an_attribute_with_many_values_names_nobody(make_images: Callable[..., ImageSet]) -> None:
    images = make_images((7, 7))
    assert attributes_of(with_attributes(images, name=[f"patient {k}" for k in range(14)])) == {}


def experiment(make_images: Callable[..., ImageSet], folder: Any, index: dict[str, Any], dataset: Any) -> Any:
    write_json(folder / "dataset.json", {"cache_version": 1, "fingerprint": "", **index})
    train = make_images((3, 3))
    images = SimpleNamespace(
        dataset=dataset, folder=folder, spec=SimpleNamespace(dataset="folder", donor=""), train=train, val=train,
        test=train,
    )  # fmt: skip
    return SimpleNamespace(images=images)


def test_what_was_left_out_is_told_with_its_number(tmp_path: Any, make_images: Callable[..., ImageSet]) -> None:
    notes = {"skipped": [{"id": "x", "split": "val", "reason": "damaged"}], "labels not declared": 4, "first": "x.png"}
    index = {"splits": {"train": {"n": 40}}, "notes": notes}
    found = describe_dataset(experiment(make_images, tmp_path, index, SimpleNamespace(licence="CC0", citation="")))
    assert found["left_out"] == {UNREAD: 1, OUTSIDE: 34} and found["remarks"] == {"labels not declared": 4}
    assert (found["licence"], found["citation"], found["note"]) == ("CC0", None, None)
    DATASET(found)
    bare = describe_dataset(experiment(make_images, tmp_path, {"splits": {"train": {"n": 6}}}, SimpleNamespace()))
    assert (bare["left_out"], bare["licence"], bare["note"]) == ({}, None, NOT_COUNTED)


def test_a_set_of_medmnist_has_the_licence_of_its_own() -> None:
    told = {name: MedMNIST(MedMNISTConfig(name=name)).licence for name in ("dermamnist", "pneumoniamnist")}
    assert told == {"dermamnist": "CC BY-NC 4.0", "pneumoniamnist": "CC BY 4.0"}


class Known:
    weights_sha256, weights_licence = SHA, "Apache-2.0"


class Unknown:
    weights_sha256 = SHA


def parts(*, gen: dict[str, Any] | None = None, weights: str = "random", **extractors: Any) -> list[dict[str, Any]]:
    fidelity = {name: {"extractor": name, "value": 1.0} for name in extractors} | {
        "pixels": {"extractor": None, "value": 1.0},
        "lpips_within": {"extractor": None, "value": None},
    }
    made = pretrained_parts({"gen": gen or {}}, {"facts": [{"weights": weights}] * 2}, extractors, fidelity)
    PRETRAINED(made)
    return made


def test_what_was_trained_elsewhere_is_told_with_hash_and_licence_or_why_not() -> None:
    assert parts() == []
    (file,) = parts(weights=SHA)
    assert (file["part"], file["sha256"], file["licence"], file["note"]) == ("classifier", SHA, None, OWN_FILE)
    (hub,) = parts(weights="resnet10t.c3_in1k")
    assert (hub["name"], hub["sha256"], hub["licence"]) == ("resnet10t.c3_in1k", None, "apache-2.0")
    assert "licence is not stated" in parts(weights="no_such_network.tag")[0]["note"]
    rows = parts(known=Known(), unknown=Unknown())
    assert [(row["name"], row["licence"]) for row in rows] == [("known", "Apache-2.0"), ("unknown", None)]
    gen = {
        "autoencoder_id": "hub:stabilityai/sd-vae", "pretrained_id": SHA, "sha256": "b" * 64, "lr": 0.1,
        "first_stage": {"encoder": "vgg16", "encoder_pretrained": True, "encoder_sha256": "", "perceptual": 0.5,
                        "perceptual_sha256": ""},
    }  # fmt: skip
    named = {row["name"]: row for row in parts(gen=gen)}
    assert set(named) == {
        "autoencoder_id stabilityai/sd-vae", "pretrained_id", "first_stage.encoder vgg16, ImageNet weights", ALEXNET,
    }  # fmt: skip
    assert named["pretrained_id"]["sha256"] == SHA and named["autoencoder_id stabilityai/sd-vae"]["sha256"] is None


def test_an_extractor_that_measured_nothing_is_no_part_of_the_run() -> None:
    fidelity = {"fd": {"extractor": "known", "value": None}}
    assert pretrained_parts({"gen": {}}, {}, {"known": Known()}, fidelity) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"licence": ""}, "licence is empty"),
        ({"left_out": {"x": -1}}, "left_out.x is -1"),
        ({"attributes": {"test": {"sex": {"F": "many"}}}}, "attributes.test.sex.F is 'many'"),
    ],
)
def test_a_record_holds_no_other_words_of_its_dataset(change: dict[str, Any], said: str) -> None:
    whole = {
        "name": "x", "licence": None, "citation": None, "attributes": {}, "left_out": {}, "remarks": {}, "note": None,
    }  # fmt: skip
    DATASET(whole)
    with pytest.raises(Wrong) as refused:
        DATASET(whole | change)
    assert said in str(refused.value)


def test_a_null_of_a_pre_trained_part_needs_its_reason_and_a_time_is_in_utc() -> None:
    with pytest.raises(Wrong, match="null without a note"):
        PRETRAINED([{"part": "metric", "name": "x", "sha256": SHA, "licence": None, "note": None}])
    moment(now())
    for wrong in ("yesterday", "2026-11-27T05:53:55+02:00", "<b>"):
        with pytest.raises(Wrong, match="no time in UTC"):
            moment(wrong)


def test_records_of_before_are_read_and_a_run_carried_out_again_is_still_the_same(reference: dict[str, Any]) -> None:
    assert "dataset" not in reference
    now_made = reference | {"dataset": {"name": "x"}, "pretrained": []}
    assert {field.word for field in fields_of(reference, now_made)} == {"same"}


@pytest.fixture
def reference() -> dict[str, Any]:
    from conftest import ROOT

    return load_record(ROOT / "results/reference/12a228888cdeea81/record.json")
