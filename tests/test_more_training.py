"""The page on what more training buys holds what its records say."""

from __future__ import annotations

import dataclasses
import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def made() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(ROOT / "docs/budgets.py")))


def test_the_tables_are_those_of_the_records(made: SimpleNamespace) -> None:
    found = {films: made.points(films) for films in made.SETS}
    page = made.PAGE.read_text(encoding="utf-8")
    assert made.filled(page, found) == page, "python docs/budgets.py"
    point = found["phantom"][0]
    record = point.record | {"comparisons": {"none": point.gain | {"difference": 0.1234}}}
    other = {**found, "phantom": [dataclasses.replace(point, record=record)]}
    assert "| +0.123 [" in made.filled(page, other) and "| +0.123 [" not in page


def test_rows_of_a_generator_differ_in_the_steps_of_its_training_alone(made: SimpleNamespace) -> None:
    for films in made.SETS:
        by_generator: dict[str, list[dict[str, object]]] = {}
        for point in made.points(films):
            spec = {k: v for k, v in point.record["spec"].items() if k not in ("fit", "controls", "gen")}
            spec["gen"] = {k: v for k, v in point.record["spec"]["gen"].items() if not k.endswith("version")}
            by_generator.setdefault(point.generator, []).append(spec)
        assert all(spec == specs[0] for specs in by_generator.values() for spec in specs)
        assert any(len(specs) > 1 for specs in by_generator.values())


def test_the_page_says_of_which_generators_ten_times_the_budget_was_run(made: SimpleNamespace) -> None:
    steps: dict[tuple[str, str], list[int]] = {}
    for films in made.SETS:
        for point in made.points(films):
            steps.setdefault((films, point.generator), []).append(point.steps)
    far = sorted({generator for (_, generator), its in steps.items() if max(its) >= 10 * min(its)})
    page = made.PAGE.read_text(encoding="utf-8").replace("\n", " ")
    (sentence,) = re.findall(r"Ten times the budget was run of (.+?) (?:alone|\()", page)
    assert sorted(re.findall(r"`(\w+)`", sentence)) == far
