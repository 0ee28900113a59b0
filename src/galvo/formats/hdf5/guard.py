"""What in an HDF5 file reaches outside it: links to other files, external storage, virtual datasets.

Opening such an object can read any file that the user may read, without a word (reliability rule R5), so nothing of the
kind is followed unless the caller allows it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import h5py

from galvo.errors import LimitExceeded, UnsafeContent

__all__ = ["Found", "refuse", "walk"]

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
            item = group.get(name)
            if item is None:
                continue
            key = h5py.h5o.get_info(item.id)
            identity = (key.fileno, key.addr)
            if identity in seen:
                continue
            seen.add(identity)
            if isinstance(item, h5py.Group):
                waiting.append((full, item, depth + 1))
            elif isinstance(item, h5py.Dataset):
                yield full, item, "" if allow_external else _danger(item)


def _danger(dataset: Any) -> str:
    plist = dataset.id.get_create_plist()
    if plist.get_layout() == h5py.h5d.VIRTUAL:
        return "a virtual dataset over other files"
    if plist.get_external_count():
        return f"data stored in {plist.get_external(0)[0].decode(errors='replace')}"
    return ""


def refuse(name: str, danger: str, path: str) -> None:
    """Raise `UnsafeContent` for an object that reaches outside."""
    raise UnsafeContent(
        f"{name} is {danger}",
        path=path,
        hint="If the file is trusted, open it with allow_external=True (--allow-external)",
    )
