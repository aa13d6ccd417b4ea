"""docs/architecture.md shows the house as it is: its rooms, its picture, and the files that its walks pass."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
STEPS = sorted(set(re.findall(r"`([\w/]+\.py):([\w.]+)`", PAGE)))


@pytest.fixture(scope="module")
def picture() -> ModuleType:
    """The script that draws the picture."""
    spec = importlib.util.spec_from_file_location("rooms", ROOT / "docs" / "rooms.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tree() -> dict[str, set[str]]:
    """Floor -> the rooms that the page's text tree names under it."""
    block = re.search(r"^```text\n(leaderboard/.*?)^```$", PAGE, re.M | re.S)
    assert block is not None
    found: dict[str, set[str]] = {}
    floor = ""
    for line in block[1].splitlines():
        if line and not line.startswith(" "):
            floor = line.partition("/")[0]
            found[floor] = set()
        elif line:
            found[floor] |= {name.rstrip("/") for name in re.split(r"\s{2,}", line.strip())[0].split()}
    return found


def test_every_room_stands_in_the_tree_of_the_page_and_no_other(picture: ModuleType) -> None:
    rooms: dict[str, set[str]] = {}
    for room in picture.rooms():
        floor, _, name = room.partition(".")
        rooms.setdefault(floor, set()).update([name] if name else [])
    assert tree() == rooms


def test_the_table_of_the_page_has_the_contracts_in_their_order(picture: ModuleType) -> None:
    for level in picture.floors():
        for floor, rows in level:
            if rows != [[floor]]:
                names = [" · ".join(room.partition(".")[2] for room in row) for row in rows]
                assert f"| `{floor}` | {' → '.join(names)} |" in PAGE


def test_every_room_has_a_caption_in_the_picture_and_no_caption_lacks_its_room(picture: ModuleType) -> None:
    assert set(picture.CAPTIONS) == set(picture.rooms())


def test_the_picture_is_of_these_rooms(picture: ModuleType) -> None:
    from PIL import Image

    with Image.open(picture.PICTURE) as image:
        assert image.info.get("Description") == picture.description(), "draw it again: python docs/rooms.py"


def test_the_picture_can_be_drawn(picture: ModuleType, tmp_path: Path) -> None:
    picture.draw(tmp_path / "rooms.png")
    assert (tmp_path / "rooms.png").stat().st_size > 10_000


def test_the_page_has_two_walks_of_several_steps() -> None:
    assert len(STEPS) > 20


@pytest.mark.parametrize(("file", "name"), STEPS, ids=lambda x: x)
def test_every_step_of_a_walk_is_in_the_code(file: str, name: str) -> None:
    body = ast.parse((ROOT / file).read_text(encoding="utf-8")).body
    for part in name.split("."):
        found = next((node for node in body if getattr(node, "name", None) == part), None)
        assert found is not None, f"{file} has no {name}"
        body = getattr(found, "body", [])
