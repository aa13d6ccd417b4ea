"""What a command prints: plan, table of arms, verdicts, timings. Reads records, computes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from benchmarks.metrics.declare import PIXELS
from benchmarks.metrics.near_copies import COPY
from benchmarks.records.telling import telling
from benchmarks.report.columns import FIDELITY, added_names, fidelity_columns, utility_columns, value_of
from benchmarks.request.spec import NONE
from benchmarks.verdicts.copying import copying_sentences
from benchmarks.verdicts.sentences import sharing_sentence, worth_sentence
from synthworth.printable import console as console

if TYPE_CHECKING:
    from rich.console import Console

STAGES = {
    "data": "data", "fit": "fit generator", "pool": "draw images", "features": "extract features",
    "classify": "train classifiers", "elsewhere": "predict elsewhere",
    "judge": "measure and record (in the harness too)",
}  # fmt: skip
P_TITLE = "p (seeds and patients)"
"""The one p beside an interval: below 0.05 where the interval excludes 0."""
COMPARED = ("comparisons", "not_compared")
"""Parts of a record that hold its comparisons by control."""
MEASURED = ("fit", "pool", "features", "classify", "elsewhere")


def table(title: str, columns: Sequence[str], *, left: int = 1) -> Table:
    """An empty table whose first `left` columns are text and the others numbers."""
    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for number, column in enumerate(columns):
        made.add_column(column, justify="left" if number < left else "right", overflow="fold")
    return made


def number(value: Mapping[str, Any] | None, digits: int = 3) -> str:
    """`0.812 [0.790, 0.834]`, or `null` (the note stands below the table)."""
    if value is None or value["value"] is None:
        return "null"
    text = f"{value['value']:.{digits}f}"
    if value.get("low") is not None:
        text += f" [{value['low']:.{digits}f}, {value['high']:.{digits}f}]"
    return text


def print_arms(out: Console, records: Sequence[Mapping[str, Any]]) -> None:
    """Utility of every arm, with intervals."""
    columns = utility_columns()
    made = table("utility on test (mean over seeds, 95 % interval)", ("arm", *columns.values()))
    notes: dict[str, None] = {}
    for record in records:
        found = {metric: value_of(record["utility"], metric) for metric in columns}
        made.add_row(escape(record["name"]), *map(number, found.values()))
        notes |= {v["note"]: None for v in found.values() if v and v["value"] is None}
    out.print(made)
    for note in notes:
        out.print(f"null: {escape(note)}", soft_wrap=True)


def fidelity_rows(record: Mapping[str, Any]) -> dict[tuple[str, int], dict[str, Mapping[str, Any]]]:
    """A record's numbers on an extractor's features, by (name of the features, n), then by metric."""
    found: dict[tuple[str, str | None, int], dict[str, Mapping[str, Any]]] = {}
    for value in record["fidelity"].values():
        if value["extractor"] is not None:
            where = value["extractor"], value["features"], value["n"]
            found.setdefault(where, {})[str(value["metric"])] = value
    rows: dict[tuple[str, int], dict[str, Mapping[str, Any]]] = {}
    for (extractor, features, n), row in found.items():
        names = [row[m]["alias"].upper() for m in FIDELITY if m in row and row[m]["alias"]]
        rows[f"{extractor} ({', '.join(names)})" if names else features or extractor, n] = row
    return rows


def print_fidelity(out: Console, records: Sequence[Mapping[str, Any]]) -> None:
    """Fidelity of every arm that drew images, and below it the same numbers of real test images: the floor.

    Where the floor stands on fewer images, a row between the two has what moves with n, of as many of the arm's images.
    """
    columns = fidelity_columns()
    made = table("fidelity to real train images", ("arm", "features", "n", *columns.values()), left=2)
    notes: dict[str, None] = {}
    for record in records:
        for (extractor, n), row in fidelity_rows(record).items():
            found = {metric: row.get(metric) for metric in columns}
            made.add_row(escape(record["name"]), escape(extractor), str(n), *map(_bare, found.values()))
            floors = {c: v and v["extra"].get("floor") for c, v in found.items()}
            if any(f is not None for f in floors.values()):
                floor_n = next(f for v in found.values() if v and (f := v["extra"].get("floor_n")) is not None)
                if floor_n < n:
                    fewer = [v and v["extra"].get("at_floor_n") for v in found.values()]
                    if any(f is not None for f in fewer):
                        made.add_row("  as many of the arm's", "", str(floor_n), *map(_short, fewer), style="dim")
                    notes |= {_floor_note(any(f is not None for f in fewer)): None}
                made.add_row("  real test images", "", str(floor_n), *map(_short, floors.values()), style="dim")
            notes |= {f"null: {v['note']}": None for v in found.values() if v is not None and v["value"] is None}
    if made.row_count:
        out.print(made)
    for note in notes:
        out.print(escape(note), soft_wrap=True)
    for record in records:
        lines = ("class_consistency", "class_consistency_auroc", *added_names(PIXELS))
        seen = {n: v for n, v in record["fidelity"].items() if v["metric"] in lines}
        said = (f"{n} {_bare(v)}" + (f" (chance {v['extra']['chance']:.3g})" if "chance" in v["extra"] else "")
                for n, v in seen.items())  # fmt: skip
        if seen:
            out.print(escape(f"{record['name']}: {', '.join(said)}"))


def _floor_note(measured_again: bool) -> str:
    """What is said of a floor that stands on fewer images than the arm's numbers."""
    why = "real test images are fewer than the arm's, and FD and its like move with their number"
    if measured_again:
        return f"{why}: compare the floor with the row above it"
    return f"{why}: only KD, precision, density and FD at infinity compare with it"


def _short(number: float | None) -> str:
    return "" if number is None else f"{number:.4g}"


def print_privacy(out: Console, records: Sequence[Mapping[str, Any]]) -> None:
    """A line for every arm that drew images: near-copies, and what an attacker learns of who was trained on."""
    for record in records:
        if line := privacy_sentence(record):
            out.print(escape(line), soft_wrap=True)
            out.print(escape(f"  {left_sentence(record, records)}"), soft_wrap=True)
            for line in copying_sentences(record):
                out.print(escape(f"  {line}"), soft_wrap=True)


def privacy_sentence(record: Mapping[str, Any]) -> str:
    """Copy rate and membership attack, each in the space where it tells most; empty where nothing was drawn.

    With intervals and, in brackets, the space, what real test images come to there, and what share of real images is a
    near-copy by chance where that is more than one in a hundred.
    """
    privacy = record.get("privacy") or {}
    spaces = [str(v["features"]) for v in privacy.values() if v["metric"] == "copy_rate"]
    if not spaces:
        return ""

    def said(metric: str) -> str:
        value = telling(privacy, metric) or next(v for v in privacy.values() if v["metric"] == metric)
        floor = value["extra"].get("floor")
        said = [f"in {value['features']}"] + ([] if floor is None else [f"real {floor:.3f}"])
        if (chance := value["extra"].get("quantile", COPY)) > COPY:  # too few held-out images to tell 1 %
            said.append(f"chance {chance:.3f}")
        return f"{number(value)} ({', '.join(said)})"

    exact = privacy["exact_copy_rate"]["value"]
    whose = record["name"] + (" (the donor's patients)" if record["spec"].get("learn_from") else "")
    return (
        f"privacy of {whose}: copy rate {said('copy_rate')}, exact copies {exact:.3f}, membership AUROC "
        f"{said('membership_auroc')}, of the most exposed fifth {said('membership_auroc_exposed')}"
        + (f"; of {' and '.join(spaces)} whichever tells more" if len(spaces) > 1 else "")
    )


def left_sentence(record: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> str:
    """How many images of an arm are no near-copies, and the use that is left without them.

    The use is that of the arm itself where there are none, else of the arm that `--without-copies` trains, where it is
    among `records`.
    """
    left = record["privacy"]["n_without_copies"]
    if left["value"] is None:
        return f"without near-copies: null ({left['note']})"
    count = f"without near-copies: {left['value']:.0f} of {left['n']} images are left"
    arm = next((r for r in records if r["run_id"] == left["extra"]["run_id"]), None)
    if left["value"] == left["n"]:
        arm = record
    if arm is None:
        return f"{count}; train on others in their place with {left['extra']['option']}"
    return f"{count}; AUROC {number(arm['utility']['auroc'])}"


def _bare(value: Mapping[str, Any] | None) -> str:
    """The number alone, `null` where it is missing, nothing where the metric does not apply."""
    if value is None:
        return ""
    return "null" if value["value"] is None else f"{value['value']:.4g}"


def print_comparisons(out: Console, records: Sequence[Mapping[str, Any]]) -> None:
    """Every arm that is judged against each of its controls, and every other arm against real images alone."""
    made = table("AUROC, paired differences", ("arm", "against", "difference", "95 % interval", P_TITLE), left=2)
    for record in records:
        for control, row in record["comparisons"].items():
            made.add_row(
                escape(record["name"]), escape(control), f"{row['difference']:+.4f}",
                f"[{row['low']:+.4f}, {row['high']:+.4f}]", f"{row['p_interval']:.3f}",
            )  # fmt: skip
        for control, reason in record.get("not_compared", {}).items():
            made.add_row(escape(record["name"]), escape(control), "null", escape(reason), "")
    if made.row_count:
        out.print(made)


def against_none(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record of an arm that is not judged, with nothing but its difference to real images alone."""
    kept = {part: {k: v for k, v in record.get(part, {}).items() if k == NONE} for part in COMPARED}
    return {**record, **kept}


def judged(records: Sequence[Mapping[str, Any]], *, generator: str | None = None) -> list[Mapping[str, Any]]:
    """The arms a verdict is printed for: those of the generator asked for, else all that are no control."""
    tried = [r for r in records if any(r.get(part) for part in COMPARED)]
    asked = [r for r in tried if r["spec"]["generator"] == generator]
    return asked or [r for r in records if not r["is_control"]] or tried


def print_verdicts(out: Console, records: Sequence[Mapping[str, Any]]) -> None:
    """The verdict on each of these arms, and its worth where that was measured."""
    for record in records:
        out.print()
        out.print(escape(f"VERDICT  {record['verdict']}"), style="bold")
        if sentence := worth_sentence(record):
            out.print(escape(f"WORTH    {sentence}"), style="bold")
        if sentence := sharing_sentence(record):
            out.print(escape(f"SHARING  {sentence}"), style="bold")


def print_timings(out: Console, seconds: Mapping[str, float], made: Mapping[str, int], *, wall: float) -> None:
    """Where the wall time went; what is outside fit, drawing, features and classifiers is the harness's own."""
    rows = table("time", ("stage", "made", "seconds", "share"))
    for stage in STAGES:
        if stage in seconds:
            share = f"{100 * seconds[stage] / wall:.1f} %"
            rows.add_row(STAGES[stage], str(made.get(stage, 0)), f"{seconds[stage]:.1f}", share)
    spent = sum(seconds.get(stage, 0.0) for stage in MEASURED)
    rows.add_row(
        "harness (all else, imports and data too)",
        "",
        f"{wall - spent:.1f}",
        f"{100 * (1 - spent / wall):.1f} %",
    )
    rows.add_row("wall", "", f"{wall:.1f}", "100 %")
    out.print(rows)


def print_places(out: Console, results: Path, records: Sequence[Mapping[str, Any]]) -> None:
    """Where each record and its picture lie."""
    out.print()
    for record in records:
        folder = results / record["run_id"][:16]
        picture = f"  picture {folder / 'grid.png'}" if (folder / "grid.png").is_file() else ""
        out.print(escape(f"{record['name']}: record {folder / 'record.json'}{picture}"), soft_wrap=True)
