"""From decoded frames to pixels: gray as stored, color as red, green and blue.

Gray pixel formats, whatever their depth, are taken as they are. Everything else becomes RGB by libswscale: 8 bits by
its defaults, which is what ffmpeg and other programs show; deeper ones in their own depth, in uint16.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.errors import DamagedData, Unsupported
from galvo.formats.video.library import load_av, told

__all__ = [
    "FROM_LIMITED",
    "TO_LIMITED",
    "Pixels",
    "Scaler",
    "choose_pixels",
    "has_gray_palette",
    "mapped",
    "plane",
    "require_like",
]

_DEEP = (9, 10, 12, 14, 16)
_RGB = ("red", "green", "blue")
_PALETTE = "pal8"
# libswscale/swscale.h: SWS_BILINEAR, SWS_ACCURATE_RND, SWS_BITEXACT
_BILINEAR = 2
_EXACT = _BILINEAR | 1 << 18 | 1 << 19

# ITU-R BT.601 and BT.709: black is 16, white is 235
TO_LIMITED = np.rint(16 + np.arange(256) * 219 / 255).astype(np.uint8)
FROM_LIMITED = np.clip(np.rint((np.arange(256) - 16) * 255 / 219), 0, 255).astype(np.uint8)


@dataclass(frozen=True, slots=True)
class Pixels:
    """How the frames of a stream become pixels.

    Attributes
    ----------
    dtype : numpy.dtype
    channel_names : tuple of str
        Of colors; none for gray.
    source : str
        Pixel format that the frames must have.
    target : str or None
        Pixel format to convert to; None: the first plane as it is.
    bits : int
        Of a pixel's value.
    limited : bool
        The first plane has black at 16 and white at 235.
    exact : bool
        Convert by arithmetic that gives the same on all machines.
    """

    dtype: np.dtype[Any]
    channel_names: tuple[str, ...]
    source: str
    target: str | None
    bits: int
    limited: bool = False
    exact: bool = False

    @property
    def channel_count(self) -> int:
        """Length of C."""
        return len(self.channel_names) or 1

    def convert(self, frame: Any, scaler: Scaler, path: str) -> list[NDArray[Any]]:
        """The channels (Y, X) of a frame; views where nothing has to be computed."""
        if self.source == _PALETTE and not self.channel_names:
            return [_by_palette(frame, path)]
        if self.target is None:
            pixels = plane(frame, 0, self.dtype)
            return [mapped(pixels, FROM_LIMITED) if self.limited else pixels]
        with told(path):
            made = scaler.convert(frame, self.target, self.exact)
            if not self.target.startswith("gray"):
                made = scaler.apart(made)
        # planes of gbrp are green, blue, red
        numbers = (2, 0, 1) if self.channel_names else (0,)
        return [plane(made, number, self.dtype) for number in numbers]


class Scaler:
    """libswscale; one for each thread, without threads of its own: a forked child would wait for them."""

    def __init__(self) -> None:
        kind = load_av().video.reformatter
        self._converting, self._parting = kind.VideoReformatter(), kind.VideoReformatter()

    def convert(self, frame: Any, target: str, exact: bool) -> Any:
        """A frame of another pixel format."""
        how = _EXACT if exact else _BILINEAR
        return self._converting.reformat(frame, format=target, interpolation=how, threads=1)

    def apart(self, frame: Any) -> Any:
        """A frame of 8 bits with its colors in planes: much faster than by NumPy; the values stay."""
        return self._parting.reformat(frame, format="gbrp", threads=1) if frame.format.name == "rgb24" else frame


def mapped(pixels: NDArray[np.uint8], table: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """What a table of 256 values makes of pixels; bytes do so twice as fast as NumPy, which makes indices of them."""
    return np.frombuffer(pixels.tobytes().translate(table.tobytes()), np.uint8).reshape(pixels.shape)


def plane(frame: Any, number: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A plane (Y, X) of a frame; a view."""
    part = frame.planes[number]
    rows: NDArray[Any] = np.frombuffer(part, dtype).reshape(part.height, -1)[:, : part.width]
    # bottom up, as uncompressed AVI is
    return rows[::-1] if part.line_size < 0 else rows


def _palette(frame: Any) -> NDArray[np.uint8]:
    """Blue, green, red of each index."""
    colors: NDArray[np.uint8] = np.frombuffer(frame.planes[1], np.uint32).astype("<u4").view(np.uint8).reshape(-1, 4)
    return colors[:, :3]


def has_gray_palette(frame: Any) -> bool:
    """Whether a frame shows gray alone."""
    colors = _palette(frame)
    return bool((colors == colors[:, :1]).all())


def _by_palette(frame: Any, path: str) -> NDArray[Any]:
    if not has_gray_palette(frame):
        raise DamagedData(
            "a frame has colors, and the first one has none",
            path=path,
            hint="Open it with color=True (--open-option color=true)",
        )
    pixels: NDArray[np.uint8] = _palette(frame)[:, 0][plane(frame, 0, np.dtype(np.uint8))]
    return pixels


def choose_pixels(format: Any, color: bool | None, limited: bool, path: str) -> Pixels:
    """How a pixel format is shown.

    Parameters
    ----------
    format : av.VideoFormat
        Of the stream.
    color : bool, optional
        None: gray formats as one channel, a palette too (the caller looks whether it is gray), all others as red,
        green, blue. False: brightness alone. True: always colors.
    limited : bool
        The stream says that black is 16.
    path : str

    Raises
    ------
    Unsupported
        Floating point pixels and raw sensor mosaics.
    """
    name: str = format.name
    bits = max(component.bits for component in format.components)
    if name.startswith("bayer") or "f16" in name or "f32" in name or bits > 16:
        raise Unsupported("galvo does not read such pixels", path=path, found=name)
    depth = next((deep for deep in _DEEP if deep >= bits), 16) if bits > 8 else 8
    dtype = np.dtype(np.uint8 if depth == 8 else np.uint16)
    gray = name.startswith(("gray", "mono", "ya"))
    if name == _PALETTE and color is None:
        return Pixels(dtype, (), name, None, 8)
    if gray and color is not True:
        plain = name in ("gray", "gray8") or (name.endswith("le") and name.startswith("gray"))
        target = None if plain else ("gray" if depth == 8 else f"gray{depth}le")
        return Pixels(dtype, (), name, target, bits)
    if color is False:
        # the first plane of YUV is the brightness
        first = format.components[0]
        planar = name.startswith("yuv") and format.is_planar and first.is_luma and (depth == 8 or name.endswith("le"))
        if planar and depth == 8:
            return Pixels(dtype, (), name, None, bits, limited=limited)
        return Pixels(dtype, (), name, "gray" if depth == 8 else f"gray{depth}le", bits)
    return Pixels(dtype, _RGB, name, "rgb24" if depth == 8 else f"gbrp{'' if depth == 8 else depth}le", bits)


def require_like(pixels: Pixels, frame: Any, size: tuple[int, int], path: str, number: int) -> None:
    """Refuse a frame of another size or kind than its stream's."""
    if (frame.height, frame.width) != size or frame.format.name != pixels.source:
        raise DamagedData(
            f"frame {number} is not like the others of its stream",
            path=path,
            found=f"{frame.width} x {frame.height} {frame.format.name}",
            expected=f"{size[1]} x {size[0]} {pixels.source}",
        )
