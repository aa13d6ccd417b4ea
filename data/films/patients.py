"""Which column of a table names patients, and one name for each patient however the table writes him."""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from data.films.blanks import is_blank
from data.films.words import without_accents
from synthworth.errors import UserError

ABOUT = "(anon|anonymi[sz]ed|deidentified|src|source|dicom|original|unique|new|old)*"
NUMBER = (
    "(id|ids|uid|uuid|number|num|no|nr|key|hash|code|identifier|index|idx|name|anon|anonymi[sz]ed|nummer|numero|codigo|"
    "nome|номер|编号|编码|号|番号|번호)*"
)
BEFORE = "(ids?|uid|code|codigo|key|hash|numero|nummer|name|nome)"
WHO = (
    "patients?|pat|pt|ptid|pid|subjects?|subj|participants?|persons?|mrn|empi|medicalrecord|rid|"
    "hospital(number|no|nr)|nhs(number|no)|uhid|personnummer|studysubject|"
    "patiente|patienten|patientin|pacientes?|paziente|pazienti|pasien|hasta(id|no)|pacjent|пациент|пациента|患者|病人|환자"
)
PATIENTS = re.compile(f"{ABOUT}({WHO}){NUMBER}|{BEFORE}(of|de|del|do|da|du)?({WHO})")
"""Columns that name patients, in small letters and without anything between: the first of a table is taken."""
FINER = re.compile(
    f"{ABOUT}(lesions?|tumou?rs?|nodules?|cases?|stud(y|ies)|accession|acc|exams?|examinations?|encounters?|visits?|"
    "hadm|stay|series|sessions?|scans?|volumes?|videos?|clips?|sequences?|slides?|wsi|specimens?|biops(y|ies)|samples?|"
    f"donors?|individuals?|animals?|mouse|users?|clients?|groups?|famil(y|ies)|eyes?|knees?|records?|pseudonyms?|pseudo|"
    f"hn|urn?)(instance)?{NUMBER}|ids?|uid|identifier|name"
)
"""Columns that may stand for a patient, or for less or more than one: they are named, never taken unasked."""
NOBODY = frozenset({
    "unknown", "unk", "anonymous", "anon", "anonymized", "anonymised", "deidentified", "de-identified", "unidentified",
    "redacted", "removed", "withheld", "hidden", "unspecified", "not known", "not recorded", "not given",
    "not provided", "no id", "noid", "tbd", "nil", "void", "xxx", "xxxx", "?", "??", "???", "-", "--", "---", "—", ".",
    "...", "*",
    "desconocido", "desconhecido", "inconnu", "inconnue", "unbekannt", "sconosciuto", "onbekend", "неизвестно", "未知",
    "不明", "无", "無", "없음",
})  # fmt: skip
UNSEEN = re.compile("[\u200b-\u200f\u2060\ufeff]")
AS_TEXT = re.compile('(?:="|\')(.+?)"?')
FLOAT = re.compile(r"(\+?\d+)([.,]0*)?")
THOUSANDS = re.compile(r"\d{1,3}(,\d{3})+(\.0*)?")
SHORTENED = re.compile(r"\d+([.,]\d+)?e\+\d+", re.IGNORECASE)
NUMBERED = re.compile(r"(\D*?)0*(\d+)(\.0+)?")
FEWEST = 3  # patients: a column of fewer values tells no patients apart that could be split
SPELLINGS = "patients written in several ways, taken as one"
N_ROWS = 3


def plain_name(column: str) -> str:
    """A column's name in small letters, without accents, spaces, dots, underscores or hyphens."""
    return re.sub(r"[\W_]+", "", without_accents(column).lower())


def patient_column(columns: Mapping[str, Sequence[str]], *, first: Sequence[str] = ()) -> str | None:
    """The column of a table that names patients; None where there is none.

    Parameters
    ----------
    first
        Columns that go before others which name patients too.

    Raises
    ------
    UserError
        For two columns that both name patients and do not agree on who is one.
    """
    for name in first:
        if name in columns:
            return name
    named = [name for name in columns if PATIENTS.fullmatch(plain_name(name))]
    named = [name for name in named if len(set(columns[name])) >= FEWEST]
    for other in named[1:]:
        if _partition(columns[other]) != _partition(columns[named[0]]):
            raise UserError(
                f"columns {named[0]!r} and {other!r} both name patients, and not the same: choose one by "
                "--data.patient-column"
            )
    return named[0] if named else None


def unused_columns(columns: Mapping[str, Sequence[str]], *, chosen: str | None, taken: Iterable[str]) -> list[str]:
    """Columns that may name patients and are not used so.

    Parameters
    ----------
    chosen
        The column that is used. Beside it only columns that name other patients are listed; without one, also those
        that may hold less than a patient or more.
    taken
        Columns that hold something else.
    """
    names = [name for name in columns if name not in {chosen, *taken}]
    found = [name for name in names if PATIENTS.fullmatch(plain_name(name))]
    if chosen is not None:
        return [name for name in found if _partition(columns[name]) != _partition(columns[chosen])]
    return [*found, *(name for name in names if FINER.fullmatch(plain_name(name)) and _may_group(columns[name]))]


def _may_group(cells: Sequence[str]) -> bool:
    """Whether a column has a few values, and one of them more than once."""
    return FEWEST <= len(set(cells)) < len(cells)


def one_name_each(
    cells: Sequence[str], where: Callable[[int], str], *, column: str
) -> tuple[list[str], dict[str, list[str]]]:
    """The patient of each image, under one name however a table writes him.

    `7` and `7.0` are `7`, and `1,000` is `1000`. Where a table has both, `7`, `007` and ` 7 ` are `7`, and `P7`, `p07`,
    `P-7` are the shortest of their spellings; a table that writes each patient in one way keeps its names, zeros and
    all.

    Returns
    -------
    names, merged
        And the spellings that were brought together, by name.

    Raises
    ------
    UserError
        Naming the rows, for cells that name nobody (empty, `nan`, `unknown`, a negative number) and for numbers that a
        spreadsheet shortened (`1.23E+11`): several patients may have become one.
    """
    texts = {cell: _plain(cell) for cell in dict.fromkeys(cells)}
    nobody = {cell for cell, text in texts.items() if is_nobody(text)}
    if nobody:
        at = [i for i, cell in enumerate(cells) if cell in nobody]
        said, word = texts[cells[at[0]]], "has" if len(at) == 1 else "have"
        raise UserError(
            f"{name_rows(at, where)} {word} no patient in column {column!r}{f' ({said!r})' if said else ''}; name one, "
            "or take the rows out"
        )
    short = {cell for cell, text in texts.items() if SHORTENED.fullmatch(text)}
    if short:
        at = [i for i, cell in enumerate(cells) if cell in short]
        raise UserError(
            f"{name_rows(at, where)}: patient {cells[at[0]]!r} in column {column!r} was shortened by a spreadsheet, "
            "and several patients may have become one. Export the column as text"
        )
    spellings: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for text in dict.fromkeys(texts.values()):
        whole = whole_number(text)
        spellings[_key(whole)][text] = whole
    name = {text: min(of.values(), key=lambda w: (len(w), w)) for of in spellings.values() for text in of}
    merged = {name[next(iter(of))]: list(of) for of in spellings.values() if len(of) > 1}
    return [name[texts[cell]] for cell in cells], merged


def name_rows(rows: Sequence[int], where: Callable[[int], str]) -> str:
    """`table.csv, row 4 (x.png)`; where there are more, their number and the first of them."""
    first, *others = rows
    if not others:
        return where(first)
    listed = ", ".join(where(row).rpartition(", ")[2] for row in others[:N_ROWS])
    return f"{where(first)} and {len(others)} more ({listed}{', ...' if len(others) > N_ROWS else ''})"


def notes_on_spelling(merged: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """That patients were written in several ways, and how, for the first."""
    if not merged:
        return {}
    first = " = ".join(next(iter(merged.values())))
    return {SPELLINGS: f"{len(merged)} ({first} for one)"}


def is_nobody(text: str) -> bool:
    """Whether a patient's name names nobody: blank, `unknown`, `anonymous`, a hyphen, a number below 0."""
    return is_blank(text) or text.lower() in NOBODY or re.fullmatch(r"-\d+(\.\d*)?", text) is not None


def whole_number(text: str) -> str:
    """`7` of `7.0` and `+7`, `1000` of `1,000`, as programs write a number; any other text as it is.

    Raises
    ------
    ValueError
        For a number that a spreadsheet shortened (`1.23E+11`).
    """
    if SHORTENED.fullmatch(text):
        raise ValueError("was shortened by a spreadsheet, and several may have become one; export the column as text")
    if THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    found = FLOAT.fullmatch(text)
    return found[1].lstrip("+") if found else text


def _plain(cell: str) -> str:
    """A cell without what is not seen, in one form of Unicode; `7` of `="7"`, as spreadsheets mark text."""
    text = " ".join(unicodedata.normalize("NFKC", UNSEEN.sub("", cell)).split())
    found = AS_TEXT.fullmatch(text)
    return found[1] if found else text


def _key(text: str) -> str:
    """The same for every way to write a patient: capitals, and what stands before a closing number, do not count."""
    found = NUMBERED.fullmatch(text.casefold())
    return f"{found[1].rstrip(' _-.#:')}\0{found[2]}" if found else text.casefold()


def _partition(cells: Sequence[str]) -> list[int]:
    """Which cells are equal, whatever they hold: the number of the first equal one."""
    first: dict[str, int] = {}
    return [first.setdefault(cell, i) for i, cell in enumerate(cells)]
