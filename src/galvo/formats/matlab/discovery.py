"""Which arrays of a .mat file are the recording, and what their axes are.

Rule (pyflowreg spec 2.4 and the decisions of 2.12): what the caller names; else the largest group of
``<prefix>ch<number>`` (``channel``, ``chan``) of one shape; else ``mov``, ``data`` or ``dataset``; else the only array.
Arrays of 3 to 5 dimensions are asked first, then pictures, then rows, columns and single numbers.
Axes, in MATLAB's order: the caller's; else 2-D is YX, 3-D YXT, 4-D YXTC when its last dimension is at most 4 and YXZT
otherwise, 5-D YXZCT: MATLAB shows a movie as (H, W, T). A guess is said in a warning.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from galvo.core.axes import AXES, Shape, array_axes
from galvo.errors import FormatError, OptionError, Unsupported, warn
from galvo.formats.matlab.variable import Variable, listing

__all__ = ["five_lengths", "movie", "stated_axes"]

_CHANNEL = re.compile(r"(?P<prefix>.*?)(?:channel|chan|ch)[ _-]?(?P<number>\d+)", re.IGNORECASE)
_USUAL = ("mov", "data", "dataset")
_GUESSES = {2: "YX", 3: "YXT", 5: "YXZCT"}
_MOST_CHANNELS = 4


def movie(
    found: Sequence[Variable], path: str, names: str | Sequence[str] | None, axes: str | None
) -> tuple[tuple[Variable, ...], str]:
    """The variables that are the recording, and the letters of their dimensions.

    Parameters
    ----------
    found : sequence of Variable
        All that the file holds.
    path : str
    names : str or list of str, optional
        Several are channels.
    axes : str, optional
        Letters of T C Z Y X in MATLAB's order; dimensions of length 1 at the end may be named though MATLAB drops them.

    Raises
    ------
    OptionError
        The named variable does not exist, or the axes do not fit it.
    FormatError
        Nothing, or several things, could be the recording; the message lists them.
    """
    chosen = _discovered(found, path) if names is None else _named(found, names, path)
    first = chosen[0]
    if len({one.shape for one in chosen}) > 1 or len({one.dtype for one in chosen}) > 1:
        raise Unsupported(
            "variables of different sizes or classes are no channels of one recording",
            path=path,
            found=listing(chosen),
            hint="Name one with variable= (--open-option variable=NAME)",
        )
    letters = _letters(first, axes, path)
    if len(chosen) > 1 and "C" in letters:
        raise OptionError("variables that are channels have no axis C of their own", path=path, found=f"axes {letters}")
    return tuple(chosen), letters


def stated_axes(axes: str | None, ordering: Sequence[int] | str | None) -> str | None:
    """The caller's axes, as letters or as the positions of H, W and T."""
    if ordering is None:
        return axes
    if axes is not None:
        raise OptionError("axes and dimension_ordering say the same thing", hint="Give one of them")
    try:
        positions = [int(position) for position in (ordering.split(",") if isinstance(ordering, str) else ordering)]
    except (TypeError, ValueError):
        positions = []
    if sorted(positions) != [0, 1, 2]:
        raise OptionError(
            "dimension_ordering gives the positions of H, W and T", found=repr(ordering), expected="as in (0, 1, 2)"
        )
    letters = dict(zip(positions, "YXT", strict=True))
    return "".join(letters[position] for position in range(3))


def five_lengths(variables: Sequence[Variable], letters: str) -> Shape:
    """T C Z Y X of variables with these axes."""
    lengths = dict(zip(letters, variables[0].shape, strict=True))
    if len(variables) > 1:
        lengths["C"] = len(variables)
    t, c, z, y, x = (lengths.get(letter, 1) for letter in AXES)
    return t, c, z, y, x


def _named(found: Sequence[Variable], names: str | Sequence[str], path: str) -> list[Variable]:
    by_name = {variable.name: variable for variable in found}
    chosen = []
    for name in [names] if isinstance(names, str) else list(names):
        if name not in by_name:
            raise OptionError(f"no variable {name!r}", path=path, expected=listing(found) or "a file with variables")
        variable = by_name[name]
        if variable.dtype is None:
            raise Unsupported(f"{name} is no array of numbers", path=path, found=str(variable))
        if not variable.size or not 2 <= len(variable.shape) <= 5:
            raise Unsupported(f"{name} is no recording", path=path, found=str(variable), expected="2 to 5 dimensions")
        chosen.append(variable)
    if not chosen:
        raise OptionError("variable= names nothing", path=path)
    return chosen


def _discovered(found: Sequence[Variable], path: str) -> list[Variable]:
    arrays = [one for one in found if one.dtype is not None and one.size and 2 <= len(one.shape) <= 5]
    movies = [one for one in arrays if len(one.shape) > 2]
    pictures = [one for one in arrays if min(one.shape) > 1]
    tier = movies or pictures or arrays
    picked = _picked(tier)
    if picked is None:
        raise FormatError(
            "several variables could be the recording" if tier else "no array of numbers of 2 to 5 dimensions",
            path=path,
            found=listing(tier or found) or "a file without variables",
            hint="Name one with variable= (--open-option variable=NAME)" if tier else None,
        )
    return picked


def _picked(tier: list[Variable]) -> list[Variable] | None:
    groups: dict[Any, list[tuple[int, Variable]]] = {}
    for one in tier:
        match = _CHANNEL.fullmatch(one.name)
        if match:
            groups.setdefault((match["prefix"].lower(), one.shape), []).append((int(match["number"]), one))
    if groups:
        ranked = sorted(groups.values(), key=len, reverse=True)
        numbers = {number for number, _ in ranked[0]}
        tied = len(ranked) > 1 and len(ranked[1]) == len(ranked[0])
        if tied or len(numbers) < len(ranked[0]):
            return None
        return [one for _, one in sorted(ranked[0], key=lambda pair: pair[0])]
    named = [[one for one in tier if one.name.rpartition("/")[2].lower() == usual] for usual in _USUAL]
    chosen = next(filter(None, named), tier)
    return chosen if len(chosen) == 1 else None


def _letters(variable: Variable, axes: str | None, path: str) -> str:
    shape = variable.shape
    if axes is not None:
        padded = (*shape, *[1] * (len(axes) - len(shape)))
        letters = array_axes(padded, axes)
        if not {"Y", "X"} <= set(letters[: len(shape)]):
            raise OptionError("axes do not fit the array", found=f"axes={axes!r} for shape {shape}")
        return letters[: len(shape)]
    if len(shape) == 2:
        return "YX"
    guess = _GUESSES.get(len(shape)) or ("YXTC" if shape[-1] <= _MOST_CHANNELS else "YXZT")
    lengths = "x".join(map(str, shape))
    warn(f"{path}: {variable.name} ({lengths}) does not name its axes; they are taken as {guess}")
    return guess
