"""The loop that writes a recording: plan -> begin -> (read block, put, commit) for each -> finish -> publish.

The main thread reads; a thread of its own writes and commits. That is faster, and Ctrl-C, which Python raises in the
main thread, never interrupts a library in the middle of a write. Checksums are counted beside both. A commit brings a
block to the disk and journals it; the last block is committed with what comes behind it. So whatever stops the loop, it
can go on behind the last commit, and the result is the same bit for bit: a sink lets go of its file before each commit,
so an unbroken run and a resumed one do exactly the same things to it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.atomic import require_space, write_error
from galvo.core.checksum import block_checksum
from galvo.core.journal import COMPLETE
from galvo.core.memory import recycling
from galvo.core.output import Output, another_source
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
        _require_same_pixels(plan, target, output)
    except BaseException:
        output.close()
        raise
    try:
        # a block that is read, one that is encoded, one that is written
        most_bytes = 3 * max(map(plan.block_nbytes, range(len(plan.blocks))), default=0)
        with recycling(most_bytes), ThreadPoolExecutor(2, thread_name_prefix="galvo writer") as threads:
            _write_blocks(plan, sink, output, progress, threads)
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


def _require_same_pixels(plan: WritePlan, target: Target, output: Output) -> None:
    """Refuse to go on from pixels in memory that are not those of before."""
    if plan.source_is_told:
        return
    for number, commit in enumerate(output.commits):
        if block_checksum(plan.recording.borrow(plan.blocks[number])) != commit.source_checksum:
            raise another_source(target.final)


def _write_blocks(plan: WritePlan, sink: Sink, output: Output, progress: Progress, threads: ThreadPoolExecutor) -> None:
    """Everything up to the final name, behind what is committed already."""
    total = plan.recording.nbytes
    checksums = np.zeros(len(plan.blocks), np.uint32)
    for number, commit in enumerate(output.commits):
        checksums[number] = commit.checksum
    first = len(output.commits)
    done = sum(map(plan.block_nbytes, range(first)))

    def begin() -> None:
        if output.commits:
            sink.reopen(output)
        else:
            sink.begin(output)

    def put(number: int, encoded: Any, counted: Future[tuple[int, int]]) -> None:
        sink.put(plan.blocks[number], encoded)
        checksums[number], source = counted.result()
        if number < len(plan.blocks) - 1:
            output.commit(number, int(checksums[number]), source)
            return
        sink.finish(checksums)
        output.commit(COMPLETE, int(checksums[number]), source)

    running = threads.submit(lambda: None if output.complete else begin())
    progress(done, total)
    coming = 0
    for number in range(first, len(plan.blocks)):
        block = plan.recording.borrow(plan.blocks[number])
        shown = sink.shown(plan.blocks[number], block)
        counted = threads.submit(_count, block, shown)
        encoded, nbytes = sink.encode(plan.blocks[number], block), block.nbytes
        del block, shown
        running.result()
        if coming:
            done += coming
            progress(done, total)
        coming = nbytes
        running = threads.submit(put, number, encoded, counted)
        del encoded, counted
    running.result()
    if coming:
        progress(total, total)
    threads.submit(output.publish).result()


def _count(block: NDArray[Any], shown: NDArray[Any]) -> tuple[int, int]:
    """Checksums of what the output shows, and of its source."""
    checksum = block_checksum(shown)
    return checksum, checksum if shown is block else block_checksum(block)
