"""A YAML file of options is bounded before anything is built of it, and says what it says once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks.request import yaml_file
from benchmarks.request.options import parse
from benchmarks.request.yaml_file import read_yaml
from synthworth.errors import UserError


def bomb(lists: int = 9) -> str:
    """A few lines of aliases to aliases that mean 10^`lists` values."""
    lines = ["a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    for k in range(1, lists):
        before = chr(96 + k)
        lines.append(f"{chr(97 + k)}: &{chr(97 + k)} [{', '.join([f'*{before}'] * 10)}]")
    return "\n".join(lines)


REFUSED: dict[str, tuple[str | bytes, str]] = {
    "alias bomb": (bomb(), r"more than 20,000 values \(line \d"),
    "alias bomb in one option": ("ratio: {" + ", ".join(bomb().splitlines()) + "}", "more than 20,000 values"),
    "merge bomb": (bomb().replace("[1, 1, 1, 1, 1, 1, 1, 1, 1, 1]", "{x: 1}").replace("[*", "{<<: [*"), "line"),
    "an alias that holds itself": ("ratio: &a [*a]", r"\*a holds itself \(line 1\)"),
    "deep lists": ("ratio: " + "[" * 5000 + "]" * 5000, "nests deeper than 50 levels"),
    "deep mappings": ("\n".join(" " * k + "a:" for k in range(400)), "nests deeper than 50 levels"),
    "many values": ("ratio: [" + "1," * 30_000 + "]", "more than 20,000 values"),
    "a huge file": ("generator: " + "a" * (1 << 20), "more than 1,048,576 bytes"),
    "a number of 5,000 digits": ("seeds: 1" + "0" * 5000, "line 1 holds a value that cannot be read as int"),
    "a day 99": ("seeds: 2020-99-99", "cannot be read as timestamp"),
    "no bool": ("seeds: !!bool abc", "cannot be read as bool"),
    "no float": ("seeds: !!float abc", "cannot be read as float"),
    "no timestamp": ("seeds: !!timestamp abc", "cannot be read as timestamp"),
    "a zero byte": (r'results: "a\0b"', r"a value holds a zero byte \(line 1\)"),
    "a call": ("seeds: !!python/object/apply:os.system ['true']", "is not YAML"),
    "not UTF-8": (b"seeds: \xff\xfe", "is not YAML"),
    "twice": ("seeds: 1\nratio: 1\nseeds: 3", r"'seeds' is there twice \(lines 1 and 3\)"),
    "twice inside": ("fit: {steps: 3, steps: 5}", "'steps' is there twice"),
    "twice, with a dash": ("real_fraction: 0.5\nreal-fraction: 0.7", "'real-fraction' is there twice"),
}


@pytest.mark.parametrize("what", list(REFUSED))
def test_what_no_options_can_be_is_refused_in_one_line(what: str, tmp_path: Path) -> None:
    content, match = REFUSED[what]
    file = tmp_path / "run.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match=match) as refused:
        read_yaml(file)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_is_not_waited_for(make: Callable[[Path], None], tmp_path: Path) -> None:
    make(tmp_path / "run.yaml")
    with pytest.raises(UserError, match=r"it is a (pipe|folder), and a file is needed"):
        read_yaml(tmp_path / "run.yaml")


def test_a_device_that_never_ends_is_not_read() -> None:
    with pytest.raises(UserError, match="it is a device"):
        read_yaml(Path("/dev/zero"))


def test_aliases_and_merged_keys_still_mean_what_they_say(tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("fit: &b {steps: 7, seconds: 3}\ntrain: {<<: *b, steps: 9}\n")
    assert read_yaml(file)["train"] == {"steps": 9, "seconds": 3}


def test_as_many_values_as_are_allowed_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yaml_file, "MAX_VALUES", 6)
    file = tmp_path / "run.yaml"
    file.write_text("ratio: [1, 2, 3]\n")  # the mapping, its key, the list and three numbers
    assert read_yaml(file) == {"ratio": [1, 2, 3]}
    file.write_text("ratio: [1, 2, 3, 4]\n")
    with pytest.raises(UserError, match="more than 6 values"):
        read_yaml(file)


@pytest.mark.parametrize(
    ("content", "match"),
    [
        ("config: other.yaml\n", "names a further file, config: other.yaml, which would not be read"),
        ("plugin: 3\n", "plugin is one file or a list of them, not 3"),
        ("plugin: [3]\n", r"plugin is one file or a list of them, not \[3\]"),
    ],
)
def test_what_a_file_of_options_cannot_hold_is_said(content: str, match: str, tmp_path: Path) -> None:
    file = tmp_path / "run.yaml"
    file.write_text(content)
    with pytest.raises(UserError, match=match):
        parse(["--config", str(file)], prog="test")
