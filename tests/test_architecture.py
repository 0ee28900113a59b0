"""ARCHITECTURE.md tells the house as it is: what the straight paths and the rooms name exists."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

import galvo

TEXT = (Path(__file__).parents[1] / "ARCHITECTURE.md").read_text(encoding="utf-8")
PACKAGE = Path(galvo.__file__).parent


def part(title: str) -> str:
    return TEXT.split(f"## {title}")[1].split("\n## ")[0]


PATHS = sorted(
    set(re.findall(r"(?<![\w.])(?:core|formats|conversion|motion|verification)(?:\.\w+)+", part("The straight paths")))
)
ROOMS = re.findall(r"^\| `([^`]+)` \|", part("Rooms"), re.M)


def resolved(name: str) -> object:
    parts = name.split(".")
    for count in range(len(parts), 0, -1):
        try:
            found: object = import_module(".".join(["galvo", *parts[:count]]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[count:]:
            found = getattr(found, attribute)
        return found
    raise AssertionError(f"galvo.{name}")


@pytest.mark.parametrize("name", PATHS)
def test_what_the_straight_paths_name(name: str) -> None:
    assert resolved(name) is not None


@pytest.mark.parametrize("room", ROOMS)
def test_rooms(room: str) -> None:
    first, *others = room.split()
    folder = Path(first).parent
    for name in (first, *(str(folder / other) for other in others)):
        assert (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file(), name


def test_there_is_something_to_look_at() -> None:
    assert len(PATHS) > 20
    assert len(ROOMS) > 20
