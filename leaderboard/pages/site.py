"""Which files the site has, and how they are written: `python -m leaderboard.build --format site`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.export.facts import NOT_FOR_DIAGNOSIS
from benchmarks.records.load import RECORD
from leaderboard.pages.columns import columns
from leaderboard.pages.details import Details
from leaderboard.pages.folder import Folder
from leaderboard.pages.plain import COLUMNS
from leaderboard.pages.rows import as_script, table_data
from leaderboard.pages.sentences import of_suite, sentences
from leaderboard.pages.subjects import INTENDED, generator_names, make_dataset_page, make_generator_page
from leaderboard.pages.svg import NARROW, WIDE, Chart
from leaderboard.pages.worth import front_chart, worth_of
from leaderboard.slim import Slim
from leaderboard.suite import Suite, dataset_of
from leaderboard.tables import Row, Table
from synthworth.files import Unfit, read_file
from synthworth.keys import sha256_of
from synthworth.printable import one_line

HERE = Path(__file__).parent
INDEX, DATA, RECORDS, CHARTS, ASSETS = "index.html", "data", "data/records", "charts", "assets"
MOST_RECORDS = 200
"""Most records that are laid beside the pages; of larger leaderboards the pages name them alone."""
LARGEST_RECORD = 64 * 2**20


@dataclass(frozen=True)
class Site:
    """What the pages are made from."""

    tables: Sequence[Table]
    skipped: Sequence[str] = ()
    over: Sequence[str] = ()
    suite: Suite | None = None
    downloads: Sequence[str] = ()
    """Names of other files in the same folder, which the front page links."""


def write_site(site: Site, place: Path, *, n_figures: int) -> list[str]:
    """Write the site: pages, their style and scripts, figures as SVG, and the numbers behind them as CSV.

    Parameters
    ----------
    place : folder that takes it; what an earlier build wrote there and this one did not goes.
    n_figures : most settings that figures are drawn of, those with the most arms.

    Returns
    -------
    list of str
        Paths of the pages below `place`.
    """
    details, out = Details(), Folder(place)
    site = replace(site, tables=sorted(site.tables, key=_first))
    by_size = sorted(site.tables, key=lambda table: -len(table.rows))
    with_charts = {table.key for table in by_size[: max(n_figures, 0)]}
    front = front_chart(site.tables) if n_figures > 0 else None
    datasets: dict[str, list[Table]] = {}
    for table in site.tables:
        datasets.setdefault(dataset_of(table.setting), []).append(table)
    dataset_pages = [make_dataset_page(name, tables, details, with_charts) for name, tables in datasets.items()]
    arms: dict[str, list[tuple[Table, Row]]] = {}
    failed: dict[str, list[tuple[Table, Any]]] = {}
    for table in site.tables:
        for row in table.rows:
            arms.setdefault(str(row.standing.entry.spec["generator"]), []).append((table, row))
        for record in table.failed:
            failed.setdefault(str(record["spec"]["generator"]), []).append((table, record))
    generator_pages = [
        make_generator_page(name, arms.get(name, []), failed.get(name, []), details, out)
        for name in generator_names(site.tables)
    ]
    charts = [chart for page in dataset_pages for one in page.settings for chart in one.charts]
    charts += [chart for page in generator_pages for chart in page.charts] + ([front] if front else [])
    style = (HERE / "assets" / "chart.css").read_text(encoding="utf-8")
    _write_assets(out)
    _write_charts(charts, out, style)
    out.write(f"{DATA}/table.js", as_script(table_data(site.tables)))
    pages = _environment()
    shared: dict[str, Any] = {
        "generators": generator_pages, "datasets": dataset_pages, "not_for_diagnosis": NOT_FOR_DIAGNOSIS,
        "records": _write_records(site.tables, out, details.lost), "short_columns": COLUMNS, "wide": WIDE,
        "narrow": NARROW,
    }  # fmt: skip
    said_of_suite = of_suite(site.suite, site.tables) if site.suite else ""
    n_unfinished = sum(len(table.failed) for table in site.tables)
    index = pages.get_template("index.html.j2").render(
        **shared, sentences=sentences(site.tables), suite=said_of_suite, front=front, columns=columns(), over=site.over,
        skipped=list(map(one_line, site.skipped)), downloads=site.downloads, n_unfinished=n_unfinished,
        lost=sorted(details.lost.items()),
    )  # fmt: skip
    out.write(INDEX, index)
    for page in generator_pages:
        out.write(page.file, pages.get_template("generator.html.j2").render(**shared, page=page, intended=INTENDED))
    for one in dataset_pages:
        out.write(one.file, pages.get_template("dataset.html.j2").render(**shared, page=one))
    out.finish()
    return [INDEX, *(page.file for page in generator_pages), *(page.file for page in dataset_pages)]


def _first(table: Table) -> tuple[bool, int, str]:
    """Settings in which the worth of what is judged was measured come first, then those with the most arms."""
    judged = [row for row in table.rows if row.kind == "judged"]
    return not any(worth_of(row) for row in judged), -len(judged), table.heading


def _environment() -> Any:
    """Templates in which text is escaped, and a name that is missing is an error."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    return Environment(
        loader=FileSystemLoader(HERE / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )  # fmt: skip


def _write_assets(out: Folder) -> None:
    """Style and scripts; `chart.css` is part of the style sheet of the pages."""
    parts = [(HERE / "assets" / name).read_text(encoding="utf-8") for name in ("chart.css", "style.css")]
    out.write(f"{ASSETS}/style.css", "\n".join(parts))
    for name in ("theme.js", "table.js", "icon.svg"):
        out.write(f"{ASSETS}/{name}", (HERE / "assets" / name).read_text(encoding="utf-8"))


def _write_charts(charts: Sequence[Chart], out: Folder, style: str) -> None:
    for chart in charts:
        out.write(f"{CHARTS}/{chart.name}.svg", chart.alone(style))
        out.write(f"{DATA}/{chart.name}.csv", chart.csv)


def _write_records(tables: Sequence[Table], out: Folder, lost: dict[str, str]) -> Mapping[str, str]:
    """Lay the records beside the pages, where they are few: path by run id. Why one is not there goes into `lost`."""
    entries = [row.standing.entry for table in tables for row in table.rows]
    if len(entries) > MOST_RECORDS:
        return {}
    paths = {}
    for entry in entries:
        try:
            content = read_file(entry.folder / RECORD, at_most=LARGEST_RECORD)
        except (Unfit, OSError) as reason:
            lost[entry.run_id] = f"{RECORD} cannot be read any more: {reason}"
            continue
        if isinstance(entry, Slim) and sha256_of([content]) != entry.sha256:
            lost[entry.run_id] = f"{RECORD} has changed since this build read it"
            continue
        paths[entry.run_id] = f"{RECORDS}/{entry.run_id[:16]}.json"
        out.write(paths[entry.run_id], content)
    return paths
