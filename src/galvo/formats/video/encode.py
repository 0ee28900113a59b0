"""Frames coded block by block: each block by itself, so that an interrupted file can be continued."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from itertools import chain
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.threads import usable_cores
from galvo.errors import WriteError
from galvo.formats.video.coded import START_CODE, Packet, Stream, units
from galvo.formats.video.library import load_av
from galvo.formats.video.pixels import TO_LIMITED, Pixels, Scaler, choose_pixels, mapped

__all__ = ["H264", "Ffv1", "Raw", "padded"]

# its number decides about the bytes, so it is the same everywhere
_X264_THREADS = 4
_KEY_INTERVAL = 60
_FFV1_SLICES = 4
_LIMITED, _BT601 = 1, 6


def padded(frames: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Frames (..., Y, X) with their last row and column repeated."""
    more = [(0, 0)] * (frames.ndim - 2) + [(0, height - frames.shape[-2]), (0, width - frames.shape[-1])]
    return np.pad(frames, more, mode="edge") if any(count for _, count in more) else frames


def _rows(plane: Any, dtype: Any) -> NDArray[Any]:
    """A plane (Y, X) to be filled."""
    rows: NDArray[Any] = np.frombuffer(plane, dtype).reshape(plane.height, -1)[:, : plane.width]
    return rows


class _Encoder(ABC):
    """What libav's encoders have in common."""

    codec = ""
    pixel_format = ""

    def __init__(self, height: int, width: int, rate: Fraction) -> None:
        self.height, self.width, self.rate = height, width, rate

    def _context(self, options: dict[str, str], threads: int) -> Any:
        context = load_av().CodecContext.create(self.codec, "w")
        context.height, context.width, context.pix_fmt = self.height, self.width, self.pixel_format
        context.time_base, context.framerate = 1 / self.rate, self.rate
        context.flags |= load_av().codec.context.Flags.global_header
        context.thread_count = threads
        context.options = options
        return context

    def _opened(self, context: Any) -> Any:
        try:
            context.open()
        except (OSError, ValueError, RuntimeError) as error:
            raise WriteError(f"the encoder {self.codec} does not take such frames: {error}") from error
        return context

    @abstractmethod
    def _frame(self, pixels: NDArray[Any], number: int) -> Any:
        """A frame for the encoder, of channels (C, Y, X)."""

    def _packets(self, context: Any, frames: NDArray[Any]) -> Iterator[Packet]:
        for number, pixels in enumerate(frames):
            for packet in context.encode(self._frame(pixels, number)):
                yield Packet(bytes(packet), packet.is_keyframe)
        for packet in context.encode(None):
            yield Packet(bytes(packet), packet.is_keyframe)


class H264(_Encoder):
    """H.264 as everything plays it: 4:2:0, High profile, no B-frames, a key frame at least every second or two.

    Gray becomes brightness from 16 to 235 with neutral color, which is what players take for granted.

    Parameters
    ----------
    height, width : int
        Even.
    rate : Fraction
    color : bool
        Frames are (T, 3, Y, X) instead of (T, 1, Y, X).
    crf : float
        x264's constant rate factor.
    preset : str
        x264's.
    """

    codec = "libx264"
    pixel_format = "yuv420p"

    def __init__(self, height: int, width: int, rate: Fraction, color: bool, crf: float, preset: str) -> None:
        super().__init__(height, width, rate)
        self._color = color
        self._options = {
            "crf": f"{crf:g}",
            "preset": preset,
            "profile": "high",
            "x264-params": f"bframes=0:keyint={_KEY_INTERVAL}:open-gop=0:cpu-independent=1:threads={_X264_THREADS}",
        }
        self._scaler = Scaler()

    def _coder(self) -> Any:
        context = self._context(self._options, _X264_THREADS)
        context.color_range, context.colorspace = _LIMITED, _BT601
        return self._opened(context)

    def stream(self, frame_count: int, most_bytes: int) -> Stream:
        """What containers say of it."""
        sets = tuple(units(self._coder().extradata))
        return Stream("h264", self.height, self.width, self.rate, frame_count, most_bytes, sets=sets)

    def encode(self, frames: NDArray[np.uint8], stream: Stream) -> tuple[list[Packet], NDArray[np.uint8]]:
        """Frames as packets with start codes, and what a decoder makes of them.

        Parameters
        ----------
        frames : ndarray of uint8, TCYX
        stream : Stream

        Returns
        -------
        packets : list of Packet
            One for each frame in order.
        shown : ndarray of uint8, TCYX
        """
        decoder = load_av().CodecContext.create("h264", "r")
        decoder.extradata = b"".join(START_CODE + unit for unit in stream.sets)
        decoder.thread_type = "AUTO"
        how = self._shown_as()
        packets: list[Packet] = []
        shown = np.empty_like(frames)
        count = 0
        # both work in threads of their own, and so at the same time
        for packet in chain(self._packets(self._coder(), frames), (None,)):
            coded = None
            if packet is not None:
                packets.append(packet)
                coded = load_av().Packet(packet.data)
            for frame in decoder.decode(coded):
                for channel, rows in enumerate(how.convert(frame, self._scaler, "the encoded block")):
                    shown[count, channel] = rows
                count += 1
        if count != len(frames) or len(packets) != len(frames):
            raise WriteError(f"the encoder made {len(packets)} packets and {count} frames of {len(frames)}")
        return packets, shown

    def _frame(self, pixels: NDArray[Any], number: int) -> Any:
        make = load_av().VideoFrame
        if self._color:
            plain = make(self.width, self.height, "rgb24")
            rows: NDArray[Any] = np.frombuffer(plain.planes[0], np.uint8).reshape(self.height, -1)
            rows[:, : 3 * self.width] = pixels.transpose(1, 2, 0).reshape(self.height, -1)
            frame = self._scaler.convert(plain, self.pixel_format, True)
        else:
            frame = make(self.width, self.height, self.pixel_format)
            _rows(frame.planes[0], np.uint8)[:] = mapped(pixels[0], TO_LIMITED)
            for chroma in frame.planes[1:]:
                _rows(chroma, np.uint8)[:] = 128
        frame.pts = number
        return frame

    def _shown_as(self) -> Pixels:
        format = load_av().VideoFormat(self.pixel_format, self.width, self.height)
        how = choose_pixels(format, self._color, True, "")
        return Pixels(how.dtype, how.channel_names, how.source, how.target, how.bits, how.limited, exact=True)


class Ffv1(_Encoder):
    """FFV1 version 3 (RFC 9043): without loss, every frame by itself, checksums in every slice.

    Parameters
    ----------
    height, width : int
    rate : Fraction
    dtype : numpy.dtype
        uint8 or uint16.
    color : bool
    """

    codec = "ffv1"

    def __init__(self, height: int, width: int, rate: Fraction, dtype: np.dtype[Any], color: bool) -> None:
        super().__init__(height, width, rate)
        deep = dtype.itemsize == 2
        self._color, self._dtype = color, dtype.newbyteorder("<")
        self.pixel_format = ("gbrp16le" if deep else "bgr0") if color else ("gray16le" if deep else "gray")

    def _coder(self) -> Any:
        options = {"level": "3", "g": "1", "slicecrc": "1", "slices": str(_FFV1_SLICES)}
        return self._opened(self._context(options, 1))

    def stream(self, frame_count: int, most_bytes: int) -> Stream:
        """What containers say of it."""
        private = bytes(self._coder().extradata)
        bits = 8 * self._dtype.itemsize * (3 if self._color else 1)
        return Stream("ffv1", self.height, self.width, self.rate, frame_count, most_bytes, private, bits=bits)

    def encode(self, frames: NDArray[Any]) -> list[Packet]:
        """Frames (T, C, Y, X) as packets, several at a time: none depends on another."""
        workers = max(1, min(usable_cores(), 8, len(frames), frames.nbytes >> 18))
        if workers == 1:
            return list(self._packets(self._coder(), frames))
        lock, left = Lock(), iter(range(len(frames)))
        packets: list[Packet | None] = [None] * len(frames)

        def work(_: int) -> None:
            coder = self._coder()
            while True:
                with lock:
                    number = next(left, None)
                if number is None:
                    return
                # without threads of its own, it gives each at once
                (packet,) = coder.encode(self._frame(frames[number], number))
                packets[number] = Packet(bytes(packet), packet.is_keyframe)

        with ThreadPoolExecutor(workers, thread_name_prefix="galvo ffv1") as pool:
            list(pool.map(work, range(workers)))
        return [packet for packet in packets if packet is not None]

    def _frame(self, pixels: NDArray[Any], number: int) -> Any:
        frame = load_av().VideoFrame(self.width, self.height, self.pixel_format)
        if self.pixel_format == "bgr0":
            rows: NDArray[Any] = np.frombuffer(frame.planes[0], np.uint8).reshape(self.height, -1, 4)
            rows[:, : self.width, :3] = pixels[::-1].transpose(1, 2, 0)
            rows[:, : self.width, 3] = 0
        else:
            # planes of gbrp are green, blue, red
            order = (1, 2, 0) if self._color else (0,)
            for plane, channel in zip(frame.planes, order, strict=True):
                _rows(plane, self._dtype)[:] = pixels[channel]
        frame.pts = number
        return frame


class Raw:
    """Plain pixels of 8 bits as AVI holds them: bottom up, rows of whole words; colors are blue, green, red.

    Parameters
    ----------
    height, width : int
    rate : Fraction
    color : bool
    """

    def __init__(self, height: int, width: int, rate: Fraction, color: bool) -> None:
        self._size, self._rate, self._color = (height, width), rate, color

    def stream(self, frame_count: int, most_bytes: int) -> Stream:
        """What containers say of it."""
        grays = np.repeat(np.arange(256, dtype=np.uint8), 4).reshape(256, 4)
        grays[:, 3] = 0
        palette = b"" if self._color else grays.tobytes()
        bits = 24 if self._color else 8
        return Stream("raw", *self._size, self._rate, frame_count, most_bytes, palette, bits=bits)

    def encode(self, frames: NDArray[np.uint8]) -> list[Packet]:
        """Frames (T, C, Y, X) as packets."""
        count, channels, height, width = frames.shape
        rows = np.zeros((count, height, -(-width * channels // 4) * 4), np.uint8)
        rows[:, :, : width * channels] = (
            frames[:, ::-1, ::-1].transpose(0, 2, 3, 1).reshape(count, height, width * channels)
        )
        return [Packet(frame.tobytes(), True) for frame in rows]
