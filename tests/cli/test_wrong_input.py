"""What a user sees who gives galvo something else than a recording: one line that says what is there and what to do."""

from __future__ import annotations

import gzip
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import galvo
from galvo.cli.group import group

SOURCE = Path(galvo.__file__).parent
PIXELS = np.arange(12 * 2 * 16 * 24, dtype="<i2").reshape(12, 2, 1, 16, 24)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One good recording among many things that are none."""
    place = tmp_path_factory.mktemp("wrong")
    galvo.save(PIXELS, place / "good.h5")
    content = (place / "good.h5").read_bytes()
    (place / "cut.h5").write_bytes(content[: len(content) // 2])
    (place / "notes.tif").write_text("Animal 12, third session\n")
    (place / "photo.tif").write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF")
    (place / "paper.tif").write_bytes(b"%PDF-1.7\n%\xe2\xe3\xcf\xd3")
    (place / "login.h5").write_text("\n<!DOCTYPE html><html><body>Please log in</body></html>")
    (place / "failed.mat").write_bytes(bytes(5000))
    (place / "raw.bin").write_bytes(bytes(100))
    (place / "raw.json").write_text("")
    (place / "rec.tif.gz").write_bytes(gzip.compress(b"II*\0"))
    (place / "params.json").write_text('{"preset": "best"}')
    (place / "image.json").write_bytes(b"\xff\xd8\xff")
    with zipfile.ZipFile(place / "session.zip", "w") as archive:
        archive.writestr("a.tif", b"II*\0")
    (place / "nothing").mkdir()
    return place


def told(folder, monkeypatch, *arguments):
    """Exit code and the line on stderr."""
    monkeypatch.chdir(folder)
    before = sorted(os.listdir(folder))
    result = CliRunner().invoke(group, [str(argument) for argument in arguments])
    assert "unexpected" not in result.stderr
    assert sorted(os.listdir(folder)) == before
    return result.exit_code, result.stderr


NO_RECORDINGS = {
    "": "an empty path",
    "notes.tif": "found a text, first bytes 41 6e",
    "photo.tif": "found a JPEG image",
    "paper.tif": "found a PDF document",
    "login.h5": "found a web page",
    "failed.mat": "found nothing but zeros",
    "rec.tif.gz": "found a gzip archive",
    "session.zip": "found a ZIP archive",
    "raw.bin": "raw.json: the JSON that describes raw.bin",
    "cut.h5": "the HDF5 file ends too early; found ",
    "nothing": "no file with the suffix of a format",
}


@pytest.mark.parametrize("name", NO_RECORDINGS)
def test_no_recording(folder, monkeypatch, name):
    code, line = told(folder, monkeypatch, "info", name)
    assert code == 1
    assert line.startswith("galvo: error: ")
    assert line.count("\n") == 1
    assert NO_RECORDINGS[name] in line
    if name:
        assert Path(name).stem in line


WRONG_WISHES = [
    (("info", "--format", "tiff", "good.h5"), "no TIFF"),
    (("convert", "good.h5", "-o", "nothing"), "the output is a folder"),
    (("convert", "good.h5", "-o", "x.xyz"), "expected one that ends in .tif (tiff)"),
    (("convert", "good.h5", "-o", ""), "the output has no name"),
    (("convert", "good.h5", "-o", "x.h5", "--frames", "50:60"), "found 50:60; expected frames of 0 to 11"),
    (("convert", "good.h5", "-o", "x.h5", "--write-option", "a=1"), "expected one of layout"),
    (("convert", "nothing", "-o", "out/", "-t", "hdf5"), "no file with the suffix of a format"),
    (("convert", ".", "-o", "notes.tif/", "-t", "hdf5"), "the folder of the outputs cannot be made"),
    (("correct", "good.h5", "-o", "x.h5", "--frames", "50:60"), "found 50:60; expected frames of 0 to 11"),
    (("correct", "good.h5", "-o", "x.h5", "--motion", "x.tif"), "a motion is kept as HDF5"),
    (("correct", "good.h5", "-o", "x.h5", "--params", "params.json"), "preset: input should be 'fast'"),
    (("correct", "good.h5", "-o", "x.h5", "--params", "image.json"), "invalid JSON"),
    (("correct", "good.h5", "-o", "x.h5", "--params", "nothing"), "found a folder"),
    (("recover", ""), "its path is empty"),
    (("mroi-json", "good.h5"), "good.h5: only multi-ROI"),
    (("demo", "notes.tif", "--frames", "2"), "notes.tif: the demo cannot be written there"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG_WISHES, ids=lambda value: " ".join(value)[:40])
def test_wrong_wishes(folder, monkeypatch, arguments, words):
    code, line = told(folder, monkeypatch, *arguments)
    assert code == 1, line
    assert words in line
    assert line.count("\n") == 1


def test_a_truncated_file_is_damage_where_it_is_verified(folder, monkeypatch):
    assert told(folder, monkeypatch, "verify", "cut.h5")[0] == 3


@pytest.mark.skipif(not hasattr(os, "symlink"), reason="no links")
def test_a_link_to_itself_hides_no_recording(tmp_path, run):
    galvo.save(PIXELS, tmp_path / "good.h5")
    os.symlink("loop.tif", tmp_path / "loop.tif")
    assert "T 12 frames" in run("info", tmp_path).stdout


@pytest.mark.parametrize(
    ("word", "answer"),
    [("infoo", "Did you mean 'info'?"), ("Convert", "Did you mean 'convert'?"), ("xyz", "The verbs are info, ")],
)
def test_verbs_that_do_not_exist(run, word, answer):
    result = run(word, "a.tif")
    assert result.exit_code == 2
    assert answer in result.stderr


def test_the_version_needs_no_package(spawn):
    result = spawn("-V", before="sys.modules['importlib.metadata'] = None")
    assert (result.returncode, result.stdout) == (0, f"galvo {galvo.__version__}\n")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [("formats",), ("--version",)])
def test_nowhere_to_print_to(spawn, arguments):
    result = spawn(*arguments, before="sys.stdout = open('/dev/full', 'w')")
    assert result.returncode == 1
    assert result.stderr == "galvo: error: what galvo prints cannot be written: No space left on device\n"


def test_started_without_streams(spawn, folder):
    result = spawn("info", folder / "good.h5", before="sys.stdout = sys.stderr = None")
    assert (result.returncode, result.stderr) == (0, "")


def test_options_that_hints_name_exist(run):
    """Hints say options twice, for Python and for the command line."""
    known = set(re.findall(r"--[a-z-]+", "".join(run(verb, "--help").stdout for verb in group.list_commands(None))))
    assert {"--open-option", "--damaged"} <= known
    named = {}
    for path in SOURCE.rglob("*.py"):
        if "compat" not in path.parts and "testing" not in path.parts:
            for option in re.findall(r"\((--[a-z-]+)[ )]", path.read_text(encoding="utf-8")):
                named.setdefault(option, path)
    assert len(named) > 8
    assert {option: path for option, path in named.items() if option not in known} == {}


def test_hints_for_the_command_line_are_there(folder, monkeypatch, tmp_path):
    galvo.save(PIXELS, tmp_path / "a.tif")
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: len(content) * 2 // 3])
    _, line = told(tmp_path, monkeypatch, "info", "a.tif")
    assert 'damaged="report" (--damaged report)' in line
