"""A reference made of the recording's own frames: those that resemble each other, shifted rigidly, and averaged.

Frames are aligned by shifts only: a mean of noisy frames that were bent to fit each other sharpens their noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from galvo.core.recording import Recording
from galvo.errors import OptionError
from galvo.motion.movie import Movie, movie_of
from galvo.motion.params import MotionParams
from galvo.motion.reference import Reference
from galvo.motion.rigid import RigidEstimator
from galvo.motion.warping import warp

__all__ = ["build_reference"]

SAMPLED_FRAMES = 300
MOST_SAMPLE_BYTES = 256 << 20
ROUNDS = 4
KEPT_FRACTION = 0.6
SEED_FRAMES = 20
THUMBNAIL_SIDE = 64


@dataclass(frozen=True)
class BuiltReference:
    """A reference and the frames that it is the mean of.

    Attributes
    ----------
    reference : Reference
    frames : tuple of int
        T positions that were averaged.
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
        How often frames are aligned to the mean so far; 0: a plain mean of frames as they are.
    threads : int, optional

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
    sample = _read(movie, positions)
    if not rounds:
        return _averaged(sample, positions)
    seed = _most_alike(sample)
    reference = sample[seed].mean(axis=0, dtype=np.float64)
    aligned, kept = sample, np.arange(len(sample))
    for _ in range(rounds):
        plan = RigidEstimator(MotionParams(estimator="rigid")).calibrate(sample, Reference(reference), threads=threads)
        shifts, _ = plan.solve(sample, threads=threads)
        aligned = warp(sample, plan.expansion.expand(shifts, threads=threads), threads=threads)
        if chosen is None:
            kept = _best_correlated(aligned, reference)
        reference = aligned[kept].mean(axis=0, dtype=np.float64)
    return _averaged(aligned[kept], positions[kept])


def _sampled(movie: Movie) -> NDArray[np.int64]:
    frame_bytes = int(np.prod(movie.shape[1:])) * 4
    most = max(1, min(len(movie), SAMPLED_FRAMES, MOST_SAMPLE_BYTES // frame_bytes))
    return np.unique(np.linspace(0, len(movie) - 1, most).round().astype(np.int64))


def _chosen(chosen: Sequence[int] | slice, frame_count: int) -> NDArray[np.int64]:
    positions = np.asarray(range(frame_count)[chosen] if isinstance(chosen, slice) else list(chosen), np.int64)
    if positions.size == 0 or positions.min() < -frame_count or positions.max() >= frame_count:
        raise OptionError(
            "the reference needs frames of the recording",
            found=f"positions {list(chosen)[:5]}..." if not isinstance(chosen, slice) else str(chosen),
            expected=f"positions below {frame_count}, at least one",
        )
    return np.unique(positions % frame_count)


def _read(movie: Movie, positions: NDArray[np.int64]) -> NDArray[np.generic]:
    sample = np.empty((positions.size, *movie.shape[1:]), movie.dtype)
    for number, position in enumerate(positions.tolist()):
        sample[number] = movie.read(position, position + 1)[0]
    return sample


def _most_alike(sample: NDArray[np.generic]) -> NDArray[np.int64]:
    """The frame that correlates best with its nearest companions, and those."""
    thumbnails = _normalised(_thumbnails(sample))
    correlation = thumbnails @ thumbnails.T
    count = min(SEED_FRAMES, len(sample))
    ranked = np.argsort(-correlation, axis=1, kind="stable")[:, :count]
    best = int(np.argmax(np.take_along_axis(correlation, ranked, axis=1).mean(axis=1)))
    return np.asarray(ranked[best], np.int64)


def _best_correlated(aligned: NDArray[np.generic], reference: NDArray[np.float64]) -> NDArray[np.int64]:
    """The frames that correlate best with the reference, in order of time; at least as many as a seed has."""
    fixed = _normalised(_thumbnails(reference[np.newaxis]))[0]
    correlation = _normalised(_thumbnails(aligned)) @ fixed
    count = max(min(SEED_FRAMES, len(aligned)), round(KEPT_FRACTION * len(aligned)))
    return np.sort(np.argsort(-correlation, kind="stable")[:count])


def _thumbnails(frames: NDArray[np.generic]) -> NDArray[np.float32]:
    """Box means of the channels' sum, at most 64 pixels a side: photon noise averages out, anatomy stays."""
    height, width = frames.shape[1:3]
    by_y, by_x = (max(1, side // THUMBNAIL_SIDE) for side in (height, width))
    cut = frames[:, : height // by_y * by_y, : width // by_x * by_x].sum(axis=-1, dtype=np.float32)
    shape = (len(frames), height // by_y, by_y, width // by_x, by_x)
    return np.asarray(cut.reshape(shape).mean(axis=(2, 4)), np.float32)


def _normalised(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of zero mean and unit length; an image without contrast is zero."""
    flat = images.reshape(len(images), -1)
    flat = np.nan_to_num(flat - flat.mean(axis=1, keepdims=True))
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(np.divide(flat, length, out=np.zeros_like(flat), where=length > 0), np.float32)


def _averaged(frames: NDArray[np.generic], positions: NDArray[np.int64]) -> BuiltReference:
    image = frames.mean(axis=0, dtype=np.float64).astype(np.float32)
    halves = None
    if len(frames) > 1:
        even, odd = (frames[start::2].mean(axis=0, dtype=np.float64).astype(np.float32) for start in (0, 1))
        halves = (even, odd)
    return BuiltReference(Reference(image, halves, len(frames)), tuple(positions.tolist()))
