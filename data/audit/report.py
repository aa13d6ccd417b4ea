"""The whole audit of a dataset's splits: everything that a reader of its results must know, in one object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from data.audit.duplicates import CONSTANT_STD, THRESHOLD, NearDuplicates, describe, near_duplicates
from data.audit.leaks import AuditReport, DuplicateGroup, audit
from data.audit.seen import OF_PIXELS, shortcuts_seen
from data.audit.shortcuts import TOGETHER, Shortcut, measure_shortcuts
from data.images import ImageSet, Split
from data.splits.leaks import N_EXAMPLES


@dataclass(frozen=True)
class DatasetAudit:
    """What was found; see `audit_dataset`.

    Parameters
    ----------
    classes
        Names of the classes or findings.
    multilabel
        Whether findings co-occur.
    leaks
        Counts, shared ids and patients, groups of equal pixels.
    together : by split, int64 (K, K)
        Films with both findings (on the diagonal: with the finding); empty where an image has one class.
    without_finding : by split
        Films with none of the findings; empty where an image has one class.
    near
        Near duplicates across splits.
    constant : by split
        Names of films that show nothing.
    shortcuts
        AUROC of attributes alone.
    seen
        AUROC of what can be seen of a film at a glance: file mode, format and size, border, mean grey.
    attributes : by name and split
        Films by value (of up to 20 values).
    skipped
        Films left out at preparation: id, split, reason.
    notes
        The other notes of the preparation.
    """

    classes: tuple[str, ...]
    multilabel: bool
    leaks: AuditReport
    together: Mapping[str, np.ndarray]
    without_finding: Mapping[str, int]
    near: NearDuplicates
    constant: Mapping[str, tuple[str, ...]]
    shortcuts: tuple[Shortcut, ...]
    attributes: Mapping[str, Mapping[str, Mapping[str, int]]]
    seen: tuple[Shortcut, ...] = ()
    skipped: tuple[Mapping[str, Any], ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)

    @property
    def filed_twice(self) -> tuple[DuplicateGroup, ...]:
        """Groups of equal films that are filed under more than one patient: a patient split may tear them apart.

        None where patients are not known.
        """
        if self.leaks.known.unknown:
            return ()
        return tuple(group for group in self.leaks.duplicates if group.patients > 1)

    @property
    def told(self) -> tuple[Shortcut, ...]:
        """Notable shortcuts: of single attributes, and of all together where none tells the class by itself."""
        single = [s for s in self.shortcuts if s.notable and s.attribute != TOGETHER]
        told = {s.class_name for s in single}
        joint = [s for s in self.shortcuts if s.notable and s.attribute == TOGETHER and s.class_name not in told]
        return (*single, *joint)

    def warnings(self) -> tuple[str, ...]:
        """One line for each kind of finding; empty when nothing was found."""
        lines = list(self.leaks.warnings())
        if self.filed_twice:
            name = ":".join(self.filed_twice[0].members[0])
            lines.append(f"groups of equal films under several patients: {len(self.filed_twice)}, first {name}")
        near = self.near
        if near.n_pairs:
            best = near.pairs[0]
            what = f"{':'.join(best.first)} ~ {':'.join(best.second)} ({best.similarity:.3f})"
            lines.append(f"near duplicates across splits: {near.n_pairs}, first {what}")
        if near.conflicts:
            lines.append(f"near duplicates with different labels: {len(near.conflicts)}")
        for split, names in self.constant.items():
            if names:
                lines.append(f"constant films in {split}: {len(names)}, first {names[0]}")
        if self.skipped:
            first = self.skipped[0]
            lines.append(f"films left out at preparation: {len(self.skipped)}, first {first['id']}: {first['reason']}")
        for shortcut in self.told:
            what = "attributes together tell" if shortcut.attribute == TOGETHER else f"{shortcut.attribute} alone tells"
            interval = f"[{shortcut.low:.3f}, {shortcut.high:.3f}]"
            lines.append(f"{what} {shortcut.class_name}: AUROC {shortcut.auroc:.3f} {interval}")
        lines += [_at_a_glance(shortcut) for shortcut in self.seen if shortcut.notable]
        return tuple(lines)

    def to_json(self) -> dict[str, Any]:
        """Everything in plain JSON values: counts in full, and up to 20 examples of each finding."""
        return {
            "classes": list(self.classes),
            "multilabel": self.multilabel,
            **self.leaks.to_json(),
            "n_duplicate_groups_of_several_patients": None if self.leaks.known.unknown else len(self.filed_twice),
            "co_occurrence": {split: matrix.tolist() for split, matrix in self.together.items()},
            "without_finding": dict(self.without_finding),
            "near_duplicates": self.near.to_json(),
            "n_constant": {split: len(names) for split, names in self.constant.items()},
            "constant": {split: list(names[:N_EXAMPLES]) for split, names in self.constant.items()},
            "constant_below_std": CONSTANT_STD,
            "attributes": {name: {s: dict(n) for s, n in by.items()} for name, by in self.attributes.items()},
            "shortcuts": [shortcut.to_json() for shortcut in self.shortcuts],
            "seen": [shortcut.to_json() for shortcut in self.seen],
            "n_skipped": len(self.skipped),
            "skipped": [dict(skip) for skip in self.skipped[:N_EXAMPLES]],
            "notes": dict(self.notes),
            "warnings": list(self.warnings()),
        }


def _at_a_glance(shortcut: Shortcut) -> str:
    doubt = " (it may be the disease or the machine)" if shortcut.attribute in OF_PIXELS else ""
    interval = f"[{shortcut.low:.3f}, {shortcut.high:.3f}]"
    return f"{shortcut.attribute} alone tells {shortcut.class_name}: AUROC {shortcut.auroc:.3f} {interval}{doubt}"


def audit_dataset(
    sets: Mapping[Split, ImageSet],
    *,
    dataset: Any = None,
    notes: Mapping[str, Any] | None = None,
    threshold: float = THRESHOLD,
    n_replicates: int = 500,
    seed: int = 0,
) -> DatasetAudit:
    """Audit every split of a dataset. Nothing is refused here.

    Parameters
    ----------
    dataset
        Where the images come from; of one made of files, these are looked at.
    notes
        What the index of the prepared dataset says of its making; `skipped` lists films that could not be read.
    threshold
        Similarity from which two films count as near duplicates.
    n_replicates, seed
        Of the bootstrap behind the intervals of the shortcuts.
    """
    leaks = audit(sets, notes=notes)
    described = {split: describe(images.images) for split, images in sets.items()}
    first, said = next(iter(sets.values())), dict(notes or {})
    multi = first.multilabel
    return DatasetAudit(
        classes=first.classes,
        multilabel=multi,
        leaks=leaks,
        together={split.value: _together(images) for split, images in sets.items()} if multi else {},
        without_finding={s.value: int((images.labels.sum(1) == 0).sum()) for s, images in sets.items()}
        if multi
        else {},
        near=near_duplicates(sets, described, leaks.duplicates, threshold=threshold),
        constant={s.value: _named(images, described[s][1] < CONSTANT_STD) for s, images in sets.items()},
        shortcuts=measure_shortcuts(sets, n_replicates=n_replicates, seed=seed),
        attributes=_count_attributes(sets),
        seen=shortcuts_seen(sets, dataset, n_replicates=n_replicates, seed=seed),
        skipped=tuple(said.pop("skipped", ())),
        notes=said,
    )


def _together(images: ImageSet) -> np.ndarray:
    marks = images.labels.numpy().astype(np.int64)
    return marks.T @ marks


def _named(images: ImageSet, chosen: np.ndarray) -> tuple[str, ...]:
    return tuple(images.ids[row] for row in np.flatnonzero(chosen))


def _count_attributes(sets: Mapping[Split, ImageSet]) -> dict[str, dict[str, dict[str, int]]]:
    """By name, split and value: films. Attributes of more than 20 values are left out."""
    found: dict[str, dict[str, dict[str, int]]] = {}
    for name in next(iter(sets.values())).attributes:
        by_split = {}
        for split, images in sets.items():
            if name in images.attributes:
                values, n = np.unique(np.asarray(images.attributes[name]).astype(np.str_), return_counts=True)
                by_split[split.value] = dict(zip(values.tolist(), n.tolist(), strict=True))
        if len(set().union(*by_split.values())) <= N_EXAMPLES:
            found[name] = by_split
    return found
