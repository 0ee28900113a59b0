"""The loop that writes a recording: plan -> begin -> (read block, put, commit) for each -> finish -> publish.

The main thread reads; a thread of its own writes and commits. That is faster, and Ctrl-C, which Python raises in the
main thread, never interrupts a library in the middle of a write. A commit brings a block to the disk and journals it.
So whatever stops the loop, it can go on behind the last commit, and the result is the same bit for bit: a sink lets go
of its file before each commit, so an unbroken run and a resumed one do exactly the same things to it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from galvo.core.atomic import require_space, write_error
from galvo.core.checksum import block_checksum
from galvo.core.journal import LAID_OUT
from galvo.core.memory import recycling
from galvo.core.output import Output
from galvo.core.sink import Sink, WritePlan
from galvo.core.target import Target
from galvo.errors import GalvoError

__all__ = ["Progress", "write_recording"]

Progress = Callable[[int, int], Any]


def write_recording(
    plan: WritePlan, sink: Sink, target: Target, progress: Progress, resume: bool = False, overwrite: bool = False
) -> None:
    """Write `plan` through `sink` and publish it as `target`.

    Parameters
    ----------
    plan : WritePlan
    sink : Sink
        Prepared for `plan`.
    target : Target
        Already guarded (`Target.guard`).
    progress : callable
        Called with (bytes done, bytes in all) before the first block and after each; what is done can be resumed.
    resume : bool
        Go on behind the last block that an earlier attempt brought to the disk; begin where there is none.
    overwrite : bool
        Replace what has the final name.

    Raises
    ------
    WriteError
        The output could not be written; the final path is as it was, and what is whole of the output can be resumed.
    GalvoError
        The recording could not be read.
    """
    needed = sink.estimate(plan)
    if not sink.compresses:
        require_space(target.final, target.partials, needed)
    make = Output.resume if resume else Output.create
    output = make(target, {**plan.fingerprint(), **target.to_json()}, overwrite, needed)
    try:
        # a block that is read, one that is encoded, one that is written
        most_bytes = 3 * max(map(plan.block_nbytes, range(len(plan.blocks))), default=0)
        with recycling(most_bytes), ThreadPoolExecutor(1, thread_name_prefix="galvo writer") as writer:
            _write_blocks(plan, sink, output, progress, writer)
    except BaseException as error:
        try:
            sink.abort()
        finally:
            kept = output.leave()
        told = error
        if isinstance(error, OSError) and not isinstance(error, GalvoError):
            told = write_error(error, target.final, needed)
        if isinstance(told, GalvoError) and kept:
            told.hint = f"{target.partials[0]} is kept: go on with resume=True (--resume)"
        if told is error:
            raise
        raise told from error


def _write_blocks(plan: WritePlan, sink: Sink, output: Output, progress: Progress, writer: ThreadPoolExecutor) -> None:
    """Everything up to the final name, behind what is committed already."""
    total = plan.recording.nbytes
    checksums = np.zeros(len(plan.blocks), np.uint32)
    blocks = [commit for commit in output.commits if 0 <= commit.block < len(plan.blocks)]
    for commit in blocks:
        checksums[commit.block] = commit.checksum
    done = sum(plan.block_nbytes(commit.block) for commit in blocks)

    def begin() -> None:
        if output.commits:
            sink.reopen(output)
        else:
            sink.begin(output)
            output.commit(LAID_OUT, 0)

    def put(number: int, encoded: Any) -> None:
        sink.put(plan.blocks[number], encoded)
        output.commit(number, int(checksums[number]))

    def end() -> None:
        if not output.complete:
            sink.finish(checksums)
        output.publish()

    running = writer.submit(begin)
    progress(done, total)
    coming = 0
    for number in range(len(blocks), len(plan.blocks)):
        block = plan.recording[plan.blocks[number]]
        checksums[number] = block_checksum(sink.shown(plan.blocks[number], block))
        encoded, nbytes = sink.encode(plan.blocks[number], block), block.nbytes
        del block
        running.result()
        if coming:
            done += coming
            progress(done, total)
        coming = nbytes
        running = writer.submit(put, number, encoded)
        del encoded
    running.result()
    if coming:
        progress(total, total)
    writer.submit(end).result()
