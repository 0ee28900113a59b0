"""PZF frames as recordings: one blob, a folder of them, or those in an HDF5 file."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from galvo.core.axes import Shape
from galvo.core.metadata import Metadata
from galvo.core.recording import Damage, Recording
from galvo.core.source import read_file, read_prefix
from galvo.errors import Malformed, NotFound, Truncated, warn
from galvo.formats.kept_json import KeptJson
from galvo.formats.pzf.folder import EVENTS, METADATA, FolderBlobs, missing_numbers
from galvo.formats.pzf.header import PzfHeader, load_header
from galvo.formats.pzf.sequence import BlobFacts, Blobs, SequenceReader
from galvo.limits import DEFAULT_LIMITS, Limits

__all__ = ["open_pzf"]

_HDF5 = b"\x89HDF\r\n\x1a\n"


def open_pzf(paths: Sequence[str], *, damaged: str = "raise", limits: Limits = DEFAULT_LIMITS) -> Recording:
    """A sequence of PZF frames.

    Parameters
    ----------
    paths : sequence of str
        The frames in order, or one HDF5 file that holds them.
    damaged : "raise" or "report"
        report: where frames are missing, those before the first gap in galvo's own sequences, all that are there in
        others.
    limits : Limits

    Returns
    -------
    Recording
        Frames follow each other in T, unless galvo wrote them and kept their shape; the Depth of a frame is its Z.

    Raises
    ------
    Truncated
        Frames are missing.
    Malformed
        The frames contradict each other, or what is kept beside them.
    """
    if len(paths) == 1 and _is_hdf5(paths[0]):
        from galvo.formats.pzf.table import TableBlobs

        table = TableBlobs(paths[0], limits)
        if not len(table):
            raise Truncated("the file holds no frame", path=paths[0])
        kept = None if table.kept is None else KeptJson.parse(table.kept, paths[0], limits)
        return _recording(table, kept, {}, {}, paths, [], damaged, limits)
    folder = os.path.dirname(paths[0])
    about = os.path.join(folder, METADATA)
    texts = {name: text for name in (METADATA, EVENTS) if (text := _text(os.path.join(folder, name), limits))}
    content = _json(texts.get(METADATA, ""), about)
    kept = KeptJson(content["galvo"], about, limits) if "galvo" in content else None
    missing = missing_numbers(paths)
    return _recording(FolderBlobs(paths, limits), kept, content, texts, paths, missing, damaged, limits)


def _is_hdf5(path: str) -> bool:
    return read_prefix(path, len(_HDF5)) == _HDF5


def _text(path: str, limits: Limits) -> str:
    """A text beside the frames, "" where there is none."""
    try:
        return read_file(path, limits.text_bytes).decode()
    except NotFound:
        return ""
    except UnicodeDecodeError as error:
        raise Malformed("no UTF-8 text", path=path, offset=error.start) from error


def _json(text: str, path: str) -> Mapping[str, Any]:
    if not text:
        return {}
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Malformed("no JSON", path=path) from error
    if not isinstance(content, Mapping):
        raise Malformed("no JSON object", path=path)
    return content


def _recording(
    blobs: Blobs,
    kept: KeptJson | None,
    content: Mapping[str, Any],
    texts: Mapping[str, str],
    paths: Sequence[str],
    missing: Sequence[int],
    damaged: str,
    limits: Limits,
) -> Recording:
    header = load_header(blobs.read_head(0), path=blobs.path(0))
    limits.check("frame_bytes", header.nbytes, path=blobs.path(0))
    if kept is not None and len(blobs) == 1 and math.prod(kept.shape[:3]) > 1:
        warn(f"{blobs.path(0)}: one frame of a sequence of {math.prod(kept.shape[:3])}; opened alone")
        kept = None
    if kept is not None:
        return _own(blobs, header, kept, paths, missing, damaged)
    damage = _gaps(blobs.path(0), len(missing), f"frames {_listing(missing)} are missing", damaged) if missing else []
    height, width, depth = header.shape
    shape: Shape = (len(blobs), 1, depth, height, width)
    metadata = Metadata(
        format="pzf",
        version=f"v{header.version}",
        frame_rate_hz=_rate(content),
        pixel_size_um=_pixel_size(content),
        texts=texts,
        attributes=_stored(header, 0),
    )
    return Recording(
        SequenceReader(blobs, shape, header, header.dtype),
        metadata,
        files=paths,
        facts=BlobFacts(blobs, shape[:3]),
        damage=damage,
    )


def _own(
    blobs: Blobs, header: PzfHeader, kept: KeptJson, paths: Sequence[str], missing: Sequence[int], damaged: str
) -> Recording:
    """What galvo wrote, in the shape that it kept."""
    path = blobs.path(0)
    t, c, z, y, x = kept.shape
    if header.shape != (y, x, 1):
        raise Malformed(
            "the frames do not have the shape that is kept beside them",
            path=path,
            found=header.shape,
            expected=(y, x, 1),
        )
    shift, stored = kept.get("pixel_shift"), kept.get("pixel_dtype")
    dtype = np.dtype(np.int16) if stored == "int16" else header.dtype
    if stored not in ("int16", header.dtype.name) or type(shift) is not int or (shift and stored != "int16"):
        raise Malformed("the kept type of the pixels does not fit the frames", path=path, found=f"{stored}, {shift}")
    announced = t * c * z
    whole = min([*missing, len(blobs)])
    damage: list[Damage] = []
    if len(blobs) != announced or missing:
        text = f"{len(blobs)} of {announced} frames are there"
        damage = _gaps(path, announced - len(blobs), text, damaged)
        if not whole // (c * z):
            raise Truncated("not one T is whole", path=path, found=f"{whole} frames", expected=f"{c * z} frames")
    metadata = kept.metadata("pzf")
    metadata = replace(metadata, attributes={**metadata.attributes, **_stored(header, shift)})
    recording = Recording(
        SequenceReader(blobs, kept.shape, header, dtype, shift),
        metadata,
        files=paths,
        facts=kept.facts(),
        left_out=kept.left_out(metadata),
        damage=damage,
        checksums=kept if kept.get("block_crc32c") is not None else None,
    )
    return recording.isel(t=slice(0, whole // (c * z))) if damage else recording


def _gaps(path: str, count: int, text: str, damaged: str) -> list[Damage]:
    if damaged != "report":
        raise Truncated(
            f"frames of the sequence are missing: {text}",
            path=path,
            hint='damaged="report" (--damaged report) opens those that are there',
        )
    return [Damage(path, None, text)]


def _listing(numbers: Sequence[int]) -> str:
    return ", ".join(map(str, numbers[:8])) + (f" and {len(numbers) - 8} more" if len(numbers) > 8 else "")


def _stored(header: PzfHeader, shift: int) -> dict[str, str]:
    """What users should know of how the pixels are stored."""
    told = []
    if header.quantize:
        told.append(
            f"quantised with loss: steps of {header.quantize_scale:g} in the square root above "
            f"{header.quantize_offset - shift:g}"
        )
    if shift:
        told.append(f"int16 stored as uint16 with {shift} added: other readers see the shifted values")
    return {"stored": "; ".join(told)} if told else {}


def _entry(content: Mapping[str, Any], *names: str) -> Any:
    """An entry of PYME's metadata, whose names are nested or have dots."""
    flat = content.get(".".join(names))
    for name in names:
        content = content.get(name, {}) if isinstance(content, Mapping) else {}
    return flat if flat is not None else content


def _positive(value: Any) -> float | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
    return float(value) if usable else None


def _pixel_size(content: Mapping[str, Any]) -> tuple[float, float] | None:
    """PYME's first axis is X, which is NumPy's first axis here: galvo's Y."""
    sizes = (_positive(_entry(content, "voxelsize", "x")), _positive(_entry(content, "voxelsize", "y")))
    return None if sizes[0] is None or sizes[1] is None else (sizes[0], sizes[1])


def _rate(content: Mapping[str, Any]) -> float | None:
    cycle_s = _positive(_entry(content, "Camera", "CycleTime"))
    return None if cycle_s is None else 1 / cycle_s
