"""The noise of the recording, and what the estimator learned of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from galvo.errors import GalvoError
from galvo.noise import NoiseModel, estimate_noise
from galvo.qc.charts import Dots, Line, chart
from galvo.qc.markup import NOTHING, Markup, escaped, joined, section, tag
from galvo.qc.subject import Subject
from galvo.qc.verdict import pixels_text
from galvo.text import count_text, number_text

__all__ = ["learned_section", "noise_section"]

_MOST_CHANNELS = 4


def noise_section(subject: Subject, channels: Sequence[int]) -> Markup:
    """Variance over intensity of the original; nothing where it is not there."""
    recording = subject.before
    if subject.before_is != "original" or recording is None:
        return NOTHING
    parts = []
    for channel in channels[:_MOST_CHANNELS]:
        name = subject.channel_names[channel] if len(channels) > 1 else ""
        try:
            # a few hundred pixels give numbers that are none; the model says that it does not fit
            with np.errstate(all="ignore"):
                model = estimate_noise(recording, channel=channel)
        except GalvoError as error:
            parts.append(tag("p", escaped(f"{name}: could not be measured: {error.message}.".removeprefix(": "))))
        else:
            parts.append(tag("div", _noise(model, name), data_channel=str(channel)))
    text = (
        "Variance of a pixel over its brightness, measured from differences of frames of the original. Photons make it "
        "a line."
    )
    return section("noise", "Noise", tag("p", escaped(text)), *parts)


def _noise(model: NoiseModel, name: str) -> Markup:
    known = [row for row in model.bins if row[2] > 0]
    means, variances = np.array([row[:2] for row in known] or [(0.0, 0.0)]).T
    ends = np.array([means.min(), means.max()])
    line = np.maximum(model.gain * ends + model.variance_at_zero, 0)
    drawn = chart(
        f"Noise {name}".rstrip(), [Line(ends, line, 4), Dots(means, variances, 1)],
        (float(ends[0]), float(ends[1])), x_label="counts", whole=False, size="high",
    )  # fmt: skip
    words = []
    if model.gain > 0:
        photons = [_photons(model, part) for part in (float(np.median(means)), float(ends[1]))]
        words.append(f"One photon is {number_text(model.gain, 3)} counts")
        words.append(f"the brightest pixels have about {number_text(photons[1], 2)} photons in a frame")
    if model.offset is not None and model.read_noise is not None:
        words.append(f"without light {model.offset:.1f} ± {model.read_noise:.1f} counts".replace("-", "−"))
    text = "; ".join(words)
    lines = [f"{text}."] if text else []
    lines += [f"{sentence[0].upper()}{sentence[1:]}." for sentence in model.explain()]
    caption = tag("figcaption", escaped(f"Variance in counts², {name}".removesuffix(", ")))
    return joined((tag("figure", joined((caption, drawn))), *(tag("p", escaped(line)) for line in lines)))


def _photons(model: NoiseModel, mean: float) -> float:
    return max(0.0, model.gain * mean + model.variance_at_zero) / model.gain**2


def learned_section(subject: Subject, planes: Sequence[int]) -> Markup:
    """What calibration found, plane by plane; of a recording with several references that of the first part."""
    facts = subject.motion.facts
    total = facts.reference.shape[0]
    known = [(z, facts.learned[z]) for z in planes if z < len(facts.learned) and facts.learned[z]]
    if not known:
        name = facts.params.get("estimator")
        text = f"The estimator {name} learns nothing from the recording."
        return section("learned", "What the estimator learned", tag("p", escaped(text)))
    parts = [tag("div", _learned(told, subject), data_plane=str(z)) for z, told in known]
    if len(facts.references) > 1:
        note = f"The recording has {len(facts.references):,} references; this is of the first."
        parts.insert(0, tag("p", escaped(note)))
    if total > len(planes):
        parts.insert(0, tag("p", escaped("Of the planes that are drawn.")))
    return section("learned", "What the estimator learned", joined(parts))


def _learned(told: Mapping[str, Any], subject: Subject) -> Markup:
    expected, left = _number(told, "elastic_rms_px"), _number(told, "posterior_rms_px")
    sentences = [f"From {count_text(int(_number(told, 'frame_count', 0)), 'frame')} spread over the recording:"]
    rows = []
    if expected > 0:
        sentences.append(
            f"beyond shifts the tissue bends by {pixels_text(expected)} (root mean square), of which an error of about "
            f"{pixels_text(left)} is left if what was learned is right."
        )
        rows.append(("elastic motion", f"{pixels_text(expected)} root mean square"))
        rows.append(("error that is left", f"about {pixels_text(left)}"))
        rows.append(("greatest that is believed", pixels_text(_number(told, "elastic_limit_px"))))
    else:
        sentences.append("no elastic motion, so that frames are shifted only.")
    determined, count = _number(told, "determined"), int(_number(told, "coefficient_count", 0))
    rows.append(("numbers that a frame determines", f"{determined:.1f} of {count:,} that were possible"))
    for channel, line in enumerate(_rows(told, "noise")):
        name = subject.estimated_names[channel] if channel < len(subject.estimated_names) else str(channel)
        gain, zero = _number(line, "gain"), _number(line, "variance_at_zero")
        text = f"{number_text(gain, 3)} × brightness {'−' if zero < 0 else '+'} {number_text(abs(zero), 3)}"
        known = line.get("source") != "none"
        rows.append((f"variance, {name}", f"{text}, from the {line.get('source')}" if known else "none was found"))
    table = joined(joined((tag("dt", escaped(what)), tag("dd", escaped(value)))) for what, value in rows)
    return joined((
        tag("p", escaped(" ".join(sentences))),
        tag("dl", table, class_="table"),
        _bands(_rows(told, "bands"), min(subject.motion.shape[2:])),
    ))  # fmt: skip


def _bands(bands: Sequence[Mapping[str, Any]], side: int) -> Markup:
    """How motion is spread over fineness."""
    used = [band for band in bands if _number(band, "active_count", 0) > 0]
    if not used:
        return NOTHING
    greatest = max(_number(band, "rms_px", 0) for band in used) or 1.0
    rows = []
    for band in used:
        low, high = _order(band)
        rms = _number(band, "rms_px", 0)
        bar = Markup(
            f'<svg class="bar" aria-hidden="true"><rect width="{100 * rms / greatest:.1f}%" height="100%"/></svg>'
        )
        cells = (
            escaped(band.get("kind")),
            escaped(f"{side / high:.0f}–{side / low:.0f} px" if 0 < low <= high else "?"),
            joined((escaped(pixels_text(rms)), bar)),
            escaped(f"{_number(band, 'determined'):.1f}"),
            escaped("yes" if band.get("temporal_used") is True else "no"),
        )
        rows.append(tag("tr", joined(tag("td", cell) for cell in cells)))
    heads = ("kind", "half wave", "expected", "determined per frame", "predicted from neighbours")
    head = tag("tr", joined(tag("th", escaped(name)) for name in heads))
    table = tag("table", joined((tag("thead", head), tag("tbody", joined(rows)))))
    summary = tag("summary", escaped("Motion by fineness"))
    return tag("details", joined((summary, tag("div", table, class_="wide"))))


def _order(band: Mapping[str, Any]) -> tuple[float, float]:
    order = band.get("order")
    if isinstance(order, list | tuple) and len(order) == 2 and all(isinstance(end, int | float) for end in order):
        return float(order[0]), float(order[1])
    return math.nan, math.nan


def _rows(told: Mapping[str, Any], name: str) -> list[Mapping[str, Any]]:
    """What a file says is a list of mappings."""
    rows = told.get(name)
    return [row for row in rows if isinstance(row, Mapping)] if isinstance(rows, list | tuple) else []


def _number(told: Mapping[str, Any], name: str, otherwise: float = math.nan) -> float:
    value = told.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else otherwise
