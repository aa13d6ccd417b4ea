"""What a reader's answers come to: how many films were told right, with an interval, and what was remarked."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.reader.sheet import Key
from synthworth.errors import UserError
from synthworth.files import Unfit, read_file
from synthworth.printable import one_line

COLUMNS = ("sheet", "film", "answer", "remark")
WORDS = ("real", "synthetic")
LARGEST = 1 << 20
"""Bytes of the largest file of answers that is read."""
MOST_WORDS = 500
"""Characters of a remark, or of a reader's name, that are kept."""


@dataclass(frozen=True)
class Answer:
    """What was said of a film; `word` is empty where it was left out."""

    film: int
    word: str
    remark: str


def read_answers(file: Path, key: Key) -> list[Answer]:
    """The answers to a sheet, by film.

    Raises
    ------
    UserError
        For a file that is none, answers to another sheet, a film that is not on it or comes twice, and a word that is
        no answer.
    """
    try:
        text = read_file(file, at_most=LARGEST).decode("utf-8-sig")
    except (OSError, Unfit, UnicodeDecodeError) as error:
        raise UserError(f"--answers {file} cannot be read: {error}") from error
    rows = list(csv.DictReader(io.StringIO(text)))
    lacking = [name for name in COLUMNS if not rows or name not in rows[0]]
    if lacking:
        raise UserError(f"--answers {file} has no column {lacking[0]!r}; the page saves {', '.join(COLUMNS)}")
    found: dict[int, Answer] = {}
    for row in rows:
        if row["sheet"] != key.sheet:
            raise UserError(
                f"--answers {file} are to sheet {one_line(str(row['sheet']))[:40]!r}, and the key is of {key.sheet!r}: "
                "name the folder of that sheet with --out"
            )
        answer = _answer(row, file, n=len(key.synthetic))
        if answer.film in found:
            raise UserError(f"--answers {file} has film {answer.film} twice")
        found[answer.film] = answer
    return [found[number] for number in sorted(found)]


def _answer(row: Mapping[str, Any], file: Path, *, n: int) -> Answer:
    said, word = str(row["film"]), str(row["answer"] or "").strip().lower()
    if not said.isascii() or not said.isdigit() or not 1 <= int(said) <= n:
        raise UserError(f"--answers {file} has film {one_line(said)[:40]!r}; the sheet has 1 to {n}")
    if word not in ("", *WORDS):
        raise UserError(f"--answers {file}: film {said} has answer {one_line(word)[:40]!r}; it is {' or '.join(WORDS)}")
    return Answer(int(said), word, one_line(str(row["remark"] or "").strip())[:MOST_WORDS])


def judge(answers: list[Answer], key: Key, *, reader: str) -> dict[str, Any]:
    """The part of a record that a reader gives.

    The interval is Clopper and Pearson's (1934), 95 %, and p is of the exact binomial test against guessing. Both take
    the answers for independent of each other.

    Parameters
    ----------
    reader : who it was, in words.

    Raises
    ------
    UserError
        When no film was answered.
    """
    from scipy.stats import binomtest

    given = [answer for answer in answers if answer.word]
    if not given:
        raise UserError(f"no film of sheet {key.sheet} has an answer")
    right = [_is_right(answer, key) for answer in given]
    test = binomtest(sum(right), len(given), 0.5)
    interval = test.proportion_ci(0.95, method="exact")
    called = {
        word: [answer.word == "synthetic" for answer in given if _truth(answer, key) == word] for word in WORDS
    }  # fmt: skip
    return {
        "sheet": key.sheet,
        "reader": one_line(reader)[:MOST_WORDS],
        "n_films": len(key.synthetic),
        "n": len(given),
        "n_right": sum(right),
        "accuracy": sum(right) / len(given),
        "low": float(interval.low),
        "high": float(interval.high),
        "p_value": float(test.pvalue),
        "called_synthetic": {word: sum(said) / len(said) if said else None for word, said in called.items()},
        "by_class": _by_class(answers, key),
    }


def _truth(answer: Answer, key: Key) -> str:
    return "synthetic" if key.synthetic[answer.film - 1] else "real"


def _is_right(answer: Answer, key: Key) -> bool:
    return answer.word == _truth(answer, key)


def _by_class(answers: list[Answer], key: Key) -> dict[str, Any]:
    """By what a film shows: answers, right ones, and remarks with what the film was."""
    found: dict[str, Any] = {}
    for answer in answers:
        row = found.setdefault(key.shown[answer.film - 1], {"n": 0, "n_right": 0, "remarks": []})
        row["n"] += bool(answer.word)
        row["n_right"] += bool(answer.word) and _is_right(answer, key)
        if answer.remark:
            row["remarks"].append({"film": answer.film, "is": _truth(answer, key), "remark": answer.remark})
    return found
