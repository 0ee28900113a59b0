"""Huffman streams against a plain Python encoder, the original's own streams, and damage."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from galvo import native

THREADS = (1, 2, 3, 4, 5)


# --- the format in plain Python -------------------------------------------------------------------------------------


Tree = Any  # an int (leaf) or the pair of 0-branch and 1-branch


def code_tree(data: bytes) -> Tree:
    values, counts = np.unique(np.frombuffer(data, np.uint8), return_counts=True)
    nodes: list[tuple[int, Tree]] = [(int(n), int(v)) for v, n in zip(values, counts, strict=True)]
    alive = list(range(len(nodes)))
    while len(alive) > 1:
        alive.sort(key=lambda node: (nodes[node][0], -node))
        first, second = alive[:2]
        nodes.append((nodes[first][0] + nodes[second][0], (nodes[first][1], nodes[second][1])))
        alive = [*alive[2:], len(nodes) - 1]
    return nodes[alive[0]][1]


def tree_bits(tree: Tree) -> str:
    return f"1{tree:08b}" if isinstance(tree, int) else "0" + tree_bits(tree[0]) + tree_bits(tree[1])


def codes(tree: Tree, path: str = "") -> dict[int, str]:
    if isinstance(tree, int):
        return {tree: path or "0"}
    return codes(tree[0], path + "0") | codes(tree[1], path + "1")


def as_bytes(bits: str) -> bytes:
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def reference(data: bytes) -> bytes:
    if not data:
        return b""
    tree = code_tree(data)
    table = codes(tree)
    return as_bytes(tree_bits(tree) + "".join(table[symbol] for symbol in data))


def decoded(stream: bytes, count: int, threads: int = 1) -> tuple[bytes, int]:
    out = np.full(count, 0xA5, np.uint8)
    used = native.huffman_decode(stream, out, threads)
    return out.tobytes(), used


@st.composite
def skewed(draw: st.DrawFn) -> bytes:
    """Bytes of very different frequencies: each symbol is `ratio` times rarer than the one before it."""
    size = draw(st.integers(0, 5000))
    alphabet = draw(st.permutations(range(256)))[: draw(st.integers(1, 256))]
    ratio = draw(st.floats(0.3, 1.0))
    weights = ratio ** np.arange(len(alphabet))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    return random.choice(np.array(alphabet, np.uint8), size, p=weights / weights.sum()).tobytes()


def fibonacci_data(alphabet: int) -> bytes:
    """Bytes whose longest code has `alphabet` - 1 bits, the rare ones spread out."""
    counts = [1, 1]
    while len(counts) < alphabet:
        counts.append(counts[-1] + counts[-2])
    data = np.repeat(np.arange(alphabet, dtype=np.uint8), counts)
    return np.random.default_rng(alphabet).permutation(data).tobytes()


# --- encoding and decoding ------------------------------------------------------------------------------------------


@given(skewed() | st.binary(max_size=300))
@example(b"")
@example(b"\x00")
@example(bytes(range(256)))
@example(b"\x07" * 693)
@example(b"\x00\x01" * 2688)
def test_stream_of_the_plain_encoder(data: bytes) -> None:
    stream = reference(data)
    assert native.huffman_encode(data) == stream
    assert decoded(stream, len(data)) == (data, len(stream))


@pytest.mark.parametrize("alphabet", [14, 20, 24])
def test_long_codes(alphabet: int) -> None:
    data = fibonacci_data(alphabet)
    stream = reference(data)
    assert max(map(len, codes(code_tree(data)).values())) == alphabet - 1
    assert native.huffman_encode(data) == stream
    assert decoded(stream, len(data)) == (data, len(stream))


def test_codes_of_more_than_25_bits() -> None:
    # where the original's encoder corrupts its stream without a word
    data = fibonacci_data(30)
    tree = code_tree(data)
    lengths = np.zeros(256, np.int64)
    for symbol, code in codes(tree).items():
        lengths[symbol] = len(code)
    assert lengths.max() == 29
    values = np.frombuffer(data, np.uint8)
    bit_count = len(tree_bits(tree)) + int(lengths[values].sum())
    stream = native.huffman_encode(data)
    assert len(stream) == (bit_count + 7) // 8
    rarest = int(np.flatnonzero(values == 0)[0])
    table = codes(tree)
    begin = len(tree_bits(tree)) + int(lengths[values[:rarest]].sum())
    bits = "".join(f"{byte:08b}" for byte in stream[begin // 8 : begin // 8 + 6])[begin % 8 :]
    assert bits.startswith(table[0])
    for threads in (1, 3):
        assert native.huffman_encode(data, threads) == stream
        assert decoded(stream, len(data), threads) == (data, len(stream))


def long_data() -> dict[str, bytes]:
    random = np.random.default_rng(7)
    count = 1_400_001
    ramp = np.linspace(0, 3000, count // 2)
    return {
        "shot noise": random.poisson(100, count // 2).astype("<u2").tobytes(),
        "ramp": random.poisson(ramp).astype("<u2").tobytes(),
        "noise": random.integers(0, 256, count, dtype=np.uint8).tobytes(),
        "10 bits": random.integers(0, 1024, count // 2).astype("<u2").tobytes(),
        "one bit per symbol": random.choice(np.array([3, 9], np.uint8), count, p=[0.999, 0.001]).tobytes(),
        "rare at the end": bytes(count) + random.integers(0, 256, 4000, dtype=np.uint8).tobytes(),
        "lone": b"\x11" * count,
        "floats": random.normal(size=count // 4).astype("<f4").tobytes(),
    }


@pytest.mark.parametrize("data", long_data().values(), ids=long_data().keys())
def test_threads_make_no_difference(data: bytes) -> None:
    stream = native.huffman_encode(data)
    for threads in THREADS:
        assert native.huffman_encode(data, threads) == stream
        assert decoded(stream, len(data), threads) == (data, len(stream))
        assert decoded(stream + b"\xff" * 70_000, len(data), threads) == (data, len(stream))
        for count in (0, 1, len(data) // 2, len(data) - 1):
            part, used = decoded(stream, count, threads)
            assert part == data[:count]
            assert used <= len(stream)


def test_calls_side_by_side() -> None:
    # encoders lend each other tables, so there are more callers here than tables are kept
    frames = [np.random.default_rng(seed).poisson(3 + 40 * seed, 150_000).astype("<u2") for seed in range(8)]
    expected = [(native.huffman_encode(frame), native.sqrt_encode(frame, 1, 0.4)) for frame in frames]

    def again(number: int) -> bool:
        frame, (stream, squeezed) = frames[number], expected[number]
        same = native.huffman_encode(frame, 2) == stream and native.sqrt_encode(frame, 1, 0.4, 2) == squeezed
        return same and decoded(stream, frame.nbytes, 2)[0] == frame.tobytes()

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(again, list(range(8)) * 4))


def test_long_stream_of_the_plain_encoder() -> None:
    data = np.random.default_rng(3).poisson(30, 300_001).astype(np.uint8).tobytes()
    stream = reference(data)
    for threads in THREADS:
        assert native.huffman_encode(data, threads) == stream


@pytest.mark.parametrize("source", [bytes, bytearray, memoryview])
def test_accepts_what_exports_bytes(source: Any) -> None:
    frame = np.arange(600, dtype=np.uint16).reshape(20, 30)
    stream = native.huffman_encode(frame)
    assert native.huffman_encode(source(frame.tobytes())) == stream
    assert decoded(source(stream), 1200)[0] == frame.tobytes()
    with pytest.raises((BufferError, ValueError)):
        native.huffman_encode(frame[:, ::2])


def test_refuses_other_outputs() -> None:
    stream = native.huffman_encode(b"abcd")
    read_only = np.empty(4, np.uint8)
    read_only.flags.writeable = False
    for out in (np.empty(4, np.int8), np.empty((2, 2), np.uint8), np.empty(8, np.uint8)[::2], read_only):
        with pytest.raises(TypeError):
            native.huffman_decode(stream, out)  # type: ignore[arg-type]


# --- damage ---------------------------------------------------------------------------------------------------------


def test_cut_at_every_byte() -> None:
    data = np.random.default_rng(5).poisson(20, 9000).astype(np.uint8).tobytes()
    stream = native.huffman_encode(data)
    bits = "".join(f"{byte:08b}" for byte in stream)
    tree = code_tree(data)
    lengths = {symbol: len(code) for symbol, code in codes(tree).items()}
    ends = len(tree_bits(tree)) + np.cumsum([lengths[symbol] for symbol in data])
    assert len(bits) - 8 < ends[-1] <= len(bits)
    for size in range(len(stream)):
        with pytest.raises(ValueError, match=r"^the stream ends at bit") as caught:
            decoded(stream[:size], len(data), threads=1 + size % 3)
        whole = int(np.searchsorted(ends, 8 * size, side="right"))
        where = f"after {whole} of {len(data)} symbols" if 8 * size >= len(tree_bits(tree)) else "inside the tree"
        assert str(caught.value) == f"the stream ends at bit {8 * size}, {where}"
        # what is there can be had
        if whole:
            assert decoded(stream[:size], whole)[0] == data[:whole]


def test_lone_symbol_needs_its_bits() -> None:
    stream = native.huffman_encode(b"\x2a" * 100)
    assert stream == as_bytes("100101010" + "0" * 100)
    assert decoded(stream, 100) == (b"\x2a" * 100, 14)
    assert decoded(stream, 103) == (b"\x2a" * 103, 14)
    with pytest.raises(ValueError, match=r"^the stream ends at bit 112, after 103 of 104 symbols$"):
        decoded(stream, 104)
    with pytest.raises(ValueError, match=r"^the stream ends at bit 8, inside the tree$"):
        decoded(stream[:1], 1)


def test_nothing_wanted_needs_no_stream() -> None:
    assert decoded(b"", 0) == (b"", 0)
    assert decoded(b"junk", 0) == (b"", 0)
    with pytest.raises(ValueError, match=r"^the stream ends at bit 0, inside the tree$"):
        decoded(b"", 1)


def chain(leaf_count: int, last: int | None = None) -> str:
    """The bits of a tree that is one branch, as deep as can be."""
    symbols = [*range(leaf_count - 1), leaf_count - 1 if last is None else last]
    return "".join("0" + f"1{symbol:08b}" for symbol in symbols[:-1]) + f"1{symbols[-1]:08b}"


def test_deepest_tree() -> None:
    stream = as_bytes(chain(256) + "1" * 255 + "0" + "1" * 254 + "0" + "1" * 255)
    for threads in (1, 4):
        assert decoded(stream + bytes(300), 4, threads)[0] == bytes([255, 0, 254, 255])


def test_malformed_trees() -> None:
    with pytest.raises(ValueError, match=r"^the tree has more than 511 nodes$"):
        decoded(bytes(4000), 1)
    with pytest.raises(ValueError, match=r"^the tree has more than 511 nodes$"):
        decoded(as_bytes("0" * 256 + "1" * 9000), 1)
    with pytest.raises(ValueError, match=r"^the stream ends at bit 248, inside the tree$"):
        decoded(bytes(31), 1)
    with pytest.raises(ValueError, match=r"^the tree holds symbol 3 twice, again at bit 41$"):
        decoded(as_bytes(chain(5, last=3)) + bytes(100), 1)


@given(st.binary(max_size=200), st.integers(0, 2000))
def test_any_bytes_are_refused_or_decoded(stream: bytes, count: int) -> None:
    results = set()
    for threads in (1, 3):
        try:
            results.add(decoded(stream, count, threads))
        except ValueError as error:
            results.add(str(error))
    assert len(results) == 1


# --- the original's streams -----------------------------------------------------------------------------------------


def golden_folder() -> Path:
    data = os.environ.get("GALVO_SAMPLE_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data"
    return Path(data).parent / "golden" / "pzf"


def golden(compression: int) -> list[Any]:
    manifest = golden_folder() / "manifest.json"
    if not manifest.exists():
        return [pytest.param(None, marks=pytest.mark.skip(reason=f"the original's files are absent: {manifest}"))]
    vectors = json.loads(manifest.read_text())["vectors"]
    return [pytest.param(v, id=v["name"]) for v in vectors if v["header"]["DataCompression"] == compression]


def payload(vector: dict[str, Any]) -> bytes:
    return (golden_folder() / vector["file"]).read_bytes()[vector["header"].get("DataOffset") or 48 :]


def pixels(vector: dict[str, Any], key: str) -> np.ndarray[Any, np.dtype[Any]]:
    return np.load(golden_folder() / vector[key]).ravel(order=vector["order"])


@pytest.mark.parametrize("vector", golden(compression=1))
def test_streams_of_the_original(vector: dict[str, Any]) -> None:
    stream, expected = payload(vector), pixels(vector, "expected")
    header = vector["header"]
    junk = 13 if vector["name"] == "v3_huff_trailing" else 0
    out = np.empty_like(expected)
    if header["DataQuantization"] == 0:
        assert native.huffman_decode(stream, out.view(np.uint8)) == len(stream) - junk
        assert native.huffman_encode(expected) == stream[: len(stream) - junk]
    else:
        offset, scale = header["QuantOffset"], header["QuantScale"]
        assert native.sqrt_decode(stream, offset, scale, out) == len(stream)
        # the original wraps where a code does not fit; galvo does not
        if "input" in vector and vector["name"] != "quant_u2_ramp_wrap":
            assert native.sqrt_encode(pixels(vector, "input"), offset, scale) == stream
    np.testing.assert_array_equal(out, expected)


# --- instruction sets -----------------------------------------------------------------------------------------------

SCRIPT = """
import hashlib
import numpy as np
from galvo import native
random = np.random.default_rng(9)
print(native.isa())
for mean, count in ((3, 1001), (300, 400_003), (40, 700_000)):
    pixels = random.poisson(mean, count).astype("<u2")
    for threads in (1, 3):
        stream = native.huffman_encode(pixels, threads)
        out = np.empty(pixels.nbytes, np.uint8)
        native.huffman_decode(stream, out, threads)
        assert out.tobytes() == pixels.tobytes()
        squeezed = native.sqrt_encode(pixels, 1.5, 0.3, threads)
        back = np.empty_like(pixels)
        native.sqrt_decode(squeezed, 1.5, 0.3, back, threads)
        print(*(hashlib.sha256(data).hexdigest() for data in (stream, squeezed, back)))
"""


def run_with_isa(wish: str | None) -> list[str]:
    environment = {key: value for key, value in os.environ.items() if key != "GALVO_ISA"}
    if wish is not None:
        environment["GALVO_ISA"] = wish
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_instruction_sets_agree() -> None:
    best, baseline = run_with_isa(None), run_with_isa("baseline")
    assert baseline[0] == "baseline"
    assert baseline[1:] == best[1:]
