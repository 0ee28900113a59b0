"""From stored bytes to an array: the steps between a chunk in a file and its pixels.

Decompression itself is imagecodecs' work; this module puts the steps in order, bounds their output by what
the geometry asks for, and turns every failure into `DamagedData`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.errors import DamagedData, OptionError

__all__ = ["RAW", "Codec"]


@cache
def _imagecodecs(function: str) -> Any:
    """A function of imagecodecs, looked up once: the look-up takes a lock that a fork could leave held for ever."""
    return getattr(import_module("imagecodecs"), function)


def _fletcher32(data: Any) -> int:
    """Fletcher-32 checksum as HDF5 stores it behind a chunk."""
    return int(_imagecodecs("h5checksum_fletcher32")(data))


@dataclass(frozen=True, slots=True)
class _Target:
    """What the last step has to give: an array of `shape` and `dtype`, X before the samples if there are any."""

    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]
    x_axis: int

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def _decompress(name: str) -> Callable[[Any, _Target], Any]:
    def step(data: Any, target: _Target) -> Any:
        return _imagecodecs(f"{name}_decode")(data, out=np.empty(target.nbytes, np.uint8))

    return step


def _check_fletcher32(data: Any, target: _Target) -> Any:
    body, stored = memoryview(data)[:-4], int.from_bytes(memoryview(data)[-4:], "little")
    if len(data) < 4 or _fletcher32(body) != stored:
        raise ValueError("the chunk's Fletcher-32 checksum does not match")
    return body


def _unshuffle(data: Any, target: _Target) -> Any:
    if target.dtype.itemsize == 1:
        return data
    whole = np.frombuffer(data, np.uint8)
    return np.ascontiguousarray(whole.reshape(target.dtype.itemsize, -1).T).reshape(-1)


def _view(data: Any, target: _Target) -> NDArray[Any]:
    array = np.frombuffer(data, np.uint8)
    if array.size < target.nbytes:
        raise ValueError(f"decoded to {array.size} bytes where {target.nbytes} are needed")
    return array[: target.nbytes].view(target.dtype).reshape(target.shape)


def _undo_difference(data: Any, target: _Target) -> Any:
    # TIFF 6.0 section 14; differences run along X, sample by sample
    return np.ascontiguousarray(_imagecodecs("delta_decode")(_view(data, target), axis=target.x_axis)).view(np.uint8)


def _undo_float_difference(data: Any, target: _Target) -> Any:
    # Adobe Photoshop TIFF Technical Note 3
    decoded = _imagecodecs("floatpred_decode")(_view(data, target), axis=target.x_axis)
    return np.ascontiguousarray(decoded).view(np.uint8)


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
    return np.ascontiguousarray(np.frombuffer(data, np.uint8).reshape(-1, target.dtype.itemsize).T).reshape(-1).data


def _append_fletcher32(data: Any, target: _Target, level: int | None) -> Any:
    return b"".join((data, _fletcher32(data).to_bytes(4, "little")))


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
    **{name: f"{name}_decode" for name in ("zlib", "lzw", "packbits", "zstd", "lzma", "lzf")},
    "fletcher32": "h5checksum_fletcher32",
    "difference": "delta_decode",
    "float-difference": "floatpred_decode",
    "reversed-bits": "bitorder_decode",
}

# Greatest expansion of each, so that a claimed size is believed only if the bytes could hold it.
_EXPANSION = {"zlib": 1032, "lzw": 2700, "packbits": 64, "zstd": 1 << 17, "lzma": 1 << 17, "lzf": 264}


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

    def encode(self, array: NDArray[Any], level: int | None = None) -> bytes | memoryview:
        """A chunk as it is stored.

        Parameters
        ----------
        array : ndarray
            The chunk in stored axes, X last, C order; its bytes are taken as they are.
        level : int, optional
            Of the compression; the codec's own default otherwise.

        Raises
        ------
        OptionError
            A step that galvo only reads.
        """
        data: Any = _as_bytes(array)
        target = _Target(array.shape, array.dtype, -1)
        for step in self.steps:
            try:
                encoder = _ENCODERS[step]
            except KeyError:
                raise OptionError(f"galvo does not write {step}", expected=f"one of {sorted(_ENCODERS)}") from None
            data = encoder(data, target, level)
        return data  # type: ignore[no-any-return]

    def decode(
        self, data: bytes, shape: tuple[int, ...], dtype: np.dtype[np.generic], x_axis: int = -1
    ) -> NDArray[Any]:
        """The chunk as an array.

        Parameters
        ----------
        data : bytes
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
        ratio = math.prod(_EXPANSION.get(step, 1) for step in self.steps)
        if target.nbytes > max(len(data), 64) * ratio:
            raise DamagedData(
                "a chunk is too small for what it should hold", found=f"{len(data)} bytes", expected=f"{target.nbytes}"
            )
        try:
            for step in reversed(self.steps):
                data = _STEPS[step](data, target)
            return _view(data, target)
        except (RuntimeError, ValueError, TypeError, MemoryError, OverflowError) as error:
            raise DamagedData(f"a chunk does not decode: {error}") from error


RAW = Codec()
