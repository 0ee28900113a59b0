"""Writing videos: H.264 for looking at, FFV1 without loss, plain pixels; in the container that the name says."""

from __future__ import annotations

import json
import math
import os
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.blocks import BlockIndex
from galvo.core.output import Outlet
from galvo.core.recording import Recording
from galvo.core.sink import FileSink, WritePlan
from galvo.core.target import Target
from galvo.errors import OptionError
from galvo.formats.kept_json import kept_json
from galvo.formats.plain import rate_note, require_plain, shown_hz
from galvo.formats.video.avi import AviWriter
from galvo.formats.video.coded import Errors, Packet
from galvo.formats.video.encode import H264, Ffv1, Raw, padded
from galvo.formats.video.library import load_av
from galvo.formats.video.mkv import MkvWriter
from galvo.formats.video.mp4 import Mp4Writer

__all__ = ["VideoSink"]

# the first is taken where none is asked for
_CODECS = {".mp4": ("h264",), ".mov": ("h264",), ".mkv": ("ffv1",), ".avi": ("raw", "h264", "ffv1")}
_ANY_CODEC = ("h264", "ffv1", "raw")
_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
_MOST_HZ = 100_000
_MOST_SIDE = 16_384
_ROW_BYTES = 160

_Coded = tuple[list[Packet], Errors]


class VideoSink(FileSink):
    """Writes frames of uint8 or uint16.

    Parameters
    ----------
    codec : {"h264", "ffv1", "raw"}, optional
        By the name of the output otherwise: h264 for .mp4 and .mov, raw for .avi, ffv1 for .mkv and everything else. An
        AVI takes all three.
    frame_rate : float, optional
        At which players show the frames, Hz; that of the recording by default, 30 where it has none.
    color : bool
        Three channels are red, green and blue.
    crf : float
        H.264: 0 to 51, lower is better and larger.
    preset : str
        H.264: x264's presets. Recordings are noise for the most part: "medium" takes twice the time of "faster" for 1
        to 2 % of the size.
    """

    def __init__(
        self,
        codec: str | None = None,
        frame_rate: float | None = None,
        color: bool = False,
        crf: float = 18,
        preset: str = "faster",
    ) -> None:
        if codec is not None and codec not in _ANY_CODEC:
            raise OptionError("unknown codec", found=repr(codec), expected="h264, ffv1 or raw")
        self._wanted_codec = codec
        self._wanted_rate = _number("frame_rate", frame_rate, 0.001, _MOST_HZ) if frame_rate is not None else None
        if not isinstance(color, bool):
            raise OptionError("color does not fit", found=repr(color), expected="True or False")
        self._color = color
        self._crf = _number("crf", crf, 0, 51)
        if preset not in _PRESETS:
            raise OptionError("unknown preset", found=repr(preset), expected=", ".join(_PRESETS))
        self._preset = preset
        self._coded: tuple[BlockIndex, _Coded] | None = None
        self._errors: Errors | None = None
        load_av()

    @property
    def compresses(self) -> bool:
        """True."""
        return True

    @property
    def notes(self) -> tuple[str, ...]:
        """What is lost, and what players see."""
        told = []
        if self._codec == "h264":
            told.append("H.264 is made for looking at: pixels change; FFV1 (.mkv) keeps them")
        if self._codec == "raw":
            told.append("plain pixels, which every program reads; codec=ffv1 takes half the bytes, and fewer read it")
        if self._errors is not None:
            told.append(f"coded with loss: {self._errors}")
        told += rate_note(self._recording, self._wanted_rate)
        y, x = self._recording.shape[3:]
        if (y, x) != self._size:
            told.append(
                f"players see {self._size[1]} x {self._size[0]} pixels instead of {x} x {y}: the last row or column is "
                "repeated; galvo reads the true size"
            )
        return tuple(told)

    def target(self, final: str, recording: Recording) -> Target:
        """One file; its name says how it is coded."""
        suffix = os.path.splitext(final)[1].lower()
        self._suffix = suffix if suffix in _CODECS else ".mkv"
        taken = _CODECS[self._suffix]
        self._codec = self._wanted_codec or taken[0]
        if self._codec not in taken:
            names = [name for name, codecs in _CODECS.items() if self._codec in codecs]
            raise OptionError(
                f"galvo writes {self._codec} into {' and '.join(names)} only",
                path=final,
                hint=f"Name the output so, or give codec={taken[0]!r}",
            )
        return Target(final=final, files=(final,))

    @property
    def block_order(self) -> str:
        """The order of the frames, their colors together."""
        return "T(CZ)"

    def prepare(self, plan: WritePlan) -> None:
        """Refuse what no video can hold."""
        recording = self._recording = plan.recording
        self._plan = plan
        dtypes = ("uint8", "uint16") if self._codec == "ffv1" else ("uint8",)
        other = '; dtype="uint16" is taken as well'
        if self._codec != "ffv1":
            other = f"; {'codec=ffv1' if self._suffix == '.avi' else '.mkv (FFV1)'} also takes uint16"
        if recording.shape[1] == 3 and not self._color:
            other += "; color=True (--write-option color=true) takes three channels for red, green and blue"
        require_plain(recording, "such a video", dtypes, 3 if self._color else 1, other)
        y, x = recording.shape[3:]
        if max(y, x) > _MOST_SIDE:
            raise OptionError("too large for a video", found=f"{x} x {y}", expected=f"at most {_MOST_SIDE} on a side")
        rate = shown_hz(recording, self._wanted_rate)
        if not 0.001 <= rate <= _MOST_HZ:
            other = "Name another one with frame_rate= (--write-option frame_rate=HZ)"
            raise OptionError("no rate for a video", found=f"{rate} Hz", hint=other)
        exact = Fraction(rate).limit_denominator(1001)
        self._rate = exact if exact > 0 else Fraction(rate).limit_denominator(1_000_000)
        self._coder: H264 | Ffv1 | Raw
        if self._codec == "h264":
            # 4:2:0 has one color for two by two pixels
            self._size = (y + y % 2, x + x % 2)
            self._coder = H264(*self._size, self._rate, self._color, self._crf, self._preset)
        elif self._codec == "ffv1":
            # the encoder takes no single row or column
            self._size = (max(2, y), max(2, x))
            self._coder = Ffv1(*self._size, self._rate, recording.dtype, self._color)
        else:
            self._size = (y, x)
            self._coder = Raw(y, x, self._rate, self._color)
        self._stream = self._coder.stream(recording.shape[0], self.estimate(plan))

    def estimate(self, plan: WritePlan) -> int:
        """More than the worst noise takes."""
        t, c, *_ = plan.recording.shape
        frame = math.prod(self._size) * c * plan.recording.dtype.itemsize
        texts = sum(4 * len(text) for text in plan.recording.metadata.texts.values())
        return t * (frame + frame // 2 + 4096 + _ROW_BYTES) + 64 * len(plan.blocks) + 2 * texts + (1 << 17)

    # ---- coding -----------------------------------------------------------------------------------------------------

    def shown(self, index: BlockIndex, block: NDArray[Any]) -> NDArray[Any]:
        """What decoding gives back: H.264 blocks are coded and decoded for it."""
        if not isinstance(self._coder, H264):
            return block
        frames = padded(block[:, :, 0], *self._size)
        packets, decoded = self._coder.encode(frames, self._stream)
        y, x = block.shape[3:]
        made = decoded[:, :, None, :y, :x]
        differences = np.maximum(made, block) - np.minimum(made, block)
        errors = Errors(int(differences.max()), int(differences.sum(dtype=np.uint64)), differences.size)
        # `encode` is asked for the same block next
        self._coded = index, (packets, errors)
        return made

    def encode(self, index: BlockIndex, block: NDArray[Any]) -> _Coded:
        """The packets of a block."""
        if not isinstance(self._coder, H264):
            return self._coder.encode(padded(block[:, :, 0], *self._size)), Errors()
        if self._coded is None or self._coded[0] != index:
            self.shown(index, block)
        coded, self._coded = self._coded, None
        if coded is None:
            raise OptionError("a block was not coded", found=str(index))
        return coded[1]

    # ---- writing ----------------------------------------------------------------------------------------------------

    def begin(self, output: Outlet) -> None:
        """Lay out the file."""
        self.reopen(output)
        self._writer.begin()

    def reopen(self, output: Outlet) -> None:
        """Nothing but the file has to be known to go on."""
        (file,) = output.files
        self._writer: AviWriter | MkvWriter | Mp4Writer
        if self._suffix == ".avi":
            self._writer = AviWriter(file, self._stream)
        elif self._suffix == ".mkv":
            self._writer = MkvWriter(file, self._stream)
        else:
            blocks = len(self._plan.blocks)
            self._writer = Mp4Writer(file, self._stream, blocks, quicktime=self._suffix == ".mov")

    def put(self, index: BlockIndex, encoded: _Coded) -> None:
        """Append a block."""
        self._writer.put(index[0].start, *encoded)

    def finish(self, checksums: NDArray[np.uint32]) -> None:
        """Write the index and what is kept of the recording."""
        more: dict[str, Any] = {"video_gray": not self._color}
        if self._codec == "h264":
            self._errors = self._writer.errors()
            more["video_loss"] = f"H.264, CRF {self._crf:g}: {self._errors}"
        self._writer.finish(json.dumps(kept_json(self._plan, checksums, **more)).encode())


def _number(name: str, value: float | str, least: float, most: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not least <= number <= most or isinstance(value, bool):
        raise OptionError(f"{name} does not fit", found=repr(value), expected=f"{least:g} to {most:g}")
    return number
