"""Writing videos: H.264 in MP4 for looking at, FFV1 in Matroska without loss."""

from __future__ import annotations

import json
import math
import os
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.blocks import BlockIndex
from galvo.core.output import Outlet, Target
from galvo.core.recording import Recording
from galvo.core.sink import WritePlan
from galvo.errors import OptionError
from galvo.formats.kept_json import kept_json
from galvo.formats.plain import require_plain
from galvo.formats.video.encode import H264, Ffv1, Packet, padded
from galvo.formats.video.library import load_av
from galvo.formats.video.mkv import MkvWriter
from galvo.formats.video.mp4 import Errors, Mp4Writer

__all__ = ["VideoSink"]

_CODECS = {".mp4": "h264", ".mkv": "ffv1"}
_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow", "slower", "veryslow")
_ASSUMED_HZ = 30.0
_MOST_HZ = 100_000
_MOST_SIDE = 16_384
_ROW_BYTES = 160

_Coded = tuple[list[Packet], Errors]


class VideoSink:
    """Writes frames of uint8 or uint16.

    Parameters
    ----------
    codec : {"h264", "ffv1"}, optional
        By the name of the output otherwise: h264 for .mp4, ffv1 for .mkv and everything else.
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
        if codec is not None and codec not in _CODECS.values():
            raise OptionError("unknown codec", found=repr(codec), expected="h264 or ffv1")
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
        if self._errors is not None:
            told.append(f"coded with loss: {self._errors}")
        if self._recording.frame_rate_hz is None and self._wanted_rate is None:
            told.append(f"the recording has no frame rate: players show {_ASSUMED_HZ:g} frames a second (frame_rate=)")
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
        if suffix in (".avi", ".mov"):
            raise OptionError(
                f"galvo does not write {suffix}",
                path=final,
                expected=".mp4 (H.264, for looking at) or .mkv (FFV1, without loss)",
            )
        self._codec = self._wanted_codec or _CODECS.get(suffix, "ffv1")
        if suffix in _CODECS and _CODECS[suffix] != self._codec:
            names = {codec: suffix for suffix, codec in _CODECS.items()}
            raise OptionError(
                f"galvo writes {self._codec} into {names[self._codec]} only",
                path=final,
                hint=f"Name the output so, or give codec={_CODECS[suffix]!r}",
            )
        return Target(final=final, files=(final,))

    @property
    def block_order(self) -> str:
        """The order of the frames, their colors together."""
        return "T(CZ)"

    def t_multiple(self, recording: Recording) -> int:
        """A block is coded by itself, whatever its length."""
        return 1

    def prepare(self, plan: WritePlan) -> None:
        """Refuse what no video can hold."""
        recording = self._recording = plan.recording
        self._plan = plan
        dtypes = ("uint8",) if self._codec == "h264" else ("uint8", "uint16")
        other = "; .mkv (FFV1) also takes uint16" if self._codec == "h264" else '; dtype="uint16" is taken as well'
        if recording.shape[1] == 3 and not self._color:
            other += "; color=True (--write-option color=true) takes three channels for red, green and blue"
        require_plain(recording, "such a video", dtypes, 3 if self._color else 1, other)
        y, x = recording.shape[3:]
        if max(y, x) > _MOST_SIDE:
            raise OptionError("too large for a video", found=f"{x} x {y}", expected=f"at most {_MOST_SIDE} on a side")
        rate = self._wanted_rate or recording.frame_rate_hz or _ASSUMED_HZ
        if not 0.001 <= rate <= _MOST_HZ:
            raise OptionError("no rate for a video", found=f"{rate} Hz", hint="Name another one with frame_rate=")
        exact = Fraction(rate).limit_denominator(1001)
        self._rate = exact if exact > 0 else Fraction(rate).limit_denominator(1_000_000)
        if self._codec == "h264":
            # 4:2:0 has one color for two by two pixels
            self._size = (y + y % 2, x + x % 2)
            self._h264 = H264(*self._size, self._rate, self._color, self._crf, self._preset)
            self._sets = self._h264.parameter_sets()
        else:
            # the encoder takes no single row or column
            self._size = (max(2, y), max(2, x))
            self._ffv1 = Ffv1(*self._size, self._rate, recording.dtype, self._color)
            self._private = self._ffv1.private_data()

    def estimate(self, plan: WritePlan) -> int:
        """More than the worst noise takes."""
        t, c, *_ = plan.recording.shape
        frame = math.prod(self._size) * c * plan.recording.dtype.itemsize
        texts = sum(4 * len(text) for text in plan.recording.metadata.texts.values())
        return t * (frame + frame // 2 + 4096 + _ROW_BYTES) + 64 * len(plan.blocks) + 2 * texts + (1 << 17)

    # ---- coding -----------------------------------------------------------------------------------------------------

    def shown(self, index: BlockIndex, block: NDArray[Any]) -> NDArray[Any]:
        """What decoding gives back: H.264 blocks are coded and decoded for it."""
        if self._codec == "ffv1":
            return block
        frames = padded(block[:, :, 0], *self._size)
        packets, decoded = self._h264.encode(frames, self._sets)
        y, x = block.shape[3:]
        made = decoded[:, :, None, :y, :x]
        differences = np.maximum(made, block) - np.minimum(made, block)
        errors = Errors(int(differences.max()), int(differences.sum(dtype=np.uint64)), differences.size)
        # `encode` is asked for the same block next
        self._coded = index, (packets, errors)
        return made

    def encode(self, index: BlockIndex, block: NDArray[Any]) -> _Coded:
        """The packets of a block."""
        if self._codec == "ffv1":
            return self._ffv1.encode(padded(block[:, :, 0], *self._size)), Errors()
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
        frames = self._recording.shape[0]
        self._writer: Mp4Writer | MkvWriter
        if self._codec == "h264":
            room = Mp4Writer.room_for(frames, len(self._plan.blocks))
            self._writer = Mp4Writer(file, *self._size, self._rate, self._sets, room)
        else:
            self._writer = MkvWriter(file, *self._size, self._rate, self._private, frames)

    def put(self, index: BlockIndex, encoded: _Coded) -> None:
        """Append a block."""
        packets, errors = encoded
        if isinstance(self._writer, Mp4Writer):
            self._writer.put(packets, errors)
        else:
            self._writer.put(index[0].start, packets)

    def finish(self, checksums: NDArray[np.uint32]) -> None:
        """Write the index and what is kept of the recording."""
        more: dict[str, Any] = {"video_gray": not self._color}
        if isinstance(self._writer, Mp4Writer):
            self._errors = self._writer.errors()
            more["video_loss"] = f"H.264, CRF {self._crf:g}: {self._errors}"
        self._writer.finish(json.dumps(kept_json(self._plan, checksums, **more)).encode())

    def abort(self) -> None:
        """Nothing is held between the other calls."""


def _number(name: str, value: float | str, least: float, most: float) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not least <= number <= most or isinstance(value, bool):
        raise OptionError(f"{name} does not fit", found=repr(value), expected=f"{least:g} to {most:g}")
    return number
