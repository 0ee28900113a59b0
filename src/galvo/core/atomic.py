"""Giving an output its final name, and refusing one that would destroy something.

An output is written as ``<name>.partial`` beside its final path, synced, and renamed; so at any moment the final path
is absent, or the old complete file, or the new complete one. (ALICE, OSDI 2014: a rename before the data are on the
disk is the classic way to lose both.)
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Sequence
from typing import Any

from galvo.core import disk
from galvo.core.source import path_name
from galvo.errors import GalvoError, NoSpace, OptionError, WriteError

__all__ = [
    "guard_destination",
    "journal_path",
    "output_name",
    "partial_path",
    "replaced_path",
    "require_space",
    "write_error",
    "write_file",
]

_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EFBIG)


def output_name(item: Any) -> str:
    """The final name of an output, as a caller gave it: without a separator at its end.

    Raises
    ------
    OptionError
        It is no path, or an empty one.
    """
    text = path_name(item)
    if not text:
        raise OptionError("the output has no name: its path is empty")
    return text.rstrip(os.sep) or os.sep


def partial_path(final: str) -> str:
    """Where an output lives until it is complete."""
    return final + ".partial"


def journal_path(final: str) -> str:
    """Where the journal of an output lives until it is complete."""
    return final + ".journal"


def replaced_path(final: str) -> str:
    """Where a folder goes while another takes its name."""
    return final + ".replaced"


def require_space(final: str, partials: Sequence[str], nbytes: int) -> None:
    """Refuse to begin what the disk cannot hold.

    Parameters
    ----------
    final : str
    partials : sequence of str
        What an earlier attempt may have left, and this one replaces or goes on with.
    nbytes : int

    Raises
    ------
    NoSpace
        Less than `nbytes` and a twentieth are free, counting what an earlier attempt left.
    """
    free = disk.free_bytes(final)
    if free is not None:
        free += sum(disk.nbytes_of(path) for path in partials)
    needed = nbytes + nbytes // 20
    if free is not None and free < needed:
        raise NoSpace(
            "not enough space for the output",
            path=final,
            found=f"{free} bytes free",
            expected=f"{needed} bytes",
            hint="Nothing was written; the input is untouched",
        )


def write_error(error: OSError, path: str, needed: int | None = None) -> GalvoError:
    """The galvo error for a failed write."""
    if error.errno in _FULL:
        free = disk.free_bytes(path)
        return NoSpace(
            "the disk is full",
            path=path,
            found=None if free is None else f"{free} bytes free",
            expected=None if needed is None else f"{needed} bytes",
            hint="Nothing was published; the input is untouched",
        )
    return WriteError(error.strerror or str(error), path=path)


def _same_file(one: str, other: str) -> bool:
    """Whether two names lead to one file, through links and other spellings too."""
    try:
        return os.path.samefile(one, other)
    except OSError:
        return os.path.normcase(os.path.realpath(one)) == os.path.normcase(os.path.realpath(other))


def guard_destination(
    final: str, sources: Sequence[str], overwrite: bool, members: re.Pattern[str] | None = None
) -> None:
    """Refuse an output that would destroy something.

    Parameters
    ----------
    final : str
    sources : sequence of str
        Files of the inputs.
    overwrite : bool
    members : re.Pattern, optional
        The output is a folder of files with such names.

    Raises
    ------
    WriteError
        The output is one of the inputs or holds one, exists without `overwrite`, is a folder that holds other files
        than such an output, or its folder does not exist.
    """
    for source in sources:
        for name in (final, partial_path(final), journal_path(final)):
            if _same_file(name, source) or (members is not None and _same_file(name, os.path.dirname(source))):
                raise WriteError("the output is an input", path=final, found=source, hint="Choose another name")
    parent = os.path.dirname(os.path.abspath(final))
    if members is None and os.path.isdir(final):
        raise WriteError("the output is a folder", path=final, hint="Give a file name inside it")
    if not os.path.isdir(parent):
        raise WriteError("the folder of the output does not exist", path=final, hint=f"Create {parent} first")
    if members is not None and os.path.lexists(final):
        if os.path.islink(final) or not os.path.isdir(final):
            raise WriteError("the output would be a folder, and a file has its name", path=final)
        names = sorted(os.listdir(final))
        others = [name for name in names if not members.fullmatch(name.removesuffix(".new"))]
        if others:
            raise WriteError(
                "the folder holds other files, which galvo would have to remove",
                path=final,
                found=", ".join(others[:5]) + (f" and {len(others) - 5} more" if len(others) > 5 else ""),
                hint="Choose another name",
            )
        if not names:
            return
    if os.path.lexists(final) and not overwrite:
        raise WriteError("the output exists", path=final, hint="Use overwrite=True (--overwrite) to replace it")


def write_file(final: str, data: bytes, *, sources: Sequence[str] = (), overwrite: bool = False) -> None:
    """Write a small file, which appears under its name only when it is complete and on the disk.

    Parameters
    ----------
    final : str
    data : bytes
    sources : sequence of str
        Files of the inputs, which it must not replace.
    overwrite : bool
        Replace an existing file.

    Raises
    ------
    WriteError
        As `guard_destination`, or it cannot be written.
    """
    guard_destination(final, sources, overwrite)
    partial = partial_path(final)
    try:
        descriptor = disk.create(partial)
    except FileExistsError as error:
        raise WriteError("another program may be writing it", path=partial, hint="Remove it if none is") from error
    except OSError as error:
        raise write_error(error, final) from error
    try:
        try:
            disk.write_at(descriptor, 0, data)
            disk.sync(descriptor)
        finally:
            disk.close(descriptor)
        disk.rename(partial, final)
        disk.sync_folder(final)
    except BaseException as error:
        disk.unlink(partial)
        if isinstance(error, OSError):
            raise write_error(error, final) from error
        raise
