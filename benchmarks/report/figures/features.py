"""The picture of the features: real, held-out and synthetic images on two principal components of the real ones."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from synthworth.artifacts import write_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

PCA = "features.png"
REAL, HELD, FAKE = "#3b4252", "#5f8f4e", "#bf4a30"
MOST = 2000  # points of a kind that are drawn


def draw_features(
    file: Path,
    *,
    real: NDArray[np.floating],
    held_out: NDArray[np.floating],
    fake: NDArray[np.floating],
    name: str,
    space: str,
    seed: int,
) -> None:
    """Write a PNG. The components are fitted on `real` (train) alone; the axes hold 99.5 % of every kind.

    Parameters
    ----------
    real, held_out, fake : (N, D) features.
    seed : of the choice of points, where there are more than `MOST` of a kind.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from sklearn.decomposition import PCA

    components = PCA(2, svd_solver="full" if min(real.shape) < 500 else "randomized", random_state=0).fit(real)
    figure = Figure(figsize=(6.4, 5.2), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    shown, away = [], []
    kinds = ((real, REAL, "real, train", "o"), (held_out, HELD, "real, held out", "^"), (fake, FAKE, name, "o"))
    for number, (features, colour, label, mark) in enumerate(kinds):
        rows = np.random.default_rng([seed, number]).permutation(len(features))[:MOST]
        points = components.transform(features[rows])
        beside = components.inverse_transform(points) - features[rows]
        away.append(f"{np.median(np.linalg.norm(beside, axis=1)):.3g}")
        shown.append(np.quantile(points, (0.0025, 0.9975), axis=0))
        axes.scatter(
            *points.T, s=9, c=colour, marker=mark, alpha=0.45, linewidths=0, label=f"{label} ({len(features):,})"
        )
    low, high = np.min([s[0] for s in shown], axis=0), np.max([s[1] for s in shown], axis=0)
    reach = 0.06 * (high - low) + 1e-9
    axes.set_xlim(low[0] - reach[0], high[0] + reach[0])
    axes.set_ylim(low[1] - reach[1], high[1] + reach[1])
    share = components.explained_variance_ratio_
    axes.set_xlabel(f"first principal component ({share[0]:.0%} of the real variance)")
    axes.set_ylabel(f"second ({share[1]:.0%})")
    said = f"median distance from this plane: train {away[0]}, held out {away[1]}, added {away[2]}"
    axes.set_title(f"features of {space}\n{said}", loc="left", fontsize=10)
    axes.grid(alpha=0.2)
    axes.spines[["top", "right"]].set_visible(False)
    legend = figure.legend(frameon=False, fontsize=9, markerscale=1.8, loc="outside lower center", ncols=3)
    for handle in legend.legend_handles:
        handle.set_alpha(1)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    write_bytes(file, buffer.getvalue())
