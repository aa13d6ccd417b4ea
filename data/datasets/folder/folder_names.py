"""What a folder's or a file's name says of it: a split, a mere container, masks, or nothing."""

from __future__ import annotations

import re
from collections.abc import Collection

from data.images import Split
from data.splits.words import SPLIT_WORDS

CONTAINERS = frozenset({
    "image", "images", "img", "imgs", "picture", "pictures", "pic", "pics", "photo", "photos", "film", "films", "frame",
    "frames", "slice", "slices", "scan", "scans", "data", "dataset", "datasets", "file", "files", "raw", "png", "pngs",
    "jpg", "jpgs", "jpeg", "jpegs", "bmp", "tif", "tiff", "tiffs", "dcm", "dicom", "dicoms", "input", "inputs",
    "output", "outputs", "original", "originals", "augmented", "augmentation", "preprocessed", "processed", "resized",
    "cropped", "trainset", "testset", "valset", "trainval", "traindata", "testdata", "valdata", "unlabeled",
    "unlabelled", "thumbnails", "thumbs", "pred", "preds", "prediction", "predictions",
})  # fmt: skip
"""Words that say that images are there, not which."""
MASKS = frozenset({
    "mask", "masks", "segmentation", "segmentations", "seg", "segs", "groundtruth", "gt", "label", "labels",
    "annotation", "annotations", "contour", "contours",
    "heatmap", "heatmaps", "overlay", "overlays",
})  # fmt: skip
NUMBERED = frozenset({
    "part", "fold", "batch", "chunk", "shard", "split", "set", "subset", "folder", "dir", "volume", "vol", "disk",
    "disc", "archive", "box", "client", "site", "hospital", "center", "centre", "institution", "patient", "patients",
    "pat", "sub", "subject", "subj", "case", "study", "series", "session", "visit", "id", "mrn",
})  # fmt: skip
"""Words that, with a number after them, count pieces or people."""
BESIDE = frozenset({
    "set", "sets", "dir", "folder", "folders", "new", "all", "only", "final", "full", "the", "of", "and",
})  # fmt: skip
"""Words that add nothing to the others."""
MASK_FILE = re.compile(
    r"(?P<of>.+?)[ _.-]*(masks?|segs?|segmentations?|ground[ _-]?truth|gt|annotations?|labels?)([ _.-]?\d+)?",
    re.IGNORECASE,
)
SIZE = re.compile(r"\d+ ?(px|p)?( ?x ?\d+( ?px)?|px)", re.IGNORECASE)
DATE = re.compile(r"(19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d")
MAGNIFIED = re.compile(r"\d+ ?x", re.IGNORECASE)
PEOPLE = frozenset({"patient", "patients", "pat", "sub", "subject", "subj", "case", "study", "visit", "id", "mrn"})
SERIES = re.compile(r"(\D*)\d{3,}")
N_MANY = 10  # folders side by side inside classes: more than there are kinds of anything
N_SERIES = 5  # folders of one word and a long number: people or pieces, no classes


def split_of(name: str) -> Split | None:
    """The split that a folder is named after."""
    return SPLIT_WORDS.get(name.strip().lower())


def is_container(name: str) -> bool:
    """Whether a folder says by its name that it holds images, not of which class.

    `images`, `train_images`, `images_001`, `Original Images`, `part1`, `fold_2`, `patient00007`, `testA`, `256x256`,
    `2019-01-31`; never a bare
    number or letter, and never `train` itself, which is a split.
    """
    if SIZE.fullmatch(name.strip()) or DATE.fullmatch(name.strip()):
        return True
    words = _words(name)
    plain = [word for word in words if not _is_number(word)]
    counted = len(plain) < len(words)
    if not plain or split_of(name) is not None or (counted and plain == ["label"]):
        return False
    known = [word for word in plain if word not in BESIDE]
    if known and all(word in CONTAINERS or word in MASKS or word in SPLIT_WORDS for word in known):
        bare_split = all(word in SPLIT_WORDS for word in known) and known == plain
        return counted or not bare_split
    return counted and all(word in NUMBERED or word in CONTAINERS or word in SPLIT_WORDS for word in plain)


def pieces_of_one(names: Collection[str]) -> list[str]:
    """Folders whose names differ in a split word, or in the number of a piece, alone.

    `HAM_images_part_1` and `HAM_images_part_2`, `ISIC_Training_Input` and `ISIC_Test_Input`; not `stage_1` and
    `stage_2`.
    """
    alike: dict[tuple[str, ...], list[str]] = {}
    for name in names:
        words = _words(name)
        form = tuple(
            "*" if word in SPLIT_WORDS or (before in NUMBERED | CONTAINERS and _is_number(word)) else word
            for before, word in zip(["", *words], words, strict=False)
        )
        if "*" in form and form != ("*",):
            alike.setdefault(form, []).append(name)
    return [name for of_form in alike.values() if len(of_form) > 1 for name in of_form]


def is_mask_folder(name: str, *, inside_a_class: bool) -> bool:
    """Whether a folder holds masks: `masks`, `lung masks`, `ground_truth`.

    Parameters
    ----------
    inside_a_class
        There the last word decides; in the place of a class (`with_mask`, `label_0`) all words must.
    """
    words = _words(re.sub(r"ground[ _-]?truth", "gt", name.lower()))
    if not inside_a_class:
        return bool(words) and all(word in MASKS for word in words)
    named = [word for word in words if not word.isdigit()]
    return bool(named) and named[-1] in MASKS


def masked(stem: str) -> str | None:
    """The film, or the folder, that masks lying beside it belong to: `benign (1)` of `benign (1)_mask_2`."""
    found = MASK_FILE.fullmatch(stem)
    return found["of"] if found else None


def is_series(names: Collection[str]) -> bool:
    """Whether folders are counted with three digits or more, all after one word: one a patient, or one a study."""
    found = [SERIES.fullmatch(name) for name in names]
    return len(found) >= N_SERIES and all(found) and len({match[1] for match in found if match}) == 1


def is_magnification(name: str) -> bool:
    """`40X`, `400x`: how an image was taken, not what it shows."""
    return MAGNIFIED.fullmatch(name.strip()) is not None


def are_people(names: Collection[str]) -> bool:
    """Whether folders may stand for patients or their studies: `patient1`, `study2`; or a long row of any."""
    words = [_words(name) for name in names]
    counted = [len(of) > 1 and of[0] in PEOPLE and any(map(_is_number, of[1:])) for of in words]
    return len(names) > 1 and (all(counted) or is_series(names) or len(names) >= N_MANY)


def _is_number(word: str) -> bool:
    """A number or a letter."""
    return word.isdigit() or len(word) == 1


def _words(name: str) -> list[str]:
    """`trainImages_01` -> train, images, 01."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return [word.lower() for word in re.findall(r"[^\W\d_]+|\d+", apart)]
