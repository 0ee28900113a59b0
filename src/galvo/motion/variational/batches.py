"""A movie against its reference, batch by batch: where solving begins, and what the reference becomes.

Inside a batch every frame is solved by itself, from one start; between batches the start is the mean of the last
fields, and the reference may follow the movie (P. Flotho, S. Nomura, B. Kuhn, D. Strauss, Software for non-parametric
image registration of 2-photon imaging data, J. Biophotonics 2022).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from galvo.core.threads import thread_count
from galvo.errors import OptionError
from galvo.motion.expansion import GridExpansion
from galvo.motion.params import VariationalParams
from galvo.motion.variational.engine import Engine, Preparation, weight_maps
from galvo.motion.variational.filtering import ChannelFilter, Frames, Planes
from galvo.motion.variational.prealignment import Prealignment
from galvo.motion.warping import Interpolation, warp

Fields = NDArray[np.float32]

START_FRAMES = 22
"""How many frames of a movie say where the first batch begins."""

CARRIED_FIELDS = 20
"""How many fields of a batch say where the next one begins."""

REFERENCE_FRAMES = 100
"""How many frames of a batch make the next reference."""

CUBIC_A = -0.75
"""Keys' parameter of the warps."""

REACH = (0.0, 1.0)
"""Where a source counts as inside the frame: from the first pixel to one behind the last."""

_UNALIGNED_FRAMES = 4
_BLOCK_BYTES = 32 << 20


@dataclass(frozen=True)
class BatchMethod:
    """How a movie is registered.

    Attributes
    ----------
    params : VariationalParams
        The solver; `min_level` None is the full resolution, `presmoothing` is not used.
    weights : array (C,), (Y, X) or (Y, X, C), or None
        Of the channels.
    sigmas : tuple of (float, float, float)
        Gaussian along y, x and t, a row per channel; the last one stands for all that have none.
    separate : bool
        Whether each channel has its own range of values.
    interpolation : str
        Of the registered frames, and of those that make the next reference.
    carry : bool
        Whether a batch begins where the last one ended; else with no displacement.
    follow : bool
        Whether the reference that frames are compared with becomes the mean of each batch.
    prealignment : Prealignment or None
        A shift of each frame before its field.
    """

    params: VariationalParams
    weights: NDArray[np.floating] | None = None
    sigmas: tuple[tuple[float, float, float], ...] = ((1.0, 1.0, 0.1),)
    separate: bool = False
    interpolation: Interpolation = "cubic"
    carry: bool = True
    follow: bool = False
    prealignment: Prealignment | None = None


@dataclass(frozen=True)
class Block:
    """Some frames of a batch.

    Attributes
    ----------
    first : int
        Number of the first one in its batch.
    frames : ndarray (T, Y, X, C)
        Registered, in the dtype that they had.
    fields : ndarray, float32 (T, Y, X, 2)
        Displacements in pixels, x before y.
    """

    first: int
    frames: NDArray[np.generic]
    fields: Fields


@dataclass(frozen=True)
class Problem:
    """What a solver of the caller's gets.

    Attributes
    ----------
    frames : ndarray (T, Y, X, C)
        As they are.
    prepared : ndarray, float32 (T, Y, X, C)
        The same, made comparable with `fixed`.
    reference : ndarray, float64 (Y, X, C)
    fixed : ndarray, float32 (Y, X, C)
    start : ndarray, float32 (Y, X, 2)
        Where to begin.
    weights : ndarray, float32 (Y, X, C)
    """

    frames: NDArray[np.generic]
    prepared: NDArray[np.float32]
    reference: NDArray[np.float64]
    fixed: NDArray[np.float32]
    start: Fields
    weights: NDArray[np.float32]


Solver = Callable[[Problem], tuple[NDArray[np.generic], Fields]]
"""Registered frames, as they come, and fields."""


class BatchRegistration:
    """Registers batches of one movie, in their order.

    Parameters
    ----------
    reference : array (Y, X, C)
        Finite.
    method : BatchMethod
    threads : int, optional
        Frames worked on at once; results do not depend on it.
    solver : callable, optional
        In place of the variational one; `method.prealignment` is its own affair.
    """

    def __init__(
        self,
        reference: NDArray[np.generic],
        method: BatchMethod,
        *,
        threads: int | None = None,
        solver: Solver | None = None,
    ) -> None:
        image = np.asarray(reference, np.float64)
        if image.ndim != 3 or image.size == 0 or not np.isfinite(image).all():
            raise OptionError("the reference must be (Y, X, C), not empty and finite", found=image.shape)
        self.reference = image
        self.method = method
        self._threads = thread_count(threads)
        self._solver = solver
        self._filter = ChannelFilter.of_range(image, method.sigmas, separate=method.separate)
        self._fixed = self._filter.image(image)
        self._weights = weight_maps(method.weights, self._fixed.shape)
        self._start: Fields | None = None
        self._made: Engine | None = None

    @property
    def fixed(self) -> NDArray[np.float32]:
        """What frames are compared with now, float32 (Y, X, C)."""
        return np.moveaxis(self._fixed, 0, 2)

    def register(self, frames: Frames, first: int = 0, count: int | None = None) -> Iterator[Block]:
        """The next batch, `frames[first : first + count]`, block by block; what is around it is context.

        The batch is done when the last block has been taken.

        Raises
        ------
        OptionError
            Frames that do not fit the reference.
        """
        stop = len(frames) if count is None else first + count
        if self._start is None:
            self._start = self._first_start(frames, first, stop)
        carried = np.zeros(self._start.shape)
        followed = np.zeros(self._fixed.shape)
        for begin, end in self._blocks(first, stop):
            block, planes = self._solved(frames, begin, end, self._start, unaligned=False)
            add_in_order(carried, block.fields[max(0, stop - CARRIED_FIELDS - begin) :])
            if self.method.follow and end > stop - REFERENCE_FRAMES:
                last = max(0, stop - REFERENCE_FRAMES - begin)
                prepared = np.moveaxis(planes[last:], 1, 3)
                fields = block.fields[last:]
                warped = registered_frames(prepared, fields, self.fixed, self.method.interpolation, self._threads)
                add_in_order(followed, np.moveaxis(warped, 3, 1))
            yield Block(begin - first, block.frames, block.fields)
        if self.method.carry and stop > first:
            self._start = (carried / min(CARRIED_FIELDS, stop - first)).astype(np.float32)
        if self.method.follow and stop > first:
            self._fixed = (followed / min(REFERENCE_FRAMES, stop - first)).astype(np.float32)
            self._made = None

    def _first_start(self, frames: Frames, first: int, stop: int) -> Fields:
        """The mean field of the first frames, solved from no displacement."""
        zeros = np.zeros((*self.reference.shape[:2], 2), np.float32)
        stop = min(stop, first + START_FRAMES)
        if not self.method.carry or stop == first:
            return zeros
        total = np.zeros(zeros.shape)
        for begin, end in self._blocks(first, stop):
            block, _ = self._solved(frames, begin, end, zeros, unaligned=stop - first <= _UNALIGNED_FRAMES)
            add_in_order(total, block.fields)
        return (total / (stop - first)).astype(np.float32)

    def _blocks(self, first: int, stop: int) -> Iterator[tuple[int, int]]:
        field_bytes = 8 * self.reference.shape[0] * self.reference.shape[1]
        size = max(2 * self._threads, min(64, _BLOCK_BYTES // field_bytes))
        return ((begin, min(begin + size, stop)) for begin in range(first, stop, size))

    def _solved(self, frames: Frames, begin: int, end: int, start: Fields, *, unaligned: bool) -> tuple[Block, Planes]:
        """Frames `begin` to `end`, and what they were filtered to (nothing where nobody needs it)."""
        reach = 0 if self._fused is not None else self._filter.reach
        around = max(0, begin - reach)
        context = np.asarray(frames[around : end + reach])
        raw = context[begin - around : end - around]
        if raw.shape[1:] != self.reference.shape:
            raise OptionError("frames do not fit the reference", found=raw.shape[1:], expected=self.reference.shape)
        planes = np.empty((0, *self._fixed.shape), np.float32)
        if self._fused is None:
            planes = self._filter(
                context, begin - around, end - begin, substitute=self.reference, threads=self._threads
            )
        if self._solver is not None:
            registered, fields = self._solver(self._problem(raw, planes, start))
            return Block(begin, registered, fields), planes
        engine = self._engine()
        expansion = GridExpansion(engine.height, engine.width, *engine.solver_shape)
        if self.method.prealignment is not None and not unaligned:
            prepared = np.moveaxis(planes, 1, 3)
            shifts = self.method.prealignment.shifts(
                self.fixed, prepared, start, weights=np.moveaxis(self._weights, 0, 2), threads=self._threads
            )
            before = start + shifts[:, np.newaxis, np.newaxis]
            moved = warp(prepared, before, fill=self.fixed, interpolation="linear", reach=REACH, threads=self._threads)
            solved = engine.solve(moved, None, self._threads)
            fields = before + expansion.expand(solved, threads=self._threads)
        else:
            solved = engine.solve(raw if self._fused is not None else np.moveaxis(planes, 1, 3), start, self._threads)
            fields = expansion.expand(solved, threads=self._threads)
        moved_raw = registered_frames(raw, fields, self.reference, self.method.interpolation, self._threads)
        return Block(begin, moved_raw, fields), planes

    def _problem(self, raw: NDArray[np.generic], planes: Planes, start: Fields) -> Problem:
        return Problem(
            frames=raw,
            prepared=np.ascontiguousarray(np.moveaxis(planes, 1, 3)),
            reference=self.reference,
            fixed=np.ascontiguousarray(self.fixed),
            start=start,
            weights=np.ascontiguousarray(np.moveaxis(self._weights, 0, 2)),
        )

    @property
    def _fused(self) -> Preparation | None:
        """How the solver filters frames itself, where nothing else needs them filtered."""
        if self.method.follow or self.method.prealignment is not None or self._solver is not None:
            return None
        return self._filter.fused

    def _engine(self) -> Engine:
        if self._made is None:
            channels = len(self._fixed)
            fused = self._fused
            as_they_are = Preparation((0.0,) * channels, (1.0,) * channels)
            reference = np.ascontiguousarray(self.fixed) if fused is None else self.reference
            self._made = Engine(reference, self.method.params, self._weights, fused or as_they_are)
        return self._made


def add_in_order(total: NDArray[np.float64], frames: NDArray[np.generic]) -> None:
    """Add frames (T, ...) to their sum one by one, so that it does not depend on how a movie is cut into blocks."""
    for frame in frames:
        total += frame


def registered_frames(
    frames: NDArray[np.generic],
    fields: Fields,
    reference: NDArray[np.floating],
    interpolation: Interpolation,
    threads: int | None = None,
) -> NDArray[np.generic]:
    """Frames (T, Y, X, C) warped by fields, in their dtype; the reference (Y, X, C) fills what was not seen."""
    fill = np.asarray(reference, np.float64)
    if frames.dtype.kind in "iu":
        limits = np.iinfo(frames.dtype.str)
        fill = np.clip(np.trunc(fill), limits.min, limits.max)
    elif frames.dtype.kind == "b":
        fill = (fill >= 1).astype(np.float64)
    return warp(
        frames,
        fields,
        fill=fill,
        interpolation=interpolation,
        dtype="same",
        cubic_a=CUBIC_A,
        reach=REACH,
        threads=threads,
    )


def sources_inside(fields: Fields) -> NDArray[np.bool_]:
    """Which pixels of warped frames have their source inside the frame, (T, Y, X) of fields (T, Y, X, 2)."""
    height, width = fields.shape[1:3]
    y, x = np.mgrid[:height, :width].astype(np.float32)
    source_x, source_y = x + fields[..., 0], y + fields[..., 1]
    inside: NDArray[np.bool_] = (source_x >= 0) & (source_x < width) & (source_y >= 0) & (source_y < height)
    return inside


@dataclass(frozen=True)
class FieldStatistics:
    """What fields are like, float64 (T,) each.

    Attributes
    ----------
    mean_length, greatest_length : ndarray
        Of the displacements of a frame, in pixels.
    mean_divergence : ndarray
        By central differences, one-sided at the edges.
    translation : ndarray
        Length of the mean displacement, in pixels.
    """

    mean_length: NDArray[np.float64]
    greatest_length: NDArray[np.float64]
    mean_divergence: NDArray[np.float64]
    translation: NDArray[np.float64]

    @classmethod
    def of(cls, fields: Fields) -> "FieldStatistics":
        """Those of fields (T, Y, X, 2), of at least two pixels along y and x."""
        length = np.hypot(fields[..., 0], fields[..., 1])
        mean = fields.mean(axis=(1, 2), dtype=np.float64)
        return cls(
            length.mean(axis=(1, 2), dtype=np.float64),
            length.max(axis=(1, 2)).astype(np.float64),
            _mean_slope(fields[..., 0], 2) + _mean_slope(fields[..., 1], 1),
            np.hypot(mean[:, 0], mean[:, 1]),
        )


def _mean_slope(values: NDArray[np.float32], axis: int) -> NDArray[np.float64]:
    """The mean of central differences (T, Y, X) along an axis: all but the two outermost pixels cancel."""
    first, second, last, before = (values.take(at, axis).mean(axis=1, dtype=np.float64) for at in (0, 1, -1, -2))
    slope: NDArray[np.float64] = (1.5 * (last - first) + 0.5 * (second - before)) / values.shape[axis]
    return slope
