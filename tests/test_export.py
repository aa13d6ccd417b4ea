"""Exports of a run: other tools accept them, their numbers are the record's, and no name in them is more than text."""

from __future__ import annotations

import copy
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.export.__main__ import NAMES, main
from benchmarks.export.claim import ASKED, answers, claim
from benchmarks.export.crate import PROFILE, files_of
from benchmarks.export.croissant import VERSION
from benchmarks.export.facts import NOT_FOR_DIAGNOSIS, TO_WRITE
from benchmarks.export.model_card import model_card
from benchmarks.export.smd_card import SECTIONS, smd_card
from benchmarks.job.carry_out import carry_out
from benchmarks.pool.__main__ import main as export_pool
from benchmarks.records.load import RECORD, load_record
from benchmarks.records.predictions import Entry
from benchmarks.records.seal import write_seal
from benchmarks.records.shape import check_shape
from benchmarks.records.store import Records
from benchmarks.records.terms import licence_of
from benchmarks.request.options import parse
from benchmarks.verdicts.again import Finished, judge_again
from generators.pool_folder import CARD, LICENCE, TABLE, read_pictures
from synthworth.errors import UserError
from synthworth.keys import file_sha256

pytestmark = pytest.mark.usefixtures("one_thread")

FLAGS = [
    *("--preset", "smoke", "--device", "cpu", "--seeds", "2", "--controls", "none", "duplicate", "--workers", "1"),
    *("--generator", "vae", "--fit.steps", "2", "--ratio", "0.5"),
    *("--train.steps", "2", "--clf.arch", "resnet10t", "--extractors"),
    *("--data.n-train", "120", "--data.n-val", "40", "--data.n-test", "60"),
]
REFERENCE = Path(__file__).resolve().parent.parent / "results/reference/12a228888cdeea81"
CARDS = {"claim": claim, "smd-card": smd_card, "model-card": model_card}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("run")
    carry_out(parse([*FLAGS, "--home", str(place / "home"), "--results", str(place / "runs")], prog="test"))
    record = named(place, "vae add 0.5")
    where = ["--home", str(place / "home"), "--results", str(place / "runs")]
    export_pool(["export", record["run_id"], str(place / "pool"), *where])
    return place


@pytest.fixture
def place(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Records and a pool of their own."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(made / "runs", tmp_path / "results/runs")
    shutil.copytree(made / "pool", tmp_path / "pool")
    return tmp_path


def named(place: Path, name: str) -> dict[str, Any]:
    return next(record for record in Records(place / "runs") if record["name"] == name)


@pytest.fixture
def record(place: Path) -> dict[str, Any]:
    return named(place / "results", "vae add 0.5")


def test_mlcroissant_accepts_a_pool_and_reads_its_rows_and_the_sha256_of_every_file(
    place: Path, record: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    import mlcroissant as mlc

    assert main([record["run_id"], "--as", "croissant", "--pool", "pool", "--author", 'A. "B" <i>']) == 0
    file = place / "pool/croissant.json"
    dataset = mlc.Dataset(jsonld=file)
    assert not dataset.metadata.ctx.issues.errors and not dataset.metadata.ctx.issues.warnings
    told = json.loads(file.read_text())
    assert told["conformsTo"][0] == VERSION and told["rai:hasSyntheticData"] is True
    assert record["spec"]["fingerprint"] in told["prov:wasDerivedFrom"]
    assert record["provenance"]["command"] in told["prov:wasGeneratedBy"]
    assert told["license"] == record["dataset"]["licence"] and told["creator"]["name"] == 'A. "B" <i>'
    files = {one["@id"]: one["sha256"] for one in told["distribution"]}
    assert len(files) == 62 and all(file_sha256(place / "pool" / name) == sha for name, sha in files.items())
    rows, pictures = list(dataset.records("images")), read_pictures(place / "pool")
    assert [row["images/sha256"].decode() for row in rows] == [one.sha256 for one in pictures]
    assert [row["images/row"] for row in rows] == list(range(60))


def test_a_pool_of_another_run_or_none_and_a_place_elsewhere_are_refused(place: Path, record: dict[str, Any]) -> None:
    other = named(place / "results", "duplicate add 0.5")
    for words, why in (
        ([other["run_id"], "--pool", "pool"], f"is a pool of run {record['run_id'][:12]}, and the record is of run"),
        ([record["run_id"]], "has to be exported first"),
        ([record["run_id"], "--pool", "results"], "holds no metadata.csv"),
        ([record["run_id"], "--pool", "pool", "--out", "x.json"], "goes into the folder pool itself"),
    ):
        with pytest.raises(UserError, match=why):
            main([*words, "--as", "croissant"])
    assert not (place / "pool/croissant.json").exists() and not (place / "x.json").exists()


def test_a_licence_that_forbids_it_or_is_another_than_the_cards_is_refused_and_nothing_is_written(
    place: Path, record: dict[str, Any]
) -> None:
    for stated, why in (("CC BY-ND 4.0", "README.md says that the images are under"), ("CC0", "Leave the flag out")):
        with pytest.raises(UserError, match=why):
            main([record["run_id"], "--as", "croissant", "--pool", "pool", "--licence", stated])
    (place / "pool" / CARD).unlink()
    with pytest.raises(UserError, match=r"'CC BY-ND 4\.0' lets nothing that was made from the films be passed on"):
        main([record["run_id"], "--as", "croissant", "--pool", "pool", "--licence", "CC BY-ND 4.0"])
    assert not (place / "pool/croissant.json").exists()
    assert main([record["run_id"], "--as", "croissant", "--pool", "pool", "--licence", " CC0 "]) == 0
    assert json.loads((place / "pool/croissant.json").read_text())["license"] == "CC0"


def test_without_the_flag_the_licence_is_that_of_the_pools_own_card(place: Path, record: dict[str, Any]) -> None:
    card = place / "pool" / CARD
    row, of_films = f"| {LICENCE} | ", record["dataset"]["licence"]
    lines = [
        f"{row}CC BY 4.0, by the lab |" if line.startswith(row) else line for line in card.read_text().splitlines()
    ]
    card.write_text("\n".join(lines))
    assert main([record["run_id"], "--as", "croissant", "--pool", "pool"]) == 0
    assert json.loads((place / "pool/croissant.json").read_text())["license"] == "CC BY 4.0, by the lab" != of_films


@pytest.mark.parametrize("kept", [slice(4), slice(1, None), slice(0)])
def test_a_pool_that_is_not_all_of_the_run_is_refused(place: Path, record: dict[str, Any], kept: slice) -> None:
    table = place / "pool" / TABLE
    head, *rows = table.read_text().splitlines()
    table.write_text("\n".join([head, *rows[kept], ""]))
    n = len(rows[kept])
    with pytest.raises(
        UserError, match=f"is not the whole pool of run .*: it holds {n} images" if n else "of no image"
    ):
        main([record["run_id"], "--as", "croissant", "--pool", "pool"])
    assert not (place / "pool/croissant.json").exists()


def test_rocrate_reads_a_crate_with_every_file_of_the_record_and_the_action_that_made_it(
    place: Path, record: dict[str, Any]
) -> None:
    from rocrate.rocrate import ROCrate

    assert main([record["run_id"], "--as", "ro-crate", "--author", "A. B."]) == 0
    folder, runs = place / "results/exports" / record["run_id"][:16] / "ro-crate", place / "results/runs"
    crate = ROCrate(folder)
    assert crate.root_dataset["conformsTo"].id == PROFILE
    there = {file.name: file_sha256(file) for file in (runs / record["run_id"][:16]).iterdir()}
    assert {RECORD, "predictions.parquet", "grid.png", "seal.json"} <= there.keys()
    (action,) = crate.get_by_type("CreateAction")
    assert {one.id: one["sha256"] for one in action["result"]} == there
    assert {name: file_sha256(folder / name) for name in there} == there
    assert action["instrument"].type == "SoftwareApplication"
    assert action["instrument"]["softwareVersion"].startswith(record["provenance"]["synthworth"])
    (data, *parts) = action["object"]
    assert (data["name"], data["license"]) == ("phantom", record["dataset"]["licence"])
    assert [part["sha256"] for part in parts] == [one["sha256"] for one in record["pretrained"]]
    assert action["startTime"] == record["provenance"]["started"] <= action["endTime"]
    assert action["endTime"] == record["provenance"]["ended"]
    assert "The call took stages from its store" not in action["description"]
    assert [agent["name"] for agent in action["agent"]] == ["A. B."]
    assert crate.root_dataset["mentions"][0].id == action.id


def test_a_crate_names_no_start_of_what_one_call_cannot_have_made(record: dict[str, Any]) -> None:
    """A fit of an hour that was in the store, and a call of some seconds that wrote the record."""
    from benchmarks.export.crate import _began

    assert _began(record) == record["provenance"]["started"]
    assert _began({**record, "cost": {**record["cost"], "fit_seconds": 3600.0}}) is None
    older = {name: value for name, value in record["provenance"].items() if name not in ("started", "ended")}
    assert _began({**record, "provenance": older}) is None


def test_films_whose_licence_is_not_known_stay_out_of_a_crate(place: Path, record: dict[str, Any]) -> None:
    folder = place / "results/runs" / record["run_id"][:16]
    for licence, shown in (("CC BY 4.0", True), ("CC BY-ND 4.0", False), ("yours", False), (None, False)):
        files, stay = files_of(folder, licence)
        names = {file.name for file in files}
        assert ("grid.png" in names) is shown and (stay == []) is shown and RECORD in names


def test_claim_has_its_44_items_in_order_and_the_numbers_of_the_record(record: dict[str, Any]) -> None:
    rows = answers(record)
    assert [k for k, *_ in rows] == list(range(1, 45)) and len(ASKED) == 44
    text, by_number = claim(record), {k: said for k, _, _, said in rows}
    lines = [line for line in text.splitlines() if re.match(r"\| \d", line)]
    assert [int(line.split("|")[1]) for line in lines] == list(range(1, 45))
    auroc = record["utility"]["auroc"]
    assert f"auroc {auroc['value']:.4f} [{auroc['low']:.4f}, {auroc['high']:.4f}]" in by_number[37]
    smallest = record["comparisons"]["duplicate"]["detectable"]
    assert f"{smallest:.4f} in AUROC against duplicate" in by_number[21]
    women = record["dataset"]["attributes"]["train"]["sex"]["F"]
    assert f"sex F: {record['dataset']['attributes']['test']['sex']['F']} test, {women} train" in by_number[36]
    assert "train: 120 images of" in by_number[35] and record["dataset"]["citation"] in by_number[7]
    for k in (2, 3, 4, 11, 14, 34, 44):  # what no record can know
        assert by_number[k] == TO_WRITE
    assert NOT_FOR_DIAGNOSIS in text


def test_the_seven_sections_of_an_smd_card_are_there_with_the_numbers_of_the_record(record: dict[str, Any]) -> None:
    text = smd_card(record)
    headings = re.findall(r"^## (.*)$", text, re.M)
    assert headings == ["Description", *(f"{k}. {title}" for k, (title, *_) in enumerate(SECTIONS, 1)), "Limits"]
    assert len(SECTIONS) == 7
    parts = dict(zip(headings, re.split(r"^## .*$", text, flags=re.M)[1:], strict=True))
    moved = record["fidelity"]["histogram_distance"]
    assert (
        f"{moved['value']:.4f} (real images against real ones {moved['extra']['floor']:.4g}" in parts["1. Congruence"]
    )
    for name, n in record["counts"]["synthetic"].items():
        assert f"{n} synthetic images beside {record['counts']['real'][name]} real ones" in parts["4. Completeness"]
        assert name in parts["4. Completeness"]
    copies = record["privacy"]["copy_rate/pixels"]
    assert f"{copies['value']:.4f} [{copies['low']:.4f}, {copies['high']:.4f}]" in parts["5. Compliance"]
    seeds = record["utility"]["auroc"]["extra"]["per_seed"]
    assert ", ".join(f"{seed:.4f}" for seed in seeds) in parts["7. Consistency"]
    bare = {**record, "fidelity": {}, "privacy": {}, "fidelity_by_class": {}}
    assert f"The record says nothing of it: {TO_WRITE}." in smd_card(bare)


def test_the_hub_reads_a_model_card_with_the_values_of_the_record(record: dict[str, Any], tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    text = model_card(record, authors=["A: [B]"])
    card = ModelCard(text)
    found = {one.metric_type: one for one in card.data.eval_results}
    for name in ("auroc", "brier", "balanced_accuracy"):
        value = record["utility"][name]
        assert found[name].metric_value == value["value"]
        assert f"interval {value['low']:.4f} to {value['high']:.4f}" in found[name].metric_name
    assert found["auroc"].dataset_revision == record["spec"]["fingerprint"]
    assert yaml.safe_load(text.split("---\n")[1])["authors"] == ["A: [B]"]
    for heading in ("Model description", "Intended use", "Data", "Metrics", "Limits", "Bias, risks and ethics"):
        assert f"\n## {heading}\n" in text
    assert f"**{NOT_FOR_DIAGNOSIS}**" in text and "| sex | F |" in text
    copies = record["privacy"]["copy_rate/pixels"]
    assert f"{copies['value']:.4f} [{copies['low']:.4f}, {copies['high']:.4f}]" in text.partition("\n## Copies")[2]


@pytest.mark.parametrize(
    ("dataset", "data", "said", "licence"),
    [
        ("phantom", {}, None, "Apache-2.0"), ("phantom", {}, "CC0", "CC0"), ("folder", {}, "yours", None),
        ("folder", {"name": "dermamnist"}, "CC BY 4.0", "CC BY 4.0"), ("folder", {}, None, None),
        ("medmnist", {"name": "pneumoniamnist"}, None, "CC BY 4.0"), ("medmnist", {"name": "dermamnist"}, None, None),
    ],
)  # fmt: skip
def test_every_export_knows_the_licence_of_a_record_that_holds_none_by_its_datasets_name(
    record: dict[str, Any], dataset: str, data: dict[str, str], said: str | None, licence: str | None
) -> None:
    spec = {**record["spec"], "dataset": dataset, "data": data}
    other = {**record, "spec": spec, "dataset": {**record["dataset"], "licence": said} if said else None}
    assert licence_of(other) == licence
    for card in (model_card, smd_card):
        assert f"licence: {licence or TO_WRITE}".replace("-", "") in card(other).replace("\\", "").replace("-", "")


@pytest.mark.parametrize("form", sorted(set(NAMES) - {"croissant"}))
def test_an_export_goes_where_it_is_told_once_and_nothing_is_overwritten(
    place: Path, record: dict[str, Any], form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "there").mkdir()
    (place / "there/mine.txt").write_text("mine")
    for out, at in (("one/file", ""), ("there", NAMES[form])) if form != "ro-crate" else (("one/crate", ""),):
        words = [str(place / "results/runs" / record["run_id"][:16]), "--as", form, "--out", out]
        assert main(words) == 0
        assert f"written {Path(out, at)}" in capsys.readouterr().out and Path(out, at).exists()
        before = {file: file.read_bytes() for file in Path(out).parent.rglob("*") if file.is_file()}
        with pytest.raises(UserError, match="is there already; nothing is overwritten"):
            main(words)
        assert before == {file: file.read_bytes() for file in Path(out).parent.rglob("*") if file.is_file()}
    with pytest.raises(UserError, match="nothing is overwritten"):
        main([record["run_id"], "--as", form, "--out", "there/mine.txt"])
    assert (place / "there/mine.txt").read_text() == "mine"


def test_a_record_that_is_damaged_or_contradicts_its_predictions_is_not_exported(
    place: Path, record: dict[str, Any]
) -> None:
    folder = place / "results/runs" / record["run_id"][:16]
    file, was = folder / RECORD, (folder / RECORD).read_bytes()
    for change, why in (
        (lambda: file.write_bytes(was[:-40]), "has changed since it was written"),
        (lambda: claim_more(file), "is not borne out by its predictions: predictions.parquet holds"),
        (lambda: (folder / "seal.json").write_text("{"), "seal.json beside it is damaged"),
    ):
        file.write_bytes(was)
        change()
        with pytest.raises(UserError, match=why):
            main([str(folder), "--as", "claim"])
    for word, why in (("nowhere", "'nowhere' is no run"), (str(place / "pool"), "cannot be read")):
        with pytest.raises(UserError, match=why):
            main([word, "--as", "claim"])
    assert not (place / "results/exports").exists()


def claim_more(file: Path) -> None:
    """An AUROC that the predictions do not have, under a seal of its own."""
    told = json.loads(file.read_text())
    told["utility"]["auroc"] |= {"value": 0.99, "high": 0.999}
    told["utility"]["auroc"]["extra"]["per_seed"] = [0.99, 0.99]
    file.write_text(json.dumps(told))
    write_seal(file.parent, RECORD)


def test_a_form_that_there_is_not_and_a_library_that_is_missing_are_said(
    place: Path, record: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main([record["run_id"], "--as", "bibtex"])
    assert left.value.code == 2 and "croissant" in capsys.readouterr().err
    for module, form in (("mlcroissant", "croissant"), ("rocrate.rocrate", "ro-crate")):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(UserError, match=r"pip install 'synthworth\[export\]'"):
            main([record["run_id"], "--as", form, *(["--pool", "pool"] if form == "croissant" else [])])
    none = named(place / "results", "none")
    with pytest.raises(UserError, match="none adds no images: an SMD card is of synthetic ones"):
        main([none["run_id"], "--as", "smd-card"])
    assert not (place / "results/exports").exists()


def test_a_record_that_is_judged_again_keeps_what_exports_read(place: Path, record: dict[str, Any]) -> None:
    entry = Entry(record, place / "results/runs" / record["run_id"][:16])
    again = judge_again(Finished.of(entry), [])
    check_shape(again)
    for name in ("dataset", "pretrained", "provenance"):
        assert again[name] == record[name]
    assert record["dataset"]["attributes"]["test"]["sex"]


NASTY = "<img src=x onerror=alert(1)> | `x` ![y](http://e.org) --- \n# head"


def test_names_and_notes_of_a_record_stay_text_in_every_card(record: dict[str, Any]) -> None:
    nasty = copy.deepcopy(record)
    nasty["name"] = nasty["spec"]["generator"] = nasty["verdict"] = nasty["provenance"]["command"] = NASTY
    nasty["spec"]["gen"] = {NASTY: NASTY}
    nasty["dataset"] |= {"licence": NASTY, "citation": NASTY, "left_out": {NASTY: 3}, "remarks": {NASTY: 1}}
    nasty["dataset"]["attributes"]["test"][NASTY] = {NASTY: 2}
    nasty["audit"]["warnings"], nasty["unavailable"] = [NASTY], {NASTY: NASTY}
    nasty["pretrained"] = [{"part": "metric", "name": NASTY, "sha256": None, "licence": None, "note": NASTY}]
    nasty["readers"] = [{"reader": NASTY, "n_right": 1, "n": 2}]
    for form, make in CARDS.items():
        text = make(nasty)
        body = text.split("---\n", 2)[2] if form == "model-card" else text
        assert "<img" not in body and "\n# head" not in body and not re.search(r"(?<!\\)(!\[|`x)", body), form
        rows = [line.replace(r"\|", "") for line in body.splitlines() if line.startswith("| ")]
        plain = make(record)
        wide = {line.replace(r"\|", "").count("|") for line in plain.splitlines() if line.startswith("| ")}
        assert {row.count("|") for row in rows} <= wide, form
    front = yaml.safe_load(model_card(nasty).split("---\n")[1])
    assert front["model-index"][0]["name"] == NASTY


@pytest.mark.parametrize("form", ["croissant", "ro-crate"])
def test_other_tools_read_exports_whose_names_are_nasty(place: Path, record: dict[str, Any], form: str) -> None:
    nasty = copy.deepcopy(record)
    nasty["name"] = nasty["spec"]["generator"] = nasty["verdict"] = NASTY
    nasty["dataset"] |= {"licence": NASTY, "citation": NASTY}
    if form == "croissant":
        from benchmarks.export.croissant import croissant

        made = croissant(nasty, Path("pool"), read_pictures(Path("pool")), licence=NASTY, authors=[NASTY])
        assert made["license"] == NASTY and made["creator"]["name"] == NASTY
        return
    from rocrate.rocrate import ROCrate

    from benchmarks.export.crate import write_crate

    write_crate(nasty, place / "results/runs" / record["run_id"][:16], place / "crate", authors=[NASTY])
    assert NASTY in ROCrate(place / "crate").root_dataset["name"]


def test_a_record_of_before_says_what_the_authors_have_to_write() -> None:
    old = load_record(REFERENCE / RECORD)
    assert not {"dataset", "pretrained"} & old.keys()
    by_number = {k: said for k, _, _, said in answers(old)}
    assert "licence: Apache-2.0" in by_number[7] and by_number[8] == TO_WRITE
    assert f"of pre-trained parts this record says nothing: {TO_WRITE}" in by_number[24]
    for make in CARDS.values():
        assert TO_WRITE in make(old)
