"""Every format has a page, and all pages have the same headings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from galvo.formats import REGISTRY

FOLDER = Path(__file__).parents[2] / "docs" / "formats"
HEADINGS = ["Bytes", "What is read", "What is written", "Limits", "Source"]
FORMATS = REGISTRY.all()


def sections(page: str) -> dict[str, str]:
    """Text below each heading of the second level; what is fenced holds no headings."""
    pieces = re.split(r"^## +(.+?) *$", re.sub(r"^```.*?^```$", "", page, flags=re.M | re.S), flags=re.M)
    return dict(zip(pieces[1::2], pieces[2::2], strict=True))


@pytest.mark.parametrize("name", FORMATS)
def test_page_of_every_format_has_the_headings_in_order(name: str) -> None:
    found = sections((FOLDER / f"{name}.md").read_text(encoding="utf-8"))
    assert list(found) == HEADINGS
    assert not [heading for heading, text in found.items() if not text.strip()]


@pytest.mark.parametrize("name", FORMATS)
def test_page_says_whether_the_format_is_written(name: str) -> None:
    written = sections((FOLDER / f"{name}.md").read_text(encoding="utf-8"))["What is written"].strip()
    assert written.startswith("Nothing") == (FORMATS[name].sink is None)


def test_every_page_is_that_of_a_format() -> None:
    assert {path.stem for path in FOLDER.glob("*.md")} == set(FORMATS)
