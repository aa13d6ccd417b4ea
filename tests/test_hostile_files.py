"""Tables, archives, arrays and weights that mean far more than they hold are refused before they are unpacked."""

from __future__ import annotations

import gzip
import io
import os
import pickle
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from data.datasets.medmnist import npz
from data.downloads.unpack import unpack
from data.films import text_table
from data.films.text_table import read_table
from synthworth.errors import UserError
from synthworth.files import Unfit, read_file
from synthworth.training.weight_files import read_weights
from synthworth.training.weights import match_weights

# -- tables ----------------------------------------------------------------------------------------------------------


def table(file: Path, text: str) -> Path:
    if file.name.endswith(".gz"):
        file.write_bytes(gzip.compress(text.encode()))
    else:
        file.write_text(text)
    return file


@pytest.mark.parametrize("mark", [",", ";", "\t", "|"])
def test_a_table_of_a_million_columns_is_refused_by_its_header(mark: str, tmp_path: Path) -> None:
    file = table(tmp_path / "a.csv", mark.join(map(str, range(1_000_000))) + "\n" + mark * 999_999 + "\n")
    with pytest.raises(UserError, match=r"columns, and 20,000 are read at most") as refused:
        read_table(file)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
@pytest.mark.parametrize(
    ("bound", "text", "match"),
    [
        ("MAX_ROWS", "a,b\n" + "1,2\n" * 50, "has 51 rows, and 20 are read at most"),
        ("MAX_BYTES", "a,b\n" + "1," + "x" * 50 + "\n", "unpacks to more than 20 characters"),
        ("MAX_CELLS", "a,b\n" + "1,2\n" * 50, "has some 51 cells, and 20 are read at most"),
        ("MAX_COLUMNS", "a," * 30 + "b\n" + "1," * 30 + "2\n", "has 30 columns, and 20 are read at most"),
    ],
)
def test_each_bound_of_a_table_holds(
    bound: str, text: str, match: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = table(tmp_path / name, text)
    read_table(file)
    monkeypatch.setattr(text_table, bound, 20)
    with pytest.raises(UserError, match=match):
        read_table(file)


def test_a_word_that_a_parquet_says_a_million_times_is_one_word(tmp_path: Path, monkeypatch) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": ["a" * 1000] * 5000 + [None, ""], "n": list(range(5002))}), file)
    cells = read_table(file).columns["image"]
    assert cells[0] is cells[4999] and cells[5000:] == ["", ""]
    monkeypatch.setattr(text_table, "MAX_BYTES", 1_000_000)
    with pytest.raises(UserError, match=r"a column of more than 1,000,000 characters"):
        read_table(file)


def test_a_table_that_is_a_device_is_not_read() -> None:
    with pytest.raises(UserError, match=r"/dev/zero: no such table"):
        read_table(Path("/dev/zero"))


# -- archives --------------------------------------------------------------------------------------------------------

NAMES = {
    "5,000 letters": ("a" * 5000, "a name of 5,000 bytes, and file systems take 255"),
    "300 letters": ("b/" + "a" * 300, "a name of 300 bytes"),
    "86 letters of three bytes": ("北" * 86, "a name of 258 bytes"),
    "2,000 folders": ("a/" * 2000 + "b", "lies in 2,001 folders"),
    "a long path": ("/".join(["a" * 200] * 20), "lies in 20 folders under a path of 4,019 letters"),
}


@pytest.mark.parametrize("what", list(NAMES))
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_a_name_that_no_file_system_takes_is_refused_in_one_line(what: str, kind: str, tmp_path: Path) -> None:
    name, match = NAMES[what]
    file = tmp_path / "a"
    if kind == "zip":
        with zipfile.ZipFile(file, "w") as made:
            made.writestr(name, b"x")
    else:
        with tarfile.open(file, "w:gz") as tar:
            tar.addfile(tarfile.TarInfo(name))
    with pytest.raises(UserError, match=match) as refused:
        unpack(file, tmp_path / "out")
    assert len(str(refused.value)) < 800
    assert os.listdir(tmp_path) == ["a"]


def test_a_name_that_is_not_utf_8_is_not_unpacked(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.addfile(tarfile.TarInfo("\udcff.png"))
    with pytest.raises(UserError, match="has a name that is not UTF-8"):
        unpack(tmp_path / "a.tar", tmp_path / "out")


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE])
@pytest.mark.parametrize("first", [True, False])
def test_an_extended_header_of_gigabytes_is_refused_before_it_is_read(kind: bytes, first: bool, tmp_path: Path) -> None:
    header = tarfile.TarInfo("././@LongLink")
    header.type, header.size = kind, 2 << 30
    before = b"" if first else tarfile.TarInfo("a").tobuf()
    (tmp_path / "a.tar").write_bytes(before + header.tobuf(tarfile.GNU_FORMAT) + b"a" * 2048)
    with pytest.raises(UserError, match=r"an extended header of 2,147,483,648 bytes"):
        unpack(tmp_path / "a.tar", tmp_path / "out")
    assert os.listdir(tmp_path) == ["a.tar"]


def test_more_folders_than_files_may_be_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as made:
        for k in range(12):
            made.mkdir(f"d{k}")
    with pytest.raises(UserError, match="more than 10 folders"):
        unpack(tmp_path / "a.zip", tmp_path / "out", max_files=10)


# -- npz -------------------------------------------------------------------------------------------------------------


def npz_of(file: Path, member: bytes, **others: bytes) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for key in npz.KEYS:
            made.writestr(f"{key}.npy", others.get(key, member))
    return file


def npy(shape: tuple[int, ...], descr: str = "|u1", body: bytes = b"") -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": descr, "fortran_order": False, "shape": shape})
    return out.getvalue() + body


@pytest.mark.parametrize(
    ("member", "match"),
    [
        (npy((1 << 40,)), "is announced, and"),
        (npy((1 << 62, 1 << 62)), "is announced, and"),
        (npy((-1, 28)), "cannot be read"),
        (npy((4,), "|O"), "cannot be read"),
        (b"", "cannot be read"),
        (b"\x93NUMPY\x02\x00\x40\x0d\x03\x00" + b"(" * 200_000, "cannot be read"),
        (b"\x93NUMPY\x01\x00\x3c\x00" + b"__import__('os').abort()".ljust(59) + b"\n", "cannot be read"),
    ],
    ids=["terabyte", "overflow", "negative", "objects", "empty", "deep", "code"],
)
def test_an_array_that_announces_what_is_not_there_is_refused(member: bytes, match: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=match):
        npz.read_npz(npz_of(tmp_path / "a.npz", member))


def test_an_npz_that_unpacks_to_hundreds_of_times_itself_is_refused(tmp_path: Path, monkeypatch) -> None:
    zeros = npz_of(tmp_path / "a.npz", npy((1 << 20,), body=b"\0" * (1 << 20)))
    npz.read_npz(zeros)
    monkeypatch.setattr(npz, "MORE_THAN_ANY", 1 << 20)
    with pytest.raises(UserError, match=r"bytes that unpack to 6,\d+,\d+, as no set of images does"):
        npz.read_npz(zeros)


# -- weights ---------------------------------------------------------------------------------------------------------


class Calls:
    """What a hostile pickle would do."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("executed"),)


def deep(n: int) -> dict[str, Any]:
    held: dict[str, Any] = {"w": torch.zeros(1)}
    for _ in range(n):
        held = {"a": held}
    return held


WEIGHTS: dict[str, tuple[Callable[[Path], object], str]] = {
    **{
        f"pickle {p}": (lambda f, p=p: f.write_bytes(pickle.dumps(Calls(), p)), "cannot be read|beside tensors")
        for p in range(6)
    },
    "plain pickle": (lambda f: f.write_bytes(pickle.dumps({"a": 1})), "it is a pickle, and no weights file"),
    "pickle saved by torch": (lambda f: torch.save(Calls(), f), "beside tensors"),
    "list": (lambda f: torch.save([torch.zeros(3)], f), "holds no named tensors"),
    "number": (lambda f: torch.save(3, f), "holds no named tensors"),
    "garbage": (lambda f: f.write_bytes(bytes(range(256)) * 9), "cannot be read"),
    "bomb": (
        lambda f: zipfile.ZipFile(f, "w", zipfile.ZIP_DEFLATED).writestr("a/data.pkl", b"\0" * (1 << 22)),
        "unpacks to many times its size",
    ),
    "deep": (lambda f: torch.save(deep(150), f), "nests mappings deeper than 100 levels"),
    "long name": (lambda f: torch.save({"." * 5000: torch.zeros(1)}, f), "a name of more than 1,000 letters"),
    "two disks": (lambda f: f.write_bytes(b"PK\x06\x07" + b"\1" * 16 + b"PK\x05\x06" + b"\0" * 18), "cannot be read"),
}


@pytest.mark.parametrize("what", list(WEIGHTS))
def test_weights_that_are_none_are_refused_in_one_line_and_not_executed(
    what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    monkeypatch.chdir(tmp_path)
    make, match = WEIGHTS[what]
    make(tmp_path / "w")
    with pytest.raises(UserError, match=match):
        read_weights(tmp_path / "w", what="--clf.weights")
    assert not recwarn.list  # it would be a second line
    assert os.listdir(tmp_path) == ["w"]


def test_what_torch_warns_of_in_a_file_that_is_taken_is_said(tmp_path: Path, monkeypatch, caplog) -> None:
    def load(*_: object, **__: object) -> dict[str, torch.Tensor]:
        warnings.warn("the file\nis odd", stacklevel=1)
        return {"a": torch.zeros(1)}

    torch.save({"a": torch.zeros(1)}, tmp_path / "w")
    monkeypatch.setattr(torch, "load", load)
    assert list(read_weights(tmp_path / "w", what="--clf.weights")) == ["a"]
    assert "--clf.weights" in caplog.text and "the file is odd" in caplog.text


def test_a_first_convolution_that_is_a_view_of_one_number_is_not_written_out() -> None:
    huge = torch.zeros(1).expand(8, 3, 1 << 20, 1 << 20)  # 96 TiB where it is copied
    with pytest.raises(UserError, match="have another shape"):
        match_weights({"conv.weight": torch.zeros(8, 1, 3, 3)}, {"conv.weight": huge}, where="w", network="n",
                      first=("conv.weight",))  # fmt: skip


# -- files -----------------------------------------------------------------------------------------------------------


def test_no_more_of_a_file_is_read_than_was_allowed(tmp_path: Path) -> None:
    file = tmp_path / "a"
    file.write_bytes(b"x" * 100)
    assert read_file(file, at_most=100) == b"x" * 100
    with pytest.raises(Unfit, match="more than 99 bytes"):
        read_file(file, at_most=99)
    assert read_file(Path("/proc/self/status"), at_most=1 << 20).startswith(b"Name:")  # it says that it holds 0 bytes
    with pytest.raises(Unfit, match="more than 9 bytes"):
        read_file(Path("/proc/self/status"), at_most=9)
    with pytest.raises(FileNotFoundError):
        read_file(Path("a\0b"), at_most=9)
