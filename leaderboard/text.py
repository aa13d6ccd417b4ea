"""How tables read: one page of Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.records.shape import reason_of
from benchmarks.report.footnotes import Notes
from benchmarks.request.spec import NONE
from leaderboard.figures import Drawn
from leaderboard.numbers import COSTS, FIDELITY, PRIVACY, RATES, Number, added_columns
from leaderboard.quality import LEAST
from leaderboard.tables import SEEN, Row, Table
from synthworth.escape import markdown_cell, markdown_text, picture_text

COLUMNS = {
    "auroc": "AUROC", "vs_none": "minus none", "p_none": "p", "holm_none": "Holm p",
    "vs_duplicate": "minus duplicate", "p_duplicate": "p", "holm_duplicate": "Holm p", "worth": "worth",
    "best_ratio": "best ratio (val)", "auprc": "AUPRC",
    "sensitivity_at_95_specificity": "sensitivity at 95 % specificity on val",
    "held_on_test": "specificity there on test", "balanced_accuracy": "balanced accuracy",
    "f1": "F1", "ece": "ECE", "ece_calibrated": "ECE calibrated", "fid": "FID", "kid": "KID",
    "fd_efficientnet_lite0": "FD (EfficientNet)", "kd_efficientnet_lite0": "KD (EfficientNet)",
    "manifold_precision_efficientnet_lite0": "precision (EfficientNet)",
    "manifold_recall_efficientnet_lite0": "recall (EfficientNet)",
    "density_efficientnet_lite0": "density (EfficientNet)", "coverage_efficientnet_lite0": "coverage (EfficientNet)",
    "manifold_precision": "precision (Inception)", "manifold_recall": "recall (Inception)",
    "density": "density (Inception)", "coverage": "coverage (Inception)", "inception_score": "IS",
    "copy_rate": "copy rate (pixels)", "copy_rate_features": "copy rate (EfficientNet)",
    "class_consistency_auroc": "class consistency (AUROC)",
    "fit_gflop": "fit GFLOP", "fit_seconds": "fit s", "draw_seconds_per_1000": "s per 1,000 images",
    "classifier_gflop": "classifier GFLOP", "classifier_seconds": "classifier s",
}  # fmt: skip
WITH_INTERVAL = ("auroc", "vs_none", "vs_duplicate", *PRIVACY, *RATES)
"""Numbers whose interval the page has."""
CLAIMS = "Verdicts by the records alone, of arms that are only claimed"
HOW_TO_READ = """## How to read this

- One table holds arms that can be compared: same real images, classifier, budget of optimiser steps and seeds.
- **AUROC** is the mean over classifier seeds, on test. Brackets are 95 % intervals over seeds and patients.
- **minus none** and **minus duplicate** are paired differences of AUROC: to real images alone, and to real images
  drawn again at the same ratio and mode. An interval that holds 0 shows no difference. **p** is that of the interval
  (seeds and patients): below 0.05 where the interval excludes 0. **Holm p** is the same, adjusted for all comparisons
  with the same control in the table; how many stands above it.
- **verdict**: `helps` and `hurts` are said where the Holm p is below 0.05; `by less than 0.01` where the difference is
  smaller than the margin that makes none in use; `positive control not shown` where further real images were tried in
  the same experiment and are not shown to help either.
- **worth** is what one added image did, in real images: 1 is as good as a further real image, 0 does nothing. It is
  read off the learning curve of real images alone; an end that leaves the measured range is written `...`.
- **rank** goes by AUROC. Arms share the rank of the arm that heads their group unless the paired interval of the
  difference to it excludes 0. FID and its like never rank: they do not tell what images are worth.
- **FID** and **FD** (lower is closer to the real training images) are written `value @n (floor value @n)`: n images,
  and the same distance of n real test images. Compare numbers only at the same n: where test has fewer images than the
  arm, `arm value @n` is the distance of as many of the arm's images, to be read against the floor.
- **situation**: what the synthetic images are put to the test for. *augmenting* adds them to all real ones,
  *replacing* puts them in the place of some, *balancing* fills up rarer classes, *pretraining* begins with them,
  *only* leaves the real ones out, *sharing* takes those that a donor hospital's films taught, or are.
- **best ratio (val)**: of the same arm at several ratios, real images alone (0) among them, the one with the highest
  AUROC on val. Test never chooses.
- **status**: *claimed*, taken from the record alone; *recomputed*, AUROC, both differences and the worth were made
  again here from the predictions beside it, and agree; *reproduced*, the run was carried out again here and agreed;
  *contradicted*, the predictions say another thing, and nothing of it is shown. Whatever the status, balanced accuracy,
  F1, sensitivity, ECE calibrated, best ratio, image quality, copy rates, class consistency and cost are the record's
  word: no predictions on test give them. Arms of which one is a claim are told apart only where
  their intervals do not touch: a paired interval, which needs the predictions of both, would tell more of them apart.
- Controls and points of the learning curve stand in a table of their own, below what is judged, with the same ranks.
- (contaminated) marks an arm with a part that was trained elsewhere and may have seen these films. It keeps its rank.
- **(EfficientNet)** and **(Inception)** say in whose features a number was measured: those of EfficientNet-Lite0, whose
  weights come with a package, or of the Inception of the literature. FID, KID and IS are of Inception's. **KID**,
  **KD**, **precision**, **recall**, **density** and **coverage** have their floor, as FID and FD.
- **copy rate**: share of images nearer to a training image than 1 % of held-out real images are, by pixels and in
  features.
- **GFLOP**: forward and backward, of the fit and of one training of the classifier.
- **class consistency**: how well a classifier trained on real images alone sees the label that was asked for.
- **fit s**, **classifier s** and **s per 1,000 images** are wall seconds on the machine named above the table.
- **Quality and usefulness**, below a table: Spearman's rank correlation of each fidelity number with the gain in AUROC
  over real images alone, signed so that +1 means the number tells what images are worth. Few arms give wide intervals.
- The CSV also holds the worst-group gap of each attribute (`gap_sex` and so on): AUROC of the best group of test images
  minus that of the worst. Its interval allows for the choice of the two; one that holds 0 shows no gap.
- (tuned) marks an arm whose options a search on val chose; the line above the table says among how many trials.
- (control) marks the fixed points that generators are read against. `null` is a missing number; the note says why.
"""


def markdown(
    tables: Sequence[Table],
    skipped: Sequence[str] = (),
    figures: Mapping[str, Sequence[Drawn]] | None = None,
    over: Sequence[str] = (),
) -> str:
    """Write the whole page.

    Parameters
    ----------
    skipped : which files are no records of this version.
    figures : by table key.
    over : what can be said of arms beyond one classifier, a line each.
    """
    parts = ["# Leaderboard\n", HOW_TO_READ, *(_table_text(t, (figures or {}).get(t.key, ())) for t in tables)]
    if over:
        parts.append("## Over several classifiers\n\n" + "".join(f"- {markdown_text(line)}\n" for line in over))
    if skipped:
        parts.append("## Not read\n\n" + "".join(f"- {markdown_text(line)}\n" for line in skipped))
    return "\n".join(parts)


def _table_text(table: Table, figures: Sequence[Drawn]) -> str:
    notes = Notes()
    lines = [f"## {markdown_text(table.heading)}", "", *(f"- {markdown_text(line)}" for line in table.facts), ""]
    judged = [row for row in table.rows if row.kind == "judged"]
    apart = [row for row in table.rows if row.kind != "judged"]
    lines += _rows_text(judged, notes)
    if not table.rows:
        lines.append("No arm of this setting has finished.")
    if apart:
        lines += [
            *([""] if judged else []),
            "Controls and points of the learning curve:",
            "",
            *_rows_text(apart, notes),
        ]
    lines += ["", *(f"- ({mark}) {markdown_cell(note)}" for note, mark in notes.marks.items())]
    if table.repeated:
        ids = ", ".join(i[:12] for i in table.repeated)
        lines.append(f"- the same arms with other extractors or controls, not counted twice: {ids}")
    said = [row for row in table.rows if row.standing.entry.spec["generator"] != NONE]
    for title, some in (
        ("Verdicts:", [row for row in said if row.status.word != "claimed"]),
        (f"{CLAIMS}:", [row for row in said if row.status.word == "claimed"]),
    ):
        lines += ["", title, "", *(f"- {markdown_text(_verdict(row))}" for row in some)] if some else []
    if table.pooled:
        lines += [
            "",
            "Over several trainings of a generator:",
            "",
            *(f"- {markdown_text(line)}" for line in table.pooled),
        ]
    if table.quality:
        lines += ["", *_quality_text(table)]
    for figure in figures:
        lines += ["", f"![{picture_text(f'{figure.title}: {table.heading}')}]({figure.path})"]
    if table.failed:
        lines += ["", "Not finished:", ""]
        lines += [
            f"- {markdown_text(r['name'])} ({r['run_id'][:12]}): {markdown_cell(reason_of(r))}" for r in table.failed
        ]
    return "\n".join(lines) + "\n"


def _verdict(row: Row) -> str:
    """The sentence of an arm; one that may have seen the films says so here too."""
    return f"{row.sentence} It {SEEN}." if row.contaminated else row.sentence


def _rows_text(rows: Sequence[Row], notes: Notes) -> list[str]:
    """The lines of one table of arms; none without any."""
    columns = _columns()
    titles = ["rank", "arm", "situation", *columns.values(), "verdict", "status"]
    ruled = ["---:", "---", "---", *["---:"] * len(columns), "---", "---"]
    head = [f"| {' | '.join(titles)} |", f"|{'|'.join(ruled)}|"]
    return [*head, *(f"| {' | '.join(_cells(row, notes, columns))} |" for row in rows)] if rows else []


def _quality_text(table: Table) -> list[str]:
    """The table of quality against usefulness."""
    titles = ("number", "arms", "agreement with the gain in AUROC", "without controls")
    lines = ["### Quality and usefulness", "", f"| {' | '.join(titles)} |", "|---|---:|---:|---:|"]
    for one in table.quality:
        shown = [f"{a.rho:+.2f} [{a.low:+.2f}, {a.high:+.2f}]" if a else "null" for a in (one.every, one.generators)]
        lines.append(f"| {markdown_cell(one.name)} | {one.every.n if one.every else one.n} | {shown[0]} | {shown[1]} |")
    return [*lines, "", f"`null`: fewer than {LEAST} arms, or all of them equal."]


def _cells(row: Row, notes: Notes, columns: Iterable[str]) -> list[str]:
    standing = row.standing
    rank = str(standing.rank) if standing.rank else f"null ({notes.mark(standing.missing['rank'])})"
    label = markdown_cell(row.label) + (" (control)" if standing.entry.record["is_control"] else "")
    label += f" (contaminated) ({notes.mark(row.contaminated)})" if row.contaminated else ""
    numbers = (cell(name, row.numbers[name], notes.mark) for name in columns)
    status = row.status.shown + (f" ({notes.mark(row.status.why)})" if row.status.why else "")
    return [rank, label, row.situation, *numbers, markdown_cell(row.verdict), status]


def _columns() -> dict[str, str]:
    """Number -> heading of the page's columns."""
    return COLUMNS | {name: markdown_cell(heading) for name, heading in added_columns().items()}


def cell(name: str, number: Number, mark: Any) -> str:
    """Write one number as text.

    Parameters
    ----------
    mark : `mark(note)` gives the letter of a footnote.
    """
    tail = f" ({mark(number.note)})" if number.note else ""
    if number.value is None:
        return f"null{tail}"
    sign = "+" if name.startswith("vs_") else ""
    if name in FIDELITY:
        floor = "null" if number.floor is None else f"{number.floor:.4g} @{number.floor_n}"
        if number.at_floor_n is not None:
            floor += f", arm {number.at_floor_n:.4g} @{number.floor_n}"
        return f"{number.value:.4g} @{number.n} (floor {floor}){tail}"
    if name in COSTS:
        return f"{number.value:,.1f}{tail}"
    if name == "best_ratio":
        return f"{number.value:g}{tail}"
    if name.startswith(("p_", "holm_")) and number.value < 0.0005:
        return f"< 0.001{tail}"
    text = f"{number.value:{sign}.3f}"
    if name == "worth":
        low, high = ("..." if x is None else f"{x:.2f}" for x in (number.low, number.high))
        return f"{number.value:.2f} [{low}, {high}]{tail}"
    if name in WITH_INTERVAL and number.low is not None and number.high is not None:
        text += f" [{number.low:{sign}.3f}, {number.high:{sign}.3f}]"
    return text + tail
