"""From stored bytes to an array: the steps between a chunk in a file and its pixels.

Decompression itself is imagecodecs' work, but for usual LZW; this module puts the steps in order, bounds their output
by what the geometry asks for, and turns every failure into `DamagedData`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo import native
from galvo.errors import DamagedData, OptionError

__all__ = ["RAW", "Codec", "decode_gif_image", "encode_gif_image"]


@cache
def _imagecodecs(function: str) -> Any:
    """A function of imagecodecs, looked up once: the look-up takes a lock that a fork could leave held for ever."""
    return getattr(import_module("imagecodecs"), function)


class _Target:
    """What the last step has to give: an array of `shape` and `dtype`, X before the samples if there are any."""

    __slots__ = ("dtype", "nbytes", "shape", "x_axis")

    def __init__(self, shape: tuple[int, ...], dtype: np.dtype[np.generic], x_axis: int) -> None:
        self.shape, self.dtype, self.x_axis = shape, dtype, x_axis
        self.nbytes = math.prod(shape) * dtype.itemsize


# libdeflate reads what zlib reads, in half the time
_DECODERS = {"zlib": "deflate_decode"}


def _decompressed(name: str, data: Any, out: NDArray[np.uint8]) -> Any:
    """The bytes of `data`, in `out`."""
    if name == "lzw":
        # a third of the time; what is unusual is left to libtiff's rules
        with suppress(ValueError):
            if native.tiff_lzw_decode(data, out) == out.size:
                return out
    return _imagecodecs(_FUNCTIONS[name])(data, out=out)


def _decompress(name: str) -> Callable[[Any, _Target], Any]:
    def step(data: Any, target: _Target) -> Any:
        return _decompressed(name, data, np.empty(target.nbytes, np.uint8))

    return step


def _check_fletcher32(data: Any, target: _Target) -> Any:
    body, stored = memoryview(data)[:-4], int.from_bytes(memoryview(data)[-4:], "little")
    if len(data) < 4 or native.fletcher32(body) != stored:
        raise ValueError("the chunk's Fletcher-32 checksum does not match")
    return body


def _unshuffle(data: Any, target: _Target) -> Any:
    if target.dtype.itemsize == 1:
        return data
    out = np.empty(len(data), np.uint8)
    _unshuffle_into(data, out, target.dtype.itemsize)
    return out


def _unshuffle_into(data: Any, out: NDArray[np.uint8], itemsize: int) -> None:
    planes = np.frombuffer(data, np.uint8).reshape(itemsize, -1)
    if itemsize == 2:
        # arithmetic has vector instructions, NumPy's transposition has not: it takes sixteen times as long
        words = out.view("<u2")
        np.left_shift(planes[1], 8, out=words, dtype=np.uint16)
        np.bitwise_or(words, planes[0], out=words)
        return
    for number, plane in enumerate(planes):
        out[number::itemsize] = plane


def _view(data: Any, target: _Target) -> NDArray[Any]:
    array = np.frombuffer(data, np.uint8)
    if array.size < target.nbytes:
        raise ValueError(f"decoded to {array.size} bytes where {target.nbytes} are needed")
    return array[: target.nbytes].view(target.dtype).reshape(target.shape)


def _undo_difference(data: Any, target: _Target) -> Any:
    # TIFF 6.0 section 14; differences run along X, sample by sample
    pixels = _view(data, target)
    place = pixels if pixels.flags.writeable else None
    return np.ascontiguousarray(_imagecodecs("delta_decode")(pixels, axis=target.x_axis, out=place)).view(np.uint8)


def _undo_float_difference(data: Any, target: _Target) -> Any:
    # Adobe Photoshop TIFF Technical Note 3
    decoded = _imagecodecs("floatpred_decode")(_view(data, target), axis=target.x_axis)
    return np.ascontiguousarray(decoded).view(np.uint8)


def _refuse_length(nbytes: int, target: _Target) -> None:
    if nbytes != target.nbytes:
        raise ValueError(f"decoded to {nbytes} bytes where {target.nbytes} are needed")


def _reverse_bits(data: Any, target: _Target) -> Any:
    return _imagecodecs("bitorder_decode")(np.frombuffer(data, np.uint8).copy())


_STEPS: dict[str, Callable[[Any, _Target], Any]] = {
    **{name: _decompress(name) for name in ("zlib", "lzw", "packbits", "zstd", "lzma", "lzf")},
    "fletcher32": _check_fletcher32,
    "shuffle": _unshuffle,
    "difference": _undo_difference,
    "float-difference": _undo_float_difference,
    "reversed-bits": _reverse_bits,
}


def _compress(name: str) -> Callable[[Any, _Target, int | None], Any]:
    def step(data: Any, target: _Target, level: int | None) -> Any:
        encode = _imagecodecs(f"{name}_encode")
        return encode(data) if level is None else encode(data, level=level)

    return step


def _compress_lzf(data: Any, target: _Target, level: int | None) -> Any:
    # liblzf gives up on what it cannot shrink unless there is room to grow
    return _imagecodecs("lzf_encode")(data, out=len(data) + len(data) // 16 + 64)


def _shuffle(data: Any, target: _Target, level: int | None) -> Any:
    itemsize = target.dtype.itemsize
    planes = np.empty((itemsize, len(data) // itemsize), np.uint8)
    if itemsize == 2:
        words = np.frombuffer(data, "<u2")
        np.copyto(planes[0], words, casting="unsafe")
        np.copyto(planes[1], words >> 8, casting="unsafe")
    else:
        planes[...] = np.frombuffer(data, np.uint8).reshape(-1, itemsize).T
    return planes.reshape(-1).data


def _append_fletcher32(data: Any, target: _Target, level: int | None) -> Any:
    return memoryview(native.append_fletcher32(data))


def _difference(data: Any, target: _Target, level: int | None) -> Any:
    return _as_bytes(_imagecodecs("delta_encode")(_view(data, target), axis=target.x_axis))


def _float_difference(data: Any, target: _Target, level: int | None) -> Any:
    return _as_bytes(_imagecodecs("floatpred_encode")(_view(data, target), axis=target.x_axis))


def _as_bytes(array: NDArray[Any]) -> memoryview:
    return np.ascontiguousarray(array).reshape(-1).view(np.uint8).data


_ENCODERS: dict[str, Callable[[Any, _Target, int | None], Any]] = {
    # libdeflate writes the same format, several times as fast
    "zlib": _compress("deflate"),
    "zstd": _compress("zstd"),
    "lzw": _compress("lzw"),
    "lzf": _compress_lzf,
    "shuffle": _shuffle,
    "fletcher32": _append_fletcher32,
    "difference": _difference,
    "float-difference": _float_difference,
}

_FUNCTIONS = {
    **{name: _DECODERS.get(name, f"{name}_decode") for name in ("zlib", "lzw", "packbits", "zstd", "lzma", "lzf")},
    "difference": "delta_decode",
    "float-difference": "floatpred_decode",
    "reversed-bits": "bitorder_decode",
}

_IN_PLACE = frozenset(("zlib", "lzw", "packbits", "zstd", "lzma"))

# Greatest expansion of each, so that a claimed size is believed only if the bytes could hold it.
_EXPANSION = {"zlib": 1032, "lzw": 2700, "packbits": 64, "zstd": 1 << 17, "lzma": 1 << 17, "lzf": 264}


@cache
def _expansion(steps: tuple[str, ...]) -> int:
    return math.prod(_EXPANSION.get(step, 1) for step in steps)


@dataclass(frozen=True, slots=True)
class Codec:
    """The steps by which a chunk was stored, in the order of storing.

    Attributes
    ----------
    steps : tuple of str
        Of "difference", "float-difference", "shuffle", "zlib", "lzw", "packbits", "zstd", "lzma", "lzf",
        "fletcher32", "reversed-bits". Empty: the pixels as they are.
    """

    steps: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for step in self.steps:
            if step not in _STEPS:
                raise OptionError("unknown codec step", found=step, expected=f"one of {sorted(_STEPS)}")
            if step in _FUNCTIONS:
                # while opening, not in the threads that read
                _imagecodecs(_FUNCTIONS[step])

    @property
    def is_raw(self) -> bool:
        """Whether the stored bytes are the pixels."""
        return not self.steps

    def encode(self, array: NDArray[Any], level: int | None = None, x_axis: int = -1) -> bytes | memoryview:
        """A chunk as it is stored.

        Parameters
        ----------
        array : ndarray
            The chunk in stored axes, C order; its bytes are taken as they are.
        level : int, optional
            Of the compression; the codec's own default otherwise.
        x_axis : int
            Position of X among its axes, along which TIFF predictors run.

        Raises
        ------
        OptionError
            A step that galvo only reads.
        """
        data: Any = _as_bytes(array)
        target = _Target(array.shape, array.dtype, x_axis)
        for step in self.steps:
            try:
                encoder = _ENCODERS[step]
            except KeyError:
                raise OptionError(f"galvo does not write {step}", expected=f"one of {sorted(_ENCODERS)}") from None
            data = encoder(data, target, level)
        return data  # type: ignore[no-any-return]

    def decode(
        self, data: bytes | memoryview, shape: tuple[int, ...], dtype: np.dtype[np.generic], x_axis: int = -1
    ) -> NDArray[Any]:
        """The chunk as an array.

        Parameters
        ----------
        data : bytes or memoryview
            One chunk as stored.
        shape : tuple of int
            Shape of the chunk in stored axes.
        dtype : numpy.dtype
            As stored, byte order included.
        x_axis : int
            Position of X in `shape`, along which TIFF predictors run.

        Returns
        -------
        ndarray of `dtype`
            Maybe read-only.

        Raises
        ------
        DamagedData
            The decoder fails, a checksum does not match, or fewer bytes come out than the shape needs.
        """
        target = _Target(shape, dtype, x_axis)
        self._refuse_small(data, target)
        try:
            for step in reversed(self.steps):
                data = _STEPS[step](data, target)
            return _view(data, target)
        except (RuntimeError, ValueError, TypeError, MemoryError, OverflowError) as error:
            raise DamagedData(f"a chunk does not decode: {error}") from error

    def decode_into(
        self, data: bytes | memoryview, out: NDArray[Any], dtype: np.dtype[np.generic], x_axis: int = -1
    ) -> bool:
        """Decode a chunk straight to where it belongs, which saves a copy.

        Parameters
        ----------
        data : bytes or memoryview
            One chunk as stored.
        out : ndarray, C-contiguous
            Of the chunk's shape, in the machine's byte order; its content is undefined after an error.
        dtype : numpy.dtype
            As stored.
        x_axis : int
            Position of X.

        Returns
        -------
        bool
            False, with `out` as it was, where these steps need room of their own.

        Raises
        ------
        DamagedData
            As `decode`.
        """
        steps = self.steps
        has_checksum = steps[-1:] == ("fletcher32",)
        if has_checksum:
            steps = steps[:-1]
        is_shuffled = steps[:1] == ("shuffle",) and dtype.itemsize > 1
        if not is_shuffled and (not steps or steps[-1] not in _IN_PLACE or steps[:-1] not in ((), ("difference",))):
            return False
        target = _Target(out.shape, dtype, x_axis)
        self._refuse_small(data, target)
        try:
            if has_checksum:
                data = _check_fletcher32(data, target)
            flat = out.reshape(-1).view(np.uint8)
            if is_shuffled:
                for step in reversed(steps[1:]):
                    data = _STEPS[step](data, target)
                _refuse_length(len(data), target)
                _unshuffle_into(data, flat, dtype.itemsize)
            else:
                _refuse_length(len(_decompressed(steps[-1], data, flat)), target)
            if steps[0] == "difference":
                stored = out.view(dtype)
                _imagecodecs("delta_decode")(stored, axis=x_axis, out=stored)
        except (RuntimeError, ValueError, TypeError, MemoryError, OverflowError) as error:
            raise DamagedData(f"a chunk does not decode: {error}") from error
        if dtype != dtype.newbyteorder("="):
            out.byteswap(inplace=True)
        return True

    def _refuse_small(self, data: bytes | memoryview, target: _Target) -> None:
        if target.nbytes <= len(data):
            return
        if target.nbytes > max(len(data), 64) * _expansion(self.steps):
            raise DamagedData(
                "a chunk is too small for what it should hold", found=f"{len(data)} bytes", expected=f"{target.nbytes}"
            )


RAW = Codec()


# ---- GIF: LZW with its own order of bits and its own blocks ---------------------------------------------------------


def encode_gif_image(indices: NDArray[np.uint8]) -> bytes:
    """The image data of a GIF (code size, blocks, terminator) for palette indices (Y, X)."""
    return native.gif_encode(indices)


def decode_gif_image(data: bytes, height: int, width: int, interlaced: bool) -> NDArray[np.uint8]:
    """Palette indices (Y, X) from the image data of a GIF.

    Raises
    ------
    DamagedData
        The data are not what a GIF has, or too few.
    """
    pixel_count = height * width
    if pixel_count > max(len(data), 64) * _EXPANSION["lzw"]:
        raise DamagedData(
            "an image is too small for what it should hold", found=f"{len(data)} bytes", expected=f"{pixel_count}"
        )
    indices = np.empty(pixel_count, np.uint8)
    try:
        found = native.gif_decode(data, indices)
    except ValueError as error:
        raise DamagedData(f"an image does not decode: {error}") from error
    if found != pixel_count:
        raise DamagedData("an image ends too early", found=f"{found} pixels", expected=f"{pixel_count}")
    rows = indices.reshape(height, width)
    if not interlaced:
        return rows
    # GIF89a, appendix E: every 8th row from 0, every 8th from 4, every 4th from 2, every 2nd from 1
    ordered = np.empty_like(rows)
    first = 0
    for start, step in ((0, 8), (4, 8), (2, 4), (1, 2)):
        count = len(range(start, height, step))
        ordered[start::step] = rows[first : first + count]
        first += count
    return ordered
