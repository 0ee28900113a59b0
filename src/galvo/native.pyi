"""Native kernels: reads, checksums, TIFF chains, number scans, Huffman and GIF streams, transposition, motion.

Everything here releases the GIL while it works, shares file descriptors among any number of threads and repeats reads
that a signal interrupts. Integer columns are C-contiguous 1-D int64 arrays; nothing is converted silently, another
dtype or layout is a TypeError.

A failure is a tuple ``(job, kind, value)`` of the first job, in job order, that failed; ``(-1, 0, 0)`` when none did.
Kinds: 1 = the file ends early (value: position of the first missing byte), 2 = a page header differs (value: position
inside the block of the first differing byte), 3 = the system refused the read (value: errno). Jobs after the one that
failed may or may not have been done.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Buffer: TypeAlias = bytes | bytearray | memoryview | NDArray[Any]

def isa() -> str:
    """Name of the instruction set in use: "baseline", "sse4.2", "avx2" or "armv8-crc".

    Chosen once, at import: the best that the machine has. The environment variable ``GALVO_ISA`` pins "baseline", or
    "sse4.2" on a machine with AVX2; any other value is ignored. Results are equal on all of them.
    """

class Memory:
    """Bytes of undefined content, aligned to 64, that any number of arrays may lie in.

    They are given back with the last of these arrays, and the next `Memory` of about their size gets them, as far as
    the limit lets them be kept. What is kept and what is in use are together never more than was in use at once.

    Parameters
    ----------
    nbytes

    Raises
    ------
    MemoryError
    """

    def __init__(self, nbytes: int) -> None: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...

def recycled_bytes() -> int:
    """Bytes that are kept for the next `Memory`."""

def recycled_limit() -> int:
    """The most bytes that are kept; 0 until `raise_recycled_limit`."""

def raise_recycled_limit(difference: int) -> None:
    """Change the limit; beyond a lower one nothing stays."""

def clear_recycled() -> None:
    """Give back to the system what is kept."""

def fletcher32(data: Buffer) -> int:
    """Fletcher-32 of `data` as HDF5 stores it behind a chunk.

    Parameters
    ----------
    data
        Contiguous bytes.

    Notes
    -----
    Two sums modulo 65535, both from 0, zero written as 65535 once anything was added: of words of two bytes, the first
    one the higher, a last single byte being the higher one of a word; and of the first sum after each word. The second
    makes the upper half. (HDF5 library, `H5_checksum_fletcher32`.)
    """

def append_fletcher32(data: Buffer) -> Memory:
    """`data` with its `fletcher32` behind it, little endian, in one pass."""

def crc32c(data: Buffer, value: int = 0) -> int:
    """CRC-32C (Castagnoli) of `data`, 0 .. 2**32 - 1.

    Parameters
    ----------
    data
        Contiguous bytes.
    value
        The checksum of what comes before `data`, so that ``crc32c(b, crc32c(a)) == crc32c(a + b)``.

    Notes
    -----
    RFC 3720, sections 12.1 and B.4: reflected polynomial 0x82F63B78, register preset and result inverted.
    """

def read_at(fd: int, offset: int, nbytes: int) -> bytes:
    """`nbytes` bytes at `offset`, or fewer where the file ends.

    Raises
    ------
    OSError
        The system refused the read.
    ValueError
        A negative argument, or a range that ends beyond 2**63.
    """

def read_into(fd: int, offset: int, out: NDArray[np.uint8]) -> int:
    """Fill `out` from position `offset` on; the number of bytes read, below ``out.size`` only where the file ends.

    Parameters
    ----------
    out
        Writable, C-contiguous, 1-D.

    Raises
    ------
    OSError
        The system refused the read.
    ValueError
        `offset` is negative.
    """

class PageTemplate:
    """What the header block of every page of an evenly spaced TIFF must hold: that of page 0, moved along.

    Parameters
    ----------
    block
        Bytes of page 0 from its IFD on.
    mask
        As long as `block`; where it is not 0, the byte must be equal. Integers named below follow their own rule.
    relocations
        Positions in `block` of integers of `width` bytes that hold page 0's value plus the distance of the page.
    width
        4 (classic TIFF) or 8 (BigTIFF).
    little_endian
        Byte order of the file.
    next_position
        Position in `block` of the offset of the next IFD: page 0's value plus the distance, 0 on the last page.

    Raises
    ------
    ValueError
        `block` is empty, differs in length from `mask`, or does not hold one of the integers.
    """

    def __init__(
        self,
        block: Buffer,
        mask: Buffer,
        relocations: NDArray[np.int64],
        width: int,
        little_endian: bool,
        next_position: int,
    ) -> None: ...
    def check(self, data: Buffer, delta: int, last: bool) -> bool:
        """Whether `data` starts with the block of the page `delta` bytes behind page 0; false where it is shorter."""

def read_boxes(
    fds: NDArray[np.int64],
    offset: NDArray[np.int64],
    rows: NDArray[np.int64],
    out_offset: NDArray[np.int64],
    row_bytes: int,
    file_row_stride: int,
    out: NDArray[np.uint8],
    out_row_stride: int,
    swap: int,
    threads: int,
    template: PageTemplate | None = None,
    header_offset: NDArray[np.int64] | None = None,
    delta: NDArray[np.int64] | None = None,
    last: Buffer | None = None,
) -> tuple[int, int, int]:
    """First failure of the jobs that fill `out`.

    Job j reads ``rows[j]`` rows of `row_bytes` bytes, row r from position ``offset[j] + r * file_row_stride`` of
    descriptor ``fds[j]`` to ``out[out_offset[j] + r * out_row_stride:]``. Rows that touch in the file and in `out`
    come in by one read straight into `out`.

    Parameters
    ----------
    fds, offset, rows, out_offset
        One value per job. Jobs must not share bytes of `out`.
    row_bytes, file_row_stride, out_row_stride
        In bytes; the strides at least `row_bytes` where a job has more than one row.
    out
        Writable, C-contiguous, 1-D.
    swap
        1, or the size of an element (2, 4, 8) whose bytes are reversed on the way.
    threads
        At most this many, the caller's included; small work stays in the caller.
    template, header_offset, delta, last
        With `template`, a job whose ``header_offset[j]`` is not negative reads the header block there as well and
        checks it against `template` at distance ``delta[j]``; ``last[j]`` (one byte per job) marks the last page.

    Raises
    ------
    ValueError
        A job reaches outside `out` or has a negative or overflowing position; nothing has been read then.
    """

class Descriptor:
    """An open file, closed with the last who holds it.

    Parameters
    ----------
    number
        What `os.open` gave; nobody else may close it.

    Raises
    ------
    ValueError
        `number` is negative.
    """

    def __init__(self, number: int) -> None: ...
    @property
    def number(self) -> int:
        """The file descriptor."""

class FramePages:
    """Where the pages of one file are, for `FrameReader`.

    Parameters
    ----------
    count
        Number of pages.
    offset, nbytes
        Of the pixels, one value or one per page, wherever the values lie; an offset below 0 has none in the file.
    stride
        What each page adds to `offset`.
    template, header_offset, header_stride, last_page, proven
        With `template`, the header block at ``header_offset + page * header_stride`` is read and checked with the
        pixels, unless the page's byte in `proven` is not 0, and a page that passes gets 1. `proven` is writable, one
        byte per page; on `last_page` the chain ends.

    Raises
    ------
    ValueError
        Negative numbers, or lengths that do not fit together.
    """

    def __init__(
        self,
        count: int,
        offset: NDArray[np.int64],
        stride: int,
        nbytes: NDArray[np.int64],
        template: PageTemplate | None = None,
        header_offset: int = 0,
        header_stride: int = 0,
        last_page: int = -1,
        proven: NDArray[np.bool_] | None = None,
    ) -> None: ...

class FrameReader:
    """Reads single frames of part of a recording by keys of integers.

    Parameters
    ----------
    take
        Called with the number of a file, gives its `Descriptor`.
    pages
        Of every file. Items may be replaced at any time.
    first_page
        The number of each file's first page, pages being counted through.
    start, places
        The page of a frame is `start` and what its positions on T, C and Z add to it, one entry for each axis: int64
        values, or ``(first, step, length)``. An array (T, C, Z) holds the pages themselves, -1 where there is none.
    row_nbytes
        Of a whole row in the file.
    skip
        Bytes before the first pixel that is wanted of each frame.
    rows, columns
        Of the part that is wanted.
    dtype
        Of the arrays.
    swap
        As in `read_boxes`.

    Raises
    ------
    ValueError
        No rows or columns, or rows longer than `row_nbytes`.
    """

    def __init__(
        self,
        take: Callable[[int], Descriptor],
        pages: list[FramePages],
        first_page: NDArray[np.int64],
        start: int,
        places: NDArray[np.int64] | tuple[NDArray[np.int64] | tuple[int, int, int], ...],
        row_nbytes: int,
        skip: int,
        rows: int,
        columns: int,
        dtype: np.dtype[Any],
        swap: int,
    ) -> None: ...
    def read(self, key: object) -> NDArray[Any] | None:
        """The pixels of one frame as an array of its own; None wherever the general way must decide.

        That is for every key but up to three integers (int itself or NumPy's) within their axes, the others of these
        axes having length 1; and for pages without enough bytes, with another header, or that the system does not read.
        """

def transpose(source: NDArray[Any], out: NDArray[Any]) -> None:
    """Copy images from column by column to row by row.

    Parameters
    ----------
    source
        (..., Y, X) of items of 1, 2, 4, 8 or 16 bytes; those of a column lie side by side.
    out
        Writable, of the same shape and item size; those of a row lie side by side. Filled as bytes, whatever the
        types are; does not overlap `source`.

    Raises
    ------
    ValueError
        Shapes, sizes or strides are others.
    """

def scan_text(
    fds: NDArray[np.int64],
    offset: NDArray[np.int64],
    nbytes: NDArray[np.int64],
    keys: list[bytes],
    threads: int,
) -> tuple[NDArray[np.float64], tuple[int, int, int]]:
    """Numbers of ``key = value`` lines, float64 (jobs, keys), and the first failure.

    Job j reads ``nbytes[j]`` bytes, at most 65,536, at ``offset[j]``. A text ends at its first NUL; lines end with LF
    or CR; a key stands at the start of its line, matches whole, and its first line counts. NaN stands for a missing
    key, an empty value and anything that is not wholly one number: a decimal number, Inf, NaN, true (1) or false (0).
    Numbers are rounded as `float` rounds them, whatever the locale.

    Parameters
    ----------
    keys
        Bytes without NUL and line ends, in the order of the file for speed.

    Raises
    ------
    ValueError
        A negative position or size, or a key that no line can have.
    """

def tiff_walk(
    fd: int, size: int, big: bool, little: bool, first: int, max_pages: int, max_values: int
) -> tuple[dict[str, NDArray[np.int64]], tuple[int, int, int]]:
    """Columns of all pages of an IFD chain, and why the walk ended.

    Parameters
    ----------
    fd, size
        The file and its size in bytes.
    big, little
        BigTIFF rather than classic TIFF; little endian rather than big endian.
    first
        Offset of the first IFD.
    max_pages, max_values
        Limits to the number of pages, and to the sum of the values of all arrays read.

    Returns
    -------
    columns
        int64 of shape (pages,): ifd, next, width, height, bits, bits_count, compression, photometric, fill_order,
        samples, rows_per_strip, planar, predictor, tile_width, tile_height, sample_format, subfile_type, orientation,
        description_offset, description_nbytes, software_offset, software_nbytes. -1: the tag is absent or has a wrong
        type; -2 in bits and sample_format: the values differ between samples. segment_first, (pages + 1,): page p has
        the segments ``segment_first[p]:segment_first[p + 1]`` of segment_offset and segment_nbytes (-1: unknown),
        its strips or tiles.
    end
        ``(kind, offset, page)`` with the number of pages completed. Kind 0: the chain ends with 0; 1: the next IFD's
        offset lies outside the file; 2: that IFD has been seen (a loop); 3: more than `max_pages` pages; 4: the file
        ends inside an IFD; 5: an IFD with no or more than 4,096 tags; 6: values outside the file; 7: a read failed
        (offset is errno); 8: more than `max_values` values.

    Raises
    ------
    ValueError
        A negative argument.

    Notes
    -----
    TIFF 6.0 section 2 (IFD, types BYTE, SHORT, LONG), Adobe's IFD type 13, BigTIFF's LONG8 and IFD8 (16, 18).
    """

def huffman_encode(data: Buffer, threads: int = 1) -> bytes:
    """Huffman stream of `data`, bit for bit that of the Basic Compression Library; empty for no bytes.

    Parameters
    ----------
    data
        Contiguous bytes; must not change meanwhile.
    threads
        At most this many, the caller's included; the stream is the same for any number.

    Raises
    ------
    RuntimeError
        `data` changed meanwhile.

    Notes
    -----
    One static tree over bytes, most significant bit first. Pre-order: an inner node is a 0, its 0-branch, its 1-branch;
    a leaf is a 1 and 8 bits of symbol. The codes follow without a gap, zeros fill the last byte; neither a count nor an
    end is stored. The two lightest nodes are joined until one is left, the lightest becoming the 0-branch; among equal
    weights the highest number is taken, leaves being numbered by symbol and inner nodes after them as they are made. A
    lone symbol has a leaf for a tree and one 0 per occurrence.
    """

def huffman_decode(stream: Buffer, out: NDArray[np.uint8], threads: int = 1) -> int:
    """Fill `out` from a Huffman stream; the number of bytes of `stream` that were used, what follows is not looked at.

    Parameters
    ----------
    stream
        Contiguous bytes: what `huffman_encode` gives.
    out
        Writable, C-contiguous, 1-D; its content is undefined after an error.
    threads
        At most this many, the caller's included.

    Raises
    ------
    ValueError
        The tree has more than 511 nodes or a symbol twice, or the stream ends inside the tree or after fewer than
        ``out.size`` symbols.
    """

def gif_encode(indices: Buffer) -> bytes:
    """Image data of a GIF for `indices` of 8 bits: LZW code size, blocks, terminator.

    Notes
    -----
    GRAPHICS INTERCHANGE FORMAT, version 89a, appendix F. The table is cleared when it is full.
    """

def tiff_lzw_decode(data: Buffer, out: NDArray[np.uint8]) -> int:
    """Fill `out` from a strip or tile of a TIFF; the number of bytes that there were, at most ``out.size``.

    Parameters
    ----------
    data
        Contiguous bytes: codes of 9 to 12 bits.
    out
        Writable, C-contiguous, 1-D; its content behind what is returned is undefined.

    Raises
    ------
    ValueError
        What no usual writer makes: no clear code at the beginning, a table that overflows, a code for nothing that came
        before.

    Notes
    -----
    TIFF 6.0, section 13; codes grow one entry early, as there.
    """

def gif_decode(data: Buffer, out: NDArray[np.uint8]) -> int:
    """Fill `out` from the image data of a GIF; the number of indices that there were, at most ``out.size``.

    Parameters
    ----------
    data
        Contiguous bytes: code size, blocks; the terminator may be missing.
    out
        Writable, C-contiguous, 1-D; its content behind what is returned is undefined.

    Raises
    ------
    ValueError
        A code size that no GIF has, or a code that stands for nothing.
    """

def sqrt_quantize(pixels: NDArray[np.uint16], offset: float, scale: float, out: NDArray[np.uint8]) -> None:
    """Fill `out` with the codes ``round(sqrt(pixel - offset) / scale)`` of `pixels`.

    Parameters
    ----------
    pixels, out
        C-contiguous, 1-D, of equal length; `out` writable.
    offset
        In counts; pixels below it get code 0.
    scale
        Width of a code in square roots of counts.

    Raises
    ------
    ValueError
        `offset` or `scale` is not finite as float32, `scale` or its inverse not above 0, or the lengths differ.

    Notes
    -----
    PZF's arithmetic, all of it float32, `offset` and `scale` too: ``(1 / scale) * sqrt(pixel - offset)``, halves
    rounded away from 0. Codes above 255 become 255.
    """

def sqrt_dequantize(
    codes: NDArray[np.uint8],
    offset: float,
    scale: float,
    out: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32],
) -> None:
    """Fill `out` with the pixels ``(code * scale)**2 + offset`` of `codes`.

    Parameters
    ----------
    codes, out
        C-contiguous, 1-D, of equal length; `out` writable.
    offset, scale
        As given to `sqrt_quantize`.

    Raises
    ------
    ValueError
        As for `sqrt_quantize`.

    Notes
    -----
    All arithmetic is float32. Integers are cut off below the point, and saturate at the ends of their type.
    """

def sqrt_encode(pixels: NDArray[np.uint16], offset: float, scale: float, threads: int = 1) -> bytes:
    """`huffman_encode` of what `sqrt_quantize` makes of `pixels`, in one go.

    Raises
    ------
    ValueError
        As for `sqrt_quantize`.
    RuntimeError
        `pixels` changed meanwhile.
    """

def sqrt_decode(
    stream: Buffer,
    offset: float,
    scale: float,
    out: NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32],
    threads: int = 1,
) -> int:
    """`sqrt_dequantize` of ``out.size`` codes that `huffman_decode` reads from `stream`, in one go.

    Returns
    -------
    int
        The number of bytes of `stream` that were used.

    Raises
    ------
    ValueError
        As for `huffman_decode` and `sqrt_quantize`.
    """

Frames: TypeAlias = NDArray[Any]
"""Frames (T, Y, X, C), C-contiguous: integers of 8, 16 or 32 bits, float32 or float64."""
Floats: TypeAlias = NDArray[np.float32]

def bayes_bin(frames: Frames, factor: int, threads: int = 1) -> Floats:
    """Means of `factor` x `factor` pixels (1, 2 or 4), (T, C, Y // factor, X // factor)."""

def bayes_normal_equations(
    frames: Frames,
    factor: int,
    planes: Floats,
    nodes: Floats,
    brightness: Floats,
    box: int = 7,
    power: int = 2,
    cubic: bool = False,
    threads: int = 1,
) -> tuple[Floats, Floats, NDArray[np.float64]]:
    """One linearisation of every frame against the reference: the image pass of a Gauss-Newton step.

    With ``f_w = frame(x + w / factor)``, ``e = f_w - (alpha r + beta)``, ``q = box(e^2 iv)``, ``qn`` the 70th
    percentile of `q` over every third pixel of every third row, and ``omega = iv / max(1, q / qn)^power``. Pixels
    that leave the frame or are no number have ``e = omega = 0``; a frame of one value gives zeros.

    Parameters
    ----------
    frames
        As they are: each is binned by `factor` (1, 2 or 4) on the way.
    planes
        ``r, gx, gy, iv`` of the reference, (C, 4, Y // factor, X // factor).
    nodes
        Displacements in full-resolution pixels at the pixels 0, 8, 16, ..., bilinear between them, x before y:
        (T, (Y - 1) // 8 + 2, (X - 1) // 8 + 2, 2).
    brightness
        ``alpha, beta``, (T, C, 2).
    box
        Side of the mean over local energies, odd, at most 15.
    power
        1 or 2.
    cubic
        Bicubic interpolation (Keys 1981, a = -1/2) rather than bilinear.

    Returns
    -------
    sums
        ``J11, J12, J22, b1, b2`` over blocks of 8 x 8 full-resolution pixels, (T, C, 5, ceil(Y / 8), ceil(X / 8)):
        sums of ``omega g g^T`` and ``-omega g e``.
    quantiles
        ``qn``, (T, C).
    regression
        Sums of ``omega``, ``omega r``, ``omega r^2``, ``omega f_w`` and ``omega r f_w``, (T, C, 5).
    """

def frame_quality(corrected: Floats, displacements: Floats, reference: Floats, threads: int = 1) -> Floats:
    """Correlation, residual, crispness, mean and greatest length, divergence of each frame: float32 (T, 6).

    Parameters
    ----------
    corrected
        (T, Y, X, C).
    displacements
        (T, Y, X, 2).
    reference
        (Y, X, C).
    """

def bayes_synthesize(coefficients: Floats, rows: Floats, columns: Floats, threads: int = 1) -> Floats:
    """Fields (T, Ny, Nx, 2) of coefficients (T, 2, Ky, Kx): ``sum rows[y, ky] columns[x, kx] c[ky, kx]``.

    Parameters
    ----------
    rows, columns
        The modes along y, (Ny, Ky), and along x, (Nx, Kx), at any grid of points: nodes, blocks or pixels.
    """

def bayes_analyze(fields: Floats, rows: Floats, columns: Floats, threads: int = 1) -> Floats:
    """Products (T, M, Ky, Kx) of fields (T, M, Ny, Nx) with every mode, the transpose of `bayes_synthesize`."""

def bayes_solve(
    information: Floats,
    gradient: Floats,
    rows: Floats,
    columns: Floats,
    active: NDArray[np.int64],
    precision: Floats,
    preconditioner: Floats,
    tolerance: float = 0.0,
    step_limit: int = 30,
    threads: int = 1,
) -> tuple[Floats, NDArray[np.int64]]:
    """Solutions of ``(Phi^T J Phi + diag(precision)) d = gradient`` by preconditioned conjugate gradients.

    Parameters
    ----------
    information
        ``J11, J12, J22`` on blocks, (T, 3, Ny, Nx).
    gradient
        (T, n).
    rows, columns
        The modes at the blocks, (Ny, Ky) and (Nx, Kx).
    active
        Index of each unknown in the coefficients (2, Ky, Kx), (n,).
    precision
        Inverse prior variances, (1, n) or (T, n).
    preconditioner
        Inverse of a similar matrix, (n, n), symmetric.
    tolerance
        Length of the remaining step (root of the sum of squares over coefficients) below which it is taken and the
        iteration ends.

    Returns
    -------
    d
        (T, n).
    steps
        Conjugate gradient steps per frame, (T,).
    """

def bayes_inverse(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of a symmetric positive definite matrix (n, n), float64, symmetric and equal on every machine.

    Raises
    ------
    ValueError
        The matrix is not positive definite. Its lower triangle is not looked at.
    """

class BayesEngine:
    """Everything that happens to a frame after calibration; frozen, and safe to share among threads.

    A rigid start by cross-correlation, rigid steps on the coarsest level, then Gauss-Newton steps in the active modes
    from the coarsest level to the finest, brightness being carried along.

    Parameters
    ----------
    reference
        (C, Y, X), for the start.
    weights
        Of each channel in the start, (C,).
    planes
        Of each level from coarse to fine, the last at full resolution, each half as fine as the next: `r`, `gx`, `gy`,
        `iv` as in `bayes_normal_equations`, with the gradient times gamma and 1 / variance.
    scale
        Factor of each channel's evidence, its weight over its dispersion, (L, C).
    dispersion
        phi, (L, C).
    preconditioners
        Inverse of information plus precision of a typical frame on each level, (L, n, n).
    block_rows, block_columns
        The modes at the centres of 8 x 8 blocks, 8 i + 3.5: (ceil(Y / 8), Ky) and (ceil(X / 8), Kx).
    node_rows, node_columns
        The modes at 0, 8, 16, ...: ((Y - 1) // 8 + 2, Ky) and ((X - 1) // 8 + 2, Kx).
    active
        Index of each unknown in the coefficients (2, Ky, Kx), (n,); 0, first, and Ky Kx, the shifts, among them.
    precision
        Inverse prior variances, (n,).
    steps
        Elastic steps on each level.
    rigid_steps
        Rigid steps on the coarsest level.
    cubic
        Whether steps on the finest level interpolate bicubically.
    settled
        Steps on the finest level go on, up to `most_fine_steps` in all, while the last one is longer than this: pixels,
        root mean square over the image. 0: they never go on.
    tolerance
        Of a solution of the equations on the finest level, in the same unit; ten times as much on others.
    pixel_rows, pixel_columns
        The modes at pixels, (Y, Ky) and (X, Kx): with them, bicubic steps take the exact displacement rather than one
        that is bilinear between nodes.
    """

    def __init__(
        self,
        reference: Floats,
        weights: Floats,
        planes: list[Floats],
        scale: Floats,
        dispersion: Floats,
        preconditioners: Floats,
        block_rows: Floats,
        block_columns: Floats,
        node_rows: Floats,
        node_columns: Floats,
        active: NDArray[np.int64],
        precision: Floats,
        steps: list[int],
        rigid_steps: int = 3,
        cubic: bool = False,
        settled: float = 0.0,
        most_fine_steps: int = 3,
        tolerance: float = 0.003,
        pixel_rows: Floats | None = None,
        pixel_columns: Floats | None = None,
    ) -> None: ...
    def run(self, frames: Frames, threads: int = 1) -> dict[str, NDArray[Any]]:
        """Estimates of all frames (T, Y, X, C), bit-equal for any number of threads.

        Returns
        -------
        dict
            ``coefficients`` (T, 2, Ky, Kx) after the last step; of the last linearisation: ``information``
            (T, 3, By, Bx), ``right`` (T, n), which is ``Phi^T (b + J w0)`` with its displacement w0, ``brightness``
            (T, C, 2) and ``quantile`` (T, C); ``start`` and ``rigid`` (T, 2), the shift before and after the rigid
            steps; ``step`` (T,), length of the last step; ``fine_steps``, steps on the finest level, and
            ``solver_steps``, int64 (T,). A frame without information has zeros.
        """

def warp(
    frames: NDArray[Any],
    displacements: NDArray[np.float32],
    out: NDArray[Any],
    interpolation: str = "cubic",
    cubic_a: float = -0.5,
    fill_value: float | None = None,
    fill_image: NDArray[np.float64] | None = None,
    reach_before: float = 0.5,
    reach_after: float = 0.5,
    threads: int = 1,
) -> int:
    """Fill `out` with `frames` sampled at displaced positions; the number of displacements that are not finite.

    Parameters
    ----------
    frames
        (T, Y, X, C), with any strides: integers of 8 to 64 bits, float32 or float64.
    displacements
        C-contiguous (T, Y, X, 2) or (1, Y, X, 2), in pixels, x before y; where Y is 1, that row is every row's.
    out
        As `frames`, in float32 or in their dtype; with strides of its own.
    interpolation
        "cubic", "linear" or "nearest".
    cubic_a
        Keys' parameter.
    fill_value, fill_image
        What lies outside: a number, an image (Y, X, C), or, with neither, the nearest pixel.
    reach_before, reach_after
        A source at p is inside for ``-reach_before <= p < size - 1 + reach_after``.
    threads
        Frames worked on at once, at most.

    Raises
    ------
    ValueError
        Shapes that do not fit, or a side of more than 2**20 pixels.
    TypeError
        Another dtype.

    Notes
    -----
    R. G. Keys, Cubic convolution interpolation for digital image processing, IEEE ASSP 29, 1981. float32 arithmetic for
    pixels of up to 16 bits and float32, float64 for all others.
    """

def flow_prepare(
    frames: NDArray[Any],
    offset: list[float],
    scale: list[float],
    sigma_y: float,
    sigma_x: float,
    out: NDArray[np.float32],
    threads: int = 1,
) -> None:
    """Fill `out` (T, C, Y, X) with ``(frames - offset) * scale``, smoothed by a Gaussian.

    Parameters
    ----------
    frames
        (T, Y, X, C), with any strides: integers of 8 to 64 bits, float32 or float64. What is not finite becomes 0.
    offset, scale
        One value per channel.
    sigma_y, sigma_x
        Standard deviations in pixels, cut at four of them; edges are mirrored, edge values repeated. 0: none.

    Raises
    ------
    ValueError
        Shapes that do not fit.
    """

def flow_expand(fields: NDArray[np.float32], out: NDArray[np.float32], threads: int = 1) -> None:
    """Fill `out` (T, Y, X, 2) with `fields` (T, h, w, 2) by cubic convolution, A = -0.75, edges replicated."""

def flow_resample(image: NDArray[np.float32], early_taps: bool, out: NDArray[np.float32]) -> None:
    """Fill `out` with `image` at another size.

    Parameters
    ----------
    early_taps
        One tap more before the centre and one less after it than the kernel has.

    Notes
    -----
    A discrete Gaussian of 0.6 / s pixels, s being the smaller ratio of sizes, none from 1 on, and cubic convolution
    with A = -0.75; edges are mirrored, edge values repeated.
    """

def flow_median(image: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Fill `out` with medians of 5 x 5 pixels; edges are mirrored, edge values not repeated."""

def flow_tensor(
    fixed: NDArray[np.float32],
    moving: NDArray[np.float32],
    spacing_y: float,
    spacing_x: float,
    term: str,
    out: NDArray[np.float32],
) -> None:
    """Fill `out` (6, Y + 2, X + 2) with the motion tensor of two images (Y, X): J11, J22, J33, J12, J13, J23.

    Parameters
    ----------
    term
        "gradient", "brightness" or "census".
    """

def flow_solve_level(
    tensors: NDArray[np.float32],
    weights: NDArray[np.float32],
    field: NDArray[np.float32],
    alpha_x: float,
    alpha_y: float,
    spacing_x: float,
    spacing_y: float,
    iterations: int,
    update_lag: int,
    relaxation: float,
    a_data: list[float],
    a_smooth: float,
    robustness: float,
    out: NDArray[np.float32],
) -> None:
    """Fill `out` (2, Y, X) with the increment of a field on one level.

    Parameters
    ----------
    tensors, weights, field
        (C, 6, Y + 2, X + 2), (C, Y + 2, X + 2) and (2, Y + 2, X + 2): with one pixel around the image.

    Notes
    -----
    Successive over-relaxation, column by column; the robust weights are updated before every sweep whose number,
    counted from 1, `update_lag` divides, and are 1 until then.
    """

class FlowEngine:
    """The pyramid of a reference, and fields of frames against it.

    Parameters
    ----------
    fixed, unknown, weights
        C-contiguous (C, Y, X): the prepared reference, the normalised one, which stands for pixels that are not
        finite, and the weight of each channel's data term.
    offset, scale, sigma_y, sigma_x
        What `flow_prepare` does to every frame.
    levels
        (levels, 4), coarsest first: rows, columns, alpha along x, alpha along y.
    term
        "gradient", "brightness" or "census".
    relaxation
        Of the sweeps: 1 is Gauss-Seidel.
    a_data, a_smooth
        Exponents, one per channel, and that of the smoothness.
    early_taps
        As in `flow_resample`.
    thirty_seconds
        Whether warps round positions to 1/32 pixel.
    cascade
        Whether each level is made from the next finer one, not from the full resolution.
    warp_coarsest
        Whether the first level is warped by the field that it begins with.
    stages, warping_steps
        Of graduated non-convexity: how robust each stage is, and warps per level; no stages: neither.

    Notes
    -----
    Safe to use from several threads.
    """

    def __init__(
        self,
        fixed: NDArray[np.float32],
        unknown: NDArray[np.float32],
        weights: NDArray[np.float32],
        offset: list[float],
        scale: list[float],
        sigma_y: float,
        sigma_x: float,
        levels: NDArray[np.float64],
        term: str,
        iterations: int,
        update_lag: int,
        relaxation: float,
        a_data: list[float],
        a_smooth: float,
        early_taps: bool,
        thirty_seconds: bool,
        cascade: bool,
        warp_coarsest: bool,
        stages: list[float],
        warping_steps: int,
    ) -> None: ...
    def solve(
        self, frames: NDArray[Any], start: NDArray[np.float32] | None, out: NDArray[np.float32], threads: int = 1
    ) -> None:
        """Fill `out` (T, h, w, 2) with the fields of frames (T, Y, X, C), each beginning with `start` (Y, X, 2).

        A pixel that is not finite is what `unknown` has there.

        Raises
        ------
        ValueError
            Shapes that do not fit.
        TypeError
            A dtype that `warp` does not take.
        """
