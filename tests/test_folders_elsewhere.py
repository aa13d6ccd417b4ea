"""Folders as other people name them: in other languages, by codes of patients, as copies; masks by their looks."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from refusals import refusal

from data.datasets.folder.dataset import Folder, FolderConfig
from data.datasets.folder.folder_names import copied, is_container, is_series
from data.films.masks import is_mask_folder, masks_among, speaks_of_masks


def grow(root: Path, files: Iterable[str]) -> Path:
    for seed, name in enumerate(files):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 256, (16, 16), dtype=np.uint8)
        Image.fromarray(pixels).save(root / name, "PNG")
    return root


def in_folders(*folders: str, n: int = 4) -> list[str]:
    return [f"{folder}/{k}-{i}.png" for k, folder in enumerate(folders) for i in range(n)]


def refused(root: Path, *parts: str, **options) -> str:
    return refusal(Folder(FolderConfig(path=root, **options)).films, *parts)


@pytest.mark.parametrize(
    "names",
    [
        ("imagenes", "mascaras"),
        ("Imágenes", "Máscaras"),
        ("Bilder", "Masken"),
        ("images", "masques"),
        ("Imagens", "Anotações"),
        ("immagini", "maschere"),
        ("изображения", "маски"),
        ("图像", "标签"),
        ("画像", "マスク"),
        ("entrenamiento", "prueba"),
        ("entraînement", "essai"),
        ("treino", "teste"),
        ("Trainingsdaten", "Testdaten"),
        ("训练集", "测试集"),
        ("обучение", "тест"),
        ("holdout", "eval"),
        ("cv1", "cv2"),
        ("benign", "malignant", "backup"),
        ("benign", "malignant", "results"),
    ],
)
def test_containers_and_splits_in_other_words_are_no_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    refused(grow(tmp_path, in_folders(*names)), "no class", "--data.classes")


@pytest.mark.parametrize("names", [("entrenamiento", "prueba"), ("训练集", "测试集"), ("learn set 1", "eval")])
def test_splits_in_other_words_are_to_be_renamed(tmp_path: Path, names: tuple[str, ...]) -> None:
    root = grow(tmp_path, in_folders(*(f"{name}/{of}" for name in names for of in ("sano", "enfermo"))))
    refused(root, "called train, val and test here: rename them")


@pytest.mark.parametrize(
    "name", ["normal", "sano", "正常", "肺炎", "krank", "old", "fracture_new", "unknown", "test tube"]
)
def test_classes_in_other_words_are_classes(name: str) -> None:
    assert not is_container(name)
    assert not is_mask_folder(name, inside_a_class=False)


def test_a_folder_beside_train_and_val_may_be_the_test(tmp_path: Path) -> None:
    root = grow(tmp_path, in_folders(*(f"{split}/{of}" for split in ("train", "dev", "final") for of in "ab")))
    refused(root, "no image is in the test split", "beside them final", "call it test")


@pytest.mark.parametrize(
    "names",
    [
        ("10253", "8863"),
        ("LIDC-IDRI-0001", "LIDC-IDRI-0002"),
        ("ISIC2019", "ISIC2020"),
        ("C3L-00016", "C3L-00104"),
        ("1.2.840.113.1", "1.2.840.113.2"),
        ("TCGA-A2-A0CM", "TCGA-A7-A26F"),
        ("0a4fbc9ade", "9f00aa31be"),
        ("{1b4e28ba-2fa1-11d2}", "{6fa459ea-ee8a-3ca4}"),
        ("P1", "P2", "P3", "P4", "P10"),
        ("pt-1", "pt-2", "pt-3", "pt-4", "pt-5"),
    ],
)
def test_folders_called_by_codes_are_people(tmp_path: Path, names: tuple[str, ...]) -> None:
    refused(grow(tmp_path, in_folders(*names)), "one a patient, it seems", "--data.classes")


@pytest.mark.parametrize(
    "names",
    [("0", "1", "10"), ("T1", "T2", "T3", "T4", "T5"), ("grade 1", "grade 2"), ("COVID-19", "non-COVID"), ("P1", "P2"),
     ("deadbeef", "normal"), ("001", "002")],
)  # fmt: skip
def test_numbers_of_classes_are_no_people(names: tuple[str, ...]) -> None:
    assert not is_series(names)


@pytest.mark.parametrize(
    "name",
    [
        "benign - Copy",
        "benign copy 2",
        "Copy of benign",
        "benign (1)",
        "benign_augmented",
        "benign_bak",
        "Benign_resized",
    ],
)
def test_a_copy_of_a_class_beside_it_is_no_class(tmp_path: Path, name: str) -> None:
    refused(grow(tmp_path, in_folders("benign", "malignant", name)), name)
    assert copied("benign") is None and copied("fracture_old") is None


def test_derived_images_inside_a_class_beside_its_own_are_named(tmp_path: Path) -> None:
    root = grow(tmp_path, in_folders("a", "a/thumbnails", "b", "b/augmented", "c/images"))
    notes = Folder(FolderConfig(path=root)).films().notes
    assert notes["folders inside classes, not told apart"] == "a/thumbnails, b/augmented"


def test_what_a_disk_leaves_behind_is_hidden(tmp_path: Path) -> None:
    root = grow(tmp_path, in_folders("a", "b", "System Volume Information", "lost+found"))
    table = Folder(FolderConfig(path=root)).films()
    assert table.classes == ("a", "b")
    assert table.notes["images in hidden folders, left out"] == 8


def test_splits_with_classes_inside_say_where_to_point(tmp_path: Path) -> None:
    root = grow(
        tmp_path, in_folders(*(f"{k} Data/{s}/{c}" for k in ("Lung", "Skin") for s in ("Train", "Test") for c in "ab"))
    )
    refused(root, "splits lie inside", f"Point --data.path at {root / 'Lung Data'}")


@pytest.mark.parametrize(("suffix", "said"), [(".npy", "4 (4 .npy)"), (".dcm", "4 (4 .dcm); DICOM films are read by")])
def test_a_class_folder_without_an_image_says_what_it_holds(tmp_path: Path, suffix: str, said: str) -> None:
    grow(tmp_path, in_folders("a"))
    (tmp_path / "b").mkdir()
    for i in range(4):
        (tmp_path / "b" / f"{i}{suffix}").write_bytes(b"x")
    refused(tmp_path, f"{tmp_path / 'b'} holds no image, but other files: {said}")


def test_jpegs_by_other_names_are_read(tmp_path: Path) -> None:
    files = [f"{of}/{i}.{ending}" for of in "ab" for i, ending in enumerate(("jfif", "jpe", "JPG", "jpeg"))]
    assert len(Folder(FolderConfig(path=grow(tmp_path, files))).films()) == 8


# -- masks, where a pattern says the class ----------------------------------------------------------------------------

MASKED = {
    "a folder": (["C/images/1.png"], ["C/masks/1.png", "masks/C/2.png"]),
    "a folder in another language": (["C/1.png"], ["C/máscaras/1.png"]),
    "a folder whose last word says so": (["C/images/1.png", "D/2.png"], ["C/lung masks/1.png", "D_masks/2_mask.png"]),
    "a file": (
        ["C/1.png", "C/mask.png"],
        ["C/1_mask.png", "C/1_mask_2.png", "C/1-overlay.png", "C/1 ground truth.png"],
    ),
    "classes of people with masks": (["with_mask/1.png", "without_mask/1.png", "with_mask/2_mask.png"], []),
}


@pytest.mark.parametrize("how", MASKED)
def test_masks_are_told_from_films(how: str) -> None:
    films, masks = MASKED[how]
    assert masks_among([*films, *masks]) == [False] * len(films) + [True] * len(masks)


def test_a_pattern_for_the_class_takes_no_masks_and_counts_what_it_leaves(tmp_path: Path) -> None:
    folders = ("C/images", "C/masks", "N/images", "N/masks", "N/.ipynb_checkpoints")
    root = grow(tmp_path, [f"{folder}/{i}.png" for folder in folders for i in range(5)])
    table = Folder(FolderConfig(path=root, label_pattern="^([^/]+)/")).films()
    assert len(table) == 10 and not any("masks" in name for name in table.ids)
    assert table.notes["masks, left out"] == 10
    assert table.notes["images in hidden folders, left out"] == 5


def test_masks_alone_are_no_films(tmp_path: Path) -> None:
    refused(grow(tmp_path, ["masks/a_1.png", "masks/b_2.png"]), "masks alone", label_pattern="([ab])_")


def test_words_for_masks_are_one_list_for_tables_too() -> None:
    names = ("HAM_segmentations_part", "labels", "lung overlays", "Ground Truth", "groundtruth", "máscara 1")
    assert all(map(speaks_of_masks, names))
    assert not speaks_of_masks("unmasked")
