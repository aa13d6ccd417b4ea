"""What a donor hospital could share beside synthetic films: its films themselves, or a classifier's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from data.images import ImageSet, Split
from generators.controls import Duplicate
from generators.in_turn import rows_in_turn
from generators.matching import require_alike, rows_showing
from synthworth.errors import UserError
from synthworth.keys import seed_from
from synthworth.work import FitReport, Work

if TYPE_CHECKING:
    from torch import Tensor


class SharedReal(Duplicate):
    """The donor's films themselves, beside the recipient's: what sharing patients would gain, the upper bound.

    Class by class, in a seeded order, and over all shards: none comes twice before all of its class came once. Where
    findings co-occur, a label vector is answered as `Duplicate` does.
    """

    adds: ClassVar[str] = "the donor's real"
    from_donor: ClassVar[bool] = True

    def fit(self, train: ImageSet, *, seed: int, work: Work) -> FitReport:
        """Keep the donor's films.

        Raises
        ------
        UserError
            When they are not a donor's.
        """
        self.require(train)
        if train.split is not Split.donor:
            raise UserError(
                f"{type(self).__name__} draws the films of a donor, and was given those of {train.split.value}: "
                "say who the donor is (--donor 0.5)"
            )
        return self._keep(train.subset(np.random.default_rng(seed_from(seed, "order")).permutation(len(train))))

    def sample_next(self, labels: Tensor, *, earlier: Tensor) -> Tensor:
        """The films that come next: uint8 (N, C, H, W); after the last of a class its first come again.

        Parameters
        ----------
        labels : int64 (N,) or uint8 (N, K).
        earlier : the labels that were answered before, in the same form.

        Raises
        ------
        UserError
            For a class of which the donor has no film.
        """
        import torch

        asked, name = labels.cpu().numpy(), type(self).__name__
        require_alike(asked, self.labels)
        rows = rows_in_turn(
            asked, earlier.cpu().numpy(), lambda label: rows_showing(self.labels, label, whose=name), repeat=True
        )
        return torch.from_numpy(np.ascontiguousarray(self.images[rows]))


class SharedPretrained(SharedReal):
    """A classifier that learned from the donor's films goes on with the recipient's: weights are shared, no image.

    It is the mode `pretrain` with the donor's films: half of the steps see them alone, and then the recipient's alone.
    """

    adds: ClassVar[str] = "the donor's real (for the first half of the steps)"
    mode: ClassVar[str] = "pretrain"
