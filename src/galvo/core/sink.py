"""What a format's writer is: it takes blocks in order and never opens the final path itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from galvo.core.atomic import PartialFile
from galvo.core.blocks import BlockIndex
from galvo.core.recording import Recording

__all__ = ["Sink", "WritePlan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class WritePlan:
    """All that is known of an output before its first byte.

    Attributes
    ----------
    recording : Recording
        What is written.
    blocks : tuple of BlockIndex
        In the order of writing.
    provenance : dict
        Where it comes from: galvo version, options, source names and sizes, what was left out.
    """

    recording: Recording
    blocks: tuple[BlockIndex, ...]
    provenance: dict[str, Any] = field(default_factory=dict)


class Sink(Protocol):
    """A format's writer. One sink writes one output."""

    def t_multiple(self, recording: Recording) -> int:
        """T positions that are stored together: blocks begin at multiples of it."""

    def estimate(self, plan: WritePlan) -> int:
        """Greatest size of the output in bytes, before compression."""

    def begin(self, file: PartialFile, plan: WritePlan) -> None:
        """Lay out the output in `file`."""

    def put(self, index: BlockIndex, block: NDArray[Any]) -> None:
        """Write one block (T, C, Z, Y, X)."""

    def finish(self, checksums: NDArray[np.uint32]) -> None:
        """Write what comes last, the blocks' CRC-32C among it, and let go of the file."""

    def abort(self) -> None:
        """Let go of the file, whatever state it is in."""
