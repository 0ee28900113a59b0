"""pyflowreg.util.io.mdf: Sutter's MScan files, on Windows."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from galvo.compat.pyflowreg.util.io._recording import CannotOpen, FileReader
from galvo.core.recording import Recording
from galvo.errors import FormatError, GalvoError, OptionError, ReadError
from galvo.formats.mdf.server import require_server
from galvo.formats.opening import open_recording

__all__ = ["MDFFileReader"]


class NoConnection(CannotOpen, ConnectionError):
    """Sutter's server does not answer, or does not open the file."""


class MDFFileReader(FileReader):
    """Reads .mdf files through Sutter's COM server.

    Parameters
    ----------
    file_path : path
    buffer_size, bin_size : int
        As in `VideoReader`.
    channel_idx : int or list of int, optional
        The channels to read, by the server's numbers from 1; all by default.
    **kwargs
        Options of `galvo.open` for MDF: `dtype`, where values are beyond the one that the file's bit depth gives.

    Raises
    ------
    NotImplementedError
        Not on Windows, or without pywin32.
    """

    def __init__(
        self, file_path: str | os.PathLike[str], buffer_size: int = 500, bin_size: int = 1, **kwargs: Any
    ) -> None:
        try:
            require_server(os.fspath(file_path))
        except GalvoError as error:
            raise NotImplementedError(f"MDF file reading requires Windows and 'pywin32' library: {error}") from error
        super().__init__(file_path, buffer_size, bin_size, **kwargs)

    def _translated(self, options: dict[str, Any]) -> dict[str, Any]:
        wanted = options.pop("channel_idx", None)
        self.channel_idx = None if wanted is None else np.atleast_1d(wanted).tolist()
        return options

    def _open(self) -> Recording:
        try:
            recording = open_recording(self.file_path, format="mdf", series=False, **self._options)
        except (FormatError, ReadError) as error:
            raise NoConnection(f"Cannot open MDF file: {error}") from error
        numbers = recording.metadata.attributes["channel_numbers"]
        if self.channel_idx is None:
            return recording
        unknown = [number for number in self.channel_idx if number not in numbers]
        if unknown:
            recording.close()
            raise OptionError(
                "no such channel", path=self.file_path, found=f"channel_idx={unknown[0]!r}", expected=f"of {numbers}"
            )
        return recording.isel(c=[numbers.index(number) for number in self.channel_idx])

    def get_metadata(self) -> dict[str, Any]:
        """What the file says of itself.

        Returns
        -------
        dict
            ``file_name``, ``frame_count``, ``shape``, ``unbinned_shape``, ``channels`` (names), ``dt_seconds`` (of
            binned frames), ``pixel_size_um``, ``magnification``, ``dtype``, ``created_on``; None where the file does
            not say it.
        """
        found = self._common_metadata()
        if self._recording is not None:
            metadata = self._recording.metadata
            rate, size = metadata.frame_rate_hz, metadata.pixel_size_um
            found |= {
                "channels": list(metadata.channel_names),
                "dt_seconds": None if rate is None else self.bin_size / rate,
                "pixel_size_um": None if size is None else size[0],
                "magnification": metadata.attributes.get("magnification"),
                "created_on": metadata.header.get("Created On"),
            }
        return found
