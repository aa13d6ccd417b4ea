"""What `python -m data.audit` prints: tables of a `DatasetAudit`. Computes nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from data.audit.duplicates import CONSTANT_STD
from data.audit.shortcuts import CROSSED, NOTABLE, ON_TEST

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from data.audit.report import DatasetAudit
    from data.audit.shortcuts import Shortcut

N_ROWS = 10  # of a list
NOT_KNOWN = "not known"


def print_audit(out: Console, found: DatasetAudit) -> None:
    """All tables, and the findings at the end."""
    from rich.markup import escape

    _print_counts(out, found)
    _print_together(out, found)
    _print_films(out, found)
    _print_near(out, found)
    _print_shortcuts(out, found)
    _print_seen(out, found)
    for name, value in found.notes.items():
        out.print(escape(f"note: {name}: {value}"))
    for skip in found.skipped[:N_ROWS]:
        out.print(escape(f"left out: {skip['id']} ({skip['split']}): {skip['reason']}"))
    out.print()
    warnings = found.warnings()
    for line in warnings:
        out.print(escape(f"FOUND  {line}"), style="bold")
    if not warnings:
        out.print("FOUND  nothing", style="bold")


def _table(title: str, columns: Sequence[str], *, left: int = 1) -> Table:
    from rich.table import Table

    made = Table(title=title, title_justify="left", title_style="bold", header_style="bold")
    for number, column in enumerate(columns):
        made.add_column(column, justify="left" if number < left else "right", overflow="fold")
    return made


def _print_counts(out: Console, found: DatasetAudit) -> None:
    from rich.markup import escape

    leaks = found.leaks
    splits = list(leaks.n_images)
    made = _table("films by split", ("", *splits))
    made.add_row("films", *(f"{leaks.n_images[s]:,}" for s in splits))
    unknown = leaks.known.unknown
    made.add_row("patients", *(NOT_KNOWN if unknown else f"{leaks.n_patients[s]:,}" for s in splits), end_section=True)
    for name in found.classes:
        made.add_row(escape(name), *(_share(leaks.counts[s][name], leaks.n_images[s]) for s in splits))
    if found.multilabel:
        made.add_row("none of these", *(_share(found.without_finding[s], leaks.n_images[s]) for s in splits))
    for name, by_split in found.attributes.items():
        made.add_section()
        for value in sorted(set().union(*by_split.values())):
            row = (_share(by_split.get(s, {}).get(value, 0), leaks.n_images[s]) for s in splits)
            made.add_row(escape(f"{name} {value or 'not given'}"), *row)
    out.print(made)


def _share(n: int, whole: int) -> str:
    return f"{n:,} ({100 * n / whole:.1f} %)" if whole else "0"


def _print_together(out: Console, found: DatasetAudit) -> None:
    """Pairs of findings that stand together most often, over all splits."""
    from rich.markup import escape

    if not found.together:
        return
    matrix = np.sum(list(found.together.values()), axis=0)
    pairs = [(int(matrix[i, j]), i, j) for i in range(len(matrix)) for j in range(i)]
    made = _table("findings that stand together, all splits", ("findings", "films", "share of the rarer"))
    for n, i, j in sorted(pairs, reverse=True)[:N_ROWS]:
        if n:
            rarer = min(matrix[i, i], matrix[j, j])
            made.add_row(escape(f"{found.classes[j]} + {found.classes[i]}"), f"{n:,}", f"{100 * n / rarer:.1f} %")
    if made.row_count:
        out.print(made)


def _print_films(out: Console, found: DatasetAudit) -> None:
    leaks, near = found.leaks, found.near

    def by_patient(items: Sequence[object]) -> str:
        return NOT_KNOWN if leaks.known.unknown else str(len(items))

    made = _table("films that are there twice, or show nothing", ("", "found"))
    made.add_row("image ids in more than one split", str(len(leaks.shared_ids)))
    made.add_row("patients in more than one split", by_patient(leaks.shared_patients))
    made.add_row("groups of equal films", str(len(leaks.duplicates)))
    made.add_row("  across splits", str(len(leaks.across)))
    made.add_row("  with different labels", str(len(leaks.conflicts)))
    made.add_row("  under several patients", by_patient(found.filed_twice))
    made.add_row(f"pairs of near duplicates across splits (from {near.threshold})", f"{near.n_pairs:,}")
    made.add_row("  with different labels", str(len(near.conflicts)))
    made.add_row(f"constant films (below {CONSTANT_STD:g} grey levels)", str(sum(map(len, found.constant.values()))))
    made.add_row("films left out at preparation", str(len(found.skipped)))
    out.print(made)


def _print_near(out: Console, found: DatasetAudit) -> None:
    """Near duplicates; or, where there are none, how near the nearest come."""
    from rich.markup import escape

    near = found.near
    if near.pairs:
        made = _table("near duplicates across splits, nearest first", ("film", "film", "similarity", "labels"), left=2)
        for pair in near.pairs[:N_ROWS]:
            labels = "differ" if pair.conflict else "same"
            made.add_row(*(escape(":".join(p)) for p in (pair.first, pair.second)), f"{pair.similarity:.3f}", labels)
        out.print(made)
    elif near.closest:
        out.print(f"no near duplicate across splits: the nearest two films come to {near.closest[0].similarity:.3f}")


def _print_shortcuts(out: Console, found: DatasetAudit) -> None:
    from rich.markup import escape

    if not found.shortcuts:
        out.print("no attribute (view, sex, age) is given: shortcuts cannot be measured")
        return
    attributes = list(dict.fromkeys(s.attribute for s in found.shortcuts))
    title = f"AUROC of attributes alone, 95 % interval over patients (! lies above {NOTABLE})"
    made = _table(title, ("class", *attributes, "with / without", "read on"))
    for name in dict.fromkeys(s.class_name for s in found.shortcuts):
        rows = [s for s in found.shortcuts if s.class_name == name]
        counts = f"{rows[0].n_positive:,} / {rows[0].n_negative:,}"
        made.add_row(escape(name), *map(_cell, rows), counts, "test" if rows[0].basis == ON_TEST else "folds")
    out.print(made)
    bases = {"test": ON_TEST, "folds": CROSSED}
    said = [f"{word}: {basis}" for word, basis in bases.items() if any(s.basis == basis for s in found.shortcuts)]
    notes = dict.fromkeys(s.note for s in found.shortcuts if s.note)
    out.print("; ".join([*said, *map(escape, notes)]))


def _print_seen(out: Console, found: DatasetAudit) -> None:
    """Of each thing that can be seen at a glance, the class that it tells best."""
    from rich.markup import escape

    if not found.seen:
        return
    title = f"AUROC of what is seen at a glance, the class it tells best (! its interval lies above {NOTABLE})"
    made = _table(title, ("seen", "class", "AUROC", "with / without", "read on"), left=2)
    for name in dict.fromkeys(s.attribute for s in found.seen):
        best = max((s for s in found.seen if s.attribute == name), key=lambda s: s.auroc or 0.0)
        counts = f"{best.n_positive:,} / {best.n_negative:,}"
        read = "test" if best.basis == ON_TEST else "folds"
        made.add_row(escape(name), escape(best.class_name), _cell(best), counts, read)
    out.print(made)


def _cell(shortcut: Shortcut) -> str:
    if shortcut.auroc is None:
        return "null"
    if shortcut.low is None:
        return f"{shortcut.auroc:.2f} "
    low, high = (f"{end:.2f}".lstrip("0") for end in (shortcut.low or 0.0, shortcut.high or 0.0))
    return f"{shortcut.auroc:.2f} [{low}, {high}]{'!' if shortcut.notable else ' '}"
