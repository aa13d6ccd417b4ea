"""A user's own images become splits by patient; whatever is wrong with them is said in one line."""

from __future__ import annotations

import csv
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from data.audit.leaks import audit
from data.datasets.folder.dataset import Folder, FolderConfig
from data.images import ImageSet, Split
from data.prepared import is_prepared
from synthworth.errors import UserError
from synthworth.keys import digest

KERMANY = Path(os.environ.get("SYNTHWORTH_DATA", "absent")) / "kermany"
COLUMNS = ("image", "label", "patient_id", "part", "sex", "age", "nodule", "effusion")
Rows = list[dict[str, str]]


def picture(path: Path, seed: int, *, size: tuple[int, int] = (16, 16), mode: str = "L") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = size[::-1] if mode == "L" else (*size[::-1], 3)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8), mode).save(path)


def write_table(path: Path, rows: Rows, columns: Sequence[str] = COLUMNS) -> Path:
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.DictWriter(handle, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def make_table(root: Path, n: int = 24) -> Rows:
    """n images of n / 2 patients with labels a, b; part is by thirds of patients; metadata.csv is written."""
    rows = []
    for i in range(n):
        patient = i // 2
        picture(root / f"x/{i:02d}.png", i)
        rows.append(
            {
                "image": f"x/{i:02d}.png",
                "label": "ab"[patient % 2],
                "patient_id": f"p{patient}",
                "part": ("train", "val", "test")[patient * 6 // n],
                "sex": "FM"[patient % 2],
                "age": str(30 + patient),
                "nodule": str(patient % 2),
                "effusion": str(patient % 3 % 2),
            }
        )
    write_table(root / "metadata.csv", rows)
    return rows


def build(root: Path, **options) -> dict[Split, ImageSet]:
    return dict(Folder(FolderConfig(path=root, **options)).build())


def refused(root: Path, match: str, **options) -> None:
    """The one-line error, with nothing written."""
    target = root.parent / f"{root.name}-prepared"
    target.mkdir(exist_ok=True)
    with pytest.raises(UserError, match=match) as caught:
        Folder(FolderConfig(path=root, **options)).prepare(target)
    assert "\n" not in str(caught.value)
    assert not list(target.iterdir())
    assert not is_prepared(target)


def whole(sets: dict[Split, ImageSet]) -> dict[str, ImageSet]:
    return {name: images for images in sets.values() for name in images.ids}


def test_a_table_becomes_splits_by_its_patient_column(tmp_path) -> None:
    rows = make_table(tmp_path)
    sets = build(tmp_path, attributes=("sex", "age"))
    assert sorted(whole(sets)) == sorted(row["image"] for row in rows)
    by_name = {row["image"]: row for row in rows}
    for images in sets.values():
        for i, name in enumerate(images.ids):
            row = by_name[name]
            assert images.groups[i] == row["patient_id"]
            assert images.classes[int(images.labels[i])] == row["label"]
            assert images.attributes["sex"][i] == row["sex"]
            assert images.attributes["age"][i] == float(row["age"])
            assert np.array_equal(images.images[i, 0].numpy(), np.asarray(Image.open(tmp_path / name)))
    sides = [set(images.groups) for images in sets.values()]
    assert sum(map(len, sides)) == 12


def test_a_prepared_folder_is_loaded_back(tmp_path) -> None:
    make_table(tmp_path)
    made = Folder(FolderConfig(path=tmp_path))
    (tmp_path / "cache").mkdir()
    made.prepare(tmp_path / "cache")
    sets = made.build()
    for split in (Split.train, Split.val, Split.test):
        assert replace(made.load(tmp_path / "cache", split)).fingerprint() == sets[split].fingerprint()


def test_a_given_split_is_kept(tmp_path) -> None:
    rows = make_table(tmp_path)
    sets = build(tmp_path, split_column="part")
    for split, images in sets.items():
        assert set(images.ids) == {row["image"] for row in rows if row["part"] == split.value}


def test_a_split_without_val_draws_it_from_the_patients_of_train(tmp_path) -> None:
    rows = make_table(tmp_path, 60)
    for row in rows:
        row["part"] = "training" if row["part"] == "val" else row["part"]
    write_table(tmp_path / "metadata.csv", rows)
    sets = build(tmp_path, split_column="part", fractions=(0.6, 0.2, 0.2))
    assert set(sets[Split.test].ids) == {row["image"] for row in rows if row["part"] == "test"}
    assert len(sets[Split.val]) == pytest.approx(10, abs=2)
    assert not set(sets[Split.val].groups) & set(sets[Split.train].groups)


def test_findings_that_co_occur_may_be_joined_by_a_bar(tmp_path) -> None:
    rows = make_table(tmp_path)
    for i, row in enumerate(rows):
        row["label"] = ("No Finding", "nodule", "effusion|nodule")[i // 2 % 3]
    write_table(tmp_path / "metadata.csv", rows)
    sets = build(tmp_path)
    assert sets[Split.train].classes == ("effusion", "nodule")
    assert sets[Split.train].multilabel
    vectors = {row["image"]: [int("effusion" in row["label"]), int("nodule" in row["label"])] for row in rows}
    for images in sets.values():
        assert [vectors[name] for name in images.ids] == images.labels.tolist()


def test_findings_may_stand_in_columns_of_their_own(tmp_path) -> None:
    rows = {row["image"]: row for row in make_table(tmp_path)}
    train = build(tmp_path, label_columns=("nodule", "effusion"))[Split.train]
    assert train.classes == ("nodule", "effusion")
    for name, marks in zip(train.ids, train.labels.tolist(), strict=True):
        assert marks == [int(rows[name]["nodule"]), int(rows[name]["effusion"])]


def test_a_parquet_table_gives_the_same_images_as_a_csv(tmp_path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = make_table(tmp_path)
    one = build(tmp_path)
    columns = {name: [row[name] for row in rows] for name in COLUMNS} | {"age": list(range(24))}
    pq.write_table(pa.table(columns), tmp_path / "metadata.parquet")
    (tmp_path / "metadata.csv").unlink()
    other = build(tmp_path, attributes=("age",))
    assert [one[s].fingerprint() for s in one] == [other[s].fingerprint() for s in one]
    assert other[Split.train].attributes["age"].dtype == np.float64


def test_a_table_may_lie_elsewhere_and_name_absolute_paths(tmp_path) -> None:
    rows = make_table(tmp_path / "images")
    for row in rows:
        row["image"] = str(tmp_path / "images" / row["image"])
    table = write_table(tmp_path / "list.csv", rows)
    assert len(whole(dict(Folder(FolderConfig(table=table)).build()))) == 24


def test_declared_classes_set_the_order(tmp_path) -> None:
    make_table(tmp_path)
    assert build(tmp_path, classes=("b", "a"))[Split.train].classes == ("b", "a")


def test_class_folders_become_classes_and_each_image_its_own_patient(tmp_path, caplog) -> None:
    for i in range(30):
        picture(tmp_path / ("10", "9", "normal")[i % 3] / "deep" / f"{i}.png", i)
    (tmp_path / "9" / "Thumbs.db").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        sets = build(tmp_path)
    assert "no patient column" in caplog.text
    assert sets[Split.train].classes == ("9", "10", "normal")
    assert len(whole(sets)) == 30
    assert "9/deep/1.png" in whole(sets)
    assert all(images.groups == images.ids for images in sets.values())


def test_split_folders_are_kept(tmp_path) -> None:
    for i in range(24):
        picture(tmp_path / ("train", "valid", "test")[i % 3] / "ab"[i // 3 % 2] / f"{i}.png", i)
    sets = build(tmp_path)
    assert {split.value: len(images) for split, images in sets.items()} == {"train": 8, "val": 8, "test": 8}
    assert all(name.startswith("valid/") for name in sets[Split.val].ids)


def test_only_what_an_image_is_made_of_is_identity(tmp_path) -> None:
    make_table(tmp_path / "a")
    first = Folder(FolderConfig(path=tmp_path / "a"))
    before = first.source()
    os.rename(tmp_path / "a", tmp_path / "b")
    moved = Folder(FolderConfig(path=tmp_path / "b"))
    assert moved.source() == before
    assert digest(moved.config) == digest(first.config)
    picture(tmp_path / "b" / "x/03.png", 99)
    assert moved.source() != before


def test_the_table_is_part_of_the_identity(tmp_path) -> None:
    rows = make_table(tmp_path)
    made = Folder(FolderConfig(path=tmp_path))
    before = made.source()
    rows[0]["label"] = "b"
    write_table(tmp_path / "metadata.csv", rows)
    assert made.source()["table"] != before["table"]
    assert made.source()["files"] == before["files"]


def test_a_label_that_is_not_declared_is_named_with_its_row(tmp_path) -> None:
    rows = make_table(tmp_path)
    rows[4]["label"] = "cat"
    write_table(tmp_path / "metadata.csv", rows)
    refused(tmp_path, r"row 5 \(x/04.png\) has label 'cat', which is not declared.*a, b", classes=("a", "b"))


@pytest.mark.parametrize(
    ("options", "column"),
    [
        ({"label_column": "diagnosis"}, "diagnosis"),
        ({"image_column": "file"}, "file"),
        ({"patient_column": "subject"}, "subject"),
        ({"split_column": "fold"}, "fold"),
        ({"attributes": ("view",)}, "view"),
        ({"label_columns": ("nodule", "mass")}, "mass"),
    ],
)
def test_a_missing_column_is_named_beside_those_there(tmp_path, options: dict, column: str) -> None:
    make_table(tmp_path)
    refused(tmp_path, f"no column '{column}'.*it has image, label, patient_id", **options)


def test_missing_files_are_counted_and_the_first_named(tmp_path) -> None:
    make_table(tmp_path)
    for i in range(5):
        (tmp_path / f"x/{i:02d}.png").unlink()
    refused(tmp_path, r"5 of 24 image files are missing: x/00.png, x/01.png, x/02.png, \.\.\.")


def test_mixed_sizes_are_refused_naming_two_files_and_accepted_with_a_size(tmp_path) -> None:
    make_table(tmp_path)
    picture(tmp_path / "x/07.png", 7, size=(20, 20))
    refused(tmp_path, r"mixed sizes: .*\.png is \d+ x \d+, .*\.png is \d+ x \d+.*--data.size")
    assert build(tmp_path, size=12)[Split.train].size == 12


def test_pictures_that_are_not_square_need_a_size(tmp_path) -> None:
    rows = make_table(tmp_path)
    for i in range(len(rows)):
        picture(tmp_path / rows[i]["image"], i, size=(20, 10))
    refused(tmp_path, "20 x 10, and the suite takes squares.*--data.size")


def test_a_val_patient_in_train_is_refused_before_anything_is_decoded(tmp_path) -> None:
    rows = make_table(tmp_path)
    rows[1]["part"] = "val"
    write_table(tmp_path / "metadata.csv", rows)
    (tmp_path / "x/20.png").write_bytes(b"")
    refused(tmp_path, "patient 'p0' is in both train and val", split_column="part")


@pytest.mark.parametrize(
    ("row", "change", "match"),
    [
        (3, {"part": "holdout"}, r"row 4 .*split 'holdout'; there are train, val, test"),
        (3, {"image": "x/02.png", "label": "a"}, r"names image 'x/02.png' twice, in rows 3 and 4, with label b and a"),
        (3, {"image": "x/../x/02.png", "patient_id": "p9"}, r"twice, in rows 3 and 4, with patient p1 and p9"),
        (3, {"image": "x/02.png", "part": "test"}, r"twice, in rows 3 and 4, with split train and test"),
        (3, {"image": ""}, r"row 4: no image"),
        (3, {"label": ""}, r"row 4 \(x/03.png\) has no label"),
        (3, {"patient_id": ""}, r"row 4 .*has no patient"),
    ],
)
def test_a_bad_cell_is_named_with_its_row(tmp_path, row: int, change: dict, match: str) -> None:
    rows = make_table(tmp_path)
    rows[row] |= change
    write_table(tmp_path / "metadata.csv", rows)
    refused(tmp_path, match, split_column="part")


def test_a_mark_that_is_neither_0_nor_1_is_named(tmp_path) -> None:
    rows = make_table(tmp_path)
    rows[6]["nodule"] = "-1"
    write_table(tmp_path / "metadata.csv", rows)
    refused(tmp_path, r"row 7, column 'nodule': '-1' is neither 0 nor 1", label_columns=("nodule", "effusion"))


def test_a_class_without_a_training_image_is_refused(tmp_path) -> None:
    make_table(tmp_path)
    refused(tmp_path, "class 'z' has no training image", classes=("a", "b", "z"))


def test_a_class_that_only_test_knows_is_refused(tmp_path) -> None:
    rows = make_table(tmp_path)
    rows[-1]["label"] = "c"
    write_table(tmp_path / "metadata.csv", rows)
    refused(tmp_path, "class 'c' has no training image", split_column="part")


def test_one_class_alone_is_refused(tmp_path) -> None:
    for i in range(6):
        picture(tmp_path / "tree" / "only" / f"{i}.png", i)
    refused(tmp_path / "tree", "1 class found")
    refused(tmp_path / "tree" / "only", "holds neither class folders")


def test_an_empty_table_and_an_empty_folder_are_refused(tmp_path) -> None:
    refused(tmp_path, r"holds neither class folders with images nor metadata\.csv")
    write_table(tmp_path / "metadata.csv", [])
    refused(tmp_path, "holds no row")


@pytest.mark.parametrize("missing", [("train",), ("val", "test")])
def test_a_split_column_without_train_or_without_val_and_test_is_refused(tmp_path, missing: tuple[str, ...]) -> None:
    rows = make_table(tmp_path)
    write_table(tmp_path / "metadata.csv", [row for row in rows if row["part"] not in missing])
    refused(tmp_path, f"no image is in the {missing[-1]} split", split_column="part")


def test_a_split_column_without_test_is_judged_on_val(tmp_path) -> None:
    rows = make_table(tmp_path, 60)
    write_table(tmp_path / "metadata.csv", [row for row in rows if row["part"] != "test"])
    sets = build(tmp_path, split_column="part")
    assert set(sets[Split.test].ids) == {row["image"] for row in rows if row["part"] == "val"}
    assert not set(sets[Split.val].groups) & set(sets[Split.train].groups)


def test_a_path_that_is_not_there_is_named(tmp_path) -> None:
    for options in ({"path": tmp_path / "nowhere"}, {"path": tmp_path, "table": tmp_path / "nowhere.csv"}):
        with pytest.raises(UserError, match="nowhere"):
            Folder(FolderConfig(**options)).source()
    with pytest.raises(UserError, match=r"--data\.path"):
        Folder().source()


def test_columns_without_a_table_are_refused(tmp_path) -> None:
    picture(tmp_path / "a" / "0.png", 0)
    refused(tmp_path, "column 'sex' was asked for", attributes=("sex",))


@pytest.mark.skipif(not KERMANY.is_dir(), reason="SYNTHWORTH_DATA holds no kermany folder")
def test_the_real_films_of_kermany_are_split_by_patient_and_hold_30_duplicate_groups(caplog) -> None:
    with caplog.at_level(logging.WARNING):
        sets = build(KERMANY, size=64)
    assert "no patient column" not in caplog.text
    report = audit(sets)
    assert sum(report.n_images.values()) == 5856
    assert sum(report.n_patients.values()) == 3288
    assert not report.shared_patients
    assert len(report.duplicates) >= 30
    share = [images.counts()["PNEUMONIA"] / len(images) for images in sets.values()]
    assert max(share) - min(share) < 0.01
