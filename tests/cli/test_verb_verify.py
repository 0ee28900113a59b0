from pathlib import Path

import pytest

import galvo


@pytest.fixture
def out(raw: Path, tmp_path: Path) -> Path:
    path = tmp_path / "out.h5"
    galvo.convert(raw, path)
    return path


def change(path: Path, old: bytes) -> None:
    """Flip a bit in the middle of `old`, which occurs once."""
    data = bytearray(path.read_bytes())
    assert data.count(old) == 1
    data[data.find(old) + len(old) // 2] ^= 1
    path.write_bytes(data)


def a_frame(path: Path) -> bytes:
    with galvo.open(path) as recording:
        return recording[4, 1, 0].tobytes()


def test_intact_file(run, out):
    result = run("verify", out)
    assert result.exit_code == 0, result.output
    assert "all checksums match, 24 frames read" in result.stdout


def test_changed_pixel_is_found(run, out):
    change(out, a_frame(out))
    result = run("verify", out)
    assert result.exit_code == 3
    assert "differs" in result.stdout


def test_a_file_without_checksums_is_only_read(run, raw):
    result = run("verify", raw)
    assert result.exit_code == 0, result.output
    assert "no checksums are stored" in result.stdout


def test_equal_recordings(run, raw, out):
    for pair in ((raw, out), (out, raw)):
        result = run("verify", *pair)
        assert result.exit_code == 0, result.output
        assert "pixels and metadata, 24 frames read" in result.stdout


def test_a_pixel_that_differs(run, raw, out):
    change(raw, a_frame(raw))
    result = run("verify", raw, out)
    assert result.exit_code == 3
    assert "t=4, c=1, z=0" in result.stdout


def test_another_shape(run, raw, volumes):
    result = run("verify", raw, volumes)
    assert result.exit_code == 3
    assert "pixels were not compared" in result.stdout


def test_what_is_not_verified_is_said(run, volumes):
    assert "unchecked flyback: 5 pages" in run("verify", volumes).stdout


def test_a_truncated_file_is_damaged(run, raw):
    data = raw.read_bytes()
    raw.write_bytes(data[: len(data) // 2])
    result = run("verify", raw)
    assert result.exit_code == 3
    assert result.stderr.startswith("galvo: error: ")
    assert run("info", raw).exit_code == 1


def test_a_file_that_cannot_be_opened_is_no_difference(run, tmp_path, out):
    text = tmp_path / "notes.txt"
    text.write_text("no recording")
    assert run("verify", text).exit_code == 1
    assert run("verify", out, tmp_path / "absent.h5").exit_code == 1
