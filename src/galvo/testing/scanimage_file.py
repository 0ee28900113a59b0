"""The bytes of one generated ScanImage BigTIFF: static block, then pages of one size.

The layout is drawn in `galvo.testing.scanimage`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from galvo.testing.scanimage import ScanImageRecording

__all__ = ["write_file"]

_DESCRIPTION_BYTES: Final = 2000
"""Bytes reserved for the text of ImageDescription, without the closing NUL."""

_MAGIC: Final = 117637889
_TAG_COUNT: Final = 18
_ENTRY_BYTES: Final = 20
_IFD_BYTES: Final = 8 + _TAG_COUNT * _ENTRY_BYTES + 8
_TABLE_OFFSET: Final = _IFD_BYTES + _DESCRIPTION_BYTES + 8
_BLOCK_BYTES: Final = 16 << 20


def write_file(
    path: Path,
    recording: ScanImageRecording,
    pages: NDArray[np.int64],
    page_source: Callable[[NDArray[np.int64]], NDArray[Any]],
) -> None:
    """Write the stream pages `pages` of `recording` to `path`, a block of at most 16 MiB at a time.

    Parameters
    ----------
    path : Path
        File to write; an old one is replaced.
    recording : ScanImageRecording
        What the header and the frame blocks say.
    pages : int64 (P,)
        Positions in the page stream, increasing.
    page_source : callable
        Pixels (P, Y, X) of given stream pages.

    Raises
    ------
    ValueError
        A frame block longer than the space reserved for it.
    """
    header = recording.header_text().encode() + b"\0"
    rois = recording.roi_text().encode() + b"\0"
    static = _static_block(header, rois, recording.tiff_format_version)
    layout = _PageLayout.of(recording, len(header), len(rois))
    channel_count = len(recording.channels)
    step = max(1, _BLOCK_BYTES // layout.stride)
    with path.open("wb") as file:
        file.write(static)
        for first in range(0, len(pages), step):
            own = pages[first : first + step]
            frames = own // channel_count
            texts = _padded(recording.descriptions(int(frames[0]), int(frames[-1]) + 1))
            last = first + len(own) == len(pages)
            for run in _runs(len(own), layout.stride):
                block = layout.pages(
                    len(static) + (first + run.start) * layout.stride,
                    texts[frames[run] - frames[0]],
                    page_source(own[run]),
                    last=last and run.stop == len(own),
                )
                file.write(block.data)


def _runs(count: int, stride: int) -> Iterator[slice]:
    # A megabyte at a time stays in the processor's cache between filling and writing.
    step = max(1, (1 << 20) // stride)
    for first in range(0, count, step):
        yield slice(first, min(first + step, count))


def _static_block(header: bytes, rois: bytes, tiff_format_version: int) -> bytes:
    end = 32 + len(header) + len(rois)
    # Genuine files pad by 1 to 4 bytes: 21884 -> 21888, 21892 -> 21896, 20298 -> 20300.
    first_ifd = end + 4 - end % 4
    sizes = (_MAGIC, tiff_format_version, len(header), len(rois))
    head = struct.pack("<2sHHHQIIII", b"II", 43, 8, 0, first_ifd, *sizes)
    return (head + header + rois).ljust(first_ifd, b"\0")


def _padded(texts: list[str]) -> NDArray[np.bytes_]:
    padded = [text.encode().ljust(_DESCRIPTION_BYTES) for text in texts]
    if max(map(len, padded)) > _DESCRIPTION_BYTES:
        raise ValueError(f"a frame block is longer than the {_DESCRIPTION_BYTES} bytes reserved for it")
    return np.array(padded, f"S{_DESCRIPTION_BYTES}")


@dataclass(frozen=True)
class _PageLayout:
    """One page as a structured type, and the bytes that all pages share."""

    kind: np.dtype[np.void]
    template: NDArray[np.uint8]
    image_offset: int
    strip_bytes: int
    strip_count: int

    @property
    def stride(self) -> int:
        return self.kind.itemsize

    @classmethod
    def of(cls, recording: ScanImageRecording, header_bytes: int, roi_bytes: int) -> _PageLayout:
        item = np.dtype(recording.dtype).newbyteorder("<")
        rows = -(-recording.height // recording.strips)
        strips = -(-recording.height // rows)
        image_offset = _TABLE_OFFSET + (16 * strips if strips > 1 else 0)
        in_entry = {code: 8 + k * _ENTRY_BYTES + 12 for k, code in enumerate(_CODES)}
        offset = np.dtype("<u8")
        fields: dict[str, tuple[Any, int]] = {
            "description_offset": (offset, in_entry[270]),
            "first_strip_or_table": (offset, in_entry[273]),
            "sizes_table": (offset, in_entry[279]),
            "next_ifd": (offset, _IFD_BYTES - 8),
            "description": (np.dtype(f"S{_DESCRIPTION_BYTES}"), _IFD_BYTES),
            "strips": (np.dtype((offset, (strips,))), in_entry[273] if strips == 1 else _TABLE_OFFSET),
            "pixels": (np.dtype((item, (recording.height, recording.width))), image_offset),
        }
        kind = np.dtype(
            {
                "names": list(fields),
                "formats": [form for form, _ in fields.values()],
                "offsets": [at for _, at in fields.values()],
                "itemsize": image_offset + recording.height * recording.width * item.itemsize,
            }
        )
        sizes = np.minimum(rows, recording.height - np.arange(strips) * rows) * recording.width * item.itemsize
        # Pixels per cm as 2**30 over a truncated denominator, as observed.
        size_y, size_x = (int((1 << 30) * size * 1e-4) for size in recording.pixel_size_um)
        values = {
            256: (3, 1, recording.width),
            257: (3, 1, recording.height),
            258: (3, 1, 8 * item.itemsize),
            259: (3, 1, 1),
            262: (3, 1, 1),
            270: (2, _DESCRIPTION_BYTES + 1, 0),
            273: (16, strips, 0),
            274: (3, 1, 1),
            277: (3, 1, 1),
            278: (3, 1, rows),
            279: (16, strips, int(sizes[0])),
            282: (5, 1, 1 << 30 | size_x << 32),
            283: (5, 1, 1 << 30 | size_y << 32),
            284: (3, 1, 1),
            296: (3, 1, 3),
            305: (2, header_bytes, 32),
            315: (2, roi_bytes, 32 + header_bytes),
            339: (3, 1, 2 if item.kind == "i" else 1),
        }
        entries = b"".join(struct.pack("<HHQQ", code, *values[code]) for code in _CODES)
        template = np.zeros(image_offset, np.uint8)
        template[: 8 + len(entries)] = np.frombuffer(struct.pack("<Q", _TAG_COUNT) + entries, np.uint8)
        if strips > 1:
            template[_TABLE_OFFSET + 8 * strips :] = sizes.astype("<u8").view(np.uint8)
        return cls(kind, template, image_offset, rows * recording.width * item.itemsize, strips)

    def pages(
        self, first_ifd: int, texts: NDArray[np.bytes_], images: NDArray[Any], *, last: bool
    ) -> NDArray[np.uint8]:
        """Return the bytes (P, stride) of consecutive pages, the first of which starts at `first_ifd`."""
        count = len(texts)
        raw = np.empty((count, self.stride), np.uint8)
        raw[:, : self.image_offset] = self.template
        block = raw.view(self.kind)[:, 0]
        offsets = first_ifd + np.arange(count, dtype=np.int64) * self.stride
        block["description_offset"] = offsets + _IFD_BYTES
        if self.strip_count > 1:
            block["first_strip_or_table"] = offsets + _TABLE_OFFSET
            block["sizes_table"] = offsets + _TABLE_OFFSET + 8 * self.strip_count
        strips = np.arange(self.strip_count) * self.strip_bytes
        block["strips"] = (offsets + self.image_offset)[:, None] + strips
        block["next_ifd"] = offsets + self.stride
        if last:
            block["next_ifd"][-1] = 0
        block["description"] = texts
        block["pixels"] = images
        return raw


_CODES: Final = (256, 257, 258, 259, 262, 270, 273, 274, 277, 278, 279, 282, 283, 284, 296, 305, 315, 339)
