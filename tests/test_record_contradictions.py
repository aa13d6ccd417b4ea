"""A record that says in two places what does not go together is not read: means, intervals, counts, dates."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.records.counted import miscounted
from benchmarks.records.kinds import Wrong
from benchmarks.records.load import RECORD, Unreadable, load_record
from benchmarks.records.seal import write_seal
from benchmarks.records.shape import READER, SUBGROUPS
from data.images import ImageSet, Split
from data.mixing import SyntheticSet, demand, mix_counts, stream_labels

REFERENCE = Path(__file__).resolve().parent.parent / "results/reference"
HELD = "063de177f1f2d18c"
"""A committed record of a generator."""
Edit = Callable[[dict[str, Any]], Any]


@pytest.fixture
def record() -> dict[str, Any]:
    return json.loads((REFERENCE / HELD / RECORD).read_text())  # type: ignore[no-any-return]


def refused(record: dict[str, Any], place: Path) -> str:
    """Why the record is not read, where it is sealed as an editor would who knows of the seal."""
    folder = place / str(record["run_id"])[:16]
    folder.mkdir()
    (folder / RECORD).write_text(json.dumps(record))
    write_seal(folder, RECORD)
    with pytest.raises(Unreadable) as found:
        load_record(folder / RECORD)
    return str(found.value)


def of(record: dict[str, Any], path: str) -> Any:
    part: Any = record
    for name in path.split("/"):
        part = part[name]
    return part


def put(path: str, **parts: Any) -> Edit:
    return lambda record: of(record, path).update(parts)


def beyond_its_interval(record: dict[str, Any]) -> None:
    value = record["utility"]["auprc"]
    by = value["high"] - value["value"] + 0.001
    value["value"] += by
    value["extra"]["per_seed"] = [x + by for x in value["extra"]["per_seed"]]


def of_one_image_a_class(record: dict[str, Any]) -> None:
    record["counts"]["synthetic"] = dict.fromkeys(record["classes"], 1)


def without_counts_of_the_audit(record: dict[str, Any]) -> None:
    del record["audit"]["counts"]
    of_one_image_a_class(record)


def of_other_images(record: dict[str, Any]) -> None:
    for value in (record["utility"], record["validation"]):
        value["auroc"]["n"] += 1


EDITS: dict[str, tuple[Edit, str]] = {
    "validation": (put("validation/auroc", value=0.1), "validation.auroc has a value of 0.1, and the mean of its"),
    "rate": (put("utility/sensitivity_at_95_specificity", value=0.999), "95_specificity has a value of 0.999, and the"),
    "outside": (beyond_its_interval, "utility.auprc has a value of "),
    "seeds": (lambda r: r["utility"]["f1"]["extra"]["per_seed"].__setitem__(0, 0.0), "utility.f1 has a value of"),
    "a seed less": (
        lambda r: r["validation"]["auroc"].update(value=0.5, low=0.4, high=0.6, extra={"per_seed": [0.5]}),
        "auroc of 1 seeds, and ",
    ),
    "test": (put("audit/n_images", test=99_999), "images, and 99999 images in test"),
    "val": (put("audit/n_images", val=7), "images, and 7 images in val"),
    "train": (put("audit/n_images", train=7), "images by class in train, and 7 images"),
    "n": (of_other_images, "images in test"),
    "rate's n": (put("utility/f1", n=5), "f1 of 5 images, and "),
    "added": (of_one_image_a_class, "added images, and asks for "),
    "added, older": (without_counts_of_the_audit, "added images, and asks for "),
    "real": (lambda r: r["counts"]["real"].update({r["classes"][0]: 1}), "real images, and keeps "),
    "audit": (lambda r: r["audit"]["counts"]["test"].update({r["classes"][0]: 1}), "images by class in test, and "),
    "classes": (lambda r: r["audit"]["counts"]["val"].update(another=0), "counts other classes in val"),
    "day": (put("provenance", when="3026-13-45"), "provenance.when is '3026-13-45', and no time in UTC"),
    "month": (put("provenance", started="2026-13-01T00:00:00Z"), "started is '2026-13-01T00:00:00Z', and no time"),
    "hour": (put("provenance", ended="2026-11-27T25:00:00+00:00"), "and no time in UTC"),
    "backwards": (
        put("provenance", started="2026-11-27T05:53:56Z", ended="2026-11-27T05:53:55+00:00"),
        "an end at 2026-11-27T05:53:55+00:00, before its start at 2026-11-27T05:53:56Z",
    ),
    "no day": (lambda r: r["provenance"].pop("when"), "provenance.when is missing"),
}


@pytest.mark.parametrize(("edit", "said"), EDITS.values(), ids=EDITS)
def test_what_does_not_go_together_is_refused_in_words(
    record: dict[str, Any], edit: Edit, said: str, tmp_path: Path
) -> None:
    edit(record)
    assert said in refused(record, tmp_path)


def test_every_committed_record_goes_together() -> None:
    files = sorted(REFERENCE.rglob(RECORD))
    assert len(files) > 100
    for file in files:
        assert not list(miscounted(load_record(file)))


def test_a_worth_says_one_thing_as_a_share_and_in_images(tmp_path: Path) -> None:
    records = (json.loads(file.read_text()) for file in sorted(REFERENCE.glob(f"*/{RECORD}")))
    record = next(one for one in records if (one.get("worth") or {}).get("worth") is not None)
    for part, said in (({"worth": 99.0}, "a worth of 99 of its worth, and n_equivalent"), ({"n_real": 1}, "worth")):
        lie = copy.deepcopy(record)
        lie["worth"] |= part
        place = tmp_path / str(*part)
        place.mkdir()
        assert said in refused(lie, place)


def test_a_group_and_a_reader_are_what_their_parts_come_to() -> None:
    group = {"auroc": 0.8, "low": 0.7, "high": 0.9, "n_images": 9, "n_patients": 9, "note": None, "against_none": None}
    gap = {"value": None, "low": None, "high": None, "best": None, "worst": None, "note": "x", "against_none": None}

    def groups(**parts: Any) -> Any:
        return {"sex": {"groups": {"F": {**group, **parts}}, "gap": gap, "note": None}}

    SUBGROUPS(groups())
    SUBGROUPS(groups(per_seed=[0.7, 0.9]))
    reader = {
        "sheet": "s", "reader": "", "n_films": 9, "n": 4, "n_right": 3, "accuracy": 0.75, "low": 0.2, "high": 0.9,
        "p_value": 0.6, "called_synthetic": {"real": None, "synthetic": None}, "by_class": {},
    }  # fmt: skip
    READER(reader)
    for wrong in (groups(per_seed=[0.7, 0.8]), groups(auroc=0.95)):
        with pytest.raises(Wrong):
            SUBGROUPS(wrong)
    for part in ({"accuracy": 0.8}, {"high": 0.7}, {"n_right": 2}):
        with pytest.raises(Wrong):
            READER({**reader, **part})


@pytest.mark.parametrize("multi", [False, True])
@pytest.mark.parametrize("mode", ["add", "replace", "balance", "only", "pretrain"])
def test_what_an_arm_mixes_is_what_its_record_is_asked_for(record: dict[str, Any], mode: Any, multi: bool) -> None:
    train = train_set((10, 6, 4), multi=multi)
    wanted = demand(train, ratio=0.55, mode=mode)
    labels = torch.cat([stream_labels(train, name, n, seed=0) for name, n in wanted.streams.items()])
    pool = SyntheticSet(train.images[:1].expand(len(labels), -1, -1, -1), labels, train.classes, "", "")
    made = counted(record, train, mode, ratio=0.55)
    made["counts"] = mix_counts(train, pool, keep_real=wanted.keep_real, seed=0)
    if multi:
        made["utility"]["balanced_accuracy_argmax"] = {**made["utility"]["auroc"], "value": None, "note": "x"}
    assert not list(miscounted(made))
    for kind in ("real", "synthetic"):
        lie = copy.deepcopy(made)
        lie["counts"][kind]["a"] += 20
        assert any(f"{'added' if kind == 'synthetic' else 'real'} images, and" in line for line in miscounted(lie))
    of_none = copy.deepcopy(made)
    of_none["spec"]["generator"] = "none"
    assert any("added images, and asks for 0" in line for line in miscounted(of_none))


@pytest.mark.parametrize(("portion", "counts"), [(0.5, (5, 3, 2)), (2, (20, 12, 8))])
def test_a_point_of_the_learning_curve_has_fewer_real_images_or_more(
    record: dict[str, Any], portion: float, counts: tuple[int, ...]
) -> None:
    train = train_set((10, 6, 4))
    made = counted(record, train, "add", ratio=0)
    made["spec"] |= {"generator": "none", "portion": portion}
    made["counts"] = {"real": dict(zip("abc", counts, strict=True)), "synthetic": dict.fromkeys("abc", 0)}
    assert not list(miscounted(made))
    made["spec"]["portion"] = 1 / portion
    assert any("real images, and keeps" in line for line in miscounted(made))


@pytest.mark.parametrize("part", [{"mode": "stir"}, {"ratio": 1e9}, {"mode": "replace", "ratio": 2}])
def test_a_spec_that_no_run_could_have_is_said_in_words(record: dict[str, Any], part: dict[str, Any]) -> None:
    record["spec"] |= part
    assert any("asks for what no run could make: --" in line for line in miscounted(record))


def train_set(sizes: tuple[int, ...], *, multi: bool = False) -> ImageSet:
    """Sizes of each class; with findings that co-occur every third image has the next one too."""
    labels = torch.repeat_interleave(torch.arange(len(sizes)), torch.tensor(sizes))
    if multi:
        labels = torch.nn.functional.one_hot(labels).to(torch.uint8)
        labels[::3, 2] = 1
    ids = tuple(map(str, range(sum(sizes))))
    images = torch.zeros((sum(sizes), 1, 8, 8), dtype=torch.uint8)
    return ImageSet(images, labels, ids, ids, Split.train, tuple("abcdef"[: len(sizes)]))


def counted(record: dict[str, Any], train: ImageSet, mode: str, *, ratio: float) -> dict[str, Any]:
    """A record of a generator with such a training set."""
    made = {**copy.deepcopy(record), "classes": list(train.classes), "worth": None}
    made["spec"] |= {"mode": mode, "ratio": ratio, "portion": 1}
    made["audit"]["n_images"]["train"] = len(train)
    made["audit"]["counts"] = {"train": train.counts()}
    return made
