"""Line charts as inline SVG that stretches to any width, with text that does not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from galvo.qc.markup import Markup, escaped, joined
from galvo.text import number_text

__all__ = ["Band", "Dots", "Line", "Ticks", "chart", "decimated", "round_steps"]

# the inner drawing is stretched, so its units are of no size
_WIDE = 1000
_HIGH = 100
_MOST_ROWS = 5
_MOST_COLUMNS = 8
_LABEL_FROM = 0.88
_EMPTY_SPREAD = 1e-9

Float64 = NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """Values (N,) at positions (N,), drawn in colour `color` of the style sheet; NaN breaks it."""

    x: ArrayLike
    y: ArrayLike
    color: int = 1
    dashed: bool = False


@dataclass(frozen=True)
class Band:
    """What lies between two values (N,) at positions (N,)."""

    x: ArrayLike
    low: ArrayLike
    high: ArrayLike
    color: int = 1


@dataclass(frozen=True)
class Dots:
    """Single values (N,) at positions (N,)."""

    x: ArrayLike
    y: ArrayLike
    color: int = 2


@dataclass(frozen=True)
class Ticks:
    """Positions (N,) that are marked at the foot of the chart."""

    x: ArrayLike
    color: int = 3


def decimated(values: ArrayLike, most: int) -> tuple[Float64, Float64]:
    """Positions and values of at most `most` points that look like a long trace: least and greatest of each stretch.

    Parameters
    ----------
    values : array (N,)
    most : int
        At least 2.

    Returns
    -------
    positions, values : ndarray of float64
        In order; NaN only for stretches that hold nothing else.
    """
    given = np.asarray(values, np.float64)
    if given.size <= most:
        return np.arange(given.size, dtype=np.float64), given
    bounds = np.linspace(0, given.size, max(1, most // 2) + 1).round().astype(np.int64)
    kept: list[int] = []
    for first, stop in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        part = given[first:stop]
        if np.isnan(part).all():
            kept.append(first)
            continue
        kept += sorted({first + int(np.nanargmin(part)), first + int(np.nanargmax(part))})
    return np.array(kept, np.float64), given[kept]


def round_steps(low: float, high: float, most: int) -> list[float]:
    """Round numbers from `low` to `high`, at most `most`, at steps of 1, 2 or 5 times a power of ten."""
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low] if math.isfinite(low) else []
    power = 10.0 ** math.floor(math.log10(span / most))
    for step in (power * times for times in (1, 2, 5, 10, 20)):
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        if last - first < most:
            break
    return [round(number * step, 12) for number in range(first, last + 1)]


def chart(
    title: str,
    parts: Sequence[Line | Band | Dots | Ticks],
    x_limits: tuple[float, float],
    *,
    least_span: float = 0.0,
    x_label: str = "",
    whole: bool = True,
    size: Literal["low", "high"] = "low",
) -> Markup:
    """A chart.

    Parameters
    ----------
    title : str
        For who cannot see it.
    parts : sequence of Line, Band, Dots and Ticks
        Drawn in this order.
    x_limits : (low, high)
        What the chart shows; along y all that is drawn.
    least_span : float
        How much is shown along y at least, so that small changes look small.
    x_label : str
        At the right end below.
    whole : bool
        Positions along x are whole numbers.
    size : "low" or "high"
    """
    left, right = _limits(np.array(x_limits, np.float64), 0)
    low, high = _limits(_drawn(parts), 0.06)
    more = max(0.0, least_span - (high - low)) / 2
    low, high = low - more, high + more
    scale = _Scale(left, right, low, high)
    drawn = joined(scale.draw(part) for part in parts)
    rows = [(number, 1 - (number - low) / (high - low)) for number in round_steps(low, high, _MOST_ROWS)]
    columns = [(number, (number - left) / (right - left)) for number in round_steps(left, right, _MOST_COLUMNS)]
    # there is room for the label
    columns = [(number, at) for number, at in columns if at < _LABEL_FROM]
    if whole:
        columns = [(number, at) for number, at in columns if number == int(number)]
    grid = joined(
        Markup(f'<line class="grid" x1="0" x2="100%" y1="{_percent(at)}" y2="{_percent(at)}"/>') for _, at in rows
    )
    values = joined(_text("100%", _percent(at), "end", _tick(number), 'dx="-6" ') for number, at in rows)
    times = joined(
        _text(_percent(at), "50%", "start" if at < 0.03 else "middle", _tick(number)) for number, at in columns
    )
    label = _text("100%", "50%", "end", x_label)
    # three drawings, of which the style sheet settles the sizes: no text is stretched
    return Markup(
        f'<div class="chart {size}" role="img" aria-label="{escaped(title)}"><svg class="scale">{values}</svg>'
        f'<svg class="plot">{grid}'
        f'<svg width="100%" height="100%" viewBox="0 0 {_WIDE} {_HIGH}" preserveAspectRatio="none">{drawn}</svg>'
        f'<line class="cursor" x1="0" x2="0" y1="0" y2="100%"/></svg><svg class="foot">{times}{label}</svg></div>'
    )


@dataclass(frozen=True)
class _Scale:
    left: float
    right: float
    low: float
    high: float

    def draw(self, part: Line | Band | Dots | Ticks) -> Markup:
        x = (np.asarray(part.x, np.float64) - self.left) / (self.right - self.left) * _WIDE
        if isinstance(part, Ticks):
            path = "".join(f"M{_short(at)} {_HIGH}v-7" for at in x)
            return Markup(f'<path class="tick c{part.color}" d="{path}"/>')
        if isinstance(part, Band):
            path = _outline(x, self._down(part.low), self._down(part.high))
            return Markup(f'<path class="band c{part.color}" d="{path}"/>')
        y = self._down(part.y)
        if isinstance(part, Dots):
            path = "".join(f"M{_short(at)} {_short(down)}h0" for at, down in zip(x, y, strict=True) if down == down)
            return Markup(f'<path class="dots c{part.color}" d="{path}"/>')
        kind = "line dashed" if part.dashed else "line"
        return Markup(f'<path class="{kind} c{part.color}" d="{_polyline(x, y)}"/>')

    def _down(self, values: ArrayLike) -> Float64:
        """Distances from the top; what is far outside of the chart stays a short number."""
        down = (self.high - np.asarray(values, np.float64)) / (self.high - self.low) * _HIGH
        return np.asarray(np.where(np.isfinite(down), np.clip(down, -_HIGH, 2 * _HIGH), np.nan))


def _limits(values: Float64, margin: float) -> tuple[float, float]:
    """Of the finite values, and some more."""
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    if high - low <= _EMPTY_SPREAD * max(abs(low), abs(high), 1e-12):
        half = abs(low) / 10 or 0.5
        return low - half, high + half
    more = (high - low) * margin
    return low - more, high + more


def _drawn(parts: Sequence[Line | Band | Dots | Ticks]) -> Float64:
    found: list[Any] = [np.zeros(0)]
    for part in parts:
        if isinstance(part, Band):
            found += [part.low, part.high]
        elif not isinstance(part, Ticks):
            found.append(part.y)
    return np.concatenate([np.asarray(values, np.float64).ravel() for values in found])


def _polyline(x: Float64, y: Float64) -> str:
    words = []
    pen = "M"
    for at, down in zip(x.tolist(), y.tolist(), strict=True):
        if down != down:
            pen = "M"
            continue
        # a single point between gaps is seen because of its round cap
        words.append(f"{pen}{_short(at)} {_short(down)}" + ("h0" if pen == "M" else ""))
        pen = "L"
    return "".join(words)


def _outline(x: Float64, low: Float64, high: Float64) -> str:
    known = np.isfinite(low) & np.isfinite(high)
    words = []
    for run in np.split(np.arange(x.size), np.flatnonzero(np.diff(known)) + 1):
        if run.size and known[run[0]]:
            there = [f"{_short(x[n])} {_short(high[n])}" for n in run]
            back = [f"{_short(x[n])} {_short(low[n])}" for n in run[::-1]]
            words.append("M" + "L".join(there + back) + "z")
    return "".join(words)


def _text(x: str, y: str, anchor: str, text: str, more: str = "") -> Markup:
    return Markup(f'<text x="{x}" {more}y="{y}" dy="0.35em" text-anchor="{anchor}">{escaped(text)}</text>')


def _tick(number: float) -> str:
    """Short: there is little room beside a chart."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(number) >= size:
            number, unit = number / (1e3 if letter == "k" else size), letter
            break
    else:
        unit = ""
    whole = number == int(number)
    return (f"{int(number):,}" if whole else number_text(number)).replace("-", "−") + unit


def _percent(part: float) -> str:
    return f"{100 * part:.2f}%"


def _short(number: float) -> str:
    text = f"{number:.1f}"
    return text.removesuffix(".0")
