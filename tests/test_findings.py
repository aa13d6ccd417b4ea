"""The page of findings says what the committed records hold, number by number."""

from __future__ import annotations

import json
import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def made() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(ROOT / "docs/findings.py")))


def test_the_page_is_what_the_records_make_of_its_sentences(made: SimpleNamespace) -> None:
    assert made.PAGE.read_text(encoding="utf-8") == made.render(), "python docs/findings.py"


def test_no_sentence_holds_a_number_of_its_own(made: SimpleNamespace) -> None:
    assert made.numbers_in_sentences(made.TEMPLATE.read_text(encoding="utf-8")) == []
    assert made.numbers_in_sentences("They gain .03, {{ a.gain }} of `0.5` at 32 px.") == [".03"]


def test_every_paragraph_of_results_links_a_record(made: SimpleNamespace) -> None:
    page = made.PAGE.read_text(encoding="utf-8")
    blocks = [block for block in page.split("\n\n") if re.search(r"[+-]?0\.\d", block)]
    assert len(blocks) >= 8
    assert [block for block in blocks if "record.json)" not in block] == []
    for target in re.findall(r"\]\((\S+record\.json)\)", page):
        assert (ROOT / "docs" / target).is_file(), target


def test_negative_results_come_first(made: SimpleNamespace) -> None:
    headings = re.findall(r"^## (.*)$", made.PAGE.read_text(encoding="utf-8"), re.M)
    assert headings[0].startswith("What does not help")


def test_another_number_in_a_record_is_another_sentence(made: SimpleNamespace, tmp_path: Path) -> None:
    arm = made.arm("b4b8da")
    before = arm.gain
    record = json.loads((arm.folder / "record.json").read_text(encoding="utf-8"))
    record["comparisons"]["none"]["low"] = 0.1234
    assert type(arm)(arm.folder, record).gain == re.sub(r"\[\S+,", "[+0.123,", before) != before


def test_a_beginning_of_no_record_or_of_several_is_refused(made: SimpleNamespace) -> None:
    for wrong in ("zzz", ""):
        with pytest.raises(LookupError, match="records below results/reference begin so"):
            made.arm(wrong)
