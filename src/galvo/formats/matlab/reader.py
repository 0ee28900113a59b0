"""MATLAB files as recordings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from galvo.core.detect import Probe
from galvo.core.metadata import Metadata
from galvo.core.recording import Recording
from galvo.core.source import FileSource, opening_source
from galvo.errors import Malformed, UnknownFormat
from galvo.formats.hdf5 import FORMAT as HDF5
from galvo.formats.matlab import level4, level5
from galvo.formats.matlab.columns import ColumnReader
from galvo.formats.matlab.discovery import five_lengths, movie, stated_axes
from galvo.formats.matlab.own import (
    CREATED_BY,
    END_NAME,
    START_NAME,
    Kept,
    check_bounds,
    own_recording,
    own_variables,
)
from galvo.formats.matlab.variable import Variable, listing, read_text
from galvo.limits import DEFAULT_LIMITS, Limits

__all__ = ["open_matlab", "version_of"]

_TITLE = b"MATLAB 7.3 MAT-file"


def version_of(probe: Probe) -> str | None:
    """One of "4", "5" (which stands for 6 and 7, too) and "7.3"; None for what is no MATLAB file.

    HDF5 without MATLAB's header is none, whatever its name: MATLAB does not load it, and its axes may be as stored.
    """
    head = probe.head
    if level5.byte_order(head):
        return "5"
    # said twice, so that damage to one does not turn the axes around
    is_later = head[124:128] in (b"\x00\x02IM", b"\x02\x00MI") or head.startswith(_TITLE)
    if is_later and HDF5.detect(probe):
        return "7.3"
    return "4" if level4.byte_order(head) else None


def open_matlab(
    paths: Sequence[str],
    *,
    variable: str | Sequence[str] | None = None,
    axes: str | None = None,
    dimension_ordering: Sequence[int] | None = None,
    allow_external: bool = False,
    damaged: str = "raise",
    limits: Limits = DEFAULT_LIMITS,
) -> Recording:
    """A .mat file of any version.

    Parameters
    ----------
    paths : sequence of str
        One file.
    variable : str or list of str, optional
        The array, or those of the channels (in a text, commas between them), instead of discovering them. In version
        7.3 fields of structs have names with a slash, as in ``"output/mov"``.
    axes : str, optional
        Letters of T C Z Y X in MATLAB's order, as in ``"YXT"``.
    dimension_ordering : sequence of int, optional
        Instead of `axes`: which dimension is H, W and T.
    allow_external : bool
        Version 7.3: follow links to other files, external storage and virtual datasets.
    damaged : "raise" or "report"
        "report": open what galvo had not finished writing; what is missing raises when it is read.
    limits : Limits

    Returns
    -------
    Recording

    Raises
    ------
    FormatError
        The file is damaged, or none or several of its arrays could be the recording.
    OptionError
        The named variable does not exist, or the axes do not fit.
    """
    (path,) = paths
    letters = stated_axes(axes, dimension_ordering)
    if isinstance(variable, str) and "," in variable:
        variable = variable.split(",")
    probe = Probe(path)
    try:
        # the caller may know better
        version = version_of(probe) or ("7.3" if HDF5.detect(probe) else None)
        head = probe.head
    finally:
        probe.close()
    if version is None:
        raise UnknownFormat("no MATLAB file", path=path, found=f"first bytes {head[:8].hex(' ')}")
    if version == "7.3":
        from galvo.formats.matlab.hierarchy import open_hierarchy

        return open_hierarchy(path, variable, letters, allow_external, damaged, limits)
    with opening_source([path]) as source:
        # what galvo did not finish has an array that reaches beyond the end
        cut = variable is None and version == "5" and CREATED_BY in head[:124]
        walk = level4.variables(source) if version == "4" else level5.variables(source, cut)
        found = list(walk if variable is None else _until(walk, variable))
        if variable is None:
            by_name = {one.name: one for one in found}
            start, end = (
                None if name not in by_name else read_text(by_name[name], path, limits)
                for name in (START_NAME, END_NAME)
            )
            if cut and start is None:
                raise Malformed(f"what galvo wrote has no variable {START_NAME}", path=path, found=listing(found))
            if start is not None and start.startswith("{"):
                kept = Kept(start, end, path, limits)
                chosen = own_variables(kept, found, path)
                reader = ColumnReader(source, chosen, kept.axes[: len(chosen[0].shape)], kept.json.shape)
                return own_recording(kept, reader, path, damaged, limits)
        return _foreign(source, found, variable, letters, version, limits)


def _until(walk: Iterable[Variable], names: str | Sequence[str]) -> Iterator[Variable]:
    """The variables of a file up to the last one that is wanted: what comes behind may be cut off."""
    waiting = {names} if isinstance(names, str) else set(names)
    for variable in walk:
        yield variable
        waiting.discard(variable.name)
        if not waiting:
            return


def _foreign(
    source: FileSource,
    found: list[Variable],
    names: str | Sequence[str] | None,
    axes: str | None,
    version: str,
    limits: Limits,
) -> Recording:
    path = source.paths[0]
    chosen, letters = movie(found, path, names, axes)
    reader = ColumnReader(source, chosen, letters, five_lengths(chosen, letters))
    check_bounds(reader, path, limits)
    return Recording(reader, Metadata(format="matlab", version=f"level {version}"), files=[path])
