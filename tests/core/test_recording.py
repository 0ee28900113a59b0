"""What a Recording says of itself and how it gives its pixels, over arrays and over files."""

from __future__ import annotations

import math
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import galvo
from galvo import LeftOut, Metadata, Recording
from galvo.core.array import ArrayReader
from galvo.core.blocks import block_selections
from galvo.core.scanfield import FieldPart, ScanField
from galvo.errors import OptionError, ReadError, SelectionError

SHAPE = (12, 2, 3, 8, 10)
PIXELS = np.arange(math.prod(SHAPE), dtype=np.int16).reshape(SHAPE)
METADATA = Metadata(
    format="array",
    version="made up",
    channel_names=("green", "red"),
    frame_rate_hz=30.0,
    pixel_size_um=(0.5, 0.25),
    z_um=(0.0, 5.0, math.nan),
    start_time="2026-01-02T03:04:05.678",
    texts={"header": "SI.x = 1\n"},
)


@pytest.fixture
def recording():
    return Recording.from_array(PIXELS, metadata=METADATA)


class Facts:
    """Times t / 30 with 1 ms per plane, unknown for T = 5."""

    def read(self, t, c, z):
        time = np.where(t == 5, np.nan, t / 30 + z / 1000)
        return {"timestamp_s": time, "frame_number": t * 3 + z + 1}


def with_facts():
    return Recording(ArrayReader(PIXELS), METADATA, facts=Facts())


def test_what_it_is(recording):
    assert recording.shape == SHAPE
    assert recording.ndim == 5
    assert recording.dims == tuple("TCZYX")
    assert recording.dtype == np.int16
    assert recording.size == PIXELS.size
    assert recording.nbytes == PIXELS.nbytes
    assert recording.chunks == (1, 1, 1, 8, 10)
    assert len(recording) == 12
    assert recording.metadata == METADATA
    assert recording.channel_names == ("green", "red")
    assert recording.frame_rate_hz == 30
    assert recording.pixel_size_um == (0.5, 0.25)
    np.testing.assert_array_equal(recording.z_um, [0, 5, np.nan])
    assert recording.timestamps is None
    assert recording.files == recording.fields == recording.left_out == recording.damage == ()


def test_what_is_unknown_is_none():
    recording = Recording.from_array(PIXELS)
    assert recording.channel_names == ()
    assert recording.frame_rate_hz is recording.pixel_size_um is recording.z_um is recording.timestamps is None


@pytest.mark.parametrize(
    ("axes", "shape", "whole"),
    [
        (None, (4, 5), (1, 1, 1, 4, 5)),
        (None, (3, 4, 5), (3, 1, 1, 4, 5)),
        (None, (3, 2, 6, 4, 5), (3, 2, 6, 4, 5)),
        ("TCYX", (3, 2, 4, 5), (3, 2, 1, 4, 5)),
        ("ZTYX", (3, 2, 4, 5), (2, 1, 3, 4, 5)),
        ("XYC", (5, 4, 2), (1, 2, 1, 4, 5)),
        ("yxzct", (4, 5, 6, 2, 3), (3, 2, 6, 4, 5)),
    ],
)
def test_axes_of_arrays(axes, shape, whole):
    array = np.arange(math.prod(shape)).reshape(shape)
    recording = Recording.from_array(array, axes)
    assert recording.shape == whole
    letters = (axes or {2: "YX", 3: "TYX", 5: "TCZYX"}[len(shape)]).upper()
    point = [length - 1 for length in whole]
    own = tuple(point["TCZYX".index(letter)] for letter in letters)
    assert recording[tuple(point)] == array[own]
    assert recording[tuple(point)].shape == ()


def test_arrays_are_not_copied_before_reading():
    array = np.zeros((2, 3, 4), np.uint8)
    recording = Recording.from_array(array)
    array[1, 2, 3] = 9
    assert recording[1, 0, 0, 2, 3] == 9


def test_lists_of_positions_copy_only_what_is_asked_for():
    # a terabyte, of which one byte is in memory
    large = np.broadcast_to(np.uint8(7), (1_000_000, 1, 1, 1000, 1000))
    part = Recording.from_array(large)[[999_999, 3], 0, 0, [5, 1], :3]
    np.testing.assert_array_equal(part, np.full((2, 2, 3), 7))


@pytest.mark.parametrize("order", "<>")
def test_pixels_come_in_the_machines_byte_order(order):
    array = PIXELS.astype(f"{order}i2")
    recording = Recording.from_array(array)
    assert recording.dtype.isnative
    assert recording[...].dtype.isnative
    np.testing.assert_array_equal(recording[...], PIXELS)


@pytest.mark.parametrize("dtype", [object, "U3", "S2", "M8[s]", "m8[s]", [("a", "u1")]])
def test_arrays_that_hold_no_numbers(dtype):
    with pytest.raises(OptionError, match="numbers"):
        Recording.from_array(np.zeros((2, 3, 4), dtype))


def test_metadata_that_do_not_fit_the_array():
    with pytest.raises(OptionError, match="channel_names"):
        Recording.from_array(PIXELS[:, :1], metadata=METADATA)
    with pytest.raises(OptionError, match="z_um"):
        galvo.open(PIXELS[:, :, :2], metadata=METADATA)


# ---- parts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "rate"),
    [
        ({"t": slice(None, None, 2)}, 15),
        ({"t": [0, 3, 6]}, 10),
        ({"t": slice(4, 6)}, 30),
        ({"t": 5}, 30),
        ({"t": [0, 1, 3]}, None),
        ({"t": [3, 3]}, None),
        ({"t": slice(None, None, -1)}, None),
        ({"x": 1}, 30),
    ],
)
def test_rate_of_a_part(recording, key, rate):
    assert recording.isel(**key).frame_rate_hz == rate


@pytest.mark.parametrize(
    ("key", "size"),
    [
        ({"y": slice(None, None, 2)}, (1.0, 0.25)),
        ({"x": [1, 4, 7]}, (0.5, 0.75)),
        ({"y": slice(2, 5), "x": slice(9)}, (0.5, 0.25)),
        ({"y": 3}, (0.5, 0.25)),
        ({"y": [0, 3, 4]}, None),
        ({"t": 1}, (0.5, 0.25)),
    ],
)
def test_pixel_size_of_a_part(recording, key, size):
    assert recording.isel(**key).pixel_size_um == size


def test_names_and_depths_of_a_part(recording):
    part = recording.isel(c=[1, 0], z=slice(1, None))
    assert part.channel_names == ("red", "green")
    np.testing.assert_array_equal(part.z_um, [5, np.nan])
    assert part.isel(c="green").channel_names == ("green",)
    assert part.metadata.texts == METADATA.texts
    assert part.metadata.start_time == METADATA.start_time
    assert recording.channel_names == ("green", "red")


def test_parts_of_parts_know_their_spacing(recording):
    part = recording.isel(t=[0, 1, 3, 5, 7], y=[0, 3, 4, 7]).isel(t=slice(1, None), y=slice(1, 3))
    assert part.frame_rate_hz == 15
    assert part.pixel_size_um == (0.5, 0.25)
    np.testing.assert_array_equal(part[...], PIXELS[1:9:2, :, :, 3:5])


def test_isel_keeps_five_axes(recording):
    part = recording.isel(t=-1, c="red", z=0, y=3, x=4)
    assert part.shape == (1,) * 5
    assert part[0, 0, 0, 0, 0] == PIXELS[-1, 1, 0, 3, 4]
    assert part.chunks == (1,) * 5


def test_isel_reads_nothing():
    class Unreadable(ArrayReader):
        def read(self, selection, out):
            raise AssertionError

    recording = Recording(Unreadable(PIXELS), METADATA, facts=Facts())
    part = recording.isel(t=slice(3, 9), c="red").isel(t=[1, 2], y=0)
    assert part.shape == (2, 1, 3, 1, 10)
    repr(part)
    assert part.timestamps.size == 2
    assert part.frame_table().size == 6
    assert part[:0].shape == (0, 1, 3, 1, 10)


def test_empty_parts(recording):
    part = recording.isel(t=slice(0, 0), x=[])
    assert part.shape == (0, 2, 3, 8, 0)
    assert part.size == part.nbytes == len(part) == 0
    assert part[...].shape == part.shape
    assert list(part) == list(part.blocks()) == []
    assert part.frame_table().size == 0
    assert part.timestamps is None
    assert "T=0" in repr(part)


def test_left_out_stays_with_parts():
    entry = LeftOut("flyback", 3, "z returns")
    recording = Recording(ArrayReader(PIXELS), METADATA, left_out=[entry], files=["a.tif"])
    assert recording.isel(t=0).left_out == (entry,)
    assert [path.name for path in recording.isel(t=0).files] == ["a.tif"]


def test_fields_follow_what_is_selected_of_their_plane():
    part = FieldPart(rows=range(1, 5), columns=range(10), line_pixels=10)
    where = ScanField(name="a", rois=(0,), plane=1, z_um=None, center_deg=(0, 0), size_deg=(1, 1), parts=(part,))
    recording = Recording(ArrayReader(PIXELS), Metadata(format="array"), fields=[where])
    (field,) = recording.isel(t=slice(2, 4)).fields
    np.testing.assert_array_equal(field[...], PIXELS[2:4, :, 1:2, 1:5])
    assert field.field == where
    assert recording.isel(y=slice(2)).fields == ()
    assert recording.isel(y=[0, 1, 2]).fields == ()
    assert recording.isel(z=0).fields == ()
    np.testing.assert_array_equal(recording.isel(z=1).fields[0][...], PIXELS[:, :, 1:2, 1:5])


# ---- per frame ------------------------------------------------------------------------------------------------------


def test_timestamps():
    recording = with_facts()
    expected = np.where(np.arange(12) == 5, np.nan, np.arange(12) / 30)
    np.testing.assert_array_equal(recording.timestamps, expected)
    assert recording.timestamps.dtype == np.float64
    np.testing.assert_array_equal(recording.isel(t=[7, 5, 0]).timestamps, expected[[7, 5, 0]])
    np.testing.assert_array_equal(recording.isel(t=slice(None, None, -3)).timestamps, expected[::-3])
    np.testing.assert_array_equal(recording.isel(z=slice(2, None)).timestamps, expected + 0.002)
    assert recording.isel(t=5).timestamps is None


def test_frame_table():
    table = with_facts().isel(t=[4, 2], c="red", z=slice(None, None, -2)).frame_table()
    assert table.dtype.names == ("t", "c", "z", "timestamp_s", "frame_number")
    assert table["t"].tolist() == [0, 0, 1, 1]
    assert table["c"].tolist() == [0, 0, 0, 0]
    assert table["z"].tolist() == [0, 1, 0, 1]
    assert table["frame_number"].tolist() == [15, 13, 9, 7]


def test_frame_table_without_facts(recording):
    table = recording.frame_table()
    assert table.dtype.names == ("t", "c", "z")
    assert [tuple(row) for row in table[:7].tolist()] == [
        (0, 0, 0), (0, 0, 1), (0, 0, 2), (0, 1, 0), (0, 1, 1), (0, 1, 2), (1, 0, 0),
    ]  # fmt: skip


# ---- blocks ---------------------------------------------------------------------------------------------------------


@given(
    st.tuples(*[st.integers(0, 6)] * 5),
    st.sampled_from([1, 2, 8]),
    st.integers(1, 4000),
    st.permutations("TCZ").map("".join),
)
def test_blocks_cover_once_in_order_and_in_bounds(shape, itemsize, max_bytes, order):
    seen = np.zeros(shape, int)
    previous = None
    frame = shape[3] * shape[4] * itemsize
    for index in block_selections(shape, itemsize, max_bytes, order=order):
        seen[index] += 1
        part = np.empty(shape)[index]
        assert part.size * itemsize <= max(max_bytes, frame)
        assert part.shape[3:] == shape[3:]
        first = tuple(index["TCZ".index(letter)].start for letter in order)
        assert previous is None or first > previous
        # part of an axis only at one position of those before it: frames of a block follow each other
        split = [index["TCZ".index(letter)] for letter in order]
        whole = [slice(0, shape["TCZ".index(letter)]) for letter in order]
        inner = max((k for k in range(3) if split[k] != whole[k]), default=0)
        assert all(one.stop - one.start == 1 for one in split[:inner])
        previous = first
    assert (seen == 1).all()


def test_blocks_in_an_order_that_is_none():
    with pytest.raises(OptionError, match="along T, C and Z"):
        list(block_selections((1, 1, 1, 1, 1), 1, 1, order="TYX"))


@pytest.mark.parametrize("max_bytes", [1, 160, 480, 961, 1 << 20])
def test_blocks_hold_the_pixels(recording, max_bytes):
    joined = np.zeros_like(PIXELS)
    for index, pixels in recording.blocks(max_bytes):
        assert pixels.ndim == 5
        joined[index] = pixels
    np.testing.assert_array_equal(joined, PIXELS)


@pytest.mark.parametrize("max_bytes", [0, -1])
def test_blocks_of_nothing(recording, max_bytes):
    with pytest.raises(OptionError):
        list(recording.blocks(max_bytes))


# ---- as an array ----------------------------------------------------------------------------------------------------


def test_as_an_array(recording):
    np.testing.assert_array_equal(np.asarray(recording), PIXELS)
    assert np.asarray(recording).dtype == np.int16
    converted = np.asarray(recording, np.float32)
    assert converted.dtype == np.float32
    np.testing.assert_array_equal(converted, PIXELS)
    copied = np.array(recording, copy=True)
    copied[:] = 0
    assert PIXELS.any()
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(recording, copy=False)
    assert np.mean(recording) == PIXELS.mean()


def test_what_is_read_is_the_callers_own(recording):
    pixels = recording[...]
    pixels[:] = -1
    assert (PIXELS != -1).all()


def test_iteration(recording):
    frames = list(recording)
    assert len(frames) == 12
    for t, frame in enumerate(frames):
        np.testing.assert_array_equal(frame, PIXELS[t])


def test_repr(recording):
    text = repr(recording)
    assert text == "<Recording T=12 C=2 Z=3 Y=8 X=10 int16 · array made up · 30 Hz · 0.5 x 0.25 µm>"
    two = Recording(ArrayReader(PIXELS), Metadata(format="x"), files=["a", "b"])
    assert repr(two) == "<Recording T=12 C=2 Z=3 Y=8 X=10 int16 · x · 2 files>"


def test_threads(recording):
    with ThreadPoolExecutor(8) as pool:
        for t, frame in enumerate(pool.map(lambda t: recording[t], range(12))):
            np.testing.assert_array_equal(frame, PIXELS[t])


# ---- pickle ---------------------------------------------------------------------------------------------------------


def test_pickle(recording):
    part = recording.isel(t=[5, 1], c="red", x=slice(None, None, 2))
    again = pickle.loads(pickle.dumps(part))
    assert again.shape == part.shape
    assert repr(again.metadata) == repr(part.metadata)
    assert again.metadata.texts == part.metadata.texts
    np.testing.assert_array_equal(again[...], part[...])


def test_pickle_of_other_axes():
    array = np.arange(60).reshape(5, 4, 3)
    again = pickle.loads(pickle.dumps(Recording.from_array(array, "XYC")))
    np.testing.assert_array_equal(again[0, 2, 0], array[..., 2].T)


def test_pickle_in_a_fresh_process(recording):
    code = "import pickle, sys; sys.stdout.buffer.write(pickle.load(sys.stdin.buffer)[...].tobytes())"
    done = subprocess.run([sys.executable, "-c", code], input=pickle.dumps(recording), capture_output=True, check=True)
    assert done.stdout == PIXELS.tobytes()


def test_pickle_needs_an_origin():
    with pytest.raises(OptionError, match="pickled"):
        pickle.dumps(Recording(ArrayReader(PIXELS), METADATA))


def reopen_smaller(source, **options):
    return Recording.from_array(PIXELS[:3])


def test_pickle_of_what_has_changed():
    from galvo.core.recording import Origin

    recording = Recording(ArrayReader(PIXELS), METADATA, origin=Origin(reopen_smaller, None, {}))
    data = pickle.dumps(recording)
    with pytest.raises(ReadError, match="not the one that was pickled"):
        pickle.loads(data)


def test_context_manager():
    closed = []

    class Watched(ArrayReader):
        def close(self):
            closed.append(1)

    with Recording(Watched(PIXELS), METADATA) as recording:
        recording[0]
        assert not closed
    assert closed == [1]
    recording.close()


def test_errors_name_what_is_wrong(recording):
    with pytest.raises(SelectionError, match=r"axis T; found 12; expected -12 to 11"):
        recording[12]
    with pytest.raises(SelectionError, match=r"'blue'; expected one of \['green', 'red'\]"):
        recording.isel(c="blue")
