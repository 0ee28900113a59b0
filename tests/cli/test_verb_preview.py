"""``galvo preview`` on the command line."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import galvo


def test_the_picture_lies_beside_the_recording(run, raw):
    result = run("preview", raw, "--size", 24)
    assert result.exit_code == 0, result.output
    out = raw.with_name(f"{raw.stem}.preview.png")
    with Image.open(out) as image:
        width, height = image.size
        assert image.format == "PNG"
    lines = result.stdout.splitlines()
    assert lines[0] == f"source    {raw}: T=12 C=2 Z=1 Y=16 X=24 int16"
    assert lines[1].startswith(f"wrote     {out}: {width} x {height} pixels, ")
    assert lines[2:] == ["note      all 12 frames"]
    again = run("preview", raw)
    assert again.exit_code == 1
    assert again.stderr.startswith(f"galvo: error: {out}: the output exists")
    assert run("preview", raw, "--overwrite").exit_code == 0
    # it is no part of the series
    assert galvo.open(raw).shape[0] == 12


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ((), 2 * 24),
        (("--channel", "tdTomato"), 24),
        (("--channel", "2"), 24),
    ],
)
def test_movies(run, raw, tmp_path, options, expected):
    out = tmp_path / "out.gif"
    result = run("preview", raw, "-o", out, "--average", 3, "--size", 24, *options)
    assert result.exit_code == 0, result.output
    assert "note      4 means of 3 each" in result.stdout
    with Image.open(out) as image:
        assert image.n_frames == 4
        assert image.size[0] >= expected


def test_planes_count_from_one(run, volumes, tmp_path):
    out = tmp_path / "out.png"
    assert run("preview", volumes, "-o", out, "--plane", "1,3", "--size", 24).exit_code == 0
    with galvo.open(volumes) as rec:
        expected = rec.preview(planes=[0, 2], size=24).picture
        other = rec.preview(planes=[0, 1], size=24).picture
    with Image.open(out) as image:
        np.testing.assert_array_equal(np.asarray(image), expected)
    assert (expected != other).any()
    result = run("preview", volumes, "-o", tmp_path / "b.png", "--plane", 4)
    assert result.exit_code == 1
    assert result.stderr.strip() == "galvo: error: no such plane; found '4'; expected 1 to 3"


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("-o", "x.tif"), 1, "no such preview"),
        (("-o", "x.png", "--field", "1"), 1, "expected none: the recording has no fields"),
        (("-o", "x.png", "--channel", "red"), 1, "no such channel"),
        (("-o", "x.png", "--speed", "2"), 1, "Name the output .mp4, .gif, .webp"),
        (("-o", "x.gif", "--all"), 1, "everything does not fit a movie"),
        (("-o", "x.png", "--frame-count", "0"), 2, "frame-count"),
        (("-o", "x.gif", "--speed", "0"), 2, "speed"),
        (("-o", "nowhere/x.png"), 1, "folder of the output does not exist"),
    ],
)
def test_wrong_wishes(run, raw, tmp_path, monkeypatch, options, code, words):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    result = run("preview", raw, *options)
    assert result.exit_code == code
    assert words in result.stderr
    assert sorted(tmp_path.rglob("*")) == before


def test_no_recording(run, tmp_path):
    result = run("preview", tmp_path / "none.tif")
    assert result.exit_code == 1
    assert "no such file" in result.stderr
    assert run("preview").exit_code == 2


def test_damage_is_reported(run, raw, tmp_path):
    raw.write_bytes(raw.read_bytes()[:-300])
    out = tmp_path / "out.png"
    result = run("preview", raw, "-o", out, "--damaged", "report")
    assert result.exit_code == 0, result.output
    notes = [line for line in result.stdout.splitlines() if line.startswith("note")]
    assert notes[1:] == ["note      left out: incomplete frame, 1 page", "note      damaged in 1 place"]
