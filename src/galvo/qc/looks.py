"""Sections of pictures: images before and after that blink, and single frames with their fields."""

from __future__ import annotations

from galvo.motion.flags import Flag
from galvo.qc.figures import Pair, field_picture, field_scale, frame_picture, pairs
from galvo.qc.markup import NOTHING, Markup, escaped, joined, section, tag
from galvo.qc.measures import Plane
from galvo.qc.shown import Shown
from galvo.qc.verdict import pixels_text
from galvo.text import number_text

__all__ = ["frames_section", "images_section", "stage"]

_IMAGE_BYTES = 2_700_000
_FRAME_BYTES = 1_000_000
_SAMPLED = 1024
_SEEN_PX = 0.005


def images_section(shown: Shown) -> Markup:
    """Mean, maximum and local correlation of each plane and channel, before and after."""
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
    return section("images", "Before and after", tag("p", escaped(text)), _BLINK, panels)


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
    return tag("figure", joined((caption, stage(pair))), class_=f"pair {pixels}", data_kind=pair.kind)


def stage(pair: Pair) -> Markup:
    """The two images of a pair beside each other; the script lays them over each other."""
    images = []
    for when, uri in (("before", pair.before), ("after", pair.after)):
        if uri is not None:
            image = Markup(f'<img src="{uri}" alt="{escaped(pair.title)} {when} the correction" '
                           f'width="{pair.width}" height="{pair.height}">')  # fmt: skip
            images.append(tag("div", joined((image, tag("span", Markup(when), class_="when"))), class_=when))
    return tag("div", joined(images), class_="stage" if pair.before is not None else "stage single")


def frames_section(shown: Shown) -> Markup:
    """Fields and corrected frames of each plane."""
    parts = [tag("div", _cards(shown, plane), class_="cards", data_plane=str(plane.z)) for plane in shown.drawn]
    text = (
        "Those that resemble the reference least, moved most or were bent most, and one whose motion is as large as "
        "usual: the field, and the corrected frame. Arrows show where tissue went, colours how far, alike in all."
    )
    return section("frames", "The worst frames, and a usual one", tag("p", escaped(text)), *parts)


def _cards(shown: Shown, plane: Plane) -> Markup:
    subject, z = shown.subject, plane.z
    chosen = [*plane.worst, (plane.typical, "as usual")]
    chosen = [entry for number, entry in enumerate(chosen) if entry[0] not in [other for other, _ in chosen[:number]]]
    is_rest, most_px = field_scale(subject.motion, [t for t, _ in chosen], z)
    channel = 0 if subject.after is None else (subject.estimated_channels(subject.after) or [0])[0]
    budget = _FRAME_BYTES // (2 * len(chosen) * len(shown.drawn))
    cards = []
    times = 1.0
    for t, why in chosen:
        frame = plane.frames[t]
        picture = field_picture(subject.motion, t, z, is_rest, most_px, budget)
        times = picture.times
        height, width = subject.motion.shape[2:]
        arrows = Markup(
            f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="Field of frame {t}">{picture.arrows}</svg>'
        )
        image = Markup(f'<img src="{picture.uri}" alt="" width="{width}" height="{height}">')
        pictures = [tag("div", joined((image, arrows)), class_="field")]
        if subject.after is not None:
            uri = frame_picture(subject.after, t, channel, z, budget)
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
    ends = (escaped("0 px"), tag("span", NOTHING, class_="ramp"), escaped(f"{pixels_text(most_px)}, {what}."))
    how = escaped(
        f"Arrows are {number_text(times, 2)} times as long as the displacements." if most_px > _SEEN_PX else ""
    )
    legend = tag("p", joined((tag("span", joined(ends)), tag("span", how))), class_="legend scale")
    return joined((legend, *cards))


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
