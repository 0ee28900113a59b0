"""The bytes of generated ScanImage files without a static block.

- 5.x and 4.x: every ImageDescription holds the frame's block and the whole header; 5.x appends the ROI groups behind
  the last page, then the length of their text, u32.
- 3.x: every ImageDescription holds the header only.
- Saved again by another program: the header in the Software tag of the first page, perhaps several strips, nothing of
  the frames.

Source: ScanImage wiki of these versions; strips, trailing bytes and the lone Software tag as in files that were met.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from galvo.testing.tiff import Tag, TiffBuilder

if TYPE_CHECKING:
    from galvo.testing.scanimage import ScanImageRecording

__all__ = ["classic_file"]


def classic_file(
    recording: ScanImageRecording,
    pages: NDArray[np.int64],
    page_source: Callable[[NDArray[np.int64]], NDArray[Any]],
) -> bytes:
    """Return the file that holds the stream pages `pages`, with pixels (P, Y, X) from `page_source`."""
    builder = TiffBuilder(big=recording.big_tiff)
    item = np.dtype(recording.dtype).newbyteorder("<")
    rows = -(-recording.height // recording.strips)
    texts = _texts(recording, pages)
    for number, image in enumerate(page_source(pages).astype(item)):
        strips = [image[row : row + rows].tobytes() for row in range(0, recording.height, rows)]
        builder.image(
            recording.width,
            recording.height,
            strips,
            bits=8 * item.itemsize,
            sample_format=2 if item.kind == "i" else 1,
            rows_per_strip=rows,
            replace=texts[number],
        )
    rois = recording.roi_text().encode()
    if rois:
        builder.trailing = rois + b"\0" + struct.pack("<I", len(rois) + 1)
    else:
        # nothing that could be taken for a text or a page
        builder.trailing = b"\xa5" * recording.trailing_bytes
    return builder.build()


def _texts(recording: ScanImageRecording, pages: NDArray[np.int64]) -> list[list[Tag]]:
    """The text tags of each page."""
    header = recording.header_text()
    if recording.saved_again:
        return [[_tag(305, header)], *([_tag(305, "resaved.py")] for _ in pages[1:])]
    if recording.era == "3":
        return [[_tag(270, header)] for _ in pages]
    frames = pages // len(recording.channels)
    blocks = recording.descriptions(int(frames[0]), int(frames[-1]) + 1)
    # one length for all: ScanImage reserves it
    room = max(map(len, blocks)) + len(header)
    return [[_tag(270, (blocks[frame - frames[0]] + header).ljust(room))] for frame in frames.tolist()]


def _tag(code: int, text: str) -> Tag:
    return Tag(code=code, type=2, values=text.encode() + b"\0")
