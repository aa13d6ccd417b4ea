"""Which pictures a setting has, and which numbers of its arms go into each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, TypeVar

from benchmarks.request.spec import is_zero_line
from benchmarks.verdicts.verdict import Kind
from leaderboard.figures import choose_quality, ratio_series
from leaderboard.numbers import Number
from leaderboard.pages.details import Details
from leaderboard.pages.heat import Cell, draw_heat
from leaderboard.pages.intervals import Line, Mark, draw_lines
from leaderboard.pages.points import Level, Point, Series, draw_points
from leaderboard.pages.svg import NULL, Chart, Draw, minus
from leaderboard.pages.worth import front_chart
from leaderboard.quality import Correlation
from leaderboard.suite import dataset_of
from leaderboard.tables import SEEN, Row, Table

T = TypeVar("T")
COLOURS = ("s1", "s4", "s8", "s7", "s6", "s5")
"""Of generators, in the order of their names; s2 and s3 are the controls'."""
OF_WORD = {Kind.HELPS: "helps", Kind.HURTS: "hurts"}
SMALL = 420
"""Width in px of a picture that has another beside it."""
MOST_LINES, MOST_SERIES, MOST_HEAT, MOST_CLASSES, MOST_POINTS = 60, 8, 30, 20, 300
GAIN = "AUROC minus that of real images alone"


def charts_of(table: Table, details: Details) -> list[Chart]:
    """The pictures that a setting has the numbers for, in the order of a page.

    Parameters
    ----------
    details : what of a record its short form lacks.
    """
    clean = replace(table, rows=tuple(row for row in table.rows if not row.contaminated))
    n = len(table.rows) - len(clean.rows)
    left = f" Without {n} {'arm' if n == 1 else 'arms'} of the table that {SEEN}." if n else ""
    found = [forest(table), front_chart([table], f"{table.key}-worth")]
    joined = [
        ratio_curves(clean),
        learning_curve(clean, details),
        cost_against_gain(clean),
        quality_against_gain(clean),
    ]
    found += [chart and replace(chart, caption=chart.caption + left) for chart in joined]
    found += [by_class(table, details), gaps(table)]
    return [chart for chart in found if chart is not None]


def colours(table: Table) -> dict[str, str]:
    """Class of colour by generator that is judged in a table."""
    names = sorted({generator(row) for row in table.rows if row.kind == "judged"})
    return {name: COLOURS[k % len(COLOURS)] for k, name in enumerate(names)}


def colour_of(row: Row, table: Table) -> str:
    """Class of colour of an arm: its generator's; grey for a control, but for duplicates and further real images."""
    if row.kind == "judged":
        return colours(table)[generator(row)]
    return {"duplicate": "s2", "holdout_real": "s3"}.get(generator(row), "control")


def generator(row: Row) -> str:
    """The generator of an arm."""
    return str(row.standing.entry.spec["generator"])


def shown(number: Number, digits: int = 3, sign: str = "+") -> str:
    """A number with its interval, as pictures write it."""
    if number.value is None:
        return NULL
    text = minus(f"{number.value:{sign}.{digits}f}")
    if number.low is None or number.high is None:
        return text
    return minus(f"{text} [{number.low:{sign}.{digits}f}, {number.high:{sign}.{digits}f}]")


# -- gains --------------------------------------------------------------------------------------------------------


def forest(table: Table) -> Chart | None:
    """Every arm's gain over real images alone, what is judged before what it is read against."""
    have = [row for row in table.rows if row.numbers["vs_none"].value is not None]
    if not have:
        return None
    lines: list[Line] = []
    for title, judged in (("Judged", True), ("Controls and points of the learning curve", False)):
        mine = [row for row in have if (row.kind == "judged") is judged][:MOST_LINES]
        lines += [Line(title, heading=True)] if mine else []
        lines += [_gain_line(row) for row in mine]
    rows = tuple(
        (r.named, r.kind, r.situation, n.value, n.low, n.high, r.numbers["holm_none"].value, r.verdict)
        for r in have if (n := r.numbers["vs_none"])
    )  # fmt: skip
    marks = (Mark(0, "real images alone"),)
    return Chart(
        f"{table.key}-forest", "Gain of every arm over real images alone",
        "Paired difference of AUROC with its 95 % interval over seeds and patients. Green helps and red hurts after "
        "Holm's correction; the word stands in the table. Squares are controls.",
        lambda width: draw_lines(lines, marks, GAIN, width),
        ("arm", "kind", "situation", "gain", "low", "high", "holm_p", "verdict"), rows,
    )  # fmt: skip


def _gain_line(row: Row) -> Line:
    number = row.numbers["vs_none"]
    colour = OF_WORD.get(row.word.kind, "plain")
    return Line(row.named, number.value, number.low, number.high, colour, shown(number), row.kind != "judged",
                faint=bool(row.contaminated))  # fmt: skip


def ratio_curves(table: Table) -> Chart | None:
    """Gain by ratio, a line and its band a generator, against duplicates and real images alone."""
    found = ratio_series(table)
    if not found:
        return None
    series, rows = [], []
    for k, (name, arms) in enumerate(list(found.items())[:MOST_SERIES]):
        control = arms[0].kind != "judged"
        points = []
        for row in arms:
            number, ratio = row.numbers["vs_none"], float(row.standing.entry.spec["ratio"])
            said = f"{name}, ratio {ratio:g}: {shown(number)}"
            points.append(Point(ratio, number.value or 0.0, number.low, number.high, said))
            rows.append((name, ratio, number.value, number.low, number.high))
        series.append(Series(name, tuple(points), colour_of(arms[0], table), band=True, control=control, dash=k))
    ratios = sorted({p.x for one in series for p in one.points})
    levels = [Level(0, "real images alone"), *_control_levels(table, {generator(arms[0]) for arms in found.values()})]
    rows += [(level.name, None, level.at, level.low, level.high) for level in levels[1:]]
    return Chart(
        f"{table.key}-ratio", "How many added images?",
        "Gain in AUROC by the number of added images for each real one; areas are 95 % intervals. Squares: controls.",
        lambda width: draw_points(
            series, ("added images for each real one", GAIN), width, levels=levels, log=True, x_ticks=ratios
        ),
        ("arm", "ratio", "gain", "low", "high"), tuple(rows),
    )  # fmt: skip


def _control_levels(table: Table, drawn: set[str]) -> list[Level]:
    """Duplicates and further real images as lines across, where they have no curve: the first arm of each by label."""
    found = []
    for name, called in (("duplicate", "duplicates"), ("holdout_real", "further real images")):
        arms = sorted((row for row in table.rows if generator(row) == name), key=lambda row: row.label)
        arms = [row for row in arms if row.numbers["vs_none"].value is not None and name not in drawn]
        if arms:
            gain, ratio = arms[0].numbers["vs_none"], float(arms[0].standing.entry.spec["ratio"])
            said = f"{called} at ratio {ratio:g}"
            found.append(Level(gain.value or 0.0, said, gain.low, gain.high, colour_of(arms[0], table)))
    return found


def learning_curve(table: Table, details: Details) -> Chart | None:
    """AUROC of real images alone by their number, and where on it each arm comes to lie."""
    curve = next((c for row in table.rows if worthy(row) and (c := details.curve(row))), None)
    if curve is None:
        return None
    points = tuple(
        Point(p["n"], p["auroc"], p["low"], p["high"], f"{p['n']} real images: {p['auroc']:.3f}") for p in curve
    )
    series, rows = [Series("real images alone", points, "plain", band=True)], []
    rows += [("real images alone", p["n"], p["auroc"], p["low"], p["high"]) for p in curve]
    for row in [r for r in table.rows if worthy(r) and (r.kind == "judged" or colour_of(r, table) != "control")]:
        n, auroc = (row.standing.worth or {}).get("n_equivalent"), row.numbers["auroc"]
        if n is None or auroc.value is None or len(series) > MOST_SERIES:
            continue
        said = f"{row.label}: as {n:,.0f} real images"
        point = Point(n, auroc.value, auroc.low, auroc.high, said)
        control = row.kind != "judged"
        series.append(Series(row.label, (point,), colour_of(row, table), line=False, control=control))
        rows.append((row.label, n, auroc.value, auroc.low, auroc.high))
    ns = [p["n"] for p in curve]
    return Chart(
        f"{table.key}-curve", "Learning curve of real images, and where the arms lie on it",
        "An arm lies above the number of real images that would have done as well alone. Its worth is its gain in "
        "them, divided by the images that were added. Bars and area are 95 % intervals.",
        lambda width: draw_points(series, ("real training images", "AUROC"), width, log=True, x_ticks=ns),
        ("arm", "real_images", "auroc", "low", "high"), tuple(rows),
    )  # fmt: skip


def worthy(row: Row) -> bool:
    """Whether a worth was measured of an arm."""
    return bool((row.standing.worth or {}).get("where")) and row.standing.contradicted is None


# -- against gain -------------------------------------------------------------------------------------------------


def cost_against_gain(table: Table) -> Chart | None:
    """What fitting and drawing took against the gain, with the arms that nothing cheaper beats joined by a line."""
    arms = [(row, cost) for row in table.rows if row.kind == "judged" and (cost := _cost(row)) is not None]
    if len(arms) < 2:
        return None
    series, rows = [], []
    for name, colour in colours(table).items():
        mine = [(row, cost) for row, cost in arms if generator(row) == name]
        points = tuple(_against(row, cost, f"{cost:,.0f} s") for row, cost in thinned(mine))
        series += [Series(name, points, colour, line=False)] if points else []
        rows += [(row.label, cost, row.numbers["fit_gflop"].value, *_ends(row)) for row, cost in mine]
    edge, best = [], -2.0
    for row, cost in sorted(arms, key=lambda pair: pair[1]):
        if (gain := row.numbers["vs_none"].value or 0.0) > best:
            edge += [Point(cost, best), Point(cost, gain)] if edge else [Point(cost, gain)]
            best = gain
    edge.append(Point(max(cost for _, cost in arms), best))
    series.append(Series("no cheaper arm gained more", tuple(edge), "plain", dots=False, dash=1))
    costs = [cost for _, cost in arms]
    log = max(costs) > 5 * min(costs)
    return Chart(
        f"{table.key}-cost", "Cost against gain",
        "Seconds of fitting and drawing on the machine that is named in the setting. Gains that an interval does not "
        "tell apart are no order: the line joins estimates. The CSV has the operations too.",
        lambda width: draw_points(
            series, ("seconds to fit and draw", GAIN), width, levels=[Level(0, "real images alone")], log=log
        ),
        ("arm", "seconds", "fit_gflop", "gain", "low", "high"), tuple(rows),
    )  # fmt: skip


def thinned(arms: Sequence[T]) -> Sequence[T]:
    """At most `MOST_POINTS` of many arms, evenly over their order: a page draws no more, the CSV has all."""
    return arms[:: -(-len(arms) // MOST_POINTS) or 1]


def _cost(row: Row) -> float | None:
    """Seconds to fit, and to draw what was added; None where either is not known, or there is no gain."""
    fit, each = (row.numbers[name].value for name in ("fit_seconds", "draw_seconds_per_1000"))
    if fit is None or each is None or row.numbers["vs_none"].value is None:
        return None
    return fit + each * sum(row.standing.entry.record["counts"]["synthetic"].values()) / 1000 or None


def _against(row: Row, x: float, said: str) -> Point:
    number = row.numbers["vs_none"]
    return Point(x, number.value or 0.0, number.low, number.high, f"{row.label}: {said}, {shown(number)}")


def _ends(row: Row) -> tuple[float | None, float | None, float | None]:
    number = row.numbers["vs_none"]
    return number.value, number.low, number.high


def quality_against_gain(table: Table) -> Chart | None:
    """A fidelity number of every arm against its gain: whether quality tells usefulness."""
    name = choose_quality(table)
    if name is None:
        return None
    arms = [
        (row, float(value["value"])) for row in table.rows
        if (value := row.standing.entry.record["fidelity"].get(name)) and value["value"] is not None
        and row.numbers["vs_none"].value is not None
    ]  # fmt: skip
    groups: dict[str, list[tuple[Row, float]]] = {}
    for row, value in arms:
        kind = generator(row) if row.kind == "judged" or colour_of(row, table) != "control" else "other controls"
        groups.setdefault(kind, []).append((row, value))
    series = [
        Series(
            kind, tuple(_against(row, value, f"{value:.4g}") for row, value in thinned(mine)),
            colour_of(mine[0][0], table), line=False, control=mine[0][0].kind != "judged",
        )
        for kind, mine in groups.items()
    ]  # fmt: skip
    values = [value for _, value in arms]
    log = min(values) > 0 and max(values) > 8 * min(values)
    agreement = next((a for a in table.quality if a.name == name), None)
    return Chart(
        f"{table.key}-quality", "Does image quality tell usefulness?",
        f"{name}, lower is nearer to real images. {_rank_correlation(agreement.every if agreement else None)}",
        lambda width: draw_points(
            series, (name, GAIN), width, levels=[Level(0, "real images alone")], log=log
        ),
        ("arm", "kind", name, "gain", "low", "high"), tuple((r.label, r.kind, v, *_ends(r)) for r, v in arms),
    )  # fmt: skip


def _rank_correlation(found: Correlation | None) -> str:
    if found is None:
        return "Too few arms for a rank correlation."
    interval = f"{found.rho:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"
    return f"Spearman's rank correlation over {found.n} arms: {interval}; +1 would mean that quality tells usefulness."


# -- by class and group -------------------------------------------------------------------------------------------


def by_class(table: Table, details: Details) -> Chart | None:
    """AUROC of each class and arm, shaded by its difference to real images alone."""
    zero = next((row for row in table.rows if is_zero_line(row.standing.entry.spec)), None)
    judged = [row for row in table.rows if row.kind == "judged"]
    arms = ([zero] if zero else []) + (judged + [r for r in table.rows if r.kind == "control" and r is not zero])
    values = {row.named: found for row in arms[:MOST_HEAT] if (found := details.by_class(row))}
    classes = list(dict.fromkeys(name for found in values.values() for name in found))[:MOST_CLASSES]
    if len(classes) < 2 or len(values) < 2:
        return None
    base = values.get(zero.named, {}) if zero else {}
    grid = [[_cell(found.get(name), base.get(name), label == (zero and zero.named)) for name in classes]
            for label, found in values.items()]  # fmt: skip
    bound = max([abs(c.difference) for line in grid for c in line if c.difference is not None] or [0]) or 0.1
    rows = tuple((label, name, found.get(name), base.get(name)) for label, found in values.items() for name in classes)
    return Chart(
        f"{table.key}-classes", "AUROC by class",
        "Blue is above and orange below real images alone, which stand in the first line; the deepest shade is a "
        f"difference of {bound:.2f}. Differences of single classes have no interval here: read them as description.",
        lambda width: draw_heat(list(values), classes, grid, width, bound=bound),
        ("arm", "class", "auroc", "auroc_of_real_images_alone"), rows,
    )  # fmt: skip


def _cell(value: float | None, base: float | None, is_base: bool) -> Cell:
    if value is None:
        return Cell(NULL, None)
    return Cell(f"{value:.2f}".lstrip("0"), None if base is None or is_base else value - base)


def gaps(table: Table) -> Chart | None:
    """The gap between best and worst group of each attribute, for real images alone and every judged arm."""
    arms = [row for row in table.rows if row.kind == "judged" or is_zero_line(row.standing.entry.spec)]
    arms = [row for row in arms if not row.standing.contradicted][:MOST_HEAT]
    attributes = sorted({name for row in arms for name in row.standing.entry.record.get("subgroups", {})})
    lines: list[Line] = []
    rows: list[tuple[Any, ...]] = []
    for attribute in attributes:
        lines.append(Line(attribute, heading=True))
        for row in arms:
            found = row.standing.entry.record.get("subgroups", {}).get(attribute)
            gap: dict[str, Any] = dict(found["gap"]) if found else {"note": "there are no groups of this attribute"}
            number = Number(gap.get("value"), gap.get("low"), gap.get("high"))
            text = shown(number, 2, "") + (f" {gap['worst']}" if gap.get("worst") else "")
            control = row.kind != "judged"
            lines.append(Line(row.named, number.value, number.low, number.high, colour_of(row, table), text, control))
            rows.append((attribute, row.named, number.value, number.low, number.high, gap.get("best"),
                         gap.get("worst"), gap.get("note")))  # fmt: skip
    if not any(line.value is not None for line in lines):
        return None
    marks = (Mark(0, "no gap"),)
    return Chart(
        f"{table.key}-gaps", "Gaps between groups of patients",
        "AUROC of the best group minus that of the worst, named at the right; 95 % intervals that allow for the "
        "choice of the two. One that holds 0 shows no gap.",
        lambda width: draw_lines(lines, marks, "AUROC of the best group minus that of the worst", width),
        ("attribute", "arm", "gap", "low", "high", "best", "worst", "note"), tuple(rows),
    )  # fmt: skip


def reliability(table: Table, row: Row, name: str, details: Details) -> Chart | None:
    """How often a classifier was right, by how sure it was; None where the record has no bins."""
    found = details.calibration(row)
    series: list[Series] = []
    rows: list[tuple[Any, ...]] = []
    for part, title, colour in (("as_given", "as trained", "s2"), ("calibrated", "after temperature scaling", "s1")):
        bins = (found or {}).get(part)
        if not bins:
            continue
        together = list(zip(bins["confidence"], bins["correct"], bins["n"], strict=True))
        rows += [(title, *one) for one in together]
        points = tuple(Point(x, y, said=f"{title}: sure {x:.2f}, right {y:.2f}, n {n}") for x, y, n in together
                       if x is not None and y is not None)  # fmt: skip
        series.append(Series(title, points, colour, dash=len(series)))
    if not any(one.points for one in series):
        return None
    draw: Draw = lambda width: draw_points(series, ("how sure", "share that was right"), width, square=True)  # noqa: E731
    return Chart(
        name, f"Reliability: {row.named}, {dataset_of(table.setting)}",
        "On the diagonal a classifier is right as often as it is sure.", draw,
        ("which", "confidence", "correct", "n"), tuple(rows), wide=SMALL,
    )  # fmt: skip


def gains(rows: Sequence[tuple[Table, Row]], name: str, title: str) -> Chart | None:
    """The gain of one generator's arms, by setting."""
    lines: list[Line] = []
    numbers: list[tuple[Any, ...]] = []
    for heading in dict.fromkeys(table.heading for table, _ in rows):
        mine = [row for table, row in rows if table.heading == heading and row.numbers["vs_none"].value is not None]
        lines += [Line(heading, heading=True)] if mine else []
        lines += [_gain_line(row) for row in mine[:MOST_LINES]]
        numbers += [(heading, row.named, *_ends(row), row.verdict) for row in mine]
    if not numbers:
        return None
    return Chart(
        name, title, "Paired differences of AUROC with 95 % intervals. Green helps, red hurts, after Holm.",
        lambda width: draw_lines(lines[: 2 * MOST_LINES], (Mark(0, "real images alone"),), GAIN, width),
        ("setting", "arm", "gain", "low", "high", "verdict"), tuple(numbers),
    )  # fmt: skip
