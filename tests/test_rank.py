"""The order of a table, and which arm a row is compared with where its record does not say."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.records.predictions import PREDICTIONS, Entry
from benchmarks.records.store import Records
from benchmarks.verdicts.two_runs import compare_runs
from leaderboard.rank import stand
from leaderboard.slim import slim_row


def standings(lab: Any, *records: dict[str, Any]) -> dict[str, Any]:
    """Standings of these records by run id, in their order."""
    return {standing.entry.run_id: standing for standing in stand(entries(lab, *records))}


def entries(lab: Any, *records: dict[str, Any]) -> list[Entry]:
    """These records with their folders."""
    return [Entry(r, Records(lab.folder).path(r["run_id"])) for r in records]


def without(record: dict[str, Any]) -> dict[str, Any]:
    """The record of an arm that was compared with nothing."""
    return {**record, "comparisons": {}}


@pytest.mark.parametrize(
    "change",
    [{"ratio": 1.0}, {"mode": "replace"}, {"shard": 8}, {"generator_seed": 1}, {"filters": ("near",)}],
    ids=lambda change: next(iter(change)),
)
def test_a_duplicate_of_another_ratio_mode_shard_draw_or_filter_is_no_reference(
    lab: Any, change: dict[str, Any]
) -> None:
    other = lab.run("duplicate", 1.0, **change)
    arm = without(lab.run("good", 2.0))
    found = standings(lab, arm, other)[arm["run_id"]]
    assert "duplicate" not in found.against
    assert found.missing["duplicate"].startswith("no finished duplicate arm to compare with")
    twin = lab.run("duplicate", 1.0, jitter=2)
    found = standings(lab, arm, other, twin)[arm["run_id"]]
    assert found.against["duplicate"]["run_id"] == twin["run_id"]
    assert "duplicate" not in found.missing


def test_another_generator_is_no_reference(lab: Any) -> None:
    arm, other = without(lab.run("good", 2.0)), without(lab.run("bad", 0.3))
    found = standings(lab, arm, other)[arm["run_id"]]
    assert found.against == {}
    assert sorted(found.missing) == ["duplicate", "none"]


def test_the_comparison_of_the_record_is_preferred(lab: Any) -> None:
    zero = lab.run("none", 1.0)
    arm = lab.run("good", 2.0)
    row = arm["comparisons"]["none"]
    recorded = {**row, "low": row["low"] - 1e-9}  # as another machine rounds it
    found = standings(lab, zero, {**arm, "comparisons": {"none": recorded}})[arm["run_id"]]
    assert found.against["none"] == slim_row(recorded, "none")


def test_a_comparison_made_from_predictions_knows_of_unequal_compute(lab: Any) -> None:
    zero, same = lab.run("none", 1.0), without(lab.run("good", 2.0))
    longer = without(lab.run("longer", 2.5, ratio=1.0))
    found = standings(lab, zero, same, longer)
    assert found[longer["run_id"]].against["none"]["unequal"] == "10 optimiser steps against 5"
    assert found[same["run_id"]].against["none"]["unequal"] is None
    assert (found[same["run_id"]].against["none"]["a"], found[same["run_id"]].against["none"]["b"]) == (
        "good add 0.5", "none",
    )  # fmt: skip


def test_real_images_alone_and_duplicates_are_not_compared_with_themselves(lab: Any) -> None:
    zero, copies = lab.run("none", 1.0), lab.run("duplicate", 1.0)
    again = lab.run("duplicate", 1.0, ratio=1.0, generator_seed=1)
    point = lab.run("none", 2.0, portion=2.0)
    found = standings(lab, zero, copies, again, point)
    itself, base = "this arm is the control itself", "real images alone are what the other arms are compared with"
    assert found[zero["run_id"]].missing == found[point["run_id"]].missing == {"none": base, "duplicate": base}
    assert found[copies["run_id"]].missing == {"duplicate": itself}
    assert found[again["run_id"]].missing == {"duplicate": itself}
    assert list(found[copies["run_id"]].against) == ["none"]


def test_missing_predictions_are_why_there_is_no_rank_and_no_comparison(lab: Any) -> None:
    zero, arm = lab.run("none", 1.0), without(lab.run("good", 2.0))
    mine, control = (Records(lab.folder).path(r["run_id"]) / PREDICTIONS for r in (arm, zero))
    content, reason = control.read_bytes(), "not in the record, and predictions are missing to compute it"
    control.unlink()
    found = standings(lab, zero, arm)
    assert found[zero["run_id"]].rank is None
    assert found[zero["run_id"]].missing["rank"] == f"{PREDICTIONS} is missing beside the record"
    assert (found[arm["run_id"]].rank, found[arm["run_id"]].missing["none"]) == (1, reason)
    control.write_bytes(content)
    mine.unlink()
    found = standings(lab, zero, arm)
    assert found[arm["run_id"]].rank is None
    assert found[arm["run_id"]].missing["none"] == reason


def test_predictions_of_another_test_set_are_not_ranked_with_the_others(lab: Any) -> None:
    best, other = lab.run("good", 2.0), lab.run("bad", 0.3, n_bootstrap=100)
    found = standings(lab, best, other)
    assert (found[best["run_id"]].rank, found[other["run_id"]].rank) == (1, None)
    why = f"{PREDICTIONS} is of another test set than those of the other arms"
    assert found[other["run_id"]].missing["rank"] == why


def test_an_arm_without_a_number_comes_last(lab: Any) -> None:
    missing = lab.run("broken", 3.0)
    missing["utility"]["auroc"]["value"] = None
    weak, good = lab.run("weak", 0.3), lab.run("good", 2.0)
    assert list(standings(lab, missing, weak, good)) == [good["run_id"], weak["run_id"], missing["run_id"]]


@pytest.mark.parametrize("broken", [0, 1])
def test_a_missing_number_is_below_zero(lab: Any, broken: int) -> None:
    records = [lab.run("one", 1.0), lab.run("two", 1.0)]
    for k, record in enumerate(records):
        record["utility"]["auroc"]["value"] = None if k == broken else 0.0
    assert list(standings(lab, *records))[-1] == records[broken]["run_id"]


def test_holm_goes_over_the_comparisons_with_real_images_alone_and_nothing_else(lab: Any) -> None:
    zero, arm = lab.run("none", 1.0), lab.run("good", 1.3)
    copies = lab.run("duplicate", 1.0, jitter=2)
    found = standings(lab, zero, arm, copies)
    raw = {i: found[i].against["none"]["p_interval"] for i in (arm["run_id"], copies["run_id"])}
    assert found[zero["run_id"]].holm is None
    assert found[arm["run_id"]].holm == pytest.approx(2 * raw[arm["run_id"]])
    assert found[copies["run_id"]].holm == pytest.approx(max(raw[copies["run_id"]], 2 * raw[arm["run_id"]]))


def test_an_arm_is_measured_against_the_head_of_its_rank_group_and_not_against_its_neighbour(lab: Any) -> None:
    qualities = {2: 1.08, 3: 1.07, 4: 1.06, 5: 1.05, 8: 1.02}
    records = [lab.run("arm", quality, jitter=k, gen={"k": k}) for k, quality in qualities.items()]
    near = compare_runs(*entries(lab, *records[1:3]), margin=0.01)
    far = compare_runs(*entries(lab, records[0], records[2]), margin=0.01)
    assert (near["verdict"], far["verdict"]) == ("no difference shown", "helps")
    assert [s.rank for s in standings(lab, *records).values()] == [1, 1, 3, 3, 5]
