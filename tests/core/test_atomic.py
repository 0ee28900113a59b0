"""Nothing that matters is overwritten, and a failed write is told as what it is."""

from __future__ import annotations

import errno
import os

import pytest

from galvo.core import disk
from galvo.core.atomic import guard_destination, journal_path, partial_path, require_space, write_error
from galvo.errors import NoSpace, WriteError

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX")


@pytest.fixture
def final(tmp_path):
    return str(tmp_path / "out.bin")


def content(path):
    with open(path, "rb") as stream:
        return stream.read()


def put(path, data=b"old"):
    with open(path, "wb") as stream:
        stream.write(data)


def test_existing_output(final):
    put(final)
    with pytest.raises(WriteError, match="exists") as caught:
        guard_destination(final, [], overwrite=False)
    assert "overwrite=True" in caught.value.hint
    guard_destination(final, [], overwrite=True)


@posix
def test_a_dangling_link_is_an_existing_output(final, tmp_path):
    os.symlink(tmp_path / "none", final)
    with pytest.raises(WriteError, match="exists"):
        guard_destination(final, [], overwrite=False)


def test_folders(tmp_path):
    with pytest.raises(WriteError, match="is a folder"):
        guard_destination(str(tmp_path), [], overwrite=True)
    with pytest.raises(WriteError, match="does not exist"):
        guard_destination(str(tmp_path / "none" / "out.bin"), [], overwrite=True)
    put(tmp_path / "file")
    with pytest.raises(WriteError, match="does not exist"):
        guard_destination(str(tmp_path / "file" / "out.bin"), [], overwrite=True)


def spellings(tmp_path, monkeypatch):
    source = tmp_path / "in.bin"
    put(source)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    yield "same", str(source)
    yield "relative", "in.bin"
    yield "dots", os.path.join("sub", "..", ".", "in.bin")
    if os.name != "nt":
        os.symlink(source, tmp_path / "link")
        yield "link", str(tmp_path / "link")
        os.symlink("sub", tmp_path / "linked")
        yield "through a linked folder", os.path.join("linked", "..", "in.bin")
    os.link(source, tmp_path / "hard")
    yield "hard link", str(tmp_path / "hard")


def test_output_equal_to_input_by_any_spelling(tmp_path, monkeypatch):
    source = str(tmp_path / "in.bin")
    for what, output in spellings(tmp_path, monkeypatch):
        for overwrite in (False, True):
            with pytest.raises(WriteError, match="output is an input"):
                guard_destination(output, ["/other.bin", source], overwrite)
            if what == "relative":
                with pytest.raises(WriteError, match="output is an input"):
                    guard_destination(source, [output], overwrite)
    assert content(source) == b"old"


@posix
def test_a_partial_file_that_links_to_an_input(tmp_path):
    put(tmp_path / "in.bin")
    os.symlink(tmp_path / "in.bin", tmp_path / "out.bin.partial")
    with pytest.raises(WriteError, match="output is an input"):
        guard_destination(str(tmp_path / "out.bin"), [str(tmp_path / "in.bin")], overwrite=True)


@pytest.mark.parametrize("name", [partial_path, journal_path])
def test_what_is_written_beside_the_output_is_no_input(tmp_path, name):
    source = name(str(tmp_path / "out.bin"))
    put(source)
    with pytest.raises(WriteError, match="output is an input"):
        guard_destination(str(tmp_path / "out.bin"), [source], overwrite=True)


# ---- errors of the system -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)])
def test_what_counts_as_full(code, final):
    error = write_error(OSError(code, "x"), final, 12)
    assert isinstance(error, NoSpace)
    assert error.expected == "12 bytes"
    assert "bytes free" in error.found


def test_other_errors(final):
    error = write_error(OSError(errno.EROFS, "Read-only file system"), final)
    assert isinstance(error, WriteError)
    assert not isinstance(error, NoSpace)
    assert "Read-only" in str(error)


def test_space_is_asked_for_before(final, monkeypatch):
    monkeypatch.setattr(disk, "free_bytes", lambda path: 1050)
    require_space(final, [partial_path(final)], 1000)
    with pytest.raises(NoSpace, match="1050 bytes free") as caught:
        require_space(final, [partial_path(final)], 1001)
    assert caught.value.expected == "1051 bytes"
    # an earlier attempt makes room, or is part of what is needed
    put(partial_path(final), bytes(500))
    require_space(final, [partial_path(final)], 1400)
    monkeypatch.setattr(disk, "free_bytes", lambda path: None)
    require_space(final, [], 1 << 60)
