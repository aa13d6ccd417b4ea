"""The figure of an audit: counts, co-occurrence or films per patient, nearest films, shortcuts, nearest pairs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from data.images import ImageSet, Split

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure
    from torch import Tensor

    from data.audit.report import DatasetAudit

N_PAIRS = 6
MOST_ANNOTATED = 15  # classes up to which a heat map holds numbers
COLOURS = {"train": "#4c72b0", "val": "#55a868", "test": "#dd8452", "reserve": "#8c8c8c"}
WARNING = "#c44e52"


def draw_audit(found: DatasetAudit, sets: Mapping[Split, ImageSet], file: Path, *, title: str) -> None:
    """Write the figure to `file` (PNG at 150 dpi, or PDF or SVG by its ending)."""
    import seaborn as sns
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    k = len(found.classes)
    n_marks = len({s.attribute for s in found.shortcuts}) or 1
    height = (max(3.0, 1.3 + 0.33 * k), max(3.0, 1.3 + 0.11 * k * n_marks), 2.05)
    with sns.axes_style("whitegrid"), sns.plotting_context("paper", font_scale=1.05):
        figure = Figure(figsize=(13.0, sum(height) + 0.5), layout="constrained")
        FigureCanvasAgg(figure)
        n = sum(found.leaks.n_images.values())
        patients = f"{sum(found.leaks.n_patients.values()):,} patients"
        whose = "patients not known" if found.leaks.known.unknown else patients
        figure.suptitle(f"{title}: {n:,} films of {whose}", fontsize=14, fontweight="bold")
        top, middle, bottom = figure.subfigures(3, 1, height_ratios=height)
        left, right = top.subplots(1, 2, width_ratios=(1, 1))
        _draw_counts(left, found)
        if found.multilabel:
            _draw_together(right, found)
        else:
            _draw_patients(right, sets)
        if found.shortcuts:
            left, right = middle.subplots(1, 2, width_ratios=(1, 1))
            _draw_shortcuts(right, found)
        else:
            left = middle.subplots()
        _draw_nearest(left, found)
        _draw_pairs(bottom, found, sets)
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, dpi=150)


def _title(ax: Axes, text: str) -> None:
    ax.set_title(text, loc="left", fontweight="bold", fontsize=11)


def _short(text: str, n: int = 26) -> str:
    return text if len(text) <= n else f"{text[: n - 1]}…"


def _draw_counts(ax: Axes, found: DatasetAudit) -> None:
    """Share of each split's films by class; the counts stand at the right."""
    leaks = found.leaks
    splits, names = list(leaks.n_images), list(found.classes)
    rows = np.arange(len(names))
    thick = 0.8 / len(splits)
    for number, split in enumerate(splits):
        n = leaks.n_images[split]
        shares = [100 * leaks.counts[split][name] / max(n, 1) for name in names]
        at = rows + (number - (len(splits) - 1) / 2) * thick
        ax.barh(at, shares, thick * 0.92, color=COLOURS[split])
    ax.set_yticks(rows, [_short(name) for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.set_xlabel("share of the split's films, %")
    ax.grid(axis="y", visible=False)
    for number, split in enumerate(splits):
        x, colour = 1.12 + 0.12 * number, COLOURS[split]
        ax.text(x, 1.02, split, transform=ax.transAxes, ha="right", va="bottom", color=colour, fontweight="bold")
        for row, name in enumerate(names):
            text = f"{leaks.counts[split][name]:,}"
            ax.text(x, row, text, transform=ax.get_yaxis_transform(), ha="right", va="center", color=colour)
    _title(ax, "Films by class and split")


def _draw_together(ax: Axes, found: DatasetAudit) -> None:
    """Of the films with the finding of the row, the share that shows the finding of the column."""
    import seaborn as sns

    matrix = np.sum(list(found.together.values()), axis=0).astype(np.float64)
    with_it = np.diag(matrix).copy()
    share = 100 * matrix / np.maximum(with_it, 1)[:, None]
    names = [_short(name, 18) for name in found.classes]
    few = len(names) <= MOST_ANNOTATED
    sns.heatmap(
        share,
        ax=ax,
        mask=np.eye(len(names), dtype=bool),
        annot=few,
        fmt=".0f",
        annot_kws={"fontsize": 7.5},
        cmap="Blues",
        vmin=0,
        linewidths=0.5,
        xticklabels=names,
        yticklabels=[f"{name} ({int(n):,})" for name, n in zip(names, with_it, strict=True)],
        cbar_kws={"label": "of films with the row's finding, %"},
    )
    ax.set_facecolor("0.93")
    ax.grid(visible=False)
    ax.tick_params(axis="x", rotation=90, labelsize=8.5)
    ax.tick_params(axis="y", rotation=0, labelsize=8.5)
    _title(ax, "Findings that stand together, %")


def _draw_patients(ax: Axes, sets: Mapping[Split, ImageSet]) -> None:
    """How many films a patient has, as the share of each split's patients."""
    last = 8
    thick = 0.8 / len(sets)
    for number, (split, images) in enumerate(sets.items()):
        of_patient = np.array(list(Counter(images.groups).values()), dtype=np.int64)
        n = np.bincount(np.minimum(of_patient, last), minlength=last + 1)[1:]
        at = np.arange(1, last + 1) + (number - (len(sets) - 1) / 2) * thick
        label = f"{split.value} ({len(of_patient):,})"
        ax.bar(at, 100 * n / max(n.sum(), 1), thick * 0.92, color=COLOURS[split.value], label=label)
    ax.set_xticks(range(1, last + 1), [*map(str, range(1, last)), f"{last} or more"])
    ax.set_xlabel("films of a patient")
    ax.set_ylabel("share of the split's patients, %")
    ax.grid(axis="x", visible=False)
    ax.legend(title="patients", frameon=False)
    _title(ax, "Films per patient")


def _draw_nearest(ax: Axes, found: DatasetAudit) -> None:
    """Similarity of each film of the other splits to the nearest train film."""
    near = found.near
    drawn = {split: values for split, values in near.nearest.items() if len(values)}
    lowest = min([0.4, *(float(np.quantile(values, 0.005)) for values in drawn.values())])
    bins = np.linspace(max(lowest, -1.0), 1.0, 41)
    for split, values in drawn.items():
        weights = np.full(len(values), 100 / len(values))
        ax.hist(
            np.clip(values, bins[0], bins[-1]), bins, weights=weights, histtype="stepfilled", alpha=0.35,
            color=COLOURS[split], edgecolor=COLOURS[split], linewidth=1.4, label=f"{split} ({len(values):,})",
        )  # fmt: skip
    ax.axvline(near.threshold, color=WARNING, linestyle="--", linewidth=1.4)
    said = {"color": WARNING, "fontsize": 9, "rotation": 90, "ha": "left", "va": "top"}
    ax.text(
        near.threshold + 0.008, 0.97, f"reported from {near.threshold:g}", transform=ax.get_xaxis_transform(), **said
    )
    ax.set_xlim(bins[0], 1.005)
    ax.set_xlabel(f"similarity to the nearest train film ({near.n_pixels} px, local contrast)")
    ax.set_ylabel("share of the split's films, %")
    ax.set_ylim(0, 1.2 * ax.get_ylim()[1])  # room for the legend
    ax.legend(frameon=False, loc="upper left", ncols=len(drawn))
    _title(ax, f"Nearest train film: {near.n_pairs:,} near duplicates across splits")


def _draw_shortcuts(ax: Axes, found: DatasetAudit) -> None:
    """AUROC of attributes alone, with intervals."""
    import seaborn as sns

    _title(ax, "What attributes alone tell")
    measured = [s for s in found.shortcuts if s.auroc is not None]
    attributes = list(dict.fromkeys(s.attribute for s in measured))
    names = list(dict.fromkeys(s.class_name for s in measured))
    palette = sns.color_palette("deep", len(attributes))
    for number, attribute in enumerate(attributes):
        rows = [s for s in measured if s.attribute == attribute]
        at = [names.index(s.class_name) + (number - (len(attributes) - 1) / 2) * 0.8 / len(attributes) for s in rows]
        centre = np.array([s.auroc for s in rows], dtype=np.float64)
        ends = np.array([[s.low, s.high] for s in rows], dtype=np.float64).T
        ax.errorbar(
            centre, at, xerr=np.abs(ends - centre), fmt="os^Dvp*"[number % 7], markersize=4.5, linewidth=1.3,
            color=palette[number], label=attribute,
        )  # fmt: skip
    ax.axvline(0.5, color="0.4", linestyle="--", linewidth=1.2)
    ax.set_yticks(range(len(names)), [_short(name) for name in names])
    ax.set_ylim(len(names) - 0.5, -0.5)
    for edge in range(1, len(names)):
        ax.axhline(edge - 0.5, color="0.88", linewidth=0.8)
    ax.grid(axis="y", visible=False)
    low, high = ax.get_xlim()
    ax.set_xlim(min(low, 0.45), max(high, 0.65))
    ax.set_xlabel("AUROC with 95 % interval over patients (0.5: nothing)")
    ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _draw_pairs(area: SubFigure, found: DatasetAudit, sets: Mapping[Split, ImageSet]) -> None:
    """The most similar pairs across splits, equal ones first."""
    pairs = _pairs_to_show(found, sets)
    if not pairs:
        return
    area.suptitle("Equal films, and the nearest across splits", x=0.01, ha="left", fontweight="bold", fontsize=11)
    for part, (said, alarm, members) in zip(
        np.atleast_1d(area.subfigures(1, N_PAIRS, wspace=0.06)), pairs, strict=False
    ):
        part.suptitle(said, fontsize=9.5, color=WARNING if alarm else "0.2")
        for ax, (split, row) in zip(part.subplots(1, 2), members, strict=True):
            images = sets[split]
            _show(ax, images.images[row])
            name = images.ids[row]
            ax.set_title(split.value, fontsize=8.5, color=COLOURS[split.value], pad=2)
            text = f"{name if len(name) <= 16 else '…' + name[-15:]}\n{_short(_labels(images, row), 17)}"
            ax.set_xlabel(text, fontsize=6.5, labelpad=2)


def _pairs_to_show(found: DatasetAudit, sets: Mapping[Split, ImageSet]) -> list[tuple[str, bool, Sequence[Any]]]:
    """(caption, whether it is a finding, ((split, row), (split, row))): at most half of them of equal pixels."""
    shown: list[tuple[str, bool, Sequence[Any]]] = []
    across = found.leaks.across
    for group in [*across, *(g for g in found.filed_twice if g not in across)][: N_PAIRS // 2]:
        first = group.members[0]
        other = next((member for member in group.members if member[0] != first[0]), group.members[1])
        at = [(Split(split), sets[Split(split)].ids.index(name)) for split, name in (first, other)]
        said = "labels differ" if group.conflict else "two patients" if group.patients > 1 else ""
        shown.append((", ".join(["equal pixels", said] if said else ["equal pixels"]), True, at))
    for pair in found.near.closest[: N_PAIRS - len(shown)]:
        at = [(Split(pair.first[0]), pair.rows[0]), (Split(pair.second[0]), pair.rows[1])]
        alarm = pair.similarity >= found.near.threshold
        shown.append((f"{pair.similarity:.3f}{', labels differ' if alarm and pair.conflict else ''}", alarm, at))
    return shown


def _labels(images: ImageSet, row: int) -> str:
    if not images.multilabel:
        return images.classes[int(images.labels[row])]
    marked = [name for name, mark in zip(images.classes, images.labels[row].tolist(), strict=True) if mark]
    return ", ".join(marked) or "none"


def _show(ax: Axes, image: Tensor) -> None:
    pixels = image.permute(1, 2, 0).numpy()
    ax.imshow(pixels if pixels.shape[2] == 3 else pixels[..., 0], cmap="gray", vmin=0, vmax=255)
    ax.set_xticks([])
    ax.set_yticks([])
    ax.grid(visible=False)
