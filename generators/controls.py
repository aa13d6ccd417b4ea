"""The controls that a verdict is read against: nothing, real images again, changed or mislabelled, noise, and more."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Self

import numpy as np

from data.images import ImageSet, Split, require_train
from generators.base import BaseGenerator
from generators.matching import require_alike, rows_showing
from generators.noise import draw_chunks
from synthworth.artifacts import read_array, read_json, write_array, write_json
from synthworth.errors import UserError
from synthworth.keys import seed_from
from synthworth.work import FitReport, Work

if TYPE_CHECKING:
    from torch import Tensor

NOTHING_LEARNED = FitReport(steps=0, images_seen=0, seconds=0.0)


@dataclass(frozen=True)
class ControlConfig:
    """A control has no options: it is the fixed point that generators are measured from."""


class NoImages(BaseGenerator):
    """Real images only: the zero line. `sample` answers the empty request and refuses every other."""

    Config: ClassVar[type] = ControlConfig
    draws: ClassVar[bool] = False
    is_control: ClassVar[bool] = True
    trains: ClassVar[bool] = False

    def fit(self, train: ImageSet, *, seed: int, work: Work) -> FitReport:
        """Remember the shape of an image, for the empty request."""
        require_train(train, what=type(self).__name__)
        self.shape = tuple(train.images.shape[1:])
        return NOTHING_LEARNED

    def sample(self, labels: Tensor, *, seed: int) -> Tensor:
        """uint8 (0, C, H, W) for no label.

        Raises
        ------
        UserError
            When an image is asked for.
        """
        import torch

        if len(labels):
            raise UserError(f"{len(labels)} images were asked of the control that draws none; use ratio 0 with it")
        return torch.empty((0, *self.shape), dtype=torch.uint8)

    def save(self, folder: Path) -> None:
        """Write the shape of an image."""
        write_json(folder / "model.json", {"shape": list(self.shape)})

    @classmethod
    def load(cls, folder: Path, *, device: str) -> Self:
        """Read what `save` wrote; `device` changes nothing."""
        control = cls()
        control.shape = tuple(read_json(folder / "model.json")["shape"])
        return control


class Duplicate(BaseGenerator):
    """Real training images drawn again, class by class: the bar that synthetic images must clear.

    Within one request no image of a class comes twice before all of them came once. Where findings co-occur, a
    label vector is answered by images with exactly that vector, and if there is none, by those nearest to it in
    Hamming distance (fewest findings that differ).
    """

    Config: ClassVar[type] = ControlConfig
    is_control: ClassVar[bool] = True
    trains: ClassVar[bool] = False
    adds: ClassVar[str] = "copied"

    def fit(self, train: ImageSet, *, seed: int, work: Work) -> FitReport:
        """Keep the training images."""
        self.require(train)
        return self._keep(train)

    def _keep(self, source: ImageSet) -> FitReport:
        self.images, self.labels = source.images.numpy(), source.labels.numpy()
        return FitReport(steps=0, images_seen=len(source), seconds=0.0, facts={"n_images": len(source)})

    def sample(self, labels: Tensor, *, seed: int) -> Tensor:
        """Images with the labels asked for: uint8 (N, C, H, W), copies of those kept, in permuted cycles.

        Raises
        ------
        UserError
            For a class of which no image was kept.
        """
        import torch

        asked, name = labels.cpu().numpy(), type(self).__name__
        require_alike(asked, self.labels)
        rng = np.random.default_rng(seed)
        drawn = np.empty(len(asked), dtype=np.int64)
        queues: dict[bytes, list[int]] = {}
        for row, label in enumerate(asked):
            queue = queues.setdefault(label.tobytes(), [])
            if not queue:
                queue.extend(rng.permutation(rows_showing(self.labels, label, whose=name)).tolist())
            drawn[row] = queue.pop()
        return torch.from_numpy(np.ascontiguousarray(self.images[drawn]))

    def save(self, folder: Path) -> None:
        """Write the images and labels as .npy."""
        write_array(folder / "images.npy", self.images)
        write_array(folder / "labels.npy", self.labels)

    @classmethod
    def load(cls, folder: Path, *, device: str) -> Self:
        """Read what `save` wrote, the images as a memory map; `device` changes nothing."""
        control = cls()
        control.images = read_array(folder / "images.npy", mapped=True)
        control.labels = read_array(folder / "labels.npy")
        return control


class HoldoutReal(Duplicate):
    """Real images that no arm trains on, from `work.reserve`: the positive control, the upper bound of worth.

    It draws as `Duplicate` does: within one request an image comes twice only when the reserve has no other of
    its class. Two requests know nothing of each other (a generator is given a seed, not a shard number), so over
    several shards images repeat now and then; the larger the reserve, the rarer.
    """

    needs_reserve: ClassVar[bool] = True
    adds: ClassVar[str] = "further real"

    def fit(self, train: ImageSet, *, seed: int, work: Work) -> FitReport:
        """Keep the reserve; the training images are only checked.

        Raises
        ------
        UserError
            When there is no reserve, or it shares an image with train.
        """
        self.require(train)
        reserve = work.reserve
        if not isinstance(reserve, ImageSet) or reserve.split is not Split.reserve or not len(reserve):
            raise UserError("holdout_real draws real images that no arm trains on, and this dataset has no reserve")
        shared = set(reserve.ids) & set(train.ids)
        if shared:
            raise UserError(f"{len(shared)} images are in both reserve and train, {min(shared)!r} for one")
        return self._keep(reserve)


class Jittered(Duplicate):
    """Real training images drawn again and changed by strong classical augmentation (`data.augment`): the second bar.

    What synthetic images add must be more than turning, shifting and re-exposing the real ones adds.
    """

    adds: ClassVar[str] = "copied and augmented"

    def sample(self, labels: Tensor, *, seed: int) -> Tensor:
        """Copies with the labels asked for, each changed by values of its own: uint8 (N, C, H, W)."""
        from data.augment import find_augmentation
        from synthworth.devices import isolated_randomness
        from synthworth.images import from_levels, to_unit

        images, change = super().sample(labels, seed=seed), find_augmentation("strong")
        for row in range(len(images)):
            with isolated_randomness(seed_from(seed, "jitter", row)):
                changed = change(to_unit(images[row : row + 1]))
            images[row : row + 1] = from_levels(changed.mul(255))
        return images


class LabelShuffle(Duplicate):
    """Real training images under wrong labels: must hurt, or the classifier does not listen to its labels.

    Every row shows a class other than the one asked for, each of the others as often; where findings co-occur, an
    image with another of the training set's label vectors.
    """

    adds: ClassVar[str] = "mislabelled"

    def sample(self, labels: Tensor, *, seed: int) -> Tensor:
        """Images that do not show the labels asked for: uint8 (N, C, H, W)."""
        import torch

        asked, rng = labels.cpu().numpy(), np.random.default_rng(seed_from(seed, "wrong labels"))
        kinds = np.unique(self.labels, axis=0)
        if len(kinds) < 2:
            raise UserError("label_shuffle needs images with two different labels, and all of these have one")
        wrong = np.empty_like(asked)
        for row, label in enumerate(asked):
            others = kinds[(kinds != label).reshape(len(kinds), -1).any(1)]
            wrong[row] = others[rng.integers(len(others))]
        return super().sample(torch.from_numpy(wrong), seed=seed)


class Noise(BaseGenerator):
    """Independent Gaussian noise in every pixel, with the mean and spread of the training pixels: must not help.

    Every label gets the same distribution.
    """

    Config: ClassVar[type] = ControlConfig
    is_control: ClassVar[bool] = True
    trains: ClassVar[bool] = False
    adds: ClassVar[str] = "noise"

    def fit(self, train: ImageSet, *, seed: int, work: Work) -> FitReport:
        """Measure mean and standard deviation of each channel over all training pixels."""
        self.require(train)
        count, total, squares = 0, np.zeros(train.channels), np.zeros(train.channels)
        for start in range(0, len(train), 1024):
            pixels = train.images[start : start + 1024].numpy().astype(np.float64)
            count += pixels.size // train.channels
            total += pixels.sum((0, 2, 3))
            squares += np.square(pixels).sum((0, 2, 3))
        self.mean = total / count
        self.std = np.sqrt(np.maximum(squares / count - self.mean**2, 0.0))
        self.shape = tuple(train.images.shape[1:])
        facts = {"mean": self.mean.tolist(), "std": self.std.tolist()}
        return FitReport(steps=0, images_seen=len(train), seconds=0.0, facts=facts)

    def sample(self, labels: Tensor, *, seed: int) -> Tensor:
        """Noise for each label: uint8 (N, C, H, W), clamped to 0..255."""
        import torch

        from synthworth.images import from_levels

        images = torch.empty((len(labels), *self.shape), dtype=torch.uint8)
        mean = torch.from_numpy(self.mean).float()[:, None, None]
        std = torch.from_numpy(self.std).float()[:, None, None]
        for rows, noise in draw_chunks(len(labels), self.shape, seed=seed, chunk=1024):
            images[rows] = from_levels(noise * std + mean)
        return images

    def save(self, folder: Path) -> None:
        """Write mean, spread and shape."""
        facts = {"mean": self.mean.tolist(), "std": self.std.tolist(), "shape": list(self.shape)}
        write_json(folder / "model.json", facts)

    @classmethod
    def load(cls, folder: Path, *, device: str) -> Self:
        """Read what `save` wrote; `device` changes nothing."""
        control, facts = cls(), read_json(folder / "model.json")
        control.mean, control.std = np.array(facts["mean"]), np.array(facts["std"])
        control.shape = tuple(facts["shape"])
        return control
