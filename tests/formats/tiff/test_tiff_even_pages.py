"""Evenly spaced pages: the arithmetic is used, agrees with the chain, and never outlives a contradiction."""

from __future__ import annotations

import struct

import numpy as np
import pytest

import galvo
from galvo.core.index import EvenPages, ListedPages
from galvo.errors import FormatError, GalvoWarning, Malformed
from galvo.testing.tiff import Ifd, Tag, TiffBuilder

WIDTH, HEIGHT, COUNT = 24, 16, 100
STRIDE = 1072
FORMS = [(False, "<"), (False, ">"), (True, "<"), (True, ">")]


def pages(count: int = COUNT) -> np.ndarray:
    mixed = np.arange(count * HEIGHT * WIDTH, dtype=np.uint32) * np.uint32(2654435761)
    return (mixed >> 16).astype(np.uint16).reshape(count, HEIGHT, WIDTH)


def build(data: np.ndarray, big: bool = False, order: str = "<", strips: int = 1, **last) -> TiffBuilder:
    builder = TiffBuilder(big=big, byteorder=order)
    rows = HEIGHT // strips
    for number, page in enumerate(data):
        stored = page.astype(page.dtype.newbyteorder(order))
        segments = [stored[row : row + rows].tobytes() for row in range(0, HEIGHT, rows)]
        links = last.get(f"page{number}", {})
        builder.image(WIDTH, HEIGHT, segments, bits=16, rows_per_strip=rows, at=16 + number * STRIDE, **links)
    return builder


def run_of(rec):
    return rec._reader.index.runs[0]


def ifds(blob: bytes, big: bool, order: str) -> list[int]:
    """Offsets of the chain's IFDs."""
    at = struct.unpack_from(order + ("Q" if big else "I"), blob, 8 if big else 4)[0]
    found = []
    while at:
        found.append(at)
        at = struct.unpack_from(order + ("Q" if big else "I"), blob, _next_at(blob, at, big, order))[0]
    return found


def _next_at(blob: bytes, at: int, big: bool, order: str) -> int:
    count = struct.unpack_from(order + ("Q" if big else "H"), blob, at)[0]
    return at + (8 + 20 * count if big else 2 + 12 * count)


def _entry_at(blob: bytes, at: int, tag: int, big: bool, order: str) -> int:
    """Position of the value field of a tag."""
    head, step = (8, 20) if big else (2, 12)
    count = struct.unpack_from(order + ("Q" if big else "H"), blob, at)[0]
    for number in range(count):
        entry = at + head + number * step
        if struct.unpack_from(order + "H", blob, entry)[0] == tag:
            return entry + (12 if big else 8)
    raise AssertionError(f"no tag {tag}")


def put(blob: bytearray, at: int, value: int, big: bool, order: str) -> None:
    struct.pack_into(order + ("Q" if big else "I"), blob, at, value)


@pytest.mark.parametrize(("big", "order"), FORMS)
@pytest.mark.parametrize("strips", [1, 4])
@pytest.mark.parametrize("count", [2, 3, COUNT])
def test_prediction_and_walk_agree(tmp_path, big, order, strips, count):
    path = tmp_path / "a.tif"
    path.write_bytes(build(pages(count), big, order, strips).build())
    with galvo.open(path) as even, galvo.open(path, walk=True) as walked:
        assert isinstance(run_of(walked), ListedPages)
        np.testing.assert_array_equal(even[:, 0, 0], pages(count))
        np.testing.assert_array_equal(walked[:, 0, 0], pages(count))


@pytest.mark.parametrize(("big", "order"), FORMS)
def test_the_arithmetic_is_used(tmp_path, big, order):
    path = tmp_path / "a.tif"
    path.write_bytes(build(pages(), big, order).build())
    with galvo.open(path) as rec:
        assert isinstance(run_of(rec), EvenPages)
        rec[:]
        assert isinstance(run_of(rec), EvenPages), "a right prediction was thrown away"


def test_a_few_trailing_bytes_do_not_matter_and_many_make_it_walk(tmp_path):
    path = tmp_path / "a.tif"
    builder = build(pages())
    builder.trailing = b"\0" * 8
    path.write_bytes(builder.build())
    with galvo.open(path) as rec:
        assert isinstance(run_of(rec), EvenPages)
        np.testing.assert_array_equal(rec[:, 0, 0], pages())
    builder.trailing = b"\0" * 500
    path.write_bytes(builder.build())
    with galvo.open(path) as rec:
        assert isinstance(run_of(rec), ListedPages)
        np.testing.assert_array_equal(rec[:, 0, 0], pages())


@pytest.mark.parametrize(("big", "order"), FORMS)
@pytest.mark.parametrize("page", [1, 7, 50, 51, 98, 99])
def test_a_page_moved_to_the_end_is_found(tmp_path, big, order, page):
    """The chain leads to a copy of the page's header behind all pages; its strip is that of page 3."""
    data = pages()
    blob = bytearray(build(data, big, order).build())
    chain = ifds(blob, big, order)
    following = _next_at(blob, chain[page], big, order)
    blob += b"\0" * (-len(blob) % 8)
    moved = len(blob)
    blob += blob[chain[page] : following + (8 if big else 4)]
    put(blob, _next_at(blob, chain[page - 1], big, order), moved, big, order)
    strip = _entry_at(blob, moved, 273, big, order)
    third = struct.unpack_from(order + ("Q" if big else "I"), blob, _entry_at(blob, chain[3], 273, big, order))[0]
    put(blob, strip, third, big, order)
    path = tmp_path / "a.tif"
    path.write_bytes(blob)
    data[page] = data[3]
    with galvo.open(path) as rec:
        np.testing.assert_array_equal(rec[page, 0, 0], data[page])
    with galvo.open(path) as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], data)


@pytest.mark.parametrize(("big", "order"), FORMS)
@pytest.mark.parametrize("page", [1, 7, 50, 51, 99])
def test_pixels_moved_within_the_file_are_found(tmp_path, big, order, page):
    data = pages()
    blob = bytearray(build(data, big, order).build())
    chain = ifds(blob, big, order)
    third = struct.unpack_from(order + ("Q" if big else "I"), blob, _entry_at(blob, chain[3], 273, big, order))[0]
    put(blob, _entry_at(blob, chain[page], 273, big, order), third, big, order)
    path = tmp_path / "a.tif"
    path.write_bytes(blob)
    data[page] = data[3]
    for key in (page, slice(None), slice(page, page + 1), slice(None, None, -1)):
        with galvo.open(path) as rec:
            np.testing.assert_array_equal(rec[key, 0, 0], data[key])
            assert isinstance(run_of(rec), ListedPages)


def test_pages_that_follow_each_other_in_another_order_are_found(tmp_path):
    data = pages()
    blob = bytearray(build(data).build())
    chain = ifds(blob, False, "<")
    for one, other in ((49, 51), (51, 50), (50, 52)):
        put(blob, _next_at(blob, chain[one], False, "<"), chain[other], False, "<")
    path = tmp_path / "a.tif"
    path.write_bytes(blob)
    data[[50, 51]] = data[[51, 50]]
    for key in (49, 50, 51, slice(40, 60), slice(None)):
        with galvo.open(path) as rec:
            assert isinstance(run_of(rec), EvenPages), "the test is for what sampling does not see"
            np.testing.assert_array_equal(rec[key, 0, 0], data[key])


@pytest.mark.parametrize("tag", [256, 257, 258, 259, 277, 339, 278])
@pytest.mark.parametrize("page", [50, 98])
def test_a_page_with_another_header_is_refused(tmp_path, tag, page):
    blob = bytearray(build(pages()).build())
    chain = ifds(blob, False, "<")
    at = _entry_at(blob, chain[page], tag, False, "<")
    blob[at] += 2
    if tag == 278:
        blob[at] = 3
    path = tmp_path / "a.tif"
    path.write_bytes(blob)
    with pytest.raises(FormatError) as caught, galvo.open(path) as rec:
        rec[:]
    assert caught.value.path == str(path)
    with pytest.raises(FormatError), galvo.open(path) as rec:
        rec[page]


@pytest.mark.parametrize("nbytes", [0, HEIGHT * WIDTH * 2 - 1])
def test_byte_counts_that_are_too_small_on_all_pages_are_refused_at_once(tmp_path, nbytes):
    small = {"replace": [Tag(code=279, type=4, values=[nbytes])]}
    path = tmp_path / "a.tif"
    path.write_bytes(build(pages(), **{f"page{number}": small for number in range(COUNT)}).build())
    with pytest.raises(Malformed, match="too few pixel bytes"):
        galvo.open(path)


def test_a_page_taken_out_of_the_chain_is_refused(tmp_path):
    blob = bytearray(build(pages()).build())
    chain = ifds(blob, False, "<")
    put(blob, _next_at(blob, chain[49], False, "<"), chain[51], False, "<")
    path = tmp_path / "a.tif"
    path.write_bytes(blob)
    with galvo.open(path) as rec, pytest.raises(Malformed, match="99 pages") as caught:
        rec[:]
    assert caught.value.path == str(path)
    told = pytest.warns(GalvoWarning, match="a page behind page 49 is not in the chain")
    with told, galvo.open(path, walk=True) as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], np.delete(pages(), 50, axis=0))


@pytest.mark.parametrize("back", [50, 10, 0])
def test_a_loop_behind_the_samples_is_refused_at_first_read(tmp_path, back):
    blob = build(pages(), page50={"next_ifd": Ifd(back)}).build()
    path = tmp_path / "a.tif"
    path.write_bytes(blob)
    with galvo.open(path) as rec:
        assert isinstance(run_of(rec), EvenPages)
        with pytest.raises(Malformed, match="loop"):
            rec[50]


def test_the_number_of_bytes_read_at_opening_does_not_grow(tmp_path, monkeypatch):
    from galvo.core.source import FileSource

    amounts = []
    read = FileSource.read_upto

    def counting(self, file, offset, nbytes):
        data = read(self, file, offset, nbytes)
        amounts[-1] += len(data)
        return data

    monkeypatch.setattr(FileSource, "read_upto", counting)
    monkeypatch.setattr(galvo.native, "tiff_walk", lambda *_: pytest.fail("the chain was walked"))
    for count in (60, 3000):
        path = tmp_path / f"{count}.tif"
        path.write_bytes(build(np.zeros((count, HEIGHT, WIDTH), np.uint16)).build())
        amounts.append(0)
        with galvo.open(path) as rec:
            assert len(rec) == count
    assert amounts[0] == amounts[1]
