"""OME-TIFF as a recording: one file, or several that name each other, with their pages where the OME-XML puts them."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from galvo.core.index import Int64
from galvo.core.metadata import Damage, LeftOut, Metadata
from galvo.core.read import IndexedReader
from galvo.core.reader import Reader
from galvo.core.recording import Recording
from galvo.core.source import FileSource, opening_source
from galvo.errors import Malformed, Unsupported, warn
from galvo.formats.tiff.frames import frame_index
from galvo.formats.tiff.ome import AS_PAGES, OmeImage
from galvo.formats.tiff.ome_files import OmeFiles
from galvo.formats.tiff.ome_planes import Planes, kept_pages, planes_of
from galvo.formats.tiff.several import FilePages, pages_of_files
from galvo.limits import Limits

__all__ = ["open_ome"]

_TYPES = {
    "int8": "i1",
    "int16": "i2",
    "int32": "i4",
    "uint8": "u1",
    "uint16": "u2",
    "uint32": "u4",
    "float": "f4",
    "double": "f8",
    "complex": "c8",
    "double-complex": "c16",
}


def open_ome(files: OmeFiles, *, walk: bool, damaged: str, limits: Limits) -> Recording | None:
    """The recording of an image; None where the XML does not say which planes the pages are.

    Parameters
    ----------
    files : OmeFiles
    walk : bool
    damaged : "raise" or "report"
    limits : Limits

    Raises
    ------
    Malformed
        XML and pages contradict each other.
    Unsupported
        Files of different layouts.
    """
    with opening_source(files.paths) as source:
        recording = _open(files, source, walk, damaged, limits)
        if recording is None:
            source.close()
        return recording


def _choice(files: OmeFiles, file: int) -> Callable[[Int64], Int64] | None:
    """The pages of one file that the image names, where there are other images in it."""
    mine = files.file_of == file
    data = files.image.tiff_data
    first, count = np.array(data.ifd, np.int64)[mine], np.array(data.count, np.int64)[mine]
    if (count < 0).any():
        return None

    def choose(numbers: Int64) -> Int64:
        wanted = np.zeros(int(numbers[-1]) + 1, np.bool_)
        for start, stop in zip(first.tolist(), (first + count).tolist(), strict=True):
            wanted[start:stop] = True
        return numbers[wanted[numbers]]

    return choose


def _open(files: OmeFiles, source: FileSource, walk: bool, damaged: str, limits: Limits) -> Recording | None:
    image, path = files.image, files.paths[0]
    several = len(files.document.images) > 1 and len(image.tiff_data) > 0
    found = pages_of_files(
        source, limits, walk=walk, damaged=damaged, pages=(lambda file: _choice(files, file)) if several else None
    )
    planes = planes_of(files, found, path)
    if planes is None:
        return None
    layout, one = found.layout, found.opened[0]
    reader: Reader
    if layout is not None:
        _compare(image, (layout.height, layout.width, layout.samples), layout.dtype, path)
        reader = IndexedReader(source, frame_index(found.runs, layout, planes.lengths, planes.order, path))
    elif all(each.layout is None for each in found.opened.values()):
        # tifffile loads only for pages that need it
        from galvo.formats.tiff.exotic import ExoticPages

        numbers = [
            np.arange(run.count, dtype=np.int64) if (chain := kept_pages(found, file)) is None else chain
            for file, run in enumerate(found.runs)
        ]
        reader = ExoticPages(source.paths, numbers, planes.lengths, planes.order, limits)
        _compare(image, (reader.shape[3], reader.shape[4], reader.samples), reader.dtype, path)
        source.close()
    else:
        raise Unsupported("the files of this image differ in layout", path=path, hint="Open them one by one")
    damage = (*found.damage, *_tell(files, planes, damaged, path))
    return Recording(
        reader,
        _metadata(files, one.header.big, reader.shape),
        files=source.paths,
        facts=OmeFacts(image, reader.shape[:3]) if len(image.planes) else None,
        left_out=_left_out(files, found, planes),
        damage=damage,
    )


def _compare(image: OmeImage, found: tuple[int, int, int], dtype: np.dtype[Any], path: str) -> None:
    """The pages must be as large as announced; another pixel type is told."""
    expected = (image.sizes["Y"], image.sizes["X"], image.samples)
    if found[:2] != expected[:2] or (found[2] != expected[2]):
        raise Malformed(
            "the pages are not as the OME-XML has them",
            path=path,
            found="{} x {} pixels of {} samples".format(*found),
            expected="{} x {} pixels of {} samples".format(*expected),
            hint=AS_PAGES,
        )
    announced = _TYPES.get(image.pixel_type)
    if announced is not None and np.dtype(announced) != dtype.newbyteorder("="):
        warn(f"{path}: the OME-XML announces pixels of {image.pixel_type}, the pages hold {dtype.newbyteorder('=')}")


def _tell(files: OmeFiles, planes: Planes, damaged: str, path: str) -> list[Damage]:
    """What is missing: in a warning, or as damage where that is to be reported."""
    said = []
    announced = files.image.sizes["T"]
    if files.missing:
        names = ", ".join(files.missing[:4]) + (f" and {len(files.missing) - 4} more" if len(files.missing) > 4 else "")
        said.append(f"files that the OME-XML names are not there: {names}")
    if len(planes.missing):
        place = "t={}, c={}, z={}".format(*planes.missing[0])
        said.append(f"{len(planes.missing)} planes are in no file, the first one at {place}: they cannot be read")
    if planes.unused and len(files.document.images) == 1:
        said.append(f"{planes.unused} pages are no planes of the OME-XML")
    if planes.lengths[0] != announced:
        said.append(f"the OME-XML announces {announced} T, {planes.lengths[0]} whole ones are there")
    if damaged == "report":
        return [Damage(path, None, message) for message in said]
    if said:
        warn(f"{path}: {'; '.join(said)}")
    return []


def _left_out(files: OmeFiles, found: FilePages, planes: Planes) -> list[LeftOut]:
    left = []
    images = files.document.images
    for number, other in enumerate(images):
        if number != files.number:
            name = f" {other.name!r}" if other.name else ""
            left.append(LeftOut("image", other.plane_count, f"image {number}{name}: open it with image={number}"))
    if planes.beyond:
        left.append(LeftOut("incomplete volume", planes.beyond, "pages that make no whole volume"))
    if planes.unused and len(images) == 1:
        left.append(LeftOut("pages", planes.unused, "the OME-XML names no plane for them"))
    reduced = sum(one.reduced_count for one in found.opened.values())
    if reduced:
        left.append(LeftOut("reduced pages", reduced, "smaller copies of other pages"))
    return left


def _metadata(files: OmeFiles, big: bool, shape: Sequence[int]) -> Metadata:
    image = files.image
    names = image.channel_names
    attributes: dict[str, Any] = {"dimension_order": "XY" + image.order[::-1]}
    if image.name:
        attributes["image_name"] = image.name
    depths = None
    if image.spacing_um is not None and shape[2] > 1:
        depths = tuple(image.spacing_um * plane for plane in range(shape[2]))
    return Metadata(
        format="tiff",
        version="OME-TIFF, BigTIFF" if big else "OME-TIFF",
        channel_names=tuple(names) if len(names) == shape[1] and all(names) else (),
        frame_rate_hz=1 / image.interval_s if image.interval_s else None,
        pixel_size_um=image.pixel_size_um,
        z_um=depths,
        start_time=_without_zone(image.start_time),
        texts={"description": files.document.text},
        attributes=attributes,
    )


def _without_zone(text: str | None) -> str | None:
    """ISO 8601 without a zone; None for anything else."""
    match = re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?", text or "")
    return match[0] if match else None


class OmeFacts:
    """Times of planes.

    Parameters
    ----------
    image : OmeImage
    lengths : (int, int, int)
        T, C and Z of the recording, C with samples.
    """

    def __init__(self, image: OmeImage, lengths: Sequence[int]) -> None:
        planes = image.planes
        where = np.stack([np.array(column, np.int64) for column in (planes.t, planes.c, planes.z)], axis=1)
        values = np.stack([np.array(column, np.float64) for column in (planes.time_s, planes.exposure_s)], axis=1)
        inside = (where < [lengths[0], lengths[1] // image.samples, lengths[2]]).all(axis=1)
        # as rows by position, so that a sparse list needs no full table
        shape = (lengths[0], max(1, lengths[1] // image.samples), lengths[2])
        keys = np.ravel_multi_index(tuple(where[inside].T), shape)
        self._keys, first = np.unique(keys, return_index=True)
        self._values = values[inside][first]
        self._shape, self._samples = shape, image.samples
        self._columns = {
            name: column
            for column, name in enumerate(("timestamp_s", "exposure_s"))
            if not np.isnan(self._values[:, column]).all()
        }

    def read(self, t: Int64, c: Int64, z: Int64) -> dict[str, NDArray[Any]]:
        """Columns timestamp_s and exposure_s, where known; NaN for planes that have none."""
        wanted = np.ravel_multi_index((t, c // self._samples, z), self._shape)
        if not self._keys.size:
            return {}
        at = np.minimum(np.searchsorted(self._keys, wanted), self._keys.size - 1)
        known = self._keys[at] == wanted
        return {name: np.where(known, self._values[at, column], np.nan) for name, column in self._columns.items()}
