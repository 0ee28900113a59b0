"""A believable two-channel two-photon movie whose motion is known exactly.

The tissue lives on a fine grid (three samples per pixel) larger than the field of view, so that motion brings in real
tissue at the borders.  Frame t shows the tissue through a field u: ``frame_t(y) = tissue_t(y - u_t(y))``, where u is a
rigid walk with jitter plus slow cosine modes.  The displacement in the backward convention, ``frame_t(x + w_t(x)) =
tissue_t(x)``, solves ``w = u(x + w)``; u is analytic, so a few fixed-point steps give w to machine precision.

Counts are Poisson; a detector of gain g (digits per photon), offset and Gaussian read noise makes int16 of them, so
the variance is ``g * (mean - offset) + read_noise ** 2`` plus 1/12 for rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from galvo.testing.scanimage import ScanImageRecording

__all__ = ["TwoPhotonMovie", "write_demo_recording"]

_FINE: Final = 3
_MODES: Final = ((1, 0), (0, 1), (1, 1), (2, 1), (1, 2))
_TISSUE, _ACTIVITY, _MOTION, _NOISE = range(4)


@dataclass(frozen=True, kw_only=True)
class TwoPhotonMovie:
    """Two channels, green GCaMP-like activity and a static red structure, of moving tissue.

    Every value follows from the fields and the seed: the frames do not depend on how they are asked for.

    Raises
    ------
    ValueError
        Sizes, rates or amplitudes that no movie has.
    """

    frames: int = 300
    """Frames T."""
    height: int = 256
    """Rows Y."""
    width: int = 256
    """Columns X."""
    seed: int = 0
    """Decides everything that is drawn at random."""
    photons: float = 2.5
    """Mean photons per pixel of the resting neuropil."""
    gain: float = 60.0
    """Digits per photon."""
    offset: float = 0.0
    """Digits without light."""
    read_noise: float = 12.0
    """Standard deviation of the electronics, in digits."""
    cell_spacing: float = 30.0
    """Typical distance of neighbouring somata, in pixels."""
    rigid_walk: float = 0.25
    """Standard deviation of a step of the rigid walk, in pixels; it is pulled back to 0 over about 60 frames."""
    rigid_jitter: float = 0.15
    """Standard deviation of the frame-to-frame jitter, in pixels."""
    elastic: float = 1.2
    """Root mean square of the slow elastic part, in pixels."""
    frame_rate_hz: float = 30.0
    """Frames per second."""

    def __post_init__(self) -> None:
        """Refuse values that no movie has."""
        if min(self.frames, self.height, self.width) < 1:
            raise ValueError("frames, height and width must be at least 1")
        amounts = (self.offset, self.read_noise, self.rigid_walk, self.rigid_jitter, self.elastic)
        if not np.all(np.isfinite(amounts)) or min(amounts[1:]) < 0:
            raise ValueError("offset, noise and motion must be finite, noise and motion not negative")
        for name in ("photons", "gain", "cell_spacing", "frame_rate_hz"):
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise ValueError(f"{name} must be finite and positive")

    def _random(self, *purpose: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *purpose])

    # Motion

    @cached_property
    def _motion(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Rigid part (T, 2) and mode amplitudes (T, modes, 2), x then y."""
        random = self._random(_MOTION)
        steps = random.normal(0, self.rigid_walk, (self.frames, 2))
        walk = np.zeros_like(steps)
        for t in range(1, self.frames):
            walk[t] = walk[t - 1] * (1 - 1 / 60) + steps[t]
        rigid = walk + random.normal(0, self.rigid_jitter, walk.shape)
        time = np.arange(self.frames) / self.frame_rate_hz
        rate = random.uniform(0.05, 0.6, (len(_MODES), 2))
        phase = random.uniform(0, 2 * np.pi, (len(_MODES), 2))
        # Each mode has a mean square of 1/4 to 1/2 over the field and 1/2 over time.
        scale = self.elastic * np.sqrt(6 / len(_MODES)) * random.uniform(0.7, 1.3, (len(_MODES), 2))
        amplitude = scale * np.sin(2 * np.pi * rate * time[:, None, None] + phase)
        # A field steeper than 1 would fold the tissue over itself; small frames get gentler modes.
        slope = np.array([[np.pi * np.hypot(m / self.height, n / self.width)] for m, n in _MODES])
        amplitude *= min(1.0, 0.4 / max(float((np.abs(amplitude).max(axis=0) * slope).sum(axis=0).max()), 1e-12))
        longest = max(np.abs(rigid).max(), 1.0)
        limit = self._margin / 3
        return rigid * min(1.0, limit / longest), amplitude

    @property
    def _margin(self) -> int:
        return int(np.ceil(12 + 9 * self.elastic + 20 * self.rigid_walk + 6 * self.rigid_jitter))

    def _shift(self, t: int, y: NDArray[np.float64], x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Field u of frame t at positions that broadcast to (Y, X): (2, Y, X), x then y."""
        rigid, amplitude = self._motion
        cos_y = {k: np.cos(np.pi * k * y / self.height) for k in (1, 2)}
        cos_x = {k: np.cos(np.pi * k * x / self.width) for k in (1, 2)}
        shape = np.broadcast_shapes(np.shape(y), np.shape(x))
        field = np.empty((2, *shape))
        field[:] = rigid[t][:, None, None]
        for mode, (m, n) in enumerate(_MODES):
            basis = cos_y[m] * cos_x[n] if m and n else cos_y[m] if m else cos_x[n]
            for axis in range(2):
                field[axis] += amplitude[t, mode, axis] * basis
        return field

    def _grid(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.arange(self.height, dtype=np.float64)[:, None], np.arange(self.width, dtype=np.float64)[None, :]

    def displacement(self, first: int = 0, stop: int | None = None) -> NDArray[np.float32]:
        """Return the known displacement w of frames `first` to `stop`, float32 (T, Y, X, 2), x then y, in pixels.

        ``frame(x + w(x)) = reference(x)``: sampling a frame at ``x + w`` brings it back on the reference.
        """
        indexes = range(self.frames)[first:stop]
        out = np.empty((len(indexes), self.height, self.width, 2), np.float32)
        y, x = self._grid()
        for row, t in enumerate(indexes):
            field = self._shift(t, y, x)
            for _ in range(50):
                better = self._shift(t, y + field[1], x + field[0])
                change = float(np.abs(better - field).max())
                field = better
                if change < 1e-7:
                    break
            out[row] = np.moveaxis(field, 0, -1)
        return out

    # Tissue and activity

    @cached_property
    def _tissue(self) -> _Tissue:
        return _Tissue.grow(self)

    @cached_property
    def traces(self) -> NDArray[np.float64]:
        """Relative fluorescence change of each cell, float64 (cells, T); 0 is rest."""
        random = self._random(_ACTIVITY)
        count = len(self._tissue.patches)
        rate_hz = random.gamma(1.5, 0.15, count)
        amplitude = random.lognormal(-1.0, 0.4, count)
        spikes = random.poisson(rate_hz / self.frame_rate_hz, (self.frames, count)).astype(np.float64)
        # Bursts: a spike often brings others in the frames that follow.
        spikes[1:] += (spikes[:-1] > 0) * random.poisson(0.8, spikes[1:].shape)
        rise, decay = (np.exp(-1 / (tau * self.frame_rate_hz)) for tau in (0.05, 0.6))
        rising, falling = np.zeros(count), np.zeros(count)
        out = np.empty((count, self.frames))
        for t in range(self.frames):
            rising, falling = rising * rise + spikes[t], falling * decay + spikes[t]
            out[:, t] = amplitude * (falling - rising)
        return out

    def reference(self, t: int | None = None) -> NDArray[np.float32]:
        """Return the expected photons without motion, float32 (C, Y, X): at rest, or with the activity of frame t."""
        return self._view(t, None)

    def clean_frame(self, t: int) -> NDArray[np.float32]:
        """Return the expected photons of frame t with its motion and without noise, float32 (C, Y, X)."""
        return self._view(t, t)

    def _view(self, activity: int | None, motion: int | None) -> NDArray[np.float32]:
        y, x = self._grid()
        tissue = self._tissue
        green = tissue.green if activity is None else tissue.active(self.traces[:, activity])
        if motion is None:
            rows = slice(self._margin * _FINE, (self._margin + self.height) * _FINE, _FINE)
            columns = slice(self._margin * _FINE, (self._margin + self.width) * _FINE, _FINE)
            return np.stack([green[rows, columns], tissue.red[rows, columns]])
        shift = self._shift(motion, y, x)
        return _sample(
            (green, tissue.red), (y - shift[1] + self._margin) * _FINE, (x - shift[0] + self._margin) * _FINE
        )

    # Frames

    def frame(self, t: int) -> NDArray[np.int16]:
        """Return frame t as recorded, int16 (C, Y, X)."""
        if not 0 <= t < self.frames:
            raise ValueError(f"frame {t} of {self.frames}")
        random = self._random(_NOISE, t)
        counts = random.poisson(self.clean_frame(t)).astype(np.float32)
        counts *= np.float32(self.gain)
        noise = random.standard_normal(counts.shape, np.float32)
        counts += noise * np.float32(self.read_noise) + np.float32(self.offset)
        return np.clip(np.rint(counts, out=counts), -32768, 32767).astype(np.int16)

    def read(self, first: int, stop: int) -> NDArray[np.int16]:
        """Return frames `first` to `stop`, int16 (T, C, Y, X)."""
        return np.stack([self.frame(t) for t in range(first, stop)])

    def blocks(self, block_frames: int = 32) -> Iterator[NDArray[np.int16]]:
        """Yield the movie in order, int16 (T, C, Y, X) of at most `block_frames` frames."""
        if block_frames < 1:
            raise ValueError("block_frames must be at least 1")
        for first in range(0, self.frames, block_frames):
            yield self.read(first, min(first + block_frames, self.frames))


@dataclass(frozen=True)
class _Tissue:
    """What there is to see, on the fine grid, in photons per pixel."""

    green: NDArray[np.float32]
    red: NDArray[np.float32]
    patches: tuple[tuple[slice, slice, NDArray[np.float32]], ...]

    @classmethod
    def grow(cls, movie: TwoPhotonMovie) -> _Tissue:
        random = movie._random(_TISSUE)
        shape = tuple((n + 2 * movie._margin) * _FINE for n in (movie.height, movie.width))
        coarse = _noise_field(random, shape, 9 * _FINE)
        fine = _noise_field(random, shape, 1.3 * _FINE)
        neuropil = np.exp(0.28 * coarse + 0.28 * fine)
        neuropil /= neuropil.mean()
        vessels = _vessels(random, shape)
        centers = _scatter(random, shape, movie.cell_spacing * _FINE)
        centers = centers[[vessels[int(y), int(x)] > 0.7 for y, x in centers]]
        green = neuropil * movie.photons
        red = 0.35 * neuropil * movie.photons
        patches = []
        for center in centers:
            window, ring, nucleus = _soma(random, center, shape)
            resting = random.lognormal(0.1, 0.4) * movie.photons
            # The soma takes the place of neuropil; its nucleus keeps the indicator out.
            green[window] *= 1 - 0.8 * np.maximum(ring, nucleus)
            patch = ring * resting
            green[window] += patch
            patches.append((*window, patch))
            labelled = random.random() < 0.6
            red[window] += (0.9 * np.maximum(ring, nucleus) * random.lognormal(0.4, 0.3) * movie.photons) * labelled
        psf = 0.85 * _FINE
        green, red = (_blur(image * vessels, psf) for image in (green, red))
        blurred = tuple(_blurred_patch(patch, window, vessels, psf, shape) for *window, patch in patches)
        return cls(green.astype(np.float32), red.astype(np.float32), blurred)

    def active(self, change: NDArray[np.float64]) -> NDArray[np.float32]:
        out = self.green.copy()
        for amount, (rows, columns, patch) in zip(change, self.patches, strict=True):
            if amount > 1e-4:
                out[rows, columns] += np.float32(amount) * patch
        return out


def _blur(image: NDArray[Any], sigma: float) -> NDArray[np.float64]:
    """Gaussian blur on a torus."""
    y, x = np.fft.fftfreq(image.shape[0]), np.fft.rfftfreq(image.shape[1])
    falloff = -2 * (np.pi * sigma) ** 2
    transfer = np.exp(falloff * y**2)[:, None] * np.exp(falloff * x**2)
    return np.asarray(np.fft.irfft2(np.fft.rfft2(image) * transfer, image.shape), np.float64)


def _noise_field(random: np.random.Generator, shape: tuple[int, ...], sigma: float) -> NDArray[np.float64]:
    field = _blur(random.standard_normal(shape), sigma)
    field -= field.mean()
    field /= max(float(field.std()), 1e-12)
    return field


def _vessels(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Transmission (0 to 1): level lines of smooth fields are long, curved and of even width, like vessels."""
    out = np.ones(shape)
    for spread, half_width in ((30, 2.6), (16, 1.1)):
        field = _noise_field(random, shape, spread * _FINE) + 0.9
        gradient = np.hypot(*np.gradient(field)) + 1e-6
        distance = np.abs(field) / gradient / (half_width * _FINE)
        out *= 1 - 0.85 / (1 + np.minimum(distance, 1e3) ** 4)
    return out


def _scatter(random: np.random.Generator, shape: tuple[int, ...], spacing: float) -> NDArray[np.float64]:
    """Jittered grid: no two cells overlap, none are in line."""
    counts = [max(1, round(n / spacing)) for n in shape]
    cells = np.indices(counts).reshape(2, -1).T.astype(np.float64)
    cells += 0.5 + random.uniform(-0.24, 0.24, cells.shape)
    kept = cells[random.random(len(cells)) < 0.85]
    return np.asarray(kept * (np.array(shape) / counts), np.float64)


def _soma(
    random: np.random.Generator, center: NDArray[np.float64], shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], NDArray[np.float64], NDArray[np.float64]]:
    """Window, ring and nucleus (0 to 1) of a soma of 5 to 7 pixels radius."""
    radius = random.uniform(5.0, 7.0) * _FINE
    stretch, angle = random.uniform(0.8, 1.25), random.uniform(0, np.pi)
    reach = int(1.6 * radius)
    y0, x0 = (int(c) for c in center)
    rows = slice(max(0, y0 - reach), min(shape[0], y0 + reach + 1))
    columns = slice(max(0, x0 - reach), min(shape[1], x0 + reach + 1))
    y = np.arange(rows.start, rows.stop)[:, None] - center[0]
    x = np.arange(columns.start, columns.stop) - center[1]
    along, across = y * np.cos(angle) + x * np.sin(angle), x * np.cos(angle) - y * np.sin(angle)
    distance = np.hypot(along * stretch, across / stretch)
    edge = 0.5 * _FINE
    inside = 1 / (1 + np.exp(np.clip((distance - radius) / edge, -50, 50)))
    nucleus = 1 / (1 + np.exp(np.clip((distance - 0.58 * radius) / edge, -50, 50)))
    return (rows, columns), inside * (1 - nucleus), inside * nucleus


def _blurred_patch(
    patch: NDArray[np.float64],
    window: list[slice],
    vessels: NDArray[np.float64],
    psf: float,
    shape: tuple[int, ...],
) -> tuple[slice, slice, NDArray[np.float32]]:
    pad = int(4 * psf)
    rows, columns = (
        slice(max(0, part.start - pad), min(size, part.stop + pad)) for part, size in zip(window, shape, strict=True)
    )
    canvas = np.zeros((rows.stop - rows.start, columns.stop - columns.start))
    y, x = window[0].start - rows.start, window[1].start - columns.start
    canvas[y : y + patch.shape[0], x : x + patch.shape[1]] = patch * vessels[tuple(window)]
    return rows, columns, np.maximum(_blur(canvas, psf), 0).astype(np.float32)


def _sample(
    images: tuple[NDArray[np.float32], ...], y: NDArray[np.float64], x: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Bilinear samples of fine images at (Y, X): (C, Y, X)."""
    rows, columns = images[0].shape
    y, x = np.clip(y, 0, rows - 1.001), np.clip(x, 0, columns - 1.001)
    top, left = y.astype(np.intp), x.astype(np.intp)
    down, right = (y - top).astype(np.float32), (x - left).astype(np.float32)
    corner = top * columns + left
    out = np.empty((len(images), *y.shape), np.float32)
    for channel, image in enumerate(images):
        flat = image.ravel()
        a, b = flat.take(corner), flat.take(corner + 1)
        upper = a + (b - a) * right
        c, d = flat.take(corner + columns), flat.take(corner + (columns + 1))
        out[channel] = upper + (c + (d - c) * right - upper) * down
    return out


def write_demo_recording(folder: str | Path, movie: TwoPhotonMovie | None = None, stem: str = "demo") -> list[Path]:
    """Write `movie` as a two-channel ScanImage grab split in two files and return their paths.

    Parameters
    ----------
    folder : path
        Where the files go; made where missing.
    movie : TwoPhotonMovie, optional
        300 frames of 256 x 256 by default.
    stem : str
        First part of the file names.
    """
    movie = TwoPhotonMovie() if movie is None else movie
    recording = ScanImageRecording(
        height=movie.height,
        width=movie.width,
        frames=movie.frames,
        channels=(1, 2),
        channel_names=("GCaMP", "tdTomato"),
        frame_rate_hz=movie.frame_rate_hz,
        frames_per_file=max(1, -(-movie.frames // 2)),
        zoom=2.0,
        fov_deg=(40.0 * movie.width / 256, 40.0 * movie.height / 256),
    )
    return recording.write(folder, stem, pixels=movie.read)
