"""PZF's Huffman streams, lossless and of square root codes, against the C library that the format comes from.

One thread each, shot noise in uint16. memcpy and what other compressors of the same frame cost stand beside. The C
library decodes quantised pixels to codes only, so NumPy does the rest, as the format's own reader has it.
"""

import ctypes
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from types import ModuleType
from typing import Any

import imagecodecs
import numpy as np

from bench.report import Report, parser
from bench.timing import Timing, interleave, with_peer
from galvo import native

Array = np.ndarray[Any, np.dtype[Any]]
Run = Callable[[], object]

FRAMES = ((2048, 100), (2048, 500), (512, 200))  # side in pixels, mean in counts
OFFSET, SCALE = 0.0, 0.5
PEER = "pymecompress"


@contextmanager
def silent() -> Iterator[None]:
    """Send what C code prints nowhere: the peer's quantiser prints on every call."""
    library = ctypes.CDLL(None)
    sys.stdout.flush()
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 1)
        yield
        library.fflush(None)
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)


def decode(stream: bytes, frame: Array, threads: int = 1) -> Array:
    out = np.empty_like(frame)
    native.huffman_decode(stream, out.view(np.uint8), threads)
    return out


def sqrt_decode(stream: bytes, frame: Array, threads: int = 1) -> Array:
    out = np.empty_like(frame)
    native.sqrt_decode(stream, OFFSET, SCALE, out, threads)
    return out


def writable(stream: bytes) -> Array:
    """As the peer wants what it only reads."""
    return np.frombuffer(bytearray(stream), np.uint8)


def peer_encode(module: ModuleType, data: Array) -> bytes:
    return bytes(module.HuffmanCompress(data))


def peer_decode(module: ModuleType, stream: Array, size: int) -> Array:
    return np.asarray(module.HuffmanDecompress(stream, size))


def peer_sqrt_encode(module: ModuleType, frame: Array) -> bytes:
    return bytes(module.HuffmanCompressQuant(frame, OFFSET, SCALE))


def peer_sqrt_decode(module: ModuleType, stream: Array, size: int) -> Array:
    root = np.asarray(module.HuffmanDecompress(stream, size)).astype(np.float32) * np.float32(SCALE)
    return (root * root + np.float32(OFFSET)).astype(np.uint16)


def blosc2(frame: Any, compressor: str, shuffle: str, level: int) -> bytes:
    codec = imagecodecs.BLOSC2
    return bytes(
        imagecodecs.blosc2_encode(
            frame,
            level,
            compressor=codec.COMPRESSOR[compressor],
            shuffle=codec.FILTER[shuffle],
            typesize=2,
            numthreads=1,
        )
    )


def zstd(frame: Any) -> bytes:
    shuffled: Any = imagecodecs.byteshuffle_encode(frame)
    return bytes(imagecodecs.zstd_encode(shuffled, 1))


def zstd_decode(stream: bytes) -> Array:
    return np.asarray(imagecodecs.byteshuffle_decode(np.frombuffer(imagecodecs.zstd_decode(stream), np.uint16)))


OTHERS: dict[str, tuple[Callable[[Array], bytes], Callable[[bytes], Any]]] = {
    "blosc2 lz4 + bitshuffle": (
        partial(blosc2, compressor="LZ4", shuffle="BITSHUFFLE", level=5),
        partial(imagecodecs.blosc2_decode, numthreads=1),
    ),
    "blosc2 zstd 1 + shuffle": (
        partial(blosc2, compressor="ZSTD", shuffle="SHUFFLE", level=1),
        partial(imagecodecs.blosc2_decode, numthreads=1),
    ),
    "zstd 1 + shuffle": (zstd, zstd_decode),
}


def check(frame: Array, stream: bytes, squeezed: bytes) -> None:
    """Raise ValueError unless everybody means the same pixels; codes of the peer may differ by its approximate root."""
    data = frame.view(np.uint8)
    if not np.array_equal(decode(stream, frame), frame):
        raise ValueError("galvo does not give its own pixels back")
    for name, (encode, decode_other) in OTHERS.items():
        if not np.array_equal(np.frombuffer(bytes(decode_other(encode(frame))), np.uint16), frame):
            raise ValueError(f"{name} does not give its own pixels back")
    try:
        peer = import_module("pymecompress.bcl")
    except ImportError:
        return
    if peer_encode(peer, data) != stream:
        raise ValueError("galvo and the peer write different streams")
    if not np.array_equal(peer_decode(peer, writable(stream), data.size), data):
        raise ValueError("the peer does not read galvo's stream")
    if not np.array_equal(peer_sqrt_decode(peer, writable(squeezed), frame.size), sqrt_decode(squeezed, frame)):
        raise ValueError("galvo and the peer give different pixels of the quantised stream")


def runs(frame: Array, stream: bytes, squeezed: bytes) -> dict[str, dict[str, Run | None]]:
    """Contenders by operation; galvo's first, and every one makes its own output."""
    data, copy = frame.view(np.uint8), np.empty_like(frame)
    peer = {
        "encode": with_peer("pymecompress.bcl", peer_encode),
        "decode": with_peer("pymecompress.bcl", peer_decode),
        "quantise + encode": with_peer("pymecompress.bcl", peer_sqrt_encode),
        "decode + dequantise": with_peer("pymecompress.bcl", peer_sqrt_decode),
    }
    arguments: dict[str, tuple[Any, ...]] = {
        "encode": (data,),
        "decode": (writable(stream), data.size),
        "quantise + encode": (frame,),
        "decode + dequantise": (writable(squeezed), frame.size),
    }
    ours: dict[str, Callable[[int], object]] = {
        "encode": lambda threads: native.huffman_encode(data, threads),
        "decode": lambda threads: decode(stream, frame, threads),
        "quantise + encode": lambda threads: native.sqrt_encode(frame, OFFSET, SCALE, threads),
        "decode + dequantise": lambda threads: sqrt_decode(squeezed, frame, threads),
    }
    made: dict[str, dict[str, Run | None]] = {}
    for operation, run in ours.items():
        theirs = peer[operation]
        made[operation] = {
            "galvo": partial(run, 1),
            "galvo, 2 threads": partial(run, 2),
            PEER: None if theirs is None else partial(theirs, *arguments[operation]),
            "memcpy": partial(np.copyto, copy, frame),
        }
    for name, (encode, decode_other) in OTHERS.items():
        made["encode"][name] = partial(encode, frame)
        made["decode"][name] = partial(decode_other, encode(frame))
    return made


def ratios(frame: Array, stream: bytes, squeezed: bytes) -> dict[str, Mapping[str, float]]:
    """How many times smaller the frame gets, by operation and contender."""
    plain = {name: frame.nbytes / len(encode(frame)) for name, (encode, _) in OTHERS.items()}
    own = frame.nbytes / len(stream)
    lossless = {"galvo": own, "galvo, 2 threads": own, PEER: own, **plain}
    lossy = dict.fromkeys(("galvo", "galvo, 2 threads", PEER), frame.nbytes / len(squeezed))
    return {"encode": lossless, "decode": lossless, "quantise + encode": lossy, "decode + dequantise": lossy}


GOALS = {"encode": 6, "decode": 10, "quantise + encode": 7, "decode + dequantise": 12}


def main() -> None:
    options = parser(__doc__, rounds=11).parse_args()
    report = Report("pzf", {"rounds": options.rounds, "offset": OFFSET, "scale": SCALE})
    for side, mean in FRAMES:
        # one dimension, as the native functions take it
        frame = np.random.default_rng(1).poisson(mean, side * side).astype(np.uint16)
        stream, squeezed = native.huffman_encode(frame), native.sqrt_encode(frame, OFFSET, SCALE)
        check(frame, stream, squeezed)
        compressed = ratios(frame, stream, squeezed)
        for operation, contenders in runs(frame, stream, squeezed).items():
            with silent():
                timings = interleave(contenders, rounds=options.rounds, slot_s=0.03)

            def note(name: str, timing: Timing, ratio: float | None) -> str:
                speed = f"{frame.nbytes / timing.minimum_cpu_s / 1e6:,.0f} MB/s of pixels per core"  # noqa: B023
                return speed if ratio is None else f"{speed}, ratio {ratio:.2f}"

            figure = f"{side} x {side}, mean {mean}: {operation}"
            notes = {name: note(name, timing, compressed[operation].get(name)) for name, timing in timings.items()}
            report.add(figure, {name: timings.get(name) for name in contenders}, ours="galvo", notes=notes)
            if PEER in timings:
                faster = timings[PEER].minimum_cpu_s / timings["galvo"].minimum_cpu_s
                report.goal(f"{figure}, faster than {PEER}", faster, limit=GOALS[operation], unit="x", at_least=True)
            if side == FRAMES[0][0]:
                gain = timings["galvo"].minimum_s / timings["galvo, 2 threads"].minimum_s
                report.goal(f"{figure}, 2 threads against one", gain, limit=1.7, unit="x", at_least=True)
    report.publish(options.results)


if __name__ == "__main__":
    main()
