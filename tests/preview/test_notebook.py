"""The card that notebooks show: what it tells, that nothing in a file becomes markup, that it never fails."""

import base64
import html.parser
import io
import re

import numpy as np
import pytest
from PIL import Image

import galvo
from galvo.errors import Malformed, warn
from galvo.testing.scanimage import ScanImageRecording

HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>\u202e\x00&lt;"


class Page(html.parser.HTMLParser):
    """Tags, attributes and text of a page whose elements must all be closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts, self.pending = [], [], [], []
        self.feed(text)
        assert not self.pending

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in ("img", "br"):
            self.pending.append(tag)

    def handle_endtag(self, tag):
        assert self.pending.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return "\n".join(self.texts)

    @property
    def pictures(self):
        found = []
        for name, value in self.attributes:
            if name == "src":
                kind, _, data = value.partition(";base64,")
                assert kind == "data:image/png"
                with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as image:
                    found.append(np.asarray(image))
        return found


@pytest.fixture
def volumes(tmp_path):
    truth = ScanImageRecording(height=16, width=24, slices=3, flyback=1, volumes=5, z_step_um=4.0)
    with galvo.open(truth.write(tmp_path)[0]) as rec:
        yield rec


def test_the_card_tells_what_is_known(volumes):
    page = Page(volumes._repr_html_())
    shown = page.text
    for expected in (
        "T 5 · C 1 (Channel 1) · Z 3 · Y 16 · X 24",
        "int16, 11.5 kB",
        f"{volumes.frame_rate_hz:.4g} volumes per second",
        "{:.4g} x {:.4g} µm (Y x X)".format(*volumes.pixel_size_um),
        f"scanimage {volumes.metadata.version}",
        str(volumes.files[0]),
        "flyback: 5 pages",
        "Channel 1 · mean of 5 frames, plane 2",
    ):
        assert expected in shown
    (picture,) = page.pictures
    mean = volumes[:, 0, 1].mean(0)
    low, high = np.percentile(mean, (0.5, 99.8))
    expected = np.clip((mean - low) / (high - low) * 255, 0, 255)
    np.testing.assert_allclose(picture[::6, ::6], expected, atol=1)


def test_nothing_in_a_file_becomes_markup(monkeypatch):
    metadata = galvo.Metadata(format=HOSTILE, version=HOSTILE, channel_names=(HOSTILE, "b" * 10_000))
    pixels = np.random.default_rng(0).integers(0, 9, (3, 2, 1, 4, 4), np.uint8)
    rec = galvo.Recording.from_array(pixels, metadata=metadata)
    rec._files = (f"/data/{HOSTILE}.tif", "/data/2.tif")
    rec._left_out = (galvo.LeftOut(HOSTILE, 3, HOSTILE),)
    rec._damage = tuple(galvo.Damage(HOSTILE, 5, HOSTILE) for _ in range(40))
    text = rec._repr_html_()
    page = Page(text)
    assert set(page.tags) == {"div", "figure", "img", "figcaption", "table", "tr", "th", "td", "br"}
    assert {name for name, _ in page.attributes} == {"class", "style", "src", "width", "height", "alt", "scope"}
    assert "<script>alert(1)</script>" in page.text
    assert "\u202e" not in text
    assert "\0" not in text
    assert "and 36 more" in page.text
    assert len(text) < 30_000
    # self-contained
    assert not re.search(r"https?:|url\(|@import", text)


def test_a_broken_file_gives_a_card_that_says_why(tmp_path):
    path = ScanImageRecording(height=16, width=24, frames=6).write(tmp_path)[0]
    with galvo.open(path) as rec:
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        page = Page(rec._repr_html_())
    assert "no thumbnail" in page.text
    assert "T 6" in page.text
    assert not page.pictures


class Broken:
    """Of which everything fails but what the test needs."""

    def __getattr__(self, name):
        raise Malformed(f"no {name} <b>here</b>")


def test_nothing_is_raised_whatever_fails():
    from galvo.preview import card

    page = Page(card(Broken()))
    assert page.text.count("unknown: ") >= 8
    assert "no size <b>here</b>" in page.text
    assert "b" not in page.tags


def test_warnings_of_reading_are_shown_and_go_nowhere_else(volumes, monkeypatch):
    read = volumes._reader.read

    def warning(selection, out):
        warn("something <is> odd")
        read(selection, out)

    monkeypatch.setattr(volumes._reader, "read", warning)
    page = Page(volumes._repr_html_())
    assert "something <is> odd" in page.text
    assert len(page.pictures) == 1


def test_few_frames_are_read_of_a_long_recording(monkeypatch):
    rec = galvo.Recording.from_array(np.broadcast_to(np.zeros((8, 8), np.uint8), (100_000, 5, 1, 8, 8)))
    read, seen = rec._reader.read, []
    monkeypatch.setattr(rec._reader, "read", lambda part, out: (seen.append(len(part.t)), read(part, out)))
    page = Page(rec._repr_html_())
    assert seen == [16, 16, 16]
    assert len(page.pictures) == 3


def test_an_empty_recording_has_a_card():
    page = Page(galvo.Recording.from_array(np.zeros((0, 1, 1, 4, 4)))._repr_html_())
    assert "no thumbnail: the recording is empty" in page.text
