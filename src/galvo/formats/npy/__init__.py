"""NumPy's .npy: one array with its type and shape.

::

    0    93 "NUMPY"; u8 major, u8 minor version
    8    length of the header: u16 (version 1.0) or u32 (2.0 and 3.0), little endian
    10   the header, a Python dictionary as text (Latin-1; version 3.0: UTF-8), filled with spaces and a newline:
    12   {'descr': '<u2', 'fortran_order': False, 'shape': (100, 512, 512), }
    ...  the values, in C order (the last axis fastest) or in Fortran's (the first one)

`descr` is a type as NumPy spells it; a list of fields for records, which are no pixels; '|O' for objects, which are
pickled, and running a pickle is running a program: neither is read. The header is read by a grammar that knows these
three keys and nothing else. Source: NumPy, "The .npy format" (`numpy.lib.format`, NEP 1).

`header` is those first bytes, `reader` the recording. What galvo keeps besides lies in ``x.npy.galvo.json``.
"""

from __future__ import annotations

from galvo.core.detect import Probe
from galvo.core.registry import Format, deferred

__all__ = ["FORMAT"]


def _detect(probe: Probe) -> bool:
    return probe.head.startswith(b"\x93NUMPY")


FORMAT = Format(
    name="npy",
    title="NumPy arrays (.npy)",
    suffixes=(".npy",),
    detect=_detect,
    open=deferred("galvo.formats.npy.reader:open_npy"),
    sink=deferred("galvo.formats.npy.sink:NpySink"),
    options=("axes",),
)
