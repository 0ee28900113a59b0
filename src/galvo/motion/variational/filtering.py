"""Frames made comparable with a reference: its range of values, and a Gaussian over y, x and time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from galvo.errors import OptionError
from galvo.motion.pixels import as_pixels
from galvo.motion.variational.engine import Preparation

Planes = NDArray[np.float32]

_TRUNCATE = 4.0
_EPSILON = 1e-8
# SciPy's words for what lies beyond the edges, and NumPy's
_MODES: dict[str, Literal["symmetric", "reflect", "edge", "wrap"]] = {
    "reflect": "symmetric",
    "mirror": "reflect",
    "nearest": "edge",
    "wrap": "wrap",
}


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
        return cls(tuple(low.tolist()), tuple((1 / (high - low + _EPSILON)).tolist()), per_channel(sigmas, channels))

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


def gaussian(
    values: NDArray[Any], sigmas: Sequence[float], *, mode: str = "reflect", truncate: float = _TRUNCATE
) -> NDArray[np.float64]:
    """A Gaussian over the axes of an array, float64.

    Parameters
    ----------
    values : array
    sigmas : sequence of float
        Standard deviation along each axis, 0 for none.
    mode : "reflect", "mirror", "nearest" or "wrap"
        What is beyond the edges, in SciPy's words.
    truncate : float
        Where it is cut, in standard deviations.
    """
    out = np.asarray(values, np.float64)
    for axis, sigma in enumerate(sigmas):
        radius = _radius(sigma, truncate)
        if radius == 0:
            continue
        taps = _taps(sigma, radius)
        widths = [(radius, radius) if at == axis else (0, 0) for at in range(out.ndim)]
        padded = np.moveaxis(np.pad(out, widths, mode=_edges(mode)), axis, 0)
        length = out.shape[axis]
        total = sum(tap * padded[at : at + length] for at, tap in enumerate(taps))
        out = np.moveaxis(np.asarray(total), 0, axis)
    return out


def median_filter(values: NDArray[Any], size: int | tuple[int, ...], *, mode: str = "reflect") -> NDArray[Any]:
    """The median of the pixels around each one, in the dtype of `values`.

    Parameters
    ----------
    values : array
    size : int or tuple of int
        Odd: pixels along each axis.
    mode : "reflect", "mirror", "nearest" or "wrap"
        What is beyond the edges, in SciPy's words.
    """
    sizes = (size,) * values.ndim if isinstance(size, int) else tuple(size)
    if len(sizes) != values.ndim or any(length < 1 or length % 2 == 0 for length in sizes):
        raise OptionError("a median is that of an odd number of pixels", found=size)
    padded = np.pad(values, [(length // 2,) * 2 for length in sizes], mode=_edges(mode))
    windows = np.lib.stride_tricks.sliding_window_view(padded, sizes).reshape(*values.shape, -1)
    middle = windows.shape[-1] // 2
    return np.partition(windows, middle, axis=-1)[..., middle]


def causal_mean(frames: Sequence[NDArray[Any]], sigma: float, *, truncate: float = _TRUNCATE) -> NDArray[Any]:
    """The mean of frames, the newest last, weighted by one side of a Gaussian over time."""
    radius = _radius(sigma, truncate)
    recent = frames[-(radius + 1) :]
    taps = _taps(sigma, radius)[radius:] if radius else np.ones(1)
    taps = taps[: len(recent)][::-1]
    total = sum(tap * frame for tap, frame in zip(taps / taps.sum(), recent, strict=True))
    return np.asarray(total)


def _edges(mode: str) -> Literal["symmetric", "reflect", "edge", "wrap"]:
    if mode not in _MODES:
        raise OptionError("no such way beyond the edges", found=repr(mode), expected=", ".join(_MODES))
    return _MODES[mode]


def per_channel(sigmas: Sequence[Sequence[float]], channels: int) -> tuple[tuple[float, float, float], ...]:
    """Rows (y, x, t), one per channel; the last one stands for all that have none."""
    rows = [(float(y), float(x), float(t)) for y, x, t in sigmas]
    return tuple(rows[min(channel, len(rows) - 1)] for channel in range(channels))


def _radius(sigma: float, truncate: float = _TRUNCATE) -> int:
    return int(truncate * sigma + 0.5)


def _taps(sigma: float, radius: int) -> NDArray[np.float64]:
    taps = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    normalised: NDArray[np.float64] = taps / taps.sum()
    return normalised


def _temporal(planes: Planes, first: int, count: int, sigma: float, begin: int, total: int) -> Planes:
    """A Gaussian along T for `count` planes from `first` on; planes 0 is number `begin` of `total`."""
    radius = _radius(sigma)
    if radius == 0:
        return planes[first : first + count]
    offsets = np.arange(-radius, radius + 1)
    taps = _taps(sigma, radius)
    out = np.zeros((count, *planes.shape[1:]), np.float32)
    for at in range(count):
        wanted = (begin + first + at + offsets) % (2 * total)
        sources = np.where(wanted < total, wanted, 2 * total - 1 - wanted) - begin
        for tap, source in zip(taps.astype(np.float32), sources, strict=True):
            out[at] += tap * planes[source]
    return out
