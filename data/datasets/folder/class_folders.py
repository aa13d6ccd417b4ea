"""Which folders are classes: CLASS/**/image or SPLIT/CLASS/**/image, and what is refused because it only looks so."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from data.datasets.folder.folder_names import (
    are_people,
    copied,
    is_container,
    is_magnification,
    is_series,
    is_split_elsewhere,
    pieces_of_one,
    split_of,
)
from data.datasets.folder.other_files import other_kinds
from data.datasets.folder.rows import TABLE_NAMES, Rows, is_image
from data.datasets.folder.tables_beside import name_tables, tables_beside
from data.datasets.folder.tree import hidden_folders, list_folder, subfolders, walk
from data.films.dataset import stat_films
from data.films.masks import is_mask_folder, masked
from data.images import Split
from synthworth.errors import UserError

N_NAMED = 4
NOTHING = f"neither class folders with images nor {' nor '.join(TABLE_NAMES)}"

Wanted = Callable[[Path], bool]


@dataclass
class _Found:
    """What was met on the way: class folders with their films, and counts of what was left out."""

    root: Path
    wanted: Wanted
    declared: Collection[str]
    files: list[Path] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    splits: list[str] = field(default_factory=list)
    n_hidden: int = 0
    n_masks: int = 0
    loose: list[Path] = field(default_factory=list)
    beside: dict[str, int] = field(default_factory=dict)
    inner: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    levels: defaultdict[int, set[str]] = field(default_factory=lambda: defaultdict(set))

    def said(self) -> dict[str, Any]:
        """Notes on it; empty where every file is an image of a class."""
        counts = {
            "images in hidden folders, left out": self.n_hidden,
            "masks, left out": self.n_masks,
            "images in no class folder, left out": len(self.loose),
        }
        notes: dict[str, Any] = {name: n for name, n in counts.items() if n}
        if self.beside:
            notes["folders beside the splits, left out"] = ", ".join(
                f"{k} ({n} images)" for k, n in self.beside.items()
            )
        people = next((names for _, names in sorted(self.levels.items()) if are_people(names)), set())
        told = {name: sorted(subs - people - {""}) for name, subs in self.inner.items()}
        deeper = [
            f"{name}/{sub}"
            for name, subs in told.items()
            if len(subs) > 1 or ("" in self.inner[name] and any(map(_is_plain, subs)))
            for sub in subs
        ]
        if deeper:
            notes["folders inside classes, not told apart"] = _named(deeper)
        if people:
            notes["folders inside classes that may be patients (--data.patient-pattern)"] = _named(sorted(people))
        if tables := tables_beside(self.root, depth=2):
            notes["tables that lie beside and are not read (--data.table)"] = name_tables(tables, self.root)
        return notes


def rows_of_folders(
    root: Path,
    *,
    declared: Collection[str] = (),
    wanted: Wanted = is_image,
    nothing: str = NOTHING,
    refuse_loose: bool = False,
) -> Rows:
    """The images in class folders, with or without split folders above them; names are paths below `root`.

    Hidden folders are skipped at any depth and masks are left out; both are counted in `Rows.said`, beside images in no
    class folder, folders beside the splits, and tables that are not read.

    Parameters
    ----------
    declared
        Names that are classes whatever they look like (`--data.classes`).
    wanted
        Whether a file is a film.
    nothing
        What is said of a folder that holds none.
    refuse_loose
        Refuse a film that lies in no class folder, in place of counting it.

    Raises
    ------
    UserError
        When there is no class folder or one without an image; for folders that are containers, parts, patients, masks
        or splits by their names; for split words that do not make up splits; for splits inside the classes.
    """
    found = _Found(root, wanted, declared)
    tops = subfolders(root)
    found.n_hidden += sum(len(walk(folder, wanted).files) for folder in hidden_folders(root))
    bases = _splits_among(tops, found)
    _refuse_containers({base: subfolders(base) for base in bases} if bases else {root: tops}, found)
    for base in bases or [root]:
        _take_classes(base, found, split=base.name if bases else "")
    if not found.files:
        _refuse(root, f"{root} holds {nothing}", found)
    if len(set(found.labels)) == 1 and not declared:
        what = f"{root}: 1 class found ({found.labels[0]}); two are needed to tell anything apart"
        _refuse(root, what, found)
    if refuse_loose and found.loose:
        raise UserError(f"{found.loose[0]} lies in no class folder; put it into one, or name the films in a table")
    start = len(root.parts)
    ids = ["/".join(file.parts[start:]) for file in found.files]
    splits = found.splits if bases else None
    return Rows(ids, found.files, found.labels, splits, None, [], stat_films(found.files), found.said())


# -- splits ---------------------------------------------------------------------------------------------------------


def _splits_among(tops: Sequence[Path], found: _Found) -> list[Path]:
    """The split folders, where there are some that make up splits; none where all folders are classes."""
    root = found.root
    splits = {top: split for top in tops if (split := split_of(top.name)) and top.name not in found.declared}
    if not splits:
        return []
    given = set(splits.values())
    others = {top: n for top in tops if top not in splits and (n := len(walk(top, found.wanted).files))}
    names = _named([top.name for top in splits])
    if Split.train in given and given & {Split.val, Split.test}:
        if Split.test not in given and others:
            raise UserError(
                f"no image is in the test split: {root} holds {names}, and beside them "
                f"{_named([top.name for top in others])}. If one of these is the test, call it test; if not, move them "
                "away, and val is the test"
            )
        found.beside = {top.name: n for top, n in others.items()}
        return list(splits)
    if others:
        _refuse(
            root,
            f"{root} holds {names}, a split by its name, beside {_named([top.name for top in others])}, and no train "
            "with val or test. If it is a class, declare all classes; if not, move it away",
            found,
            classes=[top.name for top in (*splits, *others)],
        )
    if len(splits) == 1 and Split.train in given:
        raise UserError(
            f"{root} holds the split folder {names} alone: no image is in the test split. To have its patients split, "
            f"point --data.path at {next(iter(splits))}"
        )
    missing = "train" if Split.train not in given else "test"
    raise UserError(
        f"no image is in the {missing} split: {root} holds the split folders {names}. Name the folders train, val and "
        "test; val is drawn from train where it is missing, and val is the test where test is"
    )


# -- what is no class -----------------------------------------------------------------------------------------------


def _refuse_containers(bases: Mapping[Path, Sequence[Path]], found: _Found) -> None:
    """Folders in the place of classes that are none, over all splits together."""
    tops = [top for of_base in bases.values() for top in of_base if top.name not in found.declared]
    pieces = pieces_of_one({top.name for top in tops})
    odd = [top for top in tops if is_container(top.name) or split_of(top.name) or top.name in pieces]
    names = list(dict.fromkeys(top.name for top in tops))
    if len(odd) == len(tops) or any(not is_mask_folder(top.name, inside_a_class=False) for top in odd):
        odd_names = list(dict.fromkeys(top.name for top in odd))
    else:
        odd_names = []  # masks beside classes are left out and counted
    if odd_names:
        _refuse(
            found.root,
            f"{_where(found.root, bases)} {_named(odd_names)}, no class{'es' if len(odd_names) > 1 else ''} by "
            f"{'their names' if len(odd_names) > 1 else 'its name'}",
            found,
            classes=names,
            inside=odd,
        )
    beside = {name.casefold() for name in names}
    copies = [name for name in names if (of := copied(name)) and of.strip().casefold() in beside]
    if copies:
        what = f"{_where(found.root, bases)} {_named(copies)} beside {_named([str(copied(name)) for name in copies])}"
        _refuse(found.root, f"{what}, as a copy is. Move it away", found, classes=names)
    if is_series(names):
        what = f"{_where(found.root, bases)} {len(names)} numbered folders ({_named(names)}): one a patient, it seems"
        _refuse(found.root, f"{what}, not one a class", found, classes=names)
    subs = {
        top: {sub.name for sub in subfolders(top) if not (_is_plain(sub.name) or is_magnification(sub.name))}
        for top in tops
        if not _is_masks(top, found)
    }
    _refuse_inside_out(bases, subs, found)


def _refuse_inside_out(bases: Mapping[Path, Sequence[Path]], subs: Mapping[Path, set[str]], found: _Found) -> None:
    """Splits inside classes, one folder around all, a copy of its neighbours, and the same folders inside each."""
    names, where = list(dict.fromkeys(top.name for top in subs)), _where(found.root, bases)
    words = sorted({sub for inner in subs.values() for sub in inner if split_of(sub)})
    if Split.train in map(split_of, words):
        way = "SPLIT/CLASS is read, not CLASS/SPLIT: move them, or name the images in a table with a split column"
        whole = [
            top for top, inner in subs.items() if any(split_of(sub) and _holds_classes(top / sub) for sub in inner)
        ]
        if len(subs) == 1 or whole:
            way = f"Point --data.path at {[*whole, *subs][0]}"
        raise UserError(f"{where} {_named(names)}, and splits lie inside ({_named(words)}). {way}")
    union = sorted(set().union(*subs.values()))
    if len(names) == 1 and len(union) > 1:
        what = f"{where} one folder, {names[0]}, with {_named(union)} inside"
        _refuse(found.root, what, found, inside=list(subs))
    copies = [top for top, inner in subs.items() if len(inner & set(names)) > 1]
    if copies:
        what = f"{where} {copies[0].name}, with folders inside that are called as those beside it ({_named(names)})"
        _refuse(found.root, f"{what}, as a copy is. Move it away, or take it alone", found, inside=copies)
    everywhere = all(sum(sub in inner for inner in subs.values()) * 2 > len(subs) for sub in union)
    same = len(set(map(frozenset, subs.values()))) == 1
    if len(union) > 1 and all(subs.values()) and everywhere and (same or len(names) > max(2, len(union))):
        what = f"{where} {len(names)} folders ({_named(names)}), and each holds {_named(union)}"
        _refuse(found.root, f"{what}: which of the two are the classes is not said", found, classes=names)


def _is_plain(name: str) -> bool:
    """A folder inside a class that is not worth a word: a container, or masks."""
    return is_container(name) or is_mask_folder(name, inside_a_class=True)


def _holds_classes(folder: Path) -> bool:
    return sum(not _is_plain(sub.name) for sub in subfolders(folder)) > 1


def _where(root: Path, bases: Mapping[Path, Sequence[Path]]) -> str:
    if list(bases) == [root]:
        return f"{root} holds"
    return f"{root}, in {_named([base.name for base in bases])}, holds"


def _refuse(
    root: Path, what: str, found: _Found, *, classes: Sequence[str] = (), inside: Sequence[Path] = ()
) -> NoReturn:
    """Say what was found and every way out that there is."""
    advice = []
    tables = tables_beside(root, depth=2)
    if tables:
        lies, it = ("lies", "it") if len(tables) == 1 else ("lie", "one")
        advice.append(f"{name_tables(tables, root)} {lies} beside: name {it} by --data.table")
    below = {top: [sub.name for sub in subfolders(top) if not _is_plain(sub.name)] for top in inside}
    full = [top for top, subs in below.items() if len(subs) > 1]
    if any(is_split_elsewhere(top.name) for top in inside):
        advice.append("folders of splits are called train, val and test here: rename them")
    elif full and all(split_of(sub) for top in full for sub in below[top]):
        said = f"splits lie inside {_named([top.name for top in full])}"
        advice.append(f"{said}: with classes in them, point --data.path at {full[0]}")
    elif len(full) == 1:
        advice.append(f"{full[0].name} holds {_named(below[full[0]])}: point --data.path at {full[0]}")
    elif full:
        lie = sorted(set().union(*below.values()))
        advice.append(f"inside lie {_named(lie)}: bring each together in one folder a class")
    if not advice:
        advice.append(
            "put the images into one folder a class, name them in a table (--data.table), or find the class in their "
            "paths (--data.label-pattern)"
        )
    if len(classes) > 1:
        declared = f"--data.classes {' '.join(map(_quoted, classes))}"
        said = declared if len(classes) <= N_NAMED * 2 else "declare all of them by --data.classes"
        advice.append(f"if these are classes, {said}")
    raise UserError(f"{what}. To go on: {'; '.join(advice)}")


# -- the images of a class ------------------------------------------------------------------------------------------


def _take_classes(base: Path, found: _Found, *, split: str) -> None:
    """The images of each class folder in `base`."""
    loose = sorted(path for entry in list_folder(base) if (path := Path(entry.path)).is_file() and found.wanted(path))
    found.loose += loose
    if split:
        found.n_hidden += sum(len(walk(folder, found.wanted).files) for folder in hidden_folders(base))
    folders = subfolders(base)
    if split and not folders:
        what = f"{base} holds {len(loose)} images and no class folder: their labels are not known"
        _refuse(found.root, f"{what}. Sort them into classes, or take {base.name} away", found)
    for folder in folders:
        tree = walk(folder, found.wanted)
        found.n_hidden += tree.n_hidden
        if _is_masks(folder, found):
            found.n_masks += len(tree.files)
            continue
        films = _without_masks(tree.files, folder)
        found.n_masks += len(tree.files) - len(films)
        if not films:
            kinds = other_kinds(folder)
            what = "masks alone" if tree.files else f"no image{f', but other files: {kinds}' if kinds else ''}"
            raise UserError(f"class folder {folder} holds {what}; put images into it, or take it away")
        for parent in set(map(os.path.dirname, films)):
            parts = Path(parent).relative_to(folder).parts
            found.inner[folder.name].add(parts[0] if parts else "")
            for depth, name in enumerate(parts):
                found.levels[depth].add(name)
        found.files += films
        found.labels += [folder.name] * len(films)
        found.splits += [split] * len(films)


def _is_masks(folder: Path, found: _Found) -> bool:
    """Whether a folder in the place of a class holds masks: `masks`, or `benign_mask` beside `benign`."""
    if folder.name in found.declared:
        return False
    of = masked(folder.name)
    return is_mask_folder(folder.name, inside_a_class=False) or (of is not None and (folder.parent / of).is_dir())


def _without_masks(files: Sequence[Path], folder: Path) -> list[Path]:
    """The files that are no mask: by a folder's name on the way, or by that of a film which lies beside."""
    parents = list(map(os.path.dirname, files))
    of_masks = {
        parent: any(is_mask_folder(part, inside_a_class=True) for part in Path(parent).relative_to(folder).parts)
        for parent in set(parents)
    }
    stems = [file.stem for file in files]
    there = set(zip(parents, stems, strict=True))
    return [
        file
        for file, parent, stem in zip(files, parents, stems, strict=True)
        if not of_masks[parent] and ((of := masked(stem)) is None or (parent, of) not in there)
    ]


def _named(names: Sequence[str]) -> str:
    more = f", ... ({len(names)} in all)" if len(names) > N_NAMED else ""
    return f"{', '.join(names[:N_NAMED])}{more}"


def _quoted(name: str) -> str:
    return repr(name) if " " in name else name
