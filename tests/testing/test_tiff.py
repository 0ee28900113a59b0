"""The TIFF byte builder: what it declares right tifffile reads; what it declares wrong is wrong where it says."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
import tifffile

from galvo.testing.tiff import Ifd, Page, Segment, Tag, TiffBuilder

LAYOUTS = [(big, order) for big in (False, True) for order in "<>"]
IMAGE = np.random.default_rng(0).integers(0, 60_000, (20, 30), np.uint16)


def read(data):
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return [page.asarray() for page in file.pages]


@pytest.mark.parametrize(("big", "order"), LAYOUTS)
def test_strips_of_several_pages(big, order):
    builder = TiffBuilder(big=big, byteorder=order)
    for k in range(3):
        rows = (IMAGE + k).astype(f"{order}u2")
        strips = [rows[first : first + 8].tobytes() for first in (0, 8, 16)]
        builder.image(30, 20, strips, bits=16, rows_per_strip=8)
    pages = read(builder.build())
    assert len(pages) == 3
    for k, page in enumerate(pages):
        np.testing.assert_array_equal(page, IMAGE + k)


@pytest.mark.parametrize(("big", "order"), LAYOUTS)
def test_compressed_tiles(big, order):
    padded = np.zeros((32, 32), f"{order}u2")
    padded[:20, :30] = IMAGE
    tiles = [zlib.compress(padded[y : y + 16, x : x + 16].tobytes()) for y in (0, 16) for x in (0, 16)]
    builder = TiffBuilder(big=big, byteorder=order).image(30, 20, tiles, bits=16, tile=(16, 16), compression=8)
    np.testing.assert_array_equal(read(builder.build())[0], IMAGE)


@pytest.mark.parametrize(("big", "order"), LAYOUTS)
def test_values_of_every_kind(big, order):
    extra = [
        Tag(code=282, type=5, values=[0.25]),
        Tag(code=305, type=2, values=b"galvo\0"),
        Tag(code=65000, type=12, values=[1.5, -2.0]),
        Tag(code=65001, type=8, values=[-3]),
        Tag(code=65002, type=7, values=b"\x01\x02\x03"),
    ]
    data = TiffBuilder(big=big, byteorder=order).image(4, 2, [bytes(8)], replace=extra).build()
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tags = file.pages[0].tags
        assert tags[282].value == (1, 4)
        assert tags[305].value == "galvo"
        assert tags[65000].value == (1.5, -2.0)
        assert tags[65001].value == -3
        assert tags[65002].value == b"\x01\x02\x03"
        assert [tag.code for tag in tags] == sorted(tag.code for tag in tags)


def links(data, big, order):
    """Follow the chain for at most ten steps."""
    head, step, form = (8, 20, "Q") if big else (4, 12, "I")
    (offset,) = struct.unpack_from(order + form, data, head)
    seen = []
    while offset and len(seen) < 10 and offset < len(data):
        seen.append(offset)
        (count,) = struct.unpack_from(order + ("Q" if big else "H"), data, offset)
        (offset,) = struct.unpack_from(order + form, data, offset + (8 if big else 2) + step * count)
    return seen


@pytest.mark.parametrize(("big", "order"), LAYOUTS)
def test_loops_and_self_references(big, order):
    builder = TiffBuilder(big=big, byteorder=order)
    builder.image(4, 2, [bytes(8)]).image(4, 2, [bytes(8)], next_ifd=Ifd(0))
    chain = links(builder.build(), big, order)
    assert chain == chain[:2] * 5
    own = TiffBuilder(big=big, byteorder=order).image(4, 2, [bytes(8)], next_ifd=Ifd(0))
    assert len(set(links(own.build(), big, order))) == 1
    away = TiffBuilder(big=big, byteorder=order).image(4, 2, [bytes(8)], next_ifd=1 << 20)
    assert len(links(away.build(), big, order)) == 1


def test_wrong_tables_are_written_as_declared():
    overlap = Tag(code=273, type=4, values=[Segment(0, 0), Segment(0, 0)])
    builder = TiffBuilder().image(4, 2, [b"abcd", b"efgh"], rows_per_strip=1, replace=[overlap])
    assert read(builder.build())[0].tobytes() == b"abcdabcd"
    count = Tag(code=279, type=4, values=[8], count=1 << 30)
    data = TiffBuilder().image(4, 2, [bytes(8)], replace=[count]).build()
    assert struct.pack("<HHI", 279, 4, 1 << 30) in data
    far = Tag(code=273, type=4, count=3, offset=0xFFFFFFF0)
    assert struct.pack("<HHII", 273, 4, 3, 0xFFFFFFF0) in TiffBuilder().image(4, 2, [b""], replace=[far]).build()
    raw = Tag(code=65000, type=99, count=2, raw=b"\x07")
    assert struct.pack("<HHII", 65000, 99, 2, 7) in TiffBuilder().image(4, 2, [b""], replace=[raw]).build()


def test_positions_and_trailing_bytes():
    builder = TiffBuilder(trailing=b"tail").image(4, 2, [bytes(range(8))], at=101)
    data = builder.build()
    assert data[101:109] == bytes(range(8))
    assert data.endswith(b"tail")
    assert read(data)[0].tobytes() == bytes(range(8))
    with pytest.raises(ValueError, match="cannot start"):
        TiffBuilder().image(4, 2, [bytes(8)], at=3).build()


def test_missing_tags_and_counts():
    data = TiffBuilder().image(4, 2, [bytes(8)], omit=(273,), entry_count=5000).build()
    (first,) = struct.unpack_from("<I", data, 4)
    assert struct.unpack_from("<H", data, first) == (5000,)
    assert struct.pack("<HH", 273, 4) not in data
    assert TiffBuilder().build() == b"II*\0\0\0\0\0"
    bare = TiffBuilder(first_ifd=4).add(Page(tags=[]))
    assert bare.build()[:8] == b"II*\0\x04\0\0\0"


@pytest.mark.parametrize("tag", [Tag(code=1, type=3, values=[70_000]), Tag(code=1, type=4, values=[Ifd(7)])])
def test_what_cannot_be_written_is_refused(tag):
    with pytest.raises(ValueError, match=r"fit|declared"):
        TiffBuilder().image(4, 2, [bytes(8)], replace=[tag]).build()


def test_documented_example():
    assert len(TiffBuilder(big=True).image(4, 2, [bytes(8)]).build()) == 260
