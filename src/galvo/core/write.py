"""The loop that writes a recording: plan -> begin -> (read block, put, commit) for each -> publish.

A commit brings a block to the disk and journals it, in a thread of its own while the next block is read. So whatever
stops the loop, it can go on behind the last commit, and the result is the same bit for bit: a sink lets go of its file
before each commit, so an unbroken run and a resumed one do exactly the same things to it.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from galvo.core.atomic import partial_path, require_space, write_error
from galvo.core.checksum import block_checksum
from galvo.core.partial import PartialFile
from galvo.core.sink import Sink, WritePlan
from galvo.errors import GalvoError

__all__ = ["Progress", "write_recording"]

Progress = Callable[[int, int], Any]


def write_recording(plan: WritePlan, sink: Sink, final: str, progress: Progress, resume: bool = False) -> None:
    """Write `plan` through `sink` and publish it as `final`.

    Parameters
    ----------
    plan : WritePlan
    sink : Sink
    final : str
        Already guarded (`atomic.guard_destination`).
    progress : callable
        Called with (bytes done, bytes in all) after each block.
    resume : bool
        Go on behind the last block that an earlier attempt brought to the disk; begin where there is none.

    Raises
    ------
    WriteError
        The output could not be written; the final path is as it was, and what is whole of the output can be resumed.
    GalvoError
        The recording could not be read.
    """
    if resume:
        file = PartialFile.resume(final, plan.fingerprint())
    else:
        if not sink.compresses:
            require_space(final, sink.estimate(plan))
        file = PartialFile.create(final, plan.fingerprint())
    try:
        with ThreadPoolExecutor(1, thread_name_prefix="galvo commit") as committer:
            _write_blocks(plan, sink, file, progress, committer)
        file.publish()
    except BaseException as error:
        sink.abort()
        kept = file.leave()
        if isinstance(error, GalvoError) and kept and error.hint is None:
            error.hint = f"{partial_path(final)} is kept: go on with resume=True (--resume)"
        if isinstance(error, OSError) and not isinstance(error, GalvoError):
            raise write_error(error, final, sink.estimate(plan)) from error
        raise


def _write_blocks(
    plan: WritePlan, sink: Sink, file: PartialFile, progress: Progress, committer: ThreadPoolExecutor
) -> None:
    """Everything up to the last byte, behind what is committed already."""
    total = plan.recording.nbytes
    checksums = np.zeros(len(plan.blocks), np.uint32)
    done = 0
    for commit in file.commits:
        if commit.block >= 0:
            checksums[commit.block] = commit.checksum
            done += plan.block_nbytes(commit.block)
    if file.commits:
        sink.reopen(file, plan)
        commit_running: Future[None] | None = None
        first = file.commits[-1].block + 1
    else:
        sink.begin(file, plan)
        file.check()
        commit_running = committer.submit(file.commit, -1, 0)
        first = 0
    progress(done, total)
    for number in range(first, len(plan.blocks)):
        block = plan.recording[plan.blocks[number]]
        checksums[number] = block_checksum(block)
        if commit_running is not None:
            commit_running.result()
        sink.put(plan.blocks[number], block)
        file.check()
        commit_running = committer.submit(file.commit, number, int(checksums[number]))
        done += block.nbytes
        progress(done, total)
    if commit_running is not None:
        commit_running.result()
    sink.finish(checksums)
