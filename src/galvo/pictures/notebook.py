"""What notebooks show of a recording: a card in HTML that needs nothing else and never fails."""

from __future__ import annotations

import html
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from galvo.errors import OptionError
from galvo.pictures.picture import data_uri, fitted, png_bytes, to_uint8
from galvo.pictures.summary import sampled_frames
from galvo.pictures.views import title_of
from galvo.text import count_text

if TYPE_CHECKING:
    from galvo.core.recording import Recording

__all__ = ["card_html"]

_MOST_CHANNELS: Final = 3
_MOST_FRAMES: Final = 16
_READ_BYTES: Final = 32 << 20
_SIDE: Final = 144
_MOST_LINES: Final = 5
_MOST_LETTERS: Final = 200

# colours of the page itself, so that light and dark ones are readable
_CARD: Final = (
    "display:flex;width:fit-content;gap:16px;align-items:flex-start;flex-wrap:wrap;padding:12px 14px;margin:4px 0;"
    "max-width:100%;box-sizing:border-box;border:1px solid rgba(128,128,128,.45);border-radius:8px;color:inherit;"
    "font:13px/1.45 system-ui,sans-serif"
)
_PICTURES: Final = f"width:{_SIDE}px;overflow-wrap:anywhere"
_TITLE: Final = "font-weight:600;font-size:15px;overflow-wrap:anywhere"
# set once more: pages without a doctype do not let tables inherit
_TABLE: Final = "border-collapse:collapse;background:none;margin:4px 0 0;color:inherit;font:inherit"
_LABEL: Final = "padding:0 14px 0 0;border:0;text-align:left;vertical-align:top;opacity:.7;white-space:nowrap"
_CELL: Final = "padding:0;border:0;text-align:left;vertical-align:top;overflow-wrap:anywhere"
_ALARM: Final = "border-left:3px solid #d55e00;padding-left:6px"
_IMAGE: Final = "display:block;max-width:100%;height:auto;border-radius:3px"


def card_html(recording: Recording) -> str:
    """A card: thumbnails of the mean, axes, rate, pixel size, files, and what is left out or damaged.

    Up to 16 frames of up to 3 channels are read, 32 MiB at most where frames are not larger than that. Whatever fails
    is told in its place; nothing is raised. All that comes from files is escaped.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pictures = _told(lambda: _thumbnails(recording), "no thumbnail")
        title = _told(lambda: _escaped(title_of(recording)), "no name")
        rows = [
            _row(label, _told(lambda lines=lines: _lines(lines(recording)), "unknown"), alarming)  # type: ignore[misc]
            for label, lines, alarming in _ROWS
        ]
    told = list(dict.fromkeys(str(warning.message) for warning in caught))
    rows.append(_row("warnings", _lines(told), True))
    return (
        f'<div class="galvo-recording" style="{_CARD}"><div style="{_PICTURES}">{pictures}</div>'
        f'<div style="min-width:0;flex:1 1 300px"><div style="{_TITLE}">{title}</div>'
        f'<table style="{_TABLE}">{"".join(rows)}</table></div></div>'
    )


def _told(make: Callable[[], str], otherwise: str) -> str:
    """What `make` gives, or why it does not."""
    try:
        return make()
    except Exception as error:  # noqa: BLE001 - a notebook is to show the rest
        return f'<span style="opacity:.8">{otherwise}: {_escaped(str(error) or type(error).__name__)}</span>'


def _escaped(text: str) -> str:
    short = text if len(text) <= _MOST_LETTERS else text[: _MOST_LETTERS - 1] + "…"
    return html.escape("".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in short))


def _row(label: str, content: str, alarming: bool) -> str:
    if not content:
        return ""
    inner = f'<div style="{_ALARM}">{content}</div>' if alarming else content
    return (
        f'<tr style="background:none"><th scope="row" style="{_LABEL};font-weight:400">{label}</th>'
        f'<td style="{_CELL}">{inner}</td></tr>'
    )


def _lines(texts: Sequence[str]) -> str:
    shown = list(texts)
    if len(shown) > _MOST_LINES:
        shown[_MOST_LINES - 1 :] = [f"and {len(shown) - _MOST_LINES + 1:,} more"]
    return "<br>".join(map(_escaped, shown))


def _thumbnails(recording: Recording) -> str:
    if recording.size == 0:
        raise OptionError("the recording is empty", found=f"shape {recording.shape}")
    length, channels, planes, height, width = recording.shape
    shown = min(channels, _MOST_CHANNELS)
    fitting = _READ_BYTES // max(1, shown * height * width * recording.dtype.itemsize)
    times = sampled_frames(length, max(1, min(_MOST_FRAMES, fitting)), recording.chunks[0])
    figures = []
    for channel in range(shown):
        pixels = recording[times, channel, planes // 2]
        known = np.isfinite(pixels)
        count = known.sum(axis=0)
        values = np.abs(pixels) if pixels.dtype.kind == "c" else pixels
        mean = np.where(known, values, 0).sum(axis=0, dtype=np.float64) / np.where(count, count, np.nan)
        picture = fitted(to_uint8(mean), _SIDE)
        name = _channel_name(recording, channel)
        what = f"mean of {count_text(times.size, 'frame')}" + (f", plane {planes // 2 + 1}" if planes > 1 else "")
        figures.append(
            f'<figure style="margin:0 0 6px"><img src="{data_uri(png_bytes(picture))}" width="{picture.shape[1]}" '
            f'height="{picture.shape[0]}" alt="{what}" style="{_IMAGE}">'
            f'<figcaption style="opacity:.7;font-size:11px">{_escaped(name)} · {what}</figcaption></figure>'
        )
    return "".join(figures)


def _channel_name(recording: Recording, channel: int) -> str:
    names = recording.channel_names
    return names[channel] if names else f"channel {channel + 1}"


def _axes(recording: Recording) -> list[str]:
    t, c, z, y, x = recording.shape
    names = f" ({', '.join(recording.channel_names)})" if recording.channel_names else ""
    return [f"T {t:,} · C {c:,}{names} · Z {z:,} · Y {y:,} · X {x:,}"]


def _pixels(recording: Recording) -> list[str]:
    amount, units = float(recording.nbytes), ["bytes", "kB", "MB", "GB", "TB"]
    while amount >= 999.5 and len(units) > 1:
        amount, units = amount / 1000, units[1:]
    return [f"{recording.dtype}, {amount:.3g} {units[0]}"]


def _rate(recording: Recording) -> list[str]:
    rate = recording.frame_rate_hz
    if not rate:
        return []
    what = "volumes" if recording.shape[2] > 1 else "frames"
    return [f"{rate:.4g} {what} per second, {recording.shape[0] / rate:,.4g} s"]


def _pixel_size(recording: Recording) -> list[str]:
    size = recording.pixel_size_um
    if size is None:
        return []
    whole = [length * step for length, step in zip(recording.shape[3:], size, strict=True)]
    return ["{:.4g} x {:.4g} µm (Y x X), in all {:.4g} x {:.4g} µm".format(*size, *whole)]


def _depth(recording: Recording) -> list[str]:
    depths = recording.metadata.z_um
    if not depths:
        return []
    return [f"{depths[0]:.4g} µm" if len(depths) == 1 else f"{depths[0]:.4g} to {depths[-1]:.4g} µm"]


def _format(recording: Recording) -> list[str]:
    return [" ".join(filter(None, (recording.metadata.format, recording.metadata.version)))]


def _files(recording: Recording) -> list[str]:
    files = recording.files
    if len(files) < 2:
        return [str(path) for path in files]
    return [f"{len(files):,}, {files[0].name} to {files[-1].name}", f"in {files[0].parent}"]


def _fields(recording: Recording) -> list[str]:
    return [f"{field.name}: {field.height} x {field.width} pixels" for field in recording.scan_fields]


def _left_out(recording: Recording) -> list[str]:
    return [f"{entry.what}: {count_text(entry.page_count, 'page')}, {entry.reason}" for entry in recording.left_out]


def _damage(recording: Recording) -> list[str]:
    return [
        f"{entry.path}{'' if entry.offset is None else f' at byte {entry.offset}'}: {entry.message}"
        for entry in recording.damage
    ]


_ROWS: Final[tuple[tuple[str, Callable[[Recording], list[str]], bool], ...]] = (
    ("axes", _axes, False),
    ("pixels", _pixels, False),
    ("rate", _rate, False),
    ("pixel size", _pixel_size, False),
    ("depth", _depth, False),
    ("fields", _fields, False),
    ("format", _format, False),
    ("files", _files, False),
    ("left out", _left_out, True),
    ("damage", _damage, True),
)
