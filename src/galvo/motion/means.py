"""Mean images of a recording before and after its correction: the first thing that shows whether it worked."""

import numpy as np
from numpy.typing import NDArray

from galvo.core.recording import Recording
from galvo.motion.kept import Motion, frames_together
from galvo.motion.warping import warp

__all__ = ["mean_images"]

_MOST_FRAMES = 256


def mean_images(recording: Recording, motion: Motion, *, threads: int | None = None) -> NDArray[np.float32]:
    """Mean image before and after, float32 (2, Z, Y, X, C), of up to 256 frames spread evenly over the recording.

    Parameters
    ----------
    recording : Recording
        With the channels that motion was estimated on.
    motion : Motion
    threads : int, optional
        None: one per usable core. The result does not depend on it.
    """
    count, planes = motion.shape[:2]
    times = np.unique(np.linspace(0, count - 1, min(count, _MOST_FRAMES)).round().astype(np.int64))
    sums = np.zeros((2, *motion.facts.reference.shape), np.float64)
    together = frames_together(*motion.shape[2:])
    for z in range(planes):
        for first in range(0, times.size, together):
            some = times[first : first + together]
            frames = np.moveaxis(recording[some, :, z], 1, -1)
            corrected = warp(frames, motion.displacements(some, z, threads=threads), threads=threads)
            for before, after in zip(frames, corrected, strict=True):
                sums[0, z] += before
                sums[1, z] += after
    return (sums / times.size).astype(np.float32)
