"""A reference made of the recording's own frames: those that resemble each other, shifted rigidly, and averaged.

Frames are aligned by shifts only: a mean of noisy frames that were bent to fit each other sharpens their noise.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from galvo import native
from galvo.core.recording import Recording
from galvo.core.threads import thread_count
from galvo.errors import OptionError
from galvo.motion.estimation import estimator_of
from galvo.motion.estimator import Frames
from galvo.motion.movie import Movie, movie_of
from galvo.motion.params import MotionParams
from galvo.motion.pixels import as_pixels
from galvo.motion.reference import Reference
from galvo.motion.warping import warp

__all__ = ["BuiltReference", "build_reference"]

SAMPLED_FRAMES = 300
MOST_SAMPLE_BYTES = 256 << 20
ROUNDS = 3
KEPT_FRACTION = 0.6
SEED_FRAMES = 20
THUMBNAIL_SIDE = 32
LEAST_SIDE = 96
_TOGETHER = 16
_NOISE_FRAMES = 16


@dataclass(frozen=True)
class BuiltReference:
    """A reference and the frames that it is the mean of.

    Attributes
    ----------
    reference : Reference
        Its halves are means of every other one of the frames.
    frames : tuple of int
        T positions that were averaged, ascending.
    """

    reference: Reference
    frames: tuple[int, ...]


def build_reference(
    frames: ArrayLike | Recording,
    *,
    chosen: Sequence[int] | slice | None = None,
    rounds: int = ROUNDS,
    threads: int | None = None,
) -> BuiltReference:
    """The mean of a movie's stillest and most alike frames after rigid alignment.

    Parameters
    ----------
    frames : array (T, Y, X) or (T, Y, X, C), or Recording of one plane
    chosen : sequence of int or slice, optional
        T positions to average, all of them; None: up to 300 spread over the movie are looked at, and those that
        correlate best with the others, at most 60 percent, are averaged.
    rounds : int
        How often frames are aligned to the mean so far; 0: a plain mean of the frames as they are.
    threads : int, optional
        None: one per usable core. The result does not depend on it.

    Returns
    -------
    BuiltReference

    Raises
    ------
    OptionError
        A position outside the movie, or none.
    """
    movie = movie_of(frames)
    positions = _sampled(movie) if chosen is None else _chosen(chosen, len(movie))
    coarse = _coarse_factor(movie)
    sample = _Sample(movie, positions, coarse, threads)
    every = np.arange(len(positions))
    kept = sample.most_alike(coarse) if rounds else every
    for number in range(rounds):
        # shifts are known well enough before the last round looks closer, at those that are averaged
        last = number + 1 == rounds
        factor = max(1, coarse // 2) if last else coarse
        target = sample.mean(factor, kept)[0]
        whole = chosen is not None or not (last and number)
        sample.align(factor, target, every if whole else kept)
        if chosen is not None:
            kept = every
        elif whole:
            kept = _best(sample.correlation(factor, target))
    return BuiltReference(sample.reference(kept), tuple(positions[kept].tolist()))


def _sampled(movie: Movie) -> NDArray[np.int64]:
    frame_bytes = int(np.prod(movie.shape[1:])) * 4
    most = max(1, min(len(movie), SAMPLED_FRAMES, MOST_SAMPLE_BYTES // frame_bytes))
    return np.unique(np.linspace(0, len(movie) - 1, most).round().astype(np.int64))


def _chosen(chosen: Sequence[int] | slice, frame_count: int) -> NDArray[np.int64]:
    positions = np.asarray(range(frame_count)[chosen] if isinstance(chosen, slice) else list(chosen), np.int64)
    if positions.size == 0 or positions.min() < -frame_count or positions.max() >= frame_count:
        raise OptionError(
            "the reference needs frames of the recording",
            found=str(chosen) if isinstance(chosen, slice) else f"positions {list(chosen)[:5]}...",
            expected=f"positions below {frame_count}, at least one",
        )
    return np.unique(positions % frame_count)


def _coarse_factor(movie: Movie) -> int:
    """By how much frames are binned to be aligned: what remains is at least 96 pixels a side where the frame is."""
    side = min(movie.shape[1:3])
    return 4 if side >= 4 * LEAST_SIDE else 2 if side >= 2 * LEAST_SIDE else 1


class _Sample:
    """Some frames of a movie, each with the shift that brings it to the reference."""

    def __init__(self, movie: Movie, positions: NDArray[np.int64], coarse: int, threads: int | None) -> None:
        self._movie = movie
        self._positions = positions
        self._threads = thread_count(threads)
        self._shifts = np.zeros((len(positions), 2), np.float32)
        nbytes = len(positions) * int(np.prod(movie.shape[1:])) * movie.dtype.itemsize
        # those that somebody chose may be more than fit
        self._held = self._read(np.arange(len(positions))) if nbytes <= MOST_SAMPLE_BYTES else None
        # smaller than what is held, and used again and again
        self._coarse = coarse
        self._small = None if self._held is None or coarse == 1 else self._smaller(self._held, coarse)

    def _read(self, numbers: NDArray[np.int64]) -> Frames:
        frames = np.empty((numbers.size, *self._movie.shape[1:]), self._movie.dtype)
        for place, position in enumerate(self._positions[numbers].tolist()):
            frames[place] = self._movie.read(position, position + 1)[0]
        return frames

    def _binned(self, factor: int, numbers: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], Frames]]:
        """Some of the frames at a time, means of `factor` x `factor` pixels."""
        for first in range(0, numbers.size, _TOGETHER):
            some = numbers[first : first + _TOGETHER]
            if self._small is not None and factor == self._coarse:
                yield some, self._small[some]
                continue
            frames = self._read(some) if self._held is None else self._held[some]
            yield some, self._smaller(frames, factor) if factor > 1 else frames

    def _smaller(self, frames: Frames, factor: int) -> Frames:
        return np.moveaxis(native.bayes_bin(as_pixels(frames), factor, self._threads), 1, -1)

    def _moved(self, factor: int, numbers: NDArray[np.int64], frames: Frames) -> NDArray[np.generic]:
        """Float32 frames, shifted by what was found last."""
        shifts = self._shifts[numbers] / np.float32(factor)
        fields = np.broadcast_to(shifts[:, None, None], (*frames.shape[:3], 2))
        return warp(frames, fields, threads=self._threads)

    def most_alike(self, factor: int) -> NDArray[np.int64]:
        """The frame that correlates best with its nearest companions, and those, in order of time."""
        every = np.arange(len(self._positions))
        rows = np.concatenate([_normalised(_thumbnails(frames)) for _, frames in self._binned(factor, every)])
        # not by BLAS, whose sums depend on how many threads it has
        correlation = np.einsum("ik,jk->ij", rows, rows, optimize=False)
        count = min(SEED_FRAMES, len(rows))
        ranked = np.argsort(-correlation, axis=1, kind="stable")[:, :count]
        best = int(np.argmax(np.take_along_axis(correlation, ranked, axis=1).mean(axis=1)))
        return np.sort(ranked[best]).astype(np.int64)

    def align(self, factor: int, target: NDArray[np.float64], numbers: NDArray[np.int64]) -> None:
        """Shift some of the frames to a target."""
        estimator = estimator_of(MotionParams(estimator="rigid"), self._movie.shape[3])
        some = np.arange(len(self._positions))[:_NOISE_FRAMES]
        first = np.concatenate([frames for _, frames in self._binned(factor, some)])
        plan = estimator.calibrate(first, Reference(target.astype(np.float32)), threads=self._threads)
        for part, frames in self._binned(factor, numbers):
            fields, _ = plan.solve(frames, threads=self._threads)
            self._shifts[part] = fields[:, 0, 0] * np.float32(factor)

    def correlation(self, factor: int, target: NDArray[np.float64]) -> NDArray[np.float32]:
        """How well every frame correlates with a target as it is shifted."""
        fixed = _normalised(_thumbnails(target[np.newaxis]))[0]
        correlation = np.empty(len(self._positions), np.float32)
        for numbers, frames in self._binned(factor, np.arange(len(self._positions))):
            rows = _normalised(_thumbnails(self._moved(factor, numbers, frames)))
            correlation[numbers] = (rows * fixed).sum(axis=1)
        return correlation

    def mean(self, factor: int, numbers: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean of frames as they are shifted, and the sums (2, Y, X, C) of every other one."""
        height, width = (side // factor for side in self._movie.shape[1:3])
        sums = np.zeros((2, height, width, self._movie.shape[3]), np.float64)
        for some, frames in self._binned(factor, numbers):
            places = np.searchsorted(numbers, some)
            for place, frame in zip(places.tolist(), self._moved(factor, some, frames), strict=True):
                sums[place % 2] += frame
        return sums.sum(axis=0) / len(numbers), sums

    def reference(self, numbers: NDArray[np.int64]) -> Reference:
        """Mean of frames; its halves are those of every other one."""
        image, sums = self.mean(1, numbers)
        if len(numbers) == 1:
            return Reference(image.astype(np.float32), frame_count=1)
        counts = (len(numbers) + 1) // 2, len(numbers) // 2
        even, odd = ((total / count).astype(np.float32) for total, count in zip(sums, counts, strict=True))
        return Reference(image.astype(np.float32), (even, odd), len(numbers))


def _best(correlation: NDArray[np.float32]) -> NDArray[np.int64]:
    """The frames that correlate best, in order of time; at least as many as a seed has."""
    count = max(min(SEED_FRAMES, len(correlation)), round(KEPT_FRACTION * len(correlation)))
    return np.sort(np.argsort(-correlation, kind="stable")[:count])


def _thumbnails(frames: NDArray[np.generic]) -> NDArray[np.float32]:
    """Box means of the channels' sum, less than 64 pixels a side: photon noise averages out, anatomy stays."""
    height, width = frames.shape[1:3]
    by_y, by_x = (max(1, side // THUMBNAIL_SIDE) for side in (height, width))
    cut = frames[:, : height // by_y * by_y, : width // by_x * by_x].sum(axis=-1, dtype=np.float32)
    shape = (len(frames), height // by_y, by_y, width // by_x, by_x)
    return np.asarray(cut.reshape(shape).mean(axis=(2, 4)), np.float32)


def _normalised(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of zero mean and unit length; an image without contrast is zero."""
    flat = images.reshape(len(images), -1)
    flat = np.nan_to_num(flat - flat.mean(axis=1, keepdims=True))
    length = np.sqrt((flat * flat).sum(axis=1, keepdims=True))
    return np.asarray(np.divide(flat, length, out=np.zeros_like(flat), where=length > 0), np.float32)
