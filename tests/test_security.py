"""SECURITY.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`((?:tests|src)/[\w/]+\.py)(?:::(\w+))?`", TEXT)))


@pytest.mark.parametrize(("path", "name"), NAMED, ids="::".join)
def test_it_exists(path, name):
    source = (ROOT / path).read_text(encoding="utf-8")
    assert re.search(rf"^ *def {name}\(" if name else "^def test_", source, re.MULTILINE)


def test_every_promise_names_one():
    rows = re.findall(r"^\| ([RW]\d) \|.*$", TEXT, re.MULTILINE)
    assert rows == ["R1", "R2", "R3", "R4", "R5", "R6", "W1", "W2", "W3", "W4", "W5", "W6"]
    for row in re.findall(r"^\| [RW]\d \|.*$", TEXT, re.MULTILINE):
        assert "::test_" in row
