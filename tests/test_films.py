"""Films become a cache one by one: in order, resumed after a kill, with every bad one named or refused."""

from __future__ import annotations

import csv
import json
import logging
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from data.films.cache import JOURNAL, FilmCache
from data.films.dataset import FilmConfig, FilmDataset
from data.films.table import FilmTable
from data.images import Split
from data.prepared import INDEX, is_prepared, read_index
from synthworth.errors import UserError
from synthworth.sealed import read_sealed

SPLITS = ("train",) * 6 + ("val",) * 3 + ("test",) * 3


def noise(seed: int, shape: tuple[int, ...] = (16, 16)) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def make_films(folder: Path, n: int = 12) -> list[Path]:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{i:03d}.png" for i in range(n)]
    for i, path in enumerate(paths):
        Image.fromarray(noise(i)).save(path)
    return paths


def make_table(paths: list[Path], *, multi: bool = False, **change) -> FilmTable:
    n = len(paths)
    labels = np.arange(n) % 2
    values = {
        "paths": tuple(paths),
        "ids": tuple(path.name for path in paths),
        "groups": tuple(f"patient-{i}" for i in range(n)),
        "labels": np.eye(2, dtype=np.uint8)[labels] if multi else labels,
        "splits": np.array([SPLITS[i * len(SPLITS) // n] for i in range(n)])[np.argsort(np.arange(n) % 4)],
        "classes": ("a", "b"),
        "attributes": {"sex": np.array(["F", "M"] * n)[:n], "age": np.arange(n) / 2},
    }
    return FilmTable(**{**values, **change})


@dataclass(frozen=True)
class ToyConfig(FilmConfig):
    """Options."""


class Toy(FilmDataset):
    """Films of a table that is given."""

    Config = ToyConfig

    def __init__(self, table: FilmTable, **options) -> None:
        super().__init__(ToyConfig(**options))
        self.given = table

    def films(self) -> FilmTable:
        return self.given


def prepared(table: FilmTable, root: Path, **options) -> Toy:
    toy = Toy(table, **options)
    toy.prepare(root)
    return toy


# -- the table ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"ids": ("a",) * 12},
        {"groups": ("p",)},
        {"labels": np.zeros(12)},
        {"labels": np.full(12, 2)},
        {"labels": np.zeros((12, 3), np.uint8)},
        {"labels": np.full((12, 2), 2, np.uint8)},
        {"splits": np.array(["dev"] * 12)},
        {"attributes": {"sex": np.array(["F"])}},
    ],
)
def test_a_table_that_contradicts_itself_is_refused(tmp_path, change: dict) -> None:
    with pytest.raises(ValueError):
        make_table([tmp_path / f"{i}.png" for i in range(12)], **change)


def test_source_changes_with_files_and_with_what_is_said_of_them(tmp_path) -> None:
    table = make_table(make_films(tmp_path))
    before = Toy(table).source()
    assert Toy(table).source() == before
    for change in (
        {"labels": 1 - table.labels},
        {"groups": table.groups[::-1]},
        {"splits": table.splits[::-1]},
        {"classes": ("a", "c")},
        {"attributes": {"sex": table.attributes["sex"][::-1]}},
    ):
        assert Toy(replace(table, **change)).source()["table"] != before["table"]
    Image.fromarray(noise(99)).save(table.paths[0])
    assert Toy(table).source()["files"] != before["files"]
    table.paths[1].unlink()
    with pytest.raises(UserError, match=r"1 of 12 films are missing, first .*001\.png"):
        Toy(table).source()


# -- the cache ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("multi", [False, True])
def test_the_cache_holds_every_film_where_the_table_puts_it(tmp_path, multi: bool) -> None:
    table = make_table(make_films(tmp_path / "films"), multi=multi)
    toy = prepared(table, tmp_path / "cache")
    index = read_index(tmp_path / "cache")
    for split in (Split.train, Split.val, Split.test):
        images, rows = toy.load(tmp_path / "cache", split), table.rows(split)
        assert images.ids == tuple(table.ids[i] for i in rows)
        assert np.array_equal(images.images[:, 0].numpy(), np.stack([noise(i) for i in rows]))
        assert np.array_equal(images.labels.numpy(), table.labels[rows])
        assert images.attributes["age"].tolist() == table.attributes["age"][rows].tolist()
        assert replace(images).fingerprint() == index["splits"][split.value]["fingerprint"]
    assert index["notes"] == {"skipped": []}


def test_metadata_and_csv_say_what_each_row_is(tmp_path) -> None:
    paths = make_films(tmp_path / "films")
    table = make_table(paths, multi=True, classes=("mass", "sex"))
    prepared(table, tmp_path / "cache")
    found = pq.read_table(tmp_path / "cache" / "metadata.parquet").to_pydict()
    assert list(found) == ["id", "split", "patient", "mass", "sex", "attribute:sex", "age"]
    assert found["split"] == sorted(found["split"], key=["train", "val", "test"].index)
    for split in ("train", "val", "test"):
        with (tmp_path / "cache" / f"{split}.csv").open(encoding="utf-8", newline="") as handle:
            rows = list(csv.DictReader(handle))
        assert [row["id"] for row in rows] == [
            i for i, s in zip(found["id"], found["split"], strict=True) if s == split
        ]
        for row in rows:
            i = table.ids.index(row["id"])
            assert [int(row["mass"]), int(row["sex"])] == table.labels[i].tolist()
            assert (row["split"], row["patient"]) == (split, table.groups[i])
            assert (row["attribute:sex"], float(row["age"])) == ("FM"[i % 2], i / 2)
    one = prepared(make_table(paths), tmp_path / "single")
    assert pq.read_table(tmp_path / "single" / "metadata.parquet")["label"].to_pylist()[0] in one.table.classes


def test_notes_are_logged_in_one_line_and_kept_in_the_index(tmp_path, caplog) -> None:
    table = make_table(make_films(tmp_path / "films"), notes={"rows": 20, "without_file": 8})
    with caplog.at_level(logging.WARNING):
        prepared(table, tmp_path / "cache")
    assert [record.getMessage() for record in caplog.records] == ["rows: 20, without_file: 8"]
    assert read_index(tmp_path / "cache")["notes"] == {"rows": 20, "without_file": 8, "skipped": []}


def test_a_patient_in_two_splits_is_refused_before_anything_is_decoded(tmp_path) -> None:
    table = make_table([tmp_path / f"{i}.png" for i in range(12)], groups=("one",) * 12)
    with pytest.raises(UserError, match="patient 'one' is in both"):
        prepared(table, tmp_path / "cache")
    assert not is_prepared(tmp_path / "cache")


def test_a_cache_of_another_version_is_refused(tmp_path) -> None:
    toy = prepared(make_table(make_films(tmp_path / "films")), tmp_path / "cache")
    index = json.loads((tmp_path / "cache" / INDEX).read_text())
    (tmp_path / "cache" / INDEX).write_text(json.dumps(index | {"cache_version": 999}))
    with pytest.raises(UserError, match=r"is a cache of version 999, this is 1\. Delete the folder"):
        toy.load(tmp_path / "cache", Split.train)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"size": 4}, r"--data\.size 4: it must lie between 8 and 2048"),
        ({"size": 64, "resize": 32}, r"--data\.resize 32 needs a --data\.size that is no larger"),
        ({"resize": 32}, r"--data\.resize 32 needs a --data\.size"),
    ],
)
def test_a_size_that_cannot_be_is_refused(tmp_path, options: dict, match: str) -> None:
    with pytest.raises(UserError, match=match):
        prepared(make_table(make_films(tmp_path / "films")), tmp_path / "cache", **options)


# -- bad films ---------------------------------------------------------------------------------------------------


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def cut(content: bytes, share: float) -> bytes:
    return content[: int(len(content) * share)]


def sliver(path: Path) -> None:
    Image.fromarray(noise(0, (1, 300))).save(path)


def sixteen_bits(path: Path) -> None:
    Image.fromarray(np.full((16, 16), 40_000, np.uint16)).save(path)


def colour_of_sixteen_bits(path: Path) -> None:
    cv2.imwrite(str(path), np.full((16, 16, 3), 40_000, np.uint16))


def flipped_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def too_few_rows(path: Path) -> None:
    """A PNG whose every checksum is right, with half the pixels that it announces."""
    head = struct.pack(">IIBBBBB", 16, 16, 8, 0, 0, 0, 0)
    rows = b"".join(b"\0" + bytes(16) for _ in range(8))
    chunks = [png_chunk(b"IHDR", head), png_chunk(b"IDAT", zlib.compress(rows)), png_chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))


def half_a_jpeg(path: Path) -> None:
    Image.fromarray(noise(0, (64, 64))).save(path, "jpeg")
    path.write_bytes(cut(path.read_bytes(), 0.7))


BAD = {
    "truncated PNG": (lambda path: path.write_bytes(cut(path.read_bytes(), 0.8)), "truncated"),
    "PNG without its end": (lambda path: path.write_bytes(path.read_bytes()[:-12]), "ends before its end mark"),
    "flipped bit": (flipped_bit, "PNG chunk IDAT does not have its checksum"),
    "too few rows": (too_few_rows, "do not fill the 16 x 16 px"),
    "truncated JPEG": (half_a_jpeg, "truncated"),
    "empty file": (lambda path: path.write_bytes(b""), "the file is empty"),
    "text": (lambda path: path.write_bytes(b"no image"), "not an image"),
    "16-bit grey": (sixteen_bits, "more than 8 bits a pixel.*Window it to 8 bits first"),
    "16-bit colour": (colour_of_sixteen_bits, "more than 8 bits a pixel"),
    "1 x N": (sliver, r"300 x 1 px \(width x height\) is no film"),
    "no file": (lambda path: path.unlink(), "No such file"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_film_is_refused_by_name_or_skipped_by_name(tmp_path, caplog, what: str) -> None:
    spoil, match = BAD[what]
    table = make_table(make_films(tmp_path / "films"))
    spoil(table.paths[7])
    with pytest.raises(UserError, match=rf"007\.png.*{match}.*--data.on-bad skip") as caught:
        prepared(table, tmp_path / "cache", size=16)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "cache").iterdir())
    with caplog.at_level(logging.WARNING):
        toy = prepared(table, tmp_path / "cache", size=16, on_bad="skip")
    assert any("skipped" in r.getMessage() and "007.png" in r.getMessage() for r in caplog.records)
    (skip,) = read_index(tmp_path / "cache")["notes"]["skipped"]
    assert (skip["id"], skip["split"]) == ("007.png", str(table.splits[7]))
    assert str(tmp_path) not in skip["reason"]
    sets = {split: toy.load(tmp_path / "cache", split) for split in (Split.train, Split.val, Split.test)}
    assert sum(map(len, sets.values())) == 11
    for images in sets.values():
        for i, name in enumerate(images.ids):
            assert np.array_equal(images.images[i, 0].numpy(), noise(int(name[:3])))
    csv_rows = (tmp_path / "cache" / f"{table.splits[7]}.csv").read_text().splitlines()
    assert len(csv_rows) - 1 == len(sets[Split(str(table.splits[7]))])


def test_a_skip_that_empties_a_split_or_a_class_is_refused(tmp_path) -> None:
    table = make_table(make_films(tmp_path / "films"))
    for row in table.rows(Split.val):
        table.paths[row].write_bytes(b"")
    with pytest.raises(UserError, match=r"the val split holds no film \(3 were skipped, first 0\d\d\.png\)"):
        prepared(table, tmp_path / "cache", on_bad="skip")
    table = make_table(make_films(tmp_path / "films"))
    for row in table.rows(Split.train):
        if table.labels[row] == 1:
            table.paths[row].write_bytes(b"")
    with pytest.raises(UserError, match=r"class 'b' has no training film left \(\d were skipped"):
        prepared(table, tmp_path / "cache", on_bad="skip")
    assert not list((tmp_path / "cache").iterdir())


def test_films_of_mixed_sizes_are_refused_even_when_bad_ones_are_skipped(tmp_path) -> None:
    table = make_table(make_films(tmp_path / "films"))
    Image.fromarray(noise(0, (20, 20))).save(table.paths[8])
    with pytest.raises(UserError, match=r"mixed sizes: .* is 16 x 16, .*008\.png is 20 x 20"):
        prepared(table, tmp_path / "cache", on_bad="skip")


# -- resumed ---------------------------------------------------------------------------------------------------


def taken(scratch: Path) -> int:
    """How many films the journal says were taken."""
    held = read_sealed(scratch / JOURNAL)
    assert held is not None
    done: int = json.load(held)["done"]
    return done


def test_decoding_goes_on_where_it_stopped(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("data.films.cache.CHECKPOINT_SECONDS", 0)
    table = make_table(make_films(tmp_path / "films"))
    (tmp_path / "scratch").mkdir()
    read: list[str] = []

    class Counting(Toy):
        stop_at = 9

        def read(self, path: Path) -> np.ndarray:
            read.append(path.name)
            if len(read) == self.stop_at:
                raise KeyboardInterrupt
            return super().read(path)

    with pytest.raises(KeyboardInterrupt):
        Counting(table).prepare(tmp_path / "cache", scratch=tmp_path / "scratch")
    done = taken(tmp_path / "scratch")
    assert done == 8
    with (tmp_path / "scratch" / "train-images.npy").open("ab") as handle:
        handle.write(b"half a film")
    again = Counting(table)
    again.stop_at = 0
    read.clear()
    again.prepare(tmp_path / "cache", scratch=tmp_path / "scratch")
    assert sorted(read) == sorted(np.array(table.ids)[np.concatenate([table.rows(s) for s in Split])][done:])
    prepared(table, tmp_path / "whole")
    assert read_index(tmp_path / "cache") == read_index(tmp_path / "whole")


@pytest.mark.parametrize("file", [JOURNAL, "train-images.npy"])
@pytest.mark.parametrize("at", [0.3, 0.7])
def test_decoding_begins_anew_where_what_was_half_made_has_changed(tmp_path, monkeypatch, caplog, file, at) -> None:
    monkeypatch.setattr("data.films.cache.CHECKPOINT_SECONDS", 0)
    table = make_table(make_films(tmp_path / "films"))
    (tmp_path / "scratch").mkdir()
    last = table.paths[table.rows(Split.test)[-1]]
    film = last.read_bytes()
    last.write_bytes(b"")
    with pytest.raises(UserError):
        Toy(table, size=8).prepare(tmp_path / "cache", scratch=tmp_path / "scratch")
    last.write_bytes(film)
    harmed = tmp_path / "scratch" / file
    content = bytearray(harmed.read_bytes())
    content[int(at * len(content))] ^= 4
    harmed.write_bytes(content)
    Toy(table, size=8).prepare(tmp_path / "cache", scratch=tmp_path / "scratch")
    assert f"{JOURNAL} is damaged" in caplog.text
    prepared(table, tmp_path / "whole", size=8)
    assert read_index(tmp_path / "cache") == read_index(tmp_path / "whole")


def test_pixels_that_change_while_they_are_published_are_not_believed(tmp_path, monkeypatch) -> None:
    table = make_table(make_films(tmp_path / "films"))
    (tmp_path / "scratch").mkdir()
    checkpoint = FilmCache.checkpoint

    def harm(cache: FilmCache) -> None:
        checkpoint(cache)
        with (cache.folder / "train-images.npy").open("r+b") as handle:
            handle.seek(200)
            handle.write(b"\0\1\2")

    with monkeypatch.context() as patched:
        patched.setattr(FilmCache, "checkpoint", harm)
        with pytest.raises(UserError, match=r"train-images\.npy does not hold the pixels that were decoded"):
            Toy(table, size=8).prepare(tmp_path / "cache", scratch=tmp_path / "scratch")
    assert not is_prepared(tmp_path / "cache")
    Toy(table, size=8).prepare(tmp_path / "cache", scratch=tmp_path / "scratch")
    prepared(table, tmp_path / "whole", size=8)
    assert read_index(tmp_path / "cache") == read_index(tmp_path / "whole")


def test_what_was_half_made_for_another_request_is_not_used(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("data.films.cache.CHECKPOINT_SECONDS", 0)
    table = make_table(make_films(tmp_path / "films"))
    (tmp_path / "scratch").mkdir()
    table.paths[table.rows(Split.test)[-1]].write_bytes(b"")
    with pytest.raises(UserError):
        Toy(table, size=8).prepare(tmp_path / "cache", scratch=tmp_path / "scratch")
    assert taken(tmp_path / "scratch") == 11
    make_films(tmp_path / "films")
    Toy(table, size=12).prepare(tmp_path / "cache", scratch=tmp_path / "scratch")
    prepared(table, tmp_path / "whole", size=12)
    assert read_index(tmp_path / "cache") == read_index(tmp_path / "whole")
