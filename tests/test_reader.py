"""A blinded page for a reader: half real, half synthetic, in random order; and what the answers come to."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.job.carry_out import carry_out
from benchmarks.reader.__main__ import main
from benchmarks.reader.answers import Answer, judge, read_answers
from benchmarks.reader.films import choose_films
from benchmarks.reader.sheet import Key, read_key
from benchmarks.records.store import Records
from benchmarks.request.options import parse
from data.images import ImageSet, Split
from data.mixing import SyntheticSet
from synthworth.errors import UserError

pytestmark = pytest.mark.usefixtures("one_thread")

FLAGS = [
    *("--preset", "smoke", "--device", "cpu", "--seeds", "1", "--controls", "none", "--workers", "1"),
    *("--generator", "vae", "--fit.steps", "2", "--ratio", "0.5"),
    *("--train.steps", "2", "--clf.arch", "resnet10t", "--extractors"),
    *("--data.n-train", "120", "--data.n-val", "40", "--data.n-test", "60"),
]


def shades(n: int, first: int) -> torch.Tensor:
    return torch.arange(first, first + n, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 4, 4).clone()


def test_a_sheet_has_as_many_real_films_with_the_same_labels_and_none_twice() -> None:
    labels, ids = torch.tensor([0] * 10 + [1] * 10), tuple(map(str, range(20)))
    real = ImageSet(shades(20, 0), labels, ids, ids, Split.test, ("A", "B"))
    pool = SyntheticSet(shades(20, 100), labels.flip(0), ("A", "B"), "", "")
    films = choose_films(pool, real, n=16, seed=3)
    assert films.synthetic.sum() == 8 and len({image.tobytes() for image in films.images}) == 16
    assert (films.images[films.synthetic].min() >= 100) and (films.images[~films.synthetic].max() < 100)
    counts = Counter(zip(films.synthetic.tolist(), films.shown, strict=True))
    assert counts == {(True, "A"): 4, (True, "B"): 4, (False, "A"): 4, (False, "B"): 4}
    again, other = (choose_films(pool, real, n=16, seed=seed) for seed in (3, 4))
    assert np.array_equal(films.images, again.images) and not np.array_equal(films.images, other.images)
    for n in (15, 0, 42):
        with pytest.raises(UserError, match=f"--n {n}"):
            choose_films(pool, real, n=n, seed=0)


KEY = Key("0" * 64, (True, False, True, False, True, False), ("A", "A", "B", "B", "B", "A"))


def test_answers_are_judged_with_the_exact_interval_and_by_class() -> None:
    words = ["synthetic", "real", "real", "real", "", "synthetic"]
    remarks = ["", "", "no ribs", "", "too smooth", ""]
    answers = [Answer(k + 1, word, remark) for k, (word, remark) in enumerate(zip(words, remarks, strict=True))]
    found = judge(answers, KEY, reader="a student")
    assert (found["n_films"], found["n"], found["n_right"], found["accuracy"]) == (6, 5, 3, 0.6)
    assert found["low"] == pytest.approx(0.1466, abs=1e-4) and found["high"] == pytest.approx(0.9473, abs=1e-4)
    assert found["p_value"] == pytest.approx(1.0)
    assert found["called_synthetic"] == {"real": pytest.approx(1 / 3), "synthetic": 0.5}
    assert found["by_class"]["A"] == {"n": 3, "n_right": 2, "remarks": []}
    assert found["by_class"]["B"] == {
        "n": 2, "n_right": 1,
        "remarks": [{"film": 3, "is": "synthetic", "remark": "no ribs"},
                    {"film": 5, "is": "synthetic", "remark": "too smooth"}],
    }  # fmt: skip
    with pytest.raises(UserError, match="no film of sheet"):
        judge([Answer(1, "", "nothing")], KEY, reader="")


def saved(file: Path, rows: list[tuple[Any, ...]], *, sheet: str = KEY.sheet) -> Path:
    with file.open("w", newline="") as to:
        csv.writer(to).writerows([("sheet", "film", "answer", "remark"), *((sheet, *row) for row in rows)])
    return file


@pytest.mark.parametrize(
    ("rows", "more", "said"),
    [
        ([(1, "real", "")], {"sheet": "another"}, "are to sheet 'another'"),
        ([(1, "real", ""), (1, "real", "")], {}, "film 1 twice"),
        ([(7, "real", "")], {}, "film '7'; the sheet has 1 to 6"),
        ([("-1", "real", "")], {}, "film '-1'"),
        ([(1, "perhaps", "")], {}, "answer 'perhaps'; it is real or synthetic"),
        ([], {}, "no column 'sheet'"),
    ],
)
def test_answers_that_are_none_are_refused(tmp_path: Path, rows: Any, more: Any, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        read_answers(saved(tmp_path / "a.csv", rows, **more), KEY)


def test_a_remark_is_one_line_of_text(tmp_path: Path) -> None:
    file = saved(tmp_path / "a.csv", [(2, "Real ", "a\nb\x1b[31m" + "x" * 900), (1, "", "")])
    first, second = read_answers(file, KEY)
    assert (first.film, first.word) == (1, "") and second.word == "real"
    assert second.remark.startswith("a b\\x1b[31mxx") and len(second.remark) == 500


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("read")
    carry_out(parse([*FLAGS, "--home", str(place / "home"), "--results", str(place / "runs")], prog="test"))
    return place


@pytest.fixture
def place(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Records of their own, over a home that is shared."""
    shutil.copytree(run / "runs", tmp_path / "results" / "runs")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SYNTHWORTH_HOME", str(run / "home"))
    return tmp_path


def named(place: Path, name: str) -> dict[str, Any]:
    return next(record for record in Records(place / "results/runs") if record["name"] == name)


def answered(place: Path, key: Key, words: list[str]) -> Path:
    rows = [(k + 1, word, "" if k else "blurred") for k, word in enumerate(words)]
    return saved(place / "answers.csv", rows, sheet=key.sheet)


def truth(key: Key) -> list[str]:
    return ["synthetic" if synthetic else "real" for synthetic in key.synthetic]


def test_a_page_tells_nothing_of_what_its_films_are_and_the_answers_join_the_record(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = named(place, "vae add 0.5")
    assert main([record["run_id"][:10], "--n", "12"]) == 0
    folder = place / "results/reader" / record["run_id"][:16]
    key, page = read_key(folder), (folder / "sheet.html").read_text()
    assert key.run_id == record["run_id"] and sum(key.synthetic) == 6
    films = json.loads(re.search(r"const FILMS = (\[.*\]);", page).group(1))
    assert [film["shown"] for film in films] == list(key.shown) and {frozenset(f) for f in films} == {
        frozenset({"picture", "shown"})
    }
    assert record["run_id"] not in page and "http" not in page.replace("http-equiv", "")
    words = truth(key)
    assert main([record["run_id"], "--answers", str(answered(place, key, words)), "--reader", "Dr <b>A</b>"]) == 0
    assert main([record["run_id"], "--answers", str(answered(place, key, words[:6])), "--reader", "B"]) == 0
    said = capsys.readouterr().out
    assert "Dr <b>A</b>: 12 of 12 told right (1.00 [0.74, 1.00], guessing is 0.50), p = 0.000" in said
    assert "B: 6 of 6 told right" in said and "6 left out" in said
    readers = named(place, "vae add 0.5")["readers"]
    assert [one["reader"] for one in readers] == ["Dr <b>A</b>", "B"]
    assert readers[0]["by_class"][key.shown[0]]["remarks"] == [{"film": 1, "is": words[0], "remark": "blurred"}]
    beside = sorted(file.name for file in Records(place / "results/runs").path(record["run_id"]).glob("answers-*.csv"))
    assert len(beside) == 2


def test_the_same_reader_answers_a_sheet_anew_in_the_place_of_before(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = named(place, "vae add 0.5")
    main([record["run_id"], "--n", "4"])
    key = read_key(place / "results/reader" / record["run_id"][:16])
    wrong = ["real" if word == "synthetic" else "synthetic" for word in truth(key)]
    for words in (truth(key), wrong):
        main([record["run_id"], "--answers", str(answered(place, key, words))])
    assert "is replaced" in capsys.readouterr().out
    (reader,) = named(place, "vae add 0.5")["readers"]
    assert reader["n_right"] == 0 and reader["p_value"] == pytest.approx(0.125)


def test_a_record_that_is_judged_again_keeps_its_readers(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from benchmarks.job import carry_out as job
    from benchmarks.job import record as made

    record = named(place, "vae add 0.5")
    main([record["run_id"], "--n", "4"])
    key = read_key(place / "results/reader" / record["run_id"][:16])
    main([record["run_id"], "--answers", str(answered(place, key, truth(key)))])
    before, file = named(place, "vae add 0.5"), Records(place / "results/runs").path(record["run_id"]) / "record.json"
    inode = file.stat().st_ino
    for module in (made, job):  # as where a metric was registered since
        monkeypatch.setattr(module, "find_complete", lambda records, spec: None)
    carry_out(parse([*FLAGS, "--results", "results/runs"], prog="test"))
    after = named(place, "vae add 0.5")
    assert after["readers"] == before["readers"] and file.stat().st_ino != inode
    assert list(Records(place / "results/runs").path(record["run_id"]).glob("answers-*.csv"))


def test_what_cannot_be_shown_or_judged_is_refused_in_one_line(place: Path, tmp_path: Path) -> None:
    record, none = named(place, "vae add 0.5"), named(place, "none")
    with pytest.raises(UserError, match=r"none adds no images"):
        main([none["run_id"]])
    with pytest.raises(UserError, match=r"films of vae add 0\.5 are not in"):
        main([record["run_id"], "--home", str(tmp_path / "elsewhere")])
    assert not (tmp_path / "results/reader").exists() and not (tmp_path / "elsewhere").exists()
    with pytest.raises(UserError, match=r"key\.json"):
        main([record["run_id"], "--answers", "answers.csv"])
    main([record["run_id"], "--n", "4", "--out", "sheet"])
    key = read_key(Path("sheet"))
    answers = str(answered(place, key, truth(key)))
    with pytest.raises(UserError, match=f"shows films of run {record['run_id'][:12]}, not of {none['run_id'][:12]}"):
        main([none["run_id"], "--answers", answers, "--out", "sheet"])
    file = Path("sheet/key/key.json")
    file.write_text(file.read_text().replace("false", "true", 1))
    with pytest.raises(UserError, match="has changed since it was written"):
        main([record["run_id"], "--answers", answers, "--out", "sheet"])
    assert "readers" not in named(place, "vae add 0.5")
