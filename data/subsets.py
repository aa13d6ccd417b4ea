"""Parts of a training set: so many patients of each class, and real images from the reserve joined to it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data.base import ImageSet, Split, require_train
from synthworth.errors import UserError
from synthworth.keys import seed_from


def take_patients(images: ImageSet, n: int, *, seed: int) -> tuple[ImageSet, ImageSet]:
    """Keep `n` patients of each class (or finding), with all their images; call it before any generator is trained.

    Patients stand in one seeded order that depends on their names alone, so a smaller number's are among a larger
    one's; a patient who shows several classes counts for each. Classes are served from the rarest on.

    Returns
    -------
    (kept, rest) : `kept` in the split it came from; `rest`, possibly empty, in `Split.reserve`.

    Raises
    ------
    UserError
        When a class has fewer patients than that.
    """
    names, patient = np.unique(np.asarray(images.groups), return_inverse=True)
    labels = images.labels.numpy()
    shows = labels.astype(bool) if labels.ndim == 2 else labels[:, None] == np.arange(images.n_classes)
    holds = np.zeros((len(names), images.n_classes), dtype=bool)
    np.logical_or.at(holds, patient, shows)
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
    """The training images and further real ones from the reserve, as one training set: what an arm of real images
    alone would learn from if there were more of them.

    Raises
    ------
    UserError
        When the further images are not from the reserve, or share an image or a patient with the training images.
    """
    import torch

    require_train(train, what="a learning curve")
    if not isinstance(further, ImageSet) or further.split is not Split.reserve:
        found = further.split.value if isinstance(further, ImageSet) else type(further).__name__
        raise UserError(f"a learning curve goes on with images from the reserve, and was given {found!r}")
    shared = set(train.ids) & set(further.ids) or set(train.groups) & set(further.groups)
    if shared:
        raise UserError(f"{min(shared)!r} is both in train and in the reserve")
    return replace(
        train,
        images=torch.cat([train.images, further.images]),
        labels=torch.cat([train.labels, further.labels]),
        ids=train.ids + further.ids,
        groups=train.groups + further.groups,
        attributes={},
    )
