"""Writing GIFs: 256 grays, or a table of colors for each frame; every frame an image of its own."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.ahead import ahead
from galvo.core.blocks import BlockIndex
from galvo.core.codec import encode_gif_image
from galvo.core.output import Outlet
from galvo.core.sink import FileSink, WritePlan
from galvo.core.threads import worker_count
from galvo.errors import OptionError
from galvo.formats.gif.blocks import APPLICATION, sub_blocks
from galvo.formats.gif.colors import with_table
from galvo.formats.kept_json import kept_json
from galvo.formats.plain import rate_note, require_plain, shown_hz

__all__ = ["GifSink"]

_MOST_SIDE = 65_535
_MOST_LOOP = 65_535
_MOST_DELAY = 65_535
_TICKS_PER_S = 100
# below, browsers show an image for 100 ms
_LEAST_SHOWN = 2
_ROW_BYTES = 160
_COLORS = 3
# a table of 256 colors follows
_OWN_TABLE = 0x87
_GRAYS = np.repeat(np.arange(256, dtype=np.uint8), 3).tobytes()


class GifSink(FileSink):
    """Writes uint8 frames.

    Parameters
    ----------
    frame_rate : float, optional
        At which the images are shown, Hz; that of the recording by default, 30 where it has none.
    loop : int
        How often the images are shown again, 0: for ever; -1: they are shown once.
    color : bool
        Three channels are red, green and blue. A frame of at most 256 colors is exact; of more, its colors are reduced
        to 256 that are chosen for it.
    """

    def __init__(self, frame_rate: float | None = None, loop: int = 0, color: bool = False) -> None:
        if type(color) is not bool:
            raise OptionError("color does not fit", found=repr(color), expected="True or False")
        self._color = color
        try:
            rate = None if frame_rate is None else float(frame_rate)
        except (TypeError, ValueError):
            rate = -1.0
        if rate is not None and not 0.002 <= rate <= _TICKS_PER_S:
            raise OptionError("frame_rate does not fit", found=repr(frame_rate), expected="0.002 to 100")
        if type(loop) is not int or not -1 <= loop <= _MOST_LOOP:
            raise OptionError("loop does not fit", found=repr(loop), expected=f"-1 to {_MOST_LOOP}")
        self._wanted_rate = rate
        self._loop = loop

    @property
    def compresses(self) -> bool:
        """True."""
        return True

    @property
    def notes(self) -> tuple[str, ...]:
        """How players show it."""
        told = list(rate_note(self._recording, self._wanted_rate))
        if self._rate < shown_hz(self._recording, self._wanted_rate):
            told.append(f"a GIF shows {_TICKS_PER_S} frames per second at most, and so does this one")
        elif _TICKS_PER_S % self._rate:
            told.append(f"a GIF counts in 10 ms: frames are shown longer or shorter, {self._rate:g} Hz on average")
        if min(map(self._delay, range(min(_TICKS_PER_S, self._recording.shape[0])))) < _LEAST_SHOWN:
            told.append("browsers show frames of less than 20 ms for 100 ms: frame_rate=50 is the fastest they play")
        return tuple(told)

    def shown(self, index: BlockIndex, block: NDArray[Any]) -> NDArray[Any]:
        """The block itself, but for frames of too many colors."""
        if not self._color:
            return block
        out = np.empty_like(block)
        for t, frame in enumerate(block[:, :, 0]):
            table, indices = with_table(frame)
            out[t, :, 0] = table[indices].transpose(2, 0, 1)
        return out

    @property
    def block_order(self) -> str:
        """The order of the frames; colors stay together."""
        return "T(CZ)"

    def prepare(self, plan: WritePlan) -> None:
        """Refuse what a GIF cannot hold."""
        recording = self._recording = plan.recording
        self._plan = plan
        more = "; color=True takes three channels for red, green and blue" if recording.shape[1] == _COLORS else ""
        require_plain(recording, "a GIF", ("uint8",), _COLORS if self._color else 1, "" if self._color else more)
        y, x = recording.shape[3:]
        if max(y, x) > _MOST_SIDE:
            raise OptionError("too large for a GIF", found=f"{x} x {y}", expected=f"at most {_MOST_SIDE} on a side")
        rate = shown_hz(recording, self._wanted_rate)
        self._rate = min(rate, float(_TICKS_PER_S))
        if self._delay(0) > _MOST_DELAY:
            other = "Name another one with frame_rate= (--write-option frame_rate=HZ)"
            raise OptionError("no rate for a GIF", found=f"{rate} Hz", hint=other)

    def _delay(self, frame: int) -> int:
        """How long a frame is shown, 10 ms: on average as long as it should be."""
        return round((frame + 1) * _TICKS_PER_S / self._rate) - round(frame * _TICKS_PER_S / self._rate)

    def estimate(self, plan: WritePlan) -> int:
        """More than the worst noise takes."""
        t, _, _, y, x = plan.recording.shape
        texts = sum(4 * len(text) for text in plan.recording.metadata.texts.values())
        # 12 bits for a pixel, a byte for 255
        return t * (2 * y * x + 64 + _ROW_BYTES + len(_GRAYS)) + 64 * len(plan.blocks) + 3 * texts + (1 << 17)

    def begin(self, output: Outlet) -> None:
        """Write what comes before the images."""
        self.reopen(output)
        y, x = self._recording.shape[3:]
        head = struct.pack("<6sHH3B", b"GIF89a", x, y, 0xF7, 0, 0) + _GRAYS
        if self._loop >= 0:
            head += b"\x21\xff\x0bNETSCAPE2.0" + sub_blocks(b"\1" + self._loop.to_bytes(2, "little"))
        self._file.seek(0)
        self._file.write(head)

    def reopen(self, output: Outlet) -> None:
        """Images are appended as they come."""
        (self._file,) = output.files

    def encode(self, index: BlockIndex, block: NDArray[Any]) -> Iterator[tuple[bytes, bytes]]:
        """Table of colors, if it has one of its own, and data of each image of a block."""
        make = _color_image if self._color else _gray_image
        frames = block[:, :, 0]
        workers = min(len(frames), worker_count(8 * block.nbytes))
        return ahead(make, frames, workers)

    def put(self, index: BlockIndex, encoded: Iterator[tuple[bytes, bytes]]) -> None:
        """Append the images of a block."""
        y, x = self._recording.shape[3:]
        self._file.seek(0, 2)
        for frame, (table, data) in enumerate(encoded, index[0].start):
            place = struct.pack("<cHHHHB", b",", 0, 0, x, y, _OWN_TABLE if table else 0)
            # it stays until the next one covers it
            control = b"\x21\xf9\x04\x04" + struct.pack("<HBB", self._delay(frame), 0, 0)
            self._file.write(b"".join((control, place, table, data)))

    def finish(self, checksums: NDArray[np.uint32]) -> None:
        """Write what is kept of the recording."""
        kept = json.dumps(kept_json(self._plan, checksums)).encode()
        self._file.seek(0, 2)
        self._file.write(b"\x21\xff\x0b" + APPLICATION + sub_blocks(kept) + b"\x3b")


def _gray_image(frame: NDArray[Any]) -> tuple[bytes, bytes]:
    return b"", encode_gif_image(np.ascontiguousarray(frame[0]))


def _color_image(frame: NDArray[Any]) -> tuple[bytes, bytes]:
    table, indices = with_table(frame)
    return table.tobytes(), encode_gif_image(indices)
