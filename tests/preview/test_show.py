"""`galvo.preview`: what is written, read back by other libraries, and what is refused."""

import io

import numpy as np
import pytest
from PIL import Image

import galvo
from galvo.errors import OptionError, SelectionError, WriteError
from galvo.preview import sheet as sheets
from galvo.preview.movie import MovieLimits, preview_movie
from galvo.preview.views import chosen_views, spread_views
from galvo.testing.scanimage import RoiRequest, ScanfieldRequest, ScanImageRecording


@pytest.fixture(scope="module")
def pixels():
    """(T, C, Z, Y, X) with structure, noise and something that moves."""
    rng = np.random.default_rng(8)
    base = 200 + 100 * np.sin(np.arange(48) / 3)[:, None] * np.cos(np.arange(64) / 5)
    still = np.broadcast_to(base, (60, 2, 1, 48, 64)) + rng.normal(0, 20, (60, 2, 1, 48, 64))
    still[:, 1] -= 150
    for t in range(60):
        still[t, 0, 0, 10:14, t : t + 4] += 400
    return still.round().astype(np.int16)


@pytest.fixture(scope="module")
def recording(pixels):
    metadata = galvo.Metadata(
        format="array", channel_names=("GCaMP", "tdTomato"), frame_rate_hz=20.0, pixel_size_um=(0.7, 0.5)
    )
    return galvo.Recording.from_array(pixels, metadata=metadata)


def scaled(image, limits=None):
    low, high = np.percentile(image, (0.5, 99.8)) if limits is None else limits
    return np.clip((image - low) / (high - low) * 255, 0, 255)


def find(picture, tile):
    """Every place in a picture where a tile lies, to within a level."""
    height, width = tile.shape
    rows, columns = np.indices((picture.shape[0] - height + 1, picture.shape[1] - width + 1)).reshape(2, -1)
    # pixel by pixel, until hardly a place is left
    for k in range(0, tile.size, max(1, tile.size // 40)):
        y, x = divmod(k, width)
        fits = np.abs(picture[rows + y, columns + x] - tile[y, x]) <= 1
        rows, columns = rows[fits], columns[fits]
    return [
        (int(y), int(x))
        for y, x in zip(rows, columns, strict=True)
        if (np.abs(picture[y : y + height, x : x + width] - tile) <= 1).all()
    ]


# ---- contact sheets --------------------------------------------------------------------------------------------------


def test_a_sheet_holds_the_images_of_all_channels(recording, pixels, tmp_path):
    out = tmp_path / "out.png"
    made = galvo.preview(recording, out, size=64)
    with Image.open(out) as image:
        assert image.format == "PNG"
        picture = np.asarray(image)
    np.testing.assert_array_equal(picture, made.picture)
    tops = []
    for channel in range(2):
        whole = pixels[:, channel, 0].astype(float)
        places = [find(picture[..., 0], scaled(image)) for image in (whole.mean(0), whole.max(0), whole.std(0))]
        assert [len(place) for place in places] == [1, 1, 1]
        assert len({place[0][0] for place in places}) == 1
        assert places[0][0][1] < places[1][0][1] < places[2][0][1]
        tops.append(places[0][0][0])
    assert tops[0] < tops[1]
    assert made.path == str(out)
    assert made.notes == ("all 60 frames",)
    assert not list(tmp_path.glob("*.partial"))


def test_the_scale_bar_is_as_long_as_it_says(recording, bright_runs):
    picture = galvo.preview(recording, size=256).picture
    runs = bright_runs(picture[..., 0])
    # 5 µm of 0.5 µm per pixel, each pixel 4 wide; one for each of two channels, 4 rows high
    assert {length for _, _, length in runs if length == 40} == {40}
    assert sum(length == 40 for _, _, length in runs) == 8


def test_local_correlation_is_in_colour(recording):
    picture = galvo.preview(recording, size=64).picture.astype(int)
    is_gray = (np.ptp(picture, axis=2) == 0).all(axis=0)
    colored = np.flatnonzero(~is_gray)
    assert 64 <= colored.size <= 200
    assert colored.min() > picture.shape[1] / 2


def test_channels_planes_and_sampling_are_as_asked(recording, monkeypatch):
    seen, original = [], sheets.summarize
    monkeypatch.setattr(sheets, "summarize", lambda rec, **options: seen.append(options) or original(rec, **options))
    volumes = galvo.Recording.from_array(np.random.default_rng(0).integers(0, 99, (9, 2, 4, 8, 8), np.uint8))
    galvo.preview(volumes, channels=1, planes=[0, 3], frame_count=5, size=16)
    assert [(one["channel"], one["plane"], one["frame_count"]) for one in seen] == [(1, 0, 5), (1, 3, 5)]
    seen.clear()
    galvo.preview(recording, channels="tdTomato", size=16)
    assert [one["channel"] for one in seen] == [1]
    seen.clear()
    made = galvo.preview(volumes, everything=True, size=16)
    assert len(seen) == 8
    assert made.picture.shape[0] > 8 * 16


def test_many_planes_are_shown_by_their_means():
    planes = np.random.default_rng(1).integers(0, 250, (3, 2, 45, 16, 200), np.uint8)
    made = galvo.preview(galvo.Recording.from_array(planes), size=200)
    assert "48 of 90 images are shown, evenly spread" in made.notes
    found = [
        len(find(made.picture[..., 0], scaled(planes[:, channel, plane].mean(0))))
        for plane in (0, 1, 44)
        for channel in (0, 1)
    ]
    assert found == [1, 1, 0, 0, 1, 1]
    with pytest.raises(OptionError, match="200"):
        galvo.preview(np.zeros((1, 2, 101, 2, 2), np.uint8), everything=True)


def test_views_of_many_are_spread_with_all_their_channels():
    views = chosen_views(galvo.Recording.from_array(np.zeros((1, 2, 30, 2, 2), np.uint8)))
    assert [(view.plane, view.channel) for view in spread_views(views, 5)] == [(0, 0), (0, 1), (29, 0), (29, 1)]
    assert views[3].label == "plane 2 · channel 2"
    assert spread_views(views, 60) == views


@pytest.fixture(scope="module")
def rois(tmp_path_factory):
    size = {"size_deg": (4, 4), "pixels": (24, 16)}
    requests = tuple(
        RoiRequest(name=name, scanfields=(ScanfieldRequest(center_deg=(x, 0), **size),), zs=(0.0,), discrete=False)
        for name, x in (("V1", 0), ("AL", 6))
    )
    truth = ScanImageRecording.multi_roi(requests, zs=(0.0, 20.0), volumes=4, channels=(1,))
    with galvo.open(truth.write(tmp_path_factory.mktemp("rois"), "meso")[0]) as opened:
        yield opened


def test_fields_are_views_of_their_own(rois):
    views = chosen_views(rois)
    assert len(views) == len(rois.fields) == 4
    assert [view.label for view in views[:3]] == [
        "field 1 V1 at 0 µm · channel 1",
        "field 2 AL at 0 µm · channel 1",
        "field 3 V1 at 20 µm · channel 1",
    ]
    assert [view.label[:7] for view in chosen_views(rois, planes=1)] == ["field 3", "field 4"]
    assert [view.label[:7] for view in chosen_views(rois, fields=[1])] == ["field 2"]
    picture = galvo.preview(rois, size=24).picture[..., 0]
    places = [find(picture, scaled(field[:, 0, 0].mean(0))) for field in rois.fields]
    # two of the fields differ by a constant
    assert len({place for found in places for place in found}) == 4
    assert all(places)
    with pytest.raises(OptionError, match="nothing to show"):
        chosen_views(rois, planes=0, fields=2)


def test_what_is_left_out_or_damaged_is_said(tmp_path):
    volumes = ScanImageRecording(height=16, width=24, slices=3, flyback=1, volumes=5, z_step_um=4.0)
    with galvo.open(volumes.write(tmp_path)[0]) as rec:
        assert "left out: flyback, 5 pages" in rec.preview(size=24).notes


# ---- movies ----------------------------------------------------------------------------------------------------------


def test_a_gif_shows_the_frames_exactly(recording, pixels, tmp_path):
    out = tmp_path / "out.gif"
    made = galvo.preview(recording, out, average=2, size=64)
    with Image.open(out) as image:
        assert image.n_frames == 30
        durations = []
        frames = []
        for number in range(image.n_frames):
            image.seek(number)
            durations.append(image.info["duration"])
            frames.append(np.asarray(image.convert("L")))
    np.testing.assert_array_equal(frames[0], made.picture)
    assert sum(durations) == pytest.approx(3000, abs=20)
    assert made.notes == ("all 60 frames", "30 means of 2 each", "shown as fast as recorded")
    means = pixels.reshape(30, 2, 2, 48, 64).mean(1)
    # 24 windows give the limits
    shown = means[[round(k * 29 / 23) for k in range(24)]]
    for channel in range(2):
        limits = np.percentile(shown[:, channel], (0.5, 99.8))
        places = {tuple(find(frame, scaled(means[t, channel], limits))[0]) for t, frame in enumerate(frames)}
        assert len(places) == 1
    # the time above the pictures changes, all else around them does not
    assert (frames[0][:40] != frames[9][:40]).any()


def test_an_mp4_is_decoded_by_libav(recording, tmp_path):
    av = pytest.importorskip("av")
    out = tmp_path / "out.mp4"
    made = galvo.preview(recording, out)
    with av.open(str(out)) as container:
        stream = container.streams.video[0]
        frames = [frame.to_ndarray(format="gray") for frame in container.decode(stream)]
        assert float(stream.average_rate) == 20
    assert len(frames) == 60
    assert frames[0].shape == made.picture.shape
    assert np.abs(frames[0].astype(float) - made.picture).mean() < 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4"]


def test_a_webp_is_read_by_pillow(recording, tmp_path):
    out = tmp_path / "out.webp"
    made = galvo.preview(recording, out, channels=0, size=64)
    with Image.open(out) as image:
        assert image.n_frames == 60
        image.seek(0)
        image.load()
        assert image.info["duration"] == 67
        first = np.asarray(image.convert("L")).astype(float)
    assert np.abs(first - made.picture).mean() < 8


LIMITS = MovieLimits(seconds=2, rate_hz=25, side=16)


@pytest.mark.parametrize(
    ("length", "rate", "options", "expected"),
    [
        # frames shown, first frame of the last one, Hz
        (40, 20.0, {}, (40, 39, 20)),
        (40, 80.0, {}, (40, 39, 25)),
        (40, None, {}, (40, 39, 25)),
        (5, 1.0, {}, (5, 4, 10)),
        (1000, 20.0, {}, (50, 999, 25)),
        (1000, 20.0, {"average": 50}, (20, 950, 10)),
        (1000, 20.0, {"average": 5000}, (1, 0, 10)),
        (1000, 20.0, {"speed": 1}, (50, 49, 20)),
        (1000, 20.0, {"speed": 25}, (50, 980, 25)),
        (1000, 20.0, {"speed": 50}, (25, 960, 25)),
        (100, 20.0, {"speed": 2, "average": 4}, (25, 96, 10)),
        (1, 20.0, {"speed": 2}, (1, 0, 25)),
    ],
)
def test_pace(length, rate, options, expected):
    pixels = np.broadcast_to(np.arange(length, dtype=np.float32)[:, None, None], (length, 4, 4))
    rec = galvo.Recording.from_array(pixels, metadata=galvo.Metadata(format="array", frame_rate_hz=rate))
    movie = preview_movie(rec, chosen_views(rec), LIMITS, **options)
    count, last, hz = expected
    if options.get("speed") == 1:
        # as many as fit into 2 s at the highest rate
        assert movie.notes[1] == "only the first 50"
    assert len(movie.frames) == count
    assert movie.rate_hz == pytest.approx(hz)
    # below the time, the label and the margins
    levels = movie.frames[:, 70, 20].astype(int)
    assert (np.diff(levels) >= 0).all()
    assert movie.starts[0] == 0
    assert movie.starts[-1] == last
    if count > 1:
        assert levels[0] < 5
        assert levels[-1] > 250


def test_limits_hold_for_any_length():
    frame = np.arange(64, dtype=np.uint16).reshape(8, 8)
    long = np.broadcast_to(frame, (3_000_000, 1, 1, 8, 8))
    rec = galvo.Recording.from_array(long, metadata=galvo.Metadata(format="array", frame_rate_hz=30.0))
    assert rec.preview(size=8).notes[0] == "256 of 3,000,000 frames sampled"
    movie = preview_movie(rec, chosen_views(rec), LIMITS, average=100)
    assert movie.notes[:2] == ("5,000 of 3,000,000 frames sampled", "50 means of 100 each")


def test_nan_is_left_out_of_means():
    pixels = np.full((4, 6, 6), 10.0, np.float32)
    pixels[2:] += 10
    pixels[::2, 1:3, 1:3] = np.nan
    pixels[:, 5, 5] = np.nan
    pixels[:, 0, 0] = 0
    rec = galvo.Recording.from_array(pixels)
    movie = preview_movie(rec, chosen_views(rec), LIMITS, average=2, size=6)
    assert len(movie.frames) == 2
    expected = np.full((6, 6), 255)
    expected[0, 0] = expected[5, 5] = 0
    assert len(find(movie.frames[1], expected)) == 1
    assert len(find(movie.frames[0], np.where(expected > 0, 128, 0))) == 1


# ---- the object and the rules ----------------------------------------------------------------------------------------


def test_a_preview_shows_itself_and_is_saved_whole(recording, tmp_path):
    made = recording.preview(size=32)
    with Image.open(io.BytesIO(made._repr_png_())) as image:
        np.testing.assert_array_equal(np.asarray(image), made.picture)
    made.save(tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    assert before == made._repr_png_()
    with pytest.raises(WriteError, match="exists"):
        recording.preview(size=16).save(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == before
    recording.preview(size=16).save(tmp_path / "a.png", overwrite=True)
    assert (tmp_path / "a.png").read_bytes() != before
    with pytest.raises(OptionError, match=r"\.png"):
        made.save(tmp_path / "a.tif")
    assert repr(made) == "<Preview of recording in memory · 762 x 330 pixels · all 60 frames>"


@pytest.mark.parametrize("suffix", ["png", "gif", "webp", "mp4"])
def test_nothing_is_replaced_unasked(recording, tmp_path, suffix):
    out = tmp_path / f"out.{suffix}"
    out.write_bytes(b"mine")
    with pytest.raises(WriteError, match="exists"):
        galvo.preview(recording, out)
    assert out.read_bytes() == b"mine"
    galvo.preview(recording.isel(t=slice(0, 3)), out, size=16, overwrite=True)
    assert out.read_bytes() != b"mine"
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_the_recording_is_never_replaced(tmp_path):
    source = tmp_path / "rec.gif"
    galvo.save(np.zeros((3, 8, 8), np.uint8), source)
    before = source.read_bytes()
    with pytest.raises(WriteError, match="input"):
        galvo.preview(source, source, overwrite=True)
    with galvo.open(source) as rec:
        made = rec.preview()
    (tmp_path / "link.png").symlink_to(source)
    with pytest.raises(WriteError, match="input"):
        made.save(tmp_path / "link.png", overwrite=True)
    assert source.read_bytes() == before


@pytest.mark.parametrize(
    ("out", "options", "words"),
    [
        ("a.xyz", {}, "no such preview"),
        ("a.png", {"average": 2}, "average does not fit a contact sheet"),
        ("a.png", {"speed": 2.0}, "speed"),
        ("a.gif", {"everything": True}, "everything"),
        ("a.gif", {"frame_count": 3}, "frame_count"),
        ("a.gif", {"average": -1}, "average"),
        ("a.gif", {"speed": float("inf")}, "speed"),
        ("a.gif", {"size": 5000}, "1 to 2048"),
        ("a.png", {"size": 0}, "size"),
        ("a.png", {"fields": 0}, "no fields"),
        ("nowhere/a.png", {}, "folder of the output"),
    ],
)
def test_wrong_wishes_are_told_and_nothing_is_written(recording, tmp_path, out, options, words):
    with pytest.raises((OptionError, WriteError), match=words):
        galvo.preview(recording, tmp_path / out, **options)
    assert not list(tmp_path.iterdir())


def test_wrong_selections(recording):
    for options in ({"channels": 2}, {"channels": "red"}, {"planes": 1}):
        with pytest.raises(SelectionError):
            recording.preview(**options)
    with pytest.raises(OptionError, match="empty"):
        recording.isel(t=[]).preview()
    with pytest.raises(OptionError, match="rate"):
        preview_movie(
            galvo.Recording.from_array(np.zeros((3, 4, 4))),
            chosen_views(galvo.Recording.from_array(np.zeros((3, 4, 4)))),
            LIMITS,
            speed=2,
        )


@pytest.mark.parametrize(
    "pixels",
    [
        np.full((3, 4, 4), np.nan, np.float32),
        np.full((3, 4, 4), -7, np.int16),
        np.arange(9, dtype=np.int16).reshape(9, 1, 1) - 4,
        np.random.default_rng(0).random((4, 1, 900)) > 0.5,
        np.array([[[1e308, -1e308]], [[0, 1e300]]]),
        np.ones((2, 5, 5), np.complex64),
        np.random.default_rng(0).integers(0, 2**64 - 1, (3, 5, 5), np.uint64),
    ],
    ids=["nan", "constant", "one pixel", "bool", "huge", "complex", "uint64"],
)
def test_any_pixels_can_be_looked_at(pixels):
    rec = galvo.Recording.from_array(pixels, "TYX")
    assert rec.preview(size=24).picture.any()
    assert preview_movie(rec, chosen_views(rec), LIMITS).frames.any()
    assert "no thumbnail" not in rec._repr_html_()


def test_genuine_movie(sample_data):
    """Local correlation finds cells: it is far above that of the noise between them."""
    from galvo.preview.summary import summarize

    with galvo.open(sample_data / "movies" / "mesoscope_workshop_highmag") as rec:
        part = rec.isel(y=slice(0, 128), x=slice(192, 320))
        found = summarize(part)
        whole = part[:, 0, 0].astype(float)
    centred = whole - whole.mean(0)
    unit = centred / np.sqrt((centred**2).sum(0))
    shifts = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]
    expected = np.mean([(unit * np.roll(unit, shift, (1, 2))).sum(0) for shift in shifts], axis=0)
    inner = (slice(1, -1), slice(1, -1))
    np.testing.assert_allclose(found.local_correlation[inner], expected[inner], atol=1e-5)
    cell, background = found.local_correlation[41:50, 60:69], found.local_correlation[80:, 80:]
    assert cell.max() > 0.6
    assert abs(np.median(background)) < 0.1
