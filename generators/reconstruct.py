"""The control `reconstruct`: real training images seen through a fitted generator's own autoencoder."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from data.images import ImageSet
from generators.controls import Duplicate
from synthworth.errors import UserError
from synthworth.work import FitReport, Work

CHUNK = 256
"""Images that are reconstructed at a time."""


@dataclass(frozen=True)
class ReconstructConfig:
    """Options of the control `reconstruct`."""

    generator: str = "latent_ddpm"
    """Whose autoencoder: the name of the generator that `work.fitted` holds."""


class Reconstruct(Duplicate):
    """Training images encoded and decoded again, drawn as `Duplicate` draws: the upper bound of a latent generator.

    What its images are worth less than duplicates is what the autoencoder loses; what a latent generator's images
    are worth less than these is what its prior loses.
    """

    Config: ClassVar[type] = ReconstructConfig
    needs_generator: ClassVar[bool] = True
    adds: ClassVar[str] = "reconstructed"
    config: ReconstructConfig

    def fit(self, train: ImageSet, *, seed: int, work: Work) -> FitReport:
        """Reconstruct every training image and keep the results with their labels.

        Raises
        ------
        UserError
            When `work.fitted` names no fitted generator, or the generator has no autoencoder.
        """
        import torch

        from generators.registry import generators
        from synthworth.progress import track

        self.require(train)
        name = self.config.generator
        cls = generators.get(name)
        if not hasattr(cls, "reconstruct"):
            raise UserError(f"{name} has no autoencoder to reconstruct with; leave the control reconstruct out")
        if work.fitted is None:
            raise UserError(f"the control reconstruct needs a fitted {name}, and none is given in work.fitted")
        model = cls.load(work.fitted, device=work.device)
        images, squares = torch.empty_like(train.images), 0.0
        for k in track(range(0, len(train), CHUNK), "reconstructing", unit="batches"):
            real = train.images[k : k + CHUNK]
            images[k : k + CHUNK] = model.reconstruct(real, train.labels[k : k + CHUNK])
            squares += float((images[k : k + CHUNK].float() - real.float()).square().sum())
        report = self._keep(dataclasses.replace(train, images=images))
        error = (squares / images.numel()) ** 0.5
        return dataclasses.replace(report, facts={**report.facts, "root_mean_square_error": round(error, 3)})
