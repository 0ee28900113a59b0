"""What in an HDF5 file reaches outside it: links to other files, external storage, virtual datasets.

Opening such an object can read any file that the user may read, without a word (reliability rule R5), so nothing of the
kind is followed unless the caller allows it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import h5py

from galvo.errors import DamagedData, LimitExceeded, UnsafeContent

__all__ = ["Found", "absent_outside", "contained", "followed", "refuse", "walk"]

_MAX_OBJECTS = 100_000
_MAX_DEPTH = 32

Found = tuple[str, Any, str]


def walk(file: Any, allow_external: bool, path: str) -> Iterator[Found]:
    """Every dataset of a file by name.

    Yields
    ------
    name : str
        Path within the file.
    dataset : h5py.Dataset or None
        None for a link that is not followed.
    danger : str
        What reaches outside, "" for nothing.
    """
    seen: set[Any] = set()
    count = 0
    waiting: list[tuple[str, Any, int]] = [("", file, 0)]
    while waiting:
        prefix, group, depth = waiting.pop(0)
        for name in group:
            count += 1
            if count > _MAX_OBJECTS or depth > _MAX_DEPTH:
                raise LimitExceeded("more objects, or deeper, than a recording has", path=path)
            full = f"{prefix}/{name}"
            link = group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink) and not allow_external:
                yield full, None, f"a link to {link.filename}"
                continue
            if isinstance(link, h5py.SoftLink):
                # its target is met under its own name
                continue
            # raises where the object does not open: a channel must not vanish
            item = group[name]
            # by the link: asking the object walks its chunks, slowly, and crashes libhdf5 2.0 where they are damaged
            info = group.id.links.get_info(name.encode(errors="surrogateescape"))
            identity = (group.file.filename, info.u) if isinstance(link, h5py.HardLink) else (link.filename, link.path)
            if identity in seen:
                continue
            seen.add(identity)
            if isinstance(item, h5py.Group):
                waiting.append((full, item, depth + 1))
            elif isinstance(item, h5py.Dataset) and _is_array(item):
                yield full, item, "" if allow_external else _danger(item)


def _is_array(dataset: Any) -> bool:
    """Whether it has axes, and a type that NumPy knows."""
    try:
        return dataset.shape is not None and dataset.dtype is not None
    except TypeError:
        return False


def _danger(dataset: Any) -> str:
    plist = dataset.id.get_create_plist()
    if plist.get_layout() == h5py.h5d.VIRTUAL:
        return "a virtual dataset over other files"
    if plist.get_external_count():
        return f"data stored in {plist.get_external(0)[0].decode(errors='replace')}"
    return ""


def contained(group: Any, name: str) -> Any:
    """The object called `name`, a path below `group`, if it lies in the file itself; else None."""
    item = group
    for part in name.split("/"):
        # asking for the link first: to look through one is to open what it leads to
        if not isinstance(item, h5py.Group) or not isinstance(item.get(part, getlink=True), h5py.HardLink):
            return None
        item = item[part]
    return None if isinstance(item, h5py.Dataset) and _danger(item) else item


def followed(file: Any, name: str) -> str:
    """The path that `name` leads to, its soft links followed by their texts alone, up to a link to another file."""
    done: list[str] = []
    waiting = name.split("/")
    for _ in range(_MAX_DEPTH * _MAX_DEPTH):
        while waiting and waiting[0] in ("", "."):
            waiting.pop(0)
        if not waiting:
            break
        done.append(waiting.pop(0))
        link = file.get("/" + "/".join(done), getlink=True)
        if isinstance(link, h5py.SoftLink):
            done = [] if link.path.startswith("/") else done[:-1]
            waiting = link.path.split("/") + waiting
        elif not isinstance(link, h5py.HardLink):
            break
    return "/" + "/".join(done + waiting)


def absent_outside(dataset: Any, path: str) -> None:
    """Refuse a dataset whose bytes outside the file are missing: libhdf5 gives fill values for them.

    Raises
    ------
    DamagedData
        A file that it needs is absent, or too short.
    """
    plist = dataset.id.get_create_plist()
    if plist.get_layout() == h5py.h5d.VIRTUAL:
        folder = os.path.dirname(os.path.abspath(path))
        for source in dataset.virtual_sources():
            places = (source.file_name, os.path.join(folder, source.file_name))
            if source.file_name != "." and "%" not in source.file_name and not any(map(os.path.isfile, places)):
                raise DamagedData(f"{dataset.name} needs a file that is not there", path=path, found=source.file_name)
        return
    left = dataset.size * dataset.dtype.itemsize
    for number in range(plist.get_external_count()):
        name, offset, size = plist.get_external(number)
        needed = min(size, left)
        there = os.path.getsize(name) if os.path.isfile(name) else 0
        if there < offset + needed:
            name = os.fsdecode(name)
            raise DamagedData(
                f"{name}, where {dataset.name} is stored, is too short",
                path=path,
                found=f"{there} bytes",
                expected=f"{offset + needed}",
            )
        left -= needed


def refuse(name: str, danger: str, path: str) -> None:
    """Raise `UnsafeContent` for an object that reaches outside."""
    raise UnsafeContent(
        f"{name} is {danger}",
        path=path,
        hint="If the file is trusted, open it with allow_external=True (--allow-external)",
    )
