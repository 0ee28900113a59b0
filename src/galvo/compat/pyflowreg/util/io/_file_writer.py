"""Writers of files: frames wait in a spool and become the output in `close`, through galvo's own sinks."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.compat.pyflowreg.util.io._base import VideoWriter
from galvo.compat.pyflowreg.util.io._spool import Spool
from galvo.conversion import save
from galvo.core.metadata import Metadata
from galvo.core.recording import Recording
from galvo.errors import NotFound, OptionError

__all__ = ["FileWriter"]

_BLOCK_BYTES = 32 << 20


class FileWriter(VideoWriter):
    """Writes one output.

    The output appears under its name, replacing what has it, when `close` has written all of it; an exception inside
    ``with`` leaves what was there.

    Parameters
    ----------
    file_path : path
    format : str
        galvo's name of the format.
    options : dict
        Of galvo's sink.
    split_channels : bool
        One file per channel.
    metadata : mapping
        Kept with the pixels, as `Metadata.attributes`.
    """

    def __init__(
        self,
        file_path: str | os.PathLike[str],
        format: str,
        options: dict[str, Any],
        *,
        split_channels: bool = False,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.file_path = str(Path(file_path).expanduser())
        self._format = format
        self._options = options
        self._split = split_channels
        self._metadata = Metadata(format="array", attributes=dict(metadata or {}))
        self._spool: Spool | None = None
        self._closed = False
        self._failed = False

    def write_frames(self, frames: NDArray[Any]) -> None:
        """Add frames, (T, H, W, C), (T, H, W), (H, W) or, of the size of those before, (H, W, C).

        Raises
        ------
        ValueError
            Other frames than those before, or the writer is closed; with the first frames, options or pixels that the
            format does not take.
        OSError
            The disk did not take them; none of these is written, and they may be given again.
        """
        if self._closed:
            raise OptionError("the writer is closed", found=self.file_path)
        batch = self._batch(frames)
        if not len(batch):
            return
        if self._spool is None:
            self._begin(batch)
        if self._spool is not None:
            self._spool.append(self._lossless(batch))

    def _begin(self, batch: NDArray[Any]) -> None:
        """Refuse now what would be refused in the end."""
        folder = os.path.dirname(os.path.abspath(self.file_path))
        if self._split:
            os.makedirs(folder, exist_ok=True)
        elif not os.path.isdir(folder):
            raise NotFound(f"No such file or directory: {folder}")
        first = Recording.from_array(np.ascontiguousarray(batch[:1]), "TYXC", metadata=self._metadata)
        self._save(first, dry_run=True)
        self.init(batch)
        self._spool = Spool(self.file_path, batch.shape[1:], batch.dtype)

    def _lossless(self, batch: NDArray[Any]) -> NDArray[Any]:
        """Frames in the dtype of the first ones."""
        wanted = np.dtype(self.dtype)
        if np.can_cast(batch.dtype, wanted, "safe"):
            return batch
        with np.errstate(all="ignore"):
            cast = batch.astype(wanted)
        if not np.array_equal(cast, batch, equal_nan=batch.dtype.kind in "fc"):
            raise OptionError(
                f"frames of {batch.dtype} cannot follow frames of {wanted}: their values would change",
                hint=f"Convert them first, as with frames.astype({str(wanted)!r})",
            )
        return cast

    def _save(self, recording: Recording, **more: Any) -> None:
        save(
            recording,
            self.file_path,
            format=self._format,
            split_channels=self._split,
            overwrite=True,
            block_bytes=_BLOCK_BYTES,
            **more,
            **self._sink_options(recording.dtype),
        )

    def _sink_options(self, dtype: np.dtype[Any]) -> dict[str, Any]:
        """Options of galvo's sink for frames of a type."""
        return self._options

    def close(self) -> None:
        """Write the output; without a frame there is none.

        Where this fails, the frames are kept, and it may be called again.

        Raises
        ------
        WriteError
            An OSError: the output could not be written; what had its name is as it was.
        """
        if self._spool is not None and self._spool.count:
            failed, self._failed = self._failed, True
            # a second attempt goes on behind what the first brought to the disk
            self._save(self._spool.recording(self._metadata), resume=failed)
        self._drop()
        self._closed = True

    def _drop(self) -> None:
        spool, self._spool = self._spool, None
        if spool is not None:
            spool.close()

    def __exit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        if exc_type is None:
            self.close()
        else:
            self._drop()
            self._closed = True

    def __del__(self) -> None:
        if getattr(self, "_spool", None) is None:
            return
        self._drop()
        if not self._failed:
            told = f"{self.file_path} was not written: its writer was never closed"
            warnings.warn(told, ResourceWarning, stacklevel=2, source=self)
