"""NIH ChestX-ray14: what each task takes, who stands in which split, and the way from files to images."""

from __future__ import annotations

import csv
import logging
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nih_copy import BOX_HEAD, MIX, Made, Row, lines_of, names_of, rows_of, touch_films, write_films, write_table

from data.datasets.nih.dataset import BOXES_FILE, NIH, NIHConfig
from data.datasets.nih.table import FINDINGS, NO_FINDING, read_entries
from data.datasets.nih.tasks import SIX, select
from data.films.table import FilmTable
from data.images import Split
from synthworth.errors import UserError


@pytest.fixture
def make(tmp_path: Path) -> Made:
    """The films of a made copy of NIH's folder."""

    def made(rows: Sequence[Row] | None = None, *, shuffle: int | None = None, **options: Any) -> FilmTable:
        rows = rows_of() if rows is None else rows
        lines = lines_of(rows)
        if shuffle is not None:
            random.Random(shuffle).shuffle(lines)
        write_table(tmp_path, lines)
        touch_films(tmp_path / "images", names_of(rows))
        return NIH(NIHConfig(path=tmp_path, **options)).table

    return made


def check_apart(table: FilmTable) -> None:
    sides = [{table.groups[i] for i in table.rows(split)} for split in Split]
    assert sum(map(len, sides)) == len(set(table.groups))


# --- the tasks


def test_multilabel14_takes_every_film_with_14_columns(make: Made) -> None:
    rows = [(p, FINDINGS[p % 14] if p % 3 else NO_FINDING) for p in range(1, 400)]
    table = make(rows)
    assert table.classes == FINDINGS
    assert table.labels.shape == (399, 14) and table.labels.dtype == np.uint8
    wanted = [[int(name == labels) for name in FINDINGS] for _, labels in rows]
    assert table.labels.tolist() == wanted
    check_apart(table)


def test_single_takes_films_with_one_finding_alone(make: Made) -> None:
    table = make(task="single", findings=("mass", "No Finding", "Effusion"))
    assert table.classes == ("Mass", NO_FINDING, "Effusion")
    alone = [label for _, label in rows_of() if label in table.classes]
    assert sorted(table.classes[k] for k in table.labels) == sorted(alone)
    assert table.labels.dtype == np.int64


def test_single_may_allow_findings_outside_the_list_but_never_two_inside(make: Made) -> None:
    strict = make(task="single", findings=("Infiltration",))
    loose = make(task="single", findings=("Infiltration",), others="allow")
    assert strict.classes == loose.classes == (NO_FINDING, "Infiltration")
    assert set(strict.ids) < set(loose.ids)
    both = make(task="single", findings=("Effusion", "Mass"), others="allow")
    assert len(both) == sum(label in ("Effusion", "Mass") for _, label in rows_of())


def test_single_has_the_six_published_classes(make: Made) -> None:
    table = make(rows_of(60, 2, SIX), task="single")
    assert table.classes == SIX == (NO_FINDING, "Atelectasis", "Cardiomegaly", "Effusion", "Pneumonia", "Pneumothorax")
    assert all(n == 20 for n in np.bincount(table.labels))


def test_binary_is_balanced_at_the_rarer_class_and_at_the_cap(make: Made) -> None:
    whole, capped = make(task="binary"), make(task="binary", cap=7)
    n_infiltration = sum("Infiltration" in label for _, label in rows_of())
    assert whole.classes == (NO_FINDING, "Infiltration")
    assert np.bincount(whole.labels).tolist() == [20, 20] and n_infiltration == 20
    assert np.bincount(capped.labels).tolist() == [7, 7]
    assert set(capped.ids) < set(whole.ids)
    assert set(make(task="binary", cap=6).ids) < set(capped.ids)
    assert set(make(task="binary", cap=7, seed=1).ids) != set(capped.ids)


def test_cap_bounds_every_class_of_single(make: Made) -> None:
    table = make(task="single", findings=("Hernia", "No Finding"), cap=12)
    assert np.bincount(table.labels).tolist() == [10, 12]


@pytest.mark.parametrize("task", ["multilabel14", "progressive", "single", "binary"])
def test_the_order_of_rows_changes_nothing(make: Made, task: str) -> None:
    rows = rows_of(60, 2, (*MIX, *FINDINGS))
    options: dict[str, Any] = {"cap": 8} if task == "binary" else {}
    if task == "single":
        options = {"findings": ("Mass", "Hernia", "No Finding"), "cap": 6}
    one = make(rows, task=task, **options)
    other = make(rows, task=task, shuffle=3, **options)
    assert one.ids == other.ids and one.groups == other.groups and one.paths == other.paths
    assert (one.labels == other.labels).all() and (one.splits == other.splits).all()


def test_progressive_is_nested_and_keeps_every_patient_in_his_split(make: Made) -> None:
    rng = np.random.default_rng(0)
    rows = [(p, FINDINGS[int(rng.integers(0, 14) ** 2 / 14)] if p % 3 else NO_FINDING) for p in range(1, 500)]
    rows += [(p, "|".join(FINDINGS[k] for k in rng.choice(14, 2, replace=False))) for p in range(1, 200)]
    counts = {name: sum(name in labels.split("|") for _, labels in rows) for name in FINDINGS}
    ranked = sorted(FINDINGS, key=lambda name: -counts[name])
    before: dict[str, str] = {}
    for k in (2, 4, 6, 8, 14):
        table = make(rows, task="progressive", k=k)
        assert list(table.classes) == ranked[:k]
        now = dict(zip(table.ids, table.splits.tolist(), strict=True))
        assert before.items() <= now.items()
        before = now
        inside = [i for i, (_, labels) in enumerate(rows) if set(labels.split("|")) <= {NO_FINDING, *ranked[:k]}]
        assert set(table.ids) == {names_of(rows)[i] for i in inside}
        assert all(n for counts in table.counts().values() for n in counts.values())
        check_apart(table)
    assert len(before) == len(rows)


def test_progressive_takes_the_first_k_of_a_given_list(make: Made) -> None:
    table = make(task="progressive", findings=("Hernia", "Effusion", "Mass"), k=2)
    assert table.classes == ("Hernia", "Effusion")
    loose = make(task="progressive", findings=("Hernia", "Effusion", "Mass"), k=2, others="allow")
    assert len(loose) == 80 > len(table)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "single", "findings": ("Lung Cancer",)}, "--data.findings: 'Lung Cancer' is none of"),
        ({"task": "single", "findings": ("Mass", "mass")}, "names a label twice"),
        ({"task": "single", "findings": ("No Finding",)}, "tells nothing apart"),
        ({"task": "single"}, "shows Atelectasis, Cardiomegaly, .* alone. There are No Finding 20, Atelectasis 0"),
        ({"task": "single", "findings": ("Atelectasis",)}, "or pass --data.others allow"),
        ({"task": "single", "findings": ("Edema", "Mass", "Hernia")}, "no film at hand shows Edema alone"),
        ({"task": "binary", "findings": ("Mass", "Effusion")}, "binary is one finding against"),
        ({"task": "binary", "findings": ("Pneumonia",)}, "shows Pneumonia. There are No Finding 20, Pneumonia 0"),
        ({"task": "binary", "cap": 0}, "--data.cap 0"),
        ({"task": "multilabel14"}, r"shows Cardiomegaly, .*There are Atelectasis 10, .*--data.k up to 5"),
        ({"task": "multilabel14", "findings": ("Mass",)}, "takes all 14"),
        ({"task": "multilabel14", "cap": 5}, "--data.cap 5 is for tasks single and binary"),
        ({"task": "progressive", "k": 0}, "--data.k 0: between 1 and 14"),
        ({"task": "progressive", "k": 8}, "no film at hand shows Cardiomegaly"),
        ({"task": "progressive", "k": 3, "findings": ("Mass", "Hernia")}, "--data.k 3: between 1 and 2"),
        ({"task": "progressive", "k": 1, "findings": ("No Finding",)}, "no finding but a row of zeros"),
        ({"task": "progressive", "k": 1, "findings": ("Atelectasis",)}, "shows Atelectasis without a finding outside"),
        ({"views": "LL", "task": "binary"}, "no film on disk has that view"),
    ],
)
def test_what_no_film_can_answer_is_refused(make: Made, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(**options)


def test_one_view_alone_can_be_taken(make: Made) -> None:
    table = make(rows_of(80, 3), task="single", findings=("Mass",), views="PA")
    assert set(table.attributes["view"]) == {"PA"}


# --- the splits


def test_patients_are_split_80_10_10_and_carry_their_attributes(make: Made) -> None:
    table = make(rows_of(400), task="single", findings=("Mass", "Hernia", "No Finding", "Effusion"))
    check_apart(table)
    shares = [len(table.rows(split)) / len(table) for split in (Split.train, Split.val, Split.test)]
    assert shares == pytest.approx([0.8, 0.1, 0.1], abs=0.02)
    assert set(table.attributes) == {"sex", "age_band", "view"}
    assert all(len(values) == len(table) for values in table.attributes.values())
    assert table.groups[0] == "00000001"
    assert (make(rows_of(400), task="binary", seed=1).splits != make(rows_of(400), task="binary").splits).any()


def write_lists(folder: Path, train: Sequence[str], test: Sequence[str]) -> None:
    (folder / "train_val_list.txt").write_text("\n".join(train))
    (folder / "test_list.txt").write_text("\n".join(test) + "\n")


def test_official_lists_are_kept_and_val_is_carved_by_patient(make: Made, tmp_path: Path) -> None:
    names = names_of(rows_of())
    write_lists(tmp_path, names[:60], names[60:78])
    table = make(task="binary", findings=("Effusion",), split="official")
    check_apart(table)
    test = {table.ids[i] for i in table.rows(Split.test)}
    assert test <= set(names[60:78])
    assert {table.ids[i] for s in (Split.train, Split.val) for i in table.rows(s)} <= set(names[:60])
    assert len(table.rows(Split.val)) > 0
    assert table.notes["films in no split (official)"] == len(make(task="binary", findings=("Effusion",))) - len(table)


def test_official_lists_that_are_missing_or_overlap_are_refused(make: Made, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"needs train_val_list\.txt and test_list\.txt; they are not in"):
        make(task="binary", split="official")
    names = names_of(rows_of())
    write_lists(tmp_path, names[:60], names[59:])
    with pytest.raises(UserError, match=r"00000030_001\.png is in both"):
        make(task="binary", split="official")
    write_lists(tmp_path, names[:59], names[59:])
    with pytest.raises(UserError, match="patient '00000030' is in both train and test"):
        make(task="binary", split="official", others="allow", seed=2)


def test_a_split_that_cannot_be_judged_or_learned_from_is_refused(make: Made, tmp_path: Path) -> None:
    rows = rows_of()
    sick = [name for name, (p, label) in zip(names_of(rows), rows, strict=True) if label == "Mass" and p > 20]
    write_lists(tmp_path, [name for name in names_of(rows) if name[:8] not in {s[:8] for s in sick}], sick)
    with pytest.raises(UserError, match=r"nothing can be judged on the test split .* No Finding 0, Mass"):
        make(task="single", findings=("Mass",), split="official")
    ruptured = [name for name, (_, label) in zip(names_of(rows), rows, strict=True) if label == "Hernia"]
    write_lists(tmp_path, ruptured, [])
    with pytest.raises(UserError, match="no training film shows Mass, No Finding"):
        make(task="single", findings=("Mass", "No Finding", "Hernia"), split="official")


def test_a_class_that_test_lacks_is_noted(make: Made) -> None:
    rows = [*rows_of(60, 2, (NO_FINDING, "Mass", "Effusion")), (61, "Hernia")]
    table = make(rows, task="single", findings=("No Finding", "Mass", "Hernia"))
    assert table.notes["cannot be judged in test"] == "Hernia (0)"
    assert table.counts()["train"]["Hernia"] == 1


def write_csv(file: Path, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Path:
    with file.open("w", newline="") as handle:
        csv.writer(handle).writerows([header, *rows])
    return file


def test_a_users_file_may_hold_patients_as_pandas_writes_them(make: Made, tmp_path: Path) -> None:
    def split(form: str) -> FilmTable:
        rows = [[form.format(p), ("train", "val", "test")[p // 8 % 3]] for p in range(1, 41)]
        file = write_csv(tmp_path / "mine.csv", ["patient", "split"], rows)
        return make(task="binary", split="file", split_file=file)

    assert split("{}.0").splits.tolist() == split("{:08d}").splits.tolist()


@pytest.mark.parametrize("column", ["patient", "Patient ID", "image", "Image Index"])
def test_a_users_file_splits_by_patient_or_by_image(make: Made, tmp_path: Path, column: str) -> None:
    words = {p: ("test", "validation", "reserve", *["train"] * 5)[(p // 8) % 8 if p < 64 else 3] for p in range(1, 61)}
    rows = rows_of(60, 2)
    cells = words.items()
    if "mage" in column:
        cells = [(name, words[int(name[:8])]) for name in names_of(rows)]
    file = write_csv(tmp_path / "mine.csv", [column, "split"], [*cells, ("99999", "test")])
    table = make(rows, task="binary", split="file", split_file=file)
    check_apart(table)
    given = {"validation": "val"}
    assert table.splits.tolist() == [given.get(words[int(g)], words[int(g)]) for g in table.groups]


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (["patient", "part"], [[1, "train"]], "no column 'split' "),
        (["who", "split"], [[1, "train"]], "neither an image column"),
        (["patient", "split"], [[1, "learn"]], "row 1: 'learn' is no split"),
        (
            ["patient", "split"],
            [[1, "train"], ["0001", "test"]],
            "row 2: '0001' is in test and, in an earlier row, in train",
        ),
        (["patient", "split"], [[999, "train"]], "names none of the 40 films at hand"),
        (["patient", "split"], [[p, "train"] for p in range(1, 41)], "no film at hand is in the test split"),
        (["image", "split"], [[n, ("train", "test")[i % 2]] for i, n in enumerate(names_of(rows_of()))], "is in both"),
    ],
)
def test_a_users_file_that_cannot_split_is_refused(
    make: Made, tmp_path: Path, header: list[str], rows: list[Any], message: str
) -> None:
    file = write_csv(tmp_path / "mine.csv", header, rows)
    with pytest.raises(UserError, match=message):
        make(task="binary", split="file", split_file=file)


def test_split_file_is_asked_for(make: Made) -> None:
    with pytest.raises(UserError, match=r"needs --data\.split-file"):
        make(task="binary", split="file")


# --- the whole way


def test_prepare_decodes_the_films_and_writes_their_boxes(tmp_path: Path, one_thread: None) -> None:
    import pyarrow.parquet as pq

    rows = rows_of(30, 1)
    write_table(tmp_path, lines_of(rows))
    write_films(tmp_path / "images_001" / "images", names_of(rows)[:15])
    write_films(tmp_path / "images_002" / "images", names_of(rows)[15:])
    boxed = names_of(rows)[6]
    (tmp_path / "BBox_List_2017.csv").write_text(f"{BOX_HEAD}\n{boxed},Infiltrate,1,2,3,4\nother.png,Mass,1,2,3,4\n")
    dataset, root = NIH(NIHConfig(path=tmp_path, task="binary", size=8)), tmp_path / "prepared"
    root.mkdir()
    dataset.prepare(root)
    train = dataset.load(root, Split.train)
    assert tuple(train.images.shape[1:]) == (1, 8, 8)
    assert set(train.attributes) == {"sex", "age_band", "view"}
    assert train.classes == (NO_FINDING, "Infiltration")
    assert pq.read_table(root / BOXES_FILE).to_pylist() == [
        {"id": boxed, "finding": "Infiltration", "x": 1.0, "y": 2.0, "w": 3.0, "h": 4.0}
    ]
    before = dataset.source()
    (tmp_path / "BBox_List_2017.csv").write_text(f"{BOX_HEAD}\n{boxed},Infiltrate,1,2,3,5\n")
    assert NIH(dataset.config).source() != before


# --- the real films


@pytest.fixture(scope="module")
def real() -> Path:
    home = os.environ.get("SYNTHWORTH_DATA")
    folder = Path(home or "") / "nih14"
    if not home or not (folder / "Data_Entry_2017_v2020.csv").is_file():
        pytest.skip("SYNTHWORTH_DATA/nih14 with the films of NIH ChestX-ray14 is not there")
    return folder


def test_the_whole_published_table_is_read_and_split_by_patient(real: Path) -> None:
    from data.splits.by_patient import split_by_patient

    entries = read_entries(real / "Data_Entry_2017_v2020.csv")
    assert len(entries) == 112_120 and len(set(entries.patients)) == 30_805
    counts = entries.counts()
    assert (counts[NO_FINDING], counts["Infiltration"], counts["Pneumonia"], counts["Hernia"]) == (
        60361,
        19894,
        1431,
        227,
    )
    parts = split_by_patient(entries.patients.tolist(), entries.findings, seed=0)
    sides = [set(entries.patients[rows]) for rows in parts.values()]
    assert sum(map(len, sides)) == 30_805
    for share, rows in zip((0.8, 0.1, 0.1), parts.values(), strict=True):
        assert entries.findings[rows].sum(0) / entries.findings.sum(0) == pytest.approx(np.full(14, share), abs=0.02)


def test_presets_on_the_whole_table_have_the_published_sizes(real: Path) -> None:
    entries = read_entries(real / "Data_Entry_2017_v2020.csv")
    binary = select(entries, task="binary", seed=0)
    assert np.bincount(binary.labels).tolist() == [19_894, 19_894]
    single = select(entries, task="single", seed=0)
    assert np.bincount(single.labels).tolist() == [60361, 4215, 1093, 3955, 322, 2194]
    two = select(entries, task="progressive", k=2, seed=0)
    assert two.classes == ("Infiltration", "Effusion")


@pytest.mark.parametrize(
    ("options", "counts"),
    [
        ({"task": "multilabel14"}, {"Pneumonia": 500, "Infiltration": 187, "Hernia": 3}),
        ({"task": "single", "findings": ("Pneumonia",)}, {NO_FINDING: 500, "Pneumonia": 116}),
        ({"task": "single", "findings": ("Pneumonia",), "others": "allow"}, {NO_FINDING: 500, "Pneumonia": 500}),
        ({"task": "binary"}, {NO_FINDING: 187, "Infiltration": 187}),
        ({"task": "progressive", "k": 2}, {"Pneumonia": 184, "Infiltration": 68}),
    ],
)
def test_each_task_counts_the_real_films_and_keeps_patients_apart(
    real: Path, options: dict[str, Any], counts: dict[str, int]
) -> None:
    table = NIH(NIHConfig(path=real, **options)).table
    whole = {name: sum(by_class[name] for by_class in table.counts().values()) for name in table.classes}
    assert counts.items() <= whole.items()
    assert table.notes["rows without a film on disk"] == 111_120
    check_apart(table)


def test_the_official_test_films_at_hand_all_show_pneumonia_and_are_refused(real: Path) -> None:
    with pytest.raises(UserError, match="nothing can be judged on the test split"):
        _ = NIH(NIHConfig(path=real, task="single", findings=("Pneumonia",), split="official")).table


def test_what_was_left_out_is_logged_when_films_are_prepared(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, one_thread: None
) -> None:
    rows = rows_of(30, 1)
    write_table(tmp_path, lines_of(rows))
    write_films(tmp_path, names_of(rows)[:28])
    (tmp_path / "out").mkdir()
    with caplog.at_level(logging.WARNING):
        NIH(NIHConfig(path=tmp_path, task="binary", size=8)).prepare(tmp_path / "out")
    assert "rows without a film on disk: 2" in caplog.text
