"""The figures of a table: gains, quality against usefulness, gain by ratio, and worth; PNG, from records alone."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.statistics.word import too_few_seeds
from benchmarks.verdicts.verdict import Kind
from leaderboard.canvas import MOST_ARMS, add_title, arm_name, canvas, heading_lines, is_control, left_out
from leaderboard.quality import LEAST
from leaderboard.tables import Row, Table, arm_of
from synthworth.artifacts import ensure_folder, write_bytes
from synthworth.keys import digest

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

FOLDER = "figures"
BETTER, WORSE, EQUAL, CONTROL, UNEQUAL = "#5f8f4e", "#bf4a30", "#3b4252", "#8a8f98", "#a9adb5"
COLOURS = {Kind.HELPS: BETTER, Kind.HURTS: WORSE, Kind.UNEQUAL: UNEQUAL}
"""Colour of an arm in the forest by its word; `EQUAL` for every other."""
MOST_SERIES = 20
"""Most lines of the figure of ratios; arms of further generators are left to the table."""


@dataclass(frozen=True)
class Drawn:
    """A figure that was written: what it shows, and its path below the page's folder."""

    title: str
    path: str


def draw_figures(table: Table, out: Path) -> tuple[Drawn, ...]:
    """Write the figures that a table has the numbers for into `out`/figures, and name them.

    Forest: the difference of every arm to real images alone. Quality: one fidelity number of every arm against its
    gain, from three arms on. Ratio: gain by ratio, where a generator was run at several. Worth: where it was measured.
    """
    kinds: tuple[tuple[str, str, Callable[[Table], Figure | None]], ...] = (
        ("forest", "difference to real images alone", draw_forest),
        ("quality", "quality against usefulness", draw_quality),
        ("ratio", "gain by ratio of added to real images", draw_ratio),
        ("worth", "worth of an added image in real images", draw_worth),
    )
    drawn = []
    for kind, title, draw in kinds:
        figure = draw(table)
        if figure is None:
            continue
        path = f"{FOLDER}/{table.key}-{kind}.png"
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", metadata={"Software": None})
        ensure_folder(out / FOLDER)
        write_bytes(out / path, buffer.getvalue())
        drawn.append(Drawn(title, path))
    return tuple(drawn)


# -- forest -------------------------------------------------------------------------------------------------------


def draw_forest(table: Table) -> Figure | None:
    """Every arm's paired difference of AUROC to real images alone, best first; None where no arm has one."""
    every = [row for row in table.rows if row.numbers["vs_none"].value is not None]
    if not every:
        return None
    rows = every[:MOST_ARMS]
    figure, axes = _lines(rows, table, "AUROC minus that of real images alone (95 % interval over seeds and patients)")
    axes.axvline(0, color="0.35", linewidth=1)
    for place, row in enumerate(rows):
        number = row.numbers["vs_none"]
        assert number.value is not None and number.low is not None and number.high is not None
        colour = COLOURS.get(row.word.kind, EQUAL)
        _interval(axes, place, row, number.value, number.low, number.high, colour=colour)
        text = f"{number.value:+.3f} [{number.low:+.3f}, {number.high:+.3f}]"
        axes.text(1.03, place, text, transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    reason = too_few_seeds(table.setting["seeds"])
    note = f"screening only: {reason}" if reason else "green helps, red hurts (after Holm), dark no difference shown"
    if any(row.word.kind is Kind.UNEQUAL for row in rows):
        note += ", grey unequal compute"
    add_title(figure, table, "What every arm gains over real images alone", f"{note}; open squares are controls",
           *left_out(every))  # fmt: skip
    return figure


def _lines(rows: Sequence[Row], table: Table, xlabel: str) -> tuple[Figure, Axes]:
    """An empty figure with a line an arm, names on the left, the first arm on top."""
    figure, axes = canvas(8.6, 1.75 + 0.29 * len(rows) + 0.17 * heading_lines(table))
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_yticks(range(len(rows)), [arm_name(row) for row in rows], fontsize=8.5)
    for label, row in zip(axes.get_yticklabels(), rows, strict=True):
        label.set_color("0.4" if is_control(row) else "black")
    axes.set_xlabel(xlabel, fontsize=9)
    axes.grid(axis="x", alpha=0.25)
    axes.tick_params(axis="y", length=0)
    return figure, axes


def _interval(axes: Axes, place: float, row: Row, value: float, low: float, high: float, *, colour: str) -> None:
    axes.plot([low, high], [place, place], color=colour, linewidth=1.6, solid_capstyle="butt", zorder=3)
    filled = "white" if is_control(row) else colour
    marker = "s" if is_control(row) else "o"
    axes.plot([value], [place], marker, color=colour, markerfacecolor=filled, markersize=6, zorder=4)


# -- quality against usefulness -----------------------------------------------------------------------------------


def draw_quality(table: Table) -> Figure | None:
    """One fidelity number of every arm against its gain, each arm with its number; None below three arms.

    The number is the one that most arms have, FID before others: its n is part of its name, so arms are compared at
    one n.
    """
    name = choose_quality(table)
    if name is None:
        return None
    points = list(_quality_points(table, name))
    named = points if len(points) <= MOST_ARMS else []
    figure, axes = canvas(9.2, max(4.6, 1.6 + 0.21 * max(len(named), 8)))
    axes.axhline(0, color="0.35", linewidth=1)
    for control, colour, marker in ((False, EQUAL, "o"), (True, CONTROL, "s")) if not named else ():
        gains = [(q, row.numbers["vs_none"].value or 0.0) for row, q in points if is_control(row) is control]
        axes.plot([q for q, _ in gains], [gain for _, gain in gains], marker, color=colour, markersize=3, alpha=0.6)
    for number, (row, quality) in enumerate(named, start=1):
        gain = row.numbers["vs_none"]
        assert gain.value is not None and gain.low is not None and gain.high is not None
        colour, marker = (CONTROL, "s") if is_control(row) else (EQUAL, "o")
        axes.plot([quality] * 2, [gain.low, gain.high], color=colour, linewidth=1, alpha=0.55, zorder=2)
        axes.plot([quality], [gain.value], marker, color=colour, markersize=4, label=f"{number}  {arm_name(row)}")
    values = [quality for _, quality in points]
    if min(values) > 0 and max(values) > 20 * min(values):
        from matplotlib.ticker import LogLocator, NullFormatter

        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.06, y=0.08)
    lower = points[0][0].standing.entry.record["fidelity"][name]["direction"] == "lower"
    axes.set_xlabel(f"{name} ({'lower is closer to' if lower else 'higher is closer to'} real)", fontsize=9)
    axes.set_ylabel("AUROC minus that of real images alone", fontsize=9)
    axes.grid(alpha=0.25)
    unnamed = [] if named else [f"{len(points)} arms, too many to be named here; squares are controls"]
    if named:
        axes.legend(
            frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.01), handlelength=0, handletextpad=0,
            markerscale=0, labelspacing=0.35,
        )  # fmt: skip
    add_title(figure, table, "Does quality tell usefulness?", _correlation(table, name), *unnamed)
    if named:
        _number(axes, [(quality, row.numbers["vs_none"].value or 0.0, is_control(row)) for row, quality in named])
    return figure


def _number(axes: Axes, points: Sequence[tuple[float, float, bool]]) -> None:
    """A disc with its number on every point (x, y, whether a control), or beside it where two would overlap."""
    figure = axes.figure
    axes.set_xlim(axes.get_xlim())
    axes.set_ylim(axes.get_ylim())
    figure.draw_without_rendering()  # type: ignore[union-attr]
    places = axes.transData.transform([point[:2] for point in points])
    apart = push_apart(places, 14 * figure.dpi / 72)
    for number, ((x, y, control), place) in enumerate(zip(points, apart, strict=True), start=1):
        at = axes.transData.inverted().transform(place)
        colour = CONTROL if control else EQUAL
        axes.plot([x, at[0]], [y, at[1]], color=colour, linewidth=0.8, zorder=3, clip_on=False)
        axes.plot(
            *at, "s" if control else "o", color=colour, markersize=12, zorder=4, markeredgecolor="white", clip_on=False
        )
        axes.annotate(
            str(number), tuple(at), color="white", fontsize=7, fontweight="bold", ha="center", va="center_baseline",
            zorder=5, annotation_clip=False,
        )  # fmt: skip


def push_apart(places: NDArray[np.float64], distance: float) -> NDArray[np.float64]:
    """Move points as little as it takes for any two to be `distance` apart: pairs push each other away.

    Parameters
    ----------
    places : (N, 2)

    Returns
    -------
    (N, 2)
    """
    moved = np.array(places, dtype=np.float64)
    turn = np.arange(len(moved)) * 2.4  # equal points part in different directions
    moved += 1e-3 * distance * np.stack([np.cos(turn), np.sin(turn)], axis=1)
    for _ in range(500):
        between = moved[:, None] - moved[None]
        length = np.hypot(between[..., 0], between[..., 1]) + np.eye(len(moved))
        lacking = np.triu(np.maximum(distance - length, 0), 1)
        lacking += lacking.T
        if not lacking.any():
            break
        moved += 0.55 * (between / length[..., None] * lacking[..., None]).sum(axis=1)
    return moved


def choose_quality(table: Table) -> str | None:
    """Name of the fidelity number that most arms with a gain have: FID before Frechet distances before others."""
    gains = [row for row in table.rows if row.numbers["vs_none"].value is not None and not row.contaminated]
    names: dict[str, int] = {}
    fids: set[str] = set()
    for row in gains:
        for name, value in row.standing.entry.record["fidelity"].items():
            if value["value"] is not None and value["metric"] == "fd":
                names[name] = names.get(name, 0) + 1
                fids |= {name} if value["alias"] else set()
    found = sorted(names, key=lambda name: (-names[name], name not in fids, name))
    return found[0] if found and names[found[0]] >= 3 else None


def _quality_points(table: Table, name: str) -> Iterator[tuple[Row, float]]:
    for row in table.rows:
        value = row.standing.entry.record["fidelity"].get(name)
        there = row.numbers["vs_none"].value is not None and not row.contaminated
        if there and value is not None and value["value"] is not None:
            yield row, float(value["value"])


def _correlation(table: Table, name: str) -> str:
    """How the fidelity number agrees with the gain, in a line."""
    found = next((a for a in table.quality if a.name == name), None)
    if found is None or found.every is None:
        return f"fewer than {LEAST} arms, or all alike: no rank correlation"
    shown = [
        f"{what} {c.rho:+.2f} [{c.low:+.2f}, {c.high:+.2f}] of {c.n} arms"
        for what, c in (("with controls", found.every), ("without", found.generators))
        if c is not None
    ]
    return f"Spearman's rank correlation, +1 if quality tells usefulness: {'; '.join(shown)}"


# -- ratio --------------------------------------------------------------------------------------------------------


def draw_ratio(table: Table) -> Figure | None:
    """Gain by ratio, a line a generator and mode; None where no arm was run at two ratios."""
    from matplotlib import colormaps

    series = ratio_series(table)
    if not series:
        return None
    left_out, series = max(len(series) - MOST_SERIES, 0), dict(list(series.items())[:MOST_SERIES])
    figure, axes = canvas(9.2, max(4.4, 1.8 + 0.21 * len(series)))
    axes.axhline(0, color="0.35", linewidth=1)
    ratios = sorted({_ratio(row) for rows in series.values() for row in rows})
    gap = float(np.diff(np.log2(ratios)).min())
    palette, modes = colormaps["tab10"], sorted({str(rows[0].standing.entry.spec["mode"]) for rows in series.values()})
    generators = list(dict.fromkeys(rows[0].standing.entry.spec["generator"] for rows in series.values()))
    styles = ("-", "--", ":", "-.", (0, (5, 1, 1, 1, 1, 1)))
    for number, (name, rows) in enumerate(series.items()):
        spec = rows[0].standing.entry.spec
        aside = 2 ** (0.3 * gap * ((number + 0.5) / len(series) - 0.5))  # next to one another, not on top
        gains = [row.numbers["vs_none"] for row in rows]
        heights = [gain.value for gain in gains]
        reach = [[g.value - g.low for g in gains], [g.high - g.value for g in gains]]  # type: ignore[operator]
        control = is_control(rows[0])
        colour = CONTROL if control else palette(generators.index(spec["generator"]) % 10)
        axes.errorbar(
            [_ratio(row) * aside for row in rows], heights, yerr=reach, color=colour, capsize=2, markersize=5,  # type: ignore[arg-type]
            linewidth=1.5, elinewidth=1, marker="s" if control else "o", markerfacecolor="white" if control else colour,
            linestyle=styles[modes.index(str(spec["mode"])) % len(styles)], label=name,
        )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_xticks(ratios, [f"{ratio:g}" for ratio in ratios])
    axes.minorticks_off()
    axes.set_xlabel("ratio: added images for each real one (log scale)", fontsize=9)
    axes.set_ylabel("AUROC minus that of real images alone", fontsize=9)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.01), handlelength=2.6)
    notes = [f"{left_out} further lines are in the table alone"] if left_out else []
    add_title(figure, table, "How many added images?", "bars are 95 % intervals; open squares are controls", *notes)
    return figure


def ratio_series(table: Table) -> dict[str, list[Row]]:
    """Arms that differ in their ratio alone, in its order, by what they share; those with two ratios or more.

    One that may have seen the films is on no curve.
    """
    found: dict[str, list[Row]] = {}
    for row in table.rows:
        spec = row.standing.entry.spec
        if row.numbers["vs_none"].value is not None and spec["ratio"] > 0 and not row.contaminated:
            shared = {k: v for k, v in arm_of(spec).items() if k != "ratio"}
            found.setdefault(digest(shared), []).append(row)
    kept = [sorted(rows, key=_ratio) for rows in found.values() if len({_ratio(row) for row in rows}) > 1]
    named: dict[str, list[Row]] = {}
    again: Counter[str] = Counter()
    for rows in sorted(kept, key=lambda rows: (is_control(rows[0]), rows[0].label)):
        name = _without_ratio(rows[0])
        again[name] += 1
        named[f"{name} #{again[name]}" if again[name] > 1 else name] = rows
    return named


def _ratio(row: Row) -> float:
    return float(row.standing.entry.spec["ratio"])


def _without_ratio(row: Row) -> str:
    return arm_name(row).replace(f" {_ratio(row):g}", "", 1)


# -- worth --------------------------------------------------------------------------------------------------------


def draw_worth(table: Table) -> Figure | None:
    """What a synthetic image of every arm was worth in real ones; None where no arm has a learning curve."""
    believed = [row for row in table.rows if row.standing.contradicted is None]
    rows = [row for row in believed if (row.standing.worth or {}).get("where")]
    if not rows:
        return None
    every, rows = rows, rows[:MOST_ARMS]
    found = {row.standing.entry.run_id: row.standing.worth or {} for row in rows}
    figure, axes = _lines(rows, table, "real images that one added image was worth (95 % interval)")
    ends = [x for w in found.values() for x in (w["worth"], w["low"], w["high"]) if x is not None] + [0.0, 1.0]
    low, high = min(ends), max(ends)
    reach = 0.08 * (high - low)
    axes.set_xlim(low - reach, high + reach)
    axes.axvline(0, color="0.35", linewidth=1)
    axes.axvline(1, color="0.35", linewidth=1, linestyle="--")
    for place, row in enumerate(rows):
        worth = found[row.standing.entry.run_id]
        _draw_one_worth(axes, place, row, worth, (low - 0.7 * reach, high + 0.7 * reach))
        axes.text(1.03, place, _worth_text(worth), transform=axes.get_yaxis_transform(), va="center", fontsize=8)
    add_title(
        figure, table, "What an added image was worth in real images",
        "0: nothing; 1 (dashed): a real image; arrows leave the measured learning curve; open squares are controls",
        *left_out(every),
    )  # fmt: skip
    return figure


def _draw_one_worth(axes: Axes, place: int, row: Row, worth: Mapping[str, Any], limits: tuple[float, float]) -> None:
    if worth["where"] == "on a flat curve":
        return
    colour = CONTROL if is_control(row) else EQUAL
    low, high = (limits[k] if worth[end] is None else worth[end] for k, end in enumerate(("low", "high")))
    axes.plot([low, high], [place, place], color=colour, linewidth=1.6, zorder=3, solid_capstyle="butt")
    for at, end, marker in ((low, "low", "<"), (high, "high", ">")):
        if worth[end] is None:
            axes.plot([at], [place], marker, color=colour, markersize=6, zorder=4, clip_on=False)
    if worth["worth"] is not None:
        filled = "white" if is_control(row) else colour
        marker = "s" if is_control(row) else "o"
        axes.plot([worth["worth"]], [place], marker, color=colour, markerfacecolor=filled, markersize=6, zorder=5)


def _worth_text(worth: Mapping[str, Any]) -> str:
    if worth["where"] == "on a flat curve":
        return "the learning curve is flat"
    low, high = ("..." if worth[end] is None else f"{worth[end]:.2f}" for end in ("low", "high"))
    return f"{worth['where'] if worth['worth'] is None else format(worth['worth'], '.2f')} [{low}, {high}]"
