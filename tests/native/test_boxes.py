"""read_boxes and PageTemplate against NumPy slicing of the same bytes."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from galvo import native

FINE = (-1, 0, 0)
DATA = np.random.default_rng(5).integers(0, 256, 2_500_000, dtype=np.uint8)


@contextmanager
def opened(path: Path, data: bytes | bytearray | None = None) -> Iterator[int]:
    if data is not None:
        path.write_bytes(data)
    fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        yield fd
    finally:
        os.close(fd)


@pytest.fixture(scope="module")
def fd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with opened(tmp_path_factory.mktemp("boxes") / "bytes", DATA.tobytes()) as descriptor:
        yield descriptor


def column(*values: int) -> NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


def expected_box(data: NDArray[np.uint8], offset: int, rows: int, row_bytes: int, stride: int) -> NDArray[np.uint8]:
    return np.stack([data[offset + r * stride : offset + r * stride + row_bytes] for r in range(rows)])


def swapped(box: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    return box.reshape(box.shape[0], -1, width)[:, :, ::-1].reshape(box.shape)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(draw=st.data())
def test_any_geometry(fd: int, draw: st.DataObject) -> None:
    swap = draw.draw(st.sampled_from([1, 2, 4, 8]))
    row_bytes = swap * draw.draw(st.sampled_from([1, 3, 16, 31, 100, 1000]))
    gap = draw.draw(st.sampled_from([0, 0, 1, 7, 500, 16 << 10, (16 << 10) + 1, 40_000]))
    out_gap = draw.draw(st.sampled_from([0, 0, 1, 13, 256]))
    stride, out_stride = row_bytes + gap, row_bytes + out_gap
    job_rows = draw.draw(st.lists(st.integers(0, max(1, min(60, 600_000 // stride))), min_size=0, max_size=6))
    offsets = [draw.draw(st.integers(0, DATA.size - (rows + 1) * stride)) for rows in job_rows]
    threads = draw.draw(st.integers(0, 4))

    out_offsets, end = [], draw.draw(st.integers(0, 9))
    for rows in job_rows:
        out_offsets.append(end)
        end += rows * out_stride + 3
    out = np.full(end, 0xA5, dtype=np.uint8)
    expected = out.copy()
    for offset, rows, start in zip(offsets, job_rows, out_offsets, strict=True):
        if rows:
            box = swapped(expected_box(DATA, offset, rows, row_bytes, stride), swap)
            for r in range(rows):
                expected[start + r * out_stride : start + r * out_stride + row_bytes] = box[r]

    result = native.read_boxes(
        np.full(len(job_rows), fd, dtype=np.int64),
        column(*offsets),
        column(*job_rows),
        column(*out_offsets),
        row_bytes,
        stride,
        out,
        out_stride,
        swap,
        threads,
    )
    assert result == FINE
    np.testing.assert_array_equal(out, expected)


@pytest.mark.parametrize("swap", [1, 2, 4, 8])
@pytest.mark.parametrize("threads", [1, 2, 3, 4])
def test_large_jobs_on_threads(fd: int, swap: int, threads: int) -> None:
    job_count, size = 24, 1_200_000  # above the piece that is swapped at a time
    offsets = (np.arange(job_count) * 50_001).astype(np.int64)
    out = np.empty(job_count * size, dtype=np.uint8)
    result = native.read_boxes(
        np.full(job_count, fd, dtype=np.int64),
        offsets,
        np.full(job_count, 100, dtype=np.int64),
        np.arange(job_count, dtype=np.int64) * size,
        size // 100,
        size // 100,
        out,
        size // 100,
        swap,
        threads,
    )
    assert result == FINE
    for box, offset in zip(out.reshape(job_count, size), offsets.tolist(), strict=True):
        np.testing.assert_array_equal(box, swapped(DATA[None, offset : offset + size], swap)[0])


@pytest.mark.parametrize("threads", [1, 4])
def test_several_files(tmp_path: Path, threads: int) -> None:
    with opened(tmp_path / "a", b"a" * 2_000_000) as first, opened(tmp_path / "b", b"b" * 2_000_000) as second:
        out = np.zeros(8_000_000, dtype=np.uint8)
        result = native.read_boxes(
            column(first, second, first, second),
            column(0, 0, 0, 0),
            column(1, 1, 1, 1),
            column(0, 2_000_000, 4_000_000, 6_000_000),
            2_000_000,
            0,
            out,
            0,
            1,
            threads,
        )
    assert result == FINE
    assert out.reshape(4, -1)[:, [0, -1]].tobytes() == b"aabbaabb"


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize(("row_bytes", "stride"), [(1000, 1000), (1000, 1500), (1000, 30_000)])
def test_lowest_short_read_wins(tmp_path: Path, threads: int, row_bytes: int, stride: int) -> None:
    rows, job_count = 40, 60
    extent = (rows - 1) * stride + row_bytes
    data = DATA[:extent]
    offsets = np.zeros(job_count, dtype=np.int64)
    offsets[[17, 33, 59]] = (5, 1, 900)
    with opened(tmp_path / "short", data.tobytes()) as fd:
        out = np.empty(job_count * rows * row_bytes, dtype=np.uint8)
        result = native.read_boxes(
            np.full(job_count, fd, dtype=np.int64),
            offsets,
            np.full(job_count, rows, dtype=np.int64),
            np.arange(job_count, dtype=np.int64) * rows * row_bytes,
            row_bytes,
            stride,
            out,
            row_bytes,
            1,
            threads,
        )
    assert result == (17, 1, extent)
    for box in out.reshape(job_count, rows, row_bytes)[:17]:
        np.testing.assert_array_equal(box, expected_box(data, 0, rows, row_bytes, stride))


@pytest.mark.parametrize("stride", [100, 150, 100 + (16 << 10) + 1])
@pytest.mark.parametrize("out_stride", [100, 101])
def test_position_of_the_first_missing_byte(tmp_path: Path, stride: int, out_stride: int) -> None:
    rows, row_bytes, start = 5, 100, 11
    full = start + (rows - 1) * stride + row_bytes
    ends = {0, 5, start, start + 1, start + 100, start + 101, start + stride, full - 1, full - 100, full - 101, full}
    for end in sorted(ends):
        needed = (start + r * stride + i for r in range(rows) for i in range(row_bytes))
        missing = next((position for position in needed if position >= end), None)
        with opened(tmp_path / "cut", DATA[:end].tobytes()) as fd:
            out = np.zeros(rows * out_stride, dtype=np.uint8)
            result = native.read_boxes(
                column(fd), column(start), column(rows), column(0), row_bytes, stride, out, out_stride, 1, 1
            )
        assert result == (FINE if missing is None else (0, 1, missing))


def test_bad_descriptor_is_a_failure_of_its_job(fd: int) -> None:
    unused = os.dup(fd)
    os.close(unused)
    out = np.zeros(20, dtype=np.uint8)
    for stride, rows, row_bytes in ((10, 1, 10), (6, 2, 5), (50_000, 2, 5)):
        result = native.read_boxes(
            column(fd, unused), column(0, 0), column(rows, rows), column(0, 10), row_bytes, stride, out, row_bytes, 1, 1
        )
        assert result == (1, 3, errno.EBADF)


REFUSED = {
    "negative offset": {"offset": column(-1)},
    "negative rows": {"rows": column(-1)},
    "negative out_offset": {"out_offset": column(-1)},
    "out_offset behind out": {"out_offset": column(101)},
    "rows behind out": {"out_offset": column(1)},
    "too many rows": {"rows": column(11)},
    "negative row_bytes": {"row_bytes": -10},
    "file rows overlap": {"file_row_stride": 9},
    "out rows overlap": {"out_row_stride": 9},
    "negative stride": {"file_row_stride": -10},
    "swap": {"swap": 3},
    "element cut": {"swap": 4},
    "descriptor": {"fds": column(-1)},
    "wide descriptor": {"fds": column(2**31)},
    "file wraps": {"offset": column(2**63 - 50)},
    "file stride wraps": {"file_row_stride": 2**62},
    "out stride wraps": {"out_row_stride": 2**62},
    "rows wrap": {"rows": column(2**62)},
    "column lengths": {"rows": column(1, 1)},
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED.keys())
def test_refused_before_anything_is_read(fd: int, change: dict[str, object]) -> None:
    out = np.full(100, 7, dtype=np.uint8)
    arguments: dict[str, object] = {
        "fds": column(fd),
        "offset": column(0),
        "rows": column(10),
        "out_offset": column(0),
        "row_bytes": 10,
        "file_row_stride": 10,
        "out": out,
        "out_row_stride": 10,
        "swap": 1,
        "threads": 1,
    }
    with pytest.raises(ValueError, match=r"."):
        native.read_boxes(**{**arguments, **change})  # type: ignore[arg-type]
    assert (out == 7).all()
    assert native.read_boxes(**arguments) == FINE  # type: ignore[arg-type]
    assert out.tobytes() == DATA[:100].tobytes()


def test_other_dtypes_are_refused(fd: int) -> None:
    out = np.zeros(10, dtype=np.uint8)
    good = column(0)
    several = column(0, 1, 2)
    for bad in (good.astype(np.int32), good.astype(np.uint64), good.reshape(1, 1), [0], several[::2], several.tolist()):
        with pytest.raises(TypeError):
            native.read_boxes(column(fd), bad, column(1), column(0), 10, 10, out, 10, 1, 1)  # type: ignore[arg-type]


BLOCK = bytes(range(64))
MASK = bytes(0 if 40 <= i < 50 else 1 for i in range(64))


def page_block(delta: int, last: bool, width: int, little: bool, positions: tuple[int, ...] = (8, 16)) -> bytearray:
    order: Literal["little", "big"] = "little" if little else "big"
    block = bytearray(BLOCK)
    for position in (*positions, 52):
        value = int.from_bytes(BLOCK[position : position + width], order) + delta
        block[position : position + width] = value.to_bytes(width, order)
    if last:
        block[52 : 52 + width] = bytes(width)
    return block


@pytest.mark.parametrize("width", [4, 8])
@pytest.mark.parametrize("little", [True, False])
def test_template(width: int, little: bool) -> None:
    template = native.PageTemplate(BLOCK, MASK, column(8, 16), width, little, 52)
    for delta in (0, 1, 255, 70_000, 2**31, -1, -70_000):
        for last in (False, True):
            block = page_block(delta, last, width, little)
            assert template.check(block, delta, last)
            assert not template.check(block, delta, not last)
            assert not template.check(block, delta + 1, last)
            assert not template.check(block[:-1], delta, last)
            assert template.check(block + b"more", delta, last)
            for i in range(len(block)):
                changed = bytearray(block)
                changed[i] ^= 0x40
                assert template.check(changed, delta, last) == (40 <= i < 50)


def test_template_does_not_wrap() -> None:
    block = b"\xff\xff\xff\xff" + bytes(4)
    template = native.PageTemplate(block, bytes(8), column(0), 4, True, 4)
    assert template.check(block, 0, False)
    assert not template.check(bytes(8), 1, True)
    template = native.PageTemplate(bytes(8), bytes(8), column(0), 4, True, 4)
    assert not template.check(b"\xff" * 8, -1, False)
    for delta in (2**63 - 1, -(2**63)):
        assert not template.check(bytes(8), delta, False)


@pytest.mark.parametrize(
    "arguments",
    [
        (b"", b"", column(), 4, True, 0),
        (BLOCK, MASK[:-1], column(), 4, True, 0),
        (BLOCK, MASK, column(61), 4, True, 0),
        (BLOCK, MASK, column(-1), 4, True, 0),
        (BLOCK, MASK, column(), 8, True, 57),
        (BLOCK, MASK, column(), 8, True, -1),
        (BLOCK, MASK, column(), 2, True, 0),
        (b"abc", b"abc", column(), 4, True, 0),
    ],
)
def test_template_refuses(arguments: tuple[object, ...]) -> None:
    with pytest.raises(ValueError, match=r"."):
        native.PageTemplate(*arguments)  # type: ignore[arg-type]


class Pages:
    """Evenly spaced pages as ScanImage writes them: block, gap, pixels."""

    def __init__(self, gap: int, pixel_bytes: int, page_count: int) -> None:
        self.pixel_bytes = pixel_bytes
        self.page_count = page_count
        self.stride = len(BLOCK) + gap + pixel_bytes
        self.pixels = np.random.default_rng(6).integers(0, 256, (page_count, pixel_bytes), dtype=np.uint8)
        self.delta = np.arange(page_count, dtype=np.int64) * self.stride
        self.header_offset = 10 + self.delta
        self.offset = self.header_offset + len(BLOCK) + gap
        self.last = (np.arange(page_count) == page_count - 1).astype(np.uint8)
        data = bytearray(10)
        for page in range(page_count):
            data += page_block(page * self.stride, page == page_count - 1, 8, True)
            data += bytes(gap) + self.pixels[page].tobytes()
        self.data = data
        self.template = native.PageTemplate(BLOCK, MASK, column(8, 16), 8, True, 52)

    def read(
        self, fd: int, *, rows: int = 1, threads: int = 2, swap: int = 1, out_gap: int = 0
    ) -> tuple[tuple[int, int, int], NDArray[np.uint8]]:
        row_bytes = self.pixel_bytes // rows
        room = self.pixel_bytes + rows * out_gap
        out = np.zeros((self.page_count, rows, row_bytes + out_gap), dtype=np.uint8)
        result = native.read_boxes(
            np.full(self.page_count, fd, dtype=np.int64),
            self.offset,
            np.full(self.page_count, rows, dtype=np.int64),
            np.arange(self.page_count, dtype=np.int64) * room,
            row_bytes,
            row_bytes,
            out.reshape(-1),
            row_bytes + out_gap,
            swap,
            threads,
            self.template,
            self.header_offset,
            self.delta,
            self.last,
        )
        return result, out[:, :, :row_bytes].reshape(self.page_count, -1)


@pytest.mark.parametrize("gap", [0, 7, 8192, 8193])
@pytest.mark.parametrize(("pixel_bytes", "page_count"), [(4000, 30), (1_500_000, 3)])
@pytest.mark.parametrize("swap", [1, 2])
@pytest.mark.parametrize("out_gap", [0, 16])
def test_pages_with_headers(
    tmp_path: Path, gap: int, pixel_bytes: int, page_count: int, swap: int, out_gap: int
) -> None:
    pages = Pages(gap, pixel_bytes, page_count)
    with opened(tmp_path / "pages", pages.data) as fd:
        result, out = pages.read(fd, rows=10, swap=swap, out_gap=out_gap)
    assert result == FINE
    np.testing.assert_array_equal(out, swapped(pages.pixels, swap))


@pytest.mark.parametrize("gap", [0, 7, 8193])
@pytest.mark.parametrize("out_gap", [0, 16])
@pytest.mark.parametrize("position", [0, 9, 16, 39, 50, 52, 59, 63])
def test_lowest_header_that_differs(tmp_path: Path, gap: int, out_gap: int, position: int) -> None:
    pages = Pages(gap, 4000, 30)
    for page in (29, 12, 20):
        pages.data[int(pages.header_offset[page]) + position] ^= 0x80
    with opened(tmp_path / "pages", pages.data) as fd:
        for threads in (1, 2, 4):
            result, _ = pages.read(fd, rows=10, threads=threads, out_gap=out_gap)
            assert result == (12, 2, position)


@pytest.mark.parametrize("gap", [0, 7, 8193])
@pytest.mark.parametrize("out_gap", [0, 16])
def test_file_cut_in_header_gap_and_pixels(tmp_path: Path, gap: int, out_gap: int) -> None:
    pages = Pages(gap, 4000, 4)
    header, pixels = int(pages.header_offset[2]), int(pages.offset[2])
    for end in {header, header + 1, header + 63, header + 64, pixels, pixels + 1, pixels + 400, pixels + 3999}:
        with opened(tmp_path / "pages", pages.data[:end]) as fd:
            result, _ = pages.read(fd, rows=10, out_gap=out_gap)
        assert result == (2, 1, end if end < header + 64 else max(end, pixels))


def test_jobs_without_header_and_without_rows(tmp_path: Path) -> None:
    pages = Pages(7, 4000, 6)
    pages.data[int(pages.header_offset[4]) + 1] ^= 1
    rows = column(1, 1, 0, 1, 1, 0)
    header_offset = pages.header_offset.copy()
    header_offset[[1, 4]] = -1
    with opened(tmp_path / "pages", pages.data) as fd:

        def read() -> tuple[int, int, int]:
            return native.read_boxes(
                np.full(6, fd, dtype=np.int64),
                pages.offset,
                rows,
                np.arange(6, dtype=np.int64) * 4000,
                4000,
                4000,
                np.empty(24_000, dtype=np.uint8),
                4000,
                1,
                1,
                pages.template,
                header_offset,
                pages.delta,
                pages.last,
            )

        assert read() == FINE
        header_offset[4] = pages.header_offset[4]
        assert read() == (4, 2, 1)
        rows[4] = 0
        assert read() == (4, 2, 1)


def test_template_needs_its_columns(fd: int) -> None:
    template = native.PageTemplate(BLOCK, MASK, column(), 8, True, 52)
    head = (column(fd), column(0), column(1), column(0), 10, 10, np.zeros(10, dtype=np.uint8), 10, 1, 1, template)
    one = np.zeros(1, dtype=np.uint8)
    with pytest.raises(ValueError, match="template needs"):
        native.read_boxes(*head)
    with pytest.raises(ValueError, match="template needs"):
        native.read_boxes(*head, column(0), column(0))
    with pytest.raises(ValueError, match="header_offset has 2"):
        native.read_boxes(*head, column(0, 0), column(0), one)
    with pytest.raises(ValueError, match="last has 8"):
        native.read_boxes(*head, column(0), column(0), column(0))
    with pytest.raises(ValueError, match="exceed"):
        native.read_boxes(*head, column(2**63 - 9), column(0), one)
    with pytest.raises(TypeError):
        native.read_boxes(*head, np.zeros(1, dtype=np.int32), column(0), one)


SCRIPT = """
import os, sys
import numpy as np
from galvo import native
path = sys.argv[1]
fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
checksum = 0
for swap in (2, 4, 8):
    for size in (8, 24, 64, 72, 1000, 100_000):
        out = np.zeros(size + 3, dtype=np.uint8)
        one = np.ones(1, dtype=np.int64)
        assert native.read_boxes(one * fd, one * 3, one, one * 3, size, 0, out, 0, swap, 1) == (-1, 0, 0)
        checksum = native.crc32c(out, checksum)
print(checksum)
"""


def test_instruction_sets_agree(tmp_path: Path) -> None:
    path = tmp_path / "bytes"
    path.write_bytes(DATA[:200_000].tobytes())
    checksums = {
        subprocess.run(
            [sys.executable, "-c", SCRIPT, str(path)],
            env={**os.environ, "GALVO_ISA": wish},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for wish in ("baseline", "sse4.2", "")
    }
    assert len(checksums) == 1
