"""pyflowreg.util.io.mdf: Sutter's MScan files, which galvo does not read."""

from __future__ import annotations

import os
from typing import Any

from galvo.compat.pyflowreg.util.io._recording import FileReader

__all__ = ["MDFFileReader"]


class MDFFileReader(FileReader):
    """Can be imported, not made.

    Raises
    ------
    NotImplementedError
        Always: there is no reader of .mdf files in galvo.
    """

    def __init__(
        self, file_path: str | os.PathLike[str], buffer_size: int = 500, bin_size: int = 1, **kwargs: Any
    ) -> None:
        raise NotImplementedError(
            "MDF file reading requires Windows and 'pywin32' library, and PyFlowReg itself: galvo does not read MDF; "
            "export the recording as TIFF in MScan"
        )
