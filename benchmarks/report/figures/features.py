"""The picture of the features: real, held-out and synthetic images on two principal components of the real ones."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synthworth.artifacts import write_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

PCA, POINTS = "features.png", "features.csv"
REAL, HELD, FAKE = "#3b4252", "#5f8f4e", "#bf4a30"
KINDS = REAL_TRAIN, REAL_HELD_OUT, SYNTHETIC = "real, train", "real, held out", "synthetic"
MOST = 2000  # points of a kind that are drawn
IN_CSV = 300
"""Points of a kind that are written as numbers: as many as a page draws."""


@dataclass(frozen=True)
class Plane:
    """Features of three kinds of images on two principal components of the real ones.

    Parameters
    ----------
    points : by kind, float64 (at most `MOST`, 2).
    n : by kind, how many images there are.
    away : by kind, the median distance of those points from the plane.
    share : of the real variance, what each component has.
    """

    points: Mapping[str, NDArray[np.float64]]
    n: Mapping[str, int]
    away: Mapping[str, float]
    share: tuple[float, float]

    @property
    def axes(self) -> tuple[str, str]:
        """Names of the two axes."""
        first, second = self.share
        return f"first principal component ({first:.0%} of the real variance)", f"second ({second:.0%})"


def plane_of(
    *, real: NDArray[np.floating], held_out: NDArray[np.floating], fake: NDArray[np.floating], seed: int
) -> Plane:
    """The plane of the two components that are fitted on `real` (train) alone.

    Parameters
    ----------
    real, held_out, fake : (N, D) features.
    seed : of the choice of points, where there are more than `MOST` of a kind.
    """
    from sklearn.decomposition import PCA

    components = PCA(2, svd_solver="full" if min(real.shape) < 500 else "randomized", random_state=0).fit(real)
    points, away = {}, {}
    kinds = dict(zip(KINDS, (real, held_out, fake), strict=True))
    for number, (kind, features) in enumerate(kinds.items()):
        rows = np.random.default_rng([seed, number]).permutation(len(features))[:MOST]
        points[kind] = components.transform(features[rows])
        beside = components.inverse_transform(points[kind]) - features[rows]
        away[kind] = float(np.median(np.linalg.norm(beside, axis=1)))
    first, second = components.explained_variance_ratio_
    return Plane(points, {kind: len(features) for kind, features in kinds.items()}, away, (first, second))


def draw_features(file: Path, plane: Plane, *, name: str, space: str) -> None:
    """Write a PNG; the axes hold 99.5 % of every kind.

    Parameters
    ----------
    name : of the arm.
    space : of the features.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 5.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for kind, colour, mark in zip(KINDS, (REAL, HELD, FAKE), "o^o", strict=True):
        label = f"{name if kind == SYNTHETIC else kind} ({plane.n[kind]:,})"
        axes.scatter(*plane.points[kind].T, s=9, c=colour, marker=mark, alpha=0.45, linewidths=0, label=label)
    shown = [np.quantile(points, (0.0025, 0.9975), axis=0) for points in plane.points.values()]
    low, high = np.min([s[0] for s in shown], axis=0), np.max([s[1] for s in shown], axis=0)
    reach = 0.06 * (high - low) + 1e-9
    axes.set_xlim(low[0] - reach[0], high[0] + reach[0])
    axes.set_ylim(low[1] - reach[1], high[1] + reach[1])
    axes.set_xlabel(plane.axes[0])
    axes.set_ylabel(plane.axes[1])
    train, held, added = (f"{plane.away[kind]:.3g}" for kind in KINDS)
    said = f"median distance from this plane: train {train}, held out {held}, added {added}"
    axes.set_title(f"features of {space}\n{said}", loc="left", fontsize=10)
    axes.grid(alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    legend = figure.legend(frameon=False, fontsize=9, markerscale=1.8, loc="outside lower center", ncols=3)
    for handle in legend.legend_handles:
        handle.set_alpha(1)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    write_bytes(file, buffer.getvalue())


def write_points(file: Path, plane: Plane) -> None:
    """Write the first points of each kind as CSV: its kind, and the two coordinates under the names of the axes."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("kind", *plane.axes))
    for kind, points in plane.points.items():
        lines.writerows((kind, *(f"{value:.4g}" for value in point)) for point in points[:IN_CSV])
    write_bytes(file, text.getvalue().encode())
