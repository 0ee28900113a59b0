"""Writing .mat files: which version, and what is common to all.

Each channel is an array of its own, ``ch1`` to ``chN``, of (H, W, T), or (H, W, Z, T) for volumes, so that in MATLAB
``ch1(:, :, t)`` is a frame.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.blocks import BlockIndex
from galvo.core.output import Outlet
from galvo.core.recording import Recording
from galvo.core.sink import FileSink, Sink, WritePlan
from galvo.core.target import Target
from galvo.errors import OptionError, Unsupported
from galvo.formats.matlab.own import END_NAME, START_NAME
from galvo.formats.matlab.sink5 import MOST_BYTES, Level5Sink, array_nbytes
from galvo.formats.matlab.sink73 import HierarchySink

__all__ = ["MatlabSink"]

_VERSIONS = ("5", "7", "7.3")
_COMPRESSIONS = ("none", "gzip")
# what MATLAB takes for the name of a variable
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")


class MatlabSink(FileSink):
    """Writes a .mat file.

    Parameters
    ----------
    version : "5", "7" or "7.3", optional
        5 (which MATLAB calls v6) is uncompressed, 7 deflated; neither holds an array of 2 GB. By default 7 where a
        compression is asked for and 5 otherwise, but 7.3 (HDF5) where an array is larger, or complex.
    compression : "none" or "gzip", optional
        By default that of the version: none for 5 and 7.3.
    compression_level : int, optional
        1 (fast) to 9 (small), 3 by default.
    dataset_names : str or list of str, optional
        Names of the arrays, one per channel; in a text, commas between them. In one name ``*`` stands for the channel's
        number from 1; without it, several channels have the number behind. ``"ch*"`` by default.
    """

    def __init__(
        self,
        version: str | float | None = None,
        compression: str | None = None,
        compression_level: int | None = None,
        dataset_names: str | Sequence[str] | None = None,
    ) -> None:
        self._version = None if version is None else str(version)
        if self._version not in (None, *_VERSIONS):
            raise OptionError("no such version", found=repr(version), expected=", ".join(_VERSIONS))
        if compression not in (None, *_COMPRESSIONS):
            raise OptionError("unknown compression", found=repr(compression), expected=", ".join(_COMPRESSIONS))
        if compression_level is not None and (type(compression_level) is not int or not 1 <= compression_level <= 9):
            raise OptionError("no such compression_level", found=repr(compression_level), expected="1 to 9")
        self._packs = compression == "gzip" or (compression is None and self._version == "7")
        if self._version == "5" and self._packs:
            other = 'Write version="7" or "7.3" (--write-option version=7)'
            raise OptionError("version 5 is not compressed", found="gzip", hint=other)
        if self._version == "7" and not self._packs:
            other = 'Write version="5" or "7.3" (--write-option version=5)'
            raise OptionError("version 7 is compressed", found=compression, hint=other)
        if compression_level is not None and not self._packs:
            missing = 'Add compression="gzip" (--compression gzip)'
            raise OptionError("compression_level without a compression", hint=missing)
        self._level = 3 if compression_level is None else compression_level
        self._names = dataset_names
        self._chosen: Sink | None = None

    def target(self, final: str, recording: Recording) -> Target:
        """One file."""
        names = _variable_names(self._names, recording.shape[1])
        version = self._version or self._fitting(recording)
        if version == "7.3":
            self._chosen = HierarchySink(names, self._level if self._packs else None)
        else:
            self._chosen = Level5Sink(names, self._level if self._packs else None)
        return Target(final=final, files=(final,))

    def _fitting(self, recording: Recording) -> str:
        if recording.dtype.kind == "c" or array_nbytes(recording) > MOST_BYTES:
            return "7.3"
        return "7" if self._packs else "5"

    @property
    def _sink(self) -> Sink:
        if self._chosen is None:
            raise Unsupported("the version is chosen by the recording, which is not known yet")
        return self._chosen

    @property
    def compresses(self) -> bool:
        """Whether the output may be smaller than estimated."""
        return self._packs

    @property
    def block_order(self) -> str:
        """Versions 5 and 7 hold one array after another."""
        return self._sink.block_order

    def t_multiple(self, recording: Recording) -> int:
        """Frames that are stored together."""
        return self._sink.t_multiple(recording)

    def estimate(self, plan: WritePlan) -> int:
        """Greatest size of the output."""
        return self._sink.estimate(plan)

    def prepare(self, plan: WritePlan) -> None:
        """Settle the layout."""
        self._sink.prepare(plan)

    def begin(self, output: Outlet) -> None:
        """Write what comes before the pixels."""
        self._sink.begin(output)

    def reopen(self, output: Outlet) -> None:
        """Go on behind what is there."""
        self._sink.reopen(output)

    def encode(self, index: BlockIndex, block: NDArray[Any]) -> Any:
        """The block as it is stored."""
        return self._sink.encode(index, block)

    def put(self, index: BlockIndex, encoded: Any) -> None:
        """Write a block."""
        self._sink.put(index, encoded)

    def finish(self, checksums: NDArray[np.uint32]) -> None:
        """Write what comes behind the pixels."""
        self._sink.finish(checksums)


def _variable_names(wanted: str | Sequence[str] | None, count: int) -> tuple[str, ...]:
    """The name of each channel's array."""
    if wanted is None:
        wanted = "ch*"
    if isinstance(wanted, str) and "," in wanted:
        wanted = wanted.split(",")
    if isinstance(wanted, str):
        pattern = wanted if "*" in wanted or count == 1 else f"{wanted}*"
        names = tuple(pattern.replace("*", str(number)) for number in range(1, count + 1))
    else:
        names = tuple(map(str, wanted))
    if len(names) != count:
        raise OptionError("dataset_names does not name each channel", found=f"{len(names)} names", expected=count)
    for name in names:
        if not _NAME.fullmatch(name) or name in (START_NAME, END_NAME) or names.count(name) > 1:
            raise OptionError(
                "not a name for a variable",
                found=repr(name),
                expected=f"letters, digits and _, at most 63, each name once, none of {START_NAME} and {END_NAME}",
            )
    return names
