"""Which folders and files hold masks, overlays and the like by their names: they are no films."""

from __future__ import annotations

import re
from collections.abc import Sequence

from data.films.words import words_of

MASKS = frozenset({
    "mask", "masks", "segmentation", "segmentations", "seg", "segs", "groundtruth", "groundtruths", "gt", "label",
    "labels", "annotation", "annotations", "contour", "contours", "heatmap", "heatmaps", "overlay", "overlays",
    # Spanish, Portuguese, French, Italian, German, Dutch, Polish, Russian, Chinese, Japanese, Korean
    "mascara", "mascaras", "etiqueta", "etiquetas", "anotaciones", "segmentacion", "segmentaciones", "anotacoes",
    "segmentacao", "segmentacoes", "masque", "masques", "etiquettes", "maschera", "maschere", "etichette",
    "annotazioni", "segmentazione", "segmentazioni", "maske", "masken", "segmentierung", "segmentierungen", "masker",
    "maskers", "maska", "maski", "маска", "маски", "разметка", "сегментация", "掩码", "掩膜", "标注", "标签", "マスク",
    "마스크",
})  # fmt: skip
GROUND_TRUTH = re.compile(r"ground[ _-]?truth")
MASK_WORD = re.compile("|".join([*sorted(MASKS), "truth"]), re.IGNORECASE)  # a first look, which is quick
MASK_FILE = re.compile(rf"(?P<of>.+?)[ _.-]*({'|'.join(sorted(MASKS))}|ground[ _-]?truth)([ _.-]?\d+)?", re.IGNORECASE)


def is_mask_folder(name: str, *, inside_a_class: bool) -> bool:
    """Whether a folder holds masks: `masks`, `lung masks`, `ground_truth`.

    Parameters
    ----------
    inside_a_class
        There the last word decides; in the place of a class (`with_mask`, `label_0`) all words must.
    """
    words = _words(name)
    if not inside_a_class:
        return bool(words) and all(word in MASKS for word in words)
    named = [word for word in words if not word.isdigit()]
    return bool(named) and named[-1] in MASKS


def speaks_of_masks(name: str) -> bool:
    """Whether any word of a folder's name says masks: `HAM_segmentations_part`."""
    return any(word in MASKS for word in _words(name))


def masked(stem: str) -> str | None:
    """The film, or the folder, that masks lying beside it belong to: `benign (1)` of `benign (1)_mask_2`."""
    found = MASK_FILE.fullmatch(stem) if MASK_WORD.search(stem) else None
    return found["of"] if found else None


def masks_among(files: Sequence[str]) -> list[bool]:
    """Which files of a tree are masks, whatever its folders stand for.

    Those in a folder `masks`; those in a folder whose last word says so (`lung_masks`, but also a class `with_mask`)
    if a film elsewhere has their name; and `x_mask.png` beside `x.png`.

    Parameters
    ----------
    files
        Paths below one folder, with slashes.
    """
    paths = [file.rpartition("/")[::2] for file in files]
    folders = {folder: folder.split("/") if folder else [] for folder, _ in paths}
    parts = {part for of in folders.values() for part in of}
    all_words = {part for part in parts if is_mask_folder(part, inside_a_class=False)}
    last_word = {part for part in parts if is_mask_folder(part, inside_a_class=True)}
    sure = {folder for folder, of in folders.items() if not all_words.isdisjoint(of)}
    likely = {folder for folder, of in folders.items() if not last_word.isdisjoint(of)}
    stems = [name.rpartition(".")[0] or name for _, name in paths]
    there = {(folder, stem) for (folder, _), stem in zip(paths, stems, strict=True)}
    films = {stem for folder, stem in there if folder not in likely}
    return [
        folder in sure
        or (folder in likely and (stem in films or masked(stem) in films))
        or (folder, masked(stem)) in there
        for (folder, _), stem in zip(paths, stems, strict=True)
    ]


def _words(name: str) -> list[str]:
    return words_of(GROUND_TRUTH.sub("groundtruth", name.lower()))
