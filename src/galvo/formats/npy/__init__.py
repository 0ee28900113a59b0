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

from typing import TYPE_CHECKING, Any

from galvo.core.detect import Probe
from galvo.core.registry import Format

if TYPE_CHECKING:
    from galvo.core.recording import Recording
    from galvo.core.sink import Sink

__all__ = ["FORMAT"]


def _detect(probe: Probe) -> bool:
    return probe.head.startswith(b"\x93NUMPY")


def _open(paths: list[str], **options: Any) -> Recording:
    from galvo.formats.npy.reader import open_npy

    return open_npy(paths, **options)


def _sink(**options: Any) -> Sink:
    from galvo.formats.npy.sink import NpySink

    return NpySink(**options)


FORMAT = Format(
    name="npy",
    title="NumPy arrays (.npy)",
    suffixes=(".npy",),
    detect=_detect,
    open=_open,
    sink=_sink,
    options=("axes",),
)
