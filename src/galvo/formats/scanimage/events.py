"""Auxiliary triggers and I2C packets, as many as each page's text lists.

``auxTrigger0 = [t t ...]`` to ``auxTrigger3`` are times in s on the frames' clock, ``I2CData = {{t, [bytes]} ...}``
packets (scanimage spec 1.6; JSON in files of ``useJsonHeaderFormat``). Nearly every page lists none, so texts are read
many at a time and only those that list something are parsed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo import native
from galvo.core.events import event_dtype
from galvo.core.index import Int64
from galvo.core.read import IndexedReader
from galvo.core.threads import worker_count
from galvo.errors import ReadError, Truncated
from galvo.formats.scanimage.facts import TEXT_BYTES, parse_json, scan_pages
from galvo.formats.scanimage.literal import parse_literal

__all__ = ["CyclePages", "ScanImageFacts"]

_BATCH_BYTES = 16 << 20
# each begins with a literal, which the search skips to
_LISTED = (
    re.compile(rb'auxTrigger\d_?"?\s*[=:]\s*\[?\s*[-+.\d]'),
    re.compile(rb'I2CData_?"?\s*[=:]\s*[\[{]\s*[\[{]'),
)
_TRIGGERS = re.compile(r"^auxTrigger(\d)_?[ \t]*=[ \t]*\[?([^\]\r\n]*)", re.MULTILINE)
_PACKETS = re.compile(r"^I2CData_?[ \t]*=(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class CyclePages:
    """The pages of one T of one channel, relative to its first plane's; flyback and repeats that are not shown too.

    Attributes
    ----------
    offset : ndarray of int64, (F,)
    z : ndarray of int64, (F,)
        The plane that each shows or repeats, -1 for flyback that is left out.
    every : int
        Only each `every`-th T, the last of its volume, ...
    tail : int
        ... has the last `tail` of the F pages.
    """

    offset: Int64
    z: Int64
    every: int = 1
    tail: int = 0

    @classmethod
    def of(
        cls, slices: int, repeats: int, flyback: int, channels: int, *, repeat: int | None, keep_flyback: bool
    ) -> CyclePages:
        """Those of a volume of which `repeat` is shown, or of a repeat when each is a T of its own (None)."""
        after = slices * repeats + np.arange(flyback, dtype=np.int64)
        behind = np.arange(slices, slices + flyback) if keep_flyback else np.full(flyback, -1)
        if repeat is None and repeats > 1:
            own = np.arange(slices, dtype=np.int64) * repeats
            # the last repeat is followed by flyback
            offset = np.concatenate([own, after - (repeats - 1)])
            return cls(offset * channels, np.concatenate([np.arange(slices), behind]), repeats, flyback)
        frames = np.arange(slices * repeats, dtype=np.int64)
        offset = np.concatenate([frames, after]) - (repeat or 0)
        return cls(offset * channels, np.concatenate([frames // repeats, behind]))


class ScanImageFacts:
    """Frame facts of a ScanImage recording.

    Parameters
    ----------
    reader : IndexedReader
    cycle : CyclePages
    """

    def __init__(self, reader: IndexedReader, cycle: CyclePages) -> None:
        self._reader = reader
        self._cycle = cycle

    def read(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """Columns of the frames at (t, c, z)."""
        return scan_pages(self._reader, self._reader.index.order.page(t, c, z))

    def times(self, t: Int64, c: Int64, z: Int64) -> NDArray[np.float64]:
        """Times of the frames at (t, c, z), in s."""
        return scan_pages(self._reader, self._reader.index.order.page(t, c, z), ("timestamp_s",))["timestamp_s"]

    def events(self, t: Int64) -> NDArray[np.void]:
        """Triggers and packets of all frames of the given T, of those too that no plane shows."""
        return _event_table(self._reader, self._cycle, t)


def _event_table(reader: IndexedReader, cycle: CyclePages, t: Int64) -> NDArray[np.void]:
    zero = np.zeros_like(t)
    page = reader.index.order.page(t, zero, zero)[:, None] + cycle.offset
    wanted = np.ones(page.shape, bool)
    if cycle.tail:
        wanted[t % cycle.every != cycle.every - 1, -cycle.tail :] = False
    position, frame = np.nonzero(wanted)
    flat = page[wanted]
    found: list[tuple[int, int, str, float, bytes]] = []
    for entry, text in _busy_texts(reader, flat):
        place = int(position[entry]), int(cycle.z[frame[entry]])
        found += ((*place, kind, time, data) for kind, time, data in _parse(text))
    table = np.zeros(len(found), event_dtype(max((len(row[4]) for row in found), default=1)))
    for column, name in enumerate(("t", "z", "kind", "time_s")):
        table[name] = [row[column] for row in found]
    table["data_nbytes"] = [len(row[4]) for row in found]
    for number in np.flatnonzero(table["data_nbytes"]).tolist():
        data = found[number][4]
        table["data"][number, : len(data)] = np.frombuffer(data, np.uint8)
    return table


def _busy_texts(reader: IndexedReader, page: Int64) -> Iterator[tuple[int, bytes]]:
    """Entries of `page` whose text lists something, in order, with that text."""
    busy: dict[int, bytes] = {}
    for file, where, local in reader.index.split_by_file(page):
        entries = np.arange(page.size, dtype=np.int64)[where]
        reader.prove_pages(file, local)
        offset, nbytes = reader.index.runs[file].text(local)
        nbytes = np.minimum(nbytes, TEXT_BYTES)
        step = max(1, _BATCH_BYTES // max(1, int(nbytes.max(initial=0))))
        for first in range(0, local.size, step):
            part = slice(first, first + step)
            texts, begin = _read_texts(reader, file, offset[part], nbytes[part])
            hits = {match.start() for pattern in _LISTED for match in pattern.finditer(texts)}
            for number in np.unique(np.searchsorted(begin, sorted(hits), side="right") - 1).tolist():
                stop = int(begin[number] + nbytes[first + number])
                busy[int(entries[first + number])] = texts[int(begin[number]) : stop]
    yield from sorted(busy.items())


def _read_texts(reader: IndexedReader, file: int, offset: Int64, nbytes: Int64) -> tuple[bytes, Int64]:
    """Texts one behind the other, each with a line end, and where each begins."""
    ends = np.cumsum(nbytes + 1)
    begin = (ends - nbytes - 1).astype(np.int64)
    out = np.full(int(ends[-1]), ord("\n"), np.uint8)
    with reader.source.lease((file,)) as descriptors:
        descriptor = np.full(offset.shape, descriptors[file], np.int64)
        workers = worker_count(out.size)
        failed, kind, value = native.read_boxes(descriptor, offset, nbytes, begin, 1, 1, out, 1, 1, workers)
    if failed >= 0:
        path = reader.source.paths[file]
        if kind == 1:
            raise Truncated("the text of a page is cut off", path=path, offset=value)
        raise ReadError(os.strerror(value), path=path)
    return out.tobytes(), begin


def _parse(text: bytes) -> Iterator[tuple[str, float, bytes]]:
    """Kind, time in s and payload of each event of a page's text."""
    if text.startswith(b"{"):
        block = {name.rstrip("_"): value for name, value in parse_json(text).items()}
        for line in range(10):
            times = block.get(f"auxTrigger{line}")
            yield from ((f"auxTrigger{line}", time, b"") for time in _numbers(times))
        yield from (("I2C", *packet) for packet in _packets(block.get("I2CData")))
        return
    words = text.partition(b"\0")[0].decode("latin-1")
    for match in _TRIGGERS.finditer(words):
        times = parse_literal(f"[{match[2]}]")
        yield from ((f"auxTrigger{match[1]}", time, b"") for time in _numbers(times))
    for match in _PACKETS.finditer(words):
        yield from (("I2C", *packet) for packet in _packets(parse_literal(match[1])))


def _numbers(value: Any) -> Iterator[float]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, list):
            waiting += reversed(item)
        elif isinstance(item, int | float) and not isinstance(item, bool):
            yield float(item)


def _packets(value: Any) -> Iterator[tuple[float, bytes]]:
    """Pairs of a time and bytes, however deeply the lists of a cell hold them."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if not isinstance(item, list) or not item:
            continue
        if isinstance(item[0], list):
            waiting += reversed(item)
        elif isinstance(item[0], int | float) and len(item) > 1:
            data = [int(number) for number in _numbers(item[1]) if 0 <= number <= 255]
            yield float(item[0]), bytes(data)
