"""One damaged link or offset among pages that agree is found; what other programs write is read without a word."""

from __future__ import annotations

import struct

import numpy as np
import pytest
import tifffile

import galvo
from galvo.errors import GalvoWarning, Malformed
from galvo.testing.tiff import Ifd, Segment, Tag, TiffBuilder

WIDTH, HEIGHT, COUNT = 10, 7, 8
NBYTES = WIDTH * HEIGHT
FORMS = [(False, "<"), (False, ">"), (True, "<"), (True, ">")]


def pages(count: int = COUNT) -> np.ndarray:
    return np.random.default_rng(3).integers(1, 250, (count, HEIGHT, WIDTH), np.uint8)


def build(big: bool = False, order: str = "<", **changed) -> bytearray:
    """Pages of two strips, of which the first has a text; ``page3={...}`` changes how one is declared."""
    builder = TiffBuilder(big=big, byteorder=order)
    for number, page in enumerate(pages()):
        text = [Tag(code=270, type=2, values=b"the first page\0")] if number == 0 else []
        change = {"replace": text} | changed.get(f"page{number}", {})
        builder.image(WIDTH, HEIGHT, [page[:4].tobytes(), page[4:].tobytes()], rows_per_strip=4, **change)
    return bytearray(builder.build())


def places(blob: bytes, big: bool = False, order: str = "<") -> list[tuple[int, int]]:
    """IFD and pixels of each page."""
    offset = "Q" if big else "I"
    at, found = struct.unpack_from(order + offset, blob, 8 if big else 4)[0], []
    while at:
        count = struct.unpack_from(order + ("Q" if big else "H"), blob, at)[0]
        head, step = (8, 20) if big else (2, 12)
        codes = [struct.unpack_from(order + "H", blob, at + head + k * step)[0] for k in range(count)]
        table = struct.unpack_from(
            order + offset, blob, at + head + codes.index(273) * step + step - struct.calcsize(offset)
        )[0]
        found.append((at, struct.unpack_from(order + offset, blob, table)[0]))
        at = struct.unpack_from(order + offset, blob, at + head + count * step)[0]
    return found


def strips(big: bool, first: int) -> dict:
    return {"replace": [Tag(code=273, type=16 if big else 4, values=[first, first + 4 * WIDTH])]}


def write(tmp_path, blob: bytes):
    path = tmp_path / "a.tif"
    path.write_bytes(blob)
    return path


def refused(path, page: int, offset: int, match: str, kept: int) -> None:
    with pytest.raises(Malformed, match=f"page {page} {match}") as caught, galvo.open(path):
        pass
    assert caught.value.offset == offset
    with galvo.open(path, damaged="report") as rec:
        assert [damage.offset for damage in rec.damage] == [offset]
        np.testing.assert_array_equal(rec[:, 0, 0], pages()[:kept])


@pytest.mark.parametrize(("big", "order"), FORMS)
@pytest.mark.parametrize("page", [1, 4, COUNT - 1])
def test_pixels_on_structure(tmp_path, big, order, page):
    where = places(build(big, order), big, order)
    for first in (0, where[2][0] - 4, where[0][0] - 4):
        blob = build(big, order, **{f"page{page}": strips(big, first)})
        refused(write(tmp_path, blob), page, where[page][0], "has pixels where", page)


@pytest.mark.parametrize(("big", "order"), FORMS)
@pytest.mark.parametrize("page", [2, 5, COUNT - 1])
def test_pixels_of_one_page_a_few_bytes_further(tmp_path, big, order, page):
    """Between two pages there is room that nothing uses, so that nothing else is hit."""
    at = {f"page{number}": {"at": 4096 + number * 1024} for number in range(COUNT)}
    where = places(build(big, order, **at), big, order)
    for shift in (-2, -300):
        moved = at | {f"page{page}": {"at": 4096 + page * 1024} | strips(big, where[page][1] + shift)}
        refused(write(tmp_path, build(big, order, **moved)), page, where[page][0], "has its pixels elsewhere", page)


def test_pages_may_have_the_pixels_of_another_one(tmp_path):
    expected = pages()
    expected[4] = expected[2]
    shared = {"replace": [Tag(code=273, type=4, values=[Segment(2, 0), Segment(2, 1)])]}
    with galvo.open(write(tmp_path, build(page4=shared))) as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], expected)


@pytest.mark.parametrize("align", [1, 2, 16, 64])
def test_texts_of_any_length_and_padding(tmp_path, align):
    """A longer text moves what follows it, and padding takes some of that back."""
    builder, position = TiffBuilder(), 8
    data = pages(60)
    for number, page in enumerate(data):
        text = Tag(code=270, type=2, values=f"frame {number * 7} of {'many' * (number % 11 == 3)}\0".encode())
        position += -position % align
        builder.image(WIDTH, HEIGHT, [page.tobytes()], replace=[text], at=position)
        position = len(builder.build())
    path = write(tmp_path, builder.build())
    with galvo.open(path, walk=True) as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], data)


@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("seed", range(12))
def test_values_of_any_length_between_ifd_and_pixels(tmp_path, bigtiff, seed):
    """tifffile puts values of texts and private tags between a page's IFD and its pixels; some are changed later."""
    generator = np.random.default_rng(seed)
    data = pages(int(generator.integers(4, 20)))
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path, bigtiff=bigtiff) as file:
        for page in data:
            software, private = generator.choice([5, 5, 5, 6, 40]), generator.choice([8, 8, 8, 9, 30])
            texts = {"description": "frame 1", "software": "x" * software, "metadata": None, "contiguous": False}
            file.write(page, photometric="minisblack", extratags=[(65000, "s", 0, "y" * private, True)], **texts)
    if seed % 3 == 0:
        with tifffile.TiffFile(path, mode="r+b") as file:
            for page in file.pages[:: 1 + seed // 3]:
                page.tags[270].overwrite("changed to something longer than before")
    with galvo.open(path, walk=True) as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], data)


@pytest.mark.parametrize(("big", "order"), FORMS)
@pytest.mark.parametrize(
    ("change", "kept", "place"),
    [
        ({"page3": {"next_ifd": 0}}, slice(0, 4), "behind page 3"),
        ({"page0": {"next_ifd": 0}}, slice(0, 1), "behind page 0"),
        ({"page6": {"next_ifd": 0}}, slice(0, 7), "behind page 6"),
        ({"page2": {"next_ifd": Ifd(4)}}, [0, 1, 2, 4, 5, 6, 7], "behind page 2"),
    ],
)
def test_a_page_that_the_chain_does_not_visit(tmp_path, big, order, change, kept, place):
    path = write(tmp_path, build(big, order, **change))
    with pytest.warns(GalvoWarning, match=f"what looks like a page {place} is not"), galvo.open(path) as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], pages()[kept])
    with galvo.open(path, damaged="report") as rec:
        assert place in rec.damage[0].message
        np.testing.assert_array_equal(rec[:, 0, 0], pages()[kept])


def test_a_header_that_leads_to_a_later_page(tmp_path):
    blob = build(page0={"replace": ()}, page5={"replace": [Tag(code=305, type=2, values=b"edited by hand\0")]})
    struct.pack_into("<I", blob, 4, places(blob)[2][0])
    path = write(tmp_path, blob)
    with pytest.warns(GalvoWarning, match="a page before page 0 is not"), galvo.open(path) as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], pages()[2:])


@pytest.mark.parametrize(("big", "order"), FORMS)
@pytest.mark.parametrize("page", [1, 2, 5])
@pytest.mark.parametrize("longer", [False, True], ids=["even", "first page longer"])
def test_a_header_that_leads_into_even_pages(tmp_path, big, order, page, longer):
    """The rest of the file is even, and whole: what lies before it tells."""
    first = [Tag(code=270, type=2, values=b"x" * 600 + b"\0")] if longer else []
    blob = build(big, order, page0={"replace": first})
    where = places(blob, big, order)
    with galvo.open(write(tmp_path, blob)) as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], pages())
    struct.pack_into(order + ("Q" if big else "I"), blob, 8 if big else 4, where[page][0])
    path = write(tmp_path, blob)
    with pytest.warns(GalvoWarning, match="a page before page 0 is not"), galvo.open(path) as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], pages()[page:])
    with galvo.open(path, damaged="report") as rec:
        assert "before page 0" in rec.damage[0].message


def test_the_far_end_of_a_large_file_is_looked_at(tmp_path):
    """IFDs behind all pixels, as ImageJ puts them: the first link is lost, the next IFD megabytes away."""
    path = tmp_path / "a.tif"
    data = np.zeros((40, 300, 400), np.uint16)
    tifffile.imwrite(path, data, imagej=True)
    blob = bytearray(path.read_bytes())
    count = struct.unpack_from("<H", blob, 8)[0]
    struct.pack_into("<I", blob, 10 + 12 * count, 0)
    start = struct.unpack_from("<I", blob, 4)[0]
    blob[blob.index(b"ImageJ=", start)] = ord("J")
    path.write_bytes(blob)
    with pytest.warns(GalvoWarning, match="a page behind page 0 is not"), galvo.open(path) as rec:
        assert rec.shape == (1, 1, 1, 300, 400)


def test_a_rewritten_directory_is_no_lost_page(tmp_path):
    """libtiff writes a changed IFD anew at the end of the file and leaves the old one where it was."""
    for page in (0, 1, 4, COUNT - 1):
        blob = build()
        where = places(blob)
        following = where[page + 1][0] if page + 1 < COUNT else 0
        old = blob[where[page][0] : where[page][0] + 2 + 12 * blob[where[page][0]]]
        blob += b"\0" * (len(blob) % 2)
        link = 4 if page == 0 else where[page - 1][0] + 2 + 12 * blob[where[page - 1][0]]
        struct.pack_into("<I", blob, link, len(blob))
        path = write(tmp_path, blob + old + struct.pack("<I", following))
        with galvo.open(path) as rec:
            np.testing.assert_array_equal(rec[:, 0, 0], pages())


def test_unsorted_tags(tmp_path):
    """Of one page they are a sign of damage, of all pages a habit."""
    blob = build()
    for at, _ in places(blob):
        blob[at + 2 : at + 26] = blob[at + 14 : at + 26] + blob[at + 2 : at + 14]
    with galvo.open(write(tmp_path, blob)) as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], pages())
    blob = build()
    at = places(blob)[0][0]
    blob[at + 2 : at + 26] = blob[at + 14 : at + 26] + blob[at + 2 : at + 14]
    path = write(tmp_path, blob)
    with pytest.warns(GalvoWarning, match="tags of page 0 are out of order"), galvo.open(path) as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], pages())


def test_a_tag_out_of_order_and_of_no_type_is_refused(tmp_path):
    blob = build()
    at = places(blob)[0][0] + 2 + 12 * 3
    struct.pack_into("<HH", blob, at, 255, 0)
    with (
        pytest.raises(Malformed, match="out of order and of no known type") as caught,
        galvo.open(write(tmp_path, blob)),
    ):
        pass
    assert caught.value.offset == at


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("ImageJ=1.53\n", "announces no images, the file has 6 pages"),
        ("ImageJ=1.53\nimages=9\n", "announces 9 images, the file has 6 pages"),
        ("JmageJ=1.53\nimages=6\nslices=2\nframes=3\n", "does not begin as ImageJ's"),
    ],
)
def test_counts_of_imagej_that_do_not_fit(tmp_path, text, match):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pages(6), description=text, metadata=None, photometric="minisblack")
    with pytest.warns(GalvoWarning, match=match), galvo.open(path) as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], pages(6))
