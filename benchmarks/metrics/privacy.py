"""Privacy and memorisation: how near synthetic images lie to the training images, against how near held-out ones do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from benchmarks.metrics.declare import Quantity
from benchmarks.metrics.frechet import check_features
from benchmarks.metrics.near_copies import COPY, are_copies, chance, copy_bound, copy_interval, share_interval
from benchmarks.metrics.neighbours import centre_of
from benchmarks.metrics.value import Value
from data.images import pixel_digests
from synthworth.errors import Unavailable
from synthworth.keys import seed_from

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

MIN_N = 20
"""Fewest images of each kind: every number has an interval, which is wide where images are few."""
MIN_PATIENTS = 10
"""Fewest patients of either side: intervals resample them, and of fewer they come out too narrow."""
EXPOSED = 0.2
"""Share of members and of outsiders, the ones nearest to a synthetic image, that the second attack is judged on."""
MIN_EXPOSED = 10
"""Fewest images in that share of either side."""
N_REPLICATES = 500
CHUNK = 100  # replicates worked on at once, at most
CELLS = 1 << 22  # counts held at once (32 MiB)
SIDE = 32  # that images are averaged down to before pixels are compared

NN_DISTANCE = Quantity("nn_distance", "higher")
COPY_RATE = Quantity("copy_rate", "lower")
AUTH_PCT = Quantity("auth_pct", "higher")
PROXIMITY = Quantity("proximity_auroc", "lower")
MEMBERSHIP = Quantity("membership_auroc", "lower")
EXPOSED_MEMBERSHIP = Quantity("membership_auroc_exposed", "lower")
QUANTITIES = (NN_DISTANCE, COPY_RATE, AUTH_PCT, PROXIMITY, MEMBERSHIP, EXPOSED_MEMBERSHIP)
"""What `Reference.measure` gives."""


class Near(NamedTuple):
    """The nearest point of another set."""

    distance: NDArray[np.float64]
    """(N,)"""
    index: NDArray[np.int64]
    """(N,): rows of the other set."""


@dataclass(frozen=True)
class Reference:
    """The real images in one space: members (train) and outsiders (held out, of other patients).

    Distances are Euclidean, exact (`neighbours.nearest`), and computed once for all arms.

    Parameters
    ----------
    members, outsiders : (N, D) and (M, D) vectors, any float type.
    member_groups, outsider_groups : patient of each.
    device : where distances are computed.

    Raises
    ------
    Unavailable
        With fewer than `MIN_N` images or `MIN_PATIENTS` patients of either, vectors that are not finite, or members
        that all have one vector.
    ValueError
        For vectors of different D, or groups that do not fit.
    """

    members: NDArray[np.floating]
    outsiders: NDArray[np.floating]
    member_groups: Sequence[str]
    outsider_groups: Sequence[str]
    device: str = "cpu"

    def __post_init__(self) -> None:
        check_features(real=self.members, fake=self.outsiders, minimum=0)
        for vectors, groups in ((self.members, self.member_groups), (self.outsiders, self.outsider_groups)):
            if len(vectors) != len(groups):
                raise ValueError(f"{len(vectors)} vectors but {len(groups)} patients")
        require_enough(self.member_groups, self.outsider_groups)
        if (self.members == self.members[:1]).all():
            raise Unavailable("all training images have the same features: distances between them say nothing")

    @cached_property
    def _centre(self) -> NDArray[np.float64]:
        return centre_of(self.members)

    def _points(self, vectors: NDArray[np.floating]) -> Tensor:
        import torch

        device = self.device if self.device.startswith("cuda") else "cpu"
        return torch.from_numpy(vectors - self._centre).to(device)

    @cached_property
    def _members(self) -> Tensor:
        return self._points(self.members)

    def nearest_member(self, vectors: NDArray[np.floating]) -> Near:
        """The member nearest to each of `vectors` (n, D)."""
        return _nearest(self._points(vectors), self._members)

    @cached_property
    def outsider_to_member(self) -> Near:
        """The member nearest to each outsider."""
        return self.nearest_member(self.outsiders)

    @cached_property
    def bound(self) -> float:
        """Distance below which an image is a near-copy: `copy_bound` of the outsiders, Unavailable where that is."""
        return copy_bound(self.outsider_to_member.distance)

    def measure(self, synthetic: NDArray[np.floating], *, seed: int, near: Near | None = None) -> dict[str, Value]:
        """Every privacy number of synthetic vectors.

        Parameters
        ----------
        synthetic : (n, D).
        near : `nearest_member(synthetic)`, where it is known already.

        Returns
        -------
        `nn_distance`, `copy_rate`, `auth_pct`, `proximity_auroc`, `membership_auroc`, `membership_auroc_exposed`; null
        with a note below `MIN_N`, and for vectors that are not finite.
        """
        try:
            check_features(real=self.members[:1], fake=synthetic, minimum=0)
            if len(synthetic) < MIN_N:
                raise Unavailable(f"needs {MIN_N} synthetic images; there are {len(synthetic)}")
        except Unavailable as reason:
            return {q.name: q.missing(reason, len(synthetic)) for q in QUANTITIES}
        found = near or self.nearest_member(synthetic)
        values = [
            self._distance(found), self.copies(found, seed=seed), self._authentic(found),
            self._proximity(found, seed), *self._membership(synthetic, seed),
        ]  # fmt: skip
        return {value.name: value for value in values}

    def _distance(self, near: Near) -> Value:
        """Median distance to the nearest member, quantiles of it and of the outsiders' in `extra`.

        The interval goes from one order statistic to another: as many lie below the true median as heads in n tosses.
        """
        from scipy.stats import binom

        shares = (0.01, 0.05, 0.5, 0.95)
        quantiles = {
            name: dict(zip(map(str, shares), np.quantile(distance, shares).tolist(), strict=True))
            for name, distance in (("synthetic", near.distance), ("held_out", self.outsider_to_member.distance))
        }
        extra = {"quantiles": quantiles, "n_held_out": len(self.outsiders)}
        n, ordered = len(near.distance), np.sort(near.distance)
        outside = int(binom.ppf(0.025, n, 0.5))
        low, high = float(ordered[outside - 1]), float(ordered[n - outside])
        return NN_DISTANCE.value(float(np.median(ordered)), n, low=low, high=high, extra=extra)

    def copies(self, near: Near, *, seed: int) -> Value:
        """Share of synthetic images that are near-copies: nearer to a member than the `copy_bound` of the outsiders.

        The share of fresh real images that are so by chance stands in `extra` as `quantile`; the interval is
        `copy_interval`.
        """
        n, held_out = len(near.distance), self.outsider_to_member.distance
        try:
            bound = self.bound
        except Unavailable as reason:
            return COPY_RATE.missing(reason, n)
        low, high = copy_interval(
            near.distance, held_out, _numbered(self.outsider_groups), seed=seed_from(seed, "copy rate")
        )
        own = float(are_copies(held_out, bound).mean())
        extra = {"bound": bound, "quantile": chance(len(held_out)), "held_out": own, "n_held_out": len(held_out)}
        note = None
        if chance(len(held_out)) > COPY:
            note = (
                f"of fresh real images {chance(len(held_out)):.1%} are near-copies by chance: {len(held_out)} held-out "
                "images tell no less, 99 tell 1 %"
            )
        share = float(are_copies(near.distance, bound).mean())
        return COPY_RATE.value(share, n, low=low, high=high, note=note, extra=extra)

    def _authentic(self, near: Near) -> Value:
        """AuthPct: per cent of synthetic images farther from their nearest member than it is from its own nearest.

            AuthPct = 100 / n sum_i 1[ d(x_i*, nearest other member) < d(s_i, x_i*) ],  x_i* the member nearest to s_i

        (Alaa et al. 2022, section 4.3, "authenticity"; the orientation and the strict sign as in dgm-eval, Stein et
        al. 2023.) 0 where all are copies. Its value for fresh real images is not 50 (see its floor).
        """
        own = self._to_other_members(near.index)
        n, farther = len(near.distance), int((own < near.distance).sum())
        low, high = share_interval(farther, n)
        return AUTH_PCT.value(100 * farther / n, n, low=100 * low, high=100 * high)

    def _to_other_members(self, index: NDArray[np.int64]) -> NDArray[np.float64]:
        """Distance of the members at `index` to their nearest other member."""
        import torch

        from benchmarks.metrics.neighbours import nearest

        rows, back = np.unique(index, return_inverse=True)
        found = nearest(self._members[torch.from_numpy(rows)], self._members, k=2)
        is_own = found.index[:, 0] == torch.from_numpy(rows)
        squared = torch.where(is_own, found.squared[:, 1], found.squared[:, 0])
        return np.asarray(squared.sqrt().numpy()[back])

    def _proximity(self, near: Near, seed: int) -> Value:
        """Probability that a synthetic image lies nearer to the members than an outsider does, ties one half.

        0.5 for real images of the same kind, 1 for copies, whatever their number.
        """
        found = Attack(
            near.distance, self.outsider_to_member.distance, np.arange(len(near.distance)),
            _numbered(self.outsider_groups),
        )  # fmt: skip
        low, high = found.interval(seed=seed_from(seed, "proximity"))
        extra = {"interval": "patients and synthetic images", "n_held_out": len(self.outsiders)}
        return PROXIMITY.value(found.auroc(), len(near.distance), low=low, high=high, extra=extra)

    def _membership(self, synthetic: NDArray[np.floating], seed: int) -> list[Value]:
        """How well an attacker who holds the synthetic images tells members from outsiders.

        The attacker goes by minus the distance to the nearest synthetic image (the full black box of Chen et al. 2020,
        "GAN-Leaks").

        All members against all outsiders. A pool of n images can hold copies of at most n members: where it copies a
        share p of them the AUROC is p + (1 - p) / 2, and no pool gets above `ceiling`. `membership_auroc_exposed`
        therefore judges the fifth of the members against the fifth of the outsiders that lie nearest to a synthetic
        image. Both sides are cut alike, so it too is 0.5 for an attacker who knows nothing, and 1 as soon as that share
        of the members is copied. Intervals resample the patients of either side.
        """
        n_members, n_held_out = len(self.members), len(self.outsiders)
        pool = self._points(synthetic)
        attack = Attack(
            _nearest(self._members, pool).distance,
            _nearest(self._points(self.outsiders), pool).distance,
            _numbered(self.member_groups),
            _numbered(self.outsider_groups),
        )
        values = []
        for quantity, share in ((MEMBERSHIP, 1.0), (EXPOSED_MEMBERSHIP, EXPOSED)):
            if share < 1 and share * min(n_members, n_held_out) < MIN_EXPOSED:
                least = f"needs {MIN_EXPOSED / share:.0f} training and held-out images"
                reason = f"{least}, of which {share:.0%} are judged; there are {n_members} and {n_held_out}"
                values.append(quantity.missing(reason, len(synthetic)))
                continue
            low, high = attack.interval(seed=seed_from(seed, "membership"), share=share)
            copied = min(1.0, len(synthetic) / n_members / share)
            extra = {
                "n_members": n_members, "n_held_out": n_held_out, "share": share, "interval": "patients",
                "ceiling": copied + (1 - copied) / 2,
            }  # fmt: skip
            auroc = attack.auroc(share=share)
            values.append(quantity.value(auroc, len(synthetic), low=low, high=high, extra=extra))
        return values


@dataclass(frozen=True)
class Attack:
    """Distances of those that should lie nearer and of those that should not, and the patient (0, 1, ...) of each.

    AUROC of minus the distance, ties one half. With `share` below 1 only the nearest share of either side counts;
    where the cut goes through a tie (or through a patient's weight in a resample) a fraction of it counts.
    """

    nearer: NDArray[np.float64]
    farther: NDArray[np.float64]
    nearer_groups: NDArray[np.int64]
    farther_groups: NDArray[np.int64]

    def auroc(self, *, share: float = 1.0) -> float:
        """On the images as they are."""
        nearer, farther = (np.ones((groups.max() + 1, 1)) for groups in (self.nearer_groups, self.farther_groups))
        return float(self._auroc(nearer, farther, share)[0])

    def interval(self, *, seed: int, share: float = 1.0, n_replicates: int = N_REPLICATES) -> tuple[float, float]:
        """Lower and upper end, 95 %, of a bootstrap over the patients of either side.

        Percentiles, expanded for the P patients of the smaller side to those of Student's t (Hesterberg 2015): plain
        ones are too narrow by about t / 1.96 * sqrt(P / (P - 1)), and held the truth in 90 % with ten patients.
        """
        sides = [
            (int(groups.max()) + 1, np.random.default_rng(seed_from(seed, side)))
            for side, groups in (("nearer", self.nearer_groups), ("farther", self.farther_groups))
        ]
        step = max(1, min(CHUNK, CELLS // self._levels[1]))
        draws = []
        for start in range(0, n_replicates, step):
            n = min(step, n_replicates - start)
            nearer, farther = (rng.multinomial(k, np.full(k, 1 / k), size=n).T.astype(np.float64) for k, rng in sides)
            draws.append(self._auroc(nearer, farther, share))
        tail = expanded_tail(min(n for n, _ in sides))
        low, high = np.quantile(np.concatenate(draws), (tail, 1 - tail))
        return float(low), float(high)

    @cached_property
    def _levels(self) -> tuple[NDArray[np.int64], int]:
        values, level = np.unique(np.concatenate([self.nearer, self.farther]), return_inverse=True)
        return level.reshape(-1), len(values)

    def _auroc(
        self, nearer: NDArray[np.float64], farther: NDArray[np.float64], share: float
    ) -> NDArray[np.float64]:  # (patients, B) times each is drawn, for either side -> (B,)
        from scipy.sparse import csr_array

        level, n_levels = self._levels
        sides = []
        for levels, groups, counts in (
            (level[: len(self.nearer)], self.nearer_groups, nearer),
            (level[len(self.nearer) :], self.farther_groups, farther),
        ):
            at = csr_array((np.ones(len(levels)), (levels, groups)), shape=(n_levels, len(counts)))
            reached = (at @ counts).cumsum(axis=0)
            kept = np.minimum(reached, share * reached[-1])
            sides.append(np.diff(kept, axis=0, prepend=0.0))
        yes, no = sides
        beyond = no.sum(axis=0) - no.cumsum(axis=0)
        return np.asarray((yes * (beyond + no / 2)).sum(axis=0) / (yes.sum(axis=0) * no.sum(axis=0)))


def expanded_tail(n: int) -> float:
    """The tail probability, below .025, at which percentiles over n (2 or more) patients hold the truth in 95 %."""
    from scipy.stats import norm, t

    return float(norm.cdf(-np.sqrt(n / (n - 1)) * t.ppf(0.975, n - 1)))


def _nearest(points: Tensor, others: Tensor) -> Near:
    from benchmarks.metrics.neighbours import nearest

    found = nearest(points, others)
    return Near(found.squared[:, 0].sqrt().numpy(), found.index[:, 0].numpy())


def _numbered(groups: Sequence[str]) -> NDArray[np.int64]:
    """Patients as 0, 1, ..."""
    return np.unique(np.asarray(groups), return_inverse=True)[1].reshape(-1)


def require_enough(members: Sequence[str], outsiders: Sequence[str]) -> None:
    """Refuse sets, by the patient of each image, that are too small for any of these numbers.

    Raises
    ------
    Unavailable
        With fewer than `MIN_N` images or `MIN_PATIENTS` patients of either.
    """
    for least, what, (a, b) in (
        (MIN_N, "training and held-out images", (len(members), len(outsiders))),
        (MIN_PATIENTS, "patients with training and with held-out images", (len(set(members)), len(set(outsiders)))),
    ):
        if min(a, b) < least:
            raise Unavailable(f"needs {least} {what}; there are {a} and {b}")


def outsider_rows(*, val: Tensor, train: Tensor) -> NDArray[np.int64]:  # uint8 (N, C, H, W) each
    """Rows of val that are not in train too, pixel for pixel: the outsiders."""
    return np.flatnonzero(~exact_copies(val, train))


def pixel_vectors(images: Tensor, *, chunk: int = 4096) -> NDArray[np.float32]:
    """Pixels as vectors: averaged down to 32 px a side, less their mean, of length 1.

    For two images of correlation r the squared Euclidean distance is 2 (1 - r): exposure and contrast do not matter,
    place does. An image of one grey alone becomes 0.

    Parameters
    ----------
    images : uint8 (N, C, H, W).

    Returns
    -------
    float32 (N, D).
    """
    import torch

    parts = []
    for start in range(0, len(images), chunk):
        part = images[start : start + chunk].float()
        if part.shape[-1] > SIDE:
            part = torch.nn.functional.interpolate(part, (SIDE, SIDE), mode="area")
        flat = part.flatten(1).double()
        flat -= flat.mean(dim=1, keepdim=True)
        length = flat.norm(dim=1, keepdim=True)
        parts.append(torch.where(length > 1e-6, flat / length.clamp(min=1e-6), 0.0).float().numpy())
    return np.concatenate(parts)


def exact_copies(synthetic: Tensor, members: Tensor) -> NDArray[np.bool_]:  # uint8 (N, C, H, W) each -> (N,)
    """Whether each synthetic image equals a member in every pixel."""
    known = set(pixel_digests(members))
    return np.array([digest in known for digest in pixel_digests(synthetic)], dtype=bool)
