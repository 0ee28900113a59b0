"""Power that goes while galvo writes: every operation recorded, and the states of the disk that could be left."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from galvo.testing.disk_faults import Disk

__all__ = ["Operation", "PowerCut", "Recorder", "place_snapshot", "power_cuts", "snapshot"]

_SECTORS = (512, 4096)


@dataclass(frozen=True, slots=True)
class Operation:
    """What was done to a folder.

    Attributes
    ----------
    kind : str
        create, mkdir, write, truncate, sync, sync folder, rename, unlink or rmdir.
    file : int
        Number of the file or folder, whatever its name.
    folder : int
        Number of the folder whose names change; the outermost is 0.
    name, new : str
        For what changes names.
    offset : int
        Of a write; the size for truncate.
    data : bytes
    """

    kind: str
    file: int = -1
    folder: int = 0
    name: str = ""
    new: str = ""
    offset: int = 0
    data: bytes = b""


class Recorder(Disk):
    """Records every operation with its data.

    Parameters
    ----------
    folder : str
        The one that is written in, and folders in it.

    Attributes
    ----------
    before : dict of str to bytes
        Relative paths and content of the folder's files at the beginning (`snapshot`).
    operations : list of Operation
    """

    def __init__(self, folder: str) -> None:
        super().__init__()
        self.before = snapshot(folder)
        self.operations: list[Operation] = []
        # by absolute path; never used again, though paths are
        self._numbers = {os.path.abspath(folder): 0}
        self._count = 0
        for path in self.before:
            self._number(os.path.join(os.path.abspath(folder), path.rstrip("/")))
        self.tree = {
            (self._numbers[os.path.dirname(path)], os.path.basename(path)): number
            for path, number in self._numbers.items()
            if number
        }
        self.content = {
            self._numbers[os.path.join(os.path.abspath(folder), path)]: data
            for path, data in self.before.items()
            if not path.endswith("/")
        }
        self._open: dict[int, int] = {}

    def _number(self, path: str) -> int:
        if path not in self._numbers:
            if os.path.dirname(path) not in self._numbers:
                self._number(os.path.dirname(path))
            self._count += 1
            self._numbers[path] = self._count
        return self._numbers[path]

    def perform(self, number: int, name: str, call: Callable[..., Any], *arguments: Any) -> Any:
        """Do operation `number` and record it."""
        place = os.lseek(arguments[0], 0, os.SEEK_CUR) if name == "write" else 0
        folder = os.fstat(arguments[0]) if name == "sync folder" else None
        result = call(*arguments)
        if name in ("open", "mkdir"):
            path = os.path.abspath(arguments[0])
            if path not in self._numbers:
                self._changed("create" if name == "open" else "mkdir", path, self._number(path))
            if name == "open":
                self._open[result] = self._numbers[path]
        elif name == "write":
            data = bytes(memoryview(arguments[1])[:result])
            self.operations.append(Operation("write", self._open[arguments[0]], offset=place, data=data))
        elif name == "truncate":
            self.operations.append(Operation("truncate", self._open[arguments[0]], offset=arguments[1]))
        elif name == "sync":
            self.operations.append(Operation("sync", self._open[arguments[0]]))
        elif folder is not None:
            self.operations.append(Operation("sync folder", folder=self._known(folder)))
        elif name == "rename":
            self._rename(*map(os.path.abspath, arguments))
        elif name in ("unlink", "rmdir"):
            path = os.path.abspath(arguments[0])
            self._changed(name, path, self._numbers.pop(path))
        return result

    def _changed(self, kind: str, path: str, number: int, new: str = "") -> None:
        folder = self._numbers[os.path.dirname(path)]
        self.operations.append(Operation(kind, number, folder, os.path.basename(path), new))

    def _rename(self, old: str, new: str) -> None:
        self._changed("rename", old, self._numbers[old], os.path.basename(new))
        for path in [path for path in self._numbers if path == old or path.startswith(old + os.sep)]:
            self._numbers[new + path[len(old) :]] = self._numbers.pop(path)

    def _known(self, status: os.stat_result) -> int:
        for path, number in self._numbers.items():
            with suppress(OSError):
                if os.path.isdir(path) and os.path.samestat(os.stat(path), status):
                    return number
        return -1


def snapshot(folder: str) -> dict[str, bytes]:
    """Content of the files in a folder and in its folders, by relative path; an empty folder ends with a slash."""
    found: dict[str, bytes] = {}
    for name in sorted(os.listdir(folder)):
        path = os.path.join(folder, name)
        if os.path.isdir(path):
            inside = snapshot(path)
            found |= {f"{name}/{one}": content for one, content in inside.items()} if inside else {f"{name}/": b""}
        else:
            with open(path, "rb") as stream:
                found[name] = stream.read()
    return found


def place_snapshot(folder: str, files: Mapping[str, bytes]) -> None:
    """Make a folder as `snapshot` found it."""
    for entry in os.scandir(folder):
        if entry.is_dir(follow_symlinks=False):
            shutil.rmtree(entry.path)
        else:
            os.unlink(entry.path)
    for name, content in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if not name.endswith("/"):
            with open(path, "wb") as stream:
                stream.write(content)


@dataclass(frozen=True, slots=True)
class PowerCut:
    """A state that a power cut may leave.

    Attributes
    ----------
    operation : int
        Operations that had begun.
    what : str
        Which of those that were not synced reached the disk.
    files : dict of str to bytes
        What the folder holds, as `snapshot` tells it.
    safe : dict of str to bytes
        What it holds where nothing but what was synced reached the disk.
    """

    operation: int
    what: str
    files: dict[str, bytes]
    safe: dict[str, bytes]


@dataclass
class _Model:
    """A folder: what is on the disk for certain, and what was done since."""

    content: dict[int, bytes]
    names: dict[tuple[int, str], int]
    folders: set[int]
    pending: dict[int, list[Operation]] = field(default_factory=dict)
    pending_names: list[Operation] = field(default_factory=list)

    def do(self, operation: Operation) -> None:
        if operation.kind in ("write", "truncate"):
            self.pending.setdefault(operation.file, []).append(operation)
        elif operation.kind == "sync":
            content = bytearray(self.content.get(operation.file, b""))
            for one in self.pending.pop(operation.file, []):
                _apply(content, one)
            self.content[operation.file] = bytes(content)
        elif operation.kind == "sync folder":
            _rename(self.names, [one for one in self.pending_names if one.folder == operation.folder])
            self.pending_names = [one for one in self.pending_names if one.folder != operation.folder]
        else:
            if operation.kind == "mkdir":
                self.folders.add(operation.file)
            self.pending_names.append(operation)

    def state(self, choose: Callable[[Sequence[Operation]], Sequence[Operation]], renamed: int) -> dict[str, bytes]:
        names = dict(self.names)
        _rename(names, self.pending_names[:renamed])
        found = {}
        for path, number in _walk(names, self.folders, 0, ""):
            content = bytearray(self.content.get(number, b""))
            for one in choose(self.pending.get(number, [])):
                _apply(content, one)
            found[path] = bytes(content)
        return found


def _walk(
    names: Mapping[tuple[int, str], int], folders: set[int], folder: int, prefix: str
) -> Iterator[tuple[str, int]]:
    inside = sorted((name, number) for (parent, name), number in names.items() if parent == folder)
    if not inside and prefix:
        yield prefix, -1
    for name, number in inside:
        if number in folders:
            yield from _walk(names, folders, number, f"{prefix}{name}/")
        else:
            yield prefix + name, number


def _apply(content: bytearray, operation: Operation) -> None:
    size = operation.offset + len(operation.data)
    if operation.kind == "truncate":
        del content[size:]
    content.extend(bytes(max(0, size - len(content))))
    if operation.kind == "write":
        content[operation.offset : size] = operation.data


def _rename(names: dict[tuple[int, str], int], operations: Sequence[Operation]) -> None:
    for one in operations:
        place = (one.folder, one.name)
        if one.kind in ("create", "mkdir"):
            names[place] = one.file
        elif one.kind == "rename" and place in names:
            names[one.folder, one.new] = names.pop(place)
        elif one.kind in ("unlink", "rmdir"):
            names.pop(place, None)


def power_cuts(recorder: Recorder, count: int, seed: int = 0) -> Iterator[PowerCut]:
    """`count` states that a power cut could leave, and more where every prefix needs them.

    For every prefix of the operations: without anything that was not synced, and with all of it. Then at random:
    some of the writes since the last sync, torn at multiples of 512 or 4,096 bytes, in any order; names that changed
    before the data were there, and data whose names did not.

    Parameters
    ----------
    recorder : Recorder
    count : int
    seed : int
    """
    rng = np.random.default_rng(seed)
    total = len(recorder.operations)
    extra = np.bincount(rng.integers(0, total + 1, max(0, count - 2 * (total + 1))), minlength=total + 1)
    folders = {0} | {folder for folder, _ in recorder.tree}
    model = _Model(dict(recorder.content), dict(recorder.tree), folders)
    for place in range(total + 1):
        if place:
            model.do(recorder.operations[place - 1])
        safe = model.state(lambda operations: (), 0)
        yield PowerCut(place, "nothing unsynced", safe, safe)
        waiting = len(model.pending_names)
        yield PowerCut(place, "everything", model.state(lambda operations: operations, waiting), safe)
        for _ in range(int(extra[place])):
            renamed, share = int(rng.integers(waiting + 1)), float(rng.choice([0.0, 0.2, 0.5, 0.8, 1.0]))
            sector = int(rng.choice(_SECTORS))

            def some(
                operations: Sequence[Operation], share: float = share, sector: int = sector
            ) -> Sequence[Operation]:
                # sizes are metadata and change in order; bytes reach the disk in any
                pieces = [piece for one in operations for piece in _torn(one, sector)]
                return [one for one in pieces if rng.random() < share]

            what = f"{renamed} of {waiting} names, {share:.0%} of the writes, torn at {sector}"
            yield PowerCut(place, what, model.state(some, renamed), safe)


def _torn(operation: Operation, sector: int) -> Iterator[Operation]:
    if operation.kind == "truncate":
        yield operation
        return
    start, stop = operation.offset, operation.offset + len(operation.data)
    while start < stop:
        end = min(stop, (start // sector + 1) * sector)
        data = operation.data[start - operation.offset : end - operation.offset]
        yield Operation("write", operation.file, offset=start, data=data)
        start = end
