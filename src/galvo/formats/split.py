"""One file per channel, in any format whose output is one file: ``<stem>_ch1<suffix>``, ``<stem>_ch2<suffix>``, ...

Each file is complete by itself. A block belongs to one channel, so that a file keeps the checksums of its own blocks.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.blocks import BlockIndex
from galvo.core.output import Outlet
from galvo.core.partial import PartialFile
from galvo.core.recording import Recording
from galvo.core.sink import Sink, WritePlan
from galvo.core.target import Target
from galvo.errors import OptionError

__all__ = ["SplitSink", "channel_files", "divided", "new_sink"]

_CHANNEL = re.compile(r"(?P<stem>.*_ch)(?P<number>[1-9]\d{0,2})", re.IGNORECASE)


def new_sink(kind: Callable[..., Sink], options: Mapping[str, Any], split_channels: bool) -> Sink:
    """A format's sink, or one that writes a file for each channel."""
    make = partial(kind, **options)
    return SplitSink(make) if split_channels else make()


def divided(path: str) -> tuple[str, str]:
    """A path without its suffix, and the suffix: ``rec`` and ``.ome.tif`` of ``rec.ome.tif``."""
    stem, suffix = os.path.splitext(path)
    inner, ome = os.path.splitext(stem)
    return (inner, ome + suffix) if (ome + suffix).lower().startswith(".ome.tif") else (stem, suffix)


def channel_files(path: str) -> list[str]:
    """The files of all channels of a recording, in order, given one of them; only itself where it is no such file."""
    folder, name = os.path.split(path)
    stem, suffix = divided(name)
    match = _CHANNEL.fullmatch(stem)
    if match is None:
        return [path]
    try:
        names = set(os.listdir(folder or os.curdir))
    except OSError:
        return [path]
    found: list[str] = []
    while (other := f"{match['stem']}{len(found) + 1}{suffix}") in names:
        found.append(os.path.join(folder, other))
    # as it was written: the file system may not care about small and capital letters
    return found if path in found else [path]


class SplitSink:
    """Writes each channel through a sink of its own.

    Parameters
    ----------
    make : callable
        Gives a new sink.
    """

    def __init__(self, make: Callable[[], Sink]) -> None:
        self._make = make
        self._first = make()
        self._sinks: list[Sink] = [self._first]

    @property
    def compresses(self) -> bool:
        """Whether the output may be smaller than estimated."""
        return self._first.compresses

    @property
    def notes(self) -> tuple[str, ...]:
        """Those of the format."""
        return tuple(dict.fromkeys(note for sink in self._sinks for note in sink.notes))

    @property
    def block_order(self) -> str:
        """Channel by channel."""
        return "c" + self._first.block_order.upper().replace("C", "")

    def shown(self, index: BlockIndex, block: NDArray[Any]) -> NDArray[Any]:
        """What the format shows; blocks of several channels are taken apart."""
        parts = [
            sink.shown(_alone(index), block[:, number : number + 1])
            for number, sink in enumerate(self._sinks[index[1]])
        ]
        # blocks hold one channel while writing
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def target(self, final: str, recording: Recording) -> Target:
        """A file for each channel."""
        stem, suffix = divided(final)
        files = tuple(f"{stem}_ch{number}{suffix}" for number in range(1, recording.shape[1] + 1))
        self._sinks = [self._first, *(self._make() for _ in files[1:])]
        for number, (name, sink) in enumerate(zip(files, self._sinks, strict=True)):
            if sink.target(name, recording.isel(c=number)).files != (name,):
                raise OptionError("split_channels needs a format with one file for a recording", path=final)
        return Target(final=final, files=files)

    def t_multiple(self, recording: Recording) -> int:
        """As the format has it."""
        return self._first.t_multiple(recording.isel(c=0))

    def prepare(self, plan: WritePlan) -> None:
        """Give each channel a plan of its own."""
        self._plans = []
        self._blocks: list[list[int]] = []
        for channel, sink in enumerate(self._sinks):
            own = [number for number, index in enumerate(plan.blocks) if index[1].start == channel]
            blocks = tuple(_alone(plan.blocks[number]) for number in own)
            part = WritePlan(recording=plan.recording.isel(c=channel), blocks=blocks, provenance=plan.provenance)
            sink.prepare(part)
            self._plans.append(part)
            self._blocks.append(own)

    def estimate(self, plan: WritePlan) -> int:
        """All files together."""
        return sum(sink.estimate(part) for sink, part in zip(self._sinks, self._plans, strict=True))

    def begin(self, output: Outlet) -> None:
        """Lay out every file."""
        for sink, file in zip(self._sinks, output.files, strict=True):
            sink.begin(_OneFile(output, file))

    def reopen(self, output: Outlet) -> None:
        """Go on with files that are laid out."""
        for sink, file in zip(self._sinks, output.files, strict=True):
            sink.reopen(_OneFile(output, file))

    def encode(self, index: BlockIndex, block: NDArray[Any]) -> Any:
        """A block as its file stores it."""
        return self._sinks[index[1].start].encode(_alone(index), block)

    def put(self, index: BlockIndex, encoded: Any) -> None:
        """Write a block to its file."""
        self._sinks[index[1].start].put(_alone(index), encoded)

    def finish(self, checksums: NDArray[np.uint32]) -> None:
        """Finish every file, with the checksums of its own blocks."""
        for sink, own in zip(self._sinks, self._blocks, strict=True):
            sink.finish(checksums[own])

    def abort(self) -> None:
        """Let go of every file."""
        for sink in self._sinks:
            sink.abort()


def _alone(index: BlockIndex) -> BlockIndex:
    """A block as the only channel's."""
    return (index[0], slice(0, 1), *index[2:])


class _OneFile:
    """One file of an output, as a sink for a single file sees it."""

    def __init__(self, output: Outlet, file: PartialFile) -> None:
        self._output = output
        self.files: Sequence[PartialFile] = (file,)

    def check(self) -> None:
        """Raise the first failure of any file."""
        self._output.check()

    def add(self, name: str, data: bytes | memoryview) -> None:
        """Formats that write folders are refused before."""
        self._output.add(name, data)
