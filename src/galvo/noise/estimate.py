"""Photon transfer from the movie itself: variance of frame differences over intensity.

The variance comes from differences over both time and rows,
``D = [x(t+1, y) - x(t, y)] - [x(t+1, y+1) - x(t, y+1)]`` with ``variance = D**2 / 4``: changes of brightness cancel,
motion to first order too, and the noise that neighbouring columns share does not enter. Pixels are put in classes by
their mean over other frames, since classes made from the differing frames themselves would select by the noise that
is measured. Classes are averaged, never their medians taken: D is discrete where single photons are seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.recording import Recording
from galvo.core.selection import parse_axis
from galvo.errors import OptionError, Unsupported
from galvo.noise.model import MAX_RESIDUAL, NoiseModel
from galvo.noise.sample import Sample, draw_sample
from galvo.noise.values import Values, dark_peak, look_at

__all__ = ["estimate_noise"]

_CALM = 0.6
_CLASSES = 48
_LEAST_CLASSES = 8
# its variance is known to 3 %
_FULL_CLASS = 4096
_TILE = 16
_MIN_SAMPLES = 2048
_MIN_CLASS = 16
_MODEL_ERROR = 0.02
_HUBER = 1.5
_ROUNDS = 4
_MIN_TILES = 16
_ROW_CORRELATION = 0.1
_CORRELATION_PAIRS = 12

Float64 = NDArray[np.float64]


def estimate_noise(
    frames: NDArray[Any] | Recording,
    *,
    channel: int | str | None = None,
    plane: int | None = None,
    max_frames: int = 256,
) -> NoiseModel:
    """Measure the noise of one channel.

    Parameters
    ----------
    frames : ndarray (T, Y, X) or (T, C, Z, Y, X), or Recording
        Frames as they were recorded. Registered, filtered or averaged pixels give the noise that they have left.
    channel : int or str, optional
        Needed where there are several: each has a detector of its own.
    plane : int, optional
        Position in Z; by default all planes together, without flyback. Planes of more than 16 frames are better
        measured one by one when laser power or gain differs between them.
    max_frames : int
        At most so many frames are read, in runs of 18 that are spread over a longer recording.

    Returns
    -------
    NoiseModel
        Look at `NoiseModel.fits` before making promises with it.

    Raises
    ------
    OptionError
        No real numbers, or channels that were not told apart.
    SelectionError
        A channel or plane that does not exist.
    Unsupported
        Less than 3 frames, too few pixels, or frames without noise: nothing can be measured.

    Notes
    -----
    Deterministic. Memory is bounded: about 130 MB.
    """
    recording = _as_recording(frames, max_frames)
    length, channel_count, plane_count, height, width = recording.shape
    if channel is None and channel_count != 1:
        raise OptionError("each channel has its own noise", found=f"{channel_count} channels", hint="Name a channel.")
    channels, _ = parse_axis(0 if channel is None else channel, channel_count, "C", recording.channel_names)
    if plane is None:
        depths = np.zeros(plane_count) if recording.z_um is None else recording.z_um
        # flyback has no depth
        planes = [int(z) for z in np.flatnonzero(~np.isnan(depths))] or list(range(plane_count))
    else:
        planes = [int(z) for z in parse_axis(plane, plane_count, "Z")[0]]
    if length < 3 or height < 2 or width < 2:
        raise Unsupported(
            "noise cannot be measured", found=f"{length} frames of {height} x {width}", expected="3 frames of 2 x 2"
        )
    sample = _calm(draw_sample(recording, int(channels[0]), planes, max_frames))
    values = look_at(sample.pairs[:, 0], recording.dtype.kind in "iu")
    return _fit(sample, values)


def _as_recording(frames: NDArray[Any] | Recording, max_frames: int) -> Recording:
    if max_frames < 3:
        raise OptionError("max_frames must be at least 3", found=max_frames)
    if not isinstance(frames, Recording):
        if not isinstance(frames, np.ndarray) or frames.ndim not in (3, 5):
            raise OptionError("frames must be a recording or an array", expected="axes T Y X or T C Z Y X")
        frames = Recording.from_array(frames)
    if frames.dtype.kind not in "iuf":
        raise OptionError("noise is measured on real numbers", found=str(frames.dtype))
    if 0 in frames.shape:
        raise Unsupported("noise cannot be measured on an empty recording", found=frames.shape)
    return frames


def _calm(sample: Sample) -> Sample:
    """The calmest pairs of each plane; repeated or blank frames are none."""
    change = np.array([_mean_of_finite(np.abs(second - first)) for first, second in sample.pairs])
    # pairs that differ by chance alone all stay: the quieter ones among them would give too small a variance
    chance = 1 + 4 / np.sqrt(sample.around[0].size)
    kept = np.zeros(len(change), bool)
    for plane in np.unique(sample.planes):
        of_plane = (sample.planes == plane) & (change > 0)
        if of_plane.any():
            kept |= of_plane & (change <= chance * np.quantile(change[of_plane], _CALM))
    if not kept.any():
        raise Unsupported("noise cannot be measured: consecutive frames are identical or not finite")
    return Sample(sample.pairs[kept], sample.around[kept], sample.planes[kept], sample.rows, sample.frame_count)


def _mean_of_finite(values: NDArray[Any]) -> float:
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if finite.size else 0.0


@dataclass(frozen=True, slots=True)
class _Table:
    """Sums per tile and class: (tiles, classes)."""

    count: Float64
    mean: Float64
    variance: Float64
    square: Float64

    def classes(self, kept: NDArray[np.bool_]) -> tuple[Float64, Float64, Float64, Float64]:
        """Mean, variance, its standard error and number of differences of each class, from some tiles."""
        count, mean, variance, square = (
            part[kept].sum(axis=0) for part in (self.count, self.mean, self.variance, self.square)
        )
        full = count >= _MIN_CLASS
        count, mean, variance, square = (part[full] for part in (count, mean, variance, square))
        mean, variance, square = mean / count, variance / count, square / count
        error = np.sqrt(np.maximum(square - variance**2, 0) / count)
        return mean, variance, error, count


def _tabulate(sample: Sample, limit: float) -> _Table:
    """Differences whose surroundings are below `limit`."""
    _, _, bands, band, width = sample.pairs.shape
    across = -(-width // _TILE)
    row_tiles = np.unique(sample.rows // _TILE, return_inverse=True)[1]
    tile = (row_tiles[:, None] * across + np.arange(width) // _TILE)[:, None, :]
    tile = np.broadcast_to(tile, (bands, band - 1, width)).ravel()
    tile_count = int(tile.max()) + 1
    edges = _class_edges(sample.around, limit)
    cells = tile_count * (int(sample.planes.max()) + 1) * _CLASSES
    sums = np.zeros((4, cells))
    for (first, second), around, plane in zip(sample.pairs, sample.around, sample.planes, strict=True):
        change = second - first
        total = second + first
        variance = (np.diff(change, axis=1).ravel() / 2) ** 2
        mean = (total[:, 1:] + total[:, :-1]).ravel() / 4
        bright = ((around[:, 1:] + around[:, :-1]) / 2).ravel()
        cell = (tile + plane * tile_count) * _CLASSES + np.searchsorted(edges, bright, side="right")
        used = np.isfinite(variance) & (np.maximum(around[:, 1:], around[:, :-1]).ravel() < limit)
        if not used.all():
            cell, variance, mean = cell[used], variance[used], mean[used]
        # float32 squares of 16-bit variances are coarse, not wrong; sums are float64
        for total_, weights in zip(sums, (None, mean, variance, variance * variance), strict=True):
            total_ += np.bincount(cell, weights, minlength=cells)
    if sums[0].sum() < _MIN_SAMPLES:
        raise Unsupported(
            "too few pixels to measure noise", found=int(sums[0].sum()), expected=f"{_MIN_SAMPLES} unsaturated ones"
        )
    return _Table(*sums.reshape(4, -1, _CLASSES))


def _class_edges(around: NDArray[Any], limit: float) -> Float64:
    """Upper edges of equally filled classes; fewer where pixels or their values are few."""
    every = max(1, around.size >> 18)
    some = around.ravel()[::every]
    some = some[some < limit]
    if not some.size:
        return np.empty(0)
    classes = min(_CLASSES, max(_LEAST_CLASSES, some.size * every // _FULL_CLASS))
    return np.unique(np.quantile(some, np.linspace(0, 1, classes + 1)[1:-1]))


def _line(mean: Float64, variance: Float64, error: Float64) -> tuple[float, float, float]:
    """Slope, intercept and standard error of the slope by chance alone: weighted, with Huber's loss."""
    # classes without any variance weigh much, and not so much that their squares overflow
    least = (1e-10 * (float(variance.max()) or 1.0)) ** 2
    weights = 1 / np.maximum(error**2 + (_MODEL_ERROR * variance) ** 2, least)
    center = np.average(mean, weights=weights)
    robust = np.ones_like(mean)
    slope = intercept = slope_error = 0.0
    for _ in range(15):
        w = weights * robust
        center = np.average(mean, weights=w)
        lever = w * (mean - center)
        spread = float((lever * (mean - center)).sum())
        if spread > 0:
            slope = float((lever * variance).sum()) / spread
            slope_error = float(np.sqrt(((lever * error) ** 2).sum())) / spread
        intercept = float(np.average(variance, weights=w) - slope * center)
        distance = np.abs(variance - slope * mean - intercept) * np.sqrt(weights)
        robust = _HUBER / np.maximum(distance, _HUBER)
    return slope, intercept, slope_error


def _fit(sample: Sample, values: Values) -> NoiseModel:
    flags = []
    limit = np.inf
    if values.clip_high is not None:
        flags.append("clipped_high")
        limit = values.dark_end + 0.5 * (values.clip_high - values.dark_end)
    table = _tabulate(sample, limit)
    seen = table.count.sum(axis=1) > 0
    kept = seen.copy()
    for turn in range(_ROUNDS + 1):
        mean, variance, error, count = table.classes(kept)
        slope, intercept, slope_error = _line(mean, variance, error)
        if slope <= 2 * slope_error:
            slope, intercept = 0.0, float(np.average(variance, weights=count))
        if turn == _ROUNDS or seen.sum() < _MIN_TILES:
            break
        kept = seen & _still(table, slope, intercept, seen)
    if slope == 0.0:
        flags.append("no_light")
        # a gain that changes sigma by 2 % to either side could hide in the uncertainty
        if 2 * slope_error * np.ptp(mean) > 0.08 * intercept:
            flags.append("few_samples")
    # a line that does not fit may go below 0, which must count as a large misfit
    model = np.maximum(slope * mean + intercept, max(0.1 * float(variance.min()), 1e-3 * float(np.median(variance))))
    if not model.min() > 0:
        raise Unsupported("noise cannot be measured: most pixels do not vary", hint="Are they clipped?")
    residual = float(np.sqrt(np.mean((variance / model - 1) ** 2)))
    by_chance = float(np.sqrt(np.mean((error / model) ** 2)))
    if residual > MAX_RESIDUAL and "few_samples" not in flags:
        flags.append("few_samples" if by_chance > 0.7 * residual else "residual")
    if sample.frame_count <= 3 * (int(sample.planes.max()) + 1):
        flags.append("few_frames")
    columns, rows = _correlations(sample)
    if rows > _ROW_CORRELATION:
        flags.append("row_correlation")
    peak, width = dark_peak(sample, values)
    at_peak = slope * peak + intercept
    dark = width**2 if at_peak <= 0 else min(width**2, at_peak)
    dark = max(dark, 1 / 12 if values.whole else 1e-6 * float(model.min()))
    counting = values.lowest == 0 and abs(slope / values.step - 1) < 0.1 and abs(intercept) < 0.1 * values.step**2
    clipped = values.clip_low is not None and not counting
    # single photons stand apart from the peak, and the line agrees within a quarter of one
    dark_seen = not clipped and width < 0.75 * slope and abs(at_peak - width**2) < 0.25 * slope**2
    if clipped:
        flags.append("clipped_low")
    if values.quantised:
        flags.append("quantised")
    calm = float(table.count[kept].sum() / table.count.sum())
    if calm < 0.5:
        flags.append("motion")
    return NoiseModel(
        gain=slope,
        variance_at_zero=intercept,
        dark_value=peak,
        dark_sigma=width,
        dark_variance=dark,
        has_dark_pixels=dark_seen,
        clip_low=values.clip_low if clipped else None,
        clip_high=values.clip_high,
        clip_low_fraction=values.clip_low_fraction if clipped else 0.0,
        clip_high_fraction=values.clip_high_fraction,
        residual=residual,
        correlation_x=columns,
        correlation_y=rows,
        tile_fraction=calm,
        frame_count=sample.frame_count,
        pair_count=len(sample.pairs),
        sample_count=int(count.sum()),
        flags=tuple(flags),
        bins=tuple((float(m), float(v), int(n)) for m, v, n in zip(mean, variance, count, strict=True)),
    )


def _still(table: _Table, slope: float, intercept: float, seen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tiles whose variance is what the model says, judged by their spread."""
    expected = slope * table.mean.sum(axis=1) + intercept * table.count.sum(axis=1)
    ratio = np.divide(table.variance.sum(axis=1), expected, out=np.full(len(seen), np.inf), where=expected > 0)
    center = np.median(ratio[seen])
    if not np.isfinite(center):
        return seen
    spread = 1.4826 * np.median(np.abs(ratio[seen] - center))
    calm: NDArray[np.bool_] = (ratio <= center + 3 * spread) & (ratio >= center - 4 * spread)
    return calm


def _correlations(sample: Sample) -> tuple[float, float]:
    """Correlation of the noise of neighbouring columns and rows, medians over tiles."""
    bands = sample.pairs.shape[2]
    per_tile = np.zeros((3, bands, -(-sample.pairs.shape[4] // _TILE)))
    starts = np.arange(0, sample.pairs.shape[4] - 1, _TILE)
    for first, second in sample.pairs[:: -(-len(sample.pairs) // _CORRELATION_PAIRS)]:
        mixed = np.nan_to_num(np.diff(second - first, axis=1)[..., : sample.pairs.shape[4]])
        beside = (mixed[:, :, 1:] * mixed[:, :, :-1]).sum(axis=1)
        power = (mixed[:, :, :-1] ** 2).mean(axis=1) * mixed.shape[1]
        below = (mixed[:, 1:, :-1] * mixed[:, :-1, :-1]).sum(axis=1) * (mixed.shape[1] / max(1, mixed.shape[1] - 1))
        for total, part in zip(per_tile, (power, beside, below), strict=True):
            total[:, : len(starts)] += np.add.reduceat(part, starts, axis=1)
    power, beside, below = (total[per_tile[0] > 0] for total in per_tile)
    if not power.size:
        return 0.0, 0.0
    columns = float(np.median(beside / power))
    # differences of rows have a correlation of -1/2 where rows share nothing
    lag = float(np.median(below / power)) if sample.pairs.shape[3] > 2 else -0.5
    return columns, (1 + 2 * lag) / (2 + 2 * lag)
