"""Broken, contradictory and hostile files: a galvo error that says where, within two seconds, and what can be saved."""

from __future__ import annotations

import contextlib
import struct
import time
import zlib

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

import galvo
from galvo.errors import (
    DamagedData,
    FormatError,
    GalvoError,
    LimitExceeded,
    Malformed,
    Truncated,
    UnknownFormat,
    Unsupported,
)
from galvo.testing.tiff import Ifd, Page, Tag, TiffBuilder

WIDTH, HEIGHT, COUNT = 12, 10, 6
FRAME = WIDTH * HEIGHT


def pages() -> np.ndarray:
    return np.random.default_rng(7).integers(0, 255, (COUNT, HEIGHT, WIDTH), np.uint8)


def stack(big: bool = False, order: str = "<", compressed: bool = False, **changed) -> TiffBuilder:
    """Six pages; ``page3={...}`` changes how one is declared."""
    builder = TiffBuilder(big=big, byteorder=order)
    for number, page in enumerate(pages()):
        change = {"width": WIDTH, "height": HEIGHT, "segments": [page.tobytes()]} | changed.get(f"page{number}", {})
        if compressed:
            change |= {"segments": [zlib.compress(page.tobytes())], "compression": 8}
        builder.image(change.pop("width"), change.pop("height"), change.pop("segments"), **change)
    return builder


def one(**change) -> TiffBuilder:
    change = {"width": WIDTH, "height": HEIGHT, "segments": [bytes(FRAME)]} | change
    return TiffBuilder().image(change.pop("width"), change.pop("height"), change.pop("segments"), **change)


def tag(code: int, *values: int, type: int = 4, **more) -> dict:
    return {"replace": [Tag(code=code, type=type, values=list(values), **more)]}


FAR = 0x7FFF_FFF0
HOSTILE = {
    # name: builder or bytes, error
    "zero bytes": (b"", (UnknownFormat, Truncated)),
    "three bytes": (b"II*", (UnknownFormat, Truncated)),
    "half a header": (b"II*\0\x08\0", (UnknownFormat, Truncated)),
    "header only": (b"II*\0\x08\0\0\0", (Malformed, Truncated)),
    "big header only": (b"II+\0\x08\0\0\0\x10" + bytes(7), (Malformed, Truncated)),
    "no pages": (b"II*\0" + bytes(100), Malformed),
    "first IFD outside": (TiffBuilder(first_ifd=FAR), Malformed),
    "first IFD far outside": (TiffBuilder(big=True, first_ifd=2**64 - 1), Malformed),
    "first IFD in the header": (TiffBuilder(first_ifd=4), Malformed),
    "page links to itself": (stack(page3={"next_ifd": Ifd(3)}), Malformed),
    "first page links to itself": (stack(page0={"next_ifd": Ifd(0)}), Malformed),
    "two pages link to each other": (stack(page4={"next_ifd": Ifd(3)}), Malformed),
    "last links to first": (stack(page5={"next_ifd": Ifd(0)}), Malformed),
    "next outside": (stack(page3={"next_ifd": FAR}), Truncated),
    "next far outside": (stack(big=True, page3={"next_ifd": 2**64 - 8}), Truncated),
    "next in the header": (stack(page3={"next_ifd": 2}), (Malformed, Truncated)),
    "no tags": (stack(page3={"entry_count": 0}), (Malformed, Truncated)),
    "absurd tag count": (stack(page3={"entry_count": 65535}), (Malformed, Truncated)),
    "absurd tag count at once": (stack(page0={"entry_count": 65535}), (Malformed, Truncated)),
    "absurd tag count of 64 bits": (stack(big=True, page0={"entry_count": 2**63}), (Malformed, Truncated)),
    "empty IFD": (TiffBuilder(pages=[Page(tags=[])]), Malformed),
    "width 0": (one(width=0), Malformed),
    "height 0": (one(height=0), Malformed),
    "no width": (one(omit=[256]), Malformed),
    "signed width": (one(**tag(256, -WIDTH, type=9)), Malformed),
    "width as text": (one(replace=[Tag(code=256, type=2, values=b"12\0")]), Malformed),
    "samples 0": (one(**tag(277, 0, type=3)), Malformed),
    "10^6 x 10^6": (one(width=10**6, height=10**6), LimitExceeded),
    "2^32 x 2^32": (one(width=2**32 - 1, height=2**32 - 1), LimitExceeded),
    "2^63 x 2^63": (
        one(replace=[Tag(code=code, type=16, values=[2**63]) for code in (256, 257)]),
        LimitExceeded,
    ),
    "46,000 x 46,000 in no bytes": (one(width=46_000, height=46_000), (Malformed, Truncated)),
    "46,000 x 46,000 compressed": (one(width=46_000, height=46_000, compression=8), (LimitExceeded, DamagedData)),
    "tiles of 1 x 1": (one(width=40_000, height=40_000, tile=(1, 1)), Malformed),
    "tiles of 2^31": (one(tile=(2**31, 2**31)), LimitExceeded),
    "65,535 samples": (one(**tag(277, 65535, type=3)), (Malformed, LimitExceeded)),
    "strip outside": (one(**tag(273, FAR)), Truncated),
    "strip outside, 64 bits": (one(replace=[Tag(code=273, type=16, values=[2**63 + 5])]), (Malformed, Truncated)),
    "strip outside, all ones": (one(replace=[Tag(code=273, type=16, values=[2**64 - 1])]), (Malformed, Truncated)),
    "strip of 2^64 bytes": (
        one(compression=8, replace=[Tag(code=279, type=16, values=[2**64 - 1])]),
        (Malformed, Truncated),
    ),
    "byte count 0": (one(**tag(279, 0)), Malformed),
    "byte count 0, compressed": (one(compression=8, **tag(279, 0)), (Malformed, Truncated)),
    "byte count too small": (one(**tag(279, FRAME - 1)), Malformed),
    "no strips": (one(omit=[273]), Malformed),
    "no strips at all": (one(omit=[273, 279]), Malformed),
    "too few strips": (one(rows_per_strip=2), Malformed),
    "table of strips outside": (one(**tag(273, 0, 0, offset=FAR, count=2)), Truncated),
    "2^31 strips": (one(**tag(273, offset=8, count=2**31 - 1)), Truncated),
    "not deflate": (one(compression=8), DamagedData),
    "not LZW": (one(compression=5, segments=[b"\xff" * 40]), DamagedData),
    "not zstd": (one(compression=50000), DamagedData),
    "not LZMA": (one(compression=34925), DamagedData),
    "too little PackBits": (one(compression=32773, segments=[b"\x00\x01"]), DamagedData),
    "too little deflate": (one(compression=8, segments=[zlib.compress(bytes(FRAME - 1))]), DamagedData),
    "unknown codec": (one(**tag(259, 12345, type=3)), (DamagedData, Unsupported)),
    "JPEG that is none": (one(compression=7), DamagedData),
    "old JPEG that is none": (one(compression=6), (DamagedData, Unsupported)),
    "0 bits": (one(bits=0), (DamagedData, Unsupported)),
    "65,535 bits": (one(bits=65535), (DamagedData, Unsupported, LimitExceeded)),
    "unknown sample format": (one(sample_format=9), (DamagedData, Unsupported)),
    "types differ": (stack(page3={"bits": 4}), Unsupported),
    "sizes differ": (stack(page3={"width": 6}), Unsupported),
}
# Where the bytes say nothing of a position, or the fault is one between two pages that both are in order.
NO_OFFSET = {"zero bytes", "three bytes", "half a header", "JPEG that is none", "old JPEG that is none"}
NO_OFFSET |= {"0 bits", "65,535 bits", "unknown sample format", "unknown codec"}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.filterwarnings("error")
def test_a_broken_file_is_a_galvo_error(tmp_path, name):
    made, kinds = HOSTILE[name]
    path = tmp_path / "a.tif"
    path.write_bytes(made if isinstance(made, bytes) else made.build())
    for options in ({}, {"walk": True}, {"pages": slice(None)}):
        start = time.perf_counter()
        with pytest.raises(kinds) as caught, galvo.open(path, **options) as rec:
            rec[:]
        assert time.perf_counter() - start < 2
        assert caught.value.path == str(path)
        assert str(path) in str(caught.value)
        assert caught.value.offset is not None or name in NO_OFFSET
        assert caught.value.__cause__ is None or isinstance(caught.value, GalvoError)


@pytest.mark.parametrize(("big", "order"), [(False, "<"), (False, ">"), (True, "<"), (True, ">")])
@pytest.mark.parametrize("compressed", [False, True])
def test_every_cut_is_an_error_or_the_pages_before_it(tmp_path, big, order, compressed):
    blob = stack(big, order, compressed).build()
    path = tmp_path / "a.tif"
    kept_counts = set()
    for size in range(0, len(blob), 7):
        path.write_bytes(blob[:size])
        with pytest.raises(GalvoError) as caught, galvo.open(path) as rec:
            rec[:]
        assert isinstance(caught.value, FormatError)
        try:
            with galvo.open(path, damaged="report") as rec:
                np.testing.assert_array_equal(rec[:, 0, 0], pages()[: len(rec)])
                kept_counts.add(len(rec))
                assert rec.damage
                assert all(entry.path == str(path) for entry in rec.damage)
        except FormatError:
            kept_counts.add(0)
    # the chain leaves the file where the next page's header is not there
    assert kept_counts == set(range(COUNT))


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({"page3": {"next_ifd": Ifd(3)}}, 4),
        ({"page4": {"next_ifd": Ifd(1)}}, 5),
        ({"page2": {"next_ifd": FAR}}, 3),
        ({"page3": {"entry_count": 0}}, 3),
        ({"page3": tag(279, 0)}, 3),
        ({"page3": tag(273, FAR)}, 3),
        ({"page5": tag(279, 5)}, 5),
        ({"page1": {"omit": [273]}}, 1),
    ],
)
def test_damage_is_reported_and_the_pages_before_it_are_right(tmp_path, change, kept):
    path = tmp_path / "a.tif"
    path.write_bytes(stack(**change).build())
    with pytest.raises(GalvoError), galvo.open(path) as rec:
        rec[:]
    with galvo.open(path, damaged="report") as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], pages()[:kept])
        (damage,) = rec.damage
        assert damage.path == str(path)
        assert damage.offset is not None
        assert f"{kept} pages before it are kept" in damage.message


def test_a_whole_file_reports_no_damage(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(stack().build())
    with galvo.open(path, damaged="report") as rec:
        assert rec.damage == ()
        assert len(rec) == COUNT


def test_a_bad_chunk_does_not_spoil_the_others(tmp_path):
    path = tmp_path / "a.tif"
    blob = bytearray(stack(compressed=True).build())
    second = blob.index(zlib.compress(pages()[2].tobytes()))
    blob[second + 10 : second + 30] = b"\xff" * 20
    path.write_bytes(blob)
    with galvo.open(path) as rec:
        np.testing.assert_array_equal(rec[[0, 1, 3, 4, 5], 0, 0], pages()[[0, 1, 3, 4, 5]])
        with pytest.raises(DamagedData, match="page 2") as caught:
            rec[2]
        assert caught.value.path == str(path)


def test_byte_counts_above_what_raw_strips_need_are_no_fault(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(stack(page5=tag(279, FRAME + 1000)).build())
    with galvo.open(path) as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], pages())


def test_missing_byte_counts_of_raw_strips_are_no_fault(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(stack(**{f"page{number}": {"omit": [279]} for number in range(COUNT)}).build())
    with galvo.open(path) as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], pages())


def test_pages_that_spell_defaults_differently_fit_each_other(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(stack(page2={"omit": [259, 277, 284, 339]}, page4=tag(278, 2**32 - 1)).build())
    with galvo.open(path) as rec:
        np.testing.assert_array_equal(rec[:, 0, 0], pages())


def test_a_tag_given_twice_is_never_read_two_ways(tmp_path):
    path = tmp_path / "a.tif"
    builder = stack()
    tags = list(builder.pages[0].tags)
    twice = [*tags[:1], Tag(code=256, type=4, values=[WIDTH * 2]), *tags[1:]]
    builder.pages[0] = Page(tags=twice, segments=builder.pages[0].segments)
    path.write_bytes(builder.build())
    for walk in (False, True):
        with contextlib.suppress(FormatError), galvo.open(path, walk=walk) as rec:
            assert rec.shape == (COUNT, 1, 1, HEIGHT, WIDTH)


def _mutants(blob: bytes, count: int, seed: int):
    generator = np.random.default_rng(seed)
    for _ in range(count):
        data = bytearray(blob)
        for _ in range(int(generator.integers(1, 5))):
            at = int(generator.integers(0, len(data)))
            kind = generator.integers(0, 4)
            if kind == 0:
                data[at] ^= 1 << int(generator.integers(0, 8))
            elif kind == 1:
                value = int(generator.choice([0, 1, 0xFFFFFFFF, 0x7FFFFFFF, len(blob), at]))
                data[at : at + 4] = struct.pack("<I", value)
            elif kind == 2:
                del data[at:]
                data += b"\0"
            else:
                data[at : at + 8] = generator.bytes(8)
        yield bytes(data)


def survive(path, blob: bytes) -> None:
    path.write_bytes(blob)
    start = time.perf_counter()
    limits = galvo.Limits(frame_bytes=1 << 24, chunk_bytes=1 << 24)
    for damaged in ("raise", "report"):
        try:
            with galvo.open(path, format="tiff", limits=limits, damaged=damaged) as rec:
                if rec.nbytes < 1 << 26:
                    rec[:]
        except GalvoError as error:
            if str(path) not in str(error):
                raise AssertionError("the error names no file") from error
    assert time.perf_counter() - start < 4


@pytest.mark.filterwarnings("ignore::galvo.errors.GalvoWarning")
@pytest.mark.parametrize("form", range(4))
def test_mutants_give_galvo_errors_only(tmp_path, form):
    blob = stack(big=form % 2 == 1, order="<>"[form // 2], compressed=form == 3).build()
    for mutant in _mutants(blob, 150, form):
        survive(tmp_path / "a.tif", mutant)


@pytest.mark.harden
@pytest.mark.filterwarnings("ignore::galvo.errors.GalvoWarning")
@pytest.mark.parametrize("form", range(4))
def test_many_mutants_give_galvo_errors_only(tmp_path, form):
    blob = stack(big=form % 2 == 1, order="<>"[form // 2], compressed=form == 3).build()
    for mutant in _mutants(blob, 1000, 100 + form):
        survive(tmp_path / "a.tif", mutant)


@hypothesis.given(tail=st.binary(max_size=300), big=st.booleans(), order=st.sampled_from("<>"))
def test_noise_behind_a_header_gives_galvo_errors_only(tmp_path_factory, tail, big, order):
    rest = struct.pack(order + "HHHQ", 43, 8, 0, 16) if big else struct.pack(order + "HI", 42, 8)
    head = (b"II" if order == "<" else b"MM") + rest
    path = tmp_path_factory.getbasetemp() / "noise.tif"
    survive(path, head + tail)


def test_pages_that_share_part_of_their_pixels(tmp_path):
    import tifffile

    path = tmp_path / "a.tif"
    pixels = np.arange(3 * 8 * 8, dtype="u2").reshape(3, 8, 8)
    with tifffile.TiffWriter(path) as writer:
        for number, page in enumerate(pixels):
            # differing texts keep the pages from being evenly spaced
            writer.write(page, description="x" * (9 * number), metadata=None, contiguous=False)
    with tifffile.TiffFile(path) as tif:
        entries = [(page.tags["StripOffsets"].valueoffset, page.dataoffsets[0]) for page in tif.pages]
    blob = bytearray(path.read_bytes())
    # the same bytes for two pages are one picture shown twice
    blob[entries[1][0] : entries[1][0] + 4] = entries[2][1].to_bytes(4, "little")
    path.write_bytes(blob)
    assert np.array_equal(galvo.load(path), pixels[[0, 2, 2]])
    blob[entries[1][0] : entries[1][0] + 4] = (entries[2][1] - 6).to_bytes(4, "little")
    path.write_bytes(blob)
    with pytest.raises(Malformed, match="pages 1 and 2 overlap"):
        galvo.open(path)
