"""What a row says beside its numbers, and the files that rows are written into."""

from __future__ import annotations

import csv
import dataclasses
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.statistics.multiple import holm
from leaderboard.build import CSV, LATEX, PARQUET, main
from leaderboard.contamination import contamination_of
from leaderboard.gather import collect
from leaderboard.known import opened
from leaderboard.latex import latex
from leaderboard.text import markdown
from synthworth.commands import guarded


def test_a_row_says_what_the_images_are_for_and_what_is_judged(lab: Any) -> None:
    lab.run("none", 1.0)
    lab.run("none", 0.8, portion=0.5)
    lab.run("noise", 1.0)
    lab.run("vae", 1.0, mode="only")
    (table,) = lab.tables()
    rows = {row.label: (row.kind, row.situation) for row in table.rows}
    assert rows == {
        "none": ("control", "real images alone"),
        "noise add 0.5": ("control", "augmenting"),
        "vae only 0.5": ("judged", "only"),
    } | {label: found for label, found in rows.items() if label.startswith("none x")}
    page = markdown([table])
    judged, apart = page.split("Controls and points of the learning curve:")
    assert "| vae only 0.5 |" in judged and "| vae only 0.5 |" not in apart
    assert "| noise add 0.5 (control) |" in apart and "| noise add 0.5 (control) |" not in judged


def test_val_chooses_the_ratio_and_test_does_not(lab: Any) -> None:
    lab.run("none", 1.0)
    made = {ratio: lab.run("vae", quality, ratio=ratio) for ratio, quality in ((0.5, 1.0), (1.0, 2.0), (2.0, 1.5))}
    low = made[1.0]["validation"]["auroc"]
    low = {**low, "value": 0.5, "low": 0.4, "high": 0.6, "extra": {"per_seed": [0.5] * 6}}
    lab.change(made[1.0], validation={"auroc": low})
    lab.run("noise", 1.0)
    (table,) = lab.tables()
    best = {row.label: row.numbers["best_ratio"] for row in table.rows}
    assert {best[f"vae add {ratio}"].value for ratio in ("0.5", "1", "2")} == {2.0}
    assert best["noise add 0.5"].value is None and "one ratio" in str(best["noise add 0.5"].note)
    assert best["none"].note == "real images alone have no ratio"


@pytest.mark.parametrize(
    ("gen", "said"),
    [
        ({"autoencoder_id": "hub:somebody/vae"}, "the autoencoder (hub:somebody/vae): trained elsewhere"),
        ({"pretrained_id": "ab" * 32}, "the denoiser (sha256 abababababab): trained elsewhere"),
        ({"condition": {"source_id": "hub:clip"}}, "the encoder of conditions (hub:clip)"),
        ({"condition": {"source_id": ""}, "encoder_pretrained": True}, None),
    ],
)
def test_a_part_from_elsewhere_greys_a_row_and_keeps_its_rank(lab: Any, gen: dict[str, Any], said: str | None) -> None:
    lab.run("none", 1.0)
    lab.run("vae", 2.0, gen=gen)
    (table,) = lab.tables()
    (row,) = (row for row in table.rows if row.label == "vae add 0.5")
    assert row.standing.rank == 1
    assert (row.contaminated is None) if said is None else str(row.contaminated).startswith(said)
    assert ("(contaminated)" in markdown([table]).split("\n## ", 2)[2]) is (said is not None)


def test_images_and_classifiers_from_elsewhere_are_named_too() -> None:
    spec = {"generator": "pool", "gen": {}, "clf": {"weights_sha256": "cd" * 32}}
    assert "made elsewhere" in str(contamination_of(spec))
    assert "the classifier began with weights of a file (sha256 cdcdcdcdcdcd)" in str(
        contamination_of({**spec, "generator": "vae"})
    )
    assert contamination_of({**spec, "generator": "vae", "clf": {"pretrained": True}}) is None


@pytest.mark.parametrize("generator", ["consistency", "edm", "flow", "latent_ddpm", "lora", "pixel_ddpm", "vae"])
def test_every_option_that_names_a_part_from_elsewhere_is_disclosed(generator: str) -> None:
    """Options that stand for files in a key end in `_id` or `_sha256`."""
    from generators.registry import generators

    def named(config: Any) -> Iterator[str]:
        for field in dataclasses.fields(config):
            value = getattr(config, field.name)
            if dataclasses.is_dataclass(value):
                yield from named(value)
            elif field.name.endswith(("_id", "_sha256")):
                yield field.name

    for name in named(generators.get(generator).Config()):
        spec = {"generator": generator, "gen": {name: "hub:some/thing"}, "clf": {}}
        assert "hub:some/thing" in str(contamination_of(spec)), name


def test_csv_and_parquet_hold_the_same_rows_failed_ones_among_them(lab: Any, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    lab.run("none", 1.0)
    lab.run("vae", 1.5)
    lab.fail("out of memory", generator="dcgan")
    words = ["--results", str(lab.folder), "--out", str(tmp_path), "--figures", "0"]
    assert guarded(main, words) == 0
    with (tmp_path / CSV).open() as file:
        flat = list(csv.DictReader(file))
    table = pq.read_table(tmp_path / PARQUET).to_pylist()
    assert [list(row) for row in table] == [list(row) for row in flat]
    for one, other in zip(table, flat, strict=True):
        assert {name: "null" if value is None else str(value) for name, value in one.items()} == {
            name: value if one[name] is None or isinstance(one[name], str) else str(type(one[name])(_value(value)))
            for name, value in other.items()
        }
    failed = table[-1]
    assert (failed["generator"], failed["status"], failed["auroc"]) == ("dcgan", "failed", None)
    assert failed["notes"] == "not finished: out of memory"


def _value(text: str) -> Any:
    return text == "True" if text in ("True", "False") else float(text)


def test_only_the_files_that_were_asked_for_are_written(lab: Any, tmp_path: Path) -> None:
    lab.run("none", 1.0)
    words = ["--results", str(lab.folder), "--out", str(tmp_path / "site"), "--figures", "0", "--format", "latex"]
    assert guarded(main, words) == 0
    assert [file.name for file in (tmp_path / "site").iterdir()] == [LATEX]


def test_nothing_in_a_name_is_obeyed_by_latex(lab: Any) -> None:
    lab.run("none", 1.0)
    lab.run(r"\input{/etc/passwd} 50 % & $x_1$ #~^", 1.5)
    text = latex(lab.tables())
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 1
    assert r"\input" not in text
    assert r"\textbackslash{}input\{/etc/passwd\} 50 \% \& \$x\_1\$ \#\textasciitilde{}\textasciicircum{}" in text
    columns = text.partition(r"\toprule")[2].partition(r"\midrule")[0].count(" & ")
    rows = [line for line in text.splitlines() if line.endswith(r"\\") and " & " in line]
    assert len(rows) == 3 and {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {columns}


def test_duplicates_have_a_corrected_p_of_their_own(lab: Any) -> None:
    lab.run("none", 1.0)
    lab.run("duplicate", 1.0, jitter=2)
    lab.run("good", 2.0)
    lab.run("bad", 0.3)
    (table,) = lab.tables()
    by_name = {row.standing.entry.spec["generator"]: row.numbers for row in table.rows}
    raw = [by_name[name]["p_duplicate"].value for name in ("good", "bad")]
    assert [by_name[name]["holm_duplicate"].value for name in ("good", "bad")] == pytest.approx(holm(raw))


def test_records_are_read_alike_in_one_process_and_in_several(lab: Any, tmp_path: Path, monkeypatch: Any) -> None:
    lab.run("none", 1.0)
    lab.run("vae", 1.5)
    lab.fail("out of memory", generator="dcgan")
    (lab.folder / "broken").mkdir()
    (lab.folder / "broken" / "record.json").write_text("{")
    alone = collect([lab.folder])
    monkeypatch.setattr("leaderboard.gather.MANY", 1)
    with opened(tmp_path / "home") as known:
        fresh = collect([lab.folder], known, workers=2)
        again = collect([lab.folder], known)
    assert alone == fresh == again
    assert len(alone.skipped) == 1 and len(alone.failed) == 1 and len(alone.entries) == 2
