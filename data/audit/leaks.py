"""What two splits share, by id, by patient and by exact pixels; refused, or reported in every record."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.audit.known_patients import KnownPatients, known_patients
from data.images import ImageSet, Split, pixel_digests
from data.splits.leaks import N_EXAMPLES, SharedName, _shared, by_pair, pairs_text


@dataclass(frozen=True)
class DuplicateGroup:
    """Images with exactly the same pixels.

    Parameters
    ----------
    members : (split, image id), in order
    across
        Whether they stand in more than one split.
    conflict
        Whether their labels differ.
    patients
        How many patients they are filed under.
    """

    members: tuple[tuple[str, str], ...]
    across: bool
    conflict: bool
    patients: int


@dataclass(frozen=True)
class AuditReport:
    """What was found; `to_json` is what a record keeps.

    Parameters
    ----------
    n_images, n_patients : by split
    counts
        Images by split and class.
    shared_ids, shared_patients
        Names in more than one split (a prepared dataset has none).
    duplicates
        Every group of images with the same pixels, within a split or across splits.
    known
        Whether it is known whose the images are; where it is not, what is counted by patients is null.
    """

    n_images: Mapping[str, int]
    n_patients: Mapping[str, int]
    counts: Mapping[str, Mapping[str, int]]
    shared_ids: tuple[SharedName, ...]
    shared_patients: tuple[SharedName, ...]
    duplicates: tuple[DuplicateGroup, ...]
    known: KnownPatients

    @property
    def across(self) -> tuple[DuplicateGroup, ...]:
        """Duplicate groups that stand in more than one split: the test has been seen in training."""
        return tuple(group for group in self.duplicates if group.across)

    @property
    def conflicts(self) -> tuple[DuplicateGroup, ...]:
        """Duplicate groups whose labels differ."""
        return tuple(group for group in self.duplicates if group.conflict)

    def warnings(self) -> tuple[str, ...]:
        """One line for each kind of finding; empty when nothing was found."""
        lines = [line] if (line := self.known.warning()) else []
        for what, shared in (("image ids", self.shared_ids), ("patients", self.shared_patients)):
            if shared:
                lines.append(f"{what} in more than one split: {len(shared)}: {pairs_text(shared)}")
        within = [group for group in self.duplicates if not group.across]
        for what, groups in (
            ("across splits", self.across),
            ("within a split", within),
            ("with different labels", self.conflicts),
        ):
            if groups:
                members = " = ".join(_members(groups[0])[:2])
                lines.append(f"groups of images with the same pixels {what}: {len(groups)}, first {members}")
        return tuple(lines)

    def to_json(self) -> dict[str, Any]:
        """Counts in full, and up to 20 examples of each finding. What is counted by patients is null without them."""
        unknown = self.known.unknown
        return {
            "n_images": dict(self.n_images),
            "n_patients": {split: None if unknown else n for split, n in self.n_patients.items()},
            "patients_known": self.known.to_json(),
            "counts": {split: dict(by_class) for split, by_class in self.counts.items()},
            "n_shared_ids": len(self.shared_ids),
            "shared_ids_by_pair": _counts(self.shared_ids),
            "shared_ids": [s.name for s in self.shared_ids[:N_EXAMPLES]],
            "n_shared_patients": None if unknown else len(self.shared_patients),
            "shared_patients_by_pair": _counts(self.shared_patients),
            "shared_patients": [s.name for s in self.shared_patients[:N_EXAMPLES]],
            "n_duplicate_groups": len(self.duplicates),
            "n_duplicate_groups_across_splits": len(self.across),
            "n_duplicate_groups_with_label_conflict": len(self.conflicts),
            "duplicates_across_splits": [_members(group) for group in self.across[:N_EXAMPLES]],
            "label_conflicts": [_members(group) for group in self.conflicts[:N_EXAMPLES]],
            "warnings": list(self.warnings()),
        }


def _members(group: DuplicateGroup) -> list[str]:
    return [f"{split}:{name}" for split, name in group.members]


def _counts(shared: Sequence[SharedName]) -> dict[str, int]:
    """`{"train and test": 3}`: how many names each pair of splits shares."""
    return {" and ".join(pair): len(names) for pair, names in by_pair(shared).items()}


def audit(sets: Mapping[Split, ImageSet], *, notes: Mapping[str, Any] | None = None) -> AuditReport:
    """Count the splits and find what they share. Nothing is refused here: see `refuse_leaks`.

    Parameters
    ----------
    notes
        Of the prepared dataset.
    """
    return AuditReport(
        n_images={split.value: len(images) for split, images in sets.items()},
        n_patients={split.value: len(set(images.groups)) for split, images in sets.items()},
        counts={split.value: images.counts() for split, images in sets.items()},
        shared_ids=_shared({split: images.ids for split, images in sets.items()}),
        shared_patients=_shared({split: images.groups for split, images in sets.items()}),
        duplicates=_duplicates(sets),
        known=known_patients(sets, notes),
    )


def _duplicates(sets: Mapping[Split, ImageSet]) -> tuple[DuplicateGroup, ...]:
    same: defaultdict[bytes, list[tuple[Split, int]]] = defaultdict(list)
    for split, images in sets.items():
        for row, pixels in enumerate(pixel_digests(images.images)):
            same[pixels].append((split, row))
    groups = []
    for members in same.values():
        if len(members) > 1:
            labels = {sets[split].labels[row].numpy().tobytes() for split, row in members}
            groups.append(
                DuplicateGroup(
                    members=tuple((split.value, sets[split].ids[row]) for split, row in members),
                    across=len({split for split, _ in members}) > 1,
                    conflict=len(labels) > 1,
                    patients=len({sets[split].groups[row] for split, row in members}),
                )
            )
    return tuple(groups)
