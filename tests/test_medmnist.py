"""MedMNIST files are found, fetched and verified, or taken as given; bad ones are named."""

from __future__ import annotations

import hashlib
import logging
import os
import zipfile
from pathlib import Path
from typing import get_args

import numpy as np
import pytest

import data.datasets.medmnist.dataset as medmnist
import data.datasets.medmnist.npz as npz
from data.datasets.medmnist.dataset import MedMNIST, MedMNISTConfig
from data.datasets.medmnist.published import PUBLISHED, SIZES, Name, Published, file_name
from data.images import Split
from synthworth.errors import UserError
from synthworth.keys import digest

REAL = Path(os.environ.get("SYNTHWORTH_DATA", "absent")) / "pneumoniamnist.npz"


def arrays(name: str = "pneumoniamnist", *, size: int = 28, n: int = 12) -> dict[str, np.ndarray]:
    row, rng = PUBLISHED[name], np.random.default_rng(0)
    shape = (n, size, size) if row.channels == 1 else (n, size, size, 3)
    made = {}
    for split in ("train", "val", "test"):
        made[f"{split}_images"] = rng.integers(0, 256, shape, dtype=np.uint8)
        k = len(row.classes)
        labels = rng.integers(0, 2, (n, k)) if row.multilabel else (np.arange(n) % k)[:, None]
        made[f"{split}_labels"] = labels.astype(np.uint8)
    return made


def write(path: Path, content: dict[str, np.ndarray]) -> Path:
    np.savez_compressed(path, **content)
    return path


def build(path: Path, name: str = "pneumoniamnist", **options):
    return MedMNIST(MedMNISTConfig(name=name, file=path, **options)).build()  # type: ignore[arg-type]


@pytest.fixture
def publisher(tmp_path, monkeypatch) -> Path:
    """A published breastmnist.npz of our own, behind file:// addresses, and an empty home."""
    folder = tmp_path / "publisher"
    folder.mkdir()
    file = write(folder / "breastmnist.npz", arrays("breastmnist"))
    md5 = {28: hashlib.md5(file.read_bytes()).hexdigest()}
    monkeypatch.setitem(PUBLISHED, "breastmnist", Published("binary-class", 1, PUBLISHED["breastmnist"].classes, md5))
    monkeypatch.setattr(medmnist, "url", lambda name, size: (folder / file_name(name, size)).as_uri())
    monkeypatch.setenv("SYNTHWORTH_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SYNTHWORTH_DATA", raising=False)
    return file


def test_the_table_holds_twelve_sets_with_a_checksum_for_every_size() -> None:
    assert set(get_args(Name)) == set(PUBLISHED)
    assert len(PUBLISHED) == 12
    sums = [row.md5[size] for row in PUBLISHED.values() for size in SIZES]
    assert len(set(sums)) == 48
    assert all(len(s) == 32 and int(s, 16) for s in sums)
    assert PUBLISHED["chestmnist"].multilabel
    assert len(PUBLISHED["chestmnist"].classes) == 14
    assert [name for name, row in PUBLISHED.items() if "NC" in row.licence] == ["dermamnist"]


def test_the_table_agrees_with_the_publishers_package() -> None:
    info = pytest.importorskip("medmnist.info", reason="the publisher's package is not installed").INFO
    for name, row in PUBLISHED.items():
        assert tuple(info[name]["label"].values()) == row.classes
        assert info[name]["n_channels"] == row.channels
        assert info[name]["license"] == row.licence
        for size in SIZES:
            suffix = "" if size == 28 else f"_{size}"
            assert info[name][f"MD5{suffix}"] == row.md5[size]
            assert info[name][f"url{suffix}"] == medmnist.url(name, size)


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_every_set_arrives_as_uint8_nchw_with_its_own_labels(tmp_path, name: str) -> None:
    content = arrays(name)
    sets = build(write(tmp_path / "a.npz", content), name)
    row = PUBLISHED[name]
    for split in (Split.train, Split.val, Split.test):
        images = sets[split]
        raw = content[f"{split.value}_images"]
        assert images.images.shape == (12, row.channels, 28, 28)
        assert images.multilabel == row.multilabel
        assert np.array_equal(images.images[3, 0].numpy(), raw[3] if row.channels == 1 else raw[3, ..., 0])
        assert np.array_equal(images.labels.numpy().reshape(12, -1), content[f"{split.value}_labels"])
        assert images.groups == images.ids


def test_a_local_file_tells_its_own_size_and_may_be_resized(tmp_path) -> None:
    path = write(tmp_path / "a.npz", arrays(size=64))
    assert build(path)[Split.val].size == 64
    assert build(path, resize=32)[Split.val].size == 32


def test_a_local_file_is_identified_by_what_it_holds_not_by_where_it_lies(tmp_path) -> None:
    first = write(tmp_path / "a.npz", arrays())
    (tmp_path / "b.npz").write_bytes(first.read_bytes())
    one, same = (MedMNIST(MedMNISTConfig(file=tmp_path / name)) for name in ("a.npz", "b.npz"))
    assert one.source() == same.source()
    assert digest(one.config) == digest(same.config)
    changed = MedMNIST(MedMNISTConfig(file=write(tmp_path / "c.npz", arrays(n=13))))
    assert changed.source() != one.source()


def test_a_local_file_with_another_checksum_is_taken_with_a_note(tmp_path, caplog) -> None:
    with caplog.at_level(logging.WARNING):
        build(write(tmp_path / "a.npz", arrays()))
    assert "no published pneumoniamnist" in caplog.text


def test_missing_keys_are_named_beside_those_there(tmp_path) -> None:
    content = arrays()
    del content["val_labels"], content["test_images"]
    with pytest.raises(UserError, match=r"^[^\n]*lacks val_labels, test_images; it holds train_images[^\n]*$"):
        build(write(tmp_path / "a.npz", content))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"\x93NUMPY", b"PK\x03\x04 cut"])
def test_what_is_not_an_npz_is_refused(tmp_path, content: bytes) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not an npz"):
        build(path)


def test_a_damaged_npz_is_refused(tmp_path) -> None:
    path = write(tmp_path / "a.npz", arrays(n=40))
    content = bytearray(path.read_bytes())
    content[2000:2100] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read"):
        build(path)


def test_pickled_objects_are_never_loaded(tmp_path) -> None:
    content = arrays() | {"train_labels": np.array([{"a": 1}] * 12, dtype=object)}
    with pytest.raises(UserError, match="cannot be read"):
        build(write(tmp_path / "a.npz", content))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("val_images", np.zeros((12, 28, 28), np.float32), "float32"),
        ("val_images", np.zeros((12, 28, 30), np.uint8), "square"),
        ("val_images", np.zeros((12, 28, 28, 3), np.uint8), "1 channel"),
        ("val_labels", np.zeros((11, 1), np.uint8), "11"),
        ("val_labels", np.full((12, 1), 2, np.uint8), "labels 2..2; this set has 0..1"),
        ("val_labels", np.zeros((12, 14), np.uint8), "12, 14"),
        ("val_labels", np.zeros((12, 1), np.float32), "float32"),
    ],
)
def test_arrays_that_are_not_of_this_set_are_refused(tmp_path, key, value, message) -> None:
    with pytest.raises(UserError, match=message):
        build(write(tmp_path / "a.npz", arrays() | {key: value}))


def test_a_local_file_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match=r"nowhere\.npz: no such file"):
        MedMNIST(MedMNISTConfig(file=Path("nowhere.npz"))).source()


def test_a_download_is_verified_and_kept(publisher: Path, tmp_path) -> None:
    made = MedMNIST(MedMNISTConfig(name="breastmnist"))
    assert len(made.build()[Split.train]) == 12
    publisher.unlink()
    assert len(made.build()[Split.train]) == 12
    assert [p.name for p in (tmp_path / "home" / "downloads").iterdir()] == ["breastmnist.npz"]


def test_a_damaged_download_leaves_nothing(publisher: Path, tmp_path) -> None:
    publisher.write_bytes(publisher.read_bytes()[:-50])
    with pytest.raises(UserError, match="MD5"):
        MedMNIST(MedMNISTConfig(name="breastmnist")).build()
    assert not list((tmp_path / "home" / "downloads").iterdir())


def test_without_network_the_message_says_what_to_do(publisher: Path) -> None:
    publisher.unlink()
    with pytest.raises(UserError, match=r"^cannot download [^\n]*--data.file[^\n]*SYNTHWORTH_DATA$"):
        MedMNIST(MedMNISTConfig(name="breastmnist")).build()


def test_a_file_in_the_data_folder_is_taken_when_it_is_the_published_one(publisher, tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("SYNTHWORTH_DATA", str(publisher.parent))
    monkeypatch.setattr(medmnist, "download", lambda name, size: pytest.fail("downloaded"))
    made = MedMNIST(MedMNISTConfig(name="breastmnist"))
    assert len(made.build()[Split.train]) == 12
    write(publisher, arrays("breastmnist", n=13))
    with pytest.raises(UserError, match=r"pass --data\.file"):
        made.build()


@pytest.mark.parametrize("option", [{"name": "mnist"}, {"size": 32}, {"resize": 4}])
def test_options_that_cannot_be_are_refused(option: dict) -> None:
    with pytest.raises(UserError, match=next(iter(option))):
        MedMNIST(MedMNISTConfig(**option))


@pytest.mark.skipif(not REAL.is_file(), reason="SYNTHWORTH_DATA holds no pneumoniamnist.npz")
def test_the_real_pneumonia_set_has_its_published_counts() -> None:
    made = MedMNIST(MedMNISTConfig(file=REAL))
    assert made.source()["sha256"].startswith("ce8250bf5debc3c3")
    sets = made.build()
    assert [len(images) for images in sets.values()] == [4708, 524, 624]
    assert sets[Split.test].counts() == {"normal": 234, "pneumonia": 390}


def test_the_keys_asked_for_are_those_of_a_published_file(tmp_path) -> None:
    with zipfile.ZipFile(write(tmp_path / "a.npz", arrays())) as archive:
        assert {name.removesuffix(".npy") for name in archive.namelist()} == set(npz.KEYS)
