"""Folders that are no classes are refused with a way out; what lies beside or inside classes is counted and named."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from refusals import refusal

from data.datasets.folder.class_folders import rows_of_folders
from data.datasets.folder.dataset import Folder, FolderConfig
from data.datasets.folder.folder_names import is_container, pieces_of_one
from data.datasets.folder.tree import walk
from data.films.masks import is_mask_folder
from data.images import Split
from synthworth.errors import UserError


def grow(root: Path, names: Iterable[str], n: int = 2) -> Path:
    """n pictures, each another, in every named folder."""
    for k, name in enumerate(names):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            picture(root / name / f"{k}-{i}.png", 100 * k + i)
    return root


def picture(path: Path, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (16, 16), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def refused(root: Path, *parts: str, **options) -> str:
    """The one-line error, which holds all parts; identity is refused too, so no prepared copy is believed."""
    return refusal(Folder(FolderConfig(path=root, **options)).source, *parts)


def classes_of(root: Path, **options) -> dict[str, int]:
    table = Folder(FolderConfig(path=root, **options)).films()
    counts = table.counts()
    return {name: sum(of_split[name] for of_split in counts.values()) for name in table.classes}


# -- containers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("train_images", "test_images"),
        ("images", "masks"),
        ("images", "labels"),
        ("Images", "Annotations"),
        ("part1", "part2"),
        ("images_001", "images_002"),
        ("batch_1", "batch_2"),
        ("fold0", "fold1"),
        ("fold_1", "fold_2", "fold_3"),
        ("trainImages", "testImages"),
        ("training_set", "test_set"),
        ("trainA", "trainB", "testA"),
        ("set_a", "set_b"),
        ("Original Images", "Augmented Images"),
        ("patient1", "patient2"),
        ("benign", "malignant", "images"),
        ("HAM10000_images_part_1", "HAM10000_images_part_2"),
        ("ISIC_2019_Training_Input", "ISIC_2019_Test_Input"),
        ("xray_train", "xray_val", "xray_test"),
        ("normal_train", "ill_train", "normal_test", "ill_test"),
        ("DDSM images 1", "DDSM images 2"),
        ("256x256", "512x512"),
        ("labeled_images", "unlabeled"),
        ("2019-01-31", "2019-02-01"),
        ("20190131", "20190201"),
        ("yes", "no", "pred"),
    ],
)
def test_folders_that_say_only_that_images_are_there_are_refused(tmp_path: Path, names: tuple[str, ...]) -> None:
    grow(tmp_path, names)
    said = refused(tmp_path, *names, "no class")
    assert "--data.table" in said
    assert "--data.classes" in said


@pytest.mark.parametrize(
    "name",
    ["0", "12", "A", "T1", "class_1", "grade 2", "label_0", "pT1", "with_mask", "normal_images", "train", "case",
     "group_1", "COVID-19", "40X", "stage3", "200x"],
)  # fmt: skip
def test_names_of_classes_are_no_containers(name: str) -> None:
    assert not is_container(name)
    assert not is_mask_folder(name, inside_a_class=False)


def test_numbers_of_classes_are_no_pieces() -> None:
    assert pieces_of_one(["stage_1 images", "stage_2 images", "class1", "class2", "T1", "T2", "train", "test"]) == []
    assert pieces_of_one(["lung_part1", "lung_part2", "colon_part1"]) == ["lung_part1", "lung_part2"]


def test_one_folder_with_folders_inside_says_where_to_point(tmp_path: Path) -> None:
    grow(tmp_path, ("archive/NORMAL", "archive/SICK"))
    refused(tmp_path, "one folder, archive, with NORMAL, SICK inside", f"point --data.path at {tmp_path / 'archive'}")


def test_a_copy_of_the_classes_beside_them_is_no_class(tmp_path: Path) -> None:
    grow(tmp_path, ("yes", "no", "brain_tumor_dataset/yes", "brain_tumor_dataset/no"))
    refused(tmp_path, "brain_tumor_dataset, with folders inside that are called as those beside it", "copy")


def test_the_same_folders_inside_every_class_are_a_question_but_for_magnifications(tmp_path: Path) -> None:
    grow(tmp_path / "x", ("Montgomery/normal", "Montgomery/tb", "Shenzhen/normal", "Shenzhen/tb"))
    refused(tmp_path / "x", "each holds normal, tb: which of the two are the classes is not said")
    grow(tmp_path / "y", [f"{name}/{by}" for name in ("benign", "malignant") for by in ("40X", "100X")], n=3)
    assert classes_of(tmp_path / "y") == {"benign": 6, "malignant": 6}


@pytest.mark.parametrize("form", ["{}/patient{}/study1", "{}/study{}", "{}/SOB/SOB_B_A_14-22549{}", "{}/S/{:04d}"])
def test_folders_inside_classes_that_may_be_patients_are_named(tmp_path: Path, form: str) -> None:
    n = 10 if "SOB" in form else 6
    grow(tmp_path, [form.format("ab"[i % 2], i) for i in range(n)], n=2)
    said = rows_of_folders(tmp_path).said
    assert "folders inside classes that may be patients (--data.patient-pattern)" in said


def test_one_class_beside_a_table_names_the_table(tmp_path: Path) -> None:
    grow(tmp_path, ("ISIC_2019_Training_Input",))
    (tmp_path / "truth.csv").write_text("image,MEL\n")
    refused(tmp_path, "1 class found (ISIC_2019_Training_Input)", "truth.csv (image, MEL) lies beside")


def test_splits_inside_folds_are_no_classes_to_bring_together(tmp_path: Path) -> None:
    grow(tmp_path, [f"fold{k}/{split}/{name}" for k in range(2) for split in ("train", "test") for name in "ab"])
    said = refused(tmp_path, "splits lie inside fold0, fold1", f"point --data.path at {tmp_path / 'fold0'}")
    assert "bring" not in said


def test_a_folder_of_masks_beside_its_class_is_left_out(tmp_path: Path) -> None:
    grow(tmp_path, ("benign", "malignant", "benign_mask", "malignant masks", "with_mask"), n=3)
    rows = rows_of_folders(tmp_path)
    assert sorted(set(rows.labels)) == ["benign", "malignant", "with_mask"]
    assert rows.said == {"masks, left out": 6}


def test_what_is_declared_is_a_class_whatever_it_is_called(tmp_path: Path) -> None:
    grow(tmp_path, ("valid", "images"), n=6)
    assert classes_of(tmp_path, classes=("valid", "images")) == {"valid": 6, "images": 6}


def test_a_table_that_lies_beside_is_named_with_its_columns(tmp_path: Path) -> None:
    grow(tmp_path, ("train_images", "test_images"))
    (tmp_path / "train.csv").write_text("id_code,diagnosis\n0-0,2\n")
    refused(
        tmp_path, "test_images, train_images", "train.csv (id_code, diagnosis) lies beside: name it by --data.table"
    )


def test_a_container_with_classes_inside_says_where_to_point(tmp_path: Path) -> None:
    grow(tmp_path, ("images/benign", "images/malignant", "masks"))
    refused(tmp_path, "images holds benign, malignant", f"point --data.path at {tmp_path / 'images'}")


def test_classes_inside_parts_are_named(tmp_path: Path) -> None:
    grow(tmp_path, ("part1/NORMAL", "part1/SICK", "part2/NORMAL", "part2/SICK"))
    refused(tmp_path, "inside lie NORMAL, SICK: bring each together in one folder a class")


def test_containers_in_split_folders_are_refused_too(tmp_path: Path) -> None:
    grow(tmp_path, ("train/images", "test/images"))
    (tmp_path / "train" / "labels").mkdir()
    refused(tmp_path, "in test, train, holds", "images, labels")


@pytest.mark.parametrize("form", ["patient{:05d}", "{:08d}", "p{:03d}"])
def test_a_folder_for_each_patient_is_refused(tmp_path: Path, form: str) -> None:
    grow(tmp_path, [form.format(i) for i in range(6)])
    said = refused(tmp_path, form.format(0), "no class" if "patient" in form else "one a patient, it seems")
    assert "6 in all" in said or "6 numbered folders" in said


def test_the_same_classes_inside_every_folder_of_many_are_a_question(tmp_path: Path) -> None:
    grow(tmp_path, [f"{who}/{k}" for who in ("10253", "8863", "anna") for k in "01"])
    refused(tmp_path, "each holds 0, 1: which of the two are the classes is not said")
    assert classes_of(tmp_path, classes=("10253", "8863", "anna")) == {"10253": 4, "8863": 4, "anna": 4}


# -- splits ---------------------------------------------------------------------------------------------------------


def test_train_and_val_without_test_are_understood(tmp_path: Path, caplog) -> None:
    grow(tmp_path, [f"{split}/{name}" for split in ("train", "valid") for name in "ab"], n=8)
    table = Folder(FolderConfig(path=tmp_path)).films()
    assert {table.ids[i].split("/")[0] for i in table.rows(Split.test)} == {"valid"}
    assert len(table.rows(Split.test)) == 16
    assert {table.ids[i].split("/")[0] for i in table.rows(Split.val)} == {"train"}
    assert "no test split is given: the 16 images of val are the test" in caplog.text
    assert "16" in str(table.notes["test"])


def test_train_and_test_without_val_take_val_from_train(tmp_path: Path) -> None:
    grow(tmp_path, [f"{split}/{name}" for split in ("Training", "Testing") for name in "ab"], n=8)
    table = Folder(FolderConfig(path=tmp_path)).films()
    assert {table.ids[i].split("/")[0] for i in table.rows(Split.test)} == {"Testing"}
    assert len(table.rows(Split.val)) > 0


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (("train/a", "train/b"), "no image is in the test split"),
        (("val/a", "test/a"), "no image is in the train split"),
        (("test", "control"), "test, a split by its name, beside control"),
        (("valid", "invalid"), "valid, a split by its name, beside invalid"),
        (("train", "bus", "car"), "train, a split by its name, beside bus, car"),
        (("train/train/a", "train/train/b", "test/test/a"), "in test, train, holds test, train, no classes"),
        (("set/train/a", "set/test/a"), "splits lie inside (test, train)"),
        (("a/train", "a/test", "b/train", "b/test"), "SPLIT/CLASS is read, not CLASS/SPLIT"),
    ],
)
def test_split_words_that_make_up_no_splits_are_refused(tmp_path: Path, names: tuple[str, ...], said: str) -> None:
    grow(tmp_path, names)
    refused(tmp_path, said)


def test_a_train_folder_alone_says_where_to_point(tmp_path: Path) -> None:
    grow(tmp_path, ("train/a", "train/b"))
    refused(tmp_path, f"point --data.path at {tmp_path / 'train'}")


def test_folders_beside_the_splits_are_named_with_their_images(tmp_path: Path) -> None:
    grow(tmp_path, [*(f"{split}/{name}" for split in ("train", "val", "test") for name in "ab"), "extra"], n=3)
    said = rows_of_folders(tmp_path).said
    assert said == {"folders beside the splits, left out": "extra (3 images)"}


def test_a_split_folder_without_classes_is_refused(tmp_path: Path) -> None:
    grow(tmp_path, ("train/a", "train/b", "test"), n=3)
    refused(tmp_path, f"{tmp_path / 'test'} holds 3 images and no class folder: their labels are not known")


# -- what lies among the images -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [".ipynb_checkpoints", "@eaDir", "__MACOSX", "#recycle", ".git"])
@pytest.mark.parametrize("where", ["", "a", "a/deep"])
def test_hidden_folders_are_skipped_at_any_depth_and_counted(tmp_path: Path, name: str, where: str) -> None:
    grow(tmp_path, ("a", "a/deep", "b"), n=4)
    grow(tmp_path / where, (name, f"{name}/inner"), n=3)
    rows = rows_of_folders(tmp_path)
    assert sorted(set(rows.labels)) == ["a", "b"]
    assert len(rows.ids) == 12
    assert rows.said == {"images in hidden folders, left out": 6}


def test_masks_beside_images_inside_classes_are_left_out_and_counted(tmp_path: Path) -> None:
    grow(tmp_path, [f"{name}/{part}" for name in ("COVID", "Normal") for part in ("images", "lung masks")], n=5)
    rows = rows_of_folders(tmp_path)
    assert {(label, name.split("/")[1]) for label, name in zip(rows.labels, rows.ids, strict=True)} == {
        ("COVID", "images"), ("Normal", "images"),
    }  # fmt: skip
    assert rows.said == {"masks, left out": 10}


def test_a_masks_folder_beside_classes_is_left_out_and_counted(tmp_path: Path) -> None:
    grow(tmp_path, ("benign", "malignant", "masks", "ground_truth"), n=3)
    rows = rows_of_folders(tmp_path)
    assert sorted(set(rows.labels)) == ["benign", "malignant"]
    assert rows.said == {"masks, left out": 6}


@pytest.mark.parametrize("mask", ["{}_mask", "{}_mask_1", "{}_segmentation", "{}-GT"])
def test_a_mask_that_lies_beside_its_film_is_left_out(tmp_path: Path, mask: str) -> None:
    for name in ("benign", "normal"):
        for i in range(3):
            picture(tmp_path / name / f"{name} ({i}).png", i)
            picture(tmp_path / name / f"{mask.format(f'{name} ({i})')}.png", 50 + i)
    picture(tmp_path / "normal" / "with_mask.png", 9)  # of no film called "with"
    rows = rows_of_folders(tmp_path)
    assert rows.said == {"masks, left out": 6}
    assert len(rows.ids) == 7


def test_a_class_of_masks_alone_is_refused(tmp_path: Path) -> None:
    grow(tmp_path, ("COVID/images", "Normal/masks"))
    refused(tmp_path, "Normal holds masks alone")


def test_images_in_no_class_folder_and_folders_inside_classes_are_told(tmp_path: Path) -> None:
    grow(tmp_path, ("a/left", "a/right", "b"), n=3)
    picture(tmp_path / "roc.png", 1)
    (tmp_path / "b" / "meta.csv").write_text("file;patient\n")
    assert rows_of_folders(tmp_path).said == {
        "images in no class folder, left out": 1,
        "folders inside classes, not told apart": "a/left, a/right",
        "tables that lie beside and are not read (--data.table)": "b/meta.csv (file, patient)",
    }


def test_linked_folders_are_followed_once(tmp_path: Path) -> None:
    grow(tmp_path / "store", ("far",), n=3)
    grow(tmp_path / "set", ("a", "b"), n=3)
    (tmp_path / "set" / "a" / "more").symlink_to(tmp_path / "store" / "far")
    (tmp_path / "set" / "a" / "loop").symlink_to(tmp_path / "set" / "a")
    assert len(rows_of_folders(tmp_path / "set").ids) == 9


def test_a_folder_that_cannot_be_listed_is_not_passed_over(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"absent cannot be listed: No such file"):
        walk(tmp_path / "absent", lambda _: True)


def test_a_column_without_a_table_names_the_tables_that_lie_there(tmp_path: Path) -> None:
    grow(tmp_path, ("a", "b"))
    (tmp_path / "people.csv").write_text("image,patient\n")
    refused(tmp_path, "Pass --data.table people.csv (image, patient), for one", patient_column="patient")


def test_blanks_around_the_name_of_a_split_folder_do_not_matter(tmp_path: Path) -> None:
    grow(tmp_path, [f"{split}/{name}" for split in ("train ", "val", "Test") for name in "ab"], n=3)
    counts = Folder(FolderConfig(path=tmp_path)).films().counts()
    assert {split: sum(of.values()) for split, of in counts.items()} == {"train": 6, "val": 6, "test": 6}


def test_one_class_folder_is_refused(tmp_path: Path) -> None:
    grow(tmp_path, ("only",), n=5)
    with pytest.raises(UserError, match="1 class found"):
        Folder(FolderConfig(path=tmp_path)).films()


def test_what_is_noted_is_kept_with_the_prepared_images(tmp_path: Path) -> None:
    grow(tmp_path, ("a", "b", "a/.ipynb_checkpoints"), n=6)
    assert Folder(FolderConfig(path=tmp_path)).films().notes["images in hidden folders, left out"] == 6
