"""The five axes T C Z Y X, and how an array with fewer of them is understood."""

from __future__ import annotations

from collections.abc import Sequence

from galvo.errors import OptionError

__all__ = ["AXES", "Shape", "array_axes"]

AXES = "TCZYX"

Shape = tuple[int, int, int, int, int]

_DEFAULT_AXES = {2: "YX", 3: "TYX", 5: AXES}


def array_axes(shape: Sequence[int], axes: str | None = None) -> str:
    """Axis letters of an array of `shape`, given or by the default for its number of axes.

    Parameters
    ----------
    shape : sequence of int
    axes : str, optional
        Letters of T C Z Y X in the array's own order, one per axis, Y and X among them.

    Returns
    -------
    str
        2-D: YX, 3-D: TYX, 5-D: TCZYX, unless `axes` says otherwise.

    Raises
    ------
    OptionError
        4-D without `axes`, or `axes` that do not fit.
    """
    if axes is None:
        try:
            return _DEFAULT_AXES[len(shape)]
        except KeyError:
            raise OptionError(
                f"a {len(shape)}-D array of shape {tuple(shape)} does not say which axis is which",
                hint='Name them, as in axes="TCYX" or axes="TZYX" (--open-option axes=TZYX)',
            ) from None
    letters = axes.upper() if isinstance(axes, str) else "?"
    if len(letters) != len(shape) or len(set(letters)) != len(letters) or not set("YX") <= set(letters) <= set(AXES):
        raise OptionError(
            "axes do not fit the array",
            found=f"axes={axes!r} for shape {tuple(shape)}",
            expected="one letter of TCZYX per axis, Y and X among them",
        )
    return letters
