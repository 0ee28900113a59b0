"""The journal: what is whole of it, and nothing else."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from galvo import native
from galvo.core import disk
from galvo.core.journal import COMPLETE, Commit, FileState, Journal, encode_commit, encode_header

HEADER = {"shape": [3, 1], "name": "grün", "nested": {"a": [1.5, None]}}
COMMITS = [
    Commit(0, 0, 5, (FileState(800),)),
    Commit(
        1,
        0xFFFFFFFF,
        0xFFFFFFFE,
        (FileState(1 << 40, 5, ((0, b"abc"), (1 << 39, b""), (4096, bytes(4096)))), FileState(3, 1 << 63)),
    ),
    Commit(COMPLETE, 7, 7, (FileState(0, 9, ((5, b"x"),)),)),
]


def read(tmp_path, data):
    path = tmp_path / "journal"
    path.write_bytes(data)
    descriptor = disk.reopen(str(path))
    try:
        return Journal.read(descriptor)
    finally:
        disk.close(descriptor)


def test_there_and_back(tmp_path):
    data = encode_header(HEADER)
    for number in range(len(COMMITS) + 1):
        found = read(tmp_path, data)
        assert found.header == HEADER
        assert list(found.commits) == COMMITS[:number]
        assert found.length == len(data)
        if number < len(COMMITS):
            data += encode_commit(COMMITS[number])


def test_the_layout_is_that_of_the_description():
    header, commit = encode_header({}), encode_commit(Commit(2, 3, 8, (FileState(4, 7, ((5, b"six"),)),)))
    body = b"{}"
    assert header == b"galvoJ3\n" + struct.pack("<II", len(body), native.crc32c(body)) + body
    body = struct.pack("<qIIIQQIQI", 2, 3, 8, 1, 4, 7, 1, 5, 3) + b"six"
    assert commit == struct.pack("<II", len(body), native.crc32c(body)) + body


def test_every_cut_and_every_changed_byte(tmp_path):
    """What is left is the beginning of what was."""
    parts = [
        encode_header(HEADER),
        *map(encode_commit, (COMMITS[0], Commit(0, 9, 9, (FileState(99, 0, ((3, b"abc"),)),)), COMMITS[2])),
    ]
    ends = np.cumsum([len(part) for part in parts])
    whole = b"".join(parts)
    for at in range(len(whole)):
        expected = int((ends <= at).sum())
        changed = whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :]
        for data in (whole[:at], whole[:at] + bytes(len(whole) - at), changed):
            found = read(tmp_path, data)
            if whole.startswith(data) or data is changed or not whole[at:].startswith(bytes(1)):
                if expected == 0:
                    assert found is None
                else:
                    assert len(found.commits) == expected - 1
                    assert found.length == ends[expected - 1]


@pytest.mark.parametrize(
    "body", [b"not JSON", b"", b"\xff\xfe", b"[" * 100_000], ids=["text", "empty", "no UTF-8", "deep"]
)
def test_headers_that_are_none(tmp_path, body):
    record = struct.pack("<II", len(body), native.crc32c(body)) + body
    assert read(tmp_path, b"galvoJ3\n" + record) is None


@pytest.mark.parametrize(
    "body", [b"x", struct.pack("<qIII", 0, 0, 0, 5), struct.pack("<qIIIQQIQI", 0, 0, 0, 1, 0, 0, 2, 0, 9)]
)
def test_commits_that_are_none(tmp_path, body):
    record = struct.pack("<II", len(body), native.crc32c(body)) + body
    assert read(tmp_path, encode_header({}) + record) is None


@pytest.mark.parametrize("data", [b"", b"galvo", b"galvoJ3\n", bytes(5000), b"another file\n" * 99])
def test_other_files(tmp_path, data):
    assert read(tmp_path, data) is None
