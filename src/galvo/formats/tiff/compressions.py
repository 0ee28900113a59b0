"""How TIFF compresses: tags, codec steps, levels, predictors.

Source: TIFF 6.0 sections 13 and 14; Adobe technical notes for deflate and predictor 3; registered code 50000 (zstd).
"""

from __future__ import annotations

from dataclasses import dataclass

from galvo.core.codec import Codec
from galvo.errors import OptionError

__all__ = ["PREDICTORS", "Compression", "find_compression", "predictor_tag"]

# type of the pixels: the codec's step before the compression
PREDICTORS = {
    **dict.fromkeys(("u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8"), "difference"),
    **dict.fromkeys(("f4", "f8"), "float-difference"),
}
_PREDICTOR_TAGS = {"difference": 2, "float-difference": 3}


@dataclass(frozen=True, slots=True)
class Compression:
    """A compression as TIFF writes it.

    Attributes
    ----------
    name : str
    tag : int
        Value of tag 259.
    steps : tuple of str
        Of the codec.
    level : int or None
        By default.
    levels : range
    growth : (float, int)
        Greatest size of what does not shrink: times, plus bytes.
    """

    name: str
    tag: int
    steps: tuple[str, ...] = ()
    level: int | None = None
    levels: range = range(0)
    growth: tuple[float, int] = (1.0, 0)


_COMPRESSIONS = (
    Compression("none", 1),
    # on photon noise, level 1 is not only the fastest but the smallest
    Compression("zlib", 8, ("zlib",), 1, range(1, 10), (1.002, 64)),
    # codes of at most 12 bits for at least one byte each
    Compression("lzw", 5, ("lzw",), growth=(1.5, 64)),
    Compression("zstd", 50000, ("zstd",), 1, range(1, 23), (1.01, 256)),
)


def find_compression(name: str, level: int | None) -> tuple[Compression, int | None]:
    """The compression of that name, and the level to use.

    Raises
    ------
    OptionError
        There is no such compression, or it has no such level.
    """
    known = {one.name: one for one in _COMPRESSIONS}
    if name not in known:
        raise OptionError("unknown compression", found=repr(name), expected=", ".join(known))
    found = known[name]
    if level is None:
        return found, found.level
    if type(level) is not int or level not in found.levels:
        expected = f"{found.levels[0]} to {found.levels[-1]}" if found.levels else f"nothing: {name} has no levels"
        raise OptionError("no such compression_level", found=repr(level), expected=expected)
    return found, level


def predictor_tag(codec: Codec) -> int:
    """Value of tag 317."""
    return _PREDICTOR_TAGS.get(codec.steps[0], 1) if codec.steps else 1
