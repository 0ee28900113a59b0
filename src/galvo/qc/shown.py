"""What of a recording is drawn: planes, channels, and the axis of time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from galvo.qc.charts import Band, Dots, Line, Ticks, chart
from galvo.qc.markup import Markup, escaped, joined, tag
from galvo.qc.measures import Plane, measured_plane
from galvo.qc.subject import Subject

__all__ = ["Shown", "shown_of"]

_MOST_PANELS = 12


@dataclass(frozen=True)
class Shown:
    """What of the recording is drawn, and on which axis of time.

    Attributes
    ----------
    subject : Subject
    planes : tuple of Plane
        All of them, in the order of Z.
    drawn : tuple of Plane
        Some of many.
    channels : tuple of int
        Those that are drawn.
    channel_names : tuple of str
        Of all channels.
    """

    subject: Subject
    planes: tuple[Plane, ...]
    drawn: tuple[Plane, ...]
    channels: tuple[int, ...]
    channel_names: tuple[str, ...]

    @property
    def count(self) -> int:
        """Length of T."""
        return int(self.subject.motion.shape[0])

    @property
    def rate_hz(self) -> float | None:
        """Of T, where it is known."""
        shown = self.subject.shown
        rate = None if shown is None else shown.frame_rate_hz
        return rate if rate is not None and np.isfinite(rate) and rate > 0 else None

    @property
    def moment(self) -> str:
        """What T counts."""
        return "frame" if self.subject.motion.shape[1] == 1 else "volume"

    @property
    def panels(self) -> list[tuple[Plane, int]]:
        """Planes and channels that are drawn."""
        return [(plane, channel) for plane in self.drawn for channel in self.channels]

    def time_chart(
        self, title: str, parts: Sequence[Line | Band | Dots | Ticks], unit: str, least_span: float = 0.0
    ) -> Markup:
        """A chart whose x is T, with its title; the script shows which frame is pointed at."""
        title = f"{title}, {unit}" if unit else title
        limits = (-0.5, max(self.count - 0.5, 0.5))
        drawn = chart(title, parts, limits, x_label=self.moment, least_span=least_span)
        rate = {} if self.rate_hz is None else {"data_rate": repr(self.rate_hz)}
        caption = tag("figcaption", escaped(title))
        return tag("figure", joined((caption, drawn)), class_="time", data_count=str(self.count), **rate)


def shown_of(subject: Subject) -> Shown:
    """Everything measured, and what fits on a page chosen."""
    planes = tuple(measured_plane(subject, z) for z in range(subject.motion.shape[1]))
    names = subject.channel_names
    count = len(names) if subject.after is not None else subject.motion.facts.reference.shape[3]
    channels = tuple(range(min(count, _MOST_PANELS)))
    most = max(1, _MOST_PANELS // len(channels))
    chosen = np.unique(np.linspace(0, len(planes) - 1, min(most, len(planes))).round().astype(int))
    return Shown(subject, planes, tuple(planes[z] for z in chosen), channels, names)
