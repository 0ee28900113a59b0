"""Which axes the pages of a file run along: what the user says, else ImageJ, else tifffile, else T."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from galvo.core.index import PageOrder
from galvo.errors import OptionError, Truncated, warn
from galvo.formats.tiff.imagej import imagej_counts, looks_like_imagej, whole_number
from galvo.formats.tiff.pages import TiffPages
from galvo.formats.tiff.shaped import ShapedText

__all__ = ["PageAxes", "asked_axes", "stated_axes"]

_NAME_THEM = 'Say what they are, as in axes="TZYX" with planes=12'


@dataclass(frozen=True, slots=True)
class PageAxes:
    """Lengths of T, C and Z as pages count them.

    Attributes
    ----------
    t, c, z : int
    order : str
        T, C and Z, slowest first.
    samples_in_t : bool
        The samples of a page are frames.
    """

    t: int = 1
    c: int = 1
    z: int = 1
    order: str = "TZC"
    samples_in_t: bool = False

    @property
    def lengths(self) -> tuple[int, int, int]:
        """Of T, C and Z."""
        return self.t, self.c, self.z

    def page_order(self) -> PageOrder:
        """Which page holds which plane."""
        step, steps = 1, dict.fromkeys("TCZ", 0)
        lengths = dict(zip("TCZ", self.lengths, strict=True))
        for letter in reversed(self.order):
            steps[letter] = step
            step *= lengths[letter]
        return PageOrder(0, steps["T"], steps["C"], steps["Z"])


def _page_axes(letters: str, lengths: Mapping[str, int]) -> PageAxes:
    order = "".join(letter for letter in "TZC" if letter not in letters) + letters
    return PageAxes(lengths.get("T", 1), lengths.get("C", 1), lengths.get("Z", 1), order)


def asked_axes(
    axes: str | None,
    channels: int | None,
    planes: int | None,
    count: int,
    path: str,
    shaped: ShapedText | None,
    imagej: Mapping[str, str],
) -> PageAxes | None:
    """What the options say; None where they say nothing.

    Parameters
    ----------
    axes : str or None
        Letters of T C Z, slowest first, as in "TCYX"; Y, X and S at the end may be left out.
    channels, planes : int or None
        Lengths of C and Z; without `axes`, C is fastest, then Z, then T.
    count : int
        Pages.
    path : str
    shaped : ShapedText or None
    imagej : mapping
        Both for lengths that the options leave open.

    Raises
    ------
    OptionError
        They do not fit the pages, or each other.
    """
    if axes is None and channels is None and planes is None:
        return None
    given = {"C": channels, "Z": planes}
    for letter, name in (("C", "channels"), ("Z", "planes")):
        value = given[letter]
        if value is not None and (type(value) is not int or value < 1 or count % value):
            raise OptionError(
                f"{name} must divide the number of pages", path=path, found=value, expected=f"a divisor of {count}"
            )
    letters = "TZC" if axes is None else _letters(axes)
    for letter, value in given.items():
        if value is not None and value > 1 and letter not in letters:
            raise OptionError(f"axes={axes!r} has no {letter}, of which {value} are asked for", path=path)
    lengths = {letter: value for letter, value in given.items() if value is not None}
    if axes is None:
        lengths = {"C": 1, "Z": 1, **lengths}
    open_letters = [letter for letter in letters if letter not in lengths]
    if len(open_letters) > 1:
        lengths |= _told_lengths(letters, count, shaped, imagej)
        open_letters = [letter for letter in letters if letter not in lengths]
    rest = math.prod(lengths[letter] for letter in letters if letter in lengths)
    if len(open_letters) > 1 or count % rest or (not open_letters and rest != count):
        asked = " and ".join({"C": "channels=", "Z": "planes=", "T": "T"}[letter] for letter in open_letters)
        raise OptionError(
            f"{count} pages do not say how long each of the axes {letters} is",
            path=path,
            found=", ".join(f"{letter} {length}" for letter, length in lengths.items()) or None,
            hint=f"Give {asked or 'lengths whose product is the number of pages'}",
        )
    if open_letters:
        lengths[open_letters[0]] = count // rest
    return _page_axes(letters, lengths)


def _letters(axes: object) -> str:
    letters = axes.upper() if isinstance(axes, str) else ""
    pages = letters.removesuffix("S").removesuffix("YX")
    if not letters or len(set(pages)) != len(pages) or not set(pages) <= set("TCZ"):
        raise OptionError(
            "axes name what pages are, slowest first", found=repr(axes), expected='T, C and Z, as in "TCYX"'
        )
    return pages


def _told_lengths(letters: str, count: int, shaped: ShapedText | None, imagej: Mapping[str, str]) -> dict[str, int]:
    """Lengths that the file gives for axes which it may call otherwise."""
    if shaped is not None:
        lengths = list(shaped.shape[: len(letters)])
        if len(shaped.shape) >= len(letters) + 2 and math.prod(lengths) == count:
            return dict(zip(letters, lengths, strict=True))
    if imagej:
        named = dict(zip("TCZ", imagej_counts(imagej), strict=True))
        if math.prod(named.values()) == count and math.prod(named[letter] for letter in letters) == count:
            return {letter: named[letter] for letter in letters}
    return {}


def stated_axes(found: TiffPages, shaped: ShapedText | None, imagej: Mapping[str, str], path: str) -> PageAxes:
    """What the file says of its pages; T where it says nothing."""
    count = found.run.count
    if imagej and found.numbers is None:
        return _of_imagej(found, imagej, path)
    if shaped is not None and found.numbers is None:
        return _of_shaped(found, shaped, path)
    if count > 1 and looks_like_imagej(found.first.description):
        warn(
            f"{path}: the description counts images as ImageJ does, but does not begin as ImageJ's; "
            "pages are opened as T"
        )
    return PageAxes(t=count)


def _of_imagej(found: TiffPages, fields: Mapping[str, str], path: str) -> PageAxes:
    count, (t, c, z) = found.run.count, imagej_counts(fields)
    if c * z * t == count:
        return PageAxes(t, c, z)
    if found.damage:
        _refuse_less_than_a_volume(count, c * z, path)
        return PageAxes(count // (c * z), c, z)
    if fields.keys() & {"channels", "slices", "frames"}:
        warn(
            f"{path}: ImageJ announces {c} channels x {z} slices x {t} frames, the file has {count} pages; "
            "pages are opened as T"
        )
    elif count > 1 and whole_number(fields.get("images")) != count:
        warn(f"{path}: ImageJ announces {fields.get('images', 'no')} images, the file has {count} pages")
    return PageAxes(t=count)


def _refuse_less_than_a_volume(count: int, needed: int, path: str) -> None:
    if count < needed:
        raise Truncated(
            "not one whole volume is left of the file",
            path=path,
            found=f"{count} pages",
            expected=f"at least {needed}",
            hint='Open it with axes="T" (--open-option axes=T) to get the pages that are there',
        )


def _of_shaped(found: TiffPages, shaped: ShapedText, path: str) -> PageAxes:
    """Tifffile's axes; letters other than its T C Z Y X S are axes that galvo does not have."""
    count, layout = found.run.count, found.layout
    lengths = [
        (letter, length)
        for letter, length in zip(shaped.axes, shaped.shape, strict=False)
        if letter not in "YXS" and length != 1
    ]
    letters = "".join(letter for letter, _ in lengths)
    if len(lengths) == 1 and letters not in "TCZ":
        letters = "T"
    sizes = dict(zip(letters, (length for _, length in lengths), strict=True))
    if not shaped.axes:
        inner = [length for length in shaped.shape[:-2] if length != 1]
        if len(inner) > 1 and math.prod(inner) == count:
            shape = " x ".join(map(str, shaped.shape))
            warn(f"{path}: an array of {shape} without names of its axes; pages are opened as T. {_NAME_THEM}")
        return PageAxes(t=count)
    if len(sizes) != len(lengths) or not set(letters) <= set("TCZ"):
        if count > 1:
            warn(f"{path}: the axes {shaped.axes} are not only T C Z Y X; pages are opened as T. {_NAME_THEM}")
        return PageAxes(t=count)
    samples = layout.samples if layout is not None else 1
    in_t = False
    are_samples = letters[-1:] == "C" or letters == "T"
    if samples > 1 and are_samples and sizes[letters[-1]] == samples and math.prod(sizes.values()) == count * samples:
        in_t, letters = letters == "T", letters[:-1]
        sizes = {letter: sizes[letter] for letter in letters}
    rest = math.prod(length for letter, length in sizes.items() if letter != letters[0])
    if math.prod(sizes.values()) == count:
        return replace(_page_axes(letters, sizes), samples_in_t=in_t)
    if found.damage and rest > 1:
        _refuse_less_than_a_volume(count, rest, path)
    if letters[:1] == "T" and rest > 1 and (count % rest == 0 or found.damage):
        # series that were appended to each other
        return _page_axes(letters, sizes | {"T": count // rest})
    if letters not in ("", "T"):
        shape = " x ".join(map(str, shaped.shape))
        warn(f"{path}: an array of {shape} is announced, the file has {count} pages; they are opened as T")
    return PageAxes(t=count)
