"""The sections of a report, as HTML."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from galvo import __version__
from galvo.motion.flags import Flag
from galvo.report.charts import Band, Dots, Line, Ticks, chart, decimated
from galvo.report.command import command_of
from galvo.report.figures import Kymograph, Pair, field_picture, field_scale, frame_picture, kymographs, pairs
from galvo.report.learned import learned_section, noise_section
from galvo.report.markup import Markup, escaped, joined, tag
from galvo.report.measures import Plane, measured_plane, median
from galvo.report.subject import Subject
from galvo.report.verdict import Verdict, pixels_text, verdict_of
from galvo.text import count_text, duration_text, number_text

__all__ = ["sections_of"]

Positions = NDArray[np.int64]
Values = NDArray[np.float32]

_MOST_PANELS = 12
_IMAGE_BYTES = 2_700_000
_KYMOGRAPH_BYTES = 600_000
_POINTS = 1200
_SAMPLED = 1024
_NAMED_FILES = 12


@dataclass(frozen=True)
class _Shown:
    """What of the recording is drawn, and on which axis of time."""

    subject: Subject
    planes: tuple[Plane, ...]
    drawn: tuple[Plane, ...]
    channels: tuple[int, ...]
    channel_names: tuple[str, ...]

    @property
    def count(self) -> int:
        return int(self.subject.motion.shape[0])

    @property
    def rate_hz(self) -> float | None:
        shown = self.subject.shown
        rate = None if shown is None else shown.frame_rate_hz
        return rate if rate is not None and np.isfinite(rate) and rate > 0 else None

    @property
    def moment(self) -> str:
        return "frame" if self.subject.motion.shape[1] == 1 else "volume"

    @property
    def panels(self) -> list[tuple[Plane, int]]:
        return [(plane, channel) for plane in self.drawn for channel in self.channels]

    def time_chart(
        self, title: str, parts: Sequence[Line | Band | Dots | Ticks], unit: str, **options: object
    ) -> Markup:
        drawn = chart(title, parts, (-0.5, max(self.count - 0.5, 0.5)), x_label=self.moment, y_unit=unit, **options)  # type: ignore[arg-type]
        rate = {} if self.rate_hz is None else {"data_rate": repr(self.rate_hz)}
        caption = tag("figcaption", escaped(title))
        return tag("figure", joined((caption, drawn)), class_="time", data_count=str(self.count), **rate)


def sections_of(subject: Subject) -> tuple[str, Markup]:
    """The title of a report, and everything in it."""
    shown = _shown(subject)
    verdict = verdict_of(subject, shown.planes)
    name = os.path.basename(subject.name)
    body = joined((
        _header(shown, name),
        _summary(shown, verdict),
        _chooser(shown),
        _images(shown),
        _motion(shown),
        _quality(shown),
        _kymographs(shown),
        _frames(shown),
        noise_section(subject, shown.channels),
        learned_section(subject, [plane.z for plane in shown.drawn]),
        _settings(shown),
    ))  # fmt: skip
    return f"{name}: motion correction", tag("main", body)


def _shown(subject: Subject) -> _Shown:
    planes = tuple(measured_plane(subject, z) for z in range(subject.motion.shape[1]))
    names = subject.channel_names
    count = len(names) if subject.after is not None else subject.motion.facts.reference.shape[3]
    channels = tuple(range(min(count, _MOST_PANELS)))
    most = max(1, _MOST_PANELS // len(channels))
    chosen = np.unique(np.linspace(0, len(planes) - 1, min(most, len(planes))).round().astype(int))
    return _Shown(subject, planes, tuple(planes[z] for z in chosen), channels, names)


def _header(shown: _Shown, name: str) -> Markup:
    subject = shown.subject
    t, z, y, x = subject.motion.shape
    facts = [count_text(t, shown.moment), f"{y} × {x} pixels"]
    if z > 1:
        facts.append(count_text(z, "plane"))
    if len(shown.channel_names) > 1:
        facts.append(count_text(len(shown.channel_names), "channel"))
    if shown.rate_hz is not None:
        facts += [f"{number_text(shown.rate_hz)} Hz", duration_text(t / shown.rate_hz)]
    params = subject.motion.facts.params
    facts.append(f"estimator {params.get('estimator')}, {params.get('preset')}")
    return tag("header", joined((
        tag("p", Markup("Motion correction"), class_="kicker"),
        tag("h1", escaped(name)),
        tag("p", escaped(" · ".join(facts)), class_="facts"),
    )))  # fmt: skip


def _summary(shown: _Shown, verdict: Verdict) -> Markup:
    signs = {"good": "✓", "look": "!", "bad": "✗"}
    rows = joined(
        tag("li", joined((tag("span", Markup(signs[remark.mood]), class_="sign", aria_hidden="true"),
                          tag("span", escaped(remark.text)))), class_=remark.mood)
        for remark in verdict.remarks
    )  # fmt: skip
    title = joined(
        (tag("span", Markup(signs[verdict.mood]), class_="sign", aria_hidden="true"), escaped(verdict.headline))
    )
    tiles = joined(
        tag("div", joined((tag("dt", escaped(what)), tag("dd", joined((tag("b", escaped(value)), escaped(more)))))))
        for what, value, more in _tiles(shown)
    )
    return tag(
        "section",
        joined((tag("h2", title), tag("dl", tiles, class_="tiles"), tag("ul", rows, class_="remarks"))),
        id="summary",
        class_=verdict.mood,
    )


def _tiles(shown: _Shown) -> Iterator[tuple[str, str, str]]:
    gains = [plane.gain for plane in shown.planes if plane.gain is not None]
    before, after = (
        median(np.concatenate([getattr(gain, when) for gain in gains])) if gains else np.nan
        for when in ("before", "after")
    )
    if np.isfinite(before) and np.isfinite(after):
        yield "Correlation with the reference", f"{after:.3f}", f" from {before:.3f}, 3 × 3 pixels averaged"
    else:
        correlation = median(np.concatenate([plane.frames["correlation"] for plane in shown.planes]))
        yield "Correlation with the reference", f"{correlation:.3f}", " median, after the correction"
    lengths = np.concatenate([plane.frames["max_px"] for plane in shown.planes])
    most = float(np.nanmax(lengths)) if np.isfinite(lengths).any() else float("nan")
    yield "Greatest displacement of a frame", pixels_text(median(lengths)), f" median, at most {pixels_text(most)}"
    found, count = sum(int(plane.to_look_at.sum()) for plane in shown.planes), lengths.size
    yield "Frames to look at", f"{found:,}", f" of {count:,}"
    sharper = [plane.sharper for plane in shown.planes if plane.sharper is not None]
    if sharper:
        yield (
            "Sharpness of the mean image",
            f"{100 * (float(np.mean(sharper)) - 1):+.0f} %".replace("-", "−"),
            " by its gradient",
        )


def _chooser(shown: _Shown) -> Markup:
    """For recordings of several planes or channels: which is shown. Without scripts all are."""
    choices = []
    for what, values in (
        ("plane", [(plane.z, f"plane {plane.z + 1}") for plane in shown.drawn]),
        ("channel", [(channel, shown.channel_names[channel]) for channel in shown.channels]),
    ):
        if len(values) > 1:
            options = joined(tag("option", escaped(name), value=str(value)) for value, name in values)
            label = joined((escaped(what.capitalize()), tag("select", options, id=f"choose-{what}", data_what=what)))
            choices.append(tag("label", label))
    left_out = len(shown.planes) - len(shown.drawn)
    note = (
        tag("p", escaped(f"{count_text(left_out, 'more plane')}: in the sentences above, not drawn."))
        if left_out
        else Markup("")
    )
    if not choices:
        return note
    return joined((tag("nav", joined(choices), class_="choose", aria_label="What is shown"), note))


def _images(shown: _Shown) -> Markup:
    subject = shown.subject
    budget = _IMAGE_BYTES // max(1, len(shown.panels))
    sampled = max(64, min(256, _SAMPLED // max(1, len(shown.panels))))
    panels = joined(
        tag("div", joined(map(_pair, pairs(subject, channel, plane.z, budget, sampled))), class_="pairs",
            data_plane=str(plane.z), data_channel=str(channel))
        for plane, channel in shown.panels
    )  # fmt: skip
    where = {
        "original": "Same frames and gray levels before and after.",
        "reconstructed": "Before: made again from the corrected frames and their motion. Same gray levels.",
        "missing": "Mean images that are kept with the motion. Same gray levels.",
    }[subject.before_is]
    text = f"{where} What jumps while the pictures blink is motion that was taken out."
    return _section("images", "Before and after", joined((tag("p", escaped(text)), _BLINK, panels)))


_BLINK = Markup(
    '<div class="blink-controls" role="group" aria-label="Before and after">'
    '<button type="button" id="show-before" aria-pressed="false">Before</button>'
    '<button type="button" id="show-after" aria-pressed="true">After</button>'
    '<button type="button" id="blink" aria-pressed="false">Blink</button>'
    '<button type="button" id="large" aria-pressed="false">Large</button>'
    '<span class="hint">Tap a picture or press <kbd>B</kbd> to switch, <kbd>A</kbd> to blink.</span></div>'
)


def _pair(pair: Pair) -> Markup:
    pixels = "small" if max(pair.height, pair.width) < 200 else "large"
    caption = tag("figcaption", escaped(pair.title))
    return tag("figure", joined((caption, _stage(pair))), class_=f"pair {pixels}", data_kind=pair.kind)


def _stage(pair: Pair) -> Markup:
    images = []
    for when, uri in (("before", pair.before), ("after", pair.after)):
        if uri is not None:
            image = Markup(f'<img src="{uri}" alt="{escaped(pair.title)} {when} the correction" '
                           f'width="{pair.width}" height="{pair.height}">')  # fmt: skip
            images.append(tag("div", joined((image, tag("span", Markup(when), class_="when"))), class_=when))
    return tag("div", joined(images), class_="stage" if pair.before is not None else "stage single")


def _motion(shown: _Shown) -> Markup:
    points = max(200, _POINTS // len(shown.drawn))
    parts = []
    for plane in shown.drawn:
        charts = []
        for axis, (title, color) in enumerate(
            (("Along x (positive: to the right)", 1), ("Along y (positive: down)", 4))
        ):
            at, shift = decimated(plane.frames["shift"][:, axis], points)
            extent = plane.extent
            band = Band(extent.frames, extent.low[:, axis], extent.high[:, axis], color)
            charts.append(shown.time_chart(title, [band, Line(at, shift, color)], "px"))
        parts.append(tag("div", joined(charts), data_plane=str(plane.z)))
    text = (
        "Where the tissue was, relative to the reference. Line: the shift of the whole image. "
        "Band: from the least to the greatest displacement within the image."
    )
    sampled = shown.drawn[0].extent.frames.size
    if sampled < shown.count:
        text += f" The band is of {sampled:,} frames: those that moved farthest, and others in between."
    return _section("motion", "Motion over time", joined((tag("p", escaped(text)), *parts)), over_time=True)


def _quality(shown: _Shown) -> Markup:
    points = max(200, _POINTS // len(shown.drawn))
    parts = []
    for plane in shown.drawn:
        frames, unusual = plane.frames, np.flatnonzero(plane.unusual)
        flagged = np.flatnonzero(plane.doubtful)
        charts = []
        for name, title, unit, color in (
            ("correlation", "Correlation with the reference", "", 1),
            ("residual", "What the reference does not explain", "counts", 4),
            ("max_px", "Greatest displacement", "px", 5),
        ):
            at, values = decimated(frames[name], points)
            drawn: list[Line | Band | Dots | Ticks] = [Line(at, values, color)]
            if name == "correlation":
                some = _lowest(unusual, frames[name])
                drawn.append(Dots(some, frames[name][some], 2))
            ticks = _thinned_out(flagged, shown.count)
            drawn += [Ticks(ticks, 3)] if ticks.size else []
            # 0.1 of a correlation; a tenth of what there is of a residual
            span = {"correlation": 0.1, "residual": 0.2 * abs(median(frames[name]))}.get(name, 1.0)
            charts.append(shown.time_chart(title, drawn, unit, least_span=span if np.isfinite(span) else 0.0))
        parts.append(tag("div", joined(charts), data_plane=str(plane.z)))
    legend = Markup(
        '<p class="legend"><span><span class="key dot"></span>unusual: correlation far below that of the frames around'
        '</span><span><span class="key tick"></span>flagged: see the sentences at the top</span></p>'
    )
    return _section("quality", "Quality over time", joined((legend, *parts)), over_time=True)


def _lowest(positions: Positions, values: Values, most: int = 400) -> Positions:
    """The lowest of many."""
    if positions.size <= most:
        return positions
    return np.sort(positions[np.argsort(values[positions], kind="stable")[:most]])


def _thinned_out(positions: Positions, count: int, most: int = 600) -> Positions:
    """One position of each of `most` stretches of time that have any."""
    return positions[np.unique(positions * most // max(1, count), return_index=True)[1]]


def _kymographs(shown: _Shown) -> Markup:
    budget = _KYMOGRAPH_BYTES // max(1, len(shown.panels))
    parts = [
        tag("div", joined(map(_kymograph, found)), data_plane=str(plane.z), data_channel=str(channel))
        for plane, channel in shown.panels
        if (found := kymographs(shown.subject, channel, plane.z, budget, _moved_most(plane)))
    ]
    if not parts:
        return Markup("")
    text = (
        "A strip of the image over time, where edges are strongest: rows of the image from top to bottom, time from "
        "left to right. After the correction, what is still runs straight."
    )
    return _section("kymographs", "A strip over time", joined((tag("p", escaped(text)), *parts)))


def _moved_most(plane: Plane) -> int:
    return int(np.nan_to_num(plane.frames["max_px"], nan=0).argmax())


def _kymograph(kymograph: Kymograph) -> Markup:
    first, last = int(kymograph.frames[0]), int(kymograph.frames[-1])
    how = "all" if kymograph.consecutive else f"{kymograph.frames.size:,}"
    rows, columns = (f"{part.start}–{part.stop - 1}" for part in (kymograph.rows, kymograph.columns))
    where = f"rows {rows}, columns {columns}"
    caption = tag("figcaption", escaped(f"Frames {first:,} to {last:,} ({how} of them), {where}"))
    return tag("figure", joined((caption, _stage(kymograph.pair))), class_="kymograph")


def _frames(shown: _Shown) -> Markup:
    parts = [tag("div", _cards(shown, plane), class_="cards", data_plane=str(plane.z)) for plane in shown.drawn]
    text = (
        "Those that resemble the reference least, moved most or were bent most, and one whose motion is as large as "
        "usual: the field, and the corrected frame. Arrows show where tissue went, colours how far, alike in all."
    )
    return _section("frames", "The worst frames, and a usual one", joined((tag("p", escaped(text)), *parts)))


def _cards(shown: _Shown, plane: Plane) -> Markup:
    subject, z = shown.subject, plane.z
    chosen = [*plane.worst, (plane.typical, "as usual")]
    chosen = [entry for number, entry in enumerate(chosen) if entry[0] not in [other for other, _ in chosen[:number]]]
    is_rest, most_px = field_scale(subject.motion, [t for t, _ in chosen], z)
    channel = 0 if subject.after is None else (subject.estimated_channels(subject.after) or [0])[0]
    cards = []
    for t, why in chosen:
        frame = plane.frames[t]
        picture = field_picture(subject.motion, t, z, is_rest, most_px)
        height, width = subject.motion.shape[2:]
        arrows = Markup(
            f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="Field of frame {t}">{picture.arrows}</svg>'
        )
        image = Markup(f'<img src="{picture.uri}" alt="" width="{width}" height="{height}">')
        pictures = [tag("div", joined((image, arrows)), class_="field")]
        if subject.after is not None:
            uri = frame_picture(subject.after, t, channel, z)
            pictures.append(
                Markup(f'<div><img src="{uri}" alt="Frame {t}, corrected" width="{width}" height="{height}"></div>')
            )
        x, y = (float(part) for part in frame["shift"])
        what = "bent by at most" if is_rest else "moved by at most"
        flags = Flag(int(frame["flags"]) & sum(Flag))
        facts = [
            f"correlation {frame['correlation']:.3f}",
            f"shift {_signed(x)} px right, {_signed(y)} px down",
            f"{what} {pixels_text(picture.most_px)}",
        ] + ([flags.meaning] if flags else [])
        title = tag("h3", escaped(f"{shown.moment.capitalize()} {t:,}"))
        cards.append(tag("article", joined((
            title, tag("p", escaped(why), class_="why"), tag("div", joined(pictures), class_="pictures"),
            tag("p", escaped("; ".join(facts)), class_="facts"),
        ))))  # fmt: skip
    what = "what the shift leaves" if is_rest else "displacement"
    times = 0.9 * max(subject.motion.shape[2:]) / 14 / max(most_px, 1e-6)
    scale = joined((escaped("0 px"), Markup('<span class="ramp"></span>'), escaped(f"{pixels_text(most_px)}, {what}")))
    legend = tag(
        "p",
        joined((scale, escaped(f". Arrows are drawn {number_text(times, 2)} times as long as they are."))),
        class_="legend scale",
    )
    return joined((legend, *cards))


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")


def _settings(shown: _Shown) -> Markup:
    subject = shown.subject
    facts = subject.motion.facts
    told = facts.provenance
    command = command_of(subject)
    parts = [_copyable(command.text, "The command")]
    if command.params:
        parts.append(_copyable(command.params, "params.json"))
    parts += [tag("p", escaped(note)) for note in command.notes]
    rows = [("estimated on", ", ".join(subject.estimated_names))]
    rows += [("galvo that estimated", str(told.get("galvo_version", "unknown"))), ("galvo that reports", __version__)]
    files = told.get("source_files")
    names = [str(row[0]) for row in files if isinstance(row, list) and row] if isinstance(files, list) else []
    if names:
        more = f" and {len(names) - _NAMED_FILES:,} more" if len(names) > _NAMED_FILES else ""
        rows.append(("source", ", ".join(names[:_NAMED_FILES]) + more))
    h, w = facts.expansion.solver_shape
    rows.append(("fields", f"{h} × {w} numbers for x and for y, kept for each {shown.moment}"))
    rows.append(("references", count_text(len(facts.references), "part")))
    table = joined(joined((tag("dt", escaped(what)), tag("dd", escaped(value)))) for what, value in rows)
    parts.append(tag("dl", table, class_="table"))
    return _section("settings", "Settings", joined(parts))


def _copyable(text: str, title: str) -> Markup:
    button = Markup('<button type="button" class="copy">Copy</button>')
    head = tag("div", joined((tag("span", escaped(title)), button)), class_="copy-head")
    lines = joined(Markup(escaped(line) + "\n") for line in text.splitlines())
    return tag("div", joined((head, tag("pre", tag("code", lines)))), class_="copyable")


def _section(name: str, title: str, content: Markup, *, over_time: bool = False) -> Markup:
    # the script says there which frame is pointed at
    place = Markup('<span class="readout"></span>') if over_time else Markup("")
    return tag("section", joined((tag("h2", joined((escaped(title), place))), content)), id=name)
