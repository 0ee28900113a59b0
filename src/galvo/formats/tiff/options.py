"""What a user chose of a TIFF to write, and what it holds then."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from galvo.core.codec import Codec
from galvo.errors import OptionError, Unsupported
from galvo.formats.tiff.compressions import PREDICTORS, Compression, find_compression
from galvo.formats.tiff.description import OME_TYPES

__all__ = ["TiffOptions"]

_LAYOUTS = ("ome", "imagej", "plain")
_TYPES = {
    "ome": frozenset(OME_TYPES),
    "imagej": frozenset(("u1", "u2", "f4")),
    "plain": frozenset((*OME_TYPES, "i8", "u8", "f2", "c8", "c16")),
}


@dataclass(frozen=True, slots=True)
class TiffOptions:
    """The options of `TiffSink`, which fit each other.

    Attributes
    ----------
    layout : "ome", "imagej" or "plain"
    in_samples : bool
        Channels are the samples of a page.
    compression : Compression
    level : int or None
    predictor : bool or None
        None: where it helps.
    bigtiff : bool or None
        None: where classic TIFF could overflow.
    """

    layout: str
    in_samples: bool
    compression: Compression
    level: int | None
    predictor: bool | None
    bigtiff: bool | None

    @classmethod
    def checked(
        cls,
        layout: str | None,
        compression: str | None,
        compression_level: int | None,
        predictor: bool | None,
        bigtiff: bool | None,
        samples: str | None,
    ) -> TiffOptions:
        """Those that a user gave.

        Raises
        ------
        OptionError
            There is none such, or they do not fit each other.
        """
        if layout is not None and layout not in _LAYOUTS:
            raise OptionError("unknown layout", found=repr(layout), expected=", ".join(_LAYOUTS))
        layout = layout or "ome"
        if samples not in (None, "c"):
            raise OptionError("samples does not fit", found=repr(samples), expected='"c" or None')
        if samples and layout == "imagej":
            raise OptionError("ImageJ has no stacks of several samples", expected='layout="ome" or "plain"')
        name = "none" if compression is None else compression
        found, level = find_compression(name, compression_level)
        for option, value in (("predictor", predictor), ("bigtiff", bigtiff)):
            if value is not None and type(value) is not bool:
                raise OptionError(f"{option} does not fit", found=repr(value), expected="True, False or None")
        if predictor and name == "none":
            raise OptionError("a predictor needs a compression", expected="zlib, lzw or zstd")
        if layout == "imagej" and name == "zstd":
            raise OptionError("ImageJ does not read zstd", expected='compression="zlib" or "lzw", or layout="ome"')
        if layout == "imagej" and bigtiff:
            raise OptionError("ImageJ does not read BigTIFF", expected='layout="ome", or bigtiff left out')
        if layout == "imagej" and predictor and name != "lzw":
            raise OptionError("ImageJ undoes predictors of lzw only", expected='compression="lzw", or layout="ome"')
        return cls(layout, samples == "c", found, level, predictor, bigtiff)

    @property
    def compresses(self) -> bool:
        """Whether pages may take less than their pixels."""
        return bool(self.compression.steps)

    def require(self, dtype: np.dtype[np.generic]) -> None:
        """Refuse pixels that the layout has no type for."""
        if dtype.str[1:] in _TYPES[self.layout]:
            return
        able = [name for name in ("ome", "plain") if dtype.str[1:] in _TYPES[name]]
        names = {"ome": "OME-XML has", "imagej": "ImageJ has", "plain": "TIFF has"}
        expected = ", ".join(sorted(str(np.dtype(name)) for name in _TYPES[self.layout]))
        other = f'Write it with layout="{able[0]}", or convert' if able else "Convert"
        raise Unsupported(
            f"{names[self.layout]} no such pixels",
            found=str(dtype),
            expected=expected,
            hint=f'{other} the pixels with dtype="..." (--dtype)',
        )

    def codecs(self, stored: np.dtype[np.generic]) -> tuple[Codec, ...]:
        """The codecs to choose between: without a predictor and with one, or the only one that may be."""
        plain = Codec(self.compression.steps)
        step = PREDICTORS.get(stored.str[1:]) if self.compresses else None
        if self.layout == "imagej" and (self.compression.name != "lzw" or stored.kind == "f"):
            # ImageJ would not undo it
            step = None
        if step is None and self.predictor:
            raise OptionError("no predictor for such pixels", found=str(stored), expected="predictor=False")
        if step is None or self.predictor is False:
            return (plain,)
        predicted = Codec((step, *self.compression.steps))
        if self.predictor:
            return (predicted,)
        # Bio-Formats, by which Fiji opens OME-TIFF, does not undo that of floats
        return (plain,) if self.layout == "ome" and stored.kind == "f" else (plain, predicted)
