"""Sutter MDF: recordings of MScan and MView, read through the makers' own COM server.

What the bytes of these files mean is not published, so they are read by ``MCSX.Data``, which Sutter's programs bring
to Windows: ``OpenMCSFile(path)``, ``ReadParameter(name)`` and ``ReadFrame(channel, frame)``, both counted from 1.
`server` is the one place that talks to it, `parameters` says what its texts mean. Other files are called .mdf too:
those of measurement data (ASAM MDF) and of SQL Server are told apart by their first bytes. Not read: analog channels.

Source: PyFlowReg specification, section 2.7.
"""

from __future__ import annotations

from galvo.core.detect import Probe
from galvo.core.registry import Format, deferred

__all__ = ["FORMAT"]

# ASAM MDF 3 and 4, finished or not; a page of SQL Server's primary file
_OTHERS = (b"MDF     ", b"UnFinMF ", b"\x01\x0f\x00\x00")


def _detect(probe: Probe) -> bool:
    return probe.suffix == ".mdf" and not probe.head.startswith(_OTHERS)


FORMAT = Format(
    name="mdf",
    title="Sutter MDF of MScan and MView, on Windows with MView (galvo[mdf])",
    suffixes=(".mdf",),
    detect=_detect,
    open=deferred("galvo.formats.mdf.reader:open_mdf"),
    by_name=True,
    options=("dtype",),
)
