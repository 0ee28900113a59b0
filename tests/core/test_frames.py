"""Single frames by integers (`native.FrameReader`) against the pixels themselves and against the general way."""

from __future__ import annotations

import gc
import os
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise, product

import numpy as np
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galvo import Metadata, Recording, native
from galvo.core import source as source_module
from galvo.core.index import EvenPages, FrameIndex, HeaderCheck, ListedPages, PageOrder
from galvo.core.read import IndexedReader
from galvo.core.source import FileSource
from galvo.errors import DamagedData, GalvoError, Malformed, ReadError, SelectionError

HEADER = 24


def even_file(path, frames, checked, broken=()):
    """Pages of a header (b"PAGE", the offsets of its pixels and of the next one), a gap and pixels."""
    nbytes, count = frames[0].nbytes, len(frames)
    stride = HEADER + 3 + nbytes
    blob = bytearray(b"\xee" * 5)
    for page, frame in enumerate(frames):
        start = 5 + page * stride
        following = 0 if page == count - 1 else start + stride
        blob += b"FAKE" if page in broken else b"PAGE"
        blob += bytes(4) + (start + HEADER + 3).to_bytes(8, "little") + following.to_bytes(8, "little")
        blob += b"\xee" * 3 + frame.tobytes()
    path.write_bytes(blob)
    offset = np.array([5 + HEADER + 3], np.int64)
    listed = ListedPages(
        offset + np.arange(count, dtype=np.int64)[:, None] * stride,
        np.full((count, 1), nbytes, np.int64),
        str(path),
        len(blob),
    )
    check = None
    if checked:
        block = b"PAGE" + bytes(4) + int(offset[0]).to_bytes(8, "little") + (5 + stride).to_bytes(8, "little")
        template = native.PageTemplate(block, bytes([1] * 8 + [0] * 16), np.array([8], np.int64), 8, True, 16)
        check = HeaderCheck(template, 5, HEADER, stride, count - 1, lambda: listed)
    return EvenPages(count, stride, offset, np.array([nbytes], np.int64), check=check)


def listed_file(path, frames, places, short=None):
    """Pages in the order of `places`; of page `short` a byte is missing."""
    nbytes = frames[0].nbytes
    blob, offset = bytearray(), np.zeros((len(frames), 1), np.int64)
    for page in places:
        blob += b"\xee" * (page + 1)
        offset[page] = len(blob)
        blob += frames[page].tobytes()
    path.write_bytes(blob)
    sizes = np.full(offset.shape, nbytes, np.int64)
    if short is not None:
        sizes[short] -= 1
    return ListedPages(offset, sizes, str(path), len(blob))


def stack(draw, folder):
    """Frames in files of any kind, in any order of pages; a function that opens them afresh."""
    lengths = tuple(draw(st.integers(1, top)) for top in (5, 3, 3))
    height, width = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    dtype = np.dtype(draw(st.sampled_from(["u1", "<i2", ">i2", ">f4", "<f8", ">c8", "<c16", ">f2"])))
    t, c, z = lengths
    count = t * c * z
    pages = np.random.default_rng(count).integers(0, 200, (count, height, width)).astype(dtype)
    number = np.arange(count).reshape(lengths)
    how = draw(st.sampled_from(["even", "T listed", "table"]))
    if how == "even":
        order = PageOrder(0, c * z, z, 1)
    elif how == "T listed":
        along = np.array(draw(st.permutations(range(t))), np.int64)
        order, number = PageOrder(0, along * c * z, z, 1), number[along]
    else:
        number = np.array(draw(st.permutations(range(count))), np.int64).reshape(lengths)
        number[draw(st.integers(0, t - 1)), 0, 0] = draw(st.sampled_from([-1, 0]))
        order = PageOrder(table=number)
    cuts = sorted({0, count, *draw(st.lists(st.integers(0, count), max_size=2))})
    runs, paths = [], []
    for first, stop in pairwise(cuts):
        path, frames = folder / f"{first}.bin", pages[first:stop]
        odd = draw(st.none() | st.integers(0, stop - first - 1))
        if draw(st.booleans()):
            runs.append(even_file(path, frames, draw(st.booleans()), [odd]))
        else:
            runs.append(listed_file(path, frames, draw(st.permutations(range(stop - first))), odd))
        paths.append(str(path))
    index = FrameIndex((*lengths, height, width), dtype, (1, 1, 1, height, width), "YX", order, tuple(runs))

    def opened():
        return Recording(IndexedReader(FileSource(paths), index), Metadata(format="test"))

    present = np.where((number >= 0)[..., None, None], pages[number], 0)
    return opened, present


def parts(draw, length):
    return draw(
        st.just(slice(None))
        | st.builds(slice, st.integers(0, length - 1), st.none(), st.sampled_from([None, -1, 2]))
        | st.lists(st.integers(-length, length - 1), min_size=1, max_size=4)
    )


INTEGERS = st.integers(-6, 6)
ODD_KEYS = st.sampled_from(
    [True, np.bool_(True), 2**70, slice(0, 1), [0], "a", None, 1.0, np.timedelta64(1, "s"), np.array(0)]
)
KEYS = st.lists(INTEGERS | INTEGERS.map(np.int32) | ODD_KEYS, max_size=4).map(tuple)


def outcome(recording, key):
    try:
        found = recording[key]
    except GalvoError as error:
        return type(error), str(error)
    return found.dtype, found.shape, found.tobytes()


@given(data=st.data())
def test_the_quick_way_is_the_general_way(tmp_path_factory, data):
    opened, pixels = stack(data.draw, tmp_path_factory.mktemp("frames"))
    part = {letter: parts(data.draw, length) for letter, length in zip("tczyx", pixels.shape, strict=True)}
    with opened() as whole, opened() as other:
        quick, general = whole.isel(**part), other.isel(**part)
        general._frames = None
        keys = data.draw(st.lists(KEYS, min_size=1, max_size=4))
        for key in [*keys, *keys, 0, -1]:
            assert outcome(quick, key) == outcome(general, key)
        dense = all(part[letter] == slice(None) or getattr(part[letter], "step", 0) is None for letter in "yx")
        if dense:
            assert quick._frames is not None
        shown = pixels
        for axis, letter in enumerate("tczyx"):
            shown = shown[(slice(None),) * axis + (part[letter],)]
        for place in product(*map(range, quick.shape[:3])):
            found = quick._frames.read(place) if quick._frames is not None else None
            if found is not None:
                np.testing.assert_array_equal(found, shown[place])
                assert found.flags.owndata
                assert found.flags.writeable
                assert found.dtype == quick.dtype


def plain(folder, count=6, checked=True, broken=(), files=1):
    frames = np.arange(count * files * 20, dtype=np.uint16).reshape(files, count, 4, 5)
    paths = [folder / f"{file}.bin" for file in range(files)]
    runs = tuple(even_file(path, part, checked, broken) for path, part in zip(paths, frames, strict=True))
    index = FrameIndex((count * files, 1, 1, 4, 5), frames.dtype, (1, 1, 1, 4, 5), "YX", PageOrder(), runs)
    reader = IndexedReader(FileSource([str(path) for path in paths]), index)
    return Recording(reader, Metadata(format="test")), frames.reshape(-1, 4, 5)


@pytest.mark.parametrize("key", [3, (3,), (-3, 0), (3, -1, 0), np.uint8(3), (np.int64(-3), 0)], ids=str)
def test_integers_take_the_quick_way(tmp_path, key):
    recording, frames = plain(tmp_path)
    with recording:
        expected = frames[:, None, None][key if not isinstance(key, tuple) else tuple(map(int, key))]
        found = recording._frames.read(key)
        np.testing.assert_array_equal(found, expected)
        assert found.shape == expected.shape
        cut = recording.isel(t=slice(None, None, -1), y=slice(1, 3), x=slice(2, 3))
        np.testing.assert_array_equal(cut._frames.read((1, 0, 0)), frames[-2, 1:3, 2:3])
        assert recording.isel(y=[0, 2])._frames is None


def test_every_page_of_several_files_takes_the_quick_way(tmp_path):
    recording, frames = plain(tmp_path, count=3, files=4)
    with recording:
        for t, frame in enumerate(frames):
            np.testing.assert_array_equal(recording._frames.read((t, 0, 0)), frame)


def test_pages_with_too_few_bytes_and_planes_that_no_file_holds(tmp_path):
    frames = np.arange(60, dtype=np.uint16).reshape(3, 4, 5)
    run = listed_file(tmp_path / "a.bin", frames, (2, 0, 1), short=1)
    order = PageOrder(table=np.array([0, 1, -1, 2], np.int64).reshape(4, 1, 1))
    index = FrameIndex((4, 1, 1, 4, 5), frames.dtype, (1, 1, 1, 4, 5), "YX", order, (run,))
    with Recording(IndexedReader(FileSource([run.path]), index), Metadata(format="test")) as recording:
        for t, page in ((0, 0), (3, 2)):
            np.testing.assert_array_equal(recording._frames.read((t, 0, 0)), frames[page])
        assert recording._frames.read(1) is None
        assert recording._frames.read(2) is None
        with pytest.raises(Malformed, match="too few"):
            recording[1]
        with pytest.raises(DamagedData, match="no file holds"):
            recording[2]
        # the byte that is missing is not among these
        np.testing.assert_array_equal(recording.isel(x=slice(0, 4))._frames.read((1, 0, 0)), frames[1][:, :4])
        np.testing.assert_array_equal(recording.isel(x=slice(0, 4))[1, 0, 0], frames[1][:, :4])


def test_pages_are_checked_until_they_have_proven_themselves(tmp_path):
    recording, frames = plain(tmp_path, broken=(2,))
    with recording:
        proven = recording._reader._pages.proven[0]
        np.testing.assert_array_equal(recording[4, 0, 0], frames[4])
        assert proven.tolist() == [False] * 4 + [True, False]
        assert recording._frames.read(2) is None
        assert not proven[2]
        np.testing.assert_array_equal(recording[2, 0, 0], frames[2])
        # the chain has been walked, and its pages are taken as they are
        np.testing.assert_array_equal(recording._frames.read((2, 0, 0)), frames[2])
        assert not proven[2]


def test_a_page_that_changes_after_it_was_proven_is_not_read_again(tmp_path):
    recording, frames = plain(tmp_path)
    with recording:
        assert recording[1].any()
        with open(tmp_path / "0.bin", "r+b") as stream:
            stream.seek(5 + (HEADER + 3 + 40))
            stream.write(b"FAKE")
        np.testing.assert_array_equal(recording._frames.read((1, 0, 0)), frames[1])


def test_a_file_that_lost_its_end_is_an_error(tmp_path):
    recording, _ = plain(tmp_path)
    with recording:
        assert recording[0].any()
        os.truncate(tmp_path / "0.bin", 5 + 6 * (HEADER + 3 + 40) - 1)
        assert recording._frames.read(5) is None
        with pytest.raises(GalvoError, match="cut off"):
            recording[5]


def test_closed(tmp_path):
    recording, _ = plain(tmp_path)
    part = recording.isel(t=slice(1, 3))
    assert part[0].any()
    recording.close()
    for one in (recording, part):
        with pytest.raises(ReadError, match="closed"):
            one[0]
        with pytest.raises(SelectionError):
            one[9]


@pytest.mark.skipif(os.name == "nt", reason="counts POSIX descriptors")
def test_few_descriptors_under_threads_and_none_behind_them(tmp_path, monkeypatch):
    monkeypatch.setattr(source_module, "_OPEN_FILES", 2)
    before = psutil.Process().num_fds()
    recording, frames = plain(tmp_path, count=3, files=5)
    start, outcomes = threading.Barrier(4), []

    def work(seed):
        start.wait()
        try:
            for k in range(100_000):
                t = (seed * 4 + k) % 15
                np.testing.assert_array_equal(recording[t, 0, 0], frames[t])
                if k == 500 and seed == 3:
                    assert psutil.Process().num_fds() - before <= 2 + 4
                    recording.close()
        except ReadError as error:
            outcomes.append(error.message)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert outcomes == ["the recording is closed"] * 4
    assert psutil.Process().num_fds() == before


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forked(tmp_path):
    recording, frames = plain(tmp_path)
    with recording:
        assert recording[0, 0, 0][0, 1] == 1
        child = os.fork()
        if child == 0:
            os._exit(0 if np.array_equal(recording[4, 0, 0], frames[4]) else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_nothing_is_kept_alive(tmp_path):
    recording, _ = plain(tmp_path)
    assert recording[0].any()
    source = weakref.ref(recording._reader.source)
    gc.disable()
    try:
        del recording
        assert source() is None
    finally:
        gc.enable()


def test_what_does_not_fit_is_refused():
    one = np.zeros(1, np.int64)
    for wrong in ((-1, one, 0, one), (3, np.zeros(2, np.int64), 0, one), (3, one, -1, one)):
        with pytest.raises(ValueError, match=r"negative|one per page"):
            native.FramePages(*wrong)
    with pytest.raises(TypeError):
        native.FramePages(1, np.zeros(1), 0, one)
    with pytest.raises(ValueError, match="descriptor"):
        native.Descriptor(-1)
    even = ((0, 1, 1),) * 3
    for rows, columns in ((0, 1), (1, 0), (1, 6), (2**62, 5)):
        with pytest.raises(ValueError, match="outside"):
            native.FrameReader(lambda file: None, [], one, 0, even, 10, 0, rows, columns, np.dtype("u2"), 1)
    reader = native.FrameReader(lambda file: None, [], one, 0, even, 10, 0, 1, 5, np.dtype("u2"), 1)
    assert reader.read(0) is None


def test_a_relisting_that_finds_other_pages_leaves_the_error(tmp_path):
    recording, _ = plain(tmp_path, broken=(1,))
    run = recording._reader.index.runs[0]
    listed = run.check.relist()
    fewer = ListedPages(listed.offset[:4], listed.nbytes[:4], listed.path, listed.file_size)
    object.__setattr__(run.check, "relist", lambda: fewer)
    with recording:
        for _ in range(2):
            with pytest.raises(Malformed, match="even spacing"):
                recording[1]
