"""Cases in processes of their own: a crash, a hang or too much memory there becomes a value here.

Each case, or a few of them, is a fork of the warm caller, so it costs milliseconds. It may map a bounded amount of
memory beyond what the caller has, dumps no core, and is killed when its time is over. Needs `os.fork`; peaks of memory
need Linux.
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
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any, Literal, NoReturn

import numpy as np

from galvo.core.recording import Recording
from galvo.errors import GalvoError

__all__ = ["PeakMemory", "Verdict", "frame_digest", "read_digests", "run_case", "run_cases"]

_RESULT, _END = b"\n\0result\0", b"\0end\0"
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
        That it took.
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
    together: int = 1,
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
        Forks at a time; one per core by default.
    together : int
        Cases that share a fork, one after the other: a fork costs more than a small case. Those behind one that dies
        or hangs get another. Memory that an earlier case gave back to the process is not seen in the peak of a later.

    Yields
    ------
    number : int
        Position of the case; they come as they end.
    verdict : Verdict
    """
    waiting = enumerate(cases)
    left_over: list[list[_Case]] = []
    running: dict[int, _Child] = {}
    most = processes or os.cpu_count() or 1
    gc.collect()
    try:
        while True:
            while len(running) < most:
                following = left_over.pop() if left_over else list(islice(waiting, together))
                if not following:
                    break
                child = _start(following, seconds, memory_bytes)
                running[child.pipe] = child
            if not running:
                return
            left = min(child.deadline for child in running.values()) - time.monotonic()
            for pipe in select.select(list(running), [], [], min(max(0.0, left), seconds))[0]:
                child = running[pipe]
                if child.receive():
                    yield from child.verdicts()
                    continue
                del running[pipe]
                status = child.end()
                yield from child.verdicts()
                if child.cases:
                    yield child.lost(status)
                if child.cases:
                    left_over.append(child.cases)
            for child in running.values():
                if time.monotonic() > child.deadline and not child.killed:
                    child.kill()
    finally:
        for child in running.values():
            child.kill()
            child.end()


_Case = tuple[int, Callable[[], Any]]


@dataclass(slots=True)
class _Child:
    """A fork, and the cases that have not ended in it: the first is running."""

    cases: list[_Case]
    process: int
    pipe: int
    seconds: float
    started: float = field(default_factory=time.monotonic)
    received: bytes = b""
    killed: bool = False

    @property
    def deadline(self) -> float:
        # the child tells first where it hangs
        return float("inf") if self.killed else self.started + self.seconds + 0.5

    def receive(self) -> bool:
        """Take what the pipe holds; whether more may come."""
        data = os.read(self.pipe, 1 << 16)
        self.received += data
        return bool(data)

    def verdicts(self) -> Iterator[tuple[int, Verdict]]:
        """Of cases that have ended."""
        while True:
            said, _, rest = self.received.partition(_RESULT)
            result, ended, behind = rest.partition(_END)
            if not ended:
                return
            self.received, self.started = behind, time.monotonic()
            verdict = Verdict(**json.loads(result))
            if verdict.seconds > self.seconds:
                verdict = replace(verdict, kind="timeout", value=None, detail=said.decode(errors="replace"))
            yield self.cases.pop(0)[0], verdict

    def kill(self) -> None:
        self.killed = True
        os.kill(self.process, signal.SIGKILL)

    def end(self) -> int:
        """Wait for its end; its status."""
        os.close(self.pipe)
        return os.waitpid(self.process, 0)[1]

    def lost(self, status: int) -> tuple[int, Verdict]:
        """Of the case in which it died."""
        number, _ = self.cases.pop(0)
        took, text = time.monotonic() - self.started, self.received.decode(errors="replace")
        if self.killed or took > self.seconds:
            return number, Verdict("timeout", detail=text, seconds=took)
        if os.WIFSIGNALED(status):
            name = signal.Signals(os.WTERMSIG(status)).name
            return number, Verdict("signal", detail=f"{name}\n{text}", seconds=took)
        return number, Verdict("foreign", detail=f"ended with status {status}\n{text}", seconds=took)


def _start(cases: list[_Case], seconds: float, memory_bytes: int) -> _Child:
    pipe, theirs = os.pipe()
    sys.stdout.flush()
    sys.stderr.flush()
    with warnings.catch_warnings():
        # the threads of numerical libraries; none of them is galvo's
        warnings.simplefilter("ignore", DeprecationWarning)
        process = os.fork()
    if process == 0:
        _run(cases, theirs, seconds, memory_bytes)
    os.close(theirs)
    return _Child(cases, process, pipe, seconds)


def _run(cases: list[_Case], pipe: int, seconds: float, memory_bytes: int) -> NoReturn:
    try:
        # what the collector visits is touched, and so copied
        gc.freeze()
        os.dup2(pipe, 2)
        faulthandler.enable(2)
        _bound(len(cases) * seconds, memory_bytes)
        memory = PeakMemory()
        for place, (_, work) in enumerate(cases):
            if place:
                memory.restart()
            faulthandler.dump_traceback_later(seconds, file=2)
            started = time.monotonic()
            result = _judged(work)
            result["seconds"] = time.monotonic() - started
            result["peak_bytes"] = memory.peak_bytes()
            answer = memoryview(_RESULT + json.dumps(result).encode() + _END)
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
