"""tiff_walk against tifffile's reading of files that tifffile wrote, and against chains built by hand."""

import errno
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from galvo import native

Columns = dict[str, NDArray[np.int64]]
NAMES = {
    "width": 256,
    "height": 257,
    "compression": 259,
    "photometric": 262,
    "fill_order": 266,
    "samples": 277,
    "rows_per_strip": 278,
    "planar": 284,
    "predictor": 317,
    "tile_width": 322,
    "tile_height": 323,
    "subfile_type": 254,
    "orientation": 274,
}


def walk(path: Path, max_pages: int = 10_000, max_values: int = 1_000_000) -> tuple[Columns, tuple[int, int, int]]:
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        head = os.read(fd, 16)
        little, order = head[:2] == b"II", "<" if head[:2] == b"II" else ">"
        big = struct.unpack_from(order + "H", head, 2)[0] == 43
        first = struct.unpack_from(order + "Q", head, 8)[0] if big else struct.unpack_from(order + "I", head, 4)[0]
        return native.tiff_walk(fd, os.fstat(fd).st_size, big, little, first, max_pages, max_values)
    finally:
        os.close(fd)


def expected_row(page: tifffile.TiffPage) -> dict[str, Any]:
    def value(code: int, absent: Any = -1) -> Any:
        tag = page.tags.get(code)
        return absent if tag is None else tag.value

    def uniform(code: int) -> int:
        values = value(code)
        values = values if isinstance(values, tuple) else (values,)
        return int(values[0]) if len(set(values)) == 1 else -2

    row = {name: int(value(code)) for name, code in NAMES.items()}
    row["bits"] = uniform(258)
    row["bits_count"] = page.tags[258].count if 258 in page.tags else -1
    row["sample_format"] = uniform(339)
    row["ifd"] = page.offset
    for name, code in (("description", 270), ("software", 305)):
        tag = page.tags.get(code)
        row[name + "_offset"] = -1 if tag is None else tag.valueoffset
        row[name + "_nbytes"] = -1 if tag is None else tag.count
    return row


def compare(path: Path) -> Columns:
    columns, end = walk(path)
    with tifffile.TiffFile(path) as tiff:
        pages = [page for page in tiff.pages if isinstance(page, tifffile.TiffPage)]
        assert len(pages) == len(tiff.pages)
        assert end == (0, 0, len(pages))
        for i, page in enumerate(pages):
            for name, expected in expected_row(page).items():
                assert columns[name][i] == expected, (name, i)
            segments = slice(*columns["segment_first"][i : i + 2].tolist())
            assert columns["segment_offset"][segments].tolist() == list(page.dataoffsets)
            assert columns["segment_nbytes"][segments].tolist() == list(page.databytecounts)
        assert columns["next"].tolist() == [page.offset for page in pages[1:]] + [0]
    assert columns["segment_first"][0] == 0
    assert columns["segment_first"][-1] == columns["segment_offset"].size == columns["segment_nbytes"].size
    for name, values in columns.items():
        assert values.dtype == np.int64
        assert values.ndim == 1
        if not name.startswith("segment"):
            assert values.size == len(pages), name
    return columns


KINDS: dict[str, dict[str, Any]] = {
    "strips": {"photometric": "minisblack"},
    "many strips": {"photometric": "minisblack", "rowsperstrip": 3},
    "tiles": {"photometric": "minisblack", "tile": (16, 32)},
    "one tile": {"photometric": "minisblack", "tile": (128, 128)},
    "deflate": {"photometric": "minisblack", "compression": "zlib", "predictor": True},
    "lzw tiles": {"photometric": "minisblack", "compression": "lzw", "tile": (16, 16)},
    "described": {"photometric": "minisblack", "description": "frameNumbers = 1\n" * 40, "software": "s" * 100},
    "short text": {"photometric": "minisblack", "description": "ab", "software": "c", "metadata": None},
}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS.keys())
@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_as_tifffile_reads(tmp_path: Path, kind: dict[str, Any], bigtiff: bool, byteorder: Any, dtype: str) -> None:
    movie = np.arange(5 * 70 * 50, dtype=np.int64).reshape(5, 70, 50).astype(dtype)
    path = tmp_path / "movie.tif"
    if kind.get("predictor") and dtype == "float32":
        kind = {**kind, "predictor": 3}
    with tifffile.TiffWriter(path, bigtiff=bigtiff, byteorder=byteorder) as writer:
        for frame in movie:
            writer.write(frame, contiguous=False, **kind)
    columns = compare(path)
    assert (columns["width"] == 50).all()
    assert (columns["height"] == 70).all()


@pytest.mark.parametrize("planar", ["contig", "separate"])
@pytest.mark.parametrize("bigtiff", [False, True])
@pytest.mark.parametrize("options", [{}, {"rowsperstrip": 2}, {"tile": (16, 16)}])
def test_samples(tmp_path: Path, planar: Any, bigtiff: bool, options: dict[str, Any]) -> None:
    shape = (20, 30, 3) if planar == "contig" else (3, 20, 30)
    path = tmp_path / "rgb.tif"
    with tifffile.TiffWriter(path, bigtiff=bigtiff) as writer:
        for _ in range(3):
            writer.write(
                np.zeros(shape, dtype=np.uint16), photometric="rgb", planarconfig=planar, contiguous=False, **options
            )
    columns = compare(path)
    assert columns["samples"].tolist() == columns["bits_count"].tolist() == [3, 3, 3]
    assert columns["bits"].tolist() == [16, 16, 16]


@pytest.mark.parametrize("bigtiff", [False, True])
def test_many_pages_and_many_strips(tmp_path: Path, bigtiff: bool) -> None:
    path = tmp_path / "many.tif"
    with tifffile.TiffWriter(path, bigtiff=bigtiff) as writer:
        writer.write(np.zeros((30_000, 2), dtype=np.uint8), photometric="minisblack", rowsperstrip=1)
        for _ in range(300):
            writer.write(np.zeros((4, 4), dtype=np.uint8), photometric="minisblack", contiguous=False)
    columns = compare(path)
    assert columns["segment_first"][:3].tolist() == [0, 30_000, 30_001]


Entry = tuple[int, int, int, bytes]


class Chain:
    """TIFF files built byte by byte."""

    def __init__(self, big: bool, order: str) -> None:
        self.big, self.order = big, order
        self.data = bytearray((b"II" if order == "<" else b"MM") + self.pack("H", 43 if big else 42))
        self.data += self.pack("HHQ", 8, 0, 16) if big else self.pack("I", 8)

    def pack(self, form: str, *values: int) -> bytes:
        return struct.pack(self.order + form, *values)

    def word(self, value: int) -> bytes:
        return self.pack("Q" if self.big else "I", value)

    def ifd(self, entries: list[Entry], next_ifd: int | None = 0, count: int | None = None) -> int:
        """Append an IFD; its offset. next_ifd None: the position behind it."""
        start = len(self.data)
        self.data += self.pack("Q" if self.big else "H", len(entries) if count is None else count)
        for code, kind, value_count, value in entries:
            self.data += self.pack("HH", code, kind) + self.word(value_count) + value.ljust(8 if self.big else 4, b"\0")
        end = len(self.data) + (8 if self.big else 4)
        self.data += self.word(end if next_ifd is None else next_ifd)
        return start

    def page(self, next_ifd: int | None = 0) -> int:
        return self.ifd([(256, 3, 1, self.pack("H", 7)), (257, 4, 1, self.pack("I", 70_000))], next_ifd)

    def walk(self, path: Path, **limits: int) -> tuple[Columns, tuple[int, int, int]]:
        path.write_bytes(self.data)
        return walk(path, **limits)


@pytest.fixture(params=[(False, "<"), (False, ">"), (True, "<"), (True, ">")], ids=["II42", "MM42", "II43", "MM43"])
def chain(request: pytest.FixtureRequest) -> Chain:
    return Chain(*request.param)


def test_chain_by_hand(chain: Chain, tmp_path: Path) -> None:
    chain.page(None)
    chain.page(0)
    columns, end = chain.walk(tmp_path / "t")
    assert end == (0, 0, 2)
    assert columns["width"].tolist() == [7, 7]
    assert columns["height"].tolist() == [70_000, 70_000]
    assert columns["segment_first"].tolist() == [0, 0, 0]
    assert columns["segment_offset"].size == columns["segment_nbytes"].size == 0
    for name in set(columns) - {"ifd", "next", "width", "height"}:
        if not name.startswith("segment"):
            assert columns[name].tolist() == [-1, -1], name


def test_no_page(chain: Chain, tmp_path: Path) -> None:
    chain.data[-8 if chain.big else -4 :] = chain.word(0)
    columns, end = chain.walk(tmp_path / "t")
    assert end == (0, 0, 0)
    assert columns["segment_first"].tolist() == [0]
    assert all(values.size == 0 for name, values in columns.items() if name != "segment_first")


def test_next_ifd_outside(chain: Chain, tmp_path: Path) -> None:
    chain.page(None)
    chain.page(1_000_000)
    columns, end = chain.walk(tmp_path / "t")
    assert end == (1, 1_000_000, 2)
    assert columns["next"][1] == 1_000_000
    if chain.big:
        chain.data[-8:] = chain.word(2**64 - 1)
        assert chain.walk(tmp_path / "t")[1] == (1, 2**63 - 1, 2)


@pytest.mark.parametrize("target", [0, 1, 4, 9])
def test_loops(chain: Chain, tmp_path: Path, target: int) -> None:
    ifds = [chain.page(None) for _ in range(9)]
    ifds.append(len(chain.data))
    chain.page(ifds[target])
    columns, end = chain.walk(tmp_path / "t")
    assert end == (2, ifds[target], 10)
    assert columns["ifd"].tolist() == ifds


def test_backward_chain_and_loop_in_it(chain: Chain, tmp_path: Path) -> None:
    ifds = [chain.page(0)]
    for _ in range(20):
        ifds.append(chain.page(ifds[-1]))
    chain.data[8 if chain.big else 4 : 16 if chain.big else 8] = chain.word(ifds[-1])
    columns, end = chain.walk(tmp_path / "t")
    assert end == (0, 0, 21)
    assert columns["ifd"].tolist() == ifds[::-1]
    size = 8 if chain.big else 4
    chain.data[ifds[1] - size : ifds[1]] = chain.word(ifds[7])
    assert chain.walk(tmp_path / "t")[1] == (2, ifds[7], 21)


def test_page_limit(chain: Chain, tmp_path: Path) -> None:
    ifds = [chain.page(None) for _ in range(9)]
    last = chain.page(0)
    assert chain.walk(tmp_path / "t", max_pages=10)[1] == (0, 0, 10)
    assert chain.walk(tmp_path / "t", max_pages=9)[1] == (3, last, 9)
    assert chain.walk(tmp_path / "t", max_pages=0)[1] == (3, ifds[0], 0)


def test_every_truncation(chain: Chain, tmp_path: Path) -> None:
    ifds = [chain.page(None), chain.page(None)]
    size = ifds[1] - ifds[0]
    data = bytes(chain.data) + bytes(1)
    third = ifds[1] + size
    for length in range(ifds[0], len(data) + 1):
        chain.data = bytearray(data[:length])
        _, end = chain.walk(tmp_path / "t")
        complete = (length - ifds[0]) // size
        if length in {*ifds, third}:
            assert end == (1, length, complete)
        else:
            assert end == (4, [*ifds, third][complete], complete), length


def test_absurd_tag_counts(chain: Chain, tmp_path: Path) -> None:
    chain.page(None)
    for count in (0, 4097, 65_535, *((2**63, 2**64 - 1) if chain.big else ())):
        kept = bytes(chain.data)
        bad = chain.ifd([(256, 3, 1, chain.pack("H", 7))], count=count)
        assert chain.walk(tmp_path / "t")[1] == (5, bad, 1)
        chain.data = bytearray(kept)


def test_largest_table(chain: Chain, tmp_path: Path) -> None:
    chain.ifd([(60_000, 3, 1, b"")] * 4095 + [(256, 3, 1, chain.pack("H", 9))])
    columns, end = chain.walk(tmp_path / "t")
    assert end == (0, 0, 1)
    assert columns["width"].tolist() == [9]


def test_values_outside(chain: Chain, tmp_path: Path) -> None:
    chain.page(None)
    for code, kind, count in ((273, 4, 50), (270, 2, 5000), (258, 3, 9), (256, 4, 2**31), (305, 2, 2**32 - 1)):
        kept = bytes(chain.data)
        chain.ifd([(code, kind, count, chain.word(100))])
        assert chain.walk(tmp_path / "t")[1] == (6, 100, 1)
        chain.data = bytearray(kept)
    far = 2**32 - 4
    chain.ifd([(273, 4, 2 if not chain.big else 3, chain.word(far))])
    assert chain.walk(tmp_path / "t")[1] == (6, far, 1)


def test_overflowing_counts(tmp_path: Path) -> None:
    for order in "<>":
        for count, offset in ((2**64 - 1, 16), (2**61, 16), (2**63 - 1, 2**63 - 1), (3, 2**64 - 1), (2**62, 0)):
            chain = Chain(True, order)
            chain.ifd([(273, 16, count, chain.word(offset))])
            assert chain.walk(tmp_path / "t")[1] == (6, min(offset, 2**63 - 1), 0)


def test_value_limit(chain: Chain, tmp_path: Path) -> None:
    ifds = []
    for _ in range(3):
        ifds.append(len(chain.data))
        behind = len(chain.data) + (8 + 40 + 8 if chain.big else 2 + 24 + 4)
        chain.ifd([(273, 4, 40, chain.word(behind)), (279, 4, 40, chain.word(behind))], behind + 160)
        chain.data += struct.pack(chain.order + "40I", *range(100, 140))
    chain.page(0)
    assert chain.walk(tmp_path / "t", max_values=240)[1] == (0, 0, 4)
    columns, end = chain.walk(tmp_path / "t", max_values=239)
    assert end == (8, ifds[2], 2)
    assert columns["segment_first"].tolist() == [0, 40, 80]
    assert columns["segment_offset"].tolist() == columns["segment_nbytes"].tolist() == list(range(100, 140)) * 2


@pytest.mark.parametrize(
    ("kind", "form", "value"),
    [(1, "B", 200), (3, "H", 60_000), (4, "I", 2**31), (13, "I", 5), (16, "Q", 2**40), (18, "Q", 7), (16, "Q", 2**63)],
)
def test_integer_types(chain: Chain, tmp_path: Path, kind: int, form: str, value: int) -> None:
    packed = chain.pack(form, value)
    if len(packed) > (8 if chain.big else 4):
        start = len(chain.data) + 2 + 12 + 4
        chain.ifd([(256, kind, 1, chain.word(start))])
        chain.data += packed
    else:
        chain.ifd([(256, kind, 1, packed)])
    columns, end = chain.walk(tmp_path / "t")
    assert end == (0, 0, 1)
    assert columns["width"].tolist() == [min(value, 2**63 - 1)]


def test_wrong_types_and_empty_values_count_as_absent(chain: Chain, tmp_path: Path) -> None:
    number = chain.pack("H", 5)
    wrong = [(code, kind, 1, number) for code, kind in ((256, 2), (257, 5), (258, 8), (273, 11), (279, 0), (259, 999))]
    chain.ifd([*wrong, (277, 3, 0, number), (270, 4, 1, number), (278, 3, 1, number), (278, 3, 1, chain.pack("H", 6))])
    columns, end = chain.walk(tmp_path / "t")
    assert end == (0, 0, 1)
    assert columns["rows_per_strip"].tolist() == [5]  # the first of two counts
    absent = ("width", "height", "bits", "bits_count", "compression", "samples", "description_offset")
    assert [int(columns[name][0]) for name in absent] == [-1] * len(absent)
    assert columns["segment_offset"].size == 0


def test_differing_samples_and_missing_byte_counts(chain: Chain, tmp_path: Path) -> None:
    chain.ifd(
        [
            (258, 3, 2, chain.pack("HH", 8, 16)),
            (339, 3, 2, chain.pack("HH", 1, 2)),
            (273, 3, 2, chain.pack("HH", 30, 40)),
            (279, 3, 1, chain.pack("H", 9)),
        ],
        None,
    )
    chain.ifd([(258, 3, 2, chain.pack("HH", 8, 8)), (324, 3, 2, chain.pack("HH", 1, 2))], None)
    chain.ifd([(324, 3, 2, chain.pack("HH", 1, 2)), (279, 3, 2, chain.pack("HH", 3, 4))], 0)
    columns, end = chain.walk(tmp_path / "t")
    assert end == (0, 0, 3)
    assert columns["bits"].tolist() == [-2, 8, -1]
    assert columns["bits_count"].tolist() == [2, 2, -1]
    assert columns["sample_format"].tolist() == [-2, -1, -1]
    assert columns["segment_offset"].tolist() == [30, 40, 1, 2, 1, 2]
    assert columns["segment_nbytes"].tolist() == [9, -1, -1, -1, 3, 4]


def test_descriptor_errors(tmp_path: Path) -> None:
    path = tmp_path / "t"
    path.write_bytes(bytes(100))
    fd = os.open(path, os.O_RDONLY)
    os.close(fd)
    assert native.tiff_walk(fd, 100, False, True, 8, 10, 10)[1] == (7, errno.EBADF, 0)
    for i in (1, 4, 5, 6):
        arguments: list[Any] = [fd, 100, False, True, 8, 10, 10]
        arguments[i] = -1
        with pytest.raises(ValueError, match="negative"):
            native.tiff_walk(*arguments)


def test_size_beyond_the_file(chain: Chain, tmp_path: Path) -> None:
    chain.page(None)
    path = tmp_path / "t"
    path.write_bytes(chain.data)
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        _, end = native.tiff_walk(fd, 2**40, chain.big, chain.order == "<", 16 if chain.big else 8, 10, 10)
    finally:
        os.close(fd)
    assert end == (4, len(chain.data), 1)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.booleans(),
    st.booleans(),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), max_size=12),
    st.integers(0, 3000),
)
def test_damaged_files_end_with_a_reason(
    damaged: Callable[[bool], bytes],
    tmp_path: Path,
    big: bool,
    little: bool,
    changes: list[tuple[int, int]],
    cut: int,
) -> None:
    data = bytearray(damaged(big))
    for position, value in changes:
        data[position % len(data)] = value
    if cut:
        del data[max(16, cut % len(data)) :]
    path = tmp_path / "t"
    path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        columns, end = native.tiff_walk(fd, len(data), big, little, 16 if big else 8, 50, 5000)
    finally:
        os.close(fd)
    assert 0 <= end[0] <= 8
    assert end[2] == columns["ifd"].size <= 50
    assert columns["segment_first"].size == end[2] + 1
    assert columns["segment_first"][-1] == columns["segment_offset"].size == columns["segment_nbytes"].size <= 5000


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool], bytes]:
    folder = tmp_path_factory.mktemp("damaged")
    files: dict[bool, bytes] = {}
    for big in (False, True):
        with tifffile.TiffWriter(folder / "t", bigtiff=big) as writer:
            for _ in range(4):
                frame = np.zeros((16, 16), dtype=np.uint16)
                writer.write(frame, photometric="minisblack", contiguous=False, rowsperstrip=4, description="x" * 30)
        files[big] = (folder / "t").read_bytes()
    return files.__getitem__
