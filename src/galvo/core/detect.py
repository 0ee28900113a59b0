"""Looking at a source just long enough to name its format: its name and at most 64 KiB of its bytes."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from galvo.core.source import FileSource

__all__ = ["DETECT_BYTES", "Probe", "kind_of"]

DETECT_BYTES = 64 << 10
_HEAD_BYTES = 4 << 10

# what people mistake for recordings
_KINDS = (
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89PNG\r\n", "a PNG image"),
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"Rar!", "a RAR archive"),
)
_PAGES = (b"<!doctype html", b"<html")


def kind_of(head: bytes) -> str:
    """What a file that is no recording seems to be, in words; empty where that is not known.

    Parameters
    ----------
    head : bytes
        Its first bytes.
    """
    for signature, kind in _KINDS:
        if head.startswith(signature):
            return kind
    if head.lstrip()[:20].lower().startswith(_PAGES):
        # what servers send instead of a file that they do not give
        return "a web page"
    if head and not head.strip(b"\0"):
        return "nothing but zeros"
    if head and not set(head) - set(b"\t\n\r\f") & set(range(32)):
        return "a text"
    return ""


class Probe:
    """A file as detectors see it: name, size, first bytes, and a small budget for looking further in.

    Parameters
    ----------
    path : str

    Attributes
    ----------
    path : str
    suffix : str
        In lower case, with the dot.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.suffix = Path(path).suffix.lower()
        self._source = FileSource([path])
        self._left = DETECT_BYTES

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._source.size(0)

    @cached_property
    def head(self) -> bytes:
        """The first bytes of the file, at most 4 KiB."""
        return self.read(0, _HEAD_BYTES)

    def read(self, offset: int, nbytes: int) -> bytes:
        """Bytes at `offset`; fewer where the file or the budget of 64 KiB ends."""
        nbytes = min(nbytes, self._left)
        if offset < 0 or nbytes <= 0:
            return b""
        data = self._source.read_upto(0, offset, nbytes)
        self._left -= len(data)
        return data

    def close(self) -> None:
        """Close the file."""
        self._source.close()
