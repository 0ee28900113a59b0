"""Sutter MDF: recordings of MScan and MView, read through the makers' own COM server.

What the bytes of these files mean is not published, so they are read by ``MCSX.Data``, which Sutter's programs bring
to Windows: ``OpenMCSFile(path)``, ``ReadParameter(name)`` and ``ReadFrame(channel, frame)``, both counted from 1.
`server` is the one place that talks to it, `parameters` says what its texts mean. Other files are called .mdf too:
those of measurement data (ASAM MDF) and of SQL Server are told apart by their first bytes. Not read: analog channels.

Source: PyFlowReg specification, section 2.7.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from galvo.core.registry import Format

if TYPE_CHECKING:
    from galvo.core.detect import Probe
    from galvo.core.recording import Recording

__all__ = ["FORMAT"]

# ASAM MDF 3 and 4, finished or not; a page of SQL Server's primary file
_OTHERS = (b"MDF     ", b"UnFinMF ", b"\x01\x0f\x00\x00")


def _detect(probe: Probe) -> bool:
    return probe.suffix == ".mdf" and not probe.head.startswith(_OTHERS)


def _open(paths: list[str], **options: Any) -> Recording:
    from galvo.formats.mdf.reader import open_mdf

    return open_mdf(paths, **options)


FORMAT = Format(
    name="mdf",
    title="Sutter MDF of MScan and MView, on Windows with MView (galvo[mdf])",
    suffixes=(".mdf",),
    detect=_detect,
    open=_open,
    by_name=True,
    options=("dtype",),
)
