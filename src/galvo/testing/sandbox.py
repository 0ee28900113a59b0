"""Cases in processes of their own: a crash, a hang or too much memory there becomes a value here.

Each case is a fork of the warm caller, so it costs milliseconds. It may map a bounded amount of memory beyond what the
caller has, dumps no core, and is killed when its time is over. Needs `os.fork`; peaks of memory need Linux.
"""

from __future__ import annotations

import faulthandler
import gc
import hashlib
import json
import os
import select
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

import numpy as np

from galvo.core.recording import Recording
from galvo.errors import GalvoError

__all__ = ["PeakMemory", "Verdict", "frame_digest", "read_digests", "run_case", "run_cases"]

_RESULT = b"\n\0result\0"
_STATUS = "/proc/self/status"

Kind = Literal["value", "error", "foreign", "signal", "timeout"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a case.

    Attributes
    ----------
    kind : str
        "value": it returned; "error": it raised a galvo error; "foreign": it raised anything else; "signal": it died;
        "timeout": it was killed.
    value : object
        What it returned, as JSON keeps it.
    detail : str
        Type and message of a galvo error; the traceback of anything worse.
    peak_bytes : int
        Resident memory above that of its start; 0 where the system does not tell.
    seconds : float
        From fork to end.
    """

    kind: Kind
    value: Any = None
    detail: str = ""
    peak_bytes: int = 0
    seconds: float = 0.0

    @property
    def is_allowed(self) -> bool:
        """Whether it ended as reading outside data may end."""
        return self.kind in ("value", "error")


class PeakMemory:
    """Resident memory of this process above that of a moment; 0 where the system does not tell."""

    def __init__(self) -> None:
        self._start = 0
        self.restart()

    def restart(self) -> None:
        """Measure from now on."""
        try:
            # proc(5): 5 sets the peak back to what is resident now
            with open("/proc/self/clear_refs", "wb", buffering=0) as control:
                control.write(b"5")
        except OSError:
            pass
        self._start = _status_bytes("VmRSS")

    def peak_bytes(self) -> int:
        """The most that was resident since then, above what was resident then."""
        return max(0, _status_bytes("VmHWM") - self._start)


def _status_bytes(name: str) -> int:
    try:
        with open(_STATUS, encoding="ascii") as status:
            for line in status:
                if line.startswith(name + ":"):
                    return int(line.split()[1]) << 10
    except OSError:
        pass
    return 0


def run_case(work: Callable[[], Any], *, seconds: float = 5.0, memory_bytes: int = 1 << 30) -> Verdict:
    """The verdict on one case; see `run_cases`."""
    ((_, verdict),) = run_cases([work], seconds=seconds, memory_bytes=memory_bytes)
    return verdict


def run_cases(
    cases: Iterable[Callable[[], Any]],
    *,
    seconds: float = 5.0,
    memory_bytes: int = 1 << 30,
    processes: int | None = None,
) -> Iterator[tuple[int, Verdict]]:
    """Run each case in a fork.

    Parameters
    ----------
    cases : iterable of callable
        Each returns something that JSON can keep.
    seconds : float
        Time after which a case is killed.
    memory_bytes : int
        Address space that a case may take beyond what the caller has.
    processes : int, optional
        Cases at a time; one per core by default.

    Yields
    ------
    number : int
        Position of the case; they come as they end.
    verdict : Verdict
    """
    waiting = enumerate(cases)
    running: dict[int, _Child] = {}
    most = processes or os.cpu_count() or 1
    gc.collect()
    try:
        while True:
            while len(running) < most and (following := next(waiting, None)) is not None:
                child = _start(*following, seconds, memory_bytes)
                running[child.pipe] = child
            if not running:
                return
            left = min(child.deadline for child in running.values()) - time.monotonic()
            for pipe in select.select(list(running), [], [], min(max(0.0, left), seconds))[0]:
                if running[pipe].receive():
                    child = running.pop(pipe)
                    yield child.number, child.verdict(seconds)
            for child in running.values():
                if time.monotonic() > child.deadline and not child.killed:
                    child.kill()
    finally:
        for child in running.values():
            child.kill()
            child.verdict(seconds)


@dataclass(slots=True)
class _Child:
    number: int
    process: int
    pipe: int
    started: float
    deadline: float
    received: bytearray = field(default_factory=bytearray)
    killed: bool = False

    def receive(self) -> bool:
        """Take what the pipe holds; whether that was all."""
        data = os.read(self.pipe, 1 << 16)
        self.received += data
        return not data

    def kill(self) -> None:
        self.killed = True
        self.deadline = float("inf")
        os.kill(self.process, signal.SIGKILL)

    def verdict(self, seconds: float) -> Verdict:
        os.close(self.pipe)
        status = os.waitpid(self.process, 0)[1]
        took = time.monotonic() - self.started
        said, found, result = bytes(self.received).partition(_RESULT)
        text = said.decode(errors="replace")
        if self.killed or took > seconds:
            return Verdict("timeout", detail=text, seconds=took)
        if os.WIFSIGNALED(status):
            return Verdict("signal", detail=f"{signal.Signals(os.WTERMSIG(status)).name}\n{text}", seconds=took)
        if not found or os.WEXITSTATUS(status):
            return Verdict("foreign", detail=f"ended with status {status}\n{text}", seconds=took)
        return Verdict(**json.loads(result), seconds=took)


def _start(number: int, work: Callable[[], Any], seconds: float, memory_bytes: int) -> _Child:
    pipe, theirs = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # the threads of numerical libraries; none of them is galvo's
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if process == 0:
        _run(work, theirs, seconds, memory_bytes)
    os.close(theirs)
    now = time.monotonic()
    # the child tells first where it hangs
    return _Child(number, process, pipe, now, now + seconds + 0.5)


def _run(work: Callable[[], Any], pipe: int, seconds: float, memory_bytes: int) -> NoReturn:
    try:
        # what the collector visits is touched, and so copied
        gc.freeze()
        os.dup2(pipe, 2)
        faulthandler.enable(2)
        faulthandler.dump_traceback_later(seconds, file=2)
        _bound(seconds, memory_bytes)
        memory = PeakMemory()
        result = _judged(work)
        result["peak_bytes"] = memory.peak_bytes()
        answer = memoryview(_RESULT + json.dumps(result).encode())
        while answer:
            answer = answer[os.write(pipe, answer) :]
        os._exit(0)
    finally:
        os._exit(1)


def _bound(seconds: float, memory_bytes: int) -> None:
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (int(8 * seconds) + 2,) * 2)
    size = _status_bytes("VmSize")
    if size:
        resource.setrlimit(resource.RLIMIT_AS, (size + memory_bytes,) * 2)


def _judged(work: Callable[[], Any]) -> dict[str, Any]:
    try:
        return {"kind": "value", "value": work()}
    except GalvoError as error:
        return {"kind": "error", "value": type(error).__name__, "detail": f"{type(error).__name__}: {error}"}
    except BaseException:  # noqa: BLE001  the caller judges
        return {"kind": "foreign", "detail": traceback.format_exc()}


def frame_digest(frame: Any) -> str:
    """A short name of a frame's type, shape and pixels."""
    head = f"{frame.dtype} {frame.shape}".encode()
    return hashlib.blake2b(head + np.ascontiguousarray(frame).tobytes(), digest_size=8).hexdigest()


def read_digests(recording: Recording, places: Sequence[tuple[int, int, int]]) -> list[str]:
    """The digest of each frame (t, c, z), read one by one; importable, so that spawned processes find it."""
    return [frame_digest(recording[t, c, z]) for t, c, z in places]
