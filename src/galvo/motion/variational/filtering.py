"""Frames made comparable with a reference: its range of values, and a Gaussian over y, x and time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from galvo.motion.pixels import as_pixels
from galvo.motion.variational.engine import Preparation

Planes = NDArray[np.float32]

_TRUNCATE = 4.0
_EPSILON = 1e-8


class Frames(Protocol):
    """Frames (T, Y, X, C) by slices of T: an array, or what reads them when asked."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: slice, /) -> NDArray[np.generic]: ...


@dataclass(frozen=True)
class ChannelFilter:
    """What makes raw frames comparable: `(pixel - offset) * scale`, then a Gaussian over y, x and t.

    Attributes
    ----------
    offset, scale : tuple of float
        One per channel.
    sigmas : tuple of (float, float, float)
        Standard deviations of each channel along y, x and t, in pixels and frames; cut at four of them.
    """

    offset: tuple[float, ...]
    scale: tuple[float, ...]
    sigmas: tuple[tuple[float, float, float], ...]

    @classmethod
    def of_range(
        cls, image: NDArray[np.generic], sigmas: Sequence[Sequence[float]], *, separate: bool = False
    ) -> "ChannelFilter":
        """Map the range of values of `image` (..., C), of all channels or of each by itself, to 0 to 1."""
        channels = image.shape[-1]
        flat = image.reshape(-1, channels)
        low, high = flat.min(axis=0).astype(np.float64), flat.max(axis=0).astype(np.float64)
        if not separate:
            low, high = np.full(channels, low.min()), np.full(channels, high.max())
        return cls(tuple(low.tolist()), tuple((1 / (high - low + _EPSILON)).tolist()), _per_channel(sigmas, channels))

    @property
    def reach(self) -> int:
        """Frames on each side that a filtered frame depends on."""
        return max(_radius(sigma_t) for _, _, sigma_t in self.sigmas)

    @property
    def fused(self) -> Preparation | None:
        """The same as one step of the kernels, where every frame is by itself and all channels are alike."""
        (sigma_y, sigma_x, _), *others = self.sigmas
        if self.reach or any(other[:2] != (sigma_y, sigma_x) for other in others):
            return None
        return Preparation(self.offset, self.scale, sigma_y, sigma_x)

    def image(self, image: NDArray[np.generic]) -> Planes:
        """One image (Y, X, C) by itself, float32 (C, Y, X)."""
        planes: Planes = self._spatial(image[np.newaxis], 1)[0]
        return planes

    def __call__(
        self, frames: Frames, first: int, count: int, *, substitute: NDArray[np.generic] | None, threads: int
    ) -> Planes:
        """Filtered `frames[first : first + count]`, float32 (T, C, Y, X).

        Where the frames end, time is mirrored. `substitute` (Y, X, C) is what pixels that are not finite become.
        """
        reach = self.reach
        begin, end = max(0, first - reach), min(len(frames), first + count + reach)
        raw = np.asarray(frames[begin:end])
        if substitute is not None and raw.dtype.kind == "f" and not np.isfinite(raw).all():
            raw = np.where(np.isfinite(raw), raw, substitute.astype(raw.dtype))
        planes = self._spatial(raw, threads)
        if not reach:
            return planes
        return np.concatenate(
            [
                _temporal(planes[:, channel : channel + 1], first - begin, count, sigma_t, begin, len(frames))
                for channel, (_, _, sigma_t) in enumerate(self.sigmas)
            ],
            axis=1,
        )

    def _spatial(self, raw: NDArray[np.generic], threads: int) -> Planes:
        pixels = as_pixels(raw)
        spatial = [sigmas[:2] for sigmas in self.sigmas]
        if len(set(spatial)) == 1:
            return Preparation(self.offset, self.scale, *spatial[0])(pixels, threads)
        parts = [
            Preparation((offset,), (scale,), *sigmas)(pixels[..., channel : channel + 1], threads)
            for channel, (offset, scale, sigmas) in enumerate(zip(self.offset, self.scale, spatial, strict=True))
        ]
        return np.concatenate(parts, axis=1)


def _per_channel(sigmas: Sequence[Sequence[float]], channels: int) -> tuple[tuple[float, float, float], ...]:
    """A row per channel; the last one stands for all that have none."""
    rows = [(float(y), float(x), float(t)) for y, x, t in sigmas]
    return tuple(rows[min(channel, len(rows) - 1)] for channel in range(channels))


def _radius(sigma: float) -> int:
    return int(_TRUNCATE * sigma + 0.5)


def _temporal(planes: Planes, first: int, count: int, sigma: float, begin: int, total: int) -> Planes:
    """A Gaussian along T for `count` planes from `first` on; planes 0 is number `begin` of `total`."""
    radius = _radius(sigma)
    if radius == 0:
        return planes[first : first + count]
    offsets = np.arange(-radius, radius + 1)
    taps = np.exp(-0.5 * (offsets / sigma) ** 2)
    taps /= taps.sum()
    out = np.zeros((count, *planes.shape[1:]), np.float32)
    for at in range(count):
        wanted = (begin + first + at + offsets) % (2 * total)
        sources = np.where(wanted < total, wanted, 2 * total - 1 - wanted) - begin
        for tap, source in zip(taps.astype(np.float32), sources, strict=True):
            out[at] += tap * planes[source]
    return out
