"""What a report says, from its title to the settings."""

from __future__ import annotations

import os
from collections.abc import Iterator

import numpy as np

from galvo import __version__
from galvo.qc.command import command_of
from galvo.qc.learned import learned_section, noise_section
from galvo.qc.looks import frames_section, images_section
from galvo.qc.markup import NOTHING, Markup, escaped, joined, section, tag
from galvo.qc.measures import median
from galvo.qc.over_time import kymograph_section, motion_section, quality_section
from galvo.qc.shown import Shown, shown_of
from galvo.qc.subject import Subject
from galvo.qc.verdict import Verdict, pixels_text, verdict_of
from galvo.text import count_text, duration_text, number_text

__all__ = ["sections_of"]

_NAMED_FILES = 12


def sections_of(subject: Subject) -> tuple[str, Markup]:
    """The title of a report, and everything in it."""
    shown = shown_of(subject)
    verdict = verdict_of(subject, shown.planes)
    name = os.path.basename(subject.name)
    body = joined((
        _header(shown, name),
        _summary(shown, verdict),
        _chooser(shown),
        images_section(shown),
        motion_section(shown),
        quality_section(shown),
        kymograph_section(shown),
        frames_section(shown),
        noise_section(subject, shown.channels),
        learned_section(subject, [plane.z for plane in shown.drawn]),
        _settings(shown),
    ))  # fmt: skip
    return f"{name}: motion correction", tag("main", body)


def _header(shown: Shown, name: str) -> Markup:
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


def _summary(shown: Shown, verdict: Verdict) -> Markup:
    signs = {"good": "✓", "look": "!", "bad": "✗", "note": "i"}
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


def _tiles(shown: Shown) -> Iterator[tuple[str, str, str]]:
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
        percent = round(100 * (float(np.mean(sharper)) - 1))
        yield "Sharpness of the mean image", f"{percent:+d} %".replace("-", "−"), " by its gradient"


def _chooser(shown: Shown) -> Markup:
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
        else NOTHING
    )
    if not choices:
        return note
    return joined((tag("nav", joined(choices), class_="choose", aria_label="What is shown"), note))


def _settings(shown: Shown) -> Markup:
    subject = shown.subject
    facts = subject.motion.facts
    told = facts.provenance
    command = command_of(subject)
    parts = [_copyable(command.text, "The command")]
    if command.params:
        parts.append(_copyable(command.params, "params.json"))
    parts += [tag("p", escaped(note)) for note in command.notes]
    rows = [("estimated on", ", ".join(subject.estimated_names))]
    rows += [("estimated by", f"galvo {told.get('galvo_version', '')}"), ("page by", f"galvo {__version__}")]
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
    return section("settings", "Settings", joined(parts))


def _copyable(text: str, title: str) -> Markup:
    button = Markup('<button type="button" class="copy">Copy</button>')
    head = tag("div", joined((tag("span", escaped(title)), button)), class_="copy-head")
    lines = joined(Markup(escaped(line) + "\n") for line in text.splitlines())
    return tag("div", joined((head, tag("pre", tag("code", lines)))), class_="copyable")
