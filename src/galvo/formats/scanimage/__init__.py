"""ScanImage recordings.

Byte layout, TIFF_FORMAT_VERSION 3 and 4 (ScanImage BigTIFF specification; confirmed on genuine files)::

    0    BigTIFF header, little endian        16  u32 117637889      20  u32 TIFF_FORMAT_VERSION
    24   u32 n0, u32 n1                       32  n0 bytes header text, n1 bytes ROI groups (JSON), NULs counted
    then pages at a constant stride: IFD of 18 tags, reserved ImageDescription (2000 characters), pixels

Older files are classic TIFF and carry the header in each ImageDescription: 5.x behind the frame's block
(``scanimage.SI.``), with the ROI groups and their length at the end of the file; 4.x likewise (``scanimage.SI4.``); 3.x
alone (``state.``). Files that another program saved again may keep it in tag 305 only.

`static` finds the texts, `header` looks keys up in them and `literal` parses their values; `timeline` is the cycle in
which pages repeat, `stacks` and `older` read it from the header; `series` finds the files of one recording, `streams`
cuts their pages into volumes; `facts` scans what each page says of its frame, `events` what it lists besides; `checks`
holds the identities that warn, `describe` the metadata. Of multi-ROI pages, `rois` are the regions, `packing` says how
they are stacked, `fields` where each lies, `mesoscope` what suite2p has to know.
"""

from __future__ import annotations

import struct

from galvo.core.detect import Probe
from galvo.core.registry import Format, deferred
from galvo.formats.scanimage.header import is_header
from galvo.formats.tiff import MAGIC

__all__ = ["FORMAT", "MAGIC_NUMBER"]

MAGIC_NUMBER = 117637889


def _detect(probe: Probe) -> bool:
    head = probe.head
    if not head.startswith(MAGIC):
        return False
    if head[:4] == b"II+\0" and head[16:20] == struct.pack("<I", MAGIC_NUMBER):
        return True
    return any(is_header(text.decode("latin-1")) for text in _first_texts(probe))


def _first_texts(probe: Probe) -> list[bytes]:
    """The beginnings of page 0's ImageDescription and Software."""
    head = probe.head
    order = "<" if head[:2] == b"II" else ">"
    big = struct.unpack_from(order + "H", head, 2)[0] == 43
    letter, at, count_nbytes, step = ("Q", 8, 8, 20) if big else ("I", 4, 2, 12)
    if len(head) < 16:
        return []
    offset = struct.unpack_from(order + letter, head, at)[0]
    table = probe.read(offset, count_nbytes + 64 * step)
    found = []
    if len(table) < count_nbytes:
        return []
    count = struct.unpack_from(order + ("Q" if big else "H"), table)[0]
    for entry in range(count_nbytes, min(len(table), count_nbytes + count * step) - step + 1, step):
        code, kind = struct.unpack_from(order + "HH", table, entry)
        if code in (270, 305) and kind == 2:
            found.append(probe.read(struct.unpack_from(order + letter, table, entry + step // 2 + 2)[0], 4096))
    return found


FORMAT = Format(
    name="scanimage",
    title="ScanImage TIFF series",
    suffixes=(".tif", ".tiff"),
    detect=_detect,
    open=deferred("galvo.formats.scanimage.reader:open_scanimage"),
    refines=("tiff",),
    series=deferred("galvo.formats.scanimage.series:find_series"),
    parse_header=deferred("galvo.formats.scanimage.header:Header"),
    options=("flyback", "slice_repeats", "interrupted", "walk"),
)
