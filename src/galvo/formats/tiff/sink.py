"""Writing TIFF: OME-TIFF, ImageJ hyperstacks and plain stacks, by galvo itself.

Pages follow each other in T, then Z, then C, one channel after the other in each frame: what ImageJ demands and what
programs take that know no axes. Or the channels are the samples of a page, for programs that know channels no other
way. A commit leaves a chain that ends at the last whole block.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from galvo.core.ahead import ahead
from galvo.core.blocks import BlockIndex
from galvo.core.codec import Codec
from galvo.core.output import Outlet
from galvo.core.partial import PartialFile
from galvo.core.recording import Recording
from galvo.core.sink import FileSink, WritePlan
from galvo.core.target import Target
from galvo.core.threads import worker_count
from galvo.errors import DamagedData, OptionError, Unsupported
from galvo.formats.kept_json import kept_json, packed_bound, sealed
from galvo.formats.tiff.arrangement import STRIP_BYTE_COUNTS, STRIP_OFFSETS, PageFacts, arrange
from galvo.formats.tiff.compressions import predictor_tag
from galvo.formats.tiff.description import imagej_description, ome_xml, resolution, uuid_of
from galvo.formats.tiff.directories import aligned, file_header
from galvo.formats.tiff.options import TiffOptions

__all__ = ["TiffSink"]

_OME_SUFFIXES = (".ome.tif", ".ome.tiff")
_CLASSIC_BYTES = 1 << 32
_MOST_SAMPLES = 0xFFFF
# decoded: enough for the codecs to get going, and a frame of 512 x 512 has strips for two threads
_STRIP_BYTES = 256 << 10
_TASK_BYTES = 1 << 20
_WRITE_BYTES = 32 << 10
_IFDS_TOGETHER = 1 << 14

_SAMPLE_FORMATS = {"u": 1, "i": 2, "f": 3, "c": 6}


class TiffSink(FileSink):
    """Writes TIFF and BigTIFF.

    Parameters
    ----------
    layout : "ome", "imagej" or "plain", optional
        How axes, pixel sizes and times are told to other programs. "ome" (by default) takes every usual pixel type and
        any size and is read by Bio-Formats, napari, tifffile and what builds on it, suite2p and CaImAn among it;
        "imagej" opens as a hyperstack in Fiji without Bio-Formats, and takes uint8, uint16 and float32; "plain" is
        pages and nothing else.
    samples : "c", optional
        Store channels as the samples of a page (a pixel of all channels, then the next pixel) instead of as pages of
        their own: for PyFlowReg and others that take pages for frames. Not in ImageJ's layout, which has none such.
    compression : "none", "zlib", "lzw" or "zstd"
    compression_level : int, optional
        1 (fast) to 9 for zlib, 1 to 22 for zstd; 1 by default.
    predictor : bool, optional
        Store differences of neighbours; by default where that makes sample frames smaller.
    bigtiff : bool, optional
        By default where classic TIFF could overflow.
    """

    def __init__(
        self,
        layout: str | None = None,
        compression: str | None = "none",
        compression_level: int | None = None,
        predictor: bool | None = None,
        bigtiff: bool | None = None,
        samples: str | None = None,
    ) -> None:
        self._options = TiffOptions.checked(layout, compression, compression_level, predictor, bigtiff, samples)

    @property
    def compresses(self) -> bool:
        """Whether the output may be smaller than estimated."""
        return self._options.compresses

    @property
    def notes(self) -> tuple[str, ...]:
        """Which programs will read the output, where not all do."""
        found = []
        if self._options.compression.name == "zstd":
            found.append("zstd is read by tifffile with imagecodecs and by libtiff 4.0.10 and later, not by ImageJ")
        if self._samples > 1:
            found.append(
                "channels are samples of a page, as PyFlowReg, tifffile and Bio-Formats read them; ImageJ itself, "
                "suite2p and CaImAn expect a page for each channel"
            )
        if self._is_single:
            found.append(
                "above 4 GB ImageJ's form has one directory for all images: ImageJ, tifffile and galvo read it, "
                'programs that count directories see one image; layout="ome" is for those'
            )
        return tuple(found)

    @property
    def block_order(self) -> str:
        """As the pages; what shares a page comes together."""
        return "TZ(C)" if self._options.in_samples else "TZC"

    def target(self, final: str, recording: Recording) -> Target:
        """One file; a name that ends in .ome.tif is an OME-TIFF."""
        if final.lower().endswith(_OME_SUFFIXES) and self._options.layout != "ome":
            raise OptionError(
                "a file of this name is an OME-TIFF",
                path=final,
                found=f'layout="{self._options.layout}"',
                expected='"ome"',
            )
        return Target(final=final, files=(final,))

    # ---- the plan ---------------------------------------------------------------------------------------------------

    def prepare(self, plan: WritePlan) -> None:
        """Settle codec and positions, or refuse the plan."""
        recording = plan.recording
        self._options.require(recording.dtype)
        self._plan = plan
        t, c, z, y, x = recording.shape
        self._samples = c if self._options.in_samples else 1
        if self._samples > _MOST_SAMPLES:
            raise Unsupported("TIFF has no pages of so many samples", found=c, expected=f"{_MOST_SAMPLES} at most")
        self._page_axes = (t, z, c // self._samples)
        row_nbytes = x * self._samples * recording.dtype.itemsize
        self._image_count, self._page_nbytes = math.prod(self._page_axes), y * row_nbytes
        self._stored = recording.dtype.newbyteorder("<")
        self._rows = max(1, min(y, _STRIP_BYTES // row_nbytes)) if self.compresses else y
        self._codec = self._chosen_codec()
        across, down, unit = resolution(recording.metadata, self._options.layout)
        facts = PageFacts(
            height=y,
            width=x,
            rows=self._rows,
            samples=self._samples,
            bits=8 * self._stored.itemsize,
            sample_format=_SAMPLE_FORMATS[self._stored.kind],
            compression=self._options.compression.tag,
            predictor=predictor_tag(self._codec),
            x_resolution=across,
            y_resolution=down,
            resolution_unit=unit,
        )
        kept = kept_json(plan, np.zeros(len(plan.blocks), np.uint32), dtype=self._stored.str, pixels_offset_bytes=None)
        # not whole before it is finished: whoever opens it finds no checksums
        self._unfinished: dict[str, Any] = {**kept, "block_crc32c": None, "crc32c": None}
        room = len(_kept_text(kept)) + packed_bound(4 * len(plan.blocks)) + 64
        self._arrange(facts, len(self._description(uuid_of(b""))), room)
        if not self.compresses:
            self._unfinished["pixels_offset_bytes"] = self._places.pixels_at

    def _chosen_codec(self) -> Codec:
        """The codec that makes sample frames smallest."""
        codecs = self._options.codecs(self._stored)
        if len(codecs) == 1:
            return codecs[0]
        recording = self._plan.recording
        channels = slice(self._samples)
        parts = [recording.isel(t=t, c=channels, z=0)[...] for t in sorted({0, recording.shape[0] // 2})]
        strips = [strip for part in parts for strip in self._strips(self._as_stored(part))]
        # the first of those that take as much
        return min(codecs, key=lambda codec: sum(len(self._packed(codec, strip)) for strip in strips))

    def _arrange(self, facts: PageFacts, description_nbytes: int, kept_nbytes: int) -> None:
        """Choose between classic and BigTIFF."""

        def arranged(big: bool, page_count: int = self._image_count) -> None:
            self._places = arrange(facts, page_count, big, description_nbytes, kept_nbytes)

        arranged(bool(self._options.bigtiff))
        if self._places.big or self.estimate(self._plan) < _CLASSIC_BYTES:
            return
        if self._options.layout == "imagej":
            if self.compresses:
                raise Unsupported(
                    "ImageJ reads no compressed TIFF of 4 GB or more",
                    found=f"up to {self.estimate(self._plan)} bytes",
                    hint='Leave it uncompressed, or write layout="ome" (--write-option layout=ome)',
                )
            arranged(False, 1)
        elif self._options.bigtiff is None:
            arranged(True)
        else:
            raise OptionError(
                "classic TIFF ends at 4 GB",
                found=f"up to {self.estimate(self._plan)} bytes",
                expected=f"less than {_CLASSIC_BYTES}",
                hint="Leave out bigtiff=False",
            )

    @property
    def _is_single(self) -> bool:
        """Whether one IFD stands for all images."""
        return self._places.page_count < self._image_count

    def estimate(self, plan: WritePlan) -> int:
        """Exact without compression; with it, what pixels take that do not shrink."""
        if not self.compresses:
            return self._places.pixels_at + self._image_count * self._page_nbytes
        times, more = self._options.compression.growth
        strips = self._places.strip_count
        page = math.ceil(self._page_nbytes * times) + strips * (more + 2 * 8) + self._places.first.nbytes
        return self._places.ifds_at + self._image_count * page + 8 * len(plan.blocks)

    def _description(self, uuid: UUID) -> bytes:
        recording = self._plan.recording
        if self._options.layout == "plain":
            return b""
        if self._options.layout == "imagej":
            text = imagej_description(recording)
        else:
            text = ome_xml(recording, str(uuid), self._samples)
        return text.encode("ascii") + b"\0"

    # ---- writing ----------------------------------------------------------------------------------------------------

    @property
    def _file(self) -> PartialFile:
        return self._output.files[0]

    def _write(self, offset: int, data: Any) -> None:
        self._file.seek(offset)
        self._file.write(data)

    def begin(self, output: Outlet) -> None:
        """Write what is known before the pixels; the chain has no pages yet."""
        self._output, places = output, self._places
        self._write(0, file_header(places.big))
        for position, value in places.values:
            self._write(position, value)
        self._write_texts(self._unfinished)
        if not self.compresses:
            self._write_ifds()
        # the gap before the pixels
        self._file.truncate(places.ifds_at if self.compresses else places.pixels_at)
        self._link_at = places.header_link_at

    def _write_texts(self, kept: dict[str, Any]) -> None:
        places, text = self._places, _kept_text(kept)
        described = self._description(uuid_of(text))
        if described:
            self._write(places.description_at, described)
        self._write(places.kept_at, text.ljust(places.kept_nbytes - 1).ljust(places.kept_nbytes, b"\0"))

    def _write_ifds(self) -> None:
        """The IFDs of all pages, linked as they will be in the end."""
        places = self._places
        for start in range(0, places.page_count, _IFDS_TOGETHER):
            stop = min(start + _IFDS_TOGETHER, places.page_count)
            pages = np.arange(start, stop, dtype=np.int64)
            links = places.ifds_at + places.first.nbytes + pages * places.other.nbytes
            if stop == places.page_count:
                links[-1] = 0
            columns = {
                STRIP_OFFSETS: places.pixels_at + pages * self._page_nbytes,
                STRIP_BYTE_COUNTS: np.full(pages.size, self._page_nbytes, np.int64),
            }
            self._write(places.ifd_at(start), self._stamped(start, columns, links))

    def _stamped(self, start: int, columns: dict[int, NDArray[np.int64]], links: NDArray[np.int64]) -> bytes:
        """IFDs from page `start` on."""
        head = 1 if start == 0 else 0
        first, rest = (
            {code: column[part] for code, column in columns.items()} for part in (slice(head), slice(head, None))
        )
        return self._places.first.stamp(head, first, links[:head]) + self._places.other.stamp(
            links.size - head, rest, links[head:]
        )

    def reopen(self, output: Outlet) -> None:
        """Find the end of the chain that is there."""
        self._output, self._link_at = output, self._places.header_link_at
        if not self.compresses:
            return
        for page in range(self._image_count + 1):
            ifd = self._number(self._link_at)
            if ifd == 0:
                return
            self._link_at = ifd + (self._places.other if page else self._places.first).link_at
        raise DamagedData(
            "the pages of the partial output are no chain", path=self._file.path, hint="Start again without resume"
        )

    def _number(self, offset: int) -> int:
        width = self._places.first.width
        self._file.seek(offset)
        return int.from_bytes(self._file.read(width) or b"", "little")

    def _link(self, at: int, ifd: int) -> None:
        self._write(at, struct.pack("<Q" if self._places.big else "<I", ifd))

    def encode(self, index: BlockIndex, block: NDArray[Any]) -> Any:
        """The pages in order: their bytes, or a few strips at a time, their sizes and their bytes."""
        pages = self._as_stored(block)
        if not self.compresses:
            return pages
        strips = list(self._strips(pages))
        together = max(1, _TASK_BYTES // max(1, strips[0].nbytes))
        parts = [strips[first : first + together] for first in range(0, len(strips), together)]

        def encoded(part: list[NDArray[Any]]) -> tuple[list[int], list[Any]]:
            made = [self._packed(self._codec, strip) for strip in part]
            sizes = [len(one) for one in made]
            # a copy costs less than many small writes
            return sizes, made if sum(sizes) > _WRITE_BYTES * len(sizes) else [b"".join(made)]

        return ahead(encoded, parts, worker_count(pages.nbytes))

    def _as_stored(self, block: NDArray[Any]) -> NDArray[Any]:
        """A block (T, C, Z, Y, X) as pages (P, Y, X) or (P, Y, X, C)."""
        t, c, z, y, x = block.shape
        if self._samples == 1:
            return np.ascontiguousarray(block.transpose(0, 2, 1, 3, 4), self._stored).reshape(-1, y, x)
        pages = np.empty((t, z, y, x, c), self._stored)
        for channel in range(c):
            # NumPy's own order would go pixel by pixel, four times as slow
            pages[..., channel] = block[:, channel]
        return pages.reshape(-1, y, x, c)

    def _strips(self, pages: NDArray[Any]) -> Iterator[NDArray[Any]]:
        for page in pages:
            for row in range(0, page.shape[0], self._rows):
                yield page[row : row + self._rows]

    def _packed(self, codec: Codec, strip: NDArray[Any]) -> bytes | memoryview:
        return codec.encode(strip, self._options.level, x_axis=1)

    def put(self, index: BlockIndex, encoded: Any) -> None:
        """Write the pages of a block and end the chain behind them."""
        t, c, z = (part.start for part in index[:3])
        _, planes, channels = self._page_axes
        first = (t * planes + z) * channels + c
        if self.compresses:
            count = math.prod(part.stop - part.start for part in index[:3]) // self._samples
            self._put_strips(first, count, encoded)
            return
        self._file.seek(self._places.pixels_at + first * self._page_nbytes)
        self._file.write(encoded.reshape(-1).view(np.uint8).data)
        if self._is_single and first:
            return
        last = first + len(encoded) - 1
        self._link(self._places.link_at(first - 1), self._places.ifd_at(first))
        if last < self._places.page_count - 1:
            self._link(self._places.link_at(last), 0)

    def _put_strips(self, first: int, count: int, encoded: Iterator[tuple[list[int], list[Any]]]) -> None:
        """Append IFDs, tables and strips of so many pages, the strips as they come."""
        places, strips = self._places, -(-self._plan.recording.shape[3] // self._rows)
        start = aligned(self._file.seek(0, 2))
        head = places.first if first == 0 else places.other
        ifds = start + np.append(0, head.nbytes + places.other.nbytes * np.arange(count, dtype=np.int64))
        links, tables_at = np.append(ifds[1:-1], 0), int(ifds[-1])
        table_nbytes = count * strips * head.width if strips > 1 else 0
        strips_at = tables_at + 2 * table_nbytes
        self._file.seek(strips_at)
        nbytes: list[int] = []
        for some, data in encoded:
            nbytes += some
            for part in data:
                self._file.write(part)
        sizes = np.array(nbytes, np.int64).reshape(count, strips)
        offsets = strips_at + (np.cumsum(sizes) - sizes.ravel()).reshape(sizes.shape)
        columns, tables = {STRIP_OFFSETS: offsets[:, 0], STRIP_BYTE_COUNTS: sizes[:, 0]}, b""
        if strips > 1:
            at = tables_at + strips * head.width * np.arange(count, dtype=np.int64)
            columns = {STRIP_OFFSETS: at, STRIP_BYTE_COUNTS: at + table_nbytes}
            tables = b"".join(table.astype(f"<u{head.width}").tobytes() for table in (offsets, sizes))
        self._write(start, self._stamped(first, columns, links) + tables)
        self._link(self._link_at, start)
        self._link_at = int(ifds[-2]) + (head if count == 1 else places.other).link_at

    def finish(self, checksums: NDArray[np.uint32]) -> None:
        """Write the checksums and the name that they give."""
        self._write_texts(sealed(self._unfinished, checksums))


def _kept_text(kept: dict[str, Any]) -> bytes:
    return json.dumps(kept, separators=(",", ":")).encode("ascii")
