"""Which datasets of an HDF5 file are the recording, and what their axes are.

Rule (pyflowreg spec 2.3 and the decisions of 2.12): a dataset that is named by the caller; else those that the file's
attribute ``dataset_names`` lists, which is PyFlowReg's; else the largest group of ``<prefix>ch<number>`` (``channel``,
``chan``) of one shape; else ``mov``, ``data`` or ``dataset``; else ``u`` and ``v``, displacements, alone in a file;
else the only one with 3 to 5 axes. Axes: the caller's; else the dataset's own attributes ``axes`` (galvo's) or
``dimension_ordering``; else 3-D is TYX, 4-D is TYXC when its last axis is at most 4 and TZYX otherwise, 5-D is TCZYX.
What was guessed is said in a warning.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from galvo.core.axes import array_axes
from galvo.errors import FormatError, OptionError, Unsupported, warn
from galvo.formats.hdf5.guard import Found, contained, followed, refuse, walk

__all__ = ["Movie", "find_movie", "names_of_movie"]

_CHANNEL = re.compile(r"(?P<prefix>.*?)(?:channel|chan|ch)[ _-]?(?P<number>\d+)", re.IGNORECASE)
_USUAL = ("mov", "data", "dataset")
_KINDS = "biufc"


@dataclass(frozen=True, slots=True)
class Movie:
    """The datasets of a recording.

    Attributes
    ----------
    names : tuple of str
        Paths in the file; several are channels.
    axes : str
        Letters of the axes of each, in stored order.
    """

    names: tuple[str, ...]
    axes: str


def find_movie(
    file: Any, path: str, dataset: str | Sequence[str] | None, axes: str | None, allow_external: bool
) -> Movie:
    """The datasets that are the recording.

    Raises
    ------
    UnsafeContent
        They reach outside the file.
    OptionError
        The named dataset does not exist.
    FormatError
        Nothing, or several things, could be the recording; the message lists them with their shapes.
    """
    found = list(walk(file, allow_external, path))
    if dataset is not None:
        chosen = _named(file, found, [dataset] if isinstance(dataset, str) else list(dataset), path)
    else:
        for name, _, danger in found:
            if danger:
                refuse(name, danger, path)
        if {"/motion/facts", "/motion/rest"} <= {name for name, _, _ in found}:
            raise Unsupported(
                "this is the motion of a recording, not a recording",
                path=path,
                hint="Read it with galvo.open_correction; galvo info and galvo verify know it",
            )
        chosen = _stated(file, found) or _discovered(found, path)
    shapes = {item.shape for _, item, _ in chosen}
    types = {item.dtype for _, item, _ in chosen}
    if len(shapes) > 1 or len(types) > 1:
        raise Unsupported(
            "datasets of different shapes or types are no channels of one recording",
            path=path,
            found=_listing(chosen),
            hint="Name one with dataset= (--open-option dataset=NAME)",
        )
    first = chosen[0][1]
    if first.dtype.kind not in _KINDS:
        raise Unsupported(f"{chosen[0][0]} holds no numbers", path=path, found=str(first.dtype))
    names = tuple(name for name, _, _ in chosen)
    letters = _axes(first, names, axes, path)
    if len(names) > 1 and "C" in letters:
        raise OptionError("datasets that are channels have no axis C of their own", path=path, found=f"axes {letters}")
    return Movie(names, letters)


def _named(file: Any, found: list[Found], wanted: list[str], path: str) -> list[Found]:
    by_name = {entry[0]: entry for entry in found}
    chosen = []
    for name in wanted:
        place = followed(file, name)
        entry = by_name.get(place)
        if entry is None and (item := contained(file, place[1:])) is not None:
            # a second name of a dataset that was met under its first
            entry = next((entry for entry in found if entry[1] == item), None)
        if entry is None:
            raise OptionError(f"no dataset {name!r}", path=path, expected=_listing(found) or "a file with datasets")
        if entry[2]:
            refuse(entry[0], entry[2], path)
        chosen.append(entry)
    return chosen


def _stated(file: Any, found: list[Found]) -> list[Found]:
    """The datasets that PyFlowReg's attribute lists; none where one of them is no movie."""
    stated = file.attrs.get("dataset_names")
    if not isinstance(stated, np.ndarray) or stated.ndim != 1 or stated.dtype.kind not in "OSU":
        return []
    texts = [name.decode("utf-8", "replace") if isinstance(name, bytes) else str(name) for name in stated]
    names = [f"/{name.lstrip('/')}" for name in texts]
    movies = {entry[0]: entry for entry in _movies(found)}
    if len(set(names)) < len(names) or not movies.keys() >= set(names):
        return []
    return [movies[name] for name in names]


def _movies(found: list[Found]) -> list[Found]:
    movies = [entry for entry in found if entry[1] is not None and 3 <= len(entry[1].shape) <= 5]
    return [entry for entry in movies if entry[1].dtype.kind in _KINDS]


def _discovered(found: list[Found], path: str) -> list[Found]:
    movies = {entry[0]: entry for entry in _movies(found)}
    names = names_of_movie({name: tuple(entry[1].shape) for name, entry in movies.items()})
    if names:
        return [movies[name] for name in names]
    raise FormatError(
        "several datasets could be the recording" if movies else "no dataset of 3 to 5 axes",
        path=path,
        found=_listing([*movies.values()] or found) or "an empty file",
        hint="Name one with dataset= (--open-option dataset=NAME)",
    )


def names_of_movie(shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """Which datasets are the channels of a recording, in their order; none where several could be it.

    Parameters
    ----------
    shapes : mapping of str to tuple of int
        Of datasets of 3 to 5 axes, by name.
    """
    groups: dict[tuple[str, tuple[int, ...]], list[tuple[int, str]]] = {}
    for name, shape in shapes.items():
        match = _CHANNEL.fullmatch(name)
        if match:
            groups.setdefault((match["prefix"].lower(), shape), []).append((int(match["number"]), name))
    ranked = sorted(groups.values(), key=len, reverse=True)
    if ranked:
        numbers = [number for number, _ in ranked[0]]
        is_one = len(ranked[0]) > max(map(len, ranked[1:]), default=0) and len(set(numbers)) == len(numbers)
        return [name for _, name in sorted(ranked[0])] if is_one else []
    usual = [[name for name in shapes if name.rpartition("/")[2].lower() == one] for one in _USUAL]
    if len(chosen := next(filter(None, usual), [*shapes])) == 1:
        return chosen
    return sorted(shapes) if sorted(shapes) == ["/u", "/v"] else []


def _listing(found: list[Found]) -> str:
    shown = [f"{name} {item.shape} {item.dtype}" for name, item, _ in found if item is not None]
    return ", ".join(shown[:8]) + (f" and {len(shown) - 8} more" if len(shown) > 8 else "")


def _axes(dataset: Any, names: tuple[str, ...], axes: str | None, path: str) -> str:
    shape = tuple(dataset.shape)
    if axes is not None:
        return array_axes(shape, axes)
    if len(shape) == 2:
        return "YX"
    stated = dataset.attrs.get("axes")
    if isinstance(stated, str) and stated.isupper():
        with suppress(OptionError):
            return array_axes(shape, stated)
    ordering = _ordering(dataset)
    if len(shape) == 3:
        if ordering is not None:
            return ordering
        guess = "TYX"
    elif len(shape) == 4:
        guess = "TYXC" if shape[-1] <= 4 and len(names) == 1 else "TZYX"
    elif len(shape) == 5:
        guess = "TCZYX"
    else:
        raise Unsupported(f"{names[0]} has {len(shape)} axes", path=path, expected="2 to 5")
    warn(f"{path}: {names[0]} {shape} does not name its axes; they are taken as {guess}")
    return guess


def _ordering(dataset: Any) -> str | None:
    """PyFlowReg's attribute: where H, W and T stand among the stored axes."""
    for owner in (dataset, dataset.parent):
        value = owner.attrs.get("dimension_ordering")
        try:
            positions = [int(position) for position in value] if value is not None else []
        except (TypeError, ValueError):
            continue
        if sorted(positions) == [0, 1, 2]:
            letters = dict(zip(positions, "YXT", strict=True))
            return "".join(letters[position] for position in range(3))
    return None
