"""Writing PZF sequences: a folder of frames, or an HDF5 file that holds them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from galvo import native
from galvo.core.ahead import ahead
from galvo.core.blocks import BlockIndex
from galvo.core.output import Outlet
from galvo.core.recording import Recording
from galvo.core.sink import FileSink, WritePlan
from galvo.core.target import Target
from galvo.core.threads import worker_count
from galvo.errors import OptionError, Unsupported
from galvo.formats.kept import kept_facts
from galvo.formats.kept_json import kept_json
from galvo.formats.pzf.blob import dumps
from galvo.formats.pzf.folder import MEMBERS, METADATA, MOST_OVERHEAD, frame_name
from galvo.formats.pzf.header import COMPRESSIONS
from galvo.formats.pzf.sequence import HALF, unshifted
from galvo.formats.pzf.table import create_table, finish_table, put_rows
from galvo.noise import estimate_noise

__all__ = ["PzfSink"]

_HDF5 = (".h5", ".hdf5", ".hdf")
# HDF5 starts a heap of its own with each block, and pads its last one
_HEAP_BYTES = 8 << 10
_ROW_BYTES = 128


class PzfSink(FileSink):
    """Writes frames as blobs.

    Parameters
    ----------
    compression : {"huffman", "raw", "chunks"}
    quantize : {"none", "sqrt"}
        sqrt: one byte per pixel, with loss; see `dumps`.
    quantize_offset, quantize_scale : float or "estimate"
        In counts of the recording, and square roots of counts. Estimated from the recording's noise by default: codes
        are then half the noise of a pixel apart.
    shift : int or "least"
        For int16: what is added to store it as uint16. "least" reads the whole recording for it.
    """

    def __init__(
        self,
        compression: str | None = "huffman",
        quantize: str | None = "none",
        quantize_offset: float | str = "estimate",
        quantize_scale: float | str = "estimate",
        shift: int | str = HALF,
    ) -> None:
        wanted = "raw" if compression in (None, "none") else compression
        if wanted not in COMPRESSIONS:
            raise OptionError("unknown compression", found=repr(compression), expected=", ".join(COMPRESSIONS))
        self._compression: Any = wanted
        if quantize not in (None, "none", "sqrt"):
            raise OptionError("unknown quantize", found=repr(quantize), expected="none or sqrt")
        self._sqrt = quantize == "sqrt"
        self._wanted = (quantize_offset, quantize_scale)
        limits = (("quantize_offset", quantize_offset, -math.inf), ("quantize_scale", quantize_scale, 0))
        for name, value, least in limits:
            number = isinstance(value, int | float) and not isinstance(value, bool) and least < value < math.inf
            if value != "estimate" and not number:
                raise OptionError(f"{name} does not fit", found=repr(value), expected="a number, or estimate")
        if shift != "least" and (type(shift) is not int or not 0 <= shift < 1 << 16):
            raise OptionError("shift does not fit", found=repr(shift), expected="0 to 65535, or least")
        self._wanted_shift = shift
        self._shift = 0
        # offset and scale of each channel, for stored pixels
        self._levels: tuple[tuple[float, float], ...] = ()
        self._warnings: list[str] = []

    @property
    def compresses(self) -> bool:
        """Whether the output may be smaller than estimated."""
        return self._compression != "raw" or self._sqrt

    @property
    def notes(self) -> tuple[str, ...]:
        """What is lost, and what other readers see."""
        told = []
        for number, (offset, scale) in enumerate(self._levels, 1):
            channel = f"channel {number}: " if len(self._levels) > 1 else ""
            dark, most = offset - self._shift, (255.5 * scale) ** 2 + offset - self._shift
            told.append(
                f"{channel}quantised with loss: steps of {scale:.4g} in the square root above {dark:.6g}; values below "
                f"it and above {most:.6g} are cut"
            )
        if self._shift:
            told.append(
                f"int16 is stored as uint16 with {self._shift} added: galvo gives back int16, other readers see the "
                "shifted values"
            )
        return (*told, *self._warnings)

    def shown(self, index: BlockIndex, block: NDArray[Any]) -> NDArray[Any]:
        """What decoding gives back."""
        if not self._levels:
            return block
        stored = self._stored(block)
        out = np.empty_like(stored)
        for place, levels in enumerate(self._levels[index[1]]):
            part = np.ascontiguousarray(stored[:, place]).reshape(-1)
            codes, values = np.empty(part.shape, np.uint8), np.empty_like(part)
            native.sqrt_quantize(part, *levels, codes)
            native.sqrt_dequantize(codes, *levels, values)
            out[:, place] = values.reshape(stored[:, place].shape)
        return out if block.dtype == np.uint16 else unshifted(out, self._shift, "", lossy=True)

    def _stored(self, block: NDArray[Any]) -> NDArray[Any]:
        """Pixels as a blob has them."""
        if block.dtype != np.int16:
            return block
        # modulo 2**16, which is exact for what fits, and everything was seen to
        return block.view(np.uint16) + np.uint16(self._shift)

    def target(self, final: str, recording: Recording) -> Target:
        """An HDF5 file where the name says so, one blob for one frame, otherwise a folder."""
        lower = final.lower()
        self._container: Literal["folder", "table"] = "table" if lower.endswith(_HDF5) else "folder"
        if self._container == "table":
            return Target(final=final, files=(final,))
        if not lower.endswith(".pzf"):
            return Target(final=final, members=MEMBERS)
        raise OptionError(
            "a .pzf file holds one frame and nothing about it",
            path=final,
            hint="Give the name of a folder, or one that ends in .h5; galvo.formats.pzf.dumps makes single blobs",
        )

    def prepare(self, plan: WritePlan) -> None:
        """Refuse other types of pixels, and settle the shift and the levels."""
        recording = self._recording = plan.recording
        self._plan = plan
        dtype = recording.dtype
        if dtype not in (np.uint8, np.uint16, np.int16, np.float32):
            raise OptionError(
                "PZF has no such pixels",
                found=str(dtype),
                expected="uint8, uint16, int16 or float32",
                hint='Say what to make of them: dtype="uint16" or "float32" (--dtype)',
            )
        if self._sqrt and dtype not in (np.uint16, np.int16):
            raise OptionError("only uint16 and int16 can be quantised", found=str(dtype), hint="Leave quantize out")
        shift, offset, scale = self._wanted_shift, *self._wanted
        estimates = self._sqrt and "estimate" in (offset, scale)
        is_shifted = dtype == np.int16
        ranges = _ranges(recording) if estimates or (is_shifted and shift != HALF) else []
        self._shift = _settled_shift(shift, ranges) if is_shifted else 0
        self._warnings.clear()
        if self._sqrt:
            self._levels = tuple(
                self._estimated(channel, ranges[channel]) if estimates else (float(offset) + self._shift, float(scale))
                for channel in range(recording.shape[1])
            )
        for level in self._levels:
            # what a blob refuses is refused before the first
            dumps(np.zeros((1, 1), np.uint16), quantize="sqrt", quantize_offset=level[0], quantize_scale=level[1])
        self._sequence_id = native.crc32c(json.dumps(kept_facts(plan), default=str, sort_keys=True).encode())

    def _estimated(self, channel: int, limits: tuple[int, int]) -> tuple[float, float]:
        """Offset and scale of a channel, for stored pixels."""
        low, high = (value + self._shift for value in limits)
        try:
            model = estimate_noise(self._recording, channel=channel)
        except Unsupported as error:
            error.hint = "Give quantize_offset and quantize_scale (--quantize-offset, --quantize-scale)"
            raise
        # the same line over values that the shift was added to
        shifted = replace(model, variance_at_zero=model.variance_at_zero - model.gain * self._shift)
        levels = shifted.sqrt_levels(value_range=(low, high))
        name = f"channel {channel + 1}: " if self._recording.shape[1] > 1 else ""
        kind = "at most" if model.fits else "perhaps"
        told = f"{name}the error is {kind} {levels.max_error_sigma:.2g} of a pixel's noise"
        self._warnings.append("; ".join((told, *model.explain())))
        offset, scale = self._wanted
        return (
            levels.offset if offset == "estimate" else float(offset) + self._shift,
            levels.scale if scale == "estimate" else float(scale),
        )

    def estimate(self, plan: WritePlan) -> int:
        """Every frame with all the room that a blob can take."""
        t, c, z, y, x = plan.recording.shape
        frame_nbytes = y * x * (1 if self._sqrt else plan.recording.dtype.itemsize)
        texts = sum(4 * len(text) for text in plan.recording.metadata.texts.values())
        heaps = len(plan.blocks) * _HEAP_BYTES if self._container == "table" else 0
        return t * c * z * (frame_nbytes + MOST_OVERHEAD + _ROW_BYTES) + heaps + 2 * texts + (1 << 17)

    def begin(self, output: Outlet) -> None:
        """Write what is known before the first frame."""
        self.reopen(output)
        about = self._about(None)
        if self._container == "table":
            create_table(output, about, self._shift)
        else:
            output.add(METADATA, about)

    def reopen(self, output: Outlet) -> None:
        """Frames are written as they come."""
        self._output = output

    def encode(self, index: BlockIndex, block: NDArray[Any]) -> Iterator[bytes]:
        """The blobs of a block, in the order of T, C, Z."""
        stored = self._stored(block)
        _, channels, planes = self._recording.shape[:3]
        places = [
            (i, j, k) for i in range(stored.shape[0]) for j in range(stored.shape[1]) for k in range(stored.shape[2])
        ]

        def encoded(place: tuple[int, int, int]) -> bytes:
            i, j, k = place
            t, c, z = (part.start + n for part, n in zip(index[:3], place, strict=True))
            levels = self._levels[c] if self._levels else None
            return dumps(
                stored[i, j, k],
                sequence_id=self._sequence_id,
                frame_number=(t * channels + c) * planes + z,
                compression=self._compression,
                quantize="sqrt" if levels else None,
                quantize_offset=levels[0] if levels else 0.0,
                quantize_scale=levels[1] if levels else 1.0,
            )

        return ahead(encoded, places, worker_count(block.nbytes))

    def put(self, index: BlockIndex, encoded: Iterator[bytes]) -> None:
        """Write the blobs of a block."""
        t, c, z = index[:3]
        _, channels, planes = self._recording.shape[:3]
        numbers = [
            (i * channels + j) * planes + k
            for i in range(t.start, t.stop)
            for j in range(c.start, c.stop)
            for k in range(z.start, z.stop)
        ]
        if self._container == "table":
            put_rows(self._output, numbers, encoded)
        else:
            for number, blob in zip(numbers, encoded, strict=True):
                self._output.add(frame_name(number), blob)

    def finish(self, checksums: NDArray[np.uint32]) -> None:
        """Write all that is kept beside the frames."""
        about = self._about(checksums)
        if self._container == "table":
            finish_table(self._output, about)
        else:
            self._output.add(METADATA, about)

    def _about(self, checksums: NDArray[np.uint32] | None) -> bytes:
        recording = self._recording
        kept = kept_json(
            self._plan, checksums, pixel_shift=self._shift, pixel_dtype=recording.dtype.name, stored=list(self.notes)
        )
        if self._container == "table":
            return json.dumps(kept).encode()
        about: dict[str, Any] = {}
        if recording.pixel_size_um is not None:
            about |= {f"voxelsize.{axis}": size for axis, size in zip("xy", recording.pixel_size_um, strict=True)}
            about["voxelsize.units"] = "um"
        if recording.frame_rate_hz:
            about["Camera.CycleTime"] = 1 / recording.frame_rate_hz
        return json.dumps({**about, "galvo": kept}, indent=1).encode()


def _settled_shift(wanted: int | str, ranges: list[tuple[int, int]]) -> int:
    """What is added to int16 pixels of these ranges."""
    if isinstance(wanted, str):
        return max(0, -min(low for low, _ in ranges))
    low, high = min((low for low, _ in ranges), default=0), max((high for _, high in ranges), default=0)
    if low + wanted < 0 or high + wanted >= 1 << 16:
        raise OptionError(
            "shift does not fit the pixels",
            found=f"{wanted} for {low} to {high}",
            expected=f"{HALF}, which fits all, or least",
        )
    return wanted


def _ranges(recording: Recording) -> list[tuple[int, int]]:
    """Lowest and highest pixel of each channel."""
    found = [(1 << 16, -(1 << 16))] * recording.shape[1]
    for index, block in recording.blocks():
        for place, channel in enumerate(range(index[1].start, index[1].stop)):
            part, (low, high) = block[:, place], found[channel]
            found[channel] = (min(low, int(part.min())), max(high, int(part.max())))
    return found
