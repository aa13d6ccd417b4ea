"""What a folder's name says of it: a split, a mere container, a copy, people, or nothing."""

from __future__ import annotations

import re
from collections.abc import Collection

from data.datasets.folder.container_words import CONTAINERS, SPLITS
from data.films.masks import MASKS
from data.films.words import words_of
from data.images import Split
from data.splits.words import SPLIT_WORDS

NUMBERED = frozenset({
    "part", "fold", "batch", "chunk", "shard", "split", "set", "subset", "folder", "dir", "volume", "vol", "disk",
    "disc", "archive", "box", "client", "site", "hospital", "center", "centre", "institution", "patient", "patients",
    "pat", "sub", "subject", "subj", "case", "study", "series", "session", "visit", "id", "mrn", "cv", "run", "round",
    "trial", "epoch", "iter", "kfold", "paciente", "pacientes", "paziente", "patiente", "patientin",
})  # fmt: skip
"""Words that, with a number after them, count pieces or people."""
BESIDE = frozenset({
    "set", "sets", "dir", "folder", "folders", "new", "all", "only", "final", "full", "the", "of", "and",
})  # fmt: skip
"""Words that add nothing to the others."""
SIZE = re.compile(r"\d+ ?(px|p)?( ?x ?\d+( ?px)?|px)", re.IGNORECASE)
DATE = re.compile(r"(19|20)\d\d[-_.]?[01]\d[-_.]?[0-3]\d")
MAGNIFIED = re.compile(r"\d+ ?x", re.IGNORECASE)
CODE = re.compile(
    r"\d+(\.\d+){3,}|\{?[0-9a-f]{8,}(-[0-9a-f]+)*\}?|[a-z]{2,}(-[a-z0-9]{2,})+-(?=\d*[a-z]*\d)[a-z0-9]{4,}",
    re.IGNORECASE,
)
COPY = re.compile(
    r"(?P<before>(copy|copies|kopie|copie|copia) (of|von|de|di) )?(?P<of>.+?)"
    r"(?P<after>[ _.-]*(copy|kopie|copie|copia|backup|bak|augmented|aug|resized|cropped|preprocessed|processed|"
    r"enhanced|thumbs|thumbnails|\(\d+\)|~)[ _.-]*\d*)?",
    re.IGNORECASE,
)
PEOPLE = frozenset({"patient", "patients", "pat", "sub", "subject", "subj", "case", "study", "visit", "id", "mrn"})
SERIES = re.compile(r"(\D*)\d{3,}")
LONG_SERIES = re.compile(r"(|.*\D)\d{4,}")
SHORT_SERIES = re.compile(r"(p|pt|px|pz|pac|paz)[ _-]?\d+", re.IGNORECASE)
N_MANY = 10  # folders side by side inside classes: more than there are kinds of anything
N_SERIES = 5  # folders of one word and a long number: people or pieces, no classes


def split_of(name: str) -> Split | None:
    """The split that a folder is named after."""
    return SPLIT_WORDS.get(name.strip().lower())


def is_container(name: str) -> bool:
    """Whether a folder says by its name that it holds images, not of which class.

    `images`, `train_images`, `images_001`, `Original Images`, `part1`, `fold_2`, `patient00007`, `testA`, `256x256`,
    `2019-01-31`, `imágenes`, `eval`; never a bare number or letter, and never `train` itself, which is a split.
    """
    if SIZE.fullmatch(name.strip()) or DATE.fullmatch(name.strip()):
        return True
    words = words_of(name)
    plain = [word for word in words if not _is_number(word)]
    counted = len(plain) < len(words)
    if not plain or split_of(name) is not None or (counted and plain == ["label"]):
        return False
    known = [word for word in plain if word not in BESIDE]
    if known and all(word in CONTAINERS or word in MASKS or word in SPLIT_WORDS or word in SPLITS for word in known):
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
        words = words_of(name)
        form = tuple(
            "*" if word in SPLIT_WORDS or (before in NUMBERED | CONTAINERS and _is_number(word)) else word
            for before, word in zip(["", *words], words, strict=False)
        )
        if "*" in form and form != ("*",):
            alike.setdefault(form, []).append(name)
    return [name for of_form in alike.values() if len(of_form) > 1 for name in of_form]


def is_series(names: Collection[str]) -> bool:
    """Whether folders are one a patient, or one a study, by how they are counted.

    Five or more with numbers of three digits, all after one word, or called `P1`, `pt_2`; two or more with numbers of
    four digits; two or more that are instance UIDs or hashes, or codes of one kind (`TCGA-A2-A0CM`).
    """
    if len(names) > 1 and all(map(CODE.fullmatch, names)):
        return True
    long = [LONG_SERIES.fullmatch(name) for name in names]
    if len(names) > 1 and all(long) and len({match[1] for match in long if match}) == 1:
        return True
    if len(names) < N_SERIES:
        return False
    found = [SERIES.fullmatch(name) for name in names]
    counted = all(found) and len({match[1] for match in found if match}) == 1
    return counted or all(map(SHORT_SERIES.fullmatch, names))


def copied(name: str) -> str | None:
    """The folder that one of this name is a copy of, if it lies beside: `benign` of `benign - Copy`, `benign_aug`."""
    found = COPY.fullmatch(name.strip())
    return found["of"] if found and (found["before"] or found["after"]) else None


def is_split_elsewhere(name: str) -> bool:
    """Whether a folder is called by a word for a split that is not read as one: `entrenamiento`, `eval`."""
    return any(word in SPLITS for word in words_of(name))


def is_magnification(name: str) -> bool:
    """`40X`, `400x`: how an image was taken, not what it shows."""
    return MAGNIFIED.fullmatch(name.strip()) is not None


def are_people(names: Collection[str]) -> bool:
    """Whether folders may stand for patients or their studies: `patient1`, `study2`; or a long row of any."""
    words = [words_of(name) for name in names]
    counted = [len(of) > 1 and of[0] in PEOPLE and any(map(_is_number, of[1:])) for of in words]
    return len(names) > 1 and (all(counted) or is_series(names) or len(names) >= N_MANY)


def _is_number(word: str) -> bool:
    """A number or a letter."""
    return word.isdigit() or len(word) == 1
