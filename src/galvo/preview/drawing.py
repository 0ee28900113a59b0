"""Panels with titles, legends and scale bars laid out on one sheet."""

from __future__ import annotations

import math
import unicodedata
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

__all__ = ["MARGIN", "Band", "Legend", "Panel", "Place", "ScaleBar", "lay_out", "scale_bar", "text_strip"]

MARGIN: Final = 14
_GAP: Final = 10
_LEAST_WIDTH: Final = 176
_BACKGROUND: Final = (18, 18, 18)
_BRIGHT: Final = (240, 240, 240)
_DIM: Final = (170, 170, 170)
_TITLE: Final = 24
_TEXT: Final = 16
_SMALL: Final = 14
_LINE: Final = 1.35
_BAR_HEIGHT: Final = 4
_LEGEND_WIDTH: Final = 64
_LEGEND_HEIGHT: Final = 8
_BAR_PART: Final = 0.3
_MOST_LETTERS: Final = 400
# of what is not ASCII, the font that Pillow brings has these; a micro sign is drawn
_KNOWN: Final = "·…µ"
_ALIKE: Final = str.maketrans({"×": "x", "–": "-", "—": "-", "μ": "µ", "°": "d"})


@dataclass(frozen=True, slots=True)
class Legend:
    """What the darkest and the lightest level stand for.

    Attributes
    ----------
    low, high : float
    table : ndarray of uint8, (256, 3)
        Colours in between.
    """

    low: float
    high: float
    table: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class ScaleBar:
    """A length in a picture.

    Attributes
    ----------
    width : int
        Of the bar, in pixels of the picture.
    text : str
        The length with its unit.
    """

    width: int
    text: str


@dataclass(frozen=True, slots=True)
class Panel:
    """A picture with what stands around it.

    Attributes
    ----------
    pixels : ndarray of uint8, (Y, X) or (Y, X, 3)
    title : str
    legend : Legend or None
    scale : ScaleBar or None
    """

    pixels: NDArray[np.uint8]
    title: str = ""
    legend: Legend | None = None
    scale: ScaleBar | None = None

    @property
    def height(self) -> int:
        """With all that stands around it."""
        rows = (bool(self.title), self.legend is not None, self.scale is not None)
        return int(self.pixels.shape[0]) + sum(rows) * _line(_SMALL) + _GAP

    @property
    def width(self) -> int:
        """Of the widest part, a title being cut."""
        return max(int(self.pixels.shape[1]), _LEAST_WIDTH, self.scale.width if self.scale else 0)


@dataclass(frozen=True, slots=True)
class Band:
    """Panels side by side under a heading."""

    panels: Sequence[Panel]
    heading: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the picture of a panel came to lie on the sheet."""

    top: int
    left: int


def scale_bar(width: int, shown_width: int, pixel_um: float | None) -> ScaleBar:
    """The longest bar of 1, 2 or 5 times a power of ten within three tenths of an image.

    Parameters
    ----------
    width, shown_width : int
        Columns of the image, and of its picture.
    pixel_um : float or None
        Width of a pixel in µm; without, lengths are in pixels of the image.
    """
    known = pixel_um is not None and math.isfinite(pixel_um) and pixel_um > 0
    unit = pixel_um if known and pixel_um is not None else 1.0
    most = max(width * unit * _BAR_PART, 0.0 if known else 1.0)
    power = 10.0 ** math.floor(math.log10(most))
    length = next(step * power for step in (5, 2, 1, 0.5) if step * power <= most * (1 + 1e-9))
    shown = max(1, round(length / unit * shown_width / width))
    return ScaleBar(shown, f"{length:g} {'µm' if known else 'px'}")


def lay_out(title: str, lines: Sequence[str], bands: Sequence[Band]) -> tuple[NDArray[np.uint8], list[Place]]:
    """A sheet, uint8 (Y, X, 3), of even sides, and where each picture is on it.

    Parameters
    ----------
    title : str
    lines : sequence of str
        Below it; without a title the first is `MARGIN` from the top and the left, as high as a `text_strip`.
    bands : sequence of Band
        One below the other.
    """
    widths = [sum(panel.width + _GAP for panel in band.panels) - _GAP for band in bands]
    width = max(widths) + 2 * MARGIN
    heights = [max(panel.height for panel in band.panels) + bool(band.heading) * _line(_TEXT) for band in bands]
    head = bool(title) * _line(_TITLE) + len(lines) * _line(_TEXT) + bool(title or lines) * _GAP
    height = sum(heights) + head + 2 * MARGIN - _GAP
    image = Image.new("RGB", (width + width % 2, height + height % 2), _BACKGROUND)
    draw = ImageDraw.Draw(image)
    room = width - 2 * MARGIN
    top = MARGIN
    if title:
        _write(draw, (MARGIN, top), title, _TITLE, _BRIGHT, room)
        top += _line(_TITLE)
    for line in lines:
        _write(draw, (MARGIN, top), line, _TEXT, _DIM, room)
        top += _line(_TEXT)
    top = MARGIN + head
    places = []
    for band, band_height in zip(bands, heights, strict=True):
        left, row = MARGIN, top
        if band.heading:
            _write(draw, (left, row), band.heading, _TEXT, _BRIGHT, room)
            row += _line(_TEXT)
        for panel in band.panels:
            places.append(_draw_panel(image, draw, panel, row, left))
            left += panel.width + _GAP
        top += band_height
    return np.asarray(image), places


def text_strip(text: str, width: int) -> NDArray[np.uint8]:
    """A line of text on the sheet's background, gray levels (Y, X)."""
    image = Image.new("RGB", (width, _line(_TEXT)), _BACKGROUND)
    _write(ImageDraw.Draw(image), (0, 0), text, _TEXT, _BRIGHT, width)
    return np.asarray(image.convert("L"))


def _draw_panel(image: Image.Image, draw: ImageDraw.ImageDraw, panel: Panel, top: int, left: int) -> Place:
    if panel.title:
        _write(draw, (left, top), panel.title, _SMALL, _DIM, panel.width)
        top += _line(_SMALL)
    place = Place(top, left)
    image.paste(Image.fromarray(np.ascontiguousarray(panel.pixels)), (left, top))
    top += panel.pixels.shape[0]
    middle = _line(_SMALL) // 2
    if panel.legend is not None:
        low, high = (_number(value) for value in (panel.legend.low, panel.legend.high))
        at = left + _write(draw, (left, top), low, _SMALL, _DIM, panel.width) + 6
        levels = np.linspace(0, 255, _LEGEND_WIDTH).round().astype(np.uint8)
        ramp = np.broadcast_to(panel.legend.table[levels], (_LEGEND_HEIGHT, _LEGEND_WIDTH, 3))
        image.paste(Image.fromarray(np.ascontiguousarray(ramp)), (at, top + middle - _LEGEND_HEIGHT // 2))
        at += _LEGEND_WIDTH + 6
        _write(draw, (at, top), high, _SMALL, _DIM, left + panel.width - at)
        top += _line(_SMALL)
    if panel.scale is not None:
        bar, at = panel.scale, top + middle - _BAR_HEIGHT // 2
        draw.rectangle((left, at, left + bar.width - 1, at + _BAR_HEIGHT - 1), fill=_BRIGHT)
        _write(draw, (left + bar.width + 6, top), bar.text, _SMALL, _BRIGHT, panel.width - bar.width - 6)
    return place


def _number(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}" if abs(value) < 1e6 else f"{value:.3g}"


def _line(size: int) -> int:
    return round(size * _LINE)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _drawable(text: str) -> str:
    """What the font has of a text, on one line."""
    kept = []
    for char in " ".join(text.translate(_ALIKE).split()):
        plain = unicodedata.normalize("NFKD", char).encode("ascii", "ignore").decode()
        kept.append(char if char in _KNOWN or (char.isascii() and char.isprintable()) else plain or "?")
    return "".join(kept)


def _write(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], text: str, size: int, color: tuple[int, int, int], room: int
) -> int:
    """Write a line of text, cut where it does not fit; its width."""
    font, shown = _font(size), _drawable(text[:_MOST_LETTERS])
    letters = shown.replace("µ", "u")
    if font.getlength(letters) > room:
        fitting = bisect_right(range(len(letters)), room, key=lambda n: math.ceil(font.getlength(letters[:n] + "…")))
        letters = letters[: fitting - 1] + "…" if fitting > 1 else ""
    draw.text(place, letters, font=font, fill=color)
    for at, char in enumerate(shown[: len(letters)]):
        if char == "µ":
            # an u whose left stem goes on below the line
            stem, _, _, base = font.getbbox("u")
            left = round(place[0] + font.getlength(letters[:at]) + stem + size / 14)
            tail = (left, round(place[1] + base) - 2, left + size // 14 - 1, round(place[1] + base + size / 5))
            draw.rectangle(tail, fill=color)
    return math.ceil(font.getlength(letters))
