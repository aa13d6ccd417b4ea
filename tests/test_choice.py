"""Which ratio val chooses, told from records; test has no say in it."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.verdicts.ratio_by_val import by_val


def arm(name: str, ratio: float, val: float | None, test: float = 0.7, **spec: Any) -> dict[str, Any]:
    generator = name.partition(" ")[0]
    return {
        "name": name,
        "spec": {"generator": generator, "ratio": ratio, "portion": 1, "mode": "add", "generator_seed": 0,
                 "filters": [], **spec},
        "validation": {"auroc": {"value": val, "note": None if val is not None else "val shows one class"}},
        "utility": {"auroc": {"value": test}},
    }  # fmt: skip


NONE, HALF, ONE = arm("none", 0, 0.70), arm("vae add 0.5", 0.5, 0.75, 0.6), arm("vae add 1", 1, 0.72, 0.9)


def test_val_chooses_whatever_test_says() -> None:
    (line,) = by_val([NONE, ONE, HALF], generator="vae")
    assert line == (
        "val chooses vae add 0.5: AUROC 0.7500 on val (none 0.7000, vae add 1 0.7200), 0.6000 on test"
    )  # fmt: skip


def test_real_images_alone_may_be_chosen() -> None:
    (line,) = by_val([arm("none", 0, 0.8), ONE, HALF], generator="vae")
    assert line.startswith("val chooses none: AUROC 0.8000 on val")


def test_a_point_of_the_learning_curve_is_not_among_the_ratios() -> None:
    point = arm("none x 2", 0, 0.9, portion=2)
    assert by_val([point, ONE, HALF, NONE], generator="vae") == by_val([NONE, HALF, ONE], generator="vae")
    assert by_val([point, NONE], generator="none") == []


def test_without_real_images_alone_val_chooses_among_the_others() -> None:
    (line,) = by_val([ONE, HALF], generator="vae")
    assert line.startswith("val chooses vae add 0.5: AUROC 0.7500 on val (vae add 1 0.7200)")


def test_of_ratios_that_are_equal_on_val_but_for_rounding_the_lowest_is_chosen() -> None:
    below, above = (0.3 + 0.2 + 0.1) / 3, (0.1 + 0.2 + 0.3) / 3
    assert below < above, "one mean, summed in two orders"
    (line,) = by_val([arm("vae add 1", 1, above), arm("vae add 0.5", 0.5, below)], generator="vae")
    assert line.startswith("val chooses vae add 0.5: ")
    (line,) = by_val([arm("vae add 0.5", 0.5, 0.2), arm("vae add 1", 1, 0.2 + 1e-9)], generator="vae")
    assert line.startswith("val chooses vae add 1: ")


def test_an_auroc_that_test_cannot_give_is_null() -> None:
    chosen = arm("vae add 0.5", 0.5, 0.75)
    chosen["utility"]["auroc"]["value"] = None
    (line,) = by_val([chosen, ONE], generator="vae")
    assert line.endswith(", null on test")


@pytest.mark.parametrize("records", [[NONE, ONE], [NONE], [NONE, ONE, arm("duplicate add 2", 2, 0.9)]])
def test_one_ratio_leaves_nothing_to_choose(records: list[dict[str, Any]]) -> None:
    assert by_val(records, generator="vae") == []


def test_trainings_modes_and_filters_choose_for_themselves() -> None:
    more = [arm("vae add 1", 1, 0.7, generator_seed=1), arm("vae add 2", 2, 0.9, filters=["near"])]
    assert len(by_val([NONE, HALF, ONE, *more], generator="vae")) == 1


def test_nothing_is_chosen_where_val_cannot_judge() -> None:
    (line,) = by_val([HALF, arm("vae add 1", 1, None)], generator="vae")
    assert line == "no ratio is chosen: AUROC on val of vae add 1: val shows one class"
