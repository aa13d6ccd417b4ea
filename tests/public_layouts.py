"""Tiny copies of public datasets: their published folders, file names and table headers, with made films."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import io
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from data.datasets.folder.dataset import FolderConfig

SIDE = 64  # px; the pages' commands ask for as many, so that pixels stay as they are
OPTIONS = {field.name for field in dataclasses.fields(FolderConfig)}
Truth = dict[str, tuple[Any, str]]
"""What each film shows (a class, or the set of its findings) and its patient, by its path in the dataset's folder."""


def pixels(seed: int, *, depth: int = 8) -> np.ndarray:
    """A smooth picture, uint8 or uint16 (64, 64), from black to white."""
    coarse = np.random.default_rng(seed).random((5, 5)).astype(np.float32)
    smooth = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    smooth = (smooth - smooth.min()) / (smooth.max() - smooth.min())
    return (smooth * (2**depth - 1)).round().astype(np.uint8 if depth == 8 else np.uint16)


def picture(file: Path, seed: int, *, depth: int = 8, colour: bool = False) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    found = pixels(seed, depth=depth)
    image = Image.fromarray(np.stack([found, found // 2, 255 - found], -1) if colour else found)
    image.save(file, **({"quality": 95} if file.suffix == ".jpg" else {}))


def film(file: Path, seed: int, **header: Any) -> None:
    from dicom_files import film as write

    write(file, pixels(seed), bits=8, **header)


def table(file: Path, header: str, rows: Iterable[Iterable[Any]]) -> None:
    """The header as it was published, byte for byte, and rows below it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    text = io.StringIO()
    text.write(header + "\n")
    csv.writer(text, lineterminator="\n").writerows(rows)
    content = text.getvalue().encode()
    file.write_bytes(gzip.compress(content) if file.suffix == ".gz" else content)


# -- CheXpert (Irvin et al. 2019), MIMIC-CXR-JPG 2.0.0 (Johnson et al. 2019) ------------------------------------------

CHEXPERT = (
    "No Finding", "Enlarged Cardiomediastinum", "Cardiomegaly", "Lung Opacity", "Lung Lesion", "Edema", "Consolidation",
    "Pneumonia", "Atelectasis", "Pneumothorax", "Pleural Effusion", "Pleural Other", "Fracture", "Support Devices",
)  # fmt: skip
FIVE = ("Atelectasis", "Cardiomegaly", "Consolidation", "Edema", "Pleural Effusion")
"""Those that the published competition scores."""


def _states(i: int) -> dict[str, str]:
    """1, 0, -1 or blank for each finding, as CheXpert's labeller leaves them."""
    return {name: ("1.0", "", "0.0", "-1.0", "")[(3 * i + 2 * k + i // 5) % 5] for k, name in enumerate(CHEXPERT)}


def _shown(states: dict[str, str], *, uncertain: bool) -> frozenset[str]:
    return frozenset(name for name in FIVE if states[name] == "1.0" or (uncertain and states[name] == "-1.0"))


def chexpert(root: Path) -> Truth:
    truth: Truth = {}
    head = "Path,Sex,Age,Frontal/Lateral,AP/PA," + ",".join(CHEXPERT)
    for part, people in (("train", range(1, 31)), ("valid", range(64541, 64551))):
        rows = []
        for number in people:
            who = f"patient{number:05d}"
            for n, view in enumerate(("frontal", "lateral") if number % 3 == 0 else ("frontal",), start=1):
                name = f"CheXpert-v1.0-small/{part}/{who}/study1/view{n}_{view}.jpg"
                picture(root / name, 10 * number + n)
                states = _states(number) if part == "train" else {k: "1.0" if "1" in v else "0.0" for k, v in
                                                                  _states(number).items()}  # fmt: skip
                position = ("AP", "PA")[number % 2] if view == "frontal" else ""
                sex, age = ("Male", "Female")[number % 2], 20 + number % 60
                rows.append([name, sex, age, view.capitalize(), position, *states.values()])
                if view == "frontal":
                    truth[name] = _shown(states, uncertain=True), who
        table(root / f"CheXpert-v1.0-small/{part}.csv", head, rows)
    return truth


def mimic(root: Path) -> Truth:
    truth: Truth = {}
    splits, labels, facts = [], [], []
    for i in range(48):
        subject, study = 10000032 + i // 3, 50414267 + i // 2
        dicom = f"{i:08x}-d1e6b54c-8a4e0b0c-3f5d6c7e-{0xA0000000 + i:x}"
        name = f"files/p{str(subject)[:2]}/p{subject}/s{study}/{dicom}.jpg"
        part = ("train", "train", "validate", "test")[i // 6 % 4]
        picture(root / name, i)
        splits.append([dicom, study, subject, part])
        facts.append([dicom, subject, study, "CHEST (PA AND LAT)", ("PA", "LATERAL")[i % 2], 3056, 2544, 21800506,
                      213014.531, "CHEST (PA AND LAT)", "postero-anterior", "Erect"])  # fmt: skip
        states = _states(i // 2)
        if [subject, study, *states.values()] not in labels:
            labels.append([subject, study, *states.values()])
        truth[name] = _shown(states, uncertain=False), str(subject)
    table(root / "mimic-cxr-2.0.0-split.csv.gz", "dicom_id,study_id,subject_id,split", splits)
    table(root / "mimic-cxr-2.0.0-chexpert.csv.gz", "subject_id,study_id," + ",".join(CHEXPERT), labels)
    table(
        root / "mimic-cxr-2.0.0-metadata.csv.gz",
        "dicom_id,subject_id,study_id,PerformedProcedureStepDescription,ViewPosition,Rows,Columns,StudyDate,StudyTime,"
        "ProcedureCodeSequence_CodeMeaning,ViewCodeSequence_CodeMeaning,PatientOrientationCodeSequence_CodeMeaning",
        reversed(facts),
    )
    return truth


# -- PadChest (Bustos et al. 2020) ------------------------------------------------------------------------------------

PADCHEST_HEAD = (
    ",ImageID,ImageDir,StudyDate_DICOM,StudyID,PatientID,PatientBirth,PatientSex_DICOM,ViewPosition_DICOM,Projection,"
    "MethodProjection,Pediatric,Modality_DICOM,Manufacturer_DICOM,PhotometricInterpretation_DICOM,PixelRepresentation_"
    "DICOM,PixelAspectRatio_DICOM,SpatialResolution_DICOM,BitsStored_DICOM,WindowCenter_DICOM,WindowWidth_DICOM,Rows_"
    "DICOM,Columns_DICOM,XRayTubeCurrent_DICOM,Exposure_DICOM,ExposureInuAs_DICOM,ExposureTime,RelativeXRayExposure_"
    "DICOM,ReportID,Report,MethodLabel,Labels,Localizations,LabelsLocalizationsBySentence,labelCUIS,LocalizationsCUIS"
)
PADCHEST_LABELS = (
    "['normal']", "['cardiomegaly', 'pleural effusion']", "['pleural effusion', ' aortic elongation']",
    "['cardiomegaly', 'pacemaker', '']", "['unchanged', 'normal']",
)  # fmt: skip


def padchest(root: Path) -> Truth:
    truth: Truth = {}
    rows = []
    for i in range(40):
        who = f"{839860488694292331637988235681460987 + i // 2}"
        name = f"2168400763{i:03d}_{i:02d}-{i:03d}-{100 + i}.png"
        picture(root / str(i % 3) / name, i, depth=16 if "window" in OPTIONS else 8)
        said = PADCHEST_LABELS[i // 2 % len(PADCHEST_LABELS)]
        cells = dict.fromkeys(PADCHEST_HEAD.split(","), "")
        cells |= {"": i, "ImageID": name, "ImageDir": i % 3, "StudyID": who[:20], "PatientID": who, "Labels": said,
                  "PatientSex_DICOM": "MF"[i // 2 % 2], "Projection": ("PA", "L")[i % 2], "Report": "sin hallazgos , .",
                  "Localizations": "['loc cardiac', 'loc basal']", "labelCUIS": "['C0018800' 'C0032227']"}  # fmt: skip
        rows.append(cells.values())
        truth[f"{i % 3}/{name}"] = frozenset(n for n in ("cardiomegaly", "pleural effusion") if n in said), who
    table(root / "PADCHEST_chest_x_ray_images_labels_160K_01.02.19.csv", PADCHEST_HEAD, rows)
    return truth


# -- RSNA Pneumonia Detection 2018, SIIM-ACR Pneumothorax 2019 --------------------------------------------------------


def rsna(root: Path) -> Truth:
    truth: Truth = {}
    rows, details = [], []
    for i in range(36):
        who = f"{i:08x}-28f1-4b73-8c7b-0dc3d0e1f5a1"
        name = f"stage_2_train_images/{who}.dcm"
        film(root / name, i, patient=who, PatientSex="MF"[i % 2], ViewPosition=("AP", "PA")[i % 2])
        said = ("Lung Opacity", "No Lung Opacity / Not Normal", "Normal")[i % 3]
        boxes = 1 + i % 2 if i % 3 == 0 else 1
        for box in range(boxes):
            at = [264.0 + 300 * box, 152.0, 213.0, 379.0] if i % 3 == 0 else [""] * 4
            rows.append([who, *at, int(i % 3 == 0)])
            details.append([who, said])
        truth[name] = "Pneumonia" if i % 3 == 0 else "Normal", who
    table(root / "stage_2_train_labels.csv", "patientId,x,y,width,height,Target", rows)
    table(root / "stage_2_detailed_class_info.csv", "patientId,class", details)
    return truth


def siim(root: Path) -> Truth:
    truth: Truth = {}
    rows = []
    for i in range(36):
        uid, study = (
            f"1.2.276.0.7230010.3.1.4.8323329.{5597 + i}.1517875{i:03d}",
            f"1.2.276.0.7230010.3.1.2.8323329.{i}",
        )
        who = f"{i // 2:08x}-2be1-4b73-8c7b-0dc3d0e1f5a1"
        name = f"dicom-images-train/{study}/1.2.276.0.7230010.3.1.3.8323329.{i}/{uid}.dcm"
        film(root / name, i, uid=uid, patient=who, StudyInstanceUID=study)
        for k in range(2 if i % 4 == 0 else 1):
            mask = "175349 7 1013 12 " * (10_000 if i == 0 else 3) + f"{k} 1"
            rows.append([uid, f" {mask}" if i % 4 < 2 else " -1"])
        truth[name] = "Pneumothorax" if i % 4 < 2 else "No Finding", who
    rows.append(["1.2.276.0.7230010.3.1.4.8323329.99999.1517875999", " -1"])
    table(root / "train-rle.csv", "ImageId, EncodedPixels", rows)
    return truth


# -- HAM10000 (Tschandl et al. 2018), BreaKHis (Spanhol et al. 2016) --------------------------------------------------


def ham10000(root: Path) -> Truth:
    truth: Truth = {}
    rows = []
    for i in range(56):
        name, lesion = f"ISIC_{24306 + i:07d}", f"HAM_{i // 2:07d}"
        part = f"HAM10000_images_part_{1 + (i >= 28)}/{name}.jpg"
        picture(root / part, i, colour=True)
        kind = ("nv", "mel", "bkl", "bcc", "akiec", "vasc", "df")[i // 2 % 7]
        rows.append([lesion, name, kind, "histo", "" if i == 3 else 40.0 + i, ("male", "female")[i // 2 % 2], "back"])
        truth[part] = kind, lesion
    table(root / "HAM10000_metadata.csv", "lesion_id,image_id,dx,dx_type,age,sex,localization", rows)
    return truth


def breakhis(root: Path) -> Truth:
    truth: Truth = {}
    kinds = (("benign", "adenosis", "B_A"), ("malignant", "ductal_carcinoma", "M_DC"))
    for i in range(24):
        tumour, kind, code = kinds[i % 2]
        who = f"14-{22549 + i // 2}{('AB', '', 'CD')[i % 3]}"
        for zoom in ("40", "400"):
            slide = f"{tumour}/SOB/{kind}/SOB_{code}_{who}/{zoom}X"
            for n in (1, 2):
                name = f"{slide}/SOB_{code}-{who}-{zoom}-{n:03d}.png"
                picture(root / "histology_slides/breast" / name, 100 * i + n + len(zoom), colour=True)
                if zoom == "40":
                    truth[f"histology_slides/breast/{name}"] = tumour, who
    return truth


LAYOUTS: dict[str, Callable[[Path], Truth]] = {
    "chexpert": chexpert,
    "mimic-cxr-jpg": mimic,
    "padchest": padchest,
    "rsna": rsna,
    "siim": siim,
    "ham10000": ham10000,
    "breakhis": breakhis,
}
"""By the folder that the pages call each."""
