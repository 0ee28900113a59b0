"""The loop that writes a recording: plan -> begin -> (read block, put) for each -> publish."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from galvo.core.atomic import PartialFile, write_error
from galvo.core.checksum import block_checksum
from galvo.core.sink import Sink, WritePlan
from galvo.errors import GalvoError

__all__ = ["Progress", "write_recording"]

Progress = Callable[[int, int], Any]


def write_recording(plan: WritePlan, sink: Sink, final: str, progress: Progress) -> None:
    """Write `plan` through `sink` and publish it as `final`.

    Parameters
    ----------
    plan : WritePlan
    sink : Sink
    final : str
        Already guarded (`atomic.guard_destination`).
    progress : callable
        Called with (bytes done, bytes in all) after each block.

    Raises
    ------
    WriteError
        The output could not be written; the final path is as it was.
    GalvoError
        The recording could not be read.
    """
    total = plan.recording.nbytes
    file = PartialFile(final)
    try:
        sink.begin(file, plan)
        file.check()
        checksums = np.empty(len(plan.blocks), np.uint32)
        done = 0
        progress(done, total)
        for number, index in enumerate(plan.blocks):
            block = plan.recording[index]
            checksums[number] = block_checksum(block)
            sink.put(index, block)
            file.check()
            done += block.nbytes
            progress(done, total)
        sink.finish(checksums)
        file.publish()
    except BaseException as error:
        _let_go(sink, file)
        if isinstance(error, OSError) and not isinstance(error, GalvoError):
            raise write_error(error, final, sink.estimate(plan)) from error
        raise


def _let_go(sink: Sink, file: PartialFile) -> None:
    try:
        sink.abort()
    finally:
        file.discard()
