"""Tables as people save them: what stands between cells, how they are packed, several that belong together."""

from __future__ import annotations

import csv
import gzip
from pathlib import Path

import pytest

from data.datasets.folder.dataset import Folder, FolderConfig
from data.films.joined_tables import read_tables
from data.films.text_table import read_table
from synthworth.errors import UserError

PLAIN = {"image": ["a.png", "b.png"], "label": ["x", "y"], "note": ["1,5", ""]}


def saved(folder: Path, text: str, *, name: str = "t.csv", encoding: str = "utf-8") -> Path:
    path = folder / name
    content = text.encode(encoding)
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return path


SAVED = {
    "commas": ('image,label,note\na.png,x,"1,5"\nb.png,y,\n', "t.csv", "utf-8"),
    "semicolons": ("image;label;note\na.png;x;1,5\nb.png;y;\n", "t.csv", "utf-8"),
    "tabs in a csv": ("image\tlabel\tnote\na.png\tx\t1,5\nb.png\ty\t\n", "t.csv", "utf-8"),
    "tsv": ("image\tlabel\tnote\na.png\tx\t1,5\nb.png\ty\t\n", "t.tsv", "utf-8"),
    "commas in a tsv": ('image,label,note\na.png,x,"1,5"\nb.png,y,\n', "t.tsv", "utf-8"),
    "tab": ("image\tlabel\tnote\na.png\tx\t1,5\nb.png\ty\t\n", "t.tab", "utf-8"),
    "bars": ("image|label|note\na.png|x|1,5\nb.png|y|\n", "t.txt", "utf-8"),
    "no ending": ('image,label,note\na.png,x,"1,5"\nb.png,y,\n', "HAM10000_metadata", "utf-8"),
    "gzipped": ('image,label,note\na.png,x,"1,5"\nb.png,y,\n', "t.csv.gz", "utf-8"),
    "gzipped tsv": ("image\tlabel\tnote\na.png\tx\t1,5\nb.png\ty\t\n", "t.TSV.gz", "utf-8"),
    "byte order mark": ("image;label;note\r\na.png;x;1,5\r\nb.png;y;\r\n", "t.csv", "utf-8-sig"),
    "Excel's Unicode text": ("image\tlabel\tnote\r\na.png\tx\t1,5\r\nb.png\ty\t\r\n", "t.txt", "utf-16"),
    "Excel's own first line": ("sep=;\r\nimage;label;note\r\na.png;x;1,5\r\nb.png;y;\r\n", "t.csv", "utf-8"),
    "old Mac": ('image,label,note\ra.png,x,"1,5"\rb.png,y,\r', "t.csv", "utf-8"),
    "blanks": (' image , label ,note \n a.png ,x,"1,5"\nb.png, y,\n', "t.csv", "utf-8"),
    "an index without a name": (',image,label,note\n0,a.png,x,"1,5"\n1,b.png,y,\n', "t.csv", "utf-8"),
    "empty columns and rows": (
        'image,,label,note,,\n\na.png,,x,"1,5",,\n,,,,,\nb.png,,y,,,\n , ,,,,\n',
        "t.csv",
        "utf-8",
    ),
    "a comma at the end of rows": ('image,label,note\na.png,x,"1,5",\nb.png,y,,\n', "t.csv", "utf-8"),
}


@pytest.mark.parametrize("how", SAVED)
def test_a_table_is_read_however_it_was_saved(tmp_path: Path, how: str) -> None:
    text, name, encoding = SAVED[how]
    assert read_table(saved(tmp_path, text, name=name, encoding=encoding)).columns == PLAIN


def test_a_mark_inside_cells_is_not_taken_for_one_between_them(tmp_path: Path) -> None:
    text = "image,labels (a;b;c;d)\nx.png,a;b\ny.png,c\n"
    assert list(read_table(saved(tmp_path, text)).columns) == ["image", "labels (a;b;c;d)"]
    text = 'image;labels, all\n"x;1.png";a,b\ny.png;c\n'
    assert read_table(saved(tmp_path, text)).columns == {"image": ["x;1.png", "y.png"], "labels, all": ["a,b", "c"]}


def test_a_name_may_say_gz_of_a_file_that_was_unpacked_and_the_other_way_round(tmp_path: Path) -> None:
    (tmp_path / "a.csv.gz").write_text("image,label\na,x\n")
    (tmp_path / "b.csv").write_bytes(gzip.compress(b"image,label\na,x\n", mtime=0))
    for name in ("a.csv.gz", "b.csv"):
        assert read_table(tmp_path / name).columns == {"image": ["a"], "label": ["x"]}


def test_very_long_cells_are_read_and_the_limit_is_put_back(tmp_path: Path) -> None:
    before = csv.field_size_limit()
    long = "1 2 " * 100_000
    assert read_table(saved(tmp_path, f"image,mask\na.png,{long}\n")).columns["mask"] == [long.strip()]
    assert csv.field_size_limit() == before


@pytest.mark.parametrize(
    ("content", "name", "match"),
    [
        (b"a;b\n1;2;3\n", "t.csv", "row 1: 3 cells under 2"),
        (b"a\tb\n1\n", "t.tsv", "row 1: 1 cells under 2"),
        (b"\x1f\x8bnot gzip", "t.csv.gz", "cannot be read"),
        (gzip.compress(b"a,b\n1,2\n" * 50, mtime=0)[:-9], "t.csv.gz", "cannot be read"),
        (b"PK\x03\x04", "t.xlsx", "is none of .csv"),
        (b"a,b\n , \n", "t.csv", "holds no row"),
        ("a,b\nä,x\n".encode("utf-16")[:-1], "t.csv", "cannot be read"),
    ],
)
def test_what_is_no_table_is_refused(tmp_path: Path, content: bytes, name: str, match: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=match):
        read_table(tmp_path / name)


# -- several tables ---------------------------------------------------------------------------------------------------


def test_a_table_with_the_same_columns_adds_its_rows(tmp_path: Path) -> None:
    one = saved(tmp_path, "image,label\na,x\n", name="train.csv")
    two = saved(tmp_path, "label;image\ny;b\n", name="Valid.csv.gz")
    table, unmatched = read_tables(one, [two])
    assert table.columns == {"image": ["a", "b"], "label": ["x", "y"], "table": ["train", "Valid"]} and not unmatched


def test_a_table_with_other_columns_adds_them_by_those_in_common(tmp_path: Path) -> None:
    films = saved(tmp_path, "dicom,study,split\nd1,7,train\nd2,7,test\nd3,8,train\n", name="a.csv")
    labels = saved(tmp_path, "study,Edema\n8.0,0\n7.0,1\n", name="b.csv")
    views = saved(tmp_path, "dicom,study,view\nd3,8,PA\nd1,7,AP\n", name="c.csv")
    table, unmatched = read_tables(films, [labels, views])
    assert table.columns["Edema"] == ["1", "1", "0"] and table.columns["view"] == ["AP", "", "PA"]
    assert unmatched == 1


def test_columns_to_join_by_can_be_named(tmp_path: Path) -> None:
    films = saved(tmp_path, "image,patient,note\na,1,x\nb,2,y\n", name="a.csv")
    people = saved(tmp_path, "patient,note,sex\n1,p,F\n2,q,M\n", name="b.csv")
    with pytest.raises(UserError, match=r"none of its rows has the patient, note of a row.*--data\.join-by"):
        read_tables(films, [people])
    table, _ = read_tables(films, [people], by=("patient",))
    assert table.columns == {"image": ["a", "b"], "patient": ["1", "2"], "note": ["x", "y"], "sex": ["F", "M"]}
    with pytest.raises(UserError, match=r"no column 'id' \(--data\.join-by\)"):
        read_tables(films, [people], by=("id",))


def test_several_rows_for_one_key_are_refused_only_where_they_differ_and_are_asked_for(tmp_path: Path) -> None:
    films = saved(tmp_path, "image\na\nb\n", name="a.csv")
    boxes = saved(tmp_path, "image,x,class\na,1,sick\na,2,sick\nb,3,well\n", name="b.csv")
    table, _ = read_tables(films, [boxes])
    assert table.column("class", flag="--f") == ["sick", "well"]
    with pytest.raises(
        UserError, match=r"no single 'x' for each row: .*b.csv has several for image a\..*--data\.table"
    ):
        table.column("x", flag="--f")


def test_tables_without_a_column_in_common_are_refused(tmp_path: Path) -> None:
    one, two = saved(tmp_path, "image\na\n", name="a.csv"), saved(tmp_path, "label\nx\n", name="b.csv")
    with pytest.raises(UserError, match="no column in common"):
        read_tables(one, [two])


def test_joined_tables_are_part_of_the_identity_and_their_names_are_splits(tmp_path: Path) -> None:
    for i in range(12):
        (tmp_path / f"{i}.png").touch()
    files = []
    for k, name in enumerate(("train", "dev", "test")):
        rows = "".join(f"{i}.png,{'ab'[i % 2]}\n" for i in range(4 * k, 4 * k + 4))
        files.append(saved(tmp_path, "image,label\n" + rows, name=f"{name}.csv"))
    made = Folder(FolderConfig(path=tmp_path, table=files[0], join=tuple(files[1:]), split_column="table"))
    table = made.films()
    assert dict(zip(table.ids, table.splits, strict=True)) == {
        f"{i}.png": ("train", "val", "test")[i // 4] for i in range(12)
    }
    before = made.source()
    files[2].write_text(files[2].read_text().replace("11.png,b", "11.png,a"))
    assert made.source() != before
    with pytest.raises(UserError, match=r"--data\.join .* needs a table to be joined to"):
        Folder(FolderConfig(path=tmp_path, join=(files[0],))).films()


@pytest.mark.parametrize("word", ["val", "valid", "Validate", "validation", "dev", "Development"])
def test_words_for_the_validation_split(tmp_path: Path, word: str) -> None:
    rows = "".join(f"{i}.png,{'ab'[i % 2]},{('train', word, 'test')[i % 3]}\n" for i in range(12))
    table = saved(tmp_path, "image,label,part\n" + rows, name="metadata.csv")
    for i in range(12):
        (tmp_path / f"{i}.png").touch()
    found = Folder(FolderConfig(path=tmp_path, table=table, split_column="part")).films()
    assert int((found.splits == "val").sum()) == 4


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "gbk", "shift_jis"])
def test_other_encodings_are_refused_with_what_to_do(tmp_path: Path, encoding: str) -> None:
    text = {"gbk": "\u80ba", "shift_jis": "\u80ba"}.get(encoding, "M\u00fcller")
    (tmp_path / "t.csv").write_bytes(f"image,label\n{text},b\n".encode(encoding))
    with pytest.raises(UserError, match=r"cannot be read as UTF-8 text .*Save it as CSV UTF-8.*iconv -f WINDOWS-1252"):
        read_table(tmp_path / "t.csv")


def test_utf_16_without_its_mark_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("image,label\na,b\n".encode("utf-16-le"))
    with pytest.raises(UserError, match="looks like UTF-16 without mark"):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("name", "way"),
    [
        ("t.xlsx", "save it from the spreadsheet as CSV"),
        ("t.csv.zip", "unpack it first"),
        ("t.json", "export it as CSV"),
    ],
)
def test_other_kinds_of_tables_are_refused_with_what_to_do(tmp_path: Path, name: str, way: str) -> None:
    (tmp_path / name).write_bytes(b"x")
    with pytest.raises(UserError, match=f"{name} is none of .*: {way}"):
        read_table(tmp_path / name)


def test_what_is_not_seen_is_no_part_of_a_columns_name(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("\ufeff\ufeffimage,la\u200bbel \na,b\n".encode())
    table = read_table(tmp_path / "t.csv")
    assert table.columns == {"image": ["a"], "label": ["b"]}
    assert table.column("\u200bimage", flag="--x") == ["a"]
