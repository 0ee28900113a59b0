"""Against a codec in plain Python that follows the description bit by bit, and round trips over what can be stored."""

from __future__ import annotations

import heapq
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from galvo.formats import pzf

DTYPES = ("u1", "u2", "f4")
shapes = st.one_of(
    st.tuples(st.integers(0, 9), st.integers(0, 9)),
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 5)),
)
layouts = st.sampled_from(["C", "F", "strided", "reversed", "permuted"])
compressions = st.sampled_from(["raw", "huffman", "chunks"])


def huffman(data: bytes) -> bytes:
    """Tree in pre-order, then codes; the two lightest nodes are joined, among equals those numbered last."""
    if not data:
        return b""
    counts = np.bincount(np.frombuffer(data, "u1"), minlength=256)
    nodes = [(symbol, None) for symbol in np.flatnonzero(counts).tolist()]
    heap = [(int(counts[symbol]), -number) for number, (symbol, _) in enumerate(nodes)]
    heapq.heapify(heap)
    while len(heap) > 1:
        (first, a), (second, b) = heapq.heappop(heap), heapq.heappop(heap)
        nodes.append((-a, -b))
        heapq.heappush(heap, (first + second, -(len(nodes) - 1)))
    codes, tree = {}, []

    def walk(number, code):
        left, right = nodes[number]
        if right is None:
            tree.append(f"1{left:08b}")
            codes[left] = code or "0"
        else:
            tree.append("0")
            walk(left, code + "0")
            walk(right, code + "1")

    walk(len(nodes) - 1, "")
    bits = "".join(tree) + "".join(codes[symbol] for symbol in data)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def codes_of(pixels, offset, scale):
    factor = np.float32(1 / scale)
    above = pixels.astype("f4") - np.float32(offset)
    scaled = factor * np.sqrt(np.maximum(above, np.float32(0)))
    # half away from zero
    whole = np.floor(scaled)
    return np.minimum(whole + (scaled - whole >= 0.5), 255).astype("u1")


def values_of(codes, offset, scale, dtype):
    root = codes.astype("f4") * np.float32(scale)
    value = root * root + np.float32(offset)
    if dtype == "f4":
        return value
    return np.clip(np.trunc(value.astype("f8")), 0, np.iinfo(dtype).max).astype(dtype)


def reference(array, compression, quantize=None, numbers=(0, 0, 0)):
    order = "F" if array.flags.f_contiguous else "C"
    flat = array.ravel(order=order)
    data = (codes_of(flat, *quantize) if quantize else flat).tobytes()
    unit = 1 if quantize or array.dtype == "u1" else array.itemsize
    if compression == "huffman":
        payload = huffman(data)
    elif compression == "chunks":
        half = -(-len(data) // 2)
        parts = [(huffman(part), len(part)) for part in (data[:half], data[half:])]
        payload = struct.pack("<H", 2)
        payload += b"".join(struct.pack("<II", len(stream), size) + stream for stream, size in parts)
    else:
        payload = data
    assert len(data) == array.size * unit
    header = struct.pack(
        "<2sBBBBccqIIIIQffI12s",
        b"BD",
        3,
        DTYPES.index(array.dtype.str[1:]),
        ["raw", "huffman", "chunks"].index(compression),
        int(quantize is not None),
        order.encode(),
        b"\0",
        numbers[0],
        numbers[1],
        *(*array.shape, 1)[:3],
        numbers[2],
        *(quantize or (0, 0)),
        64,
        b"",
    )
    return header + payload


def arrange(array, layout):
    """The same pixels at other places in memory."""
    if layout == "F":
        return np.asfortranarray(array)
    if layout == "strided":
        spread = np.zeros([2 * length for length in array.shape], array.dtype)
        spread[(slice(None, None, 2),) * array.ndim] = array
        return spread[(slice(None, None, 2),) * array.ndim]
    if layout == "reversed":
        return np.ascontiguousarray(array[::-1])[::-1]
    if layout == "permuted":
        turn = [*range(1, array.ndim), 0]
        return np.ascontiguousarray(array.transpose(turn)).transpose(np.argsort(turn))
    return np.ascontiguousarray(array)


@st.composite
def frames(draw, dtypes=DTYPES):
    dtype = np.dtype(draw(st.sampled_from(dtypes)))
    elements = st.integers(0, 300).map(lambda value: value % 256) if dtype == "u1" else None
    return arrange(draw(npst.arrays(dtype, draw(shapes), elements=elements)), draw(layouts))


@given(frames(), compressions, st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, 2**32 - 1))
@settings(max_examples=300)
def test_the_bytes_and_the_way_back(array, compression, sequence, number):
    timestamp = 2 * number + 1
    blob = pzf.dumps(
        array, sequence_id=sequence, frame_number=number, frame_timestamp=timestamp, compression=compression
    )
    assert blob == reference(array, compression, numbers=(sequence, number, timestamp))
    for source in (blob, bytearray(blob), memoryview(blob), np.frombuffer(blob, "u1")):
        pixels, header = pzf.loads(source)
        shape = array.shape[:2] if array.ndim == 3 and array.shape[2] == 1 else array.shape
        assert (pixels.shape, pixels.dtype) == (shape, array.dtype)
        assert pixels.tobytes() == array.tobytes()
        assert header == pzf.load_header(source)
        assert (header.sequence_id, header.frame_number, header.frame_timestamp) == (sequence, number, timestamp)
        assert header.shape == (*array.shape, 1)[:3]
        assert (header.compression, header.quantize, header.nbytes) == (compression, None, array.nbytes)


@given(frames(("u2",)), compressions, st.sampled_from([(0, 1), (100, 1), (99.25, 0.47), (-5.5, 3), (1000, 0.05)]))
@settings(max_examples=200)
def test_quantised(array, compression, levels):
    offset, scale = levels
    options = {"quantize": "sqrt", "quantize_offset": offset, "quantize_scale": scale}
    blob = pzf.dumps(array, compression=compression, **options)
    assert blob == reference(array, compression, levels)
    codes = codes_of(array, offset, scale)
    # what the flag means for the other formats is the reader's rule, no writer makes them
    for code, dtype in enumerate(DTYPES):
        pixels, header = pzf.loads(blob[:3] + bytes([code]) + blob[4:])
        assert pixels.dtype == dtype
        assert pixels.tobytes() == values_of(codes, offset, scale, dtype).tobytes()
        assert header.quantize == "sqrt"
        assert header.quantize_scale == np.float32(scale)


@pytest.mark.parametrize("scale", [1, 0.5, 0.2, 1.5])
@pytest.mark.parametrize("offset", [0, 100])
def test_the_error_of_quantising_is_half_a_step(offset, scale):
    ramp = np.arange(65536, dtype="u2").reshape(256, 256)
    pixels, _ = pzf.loads(pzf.dumps(ramp, quantize="sqrt", quantize_offset=offset, quantize_scale=scale, threads=2))
    inside = (ramp >= offset) & (ramp <= (255 * scale) ** 2 + offset)
    before, after = np.sqrt(ramp[inside] - float(offset)), np.sqrt(np.maximum(pixels[inside] - float(offset), 0))
    # half a step, and what cutting off below the count takes from the root
    assert (np.abs(before - after) <= 0.5 * scale + 1 / np.maximum(before, 1) + 1e-4).all()
    assert (
        pixels[ramp > (255.5 * scale) ** 2 + offset] == min(65535, int((255 * np.float32(scale)) ** 2) + offset)
    ).all()


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_change_nothing(threads):
    rng = np.random.default_rng(5)
    image = rng.poisson(200, (1024, 768)).astype("u2")
    for options in ({}, {"quantize": "sqrt", "quantize_scale": 0.5}, {"compression": "chunks"}):
        blob = pzf.dumps(image, **options)
        assert pzf.dumps(image, threads=threads, **options) == blob
        assert np.array_equal(pzf.loads(blob, threads=threads)[0], pzf.loads(blob)[0])


def test_as_deep_as_a_tree_can_be():
    """Fibonacci's counts: codes of up to 27 bits, where the original's encoder goes wrong beyond 25."""
    counts = [1, 1]
    while len(counts) < 28:
        counts.append(counts[-1] + counts[-2])
    image = np.repeat(np.arange(28, dtype="u1"), counts)
    np.random.default_rng(1).shuffle(image)
    image = image.reshape(-1, 1)
    pixels, _ = pzf.loads(pzf.dumps(image))
    assert np.array_equal(pixels, image)
