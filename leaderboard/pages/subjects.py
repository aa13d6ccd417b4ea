"""What the page of a generator and the page of a dataset say, from the records of their arms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.export import facts
from benchmarks.records.shape import reason_of
from benchmarks.records.terms import licence_of
from leaderboard.pages.cards import Card, card_of
from leaderboard.pages.charts import charts_of, gains, reliability
from leaderboard.pages.details import Details
from leaderboard.pages.folder import Folder
from leaderboard.pages.names import dataset_page, generator_page, slug
from leaderboard.pages.pictures import Picture, copy_pictures
from leaderboard.pages.plain import ArmText, arm_texts, by_kind
from leaderboard.pages.spread import spread_chart
from leaderboard.pages.svg import Chart
from leaderboard.pages.worth import short_heading
from leaderboard.suite import dataset_of
from leaderboard.tables import Row, Table
from synthworth.errors import Unavailable

MOST_RUNS = 200
"""Most runs that a generator's page lists; the table of the front page has all of them."""
MOST_SETTINGS = 40
"""Most settings of a dataset whose arms its page lists, the first of them; of the others it has links to the table."""
MOST_ARMS = 100
"""Most arms of a setting that a dataset's page lists."""
MOST_LIMITS, LONGEST = 12, 180
INTENDED = (
    "To measure what synthetic images add to the training of a classifier. Whatever else images or generator are "
    "used for has to be shown by whoever does it."
)


@dataclass
class GeneratorPage:
    """One generator: its card, pictures, figures and runs."""

    name: str
    file: str
    card: Card
    options: list[tuple[str, str]] = field(default_factory=list)
    budget: str = ""
    about_data: list[str] = field(default_factory=list)
    parts: list[str] = field(default_factory=list)
    limits: list[str] = field(default_factory=list)
    contaminated: list[str] = field(default_factory=list)
    software: str = ""
    pictures: list[Picture] = field(default_factory=list)
    why_not: list[str] = field(default_factory=list)
    charts: list[Chart] = field(default_factory=list)
    runs: list[tuple[str, str, list[ArmText]]] = field(default_factory=list)
    n_runs: int = 0
    failed: list[tuple[str, str, str]] = field(default_factory=list)


@dataclass
class Setting:
    """One setting on the page of its dataset."""

    key: str
    heading: str
    short: str
    facts: tuple[str, ...]
    groups: list[tuple[str, list[ArmText]]]
    n_left: int
    charts: list[Chart]
    pooled: tuple[str, ...]
    failed: list[tuple[str, str, str]]


@dataclass
class DatasetPage:
    """One dataset: what is known of it, and its settings."""

    name: str
    file: str
    about: list[str]
    settings: list[Setting]
    n_arms: int
    others: list[tuple[str, str]] = field(default_factory=list)
    """Key and heading of settings that are in the table of the front page alone."""


def generator_names(tables: Sequence[Table]) -> list[str]:
    """Every generator, control and remedy with a record, what is judged first."""
    specs = [row.standing.entry.spec for table in tables for row in table.rows]
    names = {str(spec["generator"]) for spec in specs} | {
        str(record["spec"]["generator"]) for table in tables for record in table.failed
    }
    return sorted(names, key=lambda name: (card_of(name).is_control, name))


def make_generator_page(
    name: str, arms: Sequence[tuple[Table, Row]], failed: Sequence[tuple[Table, Any]], details: Details, out: Folder
) -> GeneratorPage:
    """The page of one generator; its pictures are copied below `out`.

    Parameters
    ----------
    arms : its arms with their tables, in the order of the tables.
    """
    page = GeneratorPage(name, generator_page(name), card_of(name), n_runs=len(arms))
    page.failed = [(record["name"], table.heading, reason_of(record)) for table, record in failed]
    leads = _leads([pair for pair in arms if not pair[1].standing.contradicted])
    records = [(row, record) for _, row in leads if (record := details.of(row))]
    for _, record in records[:1]:
        page.options = list(_flat(record["spec"]["gen"]))
        page.budget = facts.generator(record).partition("; options")[0]
        page.software = facts.software(record)
    page.about_data = list(dict.fromkeys(f"{dataset_of(t.setting)}: {licence(row, details)}" for t, row in leads))
    page.parts = list(dict.fromkeys(line for _, record in records for line in facts.pretrained(record)))
    found = [line for _, record in records for line in facts.limits(record)]
    page.limits = [_cut(line) for line in dict.fromkeys([*filter(None, [page.card.weak]), *found])][:MOST_LIMITS]
    page.contaminated = list(dict.fromkeys(row.contaminated for _, row in arms if row.contaminated))
    page.pictures, page.why_not = (
        copy_pictures([row for _, row in leads], out) if not page.card.is_control else ([], [])
    )
    key = slug(name)
    charts = [gains(arms, f"generator-{key}-gains", "Gain over real images alone, in every setting")]
    if not page.card.is_control:
        charts += [
            reliability(table, row, f"generator-{key}-reliability-{k}", details) for k, (table, row) in enumerate(leads)
        ]
        charts += _spreads(page, leads, f"generator-{key}-features")
    page.charts = [chart for chart in charts if chart is not None]
    left = MOST_RUNS
    for table in dict.fromkeys(id(table) for table, _ in arms):
        mine = [row for t, row in arms if id(t) == table][: max(left, 0)]
        if mine:
            its = next(t for t, _ in arms if id(t) == table)
            page.runs.append((its.heading, dataset_page(dataset_of(its.setting)), arm_texts(its, mine)))
        left -= len(mine)
    return page


def _spreads(page: GeneratorPage, leads: Sequence[tuple[Table, Row]], name: str) -> list[Chart | None]:
    """Where the images of each lead lie among the real ones; why one is not drawn is told on the page."""
    found: list[Chart | None] = []
    for k, (table, row) in enumerate(leads):
        try:
            found.append(spread_chart(table, row, f"{name}-{k}"))
        except Unavailable as reason:
            page.why_not.append(f"{row.label}: {reason}")
    return found


def make_dataset_page(name: str, tables: Sequence[Table], details: Details, with_charts: set[str]) -> DatasetPage:
    """The page of one dataset.

    Parameters
    ----------
    with_charts : keys of the tables that figures are drawn of.
    """
    page = DatasetPage(name, dataset_page(name), [], [], sum(len(table.rows) for table in tables))
    first = next((row for table in tables for row in table.rows), None)
    record = details.of(first) if first else {}
    if first is not None and record:
        page.about = [f"licence: {licence(first, details)}", facts.patients_are_known(record)]
        page.about += [f"left out: {said}" for said in [facts.left_out(record)] if said]
    page.others = [(table.key, table.heading) for table in tables[MOST_SETTINGS:]]
    for table in tables[:MOST_SETTINGS]:
        charts = charts_of(table, details) if table.key in with_charts else []
        texts = arm_texts(table, table.rows[:MOST_ARMS])
        failed = [(str(r["name"]), str(r["run_id"])[:16], reason_of(r)) for r in table.failed]
        page.settings.append(
            Setting(table.key, table.heading, short_heading(table), table.facts, by_kind(texts),
                    max(len(table.rows) - MOST_ARMS, 0), charts, table.pooled, failed)
        )  # fmt: skip
    return page


def licence(row: Row, details: Details) -> str:
    """The licence of the real images behind an arm, as its record or this suite knows it."""
    record = {**details.of(row), "spec": row.standing.entry.spec}  # what has changed since is read no more
    return licence_of(record) or "the licence of the images is not in the record"


def _cut(line: str) -> str:
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}… (all of it is in the record)"


def _leads(arms: Sequence[tuple[Table, Row]]) -> list[tuple[Table, Row]]:
    """Of each dataset the first arm by label that has a picture of its images, else the first."""
    found: dict[str, list[tuple[Table, Row]]] = {}
    for table, row in arms:
        found.setdefault(dataset_of(table.setting), []).append((table, row))
    first = lambda pair: (not (pair[1].standing.entry.folder / "grid.png").is_file(), pair[1].label)  # noqa: E731
    return [min(mine, key=first) for mine in found.values()]


def _flat(options: Any, prefix: str = "") -> Any:
    for name, value in options.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        elif value not in ("", None):
            yield f"{prefix}{name}", ", ".join(map(str, value)) if isinstance(value, list) else str(value)
