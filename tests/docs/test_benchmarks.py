"""The page of the benchmarks says what the results say, also of runs that are not there."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

ROWS = (("galvo", 2.0, None, ""), ("x", 8.0, 0.25, ""), ("y", None, None, "gone"))
RUN = {
    "benchmark": "open",
    "parameters": {"rounds": 3},
    "rows": [
        {
            "figure": "a|b",
            "contender": contender,
            "minimum_ms": minimum_ms,
            "median_ms": minimum_ms,
            "minimum_cpu_ms": minimum_ms,
            "samples": 3,
            "ours_to_this": ratio,
            "note": note,
        }
        for contender, minimum_ms, ratio, note in (
            ("galvo", 2.0, None, ""),
            ("x", 8.0, 0.25, ""),
            ("y", None, None, "gone"),
        )
    ],
    "goals": [
        {"text": "quick", "measured": 2.0, "limit": 3.0, "unit": "ms", "met": True},
        {"text": "ratio", "measured": 4.0, "limit": 5.0, "unit": "x", "met": False},
        {"text": "large", "measured": 12345.6, "limit": 400.0, "unit": "frames/s", "met": True},
    ],
    "date": "2026-02-03",
    "machine": {"cpu": "Wonder 9", "cores": 2, "system": "Linux", "architecture": "x86_64"},
    "versions": {"python": "3.11.7", "galvo": "0.1.0", "h5py": "not installed"},
}


@pytest.fixture
def summary(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    return importlib.import_module("bench.summary")


def test_page(summary, tmp_path, capsys, monkeypatch):
    (tmp_path / "open.json").write_text(json.dumps(RUN))
    (tmp_path / "read.json").write_text(json.dumps({**RUN, "date": "2026-02-04", "goals": []}))
    (tmp_path / "video.json").write_text(json.dumps({**RUN, "goals": []}))
    monkeypatch.setattr("sys.argv", ["summary", "--results", str(tmp_path), "--page", str(tmp_path / "page.md")])
    summary.main()
    assert "not run pzf" in capsys.readouterr().out
    text = (tmp_path / "page.md").read_text()
    assert text.count("Measured on 2026-02-03: Wonder 9, 2 cores, Linux, x86_64.") == 1
    assert text.count("Measured on 2026-02-04") == 1
    assert "Versions: python 3.11.7, galvo 0.1.0. Not installed: h5py." in text
    assert "2 of 3 goals are met." in text
    assert "| open | quick | 2 ms | at most 3 ms | met |" in text
    assert "| open | ratio | 4 x | at least 5 x | **missed** |" in text
    assert "| open | large | 12,346 frames/s | at least 400 frames/s | met |" in text
    assert r"| a\|b | galvo | 2.000 | 2.000 | 2.000 |  |  |" in text
    assert "|  | x | 8.000 | 8.000 | 8.000 | 0.25 |  |" in text
    assert "|  | y |  |  |  |  | gone |" in text
    assert text.count("\nNot run.\n") == len(summary.BENCHES) - 3


def test_every_benchmark_is_named(summary):
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(r"^BENCHES := (.*)$", makefile, re.MULTILINE)[1].split() == list(summary.BENCHES)
    for name in summary.BENCHES:
        assert summary._what(name), f"bench/{name}.py says nothing"
