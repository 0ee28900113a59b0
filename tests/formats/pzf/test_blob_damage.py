"""Blobs that are cut, changed or made to lie."""

from __future__ import annotations

import struct
import tracemalloc

import numpy as np
import pytest

from galvo.errors import DamagedData, GalvoError, Malformed, Truncated, Unsupported
from galvo.formats import pzf

RNG = np.random.default_rng(11)
IMAGE = RNG.poisson(40, (7, 6)).astype("u2")
OPTIONS = {
    "raw": {"compression": "raw"},
    "huffman": {},
    "chunks": {"compression": "chunks"},
    "quantised": {"quantize": "sqrt", "quantize_offset": 5, "quantize_scale": 0.5},
    "raw-quantised": {"compression": "raw", "quantize": "sqrt", "quantize_scale": 0.5},
    "chunks-quantised": {"compression": "chunks", "quantize": "sqrt", "quantize_scale": 0.5},
}
BLOBS = {name: pzf.dumps(IMAGE, **options) for name, options in OPTIONS.items()}


def with_bytes(blob, offset, layout, *values):
    changed = bytearray(blob)
    struct.pack_into(layout, changed, offset, *values)
    return bytes(changed)


def older(blob, version):
    return blob[:2] + bytes([version]) + blob[3:48] + blob[64:]


@pytest.mark.parametrize("name", BLOBS)
@pytest.mark.parametrize("version", [2, 3])
def test_every_cut(name, version):
    blob = BLOBS[name] if version == 3 else older(BLOBS[name], version)
    assert np.array_equal(pzf.loads(blob)[0], pzf.loads(BLOBS[name])[0])
    for size in range(len(blob)):
        with pytest.raises((Truncated, DamagedData), match=r"x\.pzf at byte \d+: ") as caught:
            pzf.loads(blob[:size], path="x.pzf")
        assert caught.value.offset <= size


def test_every_cut_of_a_lone_symbol():
    """Its codes say nothing, but each must be there."""
    image = np.full((5, 7), 9, "u1")
    blob = pzf.dumps(image)
    assert len(blob) == 64 + 6
    for size in range(len(blob)):
        with pytest.raises((Truncated, DamagedData)):
            pzf.loads(blob[:size])


@pytest.mark.parametrize("junk", [b"\0", b"\xff" * 13, b"BD" * 5000])
def test_what_may_follow(junk):
    for name in ("huffman", "quantised"):
        assert np.array_equal(pzf.loads(BLOBS[name] + junk)[0], pzf.loads(BLOBS[name])[0])
    for name in ("raw", "raw-quantised", "chunks", "chunks-quantised"):
        if name == "raw-quantised" and len(junk) == IMAGE.size:
            continue
        with pytest.raises(Malformed, match=r"more bytes than the frame has|bytes follow the last chunk"):
            pzf.loads(BLOBS[name] + junk)


@pytest.mark.parametrize(
    ("offset", "layout", "values", "kind", "message"),
    [
        (0, "2s", (b"DB",), Malformed, "byte 0: not a PZF frame"),
        (3, "B", (3,), Malformed, "byte 3: impossible DataFormat; found 3; expected 0, 1 or 2"),
        (4, "B", (3,), Unsupported, r"byte 4: compression 3 \(zstd\) is of a fork of PZF"),
        (4, "B", (4,), Unsupported, r"byte 4: compression 4 \(zstd in chunks\) is of a fork of PZF"),
        (4, "B", (5,), Malformed, "byte 4: impossible DataCompression; found 5"),
        (5, "B", (2,), Malformed, "byte 5: impossible DataQuantization; found 2"),
        (6, "c", (b"\0",), Malformed, "byte 6: impossible DimOrder"),
        (6, "c", (b"K",), Malformed, "byte 6: impossible DimOrder"),
        (20, "<II", (2**32 - 1, 2**32 - 1), Malformed, "byte 20: impossible size of the frame"),
        (20, "<II", (2**31, 2**30), Truncated, "byte 64: the frame needs more bits than there are"),
        # 2**32 pixels, which are none for who counts in 32 bits
        (20, "<II", (2**16, 2**16), Truncated, "expected 1073741824 bytes or more"),
        # no pixels, and no array that NumPy could make
        (20, "<III", (0, 2**32 - 1, 2**32 - 1), Malformed, "byte 20: impossible size of the frame"),
        (48, "<I", (0,), Malformed, "byte 48: impossible DataOffset; found 0; expected 64 or more"),
        (48, "<I", (63,), Malformed, "byte 48: impossible DataOffset"),
        (48, "<I", (2**32 - 1,), Truncated, "the payload is missing"),
    ],
)
def test_headers_that_lie(offset, layout, values, kind, message):
    with pytest.raises(kind, match=message) as caught:
        pzf.loads(with_bytes(BLOBS["huffman"], offset, layout, *values))
    assert type(caught.value) is kind


@pytest.mark.parametrize("name", ["quantised", "raw-quantised", "chunks-quantised"])
@pytest.mark.parametrize(
    "levels", [(0, 0), (0, -1), (0, np.nan), (0, np.inf), (np.nan, 1), (np.inf, 1), (0, 1e-45)], ids=str
)
def test_levels_that_cannot_be(name, levels):
    with pytest.raises(Malformed, match="byte 40: quantised with impossible numbers"):
        pzf.loads(with_bytes(BLOBS[name], 40, "<ff", *levels))


def test_levels_of_what_is_not_quantised_do_not_matter():
    blob = with_bytes(BLOBS["huffman"], 40, "<ff", np.nan, 0)
    assert np.array_equal(pzf.loads(blob)[0], IMAGE)


@pytest.mark.parametrize("letter", "CcAaFf")
def test_letters_of_the_order(letter):
    pixels, header = pzf.loads(with_bytes(BLOBS["raw"], 6, "c", letter.encode()))
    order = "F" if letter in "Ff" else "C"
    assert header.order == order
    assert np.array_equal(pixels, IMAGE.reshape(-1).reshape(IMAGE.shape, order=order))


@pytest.mark.parametrize("version", [0, 1, 2, 3, 4, 255])
def test_versions(version):
    blob = older(BLOBS["huffman"], version) if version < 3 else with_bytes(BLOBS["huffman"], 2, "B", version)
    pixels, header = pzf.loads(with_bytes(blob, 6, "c", b"F"))
    assert header.version == version
    assert header.data_offset_bytes == (48 if version < 3 else 64)
    # before version 2 the letter was a reserved byte
    assert header.order == ("C" if version < 2 else "F")
    if version < 2:
        assert np.array_equal(pixels, IMAGE)
        assert np.array_equal(pzf.loads(with_bytes(blob, 6, "c", b"\0"))[0], IMAGE)


@pytest.mark.parametrize("gap", [1, 64, 1000])
@pytest.mark.parametrize("name", BLOBS)
def test_a_payload_further_on(name, gap):
    blob = BLOBS[name][:64] + b"\xaa" * gap + BLOBS[name][64:]
    pixels, header = pzf.loads(with_bytes(blob, 48, "<I", 64 + gap))
    assert np.array_equal(pixels, pzf.loads(BLOBS[name])[0])
    assert header.data_offset_bytes == 64 + gap


@pytest.mark.parametrize("dtype", ["u2", "f4"])
@pytest.mark.parametrize("compression", ["raw", "chunks"])
def test_plain_pixels_under_the_flag(dtype, compression):
    blob = with_bytes(pzf.dumps(IMAGE.astype(dtype), compression=compression), 5, "B", 1)
    pixels, header = pzf.loads(blob)
    assert np.array_equal(pixels, IMAGE)
    assert pixels.dtype == dtype
    assert header.quantize is None
    assert pzf.load_header(blob).quantize == "sqrt"


def test_uint8_under_the_flag_is_taken_as_codes():
    image = np.arange(16, dtype="u1").reshape(4, 4)
    blob = with_bytes(with_bytes(pzf.dumps(image, compression="raw"), 5, "B", 1), 40, "<ff", 3, 1)
    pixels, header = pzf.loads(blob)
    assert np.array_equal(pixels, np.minimum(image.astype("u2") ** 2 + 3, 255))
    assert header.quantize == "sqrt"


def chunked(*chunks, count=None):
    header = pzf.dumps(np.zeros((1, 8), "u1"), compression="chunks")[:64]
    table = b"".join(struct.pack("<II", len(stream), size) + stream for stream, size in chunks)
    return header + struct.pack("<H", len(chunks) if count is None else count) + table


def stream_of(data):
    return pzf.dumps(np.frombuffer(data, "u1").reshape(1, -1))[64:]


@pytest.mark.parametrize("cuts", [(8,), (1, 7), (0, 8), (8, 0), (3, 3, 2), (1,) * 8, (0, 0, 4, 0, 4)])
def test_any_number_of_chunks(cuts):
    data = bytes(range(8))
    ends = np.cumsum(cuts)
    chunks = [(stream_of(data[end - size : end]), size) for end, size in zip(ends, cuts, strict=True)]
    assert pzf.loads(chunked(*chunks))[0].tobytes() == data


def test_chunks_that_contradict():
    half = stream_of(bytes(range(4)))
    assert pzf.loads(chunked((half, 4), (half, 4)))[0].tolist() == [[0, 1, 2, 3] * 2]
    with pytest.raises(Truncated, match="fewer bytes than the frame has; found 7 bytes; expected 8"):
        pzf.loads(chunked((half, 4), (half, 3)))
    with pytest.raises(Malformed, match="more bytes than the frame has; found 12 bytes; expected 8"):
        pzf.loads(chunked((half, 4), (half, 4), (half, 4)))
    with pytest.raises(DamagedData, match="the Huffman stream cannot be decoded"):
        pzf.loads(chunked((half, 8)))
    with pytest.raises(Truncated, match="the payload ends inside the sizes of chunk 2 of 3"):
        pzf.loads(chunked((half, 4), (half, 4), count=3))
    with pytest.raises(Truncated, match="fewer bytes than the frame has; found 0"):
        pzf.loads(chunked())
    with pytest.raises(Malformed, match="bytes follow the last chunk"):
        pzf.loads(chunked((half, 4), (half, 4), count=1))


def test_a_second_bad_chunk_is_placed():
    good, bad = stream_of(bytes(range(4))), b"\0" * 70
    with pytest.raises(DamagedData) as caught:
        pzf.loads(chunked((good, 4), (bad, 4)))
    assert caught.value.offset == 64 + 2 + 8 + len(good) + 8


def test_nothing_is_allocated_from_a_claim():
    """What the header asks for is at most eight times what there is, or an error."""
    blob = with_bytes(BLOBS["huffman"] + bytes(1000), 20, "<II", 1 << 14, 1 << 14)
    tracemalloc.start()
    try:
        for code in range(3):
            for quantize in (0, 1):
                with pytest.raises(GalvoError):
                    pzf.loads(with_bytes(with_bytes(blob, 4, "B", code), 5, "B", quantize))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 18


def flipped(rounds, seed):
    rng = np.random.default_rng(seed)
    outcomes = {"error": 0, "pixels": 0}
    for name, blob in BLOBS.items():
        for _ in range(rounds):
            changed = bytearray(blob)
            for position in rng.integers(2, len(blob), rng.integers(1, 4)):
                changed[position] = rng.integers(256)
            try:
                pixels, header = pzf.loads(changed + bytes(rng.integers(0, 2) * 40))
            except GalvoError:
                outcomes["error"] += 1
                continue
            outcomes["pixels"] += 1
            assert pixels.size == header.pixel_count, name
            assert pixels.nbytes == header.nbytes <= 32 * (len(changed) + 40), name
    return outcomes


def test_changed_bytes_give_pixels_or_a_galvo_error():
    outcomes = flipped(400, 3)
    assert min(outcomes.values()) > 300, outcomes


@pytest.mark.harden
@pytest.mark.parametrize("seed", range(10))
def test_many_changed_bytes(seed):
    outcomes = flipped(10_000, 100 + seed)
    assert min(outcomes.values()) > 10_000, outcomes
