"""One record read from disk: the one place where it is decided whether a file is a record and may be believed."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import orjson

from benchmarks.records.kinds import Wrong
from benchmarks.records.seal import Broken, check_record, read_seal
from benchmarks.records.shape import OLDER_SHAPE, check_agreement, check_shape
from benchmarks.records.upgrade import READ, SCHEMA, upgrade
from synthworth.errors import UserError
from synthworth.keys import digest
from synthworth.printable import one_line

RECORD = "record.json"
ID_DIGITS = 16
"""Digits of a run id that name its folder."""
LARGEST = 64 << 20
"""Bytes of the largest file that is read as a record; those of this suite have a fifth of a megabyte."""
DEEPEST = 50
"""Mappings and lists inside each other; records of this suite have six."""
ALIKE = bytes.maketrans(b"123456789E]} \n\r\t", b"000000000e,,,,,,")
LONG, EXPONENT = b"0" * 300, re.compile(rb"\+?000+,")
"""What a number that is infinite as a float has where digits, and ends of numbers, are alike; others have it too."""
ESCAPE = re.compile(rb'\\[^"\\/]')
"""An escape in JSON of what may not print as it is."""
STEPS = np.zeros(256, np.int8)
STEPS[list(b"[{")], STEPS[list(b"]}")] = 1, -1
NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))


class Unreadable(Exception):
    """A file is no record that can be believed; the message says why, in one line without the file's name."""


def load_record(file: Path, *, at_home: bool = True) -> dict[str, Any]:
    """A record in the present schema, whole and where it belongs, with nothing in its texts that steers a terminal.

    It is read where all of this holds: the file is a regular one of a bearable size; its bytes are those of its seal
    (where it was written with one); it is JSON with finite numbers; it has the parts that readers use, each in its form
    (`benchmarks.records.shape`); `run_id` is the digest of `spec`, and its first digits name the folder.

    Parameters
    ----------
    at_home : whether the folder has to be the one that the record belongs in.

    Raises
    ------
    Unreadable
        Where one of these does not hold.
    """
    return record_in(read_sealed(file), file, at_home=at_home)


def read_sealed(file: Path) -> bytes:
    """The bytes of a file that may be a record, where they are those of its seal.

    Raises
    ------
    Unreadable
        For what is no regular file of a bearable size, and for other bytes than its seal was written for.
    """
    raw = _bytes_of(file)
    try:
        check_record(read_seal(file.parent), file.name, raw)
    except Broken as error:
        raise Unreadable(one_line(str(error))) from error
    return raw


def record_in(raw: bytes, file: Path, *, at_home: bool = True) -> dict[str, Any]:
    """The record in these bytes of a file; as `load_record`, which reads them first.

    Raises
    ------
    Unreadable
        As `load_record`.
    """
    try:
        return _record_of(_fast, raw, file, at_home)
    except (Unreadable, orjson.JSONDecodeError):  # read again by who takes every number that JSON has, and says where
        return _record_of(_parsed, raw, file, at_home)


def _record_of(parse: Callable[[bytes], Any], raw: bytes, file: Path, at_home: bool) -> dict[str, Any]:
    try:
        found = parse(raw)
        _check_schema(found)
        run_id, is_digest = found.get("run_id"), _is_digest_of_spec(found)
        record = upgrade(found)
        if not raw.isascii() or b"\x7f" in raw or (b"\\" in raw and ESCAPE.search(raw)):
            record = _clean(record)
        check_shape(record)
        if not is_digest:
            raise Unreadable("has another spec than its run_id is the digest of: one of the two has changed")
    except Wrong as error:
        raise Unreadable(f"is no whole record: {one_line(str(error))}") from error
    except RecursionError as error:
        raise Unreadable("is nested too deeply for a record") from error
    try:
        check_agreement(record)
    except Wrong as error:
        raise Unreadable(one_line(str(error))) from error
    if at_home:
        check_home(run_id, file)
    return record


def check_home(run_id: Any, file: Path) -> None:
    """Refuse a record that lies in the folder of another run.

    Raises
    ------
    Unreadable
        Where the folder has another name than the run.
    """
    if file.parent.name != str(run_id)[:ID_DIGITS]:
        raise Unreadable(f"is the record of run {str(run_id)[:ID_DIGITS]}, and lies in the folder of another")


def _bytes_of(file: Path) -> bytes:
    try:
        about = file.stat()
        if not stat.S_ISREG(about.st_mode):
            raise Unreadable("is no regular file")
        if about.st_size > LARGEST:
            raise Unreadable(f"has {about.st_size} bytes; a record has {LARGEST} at most")
        return file.read_bytes()
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror or error}") from error


def _fast(raw: bytes) -> Any:
    """As `_parsed`, in a quarter of the time: whole numbers of 2^64 and more come out as floats, texts are whole UTF-8.

    Raises
    ------
    Unreadable, orjson.JSONDecodeError
        Where it is for `_parsed` to say whether this is JSON, and why not.
    """
    if _deepest(raw) > DEEPEST:
        raise Unreadable("may be nested too deeply")
    return orjson.loads(raw)


def _deepest(raw: bytes) -> int:
    """How deep it is nested at most: brackets inside texts count too."""
    brackets = np.frombuffer(raw.translate(None, NO_BRACKETS), np.uint8)
    return int(STEPS[brackets].cumsum(dtype=np.int64).max(initial=0))


def _parsed(raw: bytes) -> Any:
    """JSON with finite numbers only, nested no deeper than a record may be."""
    depth = _deepest(raw)
    try:
        found = json.loads(raw.decode("utf-8"), parse_constant=_refuse)
    except UnicodeDecodeError as error:
        raise Unreadable(f"is not UTF-8 (byte {error.start})") from error
    except json.JSONDecodeError as error:
        raise Unreadable(f"is not JSON (line {error.lineno}, column {error.colno}: {error.msg})") from error
    except ValueError as error:  # more digits than Python reads
        raise Unreadable(f"holds no number of this world: {error}") from error
    if depth > DEEPEST and _depth(found) > DEEPEST:
        raise Unreadable(f"is nested deeper than {DEEPEST} levels")
    alike = raw.translate(ALIKE)
    if LONG in alike or any(map(EXPONENT.match, alike.split(b"0e")[1:])):
        _check_finite(found)
    return found


def _refuse(constant: str) -> NoReturn:
    raise Unreadable(f"holds {constant}: a record has finite numbers, or null with a note")


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level:
        deepest += 1
        level = [
            part
            for one in level
            if isinstance(one, (dict, list))
            for part in (one.values() if isinstance(one, dict) else one)
        ]
    return deepest


def _check_finite(value: Any) -> None:
    try:
        json.dumps(value, allow_nan=False)
    except ValueError as error:
        raise Unreadable("holds a number too large for a float: a record has finite numbers") from error


def _check_schema(found: Any) -> None:
    if not isinstance(found, dict):
        raise Unreadable(f"is no record but {_said(found)}")
    if found.get("schema") not in READ or isinstance(found["schema"], (bool, float)):
        raise Unreadable(f"schema {str(found.get('schema'))[:20]}, this version reads {SCHEMA}")
    if found["schema"] != SCHEMA:
        OLDER_SHAPE(found)


def _said(found: Any) -> str:
    return {list: "a list", str: "text", type(None): "null"}.get(type(found), f"a {type(found).__name__}")


def _is_digest_of_spec(found: Mapping[str, Any]) -> bool:
    """Whether `run_id` belongs to `spec`, both as they stand in the file."""
    try:
        return bool(digest(found.get("spec")) == found.get("run_id"))
    except (TypeError, UserError):
        return False


def _clean(value: Any) -> Any:
    """The same with texts, and names of parts, that print on one line."""
    if isinstance(value, str):
        return one_line(value)
    if isinstance(value, dict):
        return {one_line(name): _clean(part) for name, part in value.items()}
    if isinstance(value, list):
        return [_clean(part) for part in value]
    return value
