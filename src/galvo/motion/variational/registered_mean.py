"""A reference from frames that moved: their mean, after registering them to their mean."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from galvo.core.threads import thread_count
from galvo.errors import OptionError
from galvo.motion.variational.batches import CUBIC_A, REACH, BatchMethod, BatchRegistration, add_in_order
from galvo.motion.variational.filtering import ChannelFilter, Frames, Planes
from galvo.motion.warping import warp

_MORE_SIGMA = (1.0, 1.0, 0.5)
_MORE_ALPHA = 2.0
_SIGMAS = ((1.0, 1.0, 0.1),)
_BLOCK_BYTES = 32 << 20


@dataclass(frozen=True)
class _Filtered:
    """Frames through a filter, when they are asked for."""

    frames: Frames
    filter: ChannelFilter
    threads: int

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, key: slice) -> NDArray[np.generic]:
        first, stop, _ = key.indices(len(self.frames))
        return np.moveaxis(self.planes(first, stop - first), 1, 3)

    def planes(self, first: int, count: int) -> Planes:
        return self.filter(self.frames, first, count, substitute=None, threads=self.threads)


def registered_mean(
    frames: Frames, method: BatchMethod, *, batch_frames: int = 400, threads: int | None = None
) -> NDArray[np.float64]:
    """The mean of frames, registered to the mean of the smoothed ones, float64 (Y, X, C).

    Parameters
    ----------
    frames : array (T, Y, X, C), or what gives such arrays for slices of T
        Read several times, never as a whole.
    method : BatchMethod
        How the recording is registered; for this, the field is stiffer and the frames smoother, and neither a custom
        range nor prealignment nor a moving reference is used.
    batch_frames : int
        Frames of a batch.
    threads : int, optional
        As in `BatchRegistration`.

    Raises
    ------
    OptionError
        No frames.
    """
    count = len(frames)
    if count == 0:
        raise OptionError("a reference needs at least one frame")
    threads = thread_count(threads)
    shape = np.asarray(frames[:1]).shape[1:]
    block_frames = max(2 * threads, min(64, _BLOCK_BYTES // (4 * int(np.prod(shape)))))
    blocks = [(first, min(block_frames, count - first)) for first in range(0, count, block_frames)]
    channels = shape[2]
    sigmas = ChannelFilter.of_range(np.zeros((1, channels)), method.sigmas).sigmas
    smoother = ChannelFilter(
        (0.0,) * channels,
        (1.0,) * channels,
        tuple((y + _MORE_SIGMA[0], x + _MORE_SIGMA[1], t + _MORE_SIGMA[2]) for y, x, t in sigmas),
    )
    smooth = _Filtered(frames, smoother, threads)
    low, high = np.full(channels, np.inf), np.full(channels, -np.inf)
    total, raw_total = np.zeros((channels, *shape[:2])), np.zeros(shape)
    for first, length in blocks:
        planes = smooth.planes(first, length)
        low, high = np.minimum(low, planes.min(axis=(0, 2, 3))), np.maximum(high, planes.max(axis=(0, 2, 3)))
        add_in_order(total, planes)
        add_in_order(raw_total, np.asarray(frames[first : first + length]))
    scaled = ChannelFilter.of_range(np.stack([low, high]), sigmas, separate=method.separate)
    offset, scale = np.array(scaled.offset), np.array(scaled.scale)
    alpha_x, alpha_y = method.params.alpha
    stiffer = replace(
        method,
        params=method.params.model_copy(update={"alpha": (alpha_x + _MORE_ALPHA, alpha_y + _MORE_ALPHA)}),
        sigmas=_SIGMAS,
        separate=False,
        carry=True,
        follow=False,
        prealignment=None,
    )
    mean = (np.moveaxis(total / count, 0, 2) - offset) * scale
    registration = BatchRegistration(mean, stiffer, threads=threads)
    normalised = _Filtered(frames, replace(smoother, offset=scaled.offset, scale=scaled.scale), threads)
    registered = np.zeros(shape)
    for first, fields in _fields(registration, normalised, batch_frames):
        raw = np.asarray(frames[first : first + len(fields)])
        warped = warp(raw, fields, fill=raw_total / count, cubic_a=CUBIC_A, reach=REACH, threads=threads)
        add_in_order(registered, warped)
    return registered / count


def _fields(
    registration: BatchRegistration, frames: Frames, batch_frames: int
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    for first in range(0, len(frames), batch_frames):
        for block in registration.register(frames, first, min(batch_frames, len(frames) - first)):
            yield first + block.first, block.fields
