"""The read engine over plain files whose index the test makes itself."""

from __future__ import annotations

import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galvo import Metadata, Recording, native
from galvo.core import read, threads
from galvo.core.codec import RAW, Codec
from galvo.core.index import EvenPages, FrameIndex, HeaderCheck, ListedPages, PageOrder
from galvo.core.read import IndexedReader
from galvo.core.selection import Selection, compact, spans, split_by_chunk
from galvo.core.source import FileSource
from galvo.core.threads import worker_count
from galvo.errors import DamagedData, Malformed, ReadError, SelectionError, Truncated

GAP = 5  # bytes of no meaning between segments


def write_stack(path, pixels, chunk, *, stored="YX", planar=False, padded=False, codec=RAW, files=1, even=False):
    """Files that hold `pixels` (T, C, Z, Y, X) in chunks, and the index that says where; C, then Z fastest in pages."""
    ct, cc, cz, cy, cx = chunk
    grid = [-(-length // part) for length, part in zip(pixels.shape, chunk, strict=True)]
    pages = []
    for gt in range(grid[0]):
        for gz in range(grid[2]):
            for gc in [0] if planar else range(grid[1]):
                segments = []
                for plane in range(grid[1]) if planar else [gc]:
                    for gy in range(grid[3]):
                        for gx in range(grid[4]):
                            origin = (gt * ct, plane * cc, gz * cz, gy * cy, gx * cx)
                            part = pixels[tuple(slice(a, a + n) for a, n in zip(origin, chunk, strict=True))]
                            if padded:
                                room = [(0, n - m) for n, m in zip(chunk, part.shape, strict=True)]
                                part = np.pad(part, room, constant_values=77)
                            letters = [letter for letter in "TCZYX" if letter in stored]
                            part = part.reshape([part.shape["TCZYX".index(letter)] for letter in letters])
                            part = part.transpose([letters.index(letter) for letter in stored])
                            data = np.ascontiguousarray(part).tobytes()
                            segments.append(zlib.compress(data) if "zlib" in codec.steps else data)
                pages.append(segments)
    per_page = grid[2] * (1 if planar else grid[1])
    order = PageOrder(0, per_page, 0 if planar else 1, 1 if planar else grid[1])
    runs, paths = [], []
    for number, part in enumerate(np.array_split(np.arange(len(pages)), files)):
        name = path / f"{number}.bin"
        blob, offset = b"", []
        for page in part:
            offset.append([])
            for segment in pages[page]:
                blob += b"\xee" * GAP
                offset[-1].append(len(blob))
                blob += segment
        name.write_bytes(blob)
        nbytes = np.array([[len(segment) for segment in pages[page]] for page in part], np.int64)
        offset = np.array(offset, np.int64)
        if even:
            runs.append(EvenPages(len(part), int(offset[1, 0] - offset[0, 0]), offset[0], nbytes[0]))
        else:
            runs.append(ListedPages(offset, nbytes, str(name), len(blob)))
        paths.append(str(name))
    index = FrameIndex(pixels.shape, pixels.dtype, chunk, stored, order, tuple(runs), codec, planar, padded)
    return IndexedReader(FileSource(paths), index)


def counting(shape, dtype="<u2"):
    pixels = (np.arange(np.prod(shape), dtype=np.int64) * 7919 % 60_013).reshape(shape)
    if np.dtype(dtype).kind == "c":
        return (pixels + 1j * (pixels + 3)).astype(dtype)
    return pixels.astype(dtype)


def check(reader, pixels, *keys):
    recording = Recording(reader, Metadata(format="test"))
    np.testing.assert_array_equal(recording[...], pixels.astype(pixels.dtype.newbyteorder("=")))
    assert recording.dtype.isnative
    for key in keys:
        np.testing.assert_array_equal(recording.isel(**key)[...], outer(pixels, key))
    recording.close()


def outer(pixels, key):
    for axis, letter in enumerate("tczyx"):
        part = key.get(letter, slice(None))
        part = part if isinstance(part, slice) else np.array(part, np.int64, ndmin=1)
        pixels = pixels[(slice(None),) * axis + (part,)]
    return pixels


SHAPE = (6, 3, 2, 10, 9)
KEYS = (
    {"t": slice(None, None, -2), "y": slice(2, 7), "x": slice(1, 4)},
    {"t": [5, 0, 0, 3], "c": [2, 0], "z": 1},
    {"y": 4},
    {"x": 8},
    {"y": slice(None, None, -1), "x": slice(None, None, 3)},
    {"t": [4], "c": 1, "y": [9, 0, 5, 5], "x": [3, 3, 0]},
    {"y": slice(3, 9), "x": [8, 1]},
    {"t": slice(0, 0)},
    {"x": []},
)
LAYOUTS = {
    "whole frames": {"chunk": (1, 1, 1, 10, 9)},
    "strips": {"chunk": (1, 1, 1, 4, 9)},
    "single rows": {"chunk": (1, 1, 1, 1, 9)},
    "tiles": {"chunk": (1, 1, 1, 4, 4), "padded": True},
    "tiles of one pixel": {"chunk": (1, 1, 1, 1, 1), "padded": True},
    "several frames": {"chunk": (4, 1, 1, 10, 9), "stored": "TYX", "padded": True},
    "whole volumes": {"chunk": (1, 1, 2, 10, 9), "stored": "ZYX", "padded": True},
    "frames of all channels": {"chunk": (1, 3, 1, 10, 9), "stored": "CYX", "padded": True},
    "blocks of everything": {"chunk": (4, 2, 2, 4, 5), "stored": "TCZYX", "padded": True},
    "planes of channels": {"chunk": (1, 1, 1, 4, 9), "planar": True},
    "planes in tiles": {"chunk": (1, 1, 1, 4, 4), "planar": True, "padded": True},
    "samples between pixels": {"chunk": (1, 3, 1, 4, 9), "stored": "YXC"},
    "samples in tiles": {"chunk": (1, 3, 1, 4, 4), "stored": "YXC", "padded": True},
}


@pytest.mark.parametrize("files", [1, 3])
@pytest.mark.parametrize("codec", [RAW, Codec(("zlib",))], ids=["raw", "zlib"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layout(tmp_path, layout, codec, files):
    pixels = counting(SHAPE)
    check(write_stack(tmp_path, pixels, codec=codec, files=files, **LAYOUTS[layout]), pixels, *KEYS)


@pytest.mark.parametrize("layout", ["whole frames", "tiles", "samples between pixels"])
@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i4", "u8", "f2", "f4", "f8", "c8", "c16"])
def test_types_in_both_byte_orders(tmp_path, dtype, order, layout):
    pixels = counting((3, 3, 1, 10, 9), order + dtype)
    check(write_stack(tmp_path, pixels, **LAYOUTS[layout]), pixels, KEYS[0], KEYS[4], KEYS[6])


@pytest.mark.parametrize("planar", [False, True])
def test_even_pages(tmp_path, planar):
    pixels = counting((7, 2, 2, 8, 9), ">i2")
    reader = write_stack(tmp_path, pixels, (1, 1, 1, 4, 9), planar=planar, even=True)
    check(reader, pixels, *KEYS[:1])


def test_place(tmp_path):
    reader = write_stack(tmp_path, counting(SHAPE), (1, 1, 1, 10, 9), files=3)
    t, c, z = np.array([0, 1, 2, 5]), np.array([0, 2, 1, 2]), np.array([0, 0, 1, 1])
    place = reader.place(t, c, z)
    page = t * 6 + z * 3 + c
    np.testing.assert_array_equal(place["file"], page // 12)
    np.testing.assert_array_equal(place["page"], page % 12)
    reader.close()


@pytest.mark.parametrize("gap", [1, 40, 8192])
def test_rows_far_apart(tmp_path, monkeypatch, gap):
    monkeypatch.setattr(read, "_ROW_GAP_BYTES", gap)
    monkeypatch.setattr(read, "_SCRATCH_BYTES", 100)
    pixels = counting((5, 1, 1, 40, 9))
    check(write_stack(tmp_path, pixels, (1, 1, 1, 16, 9)), pixels, {"y": [39, 0, 20, 21, 0]}, {"y": slice(1, 39, 9)})


@given(st.lists(st.integers(0, 60), min_size=1, max_size=20), st.integers(1, 9))
def test_runs_of_rows(positions, gap):
    seen = np.full(len(positions), -1)
    previous = -1
    for first, stop, where in spans(compact(np.array(positions, np.int64)), gap):
        assert previous <= first < stop
        previous = stop
        seen[where] = np.array(positions)[where]
        inside = sorted(np.array(positions)[where])
        assert inside[0] == first
        assert inside[-1] == stop - 1
        assert max(np.diff(inside), default=0) <= gap or isinstance(where, slice)
    np.testing.assert_array_equal(seen, positions)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=20), st.integers(1, 9))
def test_pieces_are_a_partition(positions, chunk):
    seen = np.full(len(positions), -1)
    for grid, inside, where in split_by_chunk(compact(np.array(positions, np.int64)), chunk):
        seen[np.asarray(where)] = grid * chunk + np.asarray(inside)
    np.testing.assert_array_equal(seen, positions)


def test_workers():
    assert worker_count(0) == worker_count(1 << 20) == 1
    assert 1 <= worker_count(1 << 40) <= 16


@pytest.mark.parametrize("codec", [RAW, Codec(("zlib",))], ids=["raw", "zlib"])
def test_large_reads_in_parallel_from_many_threads(tmp_path, monkeypatch, codec):
    monkeypatch.setattr(threads, "_PARALLEL_BYTES", 1 << 16)
    pixels = counting((40, 1, 1, 128, 128))
    reader = write_stack(tmp_path, pixels, (1, 1, 1, 64, 128), codec=codec, files=2)
    recording = Recording(reader, Metadata(format="test"))
    start = threading.Barrier(8)

    def work(seed):
        start.wait()
        for k in range(4):
            first = (seed * 5 + k) % 20
            np.testing.assert_array_equal(recording[first : first + 20], pixels[first : first + 20])

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    recording.close()


# ---- damage ---------------------------------------------------------------------------------------------------------


def test_bytes_that_are_missing(tmp_path):
    pixels = counting((4, 1, 1, 6, 5))
    reader = write_stack(tmp_path, pixels, (1, 1, 1, 6, 5), even=True)
    path = tmp_path / "0.bin"
    path.write_bytes(path.read_bytes()[:-7])
    reader = IndexedReader(FileSource([str(path)]), reader.index)
    recording = Recording(reader, Metadata(format="test"))
    np.testing.assert_array_equal(recording[:3], pixels[:3])
    np.testing.assert_array_equal(recording[3, ..., :4, :], pixels[3, ..., :4, :])
    with pytest.raises(Truncated, match="page 3"):
        recording[...]
    with pytest.raises(Truncated):
        recording[3]
    recording.close()


def test_a_page_with_too_few_bytes_or_none(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(bytes(100))
    offset, nbytes = np.array([[0], [30], [-1]], np.int64), np.array([[30], [29], [0]], np.int64)
    run = ListedPages(offset, nbytes, str(path), 100)
    index = FrameIndex((3, 1, 1, 5, 6), np.dtype("u1"), (1, 1, 1, 5, 6), "YX", PageOrder(), (run,))
    for codec in (RAW, Codec(("difference",))):
        reader = IndexedReader(FileSource([str(path)]), FrameIndex(*[getattr(index, name) for name in (
            "shape", "dtype", "chunk_shape", "stored_axes", "order", "runs")], codec))  # fmt: skip
        recording = Recording(reader, Metadata(format="test"))
        assert recording[0].sum() == 0
        with pytest.raises((Malformed, DamagedData), match="page 1"):
            recording[1]
        with pytest.raises(DamagedData, match="page 2 was never written"):
            recording[2]
        recording.close()


@pytest.mark.parametrize("parallel", [1, 1 << 30])
def test_a_chunk_that_does_not_decode(tmp_path, monkeypatch, parallel):
    monkeypatch.setattr(threads, "_PARALLEL_BYTES", parallel)
    pixels = counting((6, 1, 1, 8, 8))
    reader = write_stack(tmp_path, pixels, (1, 1, 1, 8, 8), codec=Codec(("zlib",)))
    offset = int(reader.index.runs[0].offset[4, 0])
    data = bytearray((tmp_path / "0.bin").read_bytes())
    data[offset + 20 : offset + 24] = b"\xff" * 4
    (tmp_path / "0.bin").write_bytes(data)
    recording = Recording(reader, Metadata(format="test"))
    np.testing.assert_array_equal(recording[:4], pixels[:4])
    with pytest.raises(DamagedData, match="page 4") as caught:
        recording[...]
    assert caught.value.offset == offset
    assert caught.value.path == str(tmp_path / "0.bin")
    recording.close()


def test_reading_after_closing(tmp_path):
    reader = write_stack(tmp_path, counting((2, 1, 1, 4, 4)), (1, 1, 1, 4, 4))
    recording = Recording(reader, Metadata(format="test"))
    part = recording.isel(t=0)
    recording.close()
    for one in (recording, part):
        with pytest.raises(ReadError, match="closed"):
            one[...]


# ---- predicted pages ------------------------------------------------------------------------------------------------

HEADER, FRAME = 24, 30
STRIDE = HEADER + FRAME


def predicted(path, pixels, at=None, chain_count=None, codec=RAW, broken=None):
    """Pages that each begin with b"PAGE", the offset of their pixels and the next page's; `at` moves one page's pixels.

    The moved page's pixels lie behind all pages, and its header says so.
    """
    count = len(pixels)
    blob = bytearray()
    tail = count * STRIDE
    for page in range(count):
        where = tail if page == at else page * STRIDE + HEADER
        following = 0 if page == count - 1 else (page + 1) * STRIDE
        blob += b"PAGE" + b"\0" * 4 + where.to_bytes(8, "little") + following.to_bytes(8, "little")
        blob += b"\xee" * FRAME if page == at else pixels[page].tobytes()
    if at is not None:
        blob += pixels[at].tobytes()
    path.write_bytes(blob)

    walks = []

    def relist():
        walks.append(1)
        if broken is not None:
            raise broken
        offset = np.arange(chain_count or count, dtype=np.int64)[:, None] * STRIDE + HEADER
        if at is not None:
            offset[at] = tail
        return ListedPages(offset, np.full_like(offset, FRAME), str(path), len(blob))

    mask = bytes([1] * 8 + [0] * 16)
    template = native.PageTemplate(bytes(blob[:HEADER]), mask, np.array([8], np.int64), 8, True, 16)
    check = HeaderCheck(template, 0, HEADER, STRIDE, count - 1, relist)
    run = EvenPages(count, STRIDE, np.array([HEADER]), np.array([FRAME]), check=check)
    index = FrameIndex((count, 1, 1, 5, 6), np.dtype("u1"), (1, 1, 1, 5, 6), "YX", PageOrder(), (run,), codec)
    return IndexedReader(FileSource([str(path)]), index), walks


FRAMES = np.random.default_rng(0).integers(0, 200, (9, 5, 6)).astype("u1")


def direct_and_decoded():
    return pytest.mark.parametrize("codec", [RAW, Codec(("reversed-bits", "reversed-bits"))], ids=["raw", "decoded"])


@direct_and_decoded()
def test_pages_as_predicted_are_believed(tmp_path, codec):
    reader, walks = predicted(tmp_path / "a.bin", FRAMES, codec=codec)
    recording = Recording(reader, Metadata(format="test"))
    np.testing.assert_array_equal(recording[...][:, 0, 0], FRAMES)
    np.testing.assert_array_equal(recording[[8, 3]][:, 0, 0], FRAMES[[8, 3]])
    assert not walks
    recording.close()


@direct_and_decoded()
@pytest.mark.parametrize("at", [4, 8])
@pytest.mark.parametrize("key", [slice(None), [8, 4, 0], slice(4, 5)], ids=str)
def test_a_page_elsewhere_makes_the_reader_walk_once(tmp_path, at, key, codec):
    reader, walks = predicted(tmp_path / "a.bin", FRAMES, at=at, codec=codec)
    recording = Recording(reader, Metadata(format="test"))
    np.testing.assert_array_equal(recording[key][:, 0, 0], FRAMES[key])
    np.testing.assert_array_equal(recording[...][:, 0, 0], FRAMES)
    assert len(walks) == 1
    recording.close()


@direct_and_decoded()
def test_frames_before_the_odd_page_need_no_walk(tmp_path, codec):
    reader, walks = predicted(tmp_path / "a.bin", FRAMES, at=4, codec=codec)
    recording = Recording(reader, Metadata(format="test"))
    np.testing.assert_array_equal(recording[:4][:, 0, 0], FRAMES[:4])
    assert not walks
    recording.close()


@direct_and_decoded()
def test_a_chain_of_other_length_is_an_error(tmp_path, codec):
    reader, _ = predicted(tmp_path / "a.bin", FRAMES, at=4, chain_count=7, codec=codec)
    recording = Recording(reader, Metadata(format="test"))
    for _ in range(2):
        with pytest.raises(Malformed, match="even spacing"):
            recording[...]
    recording.close()


def test_a_chain_that_cannot_be_walked(tmp_path):
    reader, _ = predicted(tmp_path / "a.bin", FRAMES, at=4, broken=Malformed("a loop"))
    recording = Recording(reader, Metadata(format="test"))
    with pytest.raises(Malformed, match="a loop"):
        recording[4]
    recording.close()


def test_many_threads_meet_the_odd_page(tmp_path):
    for _ in range(20):
        reader, walks = predicted(tmp_path / "a.bin", FRAMES, at=5)
        recording = Recording(reader, Metadata(format="test"))
        start = threading.Barrier(8)

        def work(seed, recording=recording, start=start):
            start.wait()
            for t in [(seed + k) % 9 for k in range(9)]:
                np.testing.assert_array_equal(recording[t, 0, 0], FRAMES[t])

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(work, range(8)))
        assert len(walks) == 1
        recording.close()


def test_listed_pages_beyond_32_bits_in_a_sparse_file(tmp_path):
    path = tmp_path / "sparse.bin"
    far = 2**33 + 12_345
    frame = counting((1, 1, 1, 5, 6), "u1")
    with open(path, "wb") as stream:
        stream.seek(far)
        stream.write(frame.tobytes())
    run = ListedPages(np.array([[far]]), np.array([[30]]), str(path), far + 30)
    index = FrameIndex((1, 1, 1, 5, 6), np.dtype("u1"), (1, 1, 1, 5, 6), "YX", PageOrder(), (run,))
    reader = IndexedReader(FileSource([str(path)]), index)
    out = np.empty((1, 1, 1, 5, 6), np.uint8)
    reader.read(Selection.whole(index.shape), out)
    np.testing.assert_array_equal(out, frame)
    reader.close()


@pytest.mark.parametrize("key", [3, (3, 1), (3, 1, 0), (-1, -2), (0, 0, -1), (np.int64(2), 1), (2, "b"), (slice(1), 0)])
@pytest.mark.parametrize("order", ["<", ">"])
def test_single_frames_by_the_quick_way_and_by_the_general_one(tmp_path, key, order):
    pixels = np.arange(5 * 2 * 6 * 7, dtype=order + "i2").reshape(5, 2, 1, 6, 7)
    path = tmp_path / "movie.raw"
    path.write_bytes(b"xyz" + pixels.tobytes())
    source = FileSource([str(path)])
    run = EvenPages(10, 84, np.array([3], np.int64), np.array([84], np.int64))
    index = FrameIndex((5, 2, 1, 6, 7), np.dtype(order + "i2"), (1, 1, 1, 6, 7), "YX", PageOrder(0, 2, 1, 0), (run,))
    with Recording(IndexedReader(source, index), Metadata(format="raw", channel_names=("a", "b"))) as recording:
        plain = tuple(1 if part == "b" else part for part in key) if isinstance(key, tuple) else key
        assert np.array_equal(recording[key], pixels[plain])
        assert recording[key].shape == pixels[plain].shape
        part = recording.isel(t=slice(None, None, -2), y=slice(1, 4))
        assert np.array_equal(part[1, 1], pixels[::-2, :, :, 1:4][1, 1])
        for wrong in (5, (0, 2), (0, 0, 1), None, (0, None), True, (0, 1.0)):
            with pytest.raises(SelectionError):
                recording[wrong]
