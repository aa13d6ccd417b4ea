"""The defaults of preset quick are those that the recorded search took, and its page says so."""

from __future__ import annotations

import dataclasses
import runpy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks.request.options import parse
from synthworth.search_space import value_at

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def made() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(ROOT / "docs/defaults.py")))


def test_the_table_is_that_of_the_trials(made: SimpleNamespace) -> None:
    found = made.all_found()
    text = made.PAGE.read_text(encoding="utf-8")
    assert made.filled(text, made.table_of(found)) == text, "python docs/defaults.py"
    assert made.filled(text, made.table_of(dict(list(found.items())[:1]))) != text


def test_every_file_of_trials_is_on_the_page(made: SimpleNamespace) -> None:
    there = {file.stem.partition("-")[2].removesuffix(made.WHOLE) for file in made.TRIALS.glob("*.csv")}
    assert there == set(made.all_found())


def test_what_the_rule_takes_is_what_preset_quick_has(made: SimpleNamespace) -> None:
    for generator in made.all_found():
        config = parse(["--preset", "quick", "--generator", generator], prog="t").gen
        taken = made.decided(generator)
        for name, value in taken.options.items():
            assert float(value_at(config, name.removeprefix("gen."))) == pytest.approx(float(value), rel=1e-3), (
                f"{generator}: {name}"
            )


def trial(fd: str, seen: str) -> dict[str, str]:
    return {"fd": fd, "consistency_auroc": seen}


@pytest.mark.parametrize(
    ("other", "taken"),
    [
        ((("89", ".95"), ("178", ".95")), True),
        ((("89", ".95"), ("190", ".95")), False),  # nearer on one set alone
        ((("89", ".95"), ("178", ".90")), False),  # the class is seen less
        ((("89", ".95"), ("", "")), False),  # one training failed
    ],
)
def test_a_setting_is_taken_where_it_is_nearer_on_both_sets_and_shows_the_class(
    made: SimpleNamespace, other: Any, taken: bool
) -> None:
    first, second = made.SETS
    asked = made.Setting({"gen.lr": "1"}, {first: trial("100", ".95"), second: trial("200", ".94")})
    one = made.Setting({"gen.lr": "2"}, {first: trial(*other[0]), second: trial(*other[1])})
    assert (made.chosen([asked, one]) is one) == taken
    nearest = dataclasses.replace(one, trials={first: trial("50", ".95"), second: trial("100", ".95")})
    assert made.chosen([asked, one, nearest]) is nearest
