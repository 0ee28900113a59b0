"""pyflowreg.util.io: videos as (T, H, W, C), read and written in batches.

Names, arguments and errors are those of PyFlowReg; pixels come from `galvo.open` and go to galvo's sinks. Where the
original loses or misplaces pixels, this does not (docs/coming-from/pyflowreg.md has the list).

Frames that are written wait uncompressed in the folder of the output until `close`, and only then become the output,
whole: nothing that stops a script leaves half of one.
"""

from __future__ import annotations

from galvo.compat.pyflowreg.util.io._arr import ArrayReader, ArrayWriter
from galvo.compat.pyflowreg.util.io._base import VideoReader, VideoWriter
from galvo.compat.pyflowreg.util.io._null import NullVideoWriter
from galvo.compat.pyflowreg.util.io.factory import get_video_file_reader, get_video_file_writer
from galvo.compat.pyflowreg.util.io.hdf5 import HDF5FileReader, HDF5FileWriter
from galvo.compat.pyflowreg.util.io.mat import MATFileReader, MATFileWriter
from galvo.compat.pyflowreg.util.io.mdf import MDFFileReader
from galvo.compat.pyflowreg.util.io.multifile_wrappers import (
    MULTICHANNELFileReader,
    MULTIFILEFileWriter,
    SUBSETFileReader,
)
from galvo.compat.pyflowreg.util.io.tiff import TIFFFileReader, TIFFFileWriter

__all__ = [
    "ArrayReader",
    "ArrayWriter",
    "HDF5FileReader",
    "HDF5FileWriter",
    "MATFileReader",
    "MATFileWriter",
    "MDFFileReader",
    "MULTICHANNELFileReader",
    "MULTIFILEFileWriter",
    "NullVideoWriter",
    "SUBSETFileReader",
    "TIFFFileReader",
    "TIFFFileWriter",
    "VideoReader",
    "VideoWriter",
    "get_video_file_reader",
    "get_video_file_writer",
]
