"""Parts of a training set: so many patients of each class, and real images from the reserve joined to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data.images import ImageSet, Split, marks_of, require_train
from data.splits.by_patient import _Patients, _patients, _rarest_first
from synthworth.errors import UserError
from synthworth.keys import seed_from


def take_patients(images: ImageSet, n: int, *, seed: int) -> tuple[ImageSet, ImageSet]:
    """Keep `n` patients of each class (or finding), with all their images; call it before any generator is trained.

    Patients stand in one seeded order that depends on their names alone. A patient who shows several classes counts
    for each. Classes are served from the rarest on. Where every patient shows one class, a smaller number's patients
    are among a larger one's; where findings co-occur, a patient taken for another class may take the place of one.

    Returns
    -------
    kept
        In the split it came from.
    rest
        In `Split.reserve`, possibly empty.

    Raises
    ------
    UserError
        When a class has fewer patients than that.
    """
    names, patient = np.unique(np.asarray(images.groups), return_inverse=True)
    holds = np.zeros((len(names), images.n_classes), dtype=bool)
    np.logical_or.at(holds, patient, marks_of(images.labels.numpy(), n_classes=images.n_classes))
    order = np.array(sorted(range(len(names)), key=lambda p: seed_from(seed, "patient", str(names[p]))))
    kept = np.zeros(len(names), dtype=bool)
    for k in np.argsort(holds.sum(0), kind="stable"):
        of_class = order[holds[order, k]]
        if len(of_class) < n:
            raise UserError(
                f"--patients-per-class {n} was asked for, and {images.classes[k]} has {len(of_class)} training patients"
            )
        missing = n - int(kept[of_class].sum())
        if missing > 0:
            kept[of_class[~kept[of_class]][:missing]] = True
    rows = kept[patient]
    return images.subset(np.flatnonzero(rows)), images.subset(np.flatnonzero(~rows), split=Split.reserve)


def join_train(train: ImageSet, further: ImageSet) -> ImageSet:
    """The training images and further real ones, from the reserve or a donor, as one training set.

    This is what an arm of real images alone would learn from if there were more of them.

    Raises
    ------
    UserError
        When the further images are from elsewhere, or share an image or a patient with the training images.
    """
    import torch

    require_train(train, what="a learning curve", from_donor=False)
    if not isinstance(further, ImageSet) or further.split not in (Split.reserve, Split.donor):
        found = further.split.value if isinstance(further, ImageSet) else type(further).__name__
        raise UserError(f"a learning curve goes on with images from the reserve or a donor, and was given {found!r}")
    shared = set(train.ids) & set(further.ids) or set(train.groups) & set(further.groups)
    if shared:
        raise UserError(f"{min(shared)!r} is both in train and in the {further.split.value}")
    return replace(
        train,
        images=torch.cat([train.images, further.images]),
        labels=torch.cat([train.labels, further.labels]),
        ids=train.ids + further.ids,
        groups=train.groups + further.groups,
        attributes={},
    )


def subsample_patients(images: ImageSet, fraction: float, *, seed: int) -> tuple[ImageSet, ImageSet]:
    """Keep about `fraction` of the images, by whole patients; call it before any generator is trained.

    Patients stand in one seeded order whatever the fraction, and a prefix of it is kept, so a smaller
    fraction's patients are among a larger one's. The order begins with patients who cover every class, then
    interleaves the classes: a patient stands where his images lie in the running share of the rarest class he
    carries. The prefix is the one whose number of images is nearest to `fraction * N`, and never less than
    the covering patients.

    Returns
    -------
    kept
        In the split it came from.
    rest
        In `Split.reserve`, possibly empty.

    Raises
    ------
    UserError
        When the fraction is not in (0, 1].
    """
    if not 0 < fraction <= 1:
        raise UserError(f"a fraction of {fraction} of the patients was asked for: it must be above 0, at most 1")
    patients = _patients(images.groups, images.labels.numpy(), seed=seed, purpose="subsample")
    order, n_cover = _nested_order(patients)
    running = np.cumsum(patients.sizes[order])
    n_kept = max(n_cover, int(np.argmin(np.abs(running - round(fraction * len(images))))) + 1)
    if fraction == 1:
        n_kept = len(order)
    mark = np.zeros(len(images), bool)
    for p in order[:n_kept]:
        mark[patients.rows[p]] = True
    return images.subset(np.flatnonzero(mark)), images.subset(np.flatnonzero(~mark), split=Split.reserve)


def _nested_order(patients: _Patients) -> tuple[np.ndarray, int]:
    """All patients in the order in which they are kept, and how many of the first cover every class."""
    holds, sizes = patients.holds, patients.sizes
    classes = _rarest_first(holds)
    cover: list[int] = []
    for c in classes:
        if not holds[cover, c].any():
            cover.append(int(np.flatnonzero(holds[:, c])[0]))
    stratum = np.argmax(holds[:, classes] > 0, axis=1)  # the rarest class each patient carries
    position = np.zeros(len(sizes))
    first = np.array(cover, dtype=np.int64)
    others = np.setdiff1d(np.arange(len(sizes)), first)
    for s in range(len(classes)):
        members = np.concatenate([first[stratum[first] == s], others[stratum[others] == s]])
        before = np.cumsum(sizes[members]) - sizes[members]
        position[members] = before / max(1, sizes[members].sum())
    return np.concatenate([first, others[np.argsort(position[others], kind="stable")]]), len(first)
