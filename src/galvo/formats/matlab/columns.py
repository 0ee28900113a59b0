"""Column-major arrays as frames: gathered by position, transposed, converted to their class."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, pairwise, product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.axes import AXES, Shape
from galvo.core.index import Int64
from galvo.core.selection import Indices, Selection, compact, outer_index
from galvo.core.source import FileSource
from galvo.core.threads import worker_count
from galvo.core.transpose import transpose_into
from galvo.errors import DamagedData, Malformed, ReadError
from galvo.formats.matlab.variable import Content, Part, Variable

__all__ = ["ColumnReader"]

_READ_BYTES = 4 << 20
# what a read of its own costs, expressed in bytes that are read and left out
_SKIPPED_BYTES = 64 << 10
_READ_AHEAD = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class _Job:
    """One read: where it begins, what it holds, what is wanted of it, and where that belongs."""

    name: str
    content: Content
    part: Part
    first: int
    shape: tuple[int, ...]
    wanted: tuple[Indices, ...]
    target: NDArray[Any]
    index: tuple[Any, ...]


class ColumnReader:
    """Reads variables of one shape and class, several of which are channels.

    Parameters
    ----------
    source : FileSource
        Closed with the reader.
    variables : tuple of Variable
    axes : str
        Letters of their dimensions in MATLAB's order.
    shape : (T, C, Z, Y, X)
    """

    def __init__(self, source: FileSource, variables: tuple[Variable, ...], axes: str, shape: Shape) -> None:
        dtype = variables[0].dtype
        if dtype is None:
            raise Malformed(f"{variables[0].name} holds no numbers", path=source.paths[0])
        self.shape, self.dtype = shape, dtype
        self._source = source
        self._variables = variables
        # slowest first
        self._letters = axes[::-1]
        self._lengths = tuple(shape[AXES.index(letter)] for letter in self._letters)
        self._closed = False
        slow = min(self._letters.index("Y"), self._letters.index("X"))
        whole = {letter: shape[AXES.index(letter)] for letter in self._letters[slow:]}
        t, c, z, y, x = (whole.get(letter, 1) for letter in AXES)
        self.chunks: Shape = (t, c, z, y, x)

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        """Fill `out` with the selected pixels.

        Raises
        ------
        Truncated
            Bytes are missing from the file.
        DamagedData
            A deflated array does not inflate, or was never written.
        Malformed
            Stored numbers that the class cannot hold.
        """
        if self._closed:
            raise ReadError("the recording is closed", path=self._source.paths[0], hint="Open it again")
        if out.size == 0:
            return
        by_variable, workers = self._jobs(selection, out), worker_count(out.nbytes)
        if workers == 1:
            self._read_in_turn(chain.from_iterable(by_variable))
        elif not any(one.content is not None and one.content.forward_only() for one in self._variables):
            with ThreadPoolExecutor(workers) as pool:
                for _ in pool.map(lambda job: self._read_in_turn([job]), chain.from_iterable(by_variable)):
                    pass
        elif len(by_variable) == 1:
            self._read_forward(by_variable[0])
        else:
            with ThreadPoolExecutor(min(workers, len(by_variable))) as pool:
                for _ in pool.map(self._read_in_turn, by_variable):
                    pass

    def _read_in_turn(self, jobs: Iterable[_Job]) -> None:
        for job in jobs:
            self._place(job, self._fetch(job))

    def _read_forward(self, jobs: Iterable[_Job]) -> None:
        """One read after another, while what came before is put in its place."""
        with ThreadPoolExecutor(1) as pool:
            waiting: deque[Future[None]] = deque()
            for job in jobs:
                waiting.append(pool.submit(self._place, job, self._fetch(job)))
                if len(waiting) > _READ_AHEAD:
                    waiting.popleft().result()
            for placed in waiting:
                placed.result()

    def _jobs(self, selection: Selection, out: NDArray[Any]) -> list[Iterator[_Job]]:
        """For each variable that is wanted its reads, in the order of the file."""
        several = len(self._variables) > 1
        absent = [place for place, letter in enumerate(AXES) if letter not in self._letters]
        present = [AXES.index(letter) for letter in self._letters]
        channels = np.asarray(selection.c).tolist() if several else [0]

        def reads(variable: Variable, target: NDArray[Any]) -> Iterator[_Job]:
            if variable.content is None:
                raise DamagedData(f"{variable.name} was never written", path=self._source.paths[0])
            for number, part in enumerate(variable.parts):
                shown = target if len(variable.parts) == 1 else (target.real, target.imag)[number]
                yield from self._part_jobs(variable.name, variable.content, part, selection, shown, len(absent))

        return [
            reads(
                self._variables[channel],
                (out[:, position : position + 1] if several else out).transpose(absent + present),
            )
            for position, channel in enumerate(channels)
        ]

    def _part_jobs(
        self, name: str, content: Content, part: Part, selection: Selection, target: NDArray[Any], absent: int
    ) -> Iterator[_Job]:
        """Reads of at most `_READ_BYTES`, or of one step along the fastest axis, in the order of the file."""
        chosen = [np.asarray(selection.axes[AXES.index(letter)], np.int64) for letter in self._letters]
        steps = [math.prod(self._lengths[axis + 1 :]) for axis in range(len(chosen))]
        split = self._split(chosen, [step * part.dtype.itemsize for step in steps])
        orders = [np.argsort(positions, kind="stable").astype(np.int64) for positions in chosen]
        along, step_nbytes = chosen[split][orders[split]], steps[split] * part.dtype.itemsize
        gap, together = max(1, _SKIPPED_BYTES // step_nbytes), max(1, _READ_BYTES // step_nbytes)
        breaks = np.flatnonzero((np.diff(along) > gap) | (np.diff(along // together) > 0)) + 1
        groups = list(pairwise([0, *breaks.tolist(), along.size]))
        rest = [compact(positions) for positions in chosen[split + 1 :]]
        for outer in product(*(order.tolist() for order in orders[:split])):
            before = sum(int(chosen[axis][place]) * steps[axis] for axis, place in enumerate(outer))
            for low, high in groups:
                first = int(along[low])
                shape = (int(along[high - 1]) - first + 1, *self._lengths[split + 1 :])
                where = compact(orders[split][low:high])
                index = slice(where.start, where.stop, where.step) if isinstance(where, range) else where
                if isinstance(where, range) and where.step < 0:
                    index = np.asarray(where)
                yield _Job(
                    name=name,
                    content=content,
                    part=part,
                    first=before + first * steps[split],
                    shape=shape,
                    wanted=(compact(along[low:high] - first), *rest),
                    target=target[(slice(None),) * absent + outer],
                    index=(slice(None),) * absent + (index,),
                )

    def _split(self, chosen: list[Int64], step_nbytes: list[int]) -> int:
        """The axis along which reads are cut: slow enough to read much at once, fast enough to leave out much."""
        split = next((axis for axis, nbytes in enumerate(step_nbytes) if nbytes <= _READ_BYTES), len(chosen) - 1)
        for axis in range(split + 1, len(chosen)):
            wanted = int(chosen[axis].max() - chosen[axis].min()) + 1
            if (self._lengths[axis] - wanted) * step_nbytes[axis] > _SKIPPED_BYTES:
                split = axis
        return split

    def _fetch(self, job: _Job) -> bytes:
        itemsize = job.part.dtype.itemsize
        return job.content.read(job.part.offset + job.first * itemsize, math.prod(job.shape) * itemsize)

    def _place(self, job: _Job, data: bytes) -> None:
        stored = job.part.dtype
        piece = np.frombuffer(data, stored).reshape(job.shape)[outer_index(list(job.wanted))]
        held = job.target.dtype
        if held != np.bool_ and not np.can_cast(stored, held, "safe"):
            self._check(job.name, piece, held)
        if isinstance(job.index[-1], slice):
            transpose_into(job.target[job.index], piece)
        else:
            job.target[job.index] = piece

    def _check(self, name: str, piece: NDArray[Any], held: np.dtype[Any]) -> None:
        """Refuse values that the array's class cannot hold: they would change silently."""
        with np.errstate(all="ignore"):
            back = piece.astype(held).astype(piece.dtype)
        if not bool(((back == piece) | (piece != piece)).all()):
            raise Malformed(
                f"{name} holds values that its class cannot",
                path=self._source.paths[0],
                found=str(piece.dtype),
                expected=str(held),
            )

    def place(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """All frames lie in the one file."""
        return {"file": np.zeros_like(t)}

    def prove(self) -> None:
        """Nothing was predicted."""

    def close(self) -> None:
        """Close the file."""
        self._closed = True
        self._source.close()
