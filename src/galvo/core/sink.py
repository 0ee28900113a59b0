"""What a format's writer is: it takes blocks in order and never opens the final path itself."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from galvo.core.blocks import BlockIndex
from galvo.core.output import Outlet
from galvo.core.recording import Recording
from galvo.core.target import Target

__all__ = ["FileSink", "Sink", "WritePlan"]


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
    pixels_told : bool
        Whether `provenance` tells pixels that are in no file from others.
    """

    recording: Recording
    blocks: tuple[BlockIndex, ...]
    provenance: dict[str, Any] = field(default_factory=dict)
    pixels_told: bool = False

    def block_nbytes(self, number: int) -> int:
        """Bytes of the pixels of a block."""
        lengths = (part.stop - part.start for part in self.blocks[number])
        return int(math.prod(lengths)) * self.recording.dtype.itemsize

    @property
    def source_is_told(self) -> bool:
        """Whether `fingerprint` tells this source from others; where it does not, the checksums of its blocks do."""
        return bool(self.recording.files) or self.pixels_told

    def fingerprint(self) -> dict[str, Any]:
        """What a resumed attempt must share with the first, as JSON: source, what is shown of it, options, blocks."""
        recording = self.recording
        files = [(str(path), path.stat()) for path in recording.files]
        found = {
            "shape": recording.shape,
            "dtype": recording.dtype.str,
            "shown": recording.selection_checksum(),
            "files": [[path, status.st_size, status.st_mtime_ns] for path, status in files],
            "blocks": [[[part.start, part.stop] for part in index] for index in self.blocks],
            "provenance": self.provenance,
        }
        result: dict[str, Any] = json.loads(json.dumps(found, default=str))
        return result


class Sink(Protocol):
    """A format's writer. One sink writes one output.

    `begin` and `put` leave the output whole and nothing of it in memory: what they wrote is then committed, and a later
    attempt goes on from there with `reopen`.
    """

    @property
    def compresses(self) -> bool:
        """Whether the output may be smaller than estimated."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What users should know of the output before it is written, one line each."""

    def shown(self, index: BlockIndex, block: NDArray[Any]) -> NDArray[Any]:
        """What the output will show for a block (T, C, Z, Y, X) at `index`: itself, unless the format is lossy."""

    def target(self, final: str, recording: Recording) -> Target:
        """The files that the output will be, given what the user calls it; refuses a name that cannot be."""

    @property
    def block_order(self) -> str:
        """T C Z in the order in which blocks are to come, as `block_selections` takes it."""

    def t_multiple(self, recording: Recording) -> int:
        """T positions that are stored together: blocks begin at multiples of it."""

    def estimate(self, plan: WritePlan) -> int:
        """Greatest size of the output in bytes."""

    def prepare(self, plan: WritePlan) -> None:
        """Take on a plan, or refuse it; before any other call but `target`, `t_multiple` and `block_order`."""

    def begin(self, output: Outlet) -> None:
        """Lay out the output."""

    def reopen(self, output: Outlet) -> None:
        """Go on with an output that an earlier attempt laid out."""

    def encode(self, index: BlockIndex, block: NDArray[Any]) -> Any:
        """A block (T, C, Z, Y, X) as it will be stored.

        Made while the one before is being written; or an iterator, by which the work is done when `put` takes it.
        """

    def put(self, index: BlockIndex, encoded: Any) -> None:
        """Write what `encode` made of a block."""

    def finish(self, checksums: NDArray[np.uint32]) -> None:
        """Write what comes last, the blocks' CRC-32C among it, and let go of the output."""

    def abort(self) -> None:
        """Let go of the output, whatever state it is in."""


class FileSink:
    """What most sinks have in common; a format says what is otherwise with it.

    One file of frames that stand alone in the order T C Z, pixels as they are, and nothing held between the calls.
    """

    @property
    def notes(self) -> tuple[str, ...]:
        """None."""
        return ()

    @property
    def block_order(self) -> str:
        """The order of the frames."""
        return "TCZ"

    def shown(self, index: BlockIndex, block: NDArray[Any]) -> NDArray[Any]:
        """The block itself."""
        return block

    def target(self, final: str, recording: Recording) -> Target:
        """One file."""
        return Target(final=final, files=(final,))

    def t_multiple(self, recording: Recording) -> int:
        """Any frame may begin a block."""
        return 1

    def abort(self) -> None:
        """Nothing is held."""
