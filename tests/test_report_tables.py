"""What a run prints of its comparisons: every control's own difference to real images alone, one p beside it."""

from __future__ import annotations

import io
from typing import Any

from rich.console import Console

from benchmarks.report.tables import against_none, judged, print_comparisons


def row(difference: float) -> dict[str, Any]:
    return {"difference": difference, "low": difference - 0.1, "high": difference + 0.1, "p_value": 0.031,
            "p_interval": 0.2345}  # fmt: skip


def record(generator: str, *, control: bool, **against: float) -> dict[str, Any]:
    return {"name": f"{generator} add 1", "spec": {"generator": generator}, "is_control": control, "run_id": generator,
            "comparisons": {name: row(x) for name, x in against.items()}, "not_compared": {}}  # fmt: skip


def printed(records: list[dict[str, Any]]) -> list[str]:
    out = io.StringIO()
    print_comparisons(Console(file=out, width=200), records)
    return [" ".join(line.split()) for line in out.getvalue().splitlines()]


def test_controls_that_are_not_judged_are_shown_against_real_images_alone_and_nothing_else() -> None:
    holdout = record("holdout_real", control=True, none=-0.067, duplicate=0.05)
    vae = record("vae", control=False, none=0.01, duplicate=0.02)
    assert judged([holdout, vae], generator="vae") == [vae]
    lines = printed([against_none(holdout), vae])
    assert any("holdout_real add 1 │ none │ -0.0670 │ [-0.1670, +0.0330] │ 0.234" in line for line in lines)
    assert not any("holdout_real add 1 │ duplicate" in line for line in lines)
    assert any("vae add 1 │ duplicate" in line for line in lines)


def test_the_p_in_the_table_is_the_intervals_and_is_labelled() -> None:
    lines = printed([record("vae", control=False, none=0.01)])
    assert any("p (seeds and patients)" in line for line in lines) and not any("0.031" in line for line in lines)


def test_what_could_not_be_compared_stands_in_the_table_with_its_reason() -> None:
    lonely = {**record("vae", control=False), "not_compared": {"none": "no class can be judged"}}
    assert judged([lonely], generator="vae") == [lonely]
    assert any("null │ no class can be judged" in line for line in printed([lonely]))
