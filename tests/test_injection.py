"""Names and notes from elsewhere are text wherever they are shown: on a terminal, in a page, in a table."""

from __future__ import annotations

import csv
import dataclasses
import io
import logging
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from benchmarks import compare, show
from benchmarks import list as listing
from benchmarks.records.store import RECORD
from data.audit.__main__ import main as audit
from generators.registry import generators
from leaderboard.build import CSV, MARKDOWN, main
from synthworth.commands import guarded
from synthworth.errors import UserError
from synthworth.escape import FORMULA, csv_cell, markdown_cell, markdown_text, picture_text, plain_text
from synthworth.printable import UNPRINTABLE, console, one_line, printable

ESCAPES = ["\x1b[2J", "\x1b]8;;http://e\x07", "\x9b31m", "\r", "\x08\x08", "\u202e", "\u2066", "\u2028", "\x00", "\x7f"]
NAMES = [
    "[a](http://e)", "![a](http://e)", "![a][b]", "[a]: http://e", "<http://e>", "<img src=x>", "&lt;b&gt;",
    "https://e.org", "www.e.org", "a@e.org", "# x", "> x", "- x", "1. x", "+ x", "=x", "[ ] x", "a|b", "`a`", "*a*",
    "_a_", "~~a~~", "$a$", "a\\", "a\nb", "]", "a](http://e) [b", "***", "a_b add 0.5 [0.1, 0.2]",
]  # fmt: skip


class Page(HTMLParser):
    """What a browser makes of a page: its elements, its text, and where its pictures are."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.pictures: list[str] = []
        self.text = ""
        self.feed(MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(page))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """One element."""
        self.tags.append(tag)
        self.pictures += [str(value) for name, value in attrs if name == "src"]

    def handle_data(self, data: str) -> None:
        """Text between two."""
        self.text += data


@pytest.mark.parametrize("name", NAMES)
def test_a_name_in_a_page_is_shown_as_it_is_and_does_nothing(name: str) -> None:
    found = Page(f"- {markdown_text(name)}\n")
    assert found.tags == ["ul", "li"] and found.text.strip() == one_line(name)
    cell = markdown_cell(name)
    found = Page(f"| a | b |\n|---|---|\n| {cell} | x |\n| x | {cell} |\n")
    assert set(found.tags) == {"table", "tbody", "td", "th", "thead", "tr"} and found.tags.count("td") == 4
    assert found.text.split("\n").count(one_line(name)) == 2
    found = Page(f"![{picture_text(name)}](figures/a.png)\n")
    assert (found.tags, found.pictures) == (["p", "img"], ["figures/a.png"])


def test_a_number_is_written_as_it_is_in_a_cell_and_in_a_list() -> None:
    for text in ("0.9690 [0.9599, 0.9756]", "-0.01 [-0.02, 0.01]", "+0.01", "6 seeds", "2026", "1.5"):
        assert markdown_cell(text) == markdown_text(text) == text
    for text in ("1. x", "2) x", "3.", "- x", "-", "---", "- - -", "+ x", "# x", "> x", "=", "[ ] x"):
        assert markdown_cell(text) == text and markdown_text(text).startswith("&#")
        assert Page(f"{markdown_text(text)}\n").tags == ["p"]


def test_the_text_of_a_cell_is_read_back() -> None:
    for name in NAMES:
        assert plain_text(markdown_cell(name)) == one_line(name)


@pytest.mark.parametrize("address", ["https://e.org", "HTTP://e.org", "www.e.org", "a.b@e.org", "mailto:a"])
def test_an_address_is_no_link_on_a_page_that_would_make_one_of_it(address: str) -> None:
    said = markdown_text(f"x {address}")
    assert said == markdown_cell(f"x {address}")
    assert address not in said and Page(said).text.strip() == f"x {address}"


@pytest.mark.parametrize(
    "text", ["=1+1", "+1", "-1", "@SUM(A1)", " =1", "\t=1", "\n@x", "\uff1d1", "\u200b=1", "-", "=" * 99]
)
def test_text_that_a_spreadsheet_would_compute_is_text(text: str) -> None:
    said = str(csv_cell(text))
    assert not FORMULA.match(said) and "\n" not in said and said.endswith(text[-1])


def test_numbers_and_other_text_in_a_table_stay_as_they_are() -> None:
    cells = (-0.5, -3, 0.25, True, "a-b", "none", "1", None)
    assert [csv_cell(cell) for cell in cells] == [*cells[:-1], "null"]


@pytest.mark.parametrize("escape", ESCAPES)
def test_text_on_one_line_holds_nothing_that_steers(escape: str) -> None:
    said = one_line(f"a{escape}b")
    assert not UNPRINTABLE.search(said) and said[0] == "a" and said[-1] == "b" and len(said) > 2
    assert one_line("a bé 日本 ≥ 🙂") == "a bé 日本 ≥ 🙂"
    assert printable("a\n\tb") == "a\n\tb"


def test_half_a_pair_can_be_printed() -> None:
    """What is no UTF-8 in the name of a file is read as such a half, and printing it would be an error."""
    assert one_line("a\udcffb").encode() == b"a\\udcffb"


@pytest.fixture
def evil(lab: Any) -> Any:
    """Records with names of all kinds: generators, classes, notes, errors; and folders named so."""
    lab.test = dataclasses.replace(lab.test, classes=("a", f"b{ESCAPES[0]}", "[c](http://e)"))
    spiteful = f"=x![a](http://e){ESCAPES[0]}{ESCAPES[1]}<b>|\n# y"
    lab.run("none", 1.0)
    record = lab.run(spiteful, 1.0, jitter=2)
    note = {**record["utility"]["f1"], "value": None, "note": spiteful}
    subgroups = {f"=sex{ESCAPES[0]}": {"groups": {}, "gap": GAP, "note": spiteful}}
    told = {**record["provenance"], "command": spiteful, "processor": spiteful, "gpu": spiteful, "device": "cuda"}
    lab.change(
        record, utility={**record["utility"], "f1": note}, not_compared={spiteful: spiteful},
        subgroups=subgroups, provenance=told, audit={**record["audit"], "warnings": [spiteful]},
    )  # fmt: skip
    lab.fail(spiteful, generator="@failed\x1b[31m")
    shutil.copytree(lab.folder / record["run_id"][:16], lab.folder / "\x1b[31mfolder\n![a](http:e)")
    lab.evil = record["run_id"]
    return lab


GAP = {
    "value": None, "low": None, "high": None, "best": None, "worst": None, "note": "=2", "against_none": None,
}  # fmt: skip


def test_no_command_lets_a_record_steer_the_terminal(evil: Any, capsys: pytest.CaptureFixture[str]) -> None:
    results = ["--results", str(evil.folder)]
    calls = [
        (main, [*results, "--out", str(evil.folder.parent / "site")]),
        (show.main, [evil.evil, *results]),
        (show.main, [evil.evil, *results, "--explain"]),
        (show.main, ["0", *results]),
        (compare.main, [evil.evil, next(i for i in evil.run_ids.values() if i != evil.evil), *results]),
    ]
    for command, args in calls:
        guarded(command, args)
        said = capsys.readouterr()
        assert not UNPRINTABLE.search((said.out + said.err).replace("\n", "")), command
        assert "\n# y" not in said.out + said.err


def test_a_page_and_a_table_of_such_records_hold_text_alone(evil: Any, tmp_path: Path) -> None:
    assert guarded(main, ["--results", str(evil.folder), "--out", str(tmp_path)]) == 0
    page = Page((tmp_path / MARKDOWN).read_text())
    assert not {"a", "b", "script"} & set(page.tags)
    assert page.pictures and all(picture.startswith("figures/") for picture in page.pictures)
    assert page.tags.count("h1") == 1 and "=x![a](http://e)\\x1b[2J" in page.text
    rows = list(csv.reader(io.StringIO((tmp_path / CSV).read_text())))
    assert {len(row) for row in rows} == {len(rows[0])} and len(rows) == 4  # two arms, and one that failed
    assert not [cell for row in rows for cell in row if cell[:1] in ("=", "+", "@", "\t")]
    assert any(cell.startswith("'=x![a]") for cell in rows[2] + rows[1])


def test_classes_of_such_names_still_have_their_predictions(evil: Any) -> None:
    (table,) = evil.tables()
    print([*__import__("leaderboard.build").build.collect([evil.folder]).skipped])
    assert [row.standing.rank for row in table.rows] == [1, 1]


def test_errors_and_warnings_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    def command(args: Any) -> int:
        logging.getLogger("here").warning("film %s", "\x1b[31m\nred\udcff")
        raise UserError("no file a\x1b[2J\nb")

    root = logging.getLogger()
    before, root.handlers = root.handlers, []
    try:
        assert guarded(command, []) == 2
    finally:
        root.handlers = before
    assert capsys.readouterr().err == "WARNING here: film \\x1b[31m red\\udcff\nerror: no file a\\x1b[2J b\n"


def test_a_console_keeps_its_own_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    out = console()
    with out.capture() as captured:
        out.print("a\x1b[2Jb", style="bold")
    assert captured.get() == "\x1b[1ma\\x1b[2Jb\x1b[0m\n"


def test_the_list_of_plugins_prints_what_they_say_as_text(capsys: pytest.CaptureFixture[str]) -> None:
    @generators.register("spiteful")
    class Spiteful:
        "Clears \x1b[2J the screen."

    listing.main(["generators"])
    assert "Clears \\x1b[2J the screen." in capsys.readouterr().out


@pytest.mark.usefixtures("one_thread")
def test_the_audit_prints_names_of_films_as_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    for split in ("train", "test"):
        for kind in ("NORMAL", "SICK\x1b[31m"):
            for k in range(4):
                file = tmp_path / "films" / split / kind / f"p{split}{k}\x1b]0;title\x07.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.new("L", (16, 16), 10 * k).save(file)
    flags = ["--data.path", str(tmp_path / "films"), "--home", str(tmp_path), "--replicates", "100"]
    assert guarded(audit, flags) == 0
    said = capsys.readouterr()
    assert not UNPRINTABLE.search((said.out + said.err).replace("\n", "")) and "SICK" in said.out


def test_the_folder_of_a_record_is_never_named_by_what_is_no_digest(lab: Any) -> None:
    from benchmarks.records.store import Records

    kept = Records(lab.folder)
    for run_id in ("../../x", "", "A" * 64, "/etc/passwd", "a" * 63):
        with pytest.raises(ValueError, match="is no run id"):
            kept.write({**lab.run("none", 1.0), "run_id": run_id}, {})
    assert [p.name for p in lab.folder.parent.rglob(RECORD)] == [RECORD]
