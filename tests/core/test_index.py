"""Where bytes are: validity at birth, and integers that never wrap."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galvo.core.codec import Codec
from galvo.core.index import EvenPages, FrameIndex, ListedPages, PageOrder
from galvo.errors import Malformed, OptionError, Truncated


def ints(*values):
    return np.array(values, np.int64)


def listed(count, segments=1, nbytes=8):
    offset = np.arange(count * segments, dtype=np.int64).reshape(count, segments) * nbytes
    return ListedPages(offset, np.full_like(offset, nbytes), "a.bin", count * segments * nbytes)


def index_of(shape, runs, order, **other):
    return FrameIndex(shape, np.dtype("u1"), (1, 1, 1, *shape[3:]), "YX", order, runs, **other)


def test_even_pages_beyond_every_small_integer():
    count, stride = 3_000_000_000, 5_000_000_000
    run = EvenPages(count, stride, ints(100, 200), ints(10, 20), text_offset=50, text_nbytes=7, text_stride=stride)
    page = ints(0, 65_535, 65_536, 2**31 - 1, 2**31, 2_999_999_999) % (2**63 // stride - 1)
    offset, nbytes = run.locate(page, np.ones_like(page))
    assert offset.tolist() == [200 + int(p) * stride for p in page]
    assert nbytes.tolist() == [20] * page.size
    assert run.text(page)[0].tolist() == [50 + int(p) * stride for p in page]
    assert run.text(page)[1].tolist() == [7] * page.size


def test_an_index_of_more_pages_than_32_bits_count():
    t, c, z = 20_000_000, 4, 300
    run = EvenPages(t * c * z, 16, ints(0), ints(16))
    index = index_of((t, c, z, 4, 4), (run,), PageOrder(0, c * z, 1, c))
    page = index.order.page(ints(t - 1), ints(c - 1), ints(z - 1))
    assert page.tolist() == [t * c * z - 1]
    assert index.page_count == t * c * z > 2**34
    assert run.locate(page, ints(0))[0].tolist() == [(t * c * z - 1) * 16]


def test_files_of_pages_beyond_32_bits():
    runs = tuple(EvenPages(2**31 + k, 16, ints(0), ints(16)) for k in range(3))
    index = index_of((3 * 2**31 + 3, 1, 1, 4, 4), runs, PageOrder())
    page = ints(2**31 - 1, 2**31, 2**32, 2**32 + 1, 3 * 2**31 + 2)
    assert index.file_of(page).tolist() == [0, 1, 1, 2, 2]
    parts = index.split_by_file(page)
    assert [(file, local.tolist()) for file, _, local in parts] == [
        (0, [2**31 - 1]),
        (1, [0, 2**31]),
        (2, [0, 2**31 + 1]),
    ]


@given(
    st.lists(st.integers(0, 6), min_size=1, max_size=5).filter(any),
    st.lists(st.integers(0, 10**6), max_size=30),
    st.booleans(),
)
def test_split_by_file_is_a_partition(counts, pages, in_order):
    runs = tuple(EvenPages(count, 1, ints(0), ints(1)) for count in counts)
    index = index_of((sum(counts), 1, 1, 1, 1), runs, PageOrder())
    page = np.array([number % sum(counts) for number in pages], np.int64)
    if in_order:
        page.sort()
    owner = np.repeat(np.arange(len(counts)), counts)
    first = np.cumsum([0, *counts])
    seen = np.zeros(page.size, int)
    for file, where, local in index.split_by_file(page):
        seen[where] += 1
        assert (owner[page[where]] == file).all()
        np.testing.assert_array_equal(local + first[file], page[where])
    assert (seen == 1).all()
    np.testing.assert_array_equal(index.file_of(page), owner[page])


@pytest.mark.parametrize(
    ("order", "shape"),
    [
        (PageOrder(), (7, 1, 1, 1, 1)),
        (PageOrder(1), (6, 1, 1, 1, 1)),
        (PageOrder(0, 2, 1), (4, 2, 1, 1, 1)),
        (PageOrder(0, 2, 1), (3, 3, 1, 1, 1)),
        (PageOrder(0, -1), (2, 1, 1, 1, 1)),
        (PageOrder(2, -1), (4, 1, 1, 1, 1)),
        (PageOrder(0, 6, 1, 2), (1, 1, 4, 1, 1)),
        (PageOrder(0, ints(0, 6)), (2, 1, 1, 1, 1)),
        (PageOrder(0, ints(0, -1)), (2, 1, 1, 1, 1)),
        (PageOrder(0, ints(0)), (2, 1, 1, 1, 1)),
    ],
)
def test_frames_without_pages_are_refused(order, shape):
    with pytest.raises(Malformed):
        index_of(shape, (listed(6),), order)


@pytest.mark.parametrize(
    ("order", "shape"),
    [
        (PageOrder(5, -1), (6, 1, 1, 1, 1)),
        (PageOrder(0, 2, 1), (3, 2, 1, 1, 1)),
        (PageOrder(1, ints(4, 0, 2), 1), (3, 1, 1, 1, 1)),
        (PageOrder(0, 1), (0, 1, 1, 1, 1)),
        (PageOrder(0, 0), (100, 1, 1, 1, 1)),
    ],
)
def test_frames_with_pages(order, shape):
    index_of(shape, (listed(6),), order)


def test_a_chunk_of_several_frames_needs_fewer_pages():
    FrameIndex((7, 1, 1, 2, 2), np.dtype("u1"), (4, 1, 1, 2, 2), "TYX", PageOrder(), (listed(2, nbytes=16),))
    with pytest.raises(Malformed):
        FrameIndex((9, 1, 1, 2, 2), np.dtype("u1"), (4, 1, 1, 2, 2), "TYX", PageOrder(), (listed(2, nbytes=16),))


BIG = 2**63 - 1


@pytest.mark.parametrize(
    ("offset", "nbytes", "kind"),
    [
        (0, 0, Malformed),
        (0, -1, Malformed),
        (0, BIG, Malformed),
        (BIG, 1, Malformed),
        (BIG, BIG, Malformed),
        (101, 1, Malformed),
        (100, 1, Truncated),
        (50, 51, Truncated),
        (0, 101, Malformed),
    ],
)
def test_impossible_segments(offset, nbytes, kind):
    with pytest.raises(kind) as caught:
        ListedPages(np.array([[0], [offset]], np.int64), np.array([[10], [nbytes]], np.int64), "a.bin", 100)
    assert caught.value.path == "a.bin"


def test_segments_of_wrong_form():
    with pytest.raises(Malformed):
        ListedPages(ints(0, 1), ints(1, 1), "a.bin", 100)
    with pytest.raises(Malformed):
        ListedPages(ints([0, 1]), ints([1]), "a.bin", 100)


def test_listed_pages():
    run = ListedPages(ints([0, 90], [50, -1]), ints([10, 10], [50, 0]), "a.bin", 100, ints(3, 4), ints(5, 0))
    assert run.count == 2
    assert run.check is None
    offset, nbytes = run.locate(ints(1, 0, 1), ints(0, 1, 1))
    assert offset.tolist() == [50, 90, -1]
    assert nbytes.tolist() == [50, 10, 0]
    assert [column.tolist() for column in run.text(ints(1, 0))] == [[4, 3], [0, 5]]
    assert [column.tolist() for column in listed(2).text(ints(1, 0))] == [[0, 0], [0, 0]]


def test_replacing_the_pages_of_one_file():
    index = index_of((6, 1, 1, 2, 4), (listed(2), listed(3), listed(1)), PageOrder())
    other = ListedPages(ints([8], [0], [16]), ints([8], [8], [8]), "b.bin", 24)
    replaced = index.with_run(1, other)
    assert replaced.runs[1] is other
    assert index.runs[1] is not other
    assert replaced.runs[::2] == index.runs[::2]


def test_grid():
    index = FrameIndex((1, 1, 1, 10, 7), np.dtype("u1"), (1, 1, 1, 4, 7), "YX", PageOrder(), (listed(1, 3, 28),))
    assert index.grid == (3, 1)


def test_unknown_codec_step():
    with pytest.raises(OptionError, match="unknown codec step"):
        Codec(("zlib", "rot13"))
