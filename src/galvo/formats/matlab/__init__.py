"""MATLAB .mat files, levels 4, 5 (versions 5, 6 and 7) and 7.3: numeric arrays as recordings.

Level 5::

    0    text, 116 bytes; offset of subsystem data, 8 bytes
    124  u16 version 0x0100; u16 "MI", which tells the byte order
    128  elements: u32 type, u32 nbytes, data; inside arrays padded to 8 bytes, or in short: u16 nbytes, u16 type (in
         this order in big-endian files, in the other one in little-endian ones), up to 4 bytes
         type 14, an array: flags (class, logical, complex), dimensions, name, real and imaginary part, each an element
         type 15: an array deflated (version 7)

Level 4: per array i32 type (byte order, stored type, full, text or sparse), rows, columns, complex, length of the name;
the name; real part, imaginary part. Version 7.3 is HDF5 behind 512 bytes, the first 128 as above with version 0x0200;
every array a dataset with its axes reversed and its class in the attribute `MATLAB_class`.

Arrays are column-major: of (H, W, T) each frame lies together, column after column. Source: MathWorks, "MAT-File
Format" (levels 4 and 5); HDF5 files of MATLAB as observed.

`level4` and `level5` say where arrays lie, `inflate` reads deflated ones by position, `columns` turns columns into
frames, `hierarchy` is version 7.3, `discovery` decides which arrays are the recording. `sink` writes.

Cells, structs, objects, function handles, texts and sparse arrays hold no frames: they are listed, not read.
"""

from __future__ import annotations

from galvo.core.detect import Probe
from galvo.core.registry import Format, deferred

__all__ = ["FORMAT"]


def _detect(probe: Probe) -> bool:
    head = probe.head
    # every file is asked, and the reader takes milliseconds to import: level 4 begins with a small integer, the others
    # name their byte order or themselves
    if head[126:128] not in (b"IM", b"MI") and not head.startswith(b"MATLAB") and b"\0\0" not in (head[:2], head[2:4]):
        return False
    from galvo.formats.matlab.reader import version_of

    return version_of(probe) is not None


FORMAT = Format(
    name="matlab",
    title="MATLAB .mat files, every version",
    suffixes=(".mat",),
    detect=_detect,
    open=deferred("galvo.formats.matlab.reader:open_matlab"),
    refines=("hdf5",),
    sink=deferred("galvo.formats.matlab.sink:MatlabSink"),
    options=("variable", "axes", "dimension_ordering", "allow_external"),
    write_options=("version", "compression", "compression_level", "dataset_names"),
)
