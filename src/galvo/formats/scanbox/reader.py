"""Scanbox recordings."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.axes import Shape
from galvo.core.index import EvenPages, FrameIndex, PageOrder
from galvo.core.join import join
from galvo.core.metadata import Damage, LeftOut, Metadata
from galvo.core.over import ReaderOver
from galvo.core.read import IndexedReader
from galvo.core.recording import Recording
from galvo.core.selection import Selection
from galvo.core.source import FileSource, opening_source
from galvo.errors import NotFound, Truncated, warn
from galvo.formats.scanbox import info_path, pixel_path
from galvo.formats.scanbox.info import Info, parse_header, read_info
from galvo.limits import DEFAULT_LIMITS, Limits

__all__ = ["open_scanbox"]

_STORED = np.dtype("<u2")


def open_scanbox(
    paths: Sequence[str], *, planes: int | None = None, damaged: str = "raise", limits: Limits = DEFAULT_LIMITS
) -> Recording:
    """Scanbox recordings; several follow each other in T.

    Parameters
    ----------
    paths : sequence of str
        .sbx files; their .mat files may be among them.
    planes : int, optional
        Frames of one volume, instead of what the .mat says.
    damaged : "raise" or "report"
        report: the frames that are whole.
    limits : Limits

    Returns
    -------
    Recording
        uint16, the signal and not 65535 minus it. T counts volumes where the lens moves.

    Raises
    ------
    NotFound
        A .sbx without its .mat.
    Malformed
        The .mat does not say what the frames are.
    Truncated
        The .sbx does not hold whole frames, or not one volume.
    """
    parts: list[Recording] = []
    try:
        parts += (_opened(path, planes, damaged, limits) for path in dict.fromkeys(map(pixel_path, paths)))
        return join(parts, "t")
    except BaseException:
        for part in parts:
            part.close()
        raise


def _opened(path: str, planes: int | None, damaged: str, limits: Limits) -> Recording:
    about = info_path(path)
    if not os.path.exists(about):
        raise NotFound(
            "a .sbx file holds pixels and nothing else: the .mat file that says what they are is missing",
            path=about,
            hint="Put it beside the .sbx; or open it as a raw binary: "
            'format="bin", dtype="<u2", y= rows, x= columns times channels, and take 65535 minus it',
        )
    info = read_info(about, planes, limits)
    limits.check("frame_bytes", info.frame_nbytes, path=about)
    with opening_source([path]) as source:
        return _recording(source, about, info, damaged, limits)


def _recording(source: FileSource, about: str, info: Info, damaged: str, limits: Limits) -> Recording:
    path = source.paths[0]
    frames, rest = divmod(source.size(0), info.frame_nbytes)
    damage = _damage(path, info, frames, rest, damaged)
    limits.check("page_count", frames, path=path)
    volumes, incomplete = divmod(frames, info.planes)
    if not volumes:
        raise Truncated("not one volume is whole", path=path, found=f"{frames} frames", expected=f"{info.planes}")
    left_out = []
    if incomplete:
        left_out.append(LeftOut("incomplete volume", incomplete, "pages that make no whole volume"))
        warn(f"{path}: the last volume is incomplete and left out: {incomplete} of {info.planes} frames")
    shape: Shape = (volumes, info.channel_count, info.planes, info.rows, info.columns)
    run = EvenPages(frames, info.frame_nbytes, np.array([0]), np.array([info.frame_nbytes]))
    # the channels of a pixel lie together
    letters, chunk = ("YX", (1, 1, 1, *shape[3:])) if shape[1] == 1 else ("YXC", (1, shape[1], 1, *shape[3:]))
    index = FrameIndex(shape, _STORED, chunk, letters, PageOrder(0, info.planes, 0, 1), (run,))
    metadata = Metadata(
        format="scanbox",
        version=info.version,
        channel_names=info.channel_names,
        frame_rate_hz=info.frame_rate_hz,
        z_um=info.z_um,
        header=parse_header(info.text),
        texts={"header": info.text},
    )
    return Recording(
        _SignalReader(IndexedReader(source, index)), metadata, files=[path, about], left_out=left_out, damage=damage
    )


def _damage(path: str, info: Info, frames: int, rest: int, damaged: str) -> list[Damage]:
    """What is missing, where that is to be told and not refused."""
    lengths = f"{info.rows} rows x {info.columns} columns x {info.channel_count} channels of 2 bytes"
    end, missing = frames * info.frame_nbytes, ""
    if rest:
        missing = "the file does not hold whole frames"
    elif info.announced is not None and info.announced > frames:
        missing = f"the file holds fewer frames than the {info.announced} that info.max_idx announces"
    elif info.announced is not None and info.announced < frames:
        warn(f"{path}: it holds {frames} frames where info.max_idx announces {info.announced}; all are shown")
    if not frames or (missing and damaged != "report"):
        raise Truncated(
            missing or "the file holds no frame",
            path=path,
            offset=end,
            found=f"{frames} frames and {rest} bytes",
            expected=f"multiples of {info.frame_nbytes} bytes: {lengths}",
            hint='Is the .mat that of this recording? damaged="report" (--damaged report) opens whole frames',
        )
    return [Damage(path, end, f"{missing}: {frames} frames and {rest} bytes")] if missing else []


class _SignalReader(ReaderOver):
    """Shows the signal: what is stored is 65535 minus it.

    Parameters
    ----------
    reader : Reader
    """

    def __init__(self, reader: IndexedReader) -> None:
        super().__init__(reader)
        self.shape, self.chunks, self.dtype = reader.shape, reader.chunks, reader.dtype

    def read(self, selection: Selection, out: NDArray[Any]) -> None:
        """Fill `out`."""
        self._reader.read(selection, out)
        np.invert(out, out=out)
