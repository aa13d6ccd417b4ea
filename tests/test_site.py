"""The static site says what the records say, names nothing that is not there, and takes every name as text."""

from __future__ import annotations

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from site_files import FOREIGN, HOSTILE, REASON, committed_tables

from generators.registry import BUILT_IN, CONTROLS
from leaderboard.build import main
from leaderboard.flat import flat_rows
from leaderboard.numbers import NUMBERS
from leaderboard.pages.cards import card_of
from leaderboard.pages.charts import MOST_POINTS, thinned
from leaderboard.pages.columns import columns
from leaderboard.pages.names import dataset_page, generator_page, slug
from leaderboard.pages.rows import CORRECTED, as_script, table_data
from leaderboard.pages.sentences import sentences
from leaderboard.pages.site import Site, write_site
from leaderboard.pages.svg import log_ticks, ticks
from leaderboard.pages.worth import FLAT, front_chart
from leaderboard.tables import Table
from synthworth.commands import guarded

VOID = {"meta", "link", "img", "input", "br"}


class Page(HTMLParser):
    """What a page holds: its text, its addresses and its ids; tags that are left open are an error."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.addresses: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        assert not self.open, f"left open: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.ids += [str(given["id"])] if "id" in given else []
        self.addresses += [str(given[name]) for name in ("href", "src") if given.get(name)]
        assert not any(name.startswith("on") or name == "style" for name in given), given
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


@pytest.fixture(scope="module")
def tables() -> list[Table]:
    return committed_tables(hostile=True)


@pytest.fixture(scope="module")
def site(tables: list[Table], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site")
    write_site(Site(tables, [f"{HOSTILE} is no record"], [HOSTILE]), out, n_figures=20)
    return out


def pages(site: Path) -> Iterator[tuple[Path, Page]]:
    for file in sorted(site.glob("*.html")):
        yield file, Page(file.read_text(encoding="utf-8"))


def data_of(site: Path) -> dict[str, Any]:
    text = (site / "data/table.js").read_text()
    found = re.fullmatch(r"globalThis\.LEADERBOARD = (\{.*\});\n", text)
    assert found
    return json.loads(found.group(1))


def test_every_generator_and_dataset_has_its_page_and_every_link_leads_to_a_file(site: Path) -> None:
    names = {file.name for file in site.glob("*.html")}
    assert {"index.html", dataset_page("phantom"), generator_page("latent_ddpm"), generator_page("dcgan"),
            generator_page(HOSTILE)} <= names  # fmt: skip
    linked = set()
    for file, page in pages(site):
        assert len(page.ids) == len(set(page.ids)), file.name
        for address in page.addresses:
            path, _, part = unquote(address).partition("#")
            assert not re.match(r"[a-z]+:|//", path), address
            assert (site / (path or file.name)).is_file(), address
            linked.add(path or file.name)
            if part and "=" not in part:
                assert part in Page((site / (path or file.name)).read_text()).ids, address
    assert names <= linked


def test_a_name_is_text_wherever_it_stands(site: Path) -> None:
    for file in (file for file in site.rglob("*") if file.suffix in (".html", ".js", ".svg")):
        text = file.read_text(encoding="utf-8")
        assert "<img src=x" not in text and "<script>alert" not in text, file.name
        if file.suffix == ".svg":
            ElementTree.fromstring(text)
    shown = [" ".join(page.words) for _, page in pages(site)]
    assert any(f"{HOSTILE} add 1" in words for words in shown) and any(REASON in words for words in shown)
    assert set(re.findall(r"<script[^>]*>", (site / "index.html").read_text())) == {
        '<script src="assets/theme.js">', '<script src="data/table.js" defer>', '<script src="assets/table.js" defer>',
    }  # fmt: skip


def test_the_table_holds_every_arm_finished_or_not_with_the_numbers_of_the_csv(site: Path, tables: list[Table]) -> None:
    data = data_of(site)
    flat = {str(row["run_id"])[:16]: row for row in flat_rows(tables)}
    runs = [data["texts"]["run"][code] for code in data["codes"]["run"]]
    assert sorted(runs) == sorted(flat) and len(runs) == len(data["setting"])
    for row, run in enumerate(runs):
        whole = flat[run]
        for name, parts in data["numbers"].items():
            for part, values in parts.items():
                if part != "tied":
                    wanted = whole[{"rank": "place"}.get(name, name) if part == "value" else f"{name}_{part}"]
                    assert values[row] == (None if wanted is None else pytest.approx(wanted, rel=1e-4)), (name, part)
        for name in ("arm", "situation", "status", "verdict"):
            assert data["texts"][name][data["codes"][name][row]] == whole[name]


def test_a_missing_number_has_its_reason_and_an_unfinished_run_too(site: Path) -> None:
    data = data_of(site)
    kinds = [data["texts"]["kind"][code] for code in data["codes"]["kind"]]
    for row, kind in enumerate(kinds):
        for name in (column["id"] for column in data["columns"] if column["id"] in data["numbers"]):
            if data["numbers"][name]["value"][row] is None and kind != "unfinished" and name != "real_fraction":
                assert data["why"][name][row] >= 0, (name, row)
    failed = [data["notes"][data["why"]["status"][row]] for row, kind in enumerate(kinds) if kind == "unfinished"]
    assert failed == [REASON, REASON]
    foreign = [place for place in data["why"]["contaminated"] if place >= 0]
    assert foreign and all(data["notes"][place].startswith(FOREIGN) for place in foreign)


def test_every_number_of_a_row_is_a_column_or_stands_in_the_cell_of_one() -> None:
    found = columns()
    ids = [column["id"] for column in found]
    assert set(NUMBERS) <= {*ids, *CORRECTED} and len(ids) == len(set(ids))
    assert all(column["help"].endswith(".") and column["better"] in ("high", "low", "") for column in found)


def test_every_picture_has_the_numbers_behind_it_and_tells_them_in_words(site: Path, tables: list[Table]) -> None:
    names = {file.stem for file in (site / "charts").glob("*.svg")}
    assert names == {file.stem for file in (site / "data").glob("*.csv")}
    kinds = {name.rpartition("-")[2] for name in names}
    assert {"worth", "forest", "ratio", "curve", "cost", "quality", "classes", "gaps", "gains"} <= kinds
    assert any("reliability" in name for name in names)
    for name in names:
        picture = ElementTree.parse(site / "charts" / f"{name}.svg").getroot()
        said = {child.tag.rpartition("}")[2]: child.text for child in picture[:2]}
        assert said["title"] and said["desc"], name
    (table,) = (t for t in tables if t.heading.startswith("phantom") and len(t.rows) > 20)
    with (site / f"data/{table.key}-forest.csv").open() as file:
        rows = {row["arm"]: row for row in csv.DictReader(file)}
    for row in table.rows:
        number = row.numbers["vs_none"]
        if number.value is not None:
            assert float(rows[row.named.replace("'", "")]["gain"]) == number.value


def test_the_front_picture_chooses_nothing_by_how_well_it_did(tables: list[Table]) -> None:
    chart = front_chart(tables)
    assert chart is not None
    phantom = [row for row in chart.rows if str(row[0]).startswith("phantom")]
    judged = [row[1] for row in phantom if row[3] == "judged"]
    assert judged == sorted(judged) and len(judged) == 6
    assert [row[1] for row in phantom if row[3] == "control"] == ["duplicate add 1", "holdout_real add 1"]
    assert "no worth" in chart.caption and front_chart([]) is None


def test_the_front_picture_says_how_many_settings_and_arms_it_has_no_room_for(
    tables: list[Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leaderboard.pages.worth.MOST_TABLES", 1)
    monkeypatch.setattr("leaderboard.pages.worth.MOST_ARMS", 3)
    (phantom,) = (table for table in tables if table.heading.startswith("phantom") and len(table.rows) > 20)
    chart = front_chart([phantom, phantom])
    assert chart is not None and len(chart.rows) == 3 + 2
    assert chart.caption.endswith("3 further arms of these settings and 1 further settings are in the table.")


def test_a_setting_whose_curve_is_too_flat_is_one_line_below_the_others_and_whole_in_the_numbers(
    tables: list[Table],
) -> None:
    (flat,) = (table for table in tables if table.heading.startswith("medmnist"))
    chart = front_chart([flat, *(table for table in tables if table.heading.startswith("phantom"))])
    assert chart is not None
    judged = [row for row in flat.rows if row.kind == "judged"]
    assert sum(row[0] == flat.heading for row in chart.rows) == len(judged) > 30
    drawn = str(chart.draw(900))
    assert drawn.count(FLAT) == 1 and f"all {len(judged)} arms" in drawn
    assert 0 < drawn.index("phantom") < drawn.index("medmnist pneumoniamnist")


def test_a_ratio_curve_stands_against_the_controls_that_have_no_curve(site: Path, tables: list[Table]) -> None:
    (phantom,) = (table for table in tables if table.heading.startswith("phantom") and len(table.rows) > 20)
    with (site / f"data/{phantom.key}-ratio.csv").open() as file:
        rows = {(row["arm"], row["ratio"]): row["gain"] for row in csv.DictReader(file)}
    (held,) = (row for row in phantom.rows if row.label == "holdout_real add 1")
    assert float(rows["further real images at ratio 1", "null"]) == held.numbers["vs_none"].value
    assert {("duplicate add", "0.5"), ("duplicate add", "1.0")} <= set(rows)


def test_the_sentences_count_what_is_shown_and_no_more(lab: Any) -> None:
    lab.run("none", 1.0)
    assert sentences(lab.tables())[1] == "No generator has a finished run yet."
    lab.run("duplicate", 1.0, jitter=2)
    lab.run("good", 2.5)
    lab.run("same", 1.0, jitter=3)
    lab.run("bad", 0.2)
    lab.fail("out of memory", generator="dcgan")
    what, helps, controls = sentences(lab.tables())
    assert what == (
        "3 generators on 1 dataset: 3 arms judged, among 5 finished runs with their controls; 1 run did not finish."
    )
    screening = [row.word.kind.value for table in lab.tables() for row in table.rows if row.label.startswith("good")]
    shown = "1 of 3" if screening == ["helps"] else "None of 3"
    assert helps.startswith(f"{shown} judged arms are shown to help over real images alone")
    assert re.match(r"(\d|None) of 3 are shown to beat real images drawn again", controls)
    assert "on the scale of worth" not in controls


def test_pictures_are_shown_where_the_licence_lets_them_and_else_the_page_says_why_not(
    lab: Any, tmp_path: Path
) -> None:
    png = b"\x89PNG\r\n\x1a\n" + b"0" * 20
    for k, dataset in enumerate(("phantom", "folder")):
        record = lab.run("vae", 1.0 + k, dataset=dataset)
        (lab.folder / record["run_id"][:16] / "grid.png").write_bytes(png)
        (lab.folder / record["run_id"][:16] / "features.png").write_bytes(png if k else b"<svg/>")
        lab.run("none", 1.0, dataset=dataset)
    write_site(Site(lab.tables()), tmp_path, n_figures=5)
    shown = {file.name.partition("-")[2] for file in (tmp_path / "pictures").iterdir()}
    assert shown == {"grid.png", "features.png"} and len(list((tmp_path / "pictures").glob("*grid*"))) == 1
    words = " ".join(Page((tmp_path / generator_page("vae")).read_text()).words)
    assert "the licence of folder is not known to let pictures" in words and "features.png is no PNG" in words


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ('kind,<b>first</b>,second\n"real, train",0.5,1\nsynthetic,2,-3\n', None),
        ("kind,first,second\nsynthetic,nan,1\n", "features.csv holds more than 300 points of a kind, or what is none"),
        ("kind,first,second\n<script>,1,1\n", "features.csv holds more than 300 points of a kind, or what is none"),
        ("kind,first,second\nsynthetic,one,1\n", "features.csv cannot be read: could not convert"),
        ("", "features.csv cannot be read: not enough values"),
    ],
)
def test_where_images_lie_is_drawn_from_the_numbers_beside_a_record(
    points: str, said: str | None, lab: Any, tmp_path: Path
) -> None:
    record = lab.run("vae", 1.0)
    (lab.folder / record["run_id"][:16] / "features.csv").write_text(points)
    (lab.folder / record["run_id"][:16] / "features.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    lab.run("none", 1.0)
    write_site(Site(lab.tables()), tmp_path, n_figures=5)
    page, numbers = (
        (tmp_path / generator_page("vae")).read_text(),
        [*tmp_path.glob("data/generator-vae-*features-0.csv")],
    )
    assert not list(tmp_path.glob("pictures/*features.png"))
    if said is not None:
        assert said in " ".join(Page(page).words) and not numbers
        return
    assert numbers[0].read_text().splitlines()[1:] == ['"real, train",0.5,1.0', "synthetic,2.0,-3.0"]
    assert "<b>first" not in page and "&lt;b&gt;first" in page
    (picture,) = tmp_path.glob("charts/generator-vae-*features-0.svg")
    assert picture.read_text().count("<circle") >= 2


def test_a_build_writes_the_same_site_twice_and_says_where(
    lab: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.run("none", 1.0)
    lab.run("vae", 1.5)
    digests = []
    for name in ("one", "two"):
        words = ["--results", str(lab.folder), "--out", str(tmp_path / name), "--format", "site", "csv"]
        assert guarded(main, words) == 0
        files = sorted(file for file in (tmp_path / name).rglob("*") if file.is_file())
        digests.append({str(f.relative_to(tmp_path / name)): hashlib.sha256(f.read_bytes()).hexdigest() for f in files})
    assert digests[0] == digests[1]
    said = " ".join(capsys.readouterr().out.split())
    assert f"written {tmp_path / 'two' / 'index.html'} and 3 more pages" in said
    page = Page((tmp_path / "one/index.html").read_text())
    assert "leaderboard.csv" in page.addresses and "No picture of worth" in " ".join(page.words)


def test_without_figures_the_pages_have_none(lab: Any, tmp_path: Path) -> None:
    lab.run("none", 1.0)
    lab.run("vae", 1.5)
    write_site(Site(lab.tables()), tmp_path, n_figures=0)
    assert "<svg" not in (tmp_path / dataset_page("phantom")).read_text()
    assert "vae add 0.5" in (tmp_path / dataset_page("phantom")).read_text()


def test_every_generator_of_this_suite_has_a_card_with_its_source() -> None:
    for name in BUILT_IN:
        card = card_of(name)
        assert card.is_control is (name in CONTROLS), name
        if not card.is_control:
            assert card.source and card.weak and (card.equation or name == "pool"), name
    assert card_of("somebody's").source == "" and not card_of("somebody's").is_control
    assert card_of("mixup").is_control


@given(st.text(max_size=60), st.text(max_size=60))
def test_a_slug_is_a_safe_name_of_its_own(one: str, other: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]{8,49}", slug(one))
    assert (slug(one) == slug(other)) is (one == other)


def test_data_cannot_end_the_script_that_holds_it(lab: Any) -> None:
    text = as_script({"name": "</script><!--\u2028&"})
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text.partition(" = ")[2].rstrip(";\n")) == {"name": "</script><!--\u2028&"}
    assert table_data([])["setting"] == []


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_round_and_inside(low: float, wide: float) -> None:
    found = ticks(low, low + wide)
    assert len(found) <= 12 and all(low - 1e-6 * (abs(low) + wide) <= t <= low + wide * 1.000001 + 1e-6 for t in found)


def test_log_ticks_are_one_two_five_or_powers_alone() -> None:
    assert log_ticks(90, 1100) == [100, 200, 500, 1000]
    assert log_ticks(1, 1e6) == [10.0**k for k in range(7)]


def test_of_very_many_settings_a_page_has_the_first_and_links_to_the_others(
    lab: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leaderboard.pages.subjects.MOST_SETTINGS", 1)
    for seeds in (2, 3):
        lab.run("none", 1.0, seeds=seeds)
        lab.run("vae", 1.5, seeds=seeds)
    tables = lab.tables()
    write_site(Site(tables), tmp_path, n_figures=1)
    page = Page((tmp_path / dataset_page("phantom")).read_text())
    assert len([one for one in page.ids if one.startswith("setting-")]) == 1
    linked = [address for address in page.addresses if "#setting=" in address]
    assert len(linked) == 1 and {table.key for table in tables} > {linked[0].partition("=")[2]}


def test_a_picture_draws_some_of_very_many_arms_and_the_numbers_have_all() -> None:
    assert list(thinned(range(5))) == [0, 1, 2, 3, 4] and thinned([]) == []
    many = thinned(range(10_000))
    assert len(many) <= MOST_POINTS and many[0] == 0 and many[-1] > 9_900


def test_what_an_earlier_build_wrote_goes_and_nothing_else(lab: Any, tmp_path: Path) -> None:
    lab.run("none", 1.0)
    site = tmp_path / "site"
    (lone,) = lab.tables()
    lab.run("vae", 1.5)
    write_site(Site(lab.tables()), site, n_figures=1)
    mine, outside = site / "generator-mine.html", site.parent / f"{site.name}.html"
    for file in (mine, outside):
        file.write_text("of the user")
    names = json.loads((site / "site.json").read_text())
    (site / "site.json").write_text(json.dumps([*names, f"../{outside.name}", "data/../generator-mine.html", 3]))
    assert generator_page("vae") in names
    write_site(Site([lone]), site, n_figures=1)
    assert not (site / generator_page("vae")).exists() and mine.exists() and outside.exists()
    there = {str(file.relative_to(site)) for file in site.rglob("*") if file.is_file()}
    assert there == {*json.loads((site / "site.json").read_text()), mine.name, "site.json"}
    (site / "site.json").write_text("no list")
    write_site(Site([lone]), site, n_figures=1)


def test_a_record_that_has_changed_since_is_named_and_not_copied(lab: Any, tmp_path: Path) -> None:
    record = lab.run("none", 1.0)
    lab.run("vae", 1.5)
    tables = lab.tables()
    (lab.folder / record["run_id"][:16] / "record.json").write_text("{}")
    write_site(Site(tables), tmp_path, n_figures=1)
    assert not (tmp_path / f"data/records/{record['run_id'][:16]}.json").exists()
    words = " ".join(Page((tmp_path / "index.html").read_text()).words)
    assert record["run_id"][:16] in words and "record.json has changed since this build read it" in words
