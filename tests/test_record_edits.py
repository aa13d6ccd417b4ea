"""Records that were edited, in whatever number, word or name: what predictions can give again is not shown as edited.

And records whose last digits another machine rounded otherwise: they are read, and nothing of them is doubted.
"""

from __future__ import annotations

import copy
import dataclasses
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from chaos.records import ARMS, make_shelf

from benchmarks import show
from benchmarks.job.plan import specs_of
from benchmarks.records.kinds import in_order
from benchmarks.records.load import Unreadable, load_record
from benchmarks.records.predictions import PREDICTIONS, Entry
from benchmarks.records.seal import SEAL, write_seal
from benchmarks.records.store import RECORD, Records
from benchmarks.request.options import parse
from benchmarks.verdicts.recheck import Rechecked, recheck
from generators.registry import BUILT_IN, CONTROLS, generators
from leaderboard.build import collect
from leaderboard.flat import csv_text
from leaderboard.tables import Row, make_tables
from leaderboard.text import markdown
from synthworth.commands import guarded
from synthworth.errors import UserError

ARM = "latent_ddpm add 1"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """An experiment as the suite writes it: a generator, controls and a learning curve, with few images."""
    folder = tmp_path_factory.mktemp("edits") / "runs"
    return folder, make_shelf(folder, arms=(*ARMS, "none x 0.25"), every=30)


@pytest.fixture
def shelf(written: tuple[Path, dict[str, dict[str, Any]]], tmp_path: Path) -> Path:
    """The same, to be edited."""
    return Path(shutil.copytree(written[0], tmp_path / "runs"))


@pytest.fixture
def arm(written: tuple[Path, dict[str, dict[str, Any]]]) -> dict[str, Any]:
    return copy.deepcopy(written[1][ARM])


def home(shelf: Path, record: dict[str, Any]) -> Path:
    return shelf / str(record["run_id"])[:16]


def put(shelf: Path, record: dict[str, Any], *, sealed: bool = True) -> Path:
    """Put a record where it lies as an editor would who knows of the seal; or without one."""
    folder = home(shelf, record)
    (folder / RECORD).write_text(json.dumps(record))
    (folder / SEAL).unlink(missing_ok=True)
    if sealed:
        write_seal(folder, RECORD)
    return folder / RECORD


def checked(shelf: Path, record: dict[str, Any]) -> Rechecked:
    kept = Records(shelf)
    entry = Entry(load_record(home(shelf, record) / RECORD), home(shelf, record))
    return recheck(entry, kept.beside(entry))


def row_of(shelf: Path) -> tuple[Row, str]:
    found = collect([shelf])
    tables = make_tables(found.entries, found.failed)
    return next(row for row in tables[0].rows if row.label == ARM), markdown(tables) + csv_text(tables)


def shown(shelf: Path, record: dict[str, Any], capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    assert guarded(show.main, [str(record["run_id"]), "--results", str(shelf), *flags]) == 0
    return capsys.readouterr().out


def at(record: Any, path: str) -> tuple[Any, Any]:
    """The part that holds the place, and the name of the place in it."""
    *outer, last = path.split("/")
    for name in outer:
        record = record[int(name) if name.isdigit() else name]
    return record, int(last) if last.isdigit() else last


def edited(record: dict[str, Any], path: str, value: Any = None) -> dict[str, Any]:
    """Another value there; and where it is a mean over seeds, or one of them, as an editor would who knows that."""
    made = copy.deepcopy(record)
    inside, name = at(made, path)
    was = inside[name]
    inside[name] = _other(was) if value is None else value
    if name == "value" and "per_seed" in inside["extra"]:
        inside["extra"]["per_seed"] = [x + inside[name] - was for x in inside["extra"]["per_seed"]]
        inside["low"], inside["high"] = min(inside["low"], inside[name]), max(inside["high"], inside[name])
    if "/per_seed/" in path:
        inside[1] -= inside[name] - was
    return made


def _other(value: Any) -> Any:
    return (not value) if isinstance(value, bool) else value + 1 if isinstance(value, int) else value + 0.01


# -- honest records ------------------------------------------------------------------------------------------------


def test_what_the_suite_wrote_is_borne_out_in_every_number(
    shelf: Path, written: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for record in written[1].values():
        assert checked(shelf, record) == Rechecked(record)
        assert "BORNE OUT" not in shown(shelf, record, capsys) and (home(shelf, record) / SEAL).is_file()
    row, text = row_of(shelf)
    assert not row.standing.noted and not row.standing.doubted and "the record says" not in text


@pytest.mark.parametrize("by", [1e-12, -1e-12])
def test_other_last_digits_are_no_damage(shelf: Path, written: Any, by: float) -> None:
    def moved(value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            return {key: part if key == "spec" else moved(part, key) for key, part in value.items()}
        if isinstance(value, list):
            return [moved(part, name) for part in value]
        return value + (by if name != "low" else -by) if isinstance(value, float) else value

    for record in written[1].values():
        put(shelf, moved(record), sealed=False)
    assert Records(shelf).read().unread == ()
    for record in written[1].values():
        assert checked(shelf, record).contradicted == ()
    row, _ = row_of(shelf)
    assert not row.standing.noted and not row.standing.doubted


def test_order_holds_but_for_rounding() -> None:
    assert in_order(0.1, 0.1 + 1e-12, 0.1) and in_order(1e6, 1e6 - 1e-4) and in_order(-1.0, 0.0, 0.0)
    assert not in_order(0.1, 0.2, 0.1) and not in_order(0.1 + 1e-6, 0.1)


# -- edited ones ---------------------------------------------------------------------------------------------------

PLACES = (
    "utility/auprc/value", "utility/auprc/low", "utility/auprc[effusion]/value", "utility/auroc[effusion]/value",
    "utility/auroc[effusion]/high", "utility/auroc/extra/per_seed/0", "utility/brier/value", "utility/ece/value",
    "comparisons/none/by_seed/0", "comparisons/none/detectable", "comparisons/none/n_groups",
    "comparisons/duplicate/p_value", "comparisons/none/interval/se_seeds", "comparisons/none/interval/quantile",
    "comparisons/duplicate/delong/p_value", "comparisons/none/equivalence/equivalent",
    "comparisons/none/metrics/auprc/difference", "positive_control/detectable", "positive_control/shown",
)  # fmt: skip


@pytest.mark.parametrize("path", PLACES)
def test_a_number_that_predictions_give_is_named_where_it_was_edited(
    shelf: Path, arm: dict[str, Any], path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put(shelf, edited(arm, path))
    assert checked(shelf, arm).contradicted, path
    assert "NOT BORNE OUT BY THE PREDICTIONS" in shown(shelf, arm, capsys)


def test_a_number_of_the_table_that_was_edited_is_null_with_the_reason(shelf: Path, arm: dict[str, Any]) -> None:
    put(shelf, edited(arm, "utility/auprc/value", 0.987))
    row, text = row_of(shelf)
    assert row.numbers["auprc"].value is None and row.numbers["f1"].value is not None
    assert "value is 0.987 in the record and" in str(row.numbers["auprc"].note) and ",0.987," not in text


def test_a_worth_that_was_edited_is_measured_again(
    shelf: Path, arm: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    true, _ = row_of(shelf)
    lie = {**arm["worth"], "worth": 0.9, "low": 0.8, "high": 1.1, "n_equivalent": 760.0, "where": "on the curve"}
    lie |= {"n_low": 720.0, "n_high": 840.0}
    put(shelf, {**arm, "worth": lie})
    row, text = row_of(shelf)
    assert true.status.word == "recomputed" and row.status.word == "contradicted"
    assert row.numbers["worth"].value is None and "0.90 [0.80, 1.10]" not in text
    assert "worth: the record says another thing than its predictions" in str(row.status.why)
    assert "NOT BORNE OUT BY THE PREDICTIONS  worth." in shown(shelf, arm, capsys)
    for record in Records(shelf):
        if record["name"].startswith("none x"):
            shutil.rmtree(home(shelf, record))
    row = row_of(shelf)[0]
    assert "not measured again from the predictions" in str(row.numbers["worth"].note)
    assert (row.status.word, row.status.why) == ("claimed", "not made again: worth")


@pytest.mark.parametrize("part", ["detectable", "equivalence/equivalent"])
def test_a_word_that_rests_on_an_edited_number_is_not_said(shelf: Path, arm: dict[str, Any], part: str) -> None:
    value = True if part.endswith("equivalent") else 0.001
    lie = edited(arm, f"comparisons/none/{part}", value)
    lie["comparisons"]["none"]["equivalence"]["sentence"] = "EQUIVALENT within +-0.01"
    lie["verdict"] = f"NO DIFFERENCE SHOWN, EQUIVALENT within +-0.01. {ARM}: AUROC +0.0"
    put(shelf, lie)
    row, text = row_of(shelf)
    assert "EQUIVALENT" not in text and "a difference of 0.001 in four" not in text
    assert row.status.word == "contradicted" and "in the record and" in str(row.numbers["vs_none"].note)


def test_unequal_compute_that_was_edited_away_is_said_again(
    shelf: Path, arm: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    lie = copy.deepcopy(arm)
    lie["training"]["steps"] = [2 * n for n in arm["training"]["steps"]]
    put(shelf, lie)
    row, _ = row_of(shelf)
    assert row.status.word == "contradicted" and "unequal is null in the record" in str(row.numbers["vs_none"].note)
    assert "against none: unequal is null in the record and a text" in shown(shelf, arm, capsys)


@pytest.mark.parametrize("sealed", [True, False])
def test_sentences_are_made_anew(
    shelf: Path, arm: dict[str, Any], sealed: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    word = arm["verdict"].partition(".")[0]
    lie = {**copy.deepcopy(arm), "verdict": f"{word}. {ARM}: AUROC +0.9876 [+0.9, +1] against real images alone"}
    lie["comparisons"]["none"] |= {"a": "another arm", "note": "EDITED", "support": "EDITED"}
    lie["comparisons"]["none"]["equivalence"]["sentence"] = "EDITED"
    lie["worth"]["note"] = lie["worth"]["advice"] = "EDITED"
    put(shelf, lie, sealed=sealed)
    for flags in ([], ["--explain"]):
        printed = shown(shelf, arm, capsys, *flags)
        assert "0.9876" not in printed and "EDITED" not in printed
        assert (f"without {SEAL}: what its predictions do not give" in printed) is not sealed
    assert "EDITED" not in row_of(shelf)[1] and "0.9876" not in row_of(shelf)[1]


def test_a_positive_control_that_was_taken_out_is_missed(
    shelf: Path, arm: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    put(shelf, {**arm, "positive_control": None})
    assert "positive control: it is null in the record" in shown(shelf, arm, capsys)


TOGETHER: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "name": (lambda r: r.update(name="holdout_real add 1"), "is called 'holdout_real add 1', and is the arm"),
    "control": (lambda r: r.update(is_control=True), "says that latent_ddpm is a control"),
    "seeds": (lambda r: r["training"]["steps"].pop(), "has training.steps of 5 classifiers, and 6 seeds"),
}


@pytest.mark.parametrize(("edit", "said"), TOGETHER.values(), ids=TOGETHER)
def test_what_the_spec_says_too_is_held_against_it(
    shelf: Path, arm: dict[str, Any], edit: Callable[[dict[str, Any]], Any], said: str
) -> None:
    edit(arm)
    with pytest.raises(Unreadable) as refused:
        load_record(put(shelf, arm))
    assert said in str(refused.value)


def test_the_controls_that_are_known_unimported_are_those_that_say_so() -> None:
    assert {name for name in BUILT_IN if getattr(generators.get(name), "is_control", False)} == CONTROLS


def test_predictions_swapped_between_seeds_are_seen_without_a_seal(shelf: Path, arm: dict[str, Any]) -> None:
    """AUROC and its interval are the same; what is paired is not."""
    file = home(shelf, arm) / PREDICTIONS
    table = pq.read_table(file)
    order = table["seed"].to_numpy()
    seeds = (order + 1) % arm["spec"]["seeds"]
    index = table.column_names.index("seed")
    pq.write_table(table.set_column(index, "seed", [seeds.astype(order.dtype)]), file)
    put(shelf, arm, sealed=False)
    assert any("by_seed" in line or "interval" in line for line in checked(shelf, arm).contradicted)
    assert row_of(shelf)[0].standing.contradicted


def test_one_arm_on_other_images_does_not_take_the_ranks_of_all_others(lab: Any) -> None:
    lab.run("none", 1.0)
    lab.run("duplicate", 1.0, jitter=1)
    lab.run("idle", 1.0, jitter=2)
    names = tuple(f"other{k}" for k in range(len(lab.test)))
    lab.test = dataclasses.replace(lab.test, ids=names, groups=names)
    lab.known.clear()
    lab.run("best", 4.0, jitter=3, controls=())
    rows = lab.tables()[0].rows
    assert {row.label: row.standing.rank for row in rows} == {
        "best add 0.5": None, "none": 1, "duplicate add 0.5": 1, "idle add 0.5": 1,
    }  # fmt: skip
    assert "of another test set" in rows[0].standing.missing["rank"]


# -- what is asked for ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "flags",
    [
        ("--seed", f"{10**19}"), ("--generator-seed", f"-{10**30}"), ("--curve", "1e300"),
        ("--patients-per-class", f"{10**13}"), ("--fit.seconds", "1e300"), ("--train.seconds", "1e16"),
    ],
    ids=lambda flags: flags[0],
)  # fmt: skip
def test_what_no_reader_would_take_cannot_be_asked_for(flags: tuple[str, ...]) -> None:
    request = parse(["--preset", "smoke", *flags], prog="run")
    with pytest.raises(UserError, match="no record can hold what was asked for: "):
        specs_of(request, fingerprint="", precision="fp32")
