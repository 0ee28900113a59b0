r"""The journal beside a partial output: which blocks are on the disk, and how to undo what came after them.

Layout, little endian::

    0   8 bytes b"galvoJ3\n"
    8   records: u32 size of the body, u32 CRC-32C of the body, body

    the first body is the header: JSON, what is being written, from what
    every other is a commit: i64 block (2^63 - 1: the last one, and all that comes behind it), u32 CRC-32C of its
        pixels, u32 CRC-32C of the source's, u32 number of files, then for each file u64 length, u64 identity, u32
        number of patches, then for each patch u64 offset, u32 size, bytes

A record that is cut off or does not match its checksum, and everything behind it, never happened. Who has the journal
locked is the only one to touch the output.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from galvo import native
from galvo.core import disk
from galvo.core.atomic import journal_path
from galvo.errors import WriteError

__all__ = [
    "COMPLETE",
    "Commit",
    "FileState",
    "Journal",
    "encode_commit",
    "encode_header",
    "lock_journal",
    "own_journal",
]

COMPLETE = (1 << 63) - 1

_MAGIC = b"galvoJ3\n"
_RECORD = struct.Struct("<II")
_COMMIT = struct.Struct("<qIII")
_FILE = struct.Struct("<QQI")
_PATCH = struct.Struct("<QI")
_ATTEMPTS = 8


@dataclass(frozen=True, slots=True)
class FileState:
    """A state of one file of the output.

    Attributes
    ----------
    length : int
        Bytes.
    identity : int
        By which the system knows the file, whatever its name.
    patches : tuple of (int, bytes)
        Offset and content of what changed below the length of the commit before.
    """

    length: int
    identity: int = 0
    patches: tuple[tuple[int, bytes], ...] = ()


@dataclass(frozen=True, slots=True)
class Commit:
    """A state of the output that can be returned to.

    Attributes
    ----------
    block : int
        The last block that is whole; `COMPLETE`: all, and what comes behind them.
    checksum : int
        CRC-32C of that block's pixels, as the output shows them.
    source_checksum : int
        The same of the source, which a lossy output does not show.
    files : tuple of FileState
    """

    block: int
    checksum: int
    source_checksum: int
    files: tuple[FileState, ...]


@dataclass(frozen=True, slots=True)
class Journal:
    """What a journal holds.

    Attributes
    ----------
    header : dict
    commits : tuple of Commit
    length : int
        Bytes of the journal that are whole.
    """

    header: dict[str, Any]
    commits: tuple[Commit, ...]
    length: int

    @classmethod
    def read(cls, descriptor: int) -> Journal | None:
        """The journal in an open file, None where not even its header is whole."""
        data = disk.read_at(descriptor, 0, disk.size(descriptor))
        bodies = list(_bodies(data))
        if not data.startswith(_MAGIC) or not bodies:
            return None
        try:
            header, commits = json.loads(bodies[0]), tuple(map(_decode, bodies[1:]))
        except (ValueError, RecursionError, struct.error):
            # another program's, by its checksums
            return None
        return cls(header, commits, len(_MAGIC) + sum(_RECORD.size + len(body) for body in bodies))


def _bodies(data: bytes) -> Iterator[bytes]:
    at = len(_MAGIC)
    while at + _RECORD.size <= len(data):
        nbytes, crc = _RECORD.unpack_from(data, at)
        body = data[at + _RECORD.size : at + _RECORD.size + nbytes]
        # zeros, as a file system leaves them where bytes did not arrive, are no empty record
        if not nbytes or len(body) != nbytes or native.crc32c(body) != crc:
            return
        yield body
        at += _RECORD.size + nbytes


def _decode(body: bytes) -> Commit:
    block, checksum, source_checksum, count = _COMMIT.unpack_from(body)
    at = _COMMIT.size
    files = []
    for _ in range(count):
        length, identity, patch_count = _FILE.unpack_from(body, at)
        at += _FILE.size
        patches = []
        for _ in range(patch_count):
            offset, nbytes = _PATCH.unpack_from(body, at)
            at += _PATCH.size
            patches.append((offset, body[at : at + nbytes]))
            at += nbytes
        files.append(FileState(length, identity, tuple(patches)))
    return Commit(block, checksum, source_checksum, tuple(files))


def _record(body: bytes) -> bytes:
    return _RECORD.pack(len(body), native.crc32c(body)) + body


def encode_header(header: dict[str, Any]) -> bytes:
    """The beginning of a journal."""
    return _MAGIC + _record(json.dumps(header, sort_keys=True).encode())


def encode_commit(commit: Commit) -> bytes:
    """The record of a commit."""
    parts = [_COMMIT.pack(commit.block, commit.checksum, commit.source_checksum, len(commit.files))]
    for file in commit.files:
        parts.append(_FILE.pack(file.length, file.identity, len(file.patches)))
        for offset, content in file.patches:
            parts += (_PATCH.pack(offset, len(content)), content)
    return _record(b"".join(parts))


def own_journal(final: str) -> int:
    """Descriptor of the journal, locked; made where there is none."""
    path = journal_path(final)
    for _ in range(_ATTEMPTS):
        try:
            return _locked(disk.create(path), final)
        except FileExistsError:
            pass
        except FileNotFoundError:
            if not os.path.isdir(os.path.dirname(os.path.abspath(final))):
                raise
            continue
        with suppress(FileNotFoundError):
            return lock_journal(final)
    raise _busy(final)


def lock_journal(final: str) -> int:
    """Descriptor of the journal, locked; FileNotFoundError where there is none, or where it went meanwhile."""
    path = journal_path(final)
    try:
        descriptor = disk.reopen(path)
    except FileNotFoundError:
        raise
    except OSError:
        if disk.is_regular(path):
            raise
        # a link or a pipe: never written through
        disk.unlink(path)
        raise FileNotFoundError from None
    return _locked(descriptor, final)


def _locked(descriptor: int, final: str) -> int:
    path = journal_path(final)
    try:
        if not disk.lock(descriptor):
            raise _busy(final)
        if not disk.is_only_name(descriptor, path):
            if os.fstat(descriptor).st_nlink > 1:
                disk.unlink(path)
            raise FileNotFoundError
    except BaseException:
        disk.close(descriptor)
        raise
    return descriptor


def _busy(final: str) -> WriteError:
    return WriteError(
        "another process is writing this output", path=final, hint="Wait for it to end, or choose another name"
    )
