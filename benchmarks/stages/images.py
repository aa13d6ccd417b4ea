"""The real images of an experiment: prepared once, then train, val, test, a donor's and the reserve."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.request.spec import DONOR, RunSpec
from benchmarks.stages.bench import Bench
from data.images import ImageSet, Split
from data.mixing import Demand, Mode, demand
from data.prepared import data_preparation, preparer, read_index
from data.splits.low_data import join_train, subsample_patients, take_patients
from data.splits.sharing import Donor, part_held_out, part_train, without_donors
from synthworth.errors import UserError
from synthworth.keys import seed_from

RESERVE_PER_TRAIN = 4
"""Further real images drawn for the positive control, as a multiple of the training set. In no key: whoever changes
it raises the version of `holdout_real`."""


def prepare_data(bench: Bench, name: str, dataset: Any) -> tuple[Path, dict[str, Any]]:
    """Decode a dataset once.

    Returns
    -------
    folder : the prepared one.
    index : of it, with the content fingerprint.
    """
    made = bench.keep("data", data_preparation(name, dataset), preparer(dataset))
    return made.folder, read_index(made.folder)


class Source(NamedTuple):
    """Real films that a generator learned from, and films of the same hospital that nothing learned from.

    Parameters
    ----------
    train : of the recipient, or of the donor.
    val, test : films like them.
    """

    train: ImageSet
    val: ImageSet
    test: ImageSet


class Images:
    """The real images of an experiment: train (after the real fraction), val, test, a donor's, the reserve."""

    def __init__(self, folder: Path, dataset: Any, spec: RunSpec) -> None:
        self.folder, self.dataset, self.spec = folder, dataset, spec
        self._demands: dict[tuple[float, Mode], Demand] = {}

    @cached_property
    def _parts(self) -> tuple[ImageSet, ImageSet | None]:
        whole, spec = self.dataset.load(self.folder, Split.train), self.spec
        if spec.patients_per_class:
            return take_patients(whole, spec.patients_per_class, seed=spec.data_identity()["seed"])
        if spec.real_fraction == 1:
            return whole, None
        return subsample_patients(whole, spec.real_fraction, seed=spec.data_identity()["seed"])

    @cached_property
    def _hospitals(self) -> tuple[ImageSet, ImageSet | None]:
        whole = self._parts[0]
        if not self.spec.donor:
            return whole, None
        return part_train(whole, Donor.read(self.spec.donor), seed=self.spec.donor_seed)

    @property
    def train(self) -> ImageSet:
        """What every arm learns from: without the donor's films, where there is a donor."""
        return self._hospitals[0]

    @property
    def donor(self) -> ImageSet:
        """The donor's training films.

        Raises
        ------
        UserError
            Where the experiment has no donor.
        """
        if self._hospitals[1] is None:
            raise UserError("there is no donor: say which films are its, --donor 0.5 or --donor site=B")
        return self._hospitals[1]

    def _held_out(self, split: Split) -> tuple[ImageSet, ImageSet]:
        """The recipient's and the donor's films of val or test."""
        images: ImageSet = self.dataset.load(self.folder, split)
        return part_held_out(images, Donor.read(self.spec.donor)) if self.spec.donor else (images, images)

    @cached_property
    def _val(self) -> tuple[ImageSet, ImageSet]:
        return self._held_out(Split.val)

    @cached_property
    def _test(self) -> tuple[ImageSet, ImageSet]:
        return self._held_out(Split.test)

    @property
    def val(self) -> ImageSet:
        """Real images for the choice of checkpoints and thresholds."""
        return self._val[0]

    @property
    def test(self) -> ImageSet:
        """Real images, read once, at the end."""
        return self._test[0]

    def learned_from(self, spec: RunSpec) -> Source:
        """The films that an arm's synthetic images were learned from, and such as nothing learned from."""
        if spec.learn_from == DONOR:
            return Source(self.donor, self._val[1], self._test[1])
        return Source(self.train, self.val, self.test)

    @cached_property
    def reserve(self) -> ImageSet:
        """Real images that no arm trains on.

        Raises
        ------
        UserError
            When every real image is in use and the dataset can draw no further ones.
        """
        held = self._of_recipient(self._parts[1])
        if held is not None and len(held):
            return held
        further = getattr(self.dataset, "further", lambda n: None)(RESERVE_PER_TRAIN * len(self.train))
        held = self._of_recipient(further)
        if held is None or not len(held):
            raise UserError(
                f"holdout_real needs real images that no arm trains on, and {self.spec.dataset} has none left; "
                "set --real-fraction below 1 to hold some back"
            )
        return held

    def _of_recipient(self, reserve: ImageSet | None) -> ImageSet | None:
        """Without the donor's films, where there is a donor."""
        donor = self.spec.donor
        return reserve if reserve is None or not donor else without_donors(reserve, Donor.read(donor))

    def portion(self, share: float) -> ImageSet:
        """The training images of a point of the learning curve: whole patients, each point among the next.

        Above 1 further real images join, of patients from the reserve, or of the donor's where there is a donor.

        Raises
        ------
        UserError
            Above 1, when there are too few of them.
        """
        seed = seed_from(self.spec.seed, "learning curve")
        if share <= 1:
            return subsample_patients(self.train, share, seed=seed)[0]
        further, wanted = self.further_for(share)
        return join_train(self.train, subsample_patients(further, wanted / len(further), seed=seed)[0])

    def further_for(self, share: float) -> tuple[ImageSet, float]:
        """The images that a point above 1 goes on with, and how many of them it needs.

        Raises
        ------
        UserError
            When there are too few.
        """
        wanted, further = (share - 1) * len(self.train), self.donor if self.spec.donor else self.reserve
        if wanted > len(further):
            whose = "of the donor" if self.spec.donor else "that no other arm trains on"
            raise UserError(
                f"--curve {share:g} needs {wanted:.0f} real images {whose}, and there are {len(further)}; the largest "
                f"point is {1 + int(100 * len(further) / len(self.train)) / 100:g}"
            )
        return further, wanted

    @property
    def train_fingerprint(self) -> str:
        """Of the images every arm learns from; a generator fitted on others is refused."""
        return self.train.fingerprint()

    def demand(self, spec: RunSpec) -> Demand:
        """Synthetic images an arm needs, by stream."""
        if spec.is_real_only:
            return Demand({}, len(self.train))
        key = spec.ratio, spec.mode
        if key not in self._demands:
            self._demands[key] = demand(self.train, ratio=spec.ratio, mode=spec.mode)
        return self._demands[key]
