"""What is kept of the motion of a recording: per frame and plane a shift, a small solver field and its quality.

A field is kept as a float32 shift and a float16 rest at solver resolution. What is applied is always the field that
these two give back, so a movie can be made again from its motion, bit for bit.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from galvo import native
from galvo.core.selection import Indices
from galvo.motion.estimator import Expansion, Fields
from galvo.motion.quality import QUALITY

__all__ = [
    "MOST_FIELD_BYTES",
    "HeldRests",
    "Motion",
    "MotionFacts",
    "Rests",
    "frame_dtype",
    "frames_together",
    "kept_dtype",
    "rounded",
]

MOST_FIELD_BYTES = 16 << 20


def frame_dtype() -> np.dtype[Any]:
    """One frame of one plane without its rest: `shift` (x, y) in pixels, the numbers of `QUALITY`, `flags`."""
    return np.dtype([("shift", np.float32, (2,)), *((name, np.float32) for name in QUALITY), ("flags", np.uint32)])


def kept_dtype(solver_shape: tuple[int, int]) -> np.dtype[Any]:
    """One frame of one plane: `frame` (`frame_dtype`) and `rest` (h, w, 2)."""
    return np.dtype([("frame", frame_dtype()), ("rest", np.float16, (*solver_shape, 2))])


def rounded(fields: Fields, constant: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float16]]:
    """The shift (T, 2) and the rest (T, h, w, 2) of solver fields: the uniform part, and what it leaves."""
    weight = constant / np.square(constant, dtype=np.float64).sum()
    # frame by frame: how NumPy adds may depend on how many there are
    sums = [(field * weight[..., np.newaxis]).reshape(-1, 2).sum(axis=0) for field in fields]
    shift = np.array(sums, np.float64).reshape(-1, 2).astype(np.float32)
    rest = fields - shift[:, None, None] * constant[..., None]
    return shift, rest.astype(np.float16)


def frames_together(height: int, width: int) -> int:
    """Frames whose displacements are held at a time: memory that is given back and taken again without page faults."""
    return max(1, MOST_FIELD_BYTES // (height * width * 8))


class Rests(Protocol):
    """Where the rests of the fields are."""

    def read(self, t: Indices, z: int) -> NDArray[np.float16]:
        """(T, h, w, 2) of the frames at times `t` of plane `z`."""


@dataclass(frozen=True)
class HeldRests:
    """Rests in memory, (T, Z, h, w, 2)."""

    rests: NDArray[np.float16]

    def read(self, t: Indices, z: int) -> NDArray[np.float16]:
        """(T, h, w, 2) of the frames at times `t` of plane `z`."""
        return np.asarray(self.rests[np.asarray(t, np.int64), z])


@dataclass(frozen=True)
class MotionFacts:
    """What holds for all frames.

    Attributes
    ----------
    expansion : Expansion
    references : ndarray, float32 (E, Z, Y, X, C)
        What frames were registered to: one for the recording, or one for each of E parts of it.
    params : mapping
        `MotionParams` as JSON has it.
    provenance : mapping
        galvo version, source files, channels that were estimated on.
    learned : tuple of mapping, one per part and plane
        What the estimator reports of itself.
    calibrations : tuple of bytes, one per part and plane
        What `galvo.motion.load_calibration` takes; empty where the estimator learns nothing.
    part_frames : int
        Frames of each part, of which the last takes what remains; 0: there is one part.
    """

    expansion: Expansion
    references: NDArray[np.float32]
    params: Mapping[str, Any]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    learned: tuple[Mapping[str, Any], ...] = ()
    calibrations: tuple[bytes, ...] = ()
    part_frames: int = 0

    @property
    def reference(self) -> NDArray[np.float32]:
        """Of the first part, (Z, Y, X, C)."""
        return np.asarray(self.references[0])

    def parts_of(self, t: NDArray[np.int64]) -> NDArray[np.int64]:
        """In which part of the recording frames are."""
        last = len(self.references) - 1
        return np.minimum(t // self.part_frames, last) if self.part_frames else np.zeros_like(t)

    @property
    def checksum(self) -> int:
        """CRC-32C of all that the motion of a frame depends on, besides the frame."""
        told = json.dumps([self.params, repr(self.expansion), self.provenance, self.part_frames], sort_keys=True)
        crc = native.crc32c(np.ascontiguousarray(self.references).view(np.uint8).reshape(-1))
        for part in (told.encode(), *self.calibrations):
            crc = native.crc32c(part, crc)
        return crc


@dataclass(frozen=True)
class Motion:
    """The motion of a recording, as it is applied.

    Attributes
    ----------
    frames : ndarray of `frame_dtype`, (T, Z)
    rests : Rests
    facts : MotionFacts
    means : ndarray, float32 (2, Z, Y, X, C), optional
        Mean image before and after the correction (`means.mean_images`).
    """

    frames: NDArray[Any]
    rests: Rests
    facts: MotionFacts
    means: NDArray[np.float32] | None = None

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(T, Z, Y, X)."""
        t, z = self.frames.shape
        return (t, z, *self.facts.reference.shape[1:3])

    def displacements(self, t: Indices, z: int, *, threads: int | None = None) -> Fields:
        """Float32 (T, Y, X, 2), x before y in pixels, of the frames at times `t` of plane `z`."""
        expansion = self.facts.expansion
        shift = self.frames["shift"][np.asarray(t, np.int64), z]
        fields = self.rests.read(t, z).astype(np.float32) + shift[:, None, None] * expansion.constant[..., None]
        return expansion.expand(np.asarray(fields, np.float32), threads=threads)

    @property
    def checksum(self) -> int:
        """CRC-32C of what is known of frames and of all that their fields depend on."""
        return native.crc32c(np.ascontiguousarray(self.frames).view(np.uint8).reshape(-1), self.facts.checksum)
