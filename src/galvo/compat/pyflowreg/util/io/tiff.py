"""pyflowreg.util.io.tiff: TIFF stacks, hyperstacks and ScanImage's files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from galvo.compat.pyflowreg.util.io._file_writer import FileWriter
from galvo.compat.pyflowreg.util.io._recording import FileReader
from galvo.core.recording import Recording
from galvo.errors import OptionError, warn
from galvo.formats.opening import open_recording

__all__ = ["TIFFFileReader", "TIFFFileWriter"]

_COMPRESSIONS = {None: "none", "deflate": "zlib"}
_WITH_LEVELS = ("zlib", "zstd")
_DESCRIPTION_LENGTH = 500
# OME has no types for them
_WITHOUT_OME = ("i8", "u8", "f2", "c8", "c16")


class TIFFFileReader(FileReader):
    """Reads TIFF and BigTIFF with the axes that ImageJ, OME and ScanImage give them.

    Planes follow each other in T, except for an index of five entries.

    Parameters
    ----------
    file_path : path
        Only this file, also where it is one of a series.
    buffer_size, bin_size : int
        As in `VideoReader`.
    deinterleave : int
        Pages are frames of that many channels in turn, whatever the file says of its axes.
    use_memmap : bool
        Changes nothing: frames are read by position in any case.
    **kwargs
        Options of `galvo.open` for TIFF or ScanImage, such as `slice_repeats`.
    """

    _failure = "Failed to open TIFF file"

    def _translated(self, options: dict[str, Any]) -> dict[str, Any]:
        self.deinterleave = options.pop("deinterleave", 1)
        if type(self.deinterleave) is not int or self.deinterleave < 1:
            raise OptionError("deinterleave does not fit", found=repr(self.deinterleave), expected="1 or more")
        return options

    def _opened(self) -> Recording:
        channels = self.deinterleave
        if channels == 1:
            return super()._opened()
        options = {"format": "tiff", "series": False, **self._options}
        with open_recording(self.file_path, **options, channels=1) as pages:
            count = len(pages)
        whole = count - count % channels
        if whole == 0:
            raise OptionError("more channels than pages", path=self.file_path, found=channels, expected=f"1 to {count}")
        if whole < count:
            warn(f"{self.file_path}: {count} pages are no whole number of {channels} channels; the last are left out")
            options["pages"] = slice(whole)
        return open_recording(self.file_path, **options, channels=channels)

    def get_metadata(self) -> dict[str, Any]:
        """What the file says of itself.

        Returns
        -------
        dict
            ``file_name``, ``frame_count``, ``shape``, ``unbinned_shape``, ``dtype``, ``sample_mode`` (False: samples
            are never frames), ``deinterleave``, ``is_scanimage``; ``z_planes`` and ``volumes`` where there are planes;
            ``description`` (500 characters at most), ``software`` and ``datetime`` where the file has them.
        """
        found = self._common_metadata() | {
            "sample_mode": False,
            "deinterleave": self.deinterleave,
            "is_scanimage": False,
        }
        recording = self._recording
        if recording is not None:
            found["is_scanimage"] = recording.metadata.format == "scanimage"
            if recording.shape[2] > 1:
                found |= {"volumes": recording.shape[0], "z_planes": recording.shape[2]}
            texts = recording.metadata.texts
            found |= {name: texts[name] for name in ("description", "software", "datetime") if name in texts}
        if "description" in found:
            found["description"] = found["description"][:_DESCRIPTION_LENGTH]
        return found


class TIFFFileWriter(FileWriter):
    """Writes TIFF.

    Parameters
    ----------
    file_path : path
    format : "default" or "suite2p"
        default: OME-TIFF (T, Y, X) whose channels are samples of the pages, which is what PyFlowReg reads, unless
        ``samples=None`` makes them pages; no OME for dtypes that it has none for. suite2p: pages, the channels of a
        frame one after another.
    compression : None, "none", "lzw", "zlib", "deflate" or "zstd"
    compression_level : int, optional
        For zlib and zstd.
    bigtiff : bool or None
        None: where classic TIFF could overflow.
    imagej : bool
        A hyperstack for ImageJ instead of OME, classic whatever `bigtiff` says; uint8, uint16 and float32.
    metadata : dict
        Kept in the file for galvo.
    **kwargs
        Further options of galvo's TIFF.
    """

    def __init__(
        self,
        file_path: str | os.PathLike[str],
        *,
        format: str = "default",
        compression: str | None = None,
        compression_level: int | None = None,
        bigtiff: bool | None = True,
        imagej: bool = False,
        metadata: Mapping[str, Any] | None = None,
        split_channels: bool = False,
        **kwargs: Any,
    ) -> None:
        if format not in ("default", "suite2p"):
            raise OptionError("unknown format", found=repr(format), expected="'default' or 'suite2p'")
        options = {**kwargs, "compression": _COMPRESSIONS.get(compression, compression)}
        options["bigtiff"] = None if imagej else bigtiff
        if compression_level is not None and options["compression"] in _WITH_LEVELS:
            options["compression_level"] = compression_level
        if format == "suite2p" or imagej:
            options.setdefault("layout", "imagej" if imagej else "plain")
        super().__init__(file_path, "tiff", options, split_channels=split_channels, metadata=metadata)

    def _sink_options(self, dtype: np.dtype[Any]) -> dict[str, Any]:
        layout = "plain" if dtype.str[1:] in _WITHOUT_OME else "ome"
        samples = None if "layout" in self._options else "c"
        return {"layout": layout, "samples": samples, **self._options}
